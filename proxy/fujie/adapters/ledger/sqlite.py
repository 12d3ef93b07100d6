"""The ledger in one SQLite file: WAL, one reader on the event loop, one in a thread, one writer thread.

A point read costs the event loop about 10 µs, a hop to a thread and back 147: so reads run inline, but for those
of many customers, which take milliseconds. The reads of one turn of the event loop share a transaction (`_begin`). Writes take the
write lock at once (BEGIN IMMEDIATE) and reach the disk before they return (synchronous=FULL). Those that wait
at the same time are one transaction, each in a savepoint of its own.
"""

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from fujie.adapters.clock import SystemClock
from fujie.adapters.compiled import CompiledSelect
from fujie.adapters.ledger.database import LAST_CHANGE, Query
from fujie.adapters.samefile import SameFile
from fujie.model.errors import LedgerError, StartError

WRITE_BUSY_S = 2.0
"""How long a write waits for the transactions of other processes; ours take milliseconds."""
WRITE_AGAIN_S = 0.001
"""How often it tries to take its turn. SQLite's own handler waits ever longer, up to 100 ms, so who finds another
process's next transaction each time starves: of 3,000 first look-ups at once on two workers, one failed."""
MOST_REMEMBERED = 1_024
"""Answers that are kept as long as nobody writes; a kB each."""
MOST_TOGETHER = 64
"""Writes of one transaction: bounds what is lost when it fails, and how long other processes wait."""
READ_CACHE_KIB = 32_768
"""Pages that each reader of a process keeps, in KiB; SQLite's own 2 MB hold the inner nodes of no large index: a campaign
reads by digests, which lie anywhere."""
PAGE_BYTES = 8_192
"""Of a new ledger: indexes of half the pages of SQLite's own size are a level or a search of a page less to go through; screening
takes 5 % less CPU, a campaign as long (docs/tuning.md). Twice as much again gains nothing more."""
READ_BUSY_S = 0.05
"""How long a read may hold the event loop; in WAL mode it waits only while the file is recovered or closed."""
LONG_LOG = 16 << 20
"""Bytes of the write-ahead log beyond which it is emptied: SQLite begins it anew only when nobody reads, and with two
busy processes somebody always does (56 MB in 6 s of writing)."""
EMPTY_BUSY_S = 0.2
"""How long emptying waits for those who read, and whoever writes for it; a turn of an event loop takes milliseconds."""
WRITE_LIMIT_S = 5.0
"""How long a write may take with its wait for the writer thread, so that a locked ledger builds no queue."""

_FAILURES = (SQLAlchemyError, sqlite3.Error, UnicodeError, OverflowError)
"""What a database raises; the last two for a value that it cannot hold."""

_GONE = "the file of the ledger is gone or was replaced"

