"""What became of messages: from who sent them, from their provider, or from nobody, when their process died.

States only move forward (`model.message`). The recipient's seal is dropped when nobody needs it any more: in a state
that stays, unless the message holds a link, whose page is the recipient's.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.aliases import IndexKey, alias_of
from fujie.adapters.ledger.database import Database, Query, members, one_of, padded_size, update_many
from fujie.adapters.ledger.heard import store_heard
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.messages import MOST_IDS, parts
from fujie.adapters.ledger.outbox_tables import IS_CLAIMED, IS_PLANNED, campaign, message
from fujie.adapters.ledger.tallies import Moves
from fujie.model.message import SETTLED, MessageState, Settled
from fujie.ports.messaging import Heard, Incoming
from fujie.ports.providers import Receipt

_S = MessageState

_BY_HOLDER: Final[Mapping[MessageState, frozenset[MessageState]]] = MappingProxyType(
    {
        _S.PLANNED: frozenset({_S.PLANNED, _S.REFUSED, _S.FAILED}),
        _S.CLAIMED: frozenset({_S.PLANNED, _S.SUBMITTED, _S.FAILED, _S.UNKNOWN}),
        _S.UNKNOWN: frozenset({_S.SUBMITTED, _S.FAILED}),
    }
)
"""From where to where a holder may settle."""

_BY_RECEIPT: Final[Mapping[MessageState, frozenset[MessageState]]] = MappingProxyType(
    {
        _S.CLAIMED: frozenset({_S.SUBMITTED, _S.DELIVERED, _S.FAILED}),
        _S.UNKNOWN: frozenset({_S.SUBMITTED, _S.DELIVERED, _S.FAILED}),
        _S.SUBMITTED: frozenset({_S.DELIVERED, _S.FAILED}),
    }
)
"""From where to where a receipt leads."""

_ABANDONED: Final = "ABANDONED"

_M = message.c


class _Standing(NamedTuple):
    """A message as it stands. `is_cancelled` tells that its campaign is."""

    intent_id: str
    campaign_id: str | None
    state: MessageState
    reason: str
    holder: str
    is_cancelled: bool


def _standing(row: Sequence[Any]) -> _Standing:
    return _Standing(row[0], row[1], MessageState(row[2]), row[3], row[4], row[5] == "CANCELLED")


_STANDING = sa.select(
    _M.intent_id, _M.campaign_id, _M.state, _M.reason, _M.holder, campaign.c.state.label("campaign_state")
).select_from(message.outerjoin(campaign, campaign.c.campaign_id == _M.campaign_id))


@lru_cache(maxsize=16)
def _by_id(count: int) -> Query[_Standing]:
    return Query(_STANDING.where(one_of(_M.intent_id, count)), _standing)


_OF_PROVIDER = _M.provider == sa.bindparam("provider")
_OF_ADDRESS = _M.address == sa.bindparam("address", type_=sa.LargeBinary)
_OF_ECHO = _STANDING.where(_M.intent_id == sa.bindparam("intent_id"), _OF_PROVIDER)
_BY_ECHO = Query(_OF_ECHO, _standing)
_BY_ECHO_AND_ADDRESS = Query(_OF_ECHO.where(_OF_ADDRESS), _standing)
_BY_CAMPAIGN_AND_ADDRESS = Query(
    _STANDING.where(_M.campaign_id == sa.bindparam("campaign_id"), _OF_ADDRESS, _OF_PROVIDER), _standing
)
_OF_PROVIDER_ID = _STANDING.where(
    _OF_PROVIDER, _M.provider_message_id == sa.bindparam("provider_message_id")
).limit(2)
_BY_PROVIDER_ID = Query(_OF_PROVIDER_ID, _standing)
_BY_PROVIDER_ID_AND_ADDRESS = Query(_OF_PROVIDER_ID.where(_OF_ADDRESS), _standing)
_STUCK = Query(
    _STANDING.where(IS_CLAIMED, _M.claimed_at < sa.bindparam("before", type_=sa.BigInteger)).limit(
        MOST_IDS
    ),
    _standing,
)
_GIVEN_UP = Query(
    _STANDING.where(
        _M.campaign_id.is_(None),
        IS_PLANNED,
        _M.due_at <= sa.bindparam("now", type_=sa.BigInteger),
    ).limit(MOST_IDS),
    _standing,
)

_OF = _M.intent_id == sa.bindparam("of")
_OUTCOME = {
    "state": sa.bindparam("to"),
    "reason": sa.bindparam("why"),
    "changed_at": sa.bindparam("at"),
    "provider_message_id": sa.func.coalesce(
        sa.bindparam("provider_id", type_=sa.Text), _M.provider_message_id
    ),
}
_TOLD = sa.update(message).where(_OF).values(_OUTCOME)
_OVER = (
    sa.update(message)
    .where(_OF)
    .values({**_OUTCOME, "sealed": sa.case((_M.link.is_(None), sa.null()), else_=_M.sealed)})
)
_BACK = (
    sa.update(message)
    .where(_OF)
    .values(
        state="PLANNED",
        reason=sa.bindparam("why"),
        changed_at=sa.bindparam("at"),
        holder=sa.case((sa.bindparam("is_kept", type_=sa.Boolean), _M.holder), else_=""),
        due_at=sa.func.coalesce(sa.bindparam("due", type_=sa.BigInteger), _M.due_at),
        attempts=_M.attempts + sa.bindparam("attempt", type_=sa.Integer),
        address=None,
        content="",
        segments=0,
        provider="",
        claimed_at=None,
        claim_seq=None,
        provider_message_id=None,
        link=None,
        asks=None,
    )
)


class _Outcomes:
    """What one transaction writes of messages: one statement for all of a kind."""

    def __init__(self, now: datetime) -> None:
        self._now = to_micros(now)
        self._rows: dict[sa.Update, list[dict[str, object]]] = {}
        self._moves = Moves()

    def move(self, known: _Standing, to: MessageState, why: str, provider_id: str = "") -> None:
        """Let a message end as `to`, or go on there."""
        row = {"to": to.value, "provider_id": provider_id or None}
        self._add(_OVER if to in SETTLED else _TOLD, known, to, {**row, "why": why})

    def give_back(self, known: _Standing, settled: Settled) -> None:
        """Let a message be planned again; the number that it was claimed for is free again."""
        # Who claimed it may try again under the same lease; a message alone is nobody else's.
        is_kept = known.campaign_id is None or (settled.not_before is None and known.state is _S.CLAIMED)
        due = None if is_kept else to_micros(settled.not_before) if settled.not_before else self._now
        row = {"is_kept": is_kept, "due": due, "attempt": int(settled.is_attempt)}
        self._add(_BACK, known, _S.PLANNED, {**row, "why": settled.reason})

    def store(self, connection: Connection) -> None:
        """Write all of it."""
        for statement, rows in self._rows.items():
            update_many(connection, statement, rows)
        self._moves.store(connection)

    def _add(
        self, statement: sa.Update, known: _Standing, to: MessageState, row: dict[str, object]
    ) -> None:
        self._rows.setdefault(statement, []).append({**row, "of": known.intent_id, "at": self._now})
        self._moves.add(known.campaign_id, known.state.value, known.reason, -1)
        self._moves.add(known.campaign_id, to.value, str(row["why"]))


class Outcomes:
    """What is written of messages behind their claim."""

    def __init__(self, database: Database, index: IndexKey) -> None:
        self._database = database
        self._index = index

    async def settle(
        self, holder: str, settled: Sequence[Settled], now: datetime, heard: Heard | None = None
    ) -> None:
        """See `ports.messaging.Outbox.settle`."""
        wanted = {each.intent_id: each for each in settled}
        if not wanted:
            return

        def work(connection: Connection) -> None:
            outcomes = _Outcomes(now)
            for part in parts(list(wanted)):
                for known in _by_id(padded_size(len(part))).within(connection, members(part)):
                    if known.holder == holder:
                        _settle(outcomes, known, wanted[known.intent_id])
            outcomes.store(connection)
            if heard is not None:
                store_heard(connection, heard)

        await self._database.write(work)

    async def sweep(self, now: datetime, seconds: float) -> int:
        """See `ports.messaging.Outbox.sweep`; at most a thousand of each, and no write when there are none."""
        before = {"before": to_micros(now - timedelta(seconds=seconds))}
        stuck = await self._swept(_STUCK, before, now, (_S.UNKNOWN, ""))
        return stuck + await self._swept(_GIVEN_UP, {"now": to_micros(now)}, now, (_S.FAILED, _ABANDONED))

    async def receive(self, receipt: Receipt, now: datetime) -> Incoming:
        """See `ports.messaging.Outbox.receive`; a repeated receipt costs no write."""
        find = self._finder(receipt)
        if find is None:
            return Incoming.UNKNOWN
        query, values = find
        if (come := _what_comes(await self._database.rows(query, values), receipt)) is not Incoming.TAKEN:
            return come

        def work(connection: Connection) -> Incoming:
            found = query.within(connection, values)
            if (come := _what_comes(found, receipt)) is not Incoming.TAKEN:
                return come
            outcomes = _Outcomes(now)
            outcomes.move(found[0], receipt.state, receipt.code, receipt.provider_message_id)
            outcomes.store(connection)
            return come

        return await self._database.write(work)

    def _finder(self, receipt: Receipt) -> tuple[Query[_Standing], dict[str, object]] | None:
        """Return how the message of a receipt is found; None when it names none."""
        of: dict[str, object] = {"provider": receipt.provider}
        if receipt.phone is not None:
            of["address"] = alias_of(self._index, receipt.phone).digest
        if receipt.intent_id:
            # Who opted out is told by the number, so it must be that of the message: else one's own would close others.
            by_echo = _BY_ECHO_AND_ADDRESS if receipt.is_opted_out and receipt.phone else _BY_ECHO
            return by_echo, {**of, "intent_id": receipt.intent_id}
        if receipt.campaign_id and receipt.phone is not None:
            return _BY_CAMPAIGN_AND_ADDRESS, {**of, "campaign_id": receipt.campaign_id}
        if not receipt.provider_message_id:
            return None
        of["provider_message_id"] = receipt.provider_message_id
        return (_BY_PROVIDER_ID_AND_ADDRESS if receipt.phone else _BY_PROVIDER_ID), of

    async def _swept(
        self,
        query: Query[_Standing],
        values: Mapping[str, object],
        now: datetime,
        end: tuple[MessageState, str],
    ) -> int:
        if not await self._database.rows(query, values):
            return 0
        return await self._database.write(partial(_sweep, lambda c: query.within(c, values), now, end))


def _settle(outcomes: _Outcomes, known: _Standing, settled: Settled) -> None:
    if settled.state not in _BY_HOLDER.get(known.state, ()):
        return
    if settled.state is not _S.PLANNED:
        outcomes.move(known, settled.state, settled.reason, settled.provider_message_id)
    elif known.is_cancelled:
        outcomes.move(known, _S.CANCELLED, "")
    else:
        outcomes.give_back(known, settled)


def _sweep(
    find: Callable[[Connection], Sequence[_Standing]],
    now: datetime,
    end: tuple[MessageState, str],
    connection: Connection,
) -> int:
    outcomes, found = _Outcomes(now), find(connection)
    for known in found:
        outcomes.move(known, *end)
    outcomes.store(connection)
    return len(found)


def _what_comes(found: Sequence[_Standing], receipt: Receipt) -> Incoming:
    """Tell what comes of a receipt for these messages; one that fits several is of none."""
    if len(found) != 1 or found[0].state in (_S.PLANNED, _S.REFUSED, _S.CANCELLED):
        return Incoming.UNKNOWN
    leads = receipt.state in _BY_RECEIPT.get(found[0].state, ())
    return Incoming.TAKEN if leads else Incoming.REPEATED
