"""Whether one worker can answer: its log, its ledger, and whether it is ending."""

from fujie.adapters.clock import SystemClock
from fujie.app.wire import OpenGate
from fujie.model.errors import LedgerError


class Readiness:
    """Whether the gate can answer, and why not: `draining`, `log`, `ledger`, or empty."""

    def __init__(self, gate: OpenGate, clock: SystemClock) -> None:
        self._gate = gate
        self._clock = clock
        self._is_ledger_readable = True
        self._signed_at = clock.monotonic()
        self.is_draining = False

    def why_not(self) -> str:
        """Return the reason in one word; empty when the gate answers."""
        if self.is_draining:
            return "draining"
        if not self._gate.log.healthy:
            return "log"
        return "" if self._is_ledger_readable else "ledger"

    def checkpoint_age_s(self) -> float:
        """Return for how long there have been entries without a signature; 0 when there are none."""
        log = self._gate.log
        if log.signed.size >= log.size:
            return 0.0
        # An idle log signs nothing: its last checkpoint is old, its first new entry is not.
        return max(0.0, self._clock.monotonic() - max(log.last_checkpoint_time, self._signed_at))

    async def look(self) -> None:
        """Take notice of log and ledger."""
        log = self._gate.log
        if log.signed.size >= log.size:
            self._signed_at = self._clock.monotonic()
        try:
            await self._gate.ledger.checkpoints.last(log.origin)
        except LedgerError:
            self._is_ledger_readable = False
        else:
            self._is_ledger_readable = True
