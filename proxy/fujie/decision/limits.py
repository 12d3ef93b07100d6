"""Which limits are used up, and when that alone refuses.

A refusal by a limit must tell nothing about the customer: else who has used up a limit could go on
asking, for free, whose customer somebody is or who consented. So it is one reason, always the same
bytes, and it is given to as many customers alike as the policy allows: a grant whose condition reads
the customer counts as one that might match, a guard whose conditions do as one that might apply.
"""

from collections.abc import Sequence
from itertools import islice

from fujie.decision.plan import Plan, charges_of, is_late
from fujie.model.facts import EXHAUSTED, ROWS, Facts, Unknown
from fujie.model.limit import Charge, Limit
from fujie.model.vocabulary import Action
from fujie.policy.bundle import Grant, Guard

_NONE: frozenset[str] = frozenset()


def used_up(plan: Plan, facts: Facts, *, so_far: bool = False) -> frozenset[str]:
    """Return the names (`counted_as`) of the plan's grants and guards a limit of which leaves no room.

    When the facts do not tell, every counter counts as used up; `so_far`, none: for the first check of
    a request, which comes before they can tell.
    """
    if not plan.has_limits:
        return _NONE
    told, rows = facts.get(EXHAUSTED), facts.get(ROWS)
    names = {charge.rule for charge in plan.limits}
    if isinstance(told, tuple):
        names.intersection_update(told)
    elif so_far and isinstance(told, Unknown):
        names.clear()
    limitable: tuple[Grant | Guard, ...] = (*plan.grants, *plan.guards)
    for rule in limitable:
        at_most = rule.limits.get(Limit.ROWS_PER_REQUEST)
        if at_most is not None and not (type(rows) is int and rows <= at_most):
            names.add(rule.counted_as)
    return frozenset(names)


def closed_to_all(
    plan: Plan, limited: frozenset[str], results: Sequence[object], out: frozenset[str]
) -> str:
    """Return the code that refuses whoever the customer is, or empty.

    `results` are what `plan.all_rules` came to; those that read the customer are not looked at. `out` names the
    grants out of validity.
    """
    possible = _possible(plan, results, out)
    if not possible:
        return "NO_GRANT"
    if all(grant.counted_as in limited for grant in possible) or _touches(
        plan, limited, results, surely=True
    ):
        return "LIMIT_EXCEEDED"
    return ""


def without_grant(
    plan: Plan, limited: frozenset[str], results: Sequence[object], out: frozenset[str]
) -> str:
    """Return the code for a customer that no grant opens: LIMIT_EXCEEDED as soon as a limit may refuse another
    customer that one would open."""
    possible = _possible(plan, results, out) if limited else []
    touched = any(grant.counted_as in limited for grant in possible)
    if possible and (touched or _touches(plan, limited, results, surely=False)):
        return "LIMIT_EXCEEDED"
    return "NO_GRANT"


def taken(action: Action, grants: Sequence[Grant], guards: Sequence[Guard]) -> tuple[Charge, ...]:
    """Return what a release under these grants and guards takes; the look-up itself was counted before."""
    charges = charges_of((*grants, *guards), action)
    return tuple(charge for charge in charges if charge.limit is not Limit.LOOKUPS_PER_MINUTE)


def _possible(plan: Plan, results: Sequence[object], out: frozenset[str]) -> list[Grant]:
    """Return the grants that are open to some customer."""
    verdicts = iter(results)
    found = [
        grant
        for grant in plan.grants
        if grant.condition is None or (next(verdicts) is True) or is_late(grant.condition.reads)
    ]
    return [grant for grant in found if grant.name not in out] if out else found


def _touches(plan: Plan, limited: frozenset[str], results: Sequence[object], *, surely: bool) -> bool:
    """Tell whether a guard without room applies to every customer (`surely`), or to some."""
    verdicts = islice(results, len(plan.conditions.rules), None)
    for guard in plan.guards:
        of_guard = list(islice(verdicts, len(guard.conditions) + len(guard.validations)))
        if guard.counted_as not in limited:
            continue
        conditions = [
            (is_late(rule.reads), verdict)
            for (_, rule), verdict in zip(guard.conditions, of_guard, strict=False)
        ]
        if any(verdict is False and not late for late, verdict in conditions):
            continue
        if not surely or not any(late for late, _ in conditions):
            return True
    return False
