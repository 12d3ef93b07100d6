"""Two independent engines, one answer: cel-cpp behind `policy/cel.py`, and cel-python behind `adapters/second_opinion.py`.

Every expression of the shipped policies, variables expanded, runs in both on generated facts, through the same
list program that decisions use. The tables below do the same for the parts of the language that policies may use
and the shipped ones do not.
"""

import re
from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fujie.adapters.second_opinion import ERROR, SecondOpinion
from fujie.decision.plan import rules_of
from fujie.model.facts import Facts, FactType, FactValue, Kind, Known
from fujie.model.vocabulary import State
from fujie.policy.bundle import Bundle
from fujie.policy.cel import Engine
from fujie.policy.compile import compile_bundle
from fujie.policy.expression import expand
from fujie.policy.params import literal
from support.bundles import FACTS, RULES, compiled, values

BASE = Path(__file__).parents[3] / "policies" / "base"
# Made once and here: it raises the recursion limit, which hypothesis guards in a test.
_THEIRS = SecondOpinion()
_LITERAL = re.compile(r"""(?:'([^']*)'|"([^"]*)")""")
_NUMBER = re.compile(r"\b\d+\b")
_TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), max_size=8
)  # NUL and surrogates stop at the edge
_INT64 = st.integers(-(2**63), 2**63 - 1)


@cache
def bundle() -> Bundle:
    result = compile_bundle({path.name: path.read_bytes() for path in BASE.glob("*.yaml")})
    assert isinstance(result, Bundle), "\n".join(map(str, result))
    return result


@cache
def expressions() -> Mapping[str, frozenset[str]]:
    """Return each expression, and the facts that it reads."""
    rules = [grant.condition for grant in bundle().grants if grant.condition]
    rules += [rule for guard in bundle().guards for rule in rules_of(guard)]
    return {rule.expanded: rule.reads for rule in rules}


def theirs(text: str, facts: Facts) -> bool | str:
    return _THEIRS.says(text, facts)


def ours(engine: Engine, texts: tuple[str, ...], facts: Facts) -> list[bool | str]:
    results = engine.program(texts).run(engine.messages(facts, facts.values))
    return [result if isinstance(result, bool) else ERROR for result in results]


def values_of(
    path: str, fact: FactType, literals: list[str], numbers: list[int]
) -> st.SearchStrategy[FactValue]:
    """Strings come half from the literals of the expressions that read them, or comparisons would never be true; numbers too."""
    text = st.sampled_from(literals) | _TEXT
    if path == "time.hour":
        return st.integers(-1, 24)
    match fact.kind:
        case Kind.BOOL:
            return st.booleans()
        case Kind.INT:
            return st.sampled_from(numbers) | st.integers(-1, 8) | _INT64
        case Kind.STRING:
            return text
        case Kind.STRINGS:
            return st.lists(text, max_size=4).map(tuple)
        case Kind.STATE:
            return st.sampled_from((*fact.states * 6, *State))  # mostly its own, or some are never drawn


def any_facts() -> st.SearchStrategy[Facts]:
    literals = {path: _literals_beside(path) for path in bundle().facts}
    numbers = sorted(
        {int(digits) + by for text in expressions() for digits in _NUMBER.findall(text) for by in (-1, 0)}
    )
    types = bundle().facts
    drawn = {path: values_of(path, types[path], literals[path], numbers) for path in types}
    return st.fixed_dictionaries(drawn).map(Facts)


def _literals_beside(path: str) -> list[str]:
    quoted = {found for text in expressions() if path in text for found in _LITERAL.findall(text)}
    return sorted({single or double for single, double in quoted} | {""})


def test_both_engines_agree_on_every_shipped_expression() -> None:
    read = {text: sorted(reads) for text, reads in expressions().items()}
    seen: dict[str, set[bool | str]] = {text: set() for text in read}

    # An expression reads few facts, of few values: half of the questions are asked again.
    @lru_cache(maxsize=None, typed=True)
    def told(text: str, *values: FactValue) -> bool | str:
        # Putting facts into its words costs more than the evaluation: it is told what `--cross-check` tells it.
        return theirs(text, Facts(dict(zip(read[text], values, strict=True))))

    @settings(max_examples=300, derandomize=True)
    @given(any_facts())
    def agree(facts: Facts) -> None:
        for text, our_result in zip(read, ours(bundle().engine, tuple(read), facts), strict=True):
            assert our_result == told(text, *(facts.values[path] for path in read[text])), text
            seen[text].add(our_result)

    agree()
    # Facts that never make a rule true, or never false, compare nothing.
    assert {text: found for text, found in seen.items() if found != {True, False}} == {}
    assert len(seen) >= 10


@settings(max_examples=50)
@given(st.fixed_dictionaries({path: values(kind) for path, kind in FACTS.items()}).map(Facts))
def test_both_engines_agree_on_every_rule_that_bundles_are_generated_of(facts: Facts) -> None:
    assert ours(compiled().engine, RULES, facts) == [theirs(text, facts) for text in RULES]


