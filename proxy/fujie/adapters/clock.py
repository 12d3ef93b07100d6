"""The one reader of time: everything else takes `now` or a `Clock` as an argument."""

import time
from datetime import UTC, datetime


class SystemClock:
    """The clocks of the operating system, as `ports.Clock`."""

    def now(self) -> datetime:
        """Return the time in UTC, aware, to the microsecond. It may step back when the host is corrected."""
        return datetime.now(UTC)

    monotonic = staticmethod(time.monotonic)
    """Seconds that only differences have a meaning of; never steps back. A look-up asks 16 times."""

    def cpu(self) -> float:
        """Return the seconds for which the calling thread had, or wanted, a CPU.

        Where the kernel does not tell how long it waited (no schedstats), only what it had: a thread that
        others crowd out then looks idle.
        """
        try:
            with open("/proc/thread-self/schedstat", "rb", buffering=0) as file:
                ran, waited, _ = file.read().split()
            return (int(ran) + int(waited)) / 1e9
        except (OSError, ValueError):
            return time.thread_time()
