"""One message to one customer, by the same steps as a chunk of a campaign (`flows/dispatch.py`).

1. Who asks, and could any grant open this at all; if not, nothing of the customer is touched.
2. A request that was made before is answered with its message; nothing is sent for it.
3. Stores, ledger, review, the decision; what the limits take; the approval that it uses up.
4. The intent, written before anything goes out; then `flows/release.py`.
5. When the provider certainly did not take it, the next one: decided anew, and claimed anew.

A call that ends early leaves the message under way: it is finished, and told to whoever repeats the request.
"""

import asyncio
import hmac
from dataclasses import dataclass, replace

from fujie.audit.canon import canonical
from fujie.audit.entry import EntryKind
from fujie.decision.admission import is_granted
from fujie.decision.decide import precheck, refuse
from fujie.decision.facts import Raw, derive
from fujie.flows.agreement import Agreement, Emergency, ask_approval
from fujie.flows.campaigns import scope
from fujie.flows.dispatch import PROVIDER
from fujie.flows.evidence import APPROVAL_ID, Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.judging import (
    Judged,
    Judgement,
    Matter,
    decided,
    judge_many,
    opened_matter,
    prechecked,
    taken,
)
from fujie.flows.recipients import Wanted, request_to, sealed, sending_of
from fujie.flows.refuse import guarded, refused, standing
from fujie.flows.release import Release
from fujie.flows.reply import MessageReply, Refusal, Summary
from fujie.flows.wording import Wording, worded
from fujie.model.campaign import Lease
from fujie.model.customer import StoreKey
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.facts import Known
from fujie.model.message import CHANNEL, Message, MessageState, Planned, Recipient, Settled
from fujie.model.principal import Credential, Principal
from fujie.model.request import Request, RequestContext, SendAsk
from fujie.model.vocabulary import Action, Effect

MESSAGE_ID = "message.id"
"""The fact of an entry that names a message."""

LEASE_S = 30.0
"""How long a message alone stays with the call that sends it; longer than any call."""

_TRIES = 8
"""How often one call decides: for each provider, and whenever something was said of the customer meanwhile."""

_REQUEST, _APPROVED = b"fujie.dev/message-request/v1", b"fujie.dev/message-approved/v1"


async def send_message(
    gate: Gate, caller: Credential, ask: SendAsk, timeout_s: float
) -> MessageReply | Refusal:
    """Send one message, at most once; `timeout_s` is store time. The message tells whether a provider took it.

    Raises:
        AuditError: evidence could not be written; nothing was submitted without it.

    """
    case = open_case(gate, caller, ask.context, request_to(ask.customer, ask.context, ask.draft))

    async def steps(case: Case) -> MessageReply | Refusal:
        return await _sent(case, ask, timeout_s)

    if gate.sending is None:
        return await guarded(case, steps)
    task = asyncio.ensure_future(guarded(case, steps))
    gate.sending.under_way.add(task)
    task.add_done_callback(gate.sending.under_way.discard)
    task.add_done_callback(
        lambda ended: ended.cancelled() or ended.exception()
    )  # it may be that nobody asks
    return await asyncio.shield(task)


async def get_message(
    gate: Gate, caller: Credential, context: RequestContext, message_id: str
) -> MessageReply | Refusal:
    """Return a message as it stands, to who asked for it and to who may send for its purpose."""
    case = open_case(gate, caller, context, Request(Action.SEND, channel=CHANNEL))

    async def steps(case: Case) -> MessageReply | Refusal:
        principal = await standing(case)
        if isinstance(principal, Decision):
            return await refused(case, principal)
        closed = _closed(case, principal)
        if closed is not None and closed.primary.startswith("PRINCIPAL_"):
            return await refused(case, closed)
        found = await gate.sending.outbox.message(message_id) if gate.sending else None
        if found is not None:
            of_message = replace(case, request=replace(case.request, purpose=found.purpose))
            if found.requester == case.asker or is_granted(*scope(of_message, principal)):
                return MessageReply(await _told(of_message, EntryKind.DECISION, found.id), found)
        if closed is not None and closed.primary == "NO_GRANT":
            return await refused(case, closed)
        sending_of(gate)
        raise RequestError(code="MESSAGE_NOT_FOUND", field="name")

    return await guarded(case, steps)


