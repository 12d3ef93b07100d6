"""The one reader of time."""

import time
from datetime import UTC, datetime, timedelta

from fujie.adapters.clock import SystemClock


def test_now_is_aware_utc_and_the_systems_time() -> None:
    before = datetime.now(UTC)
    now = SystemClock().now()
    assert now.utcoffset() == timedelta(0)
    assert before <= now <= datetime.now(UTC)


def test_monotonic_is_the_systems_monotonic_clock() -> None:
    before = time.monotonic()
    assert before <= SystemClock().monotonic() <= time.monotonic()
