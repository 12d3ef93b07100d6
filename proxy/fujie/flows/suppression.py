"""Opt-outs: taken at once from anybody who may record them, lifted only by an act of the customer."""

import hashlib
import json
from dataclasses import dataclass, replace
from datetime import datetime

from fujie.audit.consent_records import (
    SUPPRESSION_ID,
    lift_content,
    lift_facts,
    suppression_content,
    suppression_facts,
)
from fujie.audit.entry import EntryKind
from fujie.flows.consent import NOW, SKEW
from fujie.flows.evidence import Subject, placed, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.identify import identify, identity_of
from fujie.flows.pages import Query, opened, sealed, shown
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import Refusal, SuppressionReply, SuppressionsReply
from fujie.flows.settlement import until_settled
from fujie.model.customer import CustomerRef, Identity
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.facts import Known
from fujie.model.page import FIRST_PAGE, Slice
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.suppression import Confirmation, Suppression, SuppressionFilter, SuppressionScope
from fujie.model.vocabulary import Action, Effect


@dataclass(frozen=True, slots=True, repr=False)
class OptOut:
    """An opt-out as it came in. `event_time` may be `consent.NOW`."""

    customer: CustomerRef
    scope: SuppressionScope
    event_time: datetime = NOW
    source: str = ""
    evidence_ref: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class SuppressionQuery:
    """Which opt-outs are asked for; those of everybody when no customer is named."""

    customer: CustomerRef | None = None
    purpose: str = ""
    channel: str = ""
    with_lifted: bool = False
    part: Slice = FIRST_PAGE


async def add_suppression(
    gate: Gate, caller: Credential, context: RequestContext, said: OptOut
) -> SuppressionReply | Refusal:
    """Append an opt-out; it holds for the very next call, whatever consent there is (promise 5).

    Taken like a withdrawal: also while a store is away, by any reference, for a number that no store knows.
    """
    case = open_case(gate, caller, context, Request(Action.SUPPRESSION_ADD))

    async def steps(case: Case) -> SuppressionReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        _check_purpose(case, said.scope.purpose, "scope.purpose")
        event_time = case.now if said.event_time == NOW else said.event_time
        if event_time > case.now + SKEW:
            raise RequestError(code="EVENT_IN_FUTURE", field="event_time")
        identity = await identify(gate, said.customer, case.now, closes=True)
        return await append_opt_out(case, decision, identity, said)

    return await guarded(case, steps)


async def append_opt_out(
    case: Case, decision: Decision, identity: Identity, said: OptOut
) -> SuppressionReply:
    """Write the admission, the opt-out of `identity`, the outcome. `said.event_time` is not in the future.

    The one way by which opt-outs come: of a caller, of a reply, of a provider's list, of the customer's own page.
    """
    gate = case.gate
    event_time = case.now if said.event_time == NOW else said.event_time
    given = Suppression(
        gate.ids.new_id(),
        identity.sid,
        said.scope,
        min(event_time, case.now),
        case.now,
        case.asker,
        said.source,
        said.evidence_ref,
    )
    request_id = case.context.request_id
    # What adds nothing is bound to nothing. Of repeats at one moment the outcomes name the one that was added.
    bound = {} if await _is_repeat(case) else suppression_facts(suppression_content(given))
    subject = Subject(identity.sids, facts={**_scope(said.scope), **bound})
    summary, entry = await placed(case, EntryKind.ADMISSION, decision, subject)
    digest = _digest(said, identity.sid)
    added = await gate.ledger.add_suppression(replace(given, entry=entry), request_id, digest)
    await until_settled(gate, identity.sids, said.customer)
    await record(case, EntryKind.OUTCOME, decision, replace(subject, facts=_named(added)))
    case.watch.stop()
    return SuppressionReply(summary, added)


