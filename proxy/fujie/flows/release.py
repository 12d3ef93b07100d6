"""What was allowed goes out: at most once, never before its evidence, never behind an opt-out that was acknowledged.

Steps 4 to 8 of `flows/dispatch.py`, for messages of one matter:

1. `provider.ready`: whatever has to be waited for is waited for now, so that nothing that is claimed waits.
2. One durable release entry for all that are alike (promise 2).
3. `Outbox.claim`, in one transaction: whoever has said anything since the decision was read is left out.
4. A claim that is not fresh any more is given back: nothing went out.
5. `provider.submit`, once. From here on only the provider can say that nothing went out.
6. `Outbox.settle`: what the provider said. What was not understood is UNKNOWN, and never sent again. Who opted out there is kept
   in the same transaction, or in memory where the ledger fails (`flows/hearing.py`), then recorded.
7. The outcome entry names those who were not sent to after all.

A process that ends between 3 and 6 leaves intents CLAIMED, which `Outbox.sweep` makes UNKNOWN.
"""

from asyncio import CancelledError, Lock, gather
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from fujie.audit.entry import EntryKind
from fujie.audit.errors import AuditError
from fujie.flows.asking import written
from fujie.flows.double_opt_in import record_request
from fujie.flows.evidence import NOBODY, Subject, alike, record_many
from fujie.flows.gate import Case
from fujie.flows.hearing import sealed
from fujie.flows.judging import Judged, Judgement, Matter, is_same_slot
from fujie.flows.receipts import blocked
from fujie.flows.recipients import sending_of
from fujie.flows.reply import Summary
from fujie.flows.settlement import LATE_S
from fujie.flows.wording import digest_of, new_token
from fujie.model.campaign import Lease
from fujie.model.decision import Decision
from fujie.model.errors import LedgerError, RequestError
from fujie.model.facts import Known
from fujie.model.message import Claim, Claimed, MessageState, Settled
from fujie.model.vocabulary import Effect
from fujie.ports.messaging import Heard
from fujie.ports.providers import BUSY, Acceptance, Called, Outgoing, Receipt, Submission

FRESH_S = 4.0
"""How long after a decision messages are still claimed by it: what the provider has no room for by then is decided
anew. What was said of a recipient counts at once (`claim`); this bounds what only time changes."""

WIDE = 32
"""Submissions of one chunk that may be under way at a time; the provider's own bound is asked by `ready`."""

MOST_ATTEMPTS = 8
"""How often a provider may certainly not take a message before it has failed; with `_pause`, in about four minutes."""

_NOT_TAKEN = frozenset({Acceptance.REFUSED, Acceptance.RETRY})

PUT_BACK, CHANGED, REPEATED = "put_back", "changed", "repeated"


@dataclass(slots=True, repr=False)
class Released:
    """What became of the messages of one release: `ends` by intent id, as in the ledger; `out` are those that a provider
    has, or may have. What no end is said of was not the holder's any more. `summary` is that of the entry, None where
    nothing was even released. `is_open`: the provider has had room so far."""

    summary: Summary | None = None
    ends: dict[str, Settled] = field(default_factory=dict)
    out: set[str] = field(default_factory=set)
    told: Counter[str] = field(default_factory=Counter)
    is_open: bool = True

    @property
    def put_back(self) -> int:
        """How many went back unsent: the provider had no room, it was too late, or the lease was over."""
        return self.told[PUT_BACK]

    @property
    def unsent(self) -> Sequence[str]:
        """Ids of those that did not go out, and are decided on anew, or not at all any more."""
        over = (MessageState.PLANNED, MessageState.REFUSED)
        return [each for each, end in self.ends.items() if end.state in over]


