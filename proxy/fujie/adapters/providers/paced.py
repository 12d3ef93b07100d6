"""A provider at the pace that was agreed with it, and left alone while it does not answer.

Everything waits before the claim, in `ready`; a message that is claimed goes out at once or not at all, since an
opt-out waits for it.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from fujie.model.customer import Phone
from fujie.ports import Clock
from fujie.ports.providers import (
    BUSY,
    Acceptance,
    Callback,
    Called,
    Outgoing,
    Provider,
    Receipt,
    Submission,
    Unresolved,
)

_LONGEST_S = 1.0
_STEP_S = 0.02
_HELD_S = 2.0
"""How long a place waits for whom `ready` gave it: a worker does not submit under a claim older than a second."""

_ROUNDING = 1e-6
"""Of tokens that were added up in pieces."""

_FAILURES = 5
_OPEN_S = 10.0

_FAILED = frozenset({Acceptance.RETRY, Acceptance.UNKNOWN})


class Paced:
    """A `ports.providers.Provider` around another.

    `rate` is messages a second; a second's worth may go at once. `concurrency` is how many submissions may be under
    way. After 5 submissions in a row of which nothing came (all RETRY or UNKNOWN) the circuit is open for 10 seconds,
    then one submission at a time tries again until one comes through.
    """

    def __init__(
        self,
        provider: Provider,
        rate: float,
        concurrency: int,
        clock: Clock,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._provider = provider
        self._rate = rate
        self._concurrency = concurrency
        self._clock = clock
        self._sleep = sleep
        self._tokens = self._most_tokens = max(rate, 1.0)
        self._filled_at = clock.monotonic()
        self._held: deque[float] = deque()
        self._under_way = 0
        self._failures = 0
        self._open_until = float("-inf")

    @property
    def name(self) -> str:
        """Its name in the settings."""
        return self._provider.name

    @property
    def processor(self) -> str:
        """Id of its processor in the register."""
        return self._provider.processor

    @property
    def most(self) -> int:
        """The most messages of one `submit`: never more than a second's worth."""
        return max(1, min(self._provider.most, int(self._rate)))

    @property
    def needs_template(self) -> bool:
        """Tell whether it takes registered templates alone."""
        return self._provider.needs_template

    @property
    def timeout_s(self) -> float:
        """The longest that `submit` takes: nothing waits here."""
        return self._provider.timeout_s

    async def ready(self, count: int) -> bool:
        """Wait, at most a second, for `count` tokens and a place; they are then the caller's, whose `submit` must come
        within 2 seconds. Asks the provider first, and False at once while the circuit is open."""
        until = self._clock.monotonic() + _LONGEST_S
        if self._is_open() or not await self._provider.ready(count):
            return False
        while not self._admit(count):
            left = until - self._clock.monotonic()
            if left <= 0 or self._is_open():
                return False
            await self._sleep(min(left, _STEP_S))
        return True

    async def submit(self, messages: Sequence[Outgoing]) -> Sequence[Submission]:
        """Submit, in the place that `ready` gave or another free one; with none, RETRY (`BUSY`) at once."""
        self._forget_late()
        if self._held:
            self._held.popleft()
        elif self._under_way >= self._places():
            return [Submission(Acceptance.RETRY, code=BUSY)] * len(messages)
        self._under_way += 1
        try:
            submissions = await self._provider.submit(messages)
        finally:
            self._under_way -= 1
        self._learn(submissions)
        return submissions

    async def query(self, sent: Unresolved, phone: Phone) -> Receipt | None:
        """Ask the provider what became of a message."""
        return await self._provider.query(sent, phone)

    async def poll(self) -> Called:
        """Fetch the provider's receipts and replies."""
        return await self._provider.poll()

    def callback(self, call: Callback) -> Called:
        """Read a callback of the provider."""
        return self._provider.callback(call)

    async def close(self) -> None:
        """Let go of connections."""
        await self._provider.close()

    def _admit(self, count: int) -> bool:
        now = self._clock.monotonic()
        filled = self._tokens + (now - self._filled_at) * self._rate
        self._tokens, self._filled_at = min(self._most_tokens, filled), now
        self._forget_late()
        if self._tokens + _ROUNDING < count or self._under_way + len(self._held) >= self._places():
            return False
        self._tokens -= count
        self._held.append(now + _HELD_S)
        return True

    def _forget_late(self) -> None:
        now = self._clock.monotonic()
        while self._held and self._held[0] <= now:
            self._held.popleft()

    def _is_open(self) -> bool:
        return self._clock.monotonic() < self._open_until

    def _places(self) -> int:
        return 1 if self._failures >= _FAILURES else self._concurrency

    def _learn(self, submissions: Sequence[Submission]) -> None:
        if any(submission.acceptance not in _FAILED for submission in submissions):
            self._failures = 0
            return
        self._failures += 1
        if self._failures >= _FAILURES:
            self._open_until = self._clock.monotonic() + _OPEN_S