async def _sent(case: Case, ask: SendAsk, timeout_s: float) -> MessageReply | Refusal:
    principal = await standing(case)  # 1
    if isinstance(principal, Decision):
        return await refused(case, principal)
    try:
        wording = await worded(case, ask.draft, in_campaign=False)
    except RequestError:
        if (closed := _closed(case, principal)) is not None:
            return await refused(case, closed)
        raise
    if (closed := prechecked(case, principal, wording)) is not None:
        return await refused(case, closed)
    if ask.context.request_id:  # 2: before the limits, which it may have used up itself
        outbox = sending_of(case.gate).outbox
        first = await outbox.first(case.asker, ask.context.request_id, _digest(case, ask))
        if first is not None:
            return MessageReply(await _told(case, EntryKind.DECISION, first.id), first)
    matter = await opened_matter(case, principal, wording)
    if isinstance(matter, Decision):
        return await refused(case, matter)
    return await _Sending(case, ask, wording, timeout_s).run(matter)


def _closed(case: Case, principal: Principal) -> Decision | None:
    """Return the refusal that no recipient and no wording can change."""
    plan = case.decider.plan(case.request, principal.roles)
    facts = derive(plan.bundle, case.request, Raw(principal), case.now, case.gate.zone)
    return precheck(plan, case.request, facts)


async def _told(case: Case, kind: EntryKind, message_id: str) -> Summary:
    """Write that a message was told of; the decision on it has an entry of its own."""
    plain = Decision(Effect.ALLOW, case.decider.bundle.digest)
    summary = await record(case, kind, plain, Subject(facts={MESSAGE_ID: message_id}))
    case.watch.stop()
    return summary


