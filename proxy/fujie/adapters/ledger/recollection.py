"""All that a dispatch needs to know of many customers, by few statements: who they are, what they said, what they got.

For each customer it is what `Recall`, `Suppressions` and the messages of the last 24 hours say; a test holds the two
against each other. What `claims` needs to tell whether it still holds is the marker, which is read first.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa

from fujie.adapters.ledger.consents import history
from fujie.adapters.ledger.database import Database, Query, members, one_of, padded_size
from fujie.adapters.ledger.enrolment import MOST_TOGETHER, Enrolment
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.outbox_tables import message
from fujie.adapters.ledger.suppressions import standing
from fujie.model.consent import ConsentEvent
from fujie.model.customer import CustomerRef, Identity, Phone
from fujie.model.message import Category, SentMessage
from fujie.model.suppression import Suppression
from fujie.ports.messaging import Recalled, Recollection

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
        sent = await self._by_address(customers, group.digests, since)
        start = 0
        for identities in _together(group.identities):
            owners: dict[str, list[int]] = {}
            for n, identity in enumerate(identities):
                for sid in identity.sids:
                    owners.setdefault(sid, []).append(n)
            end = start + len(identities)
            found += await self._recalled(identities, owners, (purpose, since), sent[start:end])
            start = end
        return Recollection(group.marker, found)

    async def _recalled(
        self,
        identities: Sequence[Identity],
        owners: dict[str, list[int]],
        what: tuple[str, int],
        sent: Sequence[dict[str, SentMessage]],
    ) -> list[Recalled]:
        """Return what is known of customers whose sids are few enough for one statement of each kind."""
        (purpose, since), sids = what, list(owners)
        count, each_of = padded_size(len(sids)), members(sids)
        events: list[list[ConsentEvent]] = [[] for _ in identities]
        query = history(count, of_purpose=bool(purpose))
        for event in await self._database.rows(query, {**each_of, "purpose": purpose}):
            for n in owners[event.sid]:
                events[n].append(event)
        suppressions: list[list[Suppression]] = [[] for _ in identities]
        for given in await self._database.rows(standing(count), each_of):
            for n in owners[given.sid]:
                suppressions[n].append(given)
        rows = await self._database.rows(_sent_to(_M.sid, count), {**each_of, "since": since})
        for sid, intent_id, got in rows:
            for n in owners[sid]:
                sent[n][intent_id] = got
        return [
            Recalled(identity, events[n], suppressions[n], tuple(sent[n].values()))
            for n, identity in enumerate(identities)
        ]

    async def _by_address(
        self, customers: Sequence[Sequence[CustomerRef]], digests: Sequence[Sequence[bytes]], since: int
    ) -> list[dict[str, SentMessage]]:
        """Return for each customer what went to its numbers, whoever it was meant for."""
        sent: list[dict[str, SentMessage]] = [{} for _ in customers]
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
                    sent[n][intent_id] = got
        return sent


def _together(identities: Sequence[Identity]) -> Iterator[Sequence[Identity]]:
    """Yield the customers in groups whose sids one statement takes: what is sorted must come from one."""
    start = size = 0
    for n, identity in enumerate(identities):
        size += 1 + len(identity.others)
        if size > MOST_TOGETHER and n > start:
            yield identities[start:n]
            start, size = n, 1 + len(identity.others)
    yield identities[start:]
