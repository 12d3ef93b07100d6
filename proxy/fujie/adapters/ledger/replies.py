"""Replies that wait for a person."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.aliases import first_of
from fujie.adapters.ledger.database import Database, Query, next_change
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.outbox_tables import reply as table
from fujie.adapters.ledger.pages import Keyed, change_after, read_page
from fujie.model.page import Page, Slice
from fujie.ports.messaging import KeptReply

_C = table.c

_KEPT = Query(
    sa.select(_C.reply_id).where(
        _C.provider == sa.bindparam("provider"), _C.reply_id == sa.bindparam("reply_id")
    ),
    first_of,
)


def _keyed(row: Sequence[Any]) -> Keyed[KeptReply]:
    reviewed_at = None if row[5] is None else from_micros(row[5])
    reply = KeptReply(row[0], row[1], row[2], row[3], from_micros(row[4]), reviewed_at, row[6])
    return str(row[7]), reply


@lru_cache(maxsize=2)
def _listed(with_reviewed: bool) -> Query[Keyed[KeptReply]]:  # noqa: FBT001 - part of a cache key
    select = sa.select(
        _C.reply_id, _C.provider, _C.sid, _C.sealed, _C.received_at, _C.reviewed_at, _C.reviewed_by, _C.change_seq
    ).where(_C.change_seq > sa.bindparam("after", type_=sa.BigInteger))  # fmt: skip
    if not with_reviewed:
        select = select.where(_C.reviewed_at.is_(None))
    return Query(select.order_by(_C.change_seq).limit(sa.bindparam("size", type_=sa.Integer)), _keyed)


class Replies:
    """Every reply that was kept."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep_reply(self, reply: KeptReply) -> bool:
        """See `ports.messaging.Outbox.keep_reply`."""
        same = {"provider": reply.provider, "reply_id": reply.reply_id}
        row = {
            **same,
            "sid": reply.sid,
            "sealed": reply.sealed,
            "received_at": to_micros(reply.received_at),
            "reviewed_at": None if reply.reviewed_at is None else to_micros(reply.reviewed_at),
            "reviewed_by": reply.reviewed_by,
        }

        def work(connection: Connection) -> bool:
            if _KEPT.within(connection, same):
                return False
            connection.execute(sa.insert(table), {**row, "change_seq": next_change(connection)})
            return True

        return await self._database.write(work)

    async def replies(self, part: Slice, *, with_reviewed: bool = False) -> Page[KeptReply]:
        """See `ports.messaging.Outbox.replies`."""
        return await read_page(self._database, _listed(with_reviewed), {"after": change_after(part)}, part)
