"""Decisions on what is sent: the processor, caps on messages, and what waiting may open."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from fujie.decision.decide import decide, precheck
from fujie.decision.explain import explain
from fujie.decision.facts import Raw, derive, with_customer
from fujie.decision.plan import Planner
from fujie.decision.recipient import Reached
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.decision import Decision
from fujie.model.facts import (
    AGREEMENT,
    EXHAUSTED,
    FREQUENT,
    SEND_ROOTS,
    Facts,
    FactValue,
    Unknown,
    UnknownWhy,
)
from fujie.model.limit import Charge, Limit
from fujie.model.message import Category, SentMessage
from fujie.model.principal import Principal
from fujie.model.processor import Processor
from fujie.model.request import Request
from fujie.model.suppression import Suppression, SuppressionScope
from fujie.model.vocabulary import Action, Effect, State
from fujie.policy.bundle import Bundle
from support.bundles import compiled, grant, guard

SEND = Request(Action.SEND, "care", "consent", "crm", "phone", channel="sms", brand="Test")
SENDS = {"actions": ["send"]}
NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
ZONE = ZoneInfo("Asia/Shanghai")
WHO = Principal("p", roles=frozenset({"agent"}))
OPEN = grant("opens", actions=("send",), fields={})
FETCHED = Unknown(UnknownWhy.NOT_FETCHED)
KNOWN: Mapping[str, FactValue] = {
    "principal.employment": State.ACTIVE,
    "principal.roles": ("agent",),
    AGREEMENT: State.VALID,
    FREQUENT: (),
    EXHAUSTED: (),
    "recipient.hour": 10,
    "message.category": State.MARKETING,
    "message.findings": (),
}


def decided(bundle: Bundle, request: Request = SEND, **changed: FactValue) -> Decision:
    found = dict(KNOWN) | {path.replace("_", ".", 1): value for path, value in changed.items()}
    return decide(Planner(bundle).plan(request, frozenset({"agent"})), request, Facts(found))


def codes(decision: Decision) -> list[str]:
    return [hit.code for hit in decision.reasons]


@pytest.mark.parametrize("agreed", [State.VALID, State.NOT_NEEDED])
def test_an_agreement_in_force_lets_through(agreed: State) -> None:
    assert decided(compiled(OPEN), processor_agreement=agreed).effect is Effect.ALLOW


@pytest.mark.parametrize(
    "not_agreed", [State.NONE, State.LAPSED, FETCHED, "VALIDX", None, True, ("VALID",)]
)
def test_without_an_agreement_in_force_nothing_is_sent_whatever_the_policy_says(
    not_agreed: FactValue,
) -> None:
    found = decided(compiled(OPEN), processor_agreement=not_agreed)
    assert (found.effect, codes(found), found.deferrable) == (Effect.DENY, ["PROCESSOR_NOT_VALID"], False)


def test_who_may_not_send_learns_nothing_of_the_processor() -> None:
    for bundle in (compiled(), compiled(grant("closed", actions=("send",), fields={}, condition="false"))):
        assert codes(decided(bundle, processor_agreement=State.NONE)) == ["NO_GRANT"]


def test_other_actions_have_no_processor() -> None:
    look = Request(Action.LOOKUP, "care", "consent", "crm", "phone", ("phone",))
    found = decided(compiled(grant()), look, processor_agreement=State.NONE)
    assert found.effect is Effect.ALLOW
    assert not {path for path in found.read if path.partition(".")[0] in SEND_ROOTS}


def test_a_cap_that_is_used_up_refuses_with_its_own_reason_and_in_the_mode_of_its_guard() -> None:
    caps = {"per_day": 1}
    for mode, effect in (("Deny", Effect.DENY), ("Warn", Effect.ALLOW), ("Audit", Effect.ALLOW)):
        found = decided(
            compiled(OPEN, guard("g", frequency=caps, mode=mode, match=SENDS)),
            frequency_exhausted=("guard:g",),
        )
        hits = {"Deny": found.reasons, "Warn": found.warnings, "Audit": found.shadow}[mode]
        assert (found.effect, [(hit.code, hit.guard) for hit in hits]) == (
            effect,
            [("FREQUENCY_EXCEEDED", "g")],
        )


def test_a_cap_of_a_guard_that_does_not_apply_refuses_nothing() -> None:
    bundle = compiled(
        OPEN,
        guard("g", frequency={"per_day": 1}, conditions=("message.category == VERIFICATION",), match=SENDS),
    )
    assert decided(bundle, frequency_exhausted=("guard:g",)).effect is Effect.ALLOW
    used_up = decided(bundle, frequency_exhausted=("guard:g",), message_category=State.VERIFICATION)
    assert codes(used_up) == ["FREQUENCY_EXCEEDED"]


@pytest.mark.parametrize("odd", [FETCHED, "guard:other", None, 5])
def test_caps_that_nobody_counted_refuse(odd: FactValue) -> None:
    bundle = compiled(OPEN, guard("g", frequency={"per_day": 1}, match=SENDS))
    assert codes(decided(bundle, frequency_exhausted=odd)) == ["FACT_MISSING"]


HOURS = guard("hours", "recipient.hour >= 8", defers=(0,), match=SENDS)
CLEAN = guard("clean", "message.findings.size() == 0", match=SENDS)


def test_what_only_validations_refuse_that_defer_may_open_later() -> None:
    night = decided(compiled(OPEN, HOURS, CLEAN), recipient_hour=3)
    assert (night.effect, codes(night), night.deferrable) == (Effect.DENY, ["GUARD_REFUSED"], True)
    assert not decided(compiled(OPEN, HOURS, CLEAN)).deferrable


@pytest.mark.parametrize(
    "also",
    [
        {"message_findings": ("absolute",)},
        {"processor_agreement": State.LAPSED},
        {"recipient_hour": FETCHED},
        {"frequency_exhausted": ("guard:capped",)},
    ],
)
def test_waiting_is_not_offered_where_anything_else_refuses(also: Mapping[str, FactValue]) -> None:
    capped = guard("capped", frequency={"per_day": 1}, match=SENDS)
    facts: dict[str, FactValue] = {"recipient_hour": 3, **also}
    found = decided(compiled(OPEN, HOURS, CLEAN, capped), SEND, **facts)
    assert (found.effect, found.deferrable) == (Effect.DENY, False)


def test_a_basis_that_is_not_accepted_is_not_waited_for() -> None:
    found = decided(compiled(OPEN, HOURS), replace(SEND, basis="contract"), recipient_hour=3)
    assert (codes(found), found.deferrable) == (["BASIS_EVIDENCE_MISSING", "GUARD_REFUSED"], False)


def test_limits_on_sending_are_charged_and_used_up() -> None:
    limits = {"rows_per_hour": 5, "distinct_customers_per_day": 3, "rows_per_request": 2}
    bundle = compiled(grant("g", actions=("send",), fields={}, limits=limits))
    assert {charge.limit for charge in decided(bundle, request_rows=1).charges} == {
        Limit.ROWS_PER_HOUR, Limit.DISTINCT_CUSTOMERS_PER_DAY,
    }  # fmt: skip
    assert Charge("grant:g", Limit.ROWS_PER_HOUR, 5) in decided(bundle, request_rows=1).charges
    assert codes(decided(bundle, limits_exhausted=("grant:g",), request_rows=1)) == ["LIMIT_EXCEEDED"]
    assert codes(decided(bundle, request_rows=3)) == ["LIMIT_EXCEEDED"]


def test_the_check_before_the_recipient_does_not_wait_for_the_message() -> None:
    """A grant whose condition reads the message may still match: its segments depend on where the number is."""
    bundle = compiled(grant("g", actions=("send",), fields={}, condition="message.segments == 1"))
    plan = Planner(bundle).plan(SEND, frozenset({"agent"}))
    asker = derive(bundle, SEND, Raw(WHO), NOW, ZONE)
    assert plan.needs_customer
    assert precheck(plan, SEND, asker) is None
    closed = compiled(grant("g", actions=("send",), fields={}, condition="processor.region == 'CN'"))
    refused = precheck(Planner(closed).plan(SEND, frozenset({"agent"})), SEND, asker)
    assert refused is not None
    assert codes(refused) == ["NO_GRANT"]


def test_an_explanation_shows_caps() -> None:
    bundle = compiled(OPEN, guard("g", frequency={"per_day": 1}, match=SENDS))
    plan = Planner(bundle).plan(SEND, frozenset({"agent"}))
    for used_up, word in (
        ((), "within its caps"),
        (("guard:g",), "cap used up"),
        (Unknown(UnknownWhy.NOT_FETCHED), "not known"),
    ):
        traced = explain(plan, SEND, Facts({**KNOWN, FREQUENT: used_up})).rules
        assert [rule.outcome for rule in traced if rule.name == "g"] == [word]


# Facts.
CAPPED = compiled(OPEN, guard("g", frequency={"same_content_per_day": 1}, match=SENDS))
MESSAGE: Mapping[str, FactValue] = {"message.category": State.MARKETING, "message.segments": 2}
AGREED = Processor("sms", "SMS Ltd.", "c-1", date(2026, 11, 20), date(2026, 11, 21))


def test_facts_of_sending_are_derived_for_what_is_sent_alone() -> None:
    told = SentMessage(NOW, "this", Category.MARKETING)
    raw = Raw(WHO, (), "sid", {}, (), MESSAGE, AGREED, reached=Reached("CN", (ZONE,), (told,), "this"))
    found = derive(CAPPED, SEND, raw, NOW, ZONE)
    assert found.get(FREQUENT) == ("guard:g",)
    assert found.get("recipient.hour") == 10
    assert found.get("message.segments") == 2
    assert found.get(AGREEMENT) is State.VALID
    CAPPED.engine.messages(found, found.values)
    look = replace(SEND, action=Action.LOOKUP, fields=("phone",))
    others = derive(CAPPED, look, raw, NOW, ZONE).values
    assert not {path for path in others if path.partition(".")[0] in SEND_ROOTS}


def test_a_day_of_an_agreement_begins_in_the_zone_of_the_settings() -> None:
    for at, state in (
        (datetime(2026, 11, 19, 15, 59, 59, tzinfo=UTC), State.NONE),
        (datetime(2026, 11, 19, 16, 0, tzinfo=UTC), State.VALID),
        (datetime(2026, 11, 20, 16, 0, tzinfo=UTC), State.LAPSED),
    ):
        assert derive(CAPPED, SEND, Raw(WHO, processor=AGREED), at, ZONE).get(AGREEMENT) is state


def test_a_recipient_added_to_what_is_known_of_the_asker_is_the_same_as_all_at_once() -> None:
    raw = Raw(WHO, (), "sid", {}, (), MESSAGE, AGREED, reached=Reached("CN", (ZONE,), (), "this"))
    asker = derive(CAPPED, SEND, Raw(WHO, processor=AGREED), NOW, ZONE)
    assert (
        with_customer(CAPPED, SEND, asker, raw, NOW).values == derive(CAPPED, SEND, raw, NOW, ZONE).values
    )


def test_nothing_is_said_of_a_processor_that_nobody_looked_for() -> None:
    assert derive(CAPPED, SEND, Raw(WHO), NOW, ZONE).get(AGREEMENT) == FETCHED
    assert derive(CAPPED, SEND, Raw(WHO, message={}), NOW, ZONE).get(AGREEMENT) is State.NONE


def test_a_message_is_of_its_channel_and_its_signature() -> None:
    """Consents for another channel do not open it; opt-outs from its channel or signature close it, and no look-up."""

    def at(channel: str, scope: SuppressionScope | None = None) -> Facts:
        given = ConsentEvent("r", "sid", "care", ConsentEventType.GIVEN, NOW, NOW, "a", channel=channel)
        opt_outs = [Suppression("s", "sid", scope, NOW, NOW, "a")] if scope else []
        return derive(CAPPED, SEND, Raw(WHO, (given,), "sid", {}, opt_outs), NOW, ZONE)

    assert at("sms").get("consent.state") is State.GIVEN
    assert at("any").get("consent.state") is State.GIVEN
    assert at("email").get("consent.state") is State.NONE
    for scope, expected in (
        (SuppressionScope(channel="sms"), True),
        (SuppressionScope(brand="Test"), True),
        (SuppressionScope(), True),
        (SuppressionScope(channel="voice"), False),
        (SuppressionScope(brand="test"), False),
    ):
        assert at("sms", scope).get("suppression.in_force") is expected
    look = replace(SEND, action=Action.LOOKUP, channel="", brand="")
    opt_out = Suppression("s", "sid", SuppressionScope(channel="sms"), NOW, NOW, "a")
    assert (
        derive(CAPPED, look, Raw(WHO, (), "sid", {}, [opt_out]), NOW, ZONE).get("suppression.in_force")
        is False
    )
