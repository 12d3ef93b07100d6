"""Requests of customers: a row each, open until somebody resolves it."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query, members, next_change, one_of, padded_size
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.adapters.ledger.pages import Keyed, read_page
from fujie.adapters.ledger.rights_tables import subject_request as table
from fujie.model.errors import RequestError
from fujie.model.page import Page, Slice
from fujie.model.subject_request import (
    RequestEnd,
    RequestFilter,
    RequestKind,
    RequestOutcome,
    RequestState,
    SubjectRequest,
)

_C = table.c
_COLUMNS = (
    _C.request_id, _C.sid, _C.kind, _C.sealed, _C.received_at, _C.due_at, _C.resolved_at, _C.resolved_by, _C.outcome,
    _C.evidence_ref,
)  # fmt: skip


def _request(row: Sequence[Any]) -> SubjectRequest:
    end = None
    if row[6] is not None:
        end = RequestEnd(RequestOutcome(row[8]), from_micros(row[6]), row[7], row[9])
    return SubjectRequest(
        row[0], row[1], RequestKind(row[2]), bytes(row[3]), from_micros(row[4]), from_micros(row[5]), end
    )


def _keyed(row: Sequence[Any]) -> Keyed[SubjectRequest]:
    return row[0], _request(row)


_BY_ID = Query(sa.select(*_COLUMNS).where(_C.request_id == sa.bindparam("request_id")), _request)
_OPEN = Query(
    sa.select(*_COLUMNS).where(
        _C.sid == sa.bindparam("sid"),
        _C.kind == sa.bindparam("kind"),
        _C.state == RequestState.OPEN.value,
    ),
    _request,
)


@lru_cache(maxsize=32)
def _listed(count: int, with_resolved: bool) -> Query[Keyed[SubjectRequest]]:  # noqa: FBT001 - part of a cache key
    select = sa.select(*_COLUMNS).where(_C.request_id > sa.bindparam("after", type_=sa.Text))
    if count:
        select = select.where(one_of(_C.sid, count))
    if not with_resolved:
        select = select.where(_C.state == RequestState.OPEN.value)
    # Ids begin with the time at which they were made.
    return Query(select.order_by(_C.request_id).limit(sa.bindparam("size", type_=sa.Integer)), _keyed)


class SubjectRequests:
    """The requests in the ledger, as `ports.requests.SubjectRequests`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_request(self, wanted: SubjectRequest) -> SubjectRequest:
        """See `ports.requests.SubjectRequests.open_request`."""
        row = {
            "request_id": wanted.id,
            "sid": wanted.sid,
            "kind": wanted.kind.value,
            "state": RequestState.OPEN.value,
            "sealed": wanted.text,
            "received_at": to_micros(wanted.received_at),
            "due_at": to_micros(wanted.due_at),
            "resolved_by": "",
            "outcome": "",
            "evidence_ref": "",
        }

        def work(connection: Connection) -> SubjectRequest:
            for standing in _OPEN.within(connection, {"sid": wanted.sid, "kind": wanted.kind.value}):
                return standing
            connection.execute(sa.insert(table), {**row, "change_seq": next_change(connection)})
            return wanted

        return await self._database.write(work)

    async def subject_request(self, request_id: str) -> SubjectRequest | None:
        """See `ports.requests.SubjectRequests.subject_request`."""
        found = await self._database.rows(_BY_ID, {"request_id": request_id})
        return found[0] if found else None

    async def subject_requests(self, asked: RequestFilter, part: Slice) -> Page[SubjectRequest]:
        """See `ports.requests.SubjectRequests.subject_requests`."""
        if asked.sids is not None and not asked.sids:
            return Page(())
        sids = asked.sids or ()
        query = _listed(padded_size(len(sids)) if sids else 0, asked.with_resolved)
        values = {**(members(sids) if sids else {}), "after": part.after}
        return await read_page(self._database, query, values, part)

    async def resolve_request(self, request_id: str, end: RequestEnd) -> SubjectRequest:
        """See `ports.requests.SubjectRequests.resolve_request`."""
        row = {
            "state": RequestState.RESOLVED.value,
            "resolved_at": to_micros(end.at),
            "resolved_by": end.by,
            "outcome": end.outcome.value,
            "evidence_ref": end.evidence_ref,
        }

        def work(connection: Connection) -> SubjectRequest:
            for known in _BY_ID.within(connection, {"request_id": request_id}):
                if known.end is not None:
                    return known
                changed = {**row, "change_seq": next_change(connection)}
                connection.execute(sa.update(table).where(_C.request_id == request_id).values(changed))
                return replace(known, end=end)
            raise RequestError(code="SUBJECT_REQUEST_NOT_FOUND", field="id")

        return await self._database.write(work)
