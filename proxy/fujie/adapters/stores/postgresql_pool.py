"""The connections of a store in PostgreSQL, which can not write, read on the event loop.

A statement is prepared once per connection. At the deadline the call ends; the cancel request goes out behind it,
and a connection that does not come back to rest within `CANCEL_S` is cut. A connection that was lost is replaced, and
the SELECT repeated once within its deadline: it changed nothing. So it is when the database's encoding can not write what was
asked for.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import asyncpg

from fujie.adapters.postgresql_session import settle
from fujie.adapters.stores.address import Address
from fujie.adapters.stores.postgresql_cursor import CANCEL_S, FAILURES, SESSION, PostgreSQLCursor
from fujie.adapters.stores.scanning import Selection
from fujie.adapters.stores.source import Stream, timed_out, unavailable
from fujie.adapters.stores.table import StoreTable
from fujie.ports import Clock

PREPARED = 256
"""Prepared statements that a connection keeps; the server holds a plan for each."""

_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)

_IS_WRITABLE = (
    "SELECT pg_catalog.convert($1::bytea, 'UTF8', pg_catalog.getdatabaseencoding()::name) IS NOT NULL"
)
"""Fails for a text that the database's encoding can not write."""


class PostgreSQLPool:
    """See `Source`. The pool connects when it is asked, so a replica need not be there at the start."""

    def __init__(
        self, store: str, address: Address, pool: "asyncpg.Pool[asyncpg.Record]", clock: Clock
    ) -> None:
        self._store = store
        self._address = address
        self._pool = pool
        self._clock = clock
        self._releasing = set[asyncio.Task[None]]()
        self._scans = set[PostgreSQLCursor]()

    async def rows(
        self, text: str, arguments: Sequence[object], deadline: float
    ) -> Sequence[Sequence[Any]]:
        """See `Source.rows`. The wait for a connection counts."""
        try:
            async with asyncio.timeout(deadline - self._clock.monotonic()):
                try:
                    return await self._read(text, arguments)
                except _LOST:
                    await self._pool.expire_connections()  # what one has lost the others have lost
                    return await self._read(text, arguments)
        except (TimeoutError, asyncpg.QueryCanceledError):
            raise timed_out(self._store) from None
        except FAILURES as error:
            raise unavailable(self._store, type(error).__name__) from None

    async def _read(self, text: str, arguments: Sequence[object]) -> Sequence[Any]:
        connection = await self._pool.acquire()
        try:
            try:
                rows = await connection.fetch(text, *arguments)
            except asyncpg.UntranslatableCharacterError:
                rows = await connection.fetch(text, *await _known(connection, arguments))
        except BaseException:
            self._release_behind(connection)
            raise
        await self._pool.release(connection)
        return rows

    async def open_scan(self, selection: Selection, size: int, deadline: float) -> Stream:
        """See `Source.open_scan`. Not a connection of the pool: look-ups keep all of those."""
        cursor = PostgreSQLCursor(self._store, self._clock, size, self._scans.discard)
        self._scans.add(cursor)
        try:
            await cursor.open(arguments_of(self._address), selection.statement(selection.after), deadline)
        except BaseException:
            await cursor.end()
            raise
        return cursor

    def _release_behind(self, connection: Any) -> None:
        """Give the connection back once its statement has stopped; the caller does not wait for that."""

        async def release() -> None:
            with suppress(Exception):  # asyncpg has cut it
                await self._pool.release(connection, timeout=CANCEL_S)

        task = asyncio.create_task(release())  # noqa: TID251 - kept below until it ends, and it never raises
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def close(self) -> None:
        """See `Source.close`."""
        try:
            async with asyncio.timeout(CANCEL_S):
                await asyncio.gather(*self._releasing, *(scan.end() for scan in self._scans))
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()


async def _known(connection: Any, arguments: Sequence[object]) -> list[object]:
    """Return the arguments with NULL, which no row equals, in place of every text that the database's encoding can not write.

    The server is asked about each: an error in place of a row may also be a row that can not be written in UTF-8.
    """
    strangers = set[object]()
    for each in {each for each in arguments if isinstance(each, str) and not each.isascii()}:
        try:
            await connection.fetchval(_IS_WRITABLE, each.encode())
        except asyncpg.UntranslatableCharacterError:
            strangers.add(each)
    return [None if each in strangers else each for each in arguments]


async def open_pool(table: StoreTable, address: Address) -> "asyncpg.Pool[asyncpg.Record]":
    """Return a pool that connects when it is asked."""
    arguments = arguments_of(address)

    async def settled(connection: Any) -> None:
        await settle(connection, arguments, SESSION)

    return await asyncpg.create_pool(
        **arguments,
        init=settled,
        min_size=0,
        max_size=table.connections,
        statement_cache_size=PREPARED,
        max_cached_statement_lifetime=0,  # a prepared statement stays as long as its connection
        reset=_keep_session,
    )


def arguments_of(address: Address) -> dict[str, Any]:
    """Return how asyncpg reaches a server."""
    return {
        "host": address.socket or address.host,
        "port": address.port,
        "user": address.user,
        "password": address.password,
        "database": address.database,
        "ssl": address.tls or False,
    }


async def _keep_session(_connection: object) -> None:
    """Save a round trip for each look-up: nothing that a SELECT did is left in the session."""
