"""A scan that runs: rows from a database's cursor as batches that end between two ids."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Self

from fujie.adapters.stores.scanning import Selection
from fujie.adapters.stores.source import Source, Stream, timed_out
from fujie.model.errors import StoreError
from fujie.model.record import Fetched
from fujie.ports import Clock

SCANS = 4
"""Scans that run at a time on one store, at most: each has a connection of its own beside those of the look-ups."""


class Turns:
    """The scans of a store that may run at a time, `most` of all readers and half of them of one; the last free one is for who has
    none, so that two readers never keep out a third. Whoever waits gets his in the order in which they came, and who may not have
    one yet stands in nobody's way."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._of_one = max(1, most // 2)
        self._held: Counter[str] = Counter()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def taken(self, reader: str) -> AsyncIterator[None]:
        """Hold a turn of `reader` as long as the block runs, and wait for it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((reader, turn))
        self._serve()
        try:
            await turn
            yield
        finally:
            if (
                turn.done() and not turn.cancelled()
            ):  # also of who went away in the moment in which he got it
                self._give_back(reader)
            else:
                self._waiting.remove((reader, turn))

    def _serve(self) -> None:
        for reader, turn in self._waiting.copy():
            held = self._held[reader]
            if not turn.done() and held < self._of_one and self._free > (held > 0):
                self._free -= 1
                self._held[reader] += 1
                self._waiting.remove((reader, turn))
                turn.set_result(None)

    def _give_back(self, reader: str) -> None:
        self._free += 1
        self._held -= Counter((reader,))  # who has none left is forgotten
        self._serve()


class RunningScan(AbstractAsyncContextManager[AsyncIterator[Sequence[Fetched]]]):
    """See `ports.CustomerStore.scan`. Waits for its turn, which counts; whatever ends it, the connection is given up.

    Rows of one id are never in two batches: who starts again behind the last id of a batch would skip the others.
    """

    def __init__(
        self, source: Source, selection: Selection, size: int, turn: AbstractAsyncContextManager[None]
    ) -> None:
        self._source = source
        self._selection = selection
        self._size = size
        self._turn = turn
        self._stream: Stream | None = None
        self._held: list[Fetched] = []
        self._is_broken = False
        self._clock: Clock
        self._timeout_s = self._patience_s = 0.0
        self._name = ""

    def within(self, clock: Clock, times_s: tuple[float, float], store: str) -> Self:
        """Set how long opening and each batch may take, how long it may wait for its turn where that is longer, and the store's
        name for errors."""
        self._clock, (self._timeout_s, self._patience_s), self._name = clock, times_s, store
        return self

    async def __aenter__(self) -> AsyncIterator[Sequence[Fetched]]:
        deadline = self._deadline()
        try:
            async with asyncio.timeout(max(self._timeout_s, self._patience_s)):
                await self._turn.__aenter__()
        except TimeoutError:
            raise timed_out(self._name) from None
        try:
            # The turn may have used up all of the time: nobody waits for it to fail then.
            deadline = self._deadline() if self._patience_s else deadline
            self._stream = await self._source.open_scan(self._selection, self._size, deadline)
        except BaseException:
            await self._turn.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        stream, self._stream = self._stream, None
        self._held = []
        if stream is not None:
            try:
                await stream.end()
            finally:
                await self._turn.__aexit__(None, None, None)

    def __aiter__(self) -> AsyncIterator[Sequence[Fetched]]:
        return self

    async def __anext__(self) -> Sequence[Fetched]:
        if self._stream is None or self._is_broken:
            raise StoreError(f"store {self._name}: the scan is over")
        deadline = self._deadline()
        self._is_broken = (
            True  # whatever ends this, also a reader who waits no longer: its place in the rows is lost
        )
        while len(self._held) <= self._size:
            rows = await self._stream.more(deadline)
            if not rows:
                break
            self._held += self._selection.meaning(rows)
        self._is_broken = False
        return self._next_batch()

    def _next_batch(self) -> Sequence[Fetched]:
        held, cut = self._held, self._size
        if not held:
            raise StopAsyncIteration
        if len(held) <= cut:
            self._held = []
            return held
        behind = held[cut].key.customer_id
        while cut and held[cut - 1].key.customer_id == behind:
            cut -= 1
        if not cut:
            raise StoreError(f"store {self._name}: one id has more than {self._size} rows")
        self._held = held[cut:]
        return held[:cut]

    def _deadline(self) -> float:
        if self._timeout_s <= 0:
            raise timed_out(self._name)
        return self._clock.monotonic() + self._timeout_s
