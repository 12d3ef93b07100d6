"""Double opt-in: consent that is asked for by a message, and given by the answer of the number that was asked.

An answer is one word, so it can only agree to one thing: where requests for several purposes are open it agrees to none.
Silence is a refusal, and nobody is asked twice within the cool-down (`consent.may_be_asked`; MIIT Order 31, art. 18).
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from fujie.decision.consent import may_be_asked
from fujie.model.consent import NEGATIVE, Bearing, ConsentEvent, ConsentEventType
from fujie.model.suppression import Suppression
from fujie.model.vocabulary import ANY_CHANNEL

METHOD = "double_opt_in"
"""How such consents, and the requests for them, were collected: `ConsentEvent.collection_method`."""

OPEN_FOR = timedelta(days=3)
"""How long an answer is taken for one. Later it is as likely to be about something else; the number is ours."""


def may_ask(
    events: Iterable[Bearing],
    suppressions: Iterable[Suppression],
    sid: str,
    about: tuple[str, str],
    now: datetime,
) -> bool:
    """Tell whether a message may ask the customer `sid` for consent `about` a purpose on a channel.

    `events` are those of the purpose, `suppressions` those that stand, of every sid of the person.
    """
    purpose, channel = about
    return may_be_asked(events, sid, channel, now) and not is_closed(suppressions, purpose, channel)


def open_request(
    events: Sequence[ConsentEvent], suppressions: Sequence[Suppression], sid: str, now: datetime
) -> ConsentEvent | None:
    """Return the one request that a start word of the customer `sid` agrees to; None when it agrees to nothing.

    1. It was made by a message (`METHOD`), to this customer, within `OPEN_FOR`.
    2. Nothing was answered since, by anybody whose no counts, and no opt-out stands: what was refused comes back by no
       single word.
    3. It is the only one: of one purpose the last one counts, of several none.

    `events` are those of every purpose, of every sid of the person.
    """
    asked: dict[str, ConsentEvent] = {}
    for event in events:
        is_recent = now - OPEN_FOR < event.event_time <= now
        is_ours = event.type is ConsentEventType.REQUESTED and event.collection_method == METHOD
        if is_ours and event.sid == sid and is_recent:  # 1
            latest = asked.get(event.purpose)
            if latest is None or event.event_time >= latest.event_time:
                asked[event.purpose] = event
    waiting = [
        each
        for each in asked.values()
        if not any(_answers(event, each) for event in events)
        and not is_closed(suppressions, each.purpose, each.channel)  # 2
    ]
    return waiting[0] if len(waiting) == 1 else None  # 3


def _answers(event: ConsentEvent, request: ConsentEvent) -> bool:
    counts = event.type in NEGATIVE or (event.sid == request.sid and event.type is ConsentEventType.GIVEN)
    is_about = event.purpose == request.purpose and (
        event.channel == request.channel or ANY_CHANNEL in (event.channel, request.channel)
    )
    return counts and is_about and event.event_time >= request.event_time


def is_closed(suppressions: Iterable[Suppression], purpose: str, channel: str) -> bool:
    """Tell whether any opt-out touches it, under whatever name messages go out."""
    return any(
        each.lifted is None
        and each.scope.purpose in ("", purpose)
        and (channel == ANY_CHANNEL or each.scope.channel in ("", channel))
        for each in suppressions
    )
