"""How far this process has seen the ledger come, so that a ledger which has gone back is noticed.

A standby that was promoted without the last changes, or a restored backup, lacks withdrawals that were acknowledged.
Its change counter tells: it is lower than what this process has seen. From then on the process answers nothing; only
its restart, which is a decision of people, lets it believe the ledger again. What nobody was told is no alarm: nobody sees it
before the standby has it (`committing`, and the first read of a connection in `postgresql`).
"""

from collections.abc import Callable

from fujie.model.errors import LedgerError


class HighWater:
    """The last change that is known to be committed. One for all connections of a process."""

    def __init__(self) -> None:
        self._seen = 0
        self._has_fallen = False
        self._tell: Callable[[], None] = lambda: None

    def when_fallen(self, tell: Callable[[], None]) -> None:
        """Have `tell` called once the ledger is found to have gone back, before anybody is refused for it."""
        self._tell = tell
        if self._has_fallen:
            tell()

    @property
    def seen(self) -> int:
        """The mark; take it before the counter is asked for, since other connections go on meanwhile."""
        return self._seen

    def reach(self, found: int, seen: int) -> None:
        """Take note of the counter `found`, asked for when the mark was `seen`.

        Raises:
            LedgerError: LEDGER_ROLLED_BACK when the ledger has, or ever had, less than was seen before.

        """
        if found < seen and not self._has_fallen:
            self._has_fallen = True
            self._tell()
        self._seen = max(self._seen, found)
        self.check()

    def check(self) -> None:
        """Raise LEDGER_ROLLED_BACK when the ledger ever had less than was seen before."""
        if self._has_fallen:
            raise LedgerError("the ledger lacks changes that it had", code="LEDGER_ROLLED_BACK")
