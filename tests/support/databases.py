"""One database of each kind that a store can be in, filled by statements that all of them understand."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from support import mariadb, postgresql


class Place(Protocol):
    """A fresh database."""

    kind: str
    url: str

    def run(self, *statements: str) -> Any:
        """Run statements as the owner; return the rows of the last."""
        ...

    def quoted(self, name: str) -> str:
        """Return a name as SQL writes it."""
        ...

    def locked(self, table: str) -> Any:
        """Return a context in which nobody can read the table."""
        ...


class InSQLite:
    kind = "sqlite"

    def __init__(self, directory: Path) -> None:
        self.path = directory / "store.db"
        self.url = f"sqlite:///{self.path}"
        self.run("CREATE TABLE unused (x)")

    def run(self, *statements: str) -> Any:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return [connection.execute(statement).fetchall() for statement in statements][-1]

    def quoted(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    @contextmanager
    def locked(self, _table: str) -> Iterator[None]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            connection.execute("BEGIN EXCLUSIVE")
            yield
            connection.execute("ROLLBACK")


class InPostgreSQL:
    kind = "postgresql"

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = postgresql.server().url(name)
        self.socket = f"{postgresql.server().socket_directory}/.s.PGSQL.5432"

    def run(self, *statements: str) -> Any:
        return postgresql.server().execute(*statements, database=self.name)

    def through(self, port: int) -> str:
        return f"postgresql://postgres@127.0.0.1:{port}/{self.name}"

    def quoted(self, name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        import asyncio
        import threading

        import asyncpg

        held, free = threading.Event(), threading.Event()

        async def hold() -> None:
            connection = await asyncpg.connect(self.url)
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                held.set()
                await asyncio.to_thread(free.wait)
            await connection.close()

        holder = threading.Thread(target=lambda: asyncio.run(hold()))
        holder.start()
        assert held.wait(120)
        try:
            yield
        finally:
            free.set()
            holder.join()


class InMariaDB:
    kind = "mariadb"

    def __init__(self, name: str) -> None:
        self.name = name
        self.url = mariadb.server().url(name)
        self.socket = mariadb.server().socket

    def run(self, *statements: str) -> Any:
        return mariadb.server().execute(*statements, database=self.name)

    def through(self, port: int) -> str:
        return mariadb.server().url(self.name, port)

    def quoted(self, name: str) -> str:
        return "`" + name.replace("`", "``") + "`"

    @contextmanager
    def locked(self, table: str) -> Iterator[None]:
        with closing(mariadb.server().connect(self.name)) as connection, connection.cursor() as cursor:
            cursor.execute(f"LOCK TABLES {table} WRITE")
            yield
            cursor.execute("UNLOCK TABLES")


@cache
def _emptied() -> str:
    """Return the database that the stores of the process take turns in: making one takes half a second."""
    return postgresql.server().create()


@contextmanager
def place_of(kind: str, directory: Path) -> Iterator[Place]:
    """Yield a fresh database of one kind."""
    if kind == "sqlite":
        yield InSQLite(directory)
    elif kind == "postgresql":
        place = InPostgreSQL(_emptied())
        place.run(
            "DROP SCHEMA public CASCADE", "CREATE SCHEMA public", "GRANT USAGE ON SCHEMA public TO public"
        )
        yield place
        place.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    else:
        with mariadb.database() as name:
            yield InMariaDB(name)
