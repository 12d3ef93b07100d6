"""What can be decided of sending before any recipient is known: whether a campaign may be drafted, and started.

Whom it reaches is decided on for each recipient when it is sent. So here every grant of the purpose counts, whatever
stores and keys it names, and a condition of it that reads the recipient may still be true; of guards, what reads the
recipient is left out, and what only defers. Limits that count use are taken when something is sent; only those per
request hold here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

from fujie.decision.decide import matching_grants
from fujie.decision.plan import Plan, rule_set, rules_of
from fujie.model.facts import (
    AGREEMENT,
    APPROVED,
    CUSTOMER_ROOTS,
    EXHAUSTED,
    EXPIRED,
    FREQUENT,
    ROWS,
    Facts,
    FactValue,
)
from fujie.model.limit import Limit
from fujie.model.vocabulary import Action, State
from fujie.policy.bundle import Bundle, Grant, Guard, Rule

_ALWAYS_READ = frozenset({AGREEMENT, "principal.employment", "principal.roles"})
_PLANS = 64
"""Plans that a process keeps: a few purposes and sets of roles send. Each costs about 1 ms."""

NOT_YET: Mapping[str, FactValue] = MappingProxyType({EXHAUSTED: (), FREQUENT: ()})
"""What counts as used up before anything is sent: nothing."""

ANY_PROVIDER: Mapping[str, FactValue] = MappingProxyType({**NOT_YET, AGREEMENT: State.NOT_NEEDED})
"""The same where it does not matter yet by whom it will be sent."""


def admission(plan: Plan, purpose: str, roles: Iterable[str]) -> Plan:
    """Return the plan of a campaign for `purpose` by one of `roles`; `plan` is the one of the request."""
    bundle = plan.bundle
    known = frozenset[str]().union(*(grant.roles for grant in bundle.grants))
    return _admission(plan, purpose if purpose in bundle.purposes else "", known.intersection(roles))


def grants_alone(plan: Plan) -> Plan:
    """Return the plan without its guards."""
    return replace(plan, guards=(), all_rules=plan.conditions, approvals=())


def is_granted(plan: Plan, facts: Facts) -> bool:
    """Tell whether any grant of an admission opens sending for its purpose now."""
    return bool(matching_grants(plan, Facts({**facts.values, **ANY_PROVIDER})))


@lru_cache(maxsize=_PLANS)
def _admission(plan: Plan, purpose: str, roles: frozenset[str]) -> Plan:
    bundle = plan.bundle
    grants = tuple(_maybe(grant) for grant in _grants(bundle, purpose, roles))
    guards = tuple(
        _early(guard)
        for guard in bundle.guards
        if guard.match.covers(Action.SEND, purpose, "", "")
        and not any(_is_late(rule) for _, rule in guard.conditions)
    )
    conditions = rule_set(bundle.engine, tuple(grant.condition for grant in grants if grant.condition))
    of_guards = tuple(rule for guard in guards for rule in rules_of(guard))
    all_rules = rule_set(bundle.engine, (*conditions.rules, *of_guards)) if of_guards else conditions
    approvals = tuple(
        validation.approval for guard in guards for validation in guard.validations if validation.approval
    )
    limitable: tuple[Grant | Guard, ...] = (*grants, *guards)
    counts_rows = any(Limit.ROWS_PER_REQUEST in rule.limits for rule in limitable)
    by_itself = ((ROWS, counts_rows), (EXPIRED, plan.timed), (APPROVED, approvals))
    return replace(
        plan,
        grants=grants,
        guards=guards,
        conditions=conditions,
        all_rules=all_rules,
        reads=tuple(sorted(_ALWAYS_READ.union(all_rules.reads, (path for path, on in by_itself if on)))),
        customer_attributes=frozenset(),
        needs_customer=False,
        needs_suppressions=False,
        limits=(),
        has_limits=counts_rows,
        approvals=approvals,
    )


def _grants(bundle: Bundle, purpose: str, roles: frozenset[str]) -> Iterable[Grant]:
    for grant in bundle.grants:
        is_for_it = not grant.match.purposes or purpose in grant.match.purposes
        if is_for_it and Action.SEND in grant.match.actions and grant.roles & roles:
            yield grant


def _maybe(grant: Grant) -> Grant:
    late = grant.condition is not None and _is_late(grant.condition)
    return replace(grant, condition=None) if late else grant


def _early(guard: Guard) -> Guard:
    early = tuple(each for each in guard.validations if not (each.defers or _is_late(each.rule)))
    return replace(guard, validations=early)


def _is_late(rule: Rule) -> bool:
    return any(path.partition(".")[0] in CUSTOMER_ROOTS | {"usage"} for path in rule.reads)
