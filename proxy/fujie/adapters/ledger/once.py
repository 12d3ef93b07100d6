"""Tokens that may be used once: the first who takes one wins, in any process on any host."""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger.database import Database
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.tables import used_once

_KEPT = timedelta(days=1)
"""How long a token is remembered after it expired, so that a clock which is set back revives none."""

_OVER = sa.delete(used_once).where(used_once.c.expires_at < sa.bindparam("before"))
_TAKE = sa.text(
    "INSERT INTO used_once (kind, digest, expires_at) VALUES (:kind, :digest, :expires_at)"
    " ON CONFLICT DO NOTHING RETURNING digest"
)


class Once:
    """The single-use tokens of a ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self, kind: str, digest: bytes, expires_at: datetime, now: datetime) -> bool:
        """See `ports.Ledger.take_once`."""
        if expires_at <= now:
            return False
        token = {"kind": kind, "digest": digest, "expires_at": to_micros(expires_at)}

        def work(connection: Connection) -> bool:
            connection.execute(_OVER, {"before": to_micros(now - _KEPT)})
            return connection.execute(_TAKE, token).first() is not None

        return await self._database.transact(work)
