"""Whether one worker can answer: its log, its ledger, and whether it is ending."""

import logging
from typing import Final

from fujie.adapters.clock import SystemClock
from fujie.app.control import NEVER, Control
from fujie.app.logs import log_event
from fujie.app.wire import OpenGate
from fujie.model.errors import LedgerError

HANGS_S: Final = 5.0
"""For how long an entry may wait for disk and signature, which take a second at most. No call waits longer."""


class Readiness:
    """Whether the gate can answer, and why not: `draining`, `log`, `disk`, `ledger`, `policy`, or empty.

    `log` is for good; `disk` ends as soon as a disk that hangs takes entries again; `policy`: the
    signed bundle in force has ended, and everything is refused.
    """

    def __init__(self, gate: OpenGate, clock: SystemClock, line: Control) -> None:
        """`line` leads to the server, which is told at once that a shared ledger went back."""
        self._gate = gate
        self._line = line
        self._clock = clock
        self._is_ledger_readable = True
        self._signed_at = self._took_at = clock.monotonic()
        self._size = gate.log.size
        self.is_draining = False
        self.change = 0
        """The last change of a shared ledger that is known to be committed."""
        gate.ledger.database.when_gone_back(self._went_back)

    def why_not(self) -> str:
        """Return the reason in one word; empty when the gate answers."""
        if self.is_draining:
            return "draining"
        if not self._gate.log.healthy:
            return "log"
        if max(self.checkpoint_age_s(), self._waits_s()) > HANGS_S:
            return "disk"
        if not self._is_ledger_readable:
            return "ledger"
        return "policy" if self._gate.policies.is_expired else ""

    def checkpoint_age_s(self) -> float:
        """Return for how long there have been entries without a signature; 0 when there are none."""
        log = self._gate.log
        if log.signed.size >= log.size:
            return 0.0
        # An idle log signs nothing: its last checkpoint is old, its first new entry is not.
        return max(0.0, self._clock.monotonic() - max(log.last_checkpoint_time, self._signed_at))

    def _waits_s(self) -> float:
        """Return for how long entries have waited without any becoming durable; 0 when none waits."""
        log = self._gate.log
        is_stuck = log.backlog > 0 and log.size == self._size
        return self._clock.monotonic() - self._took_at if is_stuck else 0.0

    async def look(self, *, believes: bool = True) -> None:
        """Take notice of log and ledger; `believes` is false once another worker found that a shared ledger went back."""
        log = self._gate.log
        if log.signed.size >= log.size:
            self._signed_at = self._clock.monotonic()
        if log.backlog == 0 or log.size != self._size:
            self._size, self._took_at = log.size, self._clock.monotonic()
        try:
            self.change = await self._gate.ledger.follow(0 if believes else NEVER)
        except LedgerError:
            self._is_ledger_readable = False
        else:
            self._is_ledger_readable = True

    def _went_back(self) -> None:
        """Tell before anybody is refused for it, so that who takes this worker's place does not believe the ledger either."""
        self.change = NEVER
        self._is_ledger_readable = False
        log_event("ledger_rolled_back", logging.CRITICAL)
        is_refused = self._gate.policies.is_refused
        self._line.send("state", why_not="ledger", are_policies_refused=is_refused, change=NEVER)
