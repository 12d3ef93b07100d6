"""ApprovalService on the wire: which approval is meant, and how one is told."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, Protocol

from google.protobuf.duration_pb2 import Duration

from fujie.flows.reply import ApprovalReply, ApprovalsReply
from fujie.model.approval import Approval, Ballot, id_of
from fujie.model.errors import RequestError
from fujie.model.page import Slice
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Action
from fujie.transport.grpc import pages, parse, render, text
from fujie.transport.grpc.services import Method
from fujie.v1 import approval_service_pb2 as approval_v1
from fujie.v1 import types_pb2 as types_v1


class _Naming(Protocol):
    """A request about one approval."""

    @property
    def name(self) -> str: ...

    @property
    def context(self) -> types_v1.RequestContext: ...


def named(request: _Naming) -> tuple[RequestContext, str]:
    """Return the context, and the id of the approval that is meant."""
    approval_id = id_of(text.named(request.name, "name"))
    if not approval_id:
        raise RequestError("approvals/ and 32 lower-case hex digits", field="name")
    return parse.context(request.context), approval_id


def query(request: approval_v1.ListApprovalsRequest) -> tuple[RequestContext, Slice, bool]:
    """Return which part of the list is asked for, and whether closed approvals are."""
    part = pages.part(request.page_size, request.page_token)
    return parse.context(request.context), part, request.with_closed


def told(approval: Approval, at: datetime) -> approval_v1.Approval:
    """Return one approval as it stands at that moment."""
    ending = approval.ending
    return approval_v1.Approval(
        name=approval.name,
        state=f"APPROVAL_STATE_{approval.state(at)}",
        requester=approval.requester,
        action=approval.action,
        purpose=approval.purpose,
        basis=approval.basis,
        store=approval.store,
        fields=approval.fields,
        rows=approval.rows,
        requirements=map(_requirement, approval.ballots),
        created_at=render.stamp(approval.created_at),
        expires_at=render.stamp(approval.expires_at),
        ended_by=ending.principal if ending else "",
        ended_at=render.stamp(ending.time) if ending else None,
    )


def _requirement(ballot: Ballot) -> approval_v1.ApprovalRequirement:
    requirement = ballot.requirement
    return approval_v1.ApprovalRequirement(
        guard=requirement.guard,
        validation=requirement.validation,
        roles=requirement.roles,
        count=requirement.count,
        valid_for=Duration(seconds=int(requirement.valid_for.total_seconds())),
        votes=_votes(ballot),
    )


def _votes(ballot: Ballot) -> Iterator[approval_v1.ApprovalVote]:
    for vote in ballot.votes:
        yield approval_v1.ApprovalVote(
            principal=vote.principal, time=render.stamp(vote.time), counts=vote.counts
        )


def _get(reply: ApprovalReply) -> approval_v1.GetApprovalResponse:
    return approval_v1.GetApprovalResponse(
        approval=told(reply.approval, reply.at), decision=render.summary(reply.summary)
    )


def _list(reply: ApprovalsReply) -> approval_v1.ListApprovalsResponse:
    return approval_v1.ListApprovalsResponse(
        approvals=[told(approval, reply.at) for approval in reply.page.rows],
        next_page_token=reply.page.next,
        decision=render.summary(reply.summary),
    )


def _approve(reply: ApprovalReply) -> approval_v1.ApproveResponse:
    return approval_v1.ApproveResponse(
        approval=told(reply.approval, reply.at), decision=render.summary(reply.summary)
    )


def _reject(reply: ApprovalReply) -> approval_v1.RejectResponse:
    return approval_v1.RejectResponse(
        approval=told(reply.approval, reply.at), decision=render.summary(reply.summary)
    )


def _revoke(reply: ApprovalReply) -> approval_v1.RevokeApprovalResponse:
    return approval_v1.RevokeApprovalResponse(
        approval=told(reply.approval, reply.at), decision=render.summary(reply.summary)
    )


_SERVICE = "fujie.v1.ApprovalService"
_GET = Method(
    _SERVICE,
    "GetApproval",
    Action.APPROVAL_READ,
    approval_v1.GetApprovalRequest,
    named,
    lambda call, asked: call.front.flows.get_approval(call.front.gate, call.caller, *asked),
    _get,
)
_LIST = Method(
    _SERVICE,
    "ListApprovals",
    Action.APPROVAL_READ,
    approval_v1.ListApprovalsRequest,
    query,
    lambda call, asked: call.front.flows.list_approvals(call.front.gate, call.caller, *asked),
    _list,
)
_APPROVE = Method(
    _SERVICE,
    "Approve",
    Action.APPROVAL_DECIDE,
    approval_v1.ApproveRequest,
    named,
    lambda call, asked: call.front.flows.approve(call.front.gate, call.caller, *asked),
    _approve,
)
_REJECT = Method(
    _SERVICE,
    "Reject",
    Action.APPROVAL_DECIDE,
    approval_v1.RejectRequest,
    named,
    lambda call, asked: call.front.flows.reject(call.front.gate, call.caller, *asked),
    _reject,
)
_REVOKE = Method(
    _SERVICE,
    "RevokeApproval",
    Action.APPROVAL_DECIDE,
    approval_v1.RevokeApprovalRequest,
    named,
    lambda call, asked: call.front.flows.revoke_approval(call.front.gate, call.caller, *asked),
    _revoke,
)

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (_GET, _LIST, _APPROVE, _REJECT, _REVOKE)
"""The rows of this module."""
