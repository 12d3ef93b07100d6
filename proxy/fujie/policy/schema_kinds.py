"""The spec of every kind of policy document as a JSON Schema."""

from collections.abc import Mapping
from types import MappingProxyType

from fujie.model.data_class import DataClass
from fujie.model.limit import MAX_LIMIT, Cap, Limit
from fujie.model.notice import CHANNELS
from fujie.model.vocabulary import CUSTOMER_ACTIONS, FIELD_ACTIONS, Action, Basis, KeyKind
from fujie.policy.approval import DURATION, MOST_APPROVERS, OUTCOMES
from fujie.policy.bundle import Severity
from fujie.policy.catalogue import ATTRIBUTE_TYPES, DAYS, NAME, REASON_CODE
from fujie.policy.lexicon import CATEGORY, DAY
from fujie.policy.messages import CATEGORIES, DOMAIN, LANGUAGES, LONGEST_TEXT
from fujie.policy.notices import VERSION
from fujie.policy.rules import CLOSING, MODES, RULE_NAME, VARIABLE_NAME
from fujie.policy.schema_shapes import (
    Shape,
    expression,
    flag,
    integer,
    keyed,
    listed,
    literal,
    localized,
    mapping,
    matching,
    one_of,
    step,
    steps,
    text,
    texts,
)
from fujie.policy.schema_tests import policy_test
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
            "frequency": mapping({}, {cap.value: integer(1, MAX_LIMIT) for cap in Cap}, minProperties=1),
            "validationActions": texts(one_of(MODES)),
        },
        anyOf=[{"required": [key]} for key in CLOSING],
    )


def _validation() -> Shape:
    terms = mapping(
        {"roles": texts(), "valid_for": matching(DURATION, "`30m`, `24h`, `7d`")},
        {
            "count": integer(1, MOST_APPROVERS, "how many different principals must agree"),
            "escalate_after": matching(DURATION, "without any vote others are told then; `1d` by itself"),
            "break_glass": mapping(
                {"roles": texts(), "review_within": matching(DURATION, "`24h`; at most `7d`")},
                description="roles that may go ahead in an emergency, to be reviewed afterwards",
            ),
        },
    )
    asked = {"required": ["outcome"], "properties": {"outcome": {"const": "approval"}}}
    return mapping(
        {"name": matching(RULE_NAME), "expression": expression()},
        {
            "reason": text("X_... of a Reasons document, or built in"),
            "message": localized(),
            "remedy": localized(),
            "basis": texts(),
            "outcome": one_of(OUTCOMES),
            "approval": terms,
        },
        **{"if": asked, "then": {"required": ["approval"]}, "else": {"not": {"required": ["approval"]}}},
    )


def _params_of_guard() -> Shape:
    return {**keyed(VARIABLE_NAME, literal(), "name to value, read as `params.name`"), "minProperties": 1}


def _params() -> Shape:
    guards = keyed(None, _params_of_guard(), "guard to the params that it gets here")
    return mapping({"guards": {**guards, "minProperties": 1}})


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
        },
        {"except": texts()},
    )


def _sender() -> Shape:
    return mapping(
        {"signature": text("as it is registered, without its brackets")},
        {
            "providers": texts(),
            "domains": texts(matching(DOMAIN, "that links may lead to, with all below it")),
        },
    )


def _template() -> Shape:
    return mapping(
        {
            "version": matching(VERSION),
            "category": one_of(CATEGORIES),
            "text": text(
                "`{name}` for a variable, `{link}` for the customer's page; without the signature"
            ),
        },
        {
            "variables": keyed(
                NAME, integer(1, LONGEST_TEXT), "name to the most characters that it may have"
            ),
            "codes": keyed(None, text(), "provider to the id of the template there"),
            "asks": mapping(
                {"purpose": text(), "notice": text("a Notice"), "language": one_of(LANGUAGES)},
                description="the consent that it asks for; the text holds `{notice}` where its words go",
            ),
        },
    )


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
        "Sender": _sender(),
        "MessageTemplate": _template(),
        "PolicyTest": policy_test(),
    }
)
"""Kind to the shape of its spec."""
