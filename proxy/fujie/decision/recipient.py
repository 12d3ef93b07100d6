"""Who a message reaches: what hour it is there, and how often they got messages lately."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final

from fujie.model.facts import FREQUENT, FactValue, Unknown, UnknownWhy
from fujie.model.limit import Cap
from fujie.model.message import SentMessage
from fujie.policy.bundle import Guard

_AMBIGUOUS = Unknown(UnknownWhy.AMBIGUOUS)
_NOT_MAPPED = Unknown(UnknownWhy.NOT_MAPPED)
_DAY = timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WINDOWS: Mapping[Cap, timedelta] = {
    Cap.PER_MINUTE: timedelta(minutes=1),
    Cap.PER_HOUR: timedelta(hours=1),
    Cap.PER_DAY: _DAY,
    Cap.SAME_CONTENT_PER_DAY: _DAY,
}


@dataclass(frozen=True, slots=True, repr=False)
class Reached:
    """A recipient: the `country` and `zones` of the number (`model.phone`), the messages that the person got, or may
    have got, within 24 hours, and the `content` digest of the one to come."""

    country: str
    zones: tuple[tzinfo, ...]
    sent: Sequence[SentMessage]
    content: str = ""


RECIPIENT_FACTS: Final = ("recipient.country", "recipient.hour", "recipient.weekday", FREQUENT)
"""The facts that `recipient_facts` returns, in its order."""


def recipient_facts(
    guards: Iterable[Guard], reached: Reached, category: FactValue, now: datetime
) -> tuple[FactValue, FactValue, FactValue, FactValue]:
    """Return the `RECIPIENT_FACTS` under the caps of `guards`; `category` is that of the message.

    Where zones disagree nobody knows the hour: it is Unknown, and so is what was counted for a category that is.
    """
    exhausted: FactValue = category
    if not isinstance(category, Unknown) and not reached.sent:  # every cap leaves room for one
        exhausted = ()
    elif not isinstance(category, Unknown):
        exhausted = tuple(
            sorted([guard.counted_as for guard in guards if _is_used_up(guard, reached, category, now)])
        )
    return (reached.country or _NOT_MAPPED, *_local(reached.zones, now), exhausted)


@lru_cache(maxsize=1024)
def _local(zones: tuple[tzinfo, ...], now: datetime) -> tuple[FactValue, FactValue]:
    """Return hour and weekday of a moment, which is one for the thousand recipients of a batch."""
    local = [now.astimezone(zone) for zone in zones]
    return _agreed({each.hour for each in local}), _agreed({each.isoweekday() for each in local})


def _agreed(values: set[int]) -> FactValue:
    if not values:
        return _NOT_MAPPED
    return values.pop() if len(values) == 1 else _AMBIGUOUS


Sent = tuple[str, str, int]
"""Category, digest of the content and time (in microseconds since 1970) of a message."""


def counting(now: datetime) -> Callable[[Iterable[Sent]], tuple[object, ...]]:
    """Return what tells how messages count at `now`: where it says the same of two customers, so do all caps."""
    since = [(now - window - _EPOCH) // _MICROSECOND for window in sorted(set(_WINDOWS.values()))]

    def counts(sent: Iterable[Sent]) -> tuple[object, ...]:
        return tuple(
            [(category, content, *[at > each for each in since]) for category, content, at in sent]
        )

    return counts


def _is_used_up(guard: Guard, reached: Reached, category: FactValue, now: datetime) -> bool:
    """Tell whether a cap leaves no room. A message counts for less than its window: after just that, it is over. What
    was sent later than now, by a clock that is ahead, counts."""
    alike = [each for each in reached.sent if each.category == category]
    for cap, at_most in guard.frequency.items():
        since = now - _WINDOWS[cap]
        counted = [each for each in alike if each.at > since]
        if cap is Cap.SAME_CONTENT_PER_DAY:
            counted = [each for each in counted if each.content == reached.content]
        if len(counted) >= at_most:
            return True
    return False
