"""Plain customers: who they are, and all that was said of and to them, by one statement for many.

Most customers are plain: their store key and their number lead to one sid, the same, for which nothing else counts. The
digests come as two long values, taken apart by the database: with a parameter for each digest it cost the interpreter more than
the database. The statement tells four things by the place of the customer: who it is; an event of consent; an opt-out that
stands; a message of lately. A statement for each, or a subquery, would look the sids up again. Of most nothing is told but who
they are: so that is one row for all of them, where no data key is asked for; a row for each is a third of the statement's time.
In SQLite all events are one row too; PostgreSQL takes longer to make a text of them than to tell each.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
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
"""Customers of one statement, which takes SQLite 2 to 5 ms."""

LONG_FROM: Final = 64
"""Customers from which on it takes longer than to have a thread ask, and be told."""

Asked = tuple[int, bytes, bytes]
"""The place of a customer, the digest of its store key, and that of its number: again the first where it has none."""

_Row = tuple[Any, ...]

_EVENT, _PERSON, _EVERYBODY, _OPT_OUT, _MESSAGE, _EVENTS = range(6)

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
SELECT {events}{no_key}
FROM people {in_order} JOIN consent_event AS e ON e.sid = people.sid{purpose}
WHERE coalesce(e.sid, '') <> ''
UNION ALL
{who}
FROM people
UNION ALL
SELECT place, 3, u.brand, NULL, u.purpose, u.channel, NULL, NULL, u.event_time, u.received_at, NULL{no_key}
FROM people {in_order} JOIN suppression AS u ON u.sid = people.sid
LEFT JOIN suppression_lift AS l ON l.suppression_id = u.suppression_id
WHERE coalesce(u.sid, '') <> '' AND l.suppression_id IS NULL
"""
_MESSAGES = """
UNION ALL
SELECT place, 4, m.intent_id, m.asks IS NOT NULL, m.content, m.category, NULL, NULL, m.claimed_at, NULL, NULL{no_key}
FROM people {in_order} JOIN message AS m ON m.{whom} AND m.claimed_at >= :since AND m.state <> 'FAILED'
WHERE coalesce(m.sid, '') <> ''
"""
_EACH = "SELECT place, 1, sid, is_odd, NULL, NULL, NULL, NULL, NULL, NULL, NULL, wrapped_key"
_ALL = """SELECT 0, 2, CAST({as_list}(sid) AS text), NULL, CAST({as_list}(place) AS text), CAST({as_list}(is_odd) AS text),
    NULL, NULL, NULL, NULL, NULL"""
_SUBJECT = "{in_order} JOIN subject ON subject.sid = own_key.sid"
_LINKED_SUBJECT = "LEFT JOIN subject {linked} ON subject.sid = own_key.sid AND subject.is_linked"
"""Without the key, the few who are linked are enough: they have an index of their own."""
_WHOM = ("address = people.number", "sid = people.sid")


@dataclass(frozen=True, slots=True)
class Shape:
    """What is told: events of one purpose or of all, messages or none, the data keys or none; and whether of many."""

    of_purpose: bool
    sent: bool
    keys: bool
    is_long: bool


@lru_cache(maxsize=16)
def telling(shape: Shape) -> Query[_Row]:
    """Return the statement."""
    text = _PEOPLE + ("".join([_MESSAGES.replace("{whom}", each) for each in _WHOM]) if shape.sent else "")
    words = {
        "{purpose}": " AND e.purpose = :purpose" if shape.of_purpose else "",
        "{who}": _EACH if shape.keys else _ALL,
        "{subject}": _SUBJECT if shape.keys else _LINKED_SUBJECT,
        "{key}": ", subject.wrapped_key AS wrapped_key" if shape.keys else "",
        "{no_key}": ", NULL" if shape.keys else "",
    }
    for word, meant in words.items():
        text = text.replace(word, meant)
    return Query(Told(text), tuple, is_long=shape.is_long)


@lru_cache(maxsize=PLAIN_TOGETHER)
def _places(count: int) -> str:
    return orjson.dumps(list(range(count))).decode()


