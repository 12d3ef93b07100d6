"""One export as a row of the ledger, and back."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Query
from fujie.adapters.ledger.export_tables import export as table
from fujie.adapters.ledger.instant import from_micros, to_micros
from fujie.model.errors import RequestError
from fujie.model.export import Export, ExportState, Format, Lease

_E = table.c
COLUMNS = (
    _E.export_id, _E.requester, _E.caller, _E.store, _E.purpose, _E.basis, _E.steps, _E.request_digest, _E.bundle,
    _E.format, _E.approval, _E.started_at, _E.state, _E.ended_at, _E.reason, _E.rows, _E.lease_expires_at,
    _E.opens_left, _E.closed_at, _E.closed_by, _E.closed_why, _E.grants,
)  # fmt: skip


def _moment(stored: int | None) -> datetime | None:
    return None if stored is None else from_micros(stored)


def export_of(row: Sequence[Any]) -> Export:
    """Return what a row of `COLUMNS` tells."""
    return Export(
        id=row[0],
        requester=row[1],
        caller=row[2],
        store=row[3],
        purpose=row[4],
        basis=row[5],
        steps=json.loads(row[6]),
        request_digest=row[7],
        bundle=row[8],
        format=Format(row[9]),
        approval=row[10],
        started_at=from_micros(row[11]),
        state=ExportState(row[12]),
        ended_at=_moment(row[13]),
        reason=row[14],
        rows=row[15],
        lease=None if row[16] is None else Lease(expires_at=from_micros(row[16]), opens_left=row[17]),
        closed_at=_moment(row[18]),
        closed_by=row[19],
        closed_why=row[20],
        grants=frozenset(json.loads(row[21])),
    )


def values_of(export: Export) -> dict[str, object]:
    """Return the row of an export that begins."""
    lease = export.lease
    expires = to_micros(lease.expires_at) if lease else None
    return {
        "export_id": export.id,
        "requester": export.requester,
        "caller": export.caller,
        "store": export.store,
        "purpose": export.purpose,
        "basis": export.basis,
        "steps": json.dumps(dict(export.steps), sort_keys=True),
        "request_digest": export.request_digest,
        "bundle": export.bundle,
        "format": export.format.value,
        "approval": export.approval,
        "started_at": to_micros(export.started_at),
        "state": ExportState.RUNNING.value,
        "reason": "",
        "rows": 0,
        "lease_expires_at": expires,
        "opens_left": lease.opens_left if lease else 0,
        "closed_by": "",
        "closed_why": "",
        "keys_until": expires,
        "grants": json.dumps(sorted(export.grants)),
    }


IS_IT = _E.export_id == sa.bindparam("id", type_=sa.Text)
BY_ID = Query(sa.select(*COLUMNS).where(IS_IT), export_of)
_LOCKED = Query(sa.select(*COLUMNS).where(IS_IT).with_for_update(), export_of)


def known_within(connection: Connection, export_id: str) -> Export:
    """Return an export that nobody else changes until the transaction ends. Raises RequestError EXPORT_NOT_FOUND."""
    for known in _LOCKED.within(connection, {"id": export_id}):
        return known
    raise RequestError(code="EXPORT_NOT_FOUND", field="name")
