"""Approvals: a row each, that takes votes while it is open and ends once, whoever comes first."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query, members, next_change, one_of, padded_size
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.pages import Keyed, read_page
from fujie.adapters.ledger.tables import approval as table
from fujie.adapters.ledger.tables import approval_role
from fujie.model.approval import (
    ESCALATE_AFTER,
    OPEN,
    WAITING,
    Approval,
    ApprovalFilter,
    ApprovalHistory,
    ApprovalState,
    Ballot,
    Ending,
    Requirement,
    Stage,
    Vote,
)
from fujie.model.errors import RequestError
from fujie.model.page import Page, Slice

MOST_OPEN: Final = 200
"""Open approvals of one requester: two whole batches. More would bury those who decide, and what they overlook."""

_NEVER: Final = 2**62
"""Later than any moment: a review does not end by itself."""

_C = table.c
_COLUMNS = (
    _C.approval_id, _C.requester, _C.parties, _C.action, _C.purpose, _C.basis, _C.store, _C.fields, _C.rows,
    _C.request_digest, _C.ballots, _C.created_at, _C.ended_as, _C.ended_by, _C.ended_at, _C.decision_id,
    _C.ended_comment, _C.terms, _C.review_by,
)  # fmt: skip


def _approval(row: Sequence[Any]) -> Approval:
    return Approval(
        id=row[0],
        requester=row[1],
        parties=frozenset(json.loads(row[2])),
        action=row[3],
        purpose=row[4],
        basis=row[5],
        store=row[6],
        fields=tuple(json.loads(row[7])),
        rows=row[8],
        request_digest=row[9],
        ballots=tuple(map(_ballot, json.loads(row[10]))),
        created_at=from_micros(row[11]),
        ending=_ending(row[12:17]) if row[12] else None,
        terms=row[17],
        review_by=from_micros(row[18]) if row[18] is not None else None,
    )


def _ending(row: Sequence[Any]) -> Ending:
    return Ending(ApprovalState(row[0]), row[1], from_micros(row[2]), row[3], row[4] or "")


def _ballot(stored: dict[str, Any]) -> Ballot:
    requirement = Requirement(
        stored["guard"],
        stored["validation"],
        tuple(stored["roles"]),
        stored["count"],
        timedelta(seconds=stored["valid_for_s"]),
        timedelta(seconds=stored.get("escalate_after_s", ESCALATE_AFTER.total_seconds())),
    )
    votes = (
        Vote(who, from_micros(when), comment=said[0] if said else "")
        for who, when, *said in stored["votes"]
    )
    return Ballot(requirement, tuple(votes))


def _ballots(approval: Approval) -> str:
    stored = [
        {
            "guard": ballot.requirement.guard,
            "validation": ballot.requirement.validation,
            "roles": ballot.requirement.roles,
            "count": ballot.requirement.count,
            "valid_for_s": int(ballot.requirement.valid_for.total_seconds()),
            "escalate_after_s": int(ballot.requirement.escalate_after.total_seconds()),
            "votes": [(vote.principal, to_micros(vote.time), vote.comment) for vote in ballot.votes],
        }
        for ballot in approval.ballots
    ]
    return json.dumps(stored)


def _values(approval: Approval) -> dict[str, object]:
    return {
        "approval_id": approval.id,
        "requester": approval.requester,
        "parties": json.dumps(sorted(approval.parties)),
        "action": approval.action,
        "purpose": approval.purpose,
        "basis": approval.basis,
        "store": approval.store,
        "fields": json.dumps(approval.fields),
        "rows": approval.rows,
        "request_digest": approval.request_digest,
        "ballots": _ballots(approval),
        "created_at": to_micros(approval.created_at),
        "expires_at": _NEVER if approval.review_by else to_micros(approval.expires_at),
        "terms": approval.terms,
        "escalates_at": to_micros(approval.escalates_at),
        "told": int(Stage.NOTHING),
        "review_by": to_micros(approval.review_by) if approval.review_by else None,
    }


_BY_ID = Query(sa.select(*_COLUMNS).where(_C.approval_id == sa.bindparam("approval_id")), _approval)
_IS_OPEN = (_C.ended_as.is_(None), _C.expires_at > sa.bindparam("now", type_=sa.BigInteger))
_SAME = Query(
    sa.select(*_COLUMNS)
    .where(
        _C.requester == sa.bindparam("requester"),
        _C.request_digest == sa.bindparam("request_digest"),
        _C.review_by.is_(None),
        *_IS_OPEN,
    )
    .order_by(_C.approval_id),
    _approval,
)
HAS_NO_VOTE: Final = _C.ballots.not_like('%"votes": [[%')
"""Nobody has voted on it: as `_ballots` writes a list with something in it. No name of a rule or a role has a quote."""

_OPEN_OF = sa.select(sa.func.count()).where(
    _C.requester == sa.bindparam("requester"), _C.review_by.is_(None), *_IS_OPEN
)
_IN_REVIEW = (_C.review_by.is_not(None), _C.ended_as.is_(None))
_OVERDUE = (*_IN_REVIEW, _C.review_by <= sa.bindparam("now", type_=sa.BigInteger))
_OWES: Query[str] = Query(
    sa.select(_C.approval_id).where(_C.requester == sa.bindparam("requester"), *_OVERDUE).limit(1),
    lambda row: row[0],
)
_REVIEWS: Query[tuple[int, int]] = Query(
    sa.select(
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(sa.case((_C.review_by <= sa.bindparam("now"), 1), else_=0)), 0),
    ).where(*_IN_REVIEW),
    lambda row: (row[0], int(row[1])),
)


def _keyed(row: Sequence[Any]) -> Keyed[Approval]:
    return row[0], _approval(row)


_LAST = "g"
"""Behind every id, which are hexadecimal."""

MOST_TOLD: Final = 100
"""Approvals of one look for what is to be told; the next look finds the others."""

MOST_HISTORY: Final = 1_000

_NOW = sa.bindparam("now", type_=sa.BigInteger)
_DUE = Query(
    sa.select(*_COLUMNS, _C.told)
    .where(
        _C.told < int(Stage.EXPIRED),
        _C.ended_as.is_(None),
        sa.or_(
            _C.told == int(Stage.NOTHING),
            sa.and_(_C.told == int(Stage.ASKED), _C.escalates_at <= _NOW),
            _C.expires_at <= _NOW,
        ),
    )
    .order_by(_C.approval_id)
    .limit(MOST_TOLD),
    lambda row: (_approval(row), Stage(row[-1])),
)
_HISTORY: Query[tuple[str | None, int]] = Query(
    sa.select(_C.ended_as, _C.rows)
    .where(
        _C.requester == sa.bindparam("requester"),
        _C.review_by.is_(None),
        _C.created_at >= sa.bindparam("since"),
    )
    .order_by(_C.approval_id.desc())
    .limit(MOST_HISTORY + 1),
    lambda row: (row[0], row[1]),
)


@lru_cache(maxsize=32)
def _listed(count: int, with_closed: bool, latest_first: bool, to_review: bool) -> Query[Keyed[Approval]]:  # noqa: FBT001 - a cache key
    asked = _C.requester == sa.bindparam("principal")
    if count:
        decides = sa.select(approval_role.c.approval_id).where(one_of(approval_role.c.role, count))
        asked = sa.or_(asked, _C.approval_id.in_(decides))
    after = sa.bindparam("after", type_=sa.Text)
    behind = _C.approval_id < after if latest_first else _C.approval_id > after
    select = sa.select(*_COLUMNS).where(behind, asked)
    if to_review:
        select = select.where(*_IN_REVIEW)
    elif not with_closed:
        select = select.where(*_IS_OPEN)
    order = _C.approval_id.desc() if latest_first else _C.approval_id
    return Query(select.order_by(order).limit(sa.bindparam("size", type_=sa.Integer)), _keyed)


class Approvals:
    """What was asked of others, and what they said."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def approval(self, approval_id: str) -> Approval | None:
        """See `ports.Ledger.approval`."""
        found = await self._database.rows(_BY_ID, {"approval_id": approval_id})
        return found[0] if found else None

    async def approval_page(self, asked: ApprovalFilter, part: Slice) -> Page[Approval]:
        """See `ports.Ledger.approval_page`."""
        roles = sorted(asked.roles)
        size = padded_size(len(roles)) if roles else 0
        query = _listed(size, asked.with_closed, asked.latest_first, asked.to_review)
        values = {
            **(members(roles) if roles else {}),
            "principal": asked.principal,
            "now": to_micros(asked.now),
            "after": part.after or (_LAST if asked.latest_first else ""),
        }
        return await read_page(self._database, query, values, part)

    async def ask_approval(self, wanted: Approval) -> Approval:
        """See `ports.Ledger.ask_approval`."""
        now = {"now": to_micros(wanted.created_at)}

        def work(connection: Connection) -> Approval:
            same = {"requester": wanted.requester, "request_digest": wanted.request_digest, **now}
            for standing in _SAME.within(connection, same):
                if standing.keys == wanted.keys and standing.parties == wanted.parties:
                    return standing
            opened = connection.execute(_OPEN_OF, {"requester": wanted.requester, **now}).scalar_one()
            if opened >= MOST_OPEN:
                raise RequestError(code="LIMIT_EXCEEDED")
            _insert(connection, wanted)
            return wanted

        return await self._database.write(work)

    async def owes_review(self, requester: str, now: datetime) -> bool:
        """See `ports.Ledger.owes_review`."""
        found = await self._database.rows(_OWES, {"requester": requester, "now": to_micros(now)})
        return bool(found)

    async def break_glass(self, wanted: Approval) -> bool | None:
        """See `ports.Ledger.break_glass`."""
        asked = {"requester": wanted.requester, "now": to_micros(wanted.created_at)}

        def work(connection: Connection) -> bool | None:
            if _BY_ID.within(connection, {"approval_id": wanted.id}):
                return False
            if _OWES.within(connection, asked):
                return None
            _insert(connection, wanted)
            return True

        return await self._database.write(work)

    async def reviews(self, now: datetime) -> tuple[int, int]:
        """Return how many reviews wait, and how many of them are overdue, for metrics: one read of a small index."""
        (found,) = await self._database.rows(_REVIEWS, {"now": to_micros(now)})
        return found

    async def vote(
        self, approval_id: str, principal: str, roles: frozenset[str], now: datetime, comment: str = ""
    ) -> Approval:
        """See `ports.Ledger.vote`."""

        def work(connection: Connection) -> Approval:
            known = _known(connection, approval_id)
            if known.state(now) not in OPEN or principal in known.parties:
                return known
            voted = known.voted(principal, roles, now, comment)
            if voted != known:
                changed: dict[str, Any] = {
                    "ballots": _ballots(voted),
                    "expires_at": to_micros(voted.expires_at),
                    "told": int(Stage.ESCALATED),  # who is looked after is not escalated
                }
                _change(connection, approval_id, changed)
            return voted

        return await self._database.write(work)

    async def end_approval(self, approval_id: str, ending: Ending) -> Approval:
        """See `ports.Ledger.end_approval`."""
        allowed = _ENDS.get(ending.state, OPEN)

        def work(connection: Connection) -> Approval:
            known = _known(connection, approval_id)
            if known.state(ending.time) not in allowed:
                return known
            changed = {
                "ended_as": ending.state.value,
                "ended_by": ending.principal,
                "ended_at": to_micros(ending.time),
                "decision_id": ending.decision_id,
                "ended_comment": ending.comment,
                "terms": "",
                "told": int(Stage.EXPIRED),
            }
            _change(connection, approval_id, changed)
            return replace(known, ending=ending, terms="")

        return await self._database.write(work)

    async def due(self, now: datetime) -> Sequence[tuple[Approval, Stage]]:
        """See `ports.Ledger.approvals_due`."""
        found = await self._database.rows(_DUE, {"now": to_micros(now)})
        return [(approval, _next(approval, told, now)) for approval, told in found]

    async def told(self, approval_id: str, stage: Stage) -> None:
        """See `ports.Ledger.approval_told`."""
        forgets: dict[str, Any] = {"terms": ""} if stage is Stage.EXPIRED else {}

        def work(connection: Connection) -> None:
            row = {**forgets, "told": int(stage), "change_seq": next_change(connection)}
            connection.execute(
                sa.update(table).where(_C.approval_id == approval_id, _C.told < int(stage)).values(row)
            )

        await self._database.write(work)

    async def history(self, requester: str, since: datetime) -> ApprovalHistory:
        """See `ports.Ledger.approval_history`."""
        values = {"requester": requester, "since": to_micros(since)}
        found = list(await self._database.rows(_HISTORY, values))
        counted = found[:MOST_HISTORY]
        used = [rows for ended, rows in counted if ended == ApprovalState.USED]
        rejected = sum(ended == ApprovalState.REJECTED for ended, _ in counted)
        return ApprovalHistory(len(counted), len(used), sum(used), rejected, len(found) > MOST_HISTORY)


