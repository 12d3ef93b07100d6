"""How much waits for people, for who watches it: approvals that nobody looked at, and what belongs to those who leave.

Two reads of partial indexes; nothing is decided by them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from fujie.adapters.ledger.approvals import HAS_NO_VOTE
from fujie.adapters.ledger.database import Database, Query
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.tables import approval, principal
from fujie.model.approval import Stage


@dataclass(frozen=True, slots=True)
class Pending:
    """Of the whole ledger. `approvals` are open and nobody has voted on them; `escalated` are those of them that waited
    longer than they should. `scheduled` people leave at a set time; `unfinished` have left, and something of theirs is not
    settled yet."""

    approvals: int
    escalated: int
    scheduled: int
    unfinished: int


def _counted(row: Sequence[Any]) -> tuple[int, int]:
    return int(row[0]), int(row[1])


_NOW = sa.bindparam("now", type_=sa.BigInteger)
_OPEN: tuple[sa.ColumnElement[Any], ...] = (
    sa.func.count(),
    sa.func.count(sa.case((approval.c.escalates_at <= _NOW, 1))),
)
_APPROVALS = Query(
    sa.select(*_OPEN).where(
        approval.c.told < int(Stage.EXPIRED),
        approval.c.ended_as.is_(None),
        approval.c.review_by.is_(None),
        approval.c.review_by.is_(None),
        approval.c.expires_at > _NOW,
        HAS_NO_VOTE,
    ),
    _counted,
)
_GONE = principal.c.offboard_at <= _NOW
_LATER_AND_GONE: tuple[sa.ColumnElement[Any], ...] = (
    sa.func.count(sa.case((sa.not_(_GONE), 1))),
    sa.func.count(sa.case((_GONE, 1))),
)
_LEAVING = Query(sa.select(*_LATER_AND_GONE).where(principal.c.is_leaving.is_(True)), _counted)


async def pending(database: Database, now: datetime) -> Pending:
    """Read how much waits for people. Raises LedgerError."""
    at = {"now": to_micros(now)}
    (approvals,) = await database.rows(_APPROVALS, at)
    (leaving,) = await database.rows(_LEAVING, at)
    return Pending(*approvals, *leaving)
