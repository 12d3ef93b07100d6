"""Findings about values that an environment sets: a guard that they leave nothing to refuse."""

from collections.abc import Iterator, Mapping

from fujie.policy.bundle import Guard
from fujie.policy.expression import used
from fujie.policy.lint_finding import Found
from fujie.policy.lint_outcomes import F, T
from fujie.policy.lint_rules import where_given
from fujie.policy.lint_sheet import Sheet
from fujie.policy.lint_subject import Subject
from fujie.policy.places import Place

Marks = Iterator[tuple[Sheet, Found]]


def disarmed(subject: Subject) -> Marks:
    """Find Params documents whose values make a validation true, or a condition false, whatever is asked.

    Who tunes a number must not turn a rule off unseen: the guard still stands there as it was reviewed. The defaults of a
    guard itself are not looked at, since they are reviewed with it.
    """
    guards = {guard.name: (sheet, guard) for sheet, guard in subject.guards()}
    for sheet in subject.of_kind("Params"):
        for name in sheet.keys("guards"):
            of_guard, guard = guards[name]
            reads = _Readers(of_guard, sheet.keys("guards", name))
            yield from ((sheet, found) for found in _of_guard(subject, guard, reads))


class _Readers:
    """Which of the params that are `set` an expression of a guard reads, by itself or by its variables."""

    def __init__(self, guard: Sheet, places: Mapping[str, Place]) -> None:
        self._places = places
        self._of_variables: dict[str, frozenset[str]] = {}
        for name, entry in guard.entries("variables", "name"):
            expression = entry.text("expression")
            self._of_variables[name.text] = self._in(expression.text if expression else "")

    def of(self, *texts: str) -> frozenset[str]:
        """Return the params that are set and that they read."""
        return frozenset[str]().union(*map(self._in, texts)) & self._places.keys()

    def place(self, names: frozenset[str]) -> Place | None:
        """Return where the first of them is set; None without any."""
        return min((self._places[name] for name in names), key=lambda place: place.line, default=None)

    def _in(self, text: str) -> frozenset[str]:
        return used(text, "params").union(*(self._of_variables.get(name, ()) for name in used(text)))


def _of_guard(subject: Subject, guard: Guard, reads: _Readers) -> Iterator[Found]:
    conditions = [rule for _, rule in guard.conditions]
    given = " && ".join(f"({rule.expanded}\n)" for rule in conditions)
    on_conditions = reads.of(*[rule.text for rule in conditions])
    place = reads.place(on_conditions)
    if place and subject.possible.of(given, guard.match) == {F}:
        yield Found("PARAM_DISARMS", place, f"with this value {guard.name} matches no request")
        return
    given = where_given(conditions)
    for validation in guard.validations:
        text = f"({validation.rule.expanded}\n)"
        place = reads.place(reads.of(validation.rule.text) | on_conditions)
        if place and subject.possible.of(f"!({given}) || {text}" if given else text, guard.match) == {T}:
            message = f"with this value `{validation.name}` of {guard.name} refuses nothing"
            yield Found("PARAM_DISARMS", place, message)