_ENDS = {
    ApprovalState.USED: frozenset({ApprovalState.APPROVED}),
    ApprovalState.REVIEWED: frozenset({ApprovalState.IN_REVIEW}),
    ApprovalState.REJECTED: WAITING,
}
"""In which states an approval can end as what; any other end as long as it is OPEN."""


def _insert(connection: Connection, approval: Approval) -> None:
    connection.execute(sa.insert(table), {**_values(approval), "change_seq": next_change(connection)})
    roles = [{"approval_id": approval.id, "role": role} for role in sorted(approval.roles)]
    connection.execute(sa.insert(approval_role), roles)


def _next(approval: Approval, told: Stage, now: datetime) -> Stage:
    if approval.review_by is None and now >= approval.expires_at:
        return Stage.EXPIRED
    return Stage(told + 1)


def _known(connection: Connection, approval_id: str) -> Approval:
    for known in _BY_ID.within(connection, {"approval_id": approval_id}):
        return known
    raise RequestError(code="APPROVAL_NOT_FOUND", field="name")


def _change(connection: Connection, approval_id: str, changed: dict[str, Any]) -> None:
    """Change an approval that has not ended, as `write` guarantees; an ended one is left as it is all the same."""
    row = {**changed, "change_seq": next_change(connection)}
    connection.execute(
        sa.update(table).where(_C.approval_id == approval_id, _C.ended_as.is_(None)).values(row)
    )