@dataclass(frozen=True, slots=True, repr=False)
class Release:
    """Messages on their way out. `most_attempts` is how often a provider may decline one before it has failed; `facts`
    are those of the act, for its entries. `has_room` is what `room_for` said, None where nobody asked yet. A message alone
    stays with its holder, who tries again himself."""

    matter: Matter
    judgement: Judgement
    lease: Lease
    facts: dict[str, Known]
    most_attempts: int = MOST_ATTEMPTS
    has_room: bool | None = None

    async def run(self) -> Released:
        """Send all that were allowed.

        Raises:
            AuditError: the release could not be made durable; nothing was submitted.
            LedgerError: what was claimed is not known; of that, nothing was submitted.

        """
        allowed = [each for each in self.judgement.judged if each.is_allowed]
        done = Released()
        if not allowed:
            return done
        provider = self.matter.route.provider
        slices = [allowed[at : at + provider.most] for at in range(0, len(allowed), provider.most)]
        started = self._case.gate.clock.monotonic()
        room = await room_for(self.matter, len(allowed)) if self.has_room is None else self.has_room
        if not room:  # 1
            done.is_open = False
            await self._put_back(allowed, done)
            return done
        done.summary = await self._recorded(allowed)  # 2
        turns, door = iter(list(enumerate(slices))), Lock()

        async def lane() -> None:
            for number, messages in turns:
                async with door:  # who waits longest has the next room
                    is_fresh = self._case.gate.clock.monotonic() - started <= FRESH_S
                    if done.is_open and number > 0:
                        done.is_open = is_fresh and await provider.ready(len(messages))
                await (self._sent if done.is_open else self._put_back)(messages, done)

        ended = await gather(*(lane() for _ in range(min(WIDE, len(slices)))), return_exceptions=True)
        await self._concluded(allowed, done)  # 7
        for error in ended:  # each lane has ended: nothing goes on behind what is told
            if isinstance(error, BaseException):
                raise error
        return done

    @property
    def _case(self) -> Case:
        return self.matter.case

    async def _recorded(self, allowed: Sequence[Judged]) -> Summary:
        groups: dict[object, list[tuple[Subject, Decision]]] = {}
        for each in allowed:
            subject = each.subject()
            of = Subject(subject.sids, subject.wrapped_key, self.facts)
            groups.setdefault(alike(self._case, each.decision), []).append((of, each.decision))
        summaries = [await record_many(self._case, EntryKind.RELEASE, group) for group in groups.values()]
        return summaries[0]

    async def _sent(self, messages: Sequence[Judged], done: Released) -> None:
        gate, outbox = self._case.gate, sending_of(self._case.gate).outbox
        letters = [self._letter(each) for each in messages]
        requester = self.matter.principal.id
        began = gate.clock.monotonic()
        now = gate.clock.now()
        try:
            claimed = await outbox.claim(  # 3
                self.lease, [claim for claim, _ in letters], self.judgement.marker, requester, now
            )
        except LedgerError:
            with suppress(LedgerError):  # it may have been claimed: nothing went out, and nothing will
                await self._put_back(messages, done)
            raise
        await self._left_out(claimed, messages, done)
        mine = [outgoing for claim, outgoing in letters if claim.intent_id in claimed.claimed]
        if not mine:
            return
        # By both clocks: one stands still while a machine sleeps, the other is set.
        is_late = max(gate.clock.monotonic() - began, (gate.clock.now() - now).total_seconds()) > LATE_S
        if is_late or not is_same_slot(self.judgement.at, gate.clock.now()):  # 4
            of_mine = {each.intent_id for each in mine}
            await self._put_back([each for each in messages if each.id in of_mine], done)
            return
        done.out.update(each.intent_id for each in mine)
        submissions = await self.matter.route.provider.submit(mine)  # 5
        of_intent = dict(zip((each.intent_id for each in mine), submissions, strict=True))
        done.out.difference_update(
            each for each, said in of_intent.items() if said.acceptance in _NOT_TAKEN
        )
        attempts = {intent.intent_id: intent.attempts for intent in self.lease.intents}
        told = [(each, of_intent[each.intent_id]) for each in mine]
        heard = self._opted_out(told)
        ends = [self._end(each, said, attempts.get(each, 0)) for each, said in of_intent.items()]
        try:
            await self._settle(ends, done, heard)  # 6
        except (LedgerError, CancelledError):
            if heard is not None:  # nobody says it again
                sending_of(gate).unkept.append(heard)
            raise
        done.told.update(said.acceptance.value for said in submissions)
        for said in submissions:
            gate.metrics.submitted(self.matter.route.provider.name, said.acceptance.value)
        await self._asked([each for each in messages if each.id in of_intent], done)
        if heard is not None:
            await self._blocked(told)
            await outbox.forget_heard(heard.heard_id)

    def _opted_out(self, told: Sequence[tuple[Outgoing, Submission]]) -> Heard | None:
        """Return who opted out at the provider, which nobody says again, to be kept in one transaction with the outcomes."""
        name, failed = self.matter.route.provider.name, MessageState.FAILED
        receipts = [
            Receipt(name, failed, "", each.phone, each.intent_id, said.code, is_opted_out=True)
            for each, said in told
            if said.is_opted_out
        ]
        return sealed(self._case.gate, name, Called(receipts)) if receipts else None

    async def _blocked(self, told: Sequence[tuple[Outgoing, Submission]]) -> None:
        """Take over who opted out at the provider; one that can not be written leaves nobody behind it out, and is taken
        over later (`take_left`)."""
        trouble: Exception | None = None
        for each, said in told:
            if said.is_opted_out:
                name = self.matter.route.provider.name
                try:
                    await blocked(self._case.gate, name, each.phone, each.intent_id, said.code)
                except (LedgerError, AuditError) as error:
                    trouble = trouble or error
        if trouble is not None:
            raise trouble

    async def _asked(self, messages: Sequence[Judged], done: Released) -> None:
        """Record what those that are out ask consent for. What is not recorded here is found and recorded later
        (`record_left`): nothing that went out may end by it."""
        asked = self.matter.wording.asked
        if asked is None:
            return
        gate, name = self._case.gate, self.matter.route.provider.name
        with suppress(LedgerError, AuditError, RequestError):
            for each in messages:
                assert each.recalled is not None
                if each.id in done.out:
                    await record_request(gate, name, each.id, each.recalled.identity, asked)
            await sending_of(gate).outbox.asked([each.id for each in messages])

    def _letter(self, judged: Judged) -> tuple[Claim, Outgoing]:
        wording, person = self.matter.wording, judged.person
        recipient, phone = person.wanted.recipient, person.phone
        # Whoever lacks one of these was refused.
        assert recipient is not None
        assert phone is not None
        assert judged.recalled is not None
        token = new_token(self._case.gate) if wording.has_link else ""
        text = wording.final(recipient, token)
        route = self.matter.route
        claim = Claim(
            judged.id, phone, judged.recalled.identity.sids, text.content, route.provider.name,
            judged.segments(), digest_of(token) if token else b"",
            written(wording.asked, judged.recalled.identity.sid) if wording.asked else "",
        )  # fmt: skip
        signature = wording.draft.signature
        campaign = self.lease.campaign.id if self.lease.campaign else ""
        return claim, Outgoing(
            judged.id, phone, signature, text.text, wording.code(route), text.params, campaign
        )

    def _end(self, intent_id: str, said: Submission, attempts: int) -> Settled:
        """Return what the provider's word means for the intent."""
        code = said.code or "PROVIDER_FAILED"
        match said.acceptance:
            case Acceptance.ACCEPTED:
                return Settled(intent_id, MessageState.SUBMITTED, "", said.provider_message_id)
            case Acceptance.REFUSED:
                return Settled(intent_id, MessageState.FAILED, code)
            case Acceptance.RETRY if attempts + 1 < self.most_attempts:
                now = self._at_once()
                later = now + _pause(attempts) if now else None
                # Alone it goes to the next provider; of a campaign it waits for this one's next free place.
                is_attempt = code != BUSY or not self.lease.campaign
                return Settled(intent_id, MessageState.PLANNED, code, "", later, is_attempt=is_attempt)
            case Acceptance.RETRY:
                return Settled(intent_id, MessageState.FAILED, code)
            case _:
                return Settled(intent_id, MessageState.UNKNOWN, code, said.provider_message_id)

    def _at_once(self) -> datetime | None:
        """Return when others may take what goes back: now, or never for a message alone."""
        return self._case.gate.clock.now() if self.lease.campaign else None

    async def _left_out(self, claimed: Claimed, messages: Sequence[Judged], done: Released) -> None:
        """Let go of what was not claimed: decided anew, when something was said meanwhile. What a paused campaign keeps
        goes on with it, and does not wait for the end of this lease."""
        now = self._at_once()
        ends = [Settled(each, MessageState.PLANNED, not_before=now) for each in claimed.changed]
        if self.lease.campaign:
            told = claimed.claimed | claimed.changed | claimed.repeated
            left = [each.id for each in messages if each.id not in told]
            ends += [Settled(each, MessageState.PLANNED, not_before=now) for each in left]
            done.told[PUT_BACK] += len(
                left
            )  # the next chunk is smaller, where this one took longer than its lease
        ends += [Settled(each, MessageState.REFUSED, "MESSAGE_REPEATED") for each in claimed.repeated]
        done.told[CHANGED] += len(claimed.changed)
        done.told[REPEATED] += len(claimed.repeated)
        await self._settle(ends, done)

    async def _put_back(self, messages: Sequence[Judged], done: Released) -> None:
        """Let go of what certainly did not go out: others may take it at once."""
        now = self._at_once()
        done.told[PUT_BACK] += len(messages)
        await self._settle(
            [Settled(each.id, MessageState.PLANNED, not_before=now) for each in messages], done
        )

    async def _settle(self, ends: Sequence[Settled], done: Released, heard: Heard | None = None) -> None:
        if ends:
            gate = self._case.gate
            await sending_of(gate).outbox.settle(self.lease.holder, ends, gate.clock.now(), heard)
            done.ends.update({each.intent_id: each for each in ends})

    async def _concluded(self, allowed: Sequence[Judged], done: Released) -> None:
        """Write what came of it. It names whom nothing was sent to after all; the others got it, or may have."""
        not_sent = [each.subject() for each in allowed if each.id not in done.out]
        counts = {f"message.{name}": count for name, count in sorted(done.told.items()) if count}
        facts: dict[str, Known] = {**self.facts, **counts}
        plain = Decision(Effect.ALLOW, self._case.decider.bundle.digest)
        people = [(Subject(each.sids, facts=facts), plain) for each in not_sent]
        await record_many(
            self._case, EntryKind.OUTCOME, people or [(Subject(NOBODY.sids, facts=facts), plain)]
        )


async def room_for(matter: Matter, count: int) -> bool:
    """Tell whether the provider has room for the first of `count` messages: they are released, then, within two seconds."""
    provider = matter.route.provider
    return await provider.ready(min(count, provider.most))


def _pause(attempts: int) -> timedelta:
    return timedelta(seconds=min(2.0**attempts, 60.0))
