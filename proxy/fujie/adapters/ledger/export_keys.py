"""The keys of leased files: taken to open one, and destroyed when it must not be opened any more.

An export is closed in two steps, so that no transaction is long: first it is marked, from when on nothing is added and
nothing is opened; then the keys go, some at a time. Who dies in between leaves `keys_until` behind, which the next
`close_expired` of anybody finds.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.aliases import first_of
from fujie.adapters.ledger.database import Database, Query, members, one_of, padded_size
from fujie.adapters.ledger.export_rows import IS_IT, known_within
from fujie.adapters.ledger.export_tables import (
    HAS_KEYS,
    export,
    export_chunk,
    export_member,
    export_opening,
)
from fujie.adapters.ledger.export_traces import holds
from fujie.adapters.ledger.instant import to_micros
from fujie.model.export import EXPIRED, USED_UP, Closing, Export, ExportState, Opening

BY_ITSELF: Final = "fujie"
"""Who closes what has expired or is used up."""

_MOST_KEYS: Final = 1_000
"""Keys that one transaction destroys: a few milliseconds."""

_MOST_EXPIRED: Final = 100
"""Exports that one `close_expired` ends."""

_E, _K, _M, _O = export.c, export_chunk.c, export_member.c, export_opening.c
_OF_IT = _K.export_id == sa.bindparam("id", type_=sa.Text)
_KEYS = Query(sa.select(_K.number, _K.wrapped_key).where(_OF_IT).order_by(_K.number), tuple)
_LAST_CHUNK = Query(sa.select(sa.func.coalesce(sa.func.max(_K.number), 0)).where(_OF_IT), first_of)
_DESTROY_SOME = (
    sa.update(export_chunk)
    .where(_OF_IT, _K.number >= sa.bindparam("first"), _K.number < sa.bindparam("end"))
    .where(_K.wrapped_key.is_not(None))
    .values(wrapped_key=None)
)
_HAS_NO_KEYS = sa.update(export).where(IS_IT).values(keys_until=None)
_OPENED = sa.select(sa.func.count()).where(_O.export_id == sa.bindparam("id", type_=sa.Text))
_OVERDUE = Query(
    sa.select(_E.export_id)
    .where(HAS_KEYS, _E.keys_until <= sa.bindparam("now", type_=sa.BigInteger))
    .order_by(_E.keys_until)
    .limit(_MOST_EXPIRED),
    first_of,
)
_OPEN = Query(
    sa.select(sa.func.count()).where(HAS_KEYS, _E.keys_until > sa.bindparam("now", type_=sa.BigInteger)),
    first_of,
)
_TO_CLOSE = Query(
    sa.select(_E.export_id).where(
        _E.requester == sa.bindparam("requester"),
        _E.closed_at.is_(None),
        sa.or_(_E.state == ExportState.RUNNING.value, HAS_KEYS),
    ),
    first_of,
)


@lru_cache(maxsize=16)
def _holding(count: int) -> Query[str]:
    """Return the query for the exports with keys that hold any of `count` sids, always in one order."""
    return Query(sa.select(_E.export_id).where(HAS_KEYS, holds(count)).order_by(_E.export_id), first_of)


@lru_cache(maxsize=16)
def _held_chunks(count: int) -> Query[str]:
    """Return the query for the chunks with keys of one export that hold any of `count` sids, always in one order."""
    select = sa.select(_K.number).join(
        export_member, sa.and_(_M.export_id == _K.export_id, _M.number == _K.number)
    )
    of_it = (_M.export_id == sa.bindparam("id", type_=sa.Text), _OF_IT)
    select = select.where(*of_it, one_of(_M.sid, count), _K.wrapped_key.is_not(None))
    return Query(select.distinct().order_by(_K.number), first_of)


class Keys:
    """The keys in the ledger, as the second half of `ports.exports.Exports`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._may_lie_about = False
        """Whether bytes of destroyed keys may still lie in the files of the database."""

    async def open_lease(self, export_id: str, opening: Opening) -> Mapping[int, bytes | None]:
        """See `ports.exports.Exports.open_lease`. Of a used-up one the keys go with the next `close_expired`."""

        def work(connection: Connection) -> Mapping[int, bytes | None]:
            lease = known_within(connection, export_id).lease_at(opening.at)
            left = lease.opens_left - 1
            changed = {"opens_left": left, **({} if left else {"keys_until": to_micros(opening.at)})}
            connection.execute(sa.update(export).where(_E.export_id == export_id).values(changed))
            taken = connection.execute(_OPENED, {"id": export_id}).scalar_one()
            row = {"export_id": export_id, "number": taken + 1, "principal": opening.principal}
            connection.execute(
                sa.insert(export_opening).values({**row, "opened_at": to_micros(opening.at)})
            )
            found = _KEYS.within(connection, {"id": export_id})
            return {number: None if key is None else bytes(key) for number, key in found}

        return await self._database.transact(work)

    async def close_export(self, export_id: str, closing: Closing) -> Export:
        """See `ports.exports.Exports.close_export`."""
        closed, _ = await self._close(export_id, closing)
        await self._overwrite()
        return closed

    async def close_exports_of(self, requester: str, closing: Closing) -> int:
        """See `ports.exports.Exports.close_exports_of`."""
        ids = await self._database.rows(_TO_CLOSE, {"requester": requester})
        closed = [await self._close(export_id, closing) for export_id in ids]
        await self._overwrite()
        return sum(is_new for _, is_new in closed)

    async def open_leases(self, now: datetime) -> int:
        """See `ports.exports.Exports.open_leases`."""
        (count,) = await self._database.rows(_OPEN, {"now": to_micros(now)})
        return int(count)

    async def close_expired(self, now: datetime) -> int:
        """See `ports.exports.Exports.close_expired`."""
        count = 0
        for export_id in await self._database.rows(_OVERDUE, {"now": to_micros(now)}):
            count += (await self._close(export_id, Closing(at=now, by=BY_ITSELF, why="")))[1]
        await self._overwrite()
        return count

    async def forget(self, sids: Sequence[str]) -> int:
        """See `ports.exports.Exports.forget`."""
        if not sids:
            return 0

        def work(connection: Connection) -> int:
            size, asked, count = padded_size(len(sids)), members(sids), 0
            for export_id in _holding(size).within(connection, asked):
                for number in map(int, _held_chunks(size).within(connection, {**asked, "id": export_id})):
                    gone = {"id": export_id, "first": number, "end": number + 1}
                    connection.execute(_DESTROY_SOME, gone)
                    count += 1
            return count

        count = await self._database.transact(work)
        self._may_lie_about |= count > 0
        await self._overwrite()
        return count

    async def _close(self, export_id: str, closing: Closing) -> tuple[Export, bool]:
        """Mark an export as closed and destroy its keys; return it, and whether it was not closed before."""
        known, is_new = await self._database.transact(partial(_mark, export_id, closing))
        if known.lease is not None:
            [last] = await self._database.rows(_LAST_CHUNK, {"id": export_id})
            for first in range(0, int(last) + 1, _MOST_KEYS):
                await self._database.transact(partial(_destroy, export_id, first))
            await self._database.transact(partial(_run, _HAS_NO_KEYS, {"id": export_id}))
            self._may_lie_about = True
        return known, is_new

    async def _overwrite(self) -> None:
        """Let the database overwrite what was destroyed; when it can not yet, the next one does."""
        if self._may_lie_about:
            self._may_lie_about = not await self._database.overwrite_deleted()


def _mark(export_id: str, closing: Closing, connection: Connection) -> tuple[Export, bool]:
    """Close an export that is not closed; tell whether it was not. Without a reason, the end of the lease is it."""
    known = known_within(connection, export_id)
    if known.closed_at is not None:
        return known, False
    at = to_micros(closing.at)
    used_up = known.lease is not None and known.lease.opens_left < 1
    why = closing.why or (USED_UP if used_up else EXPIRED)
    changed: dict[str, Any] = {"closed_at": at, "closed_by": closing.by, "closed_why": why}
    if known.lease is not None:
        changed["keys_until"] = at
    if known.state is ExportState.RUNNING:
        changed |= {"state": ExportState.STOPPED.value, "ended_at": at, "reason": why}
    connection.execute(sa.update(export).where(_E.export_id == export_id).values(changed))
    return known_within(connection, export_id), True


def _destroy(export_id: str, first: int, connection: Connection) -> None:
    connection.execute(_DESTROY_SOME, {"id": export_id, "first": first, "end": first + _MOST_KEYS})


def _run(statement: sa.Update, values: Mapping[str, object], connection: Connection) -> None:
    connection.execute(statement, values)
