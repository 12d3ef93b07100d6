"""A store in an SQLite file: opened so that it stays unchanged, and read on the event loop where that is cheap.

Where a look-up runs: a point read costs 20 µs, a hop to a thread and back 147. So a statement starts
on the event loop with a budget of SQLite instructions that is worth about one hop. What exceeds it (a
scan, a view that scans, an index that was dropped) or meets a lock is run again in a thread, with the
caller's deadline; the statement then goes there at once, until the process ends. `EXPLAIN QUERY PLAN`
would say the same in words that SQLite does not keep stable, and only for the day it was asked.
"""

import asyncio
import re
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
from fujie.adapters.stores.columns import LONGEST, Comparands, KeyType, Kind, Rank, holds
from fujie.adapters.stores.scanning import Selection, Statement
from fujie.adapters.stores.source import Stream, timed_out, unavailable
from fujie.adapters.stores.sqlite_pages import SQLitePages
from fujie.adapters.stores.statement import STATEMENTS
from fujie.adapters.stores.stream import SCANS
from fujie.adapters.stores.table import StoreTable
from fujie.model.errors import StoreError
from fujie.model.predicate import Constant
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

    Not only a courtesy: SQLite takes an unknown name in double quotes for a string. Our statements name the table before
    each column, so that one which is renamed later is an error there too.

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
    columns = SQLiteColumns(table, is_ordered=_is_ordered(table, connection), is_utf8=_is_utf8(connection))
    return columns, SQLiteFile(table, path, connection, clock)


class SQLiteColumns:
    """See `Columns`. Every row has types of its own; an argument takes the affinity of the column it meets."""

    def __init__(self, table: StoreTable, *, is_ordered: bool, is_utf8: bool) -> None:
        """`is_ordered` tells that no id stands at two places of the column's own order, as the number 7 and the text."""
        self._columns = table.from_clause().c
        self._is_ordered = is_ordered
        self._is_utf8 = is_utf8
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

    def is_listed(self, name: str, parameter: str) -> sa.ColumnElement[bool]:
        """See `Columns.is_listed`. A parameter for each id costs the driver more than to find it."""
        texts = sa.select(sa.func.json_each(sa.bindparam(parameter)).table_valued("value").c.value)
        return self._columns[name].in_(texts)

    def argument(self, _name: str, text: str) -> object | None:
        """See `Columns.argument`."""
        return text if holds(KeyType.ANY, text) else None

    def ranks(self, name: str) -> Sequence[Rank]:
        """See `Columns.ranks`."""
        column = self._columns[name]
        exact: sa.ColumnElement[Any] = sa.bindparam("exact")
        if not self._is_ordered:
            return [Rank(sa.cast(column, sa.Text).collate("BINARY"), exact)]
        by_bytes = Rank(sa.cast(column, sa.LargeBinary), sa.cast(exact, sa.LargeBinary))
        return [Rank(column, sa.bindparam("key0")), by_bytes]

    def constant(self, _name: str, kind: Kind, constant: Constant) -> object | None:
        """See `Columns.constant`."""
        match kind:
            case Kind.WORD:
                return constant if holds(KeyType.TEXT, str(constant)) else None
            case Kind.TEXT:
                return constant if self._is_utf8 and holds(KeyType.TEXT, str(constant)) else None
            case Kind.NUMBER:
                return constant
            case Kind.FLAG:
                return int(constant)
            case _:
                return None

    def comparands(self, name: str, kind: Kind, parameter: str) -> Comparands:
        """See `Columns.comparands`. A row whose value has another type than the constant passes."""
        column = self._columns[name]
        asked: sa.ColumnElement[Any] = sa.bindparam(parameter)
        if kind in {Kind.WORD, Kind.TEXT}:
            left: sa.ColumnElement[Any] = sa.cast(column, sa.LargeBinary)
            return Comparands(left, sa.cast(asked, sa.LargeBinary), _is_none_of(column, "'text'"))
        return Comparands(column, asked, _is_none_of(column, "'integer'", "'real'"))

    def key_type(self, _name: str) -> KeyType:
        """See `Columns.key_type`."""
        return KeyType.ANY


def _is_none_of(column: sa.ColumnElement[Any], *types: str) -> sa.ColumnElement[bool]:
    return sa.func.typeof(column).not_in([sa.literal_column(each) for each in (*types, "'null'")])


