"""What stands out, and what does not."""

from datetime import date

import pytest

from fujie.decision.usage import DAYS_OF_HISTORY, hour, peers, sequence, volume
from fujie.model.usage import Habits
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


def team(others: int, each: int, own: int) -> Habits:
    """Return the habits of somebody who sees `own` today, of whose department `others` saw `each` yesterday."""
    return Habits({NOW: own, NOW - 1: 3}, 0, {}, {NOW - 1: others * each + 3}, {NOW - 1: others + 1})


@pytest.mark.parametrize(
    ("habits", "expected"),
    [
        (team(5, 10, 30), State.WITHIN),
        (team(5, 10, 31), State.EXCEEDED),
        (team(5, 1, 20), State.WITHIN),  # twenty never stand out
        (team(4, 1, 9_000), State.WITHIN),  # too few others to be held against
        (Habits({NOW: 9_000}, 0), State.WITHIN),
    ],
)
def test_who_sees_three_times_what_others_see_stands_out(habits: Habits, expected: State) -> None:
    assert peers(habits, TODAY) is expected


def test_nobodys_own_volume_hides_him_among_his_peers() -> None:
    """He sees a hundred times as many every day; the mean is that of the others."""
    days = range(NOW - 10, NOW)
    habits = Habits(
        dict.fromkeys((*days, NOW), 5_000), 0, {}, dict.fromkeys(days, 5_020), dict.fromkeys(days, 3)
    )
    assert peers(habits, TODAY) is State.EXCEEDED


@pytest.mark.parametrize(
    ("hours", "now", "expected"),
    [
        ({9: NOW - 1}, 9, State.WITHIN),
        ({9: NOW - 1}, 10, State.WITHIN),
        ({9: NOW - 1}, 8, State.WITHIN),
        ({9: NOW - 1}, 11, State.EXCEEDED),
        ({23: NOW - 1}, 0, State.WITHIN),  # midnight is no edge
        ({0: NOW - 1}, 23, State.WITHIN),
        ({3: NOW}, 3, State.EXCEEDED),  # today makes nothing usual
        ({3: NOW, 27: NOW - 2}, 3, State.WITHIN),
        ({3: NOW - DAYS_OF_HISTORY - 1}, 3, State.EXCEEDED),
    ],
)
def test_an_hour_is_usual_when_an_earlier_day_knew_it(
    hours: dict[int, int], now: int, expected: State
) -> None:
    active = {NOW - n: 1 for n in range(1, 6)}
    assert hour(Habits(active, 0, hours), TODAY, now) is expected
    assert hour(Habits(dict(list(active.items())[:4]), 0, hours), TODAY, now) is State.WITHIN
