"""Messages as they stand, and what is asked of them while they are under way."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.aliases import STORE_KEY, IndexKey, alias_of, first_of
from fujie.adapters.ledger.database import Database, Query, members, one_of, padded_size
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.outbox_tables import IS_ASKING, IS_CLAIMED, IS_UNKNOWN, message
from fujie.adapters.ledger.tables import alias, subject
from fujie.model.customer import Phone
from fujie.model.errors import LedgerError
from fujie.model.message import Category, Message, MessageState
from fujie.ports.messaging import Asked, ProviderLink
from fujie.ports.providers import Unresolved

ASKED_AGAIN: Final = timedelta(seconds=60)
"""How long a provider is left alone with a message whose outcome it could not tell."""

MOST_IDS: Final = 1024
"""Ids of one statement."""

_M = message.c
_COLUMNS = (
    _M.intent_id, _M.state, _M.requester, _M.purpose, _M.category, _M.created_at, _M.changed_at, _M.campaign_id,
    _M.segments, _M.provider, _M.provider_message_id, _M.reason, _M.request_digest,
)  # fmt: skip


def _message(row: Sequence[Any]) -> Message:
    return Message(
        id=row[0],
        state=MessageState(row[1]),
        requester=row[2],
        purpose=row[3],
        category=Category(row[4]),
        created_at=from_micros(row[5]),
        changed_at=from_micros(row[6]),
        campaign_id=row[7] or "",
        segments=row[8],
        provider=row[9],
        provider_message_id=row[10] or "",
        reason=row[11],
    )


def _answered(row: Sequence[Any]) -> tuple[str, Message]:
    return row[-1], _message(row)


_BY_ID = Query(sa.select(*_COLUMNS).where(_M.intent_id == sa.bindparam("intent_id")), _message)
BY_REQUEST = Query(
    sa.select(*_COLUMNS).where(
        _M.requester == sa.bindparam("requester"), _M.request_id == sa.bindparam("request_id")
    ),
    _answered,
)
"""The message that a request began, behind the digest of that request."""


@lru_cache(maxsize=32)
def _claimed_sids(count: int) -> Query[str]:
    # An intent that is CLAIMED has a time of its claim: said, so that the index of it is used.
    select = sa.select(_M.intent_id).where(one_of(_M.sid, count), _M.claimed_at.is_not(None), IS_CLAIMED)
    return Query(select, first_of)


@lru_cache(maxsize=32)
def _claimed_by_number(count: int) -> Query[str]:
    """Return the query for what is CLAIMED to a number that `count` sids have or are, or to anybody who has or had it:
    what is said under one of them may close for all of these."""
    held, own = alias.alias("held"), alias.alias("own")
    is_ours = sa.and_(one_of(held.c.sid, count), held.c.kind != STORE_KEY)
    numbers = sa.select(held.c.digest).where(is_ours)
    shares = sa.exists().where(own.c.sid == _M.sid, own.c.digest == held.c.digest, is_ours)
    select = sa.select(_M.intent_id).where(
        _M.claimed_at.is_not(None), IS_CLAIMED, sa.or_(_M.address.in_(numbers), shares)
    )
    return Query(select, first_of)


@lru_cache(maxsize=32)
def _claimed_addresses(count: int) -> Query[str]:
    select = sa.select(_M.intent_id).where(
        one_of(_M.address, count), _M.claimed_at.is_not(None), IS_CLAIMED
    )
    return Query(select, first_of)


_CLAIMED_BY = Query(
    sa.select(_M.intent_id).where(IS_CLAIMED, _M.requester == sa.bindparam("requester")), first_of
)


@lru_cache(maxsize=32)
def _still_claimed(count: int) -> Query[str]:
    return Query(sa.select(_M.intent_id).where(one_of(_M.intent_id, count), IS_CLAIMED).limit(1), first_of)


def _link(row: Sequence[Any]) -> ProviderLink:
    return ProviderLink(row[0], row[1], row[2], row[3], from_micros(row[4]), row[5], row[6])


_BY_LINK = Query(
    sa.select(
        _M.intent_id, _M.sid, _M.purpose, _M.signature, _M.claimed_at, _M.sealed, subject.c.wrapped_key
    )
    .join(subject, subject.c.sid == _M.sid)
    .where(_M.link == sa.bindparam("link", type_=sa.LargeBinary)),
    _link,
)


def _unresolved(row: Sequence[Any]) -> Unresolved:
    return Unresolved(
        row[0], row[1], row[2], row[3], row[4], row[5] or "", from_micros(row[6]), row[7] or ""
    )


_UNRESOLVED = Query(
    sa.select(
        _M.intent_id,
        _M.sid,
        _M.sealed,
        subject.c.wrapped_key,
        _M.provider,
        _M.provider_message_id,
        _M.claimed_at,
        _M.campaign_id,
    )
    .join(subject, subject.c.sid == _M.sid)
    .where(
        _M.provider == sa.bindparam("provider"),
        IS_UNKNOWN,
        _M.asked_at <= sa.bindparam("asked_before", type_=sa.BigInteger),
        _M.claimed_at < sa.bindparam("before", type_=sa.BigInteger),
    )
    .order_by(_M.asked_at, _M.claimed_at)
    .limit(sa.bindparam("most", type_=sa.Integer)),
    _unresolved,
)


@lru_cache(maxsize=16)
def _ask(count: int) -> sa.Update:
    return sa.update(message).where(one_of(_M.intent_id, count)).values(asked_at=sa.bindparam("at"))


def _asked(row: Sequence[Any]) -> Asked:
    return Asked(row[0], row[1], row[2], from_micros(row[3]), row[4] != "FAILED")


_ASKING = Query(
    sa.select(_M.intent_id, _M.provider, _M.asks, _M.claimed_at, _M.state)
    .where(
        IS_ASKING,
        _M.state != "CLAIMED",
        _M.changed_at < sa.bindparam("before", type_=sa.BigInteger),
    )
    .order_by(_M.changed_at)
    .limit(sa.bindparam("most", type_=sa.Integer)),
    _asked,
)


@lru_cache(maxsize=16)
def _recorded(count: int) -> sa.Update:
    return sa.update(message).where(one_of(_M.intent_id, count)).values(asks=None)


def told(connection: Connection, intent_id: str) -> Message:
    """Return a message as the transaction of `connection` sees it; it must be there."""
    for found in _BY_ID.within(connection, {"intent_id": intent_id}):
        return found
    raise LedgerError("a message that was written is not there")


class Messages:
    """Every message of one ledger."""

    def __init__(self, database: Database, index: IndexKey) -> None:
        self._database = database
        self._index = index

    async def message(self, message_id: str) -> Message | None:
        """See `ports.messaging.Outbox.message`."""
        found = await self._database.rows(_BY_ID, {"intent_id": message_id})
        return found[0] if found else None

    async def claimed_of(
        self, sids: Sequence[str], phones: Sequence[Phone], requester: str = ""
    ) -> frozenset[str]:
        """See `ports.messaging.Outbox.claimed_of`."""
        found = set[str]()
        for part in parts(list(dict.fromkeys(sids))):
            for query in (_claimed_sids, _claimed_by_number):
                found.update(await self._database.rows(query(padded_size(len(part))), members(part)))
        for part in parts([alias_of(self._index, phone).digest for phone in phones]):
            addressed = _claimed_addresses(padded_size(len(part)))
            found.update(await self._database.rows(addressed, members(part)))
        if requester:
            found.update(await self._database.rows(_CLAIMED_BY, {"requester": requester}))
        return frozenset(found)

    async def still_claimed(self, intent_ids: frozenset[str]) -> bool:
        """See `ports.messaging.Outbox.still_claimed`."""
        for part in parts(sorted(intent_ids)):
            if await self._database.rows(_still_claimed(padded_size(len(part))), members(part)):
                return True
        return False

    async def link(self, digest: bytes) -> ProviderLink | None:
        """See `ports.messaging.Outbox.link`."""
        found = await self._database.rows(_BY_LINK, {"link": digest})
        return found[0] if found else None

    async def asking(self, before: datetime, most: int) -> Sequence[Asked]:
        """See `ports.messaging.Outbox.asking`."""
        return await self._database.rows(_ASKING, {"before": to_micros(before), "most": most})

    async def asked(self, intent_ids: Sequence[str]) -> None:
        """See `ports.messaging.Outbox.asked`."""

        def work(connection: Connection) -> None:
            connection.execute(_recorded(padded_size(len(intent_ids))), members(intent_ids))

        if intent_ids:
            await self._database.write(work)

    async def unresolved(self, provider: str, before: datetime, most: int) -> Sequence[Unresolved]:
        """See `ports.messaging.Outbox.unresolved`; `before` follows the clock, and tells when one was asked last."""
        asked = {
            "provider": provider,
            "before": to_micros(before),
            "asked_before": to_micros(before - ASKED_AGAIN),
            "most": most,
        }
        if not await self._database.rows(_UNRESOLVED, asked):
            return ()

        def work(connection: Connection) -> list[Unresolved]:
            found = _UNRESOLVED.within(connection, asked)
            for part in parts([each.intent_id for each in found]):
                at = {**members(part), "at": to_micros(before)}
                connection.execute(_ask(padded_size(len(part))), at)
            return found

        return await self._database.write(work)


def parts(values: Sequence[Any]) -> list[Sequence[Any]]:
    """Return the values in lists that one statement takes."""
    return [values[start : start + MOST_IDS] for start in range(0, len(values), MOST_IDS)]
