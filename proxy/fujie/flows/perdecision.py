"""What is made of a decision alone, made once: a decider remembers decisions, and one of them applies to many."""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from fujie.model.decision import Decision
from fujie.policy.bundle import Bundle

T = TypeVar("T")

_MOST: Final = 4_096
"""Decisions that are kept here; half of what a decider keeps."""


class PerDecision(Generic[T]):
    """What `make` makes of a decision and of the bundle that made it; to hash a decision would cost more than to make it."""

    def __init__(self, make: Callable[[Decision, Bundle], T]) -> None:
        self._make = make
        self._made: dict[int, tuple[Decision, Bundle, T]] = {}

    def of(self, decision: Decision, bundle: Bundle) -> T:
        """Return it; made anew for a decision that is another object, however equal."""
        made = self._made.get(id(decision))  # it is kept beside, so that nothing else gets its id
        if made is not None and made[1] is bundle:
            return made[2]
        if len(self._made) >= _MOST:
            self._made.clear()
        of_it = self._make(decision, bundle)
        self._made[id(decision)] = (decision, bundle, of_it)
        return of_it
