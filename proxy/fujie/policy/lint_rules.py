"""Findings about single grants and guards: what is constant, what refuses without words, what may run out."""

from collections.abc import Callable, Iterator

from fujie.model.facts import LONGEST, Kind
from fujie.model.pattern import MATCHES_NOTHING, fault_of
from fujie.model.reason import LocalizedText
from fujie.policy.bundle import Guard, Rule, Validation
from fujie.policy.cel import MAX_EXPRESSION, MAX_ITERATIONS
from fujie.policy.expression import used
from fujie.policy.lint_finding import Found
from fujie.policy.lint_outcomes import F, T
from fujie.policy.lint_sheet import Sheet
from fujie.policy.lint_subject import Subject, Written
from fujie.policy.lint_tree import iterations, patterns
from fujie.policy.params import literal
from fujie.policy.source import Fields

Recognise = Callable[[str], tuple[str, ...]]
"""Which kinds of personal data stand in a text, or why nobody could look."""

Marks = Iterator[tuple[Sheet, Found]]

_WORDLESS = frozenset({"GUARD_REFUSED", "APPROVAL_REQUIRED"})
"""Reasons that say only that a guard refused, or that it asks; the asker learns nothing."""


_EVERY_SIGN = "".join(map(chr, range(32, 127))) + "中"


def constants(subject: Subject) -> Marks:
    """Find conditions and validations that come to the same whatever is asked."""
    for sheet, grant in subject.grants():
        if rule := grant.condition:
            yield from _condition(subject, Written(sheet, grant.match, rule), "GRANT_NEVER_MATCHES")
    for sheet, guard in subject.guards():
        tuned = _tuned_variables(sheet)
        conditions = [rule for _, rule in guard.conditions if not _is_tuned(rule.text, tuned)]
        if len(conditions) > 1 and _is_never(subject, guard, _all(conditions)):
            message = "the match conditions exclude each other, or the scope of the guard"
            yield sheet, Found("GUARD_NEVER_MATCHES", sheet.name.place, message)
            continue
        never = False
        for rule in conditions:
            for mark in _condition(subject, Written(sheet, guard.match, rule), "GUARD_NEVER_MATCHES"):
                never |= mark[1].code == "GUARD_NEVER_MATCHES"
                yield mark
        given = where_given(conditions)
        for validation in () if never else guard.validations:
            if not _is_tuned(validation.rule.text, tuned):
                yield from _validation(subject, sheet, guard, validation, given)


def _tuned_variables(sheet: Sheet) -> frozenset[str]:
    """Return the variables that depend on a param: what is constant here, another environment may set otherwise."""
    tuned = frozenset[str]()
    for name, entry in sheet.entries("variables", "name"):
        expression = entry.text("expression")
        if expression and _is_tuned(expression.text, tuned):
            tuned |= {name.text}
    return tuned


def _is_tuned(text: str, variables: frozenset[str]) -> bool:
    return bool(used(text, "params") or used(text) & variables)


def _condition(subject: Subject, written: Written, never: str) -> Marks:
    """Look at a condition; an error is no match for a grant, and refuses for a guard."""
    possible = subject.possible.of(written.rule.expanded, written.scope)
    if possible == {F} or (never == "GRANT_NEVER_MATCHES" and T not in possible):
        yield (
            written.sheet,
            Found(never, written.place, "this condition is true for no request of its scope"),
        )
    elif possible == {T}:
        message = "this condition is true for every request of its scope"
        yield written.sheet, Found("CONDITION_ALWAYS_TRUE", written.place, message)


def _validation(subject: Subject, sheet: Sheet, guard: Guard, validation: Validation, given: str) -> Marks:
    """Look at a validation where the match conditions hold: elsewhere nobody heeds it."""
    text = f"({validation.rule.expanded}\n)"
    place = Written(sheet, guard.match, validation.rule).place
    possible = subject.possible
    if possible.of(f"!({given}) || {text}" if given else text, guard.match) == {T}:
        message = f"`{validation.name}` is true for every request that the guard matches"
        yield sheet, Found("VALIDATION_ALWAYS_TRUE", place, message)
    elif validation.approval is None and T not in possible.of(
        f"{given} && {text}" if given else text, guard.match
    ):  # one that may be approved may well ask always
        message = f"`{validation.name}` refuses every request that the guard matches"
        yield sheet, Found("VALIDATION_ALWAYS_FALSE", place, message)


def _is_never(subject: Subject, guard: Guard, text: str) -> bool:
    return subject.possible.of(text, guard.match) == {F}


def where_given(conditions: list[Rule]) -> str:
    """Return the conditions in one expression, to put before a validation; empty for none, and for more than is tried as
    one: split again, they say nothing about the validation, and take their length for each."""
    given = _all(conditions)
    return given if len(given) <= MAX_EXPRESSION else ""


