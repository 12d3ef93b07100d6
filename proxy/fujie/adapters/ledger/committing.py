"""How a change is committed on a server whose commits wait for a synchronous standby."""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # see `postgresql.py`
    from sqlalchemy.ext.asyncio import AsyncConnection


async def commit_or_leave(connection: "AsyncConnection") -> None:
    """Commit; when that is given up, go without a word.

    A driver asks the server to stop what was cancelled, and PostgreSQL stops waiting for a synchronous standby by committing:
    all would see a change that the standby lacks, and not believe it once it takes over. Writers wait at the counter meanwhile.
    """
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    commit = asyncio.ensure_future(connection.commit())
    try:
        await asyncio.shield(commit)
    except asyncio.CancelledError:
        driver.terminate()
        await asyncio.wait({commit})
        commit.exception()  # seen: nobody knows whether it came to pass
        raise
