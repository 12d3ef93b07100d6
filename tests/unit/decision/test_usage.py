"""What stands out, and what does not."""

from datetime import date

import pytest

from fujie.decision.usage import sequence, volume
from fujie.model.vocabulary import State

TODAY = date(2026, 3, 31)
NOW = TODAY.toordinal()
MONTH = range(NOW - 30, NOW)


@pytest.mark.parametrize(
    ("before", "today", "expected"),
    [
        ({}, 0, State.WITHIN),
        ({}, 10_000, State.WITHIN),  # somebody new has no habit yet; a limit is for that
        (dict.fromkeys(MONTH, 1), 20, State.WITHIN),
        (dict.fromkeys(MONTH, 1), 21, State.EXCEEDED),
        (dict.fromkeys(MONTH, 50), 150, State.WITHIN),
        (dict.fromkeys(MONTH, 50), 151, State.EXCEEDED),
        ({NOW - 3: 50}, 150, State.WITHIN),  # the days without any are left out
        ({NOW - 3: 50, NOW - 2: 0}, 150, State.WITHIN),
        ({NOW - 31: 500, NOW - 3: 10}, 31, State.EXCEEDED),  # a month is remembered, not more
        ({NOW + 1: 500, NOW - 3: 10}, 31, State.EXCEEDED),  # nor what a wrong clock counted
    ],
)
def test_the_volume_of_a_day_is_held_against_the_own_days(
    before: dict[int, int], today: int, expected: State
) -> None:
    assert volume({**before, NOW: today}, TODAY) is expected


def test_twenty_neighbours_are_a_sequence() -> None:
    assert [sequence(hits) for hits in (0, 19, 20, 500)] == [State.WITHIN] * 2 + [State.EXCEEDED] * 2
