"""Requests of customers, by those who answer them; and what was disclosed of a customer (PIPL-44 to 50).

To resolve a request records how it ended. Erasing itself is another act.
"""

from dataclasses import dataclass, replace

from fujie.audit.entry import EntryKind
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.identify import identity_of
from fujie.flows.own_requests import KIND, REQUEST_ID, text_of
from fujie.flows.pages import Query, opened, sealed, shown
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import (
    DisclosuresReply,
    Refusal,
    SubjectRequestReply,
    SubjectRequestsReply,
)
from fujie.model.customer import CustomerRef
from fujie.model.errors import RequestError
from fujie.model.page import FIRST_PAGE, Slice
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.subject_request import RequestEnd, RequestFilter, RequestOutcome, SubjectRequest
from fujie.model.vocabulary import Action, Effect


@dataclass(frozen=True, slots=True, repr=False)
class RequestsQuery:
    """Which requests are asked for; those of everybody when no customer is named."""

    customer: CustomerRef | None = None
    with_resolved: bool = False
    part: Slice = FIRST_PAGE


@dataclass(frozen=True, slots=True, repr=False)
class DisclosuresQuery:
    """Whose disclosures are asked for, and which part of them."""

    customer: CustomerRef
    part: Slice = FIRST_PAGE


@dataclass(frozen=True, slots=True, repr=False)
class Resolving:
    """How a request ends, and where the answer lies."""

    request_id: str
    outcome: RequestOutcome
    evidence_ref: str = ""


async def get_request(
    gate: Gate, caller: Credential, context: RequestContext, request_id: str
) -> SubjectRequestReply | Refusal:
    """Return a request with what the customer wrote, which is nothing any more once the customer is erased."""
    case = open_case(gate, caller, context, Request(Action.SUBJECT_REQUEST_HANDLE))

    async def steps(case: Case) -> SubjectRequestReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        found = await _known(gate, request_id)
        text = text_of(gate, found, await gate.ledger.subject_key(found.sid))
        summary = await record(case, EntryKind.DECISION, decision, _subject(found))
        case.watch.stop()
        return SubjectRequestReply(summary, found, text)

    return await guarded(case, steps)


async def list_requests(
    gate: Gate, caller: Credential, context: RequestContext, asked: RequestsQuery
) -> SubjectRequestsReply | Refusal:
    """Return one page of requests, of one customer (under every alias) or of all; its entry names whose they are."""
    case = open_case(gate, caller, context, Request(Action.SUBJECT_REQUEST_HANDLE))

    async def steps(case: Case) -> SubjectRequestsReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        sids: tuple[str, ...] | None = None
        if asked.customer is not None:
            identity = await identity_of(gate, asked.customer, case.now)
            sids = identity.sids if identity else ()
        of = "" if sids is None else f"of {sids[0] if sids else ''}"
        query = Query("ListRequests", (of, asked.with_resolved))
        wanted = RequestFilter(sids, asked.with_resolved)
        page = await gate.rights.requests.subject_requests(wanted, opened(query, asked.part))
        named = sids if sids is not None else tuple(dict.fromkeys(each.sid for each in page.rows))
        summary = await record(case, EntryKind.DECISION, decision, Subject(named, facts=shown(page)))
        case.watch.stop()
        return SubjectRequestsReply(summary, sealed(query, page))

    return await guarded(case, steps)


async def resolve_request(
    gate: Gate, caller: Credential, context: RequestContext, asked: Resolving
) -> SubjectRequestReply | Refusal:
    """Record how a request ended. A repeat returns it as it is; another outcome than the first is refused."""
    case = open_case(gate, caller, context, Request(Action.SUBJECT_REQUEST_HANDLE))

    async def steps(case: Case) -> SubjectRequestReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        found = await _known(gate, asked.request_id)
        subject = _subject(found)
        told = {**subject.facts, "subject_request.outcome": asked.outcome.value}
        summary = await record(case, EntryKind.ADMISSION, decision, replace(subject, facts=told))
        end = RequestEnd(asked.outcome, case.now, case.asker, asked.evidence_ref)
        ended = await gate.rights.requests.resolve_request(found.id, end)
        if ended.end is not None and ended.end.outcome is not asked.outcome:
            raise RequestError(code="SUBJECT_REQUEST_RESOLVED", field="outcome")
        await record(case, EntryKind.OUTCOME, decision, replace(subject, facts=told))
        case.watch.stop()
        return SubjectRequestReply(summary, ended)

    return await guarded(case, steps)


async def list_disclosures(
    gate: Gate, caller: Credential, context: RequestContext, asked: DisclosuresQuery
) -> DisclosuresReply | Refusal:
    """Return one page of the days on which a customer's data were used, the last first; nobody who is unknown has any."""
    case = open_case(gate, caller, context, Request(Action.SUBJECT_REQUEST_HANDLE))

    async def steps(case: Case) -> DisclosuresReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        identity = await identity_of(gate, asked.customer, case.now)
        sids = identity.sids if identity else ()
        query = Query("ListDisclosures", (sids[0] if sids else "",))
        page = await gate.rights.disclosures.disclosures(sids, opened(query, asked.part))
        summary = await record(case, EntryKind.DECISION, decision, Subject(sids, facts=shown(page)))
        case.watch.stop()
        return DisclosuresReply(summary, sealed(query, page))

    return await guarded(case, steps)


async def _known(gate: Gate, request_id: str) -> SubjectRequest:
    found = await gate.rights.requests.subject_request(request_id)
    if found is None:
        raise RequestError(code="SUBJECT_REQUEST_NOT_FOUND", field="id")
    return found


def _subject(found: SubjectRequest) -> Subject:
    return Subject((found.sid,), facts={REQUEST_ID: found.id, KIND: found.kind.value})
