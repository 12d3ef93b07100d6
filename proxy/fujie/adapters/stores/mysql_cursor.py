"""A scan of MySQL or MariaDB: an unbuffered cursor in a thread, on a connection that lives as long as the scan.

The server makes rows as they are read, so a slow reader costs one connection and no memory. However a scan ends, the
connection ends with it; a statement that has not come to its end is killed over another one, since the server looks
whether anybody still listens only when it has a row to send.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

import pymysql
from pymysql.cursors import SSCursor

from fujie.adapters.stores.address import Address
from fujie.adapters.stores.mysql_session import FAILURES, Session, failed
from fujie.adapters.stores.scanning import Statement
from fujie.adapters.stores.source import timed_out, unavailable
from fujie.ports import Clock

KILL_S = 1.0
"""How long killing a statement may take."""
READER_S = 3600
"""How long the server waits for a reader who does not take the next row, instead of its own `net_write_timeout` of a
minute: the flow's deadlines end a scan, not the network's."""

Rows = Sequence[Sequence[Any]]


class MySQLCursor:
    """See `Stream`."""

    def __init__(
        self, store: str, address: Address, clock: Clock, threads: ThreadPoolExecutor, size: int
    ) -> None:
        self._store = store
        self._address = address
        self._clock = clock
        self._threads = threads
        self._size = size
        self._session = Session(address, clock)
        self._cursor: SSCursor | None = None
        self._first: Rows | None = None
        self._work: Future[Rows] | None = None
        self._is_at_end = False
        self._ending: asyncio.Future[None] | None = None
        self._forget: Callable[[MySQLCursor], None] = lambda _: None

    def when_over(self, forget: Callable[["MySQLCursor"], None]) -> None:
        """Set what is called once the scan has ended."""
        self._forget = forget

    async def open(self, statement: Statement, deadline: float) -> None:
        """Connect, and wait for the first rows. Raises like `Stream.more`."""
        self._first = await self._in_thread(lambda: self._open(statement, deadline), deadline)

    async def more(self, deadline: float) -> Rows:
        """See `Stream.more`."""
        if self._first is not None:
            rows, self._first = self._first, None
            return rows
        if self._is_at_end:
            return ()
        return await self._in_thread(self._fetch, deadline)

    async def _in_thread(self, read: Callable[[], Rows], deadline: float) -> Rows:
        if self._ending is not None:
            raise unavailable(self._store, "closed")
        try:
            async with asyncio.timeout(deadline - self._clock.monotonic()):
                self._work = self._threads.submit(read)
                return await asyncio.wrap_future(self._work)
        except TimeoutError:
            self._session.cut()
            raise timed_out(self._store) from None
        except FAILURES as error:
            raise failed(self._store, error) from None
        except BaseException:
            self._session.cut()
            raise

    def _open(self, statement: Statement, deadline: float) -> Rows:
        connection = self._session.connected(deadline)
        with connection.cursor() as setting:
            setting.execute("SET SESSION net_write_timeout = %s", (READER_S,))
        self._cursor = connection.cursor(SSCursor)
        self._cursor.execute(statement.text, statement.arguments)
        return self._fetch()

    def _fetch(self) -> Rows:
        assert self._cursor is not None
        rows: Rows = self._cursor.fetchmany(self._size + 1)
        self._is_at_end = len(rows) <= self._size
        return rows

    async def end(self) -> None:
        """See `Stream.end`. It goes on behind a caller who does not wait."""
        if self._ending is None:
            if self._work is not None and not self._work.done():
                self._session.cut()
            self._ending = asyncio.wrap_future(self._threads.submit(self._close))
            self._ending.add_done_callback(lambda _: self._forget(self))
        await asyncio.shield(self._ending)

    def _close(self) -> None:
        if self._work is not None:
            wait([self._work])  # it is cut
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            connection = cursor.connection
            if not self._is_at_end:
                self._kill(connection.thread_id())  # type: ignore[no-untyped-call]  # so is the driver's
                _leave(connection, cursor)
        self._session.close()

    def _kill(self, number: int) -> None:
        killer = Session(self._address, self._clock)
        try:
            with suppress(pymysql.MySQLError, OSError):
                killer.connected(self._clock.monotonic() + KILL_S).kill(number)  # type: ignore[no-untyped-call]  # so is the driver's
        finally:
            killer.close()


def _leave(connection: Any, cursor: Any) -> None:
    """Take a result from the driver that was not read to its end: else it would read it first, a table perhaps."""
    for result in (connection._result, cursor._result):  # noqa: SLF001 - it has no other door
        if result is not None:
            result.unbuffered_active = False
            result.connection = None
    connection._result = cursor._result = cursor.connection = None  # noqa: SLF001
