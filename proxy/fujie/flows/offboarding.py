"""Suspension, reinstatement, the hand-over of customers, and the checklist of an offboarding."""

from dataclasses import dataclass
from datetime import datetime

from fujie.audit.entry import EntryKind
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.leaving import WIPE, open_approvals, order_id, stop_campaigns
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import ChecklistReply, PrincipalReply, Refusal, TransferReply
from fujie.flows.settlement import until_settled
from fujie.model.approval import ApprovalState, Ending
from fujie.model.campaign import CampaignState
from fujie.model.errors import RequestError
from fujie.model.export import Export, ExportFilter, ExportState
from fujie.model.facts import Known
from fujie.model.notification import Notification
from fujie.model.offboarding import Checklist, Item, ItemKind, ItemState
from fujie.model.page import Slice
from fujie.model.principal import Credential, Principal
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect, State

TRANSFER = "customers.transfer"
"""The kind of the order to hand customers over."""

_PAGE = 500


@dataclass(frozen=True, slots=True)
class Transfer:
    """From whom to whom."""

    from_id: str
    to_id: str


async def suspend_principal(
    gate: Gate, caller: Credential, context: RequestContext, principal_id: str
) -> PrincipalReply | Refusal:
    """Let somebody do nothing until he is reinstated; his roles stay. His campaigns are paused, his files stay shut meanwhile."""
    return await _employed(gate, caller, context, (principal_id, State.SUSPENDED))


async def reinstate_principal(
    gate: Gate, caller: Credential, context: RequestContext, principal_id: str
) -> PrincipalReply | Refusal:
    """End a suspension, and call off an offboarding that is not due yet. Nobody reinstates himself (promise 11)."""
    return await _employed(gate, caller, context, (principal_id, State.ACTIVE))


async def _employed(
    gate: Gate, caller: Credential, context: RequestContext, whom: tuple[str, State]
) -> PrincipalReply | Refusal:
    principal_id, employment = whom
    opens = employment is State.ACTIVE
    action = Action.PRINCIPAL_WRITE if opens else Action.PRINCIPAL_OFFBOARD
    case = open_case(gate, caller, context, Request(action))

    async def steps(case: Case) -> PrincipalReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        if opens and principal_id == case.asker:
            raise RequestError(code="SELF_PROMOTION", field="id")
        await known_principal(gate, principal_id, "id")
        facts: dict[str, Known] = {"target.principal": principal_id, "target.employment": employment.value}
        summary = await record(case, EntryKind.ADMISSION, decision, Subject(facts=facts))
        if opens:  # who suspended may have died before he did, or a session have begun meanwhile
            await gate.sessions.end(principal_id, gate.clock.now())
        principal = await gate.directory.employ(principal_id, employment, case.now, case.asker)
        if principal is None:
            raise RequestError(code="PRINCIPAL_NOT_FOUND", field="id")
        if not opens:
            await gate.sessions.end(principal_id, gate.clock.now())
            facts["offboarding.campaigns"] = await stop_campaigns(gate, principal_id, CampaignState.PAUSED)
            await until_settled(gate, requester=principal_id)
        await record(case, EntryKind.OUTCOME, decision, Subject(facts=facts))
        case.watch.stop()
        return PrincipalReply(summary, principal)

    return await guarded(case, steps)


async def transfer_customers(
    gate: Gate, caller: Credential, context: RequestContext, asked: Transfer
) -> TransferReply | Refusal:
    """Hand over what somebody has: drafts of campaigns become the other's, and the CRM is ordered to do the same with
    customers, which it alone assigns. What was asked of others ends: an approval is of who asked. Nobody takes over
    himself what another had. While the same order is open, a repetition finds it."""
    case = open_case(gate, caller, context, Request(Action.PRINCIPAL_OFFBOARD))

    async def steps(case: Case) -> TransferReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        if asked.to_id == case.asker:
            raise RequestError(code="SELF_PROMOTION", field="to")
        if asked.to_id == asked.from_id:
            raise RequestError("nobody hands over to himself", field="to")
        if gate.notifications is None:
            raise RequestError(code="NOT_IMPLEMENTED")
        await known_principal(gate, asked.from_id, "from")
        to = await known_principal(gate, asked.to_id, "to")
        if to.employment is not State.ACTIVE:
            raise RequestError("whoever takes over is ACTIVE", field="to")
        facts: dict[str, Known] = {"target.principal": asked.from_id, "transfer.to": asked.to_id}
        summary = await record(case, EntryKind.ADMISSION, decision, Subject(facts=facts))
        drafts = await gate.sending.outbox.hand_over(asked.from_id, asked.to_id) if gate.sending else ()
        approvals = await open_approvals(gate, asked.from_id)
        for each in approvals:
            ending = Ending(ApprovalState.REVOKED, case.asker, case.now, case.decision_id)
            await gate.ledger.end_approval(each.id, ending)
        order = await _ordered(case, asked)
        facts |= {"transfer.drafts": len(drafts), "transfer.approvals": len(approvals)}
        await record(
            case, EntryKind.OUTCOME, decision, Subject(facts={**facts, "notification.id": order.id})
        )
        case.watch.stop()
        return TransferReply(summary, order, tuple(drafts), len(approvals))

    return await guarded(case, steps)


