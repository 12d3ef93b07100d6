"""The claim: the one transaction after which a message may go to its provider.

Whatever closes and was acknowledged before it stops it here, on any host: all writes of the ledger take turns
(`Database.write`), so that nothing is written between what is read here and the commit.

1. The lease must still be the holder's, and the campaign must run.
2. Nothing may have been written since `marker` of anybody whom a claim reaches, of the requester, or of any processor.
   Changes are few, customers many: so what changed is read, by its sequence, and not what was said of each customer.
3. A number gets one message of a campaign once.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.aliases import IndexKey, alias_of, first_of
from fujie.adapters.ledger.database import (
    Database,
    Query,
    members,
    next_change,
    one_of,
    padded_size,
    update_many,
)
from fujie.adapters.ledger.given import given_digests, run_given
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.messages import parts
from fujie.adapters.ledger.outbox_tables import campaign, message, processor
from fujie.adapters.ledger.tables import (
    alias,
    consent_event,
    principal,
    subject_link,
    suppression,
    suppression_lift,
)
from fujie.adapters.ledger.tallies import Moves
from fujie.model.campaign import Lease
from fujie.model.message import Claim, Claimed

MOST_CHANGED: Final = 50_000
"""Customers or numbers that may have changed since `marker`; with more everybody counts as changed. A decision is less
than seconds old, and no ledger writes as many in that time."""

_M = message.c
_MARKER = sa.bindparam("marker", type_=sa.BigInteger)


class _Held(NamedTuple):
    """An intent, and who holds it until when. `runs` tells whether its campaign does, where it has one."""

    sid: str
    campaign_id: str | None
    state: str
    holder: str
    until: int
    runs: bool

    def is_of(self, lease: Lease) -> bool:
        """Tell whether it is leased, by this very lease, and may go."""
        is_this = self.holder == lease.holder and self.until == to_micros(lease.until)
        return is_this and self.state == "PLANNED" and (self.campaign_id is None or self.runs)


def _held(row: Sequence[Any]) -> tuple[str, _Held]:
    return row[0], _Held(row[1], row[2], row[3], row[4], row[5], row[6] == "RUNNING")


@lru_cache(maxsize=16)
def _intents(count: int) -> Query[tuple[str, _Held]]:
    """Return the query for `count` intents as they stand. By their ids alone: by what `_Held.is_of` asks as well, PostgreSQL
    begins with all that any campaign has planned."""
    select = (
        sa.select(
            _M.intent_id,
            _M.sid,
            _M.campaign_id,
            _M.state,
            _M.holder,
            _M.due_at,
            campaign.c.state.label("runs"),
        )
        .select_from(message.outerjoin(campaign, campaign.c.campaign_id == _M.campaign_id))
        .where(one_of(_M.intent_id, count))
    )
    return Query(select, _held)


def _bytes(row: Sequence[Any]) -> bytes:
    return bytes(row[0])


_REACHED: Final = """
SELECT m.address FROM {digests} LEFT JOIN message AS m ON m.campaign_id = :campaign_id AND m.address = given.value
WHERE coalesce(m.campaign_id, '') <> ''
"""
"""Those of the given numbers that a campaign has reached."""


def _changed_sids() -> Query[str]:
    lifted = sa.select(suppression.c.sid).join(
        suppression_lift, suppression_lift.c.suppression_id == suppression.c.suppression_id
    )
    link = subject_link.c
    sids = sa.union(
        sa.select(consent_event.c.sid).where(consent_event.c.change_seq > _MARKER),
        sa.select(suppression.c.sid).where(suppression.c.change_seq > _MARKER),
        lifted.where(suppression_lift.c.change_seq > _MARKER),
        sa.select(link.sid).where(link.change_seq > _MARKER),
        sa.select(link.other).where(link.change_seq > _MARKER),
        sa.select(alias.c.sid).where(alias.c.change_seq > _MARKER),
        sa.select(_M.sid).where(_M.claim_seq > _MARKER),
    ).subquery("sids")
    return Query(sa.select(sids.c.sid).limit(MOST_CHANGED + 1), first_of)


_CHANGED_SIDS = _changed_sids()
_CHANGED_DIGESTS = Query(
    sa.select(alias.c.digest).where(alias.c.change_seq > _MARKER).limit(MOST_CHANGED + 1), _bytes
)
_CLAIMED_ADDRESSES = Query(
    sa.select(_M.address).where(_M.claim_seq > _MARKER).limit(MOST_CHANGED + 1), _bytes
)


_HOLDERS: Final = """
SELECT DISTINCT a.sid FROM {digests} LEFT JOIN alias AS a ON a.key_version = :key_version AND a.digest = given.value
WHERE coalesce(a.sid, '') <> '' LIMIT :most
"""
"""All who have or had what the digests stand for."""


def _changed_for_all() -> Query[str]:
    requester = sa.select(principal.c.id).where(
        principal.c.id == sa.bindparam("requester"),
        sa.or_(
            principal.c.change_seq > _MARKER,
            principal.c.employment == "OFFBOARDED",
            principal.c.offboard_at <= sa.bindparam("now", type_=sa.BigInteger),
        ),
    )
    carrier = sa.select(processor.c.id).where(processor.c.change_seq > _MARKER)
    return Query(sa.select(sa.union_all(requester, carrier).subquery("changed").c.id), first_of)


_CHANGED_FOR_ALL = _changed_for_all()
_CLAIM = (
    sa.update(message)
    .where(_M.intent_id == sa.bindparam("of"))
    .values(
        state="CLAIMED",
        **{
            name: sa.bindparam(name)
            for name in (
                "address", "content", "segments", "provider", "claimed_at", "claim_seq", "changed_at", "link",
                "asks",
            )
        },
    )
)  # fmt: skip


class _Changed:
    """Who changed since the marker."""

    def __init__(
        self, connection: Connection, marker: int, requester: tuple[str, datetime], key_version: str
    ) -> None:
        at = {"marker": marker}
        asker = {"requester": requester[0], "now": to_micros(requester[1])}
        self._is_everybody = bool(_CHANGED_FOR_ALL.within(connection, {**at, **asker}))
        self._sids = set(_CHANGED_SIDS.within(connection, at))
        digests = _CHANGED_DIGESTS.within(connection, at)
        claimed = _CLAIMED_ADDRESSES.within(connection, at)
        self._addresses = {*digests, *claimed}
        if max(len(self._sids), len(digests), len(claimed)) > MOST_CHANGED:
            self._is_everybody = True
        # Who has, or had, a number of which something changed: another has it too now, or it spoke for itself.
        for part in () if self._is_everybody else parts(list(set(digests))):
            of = {**given_digests(part), "key_version": key_version, "most": MOST_CHANGED + 1}
            self._sids.update(run_given(connection, _HOLDERS, of).scalars())
        self._is_everybody |= len(self._sids) > MOST_CHANGED

    def has(self, sids: Iterable[str], address: bytes) -> bool:
        """Tell whether anything was written of these."""
        return self._is_everybody or address in self._addresses or not self._sids.isdisjoint(sids)

    def add(self, sids: Iterable[str]) -> None:
        """Remember who is claimed: what was read of them before does not tell of it."""
        self._sids.update(sids)


class Claims:
    """What goes out."""

    def __init__(self, database: Database, index: IndexKey) -> None:
        self._database = database
        self._index = index

    async def claim(
        self, lease: Lease, claims: Sequence[Claim], marker: int, requester: str, now: datetime
    ) -> Claimed:
        """See `ports.messaging.Outbox.claim`."""
        wanted = {claim.intent_id: claim for claim in claims}
        addresses = {each: alias_of(self._index, claim.phone).digest for each, claim in wanted.items()}

        def work(connection: Connection) -> Claimed:
            held = _held_by(connection, lease, list(wanted), now)
            if not held:
                return Claimed()
            reached = _reached_by(connection, lease, [addresses[each] for each in held])
            changes = _Changed(connection, marker, (requester, now), self._index.id)
            claimed, changed, repeated = list[str](), list[str](), list[str]()
            for intent_id, claim in wanted.items():
                if intent_id not in held:
                    continue
                sids, address = (held[intent_id].sid, *claim.sids), addresses[intent_id]
                if address in reached:
                    repeated.append(intent_id)
                elif changes.has(sids, address):
                    changed.append(intent_id)
                else:
                    claimed.append(intent_id)
                    changes.add(sids)
                    if lease.campaign is not None:
                        reached.add(address)
            if claimed:
                rows = [_row(wanted[each], addresses[each], now) for each in claimed]
                _store(connection, rows, [held[each] for each in claimed])
            return Claimed(frozenset(claimed), frozenset(changed), frozenset(repeated))

        return await self._database.write(work)


def _held_by(
    connection: Connection, lease: Lease, intent_ids: Sequence[str], now: datetime
) -> dict[str, _Held]:
    """Return which intents the lease still holds, and may send."""
    held = dict[str, _Held]()
    if lease.until <= now:
        return held
    for part in parts(intent_ids):
        found = _intents(padded_size(len(part))).within(connection, members(part))
        held.update({intent_id: each for intent_id, each in found if each.is_of(lease)})
    return held


def _reached_by(connection: Connection, lease: Lease, addresses: Sequence[bytes]) -> set[bytes]:
    """Return which of these numbers the campaign has reached."""
    if lease.campaign is None:
        return set()
    of = {**given_digests(addresses), "campaign_id": lease.campaign.id}
    return {bytes(row[0]) for row in run_given(connection, _REACHED, of)}


def _row(claim: Claim, address: bytes, now: datetime) -> dict[str, object]:
    return {
        "of": claim.intent_id,
        "address": address,
        "content": claim.content,
        "segments": claim.segments,
        "provider": claim.provider,
        "claimed_at": to_micros(now),
        "changed_at": to_micros(now),
        "link": claim.link or None,
        "asks": claim.asks or None,
    }


def _store(connection: Connection, rows: Sequence[dict[str, object]], held: Sequence[_Held]) -> None:
    change, moves = next_change(connection), Moves()
    update_many(connection, _CLAIM, [{**row, "claim_seq": change} for row in rows])
    for each in held:
        moves.add(each.campaign_id, "PLANNED", n=-1)
        moves.add(each.campaign_id, "CLAIMED")
    moves.store(connection)
