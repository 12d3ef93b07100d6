"""A store in MySQL or MariaDB: connections that can not write, used in threads, since the driver blocks.

The server ends a statement at its deadline (`max_statement_time` in MariaDB, MAX_EXECUTION_TIME in MySQL). The call ends
then too when the server hangs: the socket is shut from outside, which wakes the thread. A connection that was lost is
replaced, and the SELECT repeated once within its deadline: it changed nothing.
"""

import asyncio
from collections.abc import Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pymysql
import sqlalchemy as sa
from sqlalchemy import Dialect
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql

from fujie.adapters.stores.address import Address, mismatch, missing
from fujie.adapters.stores.columns import (
    LONGEST,
    Comparands,
    KeyType,
    Kind,
    Rank,
    holds,
    not_keys,
    written,
)
from fujie.adapters.stores.mysql_cursor import MySQLCursor
from fujie.adapters.stores.mysql_session import FAILURES, Session, failed, is_lost
from fujie.adapters.stores.scanning import Selection
from fujie.adapters.stores.source import OPEN_S, ReplicasFirst, Source, Stream, timed_out
from fujie.adapters.stores.stream import SCANS
from fujie.adapters.stores.table import StoreTable
from fujie.model.errors import StoreError
from fujie.model.predicate import Constant
from fujie.ports import Clock

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

_UNIQUE = (
    "SELECT MIN(column_name), table_name FROM information_schema.statistics"
    " WHERE table_schema = COALESCE(%s, DATABASE()) AND table_name = %s AND non_unique = 0"
    " GROUP BY table_name, index_name HAVING COUNT(*) = 1 AND MAX(sub_part) IS NULL AND MAX(nullable) = ''"
)
"""Columns that have an index of their own, over their whole length, that lets no value be there twice."""


@dataclass(frozen=True, slots=True)
class Type:
    """A column's type; charset and collation of a text, which are empty for all others."""

    name: str
    charset: str
    collation: str


class MySQLColumns:
    """See `Columns`. Arguments have the type of the column: MySQL takes any text for the number 0."""

    def __init__(
        self, table: StoreTable, types: Mapping[str, Type], unique: Container[str] = frozenset()
    ) -> None:
        """`unique` are columns of which an index says that no two of their values are equal."""
        self._columns = table.from_clause().c
        self._types = types
        self._unique = unique
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

    def is_listed(self, _name: str, _parameter: str) -> None:
        """See `Columns.is_listed`."""

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

    def ranks(self, name: str) -> Sequence[Rank]:
        """See `Columns.ranks`. Where an index says that no two ids are equal there is no second rank: with two, the
        server would sort the table instead of reading it in the order of that index."""
        column, of = self._columns[name], self._types[name]
        key: sa.ColumnElement[Any] = sa.bindparam("key0")
        if not of.collation:  # a number or a UUID: of one scale, and of one spelling
            return [Rank(column, key)]
        own = Rank(column, sa.cast(key, mysql.CHAR(charset=of.charset)).collate(of.collation))
        exact = sa.cast(sa.bindparam("exact"), sa.LargeBinary)
        by_bytes = Rank(sa.cast(self._text(name), sa.LargeBinary), exact)
        return [own] if name in self._unique else [own, by_bytes]

    def constant(self, name: str, kind: Kind, constant: Constant) -> object | None:
        """See `Columns.constant`. Floats come as text that was rounded, so they are not compared."""
        of = self._types[name].name
        match kind:
            case Kind.WORD | Kind.TEXT:
                is_text = of in _TEXTS - {"char"} and holds(KeyType.TEXT, str(constant))
                return constant if is_text else None
            case Kind.NUMBER if of in _INTEGERS or of == "decimal":
                return Decimal(format(written(constant), "f"))
            case Kind.FLAG if of in _INTEGERS:
                return int(constant)
            case Kind.DAY if of == "date":
                return constant
            case _:
                return None

    def comparands(self, name: str, kind: Kind, parameter: str) -> Comparands:
        """See `Columns.comparands`."""
        column = self._columns[name]
        asked: sa.ColumnElement[Any] = sa.bindparam(parameter)
        if kind in {Kind.WORD, Kind.TEXT}:
            return Comparands(sa.cast(self._text(name), sa.LargeBinary), sa.cast(asked, sa.LargeBinary))
        return Comparands(column, sa.cast(asked, sa.Date()) if kind is Kind.DAY else asked)

    def key_type(self, name: str) -> KeyType:
        """See `Columns.key_type`."""
        return _KEY_TYPES[self._types[name].name]

    def _text(self, name: str) -> sa.ColumnElement[Any]:
        return sa.cast(self._columns[name], mysql.CHAR(charset="utf8mb4"))


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
        # Of their own, so that scans leave the look-ups all of theirs; two for each, as one ends while the next begins.
        self._scan_threads = ThreadPoolExecutor(2 * SCANS, thread_name_prefix=f"fujie-scan-{table.name}")
        self._scans = set[MySQLCursor]()
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
                    if not is_lost(error):
                        raise
                    self._close_idle()  # what one has lost the others have lost
                    return await self._read(text, arguments, deadline)
        except TimeoutError:
            raise timed_out(self._store) from None
        except FAILURES as error:
            raise failed(self._store, error) from None

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

    async def open_scan(self, selection: Selection, size: int, deadline: float) -> Stream:
        """See `Source.open_scan`. On a connection of its own: look-ups keep all of theirs."""
        if self._is_closed:
            raise StoreError(f"store {self._store} is closed")
        cursor = MySQLCursor(self._store, self._address, self._clock, self._scan_threads, size)
        cursor.when_over(self._scans.discard)
        self._scans.add(cursor)
        try:
            await cursor.open(selection.statement(selection.after), deadline)
        except BaseException:
            await cursor.end()
            raise
        return cursor

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def close(self) -> None:
        """See `Source.close`."""
        self._is_closed = True
        for session in self._busy:
            session.cut()
        await asyncio.gather(*(scan.end() for scan in tuple(self._scans)))
        for threads in (self._scan_threads, self._threads):
            await asyncio.to_thread(threads.shutdown, wait=True, cancel_futures=True)
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
    unique = await source.rows(_UNIQUE, (table.schema, table.table_name), deadline)
    columns = MySQLColumns(table, types, {str(name) for name, of in unique if of == table.table_name})
    # No row of every mapped column: that needs the right to read them.
    nothing = (
        sa.select(*table.from_clause().c).limit(sa.literal_column("0")).compile(dialect=columns.dialect)
    )
    await source.rows(str(nothing), (), deadline)
    return columns
