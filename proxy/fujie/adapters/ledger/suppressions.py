"""Opt-outs: appended, never changed. What lifted one is a row of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Select

from fujie.adapters.ledger.database import Database, Query, members, next_change, one_of, padded_size
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.latesplits import copied_id, left_lately
from fujie.adapters.ledger.pages import Keyed, change_after, read_page
from fujie.adapters.ledger.tables import suppression, suppression_lift
from fujie.model.consent import EntryRef
from fujie.model.customer import Correction
from fujie.model.errors import RequestError
from fujie.model.page import Page, Slice
from fujie.model.suppression import Confirmation, Suppression, SuppressionFilter, SuppressionScope

_S, _L = suppression.c, suppression_lift.c
_COLUMNS = (
    _S.suppression_id, _S.sid, _S.purpose, _S.channel, _S.brand, _S.event_time, _S.received_at, _S.actor,
    _S.source, _S.evidence_ref, _L.method, _L.evidence_ref, _L.event_time, _L.received_at,
    _L.actor, _S.entry_origin, _S.entry_index, _L.entry_origin, _L.entry_index,
)  # fmt: skip
OF_SUPPRESSION = suppression.outerjoin(suppression_lift, _L.suppression_id == _S.suppression_id)
"""Opt-outs, each with what lifted it."""

IS_STANDING = _L.suppression_id.is_(None)
"""Whether nothing lifted one of `OF_SUPPRESSION`."""


def _suppression(row: Sequence[Any]) -> Suppression:
    is_lifted = row[10] is not None
    return Suppression(
        suppression_id=row[0],
        sid=row[1],
        scope=SuppressionScope(row[2], row[3], row[4]),
        event_time=from_micros(row[5]),
        received_at=from_micros(row[6]),
        actor=row[7],
        source=row[8],
        evidence_ref=row[9],
        lifted=Confirmation(row[10], row[11], from_micros(row[12])) if is_lifted else None,
        lifted_at=from_micros(row[13]) if is_lifted else None,
        lifted_by=row[14] if is_lifted else "",
        entry=_place(row[15], row[16]),
        lift_entry=_place(row[17], row[18]),
    )


def _place(origin: str | None, index: int) -> EntryRef | None:
    return None if origin is None else EntryRef(origin, index)


def _values(given: Suppression) -> dict[str, object]:
    return {
        "suppression_id": given.suppression_id,
        "sid": given.sid,
        "purpose": given.scope.purpose,
        "channel": given.scope.channel,
        "brand": given.scope.brand,
        "event_time": to_micros(given.event_time),
        "received_at": to_micros(given.received_at),
        "source": given.source,
        "evidence_ref": given.evidence_ref,
        "actor": given.actor,
        "entry_origin": given.entry.origin if given.entry else None,
        "entry_index": given.entry.index if given.entry else None,
    }


def _select() -> Select[Any]:
    return sa.select(*_COLUMNS).select_from(OF_SUPPRESSION)


@lru_cache(maxsize=64)
def standing(count: int) -> Query[Suppression]:
    """Return the query for the opt-outs of `count` sids that were not lifted."""
    return Query(_select().where(one_of(_S.sid, count), IS_STANDING), _suppression)


_BY_ID = Query(_select().where(_S.suppression_id == sa.bindparam("suppression_id")), _suppression)


def _answered(row: Sequence[Any]) -> tuple[str, Suppression]:
    return row[-1], _suppression(row)


_BY_REQUEST = Query(
    sa.select(*_COLUMNS, _S.request_digest)
    .select_from(OF_SUPPRESSION)
    .where(_S.actor == sa.bindparam("actor"), _S.request_id == sa.bindparam("request_id")),
    _answered,
)


def _id(row: Sequence[Any]) -> str:
    return str(row[0])


_LIFT_BY_REQUEST = Query(
    sa.select(_L.suppression_id).where(
        _L.actor == sa.bindparam("actor"), _L.request_id == sa.bindparam("request_id")
    ),
    _id,
)


def _keyed(row: Sequence[Any]) -> Keyed[Suppression]:
    return str(row[-1]), _suppression(row)


@lru_cache(maxsize=64)
def _listed(count: int, asked: tuple[bool, bool, bool]) -> Query[Keyed[Suppression]]:
    by_purpose, by_channel, with_lifted = asked
    select = sa.select(*_COLUMNS, _S.change_seq).select_from(OF_SUPPRESSION)
    select = select.where(_S.change_seq > sa.bindparam("after", type_=sa.BigInteger))
    if count:
        select = select.where(one_of(_S.sid, count))
    if by_purpose:
        select = select.where(sa.or_(_S.purpose == "", _S.purpose == sa.bindparam("purpose")))
    if by_channel:
        select = select.where(sa.or_(_S.channel == "", _S.channel == sa.bindparam("channel")))
    if not with_lifted:
        select = select.where(IS_STANDING)
    size = sa.bindparam("size", type_=sa.Integer)
    return Query(select.order_by(_S.change_seq).limit(size), _keyed)


class Suppressions:
    """Every opt-out of every customer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def suppressions(self, sids: Sequence[str]) -> Sequence[Suppression]:
        """See `ports.Ledger.suppressions`."""
        if not sids:
            return ()
        return await self._database.rows(standing(padded_size(len(sids))), members(sids))

    async def suppression(self, suppression_id: str) -> Suppression | None:
        """See `ports.Ledger.suppression`."""
        found = await self._database.rows(_BY_ID, {"suppression_id": suppression_id})
        return found[0] if found else None

    async def has_suppressed(self, actor: str, request_id: str, *, lifted: bool = False) -> bool:
        """See `ports.Ledger.has_suppressed`."""
        same = {"actor": actor, "request_id": request_id}
        if lifted:
            return bool(await self._database.rows(_LIFT_BY_REQUEST, same))
        return bool(await self._database.rows(_BY_REQUEST, same))

    async def suppression_page(self, asked: SuppressionFilter, part: Slice) -> Page[Suppression]:
        """See `ports.Ledger.suppression_page`."""
        if asked.sids is not None and not asked.sids:
            return Page(())
        sids = asked.sids or ()
        narrowed = (bool(asked.purpose), bool(asked.channel), asked.with_lifted)
        query = _listed(padded_size(len(sids)) if sids else 0, narrowed)
        values = {
            **(members(sids) if sids else {}),
            "purpose": asked.purpose,
            "channel": asked.channel,
            "after": change_after(part),
        }
        return await read_page(self._database, query, values, part)

    async def add_suppression(
        self, given: Suppression, request_id: str, request_digest: str
    ) -> Suppression:
        """See `ports.Ledger.add_suppression`; a sid that the ledger does not know is a LedgerError."""
        identity = {"request_id": request_id or None, "request_digest": request_digest}

        def work(connection: Connection) -> Suppression:
            if request_id:
                same = {"actor": given.actor, "request_id": request_id}
                for digest, first in _BY_REQUEST.within(connection, same):
                    if digest != request_digest:
                        raise RequestError(code="REQUEST_ID_REUSED", field="context.request_id")
                    return first
            _insert(connection, given, identity)
            for sid in left_lately(connection, given.sid, given.received_at):
                _insert(connection, _copy(given, sid), _NO_REQUEST)
            return given

        return await self._database.write(work)

    async def lift_suppression(self, lifted: Suppression, request_id: str) -> Suppression:
        """See `ports.Ledger.lift_suppression`."""
        by, suppression_id = lifted.lifted, lifted.suppression_id
        assert by is not None, "what lifts it is known"
        assert lifted.lifted_at is not None, "when it was lifted is known"
        row = {
            "suppression_id": suppression_id,
            "method": by.method,
            "evidence_ref": by.evidence_ref,
            "event_time": to_micros(by.event_time),
            "received_at": to_micros(lifted.lifted_at),
            "actor": lifted.lifted_by,
            "request_id": request_id or None,
            "entry_origin": lifted.lift_entry.origin if lifted.lift_entry else None,
            "entry_index": lifted.lift_entry.index if lifted.lift_entry else None,
        }

        def work(connection: Connection) -> Suppression:
            if request_id:
                same = {"actor": lifted.lifted_by, "request_id": request_id}
                if any(used != suppression_id for used in _LIFT_BY_REQUEST.within(connection, same)):
                    raise RequestError(code="REQUEST_ID_REUSED", field="context.request_id")
            known = _BY_ID.within(connection, {"suppression_id": suppression_id})
            if not known:
                raise RequestError(code="SUPPRESSION_NOT_FOUND", field="suppression_id")
            if known[0].lifted is not None:  # the first confirmation stands
                return known[0]
            connection.execute(sa.insert(suppression_lift), {**row, "change_seq": next_change(connection)})
            return lifted

        return await self._database.write(work)


_NO_REQUEST: Mapping[str, object] = {"request_id": None, "request_digest": ""}


def copy_suppressions(connection: Connection, sids: Sequence[str], sid: str, why: Correction) -> None:
    """Write every opt-out that stands for `sids` for `sid` too, because of a split."""
    seen = set[SuppressionScope]()
    stood = standing(padded_size(len(sids))).within(connection, members(sids))
    for given in sorted(stood, key=lambda each: (each.event_time, each.suppression_id), reverse=True):
        if given.scope in seen:
            continue  # the latest of one scope is the one that a confirmation has to follow
        seen.add(given.scope)
        copy = replace(
            _copy(given, sid), received_at=why.now, actor=why.actor, evidence_ref=why.evidence_ref
        )
        _insert(connection, copy, _NO_REQUEST)


def _copy(given: Suppression, sid: str) -> Suppression:
    suppression_id = copied_id(given.suppression_id, sid)
    return replace(given, suppression_id=suppression_id, sid=sid, source="split", entry=None)


def _insert(connection: Connection, given: Suppression, identity: Mapping[str, object]) -> None:
    row = {**_values(given), **identity, "change_seq": next_change(connection)}
    connection.execute(sa.insert(suppression), row)
