"""Params: a value is what it says in every engine and in no text anything else, and nothing sets what is not there."""

from collections.abc import Mapping

import celpy
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fujie.model.facts import Facts, Known
from fujie.policy.bundle import Bundle
from fujie.policy.cel import MAX_EXPRESSION, Checked, Engine, evaluate_any
from fujie.policy.compile import compile_bundle
from fujie.policy.expression import expand
from fujie.policy.params import literal
from support.bundles import CATALOGUE, FACTS, compiled, document, guard, problems
from support.odd_bundles import odd_guards

ENGINE = Engine(FACTS)
THEIRS = celpy.Environment()  # here, not in a test: it raises the recursion limit
HOSTILE = (
    "'", '"', "\\", "\\\\", "\\'", '\\"', "'''", '"""', "`", "a' || true || 'a", 'a" || true || "a',
    '\\" || true || \\"', "') || (true", "// no more", "\n", "a\r\nb", "\t", "\x7f", "\u2028", "\u202e", "\ufeff",
    "\u0000", "\\u0027", "\\x27 || true", "{0}", "%s", "${x}", "params.s", "variables.v", "true", "5", "r'", "b'x'",
    "中文", "é", "e\u0301", "\U0001f600", "\U000e0001", "\u00a0", "\u3000", "\uffff",
)  # fmt: skip
TEXTS = st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8"), max_size=30)
INTS = st.integers(-(2**63), 2**63 - 1) | st.sampled_from((-(2**63), 2**63 - 1, -1, 0))
VALUES: st.SearchStrategy[Known] = (
    st.booleans() | INTS | TEXTS | st.lists(TEXTS, min_size=1, max_size=4).map(tuple)
)
NO_NUL = VALUES.filter(lambda value: "\0" not in repr(value).replace("\\x00", "\0"))


def tuned(spec: Mapping[str, object], *rules: str) -> str:
    """Return a Guard with these params."""
    validations = [{"name": f"v{place}", "expression": rule} for place, rule in enumerate(rules)]
    match = {"actions": ["lookup"]}
    return document("Guard", "own", {"match": match, "params": spec, "validations": validations})


def setting(name: str = "prod", **guards: object) -> str:
    return document("Params", name, {"guards": guards})


def codes(*documents: str) -> list[str]:
    return [problem.code for problem in problems(*documents)]


def rules(*documents: str) -> list[str]:
    return [found.rule.expanded for found in compiled(*documents).guards[0].validations]


# A literal is its value, and nothing but a value.


@given(NO_NUL)
@example("\\")
@example(-(2**63))
def test_a_literal_evaluates_to_its_value_in_both_engines(value: Known) -> None:
    ours = evaluate_any(ENGINE, literal(value), {})
    assert (ours if not isinstance(ours, list) else tuple(ours)) == value
    assert type(ours) is (list if isinstance(value, tuple) else type(value))
    found = THEIRS.program(THEIRS.compile(literal(value))).evaluate({})
    assert (tuple(map(str, found)) if isinstance(value, tuple) else found) == value  # type: ignore[arg-type] # a list then


@given(VALUES)
def test_a_literal_is_one_line_of_visible_characters(value: Known) -> None:
    assert literal(value).isprintable()


PLACES = (
    "{} == customer.owner",
    "customer.owner == {}",
    "'it\\'s' + {} + \"\\\"\" == \"it's\" + customer.owner + '\"'",
    "r'a\\d' + {} == r'a\\d' + customer.owner // it's {} \"",
    "'''a' {} b'''.size() > 0 && [{}][0] == customer.owner",
    "{{'k': {}}}.k == customer.owner",
    "[customer.owner].exists(x, x == {})",
    "{}.startsWith(customer.owner) && {} .size() == customer.owner.size()",
    "true ? {} == customer.owner : false",
)
"""Where a text may stand, beside quotes of every kind; each is true when the param is the owner."""


@settings(max_examples=200)
@given(st.sampled_from(PLACES), TEXTS, TEXTS)
def test_no_text_of_a_param_becomes_an_expression(place: str, value: str, owner: str) -> None:
    """With the param written in, a rule says of every fact what it says with another fact in the param's place."""
    rule = expand(place.format(*["params.s"] * 3), {}, {"s": literal(value)})
    same = place.format(*["principal.department"] * 3)
    found = Facts({"customer.owner": owner, "principal.department": value})
    with_param, with_fact = ENGINE.program([rule, same]).run(ENGINE.messages(found, found.values))
    assert with_param is with_fact
    if "\0" not in value:
        equal = Facts({"customer.owner": value, "principal.department": value})
        (itself,) = ENGINE.program([rule]).run(ENGINE.messages(equal, equal.values))
        assert itself is True


@given(TEXTS)
def test_what_a_text_param_reads_is_nothing(value: str) -> None:
    checked = ENGINE.check(expand("customer.owner == params.s", {}, {"s": literal(value)}))
    assert isinstance(checked, Checked)
    assert checked.reads == {"customer.owner"}


