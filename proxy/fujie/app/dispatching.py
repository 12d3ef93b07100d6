"""What every worker does beside answering: it sends what campaigns have to send, and asks what became of it.

Every sidecar's workers share all campaigns through leases of the ledger; none is told which is its own. Nothing here
ever ends by an error: it is logged by its code, and tried again after a pause.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from fujie.app.logs import log_event
from fujie.audit.errors import AuditError
from fujie.flows.dispatch import MOST, Dispatched, dispatch
from fujie.flows.double_opt_in import record_left
from fujie.flows.gate import Gate, Sending
from fujie.flows.hearing import keep, keep_unkept, take, take_left
from fujie.flows.resolution import resolve
from fujie.flows.settlement import LATE_S
from fujie.model.errors import FujieError, LedgerError
from fujie.ports.messaging import Heard
from fujie.ports.providers import Called, Provider

LANES = 2
"""Chunks that one worker has at a time: while one waits for a provider, the other is decided."""

LEASE_S = 20.0
"""How long a chunk is its worker's own; a dead one's is taken over after it."""

IDLE_S = 0.5
"""How soon a campaign that another process started is noticed; one look is one read."""

SWEEP_S, POLL_S, RESOLVE_S = 1.0, 1.0, 5.0

_SETTLING_S = 2.0
"""How much longer than submitting it takes to write down what came of it, before it counts as abandoned."""

_SKEW_S = 5.0
"""How far the clocks of two hosts may be apart: who sweeps too soon would confirm an opt-out before its message went."""

_MOST_PULLS = 10
"""Answers of one provider that are fetched without a rest, as long as each brings something."""

_LONGEST_PAUSE_S = 10.0

END_S = 5.0
"""How long the chunks that are under way may take at the end; what is claimed by then ends as UNKNOWN."""


class Dispatching:
    """The dispatch of one worker."""

    def __init__(self, gate: Gate, sending: Sending) -> None:
        self._gate = gate
        self._sending = sending
        self._ends = asyncio.Event()

    async def run(self) -> None:
        """Work, until cancelled; then finish what is under way."""
        tasks = {asyncio.create_task(self._send(), name="dispatch") for _ in range(LANES)}
        tasks.add(asyncio.create_task(self._again("sweep", self._sweep, SWEEP_S)))
        tasks.add(asyncio.create_task(self._again("heard", partial(take_left, self._gate), SWEEP_S)))
        for provider in self._sending.providers.values():
            polling = _Polling(self._gate, self._sending, provider)
            tasks.add(asyncio.create_task(self._again("poll", polling, POLL_S)))
            tasks.add(
                asyncio.create_task(self._again("resolve", _resolving(self._gate, provider), RESOLVE_S))
            )
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ends.set()
            await asyncio.wait(tasks, timeout=END_S)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            with suppress(FujieError, TimeoutError):
                async with asyncio.timeout(END_S):
                    await keep_unkept(self._gate)

    async def _send(self) -> None:
        """Work off chunk after chunk; a provider that has no room for one gets smaller ones."""
        most, pause = MOST, IDLE_S
        while not self._ends.is_set():
            try:
                done = await self._chunk(most)
            except Exception as error:  # noqa: BLE001 (whatever one chunk raises, the next must go)
                _failed("dispatch", error)
                await self._rest(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
                continue
            pause = IDLE_S
            if done is None:
                await self._idle()
            elif done.put_back:
                most = max(1, done.done)
                await self._rest(IDLE_S if not done.done else 0.0)
            else:
                most = min(MOST, 2 * most)

    async def _chunk(self, most: int) -> Dispatched | None:
        clock = self._gate.clock
        holder = (
            self._gate.ids.new_id()
        )  # of this chunk alone: what an older one left behind is not its own
        lease = await self._sending.outbox.lease(holder, clock.now(), LEASE_S, most)
        return await dispatch(self._gate, lease) if lease else None

    async def _idle(self) -> None:
        wake = asyncio.create_task(self._sending.wake.wait())
        ends = asyncio.create_task(self._ends.wait())
        await asyncio.wait({wake, ends}, timeout=IDLE_S, return_when=asyncio.FIRST_COMPLETED)
        wake.cancel()
        ends.cancel()
        self._sending.wake.clear()

    async def _rest(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._ends.wait(), seconds)
        except TimeoutError:
            return

    async def _again(self, name: str, act: Callable[[], Awaitable[object]], every_s: float) -> None:
        """Act, rest, act again; longer rests while it fails."""
        pause = every_s
        while not self._ends.is_set():
            try:
                await act()
                pause = every_s
            except Exception as error:  # noqa: BLE001 (like a chunk)
                _failed(name, error)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            await self._rest(pause)

    async def _sweep(self) -> None:
        longest = max((each.timeout_s for each in self._sending.providers.values()), default=0.0)
        await self._sending.outbox.sweep(self._gate.clock.now(), longest + LATE_S + _SETTLING_S + _SKEW_S)
        await record_left(self._gate)


class _Polling:
    """Fetches what a provider has to tell, which it does not tell again: what could not even be kept is kept here, and comes
    first."""

    def __init__(self, gate: Gate, sending: Sending, provider: Provider) -> None:
        self._gate = gate
        self._sending = sending
        self._provider = provider
        self._told: Called | None = None
        self._heard: Heard | None = None

    async def __call__(self) -> None:
        for _ in range(_MOST_PULLS):
            if self._heard is None:
                # A worker that is told to end lets it be kept first.
                fetching = asyncio.create_task(self._fetch())
                self._sending.under_way.add(fetching)
                fetching.add_done_callback(self._sending.under_way.discard)
                await asyncio.shield(fetching)
            if self._heard is None:
                return
            try:
                await take(self._gate, self._heard)
            except (LedgerError, AuditError):
                raise
            except FujieError:  # it stays in the ledger, and does not keep what comes behind it
                self._heard = None
                raise
            self._heard = None

    async def _fetch(self) -> None:
        if self._told is None:
            self._told = await self._provider.poll()
            for _ in range(self._told.skipped):
                self._gate.metrics.received(self._provider.name, "skipped")
        self._heard = await keep(self._gate, self._provider.name, self._told)
        self._told = None


def _resolving(gate: Gate, provider: Provider) -> Callable[[], Awaitable[object]]:
    async def ask() -> None:
        await resolve(gate, provider)

    return ask


def _failed(task: str, error: Exception) -> None:
    code = error.code if isinstance(error, FujieError | AuditError) else "INTERNAL"
    log_event("dispatch_failed", logging.WARNING, task=task, code=code, error=type(error).__name__)
