"""A store in MySQL or MariaDB: connections that can not write, used in threads, since the driver blocks.

The server ends a statement at its deadline (`max_statement_time` in MariaDB, MAX_EXECUTION_TIME in MySQL). The call ends
then too when the server hangs: the socket is shut from outside, which wakes the thread. A connection that was lost is
replaced, and the SELECT repeated once within its deadline: it changed nothing.
"""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pymysql
import sqlalchemy as sa
from pymysql.constants import CR, ER
from sqlalchemy import Dialect
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql

from fujie.adapters.stores.address import Address, mismatch, missing
from fujie.adapters.stores.columns import LONGEST, KeyType, holds, not_keys
from fujie.adapters.stores.source import OPEN_S, ReplicasFirst, Source, timed_out, unavailable
from fujie.adapters.stores.table import StoreTable
from fujie.model.errors import StoreError
from fujie.ports import Clock

_FAILURES = (pymysql.MySQLError, OSError, ValueError, OverflowError)
"""What the driver raises; the last two for a value that it can not turn into one of Python's."""
_TIMEOUTS = frozenset({1969, 3024, ER.LOCK_WAIT_TIMEOUT})
"""MariaDB's ER_STATEMENT_TIMEOUT, MySQL's ER_QUERY_TIMEOUT."""
_LOST = frozenset(
    {
        0,
        1927,
        4031,
        ER.SERVER_SHUTDOWN,
        CR.CR_SERVER_GONE_ERROR,
        CR.CR_SERVER_LOST,
        CR.CR_CONN_HOST_ERROR,
        2055,
    }
)
"""Also killed (1927), closed for idleness (4031), lost with a reason (2055), and 0 for a driver that was cut off."""

_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_INTEGERS = frozenset({"tinyint", "smallint", "mediumint", "int", "bigint"})
_AS_THEY_ARE = _INTEGERS | {
    "decimal",
    "float",
    "double",
    "date",
    "datetime",
    "timestamp",
    "time",
    "year",
    "bit",
}
"""Types of a small size that have an equal in Python. All others come as text, or as bytes."""
_KEY_TYPES = {
    **dict.fromkeys(_TEXTS, KeyType.TEXT),
    **dict.fromkeys(_INTEGERS, KeyType.INTEGER),
    "decimal": KeyType.DECIMAL,
    "uuid": KeyType.UUID,
}

_DESCRIBE = (
    "SELECT table_name, column_name, data_type, character_set_name, collation_name FROM information_schema.columns"
    " WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s"
)


@dataclass(frozen=True, slots=True)
class Type:
    """A column's type; charset and collation of a text, which are empty for all others."""

    name: str
    charset: str
    collation: str


class MySQLColumns:
    """See `Columns`. Arguments have the type of the column: MySQL takes any text for the number 0."""

    def __init__(self, table: StoreTable, types: Mapping[str, Type]) -> None:
        self._columns = table.from_clause().c
        self._types = types
        self.dialect: Dialect = MySQLDialect_pymysql()

    def column(self, name: str) -> sa.ColumnElement[Any]:
        """See `Columns.column`."""
        return self._columns[name]

    def value(self, name: str) -> sa.ColumnElement[Any]:
        """See `Columns.value`."""
        column = self._columns[name]
        if self._types[name].name in _AS_THEY_ARE:
            return column
        return sa.func.left(column, sa.literal_column(str(LONGEST + 1)))

    def key(self, name: str) -> sa.ColumnElement[Any]:
        """See `Columns.key`. An integer is read as one: ZEROFILL would write it with zeros."""
        if self.key_type(name) is KeyType.INTEGER:
            return self._columns[name]
        return sa.func.left(self._text(name), sa.literal_column(str(LONGEST + 1)))

    def is_one_of(self, name: str, parameters: Sequence[str]) -> sa.ColumnElement[bool]:
        """See `Columns.is_one_of`. A text takes the column's charset, or the two could not be compared at all."""
        asked: list[sa.ColumnElement[Any]] = [sa.bindparam(parameter) for parameter in parameters]
        of = self._types[name]
        if not of.collation:
            return self._columns[name].in_(asked)
        as_text = mysql.CHAR(charset=of.charset)
        return self._columns[name].in_([sa.cast(each, as_text).collate(of.collation) for each in asked])

    def is_exactly(self, name: str, parameters: Sequence[str]) -> sa.ColumnElement[bool]:
        """See `Columns.is_exactly`. As bytes: even `utf8mb4_bin` pads with spaces. Integers have one spelling."""
        if self.key_type(name) is KeyType.INTEGER:
            return sa.true()
        asked = [sa.cast(sa.bindparam(parameter), sa.LargeBinary) for parameter in parameters]
        return sa.cast(self._text(name), sa.LargeBinary).in_(asked)

    def argument(self, name: str, text: str) -> object | None:
        """See `Columns.argument`."""
        key_type = self.key_type(name)
        if not holds(key_type, text):
            return None
        match key_type:
            case KeyType.INTEGER:
                return int(text)
            case KeyType.DECIMAL:
                return Decimal(text)
            case _:
                return text

    def key_type(self, name: str) -> KeyType:
        """See `Columns.key_type`."""
        return _KEY_TYPES[self._types[name].name]

    def _text(self, name: str) -> sa.ColumnElement[Any]:
        return sa.cast(self._columns[name], mysql.CHAR(charset="utf8mb4"))


