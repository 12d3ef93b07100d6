"""Whether the event loop has CPU to spare."""

from collections.abc import Callable
from typing import Final

LOOK_S: Final = 0.02
"""How often the use of CPU is looked at."""
LOOK_AGAIN_S: Final = 0.2
"""How long it is taken as unused where what was done about it did not help."""
SATURATED: Final = 0.6
"""The share of time from which on the loop has none to spare: it runs, or waits for a core that others have, so that a
crowded host is not taken for an idle process."""


class Saturation:
    """Looks at the use of CPU of the thread that asks, and at few moments.

    `clock` gives seconds on a monotonic scale, `cpu` those for which the calling thread had or wanted a CPU.
    """

    def __init__(self, clock: Callable[[], float], cpu: Callable[[], float]) -> None:
        self._clock, self._cpu = clock, cpu
        self._looked, self._used, self._look_at = clock(), cpu(), 0.0
        self._is_reached = False

    def is_reached(self) -> bool:
        """Tell whether the calling thread used all but a part of the time since the last look."""
        now = self._clock()
        if now >= self._look_at:
            used = self._cpu()
            self._is_reached = used - self._used >= SATURATED * (now - self._looked)
            self._looked, self._used, self._look_at = now, used, now + LOOK_S
        return self._is_reached

    def doubt(self) -> None:
        """Take the loop for one that has CPU to spare, for a while: to wait for others brought none."""
        self._is_reached, self._look_at = False, self._clock() + LOOK_AGAIN_S
