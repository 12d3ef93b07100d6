"""What digests are taken of: everything that a record says, and nothing that it does not."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from fujie.audit.consent_records import (
    ACTIONS,
    CONFIRMATION_DIGEST,
    SUPPRESSION_DIGEST,
    SUPPRESSION_ID,
    RecordKind,
    content_digest,
    event_content,
    lift_content,
    lift_facts,
    suppression_content,
    suppression_facts,
    time_text,
)
from fujie.model.consent import ConsentEvent, ConsentEventType, EntryRef, Notice
from fujie.model.suppression import Confirmation, Suppression, SuppressionScope

AT = datetime(2026, 11, 20, 2, 0, 0, 5, tzinfo=UTC)
BY = Confirmation("signed_letter", "letter-1", AT)
LIFTED = Suppression(
    "o1", "s1", SuppressionScope("marketing", "sms", "brand"), AT, AT, "desk", "call", "call-1",
    lifted=BY, lifted_at=AT, lifted_by="officer",
)  # fmt: skip
EVENT = ConsentEvent("r1", "s1", "marketing", ConsentEventType.GIVEN, AT, AT, "desk")
LATER = AT + timedelta(microseconds=1)

OPT_OUT = {
    "suppression_id": "o2", "sid": "s2", "scope": SuppressionScope(), "event_time": LATER, "received_at": LATER,
    "actor": "x", "source": "x", "evidence_ref": "x",
}  # fmt: skip
LIFT = {"lifted_at": LATER, "lifted_by": "x", "lifted": replace(BY, method="verified_form")}
PLACES = {"entry": EntryRef("a", 1), "lift_entry": EntryRef("a", 2)}


def changed(name: str, value: object) -> Suppression:
    return replace(LIFTED, **{name: value})  # type: ignore[arg-type]  # a table of changes


def test_every_field_of_an_opt_out_is_in_one_digest_and_a_place_is_in_none() -> None:
    """A field that is added later must come to stand in one of these tables, so that nobody forgets it."""
    assert {*OPT_OUT, *LIFT, *PLACES} == set(Suppression.__slots__)
    for name, value in (OPT_OUT | LIFT | PLACES).items():
        other = changed(name, value)
        assert (suppression_content(other) != suppression_content(LIFTED)) == (name in OPT_OUT), name
        of_lift = name in LIFT or name in {"suppression_id", "sid"}
        assert (lift_content(other) != lift_content(LIFTED)) == of_lift, name


@pytest.mark.parametrize("name", ["purpose", "channel", "brand"])
def test_every_part_of_a_scope_is_in_the_digest(name: str) -> None:
    other = replace(LIFTED, scope=replace(LIFTED.scope, **{name: ""}))
    assert suppression_content(other) != suppression_content(LIFTED)


@pytest.mark.parametrize("change", [{"method": "x"}, {"evidence_ref": "x"}, {"event_time": LATER}])
def test_every_part_of_a_confirmation_is_in_the_digest(change: dict[str, Any]) -> None:
    assert lift_content(replace(LIFTED, lifted=replace(BY, **change))) != lift_content(LIFTED)


def test_every_field_of_an_event_but_its_place_is_in_the_digest() -> None:
    said = event_content(replace(EVENT, notice=Notice("n", "1", "zh", "d"), entry=EntryRef("a", 1)))
    names = set(ConsentEvent.__slots__) - {"entry", "notice"}
    assert {name for name in said if not name.startswith("notice_")} == names
    assert {name for name in said if name.startswith("notice_")} == {
        f"notice_{name}" for name in Notice.__slots__
    }


@pytest.mark.parametrize("content", [event_content, suppression_content, lift_content])
def test_one_moment_has_one_text_in_every_zone(content: Callable[[Any], Mapping[str, object]]) -> None:
    there = AT.astimezone(timezone(timedelta(hours=8)))
    if content is event_content:
        assert content(replace(EVENT, event_time=there, received_at=there)) == content(EVENT)
    else:
        moved = replace(LIFTED, event_time=there, received_at=there, lifted_at=there)
        assert content(replace(moved, lifted=replace(BY, event_time=there))) == content(LIFTED)
    assert time_text(there) == "2026-11-20T02:00:00.000005Z"


def test_an_opt_out_in_force_has_no_lift() -> None:
    with pytest.raises(ValueError, match="no lift"):
        lift_content(replace(LIFTED, lifted=None))


def test_the_facts_of_a_lift_name_the_opt_out_and_the_act() -> None:
    given, lift = suppression_content(LIFTED), lift_content(LIFTED)
    assert suppression_facts(given) == {SUPPRESSION_ID: "o1", SUPPRESSION_DIGEST: content_digest(given)}
    assert lift_facts(given, lift) == {
        **suppression_facts(given),
        CONFIRMATION_DIGEST: content_digest(lift),
    }


def test_no_action_admits_two_kinds_of_record() -> None:
    assert set(ACTIONS) == set(RecordKind)
    assert len(frozenset[str]().union(*ACTIONS.values())) == sum(map(len, ACTIONS.values()))
