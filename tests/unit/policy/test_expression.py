"""Expressions as text: what `expand` and `clauses` do must mean the same to the engine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.policy.cel import Checked, Engine
from fujie.policy.expression import clauses, expand, used
from support.bundles import FACTS

ENGINE = Engine(FACTS)

EXPANDED = {
    "variables.x && true": "(V\n) && true",
    "variables . x": "(V\n)",
    "variables\n.x": "(V\n)",
    "variables// a comment\n.x": "(V\n)",
    "variables.x.y": "(V\n).y",
    "variables.xy": "variables.xy",
    "customer.variables.x": "customer.variables.x",
    "customer . variables.x": "customer . variables.x",
    "'variables.x'": "'variables.x'",
    '"\\"variables.x"': '"\\"variables.x"',
    "'''variables.x'''": "'''variables.x'''",
    "r'variables.x'": "r'variables.x'",
    "'it\\'s variables.x' == variables.x": "'it\\'s variables.x' == (V\n)",
    "// variables.x\ntrue": "// variables.x\ntrue",
    "myvariables.x": "myvariables.x",
    "variables": "variables",
}


LITERALS = {
    "params.x + variables.x": "L + (V\n)",
    "-params . x": "-L",
    "params// a comment\n.x": "L",
    "params.xy": "params.xy",
    "params.`x`": "params.`x`",
    "customer.params.x": "customer.params.x",
    "{'params.x': 1}.`params.x`": "{'params.x': 1}.`params.x`",
    "'params.x' + \"params.x\" + r'params.x'": "'params.x' + \"params.x\" + r'params.x'",
    r"r'\' + params.x + 'params.x'": r"r'\' + L + 'params.x'",
    r'R"\" + "params.x"': r'R"\" + "params.x"',
    r"br'''\''' + b'''params.x'''": r"br'''\''' + b'''params.x'''",
    r"'\'params.x' + params.x": r"'\'params.x' + L",
}


@pytest.mark.parametrize(("text", "expanded"), LITERALS.items())
def test_only_params_outside_strings_quoted_names_and_comments_are_replaced(
    text: str, expanded: str
) -> None:
    assert expand(text, {"x": "V"}, {"x": "L"}) == expanded


@pytest.mark.parametrize(("text", "expanded"), EXPANDED.items())
def test_only_variables_outside_strings_and_comments_are_replaced(text: str, expanded: str) -> None:
    assert expand(text, {"x": "V"}) == expanded
    assert used(text) == (frozenset({"x"}) if "(V" in expanded else used(text))


def test_a_variable_that_ends_in_a_comment_does_not_swallow_what_follows() -> None:
    assert isinstance(ENGINE.check(expand("variables.x && false", {"x": "true // so"})), Checked)


def test_a_variable_keeps_its_own_precedence() -> None:
    expanded = expand("!variables.x && variables.x", {"x": "true || false"})
    assert ENGINE.program([expanded]).run({}) == [False]


def test_a_name_that_nobody_defines_stays_for_the_engine_to_report() -> None:
    assert expand("variables.nobody", {"x": "true"}) == "variables.nobody"


CLAUSES = {
    "a": [("a", 0)],
    "(a)": [("a", 0)],
    "a && b": [("a && b", 0), ("a", 1), ("b", 1)],
    "a && b || c": [("a && b || c", 0), ("a && b", 1), ("a", 2), ("b", 2), ("c", 1)],
    "a && (b || c)": [("a && (b || c)", 0), ("a", 1), ("b || c", 1), ("b", 2), ("c", 2)],
    "(a) && (b)": [("(a) && (b)", 0), ("a", 1), ("b", 1)],
    "a ? b && c : d": [("a ? b && c : d", 0)],
    "!a": [("!a", 0), ("a", 1)],
    "!!a": [("!!a", 0), ("a", 1)],
    "!(a && b)": [("!(a && b)", 0), ("a && b", 1), ("a", 2), ("b", 2)],
    "!a == b": [("!a == b", 0)],
    "!(a)in[b]": [("!(a)in[b]", 0)],
    "!a.b(c)[0]": [("!a.b(c)[0]", 0), ("a.b(c)[0]", 1)],
    "a != b": [("a != b", 0)],
    "f(a && b)": [("f(a && b)", 0)],
    "'a && b' == c": [("'a && b' == c", 0)],
    "a // && b\n|| c": [("a // && b\n|| c", 0), ("a // && b", 1), ("c", 1)],
}


@pytest.mark.parametrize(("text", "found"), CLAUSES.items())
def test_an_expression_splits_where_the_engine_would(text: str, found: list[tuple[str, int]]) -> None:
    assert list(clauses(text)) == found


def test_thousands_of_negations_do_not_exhaust_the_stack() -> None:
    assert list(clauses("!" * 3_990 + "true"))[1:] == [("true", 1)]


ATOMS = st.sampled_from(
    (
        "true",
        "false",
        "1 < 2",
        "!true",
        "'a && b' == 'a && b'",
        "[1, 2].exists(x, x == 2 || x == 3)",
        "1 in [2]",
        "(true)in[true]",
    )
)
TREES: st.SearchStrategy[str] = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.builds("({})".format, inner),
        st.builds("!({})".format, inner),
        st.builds("!({})in[true]".format, inner),
        st.builds("{} && {}".format, inner, inner),
        st.builds("{}||{}".format, inner, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
    ),
    max_leaves=8,
)


@given(TREES)
def test_every_clause_is_a_boolean_and_joins_to_the_value_of_its_parent(text: str) -> None:
    """Each operand compiles alone, and the parent's value is the and, the or or the negation of its operands."""
    found = list(clauses(text))
    values = [ENGINE.program([clause]).run({})[0] for clause, _ in found]
    assert all(isinstance(value, bool) for value in values)
    assert values[0] == ENGINE.program([text]).run({})[0]
    for index, (clause, depth) in enumerate(found):
        rest = list(zip(found[index + 1 :], values[index + 1 :], strict=True))
        below = []
        for (_, child_depth), value in rest:
            if child_depth <= depth:
                break
            if child_depth == depth + 1:
                below.append(value)
        if len(below) == 1:
            negations = len(clause) - len(clause.lstrip("! "))
            assert values[index] == (below[0] if negations % 2 == 0 else not below[0])
        elif below:
            assert values[index] in (all(below), any(below))


@given(st.text(st.sampled_from("ab!&|()[]{}?:'\"\\r/ \n.variables"), max_size=40))
def test_no_text_makes_the_tokeniser_raise_or_lose_a_character(text: str) -> None:
    assert expand(text, {}) == text
    list(clauses(text))
    used(text)
    used(text, "params")
