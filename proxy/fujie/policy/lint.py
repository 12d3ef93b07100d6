"""The lint: what is wrong with policies that load. Every finding has a code, a place and what to do about it.

1. The checks look at the checked bundle beside its documents as written.
2. An annotation silences findings of its document: `lint.fujie.dev/ignore: "CODE: reason; CODE2: reason"`. One
   without a reason, of a code that is not known, or that silences nothing is a finding itself.
"""

import re
from collections.abc import Callable, Iterator, Mapping

from fujie.policy import lint_letters, lint_params, lint_rules, lint_scopes, lint_words
from fujie.policy.bundle import Bundle
from fujie.policy.lint_finding import CODES, OF_OTHERS, UNSILENCEABLE, Finding, Found, Severity
from fujie.policy.lint_outcomes import Possible
from fujie.policy.lint_rules import Marks, Recognise
from fujie.policy.lint_sheet import Sheet, read_sheets
from fujie.policy.lint_subject import Subject
from fujie.policy.places import Report

_SILENCE = re.compile(r"([A-Z][A-Z_]+):.*[^\W_].*", re.DOTALL)  # a reason has a letter or digit

_CHECKS: tuple[Callable[[Subject], Marks], ...] = (
    lint_rules.constants,
    lint_rules.unread,
    lint_rules.budgets,
    lint_rules.expression_patterns,
    lint_rules.wordless,
    lint_scopes.steps,
    lint_scopes.idle_guards,
    lint_scopes.shadowed,
    lint_words.unused,
    lint_words.unknown,
    lint_words.approvers,
    lint_words.unlooked,
    lint_params.disarmed,
    lint_letters.lookalikes,
)


def lint(files: Mapping[str, bytes], bundle: Bundle, recognise: Recognise) -> tuple[Finding, ...]:
    """Return what is to be said about `bundle`, which `files` compiled to, in order of place.

    `recognise` says which kinds of personal data stand in a text. Costs about as much as compiling.
    """
    report = Report()
    sheets = read_sheets(files, report)
    possible = Possible(bundle)
    subject = Subject(bundle, sheets, {(sheet.kind, sheet.name.text): sheet for sheet in sheets}, possible)
    marks = [mark for check in _CHECKS for mark in check(subject)]
    marks += lint_rules.personal_data(subject, recognise)
    if possible.is_exhausted:
        message = "there are too many cases to tell which expressions are constant"
        marks.append((sheets[0], Found("LINT_INCOMPLETE", sheets[0].name.place, message)))
    kept = list(_kept(sheets, marks))
    findings = {_finding(sheet, found, report) for sheet, found in kept}
    return tuple(
        sorted(findings, key=lambda each: (each.file, each.line, each.column, each.code, each.message))
    )


def _kept(sheets: tuple[Sheet, ...], marks: list[tuple[Sheet, Found]]) -> Marks:
    """Yield what no annotation silences, and what is wrong with the annotations."""
    by_sheet: dict[tuple[str, str], set[str]] = {}
    for sheet, found in marks:
        by_sheet.setdefault((sheet.kind, sheet.name.text), set()).add(found.code)
    silenced: dict[tuple[str, str], set[str]] = {}
    for sheet in sheets:
        if sheet.silence:
            key = sheet.kind, sheet.name.text
            silenced[key], wrong = _silences(sheet.silence.text, by_sheet.get(key, set()))
            yield from ((sheet, Found(code, sheet.silence.place, message)) for code, message in wrong)
    for sheet, found in marks:
        if found.code not in silenced.get((sheet.kind, sheet.name.text), ()):
            yield sheet, found


def _silences(text: str, found: set[str]) -> tuple[set[str], list[tuple[str, str]]]:
    """Return the codes that an annotation silences, and what is wrong with it."""
    codes: set[str] = set()
    wrong: list[tuple[str, str]] = []
    for part in text.split(";"):
        match = _SILENCE.fullmatch(part.strip())
        if match is None:
            wrong.append(("SILENCE_INVALID", f"`{part.strip()[:40]}` is not a code and a reason"))
        elif match[1] not in CODES or match[1] in UNSILENCEABLE:
            wrong.append(("SILENCE_INVALID", f"{match[1]} is not a code that can be silenced"))
        elif match[1] in codes or match[1] not in found:
            idle = match[1] in OF_OTHERS - codes
            message = f"there is no {match[1]} in this document"
            wrong.append(("SILENCE_IDLE" if idle else "SILENCE_UNUSED", message))
        else:
            codes.add(match[1])
    return codes, wrong


def _finding(sheet: Sheet, found: Found, report: Report) -> Finding:
    severity, remedy = CODES[found.code]
    place = found.place
    source = report.line(place.file, place.line)
    return Finding(
        found.code,
        severity,
        place.file,
        place.line,
        place.column,
        sheet.title,
        found.message,
        remedy,
        source,
    )


def blocking(findings: tuple[Finding, ...], *, strict: bool) -> Iterator[Finding]:
    """Yield the findings for which a check fails: errors, and warnings when it is strict; never hints."""
    refused = {Severity.ERROR, Severity.WARNING} if strict else {Severity.ERROR}
    return (finding for finding in findings if finding.severity in refused)
