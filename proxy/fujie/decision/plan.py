"""What of a bundle can matter for one scope: computed once per scope, so that 10,000 policies cost like 10.

A scope is action, purpose, store, key kind and roles. Everything else about a request is facts.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from fujie.model.approval import Requirement
from fujie.model.facts import (
    AGREEMENT,
    APPROVED,
    BREAK_GLASS,
    EXHAUSTED,
    EXPIRED,
    FREQUENT,
    LATE_ROOTS,
    ROWS,
)
from fujie.model.limit import Charge, Limit
from fujie.model.request import Request
from fujie.model.vocabulary import Action, KeyKind
from fujie.policy.bundle import Bundle, Grant, Guard, Rule
from fujie.policy.cel import Engine, Program

_KEY_KINDS = frozenset(KeyKind)
_ALWAYS_READ = frozenset({"principal.employment", "principal.roles"})
_MAX_PLANS = 4_096
"""Scopes that a process keeps. Roles x purposes x stores of a real bundle are hundreds."""
_CHUNK = 50_000
"""Code points of one program; the engine takes 100,000 and counts one budget of iterations a program."""


@dataclass(frozen=True, slots=True)
class RuleSet:
    """Rules that are evaluated together: compiled into `programs`, reading the fact paths `reads`."""

    rules: tuple[Rule, ...]
    programs: tuple[Program, ...]
    reads: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Grants and guards that can match in one scope, and the programs that evaluate their rules.

    `reachable` tells whether any grant of the bundle opens this action to these roles at all, at whatever
    time; `is_lasting`, whether one without bounds in time does; `timed` names those with.
    `conditions` are those of the grants that have one. `all_rules` are these and then those of the
    guards, in order: one crossing into the engine for a whole decision. `reads` is what a decision
    depends on; `customer_attributes` names those of the customer among it, `openable` the fields that a grant can open. `needs_customer` tells whether a
    grant's condition reads the customer, the message to it, or use; when not, grants can be matched before any fetch.
    `needs_suppressions` tells whether any rule reads the customer's opt-outs.
    `limits` are the counters of its grants and guards that the action is counted on; `has_limits` also counts
    limits per request. Who decides on a plan
    that reads `limits.exhausted` establishes it first: as long as it is Unknown, every limit counts as used up.
    `approvals` are what validations of its guards may ask for; as long as `approvals.granted` is Unknown,
    none is granted. Some of them may be broken where `approvals.break_glass` is read; while it is Unknown, nobody does.
    """

    bundle: Bundle
    reachable: bool
    grants: tuple[Grant, ...]
    guards: tuple[Guard, ...]
    conditions: RuleSet
    all_rules: RuleSet
    reads: tuple[str, ...]
    customer_attributes: frozenset[str]
    openable: frozenset[str]
    needs_customer: bool
    needs_suppressions: bool
    limits: tuple[Charge, ...]
    has_limits: bool
    is_lasting: bool
    timed: frozenset[str]
    approvals: tuple[Requirement, ...]


