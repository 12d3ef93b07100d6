"""The connections on which a ledger in PostgreSQL is read."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import asyncpg

from fujie.adapters.ledger.sharing import Statement

IDLE_LIMIT_S: Final = 300.0
"""How long a connection may have been idle to be used again: what lies between may have forgotten it."""
CANCEL_LIMIT_S: Final = 0.5
"""How long the server may take to stop a read that was given up; then its connection is dropped."""


class Readers:
    """Up to `most` connections of `pool`. They stay out of it: to give one back makes a task, a third of a read's time.

    A read whose connection `is_lost` is asked again on another, up to `attempts` times in all: it changed nothing.
    """

    def __init__(
        self,
        pool: "asyncpg.Pool[asyncpg.Record]",
        most: int,
        attempts: int,
        is_lost: Callable[[BaseException], bool],
    ) -> None:
        self._pool = pool
        self._free = asyncio.Semaphore(most)
        self._attempts = attempts
        self._is_lost = is_lost
        self._idle: list[tuple[Any, float]] = []
        """Connections and when each was used last."""
        self._is_closed = False

    async def rows(self, statement: Callable[[], Statement]) -> Sequence[Any]:
        """Return the rows of what `statement` returns once a connection is free. Raises what the driver raises."""
        async with self._free:
            text, arguments = statement()
            left = self._attempts
            while True:
                left -= 1
                try:
                    return await self._read(text, arguments)
                except Exception as error:
                    if left and self._is_lost(error):
                        continue
                    raise

    def close(self) -> None:
        """End the connections that nobody uses; those in use go back to the pool."""
        self._is_closed = True
        while self._idle:
            _end(self._idle.pop()[0])

    async def _read(self, text: str, arguments: Sequence[object]) -> Sequence[Any]:
        connection = self._take_idle() or await self._pool.acquire()
        try:
            rows = await connection.fetch(text, *arguments)
        except BaseException:
            # The limit is for the driver, which asks the server to stop what was cancelled.
            await self._pool.release(connection, timeout=CANCEL_LIMIT_S)
            raise
        if self._is_closed:
            await self._pool.release(connection, timeout=CANCEL_LIMIT_S)
        else:
            self._idle.append((connection, asyncio.get_running_loop().time()))
        return rows

    def _take_idle(self) -> Any | None:
        while self._idle:
            connection, used_at = self._idle.pop()
            if asyncio.get_running_loop().time() - used_at < IDLE_LIMIT_S:
                return connection
            _end(connection)
        return None


def _end(connection: Any) -> None:
    with suppress(asyncpg.InterfaceError):  # the server has ended it, and the pool has it back already
        connection.terminate()
