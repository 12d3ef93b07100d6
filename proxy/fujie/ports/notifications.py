"""What other systems are told. Implementations live in `adapters`; `app` delivers what waits."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from fujie.model.notification import Notification


class Notifications(Protocol):
    """Notifications in the ledger. Every method raises LedgerError when the ledger fails; what it writes is durable on return."""

    async def notify(self, wanted: Notification) -> None:
        """Append a notification to be sent by webhook; one of this id that is there already stays as it is."""
        ...

    async def acknowledge(self, notification_id: str, by: str, at: datetime) -> Notification | None:
        """Note that the other side did what it was told; the first one stays. None when there is none of this id."""
        ...

    async def notification(self, notification_id: str) -> Notification | None:
        """Return one notification; None when there is none of this id."""
        ...

    async def about(self, subject: str) -> Sequence[Notification]:
        """Return the notifications about a subject, the first one first, 1,000 at most."""
        ...
