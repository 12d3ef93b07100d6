"""Record, withdraw and read consent. A withdrawal holds for the very next call: state is derived on each read."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from fujie.audit.entry import EntryKind
from fujie.decision.consent import consent_of
from fujie.decision.decide import refuse
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.identify import identify, refs_of, rows_of
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import ConsentReply, ConsentStateReply, Refusal
from fujie.model.consent import NEGATIVE, ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef
from fujie.model.errors import RequestError
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import ANY_CHANNEL, Action, Effect

NOW = datetime.min.replace(tzinfo=UTC)
"""An event time that stands for the moment of the call."""

_SKEW = timedelta(seconds=5)
"""How far a caller's clock may run ahead: such an event is taken as of now; beyond it, the event is in the future."""


@dataclass(frozen=True, slots=True, repr=False)
class ConsentQuery:
    """Whose consent is asked for, for which purpose and channel."""

    customer: CustomerRef
    context: RequestContext
    purpose: str
    channel: str = ANY_CHANNEL


async def record_consent(
    gate: Gate, caller: Credential, ref: CustomerRef, context: RequestContext, draft: ConsentEvent
) -> ConsentReply | Refusal:
    """Append a consent event. `draft` needs no record id, sid, actor, controller or received_at: they are set here.

    By a phone that several customers share only an event that closes is taken (else CUSTOMER_AMBIGUOUS).
    """
    return await _append(open_case(gate, caller, context, Request(Action.CONSENT_RECORD)), ref, draft)


async def withdraw_consent(
    gate: Gate, caller: Credential, ref: CustomerRef, context: RequestContext, draft: ConsentEvent
) -> ConsentReply | Refusal:
    """Append a withdrawal; the type of `draft` does not matter."""
    draft = replace(draft, type=ConsentEventType.WITHDRAWN)
    return await _append(open_case(gate, caller, context, Request(Action.CONSENT_WITHDRAW)), ref, draft)


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
        rows = await rows_of(gate, query.customer)
        refs = refs_of(rows[0]) if len(rows) == 1 else (query.customer,)
        identity = await gate.ledger.find(refs)
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


async def _append(case: Case, ref: CustomerRef, draft: ConsentEvent) -> ConsentReply | Refusal:
    gate = case.gate

    async def steps(case: Case) -> ConsentReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        purpose = case.decider.bundle.purposes.get(draft.purpose)
        if purpose is None:
            raise RequestError(code="UNKNOWN_PURPOSE", field="consent.purpose")
        event_time = case.now if draft.event_time == NOW else draft.event_time
        if event_time > case.now + _SKEW:
            raise RequestError(code="EVENT_IN_FUTURE", field="consent.event_time")
        identity = await identify(gate, ref, case.now, closes=draft.type in NEGATIVE)
        if identity.is_shared and draft.type not in NEGATIVE:
            # Whose consent it is must not be guessed; a withdrawal closes for all who share the number.
            ambiguous = refuse(decision.bundle, "CUSTOMER_AMBIGUOUS")
            return await refused(case, ambiguous, Subject(identity.sids))
        event = replace(
            draft,
            record_id=gate.ids.new_id(),
            sid=identity.sid,
            event_time=min(event_time, case.now),
            received_at=case.now,
            actor=case.caller.subject,
            controller=gate.controller,
            retention_days=draft.retention_days or purpose.retention_days,
        )
        subject = Subject(
            identity.sids,
            facts={
                "consent.purpose": event.purpose,
                "consent.channel": event.channel,
                "consent.type": event.type.value,
            },
        )
        summary = await record(case, EntryKind.ADMISSION, decision, subject)
        recorded = await gate.ledger.record_consent(
            event, case.context.request_id, _digest(draft, identity.sid)
        )
        await record(
            case,
            EntryKind.OUTCOME,
            decision,
            replace(subject, facts={"consent.record_id": recorded.record_id}),
        )
        case.watch.stop()
        return ConsentReply(summary, recorded)

    return await guarded(case, steps)


def _digest(draft: ConsentEvent, sid: str) -> str:
    """Return what makes two requests with one request_id the same: everything that the caller said."""
    said = {name: getattr(draft, name) for name in draft.__dataclass_fields__ if name not in _SET_HERE}
    text = json.dumps({"sid": sid, **said}, default=str, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


_SET_HERE = frozenset({"record_id", "sid", "received_at", "actor", "controller"})