class SQLiteFile:
    """See `Source`."""

    def __init__(self, table: StoreTable, path: Path, connection: sqlite3.Connection, clock: Clock) -> None:
        self._name = table.name
        self._path = path
        self._clock = clock
        self._left = 0
        """Looks that the statement on the event loop may still survive."""
        self._long = set[str]()
        """Statements that once ran beyond their budget on the event loop."""
        self._inline = connection
        # Ours costs a call for each text. What this one can not decode goes to a thread, whose connections have ours.
        self._inline.text_factory = str
        self._file = SameFile(path)
        self._is_closed = False
        self._inline.set_progress_handler(self._over_budget, STEP)
        self._pool = ThreadPoolExecutor(table.connections, thread_name_prefix=f"fujie-store-{table.name}")
        # Of their own, so that scans leave the look-ups all of theirs.
        self._scan_pool = ThreadPoolExecutor(SCANS, thread_name_prefix=f"fujie-scan-{table.name}")
        self._scanning: sqlite3.Connection | None = None
        self._of_thread = threading.local()
        self._opened: list[sqlite3.Connection] = [connection]

    async def rows(
        self, text: str, arguments: Sequence[object], deadline: float
    ) -> Sequence[Sequence[Any]]:
        """See `Source.rows`."""
        self._look()
        rows = None if text in self._long else self._on_loop(text, arguments)
        return await self._in_thread(self._pool, text, arguments, deadline) if rows is None else rows

    async def open_scan(self, selection: Selection, size: int, _deadline: float) -> Stream:
        """See `Source.open_scan`."""
        return SQLitePages(self._name, self._page, selection, size)

    async def _page(
        self, statement: Statement, instructions: int, deadline: float
    ) -> Sequence[Sequence[Any]] | None:
        """See `SQLitePages`. What has to wait for a lock is read in a thread as well."""
        if not instructions:
            self._look()
            return await self._in_thread(self._scan_pool, *statement, deadline)
        if self._scanning is None:
            self._scanning = connect(self._path)
            # Ours costs a call for each value, half of the time of a page. What this one can not decode goes to a thread.
            self._scanning.text_factory = str
            self._scanning.set_progress_handler(self._over_budget, STEP)
            self._opened.append(self._scanning)
        await asyncio.sleep(0)  # between two pages everybody else has his turn
        self._look()
        self._left = instructions // STEP
        try:
            return self._scanning.execute(*statement).fetchall()
        except _FAILURES as error:
            code = getattr(error, "sqlite_errorcode", None)
            if code is None or code & 0xFF in _TIMEOUTS:
                return None
            raise self._failed(error) from None

    def _on_loop(self, text: str, arguments: Sequence[object]) -> list[Any] | None:
        """Return the rows, or None when the statement is too long, or has to wait, for the event loop."""
        self._left = LOOP_STEPS
        try:
            return self._inline.execute(text, arguments).fetchall()
        except _FAILURES as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_BUSY) & 0xFF
            if code == sqlite3.SQLITE_INTERRUPT:
                if len(self._long) >= STATEMENTS:
                    self._long.clear()
                self._long.add(text)
            elif code != sqlite3.SQLITE_BUSY:
                raise self._failed(error) from None
            return None

    def _look(self) -> None:
        if self._is_closed:
            raise unavailable(self._name, "closed")
        if not self._file.was_same(self._clock.monotonic()):
            raise StoreError(f"store {self._name}: its file was removed or replaced")

    def _over_budget(self) -> bool:
        self._left -= 1
        return self._left < 0

    async def _in_thread(
        self, threads: ThreadPoolExecutor, text: str, arguments: Sequence[object], deadline: float
    ) -> list[Any]:
        run = partial(self._run, text, arguments, deadline)
        try:
            # The time limit also when a disk hangs and no instruction is counted.
            async with asyncio.timeout(deadline - self._clock.monotonic()):
                return await asyncio.get_running_loop().run_in_executor(threads, run)
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
        self._is_closed = True
        for threads in (self._pool, self._scan_pool):
            await asyncio.to_thread(threads.shutdown, wait=True, cancel_futures=True)
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


def _is_ordered(table: StoreTable, connection: sqlite3.Connection) -> bool:
    """Tell whether no id stands at two places of the column's order. A text column has texts alone, and a number column
    no text that spells a number; but a view, and a column of no type, may have the number 7 and the text."""
    schema = table.schema or "main"
    try:
        [(kind, is_strict)] = connection.execute(
            "SELECT type, strict FROM pragma_table_list WHERE schema = ? COLLATE NOCASE AND name = ? COLLATE NOCASE",
            (schema, table.table_name),
        )
        [(declared,)] = connection.execute(
            "SELECT upper(type) FROM pragma_table_xinfo(?, ?) WHERE name = ? COLLATE NOCASE",
            (table.table_name, schema, table.customer_id),
        )
    except (sqlite3.Error, ValueError):  # a library before 3.37 does not tell
        return False
    has_affinity = re.search("INT|CHAR|CLOB|TEXT", declared) or not re.search(
        "BLOB|REAL|FLOA|DOUB", declared
    )
    return bool(kind == "table" and declared and has_affinity and not (is_strict and declared == "ANY"))


def _is_utf8(connection: sqlite3.Connection) -> bool:
    [(encoding,)] = connection.execute("PRAGMA encoding")
    return bool(encoding == "UTF-8")


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
