"""The spec of PolicyTest documents as a JSON Schema."""

from collections.abc import Collection, Iterable

from fujie.model.consent import ConsentEventType
from fujie.model.facts import BUILT_IN_FACTS, USAGE, Kind
from fujie.model.vocabulary import CUSTOMER_ACTIONS, FIELD_ACTIONS, Action, Basis, Effect, KeyKind
from fujie.policy.catalogue import NAME
from fujie.policy.fixtures import MOST_ROWS
from fujie.policy.message_fixtures import HIGHEST, LOWEST, MESSAGE, MOST_SENT, PROCESSOR
from fujie.policy.schema_shapes import (
    Shape,
    flag,
    integer,
    keyed,
    listed,
    literal,
    mapping,
    matching,
    one_of,
    states,
    step,
    text,
    texts,
)

_NAMES = texts(matching(NAME))


def policy_test() -> Shape:
    """Return the shape of the spec."""
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
        {
            "customers": keyed(None, _sample(moment)),
            "messages": keyed(None, _facts("message", ("category", *MESSAGE, "has_refusal"), {"category"})),
            "processors": keyed(None, _facts("processor", PROCESSOR)),
        },
    )


def _row() -> Shape:
    some = texts(may_be_empty=True)
    return mapping(
        {"effect": one_of(Effect)},
        {
            **dict.fromkeys(("principal", "customer", "request"), text()),
            **dict.fromkeys(("reasons", "warnings", "shadow", "needs"), some),
            "treatments": keyed(None, step()),
            "deferrable": flag("the refusal may open by the clock alone"),
        },
    )


def _asker() -> Shape:
    usage = {path.partition(".")[2]: states(BUILT_IN_FACTS[path].states) for path in sorted(USAGE)}
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
    counts = ("last_minute", "last_hour", "last_day", "same_content")
    return mapping(
        {},
        {
            "consents": consents,
            "suppressions": listed(suppression),
            "attributes": _attributes(),
            "recipient": _facts("recipient", ("country", "hour", "weekday")),
            "sent": mapping({}, dict.fromkeys(counts, integer(0, MOST_SENT))),
        },
    )


def _facts(root: str, names: Iterable[str], required: Collection[str] = ()) -> Shape:
    found = {name: _fact(f"{root}.{name}") for name in names}
    needed = {name: shape for name, shape in found.items() if name in required}
    return mapping(needed, {name: shape for name, shape in found.items() if name not in required})


def _fact(path: str) -> Shape:
    fact = BUILT_IN_FACTS[path]
    match fact.kind:
        case Kind.BOOL:
            return flag()
        case Kind.INT:
            return integer(LOWEST.get(path, 1), HIGHEST[path])
        case Kind.STRINGS:
            return texts(may_be_empty=True)
        case Kind.STATE:
            return states(fact.states)
        case _:
            return text()


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
        {
            **scope,
            "fields": _NAMES,
            "approvals": texts(),
            "break_glass": flag(),
            "delegated": flag(),
            "has_prompt": flag(),
            "is_own": flag(),
            **dict.fromkeys(("message", "processor", "signature"), text()),
        },
        allOf=[
            _asking(CUSTOMER_ACTIONS, {"required": needed}),
            _asking(FIELD_ACTIONS, {"required": ["fields"]}),
        ],
    )


def _asking(actions: frozenset[Action], then: Shape) -> Shape:
    return {"if": {"required": ["action"], "properties": {"action": one_of(actions)}}, "then": then}


def _attributes() -> Shape:
    return keyed(None, literal(may_be_empty=True))
