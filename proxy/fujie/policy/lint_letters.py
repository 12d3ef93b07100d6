"""Findings about words that look like others: who reviews `'еast'` does not see that its first letter is Cyrillic.

Invisible and direction characters do not load at all (`source.py`); these do, since somebody may mean them.
"""

import unicodedata
from collections.abc import Iterator

from fujie.policy.expression import texts_in
from fujie.policy.lint_finding import Found
from fujie.policy.lint_sheet import Sheet
from fujie.policy.lint_subject import Subject
from fujie.policy.lint_tree import mentions
from fujie.policy.places import Located
from fujie.policy.source import Fields

Marks = Iterator[tuple[Sheet, Found]]

_SCRIPTS = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "DESERET")
"""Scripts with letters that look like Latin ones (Unicode Technical Standard 39, confusables)."""


_LIKE_NONE = frozenset("ΓΔΘΛΞΠΣΦΨΩβδζθλμξπσφψ")
"""Greek letters that look like no letter of ASCII: units (μg, Ω), sums, groups."""


def lookalikes(subject: Subject) -> Marks:
    """Find words in rules, roles, stores and params with letters that look like others, or blanks at an end."""
    for written in subject.rules():
        if sign := _odd(written.rule.text):
            yield written.sheet, Found("LOOKALIKE", written.place, _message(sign))
        if any(
            _may_have_blank_end(literal) for literal in texts_in(written.rule.expanded)
        ):  # a tree costs more than a look at the tokens
            words = dict.fromkeys(word for _, word in mentions(subject.tree(written.rule)))
            for word in (word for word in words if word != word.strip()):
                yield written.sheet, Found("LOOKALIKE", written.place, _of_blank(word))
    for sheet in subject.sheets:
        names = list(_names(sheet))
        for item in (*names, *_others(sheet)):
            if sign := _odd(item.text):
                yield sheet, Found("LOOKALIKE", item.place, _message(sign))
        for item in names:
            if item.text != item.text.strip():
                yield sheet, Found("LOOKALIKE", item.place, _of_blank(item.text))


def _names(sheet: Sheet) -> Iterator[Located]:
    """Yield the roles and stores of a document: they are compared as a whole."""
    if sheet.kind in ("Grant", "Guard"):
        yield from sheet.spec.texts("roles")
        if match := sheet.spec.fields("match", required=False):
            yield from match.texts("stores")
    for _, entry in sheet.entries("validations", "name"):
        if approval := entry.fields("approval", required=False):
            yield from approval.texts("roles")


def _others(sheet: Sheet) -> Iterator[Located]:
    """Yield the texts of params, and the expressions of variables: what a rule does with them stands in the rule."""
    for _, entry in sheet.entries("variables", "name") if sheet.kind == "Guard" else ():
        if expression := entry.text("expression"):
            yield Located(expression.text, expression.at(1, 1))
    if sheet.kind == "Guard" and (params := sheet.spec.fields("params", required=False)):
        yield from _values(params)
    if sheet.kind == "Params" and (guards := sheet.spec.fields("guards")):
        for _, params in guards.each_fields():
            yield from _values(params)


def _values(params: Fields) -> Iterator[Located]:
    for name in params.names:
        value = params.literal(name)
        texts = value if isinstance(value, tuple) else (value,)
        yield from (Located(text, params.key_place(name)) for text in texts if isinstance(text, str))


def _odd(text: str) -> str:
    """Return the first letter or digit that looks like an ASCII one and is another; empty when there is none."""
    return next((sign for sign in text if not sign.isascii() and _looks_latin(sign)), "")


def _looks_latin(sign: str) -> bool:
    if sign in _LIKE_NONE or unicodedata.category(sign) in (
        "No",
        "So",
    ):  # ①, m², ㎡: nobody takes them for letters
        return False
    folded = unicodedata.normalize("NFKC", sign)
    return (folded.isascii() and folded.isalnum()) or unicodedata.name(sign, "").startswith(_SCRIPTS)


def _may_have_blank_end(literal: str) -> bool:
    bare = literal.lstrip("bBrR").strip("'\"")
    return bare != bare.strip() or "\\" in bare  # an escape may be a blank: those of params are written so


def _of_blank(word: str) -> str:
    return f"'{word}' begins or ends with a blank, and equals no word without it"


def _message(sign: str) -> str:
    name = unicodedata.name(sign, "a letter without a name").lower()
    return f"`{sign}` (U+{ord(sign):04X}, {name}) looks like another letter"
