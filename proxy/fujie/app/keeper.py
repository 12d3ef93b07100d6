"""Keeps the newest checkpoint of the log in the ledger, without making the log wait for it.

The ledger may be locked for a while (a backup, another process's transaction); look-ups that only read
it go on meanwhile. The lag is bounded: a ledger that can not take a checkpoint for `KEEP_SECONDS`, or that
holds a contradicting one, ends the log, since a rollback could then go unnoticed (promise 12).
"""

import asyncio

from fujie.adapters.ledger import Checkpoints, KeptCheckpoint
from fujie.audit.checkpoint import parse_unverified
from fujie.audit.errors import LogForked
from fujie.model.errors import LedgerError
from fujie.ports import Clock

KEEP_SECONDS = 30.0
"""How long a signed checkpoint may be missing in the ledger."""

PAUSE_S = 0.2
"""Between two attempts; each waits 2 s for a lock by itself."""


class CheckpointKeeper:
    """What a log calls with every checkpoint, from its own thread; `run` does the work on the event loop."""

    def __init__(self, checkpoints: Checkpoints, clock: Clock) -> None:
        self._checkpoints = checkpoints
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._newest: KeptCheckpoint | None = None
        self._kept: KeptCheckpoint | None = None
        self._has_failed = False

    def __call__(self, note: str) -> None:
        """Take a signed note to keep. Raises LogForked once an earlier one could not be kept, which ends the log."""
        if self._has_failed:
            raise LogForked("the ledger does not keep the checkpoints of this log")
        checkpoint = parse_unverified(note)
        self._newest = KeptCheckpoint(checkpoint.origin, note, checkpoint.size)
        self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Keep what comes, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self.catch_up()

    async def catch_up(self) -> None:
        """Return once the newest checkpoint is kept, or it is certain that it will not be."""
        late = self._clock.monotonic() + KEEP_SECONDS
        while self._newest is not None and self._newest != self._kept and not self._has_failed:
            newest = self._newest
            try:
                await self._checkpoints.keep(newest)
            except LedgerError as error:
                if error.code == "LEDGER_ROLLED_BACK":
                    # This process keeps and answers nothing more. Its log goes on: another in its place would not know.
                    return
                # Another code: it contradicts what was kept, and time mends nothing.
                self._has_failed = error.code != LedgerError.code or self._clock.monotonic() >= late
                await asyncio.sleep(PAUSE_S)
            else:
                self._kept = newest
                late = self._clock.monotonic() + KEEP_SECONDS
