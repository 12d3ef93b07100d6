"""What fujie tells other systems by webhook: that an approval waits, that devices must be wiped, that customers are handed over."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Notification:
    """One message to a webhook. `kind` is what happened (`approval.asked`, `principal.wipe_devices`), `subject` the resource it is
    about (`approvals/...`, a principal's id). `payload` holds names, counts and codes; never personal data of customers.
    `due_at` is by when the other side must acknowledge it (None: it need not); `sent_at` when it was taken by it."""

    id: str
    kind: str
    subject: str
    payload: Mapping[str, object]
    created_at: datetime
    due_at: datetime | None = None
    sent_at: datetime | None = None
    attempts: int = 0
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
