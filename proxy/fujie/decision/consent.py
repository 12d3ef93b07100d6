"""The state of consent, derived from events at the moment of the decision. Never stored, so it can not be stale."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from fujie.model.consent import NEGATIVE, ConsentEvent, ConsentEventType
from fujie.model.vocabulary import ANY_CHANNEL, State

_STATES = {
    ConsentEventType.GIVEN: State.GIVEN,
    ConsentEventType.REFUSED: State.REFUSED,
    ConsentEventType.WITHDRAWN: State.WITHDRAWN,
    ConsentEventType.INVALIDATED: State.INVALIDATED,
}


@dataclass(frozen=True, slots=True)
class Consent:
    """The derived state, and the event that governs it."""

    state: State
    governing: ConsentEvent | None = None

    @property
    def explicit(self) -> bool:
        """Tell whether consent stands that was given by a clear act; false whenever the state is not GIVEN."""
        return self._given is not None and self._given.explicit

    @property
    def separate(self) -> bool:
        """Tell whether a separate consent stands; false whenever the state is not GIVEN."""
        return self._given is not None and self._given.separate

    @property
    def _given(self) -> ConsentEvent | None:
        return self.governing if self.state is State.GIVEN else None


def consent_of(
    events: Iterable[ConsentEvent], sid: str, channel: str, now: datetime, ttl: timedelta | None
) -> Consent:
    """Derive the state of one purpose and channel for the customer `sid`.

    1. An event counts when it is for this channel or for any.
    2. Negative events count from every sid that `events` holds (aliases of one person); positive ones
       only from `sid`, and not before their time.
    3. The latest by event_time governs; at the same time a negative one does (PIPL art. 15).
    4. A request for consent changes nothing that was answered.
    5. A consent ends at its own `valid_until` or `ttl` after it was given, whichever is first.

    No event at all is NONE. `events` come in order of arrival for equal times.
    """
    governing: ConsentEvent | None = None
    asked: ConsentEvent | None = None
    for event in events:
        if event.channel not in (channel, ANY_CHANNEL):  # 1
            continue
        negative = event.type in NEGATIVE
        if not negative and (event.sid != sid or event.event_time > now):  # 2
            continue
        if event.type is ConsentEventType.REQUESTED:  # 4
            asked = event
        elif governing is None or _governs(event, governing):  # 3
            governing = event
    if governing is None:
        return Consent(State.REQUESTED, asked) if asked else Consent(State.NONE)
    if governing.type is ConsentEventType.GIVEN and _ended(governing, now, ttl):  # 5
        return Consent(State.EXPIRED, governing)
    return Consent(_STATES[governing.type], governing)


def _governs(event: ConsentEvent, other: ConsentEvent) -> bool:
    if event.event_time != other.event_time:
        return event.event_time > other.event_time
    return event.type in NEGATIVE or other.type not in NEGATIVE


def _ended(given: ConsentEvent, now: datetime, ttl: timedelta | None) -> bool:
    own = given.valid_until is not None and now >= given.valid_until
    return own or (ttl is not None and now >= given.event_time + ttl)
