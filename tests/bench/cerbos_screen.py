"""Cerbos at the same work: the send guards of the base pack as its policy, and customers as its resources.

It is given every fact and only decides. What is one for a batch (request, message, processor) goes with the principal, which
is the least it has to read; what differs by customer goes with the resource.
"""

import re
from collections.abc import Mapping
from typing import Any

from google.protobuf.struct_pb2 import ListValue, Value

from bench.servers import varint
from fujie.decision.plan import Plan
from fujie.model.facts import Facts, FactValue, Unknown
from fujie.model.vocabulary import STATE_NUMBERS
from fujie.policy.bundle import Guard

BATCH = 50
"""Resources of one request: what Cerbos takes as it is shipped."""

_OF_CUSTOMER = frozenset({"customer", "consent", "suppression", "recipient", "frequency"})
_PATH = re.compile(
    r"\b(principal|request|message|processor|customer|consent|suppression|recipient|frequency)\.([a-z_0-9]+)"
)
_STATE = re.compile(rf"(?<!['\"\w])({'|'.join(sorted(STATE_NUMBERS, key=len, reverse=True))})(?!['\"\w])")
_FREQUENT = "frequency.exhausted"


def policy(plan: Plan, *, with_reasons: bool) -> Mapping[str, Any]:
    """Return the plan of a scope as a resource policy: one rule that allows, and those that deny.

    With reasons each validation is a rule with an output, so that the answer tells which refused, as ours does; without,
    each guard is one, which costs it least.
    """
    rules: list[Mapping[str, Any]] = [
        {"actions": ["send"], "effect": "EFFECT_ALLOW", "roles": ["marketer"]},
        _deny(
            [],
            [("PROCESSOR_NOT_VALID", "processor.agreement in ['VALID', 'NOT_NEEDED']")],
            told=with_reasons,
        ),
    ]
    for guard in plan.guards:
        conditions, held = [rule.expanded for _, rule in guard.conditions], _held(guard)
        if guard.enforced:
            groups = [[each] for each in held] if with_reasons else [held]
            rules += [_deny(conditions, group, told=with_reasons) for group in groups]
    return {
        "apiVersion": "api.cerbos.dev/v1",
        "resourcePolicy": {"version": "default", "resource": "recipient", "rules": rules},
    }


def _held(guard: Guard) -> list[tuple[str, str]]:
    of_caps = [("FREQUENCY_EXCEEDED", f"!('{guard.counted_as}' in {_FREQUENT})")] if guard.frequency else []
    return [*((each.hit.code, each.rule.expanded) for each in guard.validations), *of_caps]


def _deny(conditions: list[str], held: list[tuple[str, str]], *, told: bool) -> Mapping[str, Any]:
    said = [{"expr": _told(text)} for text in conditions]
    said.append({"expr": " || ".join(f"!({_told(text)})" for _, text in held)})
    rule = {
        "actions": ["send"],
        "effect": "EFFECT_DENY",
        "roles": ["*"],
        "condition": {"match": {"all": {"of": said}}},
    }
    return rule | ({"output": {"when": {"ruleActivated": f"'{held[0][0]}'"}}} if told else {})


def _told(text: str) -> str:
    """Return an expression of ours in the words of Cerbos: where the facts lie, states as texts."""

    def place(found: re.Match[str]) -> str:
        return f"{'R' if found[1] in _OF_CUSTOMER else 'P'}.attr.{found[1]}_{found[2]}"

    return _PATH.sub(place, _STATE.sub(r"'\1'", " ".join(text.split())))


def check(plan: Plan, batch: Mapping[str, Facts]) -> bytes:
    """Return a CheckResourcesRequest for a batch of customers, by their id: see `servers.cerbos_check`."""
    shared = _attributes(plan, next(iter(batch.values())), of_customer=False)
    principal = _text(1, "marketer") + _text(3, "marketer") + shared
    entries = []
    for customer_id, facts in batch.items():
        own = _attributes(plan, facts, of_customer=True)
        resource = _text(1, "recipient") + _text(3, customer_id) + own
        entries.append(_field(4, _text(1, "send") + _field(2, resource)))
    return _text(1, "r-1") + _field(3, principal) + b"".join(entries)


def allowed(reply: bytes) -> int:
    """Return how many of a CheckResourcesResponse were allowed: in each result a map from action to effect 1."""
    return reply.count(b"\x0a\x04send\x10\x01")


def _attributes(plan: Plan, facts: Facts, *, of_customer: bool) -> bytes:
    said = b""
    for path in plan.reads:
        root, value = path.partition(".")[0], facts.get(path)
        if (root in _OF_CUSTOMER) == of_customer and not isinstance(value, Unknown):
            name = path.replace(".", "_")
            said += _field(4, _text(1, name) + _field(2, _value(value).SerializeToString()))
    return said


def _value(value: FactValue) -> Value:
    if isinstance(value, bool):
        return Value(bool_value=value)
    if isinstance(value, int):
        return Value(number_value=value)
    if isinstance(value, tuple):
        return Value(list_value=ListValue(values=[Value(string_value=each) for each in value]))
    return Value(string_value=str(value))


def _field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def _text(number: int, value: str) -> bytes:
    return _field(number, value.encode())
