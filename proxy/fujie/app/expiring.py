"""Leases that end: their keys are destroyed soon after, though nobody opens the file or asks for it.

Every worker looks, and what one has destroyed the others find no more. Nobody waits for it: an opening compares the end of
the lease with its own clock.
"""

import asyncio
import logging
from collections.abc import Callable

from fujie.app.logs import log_event
from fujie.model.errors import LedgerError
from fujie.ports import Clock
from fujie.ports.exports import Exports

PAUSE_S = 5.0
"""Between two looks, each one read of a small index when nothing has ended."""

_LONGEST_PAUSE_S = 60.0


class Expiring:
    """Ends leases in one ledger, and tells `show` how many are open."""

    def __init__(self, exports: Exports, clock: Clock, show: Callable[[int], None]) -> None:
        self._exports = exports
        self._clock = clock
        self._show = show

    async def run(self) -> None:
        """Destroy what is due, for ever. What fails is logged by its code, and tried again after a pause."""
        pause = PAUSE_S
        while True:
            try:
                if closed := await self._exports.close_expired(self._clock.now()):
                    log_event("leases_ended", exports=closed)
                self._show(await self._exports.open_leases(self._clock.now()))
                pause = PAUSE_S
            except LedgerError as error:
                log_event("leases_behind", logging.WARNING, code=error.code)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause)
