"""Grants and guards: what is said must be enforced, and what is meant must be said."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from fujie.model.approval import Requirement
from fujie.policy.compile import compile_bundle
from support.bundles import compiled, document, grant, guard, problems

OPENING: Mapping[str, object] = {
    "match": {"actions": ["lookup"]},
    "roles": ["agent"],
    "purposes": ["care"],
    "fields": {"phone": "keep(3,4)"},
}
CLOSING: Mapping[str, object] = {
    "match": {"actions": ["lookup"]},
    "validations": [{"name": "v", "expression": "true"}],
}


AGREED: Mapping[str, object] = {"roles": ["officer"], "count": 1, "valid_for": "24h"}
GLASS = {"roles": ["on_call"], "review_within": "24h"}


def validation(**more: object) -> dict[str, object]:
    return {"validations": [{"name": "v", "expression": "true", **more}]}


def variables(*expressions: str, rule: str = "true") -> dict[str, object]:
    entries = [{"name": f"v{i}", "expression": text} for i, text in enumerate(expressions)]
    declared = {"variables": entries} if entries else {}
    return {**declared, "validations": [{"name": "v", "expression": rule}]}


def codes(kind: str, spec: Mapping[str, object]) -> list[str]:
    return [problem.code for problem in problems(document(kind, "own", spec))]


LIMITS: list[tuple[Mapping[str, object], list[str]]] = [
    ({"limits": None}, ["WRONG_TYPE"]),
    ({"limits": []}, ["WRONG_TYPE"]),
    ({"limits": {}}, ["MISSING_KEY"]),
    ({"limits": {"rows_per_day": 1}}, ["MISSING_KEY", "UNKNOWN_KEY"]),
    ({"limits": {"rows_per_hour": 0}}, ["OUT_OF_RANGE"]),
    ({"limits": {"rows_per_hour": -1}}, ["OUT_OF_RANGE"]),
    ({"limits": {"rows_per_hour": 10**9 + 1}}, ["OUT_OF_RANGE"]),
    ({"limits": {"rows_per_hour": 10**99}}, ["OUT_OF_RANGE"]),
    ({"limits": {"rows_per_hour": "5"}}, ["WRONG_TYPE"]),
    ({"limits": {"rows_per_hour": 5.0}}, ["WRONG_TYPE"]),
    ({"limits": {"rows_per_hour": None}}, ["WRONG_TYPE"]),
    ({"limits": {"rows_per_hour": True}}, ["WRONG_TYPE"]),
    ({"limits": {"lookups_per_minute": 1}, "match": {"actions": ["export"]}}, ["NOT_APPLICABLE"]),
    *(
        ({"limits": {"rows_per_hour": 1}, "match": {"actions": actions}}, ["NOT_YET_ENFORCED"])
        for actions in (["erase"], ["correct"], ["lookup", "correct"], ["erase", "send"])
    ),
]
"""What is wrong with limits is wrong on grants and guards alike."""

GRANTS: list[tuple[Mapping[str, object], list[str]]] = [
    *LIMITS,
    ({"match": {"actions": ["correct"]}, "condition": "!customer.minor"}, ["NOT_YET_ENFORCED"]),
    ({"condition": "message.is_template"}, ["FACT_NOT_AVAILABLE"]),
    (
        {"match": {"actions": ["lookup", "send"]}, "condition": "processor.agreement == VALID"},
        ["FACT_NOT_AVAILABLE"],
    ),
    ({"match": {"actions": ["send"]}, "condition": "frequency.exhausted.size() == 0"}, ["FACT_REFUSED"]),
    ({"match": {"actions": ["send"]}, "condition": "processor.agreement == EXPIRED"}, ["STATE_MISUSE"]),
    ({"match": {"actions": ["send"]}, "frequency": {"per_day": 1}}, ["UNKNOWN_KEY"]),
    (
        {"match": {"actions": ["lookup", "correct"]}, "condition": "usage.volume == WITHIN"},
        ["NOT_YET_ENFORCED"],
    ),
    *(
        ({key: at}, ["INSTANT_INVALID"])
        for key in ("valid_from", "valid_until")
        for at in (
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00+08:00",
            "2026-01-01T00:00+08:00",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:60Z",
            "2026-04-31T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01t00:00:00z",
            "2026-01-01T00:00:00.5Z",
            "20260101T000000Z",
            "1999-01-01T00:00:00Z",
            "2026-W01-1T00:00:00Z",
            "next year",
            "２０２６-01-01T00:00:00Z",
        )
    ),
    ({"valid_from": 2026}, ["WRONG_TYPE"]),
    ({"valid_until": None}, ["WRONG_TYPE"]),
    (
        {"valid_from": "2026-01-01T08:00:00+08:00", "valid_until": "2026-01-01T00:00:00Z"},
        ["NEVER_VALID"],
    ),
    ({"valid_from": "2026-01-02T00:00:00Z", "valid_until": "2026-01-01T00:00:00Z"}, ["NEVER_VALID"]),
    ({"condition": "'own' in grants.expired"}, ["FACT_REFUSED"]),
    ({"condition": "approvals.granted.size() > 0"}, ["FACT_REFUSED"]),
    ({"condition": "approvals.break_glass.size() > 0"}, ["FACT_REFUSED"]),
    ({"condition": "params.x"}, ["EXPRESSION_INVALID"]),
    ({"params": {}}, ["UNKNOWN_KEY"]),
    ({"validUntil": "2026-01-01"}, ["UNKNOWN_KEY"]),
    ({"purposes": []}, ["EMPTY_LIST"]),
    ({"purposes": None}, ["WRONG_TYPE"]),
    ({"purposes": "care"}, ["WRONG_TYPE"]),
    ({"purposes": ["caer"]}, ["UNKNOWN_PURPOSE"]),
    ({"purposes": ["care", "care"]}, ["DUPLICATE_ITEM"]),
    ({"roles": []}, ["EMPTY_LIST"]),
    ({"roles": [""]}, ["EMPTY_TEXT"]),
    ({"roles": None}, ["WRONG_TYPE"]),
    ({"roles": [True]}, ["WRONG_TYPE"]),
    ({"match": {"actions": []}}, ["EMPTY_LIST"]),
    ({"match": {"actions": ["lokup"]}}, ["UNKNOWN_ACTION"]),
    ({"match": {"actions": ["*"]}}, ["UNKNOWN_ACTION"]),
    ({"match": {"actions": ["lookup"], "stores": []}}, ["EMPTY_LIST"]),
    ({"match": {"actions": ["lookup"], "keys": []}}, ["EMPTY_LIST"]),
    ({"match": {"actions": ["lookup"], "keys": ["id_card"]}}, ["UNKNOWN_KEY_KIND"]),
    ({"match": {"actions": ["lookup"], "purposes": ["care"]}}, ["UNKNOWN_KEY"]),
    ({"match": {"actions": ["lookup"], "store": ["crm"]}}, ["UNKNOWN_KEY"]),
    ({"match": {"actions": ["lookup", "principal.read"]}}, ["MIXED_ACTIONS"]),
    ({"match": {"actions": ["principal.read"]}}, ["NOT_APPLICABLE"]),
    ({"match": {}}, ["MISSING_KEY"]),
    ({"fields": {"phone": "keep(3,4)", "phon": "omit"}}, ["UNKNOWN_FIELD"]),
    ({"fields": {"*": "reveal"}}, ["UNKNOWN_FIELD"]),
    ({"fields": {"phone": "keep(3,3)"}}, ["STEP_NOT_ON_LADDER"]),
    ({"fields": {"phone": "show"}}, ["UNKNOWN_STEP"]),
    ({"fields": {"phone": True}}, ["WRONG_TYPE"]),
    ({"fields": ["phone"]}, ["WRONG_TYPE"]),
    ({"condition": "time.hour"}, ["NOT_BOOLEAN"]),
    ({"condition": "customer.tags"}, ["NOT_BOOLEAN"]),
    ({"condition": "{}"}, ["NOT_BOOLEAN"]),
    ({"condition": "null"}, ["NOT_BOOLEAN"]),
    ({"condition": "customer.minro"}, ["EXPRESSION_INVALID"]),
    ({"condition": "variables.x"}, ["EXPRESSION_INVALID"]),
    ({"condition": True}, ["WRONG_TYPE"]),
    ({"condition": ""}, ["EMPTY_TEXT"]),
    ({"condition": "(" * 31 + "true" + ")" * 31}, ["EXPRESSION_TOO_DEEP"]),
    ({"condition": "+".join(["1"] * 31) + " > 0"}, ["EXPRESSION_TOO_DEEP"]),
]


@pytest.mark.parametrize(("change", "expected"), GRANTS, ids=lambda value: json.dumps(value)[:50])
def test_a_grant_that_is_not_exactly_right_is_refused(
    change: Mapping[str, object], expected: list[str]
) -> None:
    assert codes("Grant", {**OPENING, **change}) == expected


@pytest.mark.parametrize("key", ["match", "roles", "purposes", "fields"])
def test_a_grant_without_a_part_that_narrows_it_is_refused(key: str) -> None:
    """Left out, each would be read as any."""
    assert (
        codes("Grant", {name: value for name, value in OPENING.items() if name != key})[0] == "MISSING_KEY"
    )


GUARDS: list[tuple[Mapping[str, object], list[str]]] = [
    *LIMITS,
    ({"limits": {"rows_per_hour": 1}, "validationActions": ["Warn"]}, ["NOT_APPLICABLE"]),
    ({"limits": {"rows_per_hour": 1}, "validationActions": ["Audit"]}, ["NOT_APPLICABLE"]),
    ({"limits": {"rows_per_hour": 1}, "match": {"actions": ["audit.read"]}}, ["NOT_APPLICABLE"]),
    ({"limits": {"rows_per_hour": 1}, "match": {"actions": ["lookup", "audit.read"]}}, ["NOT_APPLICABLE"]),
    *(
        (validation(outcome="approval", approval={**AGREED, **change}), codes)
        for change, codes in (
            ({"roles": []}, ["EMPTY_LIST"]),
            ({"roles": ["a", "a"]}, ["DUPLICATE_ITEM"]),
            ({"roles": "a"}, ["WRONG_TYPE"]),
            ({"count": 0}, ["OUT_OF_RANGE"]),
            ({"count": 11}, ["OUT_OF_RANGE"]),
            ({"count": True}, ["WRONG_TYPE"]),
            ({"valid_for": "0h"}, ["DURATION_INVALID"]),
            ({"escalate_after": "8d"}, ["DURATION_INVALID"]),
            ({"escalate_after": "0h"}, ["DURATION_INVALID"]),
            ({"escalate_after": "soon"}, ["DURATION_INVALID"]),
            ({"valid_for": "31d"}, ["DURATION_INVALID"]),
            ({"valid_for": "721h"}, ["DURATION_INVALID"]),
            ({"valid_for": "99999d"}, ["DURATION_INVALID"]),
            ({"valid_for": "24"}, ["DURATION_INVALID"]),
            ({"valid_for": "1.5h"}, ["DURATION_INVALID"]),
            ({"valid_for": "٣h"}, ["DURATION_INVALID"]),
            ({"valid_for": 24}, ["WRONG_TYPE"]),
            ({"by": "anybody"}, ["UNKNOWN_KEY"]),
        )
    ),
    (validation(outcome="approval", approval={}), ["MISSING_KEY", "MISSING_KEY"]),
    (validation(outcome="approval"), ["MISSING_KEY"]),
    (
        validation(outcome="approval", approval={**AGREED, "break_glass": {}}),
        ["MISSING_KEY", "MISSING_KEY"],
    ),
    (
        validation(
            outcome="approval", approval={**AGREED, "break_glass": {**GLASS, "review_within": "8d"}}
        ),
        ["DURATION_INVALID"],
    ),
    (
        validation(outcome="approval", approval={**AGREED, "break_glass": {**GLASS, "roles": []}}),
        ["EMPTY_LIST"],
    ),
    (
        validation(outcome="approval", approval={**AGREED, "break_glass": {**GLASS, "x": "y"}}),
        ["UNKNOWN_KEY"],
    ),
    (
        {
            **validation(outcome="approval", approval={**AGREED, "break_glass": GLASS}),
            "validationActions": ["Warn"],
        },
        ["NOT_APPLICABLE"],
    ),
    (validation(outcome="deny", approval=AGREED), ["NOT_APPLICABLE"]),
    (validation(approval=AGREED), ["NOT_APPLICABLE"]),
    (validation(outcome="allow"), ["UNKNOWN_OUTCOME"]),
    (validation(outcome="Approval", approval=AGREED), ["UNKNOWN_OUTCOME", "NOT_APPLICABLE"]),
    (
        {**validation(outcome="approval", approval=AGREED), "validationActions": ["Warn"]},
        ["NOT_APPLICABLE"],
    ),
    (
        {
            **validation(outcome="approval", approval={**AGREED, "break_glass": GLASS}),
            "validationActions": ["Audit"],
        },
        ["NOT_APPLICABLE"],
    ),
    *(
        (
            {**validation(outcome="approval", approval=AGREED), "match": {"actions": actions}},
            ["NOT_YET_ENFORCED"],
        )
        for actions in (["principal.offboard"], ["lookup", "correct"], ["erase"], ["consent.record"])
    ),
    (
        validation(outcome="approval", approval=AGREED, reason="LIMIT_EXCEEDED"),
        ["UNKNOWN_REASON"],
    ),
    (variables(rule="'g/v#0' in approvals.granted"), ["FACT_REFUSED"]),
    (variables("grants.expired.size()"), ["FACT_REFUSED"]),
    (validation(reason="X_NOBODY"), ["UNKNOWN_REASON"]),
    (validation(reason="APPROVAL_REQUIRED"), ["UNKNOWN_REASON"]),
    (validation(reason="INTERNAL"), ["UNKNOWN_REASON"]),
    (validation(reason="NOT_FOUND"), ["UNKNOWN_REASON"]),
    (validation(message={"en": "x"}), ["MISSING_KEY"]),
    (validation(message={"en": "{notice}", "zh": "文"}), ["NOT_YET_ENFORCED"]),
    (validation(messageExpression="'x'"), ["UNKNOWN_KEY"]),
    ({"failurePolicy": "Ignore"}, ["UNKNOWN_KEY"]),
    ({"validations": []}, ["EMPTY_LIST"]),
    ({"validations": {}}, ["WRONG_TYPE"]),
    ({"validations": ["true"]}, ["WRONG_TYPE"]),
    ({"validations": [{"name": "v"}]}, ["MISSING_KEY"]),
    ({"validations": [{"expression": "true"}]}, ["MISSING_KEY"]),
    ({"validations": [{"name": "V", "expression": "true"}]}, ["NAME_INVALID"]),
    ({"validations": [{"name": "v", "expression": "true"}] * 2}, ["DUPLICATE_NAME"]),
    ({"matchConditions": [{"name": "c", "expression": "1"}]}, ["NOT_BOOLEAN"]),
    ({"matchConditions": [{"name": "c", "expresion": "true"}]}, ["MISSING_KEY", "UNKNOWN_KEY"]),
    ({"matchConditions": [{"name": "c", "expression": "true"}] * 2}, ["DUPLICATE_NAME"]),
    ({"matchConditions": []}, ["EMPTY_LIST"]),
    ({"validationActions": ["Deny", "Warn"]}, ["CONTRADICTION"]),
    ({"validationActions": []}, ["EMPTY_LIST"]),
    ({"validationActions": ["deny"]}, ["UNKNOWN_VALIDATION_ACTION"]),
    ({"validationActions": "Audit"}, ["WRONG_TYPE"]),
    ({"validationActions": ["Audit"], "fields": {"phone": "omit"}}, ["NOT_APPLICABLE"]),
    ({"validationActions": ["Warn"], "fields": {"phone": "omit"}}, ["NOT_APPLICABLE"]),
    ({"match": {"actions": ["lookup"], "purposes": []}}, ["EMPTY_LIST"]),
    ({"match": {"actions": ["lookup"], "roles": ["agent"]}}, ["UNKNOWN_KEY"]),
    ({"fields": {"phone": "keep(9,9)"}}, ["STEP_NOT_ON_LADDER"]),
    (
        {"match": {"actions": ["lookup", "principal.read"]}, **variables("customer.minor")},
        ["FACT_NOT_AVAILABLE"],
    ),
    ({"match": {"actions": ["audit.read"]}, **variables(rule="consent.explicit")}, ["FACT_NOT_AVAILABLE"]),
    (
        {"match": {"actions": ["lookup", "correct"]}, **variables(rule="consent.state == GIVEN")},
        ["NOT_YET_ENFORCED"],
    ),
    (
        {"match": {"actions": ["correct"]}, **variables(rule="!suppression.in_force")},
        ["NOT_YET_ENFORCED"],
    ),
    (variables("variables.v0"), ["VARIABLE_CYCLE"]),
    (variables("variables.v1", "variables.v0"), ["VARIABLE_CYCLE", "EXPRESSION_INVALID"]),
    (variables("[1].exists(x, variables . v1)", "true"), ["VARIABLE_CYCLE"]),
    (variables("customer.tags"), ["VARIABLE_TYPE"]),
    (variables("consent.state"), ["STATE_MISUSE"]),
    (variables("GIVEN"), ["STATE_MISUSE"]),
    (variables("3", rule="consent.state == variables.v0"), ["STATE_MISUSE"]),
    (variables("'('", rule="customer.owner.matches(variables.v0)"), ["REGEX_INVALID"]),
    (
        variables("(" * 20 + "true" + ")" * 20, rule="(" * 12 + "variables.v0" + ")" * 12),
        ["EXPRESSION_INVALID"],
    ),
    (variables(rule="variables.nobody"), ["EXPRESSION_INVALID"]),
    (variables("time.hour + 1", rule="variables.v0 == 'a'"), ["EXPRESSION_INVALID"]),
    ({"variables": [{"name": "a b", "expression": "true"}]}, ["NAME_INVALID"]),
    ({"variables": [{"name": "a", "expression": "true"}] * 2}, ["DUPLICATE_NAME"]),
]


@pytest.mark.parametrize(("change", "expected"), GUARDS, ids=lambda value: json.dumps(value)[:50])
def test_a_guard_that_is_not_exactly_right_is_refused(
    change: Mapping[str, object], expected: list[str]
) -> None:
    assert codes("Guard", {**CLOSING, **change}) == expected


def test_a_guard_that_guards_nothing_is_refused() -> None:
    assert codes("Guard", {"match": {"actions": ["lookup"]}}) == ["MISSING_KEY"]
    assert codes("Guard", {"match": {"actions": ["lookup"]}, "fields": {}}) == ["MISSING_KEY"]


def test_a_variable_counts_with_what_it_reads() -> None:
    bundle = compiled(
        document(
            "Guard", "own", {**CLOSING, **variables("customer.minor", "!variables.v0", rule="variables.v1")}
        )
    )
    (found,) = bundle.guards[0].validations
    assert found.rule.reads == {"customer.minor"}
    assert found.rule.text == "variables.v1"


def test_a_variable_counts_only_where_it_is_used() -> None:
    bundle = compiled(
        document("Guard", "own", {**CLOSING, **variables("customer.minor", rule="time.hour > 1")})
    )
    assert bundle.guards[0].validations[0].rule.reads == {"time.hour"}


def test_variables_that_double_each_other_are_stopped_before_they_fill_the_memory() -> None:
    """Forty doublings of one code point are a terabyte."""
    doubling = [f"variables.v{i} + variables.v{i}" for i in range(60)]
    found = codes("Guard", {**CLOSING, **variables("1", *doubling)})
    assert found[0] == "EXPRESSION_TOO_LONG"


def test_a_problem_of_a_variable_is_reported_at_the_variable() -> None:
    found = problems(
        "apiVersion: fujie.dev/v1\nkind: Guard\nmetadata: {name: g}\nspec:\n  match: {actions: [lookup]}\n"
        "  variables:\n    - name: a\n      expression: customer.minro\n"
        "  validations:\n    - {name: v, expression: 'true'}\n"
    )
    assert [(d.file, d.line, d.column) for d in found] == [("own", 8, 27)]


def test_a_rule_says_where_it_stands() -> None:
    bundle = compiled(
        "apiVersion: fujie.dev/v1\nkind: Guard\nmetadata: {name: g}\nspec:\n  match: {actions: [lookup]}\n"
        "  validations:\n    - name: v\n      expression: |\n        true\n"
    )
    assert (
        bundle.guards[0].validations[0].rule.where == "bundle.yaml:13:9"
    )  # 4 lines of the catalogue come before


def test_the_deepest_rule_that_is_accepted_can_be_planned() -> None:
    deep = "(" * 30 + "true" + ")" * 30
    bundle = compiled(grant(condition=deep), guard("g", deep))
    assert bundle.engine.program([deep] * 10).run({}) == [True] * 10


OF_THE_DESK = """
apiVersion: fujie.dev/v1
kind: Guard
metadata: {{name: g}}
spec:
  match: {{actions: [consent.record]{match}}}
  validations: [{{name: v, expression: "{expression}"}}]
