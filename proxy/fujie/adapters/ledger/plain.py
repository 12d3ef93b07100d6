"""Plain customers: who they are, and all that was said of and to them, by one statement for many.

Most customers are plain: their store key and their number lead to one sid, the same, for which nothing else counts. The
digests come as two long values, taken apart by the database: with a parameter for each digest it cost the interpreter more than
the database. The statement tells three things, a row for each, by the place of the customer: who it is, with an event of
consent (or none); an opt-out that stands; a message of lately. A statement for each, or a subquery, would look the sids up again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import orjson

from fujie.adapters.ledger.consents import bare_of
from fujie.adapters.ledger.database import Database, Query
from fujie.adapters.ledger.given import Told
from fujie.adapters.ledger.instant import from_micros
from fujie.model.customer import Identity
from fujie.model.errors import LedgerError
from fujie.model.message import Category, SentMessage
from fujie.model.suppression import Suppression, SuppressionScope
from fujie.ports.recollection import RawEvent, RawScope, RawSent, Recalled

PLAIN_TOGETHER: Final = 512
"""Customers of one statement, which keeps the event loop of SQLite for 5 ms."""

Asked = tuple[int, bytes, bytes]
"""The place of a customer, the digest of its store key, and that of its number: again the first where it has none."""

_Row = tuple[Any, ...]

_PERSON, _OPT_OUT = 0, 1
_NOBODY: Final = (None,) * 11

# Outer joins, so that PostgreSQL does not begin with another table, which it would read whole: `alias`, the opt-outs of the
# ledger, its messages. With `coalesce` it does not see that inner ones would do. In SQLite CROSS keeps the order, and in a join
# that is not an outer one a partial index spares the row: who is not there has no row then, instead of one of NULLs.
_PEOPLE = """
WITH people AS MATERIALIZED (
    SELECT asked.place AS place, asked.number AS number, own_key.sid AS sid,
        own_number.sid <> own_key.sid OR coalesce(subject.is_linked, FALSE) AS is_odd{key}
    FROM (
        SELECT n AS place, substr(:of_keys, n * 32 + 1, 32) AS of_key, substr(:numbers, n * 32 + 1, 32) AS number
        FROM ({places}) AS given
    ) AS asked
    {in_order} JOIN alias AS own_key ON own_key.digest = asked.of_key AND own_key.valid_to IS NULL
    {in_order} JOIN alias AS own_number ON own_number.digest = asked.number AND own_number.valid_to IS NULL
    {subject}
)
SELECT place, 0, people.sid, is_odd, e.type, e.channel, e.explicit, e.separate, e.event_time, e.valid_until,
    e.change_seq{own_key}
