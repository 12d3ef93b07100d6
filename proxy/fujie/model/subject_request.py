"""What customers ask of us about their data, and what was disclosed of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum

ANSWER_WITHIN = timedelta(days=15)
"""How long an answer may take. The law says "in time" (PIPL-50, PIPL-47, read); 15 days stand in MIIT Order 24 for
complaints (unverified) and 15 working days, which are longer, in the rules on apps (secondary source)."""

MOST_TEXT = 1_000
"""Characters of what a customer writes."""


class RequestKind(StrEnum):
    """What is asked for. Words of the log: never renamed or reused."""

    COMPLAINT = "COMPLAINT"
    ERASURE = "ERASURE"


class RequestState(StrEnum):
    """Where a request stands."""

    OPEN = "OPEN"
    RESOLVED = "RESOLVED"


class RequestOutcome(StrEnum):
    """How a request ended. WITHDRAWN: by the customer. Words of the log."""

    DONE = "DONE"
    REFUSED = "REFUSED"
    WITHDRAWN = "WITHDRAWN"


@dataclass(frozen=True, slots=True)
class RequestEnd:
    """How, when and by whom a request was resolved. `evidence_ref` tells where the answer lies, with the reasons of a
    refusal (PIPL-50); it may hold anything and is never logged."""

    outcome: RequestOutcome
    at: datetime
    by: str
    evidence_ref: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class SubjectRequest:
    """A request of the customer `sid`. `text` is what the customer wrote, sealed under the sid's data key; empty when
    nothing was written. `end` is None while it is open."""

    id: str
    sid: str
    kind: RequestKind
    text: bytes
    received_at: datetime
    due_at: datetime
    end: RequestEnd | None = None

    @property
    def state(self) -> RequestState:
        """Where it stands."""
        return RequestState.RESOLVED if self.end else RequestState.OPEN


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests are asked for: those of any of `sids`, of everybody when None."""

    sids: tuple[str, ...] | None = None
    with_resolved: bool = False


@dataclass(frozen=True, slots=True)
class Disclosure:
    """That a customer's data were used on a day (in `policy.zone`) by an `action` (lookup, send) for a purpose, and at
    least how often. By whom is in the log, and for nobody else: employees have personal data too."""

    day: date
    action: str
    purpose: str
    count: int


@dataclass(frozen=True, slots=True)
class Indexed:
    """What the entries `first` to before `end` of the log `origin` disclosed: counts by (sid, day, action, purpose), where
    a negative one takes back what was announced and did not happen."""

    origin: str
    first: int
    end: int
    counts: Mapping[tuple[str, date, str, str], int]
