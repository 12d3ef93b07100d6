"""The directory: who is employed, in which roles. Nothing but this table gives anybody a role."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query, next_change
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.pages import Keyed, read_page
from fujie.adapters.ledger.tables import principal as table
from fujie.model.errors import RequestError
from fujie.model.page import Page, Slice
from fujie.model.principal import AttributeValue, Expected, Principal, PrincipalFilter
from fujie.model.vocabulary import ADMINISTRATOR, State
from fujie.ports import Clock


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
        training_until=_moment(row[7]),
        offboard_at=_moment(row[8]),
        devices=tuple(json.loads(row[9])),
        suspended_by=row[10],
    )


def _moment(stored: int | None) -> datetime | None:
    return None if stored is None else from_micros(stored)


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
    """Tell whether somebody is an administrator, and stays one whatever time it is."""
    is_active = principal.employment is State.ACTIVE and principal.offboard_at is None
    return ADMINISTRATOR in principal.roles and is_active


def _micros(moment: datetime | None) -> int | None:
    return None if moment is None else to_micros(moment)


def _values(principal: Principal) -> dict[str, object]:
    return {
        "kind": principal.kind.value,
        "roles": json.dumps(sorted(principal.roles)),
        "department": principal.department,
        "employment": principal.employment.value,
        "training": principal.training.value,
        "attributes": json.dumps(dict(principal.attributes), sort_keys=True),
        "is_administrator": ADMINISTRATOR in principal.roles,
        "training_until": _micros(principal.training_until),
        "offboard_at": _micros(principal.offboard_at),
        "devices": json.dumps(principal.devices),
        "suspended_by": principal.suspended_by,
    }


_COLUMNS = (
    table.c.id, table.c.kind, table.c.roles, table.c.department, table.c.employment, table.c.training, table.c.attributes,
    table.c.training_until, table.c.offboard_at, table.c.devices, table.c.suspended_by,
)  # fmt: skip
_BY_ID = Query(
    sa.select(*_COLUMNS).where(table.c.id == sa.bindparam("id")), _principal, is_of_now=True, is_shared=True
)


def _keyed(row: Sequence[Any]) -> Keyed[Principal]:
    return row[0], _principal(row)


_NOW = sa.bindparam("now", type_=sa.BigInteger)
_IS_GONE = sa.and_(table.c.offboard_at.is_not(None), table.c.offboard_at <= _NOW)
_LEAVING = Query(
    sa.select(*_COLUMNS).where(
        table.c.is_leaving.is_(True),
        table.c.offboard_at <= _NOW,
        sa.or_(table.c.updated_at < table.c.offboard_at, table.c.updated_at <= sa.bindparam("patience", type_=sa.BigInteger)),
    )
    .order_by(table.c.offboard_at)
    .limit(1),
    _principal,
)  # fmt: skip
"""Who has left with something undone that nobody is at: it became due by itself, or was begun too long ago."""


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


_EMPLOYMENT = sa.case((_IS_GONE, State.OFFBOARDED.value), else_=table.c.employment)


@lru_cache(maxsize=16)
def _listed(by_role: bool, narrowed: tuple[str, ...]) -> Query[Keyed[Principal]]:  # noqa: FBT001 - part of a cache key
    select = sa.select(*_COLUMNS).where(table.c.id > sa.bindparam("after", type_=sa.Text))
    for name in narrowed:
        column = _EMPLOYMENT if name == "employment" else table.c[name]
        select = select.where(column == sa.bindparam(name))
    if by_role:
        select = select.where(_with_role(), sa.not_(_IS_GONE))
    return Query(select.order_by(table.c.id).limit(sa.bindparam("size", type_=sa.Integer)), _keyed)


_IS_LEAVING = Query(
    sa.select(table.c.id).where(table.c.id == sa.bindparam("id"), table.c.is_leaving.is_(True)), tuple
)
_ADMINISTRATORS = sa.select(table.c.id).where(
    table.c.is_administrator == sa.true(),
    table.c.employment == State.ACTIVE.value,
    table.c.offboard_at.is_(None),
)
_ADMINISTRATOR = Query(_ADMINISTRATORS.limit(1), tuple)


UNDONE_S: Final = 60.0
"""After which somebody else goes on with an offboarding: longer than what is on its way may be waited for."""


class Principals:
    """The directory in the ledger, as `ports.Directory`. It reads the clock at every read: who is to leave is gone at that very
    moment in every process, whether or not anybody tells it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def get(self, principal_id: str) -> Principal | None:
        """See `ports.Directory.get`."""
        found = await self._database.rows(_BY_ID, {"id": principal_id})
        return found[0].as_of(self._clock.now()) if found else None

    async def has_administrator(self) -> bool:
        """See `ports.Directory.has_administrator`."""
        return bool(await self._database.rows(_ADMINISTRATOR, {}))

    async def page(self, asked: PrincipalFilter, part: Slice) -> Page[Principal]:
        """See `ports.Directory.page`; reads every principal behind the start until the page is full."""
        now = self._clock.now()
        given = {
            "department": asked.department,
            "employment": asked.employment.value if asked.employment else "",
            "kind": asked.kind.value if asked.kind else "",
        }
        query = _listed(bool(asked.role), tuple(name for name, value in given.items() if value))
        at = {"after": part.after, "now": to_micros(now)}
        page = await read_page(self._database, query, {**given, "role": json.dumps(asked.role), **at}, part)
        return replace(page, rows=tuple(each.as_of(now) for each in page.rows))

    async def upsert(
        self, principal: Principal, now: datetime, expected: Expected | None = None
    ) -> Principal:
        """See `ports.Directory.upsert`."""

        def work(connection: Connection) -> Principal:
            written, standing = principal, None
            for known in _BY_ID.within(connection, {"id": principal.id}):
                standing = known.as_of(now)
                is_gone = standing.employment is State.OFFBOARDED
                if is_gone and principal.employment is not State.OFFBOARDED:
                    raise RequestError(code="OFFBOARDED_STAYS", field="principal.employment")
                written = replace(principal, offboard_at=known.offboard_at)
            if expected is not None and expected.record != standing:
                raise RequestError(code="PRINCIPAL_CHANGED", field="principal")
            leaves = principal.employment is State.OFFBOARDED
            written = _left(written, standing, now) if leaves else written
            _write(connection, written, now, is_leaving=leaves or None)
            return written.as_of(now)

        return await self._database.write(work)

    async def employ(
        self, principal_id: str, employment: State, now: datetime, by: str
    ) -> Principal | None:
        """See `ports.Directory.employ`."""

        def work(connection: Connection) -> Principal | None:
            for known in _BY_ID.within(connection, {"id": principal_id}):
                if known.as_of(now).employment is State.OFFBOARDED:
                    raise RequestError(code="OFFBOARDED_STAYS", field="id")
                ends = None if employment is State.ACTIVE else known.offboard_at
                whose = by if employment is State.SUSPENDED else ""
                changed = replace(known, employment=employment, offboard_at=ends, suspended_by=whose)
                _write(connection, changed, now, is_leaving=ends is not None)
                return changed.as_of(now)
            return None

        return await self._database.write(work)

    async def offboard(
        self, principal_id: str, now: datetime, at: datetime | None = None
    ) -> Principal | None:
        """See `ports.Directory.offboard`; what else the record says stays."""

        def work(connection: Connection) -> Principal | None:
            for known in _BY_ID.within(connection, {"id": principal_id}):
                ends = at if known.offboard_at is None or at is None else min(at, known.offboard_at)
                if ends is not None and ends > now and known.employment is not State.OFFBOARDED:
                    leaves = replace(known, offboard_at=ends)
                else:
                    since = known.offboard_at if known.offboard_at and known.offboard_at <= now else now
                    gone = replace(known, employment=State.OFFBOARDED, roles=frozenset())
                    leaves = replace(gone, offboard_at=since, suspended_by="")
                _write(connection, leaves, now, is_leaving=True)
                return leaves
            return None

        return await self._database.write(work)

    async def leaving(self, now: datetime) -> Principal | None:
        """See `ports.Directory.leaving`; costs no write when there is nobody."""
        since = {"now": to_micros(now), "patience": to_micros(now - timedelta(seconds=UNDONE_S))}
        if not await self._database.rows(_LEAVING, since):
            return None

        def work(connection: Connection) -> Principal | None:
            for known in _LEAVING.within(connection, since):
                taken = {"updated_at": to_micros(now), "change_seq": next_change(connection)}
                connection.execute(sa.update(table).where(table.c.id == known.id).values(taken))
                return known.as_of(now)
            return None

        return await self._database.write(work)

    async def left(self, principal_id: str) -> None:
        """See `ports.Directory.left`."""

        def work(connection: Connection) -> None:
            done = {"is_leaving": False, "change_seq": next_change(connection)}
            connection.execute(sa.update(table).where(table.c.id == principal_id).values(done))

        await self._database.write(work)

    async def is_leaving(self, principal_id: str) -> bool:
        """See `ports.Directory.is_leaving`."""
        return bool(await self._database.rows(_IS_LEAVING, {"id": principal_id}))


