"""Notifications in the ledger: written once, tried until they are taken, acknowledged once.

Who tries one takes it for a while by moving `next_at`; the number of attempts fences whoever comes back too late. A worker
that dies leaves it to others, so that a receiver may hear one twice (under one id), and never not at all.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query, next_change
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.notification_tables import IS_UNANSWERED, IS_WAITING
from fujie.adapters.ledger.notification_tables import notification as table
from fujie.model.notification import Notification

MOST = 1_000
"""The most that are told of one subject."""

_C = table.c
_COLUMNS = (
    _C.notification_id, _C.kind, _C.subject, _C.payload, _C.created_at, _C.due_at, _C.sent_at, _C.attempts,
    _C.acknowledged_at, _C.acknowledged_by,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Waiting:
    """How notifications stand, of the whole ledger: `waiting` are to be sent, of which `failed` were tried in vain;
    `overdue` should have been acknowledged by now."""

    waiting: int
    failed: int
    overdue: int


def _moment(stored: int | None) -> datetime | None:
    return None if stored is None else from_micros(stored)


def _payload(stored: str) -> Mapping[str, object]:
    values = json.loads(stored)
    if not isinstance(values, dict):
        raise TypeError("a payload is a map")
    return values


def _notification(row: Sequence[Any]) -> Notification:
    return Notification(
        id=row[0],
        kind=row[1],
        subject=row[2],
        payload=_payload(row[3]),
        created_at=from_micros(row[4]),
        due_at=_moment(row[5]),
        sent_at=_moment(row[6]),
        attempts=row[7],
        acknowledged_at=_moment(row[8]),
        acknowledged_by=row[9],
    )


_NOW = sa.bindparam("now", type_=sa.BigInteger)
_BY_ID = Query(sa.select(*_COLUMNS).where(_C.notification_id == sa.bindparam("id")), _notification)
_ABOUT = Query(
    sa.select(*_COLUMNS)
    .where(_C.subject == sa.bindparam("subject"))
    .order_by(_C.created_at, _C.notification_id)
    .limit(MOST),
    _notification,
)
_DUE = Query(
    sa.select(*_COLUMNS)
    .where(IS_WAITING, _C.next_at <= _NOW)
    .order_by(_C.next_at, _C.notification_id)
    .limit(sa.bindparam("most", type_=sa.Integer)),
    _notification,
)


def _number(row: Sequence[Any]) -> int:
    return int(row[0] or 0)


def _count(*conditions: sa.ColumnElement[bool]) -> Query[int]:
    return Query(sa.select(sa.func.count()).select_from(table).where(*conditions), _number)


_WAITING = _count(IS_WAITING)
# One that is under way for the first time has an attempt too, and has not failed yet.
_FAILED = _count(IS_WAITING, _C.attempts > 1)
_OVERDUE = _count(IS_UNANSWERED, _C.due_at <= _NOW)


class SQLNotifications:
    """The notifications of one ledger, as `ports.notifications.Notifications`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def notify(self, wanted: Notification) -> None:
        """See `ports.notifications.Notifications.notify`."""
        row = {
            "notification_id": wanted.id,
            "kind": wanted.kind,
            "subject": wanted.subject,
            "payload": json.dumps(dict(wanted.payload), ensure_ascii=False, sort_keys=True),
            "created_at": to_micros(wanted.created_at),
            "due_at": None if wanted.due_at is None else to_micros(wanted.due_at),
            "next_at": to_micros(wanted.created_at),
            "sent_at": None,
            "attempts": 0,
            "acknowledged_at": None,
            "acknowledged_by": "",
        }

        def work(connection: Connection) -> None:
            change = next_change(connection)  # first: it makes this the only writer
            if not _BY_ID.within(connection, {"id": wanted.id}):
                connection.execute(sa.insert(table), {**row, "change_seq": change})

        await self._database.write(work)

    async def acknowledge(self, notification_id: str, by: str, at: datetime) -> Notification | None:
        """See `ports.notifications.Notifications.acknowledge`; nobody tries it any more afterwards."""

        def work(connection: Connection) -> Notification | None:
            change = next_change(connection)
            for known in _BY_ID.within(connection, {"id": notification_id}):
                if known.acknowledged_at is not None:
                    return known
                said = {"acknowledged_at": to_micros(at), "acknowledged_by": by, "next_at": None}
                _change(connection, known.id, {**said, "change_seq": change})
                return replace(known, acknowledged_at=at, acknowledged_by=by)
            return None

        return await self._database.write(work)

    async def notification(self, notification_id: str) -> Notification | None:
        """See `ports.notifications.Notifications.notification`."""
        found = await self._database.rows(_BY_ID, {"id": notification_id})
        return found[0] if found else None

    async def about(self, subject: str) -> Sequence[Notification]:
        """See `ports.notifications.Notifications.about`."""
        return await self._database.rows(_ABOUT, {"subject": subject})

    async def take(self, now: datetime, seconds: float, most: int) -> Sequence[Notification]:
        """Take what is to be tried now, for so many seconds; costs no write when there is nothing.

        `attempts` counts the one that it is taken for: `sent` and `failed` are told by it.
        """
        at = {"now": to_micros(now), "most": most}
        if not await self._database.rows(_DUE, at):
            return ()
        until = to_micros(now + timedelta(seconds=seconds))

        def work(connection: Connection) -> Sequence[Notification]:
            change = next_change(connection, most)
            taken = []
            for place, known in enumerate(_DUE.within(connection, at)):
                mine = replace(known, attempts=known.attempts + 1)
                values = {"next_at": until, "attempts": mine.attempts, "change_seq": change - place}
                _change(connection, known.id, values)
                taken.append(mine)
            return taken

        return await self._database.write(work)

    async def sent(self, taken: Notification, at: datetime) -> None:
        """Note that the receiver has it. Nothing when somebody else tries it by now."""
        await self._settle(taken, {"sent_at": to_micros(at), "next_at": None})

    async def failed(self, taken: Notification, again_at: datetime | None) -> None:
        """Let anybody try it again at that time (None: never)."""
        await self._settle(taken, {"next_at": None if again_at is None else to_micros(again_at)})

    async def standing(self, now: datetime) -> Waiting:
        """Return how many wait, failed and are overdue, for metrics; three reads of small indexes."""
        (waiting,) = await self._database.rows(_WAITING, {})
        (failed,) = await self._database.rows(_FAILED, {})
        (overdue,) = await self._database.rows(_OVERDUE, {"now": to_micros(now)})
        return Waiting(waiting, failed, overdue)

    async def _settle(self, taken: Notification, values: Mapping[str, object]) -> None:
        is_mine = sa.and_(
            _C.notification_id == taken.id, _C.attempts == taken.attempts, _C.next_at.is_not(None)
        )

        def work(connection: Connection) -> None:
            changed = {**values, "change_seq": next_change(connection)}
            connection.execute(sa.update(table).where(is_mine).values(changed))

        await self._database.write(work)


def _change(connection: Connection, notification_id: str, values: Mapping[str, object]) -> None:
    connection.execute(sa.update(table).where(_C.notification_id == notification_id).values(dict(values)))
