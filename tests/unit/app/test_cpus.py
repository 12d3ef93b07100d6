"""In processes of their own: a CPU that was given up may be beyond this one's reach."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "proxy"
CPUS = sorted(os.sched_getaffinity(0))
_KEPT = """
import json, os, sys, threading
from fujie.app.cpus import own_cpu
slot, workers, *allowed = map(int, sys.argv[1:])
os.sched_setaffinity(0, allowed)
own_cpu(slot, workers)
found = [sorted(os.sched_getaffinity(0))]
thread = threading.Thread(target=lambda: found.append(sorted(os.sched_getaffinity(0))))
thread.start()
thread.join()
print(json.dumps(found))
"""


def kept(slot: int, workers: int, allowed: list[int]) -> list[list[int]]:
    """Return where the first thread of a worker may run, and where one that it began."""
    command = [sys.executable, "-c", _KEPT, *map(str, (slot, workers, *allowed))]
    done = subprocess.run(
        command, capture_output=True, check=True, env={**os.environ, "PYTHONPATH": str(SOURCE)}
    )
    found: list[list[int]] = json.loads(done.stdout)
    return found


@pytest.mark.skipif(len(CPUS) < 2, reason="there is one CPU")
def test_as_many_workers_as_cpus_have_one_each_with_all_their_threads() -> None:
    assert [kept(slot, 2, CPUS[-2:]) for slot in (0, 1)] == [[[CPUS[-2]]] * 2, [[CPUS[-1]]] * 2]


@pytest.mark.parametrize("workers", [1, len(CPUS) + 1])
def test_where_their_numbers_differ_the_kernel_places_them(workers: int) -> None:
    assert kept(0, workers, CPUS) == [CPUS, CPUS]
