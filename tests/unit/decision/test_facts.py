"""Raw values to facts: a value of its declared type, or Unknown with why. Never a guess."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.facts import Raw, derive
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.facts import SEND_ROOTS, USAGE, Facts, FactValue, Unknown, UnknownWhy
from fujie.model.principal import Principal
from fujie.model.request import Request
from fujie.model.vocabulary import Action, State
from support.bundles import compiled, document

BUNDLE = compiled(
    document(
        "FieldCatalog",
        "more",
        {"attributes": {"principal": {"region": {"type": "string"}, "limit": {"type": "int"}}}},
    )
)
NOW = datetime(2026, 6, 1, 20, 30, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")
ASKED = Request(Action.LOOKUP, "care", "consent", "crm", "phone", ("name", "phone"))
WHO = Principal("p", roles=frozenset({"b", "a"}), department="east")


def derived(raw: Raw, now: datetime = NOW) -> Facts:
    return derive(BUNDLE, ASKED, raw, now, SHANGHAI)


def customer(**attributes: object) -> Facts:
    return derived(Raw(WHO, (), "sid", attributes))


class One(IntEnum):
    ONE = 1


W = UnknownWhy
TYPED: list[tuple[str, object, FactValue]] = [
    ("minor", True, True),
    ("minor", 0, False),
    ("minor", 1, True),
    ("minor", 2, Unknown(W.WRONG_TYPE)),
    ("minor", "0", Unknown(W.WRONG_TYPE)),
    ("minor", "false", Unknown(W.WRONG_TYPE)),
    ("minor", "", Unknown(W.WRONG_TYPE)),
    ("minor", 0.0, Unknown(W.WRONG_TYPE)),
    ("minor", b"\0", Unknown(W.WRONG_TYPE)),
    ("minor", None, Unknown(W.NULL)),
    ("points", 0, 0),
    ("points", -(2**63), -(2**63)),
    ("points", 2**63 - 1, 2**63 - 1),
    ("points", 2**63, Unknown(W.WRONG_TYPE)),
    ("points", -(2**63) - 1, Unknown(W.WRONG_TYPE)),
    ("points", True, Unknown(W.WRONG_TYPE)),
    ("points", "5", Unknown(W.WRONG_TYPE)),
    ("points", 5.0, Unknown(W.WRONG_TYPE)),
    ("owner", "east", "east"),
    ("owner", "", ""),
    ("owner", b"east", Unknown(W.WRONG_TYPE)),
    ("owner", 5, Unknown(W.WRONG_TYPE)),
    ("owner", "ea\0st", Unknown(W.WRONG_TYPE)),
    ("owner", "\ud800", Unknown(W.WRONG_TYPE)),
    ("owner", "𠮷" * 1_024, "𠮷" * 1_024),
    ("owner", "x" * 1_025, Unknown(W.WRONG_TYPE)),
    ("tags", ["a", "b"], ("a", "b")),
    ("tags", (), ()),
    ("tags", "ab", Unknown(W.WRONG_TYPE)),
    ("tags", {"a"}, Unknown(W.WRONG_TYPE)),
    ("tags", ["a", 1], Unknown(W.WRONG_TYPE)),
    ("tags", ["a", None], Unknown(W.WRONG_TYPE)),
    ("tags", ["a\0"], Unknown(W.WRONG_TYPE)),
    ("tags", ["\udfff"], Unknown(W.WRONG_TYPE)),
    ("tags", [""] * 1_025, Unknown(W.WRONG_TYPE)),
    ("tags", ["x" * 600] * 2, Unknown(W.WRONG_TYPE)),
]


@pytest.mark.parametrize(("name", "raw", "expected"), TYPED)
def test_a_column_is_taken_as_its_type_or_not_at_all(name: str, raw: object, expected: FactValue) -> None:
    found = customer(**{name: raw}).get(f"customer.{name}")
    assert (type(found), found) == (type(expected), expected)


def test_a_number_that_only_looks_like_a_boolean_becomes_one() -> None:
    """Equal values must be identical facts, or a memoised decision could differ from a cold one."""
    assert customer(minor=One.ONE).get("customer.minor") is True


@given(st.dictionaries(
    st.sampled_from(("minor", "points", "owner", "tags", "other")),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.lists(st.text() | st.integers()) | st.dates() | st.dictionaries(st.text(), st.text()),
))  # fmt: skip
def test_whatever_a_store_holds_every_fact_is_there_and_fits_the_engine(
    attributes: Mapping[str, object],
) -> None:
    facts = derived(Raw(WHO, (), "sid", attributes, ()))
    of_flow = {"limits.exhausted", *USAGE, "approvals.granted", "approvals.break_glass"}
    others = {path for path in BUNDLE.facts if path.partition(".")[0] in SEND_ROOTS}  # nothing is sent
    assert set(BUNDLE.facts) - others == set(facts.values) | of_flow | {
        "grants.expired"
    }  # no grant has bounds
    BUNDLE.engine.messages(facts, facts.values)


def test_what_is_absent_says_why() -> None:
    nobody = derived(Raw(WHO))
    assert nobody.get("customer.minor") == Unknown(W.NO_CUSTOMER)
    assert nobody.get("consent.state") == Unknown(W.NOT_FETCHED)
    assert customer().get("customer.minor") == Unknown(W.NOT_MAPPED)
    assert nobody.get("principal.region") == Unknown(W.NO_ATTRIBUTE)
    assert nobody.get("customer.nobody_declared") == Unknown(W.NOT_FETCHED)


def test_a_customer_that_the_ledger_does_not_know_has_no_consent_rather_than_an_unknown_one() -> None:
    facts = derived(Raw(WHO, events=()))
    assert (facts.get("consent.state"), facts.get("consent.explicit")) == (State.NONE, False)


def test_the_principal_s_attributes_are_typed_too() -> None:
    who = replace(WHO, attributes={"region": "north", "limit": "ten"})
    facts = derived(Raw(who))
    assert facts.get("principal.region") == "north"
    assert facts.get("principal.limit") == Unknown(W.WRONG_TYPE)


def test_an_attribute_can_not_take_the_place_of_a_built_in_fact() -> None:
    who = replace(WHO, attributes={"roles": ("root",), "employment": "ACTIVE"}, employment=State.SUSPENDED)
    facts = derived(Raw(who, (), "sid", {"roles": ["root"], "state": "GIVEN"}))
    assert facts.get("principal.roles") == ("a", "b")
    assert facts.get("principal.employment") is State.SUSPENDED
    assert facts.get("consent.state") is State.NONE


HOURS = [
    (datetime(2026, 5, 31, 15, 59, 59, tzinfo=UTC), 23, 7),
    (datetime(2026, 5, 31, 16, tzinfo=UTC), 0, 1),
    (datetime(2026, 6, 1, 0, tzinfo=SHANGHAI), 0, 1),
    (datetime(2026, 6, 1, 0, tzinfo=ZoneInfo("America/New_York")), 12, 1),
]


@pytest.mark.parametrize(("now", "hour", "weekday"), HOURS)
def test_time_is_that_of_the_zone_of_the_settings(now: datetime, hour: int, weekday: int) -> None:
    facts = derived(Raw(WHO), now)
    assert (facts.get("time.hour"), facts.get("time.weekday")) == (hour, weekday)


def test_consent_expires_with_the_limit_of_the_purpose_that_is_asked() -> None:
    limited = compiled(
        document("Purposes", "more", {"purposes": [{
            "id": "brief", "label": {"zh": "短", "en": "brief"}, "bases": {"consent": {}}, "consent_ttl": "30d",
        }]})
    )  # fmt: skip
    old = ConsentEvent("r", "sid", "brief", ConsentEventType.GIVEN, NOW - timedelta(days=30), NOW, "a")
    for name, expected in (("brief", State.EXPIRED), ("care", State.GIVEN), ("unheard_of", State.GIVEN)):
        facts = derive(limited, replace(ASKED, purpose=name), Raw(WHO, (old,), "sid"), NOW, SHANGHAI)
        assert facts.get("consent.state") is expected
