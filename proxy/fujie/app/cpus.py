"""Which CPU a worker runs on: one of its own, where there is exactly one for each.

A worker's event loop, gRPC's pollers and the log wake each other ten times a call, mostly one after the other: the interpreter's
lock lets one run at a time. On two CPUs each waking crosses from one to the other, and a look-up costs half as much again.
"""

import os


def own_cpu(slot: int, workers: int) -> None:
    """Keep the calling thread, and the threads that it will begin, on the CPU that falls to this slot.

    Only where there are several workers and as many CPUs as that for the process (its cpuset): else another process, which we
    do not know, may have chosen the same one, or a CPU would be left idle.
    """
    allowed = sorted(os.sched_getaffinity(0))
    if 1 < workers == len(allowed):
        os.sched_setaffinity(0, {allowed[slot]})
