"""Settings of the whole suite."""

import os

import pytest
from hypothesis import settings

# 25 of each by default: the suite should take 15 minutes on two cores, and takes 21; FUJIE_EXAMPLES=1000 make test looks harder.
# A deadline is a timed assertion: on a busy machine it fails a test that found nothing.
settings.register_profile("fujie", deadline=None, max_examples=int(os.environ.get("FUJIE_EXAMPLES", "25")))
settings.load_profile("fujie")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Two processes a core: a third of the suite's time is waiting for servers to start and for disks."""
    return 2 * (os.cpu_count() or 1)
