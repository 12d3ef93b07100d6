"""What stands out in how a principal asks: `usage.volume`, `usage.peers`, `usage.hour`, `usage.sequence`. Observations, not limits.

The numbers are for people who serve customers: twenty customers a day is no volume whoever you are, and who
looks at three times as many as on his own days has a reason or none. Twenty neighbours of ids that were asked
before, within an hour, is no chance even in a store of a few thousand customers.
"""

from collections.abc import Mapping
from datetime import date

from fujie.model.limit import Counts
from fujie.model.usage import Habits
from fujie.model.vocabulary import State

CALM_CUSTOMERS = 20
"""Distinct customers of a day that never stand out."""

TIMES_USUAL = 3
"""How many times the mean of his own active days a principal may look at."""

DAYS_OF_HISTORY = 30
"""Days before today whose mean is taken; days without any customer are left out of it."""

FEWEST_DAYS = 5
"""Days on which somebody, or a department, must have asked before anything is unusual for it."""

CALM_HITS = 20
"""Neighbours of ids asked before, within an hour, from which on it is a sequence."""


def volume(customers: Counts, today: date) -> State:
    """Return whether today's distinct customers exceed the principal's own habit; without history they do not.

    `customers` maps a day, as its ordinal, to how many distinct customers were shown to the principal on it.
    """
    now = today.toordinal()
    before = [count for day, count in customers.items() if now - DAYS_OF_HISTORY <= day < now and count > 0]
    usual = sum(before) / len(before) if before else float("inf")
    return (
        State.EXCEEDED if customers.get(now, 0) > max(CALM_CUSTOMERS, TIMES_USUAL * usual) else State.WITHIN
    )


def sequence(hits: int) -> State:
    """Return whether so many neighbours within the hour are a sequence."""
    return State.EXCEEDED if hits >= CALM_HITS else State.WITHIN


def peers(habits: Habits, today: date) -> State:
    """Return whether today's customers exceed what others of the department see on a day; without others they do not."""
    now = today.toordinal()
    days = [day for day in habits.people if now - DAYS_OF_HISTORY <= day < now]
    own = [day for day in days if habits.customers.get(day, 0)]
    others = sum(habits.people[day] for day in days) - len(own)
    if others < FEWEST_DAYS:
        return State.WITHIN
    shown = sum(habits.of_department.get(day, 0) - habits.customers.get(day, 0) for day in days)
    is_much = habits.customers.get(now, 0) > max(CALM_CUSTOMERS, TIMES_USUAL * shown / others)
    return State.EXCEEDED if is_much else State.WITHIN


def hour(habits: Habits, today: date, now: int) -> State:
    """Return whether nobody would expect the principal in the hour `now`: on no day before today he asked in it or beside it.

    Hours of a night shift count like any other; somebody who has asked on fewer than `FEWEST_DAYS` has no habit yet.
    """
    first, last = today.toordinal() - DAYS_OF_HISTORY, today.toordinal()
    if sum(first <= day < last for day, count in habits.customers.items() if count) < FEWEST_DAYS:
        return State.WITHIN
    beside = [(now + step) % 24 + before for step in (-1, 0, 1) for before in (0, 24)]
    is_usual = any(first <= habits.hours.get(slot, 0) < last for slot in beside)
    return State.WITHIN if is_usual else State.EXCEEDED


def states(habits: Habits, today: date, now: int) -> Mapping[str, State]:
    """Return every fact by path; `now` is the hour of the day."""
    return {
        "usage.volume": volume(habits.customers, today),
        "usage.peers": peers(habits, today),
        "usage.hour": hour(habits, today, now),
        "usage.sequence": sequence(habits.hits),
    }
