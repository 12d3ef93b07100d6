"""What tests have seen of a bundle: grants that matched and did not, rules and clauses that came out each way.

The measure is condition coverage. Every grant is to be seen matched and not matched; every rule (condition of a
grant, match condition or validation of a guard) true, false and, as it refuses then, unable to be evaluated; every
clause of a compound rule true and false. A rule counts where it had a say: the condition of a grant when the asker
is active, a guard when a grant had matched, its validations when its match conditions did not take it out.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from fujie.decision.decide import Outcome, outcomes
from fujie.decision.plan import Plan, RuleSet, rule_set, rules_of
from fujie.decision.policy_tests import Settled
from fujie.model.facts import Facts
from fujie.model.vocabulary import Action, State
from fujie.policy.bundle import Bundle, Grant, Guard, Rule
from fujie.policy.cel import Checked, Engine
from fujie.policy.expression import clauses

MATCHED, NOT_MATCHED = "matched", "not matched"
TRUE, FALSE, ERROR = "true", "false", "error"


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """One thing that tests should see.

    `place` is file:line:column of the grant or expression, `rule` its name, `clause` a part of a compound
    expression (empty: all of it), `seen` what it came to.
    """

    place: str
    rule: str
    clause: str
    seen: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """What there is to see, and what of it was seen."""

    required: frozenset[Mark]
    seen: frozenset[Mark]

    @property
    def missing(self) -> tuple[Mark, ...]:
        """Return what was not seen, by place."""
        return tuple(sorted(self.required - self.seen, key=by_place))

    @property
    def percent(self) -> float:
        """Return the share that was seen, 0 to 100; 100 when there is nothing to see."""
        return 100 * len(self.required & self.seen) / len(self.required) if self.required else 100.0


@dataclass(frozen=True, slots=True)
class _Watched:
    """A rule and its clauses: `rules` is the rule itself, then each clause as a rule of its own."""

    name: str
    place: str
    rules: tuple[Rule, ...]

    def marks(self, verdicts: Iterable[Outcome]) -> Iterator[Mark]:
        """Yield what these verdicts show, in the order of `rules`."""
        for index, (rule, verdict) in enumerate(zip(self.rules, verdicts, strict=True)):
            if isinstance(verdict, bool):
                yield Mark(
                    self.place, self.name, _one_line(rule) if index else "", TRUE if verdict else FALSE
                )
            elif not index:
                yield Mark(self.place, self.name, "", ERROR)

    def required(self) -> Iterator[Mark]:
        """Yield what should be seen. What reads no fact has none that could be missing."""
        yield from self.marks([True] * len(self.rules))
        yield from self.marks([False] * len(self.rules))
        if self.rules[0].reads:
            yield Mark(self.place, self.name, "", ERROR)


class Watch:
    """Notes what decisions of one bundle show."""

    def __init__(self, bundle: Bundle) -> None:
        self._engine = bundle.engine
        self._sets: dict[Plan, RuleSet] = {}
        self._compiled: dict[tuple[Rule, ...], RuleSet] = {}
        self._verdicts: dict[tuple[object, ...], list[Outcome]] = {}
        self._grants: dict[Action, list[Grant]] = {
            action: [grant for grant in bundle.grants if action in grant.match.actions] for action in Action
        }
        watch = partial(_watched, self._engine)
        self._conditions = {
            grant.name: watch(*named) for grant in bundle.grants for named in rules_by_name(grant)
        }
        self._guards = {
            guard.name: [watch(*named) for named in rules_by_name(guard)] for guard in bundle.guards
        }
        watched = [*self._conditions.values(), *(each for found in self._guards.values() for each in found)]
        of_grants = {_of_grant(grant, seen) for grant in bundle.grants for seen in (MATCHED, NOT_MATCHED)}
        self.required = frozenset({mark for each in watched for mark in each.required()} | of_grants)

    def seen(self, action: Action, settled: Settled) -> frozenset[Mark]:
        """Return what one decision for `action` shows."""
        plan, facts, decision = settled.plan, settled.facts, settled.decision
        matched = frozenset(decision.grants)
        found = {
            _of_grant(grant, MATCHED if grant.name in matched else NOT_MATCHED)
            for grant in self._grants[action]
        }
        if facts.get("principal.employment") is not State.ACTIVE:
            return frozenset(found)
        verdicts = iter(self._outcomes(self._set(plan), facts))
        for grant in plan.grants:
            if grant.condition:
                watched = self._conditions[grant.name]
                found.update(watched.marks([next(verdicts) for _ in watched.rules]))
        for guard in plan.guards if matched else ():
            came_to = [(each, [next(verdicts) for _ in each.rules]) for each in self._guards[guard.name]]
            conditions = len(guard.conditions)
            is_out = any(of_rule[0] is False for _, of_rule in came_to[:conditions])
            for each, of_rule in came_to[: conditions if is_out else None]:
                found.update(each.marks(of_rule))
        return frozenset(found)

    def _outcomes(self, asked: RuleSet, facts: Facts) -> list[Outcome]:
        """Evaluate the rules, once for each set of the facts that they read: many cases differ in others."""
        key = (asked.programs, *map(facts.get, asked.reads))
        if key not in self._verdicts:
            self._verdicts[key] = outcomes(self._engine, asked, facts)
        return self._verdicts[key]

    def _set(self, plan: Plan) -> RuleSet:
        """Return every rule and clause of the plan, compiled to be evaluated in one go."""
        if plan not in self._sets:
            watched = [self._conditions[grant.name] for grant in plan.grants if grant.condition]
            watched += [each for guard in plan.guards for each in self._guards[guard.name]]
            rules = tuple(rule for each in watched for rule in each.rules)
            if rules not in self._compiled:  # plans of other roles have the same rules
                self._compiled[rules] = rule_set(self._engine, rules)
            self._sets[plan] = self._compiled[rules]
        return self._sets[plan]


def rules_by_name(owner: Grant | Guard) -> Iterator[tuple[str, Rule]]:
    """Yield the rules of a grant or guard, in the order in which they are evaluated, with their names."""
    if isinstance(owner, Grant):
        if owner.condition:
            yield f"grant {owner.name} condition", owner.condition
        return
    names = [f"matchConditions[{name}]" for name, _ in owner.conditions]
    names += [f"validations[{validation.name}]" for validation in owner.validations]
    for name, rule in zip(names, rules_of(owner), strict=True):
        yield f"guard {owner.name} {name}", rule


def by_place(mark: Mark) -> tuple[str, int, int, Mark]:
    """Sort marks by file, line and column."""
    file, line, column = mark.place.rsplit(":", 2)
    return file, int(line), int(column), mark


def _of_grant(grant: Grant, seen: str) -> Mark:
    return Mark(grant.where, f"grant {grant.name}", "", seen)


def _watched(engine: Engine, name: str, rule: Rule) -> _Watched:
    found = [rule]
    for text in dict.fromkeys(text for text, depth in clauses(rule.expanded) if depth):
        checked = engine.check(text)
        if isinstance(checked, Checked):
            found.append(Rule(text, text, checked.reads, rule.where))
    return _Watched(name, rule.where, tuple(found))


def _one_line(rule: Rule) -> str:
    return " ".join(rule.expanded.split())
