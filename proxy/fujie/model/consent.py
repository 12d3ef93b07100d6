"""Consent as append-only events, after ISO/IEC TS 27560:2023; the state is derived, never stored."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol

from fujie.model.customer import StoreKey
from fujie.model.making import made_often
from fujie.model.vocabulary import ANY_CHANNEL

RECORD_SCHEMA = "fujie.dev/consent/v1"
"""Schema version of a consent record (27560: mandatory)."""


class ConsentEventType(StrEnum):
    """What happened. Withdrawn is the customer's act, invalidated another's (DPV: Withdrawn, Revoked)."""

    REQUESTED = "requested"
    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    INVALIDATED = "invalidated"

    # An Enum's own hash is written in Python.
    __hash__ = str.__hash__


class Bearing(Protocol):
    """What of an event bears on the state of consent: all that `decision.consent` reads of one."""

    @property
    def sid(self) -> str:
        """Whom it was recorded for."""
        ...

    @property
    def type(self) -> ConsentEventType:
        """What happened."""
        ...

    @property
    def event_time(self) -> datetime:
        """When the customer acted."""
        ...

    @property
    def channel(self) -> str:
        """For which channel, or any."""
        ...

    @property
    def explicit(self) -> bool:
        """Whether by a clear act."""
        ...

    @property
    def separate(self) -> bool:
        """Whether separately from everything else."""
        ...

    @property
    def valid_until(self) -> datetime | None:
        """The end that it names itself."""
        ...


class BareEvent(NamedTuple):
    """An event with no more than what bears on the state: a campaign reads them by the hundred thousand."""

    sid: str
    type: ConsentEventType
    event_time: datetime
    channel: str
    explicit: bool
    separate: bool
    valid_until: datetime | None


NEGATIVE = frozenset({ConsentEventType.REFUSED, ConsentEventType.WITHDRAWN, ConsentEventType.INVALIDATED})
"""Events that close. They count for every alias of a person; positive ones only where they were given."""


@dataclass(frozen=True, slots=True)
class Notice:
    """The privacy notice that was shown: exactly which text, in which language."""

    id: str = ""
    version: str = ""
    language: str = ""
    digest: str = ""
    """SHA-256 of the text as shown, hex."""


NO_NOTICE = Notice()
"""No notice was shown."""


@made_often
@dataclass(frozen=True, slots=True)
class EntryRef:
    """Where an entry lies: the name of its log, and its index there."""

    origin: str
    index: int


@dataclass(frozen=True, slots=True)
class Capture:
    """How a customer was asked. Ticked beforehand, or tied to something else, is no consent (PIPL 14, 16)."""

    preselected: bool
    bundled: bool

    @property
    def is_free(self) -> bool:
        """Tell whether the customer chose, and chose this alone."""
        return not (self.preselected or self.bundled)


@dataclass(frozen=True, slots=True, repr=False)
class Ending:
    """A customer whose consent stands until `at`."""

    key: StoreKey
    at: datetime


@dataclass(frozen=True, slots=True)
class ConsentEvent:
    """One event of one customer's consent for one purpose and channel.

    `event_time` is when the customer acted, `received_at` when fujie learned of it: a withdrawal
    beats an older consent that is imported later. `explicit` is DPV's ExplicitlyExpressedConsent,
    `separate` PIPL's separate consent (articles 23, 25, 26, 29, 39).
    """

    record_id: str
    sid: str
    purpose: str
    type: ConsentEventType
    event_time: datetime
    received_at: datetime
    actor: str
    """Principal that recorded it."""
    channel: str = ANY_CHANNEL
    explicit: bool = False
    separate: bool = False
    valid_until: datetime | None = None
    notice: Notice = NO_NOTICE
    controller: str = ""
    jurisdiction: str = ""
    data_classes: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    storage_locations: tuple[str, ...] = ()
    retention_days: int = 0
    collection_method: str = ""
    withdrawal_method: str = ""
    source: str = ""
    evidence_ref: str = ""
    schema: str = RECORD_SCHEMA
    entry: EntryRef | None = None
    """The entry that admitted it to the ledger; None in a draft, and for records of earlier builds."""
