"""How the threads of a worker share CPUs: each may finish what it is at, and all are on one CPU where there is one for each worker.

A worker's event loop, gRPC's pollers and the log wake each other ten times a call, mostly one after the other: the interpreter's
lock lets one run at a time. Who is woken takes the CPU from who woke it, finds the lock taken, and gives it back. On two
CPUs each waking crosses from one to the other, and a look-up costs half as much again.
"""

import os
from contextlib import suppress


def let_finish() -> None:
    """Have the calling thread, and the threads that it will begin, take the CPU from nobody when they are woken.

    SCHED_BATCH (Linux, sched(7)) needs no privilege and leaves the share of the CPU as it is. A look-up under load takes 4
    thread switches instead of 23. Where a sandbox forbids it, all is as without it.
    """
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def own_cpu(slot: int, workers: int) -> None:
    """Keep the calling thread, and the threads that it will begin, on the CPU that falls to this slot.

    Only where there are several workers and as many CPUs as that for the process (its cpuset): else another process, which we
    do not know, may have chosen the same one, or a CPU would be left idle.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if 1 < workers == len(allowed):
        os.sched_setaffinity(0, {allowed[slot]})
