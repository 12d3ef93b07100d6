"""Findings about grants and guards beside each other: what no grant opens, what another one opens already."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from typing import Final

from fujie.model.step import Step
from fujie.model.vocabulary import CUSTOMER_ACTIONS, FIELD_ACTIONS, SEARCHES, Action
from fujie.policy.bundle import FieldClass, Grant, Match
from fujie.policy.lint_finding import Found
from fujie.policy.lint_sheet import Sheet
from fujie.policy.lint_subject import Subject

MOST_COMPARED: Final = 1_000_000
"""Pairs of grants, and of guards and grants, that are compared: a second each. Real bundles have thousands."""

Marks = Iterator[tuple[Sheet, Found]]
_OMIT = Step("omit")


def steps(subject: Subject) -> Marks:
    """Find steps of grants above the floor, steps of guards that close nothing, and grants that show nothing."""
    for sheet, grant in subject.grants():
        places = sheet.keys("fields")
        for name, step in grant.fields.items():
            field = subject.bundle.fields[name]
            if _openness(field, step) < _openness(field, field.floor):
                message = f"{step} is more open than the floor of {field.data_class}, {field.floor}"
                yield sheet, Found("STEP_ABOVE_FLOOR", places[name], message)
        if grant.match.actions <= FIELD_ACTIONS and all(step == _OMIT for step in grant.fields.values()):
            message = "it leaves out every field that it names"
            yield sheet, Found("GRANT_NEVER_MATCHES", sheet.name.place, message)
    for sheet, guard in subject.guards():
        places = sheet.keys("fields")
        for name, step in guard.fields.items():
            field = subject.bundle.fields[name]
            if _openness(field, step) <= _openness(field, field.floor):
                message = f"{step} closes nothing: the floor of {field.data_class} is {field.floor}"
                yield sheet, Found("STEP_CLOSES_NOTHING", places[name], message)


def _openness(field: FieldClass, step: Step) -> int:
    """Return the place of a step on the ladder: the larger, the more closed."""
    return field.ladder.steps.index(step)


def idle_guards(subject: Subject) -> Marks:
    """Find guards for requests that no grant opens."""
    matches = dict.fromkeys(grant.match for grant in subject.bundle.grants)
    widest = sorted(matches, key=lambda match: (len(match.stores), len(match.keys), -len(match.purposes)))
    opened = {action: [match for match in widest if action in match.actions] for action in Action}
    compared = count(1)
    for sheet, guard in subject.guards():
        met = (
            _meet(action, match, guard.match)
            for action in guard.match.actions
            for match in opened[action]
            if next(compared) <= MOST_COMPARED
        )
        is_met = any(met)
        if next(compared) > MOST_COMPARED:
            message = "there are too many guards and grants to tell which guards no grant meets"
            yield sheet, Found("LINT_INCOMPLETE", sheet.name.place, message)
            return
        if not is_met:
            yield (
                sheet,
                Found("GUARD_WITHOUT_GRANT", sheet.name.place, "no grant opens what this guard closes"),
            )


def _meet(action: Action, ours: Match, theirs: Match) -> bool:
    """Tell whether there are requests that both are about."""
    if action not in CUSTOMER_ACTIONS:
        return True
    searched = theirs.keys <= SEARCHES and bool(theirs.keys)
    return (
        _overlap(ours.purposes, theirs.purposes)
        and _overlap(ours.stores, theirs.stores)
        and (bool(ours.keys & theirs.keys) if searched else _overlap(ours.keys, theirs.keys))
    )


def _overlap(some: frozenset[str], others: frozenset[str]) -> bool:
    return not some or not others or bool(some & others)


def shadowed(subject: Subject) -> Marks:
    """Find grants all of whose effects another one has: it opens whatever they open, as far and without limits."""
    wide: dict[tuple[Action, str], list[Grant]] = defaultdict(list)
    for grant in subject.bundle.grants:
        if not grant.limits:
            for action in grant.match.actions:
                for role in grant.roles:
                    wide[action, role].append(grant)
    compared = 0
    for sheet, grant in subject.grants():
        key = min(grant.match.actions), min(grant.roles)
        compared += len(wide[key])
        if compared > MOST_COMPARED:
            message = "there are too many grants to tell which are contained in others"
            yield sheet, Found("LINT_INCOMPLETE", sheet.name.place, message)
            return
        if other := next((other for other in wide[key] if _contains(subject, other, grant)), None):
            yield (
                sheet,
                Found("GRANT_SHADOWED", sheet.name.place, f"`{other.name}` opens all that it opens"),
            )


def _contains(subject: Subject, other: Grant, grant: Grant) -> bool:
    """Tell whether `other`, which has no limits, opens all that `grant` opens. Of two equal ones the later name is told."""
    if other is grant or not (_covers(other, grant) and _as_far(subject, other, grant)):
        return False
    is_equal = not grant.limits and _covers(grant, other) and _as_far(subject, grant, other)
    return other.name < grant.name or not is_equal


def _covers(other: Grant, grant: Grant) -> bool:
    """Tell whether `other` matches whenever `grant` does."""
    ours, theirs = other.match, grant.match
    same_condition = (
        grant.condition is not None
        and other.condition is not None
        and (other.condition.expanded == grant.condition.expanded)
    )
    searched = theirs.keys & SEARCHES
    return (
        ours.actions >= theirs.actions
        and other.roles >= grant.roles
        and _within(theirs.purposes, ours.purposes)
        and _within(theirs.stores, ours.stores)
        and (_within(theirs.keys, ours.keys) and searched <= ours.keys)
        and (other.condition is None or same_condition)
        and (
            other.valid_from is None
            or (grant.valid_from is not None and other.valid_from <= grant.valid_from)
        )
        and (
            other.valid_until is None
            or (grant.valid_until is not None and other.valid_until >= grant.valid_until)
        )
    )


def _within(some: frozenset[str], others: frozenset[str]) -> bool:
    return not others or (bool(some) and some <= others)


def _as_far(subject: Subject, other: Grant, grant: Grant) -> bool:
    fields = subject.bundle.fields
    return all(
        name in other.fields
        and _openness(fields[name], other.fields[name]) <= _openness(fields[name], step)
        for name, step in grant.fields.items()
    )
