"""What ends with somebody, in this order; each step may be repeated, and finds nothing to do then.

1. Files that were exported: their keys are destroyed, and exports that run end at their next chunk.
2. Campaigns are cancelled. 3. What was asked of others is revoked; votes of his count no more by themselves
(`flows/agreement.py`). 4. Every device gets the order to be wiped, under an id that a repetition finds.

Calls and streams need nothing done: each asks the directory.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from fujie.audit.entry import EntryKind
from fujie.flows.acts import SCHEDULE, open_act
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Gate
from fujie.model.approval import OPEN, Approval, ApprovalFilter, ApprovalState, Ending
from fujie.model.campaign import CampaignState
from fujie.model.errors import RequestError
from fujie.model.export import Closing
from fujie.model.facts import Known
from fujie.model.notification import Notification
from fujie.model.page import Slice
from fujie.model.principal import Principal
from fujie.model.vocabulary import Action

WIPE = "principal.wipe_devices"
"""The kind of the order to wipe one device."""

CLOSED_WHY = "PRINCIPAL_OFFBOARDED"

_PAGE = 500


@dataclass(frozen=True, slots=True)
class By:
    """Who ends it: a principal (or `fujie:schedule`), and the decision that its entries name."""

    principal: str
    decision_id: str


async def end_everything(gate: Gate, who: Principal, by: By) -> Mapping[str, Known]:
    """Do every step; return the counts for an entry. Raises LedgerError: repeat it."""
    now = gate.clock.now()
    closing = Closing(at=now, by=by.principal, why=CLOSED_WHY)
    exports = await gate.exports.close_exports_of(who.id, closing)  # 1
    campaigns = await stop_campaigns(gate, who.id, CampaignState.CANCELLED)  # 2
    approvals = await open_approvals(gate, who.id)  # 3
    for each in approvals:
        ending = Ending(ApprovalState.REVOKED, by.principal, now, by.decision_id)
        await gate.ledger.end_approval(each.id, ending)
    for device in who.devices if gate.notifications else ():  # 4
        assert gate.notifications is not None
        await gate.notifications.notify(_wipe(gate, who.id, device))
    return {
        "offboarding.exports": exports,
        "offboarding.campaigns": campaigns,
        "offboarding.approvals": len(approvals),
        "offboarding.devices": len(who.devices),
    }


async def end_what_is_due(gate: Gate) -> bool:
    """Bring one offboarding to its end that became due by itself, or that somebody began and did not end; return whether
    there was any. Raises LedgerError or AuditError: it is tried again, a minute later."""
    who = await gate.directory.leaving(gate.clock.now())
    if who is None:
        return False
    case, decision = open_act(gate, SCHEDULE, Action.PRINCIPAL_OFFBOARD)
    facts: dict[str, Known] = {"target.principal": who.id}
    await record(case, EntryKind.ADMISSION, decision, Subject(facts=facts))
    await gate.directory.offboard(who.id, case.now)
    facts |= await end_everything(gate, who, By(SCHEDULE, case.decision_id))
    await gate.directory.left(who.id)
    await record(case, EntryKind.OUTCOME, decision, Subject(facts=facts))
    return True


async def stop_campaigns(gate: Gate, requester: str, to: CampaignState) -> int:
    """Cancel every campaign of a requester that is not over, or pause those that run; return how many."""
    if gate.sending is None:
        return 0
    outbox, moved = gate.sending.outbox, 0
    for campaign_id, state in await outbox.unfinished_of(requester):
        if to is CampaignState.PAUSED and state is not CampaignState.RUNNING:
            continue
        try:
            await outbox.move_campaign(campaign_id, to, gate.clock.now())
        except RequestError:  # it came to its end meanwhile
            continue
        moved += 1
    return moved


async def open_approvals(gate: Gate, requester: str) -> list[Approval]:
    """Return the approvals that somebody asked for and that are open."""
    now = gate.clock.now()
    asked = ApprovalFilter(requester, frozenset(), now)
    found: list[Approval] = []
    after = ""
    while True:
        page = await gate.ledger.approval_page(asked, Slice(after, _PAGE))
        found += [each for each in page.rows if each.requester == requester and each.state(now) in OPEN]
        after = page.next
        if not after:
            return found


def order_id(*parts: str) -> str:
    """Return the id of an order: the same parts, the same order."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _wipe(gate: Gate, principal_id: str, device: str) -> Notification:
    now = gate.clock.now()
    return Notification(
        id=order_id(WIPE, principal_id, device),
        kind=WIPE,
        subject=principal_id,
        payload={"principal": principal_id, "device": device},
        created_at=now,
        due_at=now + gate.orders.wipe_within,
    )
