"""Results of policy tests for people, as a tree with what differs and why, and for programs."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.text import Text

from fujie.app.cli.output import console
from fujie.app.policytests import Disagreement, Outcome
from fujie.decision.coverage import Coverage, Mark
from fujie.model.decision import RuleTrace
from fujie.model.policy_test import CaseResult, Difference

_HELD = frozenset({"matched", "held", "tightens", "within its limits"})
_MOST_MISSING = 20
"""Marks that are listed when coverage falls short; the report has all of them."""


def print_results(outcome: Outcome, min_coverage: float, seconds: float, *, crossed: bool) -> None:
    """Print the tree, then the sums."""
    talk = console()
    for line in (*_tree(outcome.results), *_summary(outcome, min_coverage, seconds, crossed=crossed)):
        talk.print(line)


def _tree(results: Sequence[CaseResult]) -> Iterator[Text]:
    for document, of_document in groupby(results, key=lambda result: result.document):
        yield Text(document, style="bold")
        for test, found in groupby(of_document, key=lambda result: result.test):
            of_test = list(found)
            failed = [result for result in of_test if not result.is_passed]
            said = (
                f"{len(failed)} of {_counted(len(of_test), 'case')}"
                if failed
                else _counted(len(of_test), "case")
            )
            yield Text.assemble("  ", _verdict(passed=not failed), f" {test}  ", (said, "dim"))
            for result in failed:
                yield from _failed(result)


def _failed(result: CaseResult) -> Iterator[Text]:
    cell = " / ".join(filter(None, (result.principal, result.customer, result.request)))
    yield Text.assemble("    ", _verdict(passed=False), f" {cell}  ", (result.where, "dim"))
    for line in (*diff_lines(result.differences), *trace_lines(result.trace)):
        yield Text("      ") + line


def diff_lines(differences: Sequence[Difference]) -> Iterator[Text]:
    """Yield what was expected (-) and what came out (+), part by part; what agrees stands unmarked."""
    for difference in differences:
        yield Text(difference.part, style="bold")
        expected, actual = difference.expected, difference.actual
        both = [line for line in expected if line in actual]
        yield from (Text(f"    {line}") for line in both)
        gone = [line for line in expected if line not in actual]
        come = [line for line in actual if line not in expected]
        if not gone and not come:  # the same in another order
            gone, come = list(expected), list(actual)
        yield from (Text(f"  - {line}", style="red") for line in gone)
        yield from (Text(f"  + {line}", style="green") for line in come)


def trace_lines(trace: Sequence[RuleTrace]) -> Iterator[Text]:
    """Yield every rule that had a say, with its clauses and the values that they read."""
    told = [rule for rule in trace if _had_a_say(rule)] or trace
    if told:
        yield Text("why", style="bold")
    for rule in told:
        style = "green" if rule.outcome in _HELD else "yellow"
        yield Text.assemble(
            f"    {rule.kind} {rule.name} {rule.part}: ", (rule.outcome, style), "  ", (rule.place, "dim")
        )
        for clause in rule.clauses:
            reads = ", ".join(f"{path} = {value}" for path, value in sorted(clause.reads.items()))
            lead = "  " * (clause.depth + 3)
            yield Text.assemble(f"{lead}{clause.text}  ", (clause.value, "bold"), "  ", (reads, "dim"))


def _had_a_say(rule: RuleTrace) -> bool:
    return rule.outcome != "does not apply" and not (rule.part == "roles" and rule.kind == "grant")


def _summary(outcome: Outcome, min_coverage: float, seconds: float, *, crossed: bool) -> Iterator[Text]:
    total, failed = len(outcome.results), len(outcome.failed)
    said = (
        f"{failed} of {_counted(total, 'case')} failed" if failed else f"{_counted(total, 'case')} passed"
    )
    yield Text.assemble("", (said, "bold red" if failed else "bold green"), f" in {seconds:.2f} s")
    coverage = outcome.coverage
    is_enough = coverage.percent >= min_coverage
    share = f"{percent_of(coverage)} % of the policies seen"
    wanted = f", {min_coverage:g} % wanted" if min_coverage else ""
    yield Text(f"{share}{wanted}", style="" if is_enough else "bold red")
    if not is_enough:
        yield from _missing(coverage.missing)
    if crossed:
        differ = len(outcome.disagreements)
        yield Text(
            f"{_counted(len(outcome.crossed), 'evaluation')} in two engines, {differ} differ",
            style="bold red" if differ else "",
        )
    for place, name in sorted(outcome.uncrossed):
        yield Text.assemble(f"  {name}: ", ("not compared", "yellow"), "  ", (place, "dim"))
    for each in outcome.disagreements:
        yield from _disagreement(each)


def _missing(marks: Sequence[Mark]) -> Iterator[Text]:
    for mark in marks[:_MOST_MISSING]:
        yield Text.assemble(f"  {mark.rule}: ", (never(mark), "yellow"), "  ", (mark.place, "dim"))
    if len(marks) > _MOST_MISSING:
        yield Text(f"  and {len(marks) - _MOST_MISSING} more: see --coverage-report")


def _disagreement(found: Disagreement) -> Iterator[Text]:
    yield Text.assemble(f"  {found.rule}  ", (found.place, "dim"))
    yield Text(f"    {' '.join(found.expression.split())}")
    yield Text(f"    ours {found.ours}, cel-python {found.theirs}, in {found.case}", style="red")
    for path, value in found.facts.items():
        yield Text(f"    {path} = {value}", style="dim")


def never(mark: Mark) -> str:
    """Say what was not seen."""
    return f"never {mark.seen}: {mark.clause}" if mark.clause else f"never {mark.seen}"


def percent_of(coverage: Coverage) -> str:
    """Return the share with one decimal, cut and not rounded: 100.0 means all."""
    return f"{int(coverage.percent * 10) / 10:.1f}"


def plain(outcome: Outcome, min_coverage: float) -> dict[str, Any]:
    """Return everything as JSON has it. Traces are those of failed cases, whole."""
    coverage = outcome.coverage
    is_enough = coverage.percent >= min_coverage
    return {
        "passed": outcome.is_agreed and is_enough,
        "cases": len(outcome.results),
        "failed": len(outcome.failed),
        "results": [asdict(result) | {"passed": result.is_passed} for result in outcome.results],
        "coverage": {
            "percent": round(coverage.percent, 2),
            "wanted": min_coverage,
            "seen": len(coverage.required & coverage.seen),
            "required": len(coverage.required),
            "missing": [asdict(mark) for mark in coverage.missing],
        },
        "cross_check": {
            "evaluations": len(outcome.crossed),
            "not_compared": [{"rule": name, "place": place} for place, name in sorted(outcome.uncrossed)],
            "disagreements": [asdict(each) for each in outcome.disagreements],
        },
    }


def _verdict(*, passed: bool) -> tuple[str, str]:
    return ("ok", "green") if passed else ("FAILED", "bold red")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
