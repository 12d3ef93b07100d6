"""Documents at the edge of the language: hostile texts, every shape of expression, all that an annotation may say.

What `support.bundles` draws is what people write; this is what they could. Many of these do not load.
"""

import json
from collections.abc import Mapping

from hypothesis import strategies as st

from fujie.model.vocabulary import Action, KeyKind
from fujie.policy.lint_finding import CODES
from support.bundles import LADDERS, RULES, document

_HOSTILE = "a\"'`\\:;#{}[],&|*! 中é\U0001f600\u0301\u3000"
TEXTS = st.text(st.sampled_from(_HOSTILE), min_size=1, max_size=8).filter(lambda text: bool(text.strip()))

ATOMS = (
    *RULES,
    "params.b",
    "params.n > time.hour",
    "- -params.n < 3 - -params.n",
    "customer.owner == params.s",
    "customer.owner in params.l",
    "params.l.exists(x, x == customer.owner)",
    "[params.l, principal.roles].exists(l, l.exists(x, x == 'a'))",
    "customer.owner.matches(params.s)",
    "variables.v",
    "'variables.v' != r'params.s' // params.b",
    "'''params.s''' == \"params.b\"",
    r"r'\' == '\\'",
    "{'params': {'s': true}}.params.s",
    "customer.tags.all(t, customer.tags.exists(t, t == 'y'))",
    "customer.owner.matches('a*')",
    "customer.owner.matches(principal.department)",
    "request.fields.all(f, f in ['phone', 'shoe_size'])",
    "'clerk' in principal.roles",
    "{'a': customer.minor}['a']",
    "[1, 2].map(x, x * 2).exists(x, x == 4)",
    "customer.points in [1, request.rows]",
    "customer.points == 9223372036854775807 || customer.points > -9223372036854775808",
    "customer.points < 5.5 || double(customer.points) > 1.5",
    "b'a' == b'a' && duration('1h') > duration('1s')",
    "customer.owner in [] || customer.tags == []",
    "'x' in limits.exhausted",
    "!!!customer.minor",
    "request.strict ? true : false",
)


def _joined(parts: tuple[str, str, str]) -> str:
    return f"{parts[0]}\n{parts[1]} {parts[2]}\n"


EXPRESSIONS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(("&&", "||", "\n&&\n")), inner).map(_joined),
        st.tuples(inner, inner).map(lambda two: f"({two[0]}\n) == ({two[1]}\n)"),
        inner.map(lambda text: f"! ({text}\n)"),
        st.tuples(inner, inner, inner).map(lambda each: "({}\n) ? ({}\n) : ({}\n)".format(*each)),
    ),
    max_leaves=5,
)
_ACTIONS = st.sampled_from((["lookup"], ["export"], ["lookup", "export"])) | st.lists(
    st.sampled_from(list(Action)), min_size=1, max_size=3, unique=True
)
_SILENCE = st.lists(
    st.tuples(st.sampled_from((*CODES, "X", "NO_CODE")), st.sampled_from(("why", "", ": a", "."))).map(
        ": ".join
    ),
    min_size=1,
    max_size=4,
).map(";".join)
_STEPS = st.dictionaries(st.sampled_from(tuple(LADDERS)), st.sampled_from(("reveal", "token", " omit ")))
_LIMITS = st.dictionaries(
    st.sampled_from(("rows_per_hour", "rows_per_request", "lookups_per_minute")),
    st.sampled_from((1, 10**9)),
    min_size=1,
)
_PURPOSES = st.sampled_from((["care"], ["marketing"], ["care", "marketing"]))
_ROLES = st.lists(TEXTS | st.sampled_from(("agent", "a,b")), min_size=1, max_size=3, unique=True)
_INSTANTS = ("2000-01-01T00:00:00+23:59", "2026-01-01T00:00:00Z", "2999-12-31T23:59:59-23:59")


@st.composite
def _document(draw: st.DrawFn, kind: str, name: str, spec: Mapping[str, object]) -> str:
    content = json.loads(document(kind, name, spec))
    if draw(st.booleans()):
        content["metadata"]["annotations"] = {"lint.fujie.dev/ignore": draw(_SILENCE)}
    return json.dumps(content, ensure_ascii=False)


def _match(draw: st.DrawFn) -> dict[str, object]:
    match: dict[str, object] = {"actions": draw(_ACTIONS)}
    if draw(st.integers(0, 3)) == 3:
        match["stores"] = draw(st.lists(TEXTS, min_size=1, max_size=2, unique=True))
    if draw(st.integers(0, 3)) == 3:
        match["keys"] = draw(st.lists(st.sampled_from(list(KeyKind)), min_size=1, unique=True))
    return match


@st.composite
def odd_grants(draw: st.DrawFn, name: str) -> str:
    """Return a grant that nobody in his right mind would write."""
    spec = {
        "match": _match(draw),
        "roles": draw(_ROLES),
        "purposes": draw(_PURPOSES),
        "fields": draw(_STEPS),
    }
    if draw(st.booleans()):
        spec["condition"] = draw(
            EXPRESSIONS.filter(lambda text: "params." not in text and "variables." not in text)
        )
    if draw(st.booleans()):
        spec[draw(st.sampled_from(("valid_from", "valid_until")))] = draw(st.sampled_from(_INSTANTS))
    if draw(st.integers(0, 3)) == 3:
        spec["limits"] = draw(_LIMITS)
    return draw(_document("Grant", name, spec))


@st.composite
def odd_guards(draw: st.DrawFn, name: str) -> str:
    """Return such a guard, with params and a variable, whether anything reads them or not."""
    variable = draw(EXPRESSIONS.filter(lambda text: "variables." not in text))
    spec: dict[str, object] = {
        "match": _match(draw),
        "params": {
            "b": draw(st.booleans()),
            "n": draw(st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3)),
            "s": draw(TEXTS),
            "l": draw(st.lists(TEXTS, min_size=1, max_size=3, unique=True)),
        },
        "variables": [{"name": "v", "expression": variable}],
    }
    if draw(st.booleans()):
        spec["matchConditions"] = [{"name": "c", "expression": draw(EXPRESSIONS)}]
    spec["validations"] = [draw(_validations(f"v{place}")) for place in range(draw(st.integers(1, 3)))]
    if draw(st.integers(0, 3)) == 3:
        spec["validationActions"] = draw(st.sampled_from((["Deny"], ["Warn"], ["Deny", "Audit"])))
    elif draw(st.booleans()):
        spec["fields"] = draw(_STEPS)
    return draw(_document("Guard", name, spec))


@st.composite
def _validations(draw: st.DrawFn, name: str) -> dict[str, object]:
    found: dict[str, object] = {"name": name, "expression": draw(EXPRESSIONS)}
    if draw(st.booleans()):
        found["message"] = {"zh": draw(TEXTS), "en": draw(TEXTS)}
    if draw(st.booleans()):
        found["basis"] = [draw(TEXTS)]
    if draw(st.integers(0, 3)) == 3:
        valid_for = draw(st.sampled_from(("1m", "30d", "720h")))
        terms = {"roles": draw(_ROLES), "count": draw(st.integers(1, 10)), "valid_for": valid_for}
        found |= {"outcome": "approval", "approval": terms}
    return found
