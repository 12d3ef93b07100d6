"""Exports: what leaves is written chunk by chunk, before it leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query
from fujie.adapters.ledger.export_keys import Keys
from fujie.adapters.ledger.export_rows import BY_ID, COLUMNS, IS_IT, export_of, values_of
from fujie.adapters.ledger.export_tables import export as table
from fujie.adapters.ledger.export_tables import export_chunk
from fujie.adapters.ledger.export_traces import AFTER_ALL, traces
from fujie.adapters.ledger.given import with_given
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.pages import Keyed, read_page
from fujie.adapters.ledger.usage_rows import take_rows
from fujie.model.errors import RequestError
from fujie.model.export import (
    Closing,
    Export,
    ExportChunk,
    ExportEnd,
    ExportFilter,
    ExportState,
    Opening,
    Trace,
)
from fujie.model.limit import Rows
from fujie.model.page import Page, Slice

_E = table.c
_IS_RUNNING = _E.state == ExportState.RUNNING.value
_COUNT_ROWS = (
    sa.update(table)
    .where(IS_IT, _IS_RUNNING, _E.closed_at.is_(None))
    .values(rows=_E.rows + sa.bindparam("more"))
)


_ADD_MEMBERS = """
INSERT INTO export_member (sid, export_id, number)
SELECT given.value, CAST(:export_id AS text), CAST(:number AS integer) FROM {given}
"""


def _add(chunk: ExportChunk, connection: Connection) -> None:
    counted = {"id": chunk.export_id, "more": len(chunk.sids)}
    if not connection.execute(_COUNT_ROWS, counted).rowcount:
        raise RequestError(code="EXPORT_CLOSED", field="name")
    place = {"export_id": chunk.export_id, "number": chunk.number}
    row = {**place, "rows": len(chunk.sids), "wrapped_key": chunk.wrapped_key}
    connection.execute(sa.insert(export_chunk), row)
    if sids := sorted(set(chunk.sids)):  # they lie in the index in this order
        with_given(connection, _ADD_MEMBERS, sids, place)


def _keyed(row: Sequence[Any]) -> Keyed[Export]:
    return row[0], export_of(row)


@lru_cache(maxsize=8)
def _listed(of_requester: bool, of_store: bool, in_state: bool) -> Query[Keyed[Export]]:  # noqa: FBT001 - a cache key
    select = sa.select(*COLUMNS).where(_E.export_id < sa.bindparam("after", type_=sa.Text))
    if of_requester:
        select = select.where(_E.requester == sa.bindparam("requester"))
    if of_store:
        select = select.where(_E.store == sa.bindparam("store"))
    if in_state:
        select = select.where(_E.state == sa.bindparam("state"))
    # Ids begin with the time at which they were made.
    return Query(select.order_by(_E.export_id.desc()).limit(sa.bindparam("size", type_=sa.Integer)), _keyed)


class Exports:
    """The exports in the ledger, as `ports.exports.Exports`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keys = Keys(database)

    async def begin_export(self, export: Export) -> None:
        """See `ports.exports.Exports.begin_export`."""
        row = values_of(export)

        def work(connection: Connection) -> None:
            connection.execute(sa.insert(table), row)

        await self._database.transact(work)

    async def add_chunk(self, chunk: ExportChunk, taking: Rows | None = None) -> int:
        """See `ports.exports.Exports.add_chunk`."""

        def work(connection: Connection) -> int:
            taken = len(chunk.sids) if taking is None else take_rows(taking, connection)
            if taken or taking is None:
                _add(replace(chunk, sids=chunk.sids[:taken]), connection)
            return taken

        return await self._database.transact(work)

    async def end_export(self, export_id: str, end: ExportEnd) -> None:
        """See `ports.exports.Exports.end_export`."""
        changed = {
            "state": end.state.value,
            "ended_at": to_micros(end.at),
            "rows": end.rows,
            "reason": end.reason,
        }

        def work(connection: Connection) -> None:
            connection.execute(
                sa.update(table).where(_E.export_id == export_id, _IS_RUNNING).values(changed)
            )

        await self._database.transact(work)

    async def export(self, export_id: str) -> Export | None:
        """See `ports.exports.Exports.export`."""
        found = await self._database.rows(BY_ID, {"id": export_id})
        return found[0] if found else None

    async def export_page(self, asked: ExportFilter, part: Slice) -> Page[Export]:
        """See `ports.exports.Exports.export_page`."""
        state = asked.state.value if asked.state else ""
        narrowing = {"requester": asked.requester, "store": asked.store, "state": state}
        given = {name: value for name, value in narrowing.items() if value}
        query = _listed(bool(asked.requester), bool(asked.store), bool(state))
        return await read_page(self._database, query, {**given, "after": part.after or AFTER_ALL}, part)

    async def open_lease(self, export_id: str, opening: Opening) -> Mapping[int, bytes | None]:
        """See `ports.exports.Exports.open_lease`."""
        return await self._keys.open_lease(export_id, opening)

    async def close_export(self, export_id: str, closing: Closing) -> Export:
        """See `ports.exports.Exports.close_export`."""
        return await self._keys.close_export(export_id, closing)

    async def close_exports_of(self, requester: str, closing: Closing) -> int:
        """See `ports.exports.Exports.close_exports_of`."""
        return await self._keys.close_exports_of(requester, closing)

    async def close_expired(self, now: datetime) -> int:
        """See `ports.exports.Exports.close_expired`."""
        return await self._keys.close_expired(now)

    async def open_leases(self, now: datetime) -> int:
        """See `ports.exports.Exports.open_leases`."""
        return await self._keys.open_leases(now)

    async def forget(self, sids: Sequence[str]) -> int:
        """See `ports.exports.Exports.forget`."""
        return await self._keys.forget(sids)

    async def traces(self, sids: Sequence[str], part: Slice) -> Page[Trace]:
        """See `ports.exports.Exports.traces`."""
        return await traces(self._database, sids, part)
