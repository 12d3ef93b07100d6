"""Telling others of approvals: that one was asked for, that nobody looked at it, that it expired; that somebody went ahead
without one, and that nobody reviewed it in time.

Each once, however many workers look: a notification's id follows from the approval and from what is told, and one that is
there already stays as it is. What a crash left untold, the next look tells. No customer is named, and no filter.
"""

import hashlib
from contextlib import suppress

from fujie.flows.gate import Gate
from fujie.model.approval import Approval, Stage
from fujie.model.errors import LedgerError
from fujie.model.notification import Notification

_KINDS = {
    Stage.ASKED: "approval.asked",
    Stage.ESCALATED: "approval.escalated",
    Stage.EXPIRED: "approval.expired",
}
_KINDS_OF_REVIEW = {Stage.ASKED: "breakglass.used", Stage.ESCALATED: "breakglass.overdue"}


async def tell(gate: Gate, approval: Approval, stage: Stage) -> None:
    """Tell others of a new approval. What can not be written now, `tell_due` writes: the asker has his answer either way."""
    with suppress(LedgerError):
        await _notify(gate, approval, stage)


async def tell_due(gate: Gate) -> int:
    """Tell others what is due of every approval; return how much was due. Raises LedgerError."""
    due = await gate.ledger.approvals_due(gate.clock.now())
    for approval, stage in due:
        await _notify(gate, approval, stage)
        await gate.ledger.approval_told(approval.id, stage)
    return len(due)


async def _notify(gate: Gate, approval: Approval, stage: Stage) -> None:
    if gate.notifications is None:
        return
    kind = (_KINDS_OF_REVIEW if approval.review_by else _KINDS)[stage]
    await gate.notifications.notify(
        Notification(
            id=hashlib.sha256(f"{kind}/{approval.id}".encode()).hexdigest()[:32],
            kind=kind,
            subject=approval.name,
            payload={
                "approval": approval.name,
                "requester": approval.requester,
                "action": approval.action,
                "purpose": approval.purpose,
                "store": approval.store,
                "fields": approval.fields,
                "rows": approval.rows,
                "roles": sorted(approval.roles),
                "votes": len(approval.voters),
                "expires_at": approval.expires_at.isoformat(timespec="seconds"),
            },
            created_at=gate.clock.now(),
        )
    )
