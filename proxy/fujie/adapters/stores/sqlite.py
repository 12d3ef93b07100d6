"""What is SQLite's own about a store: opening a file that stays unchanged, and looking at its columns."""

import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import StaticPool

from fujie.adapters.stores.table import StoreTable
from fujie.model.errors import StartError

STATEMENTS = 512
"""Statements that are kept, compiled by us and prepared by the driver; ever new sets of fields only cost compilation."""


def file_of(table: StoreTable) -> Path:
    """Return the file that the store's `sqlite:///path` URL names.

    Raises:
        StartError: STORE_MISMATCH.

    """
    try:
        parsed = sa.make_url(table.url)
    except ArgumentError:
        raise _mismatch([f"store {table.name}: its url is not a database URL"]) from None
    path = parsed.database or ""
    if parsed.drivername != "sqlite" or parsed.query or not path or path.startswith(":"):
        raise _mismatch([f"store {table.name}: its url must name one SQLite file in this build"])
    return Path(path)


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


def open_checked(table: StoreTable, path: Path) -> sqlite3.Connection:
    """Return a connection to a file that has every column that the configuration maps.

    Not only a courtesy: SQLite takes an unknown name in double quotes for a string.

    Raises:
        StartError: STORE_MISMATCH, with every problem on a line of its own.

    """
    try:
        connection = connect(path)
    except sqlite3.Error as error:
        raise _mismatch([f"store {table.name}: cannot be opened: {error.sqlite_errorname}"]) from None
    found = _problems(table, connection)
    if found:
        connection.close()
        raise _mismatch(found)
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
    return [
        f"store {table.name}: {table.table!r} has no column {name!r}"
        for name in sorted(table.columns - present)
    ]


def _mismatch(found: Sequence[str]) -> StartError:
    return StartError(
        "STORE_MISMATCH", "\n".join(found), "Correct `stores` in the configuration, or the database."
    )
