"""How sending stands, for who watches it: what is on its way too long, what is in doubt, what nobody takes up.

Five reads of partial indexes, whatever the number of messages; nothing is decided by them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from fujie.adapters.ledger.database import Database, Query
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.outbox_tables import (
    IS_CLAIMED,
    IS_PLANNED,
    IS_UNKNOWN,
    IS_WAITING,
    RUNS,
    campaign,
    message,
    reply,
)

DOUBT: Final = timedelta(hours=24)
"""How long a message without an outcome counts: later nobody resolves it any more, and it stays listed as UNKNOWN."""

_M, _C = message.c, campaign.c


@dataclass(frozen=True, slots=True)
class Standing:
    """Of the whole ledger. `claimed_s` is the age of the oldest CLAIMED message, `waiting_s` the longest that a running
    campaign has had due messages which nobody took up; 0 when there is none. `unknown` counts messages of the last 24
    hours whose outcome nobody knows, by provider. `replies` counts those that wait for a person, `reply_s` is the age of
    the oldest of them."""

    claimed_s: float
    waiting_s: float
    unknown: Mapping[str, int]
    replies: int = 0
    reply_s: float = 0.0


def _moment(row: Sequence[Any]) -> datetime | None:
    return from_micros(row[0]) if row[0] is not None else None


def _number(row: Sequence[Any]) -> int:
    return int(row[0])


def _counted(row: Sequence[Any]) -> tuple[str, int]:
    return row[0], row[1]


_OLDEST_CLAIM = Query(
    sa.select(sa.func.min(_M.claimed_at)).where(_M.claimed_at.is_not(None), IS_CLAIMED), _moment
)
_IS_DUE = (
    sa.select(_M.due_at)
    .where(
        _M.campaign_id == _C.campaign_id, IS_PLANNED, _M.due_at <= sa.bindparam("now", type_=sa.BigInteger)
    )
    .limit(1)
    .scalar_subquery()
    .is_not(None)  # not EXISTS, as in `leases`
)
_TAKEN_UP = sa.case((_C.leased_at > _C.started_at, _C.leased_at), else_=_C.started_at)
_LONGEST_WAIT = Query(sa.select(sa.func.min(_TAKEN_UP)).where(RUNS, _IS_DUE), _moment)
_IN_DOUBT = Query(
    sa.select(_M.provider, sa.func.count())
    .where(IS_UNKNOWN, _M.claimed_at >= sa.bindparam("since", type_=sa.BigInteger))
    .group_by(_M.provider),
    _counted,
)


_REPLIES = Query(sa.select(sa.func.count()).select_from(reply).where(IS_WAITING), _number)
_OLDEST_REPLY = Query(sa.select(sa.func.min(reply.c.received_at)).where(IS_WAITING), _moment)


async def standing(database: Database, now: datetime) -> Standing:
    """Read how sending stands. Raises LedgerError."""
    at = {"now": to_micros(now)}
    (claimed,) = await database.rows(_OLDEST_CLAIM, {})
    (waiting,) = await database.rows(_LONGEST_WAIT, at)
    unknown = await database.rows(_IN_DOUBT, {"since": to_micros(now - DOUBT)})
    (replies,) = await database.rows(_REPLIES, {})
    (oldest,) = await database.rows(_OLDEST_REPLY, {})
    return Standing(_age_s(claimed, now), _age_s(waiting, now), dict(unknown), replies, _age_s(oldest, now))


def _age_s(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0