async def remove_suppression(
    gate: Gate, caller: Credential, context: RequestContext, suppression_id: str, by: Confirmation
) -> SuppressionReply | Refusal:
    """Lift an opt-out by a later act of the customer; one that was lifted before is answered as it is."""
    case = open_case(gate, caller, context, Request(Action.SUPPRESSION_REMOVE))

    async def steps(case: Case) -> SuppressionReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        known = await gate.ledger.suppression(suppression_id)
        if known is None:
            raise RequestError(code="SUPPRESSION_NOT_FOUND", field="suppression_id")
        if not known.event_time < by.event_time <= case.now + SKEW:
            raise RequestError(code="SUPPRESSION_CONFIRMATION_MISSING", field="confirmation.event_time")
        return await append_lift(case, decision, known, by)

    return await guarded(case, steps)


async def append_lift(
    case: Case, decision: Decision, known: Suppression, by: Confirmation
) -> SuppressionReply:
    """Write the admission, the lift of an opt-out, the outcome."""
    gate = case.gate
    request_id = case.context.request_id
    lift = replace(known, lifted=by, lifted_at=case.now, lifted_by=case.asker)
    # The first confirmation stands, and a request lifts one: what comes later is bound to nothing.
    is_late = known.lifted is not None or await _is_repeat(case, lifted=True)
    bound = {} if is_late else lift_facts(suppression_content(known), lift_content(lift))
    subject = Subject(
        (known.sid,),
        facts={**_named(known), **_scope(known.scope), "confirmation.method": by.method, **bound},
    )
    summary, entry = await placed(case, EntryKind.ADMISSION, decision, subject)
    lifted = await gate.ledger.lift_suppression(replace(lift, lift_entry=entry), request_id)
    await record(case, EntryKind.OUTCOME, decision, replace(subject, facts=_named(known)))
    case.watch.stop()
    return SuppressionReply(summary, lifted)


async def list_suppressions(
    gate: Gate, caller: Credential, context: RequestContext, asked: SuppressionQuery
) -> SuppressionsReply | Refusal:
    """Return one page of opt-outs, of one customer (under every alias) or of all; its entry names whose they are."""
    case = open_case(gate, caller, context, Request(Action.SUPPRESSION_READ))

    async def steps(case: Case) -> SuppressionsReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        _check_purpose(case, asked.purpose, "purpose")
        sids: tuple[str, ...] | None = None
        if asked.customer is not None:
            identity = await identity_of(gate, asked.customer, case.now)
            sids = identity.sids if identity else ()
        of = "" if sids is None else f"of {sids[0] if sids else ''}"
        query = Query("ListSuppressions", (of, asked.purpose, asked.channel, asked.with_lifted))
        page = await gate.ledger.suppression_page(
            SuppressionFilter(sids, asked.purpose, asked.channel, asked.with_lifted),
            opened(query, asked.part),
        )
        named = sids if sids is not None else tuple(dict.fromkeys(each.sid for each in page.rows))
        summary = await record(case, EntryKind.DECISION, decision, Subject(named, facts=shown(page)))
        case.watch.stop()
        return SuppressionsReply(summary, sealed(query, page))

    return await guarded(case, steps)


async def _is_repeat(case: Case, *, lifted: bool = False) -> bool:
    request_id = case.context.request_id
    return bool(request_id) and await case.gate.ledger.has_suppressed(case.asker, request_id, lifted=lifted)


def _check_purpose(case: Case, purpose: str, field: str) -> None:
    if purpose and purpose not in case.decider.bundle.purposes:
        raise RequestError(code="UNKNOWN_PURPOSE", field=field)


def _scope(scope: SuppressionScope) -> dict[str, Known]:
    """Return the scope as the log may keep it for ever: a brand is free text, and only said to be there."""
    return {
        "suppression.purpose": scope.purpose,
        "suppression.channel": scope.channel,
        "suppression.has_brand": bool(scope.brand),
    }


def _named(given: Suppression) -> dict[str, Known]:
    return {SUPPRESSION_ID: given.suppression_id}


def _digest(said: OptOut, sid: str) -> str:
    """Return what makes two requests with one request_id the same: everything that the caller said."""
    scope = [said.scope.purpose, said.scope.channel, said.scope.brand]
    parts = [sid, *scope, said.event_time.isoformat(), said.source, said.evidence_ref]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
