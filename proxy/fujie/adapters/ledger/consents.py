"""Consent events: appended, never changed. Order is event_time, then order of arrival (`change_seq`)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query, members, next_change, one_of, padded_size
from fujie.adapters.ledger.given import Told, given_texts
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.latesplits import copied_id, left_lately
from fujie.adapters.ledger.pages import Keyed, change_after, read_page
from fujie.adapters.ledger.tables import consent_event
from fujie.model.consent import NEGATIVE, BareEvent, ConsentEvent, ConsentEventType, EntryRef, Notice
from fujie.model.customer import Correction
from fujie.model.errors import RequestError
from fujie.model.page import Page, Slice

_C = consent_event.c
EVENT_COLUMNS = (
    _C.record_id, _C.sid, _C.purpose, _C.type, _C.event_time, _C.received_at, _C.actor, _C.channel,
    _C.explicit, _C.separate, _C.valid_until, _C.notice_id, _C.notice_version, _C.notice_language,
    _C.notice_digest, _C.controller, _C.jurisdiction, _C.data_classes, _C.recipients,
    _C.storage_locations, _C.retention_days, _C.collection_method, _C.withdrawal_method, _C.source,
    _C.evidence_ref, _C.schema_version, _C.entry_origin, _C.entry_index,
)  # fmt: skip


def event_of(row: Sequence[Any]) -> ConsentEvent:
    """Return the event whose `EVENT_COLUMNS` begin the row."""
    return ConsentEvent(
        record_id=row[0],
        sid=row[1],
        purpose=row[2],
        type=ConsentEventType(row[3]),
        event_time=from_micros(row[4]),
        received_at=from_micros(row[5]),
        actor=row[6],
        channel=row[7],
        explicit=bool(row[8]),
        separate=bool(row[9]),
        valid_until=None if row[10] is None else from_micros(row[10]),
        notice=Notice(row[11], row[12], row[13], row[14]),
        controller=row[15],
        jurisdiction=row[16],
        data_classes=_names(row[17]),
        recipients=_names(row[18]),
        storage_locations=_names(row[19]),
        retention_days=row[20],
        collection_method=row[21],
        withdrawal_method=row[22],
        source=row[23],
        evidence_ref=row[24],
        schema=row[25],
        entry=None if row[26] is None else EntryRef(row[26], row[27]),
    )


def _values(event: ConsentEvent) -> dict[str, object]:
    return {
        "record_id": event.record_id,
        "sid": event.sid,
        "purpose": event.purpose,
        "type": event.type.value,
        "event_time": to_micros(event.event_time),
        "received_at": to_micros(event.received_at),
        "actor": event.actor,
        "channel": event.channel,
        "explicit": event.explicit,
        "separate": event.separate,
        "valid_until": None if event.valid_until is None else to_micros(event.valid_until),
        "notice_id": event.notice.id,
        "notice_version": event.notice.version,
        "notice_language": event.notice.language,
        "notice_digest": event.notice.digest,
        "controller": event.controller,
        "jurisdiction": event.jurisdiction,
        "data_classes": json.dumps(event.data_classes),
        "recipients": json.dumps(event.recipients),
        "storage_locations": json.dumps(event.storage_locations),
        "retention_days": event.retention_days,
        "collection_method": event.collection_method,
        "withdrawal_method": event.withdrawal_method,
        "source": event.source,
        "evidence_ref": event.evidence_ref,
        "schema_version": event.schema,
        "entry_origin": event.entry.origin if event.entry else None,
        "entry_index": event.entry.index if event.entry else None,
    }


def _names(stored: str) -> tuple[str, ...]:
    values = [] if stored == "[]" else json.loads(stored)
    if not isinstance(values, list):
        raise TypeError("names are a list")
    return tuple(values)


@lru_cache(maxsize=64)
def history(count: int, *, of_purpose: bool) -> Query[ConsentEvent]:
    """Return the query for every event of `count` sids, or for those of one purpose, in their order."""
    select = sa.select(*EVENT_COLUMNS).where(one_of(_C.sid, count)).order_by(_C.event_time, _C.change_seq)
    return Query(select.where(_C.purpose == sa.bindparam("purpose")) if of_purpose else select, event_of)


_TYPES: Mapping[str, ConsentEventType] = {kind.value: kind for kind in ConsentEventType}


BEARING_COLUMNS = (_C.sid, _C.type, _C.event_time, _C.channel, _C.explicit, _C.separate, _C.valid_until)


def bare_of(row: Sequence[Any]) -> BareEvent:
    """Return the event whose `BEARING_COLUMNS` begin the row."""
    until = row[6]
    return BareEvent(
        row[0], _TYPES[row[1]], from_micros(row[2]), row[3], bool(row[4]), bool(row[5]),
        None if until is None else from_micros(until),
    )  # fmt: skip


@lru_cache(maxsize=32)
def bearing(count: int, *, of_purpose: bool) -> Query[BareEvent]:
    """Return the query for what `history` returns, as far as it bears on the state of consent."""
    select = sa.select(*BEARING_COLUMNS).where(one_of(_C.sid, count)).order_by(_C.event_time, _C.change_seq)
    return Query(select.where(_C.purpose == sa.bindparam("purpose")) if of_purpose else select, bare_of)


def _answered(row: Sequence[Any]) -> tuple[str, ConsentEvent]:
    return row[-1], event_of(row)


_BY_REQUEST = Query(
    sa.select(*EVENT_COLUMNS, _C.request_digest).where(
        _C.actor == sa.bindparam("actor"), _C.request_id == sa.bindparam("request_id")
    ),
    _answered,
)


def _request(row: Sequence[Any]) -> str:
    return str(row[0])


_REQUESTS: Final = Query(
    Told("""
