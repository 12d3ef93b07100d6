"""What is said of an expression that does not compile: what to write instead, in the words of policies, whatever was written."""

import difflib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.model.facts import FactType, Kind
from fujie.policy.advice import Spot, advise, close_to
from fujie.policy.cel import MAX_EXPRESSION, Checked, Engine
from fujie.policy.walk import Problem
from support.bundles import FACTS
from support.odd_bundles import EXPRESSIONS

ENGINE = Engine(FACTS)
OF_THE_ENGINE = ("overload", "undeclared", "_==_", "<EOF>", "Syntax error", "operand", "list(string)", "IDENTIFIER", "*error*", "recursion", "CANCELLED")  # fmt: skip
"""What only who wrote the engine understands."""


def said(text: str) -> tuple[Problem, ...]:
    found = ENGINE.check(text)
    assert not isinstance(found, Checked), text
    return found


MISTAKES = (
    ("customer.minor is false", 16, "`==`"),
    ("not customer.minor", 5, "`!`"),
    ("customer.minor and true", 16, "`&&`"),
    ("customer.minor or true", 16, "`||`"),
    ("customer.minor = false", 16, "`==`"),
    ("consent.state === GIVEN", 17, "`==`"),
    ("consent.state <> GIVEN", 16, "`!=`"),
    ("time.hour => 8", 11, "`>=`"),
    ("customer.minor & true", 16, "`&&`"),
    ("customer.minor | true", 16, "`||`"),
    ("customer.minor;", 15, "no `;`"),
    ("customer.minor == True", 19, "`true`"),
    ("customer.minor == null", 16, "an unknown fact refuses by itself"),
    ("customer.owner == None", 19, "an unknown fact refuses by itself"),
    ("customer.minor == 'true'", 16, "without quotes"),
    ("consent.state == 'GIVEN'", 15, "bare words without quotes: NONE, REQUESTED, GIVEN"),
    ("'GIVEN' != consent.state", 9, "bare words without quotes: NONE, REQUESTED, GIVEN"),
    ("consent.state in ['GIVEN']", 15, "bare words without quotes: NONE, REQUESTED, GIVEN"),
    ("consent.state == GIVNE", 18, "did you mean `GIVEN`?"),
    ("principal.role == 'clerk'", 10, "did you mean `roles`?"),
    ("customers.minor", 10, "did you mean `customer.minor`?"),
    ("minor", 1, "did you mean `customer.minor`?"),
    ("customer.address == 'x'", 9, "declare it in a FieldCatalog, attributes.customer"),
    ("request.action == lookup", 19, "a text stands in quotes: 'lookup'"),
    ("principal.roles == 'clerk'", 17, "`'x' in list`"),
    ("request.fields.contains('phone')", 24, "`'x' in list`"),
    ("'east' in principal.department", 8, "`.contains('x')`"),
    ("customer.tags.any(t, true)", 18, "`list.exists(x, ...)`"),
    ("len(customer.tags) > 1", 4, "`size(list)`"),
    ("customer.tags.length > 1", 14, "`size(list)`"),
    ("customer.owner.startWith('x')", 25, "did you mean `startsWith`?"),
    ("customer.owner.lowerAscii() == 'x'", 26, "(?i)"),
    ("now() > 3", 4, "no clock"),
    ("time.hour > '8'", 11, "numbers stand without quotes"),
    ("time.hour == 8.0", 11, "without a decimal point"),
    ("8 < time.hour < 20", 15, "`1 < x && x < 5`"),
    ("time.hour in 8..20", 16, "no ranges"),
    ("customer.owner == “east”", 19, "`“` is no sign of CEL"),
    ("（customer.minor）", 1, "`（` is no sign of CEL"),
    ("customer.owner == 'east", 19, "a quote is opened"),
    ("(customer.minor", 16, "')' is missing"),
    ("customer.minor &&", 18, "ends too early"),
    ("if customer.minor then true", 4, "`condition ? value : other`"),
    ("customer.points > 99999999999999999999", 19, "64 bits"),
    ("variables.x", 10, "no variable `x`"),
    ("params.x > 1", 7, "no param `x`"),
    ("customer.minor == 1", 16, "`true` or `false`"),
    ("customer.minor >= 1", 16, "`1 < x && x < 5`"),
    ("customer.minor == TRUE", 19, "`true`"),
    ("customer.minor AND true", 16, "`&&`"),
    ("exists(customer.tags, t, t == 'x')", 7, "`list.exists(x, ...)`"),
    ("customer.tags.exists(t == 'x')", 21, "`list.exists(x, ...)`"),
    ("size() > 1", 5, "`size(list)`"),
    ("customer.tags.size > 1", 14, "`size(list)`"),
    ("customer.tags != 'x'", 15, "a list of texts"),
    ("customer.owner in ['a' 'b']", 24, "`'b'` can not stand here"),
    (r"customer.owner == '\q'", 19, r"holds a `\` that is not written twice"),
    ("customer.minor" + " == true" * 40, 1, "nested too deep"),
    ("(" * 40 + "customer.minor" + ")" * 40, 1, "nested too deep"),
    ("customer.", 10, "a name is missing behind the `.`"),
    ("Customer.minor", 9, "`customer` as a whole"),
    ("consent == GIVEN", 9, "`consent` as a whole"),
)  # fmt: skip


