"""Where rows come from, and what happens when it is not there: the primary, or replicas in turn before it."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from fujie.adapters.stores.scanning import Selection
from fujie.model.errors import StoreError
from fujie.ports import Clock

OPEN_S = 10.0
"""How long a database may take at the start."""
REST_S = 5.0
"""How long a replica that failed is left alone: one that hangs would cost every look-up half of its time."""

Answer = TypeVar("Answer")


class Stream(Protocol):
    """The rows of one scan, read as they are asked for."""

    async def more(self, deadline: float) -> Sequence[Sequence[Any]]:
        """Return the next rows, one more than the size of a batch at most; none at the end, also when asked again.

        Raises:
            StoreError: STORE_UNAVAILABLE, or STORE_TIMEOUT at the deadline. The stream is then of no more use.

        """
        ...

    async def end(self) -> None:
        """End the statement and give up its connection, also when rows are being read; once is enough. Raises nothing."""
        ...


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

    async def open_scan(self, selection: Selection, size: int, deadline: float) -> Stream:
        """Start a scan, and wait for its first rows. Raises like `rows`."""
        ...

    async def close(self) -> None:
        """End every connection; look-ups and scans that run may fail."""
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
        return await self._first(lambda source, until: source.rows(text, arguments, until), deadline)

    async def open_scan(self, selection: Selection, size: int, deadline: float) -> Stream:
        """See `Source.open_scan`. A scan that fails later has failed: nobody else has its place in the rows."""
        return await self._first(lambda source, until: source.open_scan(selection, size, until), deadline)

    async def _first(self, ask: Callable[[Source, float], Awaitable[Answer]], deadline: float) -> Answer:
        now = self._clock.monotonic()
        self._turn = turn = (self._turn + 1) % len(self._replicas)
        if now >= self._rests_until[turn]:
            try:
                return await ask(self._replicas[turn], now + (deadline - now) / 2)
            except StoreError:
                self._rests_until[turn] = self._clock.monotonic() + REST_S
        return await ask(self._primary, deadline)

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
