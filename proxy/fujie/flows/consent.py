"""Record, withdraw and read consent. A withdrawal holds for the very next call: state is derived on each read."""

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from fujie.audit.consent_records import RECORD_ID, event_content, event_facts
from fujie.audit.entry import EntryKind
from fujie.decision.consent import consent_of
from fujie.decision.decide import refuse
from fujie.flows.evidence import Subject, placed, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.identify import identify, identity_of
from fujie.flows.notices import informed
from fujie.flows.prompt import answered, opened
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import ConsentReply, ConsentStateReply, Refusal
from fujie.flows.settlement import until_settled
from fujie.model.consent import NEGATIVE, Capture, ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Identity
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import ANY_CHANNEL, Action, Effect

NOW = datetime.min.replace(tzinfo=UTC)
"""An event time that stands for the moment of the call."""

SKEW = timedelta(seconds=5)
"""How far a caller's clock may run ahead: such an event is taken as of now; beyond it, the event is in the future."""


@dataclass(frozen=True, slots=True, repr=False)
class ConsentQuery:
    """Whose consent is asked for, for which purpose and channel."""

    customer: CustomerRef
    context: RequestContext
    purpose: str
    channel: str = ANY_CHANNEL


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """What a customer said, as it came in. `draft` needs no record id, sid, actor, controller or received_at: they
    are set here. To a `prompt` it needs no purpose and no notice either, and nobody needs to name the `customer`.
    """

    draft: ConsentEvent
    customer: CustomerRef | None = None
    capture: Capture | None = None
    prompt: str = ""


async def record_consent(
    gate: Gate, caller: Credential, context: RequestContext, answer: Answer
) -> ConsentReply | Refusal:
    """Append a consent event. A consent needs a notice that bears it (`flows.notices`), or answers a prompt.

    By a phone that several customers share only an event that closes is taken (else CUSTOMER_AMBIGUOUS).
    """
    request = Request(Action.CONSENT_RECORD, has_prompt=bool(answer.prompt))

    async def steps(case: Case, decision: Decision) -> ConsentReply | Refusal:
        if answer.prompt:
            return await _answer(case, decision, answer)
        draft = dated(case, answer.draft)
        if answer.customer is None:
            raise RequestError("name the customer", field="customer")
        draft = await informed(case, draft, answer.capture)
        identity = await identify(gate, answer.customer, case.now, closes=draft.type in NEGATIVE)
        key = RequestKey(case.context.request_id, said_digest(answer.draft, identity.sid))
        return await append_event(case, decision, identity, draft, key)

    return await _permitted(open_case(gate, caller, context, request), steps)


async def withdraw_consent(
    gate: Gate, caller: Credential, ref: CustomerRef, context: RequestContext, draft: ConsentEvent
) -> ConsentReply | Refusal:
    """Append a withdrawal; the type of `draft` does not matter."""
    said = replace(draft, type=ConsentEventType.WITHDRAWN)

    async def steps(case: Case, decision: Decision) -> ConsentReply | Refusal:
        draft = dated(case, said)
        identity = await identify(gate, ref, case.now, closes=True)
        key = RequestKey(case.context.request_id, said_digest(said, identity.sid))
        return await append_event(case, decision, identity, draft, key)

    return await _permitted(open_case(gate, caller, context, Request(Action.CONSENT_WITHDRAW)), steps)


async def get_consent(gate: Gate, caller: Credential, query: ConsentQuery) -> ConsentStateReply | Refusal:
    """Return the derived state of one purpose and channel."""
    case = open_case(gate, caller, query.context, Request(Action.CONSENT_READ))

    async def steps(case: Case) -> ConsentStateReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        purpose = case.decider.bundle.purposes.get(query.purpose)
        if purpose is None:
            raise RequestError(code="UNKNOWN_PURPOSE", field="purpose")
        identity = await identity_of(gate, query.customer, case.now)
        sids = identity.sids if identity else ()
        events = await gate.ledger.consent_events(sids, query.purpose) if sids else ()
        case.watch.lap("ledger")
        summary = await record(case, EntryKind.DECISION, decision, Subject(sids))
        # A number that several customers share proves nobody's consent.
        sid = identity.sid if identity and not identity.is_shared else ""
        consent = consent_of(events, sid, query.channel, case.now, purpose.consent_ttl)
        case.watch.stop()
        return ConsentStateReply(summary, consent.state, consent.governing)

    return await guarded(case, steps)


