"""What is due of offboardings is done by whichever worker looks first: those that were ordered for a later time, and those
whose worker died before their end. Calls need no such thing: who has left is refused by the clock of the directory.
"""

import asyncio
import logging

from fujie.app.logs import log_event
from fujie.audit.errors import AuditError
from fujie.flows.gate import Gate
from fujie.flows.leaving import end_what_is_due
from fujie.model.errors import FujieError

LOOK_S = 0.5
"""How often a worker looks; one look is one read of an index that is mostly empty."""

_LONGEST_PAUSE_S = 30.0


class Leaving:
    """The part of one worker. Nothing here ever ends by an error: it is logged by its code, and tried again."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def run(self) -> None:
        """Do what is due, for ever."""
        pause = LOOK_S
        while True:
            try:
                while await end_what_is_due(self._gate):
                    pass
                pause = LOOK_S
            except (FujieError, AuditError) as error:
                log_event("leaving_failed", logging.WARNING, code=error.code, error=type(error).__name__)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause)
