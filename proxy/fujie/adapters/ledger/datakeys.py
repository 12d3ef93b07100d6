"""The customers' data keys, for who reads sealed facts of a log beside the server: nothing is migrated or written."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from fujie.adapters.ledger.database import Database, Query
from fujie.adapters.ledger.postgresql import PostgreSQLDatabase
from fujie.adapters.ledger.server import URL_ALONE, ServerAccess, is_server, server_of
from fujie.adapters.ledger.sqlite import SQLiteDatabase, file_of
from fujie.adapters.ledger.tables import subject
from fujie.audit.sealing import SealKey, unwrap_key
from fujie.model.errors import StartError


def _wrapped(row: Sequence[Any]) -> bytes | None:
    return None if row[0] is None else bytes(row[0])


_KEY = Query(sa.select(subject.c.wrapped_key).where(subject.c.sid == sa.bindparam("sid")), _wrapped)


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

    async def of(self, sid: str) -> SealKey | None:
        """Return the customer's key, None when it was erased or never was.

        Raises:
            LedgerError: the ledger can not be read.
            SealBroken: the key was wrapped under another seal key.

        """
        found = await self._database.rows(_KEY, {"sid": sid})
        wrapped = found[0] if found else None
        return None if wrapped is None else SealKey(sid, unwrap_key(wrapped, self._seal, sid))

    async def close(self) -> None:
        """Let go of the database."""
        await self._database.close()