SELECT e.request_id FROM {texts} LEFT JOIN consent_event AS e ON e.actor = :actor AND e.request_id = given.value
WHERE coalesce(e.request_id, '') <> ''
"""),
    _request,
)
"""Those of the given requests that an actor has made."""


def _moment(name: str) -> sa.BindParameter[int]:
    return sa.bindparam(name, type_=sa.BigInteger)


_GIVEN = sa.select(_C.sid).where(
    _C.purpose == sa.bindparam("purpose"),
    _C.type == sa.literal_column("'given'"),
    _C.sid > sa.bindparam("after", type_=sa.Text),
)
_ENDS = sa.union(
    _GIVEN.where(_C.valid_until > _moment("end_after"), _C.valid_until <= _moment("end_until")),
    _GIVEN.where(_C.event_time > _moment("given_after"), _C.event_time <= _moment("given_until")),
).subquery("ends")
_ENDING = Query(
    sa.select(_ENDS.c.sid).order_by(_ENDS.c.sid).limit(sa.bindparam("size", type_=sa.Integer)), _request
)


def _keyed(row: Sequence[Any]) -> Keyed[ConsentEvent]:
    return str(row[-1]), event_of(row)


@lru_cache(maxsize=64)
def _arrived(count: int, *, of_purpose: bool) -> Query[Keyed[ConsentEvent]]:
    # Not IN over a list: Core would write it anew for every call.
    closes = (_C.type == kind.value for kind in sorted(NEGATIVE))
    counts = sa.or_(_C.sid == sa.bindparam("own"), *closes)
    select = sa.select(*EVENT_COLUMNS, _C.change_seq).where(one_of(_C.sid, count), counts)
    select = select.where(_C.change_seq > sa.bindparam("after", type_=sa.BigInteger))
    if of_purpose:
        select = select.where(_C.purpose == sa.bindparam("purpose"))
    return Query(select.order_by(_C.change_seq).limit(sa.bindparam("size", type_=sa.Integer)), _keyed)


class Consents:
    """The history of every customer's consent."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def consent_events(self, sids: Sequence[str], purpose: str) -> Sequence[ConsentEvent]:
        """See `ports.Ledger.consent_events`."""
        if not sids:
            return ()
        query = history(padded_size(len(sids)), of_purpose=bool(purpose))
        return await self._database.rows(query, {**members(sids), "purpose": purpose})

    async def consents_ending(
        self,
        purpose: str,
        ends: tuple[datetime, datetime],
        given: tuple[datetime, datetime] | None,
        part: tuple[str, int],
    ) -> Sequence[str]:
        """See `ports.Ledger.consents_ending`."""
        values = {
            "purpose": purpose,
            "end_after": to_micros(ends[0]),
            "end_until": to_micros(ends[1]),
            "given_after": to_micros(given[0]) if given else 0,
            "given_until": to_micros(given[1]) if given else 0,
            "after": part[0],
            "size": part[1],
        }
        return await self._database.rows(_ENDING, values)

    async def consent_page(
        self, sids: Sequence[str], own: str, purpose: str, part: Slice
    ) -> Page[ConsentEvent]:
        """See `ports.Ledger.consent_page`."""
        if not sids:
            return Page(())
        query = _arrived(padded_size(len(sids)), of_purpose=bool(purpose))
        values = {**members(sids), "own": own, "purpose": purpose, "after": change_after(part)}
        return await read_page(self._database, query, values, part)

    async def record_consent(
        self, event: ConsentEvent, request_id: str, request_digest: str
    ) -> ConsentEvent:
        """See `ports.Ledger.record_consent`; a sid that the ledger does not know is a LedgerError."""
        return await self._database.write(
            lambda connection: _append(connection, event, request_id, request_digest)
        )

    async def record_consents(
        self, rows: Sequence[tuple[ConsentEvent, str, str]]
    ) -> Sequence[ConsentEvent]:
        """See `ports.Ledger.record_consents`."""
        return await self._database.write(lambda connection: [_append(connection, *row) for row in rows])

    async def recorded(self, actor: str, request_ids: Sequence[str]) -> frozenset[str]:
        """See `ports.Ledger.recorded`."""
        if not request_ids:
            return frozenset()
        asked = {**given_texts(request_ids), "actor": actor}
        return frozenset(await self._database.rows(_REQUESTS, asked))