@dataclass(slots=True, repr=False)
class _Sending:
    """One message on its way. It has a lease from the moment on at which its intent is written."""

    case: Case
    ask: SendAsk
    wording: Wording
    timeout_s: float
    lease: Lease | None = None
    summary: Summary | None = None
    agreement: Agreement | None = None

    async def run(self, matter: Matter) -> MessageReply | Refusal:
        """Send it, by the first provider that takes it."""
        intent_id, attempt, full = self.case.gate.ids.new_id(), 0, 0
        wanted = Wanted(intent_id, "", Recipient(self.ask.customer, self.ask.params))
        for _ in range(_TRIES):
            judgement = await self._judged(matter, wanted)  # 3
            if isinstance(judgement, Decision):
                return await self._refused(judgement, None)
            if judgement is not None:
                judged = judgement.judged[0]
                if not judged.is_allowed:
                    return await self._refused(judged.decision, judged)
                if self.lease is None and (first := await self._begun(judged)) is not None:  # 4
                    return MessageReply(await _told(self.case, EntryKind.DECISION, first.id), first)
                assert self.lease is not None
                facts: dict[str, Known] = {MESSAGE_ID: intent_id, PROVIDER: matter.route.provider.name}
                if self.agreement is not None and self.agreement.used:
                    facts[APPROVAL_ID] = self.agreement.used
                routes = len(self.wording.routes)
                released = await Release(matter, judgement, self.lease, facts, routes).run()
                self.summary = released.summary or self.summary
                end = released.ends.get(intent_id)
                if end is None or end.state is not MessageState.PLANNED:
                    return await self._reply(intent_id)
                # 5: what was too late, behind a ledger that stood still, goes the same way once more.
                full += not released.is_open
                attempt += end.is_attempt or not released.is_open
                self._tried(attempt)
                if full >= routes:
                    break
            opened = await self._reopened(attempt)
            if isinstance(opened, Decision):
                return await self._refused(opened, None)
            matter = opened
        return await self._given_up(intent_id)

    async def _reopened(self, attempt: int) -> Matter | Decision:
        principal = await standing(self.case)
        if isinstance(principal, Decision):
            return principal
        self.case = replace(self.case, now=self.case.gate.clock.now())
        return await opened_matter(self.case, principal, self.wording, attempt)

    async def _judged(self, matter: Matter, wanted: Wanted) -> Judgement | Decision | None:
        """Decide, take what the limits take, use up the approval: of that the last word is read afterwards."""
        agreement = self.agreement = self.agreement or Agreement(
            self.case, matter.plan, self.ask.customer, Emergency()
        )
        judgement = await judge_many(
            matter, [wanted], self.timeout_s, lambda facts, sid: agreement.known(facts, self._about(sid))
        )
        if judgement is None or isinstance(judgement, Decision):
            return judgement
        if self.lease is None:  # what was taken for it stays taken, however often it is tried
            judgement = await taken(matter, judgement)
        judged, was_used = judgement.judged[0], agreement.used
        while (again := await agreement.take(judged.decision, judged.facts)) is not None:
            judged = decided(matter, judged, again)
        if agreement.used != was_used:
            judged = decided(matter, judged, await agreement.known(judged.facts, self._about(_sid(judged))))
        return replace(judgement, judged=(judged,))

    async def _begun(self, judged: Judged) -> Message | None:
        """Write the intent and lease it; return the first message of this request when there is one by now."""
        gate, case, told = self.case.gate, self.case, judged.recalled
        assert told is not None
        sid, draft = told.identity.sid, self.ask.draft
        recipient = Recipient(self.ask.customer, self.ask.params)
        planned = Planned(
            judged.id, sid, sealed(gate, sid, told.identity.wrapped_key, recipient), "", case.asker,
            case.request.purpose, draft.category, draft.signature,
        )  # fmt: skip
        request = (self.ask.context.request_id, _digest(case, self.ask))
        holder = gate.ids.new_id()
        first, lease = await sending_of(gate).outbox.begin(
            planned, holder, gate.clock.now(), LEASE_S, request
        )
        self.lease = lease
        return first if lease is None else None

    def _about(self, sid: str) -> str:
        """Return what an approval is bound to beside the request: the customer, and what is said to him, word for word."""
        template = self.wording.template
        said = {**_said(self.ask), "template": template.text if template else ""}
        return f"{sid} {_keyed(self.case, _APPROVED, said)}"

    def _tried(self, attempt: int) -> None:
        if self.lease is not None:
            intents = tuple(replace(each, attempts=attempt) for each in self.lease.intents)
            self.lease = replace(self.lease, intents=intents)

    async def _refused(self, decision: Decision, judged: Judged | None) -> Refusal:
        """Refuse, and end what was begun."""
        subject = judged.subject() if judged else Subject()
        facts: dict[str, Known] = {}
        if self.lease is not None:
            intent_id = self.lease.intents[0].intent_id
            facts[MESSAGE_ID] = intent_id
            await self._ended(Settled(intent_id, MessageState.REFUSED, decision.primary))
        if decision.effect is Effect.APPROVAL_REQUIRED and judged is not None:
            approval = await ask_approval(self.case, decision, self.ask.customer, self._about(_sid(judged)))
            subject = replace(subject, facts={**facts, APPROVAL_ID: approval.id})
            return replace(await refused(self.case, decision, subject), approval=approval.name)
        if self.agreement is not None and self.agreement.used:
            facts[APPROVAL_ID] = self.agreement.used
        refusal = await refused(self.case, decision, replace(subject, facts=facts))
        return replace(refusal, reasons=judged.told.reasons) if judged else refusal

    async def _given_up(self, intent_id: str) -> MessageReply | Refusal:
        """No provider had room, or something changed all the time: nothing went out."""
        if self.lease is None:
            return await refused(self.case, refuse(self.case.decider.bundle.digest, "PROVIDER_FAILED"))
        await self._ended(Settled(intent_id, MessageState.FAILED, "PROVIDER_FAILED"))
        return await self._reply(intent_id)

    async def _ended(self, end: Settled) -> None:
        assert self.lease is not None
        gate = self.case.gate
        await sending_of(gate).outbox.settle(self.lease.holder, [end], gate.clock.now())

    async def _reply(self, intent_id: str) -> MessageReply:
        message = await sending_of(self.case.gate).outbox.message(intent_id)
        assert message is not None  # it was begun
        summary = self.summary or await _told(self.case, EntryKind.DECISION, intent_id)
        self.case.watch.stop()
        return MessageReply(summary, message)


def _sid(judged: Judged) -> str:
    return judged.recalled.identity.sid if judged.recalled else ""


def _digest(case: Case, ask: SendAsk) -> str:
    """Return what makes two requests with one request_id the same: everything that the caller said."""
    context = ask.context
    reason = [context.purpose, context.basis, context.basis_evidence, context.ticket, context.approval]
    if context.break_glass:
        reason.append("break_glass")
    return _keyed(case, _REQUEST, {**_said(ask), "reason": reason})


def _said(ask: SendAsk) -> dict[str, object]:
    """Return what is said to whom."""
    draft, ref = ask.draft, ask.customer
    whom = [ref.store, ref.customer_id] if isinstance(ref, StoreKey) else [ref.e164]
    words = [draft.category.value, draft.signature, draft.text, draft.template, draft.provider]
    return {"whom": whom, "words": words, "params": dict(ask.params)}


def _keyed(case: Case, what: bytes, said: dict[str, object]) -> str:
    """Return the digest of what was said: keyed, since a number can be guessed."""
    return hmac.digest(case.gate.tokeniser.key, what + canonical(said), "sha256").hex()