class Plain:
    """Who is plain, by place, as the rows tell it."""

    def __init__(self) -> None:
        self._sids: dict[int, str] = {}
        self._keys: dict[int, bytes | None] = {}
        self._said: dict[int, tuple[RawEvent, ...]] = {}
        self._closed: dict[int, list[_Row]] = {}
        self._got: dict[int, list[_Row]] = {}

    def lacking(self, count: int) -> list[int]:
        """Return the places below `count` of who is not plain."""
        return [] if len(self._sids) == count else [n for n in range(count) if n not in self._sids]

    def add(self, rows: Sequence[_Row], places: Sequence[int]) -> None:
        """Add those none of whose rows tells of somebody else."""
        odd, events = set[int](), list[_Row]()
        told = {_OPT_OUT: self._closed, _MESSAGE: self._got}
        for row in rows:
            if row[1] == _EVERYBODY:
                self._add_all(row, places, odd)
                continue
            if row[1] == _EVENTS:
                self._add_events(_lists(row[2:10]), places)
                continue
            if row[1] == _EVENT:
                events.append((row[0], *row[4:11]))
                continue
            place = places[row[0]]
            if row[1] != _PERSON:
                told[row[1]].setdefault(place, []).append(row)
                continue
            if row[3] != 0:  # NULL too: nobody
                odd.add(place)
            self._sids[place], self._keys[place] = row[2], row[11]
        if events:
            self._add_events(list(zip(*events, strict=True)), places)
        every: tuple[dict[int, Any], ...] = (self._sids, self._keys, self._said, *told.values())
        for place in odd:
            for known in every:
                known.pop(place, None)

    def _add_all(self, row: _Row, places: Sequence[int], odd: set[int]) -> None:
        # Of nobody PostgreSQL lists nothing.
        sids, numbers, oddness = [orjson.loads(each or "[]") for each in (row[2], row[4], row[5])]
        whose = [places[n] for n in numbers]
        self._sids.update(zip(whose, sids, strict=True))
        if set(oddness) - {0}:
            odd.update(place for place, each in zip(whose, oddness, strict=True) if each != 0)

    def _add_events(self, columns: Sequence[Sequence[Any]], places: Sequence[int]) -> None:
        """Add events by column: whose, what `RawEvent` has, the change sequence. Most people have one, and need no look at it."""
        numbers, *values, changes = columns
        whose = [places[n] for n in numbers]
        events = list(zip(*values, strict=True))
        said = dict(zip(whose, zip(events, strict=True), strict=True))
        if len(said) < len(whose):
            several: dict[int, list[Any]] = {n: [] for n, count in Counter(whose).items() if count > 1}
            for place, event, change in zip(whose, events, changes, strict=True):
                if place in several:
                    several[place].append((event[4], change, event))
            for place, found in several.items():
                said[place] = tuple([event for _, _, event in sorted(found, key=_by_time)])
        self._said.update(said)

    @property
    def closed(self) -> Iterable[int]:
        """Those who opted out of something."""
        return self._closed

    def sids(self, count: int) -> list[str]:
        """Return who they are, below a place; empty for who is not plain."""
        return [self._sids.get(n, "") for n in range(count)]

    def events(self, count: int) -> list[tuple[RawEvent, ...] | None]:
        """Return for each below a place the events in their order, as they are kept; None for who is not plain."""
        found: list[Any] = [()] * count
        for n, events in self._said.items():
            found[n] = events
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
        sid, said = self._sids[place], self._said.get(place)
        try:
            return Recalled(
                Identity(sid, wrapped_key=self._keys.get(place)),
                [bare_of((sid, each[0], each[4], each[1], *each[2:4], each[5])) for each in said]
                if said
                else (),
                [_suppression(each, sid) for each in self._closed[place]] if place in self._closed else (),
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


_by_time = itemgetter(0, 1)


def _lists(texts: Sequence[Any]) -> list[list[Any]]:
    try:
        return list(map(orjson.loads, texts))
    except orjson.JSONDecodeError:  # a number that JSON does not know
        raise LedgerError("a row of the ledger cannot be understood") from None


async def plain(
    database: Database, asked: Sequence[Asked], purpose: str, since: int | None, *, keys: bool = True
) -> Plain:
    """Return who is plain of customers that are given by a store key, and their number where they have one.

    Their events are those for `purpose`, or all (empty). Their messages are those since `since`, none for None. Without `keys`
    no data key is read.
    """
    found = Plain()
    query = telling(Shape(bool(purpose), since is not None, keys, len(asked) >= LONG_FROM))
    for start in range(0, len(asked), PLAIN_TOGETHER):
        places, of_keys, numbers = zip(*asked[start : start + PLAIN_TOGETHER], strict=True)
        values = {
            "of_keys": b"".join(of_keys), "numbers": b"".join(numbers), "places": _places(len(places)),
            "purpose": purpose, "since": since,
        }  # fmt: skip
        found.add(await database.rows(query, values), places)
    return found