def _all(rules: list[Rule]) -> str:
    return " && ".join(f"({rule.expanded}\n)" for rule in rules)


def unread(subject: Subject) -> Marks:
    """Find variables and params of guards that no expression reads."""
    for sheet in subject.of_kind("Guard"):
        texts = [
            expression.text
            for key in ("variables", "matchConditions", "validations")
            for expression, _ in sheet.entries(key, "expression")
        ]
        read = frozenset[str]().union(*map(used, texts))
        for name, _ in sheet.entries("variables", "name"):
            if name.text not in read:
                message = f"no expression reads `variables.{name.text}`"
                yield sheet, Found("VARIABLE_UNUSED", name.place, message)
        tuned = frozenset[str]().union(*(used(text, "params") for text in texts))
        for param, place in sheet.keys("params").items():
            if param not in tuned:
                yield sheet, Found("PARAM_UNUSED", place, f"no expression reads `params.{param}`")


def budgets(subject: Subject) -> Marks:
    """Find expressions whose loops may take more iterations than the engine has."""
    sizes = {path: LONGEST for path, fact in subject.bundle.facts.items() if fact.kind is Kind.STRINGS}
    sizes["request.fields"] = len(subject.bundle.fields)
    for written in subject.rules():
        at_most = iterations(subject.tree(written.rule), sizes)
        if at_most > MAX_ITERATIONS:
            message = f"its loops take up to {at_most:,} iterations; the engine stops at {MAX_ITERATIONS:,} and refuses"
            yield written.sheet, Found("BUDGET_AT_RISK", written.place, message)


def expression_patterns(subject: Subject) -> Marks:
    """Find patterns of `matches` that match too much, or that nobody can check. Invalid ones do not load."""
    for written in subject.rules():
        for pattern in patterns(subject.tree(written.rule)):
            if pattern is None:
                message = "the pattern comes from a fact; one that is not RE2 refuses when it is met"
                yield written.sheet, Found("PATTERN_NOT_LITERAL", written.place, message)
            elif (fault := fault_of(pattern)) and (
                fault != MATCHES_NOTHING or _matches_all(subject, pattern)
            ):
                yield written.sheet, Found("PATTERN_DOUBTFUL", written.place, f"matches(): {fault}")


def _matches_all(subject: Subject, pattern: str) -> bool:
    """Tell whether a pattern that matches the empty text also matches one with every sign of a keyboard in it:
    `a*`, which is found everywhere, does, `^(east|west)?$` does not."""
    (result,) = subject.bundle.engine.program([f"{literal(_EVERY_SIGN)}.matches({literal(pattern)})"]).run(
        {}
    )
    return result is True


def wordless(subject: Subject) -> Marks:
    """Find validations without a message of their own or of their reason, and without a citation."""
    for sheet, guard in subject.guards():
        places = {name.text: name.place for name, _ in sheet.entries("validations", "name")}
        default = {
            code: subject.bundle.reasons[code].message for code in _WORDLESS & subject.bundle.reasons.keys()
        }
        for validation in guard.validations:
            hit, place = validation.hit, places[validation.name]
            if _is_wordless(hit.message, default.get(hit.code)):
                message = f"`{validation.name}` refuses without a message in Chinese and English"
                yield sheet, Found("MESSAGE_MISSING", place, message)
            if not hit.basis:
                yield sheet, Found("BASIS_MISSING", place, f"`{validation.name}` cites no article")


def _is_wordless(message: LocalizedText, default: LocalizedText | None) -> bool:
    return not (message.zh and message.en) or message == default


def personal_data(subject: Subject, recognise: Recognise) -> Marks:
    """Find personal data in what refusals say: messages and remedies of validations and reasons."""
    owners = [
        (sheet, entry)
        for sheet in subject.of_kind("Guard")
        for _, entry in sheet.entries("validations", "name")
    ]
    owners += [
        (sheet, entry)
        for sheet in subject.of_kind("Reasons")
        for _, entry in sheet.entries("reasons", "code")
    ]
    for sheet, entry in owners:
        for key in ("message", "remedy"):
            yield from _personal(sheet, entry, key, recognise)


def _personal(sheet: Sheet, entry: Fields, key: str, recognise: Recognise) -> Marks:
    texts = entry.fields(key, required=False)
    for language, text in texts.each_text().items() if texts else ():
        if kinds := recognise(text.text):
            message = f"the {key} ({language}) seems to hold personal data: {', '.join(kinds)}"
            yield sheet, Found("PERSONAL_DATA_IN_TEXT", text.place, message)
