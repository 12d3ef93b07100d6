"""What can be decided of sending, or of an export, before any customer is known: whether it may start at all.

Each customer is decided on when the turn comes. So here a condition of a grant that reads the customer may still be
true; of guards, what reads the customer is left out, and what only defers. For sending every grant of the purpose
counts, whatever stores and keys it names, and limits that count use are taken when something is sent; only those per
request hold here. An export names its store, and knows what of its limits is used up.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

from fujie.decision.decide import matching_grants
from fujie.decision.plan import Plan, charges_of, rule_set, rules_of
from fujie.model.facts import (
    AGREEMENT,
    APPROVED,
    BREAK_GLASS,
    CUSTOMER_ROOTS,
    EXHAUSTED,
    EXPIRED,
    FREQUENT,
    ROWS,
    Facts,
    FactValue,
)
from fujie.model.limit import Limit
from fujie.model.request import Request
from fujie.model.vocabulary import Action, State
from fujie.policy.bundle import Bundle, Grant, Guard, Rule

_ALWAYS_READ = frozenset({"principal.employment", "principal.roles"})
_PLANS = 64
"""Plans that a process keeps: a few purposes and sets of roles send or export. Each costs about 1 ms."""

_LATE: Mapping[Action, frozenset[str]] = MappingProxyType(
    {Action.SEND: CUSTOMER_ROOTS | {"usage"}, Action.EXPORT: CUSTOMER_ROOTS}
)
"""Roots that are not known yet."""

_STEADY = frozenset({"principal", "request", "customer"})
"""Roots that are the same when something is sent, but for the number of rows."""

NOT_YET: Mapping[str, FactValue] = MappingProxyType({EXHAUSTED: (), FREQUENT: ()})
"""What counts as used up before anything is sent: nothing."""

ANY_PROVIDER: Mapping[str, FactValue] = MappingProxyType({**NOT_YET, AGREEMENT: State.NOT_NEEDED})
"""The same where it does not matter yet by whom it will be sent."""


def admission(plan: Plan, request: Request, roles: Iterable[str]) -> Plan:
    """Return the plan of a campaign, or of an export, for the purpose of `request` by one of `roles`; `plan` is the one of
    the request."""
    bundle = plan.bundle
    known = frozenset[str]().union(*(grant.roles for grant in bundle.grants))
    purpose = request.purpose if request.purpose in bundle.purposes else ""
    return _admission(plan, request.action, purpose, known.intersection(roles))


def grants_alone(plan: Plan) -> Plan:
    """Return the plan without its guards."""
    return replace(plan, guards=(), all_rules=plan.conditions, approvals=())


def by_attributes(plan: Plan) -> Plan:
    """Return the plan whose grants match where those of `plan` may once something is sent: what is known of asker and
    request now, and attributes of the customer, decide; a condition that reads anything else may be true by then."""
    grants = tuple(_if_steady(grant) for grant in plan.grants)
    conditions = rule_set(plan.bundle.engine, tuple(each.condition for each in grants if each.condition))
    attributes = (path.partition(".") for path in conditions.reads)
    return replace(
        grants_alone(plan),
        grants=grants,
        conditions=conditions,
        all_rules=conditions,
        customer_attributes=frozenset(name for root, _, name in attributes if root == "customer"),
    )


def is_granted(plan: Plan, facts: Facts) -> bool:
    """Tell whether any grant of an admission opens sending for its purpose now."""
    return bool(matching_grants(plan, Facts({**facts.values, **ANY_PROVIDER})))


@lru_cache(maxsize=_PLANS)
def _admission(plan: Plan, action: Action, purpose: str, roles: frozenset[str]) -> Plan:
    bundle, late, is_send = plan.bundle, _LATE[action], action is Action.SEND
    of_scope: Iterable[Guard] = plan.guards
    if is_send:
        of_scope = [each for each in bundle.guards if each.match.covers(action, purpose, "", "")]
    opening = _grants(bundle, purpose, roles) if is_send else plan.grants
    grants = tuple(_maybe(grant, late) for grant in opening)
    guards = tuple(
        _early(guard, late)
        for guard in of_scope
        if not any(_is_late(rule, late) for _, rule in guard.conditions)
    )
    conditions = rule_set(bundle.engine, tuple(grant.condition for grant in grants if grant.condition))
    of_guards = tuple(rule for guard in guards for rule in rules_of(guard))
    all_rules = rule_set(bundle.engine, (*conditions.rules, *of_guards)) if of_guards else conditions
    approvals = tuple(
        validation.approval for guard in guards for validation in guard.validations if validation.approval
    )
    limitable: tuple[Grant | Guard, ...] = (*grants, *guards)
    counts_rows = any(Limit.ROWS_PER_REQUEST in rule.limits for rule in limitable)
    limits = () if is_send else charges_of(limitable, action)
    is_breakable = any(each.break_glass for each in approvals)
    by_itself = (
        (ROWS, counts_rows), (EXPIRED, plan.timed), (APPROVED, approvals), (BREAK_GLASS, is_breakable),
        (AGREEMENT, is_send), (EXHAUSTED, limits),
    )  # fmt: skip
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
        limits=limits,
        has_limits=bool(limits) or counts_rows,
        approvals=approvals,
    )


def _grants(bundle: Bundle, purpose: str, roles: frozenset[str]) -> Iterable[Grant]:
    for grant in bundle.grants:
        is_for_it = not grant.match.purposes or purpose in grant.match.purposes
        if is_for_it and Action.SEND in grant.match.actions and grant.roles & roles:
            yield grant


def _maybe(grant: Grant, late: frozenset[str]) -> Grant:
    is_open = grant.condition is not None and _is_late(grant.condition, late)
    return replace(grant, condition=None) if is_open else grant


def _if_steady(grant: Grant) -> Grant:
    steady = grant.condition is not None and all(
        path.partition(".")[0] in _STEADY and path != ROWS for path in grant.condition.reads
    )
    return grant if steady else replace(grant, condition=None)


def _early(guard: Guard, late: frozenset[str]) -> Guard:
    early = tuple(each for each in guard.validations if not (each.defers or _is_late(each.rule, late)))
    return replace(guard, validations=early)


def _is_late(rule: Rule, late: frozenset[str]) -> bool:
    return any(path.partition(".")[0] in late for path in rule.reads)
