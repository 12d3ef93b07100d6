"""Look-ups that go in together while the event loop has no CPU to spare.

A look-up that runs between what gRPC does for others finds the caches cold and the interpreter's lock taken. Those that run one behind
the other take two thirds of the CPU (docs/tuning.md): they share the ledger's transactions and statements, and one sync of the log.
"""

import asyncio
from collections.abc import Callable
from typing import Final

WAIT_S: Final = 0.01
"""How long a call is held at most: what the log gathers for, too, and a tenth of what a crowded loop makes callers wait."""
MOST_TOGETHER: Final = 32
"""Calls that go in at once: what the log takes for enough. They keep the loop for some 10 ms."""


def _never() -> bool:
    return False


def _unheard(seconds: float) -> None:
    pass


class Gathering:
    """Where calls wait for each other. `is_crowded` tells whether the loop has no CPU to spare; `held` hears how long, in
    seconds, each call waited that did.

    Nobody waits where nobody is inside, nor for somebody who is outside: who is inside and leaves lets in who waits, so that callers
    who are few wait for work that goes on, and never for time to pass. One that is held by a slow store holds nobody up longer than
    `WAIT_S`. It belongs to one event loop.
    """

    def __init__(
        self, is_crowded: Callable[[], bool] = _never, held: Callable[[float], None] = _unheard
    ) -> None:
        self._is_crowded, self._held = is_crowded, held
        self._waiting: list[asyncio.Future[None]] = []
        self._inside = 0
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self) -> None:
        """Come in, perhaps together with others; in the order of arrival. Who has come in must `leave`."""
        # Who waits already is not overtaken, also when the loop has recovered meanwhile.
        if self._waiting or (self._inside and self._is_crowded()):
            time = asyncio.get_running_loop().time
            came = time()
            await self._turn()
            self._held(time() - came)
        self._inside += 1

    def leave(self) -> None:
        """Go out; the last one lets in who waits."""
        self._inside -= 1
        if not self._inside and self._waiting:
            self._let_in()

    def _turn(self) -> "asyncio.Future[None]":
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        if len(self._waiting) == 1:
            self._timer = loop.call_later(WAIT_S, self._let_in)
        if len(self._waiting) == MOST_TOGETHER:
            loop.call_soon(self._let_in)  # not at once: the last would be the first
        return future

    def _let_in(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():  # done: the call was cancelled
                future.set_result(None)
