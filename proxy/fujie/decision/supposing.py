"""What a refused request would come to if something were different: evaluated on what was read, never guessed.

Nothing is read for it, and it tells of the customer what an explanation of the refusal tells, and no more: a
supposition opens when it would open for everybody who got the same explanation. Rules whose outcome the explanation shows
keep it; where another rule, or a changed one, reads a personal fact, every value of it that agrees with what is
shown is tried. Facts with too many values for that are as good as not read.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from types import MappingProxyType

from fujie.decision.anew import Anew, Seen, decide_anew, lacking
from fujie.decision.decide import Outcome, decide, guard_hits, outcomes
from fujie.decision.plan import Plan, rule_set, rules_of
from fujie.decision.validity import out_of_validity
from fujie.model.approval import Requirement
from fujie.model.facts import (
    APPROVED,
    BREAK_GLASS,
    CUSTOMER_ROOTS,
    EXPIRED,
    NOT_FETCHED,
    Facts,
    FactValue,
    Kind,
)
from fujie.model.request import Request
from fujie.model.suggestion import Change
from fujie.model.vocabulary import Effect
from fujie.policy.bundle import Rule

_NONE: frozenset[str] = frozenset()
_NOTHING: Mapping[str, FactValue] = MappingProxyType({})
_MOST_HIDDEN = 2
"""Hidden facts whose values are tried: nine evaluations."""
_VALUES: tuple[FactValue, ...] = (False, True, NOT_FETCHED)

Planning = Callable[[Request, frozenset[str]], Plan]
"""Returns the plan of a request for roles, under the bundle that refused."""


class SpentError(Exception):
    """All evaluations are used up."""


@dataclass(frozen=True, slots=True)
class Supposition:
    """A request with `changes` made, the facts that they suppose, and those that they make unknown."""

    request: Request
    changes: tuple[Change, ...] = ()
    facts: Mapping[str, FactValue] = field(default_factory=lambda: _NOTHING)
    lost: frozenset[str] = _NONE


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a supposition comes to. `effect` is None when it can not be told, for want of the facts `lacks`."""

    effect: Effect | None
    lacks: frozenset[str] = _NONE
    needs: tuple[Requirement, ...] = ()


_REFUSED = Verdict(Effect.DENY)


