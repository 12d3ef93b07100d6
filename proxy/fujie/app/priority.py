"""Which thread of a worker has the CPU first: its event loop's.

Every other thread (gRPC core's pollers, the log's, the ledger's) waits for something, is woken for a few µs of work, and
by default takes the CPU at once from the loop that woke it: ten times a look-up where both share a core, with the caches
behind it, and for Python's threads with the interpreter's lock to be fought for. Behind the loop they run when it waits, and
find more to do each time: several events, a larger group for one sync. A CPU that is idle takes them at once, as before.
"""

import os
from contextlib import suppress
from threading import get_native_id
from typing import Final

BEHIND: Final = 10
"""By how much nicer they are (`nice(1)`): a tenth of the loop's weight while both want the same CPU. All of them together need
a quarter of what the loop needs, and it waits for them, so none starves; 19, a seventieth, would be too little beside
other busy processes of a host without a cgroup for each."""


def loop_first() -> None:
    """Put all threads that this process has by now behind the calling one, and with them those that they will begin."""
    mine = os.getpriority(os.PRIO_PROCESS, 0)
    for thread in os.listdir("/proc/self/task"):
        if int(thread) != get_native_id():
            with suppress(OSError):  # it has just ended; to become nicer is refused to nobody
                os.setpriority(os.PRIO_PROCESS, int(thread), mine + BEHIND)