"""


@pytest.mark.parametrize(
    ("match", "expression", "code"),
    [
        (", stores: [crm]", "true", "NOT_APPLICABLE"),
        (", keys: [phone]", "true", "NOT_APPLICABLE"),
        ("", "request.purpose != 'marketing'", "FACT_NOT_AVAILABLE"),
        ("", "request.has_ticket", "FACT_NOT_AVAILABLE"),
        ("", "customer.minor", "EXPRESSION_INVALID"),
        ("", "consent.state == GIVEN", "FACT_NOT_AVAILABLE"),
    ],
)
def test_a_guard_that_could_never_fire_is_refused(match: str, expression: str, code: str) -> None:
    """Consent is recorded under no purpose, store or key: such a guard would be silent, not strict."""
    outcome = compile_bundle({"g.yaml": OF_THE_DESK.format(match=match, expression=expression).encode()})
    assert isinstance(outcome, tuple)
    assert [problem.code for problem in outcome] == [code]


@pytest.mark.parametrize(
    ("actions", "condition", "rule", "is_refused"),
    [
        (["send"], "message.in_campaign", "request.has_ticket", True),
        (["send"], "request.rows > 1 && message.in_campaign", "request.has_ticket", True),
        (["send"], "", "!message.in_campaign", True),
        (["send"], "", "request.rows < 1000", True),
        (["lookup"], "", "request.rows == 1", True),
        (["lookup", "send"], "", "request.rows < 2", True),
        (["lookup", "export"], "", "request.rows < 1000", False),
        (["send"], "", "request.rows < 1", False),
        (["send"], "!message.in_campaign", "request.has_ticket", False),
        (["send"], "message.in_campaign || request.has_ticket", "request.has_ticket", False),
        (["send"], "", "request.has_ticket", False),
    ],
)
def test_break_glass_that_no_campaign_would_honour_is_refused_at_the_load(
    actions: list[str], condition: str, rule: str, *, is_refused: bool
) -> None:
    """Nobody breaks the glass for a campaign or a batch: a policy that promises it is not loaded and then not kept."""
    entry = {"name": "v", "expression": rule, "outcome": "approval"}
    spec: dict[str, Any] = {"match": {"actions": actions}}
    if condition:
        spec["matchConditions"] = [{"name": "c", "expression": condition}]
    spec["validations"] = [{**entry, "approval": {**AGREED, "break_glass": GLASS}}]
    if is_refused:
        assert codes("Guard", spec) == ["NOT_YET_ENFORCED"]
        spec["validations"] = [{**entry, "approval": AGREED}]
    compiled(document("Guard", "own", spec))


def test_a_requirement_says_exactly_what_was_written() -> None:
    agreed = {"roles": ["officer", "lead"], "count": 3, "valid_for": "30d"}
    rule = {"name": "v", "expression": "false", "outcome": "approval", "approval": agreed}
    bundle = compiled(document("Guard", "own", {**CLOSING, "validations": [rule]}))
    (found,) = bundle.guards[0].validations
    assert found.approval == Requirement("own", "v", ("lead", "officer"), 3, timedelta(days=30))
    assert found.hit.code == "APPROVAL_REQUIRED"


def test_a_validation_that_may_be_approved_can_have_a_reason_of_the_bundle() -> None:
    reasons = [{"code": "X_LARGE", "message": {"zh": "数量大", "en": "a lot"}}]
    rule = {
        "name": "v", "expression": "false", "reason": "X_LARGE", "outcome": "approval", "approval": AGREED,
    }  # fmt: skip
    bundle = compiled(
        document("Reasons", "own", {"reasons": reasons}),
        document("Guard", "own", {**CLOSING, "validations": [rule]}),
    )
    assert bundle.guards[0].validations[0].hit.code == "X_LARGE"


@pytest.mark.parametrize(
    ("start", "end"),
    [("2026-01-01T08:00:00+08:00", "2026-01-01T00:00:01Z"), ("2099-12-31T23:59:59-12:00", "")],
)
def test_a_grant_keeps_its_bounds_as_instants(start: str, end: str) -> None:
    (found,) = compiled(grant(valid=(start, end))).grants
    assert found.valid_from == datetime.fromisoformat(start)
    assert found.valid_until == (datetime.fromisoformat(end) if end else None)


@pytest.mark.parametrize(
    "instant",
    ["2026-01-01T00:00:00+08:60", "2026-01-01T00:00:00+08:99", "2026-01-01T00:00:00+24:00", "2026-06-30T23:59:60Z",
     "2026-01-01T24:00:00Z", "2026-02-29T00:00:00Z", "9999-12-31T23:59:59Z", "1999-12-31T23:59:59Z",
     "2026-01-01T00:00:00", "2026-01-01T00:00:00z", "2026-01-01 00:00:00Z", "2026-01-01T00:00:00.5Z", "2026-W01-1T00:00:00Z"],
)  # fmt: skip
def test_an_instant_that_no_clock_shows_is_refused(instant: str) -> None:
    for key in ("valid_from", "valid_until"):
        found = problems(document("Grant", "own", {**OPENING, key: instant}))
        assert [problem.code for problem in found] == ["INSTANT_INVALID"]


def test_a_date_is_refused_with_what_to_write_instead() -> None:
    (found,) = problems(document("Grant", "own", {**OPENING, "valid_until": "2026-12-31"}))
    assert '"2026-12-31T00:00:00+08:00"' in found.message


def test_only_grants_with_bounds_are_looked_at_for_every_request() -> None:
    until = ("", "2026-12-01T00:00:00Z")
    bundle = compiled(grant("b", valid=until), grant("a"), grant("c", valid=until))
    assert [found.name for found in bundle.timed_grants] == ["b", "c"]
