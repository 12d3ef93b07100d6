"""Approvals, by those who decide on them: read, agree, reject, revoke.

Who sees one: the principal that asked for it, and whoever holds one of the roles that may decide on a part of it; for
everybody else, administrators too, there is none. Nobody decides on a request that he had a hand in.

That an approval is the asker's own is a fact before anything is decided (`request.is_own`): a grant that reads it lets everybody
see and take back what he asked for, and nothing of anybody else.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from fujie.audit.entry import EntryKind
from fujie.flows.agreement import as_they_stand
from fujie.flows.approval_preview import preview_of
from fujie.flows.evidence import APPROVAL_ID, Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.pages import Query, opened, sealed, shown
from fujie.flows.refuse import could, guarded, permitted_to, refused, standing
from fujie.flows.reply import ApprovalReply, ApprovalsReply, Refusal
from fujie.model.approval import MOST_COMMENT, OPEN, Approval, ApprovalFilter, ApprovalState, Ending
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.facts import OWN, Known
from fujie.model.page import Page, Slice
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect

_Act = Callable[[Case, Approval, frozenset[str]], Awaitable[Approval]]
"""What is done to an approval by the asker, who has these roles."""


async def get_approval(
    gate: Gate,
    caller: Credential,
    context: RequestContext,
    approval_id: str,
    with_preview: bool = False,  # noqa: FBT001 - as it stands in the request
) -> ApprovalReply | Refusal:
    """Return an approval as it stands now: votes of people who lost their role are shown, and do not count.

    With a preview of what it would release, where it is asked for by somebody who may decide on it: who only asked would
    learn from it before anybody agreed.
    """
    case = open_case(gate, caller, context, Request(Action.APPROVAL_READ))

    async def steps(case: Case) -> ApprovalReply | Refusal:
        case, decision = await _permitted(case, approval_id)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        approval, roles = await _visible(case, approval_id)
        (as_of_now,) = await as_they_stand(gate, [approval])
        decides = case.asker not in approval.parties and not roles.isdisjoint(approval.roles)
        preview = await preview_of(case, as_of_now) if with_preview and decides else None
        facts: dict[str, Known] = {APPROVAL_ID: approval.id}
        if preview is not None:
            facts["approval.previewed"] = True
        summary = await record(case, EntryKind.DECISION, decision, Subject(facts=facts))
        case.watch.stop()
        return ApprovalReply(summary, as_of_now, case.now, preview)

    return await guarded(case, steps)


async def list_approvals(
    gate: Gate,
    caller: Credential,
    context: RequestContext,
    part: Slice,
    with_closed: bool,  # noqa: FBT001 - as it stands in the request
    latest_first: bool = False,  # noqa: FBT001 - the same
    to_review: bool = False,  # noqa: FBT001 - the same
) -> ApprovalsReply | Refusal:
    """Return one page of the approvals that the asker sees; its entry says how many there were. Who may only see his own
    gets these alone, whatever his roles may decide on."""
    case = open_case(gate, caller, context, Request(Action.APPROVAL_READ))

    async def steps(case: Case) -> ApprovalsReply | Refusal:
        principal = await standing(case)
        if isinstance(principal, Decision):
            return await refused(case, principal)
        sees_all = could(case, principal, case.request)
        case = case if sees_all else _as_own(case)
        decision = permitted_to(case, principal)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        roles = await _roles(case) if sees_all else frozenset[str]()
        query = Query("ListApprovals", (with_closed, latest_first, to_review))
        asked = ApprovalFilter(case.asker, roles, case.now, with_closed, latest_first, to_review)
        page = await gate.ledger.approval_page(asked, opened(query, part))
        as_of_now = Page(tuple(await as_they_stand(gate, page.rows)), page.next)
        summary = await record(case, EntryKind.DECISION, decision, Subject(facts=shown(page)))
        case.watch.stop()
        return ApprovalsReply(summary, sealed(query, as_of_now), case.now)

    return await guarded(case, steps)


async def approve(
    gate: Gate, caller: Credential, context: RequestContext, approval_id: str, comment: str = ""
) -> ApprovalReply | Refusal:
    """Agree, on every part that a role of the asker may decide. A repeat changes nothing, its comment neither. Of what went
    ahead before anybody agreed: end its review, with a comment."""
    said = _said(comment)

    async def vote(case: Case, approval: Approval, roles: frozenset[str]) -> Approval:
        if approval.review_by is not None:
            return await _ending(ApprovalState.REVIEWED, said)(case, approval, roles)
        voted = await gate.ledger.vote(approval.id, case.asker, roles, case.now, said)
        if voted.state(case.now) not in OPEN:
            raise RequestError(code="APPROVAL_CLOSED", field="name")
        return voted

    return await _act(gate, caller, context, (approval_id, "approve"), vote)


async def reject(
    gate: Gate, caller: Credential, context: RequestContext, approval_id: str, comment: str = ""
) -> ApprovalReply | Refusal:
    """Say no, for good. One no is enough, also after others agreed, as long as it was not used. Of what went ahead before
    anybody agreed: that it should not have, with a comment."""
    end = _ending(ApprovalState.REJECTED, _said(comment))
    return await _act(gate, caller, context, (approval_id, "reject"), end)


async def revoke_approval(
    gate: Gate, caller: Credential, context: RequestContext, approval_id: str
) -> ApprovalReply | Refusal:
    """Take an approval back that was not used yet: whoever may decide on it, and the requester too."""
    return await _act(gate, caller, context, (approval_id, "revoke"), _ending(ApprovalState.REVOKED))


async def _act(
    gate: Gate, caller: Credential, context: RequestContext, what: tuple[str, str], act: _Act
) -> ApprovalReply | Refusal:
    """Do something to an open approval, with an admission before and an outcome after it."""
    case = open_case(gate, caller, context, Request(Action.APPROVAL_DECIDE))
    approval_id, verb = what

    async def steps(case: Case) -> ApprovalReply | Refusal:
        case, decision = await _permitted(case, approval_id)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        approval, roles = await _visible(case, approval_id)
        if verb != "revoke" and case.asker in approval.parties:
            raise RequestError(code="SELF_APPROVAL", field="name")
        if verb == "revoke" and approval.review_by is not None:  # what was done can not be taken back
            raise RequestError(code="APPROVAL_CLOSED", field="name")
        facts = {APPROVAL_ID: approval.id, "approval.act": verb, "target.principal": approval.requester}
        summary = await record(case, EntryKind.ADMISSION, decision, Subject(facts=facts))
        (after,) = await as_they_stand(gate, [await act(case, approval, roles)])
        outcome = Subject(facts={**facts, "approval.state": after.state(case.now).value})
        await record(case, EntryKind.OUTCOME, decision, outcome)
        case.watch.stop()
        return ApprovalReply(summary, after, case.now)

    return await guarded(case, steps)


def _said(comment: str) -> str:
    """Return a comment as one line of at most MOST_COMMENT characters, without any that can not be seen."""
    seen = "".join(each if each.isprintable() else " " for each in comment[:MOST_COMMENT])
    return " ".join(seen.split())


def _ending(state: ApprovalState, comment: str = "") -> _Act:
    async def end(case: Case, approval: Approval, _roles: frozenset[str]) -> Approval:
        if approval.review_by is not None and not comment:
            raise RequestError("say what the review came to", field="comment")
        ending = Ending(state, case.asker, case.now, case.decision_id, comment)
        ended = await case.gate.ledger.end_approval(approval.id, ending)
        if ended.state(case.now) is not state:  # it ended in another way, or expired
            raise RequestError(code="APPROVAL_CLOSED", field="name")
        return ended

    return end


async def _permitted(case: Case, approval_id: str) -> tuple[Case, Decision]:
    """Decide, knowing whether the approval is the asker's own. Where no grant for him reads that, the ledger is not asked."""
    principal = await standing(case)
    if isinstance(principal, Decision):
        return case, principal
    if OWN in case.decider.plan(case.request, principal.roles).reads:
        approval = await case.gate.ledger.approval(approval_id)
        if approval is not None and approval.requester == case.asker:
            case = _as_own(case)
    return case, permitted_to(case, principal)


def _as_own(case: Case) -> Case:
    return replace(case, request=replace(case.request, is_own=True))


async def _visible(case: Case, approval_id: str) -> tuple[Approval, frozenset[str]]:
    """Return the approval and the asker's roles.

    Raises:
        RequestError: APPROVAL_NOT_FOUND, alike for what is not there and for what is not his.

    """
    roles = await _roles(case)
    approval = await case.gate.ledger.approval(approval_id)
    if approval is None or (case.asker != approval.requester and roles.isdisjoint(approval.roles)):
        raise RequestError(code="APPROVAL_NOT_FOUND", field="name")
    return approval, roles


async def _roles(case: Case) -> frozenset[str]:
    """Return the roles that the directory gives the asker: a bootstrap administrator has none in it, and decides nothing."""
    principal = await case.gate.directory.get(case.asker)
    return principal.roles if principal is not None else frozenset()
