"""Which time-bound grants are out of their validity: a fact, since a decision knows no clock.

Who has nothing but a grant that is over, or has not begun, is like somebody without one.
"""

from collections.abc import Iterable
from datetime import datetime

from fujie.decision.plan import Plan
from fujie.model.facts import EXPIRED, Facts
from fujie.model.vocabulary import Action
from fujie.policy.bundle import Bundle

_NONE: frozenset[str] = frozenset()


def expired_at(bundle: Bundle, action: Action, roles: Iterable[str], now: datetime) -> tuple[str, ...]:
    """Return the value of the fact `EXPIRED`: names of the time-bound grants that would open `action` to one of
    `roles` if `now` lay in their validity. Sorted; others are left out, so that entries stay small."""
    held = frozenset(roles)
    return tuple(
        grant.name
        for grant in bundle.timed_grants
        if action in grant.match.actions and not grant.is_valid(now) and grant.roles & held
    )


def out_of_validity(plan: Plan, facts: Facts) -> frozenset[str]:
    """Return the names of the plan's time-bound grants that are out of validity: all, when the facts do not tell."""
    if not plan.timed:
        return _NONE
    told = facts.get(EXPIRED)
    return plan.timed.intersection(told) if isinstance(told, tuple) else plan.timed


def is_reachable(plan: Plan, facts: Facts) -> bool:
    """Tell whether any grant that is valid opens the action to the roles of the plan, whatever else it asks for."""
    return plan.reachable and (plan.is_lasting or out_of_validity(plan, facts) != plan.timed)
