"""What the ledger tells of many customers at once: of each all that a decision reads, or as it is kept."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fujie.model.consent import BareEvent
from fujie.model.customer import Identity
from fujie.model.message import SentMessage
from fujie.model.suppression import Suppression


class Recalled(NamedTuple):
    """All that a decision reads of one customer in the ledger, for one purpose; `sent` is what they got within 24 hours."""

    identity: Identity
    events: Sequence[BareEvent]
    suppressions: Sequence[Suppression]
    sent: Sequence[SentMessage]

    def __repr__(self) -> str:
        return "Recalled(...)"


People = Sequence[tuple[str, str]]
"""Customers of one store: id, and number (E.164; empty: none)."""

RawEvent = tuple[str, str, bool, bool, int, int | None]
"""An event of consent as it is kept: type, channel, explicit, separate, event time and its own end (None: it names none),
both in microseconds since 1970. What of a `BareEvent` is not whose it is."""

RawSent = tuple[str, str, int]
"""Category, digest of the content and time of a message, in microseconds since 1970."""

RawScope = tuple[str, str, str]
"""Purpose, channel and brand of an opt-out that stands."""


@dataclass(frozen=True, slots=True, repr=False)
class Survey:
    """What is known of many, without an object for each: of hundred thousands few differ in what a decision reads.

    `sids` and `events` are by place. `events` are the customer's own, and all that were recorded; None for whom others' count
    as well. `scopes` are those of opt-outs, `sent` the messages of 24 hours, of those who have any. `recalled` returns
    all that a decision reads of one: no data key, and of opt-outs scope and times alone; raises LedgerError.
    """

    sids: Sequence[str]
    events: Sequence[tuple[RawEvent, ...] | None]
    scopes: Mapping[int, tuple[RawScope, ...]]
    sent: Mapping[int, tuple[RawSent, ...]]
    recalled: Callable[[int], Recalled]


@dataclass(frozen=True, slots=True, repr=False)
class Recollection:
    """What was recalled, in the order that was asked for. `marker` is a change sequence: whatever is written later
    has a higher one, so that `Outbox.claim` can tell whether it still holds."""

    marker: int
    customers: Sequence[Recalled]
