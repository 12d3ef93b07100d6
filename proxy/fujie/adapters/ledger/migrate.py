"""Bring a ledger to the schema of this build, by Alembic, without an ini file on disk."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from fujie.adapters.clock import SystemClock
from fujie.adapters.ledger import postgresql
from fujie.adapters.ledger.home import SESSION
from fujie.adapters.ledger.server import URL_ALONE, Server, ServerAccess, is_server, server_of
from fujie.adapters.ledger.sqlite import error_name, file_of, writing_engine
from fujie.model.errors import StartError

if TYPE_CHECKING:
    from alembic.config import Config

HEAD: Final = "0017"
"""The newest of `migrations`. A ledger that has it is told by one SELECT: Alembic is not even imported."""

_SCRIPTS = Path(__file__).parent / "migrations"

Tell = Callable[[bool], None]
"""Told True before a ledger is migrated, which may take minutes where it is large, and False behind it."""

_alembic = Lock()
"""Its context is one per process, and each SQLite ledger is migrated in a thread of its own."""

_LOCK: Final = int.from_bytes(b"fujie-db")
"""The advisory lock that a migration of ours holds: any number, but the same in every build."""

WAIT_S: Final = 45.0
"""How long a start waits for another process that migrates: less than a worker may take to start, so that it says why."""

_SESSION: Final = {**SESSION, "statement_timeout": "0", "lock_timeout": str(round(WAIT_S * 1000))}
"""A migration may take long, and who starts meanwhile waits for it."""


def migration_config(connection: Connection) -> "Config":
    """Return an Alembic configuration that runs in the transaction of `connection`."""
    from alembic.config import Config  # see HEAD

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def told_to_nobody(_: bool) -> None:  # noqa: FBT001 - as `Tell`
    """Where nobody waits."""


async def upgrade(url: str, access: ServerAccess = URL_ALONE, tell: Tell = told_to_nobody) -> None:
    """Create or migrate the ledger at `url` in one transaction; changes nothing when it is current. The event loop goes on.

    Several processes may start at once: a lock lets one migrate while the others wait for it, `WAIT_S` at
    most. A current ledger needs no right to create tables, and nobody is told of it.

    Raises:
        StartError: LEDGER_UNSUPPORTED, LEDGER_PLAINTEXT, LEDGER_PASSWORD_UNREADABLE,
            LEDGER_UNAVAILABLE, or LEDGER_NEWER when a later build wrote it.

    """
    if is_server(url):
        await _upgrade_server(server_of(url, access), tell)
        return
    path, until = file_of(url), SystemClock.monotonic() + WAIT_S
    loop = asyncio.get_running_loop()

    def tell_there(is_migrating: bool) -> None:  # noqa: FBT001 - see `Tell`
        loop.call_soon_threadsafe(tell, is_migrating)

    while not await asyncio.to_thread(_is_upgraded, path, tell_there):
        if SystemClock.monotonic() > until:
            raise _held()
        await asyncio.sleep(0.05)


def _held() -> StartError:
    return StartError(
        "LEDGER_UNAVAILABLE",
        f"the ledger cannot be opened: another process has kept it locked for {WAIT_S:g} s",
        "It may be migrating the ledger: let it finish, or end it, which undoes what it began. Then start again.",
    )


def _is_upgraded(path: Path, tell: Tell) -> bool:
    """Return false when another process has the write lock."""
    engine = writing_engine(path)
    try:
        with engine.begin() as connection, _alembic:
            _to_head(connection, tell)
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        if error_name(error).startswith("SQLITE_BUSY"):
            return False
        raise StartError(
            "LEDGER_UNAVAILABLE", f"the ledger cannot be opened: {error_name(error)}"
        ) from None
    finally:
        engine.dispose()
    return True


async def _upgrade_server(server: Server, tell: Tell) -> None:
    engine = postgresql.writing_engine(server, _SESSION)
    try:
        async with engine.begin() as connection:
            # Before Alembic, whose context is one per process.
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            await connection.run_sync(_to_head, tell)
    except (*postgresql.FAILURES, ValueError) as error:
        is_held = postgresql.error_name(error) == "LockNotAvailableError"
        raise (_held() if is_held else postgresql.unavailable(error)) from None
    finally:
        await engine.dispose()


def _to_head(connection: Connection, tell: Tell) -> None:
    if _revisions(connection) == [HEAD]:
        return
    tell(True)
    from alembic import command  # see HEAD
    from alembic.util.exc import CommandError

    try:
        command.upgrade(migration_config(connection), "head")
    except CommandError:
        raise StartError(
            "LEDGER_NEWER",
            "the ledger has a schema that this build does not know",
            "Run the build that wrote it, or a later one.",
        ) from None
    finally:
        tell(False)


def _revisions(connection: Connection) -> list[str]:
    """Return what Alembic wrote down as the state of the schema: nothing of a ledger that is new."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return []
    return list(connection.scalars(sa.text("SELECT version_num FROM alembic_version")))