@pytest.mark.parametrize(("text", "column", "advice"), MISTAKES, ids=[each[0] for each in MISTAKES])
def test_a_mistake_that_people_make_is_answered_with_what_to_write(
    text: str, column: int, advice: str
) -> None:
    assert any(problem.column == column and advice in problem.message for problem in said(text)), said(text)
    for problem in said(text):
        assert not any(word in problem.message for word in OF_THE_ENGINE), problem.message


def test_an_error_of_syntax_is_said_once_and_all_wrong_names_are() -> None:
    assert len(said("customer.minor = false")) == 1
    assert [each.column for each in said("customer.minr || principal.role == consent.stat")] == [9, 27, 43]


def test_a_loop_written_as_a_function_is_one_mistake_and_not_one_for_each_of_its_variables() -> None:
    for text in (
        "exists(customer.tags, t, t == 'x')",
        "customer.tags.exists(t == 'x')",
        "any(customer.tags, t, t == t)",
    ):
        assert [each.message for each in said(text)] == ["write `list.exists(x, ...)`"]
    misspelt = [each.message for each in said("all(customer.tags, t, t == 'x' && minor)")]
    assert len(misspelt) == 2
    assert "write `list.all(x, ...)`" in misspelt
    assert any("`customer.minor`" in each for each in misspelt)
    (odd,) = said("customer.tags.exists(t.x, true)")
    assert "one word of yours" in odd.message


def test_what_is_advised_instead_of_a_name_is_there() -> None:
    """A wrong suggestion costs more than none: has() is refused, and what was written is no other word than itself."""
    for text in (
        "customer.qqqqq",
        "zzzzz",
        "qqqq(1)",
        "principal.roles == QQQQQ",
        "hass(customer.owner)",
        "exists(customer.tags, t, t == 'x')",
        "size()",
    ):
        assert "did you mean" not in " ".join(each.message for each in said(text))


def test_a_name_that_several_roots_have_is_not_guessed() -> None:
    """Who asks for the principal's region must not be led to the customer's."""
    both = Engine({"customer.area": FactType(Kind.STRING), "principal.area": FactType(Kind.STRING)})
    (problem,) = both.check("area == 'east'")  # type: ignore[misc] # it does not compile
    assert "`customer.area` or `principal.area`" in problem.message


@given(st.sampled_from(sorted(FACTS)), st.data())
def test_a_name_with_one_wrong_letter_is_found_again(path: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(path) - 1))
    if len(path) > 5:
        assert close_to(f"{path[:at]}9{path[at + 1 :]}", FACTS) == f"; did you mean `{path}`?"


def test_few_names_are_compared_as_texts_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes 50 microseconds: 200 for each of 10,000 unknown fields were a minute and a half of a gate that reloads."""
    compared: list[int] = []
    near = difflib.get_close_matches

    def counted(word: str, names: list[str], **others: Any) -> list[str]:
        compared.append(len(names))
        return near(word, names, **others)

    monkeypatch.setattr(difflib, "get_close_matches", counted)
    many = [f"attribute_of_a_customer_number_{n}" for n in range(1_000)]
    assert close_to("atribute_of_a_customer_number_77", many) == f"; did you mean `{many[77]}`?"
    assert compared == [3]


@given(EXPRESSIONS, st.text(" =!&|<>'\"`“（;.,:{[()]}$\n", max_size=4), st.integers(0, 60))
def test_whatever_is_written_has_an_answer(text: str, noise: str, at: int) -> None:
    broken = text[:at] + noise + text[at:]
    found = ENGINE.check(broken)
    if isinstance(found, tuple):
        assert found
        lines = broken.split("\n")
        for problem in found:
            assert problem.message
            assert 1 <= problem.line <= len(lines)


@given(st.text(max_size=60), st.text(max_size=30), st.integers(0, 30))
def test_whatever_the_engine_may_come_to_say_is_passed_on(message: str, text: str, offset: int) -> None:
    spot = Spot(text, min(offset, len(text)), FACTS)
    for form in ("{}", "Syntax error: extraneous input '{}'", "undeclared reference to '{}'",
                 "no matching overload for '{}' applied to '(int)'", "reserved identifier: {}"):  # fmt: skip
        told = form.format(message)
        assert advise(told, spot) or not told.removesuffix(" [INVALID_ARGUMENT]")


def test_a_flood_of_names_is_not_compared_each_with_each() -> None:
    """5,000 attributes, and an expression as long as may be that names none of them."""
    many = Engine({**FACTS, **{f"customer.{'a' * 200}{i}": FactType(Kind.BOOL) for i in range(5_000)}})
    word = "b" * (MAX_EXPRESSION - 40)
    found = many.check(f"customer.{word} == 'x'")
    assert isinstance(found, tuple)
    assert "did you mean" not in found[0].message
    wrong = many.check(" || ".join(["customer.b"] * 300))
    assert isinstance(wrong, tuple)
    assert wrong
