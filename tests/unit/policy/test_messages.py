"""Senders and templates: what would go out wrong does not load."""

from collections.abc import Mapping

import pytest

from fujie.model.message import Category, Sender, Template
from support.bundles import compiled, document, guard, problems

SOUND: Mapping[str, object] = {
    "version": "2",
    "category": "transactional",
    "text": "您的订单{order}已发出，详情{link}",
    "variables": {"order": 20},
    "codes": {"main": "SMS_1"},
}


def codes(kind: str, spec: Mapping[str, object]) -> list[str]:
    return [problem.code for problem in problems(document(kind, "own", spec))]


def test_senders_are_found_by_signature_and_templates_by_name() -> None:
    bundle = compiled(
        document(
            "Sender", "shop", {"signature": "符节商城", "providers": ["main"], "domains": ["example.com"]}
        ),
        document("Sender", "any", {"signature": "Fujie"}),
        document("MessageTemplate", "shipped", SOUND),
    )
    assert bundle.senders == {
        "Fujie": Sender("Fujie"),
        "符节商城": Sender("符节商城", frozenset({"main"}), frozenset({"example.com"})),
    }
    (template,) = bundle.templates.values()
    assert template == Template(
        "shipped",
        "2",
        Category.TRANSACTIONAL,
        "您的订单{order}已发出，详情{link}",
        {"order": 20},
        {"main": "SMS_1"},
    )


def test_another_text_makes_another_bundle() -> None:
    one, other = (
        compiled(document("MessageTemplate", "t", {**SOUND, "text": text}))
        for text in ("{order}a", "{order}b")
    )
    assert one.digest != other.digest


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, ["MISSING_KEY"]),
        ({"signature": "【符节】"}, ["SIGNATURE_INVALID"]),
        ({"signature": " 符节"}, ["SIGNATURE_INVALID"]),
        ({"signature": "a\nb"}, ["SIGNATURE_INVALID"]),
        ({"signature": "x" * 33}, ["SIGNATURE_INVALID"]),
        ({"signature": "{name}"}, ["SIGNATURE_INVALID"]),
        ({"signature": "符节", "providers": []}, ["EMPTY_LIST"]),
        *(
            ({"signature": "符节", "domains": [domain]}, ["DOMAIN_INVALID"])
            for domain in (
                "https://example.com", "example.com/x", "example.com:443", "*.example.com", ".example.com", "com",
                "Example.com", "例子.中国", "a..b", "example.com.", "-a.com", "a@example.com", "127.0.0.1",
            )
        ),
    ],
)  # fmt: skip
def test_a_sender_that_is_not_exactly_right_is_refused(
    spec: Mapping[str, object], expected: list[str]
) -> None:
    assert codes("Sender", spec) == expected


def test_one_signature_has_one_sender() -> None:
    twice = [document("Sender", name, {"signature": "符节"}) for name in ("a", "b")]
    assert [problem.code for problem in problems(*twice)] == ["DUPLICATE_NAME"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"version": 2}, ["WRONG_TYPE"]),
        ({"version": "two"}, ["VERSION_INVALID"]),
        ({"category": "MARKETING"}, ["UNKNOWN_CATEGORY"]),
        ({"text": "{order}{other}"}, ["UNKNOWN_VARIABLE"]),
        ({"text": "no variable"}, ["UNUSED_VARIABLE"]),
        ({"text": "{order} {"}, ["TEXT_INVALID"]),
        ({"text": "{{order}}"}, ["TEXT_INVALID"]),
        ({"text": "{order} }"}, ["TEXT_INVALID"]),
        ({"text": "【符节】{order}"}, ["SIGNATURE_IN_TEXT"]),
        ({"text": "{order}" + "长" * 1000}, ["TEXT_TOO_LONG"]),
        ({"variables": {"order": 0}}, ["OUT_OF_RANGE"]),
        ({"variables": {"order": "20"}}, ["WRONG_TYPE"]),
        ({"text": "{Order}", "variables": {"Order": 1}}, ["NAME_INVALID"]),
        (
            {"text": "{order}{link}", "variables": {"order": 1, "link": 9}},
            ["NAME_INVALID", "UNUSED_VARIABLE"],
        ),
        ({"codes": {"main": 7}}, ["WRONG_TYPE"]),
        ({"codes": []}, ["WRONG_TYPE"]),
        ({"signature": "符节"}, ["UNKNOWN_KEY"]),
    ],
)
def test_a_template_that_is_not_exactly_right_is_refused(
    change: Mapping[str, object], expected: list[str]
) -> None:
    assert sorted(codes("MessageTemplate", {**SOUND, **change})) == expected


# Frequency and defer, of guards.
GUARD: Mapping[str, object] = {"match": {"actions": ["send"]}}
DEFERS = [{"name": "v", "expression": "recipient.hour > 7", "outcome": "defer"}]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"frequency": {}}, ["MISSING_KEY"]),
        ({"frequency": {"per_week": 1}}, ["MISSING_KEY", "UNKNOWN_KEY"]),
        ({"frequency": {"per_day": 0}}, ["OUT_OF_RANGE"]),
        ({"frequency": {"per_day": True}}, ["WRONG_TYPE"]),
        ({"frequency": 3}, ["WRONG_TYPE"]),
        ({"frequency": {"per_day": 1}, "match": {"actions": ["send", "lookup"]}}, ["NOT_APPLICABLE"]),
        ({"frequency": {"per_day": 1}, "match": {"actions": ["consent.read"]}}, ["NOT_APPLICABLE"]),
        ({"validations": DEFERS, "validationActions": ["Warn"]}, ["NOT_APPLICABLE"]),
        ({"validations": [{**DEFERS[0], "expression": "true"}], "match": {"actions": ["lookup"]}}, ["NOT_APPLICABLE"]),
        ({"validations": DEFERS, "match": {"actions": ["send", "lookup"]}}, ["FACT_NOT_AVAILABLE", "NOT_APPLICABLE"]),
        ({"validations": [{**DEFERS[0], "outcome": "later"}]}, ["UNKNOWN_OUTCOME"]),
        (
            {"validations": [{**DEFERS[0], "approval": {"roles": ["r"], "valid_for": "1h"}}]},
            ["NOT_APPLICABLE"],
        ),
    ],
)  # fmt: skip
def test_caps_and_waiting_belong_to_what_is_sent(spec: Mapping[str, object], expected: list[str]) -> None:
    assert sorted(codes("Guard", {**GUARD, **spec})) == expected


def test_a_guard_may_close_by_caps_alone() -> None:
    (found,) = compiled(guard("g", frequency={"per_day": 3}, match={"actions": ["send"]})).guards
    assert (dict(found.frequency), found.validations) == ({"per_day": 3}, ())


@pytest.mark.parametrize(
    "limits", [{"rows_per_hour": 1}, {"distinct_customers_per_day": 1, "rows_per_request": 1}]
)
def test_limits_on_sending_load_since_they_are_enforced(limits: Mapping[str, int]) -> None:
    for actions in (["send"], ["lookup", "send"]):
        (found,) = compiled(guard("g", limits=limits, match={"actions": actions})).guards
        assert dict(found.limits) == limits
