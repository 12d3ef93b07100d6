"""Lexicons: no word twice, none that nobody sees, and none without the law behind it."""

from collections.abc import Mapping
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.policy.bundle import Severity
from fujie.policy.lexicon import normal
from support.bundles import compiled, document, problems

SPEC: Mapping[str, object] = {
    "category": "absolute_claims",
    "articles": ["AdLaw-9"],
    "severity": "deny",
    "source": "Advertising Law of the PRC, 2021 amendment",
    "as_of": "2026-11-21",
    "words": ["最佳", "国家级", "No.1"],
}


def codes(**changed: object) -> list[str]:
    return [problem.code for problem in problems(document("Lexicon", "words", {**SPEC, **changed}))]


def test_a_lexicon_is_kept_with_its_words_in_normal_form() -> None:
    (found,) = compiled(document("Lexicon", "words", SPEC)).lexicons.values()
    assert (found.name, found.category, found.articles) == ("words", "absolute_claims", ("AdLaw-9",))
    assert (found.severity, found.as_of) == (Severity.DENY, date(2026, 11, 21))
    assert found.words == ("no.1", "国家级", "最佳")


def test_exceptions_are_kept_in_normal_form_and_count_in_the_digest() -> None:
    bundle = compiled(document("Lexicon", "words", {**SPEC, "except": ["我是NO.1的", "国家级公园"]}))
    (found,) = bundle.lexicons.values()
    assert found.exceptions == ("国家级公园", "我是no.1的")
    assert bundle.digest != compiled(document("Lexicon", "words", SPEC)).digest


def test_lexicons_come_in_order_of_name_and_count_in_the_digest() -> None:
    one, other = document("Lexicon", "b", SPEC), document("Lexicon", "a", {**SPEC, "severity": "warn"})
    bundle = compiled(one, other)
    assert list(bundle.lexicons) == ["a", "b"]
    assert len({bundle.digest, compiled(one).digest, compiled(other).digest, compiled().digest}) == 4


WRONG: list[tuple[Mapping[str, object], list[str]]] = [
    ({"words": []}, ["EMPTY_LIST"]),
    ({"words": [""]}, ["EMPTY_TEXT"]),
    ({"words": ["\u3000"]}, ["EMPTY_TEXT"]),
    ({"words": ["a\u200bb"]}, ["TEXT_INVALID"]),
    ({"words": ["\u00ad"]}, ["TEXT_INVALID"]),
    ({"words": ["a\nb"]}, ["WORD_INVALID"]),
    ({"words": ["\u0301"]}, ["WORD_INVALID"]),  # it would be found in every text
    ({"words": ["\u00a8", "\u0e34"]}, ["WORD_INVALID"] * 2),
    ({"words": ["x" * 65]}, ["WORD_INVALID"]),
    ({"words": ["\ufdfa" * 4]}, ["WORD_INVALID"]),
    ({"words": ["a", "a"]}, ["DUPLICATE_ITEM"]),
    ({"words": ["Best", "best"]}, ["DUPLICATE_ITEM"]),
    ({"words": ["best", "ｂｅｓｔ"]}, ["DUPLICATE_ITEM"]),
    ({"words": ["straße", "STRASSE"]}, ["DUPLICATE_ITEM"]),
    ({"words": ["é", "e\u0301"]}, ["DUPLICATE_ITEM"]),
    ({"words": [" best ", "best"]}, ["DUPLICATE_ITEM"]),
    ({"words": [1]}, ["WRONG_TYPE"]),
    ({"words": "best"}, ["WRONG_TYPE"]),
    ({"category": "Absolute"}, ["NAME_INVALID"]),
    ({"severity": "Deny"}, ["UNKNOWN_SEVERITY"]),
    ({"severity": "allow"}, ["UNKNOWN_SEVERITY"]),
    ({"articles": []}, ["EMPTY_LIST"]),
    ({"as_of": "2026-02-30"}, ["DATE_INVALID"]),
    ({"as_of": "2026-11"}, ["DATE_INVALID"]),
    ({"as_of": "2026-11-21T00:00:00Z"}, ["DATE_INVALID"]),
    ({"as_of": 2026}, ["WRONG_TYPE"]),
    ({"language": "zh"}, ["UNKNOWN_KEY"]),
    ({"except": []}, ["EMPTY_LIST"]),
    ({"except": ["最佳"]}, ["WORD_INVALID"]),
    ({"except": ["最好"]}, ["WORD_INVALID"]),
    ({"except": ["国家级公园", "国家级公园"]}, ["DUPLICATE_ITEM"]),
]


@pytest.mark.parametrize(("change", "expected"), WRONG, ids=lambda value: repr(value)[:40])
def test_a_lexicon_that_is_not_exactly_right_is_refused(
    change: Mapping[str, object], expected: list[str]
) -> None:
    assert codes(**change) == expected


@pytest.mark.parametrize("key", SPEC)
def test_every_part_of_a_lexicon_is_required(key: str) -> None:
    less = {name: value for name, value in SPEC.items() if name != key}
    assert [found.code for found in problems(document("Lexicon", "words", less))] == ["MISSING_KEY"]


@given(st.text(st.characters(codec="utf-8")))
def test_the_normal_form_of_a_normal_form_is_itself(word: str) -> None:
    assert normal(normal(word)) == normal(word)
