"""A customer store in SQL: one table or view, read-only, one SELECT per look-up. SQLite in this build.

Where a look-up runs: a point read costs 20 µs, a hop to a thread and back 147. So a statement starts
on the event loop with a budget of SQLite instructions that is worth about one hop. What exceeds it (a
scan, a view that scans, an index that was dropped) or meets a lock is run again in a thread, with the
caller's deadline; the statement then goes there at once, until the process ends. `EXPLAIN QUERY PLAN`
would say the same in words that SQLite does not keep stable, and only for the day it was asked.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from fujie.adapters.samefile import SameFile
from fujie.adapters.stores.sqlite import STATEMENTS, connect, file_of, open_checked
from fujie.adapters.stores.statement import Lookup
from fujie.adapters.stores.table import StoreTable
from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.errors import StoreError
from fujie.ports import Clock, Fetched

STEP = 500
"""SQLite instructions between two looks at the budget or the deadline; a point read takes about 30."""
LOOP_STEPS = 10
"""Looks that a statement survives on the event loop: about 5,000 instructions, 0.1 to 0.2 ms."""
THREADS = 4
"""Scans that run at a time; the others wait for a thread until their deadline."""

_FAILURES = (sqlite3.Error, ValueError, OverflowError)
"""What the driver raises; the last two for an argument that it cannot bind."""


class SQLStore:
    """A store as `ports.CustomerStore`, open and checked. It belongs to one event loop."""

    def __init__(self, table: StoreTable, clock: Clock) -> None:
        """Open the store and compare it with its configuration.

        Raises:
            StartError: STORE_MISMATCH, naming everything that the database does not have.

        """
        self._table = table
        self._clock = clock
        self._fields = frozenset(table.fields)
        self._attributes = frozenset(table.attributes)
        self._path = file_of(table)
        self._dialect = SQLiteDialect_pysqlite()
        self._lookups: dict[tuple[Any, ...], Lookup] = {}
        self._steps = 0
        self._is_closed = False
        self._inline = open_checked(table, self._path)
        self._file = SameFile(self._path)
        self._inline.set_progress_handler(self._over_budget, STEP)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=f"fujie-store-{table.name}")
        self._of_thread = threading.local()
        self._opened: list[sqlite3.Connection] = [self._inline]

    @property
    def fields(self) -> frozenset[str]:
        """See `ports.CustomerStore.fields`."""
        return self._fields

    @property
    def attributes(self) -> frozenset[str]:
        """See `ports.CustomerStore.attributes`."""
        return self._attributes

    async def fetch(
        self, ref: CustomerRef, fields: frozenset[str], attributes: frozenset[str], timeout_s: float
    ) -> Sequence[Fetched]:
        """See `ports.CustomerStore.fetch`. A key of another store, or a phone where none is mapped, finds nothing."""
        if ref.store != self._table.name if isinstance(ref, StoreKey) else self._table.phone is None:
            return ()
        if self._is_closed:
            raise StoreError(f"store {self._table.name} is closed")
        if timeout_s <= 0:
            raise self._timeout()
        if not self._file.was_same(self._clock.monotonic()):
            raise StoreError(f"store {self._table.name}: its file was removed or replaced")
        lookup = self._lookup(ref, fields, attributes)
        rows = None if lookup.is_long else self._on_loop(lookup, ref)
        if rows is None:
            rows = await self._in_thread(lookup, ref, timeout_s)
        return lookup.fetched(rows, ref)

    def _lookup(self, ref: CustomerRef, fields: frozenset[str], attributes: frozenset[str]) -> Lookup:
        shape = (ref.kind, fields, attributes)
        lookup = self._lookups.get(shape)
        if lookup is None:
            if not (fields <= self._fields and attributes <= self._attributes):
                raise StoreError(f"store {self._table.name}: a column was asked for that is not mapped")
            if len(self._lookups) >= STATEMENTS:
                self._lookups.clear()
            lookup = self._lookups[shape] = Lookup(self._table, ref.kind, fields, attributes, self._dialect)
        return lookup

    def _on_loop(self, lookup: Lookup, ref: CustomerRef) -> list[Any] | None:
        """Return the rows, or None when the statement is too long, or has to wait, for the event loop."""
        self._steps = 0
        try:
            return self._inline.execute(lookup.text, lookup.arguments(ref)).fetchall()
        except _FAILURES as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_INTERRUPT:
                lookup.is_long = True
            elif code != sqlite3.SQLITE_BUSY:
                raise self._unavailable(error) from None
            return None

    def _over_budget(self) -> bool:
        self._steps += 1
        return self._steps > LOOP_STEPS

    async def _in_thread(self, lookup: Lookup, ref: CustomerRef, timeout_s: float) -> list[Any]:
        deadline = self._clock.monotonic() + timeout_s
        run = partial(self._run, lookup.text, lookup.arguments(ref), deadline)
        try:
            async with asyncio.timeout(timeout_s):  # also when a disk hangs and no instruction is counted
                return await asyncio.get_running_loop().run_in_executor(self._pool, run)
        except TimeoutError:
            raise self._timeout() from None
        except _FAILURES as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in {sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY}:
                raise self._timeout() from None
            raise self._unavailable(error) from None

    def _run(self, text: str, arguments: tuple[object, ...], deadline: float) -> list[Any]:
        monotonic: Callable[[], float] = self._clock.monotonic
        left_ms = int((deadline - monotonic()) * 1000)
        if left_ms <= 0:
            raise TimeoutError
        connection = getattr(self._of_thread, "connection", None)
        if connection is None:
            connection = self._of_thread.connection = connect(self._path)
            self._opened.append(connection)
        connection.set_progress_handler(
            lambda: monotonic() > deadline, STEP
        )  # first: the last deadline is over
        connection.execute(f"PRAGMA busy_timeout = {left_ms}")
        rows: list[Any] = connection.execute(text, arguments).fetchall()
        return rows

    def _unavailable(self, error: Exception) -> StoreError:
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        return StoreError(f"store {self._table.name} failed: {name}")

    def _timeout(self) -> StoreError:
        return StoreError(f"store {self._table.name} did not answer in time", code="STORE_TIMEOUT")

    def close(self) -> None:
        """Wait for the look-ups that run, which their deadlines bound, and close the file."""
        self._is_closed = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        for connection in self._opened:
            connection.close()
