"""The ledger on a PostgreSQL server that many processes and hosts share.

Reads go to a pool of plain asyncpg connections by prepared statement, each a transaction of its own
on the primary: it sees the last commit of anybody. Writes are transactions of SQLAlchemy Core, READ
COMMITTED, and durable when acknowledged whatever the server's default (`synchronous_commit`).
`write` locks the row of `change_counter` before anything else, so that all writers everywhere take turns.

What a lost connection means: before COMMIT was sent, PostgreSQL has undone the transaction, so it is
run again on another connection; afterwards nobody knows, and the caller gets a LedgerError.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncpg
import sqlalchemy as sa
from sqlalchemy import Connection, event
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from fujie.adapters.compiled import CompiledSelect
from fujie.adapters.ledger.committing import commit_or_leave
from fujie.adapters.ledger.database import DRAWN, LAST_CHANGE, Query
from fujie.adapters.ledger.highwater import HighWater
from fujie.adapters.ledger.home import CONNECT_LIMIT_S, SESSION, home_of
from fujie.adapters.ledger.readers import Readers
from fujie.adapters.ledger.server import Server
from fujie.adapters.ledger.sharing import SharedRead, Statement
from fujie.adapters.ledger.tables import change_counter
from fujie.adapters.postgresql_session import PoolerSharesSessions, open_session, settle
from fujie.model.errors import LedgerError, StartError

if TYPE_CHECKING:  # it brings an object mapper along (60 ms), which a ledger in SQLite need not wait for
    from sqlalchemy.ext.asyncio import AsyncEngine

READ_CONNECTIONS: Final = 4
"""Connections for reads per process. A point read takes well under a millisecond, so few serve many."""
WRITE_CONNECTIONS: Final = 4
"""Connections for writes per process: one for the `write` whose turn it is, the rest for `transact`."""
READ_LIMIT_S: Final = 2.0
"""How long a read may take with its wait for a connection."""
WRITE_LIMIT_S: Final = 5.0
"""How long a write may take with its turn and its repeats, so that a locked ledger builds no queue."""
ATTEMPTS: Final = 5
"""How often a transaction that PostgreSQL has undone is run, and a read that got no answer."""
BACKOFF_S: Final = 0.02
"""The most that the first repeat waits; each later one waits up to twice as long as the one before."""

PLANS: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    # Else a plan that was made while a table was small reads all of it, once, to join each of 512 customers with it: 800 ms
    # at 2,500 of them. It stays as long as the connection.
    "enable_material": "off",
    "enable_bitmapscan": "off",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}
"""How statements are planned: by indexes, since all of ours find a few rows, and once per connection.

A planner without statistics (a ledger that was restored, or moved by pg_upgrade) joins by reading all of `alias`
instead: 635 ms at a million customers, where an index takes 0.2.
"""

FAILURES = (
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    UnicodeError,
    OverflowError,
)
"""What a database raises; the last two for a value that it cannot hold."""

_UNDONE_STATES = frozenset({"40001", "40P01"})
"""serialization_failure and deadlock_detected: the transaction is undone and may be run again."""

_LOST_STATES = frozenset({"57P01", "57P02", "57P05"})
"""admin_shutdown, crash_shutdown, idle_session_timeout: the server ends this session. Class 08 too."""

_NO_ANSWER = "the ledger did not answer in time"

T = TypeVar("T")


def _cause(error: BaseException) -> BaseException:
    """Return what the driver raised."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error


def error_name(error: BaseException) -> str:
    """Return what failed without any value: the driver's class, `UniqueViolationError`."""
    return type(_cause(error)).__name__


def _state(error: BaseException) -> str:
    return str(getattr(_cause(error), "sqlstate", None) or "")


def _is_lost(error: BaseException) -> bool:
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state, cause = _state(error), _cause(error)
    return (
        state in _LOST_STATES
        or state.startswith("08")
        or isinstance(cause, ConnectionError | asyncpg.InterfaceError)
    )


class _Undone(Exception):
    """The transaction is certainly not committed, and may be run again."""


