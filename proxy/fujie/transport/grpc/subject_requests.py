"""SubjectRequestService on the wire."""

from collections.abc import Mapping
from typing import Any, Final

from fujie.flows.reply import DisclosuresReply, SubjectRequestReply, SubjectRequestsReply
from fujie.flows.subject_requests import DisclosuresQuery, RequestsQuery, Resolving
from fujie.model.request import RequestContext
from fujie.model.subject_request import (
    Disclosure,
    RequestKind,
    RequestOutcome,
    RequestState,
    SubjectRequest,
)
from fujie.model.vocabulary import Action
from fujie.transport.grpc import pages, parse, render, text
from fujie.transport.grpc.services import Method
from fujie.v1 import subject_request_service_pb2 as request_v1

_TOLD = {
    RequestOutcome.DONE: request_v1.SUBJECT_REQUEST_OUTCOME_DONE,
    RequestOutcome.REFUSED: request_v1.SUBJECT_REQUEST_OUTCOME_REFUSED,
    RequestOutcome.WITHDRAWN: request_v1.SUBJECT_REQUEST_OUTCOME_WITHDRAWN,
}
_OUTCOMES: Mapping[int, RequestOutcome] = {number: outcome for outcome, number in _TOLD.items()}
_KINDS = {
    RequestKind.COMPLAINT: request_v1.SUBJECT_REQUEST_KIND_COMPLAINT,
    RequestKind.ERASURE: request_v1.SUBJECT_REQUEST_KIND_ERASURE,
}
_STATES = {
    RequestState.OPEN: request_v1.SUBJECT_REQUEST_STATE_OPEN,
    RequestState.RESOLVED: request_v1.SUBJECT_REQUEST_STATE_RESOLVED,
}


def asked(request: request_v1.GetRequestRequest) -> tuple[RequestContext, str]:
    """Return which request is meant."""
    return parse.context(request.context), text.named(request.id, "id")


def query(request: request_v1.ListRequestsRequest) -> tuple[RequestContext, RequestsQuery]:
    """Return which requests are asked for: of all customers when none is named."""
    return parse.context(request.context), RequestsQuery(
        parse.customer(request.customer) if request.HasField("customer") else None,
        request.with_resolved,
        pages.part(request.page_size, request.page_token),
    )


def resolved(request: request_v1.ResolveRequestRequest) -> tuple[RequestContext, Resolving]:
    """Return how a request ends."""
    return parse.context(request.context), Resolving(
        text.named(request.id, "id"),
        parse.one_of(_OUTCOMES, request.outcome, "outcome"),
        text.clean(request.evidence_ref, "evidence_ref", text.FREE),
    )


def of_customer(request: request_v1.ListDisclosuresRequest) -> tuple[RequestContext, DisclosuresQuery]:
    """Return whose disclosures are asked for."""
    return parse.context(request.context), DisclosuresQuery(
        parse.customer(request.customer), pages.part(request.page_size, request.page_token)
    )


def told(given: SubjectRequest, said: str = "") -> request_v1.SubjectRequest:
    """Return one request, with what the customer wrote where that is told."""
    end = given.end
    return request_v1.SubjectRequest(
        id=given.id,
        kind=_KINDS[given.kind],
        state=_STATES[given.state],
        sid=given.sid,
        received_at=render.stamp(given.received_at),
        due_at=render.stamp(given.due_at),
        text=said,
        resolved_at=render.stamp(end.at) if end else None,
        resolved_by=end.by if end else "",
        outcome=_TOLD[end.outcome] if end else request_v1.SUBJECT_REQUEST_OUTCOME_UNSPECIFIED,
        evidence_ref=end.evidence_ref if end else "",
    )


def disclosed(given: Disclosure) -> request_v1.Disclosure:
    """Return what happened on one day."""
    return request_v1.Disclosure(
        day=given.day.isoformat(), action=given.action, purpose=given.purpose, count=given.count
    )


def _get(reply: SubjectRequestReply) -> request_v1.GetRequestResponse:
    return request_v1.GetRequestResponse(
        request=told(reply.request, reply.text), decision=render.summary(reply.summary)
    )


def _list(reply: SubjectRequestsReply) -> request_v1.ListRequestsResponse:
    return request_v1.ListRequestsResponse(
        requests=map(told, reply.page.rows),
        next_page_token=reply.page.next,
        decision=render.summary(reply.summary),
    )


def _resolve(reply: SubjectRequestReply) -> request_v1.ResolveRequestResponse:
    return request_v1.ResolveRequestResponse(
        request=told(reply.request), decision=render.summary(reply.summary)
    )


def _disclosures(reply: DisclosuresReply) -> request_v1.ListDisclosuresResponse:
    return request_v1.ListDisclosuresResponse(
        disclosures=map(disclosed, reply.page.rows),
        next_page_token=reply.page.next,
        decision=render.summary(reply.summary),
    )


_SERVICE = "fujie.v1.SubjectRequestService"
_GET = Method(
    _SERVICE,
    "GetRequest",
    Action.SUBJECT_REQUEST_HANDLE,
    request_v1.GetRequestRequest,
    asked,
    lambda call, asked: call.front.flows.get_request(call.front.gate, call.caller, *asked),
    _get,
)
_LIST = Method(
    _SERVICE,
    "ListRequests",
    Action.SUBJECT_REQUEST_HANDLE,
    request_v1.ListRequestsRequest,
    query,
    lambda call, asked: call.front.flows.list_requests(call.front.gate, call.caller, *asked),
    _list,
)
_RESOLVE = Method(
    _SERVICE,
    "ResolveRequest",
    Action.SUBJECT_REQUEST_HANDLE,
    request_v1.ResolveRequestRequest,
    resolved,
    lambda call, asked: call.front.flows.resolve_request(call.front.gate, call.caller, *asked),
    _resolve,
)
_LIST_DISCLOSURES = Method(
    _SERVICE,
    "ListDisclosures",
    Action.SUBJECT_REQUEST_HANDLE,
    request_v1.ListDisclosuresRequest,
    of_customer,
    lambda call, asked: call.front.flows.list_disclosures(call.front.gate, call.caller, *asked),
    _disclosures,
)

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (_GET, _LIST, _RESOLVE, _LIST_DISCLOSURES)
"""The rows of this module."""