def _left(written: Principal, standing: Principal | None, now: datetime) -> Principal:
    """Return the record of who leaves by being written so: gone from now on, or from when he was, with every device that was
    his till now, which the order to wipe must not miss."""
    has_left = standing is not None and standing.employment is State.OFFBOARDED
    since = (standing.offboard_at if standing and has_left else None) or now
    devices = dict.fromkeys((*written.devices, *(standing.devices if standing else ())))
    return replace(written, roles=frozenset(), offboard_at=since, devices=tuple(devices))


def _write(
    connection: Connection, principal: Principal, now: datetime, *, is_leaving: bool | None = None
) -> None:
    """Write a record; `is_leaving` None leaves that as it is."""
    change = next_change(connection)  # first: it makes this the only writer
    if not _administers(principal):
        active = {found for (found,) in connection.execute(_ADMINISTRATORS).all()}
        if active == {principal.id}:
            raise RequestError(code="LAST_ADMINISTRATOR")
    row = {**_values(principal), "updated_at": to_micros(now), "change_seq": change}
    if is_leaving is not None:
        row["is_leaving"] = is_leaving
    # Not ON CONFLICT: drawing the change first has made this the only writer, in every database.
    updated = connection.execute(sa.update(table).where(table.c.id == principal.id).values(row))
    if updated.rowcount == 0:
        connection.execute(sa.insert(table), {"id": principal.id, **row})
