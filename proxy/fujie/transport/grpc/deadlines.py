"""The time limits of all calls of a server, watched by one timer.

`asyncio.timeout` sets and cancels a timer for every call, which costs 5 µs; putting a call into a set and
taking it out again costs 0.7. While no call runs, nothing ticks.
"""

import asyncio
from types import TracebackType
from typing import Any, Final

TICK_S: Final = 0.05
"""How late a limit may take hold; one look at 1,000 running calls takes 50 µs."""


class Deadlines:
    """The calls that run, each with its limit. For one event loop, which need not run when it is made."""

    def __init__(self) -> None:
        self._running: set[Limit] = set()
        self._is_ticking = False

    def within(self, seconds: float) -> "Limit":
        """Return a context that ends its task's work with TimeoutError when it takes longer than `seconds`.

        As with `asyncio.timeout`, the work sees a cancellation, and one that comes from elsewhere, be it in
        the same moment, stays one.
        """
        return Limit(self, seconds)

    def enter(self, limit: "Limit") -> None:
        """Watch a limit from now on."""
        self._running.add(limit)
        if not self._is_ticking:
            self._is_ticking = True
            limit.loop.call_later(TICK_S, self._tick, limit.loop)

    def leave(self, limit: "Limit") -> None:
        """Watch it no more."""
        self._running.discard(limit)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for late in [limit for limit in self._running if limit.at <= now]:
            self._running.discard(late)
            late.expire()
        self._is_ticking = bool(self._running)
        if self._is_ticking:
            loop.call_later(TICK_S, self._tick, loop)


class Limit:
    """The limit of one call; see `Deadlines.within`. Used once, within one task."""

    __slots__ = ("_cancelled_before", "_deadlines", "_is_expired", "_seconds", "_task", "at", "loop")

    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._deadlines = deadlines
        self._seconds = seconds
        self._is_expired = False

    def __enter__(self) -> None:
        """Start."""
        task = asyncio.current_task()
        assert task is not None
        self._task: asyncio.Task[Any] = task
        self._cancelled_before = task.cancelling()
        self.loop = task.get_loop()
        self.at = self.loop.time() + self._seconds
        """When the time is up, on the loop's clock."""
        self._deadlines.enter(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End. Raises TimeoutError when this limit, and nothing else, cancelled the work."""
        if not self._is_expired:
            self._deadlines.leave(self)
        elif self._task.uncancel() <= self._cancelled_before and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def expire(self) -> None:
        """Cancel the work: its time is up."""
        self._is_expired = True
        self._task.cancel()
