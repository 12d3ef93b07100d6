"""Notices that were used: each version is kept once and never changed, so that its text can be shown for ever."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database, Query, next_change
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.tables import notice as notice_table
from fujie.model.errors import RequestError
from fujie.model.notice import PrivacyNotice
from fujie.model.reason import LocalizedText

_C = notice_table.c


def _content(notice: PrivacyNotice) -> str:
    said = {
        "purposes": sorted(notice.purposes),
        "channels": sorted(notice.channels),
        "text": [notice.text.zh, notice.text.en],
        "withdrawal": [notice.withdrawal.zh, notice.withdrawal.en],
        "explicit": notice.explicit,
        "separate": notice.separate,
        "data_classes": sorted(notice.data_classes),
        "recipients": sorted(notice.recipients),
        "storage": sorted(notice.storage),
    }
    return json.dumps(said, ensure_ascii=False, sort_keys=True)


def _notice(row: Sequence[Any]) -> PrivacyNotice:
    said = json.loads(row[2])
    return PrivacyNotice(
        id=row[0],
        version=row[1],
        purposes=frozenset(said["purposes"]),
        text=LocalizedText(*said["text"]),
        withdrawal=LocalizedText(*said["withdrawal"]),
        channels=frozenset(said["channels"]),
        explicit=said["explicit"],
        separate=said["separate"],
        data_classes=tuple(said["data_classes"]),
        recipients=tuple(said["recipients"]),
        storage=tuple(said["storage"]),
    )


_BY_VERSION = Query(
    sa.select(_C.id, _C.version, _C.content).where(
        _C.id == sa.bindparam("id"), _C.version == sa.bindparam("version")
    ),
    _notice,
)


class Notices:
    """Every notice that was shown or recorded, as it was."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def notice(self, notice_id: str, version: str) -> PrivacyNotice | None:
        """See `ports.Ledger.notice`."""
        found = await self._database.rows(_BY_VERSION, {"id": notice_id, "version": version})
        return found[0] if found else None

    async def keep_notice(self, notice: PrivacyNotice, now: datetime) -> None:
        """See `ports.Ledger.keep_notice`; a notice that is there already costs one read."""
        kept = await self.notice(notice.id, notice.version)
        if kept is None:
            kept = await self._database.write(lambda connection: _kept(connection, notice, now))
        if _content(kept) != _content(notice):
            raise RequestError(code="NOTICE_CHANGED", field="consent.notice.version")


def _kept(connection: Connection, notice: PrivacyNotice, now: datetime) -> PrivacyNotice:
    """Return the notice that stands, which may be another's that came first."""
    change = next_change(connection)  # first: it makes writers take turns
    for kept in _BY_VERSION.within(connection, {"id": notice.id, "version": notice.version}):
        return kept
    row = {"id": notice.id, "version": notice.version, "content": _content(notice)}
    connection.execute(sa.insert(notice_table), {**row, "kept_at": to_micros(now), "change_seq": change})
    return notice
