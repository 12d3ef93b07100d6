"""The text of filters: what is read is what was written, and what is not understood is refused by its place alone."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.filter_text import DEEPEST, LONGEST, MOST_COMPARISONS, parse_filter
from fujie.model.errors import RequestError
from fujie.model.predicate import ANYTHING, Operator, Predicate, comparisons
from support.filters import COLUMNS, Tree, trees, written

KNOWN = frozenset({*COLUMNS, "phone"})


def refusal(text: str) -> str:
    with pytest.raises(RequestError) as caught:
        parse_filter(text, KNOWN)
    assert (caught.value.code, caught.value.field) == ("FILTER_INVALID", "filter")
    return caught.value.detail


@pytest.mark.parametrize("text", ["", " ", "\t\r\n"])
def test_an_empty_filter_lets_every_row_pass(text: str) -> None:
    assert parse_filter(text, KNOWN) == ANYTHING


@given(trees())
def test_both_negations_brackets_and_blanks_read_alike(tree: Tree) -> None:
    plain = repr(parse_filter(written(tree), KNOWN))  # as text: 1, 1.0 and True are equal to Python
    assert repr(parse_filter(written(tree, minus=True), KNOWN)) == plain
    assert repr(parse_filter(f"\n( {written(tree)} )\t", KNOWN)) == plain


def test_or_binds_tighter_than_and() -> None:
    assert parse_filter("n = 1 AND n = 2 OR t:*", KNOWN) == parse_filter("n = 1 AND (n = 2 OR t:*)", KNOWN)
    assert parse_filter("n = 1 OR n = 2 AND t:*", KNOWN) == parse_filter("(n = 1 OR n = 2) AND t:*", KNOWN)
    assert parse_filter("n = 1 OR n = 2 AND t:*", KNOWN) != parse_filter("n = 1 OR (n = 2 AND t:*)", KNOWN)


@pytest.mark.parametrize(
    ("written_as", "constant"),
    [
        ("5", 5), ("-5", -5), ("-0", 0), ("9223372036854775807", 2**63 - 1), ("2.50", 2.5), ("-0.1", -0.1), ("true", True),
        ("false", False), ('"true"', "true"), ('"5"', "5"), ("abc", "abc"), ("上海", "上海"), ("2024-05-06", "2024-05-06"),
        ("a_b-c", "a_b-c"), ('""', ""), (r'"a\"b\\c"', 'a"b\\c'), ('"AND"', "AND"), ('"NULL"', "NULL"), ("True", "True"),
    ],
)  # fmt: skip
def test_values_have_the_type_that_is_written(written_as: str, constant: object) -> None:
    (found,) = comparisons(parse_filter(f"n = {written_as}", KNOWN))
    assert (found.constant, type(found.constant)) == (constant, type(constant))


@pytest.mark.parametrize(
    ("text", "at", "why"),
    [
        ("n", 2, "one of ="), ("n =", 4, "a value"), ("= 1", 1, "a field"), ("n = 1 t = a", 7, "AND, OR"),
        ("n = 1 and t = a", 7, "AND, OR"), ("n = 1 AND", 10, "a field"), ("(n = 1", 7, "closing bracket"),
        ("n = 1)", 6, "AND, OR"), ("()", 2, "a field"), ("n == 1", 4, "a value"), ("n <> 1", 4, "a value"),
        ("n = AND", 5, "a value"), ("NOT NOT n = 1", 5, "a field"), ("--n = 1", 2, "no such field"), ("- n", 4, "one of ="),
        ("shoe = 1", 1, "no such field"), ("N = 1", 1, "no such field"), ('"n" = 1', 1, "a field"), ("1 = n", 1, "no such field"),
        ("n.t = 1", 1, "dots"), ("n = a.b", 5, "double quotes"), ("upper(t) = a", 1, "functions"),
        ("t = upper(a)", 5, "functions"), ('t = "a*"', 7, "wildcards"), ("t = *", 5, "wildcards"), ("t = a*", 6, "wildcards"),
        ("* = 1", 1, "wildcards"), ("t:a", 3, "presence"), ("t:", 3, "presence"), ("t = 'a'", 5, "double quotes"), ('t = "a', 5, "not closed"),
        (r't = "\n"', 6, "backslash"), ("n = 1,2", 6, "comma"), ("n = 1; DROP TABLE x", 5, "double quotes"), ("n = 007", 5, "leading zeros"),
        ("n = 1e5", 5, "exponent"), ("n = +1", 5, "plus"), ("n = .5", 5, "a number"), ("n = 9223372036854775808", 5, "64 bits"),
        ("n = 1.123456789012345", 5, "15 digits"), ("n = " + "9" * 3000, 5, "64 bits"), ("n < true", 5, "order"), ("n = null", 5, "no value"),
        ("n ＝ 1", 3, "one of ="), ("（n = 1）", 1, "no such field"), ("ｎ = 1", 1, "no such field"), ("t = ａ", 5, "double quotes"),
        ("n = 1 ＡＮＤ n = 2", 7, "AND, OR"), ("t = “a”", 5, "double quotes"), ("t\u00a0= a", 1, "no such field"), ("n\u200b = 1", 1, "no such field"),
        ("n = 1 -- x", 7, "AND, OR"), ("n = 1 OR 1=1", 10, "no such field"), ("n = 1 UNION SELECT", 7, "AND, OR"),
        ("n = \0", 5, "NUL"), ("t = \ud800", 5, "surrogates"), ('t = "\udfff"', 6, "surrogates"), ("t = \x01", 5, "double quotes"),
        ("t = /*a*/", 5, "double quotes"), ("t = @x", 5, "double quotes"), ("t = -a", 5, "double quotes"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused_at_its_place(text: str, at: int, why: str) -> None:
    found = refusal(text)
    assert found.startswith(f"filter, position {at}: ")
    assert why in found


def test_bounds_are_exact() -> None:
    fit = " AND ".join(["n = 1"] * MOST_COMPARISONS)
    assert len(list(comparisons(parse_filter(fit, KNOWN)))) == MOST_COMPARISONS
    assert f"at most {MOST_COMPARISONS} comparisons" in refusal(fit + " OR n = 2")
    deep = "(" * DEEPEST + "n = 1" + ")" * DEEPEST
    assert parse_filter(deep, KNOWN) == parse_filter("n = 1", KNOWN)
    assert f"at most {DEEPEST} deep" in refusal(f"({deep})")
    assert parse_filter("n = 1" + " " * (LONGEST - 5), KNOWN) != ANYTHING
    assert f"at most {LONGEST} characters" in refusal("n = 1" + " " * (LONGEST - 4))


@pytest.mark.parametrize(
    "text",
    ["(" * LONGEST, "-" * LONGEST, "NOT " * 1_000, '"' * LONGEST, '\\"' * 2_000, '"\\' * 2_000, "n=" * 2_000, ":*" * 2_000,
     "n = " + "-" * 3_900 + "!", "n = 1 OR " * 444, "n = " + "1" * 3_990 + ".", "é" * LONGEST],
)  # fmt: skip
def test_long_hostile_texts_are_refused(text: str) -> None:
    assert refusal(text)


HOSTILE = st.lists(
    st.sampled_from(
        ["n", "t", "phone", " ", "(", ")", "-", "=", "!=", "<", ">=", ":", "*", ":*", '"', "'", "\\", "AND", "OR", "NOT", "1", "-2.5",
         "true", ";", "--", "/*", "\0", "\ud800", "＝", "。", "\u202e", "null", "x.y", ",", "張"]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@given(HOSTILE | st.text(st.characters(), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    found, refused = tried(text)
    if refused is not None:
        assert refused.code == "FILTER_INVALID"
        place = re.match(r"filter, position (\d+): ", refused.detail)
        assert place is not None
        assert 1 <= int(place[1]) <= len(text) + 1
    read = list(comparisons(found))
    assert {each.column.name for each in read} <= KNOWN
    assert all((c.constant is None) is (c.operator in (Operator.PRESENT, Operator.ABSENT)) for c in read)


def tried(text: str) -> tuple[Predicate, RequestError | None]:
    try:
        return parse_filter(text, KNOWN), None
    except RequestError as error:
        return ANYTHING, error


@pytest.mark.parametrize(
    "form",
    [
        "{} = 1",
        "n = {} t",
        'n = "{}" x',
        'n = "{}',
        "{}(n)",
        "n {} 1",
        "n = {}.{}",
        'n = "{}*"',
        "n = ({})",
        "n:{}",
        '"{}" = 1',
        "n = 1 {}",
    ],
)
def test_a_refusal_repeats_nothing_of_the_text(form: str) -> None:
    told = [
        re.sub(r"\d+", "#", refusal(form.replace("{}", secret)))
        for secret in ("zhangsan", "liuqiangdong_of_shanghai")
    ]
    assert told[0] == told[1]
    assert "zhangsan" not in told[0]
