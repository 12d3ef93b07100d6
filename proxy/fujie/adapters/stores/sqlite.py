"""A store in an SQLite file: opened so that it stays unchanged, and read on the event loop where that is cheap.

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
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import Dialect
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from fujie.adapters.samefile import SameFile
from fujie.adapters.stores.address import Address, mismatch, missing
from fujie.adapters.stores.columns import LONGEST, KeyType, holds
from fujie.adapters.stores.source import timed_out, unavailable
from fujie.adapters.stores.statement import STATEMENTS
from fujie.adapters.stores.table import StoreTable
from fujie.model.errors import StoreError
from fujie.ports import Clock

STEP = 500
"""SQLite instructions between two looks at the budget or the deadline; a point read takes about 30."""
LOOP_STEPS = 10
"""Looks that a statement survives on the event loop: about 5,000 instructions, 0.1 to 0.2 ms."""

_FAILURES = (sqlite3.Error, ValueError, OverflowError)
"""What the driver raises; the last two for an argument that it cannot bind."""
_TIMEOUTS = frozenset({sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_BUSY})


def open_sqlite(table: StoreTable, address: Address, clock: Clock) -> "tuple[SQLiteColumns, SQLiteFile]":
    """Open a file that has every column that the configuration maps.

    Not only a courtesy: SQLite takes an unknown name in double quotes for a string.

    Raises:
        StartError: STORE_MISMATCH, with every problem on a line of its own.

    """
    path = Path(address.database)
    try:
        connection = connect(path)
    except sqlite3.Error as error:
        raise mismatch([f"store {table.name}: cannot be opened: {error.sqlite_errorname}"]) from None
    found = _problems(table, connection)
    if found:
        connection.close()
        raise mismatch(found)
    return SQLiteColumns(table), SQLiteFile(table, path, connection, clock)


class SQLiteColumns:
    """See `Columns`. Every row has types of its own; an argument takes the affinity of the column it meets."""

    def __init__(self, table: StoreTable) -> None:
        self._columns = table.from_clause().c
        self.dialect: Dialect = SQLiteDialect_pysqlite()

    def column(self, name: str) -> sa.ColumnElement[Any]:
        """See `Columns.column`."""
        return self._columns[name]

    def value(self, name: str) -> sa.ColumnElement[Any]:
        """See `Columns.value`. Bytes are counted, as `length` of a text ends at its first NUL."""
        column = self._columns[name]
        is_long = sa.func.length(sa.cast(column, sa.LargeBinary)) > sa.literal_column(str(LONGEST))
        return sa.case((is_long, sa.func.zeroblob(sa.literal_column(str(LONGEST + 1)))), else_=column)

    def key(self, name: str) -> sa.ColumnElement[Any]:
        """See `Columns.key`."""
        return self.value(name)

    def is_one_of(self, name: str, parameters: Sequence[str]) -> sa.ColumnElement[bool]:
        """See `Columns.is_one_of`."""
        return self._columns[name].in_([sa.bindparam(parameter) for parameter in parameters])

    def is_exactly(self, name: str, parameters: Sequence[str]) -> sa.ColumnElement[bool]:
        """See `Columns.is_exactly`."""
        asked: list[sa.ColumnElement[Any]] = [sa.bindparam(parameter) for parameter in parameters]
        return sa.cast(self._columns[name], sa.Text).collate("BINARY").in_(asked)

    def argument(self, _name: str, text: str) -> object | None:
        """See `Columns.argument`."""
        return text if holds(KeyType.ANY, text) else None

    def key_type(self, _name: str) -> KeyType:
        """See `Columns.key_type`."""
        return KeyType.ANY


class SQLiteFile:
    """See `Source`."""

    def __init__(self, table: StoreTable, path: Path, connection: sqlite3.Connection, clock: Clock) -> None:
        self._name = table.name
        self._path = path
        self._clock = clock
        self._steps = 0
        self._long = set[str]()
        """Statements that once ran beyond their budget on the event loop."""
        self._inline = connection
        self._file = SameFile(path)
        self._inline.set_progress_handler(self._over_budget, STEP)
        self._pool = ThreadPoolExecutor(table.connections, thread_name_prefix=f"fujie-store-{table.name}")
        self._of_thread = threading.local()
        self._opened: list[sqlite3.Connection] = [connection]

    async def rows(
        self, text: str, arguments: Sequence[object], deadline: float
    ) -> Sequence[Sequence[Any]]:
        """See `Source.rows`."""
        if not self._file.was_same(self._clock.monotonic()):
            raise StoreError(f"store {self._name}: its file was removed or replaced")
        rows = None if text in self._long else self._on_loop(text, arguments)
        return await self._in_thread(text, arguments, deadline) if rows is None else rows

    def _on_loop(self, text: str, arguments: Sequence[object]) -> list[Any] | None:
        """Return the rows, or None when the statement is too long, or has to wait, for the event loop."""
        self._steps = 0
        try:
            return self._inline.execute(text, arguments).fetchall()
        except _FAILURES as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code == sqlite3.SQLITE_INTERRUPT:
                if len(self._long) >= STATEMENTS:
                    self._long.clear()
                self._long.add(text)
            elif code != sqlite3.SQLITE_BUSY:
                raise self._failed(error) from None
            return None

    def _over_budget(self) -> bool:
        self._steps += 1
        return self._steps > LOOP_STEPS

    async def _in_thread(self, text: str, arguments: Sequence[object], deadline: float) -> list[Any]:
        run = partial(self._run, text, arguments, deadline)
        try:
            # The time limit also when a disk hangs and no instruction is counted.
            async with asyncio.timeout(deadline - self._clock.monotonic()):
                return await asyncio.get_running_loop().run_in_executor(self._pool, run)
        except TimeoutError:
            raise timed_out(self._name) from None
        except _FAILURES as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _TIMEOUTS:
                raise timed_out(self._name) from None
            raise self._failed(error) from None

    def _run(self, text: str, arguments: Sequence[object], deadline: float) -> list[Any]:
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

    def _failed(self, error: Exception) -> StoreError:
        return unavailable(self._name, getattr(error, "sqlite_errorname", type(error).__name__))

    async def close(self) -> None:
        """Wait for the look-ups that run, which their deadlines bound, and close the file."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
        for connection in self._opened:
            connection.close()


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection that can not write and does not wait for locks.

    Raises:
        sqlite3.Error: there is no such file, or it can not be opened.

    """
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode=ro",
        uri=True,
        timeout=0,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS,
    )
    # Bytes that are not UTF-8 become U+FFFD: a lone surrogate would break whoever encodes it later.
    connection.text_factory = partial(str, encoding="utf-8", errors="replace")
    return connection


def _problems(table: StoreTable, connection: sqlite3.Connection) -> list[str]:
    engine = sa.create_engine(
        "sqlite://", creator=lambda: connection, poolclass=StaticPool, hide_parameters=True
    )
    try:
        inspector = sa.inspect(engine)
        if not inspector.has_table(table.table_name, table.schema):
            return [f"store {table.name}: there is no table or view {table.table!r}"]
        present = {column["name"] for column in inspector.get_columns(table.table_name, table.schema)}
    except (SQLAlchemyError, sqlite3.Error) as error:
        name = getattr(getattr(error, "orig", error), "sqlite_errorname", type(error).__name__)
        return [f"store {table.name}: its columns cannot be read: {name}"]
    return missing(table, present)