class Supposing:
    """Judges suppositions about one refused request, at most `most` evaluations."""

    def __init__(self, planning: Planning, seen: Seen, most: int) -> None:
        self._planning = planning
        self._seen = seen
        self._left = most
        bundle = seen.plan.bundle
        roles, expired = seen.facts.get("principal.roles"), seen.facts.get(EXPIRED)
        self._roles = frozenset(map(str, roles)) if isinstance(roles, tuple) else _NONE
        every = tuple(grant.name for grant in bundle.timed_grants)
        self._expired = expired if isinstance(expired, tuple) else every
        self._personal = frozenset(path for path, kind in bundle.facts.items() if kind.personal)
        traced = dict(_traced(seen))
        told = frozenset[str]().union(*(rule.reads for rule in traced))
        of_customer = (path for path in seen.plan.reads if path.partition(".")[0] in CUSTOMER_ROOTS)
        self.untold = frozenset(of_customer) - told
        """Facts of the customer that were read, and that the explanation does not show."""
        self._shown = {rule: word for rule, word in traced.items() if word}
        self._witnesses = tuple(rule for rule in self._shown if rule.reads & self._personal)
        self._witness_set = rule_set(bundle.engine, self._witnesses)
        self._known: dict[tuple[object, ...], Verdict] = {}

    def judge(self, supposed: Supposition) -> Verdict:
        """Return what it comes to.

        Raises:
            SpentError: nothing more is evaluated.

        """
        key = (supposed.request, tuple(sorted(supposed.facts.items())), supposed.lost)
        if key not in self._known:
            self._known[key] = self._judged(supposed)
        return self._known[key]

    def _judged(self, supposed: Supposition) -> Verdict:
        self._take()
        plan = self._planning(supposed.request, self._roles)
        if not plan.grants:
            return _REFUSED
        changed = {**_changed(self._seen.request, supposed.request), **supposed.facts}
        hidden = self._hidden(plan, changed)
        lost = supposed.lost | self.untold
        if not self._can_try(hidden):
            lost, hidden = lost | hidden, _NONE
        found: set[Verdict] = set()
        for values in self._alike(hidden):
            anew = self._decide(plan, supposed.request, {**values, **changed}, lost)
            if anew.decision is None:
                return Verdict(None, anew.lacks)
            found.add(Verdict(anew.decision.effect, needs=anew.decision.needs))
        return found.pop() if len(found) == 1 else Verdict(None, hidden)

    def _decide(
        self, plan: Plan, request: Request, values: Mapping[str, FactValue], lost: frozenset[str]
    ) -> Anew:
        self._take()
        seen = self._seen
        every = {APPROVED: (), BREAK_GLASS: (), **seen.facts.values, **values, EXPIRED: self._expired}
        known = Facts({path: value for path, value in every.items() if path not in lost})
        again = Seen(seen.plan, request, known, seen.is_closed, seen.rows, lost)
        if seen.is_closed or seen.rows != 1 or lacking(plan, again):
            return decide_anew(plan, again, self._expired)
        return Anew(decide(plan, request, known))  # the same, at a quarter of the time: everything is known

    def _take(self) -> None:
        if not self._left:
            raise SpentError
        self._left -= 1

    def _hidden(self, plan: Plan, changed: Mapping[str, FactValue]) -> frozenset[str]:
        """Return the personal facts that rules read whose outcome the explanation does not show."""
        open_rules = (
            rule
            for rule in plan.all_rules.rules
            if rule not in self._shown or not rule.reads.isdisjoint(changed)
        )
        return self._personal.intersection(path for rule in open_rules for path in rule.reads)

    def _can_try(self, hidden: frozenset[str]) -> bool:
        facts = self._seen.plan.bundle.facts
        return len(hidden) <= _MOST_HIDDEN and all(facts[path].kind is Kind.BOOL for path in hidden)

    def _alike(self, hidden: frozenset[str]) -> Iterator[Mapping[str, FactValue]]:
        """Yield the values of the `hidden` facts that everything which is shown agrees with."""
        if not hidden:
            yield _NOTHING
            return
        engine, paths = self._seen.plan.bundle.engine, sorted(hidden)
        for combination in product(_VALUES, repeat=len(paths)):
            values = dict(zip(paths, combination, strict=True))
            facts = Facts({**self._seen.facts.values, **values})
            words = map(_word, outcomes(engine, self._witness_set, facts))
            if all(word == self._shown[rule] for rule, word in zip(self._witnesses, words, strict=True)):
                yield values


def _traced(seen: Seen) -> Iterator[tuple[Rule, str]]:
    """Yield every rule of an explanation with the outcome that it shows: empty where it only says that the guard
    does not apply (`decision/explain.py`)."""
    plan, facts = seen.plan, seen.facts
    results = iter(outcomes(plan.bundle.engine, plan.all_rules, facts))
    out = out_of_validity(plan, facts)
    for grant in plan.grants:
        if grant.condition is not None:
            word = _word(next(results))
            if grant.name not in out:
                yield grant.condition, word
    for guard in plan.guards:
        verdicts = [next(results) for _ in rules_of(guard)]
        applies = guard_hits(guard, verdicts, facts) is not None
        for index, (rule, verdict) in enumerate(zip(rules_of(guard), verdicts, strict=True)):
            yield rule, _word(verdict) if applies or index < len(guard.conditions) else ""


def _word(outcome: Outcome) -> str:
    return str(outcome) if isinstance(outcome, bool) else type(outcome).__name__


def _changed(before: Request, after: Request) -> Mapping[str, FactValue]:
    """Return the facts of a request that differ."""
    pairs: Mapping[str, tuple[FactValue, FactValue]] = {
        "request.purpose": (before.purpose, after.purpose),
        "request.basis": (before.basis, after.basis),
        "request.fields": (before.fields, after.fields),
        "request.strict": (before.strict, after.strict),
        "request.has_basis_evidence": (before.has_basis_evidence, after.has_basis_evidence),
        "request.has_ticket": (before.has_ticket, after.has_ticket),
    }
    return {path: new for path, (old, new) in pairs.items() if old != new}
