"""The index of the log by customer: what was disclosed, on which day, for which purpose.

It holds what the log says and nothing else, so that it could be thrown away and made anew. The counts and the place
in the log that they reach up to are written together: a crash between two writes loses nothing and doubles nothing.
"""

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from fujie.adapters.ledger.aliases import first_of
from fujie.adapters.ledger.database import Database, Query, members, one_of, padded_size
from fujie.adapters.ledger.pages import Keyed, read_page
from fujie.adapters.ledger.rights_tables import disclosure as table
from fujie.adapters.ledger.rights_tables import disclosure_position
from fujie.model.errors import LedgerError
from fujie.model.page import Page, Slice
from fujie.model.subject_request import Disclosure, Indexed

_C, _P = table.c, disclosure_position.c

_POSITION = Query(sa.select(_P.next_index).where(_P.origin == sa.bindparam("of_origin")), first_of)

_AFTER_ALL = "z"
"""Behind every day, in the order of bytes and of words: lists go backwards."""


def _keyed(row: Sequence[Any]) -> Keyed[Disclosure]:
    day, action, purpose, count = row
    return f"{day} {action} {purpose}", Disclosure(date.fromisoformat(day), action, purpose, int(count))


@lru_cache(maxsize=32)
def _of(count: int) -> Query[Keyed[Disclosure]]:
    blank: sa.ColumnElement[str] = sa.literal_column("' '")
    key = _C.day + blank + _C.action + blank + _C.purpose
    select = (
        sa.select(_C.day, _C.action, _C.purpose, sa.func.max(_C["count"]))
        .where(one_of(_C.sid, count), _C["count"] > 0, key < sa.bindparam("after", type_=sa.Text))
        .group_by(_C.day, _C.action, _C.purpose)
        .order_by(key.desc())
        .limit(sa.bindparam("size", type_=sa.Integer))
    )
    return Query(select, _keyed)


class Disclosures:
    """The index in the ledger, as `ports.requests.Disclosures`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def position(self, origin: str) -> int:
        """See `ports.requests.Disclosures.position`."""
        found = await self._database.rows(_POSITION, {"of_origin": origin})
        return int(found[0]) if found else 0

    async def add(self, indexed: Indexed) -> None:
        """See `ports.requests.Disclosures.add`."""
        rows = [
            {"sid": sid, "day": day.isoformat(), "action": action, "purpose": purpose, "count": count}
            for (sid, day, action, purpose), count in sorted(
                indexed.counts.items()
            )  # one order: no deadlock
        ]

        def work(connection: Connection) -> None:
            _move(connection, indexed)
            if rows:
                connection.execute(_adding(connection), rows)

        await self._database.transact(work)

    async def disclosures(self, sids: Sequence[str], part: Slice) -> Page[Disclosure]:
        """See `ports.requests.Disclosures.disclosures`."""
        if not sids:
            return Page(())
        values = {**members(sids), "after": part.after or _AFTER_ALL}
        return await read_page(self._database, _of(padded_size(len(sids))), values, part)


def _move(connection: Connection, indexed: Indexed) -> None:
    """Move the position of a log; it locks the row, so that two who index one log come one after the other."""
    moved = connection.execute(
        sa.update(disclosure_position)
        .where(_P.origin == indexed.origin, _P.next_index == indexed.first)
        .values(next_index=indexed.end)
    )
    if moved.rowcount == 0:
        if indexed.first or _POSITION.within(connection, {"of_origin": indexed.origin}):
            raise LedgerError("the log is indexed up to another entry")
        connection.execute(
            sa.insert(disclosure_position), {"origin": indexed.origin, "next_index": indexed.end}
        )


def _adding(connection: Connection) -> Any:
    is_sqlite = connection.dialect.name == "sqlite"
    insert = (sqlite.insert if is_sqlite else postgresql.insert)(table)
    return insert.on_conflict_do_update(
        index_elements=[_C.sid, _C.day, _C.action, _C.purpose],
        set_={"count": _C["count"] + insert.excluded["count"]},
    )
