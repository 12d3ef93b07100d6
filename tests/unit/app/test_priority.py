"""The event loop has the CPU before every other thread of its worker.

In a process of its own: who became nicer can not go back.
"""

import subprocess
import sys

from fujie.app.priority import BEHIND

_SCRIPT = """
import os, threading
from fujie.app.priority import loop_first

def nice(thread=0):
    return os.getpriority(os.PRIO_PROCESS, thread)

class Waiting(threading.Thread):
    def __init__(self):
        super().__init__(daemon=True)
        self.go, self.child = threading.Event(), None
        self.start()

    def run(self):
        self.go.wait()
        self.child = Waiting()

os.nice(int(os.sys.argv[1]))
threads = [Waiting(), Waiting()]
loop_first()
print(nice(), *(nice(each.native_id) for each in threads))
threads[0].go.set()
threads[0].join()
print(nice(threads[0].child.native_id), nice(Waiting().native_id))
"""


def nices(start: int) -> list[int]:
    """Return how nice are: the loop's thread, two that were there, one that such a thread began, one that the loop began."""
    command = [sys.executable, "-c", _SCRIPT, str(start)]
    return [int(each) for each in subprocess.run(command, capture_output=True, check=True).stdout.split()]


def test_every_thread_but_the_loops_waits_behind_it_and_so_do_those_that_it_begins() -> None:
    assert nices(0) == [0, BEHIND, BEHIND, BEHIND, 0]


def test_a_process_that_is_nice_already_keeps_the_order() -> None:
    assert nices(3) == [3, 3 + BEHIND, 3 + BEHIND, 3 + BEHIND, 3]


def test_nicer_than_the_kernel_knows_is_the_nicest() -> None:
    assert nices(15) == [15, 19, 19, 19, 15]
