"""Whom a message reaches: the hour where they are, to the second, and how often they were reached before."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.recipient import RECIPIENT_FACTS, Reached, recipient_facts
from fujie.model.facts import FREQUENT, FactValue, Unknown, UnknownWhy
from fujie.model.message import Category, SentMessage
from fujie.model.phone import country_of, zones_of
from fujie.model.vocabulary import State
from support.bundles import compiled, guard

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
SENDS = {"actions": ["send"]}
CAPS = {"per_minute": 1, "per_hour": 2, "per_day": 3, "same_content_per_day": 1}
CAPPED = compiled(
    *(guard(name.replace("_", "-"), frequency={name: most}, match=SENDS) for name, most in CAPS.items()),
    guard("uncapped", "true"),
).capped_guards


def reached(
    *sent: SentMessage, zones: tuple[str, ...] = ("Asia/Shanghai",), country: str = "CN"
) -> Reached:
    return Reached(country, tuple(map(ZoneInfo, zones)), sent, "this")


def sent(ago: timedelta, content: str = "other", category: Category = Category.MARKETING) -> SentMessage:
    return SentMessage(NOW - ago, content, category)


def facts(
    who: Reached, now: datetime = NOW, category: FactValue = State.MARKETING
) -> Mapping[str, FactValue]:
    return dict(zip(RECIPIENT_FACTS, recipient_facts(CAPPED, who, category, now), strict=True))


def used_up(*messages: SentMessage, category: FactValue = State.MARKETING) -> FactValue:
    return facts(reached(*messages), category=category)[FREQUENT]


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("zones", "now", "hour", "weekday"),
    [
        (("Asia/Shanghai",), datetime(2026, 11, 19, 23, 59, 59, tzinfo=UTC), 7, 5),
        (("Asia/Shanghai",), datetime(2026, 11, 20, 0, 0, 0, tzinfo=UTC), 8, 5),
        (("Asia/Shanghai",), datetime(2026, 11, 20, 15, 59, 59, tzinfo=UTC), 23, 5),
        (("Asia/Shanghai",), datetime(2026, 11, 20, 16, 0, 0, tzinfo=UTC), 0, 6),
        (
            ("America/New_York",),
            datetime(2026, 11, 1, 5, 30, tzinfo=UTC),
            1,
            7,
        ),  # the hour that comes twice
        (("America/New_York",), datetime(2026, 11, 1, 6, 30, tzinfo=UTC), 1, 7),
        (("Asia/Kolkata",), datetime(2026, 11, 20, 2, 29, 59, tzinfo=UTC), 7, 5),
        (("Europe/London", "Europe/Jersey"), NOW, 2, 5),  # two zones that agree
    ],
)
def test_the_hour_is_that_where_the_number_is(
    zones: tuple[str, ...], now: datetime, hour: int, weekday: int
) -> None:
    found = facts(reached(zones=zones), now)
    assert (found["recipient.hour"], found["recipient.weekday"]) == (hour, weekday)


def test_where_zones_disagree_nobody_knows_the_hour_and_may_know_the_day() -> None:
    found = facts(reached(zones=("America/New_York", "America/Los_Angeles")), NOW)
    assert found["recipient.hour"] == Unknown(UnknownWhy.AMBIGUOUS)
    assert found["recipient.weekday"] == 4
    nowhere = facts(reached(zones=(), country=""))
    assert {type(nowhere[f"recipient.{name}"]) for name in ("hour", "weekday", "country")} == {Unknown}


def test_the_numbers_of_a_country_are_there_and_those_of_none_nowhere() -> None:
    assert (country_of("+8613800138000"), zones_of("+8613800138000")) == ("CN", ("Asia/Shanghai",))
    assert (country_of("+85291234567"), zones_of("+85291234567")) == ("HK", ("Asia/Hong_Kong",))
    assert (country_of("+80012345678"), zones_of("+80012345678")) == ("", ())
    assert len(zones_of("+79161234567")) > 1


def test_nothing_sent_uses_up_nothing() -> None:
    assert used_up() == ()


@pytest.mark.parametrize(
    ("ago", "expected"),
    [
        (SECOND * 0, ("guard:per-minute",)),
        (timedelta(seconds=59, microseconds=999_999), ("guard:per-minute",)),
        (timedelta(minutes=1), ()),  # over, after just a minute
        (-timedelta(hours=1), ("guard:per-minute",)),  # by a clock that was ahead
    ],
)
def test_a_window_rolls_and_is_over_after_just_its_length(
    ago: timedelta, expected: tuple[str, ...]
) -> None:
    assert used_up(sent(ago)) == expected


def test_each_cap_counts_its_own_window() -> None:
    hour, day = timedelta(minutes=59), timedelta(hours=23, minutes=59)
    assert used_up(sent(hour), sent(hour)) == ("guard:per-hour",)
    assert used_up(sent(timedelta(hours=1)), sent(hour)) == ()
    assert used_up(sent(day), sent(day), sent(day)) == ("guard:per-day",)
    assert used_up(sent(timedelta(days=1)), sent(day), sent(day)) == ()
    assert used_up(sent(day, "this")) == ("guard:same-content-per-day",)
    assert used_up(sent(timedelta(days=1), "this")) == ()


def test_messages_of_another_category_do_not_count() -> None:
    codes = [sent(SECOND, "this", Category.VERIFICATION)] * 5
    assert used_up(*codes) == ()
    assert len(used_up(*codes, category=State.VERIFICATION)) == 4  # type: ignore[arg-type] # a tuple, or it fails


def test_what_was_counted_of_an_unknown_category_is_unknown() -> None:
    unknown = Unknown(UnknownWhy.NOT_FETCHED)
    assert used_up(category=unknown) == unknown


@given(
    st.lists(st.tuples(st.integers(-10, 90_000), st.sampled_from(("this", "other"))), max_size=6), st.data()
)
def test_one_more_message_frees_no_cap(before: list[tuple[int, str]], data: st.DataObject) -> None:
    messages = [sent(timedelta(seconds=ago), content) for ago, content in before]
    more = sent(
        timedelta(seconds=data.draw(st.integers(-10, 90_000))), data.draw(st.sampled_from(("this", "x")))
    )
    fewer, after = used_up(*messages), used_up(*messages, more)
    assert isinstance(fewer, tuple)
    assert isinstance(after, tuple)
    assert set(fewer) <= set(after)