@dataclass(frozen=True, slots=True)
class RequestKey:
    """What makes a write idempotent: the asker's request id, and a digest of all that was said under it."""

    request_id: str
    digest: str


async def _permitted(
    case: Case, steps: Callable[[Case, Decision], Awaitable[ConsentReply | Refusal]]
) -> ConsentReply | Refusal:
    async def judged(case: Case) -> ConsentReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        return await steps(case, decision)

    return await guarded(case, judged)


def dated(case: Case, draft: ConsentEvent) -> ConsentEvent:
    """Return the draft with the moment of the act; its purpose is one of ours, and it is not in the future.

    Raises RequestError UNKNOWN_PURPOSE, EVENT_IN_FUTURE.
    """
    purpose = case.decider.bundle.purposes.get(draft.purpose)
    if purpose is None:
        raise RequestError(code="UNKNOWN_PURPOSE", field="consent.purpose")
    event_time = case.now if draft.event_time == NOW else draft.event_time
    if event_time > case.now + SKEW:
        raise RequestError(code="EVENT_IN_FUTURE", field="consent.event_time")
    days = draft.retention_days or purpose.retention_days
    return replace(draft, event_time=min(event_time, case.now), retention_days=days)


async def _answer(case: Case, decision: Decision, answer: Answer) -> ConsentReply | Refusal:
    """Append the answer to a prompt: now, by the one who was prompted, about the one whom he asked for."""
    if answer.draft.event_time != NOW:
        raise RequestError("a prompt is answered now", field="consent.event_time")
    prompted = await opened(case, answer.prompt)
    said = await answered(case, prompted, answer.draft, answer.capture, answer.customer)
    sid, *others = prompted.sids
    # Under the prompt's own id, so that whoever comes second finds an answer; only a repeat of the same request
    # is told the first one's.
    request = case.context.request_id or case.decision_id
    key = RequestKey(f"prompt:{prompted.id}", said_digest(replace(said, record_id=""), f"{sid} {request}"))
    try:
        return await append_event(case, decision, Identity(sid, tuple(others)), dated(case, said), key)
    except RequestError as error:
        code = "PROMPT_INVALID" if error.code == "REQUEST_ID_REUSED" else error.code
        raise RequestError(code=code, field="prompt") from None


async def append_event(
    case: Case, decision: Decision, identity: Identity, draft: ConsentEvent, key: RequestKey
) -> ConsentReply | Refusal:
    """Write the admission that is bound to the event, the event that names its admission, the outcome."""
    gate = case.gate
    if identity.is_shared and draft.type not in NEGATIVE:
        # Whose consent it is must not be guessed; a withdrawal closes for all who share the number.
        ambiguous = refuse(decision.bundle, "CUSTOMER_AMBIGUOUS")
        return await refused(case, ambiguous, Subject(identity.sids))
    event, subject = bound(case, identity, draft)
    summary, entry = await placed(case, EntryKind.ADMISSION, decision, subject)
    event = replace(event, entry=entry)
    recorded = await gate.ledger.record_consent(event, key.request_id, key.digest)
    if event.type in NEGATIVE:
        await until_settled(gate, identity.sids)
    await record(
        case,
        EntryKind.OUTCOME,
        decision,
        replace(subject, facts={RECORD_ID: recorded.record_id}),
    )
    case.watch.stop()
    return ConsentReply(summary, recorded)


def bound(case: Case, identity: Identity, draft: ConsentEvent) -> tuple[ConsentEvent, Subject]:
    """Return the event with what only we say of it, and whom and what its admission names: the event, word for word."""
    event = replace(
        draft,
        record_id=draft.record_id or case.gate.ids.new_id(),
        sid=identity.sid,
        received_at=case.now,
        actor=case.asker,
        controller=case.gate.controller,
    )
    facts = {
        "consent.purpose": event.purpose,
        "consent.channel": event.channel,
        "consent.type": event.type.value,
        **event_facts(event_content(event)),
    }
    return event, Subject(identity.sids, facts=facts)


def said_digest(draft: ConsentEvent, sid: str) -> str:
    """Return what makes two requests with one request_id the same: everything that the caller said (SHA-256, hex)."""
    said = {name: getattr(draft, name) for name in draft.__dataclass_fields__ if name not in _SET_HERE}
    text = json.dumps({"sid": sid, **said}, default=str, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


_SET_HERE = frozenset({"record_id", "sid", "received_at", "actor", "controller", "entry"})
