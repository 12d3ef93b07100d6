"""A real PostgreSQL for the test process, started when first asked for, and fresh databases on it."""

import asyncio
import itertools
import os
import warnings
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from time import sleep
from typing import Any, TypeVar
from urllib.parse import quote

import asyncpg

from fujie.adapters.ledger import upgrade
from support import scratch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
    from pgserver import postgres_server

T = TypeVar("T")

_NUMBERS = itertools.count()


class PostgreSQL:
    """A server of our own on a socket. Its default is `synchronous_commit = off`: who needs more asks for it."""

    def __init__(self, directory: Path) -> None:
        scratch.guard(directory / "postmaster.pid", directory)  # first: at the end it comes last
        self.server = postgres_server.get_server(directory, cleanup_mode="delete")
        self.socket_directory = str(self.server.get_postmaster_info().socket_dir)
        # fsync is off: no test cuts the power, and each database is a copy of many small files.
        for setting in (
            "fsync = off",
            "synchronous_commit = off",
            "full_page_writes = off",
            "deadlock_timeout = '50ms'",
        ):
            self.execute(f"ALTER SYSTEM SET {setting}")
        self.execute("SELECT pg_reload_conf()")

    @property
    def socket(self) -> str:
        """The path of the socket."""
        return f"{self.socket_directory}/.s.PGSQL.5432"

    def url(self, database: str, user: str = "postgres") -> str:
        """Return the URL of `database` at the server's own socket."""
        return f"postgresql://{user}@/{database}?host={quote(self.socket_directory)}"

    def execute(self, *statements: str, database: str = "postgres") -> list[asyncpg.Record]:
        """Run statements as the superuser, each by itself; return the rows of the last."""
        return execute(self.url(database), *statements)

    def create(self, template: str = "template1") -> str:
        """Make a database that is a copy of `template`; return its name."""
        name = f"ledger_{os.getpid()}_{next(_NUMBERS)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def demand_password(self, user: str) -> None:
        """Let `user` in by password only; everybody else is trusted."""
        rules = Path(self.server.pgdata) / "pg_hba.conf"
        rules.write_text(f"local all {user} scram-sha-256\n{rules.read_text()}")
        self.execute("SELECT pg_reload_conf()")

    def drop(self, name: str) -> None:
        """Remove a database and whoever is connected to it."""
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def apart(run: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function to its end, also where a loop is running already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(run())).result()


def execute(url: str, *statements: str) -> list[asyncpg.Record]:
    """Run statements on a server, each by itself; return the rows of the last."""

    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(url)
        try:
            return [await connection.fetch(statement) for statement in statements][-1]
        finally:
            await connection.close()

    return apart(run)


def wait_until_alone(url: str, besides: str = "nobody") -> None:
    """Wait until nobody else, `besides` the program of that name, is connected to the database: a session tells what it has
    counted when it ends, a moment after its client left."""
    others = (
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        f" AND application_name <> '{besides}'"
    )
    while execute(url, others):
        sleep(0.02)


@cache
def server() -> PostgreSQL:
    """Return the server of this process; it is stopped and removed at its end, whatever that is."""
    return PostgreSQL(scratch.directory("pg"))


@cache
def migrated() -> str:
    """Return the name of a database with a ledger in which nothing was written, to make copies of."""
    name = server().create()
    apart(lambda: upgrade(server().url(name)))
    return name


@contextmanager
def database(template: str = "template1") -> Iterator[str]:
    """Yield the name of a fresh database."""
    name = server().create(template)
    try:
        yield name
    finally:
        server().drop(name)


@contextmanager
def ledger_url() -> Iterator[str]:
    """Yield the URL of a database with an empty ledger."""
    with database(migrated()) as name:
        yield server().url(name)
