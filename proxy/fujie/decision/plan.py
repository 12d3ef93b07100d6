"""What of a bundle can matter for one scope: computed once per scope, so that 10,000 policies cost like 10.

A scope is action, purpose, store, key kind and roles. Everything else about a request is facts.
"""

from dataclasses import dataclass

from fujie.model.facts import CUSTOMER_ROOTS
from fujie.model.request import Request
from fujie.model.vocabulary import Action
from fujie.policy.bundle import Bundle, Grant, Guard, Rule
from fujie.policy.cel import Program

_ALWAYS_READ = frozenset({"principal.employment", "principal.roles"})
_MAX_PLANS = 4_096
"""Scopes that a process keeps. Roles x purposes x stores of a real bundle are hundreds."""
_CHUNK = 50_000
"""Code points of one program; the engine takes 100,000 and counts one budget of iterations a program."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Grants and guards that can match in one scope, and the programs that evaluate their rules.

    `reachable` tells whether any grant of the bundle opens this action to these roles at all.
    `conditions` are those of the grants that have one; `rules` those of the guards, in order.
    """

    bundle: Bundle
    reachable: bool
    grants: tuple[Grant, ...]
    guards: tuple[Guard, ...]
    conditions: tuple[Rule, ...]
    rules: tuple[Rule, ...]
    condition_programs: tuple[Program, ...]
    rule_programs: tuple[Program, ...]
    reads: tuple[str, ...]
    condition_roots: frozenset[str]
    rule_roots: frozenset[str]

    @property
    def customer_attributes(self) -> frozenset[str]:
        """Names of the customer attributes that a rule of this scope reads."""
        return frozenset(path.partition(".")[2] for path in self.reads if path.startswith("customer."))

    @property
    def needs_customer(self) -> bool:
        """Tell whether a grant's condition reads the customer; when not, grants can be matched before any fetch."""
        return bool(self.condition_roots & CUSTOMER_ROOTS)


class Planner:
    """Plans of one bundle, each made once."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._plans: dict[tuple[str, str, str, str, tuple[str, ...]], Plan] = {}
        self._grants = {
            action: tuple(g for g in bundle.grants if action in g.match.actions) for action in Action
        }
        self._guards = {
            action: tuple(g for g in bundle.guards if action in g.match.actions) for action in Action
        }

    def plan(self, request: Request, roles: tuple[str, ...]) -> Plan:
        """Return the plan of the request's scope for these roles (sorted). First use costs about 1 ms."""
        key = (request.action, request.purpose, request.store, request.key_kind, roles)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MAX_PLANS:  # names that callers invent must not fill the memory
                self._plans.clear()
            plan = self._plans[key] = self._make(request, frozenset(roles))
        return plan

    def _make(self, request: Request, roles: frozenset[str]) -> Plan:
        scope = (request.action, request.purpose, request.store, request.key_kind)
        reachable = [grant for grant in self._grants[request.action] if grant.roles & roles]
        grants = tuple(grant for grant in reachable if grant.match.covers(*scope))
        guards = tuple(guard for guard in self._guards[request.action] if guard.match.covers(*scope))
        conditions = tuple(grant.condition for grant in grants if grant.condition)
        rules = tuple(rule for guard in guards for rule in rules_of(guard))
        reads = _ALWAYS_READ.union(*(rule.reads for rule in (*conditions, *rules)))
        return Plan(
            bundle=self.bundle,
            reachable=bool(reachable),
            grants=grants,
            guards=guards,
            conditions=conditions,
            rules=rules,
            condition_programs=self._programs(conditions),
            rule_programs=self._programs(rules),
            reads=tuple(sorted(reads)),
            condition_roots=_roots(conditions),
            rule_roots=_roots(rules),
        )

    def _programs(self, rules: tuple[Rule, ...]) -> tuple[Program, ...]:
        chunks: list[list[str]] = []
        length = _CHUNK
        for rule in rules:
            length += len(rule.expanded)
            if length > _CHUNK:
                chunks.append([])
                length = len(rule.expanded)
            chunks[-1].append(rule.expanded)
        return tuple(self.bundle.engine.program(chunk) for chunk in chunks)


def rules_of(guard: Guard) -> tuple[Rule, ...]:
    """Return a guard's rules in the order that results come in: match conditions, then validations."""
    return (*(rule for _, rule in guard.conditions), *(validation.rule for validation in guard.validations))


def _roots(rules: tuple[Rule, ...]) -> frozenset[str]:
    return frozenset(path.partition(".")[0] for rule in rules for path in rule.reads)
