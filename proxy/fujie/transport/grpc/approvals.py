"""ApprovalService on the wire: which approval is meant, and how one is told."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, Protocol

from google.protobuf.duration_pb2 import Duration

from fujie.flows.reply import ApprovalPreview, ApprovalReply, ApprovalsReply, Found
from fujie.model.approval import MOST_COMMENT, Approval, Ballot, ExportTerms, id_of
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


class _Deciding(_Naming, Protocol):
    """A decision on one approval."""

    @property
    def comment(self) -> str: ...


def previewed(request: approval_v1.GetApprovalRequest) -> tuple[RequestContext, str, bool]:
    """Return the context, the id of the approval that is meant, and whether a preview is asked for."""
    return *named(request), request.with_preview


def decided(request: _Deciding) -> tuple[RequestContext, str, str]:
    """Return the context, the id of the approval that is meant, and the comment."""
    return *named(request), text.clean(request.comment, "comment", MOST_COMMENT)


def query(request: approval_v1.ListApprovalsRequest) -> tuple[RequestContext, Slice, bool, bool, bool]:
    """Return which part of the list is asked for: whether closed approvals are, whether the latest come first, and whether
    only reviews are."""
    part = pages.part(request.page_size, request.page_token)
    return (
        parse.context(request.context),
        part,
        request.with_closed,
        request.latest_first,
        request.to_review,
    )


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
        ended_comment=ending.comment if ending else "",
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
            principal=vote.principal,
            time=render.stamp(vote.time),
            counts=vote.counts,
            comment=vote.comment,
        )


def _get(reply: ApprovalReply) -> approval_v1.GetApprovalResponse:
    return approval_v1.GetApprovalResponse(
        approval=told(reply.approval, reply.at),
        decision=render.summary(reply.summary),
        preview=_preview(reply.preview) if reply.preview else None,
    )


def _preview(preview: ApprovalPreview) -> approval_v1.ApprovalPreview:
    history, found, terms = preview.history, preview.found, preview.terms
    return approval_v1.ApprovalPreview(
        steps=preview.steps,
        risk=f"RISK_GRADE_{preview.risk.grade}",
        signs=preview.risk.signs,
        history=approval_v1.RequesterHistory(
            approvals_asked=history.approvals.asked,
            approvals_used=history.approvals.used,
            approvals_rejected=history.approvals.rejected,
            exports=history.exports,
            exported_rows=history.exported_rows,
            partial=history.is_partial,
        ),
        terms=_terms(terms) if terms else None,
        found=_found(found) if found else None,
    )


def _terms(terms: ExportTerms) -> approval_v1.ExportTerms:
    return approval_v1.ExportTerms(
        filter=terms.filter,
        format=terms.format,
        max_rows=terms.max_rows,
        lease_seconds=terms.lease_seconds,
        lease_opens=terms.lease_opens,
    )


def _found(found: Found) -> approval_v1.ExportFound:
    return approval_v1.ExportFound(
        rows=found.rows,
        consents=[
            approval_v1.ConsentCount(state=state.value, rows=rows) for state, rows in found.consents.items()
        ],
        partial=found.is_partial,
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
    previewed,
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
    decided,
    lambda call, asked: call.front.flows.approve(call.front.gate, call.caller, *asked),
    _approve,
)
_REJECT = Method(
    _SERVICE,
    "Reject",
    Action.APPROVAL_DECIDE,
    approval_v1.RejectRequest,
    decided,
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