class Planner:
    """Plans of one bundle, each made once."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._plans: dict[tuple[Action, str, str, str, frozenset[str]], Plan] = {}
        self._sets: dict[tuple[Rule, ...], RuleSet] = {}
        self._stores = frozenset(bundle.stores)
        self._roles = frozenset[str]().union(*(grant.roles for grant in bundle.grants))
        self._grants = {
            action: tuple(g for g in bundle.grants if action in g.match.actions) for action in Action
        }
        self._guards = {
            action: tuple(g for g in bundle.guards if action in g.match.actions) for action in Action
        }

    def plan(self, request: Request, roles: Iterable[str]) -> Plan:
        """Return the plan of the request's scope for these roles. First use costs about 1 ms.

        Names that the bundle does not know match like any other unknown name: they share one plan, so
        a caller who invents names gets neither memory nor that millisecond.
        """
        key = (
            request.action,
            request.purpose if request.purpose in self.bundle.purposes else "",
            request.store if request.store in self._stores else "",
            request.key_kind if request.key_kind in _KEY_KINDS else "",
            self._roles.intersection(roles),
        )
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:
                self._plans.clear()
                self._sets.clear()
            plan = self._plans[key] = self._make(*key)
        return plan

    def _make(self, action: Action, purpose: str, store: str, key_kind: str, roles: frozenset[str]) -> Plan:
        scope = (action, purpose, store, key_kind)
        reachable = [grant for grant in self._grants[action] if grant.roles & roles]
        grants = tuple(grant for grant in reachable if grant.opens(*scope))
        guards = tuple(guard for guard in self._guards[action] if guard.match.covers(*scope))
        conditions = self._rule_set(tuple(grant.condition for grant in grants if grant.condition))
        of_guards = tuple(rule for guard in guards for rule in rules_of(guard))
        all_rules = self._rule_set((*conditions.rules, *of_guards))
        limitable: tuple[Grant | Guard, ...] = (*grants, *guards)
        limits = charges_of(limitable, action)
        counts_rows = any(Limit.ROWS_PER_REQUEST in rule.limits for rule in limitable)
        timed = frozenset(grant.name for grant in reachable if grant.is_timed)
        approvals = tuple(
            validation.approval
            for guard in guards
            for validation in guard.validations
            if validation.approval is not None
        )
        by_itself: tuple[tuple[str, object], ...] = (
            (EXHAUSTED, limits),
            (ROWS, counts_rows),
            (EXPIRED, timed),
            (APPROVED, approvals),
            (BREAK_GLASS, any(each.break_glass for each in approvals)),
            (AGREEMENT, action is Action.SEND),
            (FREQUENT, any(guard.frequency for guard in guards)),
        )
        reads = tuple(sorted(_ALWAYS_READ.union(all_rules.reads, (path for path, on in by_itself if on))))
        return Plan(
            bundle=self.bundle,
            reachable=bool(reachable),
            grants=grants,
            guards=guards,
            conditions=conditions,
            all_rules=all_rules,
            reads=reads,
            customer_attributes=frozenset(p.partition(".")[2] for p in reads if p.startswith("customer.")),
            openable=frozenset(name for grant in grants for name in grant.fields),
            needs_customer=is_late(conditions.reads),
            needs_suppressions=any(path.startswith("suppression.") for path in reads),
            limits=limits,
            has_limits=bool(limits) or counts_rows,
            is_lasting=any(not grant.is_timed for grant in reachable),
            timed=timed,
            approvals=approvals,
        )

    def _rule_set(self, rules: tuple[Rule, ...]) -> RuleSet:
        """Compile rules once: hundreds of sets of roles have the same ones, and thirty of them take milliseconds."""
        if rules not in self._sets:
            self._sets[rules] = rule_set(self.bundle.engine, rules)
        return self._sets[rules]


def is_late(reads: Iterable[str]) -> bool:
    """Tell whether any of these facts is not known at the first check of a request."""
    return any(path.partition(".")[0] in LATE_ROOTS for path in reads)


def charges_of(rules: Iterable[Grant | Guard], action: Action) -> tuple[Charge, ...]:
    """Return every counter of `rules` that requests for `action` are counted on."""
    return tuple(
        Charge(rule.counted_as, limit, at_most)
        for rule in rules
        for limit, at_most in rule.limits.items()
        if limit is not Limit.ROWS_PER_REQUEST
        and (limit is not Limit.LOOKUPS_PER_MINUTE or action is Action.LOOKUP)
    )


def rules_of(guard: Guard) -> tuple[Rule, ...]:
    """Return a guard's rules in the order that results come in: match conditions, then validations."""
    return (*(rule for _, rule in guard.conditions), *(validation.rule for validation in guard.validations))


def rule_set(engine: Engine, rules: tuple[Rule, ...]) -> RuleSet:
    """Compile rules of a bundle so that they can be evaluated together."""
    chunks: list[list[str]] = []
    length = _CHUNK
    for rule in rules:
        length += len(rule.expanded)
        if length > _CHUNK:
            chunks.append([])
            length = len(rule.expanded)
        chunks[-1].append(rule.expanded)
    reads = frozenset[str]().union(*(rule.reads for rule in rules))
    return RuleSet(rules, tuple(engine.program(chunk) for chunk in chunks), tuple(sorted(reads)))
