"""Limits of grants and guards, and how use is counted against them.

A rolling window is counted in sub-buckets, and the oldest one counts whole though only a part of it lies
in the window: no interval of the window's length ever holds more than the limit, at the price that a
part comes back up to one sub-bucket late. Days and months are those of the calendar in `policy.zone`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

from fujie.model.making import made_often

MAX_LIMIT = 10**9
"""The largest limit that a policy can set; more would limit nothing."""

WINDOW_BUCKETS = 60
"""Sub-buckets of a rolling window: what comes back late is a sixtieth of it."""


class Limit(StrEnum):
    """What can be limited, per principal and per grant or guard."""

    ROWS_PER_REQUEST = "rows_per_request"
    ROWS_PER_HOUR = "rows_per_hour"
    DISTINCT_CUSTOMERS_PER_DAY = "distinct_customers_per_day"
    DISTINCT_CUSTOMERS_PER_MONTH = "distinct_customers_per_month"
    LOOKUPS_PER_MINUTE = "lookups_per_minute"


class Cap(StrEnum):
    """How often one person may get messages of one category; the windows roll, a day is 24 hours.

    `SAME_CONTENT_PER_DAY` counts the messages whose text is the same, links left out.
    """

    PER_MINUTE = "per_minute"
    PER_HOUR = "per_hour"
    PER_DAY = "per_day"
    SAME_CONTENT_PER_DAY = "same_content_per_day"


PER_CUSTOMER = frozenset({Limit.DISTINCT_CUSTOMERS_PER_DAY, Limit.DISTINCT_CUSTOMERS_PER_MONTH})
"""Limits that count a customer once in their period, however often he is shown."""

BUCKET_S: Mapping[Limit, int] = {Limit.ROWS_PER_HOUR: 60, Limit.LOOKUPS_PER_MINUTE: 1}
"""Seconds of a sub-bucket of the limits that roll."""


@dataclass(frozen=True, slots=True)
class Charge:
    """A counter that a request is counted on: the rule (`grant:name` or `guard:name`), its limit, and how
    much of it there may be (`at_most`)."""

    rule: str
    limit: Limit
    at_most: int


@made_often
@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What one act of a principal takes from its counters.

    `amount` is taken from each of `charges`: rows, or look-ups (less than 0 gives back what was taken at `now`); of a limit on distinct customers `sid`
    takes one, or nothing when it was counted on that `day` already. `day` is the calendar day in
    `policy.zone`. From `also_told` nothing is taken; whether anything is left is told all the same.
    """

    principal: str
    now: datetime
    day: date
    charges: tuple[Charge, ...] = ()
    also_told: tuple[Charge, ...] = ()
    amount: int = 1
    sid: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What the rows of a part of an export take, in their order: each one from all of its charges, for its sid."""

    principal: str
    now: datetime
    day: date
    charged: tuple[tuple[tuple[Charge, ...], str], ...]


Counts = Mapping[int, int]
"""Period, as a number that grows with time, to how much was counted in it."""


def counted_on(limit: Limit, day: date) -> int:
    """Return the day, as its ordinal, on which a limit of `PER_CUSTOMER` counts: `day`, or the last of its month.

    The last one, so that what is kept of days that are not over is kept for the whole month too.
    """
    if limit is Limit.DISTINCT_CUSTOMERS_PER_DAY:
        return day.toordinal()
    next_month = (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    return next_month.toordinal() - 1


def bucket_of(limit: Limit, now: datetime) -> int:
    """Return the number of the sub-bucket of a rolling limit that `now` lies in."""
    return int(now.timestamp()) // BUCKET_S[limit]


def in_window(counts: Counts, bucket: int) -> dict[int, int]:
    """Return the counts that still count in `bucket`.

    What was counted later than now, because the clock was set back, counts as of now: it happened
    before, so it stays counted for at least a whole window.
    """
    kept: dict[int, int] = {}
    for counted_in, count in counts.items():
        if counted_in >= bucket - WINDOW_BUCKETS:
            place = min(counted_in, bucket)
            kept[place] = kept.get(place, 0) + count
    return kept
