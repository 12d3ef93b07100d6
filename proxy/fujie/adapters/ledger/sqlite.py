"""The ledger in one SQLite file: WAL, one reader on the event loop, one writer thread.

A point read costs the event loop about 10 µs, a hop to a thread and back 147: so reads run inline.
Each read is a transaction of its own and sees the last commit of any process. Writes take the
write lock at once (BEGIN IMMEDIATE) and reach the disk before they return (synchronous=FULL).
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from fujie.adapters.compiled import CompiledSelect
from fujie.adapters.ledger.database import Query
from fujie.adapters.samefile import SameFile
from fujie.model.errors import LedgerError, StartError

WRITE_BUSY_S = 2.0
"""How long a write waits for another process's transaction; ours take milliseconds."""
READ_BUSY_S = 0.05
"""How long a read may hold the event loop; in WAL mode it waits only while the file is recovered or closed."""
WRITE_LIMIT_S = 5.0
"""How long a write may take with its wait for the writer thread, so that a locked ledger builds no queue."""

_FAILURES = (SQLAlchemyError, sqlite3.Error, UnicodeError, OverflowError)
"""What a database raises; the last two for a value that it cannot hold."""

_GONE = "the file of the ledger is gone or was replaced"

T = TypeVar("T")


def file_of(url: str) -> Path:
    """Return the file that a `sqlite:///path` URL names.

    Raises:
        StartError: LEDGER_UNSUPPORTED. In-memory ledgers are refused: they lose withdrawals.

    """
    remedy = "Set ledger.url to sqlite:///path/to/ledger.db, or to postgresql://user@host:5432/database."
    try:
        parsed = sa.make_url(url)
    except ArgumentError:
        raise StartError("LEDGER_UNSUPPORTED", "ledger.url is not a database URL", remedy) from None
    path = parsed.database or ""
    if parsed.drivername != "sqlite" or parsed.query or path.startswith(":") or not path:
        raise StartError(
            "LEDGER_UNSUPPORTED", "ledger.url must name one SQLite file or a PostgreSQL server", remedy
        )
    return Path(path)


def connect(path: Path, busy_s: float) -> sqlite3.Connection:
    """Return a connection in autocommit mode with the pragmas of the ledger; the file is made 0600 when missing."""
    with suppress(FileExistsError):
        # O_EXCL: to open and close a file that SQLite has open would drop SQLite's POSIX locks on it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    connection = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def writing_engine(path: Path) -> Engine:
    """Return an engine with a single connection, for one thread, whose transactions begin with the write lock."""
    engine = sa.create_engine(
        "sqlite://", creator=lambda: connect(path, WRITE_BUSY_S), poolclass=StaticPool, hide_parameters=True
    )

    @event.listens_for(engine, "begin")
    def begin_immediate(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def error_name(error: BaseException) -> str:
    """Return what failed without any value: SQLite's error name where there is one, else the class."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return str(getattr(cause, "sqlite_errorname", "") or type(cause).__name__)


class SQLiteDatabase:
    """A ledger file as `Database`. Made by one event loop and used by it alone."""

    def __init__(self, path: Path) -> None:
        self._is_closed = False
        self._dialect = SQLiteDialect_pysqlite()
        self._compiled: dict[Query[Any], CompiledSelect] = {}
        self._reader = connect(path, READ_BUSY_S)
        self._reader.execute("PRAGMA query_only = ON")
        self._file = SameFile(path)
        self._engine = writing_engine(path)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fujie-ledger")

    async def rows(self, query: Query[T], values: Mapping[str, object]) -> list[T]:
        """Return all rows; runs on the event loop."""
        compiled = self._compiled.get(query)
        if compiled is None:
            compiled = self._compiled[query] = CompiledSelect(query.select, self._dialect)
        if not self._file.was_same(asyncio.get_running_loop().time()):
            raise LedgerError(_GONE)
        try:
            # fetchall ends the read transaction: an open cursor would pin an old snapshot.
            found = self._reader.execute(compiled.text, compiled.arguments(values)).fetchall()
        except _FAILURES as error:
            raise LedgerError(f"the ledger cannot be read: {error_name(error)}") from None
        return query.decoded(found)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in the writer thread. A LedgerError by time limit leaves open whether it was committed."""
        if self._is_closed:
            raise LedgerError("the ledger is closed")
        try:
            async with asyncio.timeout(WRITE_LIMIT_S):
                return await asyncio.get_running_loop().run_in_executor(self._writer, self._in_thread, work)
        except TimeoutError:
            raise LedgerError("the ledger did not finish a write in time") from None

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` as `write` does: one file has one writer."""
        return await self.write(work)

    def _in_thread(self, work: Callable[[Connection], T]) -> T:
        if not self._file.is_same():  # SQLite would go on in a file that nobody finds again
            raise LedgerError(_GONE)
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except _FAILURES as error:
            raise LedgerError(f"the ledger cannot be written: {error_name(error)}") from None

    async def close(self) -> None:
        """Finish the write that is running, drop those that wait, and close the file."""
        self._is_closed = True
        # Not on the event loop: a write may wait seconds for another process, and calls still drain.
        await asyncio.to_thread(self._writer.shutdown, wait=True, cancel_futures=True)
        self._engine.dispose()
        self._reader.close()
