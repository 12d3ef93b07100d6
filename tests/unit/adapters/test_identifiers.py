"""UUIDv7 as RFC 9562 has it: valid, ordered, unguessable, whatever the clock does."""

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from fujie.adapters.clock import SystemClock
from fujie.adapters.identifiers import SystemIdentifiers

START = datetime(2026, 3, 1, 9, 30, 0, 123_456, tzinfo=UTC)


class ScriptedClock:
    """A clock that shows the given moments one after the other, then the last one for ever."""

    def __init__(self, moments: Iterator[datetime]) -> None:
        self._moments = moments
        self._now = START

    def now(self) -> datetime:
        self._now = next(self._moments, self._now)
        return self._now

    def monotonic(self) -> float:
        return 0.0


@given(st.lists(st.integers(-(10**12), 10**12), max_size=30))
def test_ids_are_valid_and_ordered_however_the_clock_jumps(steps_us: list[int]) -> None:
    moments = (START + timedelta(microseconds=step) for step in steps_us)
    source = SystemIdentifiers(ScriptedClock(moments))
    ids = [source.new_id() for _ in range(len(steps_us) + 5)]
    assert ids == sorted(set(ids))
    for text in ids:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, parsed.hex) == (7, uuid.RFC_4122, text)


def test_the_head_is_the_millisecond_and_its_fraction() -> None:
    text = SystemIdentifiers(ScriptedClock(iter([START]))).new_id()
    assert int(text[:12], 16) == int(START.timestamp() * 1000)
    assert int(text[13:16], 16) == 456 * 4096 // 1000


def test_the_tail_is_fresh_even_when_time_stands_still() -> None:
    source = SystemIdentifiers(ScriptedClock(iter([START])))
    tails = {source.new_id()[17:] for _ in range(1000)}
    assert len(tails) == 1000
    seen_set = [sum(int(tail, 16) >> bit & 1 for tail in tails) for bit in range(60)]
    assert all(
        300 < ones < 700 for ones in seen_set
    )  # 12 standard deviations: a stuck bit is found, chance is not


def test_threads_never_get_the_same_id() -> None:
    source, drawn = SystemIdentifiers(SystemClock()), list[list[str]]()

    def draw() -> None:
        drawn.append([source.new_id() for _ in range(2000)])

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({text for ids in drawn for text in ids}) == 8000
    assert all(ids == sorted(ids) for ids in drawn)


def test_nonces_are_twelve_fresh_bytes() -> None:
    source = SystemIdentifiers(SystemClock())
    nonces = {source.nonce() for _ in range(1000)}
    assert len(nonces) == 1000
    assert {len(nonce) for nonce in nonces} == {12}
