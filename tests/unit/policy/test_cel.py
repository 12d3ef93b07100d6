"""The door to the engine: what goes in whole, what comes out, and what can not come out as true."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.model.facts import Facts, FactType, FactValue, Kind, Unknown, UnknownWhy
from fujie.model.vocabulary import CONSENT_STATES, State
from fujie.policy.cel import MAX_EXPRESSION, Checked, Engine, EvaluationError, Result, evaluate_any
from support.bundles import FACTS

ENGINE = Engine(FACTS)
MANY = tuple(str(number) for number in range(150))


def run(texts: Iterable[str], **values: FactValue) -> list[Result]:
    facts = Facts({path.replace("_", ".", 1): value for path, value in values.items()})
    return list(ENGINE.program(list(texts)).run(ENGINE.messages(facts, facts.values)))


def codes(text: str) -> list[str]:
    found = ENGINE.check(text)
    return [] if isinstance(found, Checked) else [problem.code for problem in found]


@pytest.mark.parametrize("text", ["admin\0evil", "\0admin", "admin\0"])
def test_a_text_is_not_cut_at_nul(text: str) -> None:
    """The binding cuts `str` values at NUL (0.1.3): `admin<NUL>evil` would be an admin."""
    assert run(["customer.owner == 'admin'"], customer_owner=text) == [False]
    assert run(["'admin' in customer.tags"], customer_tags=(text,)) == [False]
    assert run([f"customer.owner.size() == {len(text)}"], customer_owner=text) == [True]


@given(st.text(), st.text())
def test_texts_compare_as_python_compares_them(one: str, other: str) -> None:
    verdict = run(
        ["customer.owner == principal.department", "principal.department in customer.tags"],
        customer_owner=one, principal_department=other, customer_tags=(one, "x"),
    )  # fmt: skip
    assert verdict == [one == other, other in (one, "x")]


@pytest.mark.parametrize(
    "value", ["\ud800", None, b"\xff", 1.5, ("\ud800",), ["x"], {"a": 1}, 2**70, object()], ids=type
)
@pytest.mark.parametrize("path", ["customer.owner", "consent.state", "time.hour", "customer.minor"])
def test_a_fact_of_another_type_is_a_value_error_without_the_value(path: str, value: FactValue) -> None:
    with pytest.raises(ValueError) as caught:
        ENGINE.messages(Facts({path: value}), [path])
    assert repr(value) not in str(caught.value)


def test_only_what_is_read_goes_into_the_engine() -> None:
    facts = Facts({"customer.owner": "x", "customer.points": "not a number", "time.hour": 3})
    assert set(ENGINE.messages(facts, ["customer.owner"])) == {"customer"}


@pytest.mark.parametrize("state", CONSENT_STATES)
def test_a_state_is_equal_to_itself_alone(state: State) -> None:
    texts = [f"consent.state == {other}" for other in CONSENT_STATES]
    assert run(texts, consent_state=state) == [other is state for other in CONSENT_STATES]


ERRORS = {
    "1 / time.hour == 1": False,
    "customer.tags[0] == 'a'": False,
    "{'a': 1}['b'] == 1": False,
    "int(customer.owner) == 1": False,
    "timestamp(customer.owner) < timestamp('2026-01-01T00:00:00Z')": False,
    "9223372036854775807 + time.hour + 1 > 0": False,
    "customer.owner.matches('a' + '(')": False,
    "request.fields.all(x, request.fields.all(y, x == y || true))": True,
}


@pytest.mark.parametrize(("text", "budget"), ERRORS.items())
def test_an_error_is_an_error_and_never_true(text: str, budget: bool) -> None:
    """The engine's error value is a non-empty string, which Python takes for true."""
    values: dict[str, FactValue] = {
        "time_hour": 0,
        "customer_tags": (),
        "customer_owner": "",
        "request_fields": MANY,
    }
    (alone,) = run([text], **values)
    (negated,) = run([f"!({text})"], **values)
    for result in (alone, negated):
        assert isinstance(result, EvaluationError)
        assert result.budget is budget


@pytest.mark.parametrize("text", ERRORS)
def test_one_failing_rule_does_not_disturb_its_neighbours(text: str) -> None:
    """One error turns the engine's list into an error, and the budget of iterations is one for the list."""
    values: dict[str, FactValue] = {
        "time_hour": 0,
        "customer_tags": (),
        "customer_owner": "",
        "request_fields": MANY,
    }
    results = run(["true", text, "false", text, "time.hour == 0"], **values)
    assert [results[0], results[2], results[4]] == [True, False, True]
    assert isinstance(results[1], EvaluationError)
    assert isinstance(results[3], EvaluationError)


