"""What stands out in how a principal asks: `usage.volume` and `usage.sequence`. Observations, not limits.

The numbers are for people who serve customers: twenty customers a day is no volume whoever you are, and who
looks at three times as many as on his own days has a reason or none. Twenty neighbours of ids that were asked
before, within an hour, is no chance even in a store of a few thousand customers.
"""

from collections.abc import Mapping
from datetime import date

from fujie.model.limit import Counts
from fujie.model.vocabulary import State

CALM_CUSTOMERS = 20
"""Distinct customers of a day that never stand out."""

TIMES_USUAL = 3
"""How many times the mean of his own active days a principal may look at."""

DAYS_OF_HISTORY = 30
"""Days before today whose mean is taken; days without any customer are left out of it."""

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


def states(customers: Counts, hits: int, today: date) -> Mapping[str, State]:
    """Return both facts by path."""
    return {"usage.volume": volume(customers, today), "usage.sequence": sequence(hits)}
