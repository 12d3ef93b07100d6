"""What a PolicyTest document states of sending: the facts of a message, of a processor, of where a recipient is.

What is left out is as a sound message has it, so that a test says only what is not: a message has a registered
signature, one segment, an ordinary price and no finding, a processor has a filed agreement in force.
"""

from collections.abc import Mapping
from types import MappingProxyType

from fujie.model.facts import BUILT_IN_FACTS, FactValue, Kind
from fujie.model.policy_test import Sent
from fujie.model.vocabulary import State
from fujie.policy.places import Report
from fujie.policy.source import Fields
from fujie.policy.words import state

MOST_SENT = 1_000

MESSAGE: Mapping[str, FactValue] = MappingProxyType(
    {
        "provider": "provider",
        "is_template": True,
        "in_campaign": False,
        "asks": False,
        "segments": 1,
        "cost": 50,
        "has_signature": True,
        "signature_registered": True,
        "links": State.NONE,
        "findings": (),
        "concerns": (),
        "personal_data": (),
        "variables_fit": True,
    }
)
"""What a message is when nothing else is said. It has refusal wording when it is MARKETING."""

PROCESSOR: Mapping[str, FactValue] = MappingProxyType(
    {
        "agreement": State.VALID,
        "filed": True,
        "clauses": True,
        "region": "CN",
        "transfer": False,
        "assessment": State.VALID,
    }
)
"""What a processor is when nothing else is said."""

HIGHEST = {
    "recipient.hour": 23,
    "recipient.weekday": 7,
    "message.segments": 100,
    "message.cost": 100_000_000,
}
LOWEST = {"recipient.hour": 0, "message.cost": 0}
"""Bounds of the whole numbers; the lowest of the others is 1."""


def read_message(entry: Fields, report: Report) -> Mapping[str, FactValue]:
    """Return the facts of a message; `category` must stand."""
    category = state(report, entry.text("category"), "message.category") or State.TRANSACTIONAL
    is_marketing: Mapping[str, FactValue] = {
        "category": category,
        "has_refusal": category is State.MARKETING,
    }
    return _stated(entry, "message", {**MESSAGE, **is_marketing}, report)


def read_processor(entry: Fields, report: Report) -> Mapping[str, FactValue]:
    """Return the facts of a processor."""
    return _stated(entry, "processor", PROCESSOR, report)


def read_recipient(entry: Fields, report: Report) -> Mapping[str, FactValue]:
    """Return what is stated of where a customer's number is; nothing is assumed here."""
    owner = entry.fields("recipient", required=False)
    if owner is None:
        return MappingProxyType({})
    stated = _stated(owner, "recipient", dict.fromkeys(("country", "hour", "weekday"), ""), report)
    owner.finish()
    return MappingProxyType({path: value for path, value in stated.items() if value != ""})


def read_sent(entry: Fields, report: Report) -> Sent:
    """Return how often the customer got messages lately."""
    owner = entry.fields("sent", required=False)
    if owner is None:
        return Sent()
    minute = owner.integer("last_minute", 0, 0, MOST_SENT)
    hour = owner.integer("last_hour", minute, 0, MOST_SENT)
    day = owner.integer("last_day", hour, 0, MOST_SENT)
    same = owner.integer("same_content", 0, 0, MOST_SENT)
    owner.finish()
    if not minute <= hour <= day or same > day:
        message = (
            "each count holds the one before it: the last minute is part of the last hour, that of the day"
        )
        report.problem(owner.place, "CONTRADICTION", message)
    return Sent(minute, hour, day, same)


def _stated(
    entry: Fields, root: str, defaults: Mapping[str, FactValue], report: Report
) -> Mapping[str, FactValue]:
    """Return a fact of `root` for each of `defaults`, as the entry states it or as it is by default."""
    found: dict[str, FactValue] = {}
    for name, default in defaults.items():
        path = f"{root}.{name}"
        found[path] = _value(entry, name, path, report) if name in entry else default
    return MappingProxyType(found)


def _value(entry: Fields, name: str, path: str, report: Report) -> FactValue:
    fact = BUILT_IN_FACTS[path]
    match fact.kind:
        case Kind.BOOL:
            return entry.flag(name)
        case Kind.INT:
            return entry.integer(name, 1, LOWEST.get(path, 1), HIGHEST[path])
        case Kind.STRINGS:
            return tuple(sorted(item.text for item in entry.texts(name, may_be_empty=True)))
        case Kind.STATE:
            return state(report, entry.text(name), path) or fact.states[0]
        case _:
            text = entry.text(name)
            return text.text if text else ""
