"""All that a dispatch needs to know of many customers, by few statements: who they are, what they said, what they got.

For each customer it is what `Recall`, `Suppressions` and the messages of the last 24 hours say; a test holds the two
against each other. What `claims` needs to tell whether it still holds is the marker, which is read first.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from operator import attrgetter, itemgetter
from typing import Any, Final, Generic, TypeVar

import sqlalchemy as sa

from fujie.adapters.ledger.consents import bearing
from fujie.adapters.ledger.database import Database, Query, members, one_of, padded_size
from fujie.adapters.ledger.enrolment import MOST_TOGETHER, Enrolment
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.outbox_tables import message
from fujie.adapters.ledger.suppressions import standing
from fujie.model.customer import CustomerRef, Identity, Phone
from fujie.model.message import Category, SentMessage
from fujie.ports.messaging import Recalled, Recollection

T = TypeVar("T")

LATELY: Final = timedelta(hours=24)
"""How far back the caps on messages look: the longest of them is a rolling day."""

_Sent = tuple[Any, str, SentMessage]
"""Whom or where it reached, the id, and the message."""

_M = message.c


def _sent(row: Sequence[Any]) -> _Sent:
    return row[0], row[1], SentMessage(from_micros(row[2]), row[3], Category(row[4]))


@lru_cache(maxsize=32)
def _sent_to(column: sa.Column[Any], count: int) -> Query[_Sent]:
    """Return the query for what somebody got or may have got; what is PLANNED has no time of a claim."""
    select = sa.select(column, _M.intent_id, _M.claimed_at, _M.content, _M.category).where(
        one_of(column, count),
        _M.claimed_at >= sa.bindparam("since", type_=sa.BigInteger),
        _M.state != "FAILED",
    )
    return Query(select, _sent)


class Recollections:
    """Over the tables of `Enrolment`, `Consents`, `Suppressions` and the messages."""

    def __init__(self, database: Database, enrolment: Enrolment) -> None:
        self._database = database
        self._enrolment = enrolment

    async def recall_many(
        self, customers: Sequence[Sequence[CustomerRef]], purpose: str, now: datetime
    ) -> Recollection:
        """See `ports.messaging.Outbox.recall_many`."""
        group = await self._enrolment.enrol(customers, now)
        if not customers:
            return Recollection(group.marker, ())
        since = to_micros(now - LATELY)
        found = list[Recalled]()
        reached = await self._by_address(customers, group.digests, since)
        start = 0
        for identities in _together(group.identities):
            found += await self._recalled(identities, (purpose, since), reached, start)
            start += len(identities)
        return Recollection(group.marker, found)

    async def _recalled(
        self,
        identities: Sequence[Identity],
        what: tuple[str, int],
        reached: Mapping[int, Mapping[str, SentMessage]],
        start: int,
    ) -> list[Recalled]:
        """Return what is known of customers whose sids are few enough for one statement of each kind.

        `reached` is what went to their numbers, by their place behind `start`.
        """
        purpose, since = what
        sids = list(dict.fromkeys([sid for identity in identities for sid in identity.sids]))
        count, each_of = padded_size(len(sids)), members(sids)
        query = bearing(count, of_purpose=bool(purpose))
        said = _Rows(await self._database.rows(query, {**each_of, "purpose": purpose}), _sid)
        closed = _Rows(await self._database.rows(standing(count), each_of), _sid)
        got = _Rows(await self._database.rows(_sent_to(_M.sid, count), {**each_of, "since": since}), _first)
        recalled = []
        for n, identity in enumerate(identities, start):
            messages = {intent_id: message for _, intent_id, message in got.of(identity)}
            if n in reached:
                messages = {**reached[n], **messages}
            sent = tuple(messages.values())
            recalled.append(Recalled(identity, said.of(identity), closed.of(identity), sent))
        return recalled

    async def _by_address(
        self, customers: Sequence[Sequence[CustomerRef]], digests: Sequence[Sequence[bytes]], since: int
    ) -> dict[int, dict[str, SentMessage]]:
        """Return for each customer, by its place, what went to its numbers, whoever it was meant for."""
        sent: dict[int, dict[str, SentMessage]] = {}
        owners: dict[bytes, list[int]] = {}
        for n, refs in enumerate(customers):
            for ref, digest in zip(refs, digests[n], strict=True):
                if isinstance(ref, Phone):
                    owners.setdefault(digest, []).append(n)
        addresses = list(owners)
        for at in range(0, len(addresses), MOST_TOGETHER):
            part = addresses[at : at + MOST_TOGETHER]
            query = _sent_to(_M.address, padded_size(len(part)))
            for address, intent_id, got in await self._database.rows(
                query, {**members(part), "since": since}
            ):
                for n in owners[bytes(address)]:
                    sent.setdefault(n, {})[intent_id] = got
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
    """Yield the customers in groups whose sids one statement takes: what is sorted must come from one."""
    start = size = 0
    for n, identity in enumerate(identities):
        size += 1 + len(identity.others)
        if size > MOST_TOGETHER and n > start:
            yield identities[start:n]
            start, size = n, 1 + len(identity.others)
    yield identities[start:]
