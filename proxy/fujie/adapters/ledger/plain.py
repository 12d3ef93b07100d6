"""Plain customers: who they are and all that was said of them, by one statement for many.

Most customers are plain: their store key and their number lead to one sid, the same, for which nothing else counts. Of them
everything is told by one row, or one for each event of consent; whether they opted out, or got messages lately, by a flag
each, which is set for few. A list of values in a WHERE is sorted first; here the customers are rows, and are taken in order.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fujie.adapters.ledger.consents import BEARING_COLUMNS, bare_of
from fujie.adapters.ledger.database import Database, Query, padded_size
from fujie.adapters.ledger.outbox_tables import message
from fujie.adapters.ledger.suppressions import IS_STANDING, OF_SUPPRESSION
from fujie.adapters.ledger.tables import alias, consent_event, subject, suppression
from fujie.model.consent import BareEvent
from fujie.model.customer import Identity
from fujie.ports.messaging import Recalled

PLAIN_TOGETHER: Final = 512
"""Customers of one statement."""

Asked = tuple[int, bytes, bytes]
"""The place of a customer, the digest of its store key, and that of its number: again the first where it has none."""

_Row = tuple[Sequence[Any], BareEvent | None]
"""The columns as the driver gives them, and the event that stands in them."""

_TIME = BEARING_COLUMNS.index(consent_event.c.event_time)
_PLACE, _SID, _IS_ODD, _CLOSED, _REACHED, _WRAPPED, _CHANGE = range(
    len(BEARING_COLUMNS), len(BEARING_COLUMNS) + 7
)
_KEY, _NUMBER, _E = alias.alias("own_key"), alias.alias("own_number"), consent_event.c


class Plain(NamedTuple):
    """Who is plain, by place, with identity and events. Their opt-outs and messages are still to be read: of those in
    `closed`, for whom an opt-out stands, and in `reached`, whose sid or number got messages lately."""

    known: dict[int, Recalled]
    closed: list[int]
    reached: list[int]


def _row(row: Sequence[Any]) -> _Row:
    return row, None if row[0] is None else bare_of(row)


@lru_cache(maxsize=32)
def _plain(count: int, *, of_purpose: bool) -> Query[_Row]:
    """Return the query for `count` customers, of whom some may be NULL."""
    names = ("place", "key_digest", "number_digest")
    columns: list[sa.ColumnClause[Any]] = [sa.column(name) for name in names]
    given: list[tuple[Any, ...]] = [
        (sa.literal_column(str(n)), _digest(f"k{n}"), _digest(f"p{n}")) for n in range(count)
    ]
    asked = sa.values(*columns, name="given").data(given).cte("asked").c
    is_lately = message.c.claimed_at >= sa.bindparam("since", type_=sa.BigInteger)
    is_sent = sa.and_(is_lately, message.c.state != sa.literal_column("'FAILED'"))
    of_sid = _E.sid == _KEY.c.sid
    said = sa.and_(of_sid, _E.purpose == sa.bindparam("purpose")) if of_purpose else of_sid
    closed = sa.select(suppression.c.sid).select_from(OF_SUPPRESSION)
    select = (
        sa.select(
            *BEARING_COLUMNS,
            asked.place,
            _KEY.c.sid,
            sa.or_(_NUMBER.c.sid != _KEY.c.sid, subject.c.is_linked),
            _is_any(closed.where(suppression.c.sid == _KEY.c.sid, IS_STANDING)),
            _is_any(sa.select(message.c.sid).where(message.c.sid == _KEY.c.sid, is_sent))
            | _is_any(sa.select(message.c.sid).where(message.c.address == asked.number_digest, is_sent)),
            subject.c.wrapped_key,
            _E.change_seq,
        )
        # Outer joins, so that no database begins with another table: SQLite would read all of `alias`.
        .join_from(asked.place.table, _KEY, _current(_KEY, asked.key_digest), isouter=True)
        .outerjoin(_NUMBER, _current(_NUMBER, asked.number_digest))
        .outerjoin(subject, subject.c.sid == _KEY.c.sid)
        .outerjoin(consent_event, said)
    )
    return Query(select, _row)


def _is_any(select: sa.Select[Any]) -> sa.ColumnElement[bool]:
    """Tell whether a row is there. An EXISTS PostgreSQL may answer from a hash of the whole table, which it reads for that."""
    return select.limit(sa.literal_column("1")).scalar_subquery().is_not(None)


def _digest(name: str) -> sa.BindParameter[bytes]:
    return sa.bindparam(name, type_=sa.LargeBinary)


def _current(of: sa.FromClause, digest: sa.ColumnElement[Any]) -> sa.ColumnElement[bool]:
    return sa.and_(of.c.digest == digest, of.c.valid_to.is_(None))


@lru_cache(maxsize=16)
def _names(count: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(f"k{n}" for n in range(count)), tuple(f"p{n}" for n in range(count))


async def plain(database: Database, asked: Sequence[Asked], purpose: str, since: int) -> Plain:
    """Return who is plain of customers that are given by a store key, and their number where they have one.

    Their events are those for `purpose`, or all (empty); `since` is when lately began.
    """
    found = Plain({}, [], [])
    for start in range(0, len(asked), PLAIN_TOGETHER):
        part = asked[start : start + PLAIN_TOGETHER]
        count = padded_size(len(part))
        places, keys, numbers = zip(*part, *[(0, None, None)] * (count - len(part)), strict=True)
        of_key, of_number = _names(count)
        values: dict[str, object] = dict(zip(of_key, keys, strict=True))
        values.update(zip(of_number, numbers, strict=True), purpose=purpose, since=since)
        rows = await database.rows(_plain(count, of_purpose=bool(purpose)), values)
        _add(found, rows, places)
    return found


def _add(found: Plain, rows: Sequence[_Row], places: Sequence[int]) -> None:
    """Add those none of whose rows tells of somebody else."""
    of_each: dict[int, list[_Row]] = {}
    for each in rows:
        n = each[0][_PLACE]
        if n in of_each:
            of_each[n].append(each)
        else:
            of_each[n] = [each]
    for n, own in of_each.items():
        row, event = own[0]
        if len(own) > 1:
            own.sort(key=_by_time)
        if row[_IS_ODD] != 0 or (len(own) > 1 and any(other[_IS_ODD] != 0 for other, _ in own)):
            continue  # NULL too: nobody
        events = () if event is None else (event,) if len(own) == 1 else [said for _, said in own if said]
        place = places[n]
        found.known[place] = Recalled(Identity(row[_SID], wrapped_key=row[_WRAPPED]), events, (), ())
        if row[_CLOSED]:
            found.closed.append(place)
        if row[_REACHED]:
            found.reached.append(place)


def _by_time(each: _Row) -> tuple[int, int]:
    row, event = each
    return (row[_TIME], row[_CHANGE]) if event else (0, 0)