def _append(
    connection: Connection, event: ConsentEvent, request_id: str, request_digest: str
) -> ConsentEvent:
    """Append one event, unless its request was here before."""
    if request_id:
        same = {"actor": event.actor, "request_id": request_id}
        for digest, first in _BY_REQUEST.within(connection, same):
            if digest != request_digest:
                raise RequestError(code="REQUEST_ID_REUSED", field="context.request_id")
            return first
    identity = {"request_id": request_id or None, "request_digest": request_digest}
    row = {**_values(event), **identity, "change_seq": next_change(connection)}
    connection.execute(sa.insert(consent_event), row)
    if event.type in NEGATIVE:
        for sid in left_lately(connection, event.sid, event.received_at):
            _insert_copy(connection, replace(event, sid=sid))
    return event


def copy_refusals(connection: Connection, sids: Sequence[str], sid: str, why: Correction) -> None:
    """Write the latest refusal of `sids`, of each purpose and channel, for `sid` too, because of a split."""
    latest: dict[tuple[str, str], ConsentEvent] = {}
    for event in history(padded_size(len(sids)), of_purpose=False).within(connection, members(sids)):
        if event.type in NEGATIVE:
            latest[event.purpose, event.channel] = event
    for event in latest.values():
        _insert_copy(
            connection,
            replace(event, sid=sid, received_at=why.now, actor=why.actor, evidence_ref=why.evidence_ref),
        )


def _insert_copy(connection: Connection, event: ConsentEvent) -> None:
    copy = replace(event, record_id=copied_id(event.record_id, event.sid), source="split", entry=None)
    identity = {"request_id": None, "request_digest": "", "change_seq": next_change(connection)}
    connection.execute(sa.insert(consent_event), {**_values(copy), **identity})
