"""Which of the console sessions of somebody are over: one row for each who ever signed out, or was suspended.

What counts is the change that drew the row, not its moment: clocks of hosts differ, the ledger's order does not.
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.columns import change_seq, instant
from fujie.adapters.ledger.database import Database, Query, next_change
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.tables import metadata

session_end = sa.Table(
    "session_end",
    metadata,
    sa.Column("principal", sa.Text, primary_key=True),
    instant("ended_at"),
    change_seq(),
)

_C = session_end.c
_ERA = Query(
    sa.select(_C.change_seq).where(_C.principal == sa.bindparam("principal")), lambda row: int(row[0])
)


class Sessions:
    """The ends of sessions in the ledger, as `ports.signin.Sessions`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def era(self, principal: str) -> int:
        """See `ports.signin.Sessions.era`."""
        found = await self._database.rows(_ERA, {"principal": principal})
        return found[0] if found else 0

    async def end(self, principal: str, at: datetime) -> None:
        """See `ports.signin.Sessions.end`."""

        def work(connection: Connection) -> None:
            change = next_change(connection)  # first: it makes writers take turns
            row = {"ended_at": to_micros(at), "change_seq": change}
            if _ERA.within(connection, {"principal": principal}):
                connection.execute(sa.update(session_end).where(_C.principal == principal).values(row))
            else:
                connection.execute(sa.insert(session_end), {"principal": principal, **row})

        await self._database.write(work)
