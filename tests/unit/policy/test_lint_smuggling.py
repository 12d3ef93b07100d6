"""What a reviewer would not see: letters that look like others, and values of an environment that turn a rule off."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle
from fujie.policy.lint import lint
from fujie.policy.lint_finding import Finding
from support.bundles import CATALOGUE, document, grant, guard

OWN = {"LOOKALIKE", "PARAM_DISARMS", "SILENCE_INVALID", "SILENCE_UNUSED"}


def found(*documents: str) -> list[Finding]:
    files = {"catalogue": "\n---\n".join(CATALOGUE).encode(), "own": "\n---\n".join(documents).encode()}
    bundle = compile_bundle(files)
    assert isinstance(bundle, Bundle), "\n".join(map(str, bundle))
    return [each for each in lint(files, bundle, lambda _: ()) if each.code in OWN]


def at(finding: Finding, documents: str) -> str:
    """Return what stands where a finding points."""
    return documents.split("\n")[finding.line - 1][finding.column - 1 :]


SMUGGLED = {
    "a Cyrillic letter in a text": "customer.owner != 'blосked'",
    "a Greek letter": "customer.owner != 'αdmin'",
    "a word of Cyrillic letters alone": "customer.owner in ['еасе']",
    "a full-width letter": "customer.owner != 'ｅast'",
    "a letter of mathematics": "customer.owner != '𝐞ast'",
    "a digit of mathematics": "customer.owner != 'shop𝟏'",
    "a Roman number of one sign": "customer.owner != 'Ⅱ级'",
    "a Greek letter that is one of ASCII to the eye": "customer.owner != 'ορen'",
    "a Cherokee letter": "customer.owner != 'ᎪB'",
    "a blank behind": "customer.owner != 'east '",
    "a blank before": "customer.owner != ' east'",
    "a blank that does not break": "customer.owner != 'east\u00a0'",
    "a blank of a Chinese keyboard": "customer.owner != 'east\u3000'",
    "a blank in a list": "customer.owner in ['west', 'east ']",
    "a blank in a loop": "customer.tags.exists(t, t == 'blocked ')",
    "a blank in a long quote": "customer.owner != '''east '''",
}  # fmt: skip


@pytest.mark.parametrize("expression", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_a_word_that_is_not_what_it_looks_like_is_told_at_its_rule(expression: str) -> None:
    documents = guard("g", expression)
    (finding,) = found(documents)
    assert finding.code == "LOOKALIKE"
    assert at(finding, documents).startswith(expression[:10])


@pytest.mark.parametrize(
    "expression",
    [
        "customer.owner != '张三（离职）'",
        "customer.owner == 'café'",
        "customer.owner != 'east side'",
        "customer.owner.contains(' ')",
        "customer.owner.matches('^ ?east$')",
        "customer.owner == 'x' // 「备注」 says why",
        "customer.owner in ['①类', '90㎡以上', 'm²', '№5', '㏄']",
        "customer.owner in ['5μg', 'β组', 'Δ', 'Ω', 'π']",
    ],
)
def test_a_word_that_is_what_it_looks_like_is_not(expression: str) -> None:
    assert found(guard("g", expression)) == []


def test_roles_stores_and_params_are_looked_at_too() -> None:
    tuned = json.loads(guard("g", "customer.owner in params.who"))
    tuned["spec"]["params"] = {"who": ["аlice"]}
    override = document("Params", "prod", {"guards": {"g": {"who": ["bоb"]}}})
    asked = json.loads(guard("asks", "request.strict"))
    asked["spec"]["validations"][0] |= {
        "outcome": "approval",
        "approval": {"roles": ["сlerk"], "count": 1, "valid_for": "1h"},
    }
    opened = json.loads(grant("wide", roles=("сlerk",)))
    opened["spec"]["match"]["stores"] = ["сrm"]
    said = found(*map(json.dumps, (tuned, asked, opened)), override)
    assert sorted(each.document for each in said) == [
        "Grant wide", "Grant wide", "Guard asks", "Guard g", "Params prod",
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["блосked", "blocked ", "blocked\u3000"])
def test_a_word_in_a_variable_is_looked_at_as_one_in_a_rule(word: str) -> None:
    content = json.loads(guard("g", "variables.ok"))
    content["spec"]["variables"] = [{"name": "ok", "expression": f"customer.owner != '{word}'"}]
    assert [each.code for each in found(json.dumps(content, ensure_ascii=False))] == ["LOOKALIKE"]


def test_a_letter_in_a_variable_is_told_at_the_variable() -> None:
    content = json.loads(guard("g", "variables.ok"))
    content["spec"]["variables"] = [{"name": "ok", "expression": "customer.owner != 'еast'"}]
    documents = json.dumps(content, ensure_ascii=False)
    (finding,) = found(documents)
    assert at(finding, documents).startswith("customer.owner != ")


@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u3000"])
def test_roles_stores_and_params_that_end_with_a_blank_are_told(blank: str) -> None:
    tuned = json.loads(guard("g", "!(customer.owner in params.who)"))
    tuned["spec"]["params"] = {"who": ["alice"]}
    override = document("Params", "prod", {"guards": {"g": {"who": [f"bob{blank}"]}}})
    opened = json.loads(grant("wide", roles=(f"clerk{blank}",)))
    opened["spec"]["match"]["stores"] = [f"crm{blank}"]
    said = found(json.dumps(tuned), json.dumps(opened), override)
    assert [each.document for each in said] == ["Guard g", "Grant wide", "Grant wide"]
    assert {each.code for each in said} == {"LOOKALIKE"}


def test_a_blank_that_is_written_as_an_escape_is_told() -> None:
    (finding,) = found(guard("g", r"customer.owner != 'blocked\x20'"))
    assert finding.code == "LOOKALIKE"


@given(st.text(st.characters(max_codepoint=127, categories=("L", "N", "P")), min_size=1, max_size=12))
def test_no_word_of_ascii_is_called_a_lookalike(word: str) -> None:
    quoted = '"' + "".join(f"\\u{ord(c):04x}" for c in word) + '"'
    assert found(guard("g", f"customer.owner != {quoted}")) == []


def night(params: dict[str, Any], *, expression: str = "", condition: str = "", **spec: Any) -> str:
    """Return a guard on the hour, tuned by params."""
    content = json.loads(
        guard("night", expression or "time.hour >= params.first && time.hour < params.last")
    )
    content["spec"] |= {"params": params, **spec}
    if condition:
        content["spec"]["matchConditions"] = [{"name": "c", "expression": condition}]
    return json.dumps(content)


DAY = {"first": 8, "last": 20}


def setting(**params: Any) -> str:
    return document("Params", "prod", {"guards": {"night": params}})


@pytest.mark.parametrize(
    ("guard_", "params"),
    [
        (night(DAY), {"first": 0, "last": 99}),
        (night(DAY), {"first": -5, "last": 24}),
        (night({**DAY, "last": 24}), {"first": 0}),
        (night({"off": False}, expression="params.off || !customer.minor"), {"off": True}),
        (night({"on": True}, expression="!customer.minor", condition="params.on"), {"on": False}),
        (
            night(DAY, expression="variables.day", variables=[
                {"name": "late", "expression": "time.hour >= params.last"},
                {"name": "day", "expression": "!variables.late"},
            ]),
            {"last": 24},
        ),
        (
            night({"who": "EMPLOYEE", "hour": 8}, condition="time.hour >= params.hour", expression="time.hour > 20"),
            {"hour": 21},
        ),
    ],
)  # fmt: skip
def test_a_value_that_leaves_a_guard_nothing_to_refuse_is_told_where_it_is_set(
    guard_: str, params: dict[str, Any]
) -> None:
    assert not [each for each in found(guard_) if each.code == "PARAM_DISARMS"]
    (finding,) = found(guard_, setting(**params))
    assert (finding.code, finding.document) == ("PARAM_DISARMS", "Params prod")


@pytest.mark.parametrize("params", [{"first": 7, "last": 21}, {"first": 23, "last": 1}, {"last": 23}])
def test_a_value_that_leaves_something_to_refuse_is_not(params: dict[str, Any]) -> None:
    assert found(night(DAY), setting(**params)) == []


def test_a_rule_that_is_off_in_an_environment_says_why() -> None:
    content = json.loads(setting(first=0, last=24))
    content["metadata"]["annotations"] = {
        "lint.fujie.dev/ignore": "PARAM_DISARMS: nobody is called from the test site"
    }
    assert found(night(DAY), json.dumps(content)) == []
