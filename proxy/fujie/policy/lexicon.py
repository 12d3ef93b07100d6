"""Reads Lexicon documents: words that a message may not use, or should not, and the law that says so."""

import re
from collections.abc import Iterable
from datetime import date
from unicodedata import category, normalize

from fujie.policy.bundle import Lexicon, Severity
from fujie.policy.places import Located, Report
from fujie.policy.source import Fields

CATEGORY = re.compile(r"[a-z][a-z0-9_]{0,62}")
DAY = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}")
LONGEST_WORD = 64
"""Code points of the normal form of a word. What is longer is a sentence, which nobody writes the same way twice."""


def read_lexicon(name: Located, spec: Fields, report: Report) -> Lexicon:
    """Read the spec of the Lexicon called `name`."""
    category, severity = spec.text("category"), spec.text("severity")
    articles = tuple(item.text for item in spec.texts("articles", required=True))
    source, as_of = spec.text("source"), _day(spec, report)
    words = _words(spec.texts("words", required=True), report)
    excepted = spec.texts("except")
    for item in excepted:
        form = normal(item.text)
        if form in words or not any(word in form for word in words):
            message = "an exception is longer than a word of the lexicon, and holds it"
            report.problem(item.place, "WORD_INVALID", message)
    if category and not CATEGORY.fullmatch(category.text):
        report.problem(
            category.place, "NAME_INVALID", f"`{category.text}` is not a name: lower_snake, at most 63"
        )
    if severity and severity.text not in set(Severity):
        report.problem(
            severity.place, "UNKNOWN_SEVERITY", f"`{severity.text}` is not a severity: deny or warn"
        )
        severity = None
    return Lexicon(
        name.text,
        category.text if category else "",
        articles,
        Severity(severity.text) if severity else Severity.DENY,
        source.text if source else "",
        as_of,
        words,
        _words(excepted, report),
    )


def normal(word: str) -> str:
    """Return the form in which words are compared: NFKC and case-folded, without outer blanks."""
    return normalize("NFKC", normalize("NFKC", word).casefold()).strip()


def _words(items: Iterable[Located], report: Report) -> tuple[str, ...]:
    first: dict[str, Located] = {}
    for item in items:
        form = normal(item.text)
        if not form.isprintable() or not any(map(_is_seen, form)):
            report.problem(item.place, "WORD_INVALID", "a word is something that can be seen")
        elif len(form) > LONGEST_WORD:
            report.problem(item.place, "WORD_INVALID", f"a word has at most {LONGEST_WORD} code points")
        elif form in first:
            where = f"{first[form].place.file}:{first[form].place.line}"
            report.problem(item.place, "DUPLICATE_ITEM", f"the same word as the one at {where}")
        else:
            first[form] = item
    return tuple(sorted(first))


def _is_seen(character: str) -> bool:
    """Tell whether a character is more than a mark on another one, which no text is searched for: a word of none would be in all."""
    return category(character)[0] not in "MZ"


def _day(spec: Fields, report: Report) -> date:
    item = spec.text("as_of")
    try:
        if item and DAY.fullmatch(item.text):
            return date.fromisoformat(item.text)
    except ValueError:  # the 31st of April
        pass
    if item:
        report.problem(item.place, "DATE_INVALID", 'a day in quotes is meant, "2026-11-21" for example')
    return date.min
