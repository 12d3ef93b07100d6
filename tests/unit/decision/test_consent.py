"""The state of consent, against a table of stories and a slow oracle that sorts."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.adapters.ledger.instant import to_micros
from fujie.decision.consent import Consent, Event, bearing, consent_of, may_be_asked
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.vocabulary import ANY_CHANNEL, State

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
YEAR = timedelta(days=365)
T = ConsentEventType


def event(
    what: ConsentEventType,
    days: float,
    *,
    sid: str = "me",
    channel: str = "any",
    until: float | None = None,
) -> ConsentEvent:
    """An event `days` from now, valid until so many days from now."""
    at = NOW + timedelta(days=days)
    end = None if until is None else NOW + timedelta(days=until)
    return ConsentEvent(
        "r", sid, "marketing", what, at, NOW, "a", channel=channel, explicit=True, valid_until=end
    )


def state(*events: ConsentEvent, channel: str = "any", ttl: timedelta | None = None) -> State:
    return consent_of(events, "me", channel, NOW, ttl).state


STORIES: dict[str, tuple[list[ConsentEvent], State]] = {
    "nothing": ([], State.NONE),
    "asked": ([event(T.REQUESTED, -1)], State.REQUESTED),
    "given": ([event(T.GIVEN, -1)], State.GIVEN),
    "given this moment": ([event(T.GIVEN, 0)], State.GIVEN),
    "refused": ([event(T.REFUSED, -1)], State.REFUSED),
    "withdrawn": ([event(T.GIVEN, -2), event(T.WITHDRAWN, -1)], State.WITHDRAWN),
    "invalidated": ([event(T.GIVEN, -2), event(T.INVALIDATED, -1)], State.INVALIDATED),
    "given again": ([event(T.GIVEN, -3), event(T.WITHDRAWN, -2), event(T.GIVEN, -1)], State.GIVEN),
    "an older consent imported later": ([event(T.WITHDRAWN, -1), event(T.GIVEN, -2)], State.WITHDRAWN),
    "given and withdrawn at once": ([event(T.WITHDRAWN, -1), event(T.GIVEN, -1)], State.WITHDRAWN),
    "withdrawn and given at once": ([event(T.GIVEN, -1), event(T.WITHDRAWN, -1)], State.WITHDRAWN),
    "asked again after no": ([event(T.REFUSED, -2), event(T.REQUESTED, -1)], State.REFUSED),
    "asked again after yes": ([event(T.GIVEN, -2), event(T.REQUESTED, -1)], State.GIVEN),
    "given by another alias": ([event(T.GIVEN, -1, sid="alias")], State.NONE),
    "asked under another alias": ([event(T.REQUESTED, -1, sid="alias")], State.NONE),
    "withdrawn by another alias": ([event(T.GIVEN, -2), event(T.WITHDRAWN, -1, sid="alias")], State.WITHDRAWN),
    "withdrawn by an alias only": ([event(T.WITHDRAWN, -1, sid="alias")], State.WITHDRAWN),
    "given in the future": ([event(T.GIVEN, 1)], State.NONE),
    "withdrawn in the future": ([event(T.GIVEN, -1), event(T.WITHDRAWN, 1)], State.WITHDRAWN),
    "ended by itself": ([event(T.GIVEN, -2, until=-1)], State.EXPIRED),
    "ends this moment": ([event(T.GIVEN, -2, until=0)], State.EXPIRED),
    "ends in a moment": ([event(T.GIVEN, -2, until=0.00001)], State.GIVEN),
    "ended, then withdrawn": ([event(T.GIVEN, -3, until=-2), event(T.WITHDRAWN, -1)], State.WITHDRAWN),
    "renewed with an end that has passed": (
        [event(T.GIVEN, -3), event(T.GIVEN, -2, until=-1)], State.EXPIRED,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("events", "expected"), STORIES.values(), ids=STORIES.keys())
def test_a_story_ends_in_its_state(events: list[ConsentEvent], expected: State) -> None:
    assert state(*events) is expected


def test_a_consent_ends_at_the_limit_of_its_purpose() -> None:
    given_then = event(T.GIVEN, -365)
    assert state(given_then, ttl=YEAR) is State.EXPIRED
    assert state(given_then, ttl=YEAR + timedelta(microseconds=1)) is State.GIVEN
    assert state(event(T.GIVEN, -2, until=-1), ttl=YEAR) is State.EXPIRED


@pytest.mark.parametrize(
    ("given_for", "withdrawn_for", "asked", "expected"),
    [
        ("any", "sms", "sms", State.WITHDRAWN),
        ("any", "sms", "email", State.GIVEN),
        ("any", "sms", "any", State.GIVEN),
        ("sms", "any", "sms", State.WITHDRAWN),
        ("sms", "email", "sms", State.GIVEN),
        ("email", "email", "sms", State.NONE),
    ],
)
def test_a_channel_counts_for_itself_and_any_for_all(
    given_for: str, withdrawn_for: str, asked: str, expected: State
) -> None:
    events = [event(T.GIVEN, -2, channel=given_for), event(T.WITHDRAWN, -1, channel=withdrawn_for)]
    assert state(*events, channel=asked) is expected


def oracle(
    events: Sequence[ConsentEvent], channel: str, ttl: timedelta | None
) -> tuple[State, ConsentEvent | None]:
    """The rules, read out aloud: sort what counts, take the last."""
    closing = (T.REFUSED, T.WITHDRAWN, T.INVALIDATED)
    heard = [e for e in events if e.channel == channel or e.channel == "any"]
    mine = [e for e in heard if e.type in closing or (e.sid == "me" and e.event_time <= NOW)]
    answers = [e for e in mine if e.type is not T.REQUESTED]
    if not answers:
        asked = [e for e in mine if e.type is T.REQUESTED]
        return (State.REQUESTED, asked[-1]) if asked else (State.NONE, None)
    order = sorted(
        range(len(answers)), key=lambda i: (answers[i].event_time, answers[i].type in closing, i)
    )
    last = answers[order[-1]]
    if last.type is not T.GIVEN:
        return State[last.type.name], last
    ends = [end for end in (last.valid_until, last.event_time + ttl if ttl else None) if end]
    return (State.EXPIRED if any(end <= NOW for end in ends) else State.GIVEN), last


EVENTS = st.lists(
    st.builds(
        event,
        st.sampled_from(ConsentEventType),
        st.integers(-3, 1),
        sid=st.sampled_from(("me", "alias")),
        channel=st.sampled_from(("any", "sms", "email")),
        until=st.none() | st.integers(-2, 2),
    ),
    max_size=6,
)
TTL = st.sampled_from((None, timedelta(days=1), timedelta(days=2), YEAR))


@given(EVENTS, st.sampled_from(("any", "sms")), TTL)
def test_the_state_is_that_of_the_oracle(
    events: list[ConsentEvent], channel: str, ttl: timedelta | None
) -> None:
    expected, governing = oracle(events, channel, ttl)
    assert consent_of(events, "me", channel, NOW, ttl) == Consent(expected, governing)


@given(EVENTS, TTL, st.sampled_from(("me", "alias")), st.data())
def test_a_no_that_comes_last_closes_wherever_it_is_written(
    events: list[ConsentEvent], ttl: timedelta | None, sid: str, data: st.DataObject
) -> None:
    no = event(T.WITHDRAWN, 2, sid=sid)
    place = data.draw(st.integers(0, len(events)))
    assert state(*events[:place], no, *events[place:], ttl=ttl) is State.WITHDRAWN


@given(EVENTS, TTL)
def test_the_order_of_arrival_never_turns_a_no_into_a_yes(
    events: list[ConsentEvent], ttl: timedelta | None
) -> None:
    assert (state(*events, ttl=ttl) is State.GIVEN) == (
        state(*reversed(events), ttl=ttl) is State.GIVEN
    ) or (
        len({e.event_time for e in events if e.type is T.GIVEN}) < sum(e.type is T.GIVEN for e in events)
    )  # two consents of one moment that end differently: the later to arrive governs


def test_explicit_and_separate_are_those_of_the_event_that_governs() -> None:
    assert consent_of([event(T.GIVEN, -1)], "me", "any", NOW, None).explicit is True
    assert consent_of([], "me", "any", NOW, None).explicit is False
    assert consent_of([], "me", "any", NOW, None).separate is False


@pytest.mark.parametrize(
    "kind", [ConsentEventType.WITHDRAWN, ConsentEventType.REFUSED, ConsentEventType.REQUESTED]
)
def test_only_consent_that_stands_is_explicit_or_separate(kind: ConsentEventType) -> None:
    event = ConsentEvent("r", "s", "p", kind, NOW, NOW, "a", explicit=True, separate=True)
    consent = consent_of([event], "s", ANY_CHANNEL, NOW, None)
    assert (consent.explicit, consent.separate) == (False, False)


@given(EVENTS, st.floats(0, 29.99))
def test_nobody_is_asked_within_thirty_days_of_a_no_or_an_unanswered_request(
    events: list[ConsentEvent], days: float
) -> None:
    for kind in (T.REFUSED, T.REQUESTED):
        no = replace(event(kind, 0), event_time=NOW - timedelta(days=days))
        assert may_be_asked([*events, no], "me", "any", NOW) is False


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((), True),
        ((T.GIVEN,), True),
        ((T.INVALIDATED,), True),
        ((T.WITHDRAWN,), False),
        ((T.GIVEN, T.WITHDRAWN), False),
        ((T.WITHDRAWN, T.GIVEN), True),
        ((T.WITHDRAWN, T.REFUSED), False),
        ((T.WITHDRAWN, T.INVALIDATED), False),
        ((T.REFUSED,), True),
    ],
)
def test_after_years_only_a_withdrawal_still_closes_the_mouth(
    types: tuple[ConsentEventType, ...], expected: bool
) -> None:
    history = [
        replace(event(kind, 0), event_time=NOW - timedelta(days=1_000 - day))
        for day, kind in enumerate(types)
    ]
    assert may_be_asked(history, "me", "any", NOW) is expected
    assert may_be_asked([replace(each, channel="sms") for each in history], "me", "email", NOW) is True


def test_a_no_for_one_channel_is_a_no_to_asking_for_all_of_them() -> None:
    no = event(T.WITHDRAWN, -100, channel="sms")
    yes = event(T.GIVEN, -50, channel="sms")
    assert may_be_asked([no], "me", "any", NOW) is False
    assert may_be_asked([no, yes], "me", "any", NOW) is False
    assert may_be_asked([no, yes], "me", "sms", NOW) is True
    assert may_be_asked([no, replace(yes, channel="any")], "me", "any", NOW) is True


def test_consent_of_another_lifts_no_withdrawal() -> None:
    history = [event(T.WITHDRAWN, -2, sid="other"), event(T.GIVEN, -1, sid="other")]
    assert may_be_asked(history, "me", "any", NOW) is False
    assert may_be_asked(history, "other", "any", NOW) is True


def read(events: Sequence[ConsentEvent]) -> list[Event]:
    """Return events as the ledger tells them of many: in order of time, then of arrival, in microseconds."""
    return [
        (
            each.type, each.channel, each.explicit, each.separate, to_micros(each.event_time),
            None if each.valid_until is None else to_micros(each.valid_until),
        )
        for each in sorted(events, key=lambda each: each.event_time)
    ]  # fmt: skip


TIMES = st.tuples(st.integers(-2, 1), st.none() | st.integers(-1, 1))
SAID = st.lists(
    st.tuples(st.sampled_from((T.GIVEN, *T)), st.sampled_from(("any", "sms")), TIMES),
    min_size=1,
    max_size=2,
)


@settings(max_examples=500)
@given(SAID, st.integers(0, 1), TIMES, st.sampled_from((None, timedelta(days=1), timedelta(days=2))))
def test_whose_events_bear_alike_have_one_state(
    said: list[Any], place: int, times: tuple[int, int | None], ttl: timedelta | None
) -> None:
    """One of two said one thing at another time: what is told of it is all that matters of the time."""
    changed = place % len(said)
    others = [*said[:changed], (*said[changed][:2], times), *said[changed + 1 :]]
    one, other = (
        [event(what, days, channel=of, until=until) for what, of, (days, until) in each]
        for each in (said, others)
    )
    bears = bearing(NOW, ttl)
    if bears(read(one)) == bears(read(other)):
        for channel in ("any", "sms", "email"):
            assert state(*one, channel=channel, ttl=ttl) is state(*other, channel=channel, ttl=ttl)
    else:
        assert times != said[changed][2]
