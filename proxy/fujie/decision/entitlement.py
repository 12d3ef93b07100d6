"""By which grants rows leave, so that who opens them again can be held against who exported them.

Where a grant names customers by a condition (`customer.owner_department == principal.department`), which rows it opens is known
only row by row. An opened file has no rows to decide on any more: there such a grant counts only for who holds every grant by
which the rows may have left, with the same meaning for him.
"""

import hashlib
from dataclasses import replace

from fujie.decision.plan import Plan
from fujie.model.facts import CUSTOMER_ROOTS, ROWS, Facts
from fujie.policy.bundle import Grant

_OF_THE_ASKER = frozenset({"principal", "request"})


def entitlement(plan: Plan, asker: Facts) -> frozenset[str]:
    """Return a digest of each grant of a plan: of its name, its condition, and what that reads of the asker and the request."""
    return frozenset(_digest(grant, asker) for grant in plan.grants)


def whoever_they_are(plan: Plan) -> Plan:
    """Return the plan without the grants whose condition reads the customer: what is left opens all rows, or none."""
    return replace(plan, grants=tuple(grant for grant in plan.grants if not _is_of_customers(grant)))


def _is_of_customers(grant: Grant) -> bool:
    reads = grant.condition.reads if grant.condition else ()
    return any(path.partition(".")[0] in CUSTOMER_ROOTS for path in reads)


def _digest(grant: Grant, asker: Facts) -> str:
    rule = grant.condition
    reads = sorted(
        path
        for path in (rule.reads if rule else ())
        if path.partition(".")[0] in _OF_THE_ASKER and path != ROWS
    )
    said = (grant.name, rule.expanded if rule else "", [(path, asker.get(path)) for path in reads])
    return hashlib.sha256(repr(said).encode()).hexdigest()[:32]