FROM people LEFT JOIN consent_event AS e ON e.sid = people.sid{purpose}
UNION ALL
SELECT place, 1, u.brand, NULL, u.purpose, u.channel, NULL, NULL, u.event_time, u.received_at, NULL{no_key}
FROM people {in_order} JOIN suppression AS u ON u.sid = people.sid
LEFT JOIN suppression_lift AS l ON l.suppression_id = u.suppression_id
WHERE coalesce(u.sid, '') <> '' AND l.suppression_id IS NULL
"""
_MESSAGES = """
UNION ALL
SELECT place, 2, m.intent_id, m.asks IS NOT NULL, m.content, m.category, NULL, NULL, m.claimed_at, NULL, NULL{no_key}
FROM people {in_order} JOIN message AS m ON m.{whom} AND m.claimed_at >= :since AND m.state <> 'FAILED'
WHERE coalesce(m.sid, '') <> ''
"""
_SUBJECT = "{in_order} JOIN subject ON subject.sid = own_key.sid"
_LINKED_SUBJECT = "LEFT JOIN subject ON subject.sid = own_key.sid AND subject.is_linked"
"""Without the key, the few who are linked are enough: they have an index of their own."""
_WHOM = ("address = people.number", "sid = people.sid")


@dataclass(frozen=True, slots=True)
class Shape:
    """What is told: events of one purpose or of all, messages or none, the data keys or none."""

    of_purpose: bool
    sent: bool
    keys: bool


@lru_cache(maxsize=8)
def telling(shape: Shape) -> Query[_Row]:
    """Return the statement."""
    text = _PEOPLE + ("".join([_MESSAGES.replace("{whom}", each) for each in _WHOM]) if shape.sent else "")
    words = {
        "{purpose}": " AND e.purpose = :purpose" if shape.of_purpose else "",
        "{subject}": _SUBJECT if shape.keys else _LINKED_SUBJECT,
        "{key}": ", subject.wrapped_key AS wrapped_key" if shape.keys else "",
        "{own_key}": ", people.wrapped_key" if shape.keys else "",
        "{no_key}": ", NULL" if shape.keys else "",
    }
    for word, meant in words.items():
        text = text.replace(word, meant)
    return Query(Told(text), tuple)


@lru_cache(maxsize=PLAIN_TOGETHER)
def _places(count: int) -> str:
    return orjson.dumps(list(range(count))).decode()


class Plain:
    """Who is plain, by place, as the rows tell it."""

    def __init__(self) -> None:
        self._people: dict[int, _Row] = {}
        self._several: dict[int, list[_Row]] = {}
        self._closed: dict[int, list[_Row]] = {}
        self._got: dict[int, list[_Row]] = {}

    def lacking(self, count: int) -> list[int]:
        """Return the places below `count` of who is not plain."""
        return [] if len(self._people) == count else [n for n in range(count) if n not in self._people]

    def add(self, rows: Sequence[_Row], places: Sequence[int]) -> None:
        """Add those none of whose rows tells of somebody else."""
        people, several, odd = self._people, self._several, list[int]()
        for row in rows:
            place = places[row[0]]
            if row[1] != _PERSON:
                of = self._closed if row[1] == _OPT_OUT else self._got
                of.setdefault(place, []).append(row)
                continue
            if row[3] != 0:  # NULL too: nobody
                odd.append(place)
            if place in people:
                several.setdefault(place, [people[place]]).append(row)
            people[place] = row
        for place in odd:
            for known in (people, several, self._closed, self._got):
                known.pop(place, None)
        for rows_of_one in several.values():
            rows_of_one.sort(key=_by_time)

    @property
    def closed(self) -> Iterable[int]:
        """Those who opted out of something."""
        return self._closed

    def sids(self, count: int) -> list[str]:
        """Return who they are, below a place; empty for who is not plain."""
        people = self._people
        return [people[n][2] if n in people else "" for n in range(count)]

    def events(self, count: int) -> list[tuple[RawEvent, ...] | None]:
        """Return for each below a place the events in their order, as they are kept; None for who is not plain."""
        rows = [self._people.get(n, _NOBODY) for n in range(count)]
        found: list[Any] = [(row[4:10],) if row[4] is not None else () for row in rows]
        for n, several in self._several.items():
            found[n] = tuple([row[4:10] for row in several])
        for n in self.lacking(count):
            found[n] = None
        return found

    @property
    def scopes(self) -> dict[int, tuple[RawScope, ...]]:
        """The scopes of the opt-outs that stand, of those who have any."""
        return {
            place: tuple([(row[4], row[5], row[2]) for row in rows]) for place, rows in self._closed.items()
        }

    @property
    def sent(self) -> dict[int, tuple[RawSent, ...]]:
        """The messages of lately, of those who got any, each once."""
        return {
            place: tuple({row[2]: (row[5], row[4], row[8]) for row in rows}.values())
            for place, rows in self._got.items()
        }

    def recalled(self, place: int) -> Recalled:
        """Return all that is told of one: of opt-outs, scope and times alone.

        Raises:
            LedgerError: a row holds what nobody of ours wrote.

        """
        row = self._people[place]
        said = self._several.get(place) or ([row] if row[4] is not None else ())
        try:
            return Recalled(
                Identity(row[2], wrapped_key=row[11] if len(row) > 11 else None),
                [bare_of((row[2], each[4], each[8], each[5], *each[6:8], each[9])) for each in said]
                if said
                else (),
                [_suppression(each, row[2]) for each in self._closed[place]]
                if place in self._closed
                else (),
                tuple({each[2]: _sent(each) for each in self._got.get(place, ())}.values()),
            )
        except (ValueError, KeyError, TypeError, OverflowError):
            raise LedgerError("a row of the ledger cannot be understood") from None


def _suppression(row: _Row, sid: str) -> Suppression:
    return Suppression(
        "", sid, SuppressionScope(row[4], row[5], row[2]), from_micros(row[8]), from_micros(row[9]), ""
    )


def _sent(row: _Row) -> SentMessage:
    return SentMessage(from_micros(row[8]), row[4], Category(row[5]), bool(row[3]))


def _by_time(row: _Row) -> tuple[int, int]:
    return row[8], row[10]


async def plain(
    database: Database, asked: Sequence[Asked], purpose: str, since: int | None, *, keys: bool = True
) -> Plain:
    """Return who is plain of customers that are given by a store key, and their number where they have one.

    Their events are those for `purpose`, or all (empty). Their messages are those since `since`, none for None. Without `keys`
    no data key is read.
    """
    found = Plain()
    query = telling(Shape(bool(purpose), since is not None, keys))
    for start in range(0, len(asked), PLAIN_TOGETHER):
        places, of_keys, numbers = zip(*asked[start : start + PLAIN_TOGETHER], strict=True)
        values = {
            "of_keys": b"".join(of_keys), "numbers": b"".join(numbers), "places": _places(len(places)),
            "purpose": purpose, "since": since,
        }  # fmt: skip
        found.add(await database.rows(query, values), places)
    return found
