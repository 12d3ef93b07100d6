"""The directory: who is employed, in which roles. Nothing but this table gives anybody a role."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query, next_change
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.pages import Keyed, read_page
from fujie.adapters.ledger.tables import principal as table
from fujie.model.errors import RequestError
from fujie.model.page import Page, Slice
from fujie.model.principal import AttributeValue, Principal, PrincipalFilter
from fujie.model.vocabulary import ADMINISTRATOR, State


def _principal(row: Sequence[Any]) -> Principal:
    return _decoded(tuple(row))


@lru_cache(maxsize=4096)  # the row is read every time; what it means does not change
def _decoded(row: tuple[Any, ...]) -> Principal:
    return Principal(
        id=row[0],
        kind=State(row[1]),
        roles=_roles(row[2]),
        department=row[3],
        employment=State(row[4]),
        training=State(row[5]),
        attributes=_attributes(row[6]),
    )


def _roles(stored: str) -> frozenset[str]:
    values = json.loads(stored)
    if not isinstance(values, list):  # frozenset would take the letters of a string for roles
        raise TypeError("roles are a list")
    return frozenset(values)


def _attributes(stored: str) -> Mapping[str, AttributeValue]:
    values = json.loads(stored)
    if not isinstance(values, dict):
        raise TypeError("attributes are a map")
    return MappingProxyType({name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def _administers(principal: Principal) -> bool:
    return ADMINISTRATOR in principal.roles and principal.employment is State.ACTIVE


def _values(principal: Principal) -> dict[str, object]:
    return {
        "kind": principal.kind.value,
        "roles": json.dumps(sorted(principal.roles)),
        "department": principal.department,
        "employment": principal.employment.value,
        "training": principal.training.value,
        "attributes": json.dumps(dict(principal.attributes), sort_keys=True),
        "is_administrator": ADMINISTRATOR in principal.roles,
    }


_COLUMNS = (
    table.c.id, table.c.kind, table.c.roles, table.c.department, table.c.employment, table.c.training, table.c.attributes
)  # fmt: skip
_BY_ID = Query(sa.select(*_COLUMNS).where(table.c.id == sa.bindparam("id")), _principal)


def _keyed(row: Sequence[Any]) -> Keyed[Principal]:
    return row[0], _principal(row)


def _with_role() -> sa.ColumnElement[bool]:
    """Return whether the stored list has the role whose JSON text is bound as `role`.

    In the text that `json.dumps` writes, a quote inside a name has a backslash before it. So only an
    element begins with `["` or `, "`, and its text ends at its closing quote: the comparison is exact. LIKE
    would not be: SQLite's knows no case.
    """
    first, later = (
        sa.literal(before).concat(sa.bindparam("role", type_=sa.Text)) for before in ("[", ", ")
    )
    return sa.or_(*(sa.func.replace(table.c.roles, part, "") != table.c.roles for part in (first, later)))


@lru_cache(maxsize=16)
def _listed(by_role: bool, narrowed: tuple[str, ...]) -> Query[Keyed[Principal]]:  # noqa: FBT001 - part of a cache key
    select = sa.select(*_COLUMNS).where(table.c.id > sa.bindparam("after", type_=sa.Text))
    for name in narrowed:
        select = select.where(table.c[name] == sa.bindparam(name))
    if by_role:
        select = select.where(_with_role())
    return Query(select.order_by(table.c.id).limit(sa.bindparam("size", type_=sa.Integer)), _keyed)


_ADMINISTRATORS = sa.select(table.c.id).where(
    table.c.is_administrator == sa.true(), table.c.employment == State.ACTIVE.value
)
_ADMINISTRATOR = Query(_ADMINISTRATORS.limit(1), tuple)


class Principals:
    """The directory in the ledger, as `ports.Directory`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, principal_id: str) -> Principal | None:
        """See `ports.Directory.get`."""
        found = await self._database.rows(_BY_ID, {"id": principal_id})
        return found[0] if found else None

    async def has_administrator(self) -> bool:
        """See `ports.Directory.has_administrator`."""
        return bool(await self._database.rows(_ADMINISTRATOR, {}))

    async def page(self, asked: PrincipalFilter, part: Slice) -> Page[Principal]:
        """See `ports.Directory.page`; reads every principal behind the start until the page is full."""
        given = {
            "department": asked.department,
            "employment": asked.employment.value if asked.employment else "",
            "kind": asked.kind.value if asked.kind else "",
        }
        query = _listed(bool(asked.role), tuple(name for name, value in given.items() if value))
        values = {**given, "role": json.dumps(asked.role), "after": part.after}
        return await read_page(self._database, query, values, part)

    async def upsert(self, principal: Principal, now: datetime) -> Principal:
        """See `ports.Directory.upsert`."""

        def work(connection: Connection) -> Principal:
            if principal.employment is not State.OFFBOARDED:
                for known in _BY_ID.within(connection, {"id": principal.id}):
                    if known.employment is State.OFFBOARDED:
                        raise RequestError(code="OFFBOARDED_STAYS", field="principal.employment")
            _write(connection, principal, now)
            return principal

        return await self._database.write(work)

    async def offboard(self, principal_id: str, now: datetime) -> Principal | None:
        """See `ports.Directory.offboard`; what else the record says stays."""

        def work(connection: Connection) -> Principal | None:
            for known in _BY_ID.within(connection, {"id": principal_id}):
                gone = replace(known, employment=State.OFFBOARDED, roles=frozenset())
                _write(connection, gone, now)
                return gone
            return None

        return await self._database.write(work)


def _write(connection: Connection, principal: Principal, now: datetime) -> None:
    change = next_change(connection)  # first: it makes this the only writer
    if not _administers(principal):
        active = {found for (found,) in connection.execute(_ADMINISTRATORS).all()}
        if active == {principal.id}:
            raise RequestError(code="LAST_ADMINISTRATOR")
    row = {**_values(principal), "updated_at": to_micros(now), "change_seq": change}
    # Not ON CONFLICT: drawing the change first has made this the only writer, in every database.
    updated = connection.execute(sa.update(table).where(table.c.id == principal.id).values(row))
    if updated.rowcount == 0:
        connection.execute(sa.insert(table), {"id": principal.id, **row})