@given(INTS)
def test_a_number_keeps_its_sign_wherever_it_stands(value: int) -> None:
    rule = expand("1 - params.n == 1 - time.hour && [params.n][0] == time.hour", {}, {"n": literal(value)})
    messages = ENGINE.messages(Facts({"time.hour": value}), ["time.hour"])
    overflows = not -(2**63) <= 1 - value < 2**63
    assert (ENGINE.program([rule]).run(messages)[0] is True) is not overflows


# Declared in a guard.


def test_every_kind_of_param_can_be_read_also_by_variables() -> None:
    spec = {"flag": True, "most": -3, "desk": 'it\'s "east"', "closed": ["erp", "old"]}
    found = rules(
        document(
            "Guard",
            "own",
            {
                "match": {"actions": ["lookup"]},
                "params": spec,
                "variables": [{"name": "late", "expression": "time.hour > params.most"}],
                "validations": [
                    {"name": "a", "expression": "params.flag && variables.late"},
                    {"name": "b", "expression": "customer.owner != params.desk"},
                    {"name": "c", "expression": "!(request.store in params.closed)"},
                ],
            },
        )
    )
    assert found == [
        "true && (time.hour > (-3)\n)",
        r'customer.owner != "it\u0027s \u0022east\u0022"',
        '!(request.store in ["erp", "old"])',
    ]


WRONG: list[tuple[Mapping[str, object], str, list[str]]] = [
    ({}, "true", ["MISSING_KEY"]),
    ({"x": None}, "true", ["WRONG_TYPE"]),
    ({"x": 1.5}, "true", ["WRONG_TYPE"]),
    ({"x": {"a": 1}}, "true", ["WRONG_TYPE"]),
    ({"x": []}, "true", ["EMPTY_LIST"]),
    ({"x": [1]}, "true", ["WRONG_TYPE"]),
    ({"x": ["a", "a"]}, "true", ["DUPLICATE_ITEM"]),
    ({"x": [["a"]]}, "true", ["WRONG_TYPE"]),
    ({"x": ""}, "true", ["EMPTY_TEXT"]),
    ({"x": "a\0b"}, "true", ["TEXT_INVALID"]),
    ({"x": "a\u202eb"}, "true", ["TEXT_INVALID"]),
    ({"x": 2**63}, "true", ["OUT_OF_RANGE"]),
    ({"x": -(2**63) - 1}, "true", ["OUT_OF_RANGE"]),
    ({"x": 10**400}, "true", ["OUT_OF_RANGE"]),
    ({"x": "a" * MAX_EXPRESSION}, "true", ["EXPRESSION_TOO_LONG"]),
    ({"x": "a" * 3_000}, "params.x + params.x != ''", ["EXPRESSION_TOO_LONG"]),
    ({"X": 1}, "true", ["NAME_INVALID"]),
    ({"a b": 1}, "true", ["NAME_INVALID"]),
    ({"a.b": 1}, "true", ["NAME_INVALID"]),
    ({"x": 1}, "params.x", ["NOT_BOOLEAN"]),
    ({"x": 1}, "params.y == 1", ["EXPRESSION_INVALID"]),
    ({"x": 1}, "params.x == 'a'", ["EXPRESSION_INVALID"]),
    ({"x": "true"}, "params.x", ["NOT_BOOLEAN"]),
    ({"x": "true"}, "params.x || time.hour > 1", ["EXPRESSION_INVALID"]),
    ({"x": ["a"]}, "params.x.exists(y, y == 1)", ["EXPRESSION_INVALID"]),
    ({"x": "GIVEN"}, "consent.state == params.x", ["EXPRESSION_INVALID"]),
    ({"x": 3}, "consent.state == params.x", ["STATE_MISUSE"]),
    ({"x": "("}, "customer.owner.matches(params.x)", ["REGEX_INVALID"]),
    ({"x": 1}, "params == 1", ["EXPRESSION_INVALID"]),
    ({"x": True}, "has(params.x)", ["EXPRESSION_INVALID"]),
    ({"x": 1}, "[1].exists(params, params == 1)", ["NAME_SHADOWED"]),
    ({"x": 1}, "params.`x` == 1", ["EXPRESSION_INVALID"]),
]


@pytest.mark.parametrize(("spec", "rule", "expected"), WRONG, ids=lambda value: repr(value)[:40])
def test_a_param_that_is_not_exactly_right_is_refused(
    spec: Mapping[str, object], rule: str, expected: list[str]
) -> None:
    assert codes(tuned(spec, rule)) == expected


@pytest.mark.parametrize("written", ["yes", "On", "0x10", "010", "1_000", "~", "2026-01-01", "+5", "-0"])
def test_a_value_that_yaml_guesses_is_refused(written: str) -> None:
    found = problems(tuned({"x": "?"}, "true").replace('"?"', written))
    assert {problem.code for problem in found} <= {"WRONG_TYPE", "OUT_OF_RANGE"}


