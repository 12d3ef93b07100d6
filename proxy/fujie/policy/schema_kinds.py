"""The spec of every kind of policy document as a JSON Schema."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from fujie.model.consent import ConsentEventType
from fujie.model.data_class import DataClass
from fujie.model.facts import BUILT_IN_FACTS
from fujie.model.limit import MAX_LIMIT, Limit
from fujie.model.notice import CHANNELS
from fujie.model.vocabulary import CUSTOMER_ACTIONS, FIELD_ACTIONS, Action, Basis, Effect, KeyKind
from fujie.policy.approval import DURATION, MOST_APPROVERS
from fujie.policy.bundle import Severity
from fujie.policy.catalogue import ATTRIBUTE_TYPES, DAYS, NAME, REASON_CODE
from fujie.policy.fixtures import MOST_ROWS
from fujie.policy.lexicon import CATEGORY, DAY
from fujie.policy.notices import VERSION
from fujie.policy.rules import MODES, RULE_NAME, VARIABLE_NAME
from fujie.policy.schema_shapes import (
    Shape,
    expression,
    flag,
    integer,
    keyed,
    listed,
    localized,
    mapping,
    matching,
    one_of,
    states,
    step,
    steps,
    text,
    texts,
)
from fujie.policy.validity import INSTANT

_NAMES = texts(matching(NAME))


def _purposes() -> Shape:
    evidence = mapping({}, {"evidence": text("what the request must carry as `basis_evidence`")})
    bases = {"type": "object", "minProperties": 1, "additionalProperties": False}
    entry = mapping(
        {
            "id": matching(NAME),
            "label": localized(),
            "bases": {**bases, "properties": {basis.value: evidence for basis in Basis}},
        },
        {
            "dpv": text("term of the W3C Data Privacy Vocabulary"),
            "consent_ttl": matching(DAYS, "days after which a consent has expired, `365d`"),
            "retention": matching(DAYS, "days, `730d`"),
        },
    )
    return mapping({"purposes": listed(entry)})


def _field_catalog() -> Shape:
    a_class = mapping({}, {"level": integer(1, 4), "ladder": texts(step()), "floor": step()})
    attribute = mapping(
        {"type": one_of(ATTRIBUTE_TYPES)}, {"personal": flag("sealed per customer in the log")}
    )
    classes: Shape = {"type": "object", "additionalProperties": False}
    return mapping(
        {},
        {
            "classes": {**classes, "properties": {name.value: a_class for name in DataClass}},
            "fields": keyed(NAME, mapping({"class": one_of(DataClass)})),
            "attributes": mapping({}, dict.fromkeys(("customer", "principal"), keyed(NAME, attribute))),
        },
    )


def _reasons() -> Shape:
    entry = mapping(
        {"code": matching(REASON_CODE), "message": localized()},
        {"remedy": localized(), "basis": texts(), "priority": integer(100, 899)},
    )
    return mapping({"reasons": listed(entry)})


def _match(**more: Shape) -> Shape:
    actions = texts(one_of(Action))
    return mapping({"actions": actions}, {"stores": texts(), "keys": texts(one_of(KeyKind)), **more})


def _limits() -> Shape:
    return mapping({}, {limit.value: integer(1, MAX_LIMIT) for limit in Limit}, minProperties=1)


def _grant() -> Shape:
    instant = matching(INSTANT, 'with its offset, "2026-12-31T18:00:00+08:00"')
    return mapping(
        {"match": _match(), "roles": texts()},
        {
            "purposes": _NAMES,
            "condition": expression(),
            "fields": steps(),
            "limits": _limits(),
            "valid_from": instant,
            "valid_until": instant,
        },
        allOf=[
            _when_matching(CUSTOMER_ACTIONS, {"required": ["purposes"]}),
            _when_matching(FIELD_ACTIONS, {"required": ["fields"]}),
        ],
    )


def _when_matching(actions: frozenset[Action], then: Shape) -> Shape:
    named = {"required": ["actions"], "properties": {"actions": {"contains": one_of(actions)}}}
    return {"if": {"required": ["match"], "properties": {"match": named}}, "then": then}


def _guard() -> Shape:
    variable = mapping(
        {"name": matching(VARIABLE_NAME), "expression": text("CEL: a bool, an int or a string")}
    )
    condition = mapping({"name": matching(RULE_NAME), "expression": expression()})
    return mapping(
        {"match": _match(purposes=_NAMES)},
        {
            "matchConditions": listed(condition),
            "variables": listed(variable),
            "params": _params_of_guard(),
            "validations": listed(_validation()),
            "fields": steps(),
            "limits": _limits(),
            "validationActions": texts(one_of(MODES)),
        },
        anyOf=[{"required": [key]} for key in ("validations", "fields", "limits")],
    )


def _validation() -> Shape:
    terms = mapping(
        {"roles": texts(), "valid_for": matching(DURATION, "`30m`, `24h`, `7d`")},
        {"count": integer(1, MOST_APPROVERS, "how many different principals must agree")},
    )
    asked = {"required": ["outcome"], "properties": {"outcome": {"const": "approval"}}}
    return mapping(
        {"name": matching(RULE_NAME), "expression": expression()},
        {
            "reason": text("X_... of a Reasons document, or built in"),
            "message": localized(),
            "remedy": localized(),
            "basis": texts(),
            "outcome": one_of({"deny", "approval"}),
            "approval": terms,
        },
        **{"if": asked, "then": {"required": ["approval"]}, "else": {"not": {"required": ["approval"]}}},
    )


def _params_of_guard() -> Shape:
    value = {"type": ["boolean", "integer", "string", "array"], "items": {"type": "string"}}
    return {**keyed(None, value, "name to value, read as `params.name`"), "minProperties": 1}


def _params() -> Shape:
    return mapping({"guards": keyed(None, _params_of_guard(), "guard to the params that it gets here")})


def _notice() -> Shape:
    return mapping(
        {"version": matching(VERSION), "purposes": _NAMES, "text": localized(), "withdrawal": localized()},
        {
            "channels": texts(one_of(CHANNELS)),
            "explicit": flag(),
            "separate": flag(),
            "data_classes": texts(one_of(DataClass)),
            "recipients": texts(),
            "storage": texts(),
        },
    )


def _lexicon() -> Shape:
    return mapping(
        {
            "category": matching(CATEGORY),
            "articles": texts(),
            "severity": one_of(Severity),
            "source": text("where the words come from"),
            "as_of": matching(DAY, 'in quotes, "2026-11-21"'),
            "words": texts(),
        }
    )


def _policy_test() -> Shape:
    moment = text('with its offset, in quotes: "2026-11-20T10:00:00+08:00"')
    names = {"principals": texts(), "requests": texts()}
    matrix = mapping(
        {"name": text(), **names, "expect": listed(_row())},
        {"description": text(), "now": moment, "unknown": texts(), "customers": texts()},
    )
    return mapping(
        {
            "now": moment,
            "principals": keyed(None, _asker()),
            "requests": keyed(None, _ask()),
            "tests": listed(matrix),
        },
        {"customers": keyed(None, _sample(moment))},
    )


def _row() -> Shape:
    some = texts(may_be_empty=True)
    return mapping(
        {"effect": one_of(Effect)},
        {
            **dict.fromkeys(("principal", "customer", "request"), text()),
            **dict.fromkeys(("reasons", "warnings", "shadow", "needs"), some),
            "treatments": keyed(None, step()),
        },
    )


def _asker() -> Shape:
    usage = {name: states(BUILT_IN_FACTS[f"usage.{name}"].states) for name in ("volume", "sequence")}
    of_principal = {
        name: states(BUILT_IN_FACTS[f"principal.{name}"].states)
        for name in ("kind", "employment", "training")
    }
    return mapping(
        {},
        {
            **of_principal,
            "roles": texts(may_be_empty=True),
            "department": text(),
            "attributes": _attributes(),
            "used_up": texts(),
            "usage": mapping({}, usage),
        },
    )


def _sample(moment: Shape) -> Shape:
    flags = {"explicit": flag(), "separate": flag()}
    stated = mapping({"purpose": text(), "state": states(BUILT_IN_FACTS["consent.state"].states)}, flags)
    event = mapping(
        {"purpose": text(), "event": one_of(ConsentEventType), "at": moment},
        {"valid_until": moment, "channel": text(), **flags},
    )
    suppression = mapping({}, dict.fromkeys(("purpose", "channel", "brand"), text()))
    consents = {
        "type": "array",
        "minItems": 1,
        "items": {"if": {"required": ["state"]}, "then": stated, "else": event},
    }
    return mapping(
        {}, {"consents": consents, "suppressions": listed(suppression), "attributes": _attributes()}
    )


def _ask() -> Shape:
    scope: dict[str, Shape] = {
        "purpose": text(),
        "basis": one_of(Basis),
        "store": text(),
        "key": one_of(KeyKind),
        **dict.fromkeys(("has_basis_evidence", "strict", "has_ticket"), flag()),
        "rows": integer(1, MOST_ROWS),
    }
    needed = ["purpose", "basis", "store", "key"]
    return mapping(
        {"action": one_of(Action)},
        {**scope, "fields": _NAMES, "approvals": texts(), "delegated": flag(), "has_prompt": flag()},
        allOf=[
            _asking(CUSTOMER_ACTIONS, {"required": needed}),
            _asking(FIELD_ACTIONS, {"required": ["fields"]}),
        ],
    )


def _asking(actions: frozenset[Action], then: Shape) -> Shape:
    return {"if": {"required": ["action"], "properties": {"action": one_of(actions)}}, "then": then}


def _attributes() -> Shape:
    value: dict[str, Any] = {"type": ["boolean", "integer", "string", "array"], "items": {"type": "string"}}
    return {"type": "object", "additionalProperties": value}


SPECS: Mapping[str, Shape] = MappingProxyType(
    {
        "Purposes": _purposes(),
        "FieldCatalog": _field_catalog(),
        "Reasons": _reasons(),
        "Grant": _grant(),
        "Guard": _guard(),
        "Notice": _notice(),
        "Params": _params(),
        "Lexicon": _lexicon(),
        "PolicyTest": _policy_test(),
    }
)
"""Kind to the shape of its spec."""
