"""Customers' replies that wait for a person, on the wire: methods of SubjectRequestService."""

from typing import Any, Final

from fujie.flows.reply_queue import HeardRepliesReply, HeardReply, Marking, RepliesQuery, ReplyQuery
from fujie.model.message import ReplyOutcome
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Action
from fujie.ports.messaging import KeptReply
from fujie.transport.grpc import pages, parse, render, text
from fujie.transport.grpc.messages import id_in
from fujie.transport.grpc.services import Method
from fujie.v1 import subject_request_service_pb2 as request_v1

_TOLD = {
    ReplyOutcome.NONE: request_v1.REPLY_OUTCOME_NONE,
    ReplyOutcome.OPT_OUT_ADDED: request_v1.REPLY_OUTCOME_OPT_OUT_ADDED,
    ReplyOutcome.COMPLAINT_OPENED: request_v1.REPLY_OUTCOME_COMPLAINT_OPENED,
}
_OUTCOMES: dict[int, ReplyOutcome] = {number: outcome for outcome, number in _TOLD.items()}
_COLLECTION = "replies"


def query(request: request_v1.ListRepliesRequest) -> tuple[RequestContext, RepliesQuery]:
    """Return which replies are asked for."""
    return parse.context(request.context), RepliesQuery(
        request.with_reviewed,
        text.moment(request.since, "since") if request.HasField("since") else None,
        pages.part(request.page_size, request.page_token),
    )


def asked(request: request_v1.GetReplyRequest) -> tuple[RequestContext, ReplyQuery]:
    """Return which reply is meant."""
    return parse.context(request.context), ReplyQuery(id_in(request.name, _COLLECTION), request.whole)


def marking(request: request_v1.MarkReplyRequest) -> tuple[RequestContext, Marking]:
    """Return what came of which reply."""
    return parse.context(request.context), Marking(
        id_in(request.name, _COLLECTION), parse.one_of(_OUTCOMES, request.outcome, "outcome")
    )


def told(given: KeptReply, said: str = "") -> request_v1.CustomerReply:
    """Return one reply, with what the customer wrote where that is told."""
    return request_v1.CustomerReply(
        name=f"{_COLLECTION}/{given.reply_id}",
        provider=given.provider,
        sid=given.sid,
        received_at=render.stamp(given.received_at),
        text=said,
        reviewed_at=render.stamp(given.reviewed_at) if given.reviewed_at else None,
        reviewed_by=given.reviewed_by,
        outcome=_TOLD[given.outcome] if given.outcome else request_v1.REPLY_OUTCOME_UNSPECIFIED,
    )


def _list(reply: HeardRepliesReply) -> request_v1.ListRepliesResponse:
    return request_v1.ListRepliesResponse(
        replies=map(told, reply.page.rows),
        next_page_token=reply.page.next,
        decision=render.summary(reply.summary),
    )


def _get(reply: HeardReply) -> request_v1.GetReplyResponse:
    return request_v1.GetReplyResponse(
        reply=told(reply.reply, reply.text), decision=render.summary(reply.summary)
    )


def _mark(reply: HeardReply) -> request_v1.MarkReplyResponse:
    return request_v1.MarkReplyResponse(reply=told(reply.reply), decision=render.summary(reply.summary))


_SERVICE = "fujie.v1.SubjectRequestService"
_LIST = Method(
    _SERVICE,
    "ListReplies",
    Action.SUBJECT_REQUEST_HANDLE,
    request_v1.ListRepliesRequest,
    query,
    lambda call, asked: call.front.flows.list_replies(call.front.gate, call.caller, *asked),
    _list,
)
_GET = Method(
    _SERVICE,
    "GetReply",
    Action.SUBJECT_REQUEST_HANDLE,
    request_v1.GetReplyRequest,
    asked,
    lambda call, asked: call.front.flows.get_reply(call.front.gate, call.caller, *asked),
    _get,
)
_MARK = Method(
    _SERVICE,
    "MarkReply",
    Action.SUBJECT_REQUEST_HANDLE,
    request_v1.MarkReplyRequest,
    marking,
    lambda call, asked: call.front.flows.mark_reply(call.front.gate, call.caller, *asked),
    _mark,
)

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (_LIST, _GET, _MARK)
"""The rows of this module."""
