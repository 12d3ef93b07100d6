"""Patterns: bounded work whatever the pattern, and nothing that shows a value by hiding nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.model.pattern import LONGEST_PATTERN, MOST_MATCHES, fault_of, matches


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "visible"), ("a" * (LONGEST_PATTERN + 1), "visible"), ("a\nb", "visible"), ("a\ud800", "visible"), ("a*", "empty"),
        ("^", "empty"), ("a|", "empty"), ("(a", "not RE2"), ("(?=a)", "not RE2"), ("(?<!a)b", "not RE2"), (r"(a)\1", "not RE2"), ("a{1001}", "not RE2"),
        ("((a{100}){100}){100}", "not RE2"), (r"\C", "part of a character"), (r"\p{Nonsense}", "not RE2"), ("\\", "not RE2"),
    ],
)  # fmt: skip
def test_a_pattern_that_can_not_be_used_says_why(pattern: str, why: str) -> None:
    assert why in fault_of(pattern)


def test_nothing_is_written_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    fault_of("(secret")
    assert capfd.readouterr() == ("", "")


def test_matches_are_counted_in_code_points_and_never_empty() -> None:
    assert matches("[0-9]{2,}", "张三12🀄345") == [(2, 4), (5, 8)]
    assert matches(r"[0-9]|\b", "a 1") == [(2, 3)]
    assert matches("b", "aaa") == []


def test_the_number_of_matches_is_bounded_as_all_of_them_take_quadratic_time() -> None:
    assert len(matches("x.*y|x", "x" * MOST_MATCHES) or ()) == MOST_MATCHES
    assert matches("x.*y|x", "x" * 100_000) is None


def test_a_pattern_that_stops_backtracking_engines_is_searched() -> None:
    assert matches("(x+x+)+y", "x" * 100_000) == []


@given(st.text("ab文🀄\0", max_size=30))
def test_matches_are_those_of_another_engine(text: str) -> None:
    assert list(matches("a+b|文.", text) or ()) == [found.span() for found in re.finditer("a+b|文.", text)]


@given(st.text(max_size=30), st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_text_is_a_pattern_or_has_a_fault(pattern: str, text: str) -> None:
    if not fault_of(pattern):
        assert all(start < end for start, end in matches(pattern, text) or ())
