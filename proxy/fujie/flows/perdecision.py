"""What is made of a decision alone, made once: a decider remembers decisions, and one of them applies to many."""

from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import ref

from fujie.model.decision import Decision
from fujie.policy.bundle import Bundle

T = TypeVar("T")


class PerDecision(Generic[T]):
    """What `make` makes of a decision and of the bundle that made it; to hash a decision would cost more than to make it.

    It is forgotten with the decision: what a decider does not remember, since somebody invented it, is not kept here either.
    """

    def __init__(self, make: Callable[[Decision, Bundle], T]) -> None:
        self._make = make
        self._made: dict[int, tuple[ref[Decision], Bundle, T]] = {}

    def of(self, decision: Decision, bundle: Bundle) -> T:
        """Return it; made anew for a decision that is another object, however equal."""
        key, made = id(decision), self._made
        known = made.get(key)
        if known is not None and known[1] is bundle and known[0]() is decision:
            return known[2]
        of_it = self._make(decision, bundle)
        made[key] = (ref(decision, lambda _: made.pop(key, None)), bundle, of_it)
        return of_it

    def __len__(self) -> int:
        return len(self._made)