class Session:
    """One connection, used by one thread at a time; `cut` may be called from any."""

    def __init__(self, address: Address, clock: Clock) -> None:
        self._address = address
        self._clock = clock
        self._connection: pymysql.Connection[Any] | None = None
        self._socket: socket.socket | None = None
        self._is_cut = False

    def read(self, text: str, arguments: Sequence[object], deadline: float) -> Sequence[Sequence[Any]]:
        """Return the rows, connecting first where there is no connection yet. Blocks until the deadline at most."""
        if self._connection is None:
            self._connection = self._connect(deadline)
        left_s = max(0.001, deadline - self._clock.monotonic())
        version = str(self._connection.get_server_info())  # type: ignore[no-untyped-call]  # so is the driver's
        with self._connection.cursor() as cursor:
            cursor.execute(_limited(text, left_s, version), arguments)
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
        return rows

    def _connect(self, deadline: float) -> "pymysql.Connection[Any]":
        address, left_s = self._address, max(0.001, deadline - self._clock.monotonic())
        if address.socket:
            connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                connected.settimeout(left_s)
                connected.connect(address.socket)
            except OSError:
                connected.close()
                raise
        else:
            connected = socket.create_connection((address.host, address.port), left_s)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # A second handle on the connection: TLS takes the first one away.
        self._socket = connected.dup()
        if self._is_cut:
            connected.close()
            raise TimeoutError
        connection = pymysql.connect(
            defer_connect=True,
            host=address.host or "localhost",
            user=address.user,
            password=address.password.encode(),  # text would be sent as Latin-1
            database=address.database,
            charset="utf8mb4",
            sql_mode="",
            init_command="SET SESSION TRANSACTION READ ONLY",
            autocommit=True,
            ssl=address.tls,  # it takes a context, and then demands TLS
            ssl_disabled=address.tls is None,
        )
        connection.connect(connected)
        return connection

    def cut(self) -> None:
        """Shut the connection, so that whoever waits for it stops waiting."""
        self._is_cut = True
        if self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Release what the session holds. No thread may use it any more."""
        if self._connection is not None and self._connection.open:
            with suppress(pymysql.MySQLError, OSError):
                self._connection.close()
        if self._socket is not None:
            self._socket.close()


class MySQLPool:
    """See `Source`. It connects when it is asked, so a replica need not be there at the start."""

    def __init__(self, table: StoreTable, address: Address, clock: Clock) -> None:
        self._store = table.name
        self._address = address
        self._clock = clock
        self._slots = asyncio.Semaphore(table.connections)
        self._threads = ThreadPoolExecutor(
            table.connections, thread_name_prefix=f"fujie-store-{table.name}"
        )
        self._idle: list[Session] = []
        self._busy = set[Session]()
        self._is_closed = False

    async def rows(
        self, text: str, arguments: Sequence[object], deadline: float
    ) -> Sequence[Sequence[Any]]:
        """See `Source.rows`. The wait for a connection counts."""
        try:
            async with asyncio.timeout(deadline - self._clock.monotonic()):
                try:
                    return await self._read(text, arguments, deadline)
                except (pymysql.MySQLError, OSError) as error:
                    if not _is_lost(error):
                        raise
                    self._close_idle()  # what one has lost the others have lost
                    return await self._read(text, arguments, deadline)
        except TimeoutError:
            raise timed_out(self._store) from None
        except _FAILURES as error:
            raise _failed(self._store, error) from None

    async def _read(
        self, text: str, arguments: Sequence[object], deadline: float
    ) -> Sequence[Sequence[Any]]:
        async with self._slots:
            if self._is_closed:
                raise StoreError(f"store {self._store} is closed")
            session = self._idle.pop() if self._idle else Session(self._address, self._clock)
            self._busy.add(session)
            reading = self._threads.submit(session.read, text, arguments, deadline)
            try:
                rows = await asyncio.wrap_future(reading)
            except BaseException:
                session.cut()
                reading.cancel()
                reading.add_done_callback(lambda _: session.close())
                raise
            finally:
                self._busy.discard(session)
            self._idle.append(session)
            return rows

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def close(self) -> None:
        """See `Source.close`."""
        self._is_closed = True
        for session in self._busy:
            session.cut()
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        self._close_idle()


async def open_mysql(
    table: StoreTable, address: Address, replicas: Sequence[Address], clock: Clock
) -> tuple[MySQLColumns, Source]:
    """Open a store whose primary has every column that the configuration maps.

    Raises:
        StartError: STORE_MISMATCH, with every problem on a line of its own.

    """
    primary = MySQLPool(table, address, clock)
    try:
        columns = await _columns(table, primary, clock.monotonic() + OPEN_S)
    except StoreError as error:
        await primary.close()
        raise mismatch([f"store {table.name}: cannot be opened: {error}"]) from None
    except BaseException:
        await primary.close()
        raise
    pools = [MySQLPool(table, each, clock) for each in replicas]
    return columns, ReplicasFirst(pools, primary, clock) if pools else primary


async def _columns(table: StoreTable, source: Source, deadline: float) -> MySQLColumns:
    described = await source.rows(_DESCRIBE, (table.schema, table.table_name), deadline)
    # The catalogue compares without case and padding; names of tables are meant exactly.
    types = {
        str(column): Type(str(of), charset or "", collation or "")
        for name, column, of, charset, collation in described
        if name == table.table_name
    }
    if not types:
        raise mismatch([f"store {table.name}: there is no table or view {table.table!r}"])
    keys = {name: _KEY_TYPES.get(of.name) for name, of in types.items()}
    if found := missing(table, types.keys()) + not_keys(table, keys):
        raise mismatch(found)
    columns = MySQLColumns(table, types)
    # No row of every mapped column: that needs the right to read them.
    nothing = (
        sa.select(*table.from_clause().c).limit(sa.literal_column("0")).compile(dialect=columns.dialect)
    )
    await source.rows(str(nothing), (), deadline)
    return columns


def _limited(text: str, left_s: float, version: str) -> str:
    """Return the SELECT with its time limit, in the words of the server."""
    if "mariadb" in version.lower():
        return f"SET STATEMENT max_statement_time={left_s:.3f} FOR {text}"
    return f"SELECT /*+ MAX_EXECUTION_TIME({int(left_s * 1000) or 1}) */{text.removeprefix('SELECT')}"


def _code(error: Exception) -> int:
    code = error.args[0] if error.args else 0
    return code if isinstance(code, int) else 0


def _is_lost(error: Exception) -> bool:
    return isinstance(error, OSError) or _code(error) in _LOST


def _failed(store: str, error: Exception) -> StoreError:
    if _code(error) in _TIMEOUTS:
        return timed_out(store)
    return unavailable(
        store, f"{type(error).__name__} {_code(error)}" if _code(error) else type(error).__name__
    )