# The rest of the language.
TYPES = {
    "customer.name": FactType(Kind.STRING),
    "customer.other": FactType(Kind.STRING),
    "customer.adult": FactType(Kind.BOOL),
    "customer.n": FactType(Kind.INT),
    "customer.m": FactType(Kind.INT),
    "request.fields": FactType(Kind.STRINGS),
    "principal.roles": FactType(Kind.STRINGS),
}
FIXED = Facts(
    {
        "customer.name": "ab\U0001f600中é", "customer.other": "", "customer.adult": True, "customer.n": 7, "customer.m": 0,
        "request.fields": ("a", "b"), "principal.roles": (),
    }
)  # fmt: skip


@cache
def engine() -> Engine:
    return Engine(TYPES)


PICKED: Mapping[bool | str, tuple[str, ...]] = {
    True: (
        # code points, not bytes or UTF-16 units
        "size(customer.name) == 5",
        "customer.name.size() == 5",
        "size(bytes('中')) == 3",
        "'Z' < 'a' && 'a' < 'é' && 'é' < '中' && '中' < '\\U0001F600'",
        "customer.name.startsWith('ab') && customer.name.endsWith('é') && customer.name.contains('中')",
        "customer.name.startsWith('') && customer.other.endsWith('') && customer.name.contains('')",
        "customer.name.matches('^ab.中') && 'aXb'.matches('(?i)x') && ''.matches('')",
        "'a' + 'b' == 'ab' && '\\'' == \"'\" && r'\\d' == '\\\\d'",
        # integers cut towards zero, and the remainder has the sign of the dividend
        "7 / 2 == 3 && -7 / 2 == -3 && -7 % 2 == -1 && 7 % -2 == 1",
        "customer.n - 8 == -1 && -customer.n == -7 && 0x10 == 16",
        "int('12') == 12 && string(customer.n) == '7' && double(customer.n) == 7.0 && int(3.7) == 3",
        # an error is absorbed by what decides without it, on either side
        "customer.n / 0 == 1 || true",
        "true || customer.n / 0 == 1",
        "!(customer.n / 0 == 1 && false)",
        "!(false && customer.n / 0 == 1)",
        "request.fields.exists(f, customer.n / 0 == 1 || f == 'b')",
        "request.fields.exists(f, f == 'b' || customer.n / (size(f) - 1) == 1)",
        "!request.fields.all(f, f == 'z' && customer.n / 0 == 1)",
        # a conditional evaluates one branch only
        "customer.adult ? customer.n == 7 : customer.n / 0 == 1",
        # lists and maps
        "customer.n in [1, 7] && !(customer.n in []) && !('z' in request.fields) && 'b' in request.fields",
        "principal.roles.all(r, r == 'x') && !principal.roles.exists(r, r == 'x')",
        "request.fields.exists_one(f, f == 'a') && !request.fields.exists_one(f, f != 'z')",
        "request.fields.filter(f, f == 'a') == ['a'] && request.fields.map(f, f + 'x') == ['ax', 'bx']",
        "[1, 2, 3].all(x, [4, 5].exists(y, y > x)) && [1, 2] != [2, 1]",
        "request.fields[1] == 'b' && size(request.fields) == 2 && size(principal.roles) == 0",
        "{'a': 1}['a'] == 1 && !('b' in {'a': 1}) && {'a': 1}.exists(k, k == 'a')",
        "!(!customer.adult) && !!customer.adult",
        "1u + 1u == 2u && 1e3 == 1000.0",
        "timestamp('2026-01-01T00:00:00Z') < timestamp('2027-01-01T00:00:00Z') && duration('1h') < duration('61m')",
    ),
    ERROR: (
        "customer.n / 0 == 1",
        "customer.n % 0 == 1",
        "customer.n / customer.m == 1",
        "customer.n / 0 == 1 || false",
        "false || customer.n / 0 == 1",
        "customer.n / 0 == 1 && true",
        "!(customer.n / 0 == 1)",
        "customer.n / 0 == 1 ? true : false",
        "!customer.adult ? true : customer.n / 0 == 1",
        "request.fields.exists(f, customer.n / 0 == 1)",
        "request.fields.all(f, customer.n / 0 == 1)",
        "request.fields[2] == 'a'",
        "principal.roles[0] == 'a'",
        "{'a': 1}['b'] == 1",
        "int(customer.name) == 12",
        "9223372036854775807 + customer.n > 0",
        "9223372036854775807 * customer.n > 0",
        "-9223372036854775807 - customer.n < 0",
        "-9223372036854775808 / -1 > 0",
        "-(-9223372036854775808) > 0",
        "1u - 2u == 0u",
    ),
}


@pytest.mark.parametrize(
    ("expected", "text"), [(expected, text) for expected, texts in PICKED.items() for text in texts]
)
def test_both_engines_read_the_language_alike(expected: bool | str, text: str) -> None:
    assert (ours(engine(), (text,), FIXED), theirs(text, FIXED)) == ([expected], expected)