def test_a_problem_of_an_expression_with_params_is_reported_where_it_was_written() -> None:
    """Columns are those of the text, not of the text with its values in place."""
    (found,) = problems(tuned({"x": "a" * 500}, "params.x == 'a' && customer.minro"))
    assert found.source[found.column - 1 :].startswith(".minro")


# Set for an environment.


def test_a_value_that_is_set_for_an_environment_takes_the_place_of_the_default() -> None:
    default = tuned({"most": 5, "desk": "east"}, "time.hour < params.most && params.desk != ''")
    assert rules(default) == ["time.hour < 5 && \"east\" != ''"]
    assert rules(default, setting(own={"most": 21})) == ["time.hour < 21 && \"east\" != ''"]


def test_what_is_set_counts_in_the_digest() -> None:
    default = tuned({"most": 5}, "time.hour < params.most")
    digests = {
        compiled(default, *more).digest
        for more in ((), (setting(own={"most": 6}),), (setting(own={"most": 7}),))
    }
    assert len(digests) == 3


def test_two_environments_may_set_different_params_and_their_order_means_nothing() -> None:
    default = tuned({"a": 1, "b": 1}, "time.hour < params.a + params.b")
    one, other = setting("one", own={"a": 2}), setting("two", own={"b": 3})
    assert rules(default, one, other) == rules(other, one, default) == ["time.hour < 2 + 3"]
    assert compiled(default, one, other).digest == compiled(other, default, one).digest


SET_WRONG: list[tuple[Mapping[str, object], list[str]]] = [
    ({"own": {"mots": 6}}, ["UNKNOWN_PARAM"]),
    ({"other": {"most": 6}}, ["UNKNOWN_GUARD"]),
    ({"Own": {"most": 6}}, ["UNKNOWN_GUARD"]),
    ({"own": {"most": "6"}}, ["PARAM_TYPE"]),
    ({"own": {"most": True}}, ["PARAM_TYPE"]),
    ({"own": {"most": ["6"]}}, ["PARAM_TYPE"]),
    ({"own": {"most": None}}, ["WRONG_TYPE"]),
    ({"own": {}}, ["MISSING_KEY"]),
    ({}, ["MISSING_KEY"]),
    ({"own": 6}, ["WRONG_TYPE"]),
    ({"plain": {"most": 6}}, ["UNKNOWN_PARAM"]),
]


@pytest.mark.parametrize(("guards", "expected"), SET_WRONG, ids=repr)
def test_a_value_that_would_change_nothing_or_another_thing_is_refused(
    guards: Mapping[str, object], expected: list[str]
) -> None:
    own = tuned({"most": 5}, "time.hour < params.most")
    assert codes(own, guard("plain", "true"), setting("prod", **guards)) == expected


def test_one_param_set_twice_is_refused_with_the_place_of_the_first() -> None:
    own = tuned({"most": 5}, "time.hour < params.most")
    twice = (setting("a", own={"most": 6}), setting("b", own={"most": 6}))
    found = problems(own, *twice)
    assert [(problem.code, problem.line) for problem in found] == [("DUPLICATE_PARAM", 5)]
    assert "own:3" in found[0].message


def test_a_hostile_value_set_for_an_environment_stays_a_value() -> None:
    own = tuned({"desk": "east"}, "customer.owner == params.desk")
    (rule,) = compiled(own, setting(own={"desk": '" || true || "'})).guards[0].validations
    assert rule.rule.reads == {"customer.owner"}
    messages = ENGINE.messages(Facts({"customer.owner": "west"}), ["customer.owner"])
    assert ENGINE.program([rule.rule.expanded]).run(messages) == [False]


def test_a_huge_param_is_stopped_before_it_fills_the_memory() -> None:
    """Two hundred uses of a megabyte, in each of a thousand rules."""
    rule = " || ".join(["params.x == ''"] * 200)
    assert codes(tuned({"x": "a" * 1_000_000}, rule))[0] == "EXPRESSION_TOO_LONG"


@settings(max_examples=60, deadline=None)
@given(odd_guards("odd"))
def test_values_and_variables_that_are_written_in_hide_no_fact_that_is_read(text: str) -> None:
    """A fact that a rule reads without saying so would not refuse while it is Unknown."""
    bundle = compile_bundle({"f": "\n---\n".join((*CATALOGUE, text)).encode()})
    for found in bundle.guards if isinstance(bundle, Bundle) else ():
        for rule in (*(rule for _, rule in found.conditions), *(v.rule for v in found.validations)):
            whole = ENGINE.check(rule.expanded)
            assert isinstance(whole, Checked)
            assert (whole.reads, whole.uses) == (rule.reads, frozenset())
