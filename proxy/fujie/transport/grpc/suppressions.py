"""Opt-outs on the wire: what a request says of one, and how one is told."""

from typing import Any, Final

from fujie.flows.consent import NOW
from fujie.flows.reply import SuppressionReply, SuppressionsReply
from fujie.flows.suppression import OptOut, SuppressionQuery
from fujie.model.errors import RequestError
from fujie.model.notice import CHANNELS as CONSENT_CHANNELS
from fujie.model.request import RequestContext
from fujie.model.suppression import CONFIRMATION_METHODS, Confirmation, Suppression, SuppressionScope
from fujie.model.vocabulary import ANY_CHANNEL, Action
from fujie.transport.grpc import pages, parse, render, text
from fujie.transport.grpc.services import UNTIL_SETTLED_S, Method
from fujie.v1 import consent_service_pb2 as consent_v1

CHANNELS: Final = CONSENT_CHANNELS - {ANY_CHANNEL}
"""An opt-out from every channel names none."""

SOURCES: Final = frozenset({"opt_out_message", "link", "call", "complaint", "regulator", "import", "agent"})
"""Where an opt-out came from. `split` is ours alone."""

_LACKING: Final = "SUPPRESSION_CONFIRMATION_MISSING"


def added(request: consent_v1.AddSuppressionRequest) -> tuple[RequestContext, OptOut]:
    """Return the opt-out to record; an absent scope closes everything, an absent time means now."""
    scope = request.scope
    if request.source and request.source not in SOURCES:
        raise RequestError("not a source", field="source")
    return parse.context(request.context), OptOut(
        parse.customer(request.customer),
        SuppressionScope(
            text.clean(scope.purpose, "scope.purpose", text.NAME),
            _channel(scope.channel, "scope.channel"),
            text.named(scope.brand, "scope.brand") if scope.brand else "",
        ),
        text.moment(request.event_time, "event_time") if request.HasField("event_time") else NOW,
        request.source,
        text.clean(request.evidence_ref, "evidence_ref", text.FREE),
    )


def removed(request: consent_v1.RemoveSuppressionRequest) -> tuple[RequestContext, str, Confirmation]:
    """Return which opt-out is lifted, and the customer's act that does it.

    Raises:
        RequestError: SUPPRESSION_CONFIRMATION_MISSING without a method of the closed list, evidence and time.

    """
    given = request.confirmation
    if given.method not in CONFIRMATION_METHODS:
        raise RequestError("not a method", code=_LACKING, field="confirmation.method")
    evidence_ref = text.clean(given.evidence_ref, "confirmation.evidence_ref", text.FREE)
    if not evidence_ref.strip():
        raise RequestError("where the evidence lies", code=_LACKING, field="confirmation.evidence_ref")
    if not given.HasField("event_time"):
        raise RequestError("when the customer acted", code=_LACKING, field="confirmation.event_time")
    when = text.moment(given.event_time, "confirmation.event_time")
    return (
        parse.context(request.context),
        text.named(request.suppression_id, "suppression_id"),
        Confirmation(given.method, evidence_ref, when),
    )


def query(request: consent_v1.ListSuppressionsRequest) -> tuple[RequestContext, SuppressionQuery]:
    """Return which opt-outs are asked for: of all customers when none is named."""
    return parse.context(request.context), SuppressionQuery(
        parse.customer(request.customer) if request.HasField("customer") else None,
        text.clean(request.purpose, "purpose", text.NAME),
        _channel(request.channel, "channel"),
        request.with_lifted,
        pages.part(request.page_size, request.page_token),
    )


def told(given: Suppression) -> consent_v1.Suppression:
    """Return one opt-out."""
    lifted = given.lifted
    return consent_v1.Suppression(
        suppression_id=given.suppression_id,
        scope=consent_v1.SuppressionScope(
            purpose=given.scope.purpose, channel=given.scope.channel, brand=given.scope.brand
        ),
        event_time=render.stamp(given.event_time),
        received_at=render.stamp(given.received_at),
        source=given.source,
        evidence_ref=given.evidence_ref,
        actor=given.actor,
        sid=given.sid,
        lifted=consent_v1.Confirmation(
            method=lifted.method,
            evidence_ref=lifted.evidence_ref,
            event_time=render.stamp(lifted.event_time),
        )
        if lifted
        else None,
        lifted_at=render.stamp(given.lifted_at) if given.lifted_at else None,
    )


def _add(reply: SuppressionReply) -> consent_v1.AddSuppressionResponse:
    return consent_v1.AddSuppressionResponse(
        suppression=told(reply.suppression), decision=render.summary(reply.summary)
    )


def _remove(reply: SuppressionReply) -> consent_v1.RemoveSuppressionResponse:
    return consent_v1.RemoveSuppressionResponse(
        suppression=told(reply.suppression), decision=render.summary(reply.summary)
    )


def _list(reply: SuppressionsReply) -> consent_v1.ListSuppressionsResponse:
    return consent_v1.ListSuppressionsResponse(
        suppressions=map(told, reply.page.rows),
        next_page_token=reply.page.next,
        decision=render.summary(reply.summary),
    )


def _channel(value: str, field: str) -> str:
    if value and value not in CHANNELS:
        raise RequestError("not a channel; none means all", field=field)
    return value


_SERVICE = "fujie.v1.ConsentService"
_ADD = Method(
    _SERVICE,
    "AddSuppression",
    Action.SUPPRESSION_ADD,
    consent_v1.AddSuppressionRequest,
    added,
    lambda call, asked: call.front.flows.add_suppression(call.front.gate, call.caller, *asked),
    _add,
    UNTIL_SETTLED_S,
)
_REMOVE = Method(
    _SERVICE,
    "RemoveSuppression",
    Action.SUPPRESSION_REMOVE,
    consent_v1.RemoveSuppressionRequest,
    removed,
    lambda call, asked: call.front.flows.remove_suppression(call.front.gate, call.caller, *asked),
    _remove,
)
_LIST = Method(
    _SERVICE,
    "ListSuppressions",
    Action.SUPPRESSION_READ,
    consent_v1.ListSuppressionsRequest,
    query,
    lambda call, asked: call.front.flows.list_suppressions(call.front.gate, call.caller, *asked),
    _list,
)

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (_ADD, _REMOVE, _LIST)
"""The rows of this module."""
