"""Others are told of approvals by whichever worker looks first: of those that a crash left untold, that nobody looked at,
that expired; of what went ahead without one. The metrics follow what has to be reviewed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime

from fujie.app.logs import log_event
from fujie.flows.approval_notices import tell_due
from fujie.flows.gate import Gate
from fujie.model.errors import FujieError

LOOK_S = 5.0
"""How often a worker looks; one look is one read of an index that is mostly empty."""

_LONGEST_PAUSE_S = 60.0


class Approving:
    """The part of one worker. Nothing here ever ends by an error: it is logged by its code, and tried again.

    `reviews` counts what waits for a review and what of it is overdue, and `show` is told.
    """

    def __init__(
        self,
        gate: Gate,
        reviews: Callable[[datetime], Awaitable[tuple[int, int]]],
        show: Callable[[int, int], None],
    ) -> None:
        self._gate = gate
        self._reviews = reviews
        self._show = show

    async def run(self) -> None:
        """Tell what is due, for ever."""
        pause = LOOK_S
        while True:
            try:
                while await tell_due(self._gate):
                    pass
                self._show(*await self._reviews(self._gate.clock.now()))
                pause = LOOK_S
            except FujieError as error:
                log_event("approving_failed", logging.WARNING, code=error.code, error=type(error).__name__)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause)
