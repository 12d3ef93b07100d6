"""All that a dispatch needs to know of many customers, by few statements: who they are, what they said, what they got.

One statement tells everything of those who are `plain`; of the others each part is read by a statement of its own. For each
customer it is what `Recall`, `Suppressions` and the messages of the last 24 hours say; a test holds the two against each
other. What `claims` needs to tell whether it still holds is the marker, which is read first.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from operator import attrgetter, itemgetter
from typing import Any, Final, Generic, TypeVar

from fujie.adapters.ledger.consents import bearing
from fujie.adapters.ledger.database import Database, Query, members, padded_size
from fujie.adapters.ledger.enrolment import MOST_TOGETHER, Enrolment
from fujie.adapters.ledger.given import Told, given_digests, given_texts
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.plain import Asked, Plain, plain
from fujie.adapters.ledger.suppressions import standing
from fujie.model.consent import BareEvent
from fujie.model.customer import CustomerRef, Identity, Phone, StoreKey
from fujie.model.message import Category, SentMessage
from fujie.model.suppression import Suppression
from fujie.ports.recollection import People, Recalled, Recollection, Survey

T = TypeVar("T")

LATELY: Final = timedelta(hours=24)
"""How far back the caps on messages look: the longest of them is a rolling day."""

_Sent = tuple[Any, str, SentMessage]
"""Whom or where it reached, the id, and the message."""


def _sent(row: Sequence[Any]) -> _Sent:
    return row[0], row[1], SentMessage(from_micros(row[2]), row[3], Category(row[4]), bool(row[5]))


_SENT = """
SELECT m.{whom}, m.intent_id, m.claimed_at, m.content, m.category, m.asks IS NOT NULL
FROM {list} LEFT JOIN message AS m ON m.{whom} = given.value AND m.claimed_at >= :since
WHERE coalesce(m.state, 'FAILED') <> 'FAILED'
"""
"""What somebody got or may have got; what is PLANNED has no time of a claim."""

_SENT_TO_SIDS: Final = Query(Told(_SENT.format(whom="sid", list="{texts}")), _sent)
_SENT_TO_NUMBERS: Final = Query(Told(_SENT.format(whom="address", list="{digests}")), _sent)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What of customers is asked for: messages `since` then (None: none), data keys or not; and whether it may `enrol` them."""

    purpose: str
    now: datetime
    since: int | None
    enrol: bool = True
    keys: bool = True


