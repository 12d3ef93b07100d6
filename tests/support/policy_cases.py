"""Cases of policy tests made by code: any asker, customer and request over the bundles of `support.bundles`."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone

from hypothesis import strategies as st

from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.decision import Decision
from fujie.model.facts import UNREADABLE
from fujie.model.policy_test import NOT_LISTED, Ask, Asker, Case, Expected, Sample, Sent
from fujie.model.principal import AttributeValue, Principal
from fujie.model.suppression import Suppression, SuppressionScope
from fujie.model.vocabulary import (
    EMPLOYMENT_STATES,
    PRINCIPAL_KINDS,
    TRAINING_STATES,
    USAGE_STATES,
    Action,
    State,
)
from fujie.policy.fixtures import SID
from support.bundles import FACTS, LIMITED, ROLES, requests, values

NOW = datetime(2026, 11, 20, 10, tzinfo=timezone(timedelta(hours=8)))


@st.composite
def askers(draw: st.DrawFn) -> Asker:
    principal = Principal(
        "test",
        kind=draw(st.sampled_from(PRINCIPAL_KINDS)),
        roles=draw(ROLES),
        department=draw(st.sampled_from(("east", "west"))),
        employment=draw(st.just(State.ACTIVE) | st.sampled_from(EMPLOYMENT_STATES)),
        training=draw(st.sampled_from(TRAINING_STATES)),
    )
    used_up = tuple(sorted(draw(st.just(set()) | st.sets(st.sampled_from(LIMITED), max_size=3))))
    usage = {path: draw(st.sampled_from(USAGE_STATES)) for path in ("usage.volume", "usage.sequence")}
    return Asker(principal, used_up, usage)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    attributes: dict[str, AttributeValue] = {}
    for path, kind in FACTS.items():
        if path.startswith("customer.") and draw(st.integers(0, 5)):
            value = draw(values(kind))
            assert isinstance(value, bool | int | str | tuple)
            attributes[path.removeprefix("customer.")] = value
    events = [
        ConsentEvent("record", SID, draw(st.sampled_from(("marketing", "care"))), kind, when, when, "test", explicit=True)
        for kind in draw(st.lists(st.sampled_from(ConsentEventType), max_size=2))
        for when in [NOW - timedelta(days=draw(st.integers(0, 3)))]
    ]  # fmt: skip
    suppressions = [
        Suppression("s", SID, SuppressionScope(purpose), NOW, NOW, "test")
        for purpose in draw(st.lists(st.sampled_from(("", "marketing", "care")), max_size=1))
    ]
    stated: Mapping[str, Mapping[str, State | bool]] = {}
    if not events and draw(st.booleans()):
        stated = {
            "care": {"consent.state": State.GIVEN, "consent.explicit": True, "consent.separate": False}
        }
    hour = {"recipient.hour": draw(st.integers(0, 23))} if draw(st.booleans()) else {}
    minute, more, most = (draw(st.integers(0, 2)) for _ in range(3))
    sent = Sent(minute, minute + more, minute + more + most, draw(st.integers(0, minute + more + most)))
    return Sample(attributes, tuple(events), stated, tuple(suppressions), hour, sent)


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """Return a request; what is sent has a message, in most."""
    request = draw(requests())
    if request.action is not Action.SEND or not draw(st.integers(0, 3)):
        return Ask(request, ())
    message, processor = (
        {path: draw(values(kind)) for path, kind in FACTS.items() if path.startswith(root)}
        for root in ("message.", "processor.")
    )
    return Ask(request, (), message, processor if draw(st.booleans()) else None)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Return a case that expects DENY."""
    paths = sorted(FACTS.keys() - UNREADABLE)
    return Case(
        document="document",
        test="test",
        principal="asker",
        customer="customer",
        request="request",
        asker=draw(askers()),
        sample=draw(samples() | st.none()),
        ask=draw(asks()),
        now=NOW + timedelta(hours=draw(st.integers(0, 23))),
        unknown=frozenset(draw(st.lists(st.sampled_from(paths), max_size=1))),
        expected=NOT_LISTED,
        where="tests.yaml:1:1",
    )


def exact(decision: Decision) -> Expected:
    """Return the expectation that says everything of a decision."""
    return Expected(
        decision.effect,
        reasons=tuple(dict.fromkeys(hit.code for hit in decision.reasons)),
        treatments={name: str(outcome.step) for name, outcome in sorted(decision.fields.items())},
        warnings=tuple(dict.fromkeys(hit.code for hit in decision.warnings)),
        shadow=tuple(dict.fromkeys(hit.code for hit in decision.shadow)),
        needs=tuple(sorted(f"{need.guard}/{need.validation}" for need in decision.needs)),
        deferrable=decision.deferrable,
    )
