"""The approvals inbox: what waits for somebody's word, one of it with what it would release, and what was decided.

    GET  /console                     what waits         GET  /console/history   what was, the latest first
    GET  /console/approvals/<id>      one of it          POST /console/approvals/<id>   yes or no, with a comment

Every page and every word goes through `flows/approvals.py`, like a call: grants, roles, evidence, and that nobody
agrees to what he asked for himself.
"""

import re
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from fujie.flows.approvals import approve, get_approval, list_approvals, reject
from fujie.flows.console import Session, form_of, is_form_of
from fujie.flows.reply import ApprovalPreview, Refusal
from fujie.model.approval import MOST_COMMENT, WAITING, Approval, ApprovalState
from fujie.model.errors import RequestError
from fujie.model.page import Slice
from fujie.model.reason import LocalizedText
from fujie.model.request import RequestContext
from fujie.transport.http.console import MOST_FORM, Console, failed, rendered, to
from fujie.transport.http.public import form_in

_ID = re.compile("[0-9a-f]{32}")
_NOTHING = RequestContext()
_PART = Slice(size=50)
_FIRST = frozenset({ApprovalState.PENDING, ApprovalState.IN_REVIEW})


class Inbox:
    """The pages of approvals."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._gate = console.gate

    def routes(self) -> list[Route]:
        """Return the routes of the inbox."""
        of = self._console.for_people
        return [
            of("", "GET", self._waiting),
            of("/history", "GET", self._history),
            of("/approvals/{id}", "GET", self._show),
            of("/approvals/{id}", "POST", self._decide),
        ]

    async def _waiting(self, request: Request, session: Session) -> Response:
        return await self._list(request, session, is_history=False)

    async def _history(self, request: Request, session: Session) -> Response:
        return await self._list(request, session, is_history=True)

    async def _list(self, request: Request, session: Session, *, is_history: bool) -> Response:
        part = replace(_PART, after=request.query_params.get("page", ""))
        reply = await list_approvals(self._gate, session.credential, _NOTHING, part, is_history, is_history)
        if isinstance(reply, Refusal):
            return self._console.refused(request, reply)
        rows = list(reply.page.rows)
        if not is_history:  # what needs a word comes first
            rows.sort(key=lambda each: each.state(reply.at) not in _FIRST)
        return rendered(
            request,
            "console_list.html",
            200,
            rows=rows,
            next_page=reply.page.next,
            is_history=is_history,
            at=reply.at,
            **self._said(request, session),
        )

    async def _show(self, request: Request, session: Session) -> Response:
        approval_id = request.path_params["id"]
        if not _ID.fullmatch(approval_id):
            return failed(request, 404)
        reply = await get_approval(self._gate, session.credential, _NOTHING, approval_id, with_preview=True)
        if isinstance(reply, Refusal):
            return self._console.refused(request, reply)
        approval, state = reply.approval, reply.approval.state(reply.at)
        done = request.query_params.get("done", "")
        return rendered(
            request,
            "console_approval.html",
            200,
            approval=approval,
            state=state.value,
            preview=reply.preview,
            steps=_steps(approval, reply.preview),
            may_decide=reply.preview is not None and state in WAITING,
            is_review=approval.review_by is not None,
            is_overdue=state is ApprovalState.IN_REVIEW and reply.at >= approval.expires_at,
            has_agreed=session.credential.subject in approval.voters,
            done=done if done in ("approve", "reject") else "",
            form=form_of(self._gate, session, approval.id),
            most=MOST_COMMENT,
            **self._said(request, session),
        )

    async def _decide(self, request: Request, session: Session) -> Response:
        approval_id, form = request.path_params["id"], await form_in(request, MOST_FORM)
        if not is_form_of(self._gate, session, approval_id, form.get("form", "")):
            return failed(request, 400)
        comment, act = form.get("comment", ""), form.get("act", "")
        if len(comment) > MOST_COMMENT or act not in ("approve", "reject"):
            raise RequestError("yes or no is meant, with a short comment", field="act")
        decide = approve if act == "approve" else reject
        reply = await decide(self._gate, session.credential, _NOTHING, approval_id, comment)
        if isinstance(reply, Refusal):
            return self._console.refused(request, reply)
        return to(f"/console/approvals/{approval_id}", request, done=act)

    def _said(self, request: Request, session: Session) -> dict[str, object]:
        """Return what every page of the inbox says."""
        return {
            "who": session.credential.subject,
            "when": self._console.when(request),
            "label_of": self._label,
            "zone": self._gate.zone,
        }

    def _label(self, purpose_id: str) -> LocalizedText:
        purpose = self._gate.policies.current.bundle.purposes.get(purpose_id)
        return purpose.label if purpose else LocalizedText(purpose_id, purpose_id)


def _steps(approval: Approval, preview: ApprovalPreview | None) -> list[tuple[str, str]]:
    """Return the fields that are asked for, each with its most open step, where that may be told."""
    steps = preview.steps if preview else {}
    return [(name, steps.get(name, "")) for name in approval.fields]