async def get_offboarding(
    gate: Gate, caller: Credential, context: RequestContext, principal_id: str
) -> ChecklistReply | Refusal:
    """Return everything that belongs to somebody's offboarding, done and outstanding, as the ledger has it now."""
    case = open_case(gate, caller, context, Request(Action.PRINCIPAL_READ))

    async def steps(case: Case) -> ChecklistReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        who = await known_principal(gate, principal_id, "id")
        checklist = await checklist_of(gate, who, case.now)
        subject = Subject(facts={"target.principal": principal_id})
        summary = await record(case, EntryKind.DECISION, decision, subject)
        case.watch.stop()
        return ChecklistReply(summary, checklist)

    return await guarded(case, steps)


async def checklist_of(gate: Gate, who: Principal, now: datetime) -> Checklist:
    """Return how far the offboarding of somebody is. Raises LedgerError."""
    is_gone = who.employment is State.OFFBOARDED
    exports = await _exports(gate, who.id)
    running = [each for each in exports if each.state is ExportState.RUNNING]
    leases = [each for each in exports if each.lease is not None and each.lease.expires_at > now]
    campaigns = await gate.sending.outbox.unfinished_of(who.id) if gate.sending else ()
    claimed = await gate.sending.outbox.claimed_of((), (), who.id) if gate.sending else frozenset[str]()
    approvals = await open_approvals(gate, who.id)
    counts = (
        (ItemKind.STREAMS, len(running)),
        (ItemKind.MESSAGES, len(claimed)),
        (ItemKind.CAMPAIGNS, len(campaigns)),
        (ItemKind.APPROVALS, len(approvals)),
        (ItemKind.LEASES, len(leases)),
    )
    undone = ItemState.OUTSTANDING if is_gone else ItemState.NOT_DUE
    access = Item(
        kind=ItemKind.ACCESS,
        state=ItemState.DONE if is_gone else undone,
        due_at=who.offboard_at,
        done_at=who.offboard_at if is_gone else None,
    )
    items = [access]
    items += [
        Item(kind=kind, state=undone if left or not is_gone else ItemState.DONE, open=left)
        for kind, left in counts
    ]
    orders = await gate.notifications.about(who.id) if gate.notifications else ()
    wipes = {str(each.payload.get("device", "")): each for each in orders if each.kind == WIPE}
    for device in (*who.devices, *(each for each in wipes if each not in who.devices)):
        order = wipes.get(device)
        items.append(
            Item(kind=ItemKind.DEVICE, subject=device, state=undone, open=1)
            if order is None
            else _order_item(ItemKind.DEVICE, device, order, now)
        )
    items += [
        _order_item(ItemKind.TRANSFER, str(each.payload.get("to", "")), each, now)
        for each in orders
        if each.kind == TRANSFER
    ]
    return Checklist(who, tuple(items))


async def known_principal(gate: Gate, principal_id: str, field: str) -> Principal:
    """Return a principal. Raises RequestError PRINCIPAL_NOT_FOUND: an unknown id may be anything, and is written nowhere."""
    found = await gate.directory.get(principal_id)
    if found is None:
        raise RequestError(code="PRINCIPAL_NOT_FOUND", field=field)
    return found


def _order_item(kind: ItemKind, subject: str, order: Notification, now: datetime) -> Item:
    if order.acknowledged_at is not None:
        state = ItemState.DONE
    else:
        is_late = order.due_at is not None and now >= order.due_at
        state = ItemState.OVERDUE if is_late else ItemState.OUTSTANDING
    return Item(
        kind=kind,
        state=state,
        subject=subject,
        open=int(state is not ItemState.DONE),
        order=order.id,
        due_at=order.due_at,
        done_at=order.acknowledged_at,
        done_by=order.acknowledged_by,
    )


async def _ordered(case: Case, asked: Transfer) -> Notification:
    """Return the open order of this hand-over, or append it."""
    notifications = case.gate.notifications
    assert notifications is not None
    for each in await notifications.about(asked.from_id):
        is_same = each.kind == TRANSFER and each.payload.get("to") == asked.to_id
        if is_same and each.acknowledged_at is None:
            return each
    order = Notification(
        id=order_id(TRANSFER, asked.from_id, asked.to_id, case.decision_id),
        kind=TRANSFER,
        subject=asked.from_id,
        payload={"from": asked.from_id, "to": asked.to_id},
        created_at=case.now,
        due_at=case.now + case.gate.orders.transfer_within,
    )
    await notifications.notify(order)
    return order


async def _exports(gate: Gate, requester: str) -> list[Export]:
    """Return the exports of somebody that are not closed."""
    found: list[Export] = []
    after = ""
    while True:
        page = await gate.exports.export_page(ExportFilter(requester=requester), Slice(after, _PAGE))
        found += [each for each in page.rows if each.closed_at is None]
        after = page.next
        if not after:
            return found
