"""Settings of the whole suite."""

import gc
import os
import sys
import tempfile
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from support import scratch

# What a test writes waits for no disk. None takes the power away: a kill leaves what a file system has, in memory too.
if "TMPDIR" not in os.environ and (memory := scratch.memory()) is not None:
    os.environ["TMPDIR"] = tempfile.tempdir = str(memory)

# Containers often say that no bytecode is kept. The suite starts hundreds of processes, and each would compile our
# 360 modules anew, which is a quarter of the CPU until a server is ready.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# 20 of each by default: the suite takes 13 minutes on two cores, and may take 15; FUJIE_EXAMPLES=1000 make test looks harder.
# A deadline is a timed assertion, and so is the check of how long examples take to draw: on a busy machine they fail a test
# that found nothing. How many drawn examples are thrown away or too large is luck. What tests say themselves replaces all
# of it, so they say nothing of it.
settings.register_profile(
    "fujie",
    deadline=None,
    max_examples=int(os.environ.get("FUJIE_EXAMPLES", "20")),
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.filter_too_much,
        HealthCheck.data_too_large,
        HealthCheck.large_base_example,
        HealthCheck.function_scoped_fixture,  # each test with one makes it anew for every example, or may share it
    ],
)
settings.load_profile("fujie")


_LONG = ("tests/e2e", "tests/abuse", "tests/unit/policies", "tests/unit/policy")
"""What has tests of half a minute: begun first, so that at the end no process works while the others wait for it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """12,000 tests and what they import stay: the garbage collector would walk all of it again and again, for a seventh of
    the CPU of collecting them, and of running them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two processes a core: much of the suite's time is waiting for servers and their timers."""
    return 2 * (os.cpu_count() or 1)
