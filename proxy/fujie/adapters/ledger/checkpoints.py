"""The last checkpoint of every log, kept away from the log: who rolls a log back must also rewrite the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query, next_change
from fujie.adapters.ledger.tables import checkpoint as table
from fujie.model.errors import LedgerError


@dataclass(frozen=True, slots=True)
class KeptCheckpoint:
    """A signed note (C2SP checkpoint) as the log `origin` published it at `size` entries."""

    origin: str
    note: str
    size: int


def _kept(row: Sequence[Any]) -> KeptCheckpoint:
    return KeptCheckpoint(*row)


_BY_ORIGIN = Query(
    sa.select(table.c.origin, table.c.note, table.c.size).where(table.c.origin == sa.bindparam("origin")),
    _kept,
)
_EVERY = Query(sa.select(table.c.origin, table.c.note, table.c.size).order_by(table.c.origin), _kept)


class Checkpoints:
    """One checkpoint per origin; it only ever grows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def last(self, origin: str) -> KeptCheckpoint | None:
        """Return the checkpoint that was kept last for `origin`; None when the log is new."""
        found = await self._database.rows(_BY_ORIGIN, {"origin": origin})
        return found[0] if found else None

    async def every(self) -> Sequence[KeptCheckpoint]:
        """Return the last checkpoint of each log, by origin."""
        return await self._database.rows(_EVERY, {})

    async def keep(self, new: KeptCheckpoint) -> None:
        """Replace the checkpoint of the log; durable on return.

        Raises:
            LedgerError: LOG_UNAVAILABLE when `new` is smaller than the one that is kept, or another
                at the same size: the log was rolled back or forked. The kept one stays.

        """

        def work(connection: Connection) -> None:
            known = _BY_ORIGIN.within(connection, {"origin": new.origin})
            if known and known[0] == new:
                return
            if known and new.size <= known[0].size:
                raise LedgerError("a log was rolled back or forked", code="LOG_UNAVAILABLE")
            row = {
                "origin": new.origin,
                "note": new.note,
                "size": new.size,
                "change_seq": next_change(connection),
            }
            if known:
                connection.execute(sa.update(table).where(table.c.origin == new.origin).values(row))
            else:
                connection.execute(sa.insert(table), row)

        await self._database.write(work)