def test_rules_that_only_together_spend_the_budget_are_all_answered() -> None:
    text = "request.fields.all(x, request.fields.exists(y, x == y) || true)"
    few = MANY[:60]
    assert run([text], request_fields=few) == [True]
    assert run([text] * 20, request_fields=few) == [True] * 20


def test_an_error_does_not_stay_for_the_next_evaluation() -> None:
    """The engine keeps a pending error in a static of the process."""
    for _ in range(3):
        assert isinstance(run(["1 / time.hour == 1"], time_hour=0)[0], EvaluationError)
        assert run(["1 / time.hour == 1"], time_hour=1) == [True]


def test_an_unknown_fact_reads_as_its_default_so_that_whoever_asks_must_discard_it() -> None:
    unknown = Unknown(UnknownWhy.NULL)
    assert run(["customer.minor"], customer_minor=unknown) == [False]


def test_a_program_of_a_thousand_rules_answers_each() -> None:
    rules = [f"time.hour > {number % 24}" for number in range(1_000)]
    assert run(rules, time_hour=12) == [number % 24 < 12 for number in range(1_000)]


NOT_COMPILED = {
    "true &&": "EXPRESSION_INVALID",
    "": "EXPRESSION_INVALID",
    "1 + 'a' == 2": "EXPRESSION_INVALID",
    "customer.minro": "EXPRESSION_INVALID",
    "consent.state == GIVNE": "EXPRESSION_INVALID",
    "customer.minor == null": "EXPRESSION_INVALID",
    "nobody(1)": "EXPRESSION_INVALID",
    "true\0 && false": "EXPRESSION_INVALID",
    "'\ud800' == ''": "EXPRESSION_INVALID",
    "now() > 1": "EXPRESSION_INVALID",
    "+".join(["1"] * 1_000) + " > 0": "EXPRESSION_INVALID",
    "(" * 500 + "true" + ")" * 500: "EXPRESSION_INVALID",
    "[" * 100 + "]" * 100 + " == []": "EXPRESSION_INVALID",
    "true" + " || true" * 1_000: "EXPRESSION_TOO_LONG",
    "customer.owner.matches('[')": "REGEX_INVALID",
    "matches(customer.owner, '(?=a)')": "REGEX_INVALID",
    "customer.owner.matches('((a{100}){100}){100}')": "REGEX_INVALID",
    "customer.owner.matches(r'\\\\')": "",
    "customer.owner.matches('^[\\u4e00-\\u9fff]{2,4}$')": "",
    "!" * 3_990 + "true": "",
}


@pytest.mark.parametrize(("text", "code"), NOT_COMPILED.items(), ids=lambda value: str(value)[:30])
def test_what_does_not_compile_is_a_problem_and_no_exception(text: str, code: str) -> None:
    assert codes(text) == ([code] * len(codes(text)) if code else [])
    assert bool(codes(text)) is bool(code)


def test_a_refused_pattern_is_not_repeated_in_the_message() -> None:
    found = ENGINE.check("customer.owner.matches('" + "(" * 3_000 + "')")
    assert not isinstance(found, Checked)
    assert all(len(problem.message) < 300 for problem in found)


def test_no_message_of_the_engine_is_long() -> None:
    found = ENGINE.check("a" * (MAX_EXPRESSION - 10) + " == 1")
    assert not isinstance(found, Checked)
    assert all(len(problem.message) < 5_000 for problem in found)


@given(st.text(st.sampled_from("ab1'\"\\.()[]{}?:&|!=<> \n,xé中"), max_size=40))
def test_no_text_makes_the_check_raise(text: str) -> None:
    found = ENGINE.check(text)
    if not isinstance(found, Checked):
        assert all(problem.line >= 1 and problem.column >= 1 for problem in found)


@pytest.mark.parametrize("names", [("self", "cls"), ("class", "def"), ("clear", "a_b")])
def test_an_attribute_may_be_named_like_something_of_python(names: tuple[str, str]) -> None:
    one, other = (f"customer.{name}" for name in names)
    engine = Engine({one: FactType(Kind.INT), other: FactType(Kind.INT)})
    facts = Facts({one: 1, other: 2})
    assert list(engine.program([f"{one} < {other}"]).run(engine.messages(facts, [one, other]))) == [True]


def test_any_value_can_be_shown_in_an_explanation_and_an_error_stays_one() -> None:
    messages = ENGINE.messages(Facts({"time.hour": 0}), ["time.hour"])
    assert evaluate_any(ENGINE, "time.hour + 1", messages) == 1
    assert evaluate_any(ENGINE, "[time.hour, 1]", messages) == [0, 1]
    assert isinstance(evaluate_any(ENGINE, "1 / time.hour", messages), EvaluationError)