T = TypeVar("T")
_Write: TypeAlias = "tuple[Callable[[Connection], Any], asyncio.Future[Any]]"


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
        # Before WAL, which fixes it; a ledger that exists keeps its own.
        connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        # What is deleted is overwritten with zeros: a key that was destroyed must not lie in a free page.
        connection.execute("PRAGMA secure_delete = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def writing_engine(path: Path) -> Engine:
    """Return an engine with a single connection, for one thread, whose transactions begin with the write lock."""
    engine = sa.create_engine(
        "sqlite://", creator=lambda: connect(path, WRITE_BUSY_S), poolclass=StaticPool, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def wait_ourselves(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA busy_timeout = 0")

    @event.listens_for(engine, "begin")
    def begin_immediate(connection: Connection) -> None:
        until = SystemClock.monotonic() + WRITE_BUSY_S
        while True:
            try:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            except OperationalError as error:
                if SystemClock.monotonic() > until or not error_name(error).startswith("SQLITE_BUSY"):
                    raise
                time.sleep(WRITE_AGAIN_S)
            else:
                return

    return engine


def error_name(error: BaseException) -> str:
    """Return what failed without any value: SQLite's error name where there is one, else the class."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return str(getattr(cause, "sqlite_errorname", "") or type(cause).__name__)


def _unwritten(error: BaseException) -> LedgerError:
    unwritten = LedgerError(f"the ledger cannot be written: {error_name(error)}")
    unwritten.__suppress_context__ = True  # as `from None`: what SQLAlchemy says may hold values
    return unwritten


def _told(error: Exception) -> LedgerError:
    """Return the error for one of several who wait: each gets his own. The executor refuses once it is closed."""
    if isinstance(error, LedgerError):
        return LedgerError(str(error), code=error.code)
    return LedgerError(f"the ledger cannot be written: {error_name(error)}")


def _alone(connection: Connection, work: Callable[[Connection], T]) -> T | Exception:
    """Run `work`; return its result, or what it raised once all that it did is undone.

    Raises:
        Exception: what SQLite answers by undoing the whole transaction (SQLITE_FULL, SQLITE_IOERR).

    """
    connection.exec_driver_sql("SAVEPOINT own")
    try:
        result = work(connection)
    except Exception as error:
        raw = connection.connection.driver_connection
        if raw is None or not raw.in_transaction:
            raise  # nobody's writes are left, and those of a later `work` would stand alone
        connection.exec_driver_sql("ROLLBACK TO own")
        connection.exec_driver_sql("RELEASE own")
        return _unwritten(error) if isinstance(error, _FAILURES) else error
    connection.exec_driver_sql("RELEASE own")
    return result


class SQLiteDatabase:
    """A ledger file as `Database`. Made by one event loop and used by it alone."""

    def __init__(self, path: Path) -> None:
        self._is_closed = False
        self._loop = asyncio.get_running_loop()
        self._dialect = SQLiteDialect_pysqlite()
        self._compiled: dict[Query[Any], CompiledSelect] = {}
        self._reader = connect(path, READ_BUSY_S)
        self._is_reading = False
        self._version = 0
        self._remembered: dict[tuple[object, ...], list[Any]] = {}
        """What queries that are `is_of_now` answered at this version of the file."""
        self._long_reader = connect(path, READ_BUSY_S)
        for each in (self._reader, self._long_reader):
            each.execute("PRAGMA query_only = ON")
            each.execute(f"PRAGMA cache_size = -{READ_CACHE_KIB}")
        self._long_reads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fujie-ledger-reader")
        self._file = SameFile(path)
        self._engine = writing_engine(path)
        self._log = f"{path}-wal"
        self._long = LONG_LOG
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="fujie-ledger")
        self._waiting: list[_Write] = []
        self._writing: asyncio.Task[None] | None = None

    async def rows(self, query: Query[T], values: Mapping[str, object]) -> list[T]:
        """Return all rows; runs on the event loop, but for a query that `is_long`."""
        compiled = self._compiled.get(query)
        if compiled is None:
            compiled = self._compiled[query] = CompiledSelect(query.select, self._dialect)
        if not self._file.was_same(self._loop.time()):
            raise LedgerError(_GONE)
        arguments = compiled.arguments(values)
        try:
            if query.is_of_now:
                return self._of_now(query, compiled.text, arguments)
            if query.is_long:
                if self._is_closed:
                    raise LedgerError("the ledger is closed")
                found = await self._loop.run_in_executor(
                    self._long_reads, self._read_long, compiled.text, arguments
                )
            else:
                if not self._is_reading:
                    self._begin()
                found = self._reader.execute(compiled.text, arguments).fetchall()
        except _FAILURES as error:
            raise LedgerError(f"the ledger cannot be read: {error_name(error)}") from None
        return query.decoded(found)

    def _read_long(self, text: str, arguments: tuple[object, ...]) -> list[Any]:
        """Read in a transaction of its own, which begins behind all that was acknowledged when it was asked for."""
        return self._long_reader.execute(text, arguments).fetchall()

    def _of_now(self, query: Query[T], text: str, arguments: tuple[object, ...]) -> list[T]:
        """Answer by a transaction that begins now. Its first read is whether anybody has committed since the last one: as long
        as nobody has, what was answered then is what the file would answer, which is not asked again. That is a third of a
        SELECT, for a query that each case begins with.
        """
        self._begin()
        [(version,)] = self._reader.execute("PRAGMA data_version")
        if version != self._version or len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
            self._version = version
        key = (query, *arguments)
        known = self._remembered.get(key)
        if known is None:
            found = self._reader.execute(text, arguments).fetchall()
            known = self._remembered[key] = query.decoded(found)
        return list(known)

    def _begin(self) -> None:
        """Begin a transaction for what is read until the loop gets to what is ready from now on: to begin and end one takes
        as long as a point read, 10 µs between other work.

        It hides from nobody what was acknowledged before he asked, whichever process did it: the loop takes turns in order,
        so who reads in this transaction was ready before it began, and it saw the last commit by then. But a turn of many
        takes a second on a crowded machine. Who says of himself when he asked (a case) reads first who he is, and that
        sees the ledger of now: no entry of a time behind an acknowledgement rests on what was before it.
        """
        self._reader.rollback()  # also what an end that failed has left, which would show the ledger as it was
        self._reader.execute("BEGIN")
        if not self._is_reading:
            self._is_reading = True
            self._loop.call_soon(self._end)

    def _end(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._reader.rollback()  # nothing, where an error of the disk has ended it

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in the writer thread. A LedgerError by time limit leaves open whether it was committed."""
        if self._is_closed:
            raise LedgerError("the ledger is closed")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.ensure_future(self._write_all())
        try:
            async with asyncio.timeout(WRITE_LIMIT_S):
                return await future
        except TimeoutError:
            raise LedgerError("the ledger did not finish a write in time") from None

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` as `write` does: one file has one writer."""
        return await self.write(work)

    async def follow(self, seen: int = 0) -> int:  # noqa: ARG002 - of the protocol
        """See `Database.follow`. A file has no standby, and `SameFile` sees when another takes its place."""
        await self.rows(LAST_CHANGE, {})
        return 0

    def when_gone_back(self, tell: Callable[[], None]) -> None:
        """See `Database.when_gone_back`; never."""

    async def overwrite_deleted(self) -> bool:
        """Move everything from the write-ahead log to the file, and empty the log: it holds pages as they were."""
        if self._is_closed:
            raise LedgerError("the ledger is closed")
        self._end()
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._empty_log)

    def _empty_log(self) -> bool:
        """Return false when another process reads or writes all the time; what it left is left for the next time."""
        if not self._file.is_same():
            raise LedgerError(_GONE)
        try:
            with closing(self._engine.raw_connection()) as raw:
                cursor = raw.cursor()
                cursor.execute(f"PRAGMA busy_timeout = {round(EMPTY_BUSY_S * 1000)}")
                try:
                    is_busy, _, _ = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                finally:
                    cursor.execute("PRAGMA busy_timeout = 0")
        except _FAILURES as error:
            raise _unwritten(error) from None
        return not is_busy

    async def _shorten_log(self) -> None:
        """Empty the log when it is long; where somebody reads for long, as a backup does, not again before it has grown by as
        much."""
        try:
            size = os.stat(self._log).st_size
        except OSError:  # it went with its file, which `SameFile` sees
            return
        if size <= LONG_LOG:
            self._long = LONG_LOG
        elif size > self._long:
            self._long = size + LONG_LOG
            # A full disk, say; and the executor refuses once it is closed.
            with suppress(LedgerError, RuntimeError, *_FAILURES):
                await asyncio.get_running_loop().run_in_executor(self._writer, self._empty_log)

    async def _write_all(self) -> None:
        """Run what waits, as one transaction after the other, until nothing does."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            taken, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            # One that is done was given up: nobody waits for its outcome any more.
            group = [(work, future) for work, future in taken if not future.done()]
            if not group:
                continue
            works = [work for work, _ in group]
            try:
                outcomes = await loop.run_in_executor(self._writer, self._in_thread, works)
            except Exception as error:  # noqa: BLE001 (who waits is told, whatever it is)
                outcomes = [_told(error) for _ in group]
            for (_, future), outcome in zip(group, outcomes, strict=True):
                if future.done():
                    continue
                if isinstance(outcome, Exception):
                    future.set_exception(outcome)
                else:
                    future.set_result(outcome)
            await self._shorten_log()

    def _in_thread(self, works: Sequence[Callable[[Connection], Any]]) -> list[Any]:
        """Run them in one transaction; what fails is undone alone, and its error stands in place of its result."""
        if not self._file.is_same():  # SQLite would go on in a file that nobody finds again
            raise LedgerError(_GONE)
        try:
            with self._engine.begin() as connection:
                return [_alone(connection, work) for work in works]
        except _FAILURES as error:
            raise _unwritten(error) from None

    async def close(self) -> None:
        """Finish the writes that are running, refuse those that wait, and close the file."""
        self._is_closed = True
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(LedgerError("the ledger is closed"))
        # Not on the event loop: a write may wait seconds for another process, and calls still drain.
        await asyncio.to_thread(self._writer.shutdown, wait=True, cancel_futures=True)
        await asyncio.to_thread(
            self._long_reads.shutdown
        )  # who reads is not told to be cancelled: he gets his rows
        self._engine.dispose()
        self._is_reading = False
        self._reader.close()
        self._long_reader.close()
