"""What the directory must offer: who is employed, in which roles, and who is leaving. It is part of the ledger."""

from datetime import datetime
from typing import Protocol

from fujie.model.page import Page, Slice
from fujie.model.principal import Expected, Principal, PrincipalFilter
from fujie.model.vocabulary import State


class Directory(Protocol):
    """Who is employed, and in which roles. Every principal is returned as of the moment of the read."""

    async def get(self, principal_id: str) -> Principal | None:
        """Return the principal; None when unknown."""
        ...

    async def has_administrator(self) -> bool:
        """Tell whether any ACTIVE principal has the administrator role."""
        ...

    async def upsert(
        self, principal: Principal, now: datetime, expected: Expected | None = None
    ) -> Principal:
        """Write the whole record but `offboard_at`, which stays; durable on return, and seen by the very next read.
        Who is written as OFFBOARDED leaves as by `offboard`, with every device that was his till now.

        Raises:
            RequestError: LAST_ADMINISTRATOR when it would leave the directory without an ACTIVE
                administrator: `bootstrap.admins` would come back to life (promise 11).
                OFFBOARDED_STAYS when it would employ again who was offboarded: a returner gets a new id.
                PRINCIPAL_CHANGED when the record is another than `expected`.

        """
        ...

    async def page(self, asked: PrincipalFilter, part: Slice) -> Page[Principal]:
        """Return principals by id, those that pass every part of the filter."""
        ...

    async def offboard(
        self, principal_id: str, now: datetime, at: datetime | None = None
    ) -> Principal | None:
        """Set employment to OFFBOARDED and drop all roles, now, or by itself at a later time; None when unknown.

        The earlier of two times holds, and who has left has left. Raises like `upsert`.
        """
        ...

    async def employ(
        self, principal_id: str, employment: State, now: datetime, by: str
    ) -> Principal | None:
        """Set employment to SUSPENDED `by` that principal, or to ACTIVE, which also calls off an offboarding that is not due
        yet; None when unknown. Raises like `upsert`."""
        ...

    async def leaving(self, now: datetime) -> Principal | None:
        """Take somebody who has left and whose offboarding is not done, and whom nobody is at; None when there is nobody.

        Of all who ask, on any host, one gets a principal, within a minute.
        """
        ...

    async def left(self, principal_id: str) -> None:
        """Note that all that goes with an offboarding is done."""
        ...

    async def is_leaving(self, principal_id: str) -> bool:
        """Tell whether an offboarding was ordered of which something is to be done."""
        ...
