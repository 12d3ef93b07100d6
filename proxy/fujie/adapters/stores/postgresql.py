"""A store in PostgreSQL: what its columns are and how they are compared, looked at when it is opened."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg
from sqlalchemy.types import UserDefinedType

from fujie.adapters.postgresql_session import open_session
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
from fujie.adapters.stores.postgresql_cursor import FAILURES, SESSION
from fujie.adapters.stores.postgresql_pool import PostgreSQLPool, arguments_of, open_pool
from fujie.adapters.stores.source import OPEN_S, ReplicasFirst, Source
from fujie.adapters.stores.table import StoreTable
from fujie.model.predicate import Constant
from fujie.ports import Clock

_LARGEST = 2**63 - 1

_AS_UTF8 = frozenset({"UTF8", "SQL_ASCII"})
"""Encodings of a database that take every text we send, SQL_ASCII for the bytes that it is."""

_AS_THEY_ARE = frozenset(
    f"pg_catalog.{name}"
    for name in (
        *("bool", "int2", "int4", "int8", "float4", "float8", "numeric"),
        *("date", "time", "timetz", "timestamp", "timestamptz"),
    )
)
"""Types of a small size that have an equal in Python. All others but bytes come as the server's text."""
_TEXTS = frozenset(f"pg_catalog.{name}" for name in ("text", "varchar", "bpchar", "name"))
_INTEGERS = frozenset(f"pg_catalog.{name}" for name in ("int2", "int4", "int8"))
_FLOATS = frozenset(f"pg_catalog.{name}" for name in ("float4", "float8"))
_NUMBERS = _INTEGERS | _FLOATS | {"pg_catalog.numeric"}
_KEY_TYPES = {
    "pg_catalog.int2": KeyType.INTEGER,
    "pg_catalog.int4": KeyType.INTEGER,
    "pg_catalog.int8": KeyType.INTEGER,
    "pg_catalog.numeric": KeyType.DECIMAL,
    "pg_catalog.uuid": KeyType.UUID,
}
_COMPARED_AS: Mapping[KeyType, sa.types.TypeEngine[Any]] = {
    KeyType.INTEGER: sa.BigInteger(),
    KeyType.DECIMAL: sa.Numeric(),
}
"""One type for columns of several sizes, so that a number too large for the column is only not found."""

_DESCRIBE = """
WITH RECURSIVE found (home, name, type) AS (
    SELECT n.nspname, a.attname, a.atttypid
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid
    WHERE c.relname::text = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped
      AND CASE WHEN $2::text IS NULL THEN pg_catalog.pg_table_is_visible(c.oid) ELSE n.nspname::text = $2 END
  UNION ALL
    SELECT found.home, found.name, t.typbasetype FROM found JOIN pg_catalog.pg_type t ON t.oid = found.type WHERE t.typtype = 'd'
)
SELECT found.home::text, found.name::text, n.nspname::text, t.typname::text, t.typcategory::text
FROM found JOIN pg_catalog.pg_type t ON t.oid = found.type JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
WHERE t.typtype <> 'd'
"""
"""Schema of a table or view; name, type (schema, name) and category of every column. A domain is what it is made of."""


@dataclass(frozen=True, slots=True)
class Type:
    """A type of the server: its name with its schema, and what it is as a key (None: no key)."""

    name: str
    key: KeyType | None

    @property
    def quoted(self) -> str:
        """The name as SQL writes it."""
        return ".".join('"' + part.replace('"', '""') + '"' for part in self.name.split(".", 1))