class Recollections:
    """Over the tables of `Enrolment`, `Consents`, `Suppressions` and the messages."""

    def __init__(self, database: Database, enrolment: Enrolment) -> None:
        self._database = database
        self._enrolment = enrolment

    async def recall_many(
        self, customers: Sequence[Sequence[CustomerRef]], purpose: str, now: datetime
    ) -> Recollection:
        """See `ports.messaging.Outbox.recall_many`."""
        asked = list(self._plainly_named(customers))
        wanted = _Wanted(purpose, now, to_micros(now - LATELY))
        marker, found, told = await self._read(asked, len(customers), customers.__getitem__, wanted)
        people = {place: found.recalled(place) for place in range(len(customers)) if place not in told}
        closed = await self._closed({place: people[place].identity for place in found.closed})
        people.update({place: people[place]._replace(suppressions=closed[place]) for place in closed})
        people.update(told)
        return Recollection(marker, [people[place] for place in range(len(customers))])

    async def survey(
        self, store: str, people: People, purpose: str, now: datetime, *, enrol: bool, sent: bool
    ) -> Survey:
        """See `ports.messaging.Outbox.survey`."""

        def refs(place: int) -> Sequence[CustomerRef]:
            customer_id, number = people[place]
            key = StoreKey(store, customer_id)
            return (key, Phone(number)) if number else (key,)

        count = len(people)
        asked = list(zip(range(count), *self._enrolment.digests(store, people), strict=True))
        wanted = _Wanted(purpose, now, to_micros(now - LATELY) if sent else None, enrol=enrol, keys=False)
        _, found, told = await self._read(asked, count, refs, wanted)
        sids = found.sids(count)
        for place, other in told.items():
            sids[place] = other.identity.sid
        return Survey(
            sids,
            found.events(count),
            found.scopes,
            found.sent,
            lambda place: told[place] if place in told else found.recalled(place),
        )

    async def _read(
        self,
        asked: Sequence[Asked],
        count: int,
        refs: Callable[[int], Sequence[CustomerRef]],
        wanted: _Wanted,
    ) -> tuple[int, Plain, Mapping[int, Recalled]]:
        """Return the marker, who is plain of `count` customers, and by place what is known of all others."""
        identities: dict[int, Identity] = {}
        for _ in range(2):
            marker = await self._enrolment.marker()
            found = await plain(self._database, asked, wanted.purpose, wanted.since, keys=wanted.keys)
            odd = found.lacking(count)
            if not odd:
                return marker, found, {}
            unknown = [refs(place) for place in odd]
            if not wanted.enrol:
                identities = dict(zip(odd, await self._enrolment.look(unknown), strict=True))
                break
            group = await self._enrolment.enrol(unknown, wanted.now)
            identities = dict(zip(odd, group.identities, strict=True))
            if not group.is_new:
                break  # else we wrote behind the marker ourselves
        return marker, found, await self._told(identities, refs, wanted.purpose, wanted.since)

    async def _told(
        self,
        others: Mapping[int, Identity],
        refs: Callable[[int], Sequence[CustomerRef]],
        purpose: str,
        since: int | None,
    ) -> Mapping[int, Recalled]:
        """Return what is known of those who are not plain, by place; of no messages, where `since` is None."""
        said = await self._said(others, purpose)
        closed = await self._closed(others)
        got = {} if since is None else await self._got(others, refs, since)
        return {
            place: Recalled(identity, said[place], closed[place], got.get(place, ()))
            for place, identity in others.items()
        }

    def _plainly_named(self, customers: Sequence[Sequence[CustomerRef]]) -> Iterator[Asked]:
        """Yield those given by a store key and, perhaps, a number: nearly all who have a row."""
        digest = self._enrolment.digester
        for place, refs in enumerate(customers):
            if refs and isinstance(refs[0], StoreKey):
                key = digest(refs[0])
                if len(refs) == 1:
                    yield place, key, key
                elif len(refs) == 2 and isinstance(refs[1], Phone):
                    yield place, key, digest(refs[1])

    async def _said(
        self, people: Mapping[int, Identity], purpose: str
    ) -> Mapping[int, Sequence[BareEvent]]:
        query = partial(bearing, of_purpose=bool(purpose))
        return await self._by_sid(query, people, {"purpose": purpose}, _sid)

    async def _closed(self, people: Mapping[int, Identity]) -> Mapping[int, Sequence[Suppression]]:
        return await self._by_sid(standing, people, {}, _sid)

    async def _got(
        self, people: Mapping[int, Identity], refs: Callable[[int], Sequence[CustomerRef]], since: int
    ) -> Mapping[int, Sequence[SentMessage]]:
        """Return what went to them, and to their numbers, whoever it was meant for; each message once."""
        of_sid = await self._by_sid(lambda _: _SENT_TO_SIDS, people, {"since": since}, _first, given_texts)
        of_number = await self._by_address({place: refs(place) for place in people}, since)
        got: dict[int, Sequence[SentMessage]] = {}
        for place in people:
            messages = {intent_id: each for _, intent_id, each in of_sid[place]}
            got[place] = tuple({**of_number.get(place, {}), **messages}.values())
        return got

    async def _by_sid(
        self,
        query: Callable[[int], Query[T]],
        identities: Mapping[int, Identity],
        values: Mapping[str, object],
        sid: Callable[[T], str],
        listed: Callable[[Sequence[str]], Mapping[str, object]] = members,
    ) -> dict[int, Sequence[T]]:
        """Return what a query for sids finds for each customer, by its place."""
        found: list[Sequence[T]] = []
        for part in _together(list(identities.values())):
            sids = list(dict.fromkeys([each for identity in part for each in identity.sids]))
            given = {**listed(sids), **values}
            rows = _Rows(await self._database.rows(query(padded_size(len(sids))), given), sid)
            found += [rows.of(identity) for identity in part]
        return dict(zip(identities, found, strict=True))

    async def _by_address(
        self, customers: Mapping[int, Sequence[CustomerRef]], since: int
    ) -> dict[int, dict[str, SentMessage]]:
        """Return for each customer, by its place, what went to its numbers, whoever it was meant for."""
        sent: dict[int, dict[str, SentMessage]] = {}
        owners: dict[bytes, list[int]] = {}
        digest = self._enrolment.digester
        for place, refs in customers.items():
            for ref in refs:
                if isinstance(ref, Phone):
                    owners.setdefault(digest(ref), []).append(place)
        addresses = list(owners)
        for at in range(0, len(addresses), MOST_TOGETHER):
            part = addresses[at : at + MOST_TOGETHER]
            given = {**given_digests(part), "since": since}
            for address, intent_id, got in await self._database.rows(_SENT_TO_NUMBERS, given):
                for place in owners[bytes(address)]:
                    sent.setdefault(place, {})[intent_id] = got
        return sent


class _Rows(Generic[T]):
    """Rows of one statement, to be had by customer, in their order. Most customers have one sid and few rows."""

    def __init__(self, rows: Sequence[T], sid: Callable[[T], str]) -> None:
        self._rows = rows
        self._places: dict[str, list[int]] = {}
        for place, row in enumerate(rows):
            self._places.setdefault(sid(row), []).append(place)

    def of(self, identity: Identity) -> Sequence[T]:
        """Return the rows of all sids of a customer."""
        if not identity.others:
            places = self._places.get(identity.sid)
            return [self._rows[place] for place in places] if places else ()
        found = sorted({place for sid in identity.sids for place in self._places.get(sid, ())})
        return [self._rows[place] for place in found]


_sid: Callable[[Any], str] = attrgetter("sid")
_first: Callable[[Any], str] = itemgetter(0)


def _together(identities: Sequence[Identity]) -> Iterator[Sequence[Identity]]:
    """Yield the customers, if any, in groups whose sids one statement takes: what is sorted must come from one."""
    start = size = 0
    for n, identity in enumerate(identities):
        size += 1 + len(identity.others)
        if size > MOST_TOGETHER and n > start:
            yield identities[start:n]
            start, size = n, 1 + len(identity.others)
    if identities:
        yield identities[start:]
