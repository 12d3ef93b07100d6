"""Which exports held a customer, and who opened them."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import sqlalchemy as sa

from fujie.adapters.ledger.database import Database, Query, members, one_of, padded_size
from fujie.adapters.ledger.export_rows import COLUMNS, export_of
from fujie.adapters.ledger.export_tables import export, export_member, export_opening
from fujie.adapters.ledger.instant import from_micros
from fujie.adapters.ledger.pages import Keyed, read_page
from fujie.model.export import Export, Opening, Trace
from fujie.model.page import Page, Slice

AFTER_ALL: Final = "z"
"""Behind every id: lists go backwards."""

MOST_OPENINGS: Final = 100
"""Openings of one export that a trace tells, the last ones: a page of 500 traces is one answer."""

_E, _M, _O = export.c, export_member.c, export_opening.c


def _named(row: Sequence[Any]) -> Keyed[str]:
    return row[0], row[0]


def holds(count: int) -> sa.ColumnElement[bool]:
    """Return whether an export holds any of `count` sids. A count, which no database turns into a join: one that began with the
    members would read all of them."""
    found = sa.select(sa.func.count()).where(_M.export_id == _E.export_id, one_of(_M.sid, count))
    return found.correlate(export).scalar_subquery() > 0


@lru_cache(maxsize=16)
def _holding(count: int) -> Query[Keyed[str]]:
    """Return the query for the exports that hold any of `count` sids."""
    select = sa.select(_E.export_id).where(
        _E.export_id < sa.bindparam("after", type_=sa.Text), holds(count)
    )
    ordered = select.order_by(_E.export_id.desc())
    return Query(ordered.limit(sa.bindparam("size", type_=sa.Integer)), _named)


@lru_cache(maxsize=16)
def _exports(count: int) -> Query[Export]:
    return Query(sa.select(*COLUMNS).where(one_of(_E.export_id, count)), export_of)


@lru_cache(maxsize=16)
def _chunks_of(several: int, count: int) -> Query[tuple[str, int]]:
    """Return the query for the chunks of `several` exports that hold any of `count` sids."""
    select = sa.select(_M.export_id, _M.number).where(
        one_of(_M.export_id, several, "e"), one_of(_M.sid, count)
    )
    return Query(select.distinct().order_by(_M.export_id, _M.number), tuple)


@lru_cache(maxsize=16)
def _openings(count: int) -> Query[tuple[str, Opening]]:
    place = sa.func.row_number().over(partition_by=_O.export_id, order_by=_O.number.desc())
    last = sa.select(_O.export_id, _O.number, _O.principal, _O.opened_at, place.label("place"))
    part = last.where(one_of(_O.export_id, count)).subquery()
    select = sa.select(part.c.export_id, part.c.principal, part.c.opened_at)
    kept = select.where(part.c.place <= MOST_OPENINGS).order_by(part.c.export_id, part.c.number)
    return Query(kept, _opening)


def _opening(row: Sequence[Any]) -> tuple[str, Opening]:
    return row[0], Opening(row[1], from_micros(row[2]))


async def traces(database: Database, sids: Sequence[str], part: Slice) -> Page[Trace]:
    """See `ports.exports.Exports.traces`."""
    if not sids:
        return Page(())
    size = padded_size(len(sids))
    given = {**members(sids), "after": part.after or AFTER_ALL}
    page = await read_page(database, _holding(size), given, part)
    if not page.rows:
        return Page(())
    ids, several = page.rows, padded_size(len(page.rows))
    exports = {each.id: each for each in await database.rows(_exports(several), members(ids))}
    found = {**members(ids, "e"), **members(sids)}
    chunks = _grouped(await database.rows(_chunks_of(several, size), found))
    openings = _grouped(await database.rows(_openings(several), members(ids)))
    traces = [
        Trace(exports[each], tuple(chunks.get(each, ())), tuple(openings.get(each, ()))) for each in ids
    ]
    return Page(tuple(traces), page.next)


def _grouped(rows: Sequence[tuple[str, Any]]) -> dict[str, list[Any]]:
    """Return what belongs to each export; `rows` are sorted by it."""
    return {key: [each for _, each in group] for key, group in groupby(rows, itemgetter(0))}
