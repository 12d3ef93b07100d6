"""The one reader of time: everything else takes `now` or a `Clock` as an argument."""

import time
from datetime import UTC, datetime


class SystemClock:
    """The clocks of the operating system, as `ports.Clock`."""

    def now(self) -> datetime:
        """Return the time in UTC, aware, to the microsecond. It may step back when the host is corrected."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that only differences have a meaning of; never steps back."""
        return time.monotonic()

    def cpu(self) -> float:
        """Return the seconds of CPU that all threads of the process have used."""
        return time.process_time()
