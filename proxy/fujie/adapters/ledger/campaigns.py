"""Campaigns: drafted, filled with recipients, moved from state to state. What is sent is `leases`, `claims`, `outcomes`."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.aliases import first_of
from fujie.adapters.ledger.database import Database, Query, insert_many, next_change
from fujie.adapters.ledger.given import with_given
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.outbox_tables import IS_LEFT, IS_PLANNED, campaign_count, message
from fujie.adapters.ledger.outbox_tables import campaign as table
from fujie.adapters.ledger.tallies import Moves
from fujie.model.campaign import MOVES, Campaign, CampaignState, Tally
from fujie.model.errors import RequestError
from fujie.model.message import Category, Draft, MessageState, Planned

MOST_CANCELLED: Final = 5000
"""Messages that are cancelled by one transaction: each other writer waits for it."""

_C, _N, _M = table.c, campaign_count.c, message.c
_COLUMNS = (
    _C.campaign_id, _C.state, _C.requester, _C.caller, _C.workload, _C.purpose, _C.basis, _C.has_basis_evidence,
    _C.has_ticket, _C.draft, _C.created_at, _C.approved, _C.started_at, _C.ended_at, _C.request_digest,
)  # fmt: skip
_COUNTED: Final = len(_COLUMNS)


class _Row(NamedTuple):
    """A campaign without its tally, and one count of it; `state` is None when there is none."""

    campaign: Campaign
    request_digest: str
    state: MessageState | None
    reason: str
    messages: int


def _row(row: Sequence[Any]) -> _Row:
    found = Campaign(
        id=row[0],
        state=CampaignState(row[1]),
        requester=row[2],
        caller=row[3],
        workload=row[4],
        purpose=row[5],
        basis=row[6],
        has_basis_evidence=bool(row[7]),
        has_ticket=bool(row[8]),
        draft=_draft(row[9]),
        created_at=from_micros(row[10]),
        approved=tuple(json.loads(row[11])),
        started_at=_moment(row[12]),
        ended_at=_moment(row[13]),
    )
    if row[_COUNTED] is None:
        return _Row(found, row[14], None, "", 0)
    return _Row(found, row[14], MessageState(row[_COUNTED]), row[_COUNTED + 1], row[_COUNTED + 2])


def _moment(stored: int | None) -> datetime | None:
    return None if stored is None else from_micros(stored)


def _draft(stored: str) -> Draft:
    category, signature, text, template, provider = json.loads(stored)
    return Draft(Category(category), signature, text, template, provider)


def _values(given: Campaign) -> dict[str, object]:
    draft = given.draft
    return {
        "campaign_id": given.id,
        "state": given.state.value,
        "requester": given.requester,
        "caller": given.caller,
        "workload": given.workload,
        "purpose": given.purpose,
        "basis": given.basis,
        "has_basis_evidence": given.has_basis_evidence,
        "has_ticket": given.has_ticket,
        "draft": json.dumps(
            [draft.category, draft.signature, draft.text, draft.template, draft.provider],
            ensure_ascii=False,
        ),
        "approved": json.dumps(given.approved),
        "created_at": to_micros(given.created_at),
        "leased_at": 0,
    }


_WITH_COUNTS = sa.select(*_COLUMNS, _N.state, _N.reason, _N["count"]).select_from(
    table.outerjoin(campaign_count, _N.campaign_id == _C.campaign_id)
)
_BY_ID = Query(_WITH_COUNTS.where(_C.campaign_id == sa.bindparam("campaign_id")), _row)
_BY_REQUEST = Query(
    _WITH_COUNTS.where(
        _C.requester == sa.bindparam("requester"), _C.request_id == sa.bindparam("request_id")
    ),
    _row,
)


_PLANNED_OF: Final = """
SELECT m.sid FROM {given} LEFT JOIN message AS m ON m.campaign_id = :campaign_id AND m.sid = given.value
WHERE coalesce(m.sid, '') <> ''
"""
"""Those of the given sids that a campaign has already."""


def _cancel(most: int) -> sa.Update:
    some = sa.select(_M.intent_id).where(_M.campaign_id == sa.bindparam("of"), IS_PLANNED).limit(most)
    values: dict[str, Any] = {
        "state": "CANCELLED",
        "sealed": None,
        "holder": "",
        "changed_at": sa.bindparam("at"),
    }
    return sa.update(message).where(_M.intent_id.in_(some)).values(values)


_CANCEL = _cancel(MOST_CANCELLED)


def _state_of(row: Sequence[Any]) -> tuple[str, CampaignState]:
    return row[0], CampaignState(row[1])


_UNFINISHED_OF = Query(
    sa.select(_C.campaign_id, _C.state)
    .where(
        _C.requester == sa.bindparam("requester"),
        sa.or_(_C.state == "DRAFT", _C.state == "RUNNING", _C.state == "PAUSED"),
    )
    .order_by(_C.campaign_id),
    _state_of,
)

_LEFT_BEHIND = Query(
    sa.select(_C.campaign_id)
    .join(campaign_count, _N.campaign_id == _C.campaign_id)
    .where(_C.state == "CANCELLED", IS_LEFT),
    first_of,
)
"""Campaigns whose cancellation did not come to its end."""


def _whole(rows: Sequence[_Row]) -> Campaign | None:
    if not rows:
        return None
    states, reasons = Counter[MessageState](), Counter[str]()
    for row in rows:
        if row.state is not None and row.messages:
            states[row.state] += row.messages
            if row.reason:
                reasons[row.reason] += row.messages
    tally = Tally(MappingProxyType(dict(states)), MappingProxyType(dict(reasons)))
    return replace(rows[0].campaign, tally=tally)


def campaign_within(connection: Connection, campaign_id: str) -> Campaign:
    """Return a campaign with its tally as the transaction of `connection` sees it.

    Raises:
        RequestError: CAMPAIGN_NOT_FOUND.

    """
    found = _whole(_BY_ID.within(connection, {"campaign_id": campaign_id}))
    if found is None:
        raise RequestError(code="CAMPAIGN_NOT_FOUND", field="name")
    return found


def is_unfinished(campaign: Campaign) -> bool:
    """Tell whether anything of a campaign may still go out."""
    states = campaign.tally.states
    return MessageState.PLANNED in states or MessageState.CLAIMED in states


def change_state(connection: Connection, moved: Campaign) -> None:
    """Write the state of a campaign, and what goes with it."""
    values = {
        "state": moved.state.value,
        "approved": json.dumps(moved.approved),
        "started_at": None if moved.started_at is None else to_micros(moved.started_at),
        "ended_at": None if moved.ended_at is None else to_micros(moved.ended_at),
        "change_seq": next_change(connection),
    }
    connection.execute(sa.update(table).where(_C.campaign_id == moved.id).values(values))


def message_values(planned: Planned, now: datetime) -> dict[str, object]:
    """Return the row of an intent that nobody holds yet."""
    return {
        "intent_id": planned.intent_id,
        "campaign_id": planned.campaign_id or None,
        "sid": planned.sid,
        "sealed": planned.sealed,
        "requester": planned.requester,
        "purpose": planned.purpose,
        "category": planned.category.value,
        "signature": planned.signature,
        "state": MessageState.PLANNED.value,
        "reason": "",
        "holder": "",
        "due_at": to_micros(now),
        "attempts": 0,
        "created_at": to_micros(now),
        "changed_at": to_micros(now),
        "request_id": None,
        "request_digest": "",
        "content": "",
        "segments": 0,
        "provider": "",
        "asked_at": 0,
    }


class Campaigns:
    """Every campaign of one ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_campaign(self, campaign: Campaign, request_id: str, request_digest: str) -> Campaign:
        """See `ports.messaging.Outbox.create_campaign`."""
        identity = {"request_id": request_id or None, "request_digest": request_digest}

        def work(connection: Connection) -> Campaign:
            if request_id:
                same = {"requester": campaign.requester, "request_id": request_id}
                rows = _BY_REQUEST.within(connection, same)
                if first := _whole(rows):
                    if rows[0].request_digest != request_digest:
                        raise RequestError(code="REQUEST_ID_REUSED", field="context.request_id")
                    return first
            row = {**_values(campaign), **identity, "change_seq": next_change(connection)}
            connection.execute(sa.insert(table), row)
            return campaign

        return await self._database.write(work)

    async def campaign(self, campaign_id: str) -> Campaign | None:
        """See `ports.messaging.Outbox.campaign`; one read."""
        return _whole(await self._database.rows(_BY_ID, {"campaign_id": campaign_id}))

    async def move_campaign(
        self,
        campaign_id: str,
        to: CampaignState,
        now: datetime,
        approved: tuple[str, ...] = (),
        recipients: int | None = None,
    ) -> Campaign:
        """See `ports.messaging.Outbox.move_campaign`.

        The first transaction stops a campaign; those that then cancel its messages go on in `sweep` when this is
        given up.
        """

        def work(connection: Connection) -> Campaign:
            known = campaign_within(connection, campaign_id)
            if known.state is to:
                return known
            is_other = recipients is not None and known.tally.total != recipients
            is_early = to is CampaignState.DONE and is_unfinished(known)
            if known.state not in MOVES.get(to, ()) or is_other or is_early:
                raise RequestError(code="CAMPAIGN_STATE", field="name")
            moved = _moved(known, to, now, approved)
            change_state(connection, moved)
            return moved

        moved = await self._database.write(work)
        if to is not CampaignState.CANCELLED or MessageState.PLANNED not in moved.tally.states:
            return moved
        await self.cancel_messages(campaign_id, now)
        return await self.campaign(campaign_id) or moved

    async def cancel_messages(self, campaign_id: str, now: datetime) -> None:
        """Cancel every PLANNED message of a campaign that is CANCELLED."""

        def work(connection: Connection) -> int:
            moves = Moves()
            cancelled = connection.execute(_CANCEL, {"of": campaign_id, "at": to_micros(now)}).rowcount
            moves.add(campaign_id, "PLANNED", n=-cancelled)
            moves.add(campaign_id, "CANCELLED", n=cancelled)
            moves.store(connection)
            return cancelled

        while await self._database.write(work) == MOST_CANCELLED:
            pass

    async def cancel_left_behind(self, now: datetime) -> None:
        """Bring to their end cancellations whose process died."""
        for campaign_id in await self._database.rows(_LEFT_BEHIND, {}):
            await self.cancel_messages(campaign_id, now)

    async def unfinished_of(self, requester: str) -> Sequence[tuple[str, CampaignState]]:
        """See `ports.messaging.Outbox.unfinished_of`."""
        return await self._database.rows(_UNFINISHED_OF, {"requester": requester})

    async def hand_over(self, requester: str, to: str) -> Sequence[str]:
        """See `ports.messaging.Outbox.hand_over`."""

        def work(connection: Connection) -> Sequence[str]:
            drafts = [
                campaign_id
                for campaign_id, state in _UNFINISHED_OF.within(connection, {"requester": requester})
                if state is CampaignState.DRAFT
            ]
            for campaign_id in drafts:
                # A request id is its requester's own: the new one may have used it for something else.
                his = {"requester": to, "caller": to, "workload": "", "request_id": None}
                changed = {**his, "change_seq": next_change(connection)}
                connection.execute(sa.update(table).where(_C.campaign_id == campaign_id).values(changed))
                connection.execute(
                    sa.update(message).where(_M.campaign_id == campaign_id).values(requester=to)
                )
            return drafts

        return await self._database.write(work)

    async def plan(self, campaign_id: str, planned: Sequence[Planned], now: datetime) -> int:
        """See `ports.messaging.Outbox.plan`; two statements for all of them."""
        by_sid = {each.sid: each for each in reversed(planned)}  # of one sid the first counts
        if not by_sid:
            return 0

        def work(connection: Connection) -> int:
            known = campaign_within(connection, campaign_id)
            if known.state is not CampaignState.DRAFT:
                raise RequestError(code="CAMPAIGN_STATE", field="name")
            sids = list(by_sid)
            there = set(with_given(connection, _PLANNED_OF, sids, {"campaign_id": campaign_id}).scalars())
            rows = [
                message_values(_of_campaign(by_sid[sid], known), now)
                for sid in reversed(sids)
                if sid not in there
            ]
            if rows:
                insert_many(connection, message, rows)
                moves = Moves()
                moves.add(campaign_id, "PLANNED", n=len(rows))
                moves.store(connection)
            return len(rows)

        return await self._database.write(work)


def _moved(known: Campaign, to: CampaignState, now: datetime, approved: tuple[str, ...]) -> Campaign:
    if to is CampaignState.RUNNING:
        started_at = known.started_at or now
        return replace(known, state=to, started_at=started_at, approved=approved or known.approved)
    is_over = to in (CampaignState.CANCELLED, CampaignState.DONE)
    return replace(known, state=to, ended_at=now if is_over else known.ended_at)


def _of_campaign(planned: Planned, campaign: Campaign) -> Planned:
    return replace(
        planned,
        campaign_id=campaign.id,
        requester=campaign.requester,
        purpose=campaign.purpose,
        category=campaign.draft.category,
        signature=campaign.draft.signature,
    )
