"""What providers said once and was not taken in yet: the table is empty but for moments, and after a process died."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.outbox_tables import heard as table
from fujie.ports.messaging import Heard

_C = table.c


def _heard(row: Sequence[Any]) -> Heard:
    return Heard(row[0], row[1], bytes(row[2]), from_micros(row[3]))


_LEFT = Query(
    sa.select(_C.heard_id, _C.provider, _C.sealed, _C.received_at)
    .where(
        _C.received_at < sa.bindparam("before", type_=sa.BigInteger),
        sa.tuple_(_C.received_at, _C.heard_id)
        > sa.tuple_(sa.bindparam("since", type_=sa.BigInteger), sa.bindparam("of", type_=sa.String)),
    )
    .order_by(_C.received_at, _C.heard_id)
    .limit(sa.bindparam("most", type_=sa.Integer)),
    _heard,
)
_THERE = sa.select(_C.received_at).where(_C.heard_id == sa.bindparam("of"))
_FORGET = sa.delete(table).where(_C.heard_id == sa.bindparam("of"))


def store_heard(connection: Connection, heard: Heard) -> None:
    """Write it, within the transaction of what it came with."""
    row: Mapping[str, object] = {
        "heard_id": heard.heard_id,
        "provider": heard.provider,
        "sealed": heard.sealed,
        "received_at": to_micros(heard.received_at),
    }
    connection.execute(sa.insert(table), row)


class Hearing:
    """Everything that was heard and not taken in."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep_heard(self, heard: Heard) -> None:
        """See `ports.messaging.Outbox.keep_heard`."""

        def work(connection: Connection) -> None:
            if connection.execute(_THERE, {"of": heard.heard_id}).first() is None:
                store_heard(connection, heard)

        await self._database.write(work)

    async def heard(self, before: datetime, most: int, behind: Heard | None = None) -> Sequence[Heard]:
        """See `ports.messaging.Outbox.heard`."""
        since, of = (to_micros(behind.received_at), behind.heard_id) if behind else (0, "")
        return await self._database.rows(
            _LEFT, {"before": to_micros(before), "since": since, "of": of, "most": most}
        )

    async def forget_heard(self, heard_id: str) -> None:
        """See `ports.messaging.Outbox.forget_heard`."""

        def work(connection: Connection) -> None:
            connection.execute(_FORGET, {"of": heard_id})

        await self._database.write(work)