class PostgreSQLColumns:
    """See `Columns`. Arguments are text that the server casts, so that they meet a column in its own type."""

    def __init__(self, table: StoreTable, types: Mapping[str, Type], encoding: str) -> None:
        """`encoding` is the database's, as the server names it."""
        self._columns = table.from_clause().c
        self._types = types
        self._is_utf8 = encoding in _AS_UTF8
        self.dialect: Dialect = PGDialect_asyncpg()  # type: ignore[no-untyped-call]  # SQLAlchemy has no type for it

    def column(self, name: str) -> sa.ColumnElement[Any]:
        """See `Columns.column`."""
        return self._columns[name]

    def value(self, name: str) -> sa.ColumnElement[Any]:
        """See `Columns.value`."""
        column, type_name = self._columns[name], self._types[name].name
        if type_name in _AS_THEY_ARE:
            return column
        if type_name == "pg_catalog.bytea":
            return sa.func.substr(column, sa.literal_column("1"), sa.literal_column(str(LONGEST + 1)))
        return self.key(name)

    def key(self, name: str) -> sa.ColumnElement[Any]:
        """See `Columns.key`. The cast cuts the padding of `char(n)`."""
        return sa.func.left(sa.cast(self._columns[name], sa.Text), sa.literal_column(str(LONGEST + 1)))

    def is_one_of(self, name: str, parameters: Sequence[str]) -> sa.ColumnElement[bool]:
        """See `Columns.is_one_of`."""
        as_type = _COMPARED_AS.get(self.key_type(name)) or _Named(self._types[name].quoted)
        return self._columns[name].in_([sa.cast(_text(parameter), as_type) for parameter in parameters])

    def is_exactly(self, name: str, parameters: Sequence[str]) -> sa.ColumnElement[bool]:
        """See `Columns.is_exactly`."""
        asked = [_text(parameter) for parameter in parameters]
        return sa.cast(self._columns[name], sa.Text).collate("C").in_(asked)

    def is_listed(self, _name: str, _parameter: str) -> None:
        """See `Columns.is_listed`."""

    def argument(self, name: str, text: str) -> object | None:
        """See `Columns.argument`. No text of PostgreSQL holds a NUL, no integer more than 64 bits with a sign."""
        key_type = self.key_type(name)
        if not holds(key_type, text) or "\0" in text:
            return None
        return None if key_type is KeyType.INTEGER and int(text) > _LARGEST else text

    def ranks(self, name: str) -> Sequence[Rank]:
        """See `Columns.ranks`. A text type of an extension may have no order at all, so its text is ordered."""
        column, of = self._columns[name], self._types[name]
        by_bytes = Rank(sa.cast(column, sa.Text).collate("C"), _text("exact"))
        match self.key_type(name):
            case KeyType.INTEGER | KeyType.UUID as key_type:
                return [
                    Rank(column, sa.cast(_text("key0"), _COMPARED_AS.get(key_type) or _Named(of.quoted)))
                ]
            case KeyType.DECIMAL:  # 7.1 and 7.10 are one number
                return [Rank(column, sa.cast(_text("key0"), sa.Numeric())), by_bytes]
            case _ if of.name in _TEXTS:
                return [Rank(column, sa.cast(_text("key0"), _Named(of.quoted))), by_bytes]
            case _:
                return [by_bytes]

    def constant(self, name: str, kind: Kind, constant: Constant) -> object | None:
        """See `Columns.constant`. Every argument is text, which the server casts, or the UTF-8 of a text that it may not know."""
        of = self._types[name].name
        match kind:
            case Kind.WORD | Kind.TEXT:
                text = str(constant)
                if (
                    of not in _TEXTS - {"pg_catalog.bpchar"}
                    or "\0" in text
                    or not holds(KeyType.TEXT, text)
                ):
                    return None
                return text if self._is_utf8 else text.encode()
            case Kind.NUMBER:
                return format(written(constant), "f") if of in _NUMBERS else None
            case Kind.TRUTH | Kind.FLAG if of == "pg_catalog.bool":
                return str(constant).lower()
            case Kind.FLAG:
                return str(int(constant)) if of in _INTEGERS else None
            case Kind.DAY:
                return constant if of == "pg_catalog.date" else None
            case _:
                return None

    def comparands(self, name: str, kind: Kind, parameter: str) -> Comparands:
        """See `Columns.comparands`."""
        column, of, asked = self._columns[name], self._types[name].name, _text(parameter)
        if kind in {Kind.WORD, Kind.TEXT}:
            if self._is_utf8:
                return Comparands(sa.cast(column, sa.Text).collate("C"), asked)
            as_utf8 = sa.func.convert_to(sa.cast(column, sa.Text), sa.literal_column("'UTF8'"))
            return Comparands(as_utf8, sa.cast(sa.bindparam(parameter), sa.LargeBinary))
        if of in _FLOATS:
            return Comparands(sa.cast(column, sa.Double()), sa.cast(asked, sa.Double()))
        if kind is Kind.DAY:
            return Comparands(column, sa.cast(asked, sa.Date()))
        return Comparands(column, sa.cast(asked, sa.Boolean() if of == "pg_catalog.bool" else sa.Numeric()))

    def key_type(self, name: str) -> KeyType:
        """See `Columns.key_type`."""
        key_type = self._types[name].key
        assert key_type is not None  # refused at the start
        return key_type


async def open_postgresql(
    table: StoreTable, address: Address, replicas: Sequence[Address], clock: Clock
) -> tuple[PostgreSQLColumns, Source]:
    """Open a store whose primary has every column that the configuration maps.

    Raises:
        StartError: STORE_MISMATCH, with every problem on a line of its own.

    """
    try:
        async with asyncio.timeout(OPEN_S):
            home, types, encoding = await _types(table, address)
            # From here on by its full name: who adds a table to a schema in front must not answer for it.
            table = replace(table, table=f"{home}.{table.table_name}")
            columns = PostgreSQLColumns(table, types, encoding)
            await _may_read(table, address, columns)
            pools = [
                PostgreSQLPool(table.name, each, await open_pool(table, each), clock)
                for each in (*replicas, address)
            ]
    except (*FAILURES, TimeoutError) as error:
        raise mismatch([f"store {table.name}: cannot be opened: {type(error).__name__}"]) from None
    return columns, ReplicasFirst(pools[:-1], pools[-1], clock) if replicas else pools[-1]


async def _types(table: StoreTable, address: Address) -> tuple[str, Mapping[str, Type], str]:
    """Return the schema that the table lies in, the types of its columns, and the database's encoding."""
    connection = await open_session(arguments_of(address), SESSION)
    try:
        described = await connection.fetch(_DESCRIBE, table.table_name, table.schema)
        encoding = await connection.fetchval("SHOW server_encoding")
    finally:
        await connection.close()
    if not described:
        raise mismatch([f"store {table.name}: there is no table or view {table.table!r}"])
    types = {}
    for _, name, schema, of, category in described:
        full = f"{schema}.{of}"
        types[name] = Type(full, KeyType.TEXT if category == "S" else _KEY_TYPES.get(full))
    found = missing(table, types.keys()) + not_keys(table, {name: of.key for name, of in types.items()})
    if found:
        raise mismatch(found)
    return described[0][0], types, encoding


async def _may_read(table: StoreTable, address: Address, columns: PostgreSQLColumns) -> None:
    """Ask for no row of every mapped column, which needs the right to read them."""
    nothing = (
        sa.select(*table.from_clause().c).limit(sa.literal_column("0")).compile(dialect=columns.dialect)
    )
    connection = await open_session(arguments_of(address), SESSION)
    try:
        await connection.fetch(str(nothing))
    finally:
        await connection.close()


class _Named(UserDefinedType[str]):
    """A type by its name on the server."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_options: object) -> str:
        """Return what stands in a cast."""
        return self.name


def _text(parameter: str) -> sa.ColumnElement[Any]:
    return sa.cast(sa.bindparam(parameter, type_=sa.Text), sa.Text)
