"""One leased chunk of a campaign: everything is decided again, for everyone, at the moment of sending.

1. The requester anew, as the directory knows him now; the bundle in force now; the draft resolved anew.
2. The recipients unsealed, their rows, what the ledger knows of them, with the marker up to which it was read; the
   decision on each (`flows/judging.py`).
3. Whom it refuses, or defers: an entry for each group that is alike, then the ledger. Allowed and refused are the input.
4. Once the provider has room: what the limits take; whom they have no room for waits. 5. The release entry, durable.
   6. The claim: one transaction, which refuses whoever has said anything since the marker. 7. The provider, once; what it said; the outcome entry (`flows/release.py`).

What can not be finished goes back as PLANNED as long as nothing was claimed. An exception leaves the chunk to its lease,
which ends by itself; what was claimed under it ends as UNKNOWN (`Outbox.sweep`).
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from fujie.audit.entry import EntryKind
from fujie.decision.decide import refuse
from fujie.flows.evidence import Subject, alike, record_many
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.judging import (
    Judged,
    Judgement,
    Matter,
    decided,
    give_back,
    judge_many,
    next_opening,
    opened_matter,
    prechecked,
    taken,
)
from fujie.flows.recipients import Wanted, readable, sending_of
from fujie.flows.refuse import standing
from fujie.flows.release import Release, room_for
from fujie.flows.wording import Wording, worded
from fujie.model.campaign import Campaign, Lease
from fujie.model.customer import StoreKey
from fujie.model.decision import Decision
from fujie.model.errors import LedgerError, RequestError
from fujie.model.facts import EXHAUSTED, Facts, Known
from fujie.model.limit import BUCKET_S, WINDOW_BUCKETS, Limit
from fujie.model.message import CHANNEL, Intent, MessageState, Settled
from fujie.model.principal import Credential, Principal
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect, KeyKind

MOST = 500
"""Intents of one chunk: what one release entry holds, and few enough that a pause or an opt-out waits for little."""

STORE_S = 5.0
"""Store time for one chunk."""

FREE_AFTER = timedelta(seconds=BUCKET_S[Limit.ROWS_PER_HOUR] * (WINDOW_BUCKETS + 1))
"""How long recipients wait for whom a limit has no room: by then all of its hour is free again. A limit of a day is looked
at as often."""

_LIMITED = "LIMIT_EXCEEDED"

CAMPAIGN = "message.campaign"
"""The fact of an entry that names the campaign of the messages."""

PROVIDER = "message.provider"

_Group = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Dispatched:
    """How many of a chunk were sent or ended, and how many went back: no room at the provider, or too late."""

    done: int
    put_back: int


async def dispatch(gate: Gate, lease: Lease) -> Dispatched:
    """Work one leased chunk of a campaign off.

    Raises:
        AuditError: evidence could not be written; nothing was submitted without it.
        StoreError, LedgerError: nothing was submitted that the ledger does not know as claimed.

    """
    campaign = lease.campaign
    assert campaign is not None
    case = case_of(gate, campaign)
    wanted = {
        each.intent_id: Wanted(
            each.intent_id, each.sid, readable(gate, each.sid, each.sealed, each.wrapped_key)
        )
        for each in lease.intents
    }
    principal = await standing(case)  # 1
    wording: Wording | Decision | None = None
    if isinstance(principal, Decision):
        wording = principal
    else:
        try:
            wording = await worded(case, campaign.draft, in_campaign=True)
        except RequestError as error:
            wording = refuse(case.decider.bundle.digest, error.code)
    put_back = 0
    for (store, kind, attempts), intents in _groups(wanted, lease.intents).items():
        of_group = replace(case, request=replace(case.request, store=store, key_kind=kind))
        chunk = _Chunk(of_group, lease, tuple(wanted[each.intent_id] for each in intents))
        if isinstance(principal, Decision) or isinstance(wording, Decision):
            assert isinstance(wording, Decision)
            await chunk.close(wording)
        else:
            put_back += await chunk.work(principal, wording, attempts)
    return Dispatched(len(lease.intents) - put_back, put_back)


def case_of(gate: Gate, campaign: Campaign) -> Case:
    """Return the case of a campaign's next messages: by whom and for what it was asked for."""
    whom = campaign.requester if campaign.requester != campaign.caller else ""
    context = RequestContext(
        purpose=campaign.purpose,
        basis=campaign.basis,
        basis_evidence="+" if campaign.has_basis_evidence else "",
        ticket="+" if campaign.has_ticket else "",
        on_behalf_of=whom,
    )
    # Who called with a token had an issuer; a workload by itself has none.
    issuer = "" if campaign.caller == campaign.workload else "campaign"
    request = Request(
        Action.SEND,
        campaign.purpose,
        campaign.basis,
        has_basis_evidence=campaign.has_basis_evidence,
        has_ticket=campaign.has_ticket,
        rows=campaign.tally.total,
        channel=CHANNEL,
        brand=campaign.draft.signature,
    )
    return open_case(gate, Credential(campaign.caller, issuer, campaign.workload), context, request)


