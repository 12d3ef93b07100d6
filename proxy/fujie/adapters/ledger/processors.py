"""The register of processors: who handles customer data for us, under which agreement."""

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query, next_change
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.outbox_tables import processor as table
from fujie.adapters.ledger.pages import Keyed, read_page
from fujie.model.page import Page, Slice
from fujie.model.processor import Processor

_C = table.c
_COLUMNS = (
    _C.id, _C.display_name, _C.agreement, _C.valid_from, _C.valid_until, _C.filing, _C.region, _C.transfer,
    _C.contact, _C.ownership, _C.assessments,
)  # fmt: skip


def _processor(row: Sequence[Any]) -> Processor:
    return Processor(
        id=row[0],
        display_name=row[1],
        agreement=row[2],
        valid_from=date.fromisoformat(row[3]),
        valid_until=date.fromisoformat(row[4]),
        filing=row[5],
        region=row[6],
        transfer=row[7],
        contact=row[8],
        ownership=row[9],
        assessments=_days(row[10]),
    )


def _days(stored: str) -> Mapping[str, date]:
    values = json.loads(stored)
    if not isinstance(values, dict):
        raise TypeError("assessments are a map")
    return MappingProxyType({purpose: date.fromisoformat(day) for purpose, day in values.items()})


def _values(processor: Processor) -> dict[str, object]:
    assessments = {purpose: day.isoformat() for purpose, day in processor.assessments.items()}
    return {
        "display_name": processor.display_name,
        "agreement": processor.agreement,
        "valid_from": processor.valid_from.isoformat(),
        "valid_until": processor.valid_until.isoformat(),
        "filing": processor.filing,
        "region": processor.region,
        "transfer": processor.transfer,
        "contact": processor.contact,
        "ownership": processor.ownership,
        "assessments": json.dumps(assessments, sort_keys=True),
    }


def _keyed(row: Sequence[Any]) -> Keyed[Processor]:
    return row[0], _processor(row)


_BY_ID = Query(sa.select(*_COLUMNS).where(_C.id == sa.bindparam("id")), _processor)
_LISTED = Query(
    sa.select(*_COLUMNS)
    .where(_C.id > sa.bindparam("after", type_=sa.Text))
    .order_by(_C.id)
    .limit(sa.bindparam("size", type_=sa.Integer)),
    _keyed,
)


class Processors:
    """The register in the ledger, as `ports.processors.ProcessorRegister`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def processor(self, processor_id: str) -> Processor | None:
        """See `ports.processors.ProcessorRegister.processor`."""
        found = await self._database.rows(_BY_ID, {"id": processor_id})
        return found[0] if found else None

    async def upsert_processor(self, processor: Processor, now: datetime) -> Processor:
        """See `ports.processors.ProcessorRegister.upsert_processor`."""

        def work(connection: Connection) -> Processor:
            # Not ON CONFLICT: nobody else writes at the same time, in any database.
            row = {
                **_values(processor),
                "updated_at": to_micros(now),
                "change_seq": next_change(connection),
            }
            updated = connection.execute(sa.update(table).where(_C.id == processor.id).values(row))
            if updated.rowcount == 0:
                connection.execute(sa.insert(table), {"id": processor.id, **row})
            return processor

        return await self._database.write(work)

    async def processors(self, part: Slice) -> Page[Processor]:
        """See `ports.processors.ProcessorRegister.processors`."""
        return await read_page(self._database, _LISTED, {"after": part.after}, part)
