"""ListConsentEvents, ListExpiringConsents and ListPrincipals on the wire."""

from typing import Any, Final

from fujie.flows.consent_ends import EndingReply, EndsQuery
from fujie.flows.consent_events import EventsQuery
from fujie.flows.reply import ConsentEventsReply, PrincipalsReply
from fujie.model.errors import RequestError
from fujie.model.page import Slice
from fujie.model.principal import PrincipalFilter
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Action
from fujie.transport.grpc import pages, parse, render, text
from fujie.transport.grpc.services import Method
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import types_pb2 as types_v1


def events_query(request: consent_v1.ListConsentEventsRequest) -> tuple[RequestContext, EventsQuery]:
    """Return whose events are asked for; an empty purpose means every one."""
    return parse.context(request.context), EventsQuery(
        parse.customer(request.customer),
        text.clean(request.purpose, "purpose", text.NAME),
        pages.part(request.page_size, request.page_token),
    )


def events(reply: ConsentEventsReply) -> consent_v1.ListConsentEventsResponse:
    """Return one page of events."""
    return consent_v1.ListConsentEventsResponse(
        events=map(render.event, reply.page.rows),
        next_page_token=reply.page.next,
        decision=render.summary(reply.summary),
    )


MOST_DAYS: Final = 366


def ends_query(
    request: consent_v1.ListExpiringConsentsRequest,
) -> tuple[RequestContext, EndsQuery]:
    """Return which consents that end soon are asked for."""
    if not 1 <= request.within_days <= MOST_DAYS:
        raise RequestError(f"1 to {MOST_DAYS}", field="within_days")
    return parse.context(request.context), EndsQuery(
        text.named(request.purpose, "purpose"),
        request.within_days,
        parse.channel_of(request.channel, "channel"),
        text.clean(request.store, "store", text.NAME),
        pages.part(request.page_size, request.page_token),
    )


def ends(reply: EndingReply) -> consent_v1.ListExpiringConsentsResponse:
    """Return one page of consents that end soon."""
    return consent_v1.ListExpiringConsentsResponse(
        consents=[
            consent_v1.ExpiringConsent(
                store_key=types_v1.StoreKey(store=each.key.store, customer_id=each.key.customer_id),
                valid_until=render.stamp(each.at),
            )
            for each in reply.rows
        ],
        count=reply.count,
        next_page_token=reply.next,
        decision=render.summary(reply.summary),
    )


def principals_query(
    request: directory_v1.ListPrincipalsRequest,
) -> tuple[RequestContext, PrincipalFilter, Slice]:
    """Return which principals are asked for; what is empty or unspecified does not narrow."""
    employment, kind = request.employment, request.kind
    asked = PrincipalFilter(
        text.clean(request.role, "role", text.NAME),
        text.clean(request.department, "department", text.NAME),
        parse.one_of(parse.EMPLOYMENT, employment, "employment") if employment else None,
        parse.one_of(parse.KINDS, kind, "kind") if kind else None,
    )
    return parse.context(request.context), asked, pages.part(request.page_size, request.page_token)


def principals(reply: PrincipalsReply) -> directory_v1.ListPrincipalsResponse:
    """Return one page of principals."""
    return directory_v1.ListPrincipalsResponse(
        principals=map(render.directory_record, reply.page.rows),
        next_page_token=reply.page.next,
        decision=render.summary(reply.summary),
    )


_LIST_EVENTS = Method(
    "fujie.v1.ConsentService",
    "ListConsentEvents",
    Action.CONSENT_READ,
    consent_v1.ListConsentEventsRequest,
    events_query,
    lambda call, asked: call.front.flows.list_consent_events(call.front.gate, call.caller, *asked),
    events,
)
_LIST_ENDS = Method(
    "fujie.v1.ConsentService",
    "ListExpiringConsents",
    Action.CONSENT_READ,
    consent_v1.ListExpiringConsentsRequest,
    ends_query,
    lambda call, asked: call.front.flows.list_expiring_consents(call.front.gate, call.caller, *asked),
    ends,
)
_LIST_PRINCIPALS = Method(
    "fujie.v1.DirectoryService",
    "ListPrincipals",
    Action.PRINCIPAL_READ,
    directory_v1.ListPrincipalsRequest,
    principals_query,
    lambda call, asked: call.front.flows.list_principals(call.front.gate, call.caller, *asked),
    principals,
)

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (_LIST_EVENTS, _LIST_ENDS, _LIST_PRINCIPALS)
"""The rows of this module."""
