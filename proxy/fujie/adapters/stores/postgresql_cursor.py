"""A scan of PostgreSQL: a cursor in a read-only transaction, on a connection that lives as long as the scan.

The server makes rows as they are asked for, so a slow reader costs one snapshot and no memory. However a scan ends, the
connection ends with it: there is no session to bring back to rest. Whoever leaves while a statement runs does not wait
for it: the cancel request goes out behind him, and what has not stopped within `CANCEL_S` is cut.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import asyncpg

from fujie.adapters.postgresql_session import open_session
from fujie.adapters.stores.scanning import Statement
from fujie.adapters.stores.source import timed_out, unavailable
from fujie.ports import Clock

SESSION = {
    "application_name": "fujie",
    "default_transaction_read_only": "on",
    "statement_timeout": "30000",
    # A planner that takes a look-up through a view for expensive would compile it: 100 ms for one row.
    "jit": "off",
}
"""What our sessions ask of the server. The time limit, in milliseconds, is for a cancel that never arrived."""

CANCEL_S = 1.0
"""How long a connection may take to stop a statement whose caller has gone."""

FAILURES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    ValueError,
    OverflowError,
)
"""What the driver raises; the last two for a value that it can not turn into one of Python's."""


class PostgreSQLCursor:
    """See `Stream`. `forget` is called once it has ended."""

    def __init__(
        self, store: str, clock: Clock, size: int, forget: Callable[["PostgreSQLCursor"], None]
    ) -> None:
        self._store = store
        self._clock = clock
        self._size = size
        self._forget = forget
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._cursor: Any = None
        self._first: Sequence[Any] | None = None
        self._ending: asyncio.Task[None] | None = None

    async def open(self, arguments: Mapping[str, Any], statement: Statement, deadline: float) -> None:
        """Connect, and wait for the first rows. Raises like `Stream.more`."""
        left_ms = int((deadline - self._clock.monotonic() + CANCEL_S) * 1000)
        # For a cancel that never arrived. The server counts each fetch by itself.
        limits = {**SESSION, "statement_timeout": str(max(1, left_ms))}

        async def read() -> Sequence[Any]:
            self._connection = connection = await open_session(arguments, limits)
            await connection.transaction(readonly=True).start()
            self._cursor = await connection.cursor(statement.text, *statement.arguments)
            return await self._fetch()

        self._first = await self._within(deadline, read)

    async def more(self, deadline: float) -> Sequence[Sequence[Any]]:
        """See `Stream.more`."""
        if self._first is not None:
            rows, self._first = self._first, None
            return rows
        if self._ending is not None:
            raise unavailable(self._store, "closed")
        return await self._within(deadline, self._fetch)

    async def _fetch(self) -> Sequence[Any]:
        rows: Sequence[Any] = await self._cursor.fetch(self._size + 1)
        return rows

    async def _within(self, deadline: float, read: Callable[[], Any]) -> Sequence[Any]:
        try:
            async with asyncio.timeout(deadline - self._clock.monotonic()):
                rows: Sequence[Any] = await read()
                return rows
        except (TimeoutError, asyncpg.QueryCanceledError):
            raise timed_out(self._store) from None
        except FAILURES as error:
            raise unavailable(self._store, type(error).__name__) from None

    async def end(self) -> None:
        """See `Stream.end`. It goes on behind a caller who does not wait."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._close())  # noqa: TID251 - kept here and by the store; never raises
        await asyncio.shield(self._ending)

    async def _close(self) -> None:
        self._first = None
        if self._connection is not None:
            with suppress(Exception):  # asyncpg has cut it
                await self._connection.close(timeout=CANCEL_S)
        self._forget(self)
