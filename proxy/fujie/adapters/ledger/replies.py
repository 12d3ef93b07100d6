"""Replies that wait for a person."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.aliases import first_of
from fujie.adapters.ledger.database import Database, Query, next_change
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.outbox_tables import IS_WAITING
from fujie.adapters.ledger.outbox_tables import reply as table
from fujie.adapters.ledger.pages import Keyed, change_after, read_page
from fujie.model.errors import RequestError
from fujie.model.message import ReplyOutcome
from fujie.model.page import Page, Slice
from fujie.ports.messaging import KeptReply

_C = table.c

_KEPT = Query(
    sa.select(_C.reply_id).where(
        _C.provider == sa.bindparam("provider"), _C.reply_id == sa.bindparam("reply_id")
    ),
    first_of,
)


_COLUMNS = (
    _C.reply_id, _C.provider, _C.sid, _C.sealed, _C.received_at, _C.reviewed_at, _C.reviewed_by, _C.outcome,
)  # fmt: skip


def _reply(row: Sequence[Any]) -> KeptReply:
    reviewed_at = None if row[5] is None else from_micros(row[5])
    outcome = ReplyOutcome(row[7]) if row[7] else None
    return KeptReply(row[0], row[1], row[2], row[3], from_micros(row[4]), reviewed_at, row[6], outcome)


def _keyed(row: Sequence[Any]) -> Keyed[KeptReply]:
    return str(row[-1]), _reply(row)


_BY_ID = Query(sa.select(*_COLUMNS).where(_C.reply_id == sa.bindparam("reply_id")), _reply)
_MARK = (
    sa.update(table)
    .where(_C.reply_id == sa.bindparam("of"), IS_WAITING)
    .values(
        reviewed_at=sa.bindparam("at"),
        reviewed_by=sa.bindparam("by"),
        outcome=sa.bindparam("what"),
        change_seq=sa.bindparam("change"),
    )
)


@lru_cache(maxsize=2)
def _listed(with_reviewed: bool) -> Query[Keyed[KeptReply]]:  # noqa: FBT001 - part of a cache key
    select = sa.select(*_COLUMNS, _C.change_seq).where(
        _C.change_seq > sa.bindparam("after", type_=sa.BigInteger),
        _C.received_at >= sa.bindparam("since", type_=sa.BigInteger),
    )
    if not with_reviewed:
        select = select.where(IS_WAITING)
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
            "outcome": reply.outcome.value if reply.outcome else "",
        }

        def work(connection: Connection) -> bool:
            if _KEPT.within(connection, same):
                return False
            connection.execute(sa.insert(table), {**row, "change_seq": next_change(connection)})
            return True

        return await self._database.write(work)

    async def replies(
        self, part: Slice, *, with_reviewed: bool = False, since: datetime | None = None
    ) -> Page[KeptReply]:
        """See `ports.messaging.Outbox.replies`. One that is reviewed while pages are read may come again: it changed."""
        values = {"after": change_after(part), "since": to_micros(since) if since else 0}
        return await read_page(self._database, _listed(with_reviewed), values, part)

    async def reply(self, reply_id: str) -> KeptReply | None:
        """See `ports.messaging.Outbox.reply`."""
        found = await self._database.rows(_BY_ID, {"reply_id": reply_id})
        return found[0] if found else None

    async def mark_reply(self, reply_id: str, outcome: ReplyOutcome, by: str, now: datetime) -> KeptReply:
        """See `ports.messaging.Outbox.mark_reply`."""

        def work(connection: Connection) -> KeptReply:
            row = {"of": reply_id, "at": to_micros(now), "by": by, "what": outcome.value}
            connection.execute(_MARK, {**row, "change": next_change(connection)})
            for found in _BY_ID.within(connection, {"reply_id": reply_id}):
                return found
            raise RequestError(code="REPLY_NOT_FOUND", field="name")

        return await self._database.write(work)
