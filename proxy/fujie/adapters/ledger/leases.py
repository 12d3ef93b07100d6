"""Who may work on what: messages are leased to one holder for a time, and anybody may take what is not held any more.

A lease is fenced by its holder together with its end: `claims` accepts neither another's nor an older one's.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.aliases import first_of
from fujie.adapters.ledger.campaigns import campaign_within, change_state, is_unfinished, message_values
from fujie.adapters.ledger.database import Database, Query, members, one_of, padded_size
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.messages import BY_REQUEST, told
from fujie.adapters.ledger.outbox_tables import IS_PLANNED, RUNS, campaign, campaign_count, message
from fujie.adapters.ledger.tables import subject
from fujie.model.campaign import CampaignState, Lease
from fujie.model.errors import RequestError
from fujie.model.message import Intent, Message, Planned

_M, _C, _N = message.c, campaign.c, campaign_count.c
_NOW = sa.bindparam("now", type_=sa.BigInteger)

# Not EXISTS: PostgreSQL may answer that for all campaigns at once, by reading whatever is due in any of them.
_DUE = (
    sa.select(_M.due_at)
    .where(_M.campaign_id == _C.campaign_id, IS_PLANNED, _M.due_at <= _NOW)
    .limit(1)
    .scalar_subquery()
    .is_not(None)
)
_UNFINISHED = sa.exists().where(
    _N.campaign_id == _C.campaign_id,
    sa.or_(_N.state == "PLANNED", _N.state == "CLAIMED"),
    _N["count"] > 0,
)
_READY = Query(
    sa.select(_C.campaign_id)
    .where(RUNS, sa.or_(_DUE, sa.not_(_UNFINISHED)))
    .order_by(_C.leased_at, _C.campaign_id),
    first_of,
)
"""Campaigns that have something to lease, or nothing to wait for any more; who waited longest comes first."""


def _intent(row: Sequence[Any]) -> Intent:
    return Intent(row[0], row[1] or "", row[2], row[3], row[4], row[5])


_INTENTS = (
    sa.select(_M.intent_id, _M.campaign_id, _M.sid, _M.sealed, subject.c.wrapped_key, _M.attempts)
    .join(subject, subject.c.sid == _M.sid)
)  # fmt: skip
_DUE_OF = Query(
    _INTENTS.where(_M.campaign_id == sa.bindparam("campaign_id"), IS_PLANNED, _M.due_at <= _NOW)
    .order_by(_M.due_at)
    .limit(sa.bindparam("most", type_=sa.Integer)),
    _intent,
)
_BY_ID = Query(_INTENTS.where(_M.intent_id == sa.bindparam("intent_id")), _intent)


@lru_cache(maxsize=16)
def _hold(count: int) -> sa.Update:
    held: dict[str, Any] = {"holder": sa.bindparam("by"), "due_at": sa.bindparam("until")}
    return sa.update(message).where(one_of(_M.intent_id, count)).values(held)


class _Term(NamedTuple):
    """Who leases, from when until when."""

    holder: str
    now: datetime
    until: datetime


def _term(holder: str, now: datetime, seconds: float) -> _Term:
    return _Term(holder, now, now + timedelta(seconds=seconds))


class Leases:
    """What is held, and by whom."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(
        self, planned: Planned, holder: str, now: datetime, seconds: float, request: tuple[str, str]
    ) -> tuple[Message, Lease | None]:
        """See `ports.messaging.Outbox.begin`."""
        term, (request_id, digest) = _term(holder, now, seconds), request
        held = {"holder": holder, "due_at": to_micros(term.until)}
        identity = {"request_id": request_id or None, "request_digest": digest}

        def work(connection: Connection) -> tuple[Message, Lease | None]:
            if request_id:
                same = {"requester": planned.requester, "request_id": request_id}
                if first := first_told(BY_REQUEST.within(connection, same), digest):
                    return first, None
            row = {**message_values(replace(planned, campaign_id=""), now), **held, **identity}
            connection.execute(sa.insert(message), row)
            intents = _BY_ID.within(connection, {"intent_id": planned.intent_id})
            return told(connection, planned.intent_id), Lease(holder, term.until, None, tuple(intents))

        return await self._database.write(work)

    async def first(self, requester: str, request_id: str, request_digest: str) -> Message | None:
        """See `ports.messaging.Outbox.first`."""
        same = {"requester": requester, "request_id": request_id}
        return first_told(await self._database.rows(BY_REQUEST, same), request_digest)

    async def lease(self, holder: str, now: datetime, seconds: float, most: int) -> Lease | None:
        """See `ports.messaging.Outbox.lease`; costs no write when there is nothing to do."""
        at = {"now": to_micros(now)}
        if not await self._database.rows(_READY, at):
            return None
        term = _term(holder, now, seconds)

        def work(connection: Connection) -> Lease | None:
            for campaign_id in _READY.within(connection, at):
                if lease := _leased(connection, campaign_id, term, most):
                    return lease
            return None

        return await self._database.write(work)


def first_told(found: Sequence[tuple[str, Message]], request_digest: str) -> Message | None:
    """Return the message that a request began.

    Raises:
        RequestError: REQUEST_ID_REUSED when it was another request.

    """
    for digest, first in found:
        if digest != request_digest:
            raise RequestError(code="REQUEST_ID_REUSED", field="context.request_id")
        return first
    return None


def _leased(connection: Connection, campaign_id: str, term: _Term, most: int) -> Lease | None:
    """Lease what is due of a campaign; one of which nothing is left is DONE."""
    now = to_micros(term.now)
    due = {"campaign_id": campaign_id, "now": now, "most": most}
    intents = _DUE_OF.within(connection, due)
    known = campaign_within(connection, campaign_id)
    if not intents:
        if not is_unfinished(known):
            change_state(connection, replace(known, state=CampaignState.DONE, ended_at=term.now))
        return None
    ids = [intent.intent_id for intent in intents]
    held = {**members(ids), "by": term.holder, "until": to_micros(term.until)}
    connection.execute(_hold(padded_size(len(ids))), held)
    fair = sa.update(campaign).where(_C.campaign_id == campaign_id).values(leased_at=now)
    connection.execute(fair)
    return Lease(term.holder, term.until, known, tuple(intents))
