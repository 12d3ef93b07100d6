"""Runs PolicyTest documents over processes, notes what they have seen of the bundle, and asks a second engine."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context

from fujie.app.policies import Files, compiled
from fujie.app.problems import CannotStart, problem_at
from fujie.decision.coverage import ERROR, Coverage, Mark, Watch, rules_by_name
from fujie.decision.decide import outcomes
from fujie.decision.decider import Decider
from fujie.decision.plan import RuleSet, rule_set
from fujie.decision.policy_tests import judge, settle, trace
from fujie.model.diagnostic import Diagnostic
from fujie.model.facts import Facts, FactValue, Unknown
from fujie.model.policy_test import Case, CaseResult, PolicyTest
from fujie.policy.bundle import Bundle, Grant, Guard, Rule
from fujie.policy.policy_tests import read_tests

MOST_TRACES = 100
"""Failed cases that are explained, 20 ms each: a change that breaks thousands breaks them for a few reasons."""

_CASES_A_PROCESS = 5_000
"""Cases that take as long as a process takes to start, import and compile the policies: 1.5 s, at 3,500 a second.
A second engine changes little: it is asked once for each set of values."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What of the files is run: cases whose id `pattern` finds, with a cross-check or without."""

    files: Files
    pattern: str = ""
    cross_check: bool = False


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An expression on which the two engines differ, with the facts that it read, as text."""

    rule: str
    place: str
    expression: str
    case: str
    ours: str
    theirs: str
    facts: Mapping[str, str]


Evaluated = tuple[str, tuple[FactValue, ...]]
"""An expression, and the values of the facts that it reads, by path."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of all cases, in order. `crossed` is what both engines evaluated, `uncrossed` the rules (place, name)
    of which no case had all facts, so that neither was asked."""

    results: tuple[CaseResult, ...]
    coverage: Coverage
    crossed: frozenset[Evaluated] = frozenset()
    uncrossed: frozenset[tuple[str, str]] = frozenset()
    disagreements: tuple[Disagreement, ...] = ()

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        """Return what is not as expected."""
        return tuple(result for result in self.results if not result.is_passed)

    @property
    def is_agreed(self) -> bool:
        """Tell whether everything is as expected, to both engines where both were asked."""
        return not self.failed and not self.disagreements


def cases_of(wanted: Wanted) -> tuple[Bundle, tuple[Case, ...]]:
    """Compile the files and read their tests.

    Raises:
        CannotStart: with every problem of the policies, or else of the tests.

    """
    bundle = compiled(wanted.files)
    read = read_tests(wanted.files, bundle)
    problems = [problem_at(each) for each in read if isinstance(each, Diagnostic)]
    if problems:
        raise CannotStart(problems)
    tests = [test for test in read if isinstance(test, PolicyTest)]
    chosen = re.compile(wanted.pattern)
    return bundle, tuple(case for test in tests for case in test.cases if chosen.search(case.id))


def run_tests(wanted: Wanted, jobs: int = 0) -> Outcome:
    """Run the cases in `jobs` processes; 0: as many as pay, one a processor at most.

    Raises:
        CannotStart: as `cases_of`.

    """
    bundle, cases = cases_of(wanted)
    jobs = jobs or min(os.cpu_count() or 1, 1 + len(cases) // _CASES_A_PROCESS)
    jobs = max(1, min(jobs, len(cases)))
    if jobs == 1:
        return _traced(bundle, cases, run_cases(bundle, cases, cross_check=wanted.cross_check))
    # Not forked: the engine and its threads are of this process.
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return _traced(bundle, cases, _joined(list(pool.map(partial(_share, wanted, jobs), range(jobs)))))


def _traced(bundle: Bundle, cases: Sequence[Case], outcome: Outcome) -> Outcome:
    """Say why, for the first cases that failed."""
    decider, left = Decider(bundle), MOST_TRACES
    results = list(outcome.results)
    for index, case in enumerate(cases):
        if left and not results[index].is_passed:
            results[index] = replace(results[index], trace=trace(case, settle(decider, case)))
            left -= 1
    return replace(outcome, results=tuple(results))


def _share(wanted: Wanted, jobs: int, index: int) -> Outcome:
    bundle, cases = cases_of(wanted)
    return run_cases(bundle, cases[index::jobs], cross_check=wanted.cross_check)


def _joined(shares: Sequence[Outcome]) -> Outcome:
    """Put dealt cases back into their order."""
    dealt = [share.results for share in shares]
    rounds = range(max(map(len, dealt)))
    results = tuple(of_share[n] for n in rounds for of_share in dealt if n < len(of_share))
    order = {result.id: n for n, result in enumerate(results)}
    found = sorted(
        (each for share in shares for each in share.disagreements), key=lambda each: order[each.case]
    )
    first = {(each.rule, *each.facts.items()): each for each in reversed(found)}
    return Outcome(
        results,
        Coverage(
            shares[0].coverage.required,
            frozenset[Mark]().union(*(share.coverage.seen for share in shares)),
        ),
        frozenset[Evaluated]().union(*(share.crossed for share in shares)),
        shares[0].uncrossed.intersection(*(share.uncrossed for share in shares)),
        tuple(reversed(first.values())),
    )


def run_cases(bundle: Bundle, cases: Sequence[Case], *, cross_check: bool = False) -> Outcome:
    """Run cases in this process."""
    decider, watch = Decider(bundle), Watch(bundle)
    crossing = CrossCheck(bundle) if cross_check else None
    results: list[CaseResult] = []
    seen: set[Mark] = set()
    disagreements: list[Disagreement] = []
    for case in cases:
        settled = settle(decider, case)
        results.append(judge(case, settled))
        seen |= watch.seen(case.ask.request.action, settled)
        if crossing:
            disagreements += crossing.of_case(case.id, settled.facts)
    return Outcome(
        tuple(results),
        Coverage(watch.required, frozenset(seen)),
        crossing.evaluated if crossing else frozenset(),
        crossing.missed if crossing else frozenset(),
        tuple(disagreements),
    )


class CrossCheck:
    """Every expression of a bundle in both engines, once for each set of facts that it reads.

    Raises ImportError where the extra `crosscheck` is not installed.
    """

    def __init__(self, bundle: Bundle) -> None:
        from fujie.adapters.second_opinion import SecondOpinion

        owners: tuple[Grant | Guard, ...] = (*bundle.grants, *bundle.guards)
        rules = [named for owner in owners for named in rules_by_name(owner)]
        self._rules: list[tuple[str, Rule, RuleSet]] = [
            (name, rule, rule_set(bundle.engine, (rule,))) for name, rule in rules
        ]
        self._engine = bundle.engine
        self._theirs = SecondOpinion()
        self._done: set[Evaluated] = set()

    @property
    def evaluated(self) -> frozenset[Evaluated]:
        """Return what was compared."""
        return frozenset(self._done)

    @property
    def missed(self) -> frozenset[tuple[str, str]]:
        """Return place and name of each rule that was not compared."""
        done = {text for text, _ in self._done}
        return frozenset((rule.where, name) for name, rule, _ in self._rules if rule.expanded not in done)

    def of_case(self, case: str, facts: Facts) -> Iterator[Disagreement]:
        """Yield where the engines differ on these facts. What reads an Unknown fact is evaluated by neither."""
        for name, rule, alone in self._rules:
            read = {path: facts.get(path) for path in alone.reads}
            values = tuple(read.values())
            if any(isinstance(value, Unknown) for value in values) or (rule.expanded, values) in self._done:
                continue
            self._done.add((rule.expanded, values))
            (outcome,) = outcomes(self._engine, alone, facts)
            ours = outcome if isinstance(outcome, bool) else ERROR
            theirs = self._theirs.says(rule.expanded, Facts(read))
            if ours != theirs:
                shown = {path: _text(value) for path, value in read.items()}
                yield Disagreement(name, rule.where, rule.expanded, case, _text(ours), _text(theirs), shown)


def _text(value: FactValue) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
