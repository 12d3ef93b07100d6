"""How principals ask: what is watched of a look-up or of a part of an export, and what is known of those before."""

from dataclasses import dataclass, field
from datetime import date, datetime
from types import MappingProxyType

from fujie.model.customer import CustomerRef
from fujie.model.limit import Counts

NOTHING: Counts = MappingProxyType({})
"""What is known of somebody who never asked."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Look:
    """One look-up as `habits` sees it: whom `principal` of `department` asked for, in which hour of which day, and the sid of the
    customer that was shown (empty: nobody). Of a part of an export, `rows` are how many customers it had; `ref` is its store."""

    principal: str
    now: datetime
    day: date
    ref: CustomerRef
    sid: str = ""
    hour: int = 0
    department: str = ""
    rows: int = 0


@dataclass(frozen=True, slots=True)
class Habits:
    """How a principal has asked: distinct customers that it was shown by day (`date.toordinal`), and how often
    within the hour it asked for a neighbour of what it had asked for before.

    `hours` are, for each hour of the day, the last day on which it asked in it, and under the hour + 24 the day before
    that one. `of_department` and `people` are, by day, the customers that its department was shown, each once for each
    principal, and how many principals these were; its own are among them."""

    customers: Counts
    hits: int
    hours: Counts = field(default_factory=lambda: NOTHING)
    of_department: Counts = field(default_factory=lambda: NOTHING)
    people: Counts = field(default_factory=lambda: NOTHING)