class PostgreSQLDatabase:
    """A ledger on a server as `Database`. Opened by one event loop and used by it alone."""

    def __init__(
        self, pool: "asyncpg.Pool[asyncpg.Record]", engine: "AsyncEngine", marks: HighWater
    ) -> None:
        self._pool = pool
        self._engine = engine
        self._marks = marks
        self._dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # SQLAlchemy left it untyped
        self._compiled: dict[Query[Any], CompiledSelect] = {}
        self._shared: dict[Query[Any], SharedRead] = {}
        self._readers = Readers(pool, READ_CONNECTIONS, ATTEMPTS, _is_lost)
        self._turn = asyncio.Lock()
        self._running = set[asyncio.Task[Any]]()
        self._is_closed = False
        event.listen(engine.sync_engine, "handle_error", _remember_failure)

    @classmethod
    async def open(cls, server: Server) -> "PostgreSQLDatabase":
        """Open the ledger of `server`, which must have been migrated.

        Raises:
            StartError: LEDGER_UNAVAILABLE, or LEDGER_UNSUPPORTED for a database that does not hold all text,
                and for tables that may not be ours or may not keep what they are given.

        """
        try:
            session = {**SESSION, **PLANS, "search_path": await home_of(server)}
            marks = HighWater()

            async def settled(connection: Any) -> None:
                await settle(connection, _arguments(server), session)
                await _look(connection, marks)

            pool = await asyncpg.create_pool(
                **_arguments(server),
                init=settled,
                min_size=0,
                max_size=READ_CONNECTIONS,
                max_inactive_connection_lifetime=300,
                max_cached_statement_lifetime=0,  # a prepared statement stays as long as its connection
                reset=_keep_session,
            )
        except (*FAILURES, ValueError) as error:
            raise unavailable(error) from None
        return cls(pool, writing_engine(server, session, marks), marks)

    async def rows(self, query: Query[T], values: Mapping[str, object]) -> list[T]:
        """Return all rows. A read whose connection breaks is asked again on another: it changed nothing."""
        self._marks.check()
        compiled = self._compiled.get(query)
        if compiled is None:
            compiled = self._compiled[query] = CompiledSelect(query.select, self._dialect)
        arguments = compiled.arguments(values)
        if not query.is_shared:
            return query.decoded(await self._answer(lambda: (compiled.text, arguments)))
        shared = self._shared.get(query)
        if shared is None:
            shared = self._shared[query] = SharedRead(compiled.text, self._answer)
        return query.decoded(await shared.rows(arguments))

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` when it is this process's turn, and the turn of nobody else. It is run on the event loop."""

        def in_turn(connection: Connection) -> T:
            seen = self._marks.seen
            self._marks.reach(connection.execute(_TAKE_TURN).scalar_one(), seen)
            return work(connection)

        async def wait_for_turn() -> T:
            # One connection per process stands in the queue at the row, not all of them.
            async with self._turn:
                return await self._attempt(in_turn)

        return await self._bounded(wait_for_turn)

    async def transact(self, work: Callable[[Connection], T]) -> T:
        """Run `work` beside others, on the event loop; what deadlocks or cannot be serialised is run again."""
        return await self._bounded(lambda: self._attempt(work))

    async def follow(self, seen: int = 0) -> int:
        """See `Database.follow`."""
        seen = max(seen, self._marks.seen)
        self._marks.reach(max(await self.rows(LAST_CHANGE, {}), default=0), seen)
        return self._marks.seen

    def when_gone_back(self, tell: Callable[[], None]) -> None:
        """See `Database.when_gone_back`."""
        self._marks.when_fallen(tell)

    async def overwrite_deleted(self) -> bool:
        """Leave it to the server: its vacuum, its log and its replicas keep old rows as long as they are set to."""
        return True

    async def close(self) -> None:
        """Finish the writes that are running, refuse those that wait, and close the connections."""
        self._is_closed = True
        if self._running:
            await asyncio.wait(self._running, timeout=WRITE_LIMIT_S)
        self._readers.close()
        for close in (self._engine.dispose, self._pool.close):
            with suppress(
                *FAILURES
            ):  # a server that does not answer our farewell; TimeoutError is an OSError
                async with asyncio.timeout(CONNECT_LIMIT_S):
                    await close()

    async def _answer(self, statement: Callable[[], Statement]) -> Sequence[Any]:
        """Run what `statement` returns once a connection is free for it. Raises LedgerError."""
        try:
            async with asyncio.timeout(READ_LIMIT_S):
                return await self._readers.rows(statement)
        except TimeoutError:
            raise LedgerError(_NO_ANSWER) from None
        except FAILURES as error:
            raise LedgerError(f"the ledger cannot be read: {error_name(error)}") from None

    async def _bounded(self, run: Callable[[], Awaitable[T]]) -> T:
        """Run a transaction to its end, within WRITE_LIMIT_S, even if its caller goes away."""
        self._marks.check()

        async def bounded() -> T:
            async with asyncio.timeout(WRITE_LIMIT_S):
                return await run()

        # A caller who gives up must not tear a connection that others can use after him.
        task = asyncio.ensure_future(bounded())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await asyncio.shield(task)
        except TimeoutError:
            raise LedgerError("the ledger did not finish a write in time") from None
        except FAILURES as error:
            raise LedgerError(f"the ledger cannot be written: {error_name(error)}") from None

    async def _attempt(self, work: Callable[[Connection], T]) -> T:
        for attempt in range(ATTEMPTS):
            if self._is_closed:
                raise LedgerError("the ledger is closed")
            try:
                return await self._once(work)
            except _Undone:
                # Jitter, so that two that met do not meet again.
                await asyncio.sleep(random.uniform(0, BACKOFF_S * 2**attempt))  # noqa: S311 - no secret
        raise LedgerError("the ledger cannot be written: it was undone again and again")

    async def _once(self, work: Callable[[Connection], T]) -> T:
        async with self._engine.connect() as connection:
            try:
                result, change = await connection.run_sync(_whole, work)
            except FAILURES as error:
                if _is_lost(error) or _state(error) in _UNDONE_STATES:
                    raise _Undone from None
                raise
            try:
                await (commit_or_leave(connection) if change else connection.commit())
            except FAILURES as error:
                if _state(error) in _UNDONE_STATES:
                    raise _Undone from None
                raise  # lost in COMMIT: nobody knows
            self._marks.reach(change, 0)
            return result


_TAKE_TURN = (
    sa.select(change_counter.c.value).where(change_counter.c.id == 1).with_for_update(key_share=True)
)
_LAST_CHANGE = "SELECT value FROM change_counter WHERE id = 1 FOR KEY SHARE"
"""The lock keeps nobody out, but makes a transaction of it whose end waits for the synchronous standby, if there is one: a
primary that was restarted shows at once what others had waited for in COMMIT, and a standby that took over would lack it."""
_HAS_FAILED = "fujie_has_failed"


def _whole(connection: Connection, work: Callable[[Connection], T]) -> tuple[T, int]:
    """Run `work`; an error of PostgreSQL that it swallowed would turn COMMIT into a silent ROLLBACK.

    Return what it returned, and the last change that it drew, 0 for none.
    """
    connection.info.pop(_HAS_FAILED, None)
    connection.info.pop(DRAWN, None)
    result = work(connection)
    if connection.info.pop(_HAS_FAILED, False):
        raise LedgerError("the ledger cannot be written: a statement failed")
    return result, connection.info.pop(DRAWN, 0)


def _remember_failure(context: sa.ExceptionContext) -> None:
    if context.connection is not None and not context.connection.invalidated:
        context.connection.info[_HAS_FAILED] = True


async def _keep_session(connection: object) -> None:
    """Skip the reset at the end of each read: a round trip for sessions that hold nothing to reset."""


def unavailable(error: BaseException) -> StartError:
    """Return the StartError for a server that could not be reached or refused us."""
    if isinstance(_cause(error), PoolerSharesSessions):
        return StartError(
            "LEDGER_UNSUPPORTED",
            "a pooler in front of the ledger gives sessions to others between transactions",
            "Name the server itself in ledger.url, or set pool_mode = session for this database.",
        )
    return StartError(
        "LEDGER_UNAVAILABLE",
        f"the ledger cannot be opened: {error_name(error)}",
        "Check ledger.url, the password and that the server is a primary that accepts writes.",
    )


def writing_engine(
    server: Server, session: Mapping[str, str] = SESSION, marks: HighWater | None = None
) -> "AsyncEngine":
    """Return an engine whose connections have the settings `session` and connect as `server` says."""
    from sqlalchemy.ext.asyncio import create_async_engine

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        connection = await open_session(_arguments(server), session)
        if marks is not None:
            await _look(connection, marks)
        return connection

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        hide_parameters=True,
        pool_size=WRITE_CONNECTIONS,
        max_overflow=0,
        pool_use_lifo=True,
    )


def _arguments(server: Server) -> dict[str, Any]:
    return {**server.connection(), "timeout": CONNECT_LIMIT_S}


async def _look(connection: Any, marks: HighWater) -> None:
    """Look, before a new connection is used, whether the ledger at its end is the one that we know."""
    try:
        seen = marks.seen
        marks.reach(await connection.fetchval(_LAST_CHANGE) or 0, seen)
    except BaseException:
        connection.terminate()
        raise
