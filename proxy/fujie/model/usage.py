"""How principals ask: what is watched of a look-up, and what is known of those before."""

from dataclasses import dataclass
from datetime import date, datetime

from fujie.model.customer import CustomerRef
from fujie.model.limit import Counts


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Look:
    """One look-up as `habits` sees it: whom `principal` asked for, and the sid of the customer that was shown (empty: nobody)."""

    principal: str
    now: datetime
    day: date
    ref: CustomerRef
    sid: str = ""


@dataclass(frozen=True, slots=True)
class Habits:
    """How a principal has asked: distinct customers that it was shown by day (`date.toordinal`), and how often
    within the hour it asked for a neighbour of what it had asked for before."""

    customers: Counts
    hits: int
