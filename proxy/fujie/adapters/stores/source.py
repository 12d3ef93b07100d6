"""Where rows come from, and what happens when it is not there: the primary, or replicas in turn before it."""

from collections.abc import Sequence
from typing import Any, Protocol

from fujie.model.errors import StoreError
from fujie.ports import Clock

OPEN_S = 10.0
"""How long a database may take at the start."""
REST_S = 5.0
"""How long a replica that failed is left alone: one that hangs would cost every look-up half of its time."""


class Source(Protocol):
    """One database, open for reading."""

    async def rows(
        self, text: str, arguments: Sequence[object], deadline: float
    ) -> Sequence[Sequence[Any]]:
        """Return the rows of a SELECT. `deadline` is on the clock's monotonic scale, and not yet over.

        Raises:
            StoreError: STORE_UNAVAILABLE, or STORE_TIMEOUT at the deadline.

        """
        ...

    async def close(self) -> None:
        """End every connection; look-ups that run may fail."""
        ...


class ReplicasFirst:
    """Reads from each replica in turn, and from the primary where a replica fails or takes half of the time."""

    def __init__(self, replicas: Sequence[Source], primary: Source, clock: Clock) -> None:
        self._replicas = tuple(replicas)
        self._primary = primary
        self._clock = clock
        self._rests_until = [float("-inf")] * len(self._replicas)
        self._turn = 0

    async def rows(
        self, text: str, arguments: Sequence[object], deadline: float
    ) -> Sequence[Sequence[Any]]:
        """See `Source.rows`."""
        now = self._clock.monotonic()
        self._turn = turn = (self._turn + 1) % len(self._replicas)
        if now >= self._rests_until[turn]:
            try:
                return await self._replicas[turn].rows(text, arguments, now + (deadline - now) / 2)
            except StoreError:
                self._rests_until[turn] = self._clock.monotonic() + REST_S
        return await self._primary.rows(text, arguments, deadline)

    async def close(self) -> None:
        """See `Source.close`."""
        for source in (*self._replicas, self._primary):
            await source.close()


def unavailable(store: str, name: str) -> StoreError:
    """Return the error for a database that failed; `name` is the driver's word for it, never its text."""
    return StoreError(f"store {store} failed: {name}")


def timed_out(store: str) -> StoreError:
    """Return the error for a database that did not answer by the deadline."""
    return StoreError(f"store {store} did not answer in time", code="STORE_TIMEOUT")