@dataclass(frozen=True, slots=True, repr=False)
class _Chunk:
    """Recipients of one store and key kind, whose messages go the same way."""

    case: Case
    lease: Lease
    wanted: tuple[Wanted, ...]

    async def work(self, principal: Principal, wording: Wording, attempts: int) -> int:
        """Decide and send; return how many went back."""
        campaign = self.lease.campaign
        assert campaign is not None
        matter = await opened_matter(self.case, principal, wording, attempts, campaign.approved)
        if isinstance(matter, Decision):
            is_full = matter.primary == _LIMITED and prechecked(self.case, principal, wording) is None
            await self.close(matter, self.case.now + FREE_AFTER if is_full else None)
            return 0
        judgement = await judge_many(matter, self.wanted, STORE_S)  # 2
        if isinstance(judgement, Decision):
            await self.close(judgement)
            return 0
        if judgement is None:  # somebody else by now: the next one sees him as he is
            await self._settle(Settled(each.id, MessageState.PLANNED) for each in self.wanted)
            return len(self.wanted)
        allowed = sum(each.is_allowed for each in judgement.judged)
        has_room = bool(allowed) and await room_for(matter, allowed)
        # 4: before 3, since it may refuse more. What stays here while a provider is away uses up no limit.
        judgement = await taken(matter, judgement, of_allowed=has_room)
        await self._refused(matter, judgement)  # 3
        facts: dict[str, Known] = {CAMPAIGN: campaign.id, PROVIDER: matter.route.provider.name}
        released = await Release(matter, judgement, self.lease, facts, has_room=has_room).run()  # 5 to 7
        with suppress(LedgerError):  # what stays taken is too much, never too little
            await give_back(matter, judgement, released.unsent)
        return released.put_back

    async def close(self, decision: Decision, until: datetime | None = None) -> None:
        """Refuse all of them by a decision that no recipient can change; only until then, when that is said."""
        told = [(Subject((each.sid,), facts=self._facts()), decision) for each in self.wanted]
        await record_many(self.case, EntryKind.DECISION, told)
        to = MessageState.PLANNED if until else MessageState.REFUSED
        await self._settle(Settled(each.id, to, decision.primary, not_before=until) for each in self.wanted)

    async def _refused(self, matter: Matter, judgement: Judgement) -> None:
        """Write down whom nothing is sent to now; who waits for an hour is looked at again then."""
        groups: dict[object, list[Judged]] = {}
        for each in judgement.judged:
            if not each.is_allowed:
                groups.setdefault(alike(self.case, each.decision), []).append(each)
        ends: list[Settled] = []
        for group in groups.values():
            told = [(replace(each.subject(), facts=self._facts()), each.decision) for each in group]
            await record_many(self.case, EntryKind.DECISION, told)
            ends += _ends(matter, judgement.at, group)
        await self._settle(ends)

    async def _settle(self, ends: Iterable[Settled]) -> None:
        if settled := list(ends):
            gate = self.case.gate
            await sending_of(gate).outbox.settle(self.lease.holder, settled, gate.clock.now())

    def _facts(self) -> dict[str, Known]:
        return {CAMPAIGN: self.lease.campaign.id} if self.lease.campaign else {}


def _ends(matter: Matter, now: datetime, group: Sequence[Judged]) -> list[Settled]:
    """Return how the members of a group that was decided alike end; one opening is found for each zone. Who finds none is
    refused alone: what keeps one of them for ever (a consent that ends before the morning) need not keep the others."""
    openings: dict[object, datetime] = {}
    ends = []
    for each in group:
        opening = now + FREE_AFTER if _is_full(matter, each) else None
        if each.decision.deferrable:
            zones = each.raw.reached.zones if each.raw.reached else ()
            opening = openings.get(zones) or next_opening(matter, each, now)
            if opening:
                openings[zones] = opening
        ends.append(
            Settled(each.id, MessageState.PLANNED, each.decision.primary, not_before=opening)
            if opening
            else Settled(each.id, MessageState.REFUSED, each.decision.primary)
        )
    return ends


def _is_full(matter: Matter, judged: Judged) -> bool:
    """Tell whether nothing but a counter refuses, which has room again by and by: a limit paces a campaign."""
    if judged.decision.primary != _LIMITED:
        return False
    with_room = Facts({**judged.facts.values, EXHAUSTED: ()})
    return decided(matter, judged, with_room).decision.effect is not Effect.DENY


def _groups(wanted: Mapping[str, Wanted], intents: Sequence[Intent]) -> Mapping[_Group, list[Intent]]:
    """Return the intents by store, key kind and the attempts that were made: what one plan and one route are for."""
    groups: dict[_Group, list[Intent]] = {}
    for intent in intents:
        recipient = wanted[intent.intent_id].recipient
        ref = recipient.customer if recipient else None
        store = ref.store if isinstance(ref, StoreKey) else ""
        kind = ref.kind if ref else KeyKind.CUSTOMER_ID
        groups.setdefault((store, kind.value, intent.attempts), []).append(intent)
    return groups
