"""Who is of one kind is decided alike: a kind tells all of time that a decision reads. Held against what reads the times."""

import random
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from fujie.decision.consent import Consent, bearing, consent_of
from fujie.decision.recipient import Reached, counting, recipient_facts
from fujie.model.consent import BareEvent, ConsentEventType
from fujie.model.limit import Cap
from fujie.model.message import Category, SentMessage
from fujie.model.vocabulary import State

NOW = datetime(2026, 11, 22, 4, 0, tzinfo=UTC)
TTL = timedelta(days=365)
MICRO = timedelta(microseconds=1)
EDGES = [NOW + shift for shift in (-MICRO, timedelta(), MICRO)]
TIMES = [*EDGES, *[edge - TTL for edge in EDGES], NOW - timedelta(days=9)]
TYPES = [*ConsentEventType, *[ConsentEventType.GIVEN] * 4]


def micros(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // MICRO


def told(found: Consent[BareEvent]) -> tuple[State, bool, bool]:
    return found.state, found.explicit, found.separate


def event(chance: random.Random) -> BareEvent:
    return BareEvent(
        "s", chance.choice(TYPES), chance.choice(TIMES), chance.choice(("any", "sms", "email")),
        chance.random() < 0.5, chance.random() < 0.5, chance.choice((None, None, *EDGES)),
    )  # fmt: skip


def test_customers_whose_events_bear_alike_have_the_same_state_of_consent() -> None:
    chance, met = random.Random(7), 0
    for ttl in (TTL, None):
        bears = bearing(NOW, ttl)
        states: dict[object, Any] = {}
        for _ in range(30_000):
            events = sorted(
                [event(chance) for _ in range(chance.choice((0, 1, 1, 1, 2)))], key=lambda e: e.event_time
            )
            kind = bears([
                (e.type.value, e.channel, e.explicit, e.separate, micros(e.event_time), micros(e.valid_until) if e.valid_until else None)
                for e in events
            ])  # fmt: skip
            state = [told(consent_of(events, "s", channel, NOW, ttl)) for channel in ("sms", "any")]
            met += kind in states
            assert states.setdefault(kind, state) == state
    assert met > 1_000, "else nobody was compared"


def test_customers_whose_messages_count_alike_have_the_same_caps_used_up() -> None:
    chance, counts, met = random.Random(7), counting(NOW), 0
    windows = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1))
    times = [edge - window for window in windows for edge in EDGES]
    guards: Any = [
        SimpleNamespace(counted_as=f"{cap}{most}", frequency={cap: most}) for cap in Cap for most in (1, 2)
    ]
    used: dict[object, object] = {}
    for _ in range(5_000):
        sent = [
            SentMessage(chance.choice(times), chance.choice(("this", "that")), chance.choice(list(Category)[:2]), False)
            for _ in range(chance.choice((1, 1, 2)))
        ]  # fmt: skip
        kind = counts([(each.category.value, each.content, micros(each.at)) for each in sent])
        facts = recipient_facts(guards, Reached("CN", (), sent, "this"), State.MARKETING, NOW)
        met += kind in used
        assert used.setdefault(kind, facts) == facts
    assert met > 1_000, "else nobody was compared"
