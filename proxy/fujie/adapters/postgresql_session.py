"""A session on a PostgreSQL server that is ours alone, with our settings in force.

They are set once the session stands, not in its first message: PgBouncer refuses those it does not know, or drops them
silently. A pooler that gives sessions away between transactions would give our settings to strangers, and run what
another process prepared under the same name: it is found out before anything is set, and refused.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

SETTLE_S: Final = 2.0
"""How long it may take to settle a session that has been opened."""

LOOKS: Final = 8
"""How often a session behind a pooler is looked at: among strangers who are busy, chance gives us the same one now and then."""

_SETTLE: Final = """
SELECT pg_catalog.pg_backend_pid(), pg_catalog.set_config(s.name, s.value, false)
FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS s (name, value)
WHERE pg_catalog.pg_backend_pid() = $3::pg_catalog.int4
"""
_PID: Final = "SELECT pg_catalog.pg_backend_pid()"


class PoolerSharesSessions(asyncpg.InterfaceError):
    """What stands between us and the server gives one session to many (PgBouncer's `pool_mode` transaction or statement)."""

    def __init__(self) -> None:
        super().__init__("a pooler gives the session to others between transactions")


async def open_session(
    arguments: Mapping[str, Any], settings: Mapping[str, str]
) -> "asyncpg.Connection[asyncpg.Record]":
    """Connect with the `arguments` of `asyncpg.connect`, and `settle` the session.

    Raises PoolerSharesSessions, TimeoutError, or what asyncpg raises.
    """
    connection: asyncpg.Connection[asyncpg.Record] = await asyncpg.connect(**arguments)
    await settle(connection, arguments, settings)
    return connection


async def settle(connection: Any, arguments: Mapping[str, Any], settings: Mapping[str, str]) -> None:
    """Put `settings` in force for as long as the session of a new connection lasts; else end it.

    Raises like `open_session`.
    """
    try:
        async with asyncio.timeout(SETTLE_S):
            await _settle(connection, arguments, [list(settings), list(settings.values())])
    except (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError):
        connection.terminate()  # what it has prepared is on another session, or another has prepared it on this one
        raise PoolerSharesSessions from None
    except BaseException:
        connection.terminate()
        raise


async def _settle(connection: Any, arguments: Mapping[str, Any], values: Sequence[object]) -> None:
    if await connection.fetch(_SETTLE, *values, connection.get_server_pid()):
        return
    # Not the process that greeted us: a pooler stands between. Prove that it gives the session to nobody else.
    own = await connection.fetchval(_PID)
    other = await asyncpg.connect(**arguments)
    try:
        async with (
            other.transaction()
        ):  # it has a session to itself now, whatever the mode: ours, if that is free
            found = {await connection.fetchval(_PID) for _ in range(LOOKS)}
            if await other.fetchval(_PID) == own or found != {own}:
                raise PoolerSharesSessions
            if not await connection.fetch(_SETTLE, *values, own):
                raise PoolerSharesSessions
    except asyncpg.ConnectionDoesNotExistError:
        raise PoolerSharesSessions from None  # `pool_mode = statement` ends who begins a transaction
    finally:
        other.terminate()
