"""Rate, concurrency and circuit, around the file outbox: it refuses while its directory is missing."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.adapters.providers.outbox_file import FileOutbox
from fujie.adapters.providers.paced import Paced
from fujie.model.customer import Phone
from fujie.ports.providers import Acceptance, Outgoing


class Time:
    """A clock that only `sleep` moves."""

    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=self.at)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds
        await asyncio.sleep(0)


@pytest.fixture
def time() -> Time:
    return Time()


def _paced(path: Path, time: Time, rate: float = 1000.0, concurrency: int = 4) -> Paced:
    return Paced(FileOutbox("outbox", path, time), rate, concurrency, time, time.sleep)


def _messages(count: int = 1) -> list[Outgoing]:
    return [Outgoing(f"i{n}", Phone("+8613800138000"), "符节", "hello") for n in range(count)]


async def _sent(paced: Paced, count: int = 1) -> Acceptance | None:
    """Submit when ready, and return what became of it; None when it was not ready."""
    if not await paced.ready(count):
        return None
    return (await paced.submit(_messages(count)))[0].acceptance


@given(st.integers(1, 50), st.lists(st.tuples(st.integers(1, 50), st.floats(0, 3)), max_size=30))
def test_no_second_has_more_than_two_of_its_rate(rate: int, asked: list[tuple[int, float]]) -> None:
    """A second's worth may have been saved up, and a second's worth comes anew."""
    time = Time()
    given_at: list[float] = []

    async def ask() -> None:
        paced = _paced(Path("unused"), time, float(rate), concurrency=1000)
        for count, pause in asked:
            time.at += pause
            count = min(count, paced.most)
            if await paced.ready(count):
                given_at.extend([time.at] * count)

    asyncio.run(ask())
    for start in given_at:
        assert sum(start <= at < start + 1 for at in given_at) <= 2 * rate + 1


@given(st.floats(0.1, 500), st.integers(1, 600), st.integers(0, 20))
def test_ready_never_waits_longer_than_a_second(rate: float, count: int, before: int) -> None:
    time = Time()

    async def ask() -> None:
        paced = _paced(Path("unused"), time, rate)
        for _ in range(before):
            await paced.ready(1)
        started = time.at
        await paced.ready(count)
        assert time.at <= started + 1.0

    asyncio.run(ask())


async def test_a_full_submission_is_ready_again_within_a_second(tmp_path: Path, time: Time) -> None:
    paced = _paced(tmp_path / "out", time, rate=10)
    assert paced.most == 10
    assert [await _sent(paced, 10) for _ in range(5)] == [Acceptance.ACCEPTED] * 5
    assert time.at == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize(("rate", "most"), [(0.2, 1), (1, 1), (7.9, 7), (500, 500), (10_000, 500)])
def test_no_submission_is_more_than_a_second_or_than_the_provider_takes(
    time: Time, rate: float, most: int
) -> None:
    assert _paced(Path("unused"), time, rate).most == most


async def test_only_so_many_are_under_way_and_the_next_is_answered_at_once(
    tmp_path: Path, time: Time
) -> None:
    paced = _paced(tmp_path / "out", time, concurrency=2)
    assert await paced.ready(1)
    assert await paced.ready(1)
    assert not await paced.ready(1)
    running = [asyncio.create_task(paced.submit(_messages())) for _ in range(2)]
    await asyncio.sleep(0)
    assert [each.code for each in await paced.submit(_messages(2))] == ["BUSY", "BUSY"]
    assert [(await each)[0].acceptance for each in running] == [Acceptance.ACCEPTED] * 2
    assert (await paced.submit(_messages()))[0].acceptance is Acceptance.ACCEPTED


async def test_a_place_that_nobody_takes_is_free_again_after_two_seconds(
    time: Time, tmp_path: Path
) -> None:
    paced = _paced(tmp_path / "out", time, concurrency=1)
    assert await paced.ready(1)
    assert not await paced.ready(1)
    time.at += 1.5
    assert await paced.ready(1)


async def test_a_cancelled_submission_gives_its_place_back(time: Time, tmp_path: Path) -> None:
    paced = _paced(tmp_path / "out", time, concurrency=1)
    assert await paced.ready(1)
    running = asyncio.create_task(paced.submit(_messages()))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await paced.ready(1)


@pytest.fixture
def absent(tmp_path: Path) -> Path:
    return tmp_path / "later" / "out"


async def test_five_failures_open_the_circuit_and_one_success_closes_it(absent: Path, time: Time) -> None:
    paced = _paced(absent, time)
    assert [await _sent(paced) for _ in range(6)] == [Acceptance.RETRY] * 5 + [None]
    opened_at = time.at
    absent.parent.mkdir()
    time.at = opened_at + 9.9
    assert await _sent(paced) is None
    time.at = opened_at + 10.0
    assert await paced.ready(1)
    assert not await paced.ready(1), "half open, a second submission at a time"
    assert (await paced.submit(_messages()))[0].acceptance is Acceptance.ACCEPTED
    assert [await paced.ready(1) for _ in range(4)] == [True] * 4


async def test_a_failed_probe_opens_the_circuit_again(absent: Path, time: Time) -> None:
    paced = _paced(absent, time)
    for _ in range(5):
        await _sent(paced)
    time.at += 10.0
    assert await _sent(paced) is Acceptance.RETRY
    assert await _sent(paced) is None


async def test_failures_that_are_not_in_a_row_open_nothing(absent: Path, time: Time) -> None:
    paced = _paced(absent, time)
    for _ in range(4):
        await _sent(paced)
    absent.parent.mkdir()
    assert await _sent(paced) is Acceptance.ACCEPTED
    absent.parent.rename(absent.parent.with_name("gone"))
    assert [await _sent(paced) for _ in range(5)] == [Acceptance.RETRY] * 5


async def test_an_open_circuit_refuses_without_waiting(absent: Path, time: Time) -> None:
    paced = _paced(absent, time)
    for _ in range(5):
        await _sent(paced)
    before = time.at
    assert not await paced.ready(1)
    assert time.at == before
