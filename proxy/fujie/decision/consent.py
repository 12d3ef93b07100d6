"""The state of consent, derived from events at the moment of the decision. Never stored, so it can not be stale."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Generic, NamedTuple, TypeVar

from fujie.model.consent import NEGATIVE, Bearing, ConsentEventType
from fujie.model.vocabulary import ANY_CHANNEL, State

_STATES = {
    ConsentEventType.GIVEN: State.GIVEN,
    ConsentEventType.REFUSED: State.REFUSED,
    ConsentEventType.WITHDRAWN: State.WITHDRAWN,
    ConsentEventType.INVALIDATED: State.INVALIDATED,
}

_Event = TypeVar("_Event", bound=Bearing)


class Consent(NamedTuple, Generic[_Event]):
    """The derived state, and the event that governs it."""

    state: State
    governing: _Event | None = None

    @property
    def explicit(self) -> bool:
        """Tell whether consent stands that was given by a clear act; false whenever the state is not GIVEN."""
        return self._given is not None and self._given.explicit

    @property
    def separate(self) -> bool:
        """Tell whether a separate consent stands; false whenever the state is not GIVEN."""
        return self._given is not None and self._given.separate

    @property
    def _given(self) -> _Event | None:
        return self.governing if self.state is State.GIVEN else None


def consent_of(
    events: Iterable[_Event], sid: str, channel: str, now: datetime, ttl: timedelta | None
) -> Consent[_Event]:
    """Derive the state of one purpose and channel for the customer `sid`.

    1. An event counts when it is for this channel or for any.
    2. Negative events count from every sid that `events` holds (aliases of one person); positive ones
       only from `sid`, and not before their time.
    3. The latest by event_time governs; at the same time a negative one does (PIPL art. 15).
    4. A request for consent changes nothing that was answered.
    5. A consent ends at its own `valid_until` or `ttl` after it was given, whichever is first.

    No event at all is NONE. `events` come in order of arrival for equal times.
    """
    governing: _Event | None = None
    asked: _Event | None = None
    for event in events:
        of = event.channel
        if of != channel and of != ANY_CHANNEL:  # 1
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


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

Event = tuple[str, str, bool, bool, int, int | None]
"""Type, channel, explicit, separate, event time and own end of an event, both in microseconds since 1970."""


def bearing(now: datetime, ttl: timedelta | None) -> Callable[[Sequence[Event]], tuple[object, ...]]:
    """Return what tells how events bear on the state of consent at `now`: where it says the same of two customers, so does
    `consent_of`, of all channels, if all events are the customer's own. The events come in order of time, then of arrival.

    Of time, `consent_of` sees which event is later, whether one is still to come, and whether it ended.
    """
    moment = (now - _EPOCH) // _MICROSECOND
    ended = moment - (ttl or timedelta.max) // _MICROSECOND

    def bears(events: Sequence[Event]) -> tuple[object, ...]:
        if len(events) == 1:
            [(kind, channel, explicit, separate, at, until)] = events
            is_over = at <= ended or (until is not None and until <= moment)
            return kind, channel, explicit, separate, at > moment, is_over
        found: list[object] = []
        last = None
        for kind, channel, explicit, separate, at, until in events:
            is_over = at <= ended or (until is not None and until <= moment)
            found += (kind, channel, explicit, separate, at > moment, is_over, at == last)
            last = at
        return tuple(found)

    return bears


COOLDOWN = timedelta(days=30)
"""After a refusal nobody is asked again for so long: "no frequent re-asking" (NDSR 22(5)) names no number, this one
is ours. A request without an answer counts as refused (MIIT Order 31 art. 18, kept as a floor)."""


def may_be_asked(events: Iterable[Bearing], sid: str, channel: str, now: datetime) -> bool:
    """Tell whether the customer `sid` may be asked for consent by us.

    Not within COOLDOWN after a refusal or an unanswered request; never after a withdrawal that no later consent
    lifted: the customer knows where to find us (CPL 29, PIPL 15). Who asks for every channel asks for each: a no
    for one of them counts. `events` are as for `consent_of`.
    """
    given = withdrawn = datetime.min.replace(tzinfo=UTC)
    for event in events:
        is_covered = event.channel in (channel, ANY_CHANNEL)
        if not is_covered and channel != ANY_CHANNEL:
            continue
        if event.type in (ConsentEventType.REFUSED, ConsentEventType.REQUESTED):
            if event.event_time > now - COOLDOWN:
                return False
        elif event.type is ConsentEventType.WITHDRAWN:
            withdrawn = max(withdrawn, event.event_time)
        elif event.type is ConsentEventType.GIVEN and event.sid == sid and is_covered:
            given = max(given, event.event_time)
    return withdrawn < given or withdrawn == datetime.min.replace(tzinfo=UTC)


def _governs(event: Bearing, other: Bearing) -> bool:
    if event.event_time != other.event_time:
        return event.event_time > other.event_time
    return event.type in NEGATIVE or other.type not in NEGATIVE


def end_of(given: Bearing, ttl: timedelta | None) -> datetime | None:
    """Return when a consent ends: at its own `valid_until` or `ttl` after it was given, whichever is first; None: never."""
    by_ttl = given.event_time + ttl if ttl is not None else None
    own = given.valid_until
    return min(own, by_ttl) if own and by_ttl else own or by_ttl


def _ended(given: Bearing, now: datetime, ttl: timedelta | None) -> bool:
    own = given.valid_until is not None and now >= given.valid_until
    return own or (ttl is not None and now >= given.event_time + ttl)
