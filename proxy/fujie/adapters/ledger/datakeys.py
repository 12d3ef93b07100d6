"""The customers' data keys, for who reads sealed facts of a log beside the server: nothing is migrated or written."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from fujie.adapters.ledger.database import Database, Query, members, one_of, padded_size
from fujie.adapters.ledger.postgresql import PostgreSQLDatabase
from fujie.adapters.ledger.server import URL_ALONE, ServerAccess, is_server, server_of
from fujie.adapters.ledger.sqlite import SQLiteDatabase, file_of
from fujie.adapters.ledger.tables import subject
from fujie.audit.errors import SealBroken
from fujie.audit.sealing import SealKey, unwrap_key
from fujie.model.errors import StartError

_MOST = 256
"""Customers of one SELECT."""


def _wrapped(row: Sequence[Any]) -> tuple[str, bytes]:
    return row[0], bytes(row[1])


@cache
def _keys_of(count: int) -> Query[tuple[str, bytes]]:
    found = sa.select(subject.c.sid, subject.c.wrapped_key)
    return Query(found.where(one_of(subject.c.sid, count), subject.c.wrapped_key.is_not(None)), _wrapped)


class DataKeys:
    """Data keys of one ledger. It belongs to the event loop that opened it."""

    def __init__(self, database: Database, seal: SealKey) -> None:
        self._database = database
        self._seal = seal

    @classmethod
    async def open(cls, url: str, seal: SealKey, access: ServerAccess = URL_ALONE) -> "DataKeys":
        """Open the ledger at `url` as it is; `seal` unwraps its keys.

        Raises:
            StartError: LEDGER_UNSUPPORTED, LEDGER_UNAVAILABLE and the like.

        """
        if is_server(url):
            return cls(await PostgreSQLDatabase.open(server_of(url, access)), seal)
        path = file_of(url)
        if not path.is_file():  # SQLite would make it
            raise StartError("LEDGER_UNAVAILABLE", "there is no file of this name", "Correct ledger.url.")
        return cls(SQLiteDatabase(path), seal)

    async def of(self, sids: Sequence[str]) -> Mapping[str, SealKey | None]:
        """Return the customers' keys: without those that were erased or never were, and None for those that were
        wrapped under another seal key.

        Raises:
            LedgerError: the ledger can not be read.

        """
        found: dict[str, SealKey | None] = {}
        for start in range(0, len(sids), _MOST):
            some = sids[start : start + _MOST]
            for sid, wrapped in await self._database.rows(_keys_of(padded_size(len(some))), members(some)):
                found[sid] = self._unwrapped(sid, wrapped)
        return found

    def _unwrapped(self, sid: str, wrapped: bytes) -> SealKey | None:
        try:
            return SealKey(sid, unwrap_key(wrapped, self._seal, sid))
        except SealBroken:
            return None

    async def close(self) -> None:
        """Let go of the database."""
        await self._database.close()