def test_errors_in_a_list_program_do_not_touch_their_neighbours() -> None:
    mixed = tuple(text for pair in zip(PICKED[True], PICKED[ERROR], strict=False) for text in pair)
    assert ours(engine(), mixed, FIXED) == [True, ERROR] * (len(mixed) // 2)


def test_the_one_known_difference_is_still_there() -> None:
    """`string(bool)` is `'true'` by the CEL specification and in ours; cel-python 0.5 says `'True'`."""
    text = "string(customer.adult) == 'true'"
    assert ours(engine(), (text,), FIXED) == [True]
    assert theirs(text, FIXED) is False


ON_STRINGS = (
    "customer.name == customer.other",
    "customer.name < customer.other",
    "customer.name >= customer.other",
    "customer.name.startsWith(customer.other)",
    "customer.name.endsWith(customer.other)",
    "customer.name.contains(customer.other)",
    "size(customer.name) > size(customer.other)",
    "size(customer.name + customer.other) == size(customer.name) + size(customer.other)",
    "customer.name in request.fields",
    "request.fields.exists(f, f.contains(customer.other))",
    "request.fields.all(f, f in principal.roles)",
    "request.fields == principal.roles",
)


@settings(max_examples=60)
@given(_TEXT, _TEXT, st.lists(_TEXT, max_size=3), st.lists(_TEXT, max_size=3))
@example("é", "e\u0301", ["\U0001f600"], ["\ufffd"])
@example("a中b", "中", ["中", "a中b"], ["中", "a中b"])
def test_both_engines_agree_on_any_strings(
    name: str, other: str, fields: list[str], roles: list[str]
) -> None:
    texts = {"customer.name": name, "customer.other": other}
    facts = Facts(
        {**FIXED.values, **texts, "request.fields": tuple(fields), "principal.roles": tuple(roles)}
    )
    assert ours(engine(), ON_STRINGS, facts) == [theirs(text, facts) for text in ON_STRINGS]


ON_NUMBERS = (
    *(f"customer.n {op} customer.m > 3" for op in "+-*/"),
    "customer.n < customer.m",
    "-customer.n == customer.m",
    "customer.n in [customer.m, 1]",
    "customer.m == 0 || customer.m == -1 || customer.n % customer.m == 0",
    "customer.n + customer.m == customer.m + customer.n || customer.adult",
)


@settings(max_examples=40)
@given(_INT64 | st.integers(-4, 4), _INT64 | st.integers(-4, 4))
@example(-(2**63), -1)
@example(2**63 - 1, 1)
@example(-(2**63), 2**63 - 1)
def test_both_engines_agree_on_any_numbers(n: int, m: int) -> None:
    facts = Facts({**FIXED.values, "customer.n": n, "customer.m": m})
    assert ours(engine(), ON_NUMBERS, facts) == [theirs(text, facts) for text in ON_NUMBERS]


_VALUE = (
    st.booleans()
    | _INT64
    | st.integers(-4, 4)
    | _TEXT.filter(bool)
    | st.lists(_TEXT.filter(bool), min_size=1, max_size=3).map(tuple)
)
ON_PARAMS: Mapping[type, tuple[str, ...]] = {
    bool: (
        "params.p == customer.adult",
        "!params.p || customer.adult",
        "params.p ? customer.n > 0 : customer.adult",
    ),
    int: (
        "customer.n < params.p",
        "customer.n - params.p == -params.p + customer.n",
        "customer.m in [params.p, -params.p]",
        "customer.n / params.p > 1",
    ),
    str: (
        "customer.name == params.p",
        "customer.name < params.p || params.p.startsWith(customer.other)",
        "params.p in request.fields",
        'size(params.p + customer.name) > size(customer.other + params.p) // it\'s "so"',
        "'\\'' + params.p + r'\\d' != customer.name",
    ),
    tuple: (
        "customer.name in params.p",
        "params.p.exists(p, p == customer.name) && params.p.all(p, p in request.fields)",
        "size(params.p) == 2 && params.p[1] == customer.other",
        "params.p == request.fields",
    ),
}


@settings(max_examples=40)
@given(_VALUE, _TEXT, _TEXT, _INT64 | st.integers(-4, 4))
@example(-(2**63), "", "", -(2**63))
@example("\\", "\\", "'", 0)
@example("a' || true || 'a", "a", "a", 0)
@example(('"', "\n"), "\n", '"', 0)
def test_both_engines_agree_on_any_value_of_a_param(value: Known, name: str, other: str, n: int) -> None:
    texts = tuple(expand(text, {}, {"p": literal(value)}) for text in ON_PARAMS[type(value)])
    found: dict[str, FactValue] = {
        "customer.name": name,
        "customer.other": other,
        "customer.n": n,
        "request.fields": (name, other),
    }
    facts = Facts({**FIXED.values, **found})
    assert ours(engine(), texts, facts) == [theirs(text, facts) for text in texts]
