"""One batch is read ahead, never more, and whatever ends the reader ends what is read for him."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from fujie.flows.ahead import ahead


class Source:
    """Numbers, each of which waits for its turn where there are turns; it knows what was asked for, and how it ended."""

    def __init__(self, most: int, fails_at: int = -1) -> None:
        self.most, self.fails_at = most, fails_at
        self.asked = 0
        self.was_cancelled = False
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        number, self.asked = self.asked, self.asked + 1
        try:
            await self.may_go_on.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        if number == self.fails_at:
            raise OSError("the store is gone")
        if number >= self.most:
            raise StopAsyncIteration
        return number


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_all_come_in_their_order_and_exactly_one_is_read_ahead() -> None:
    source, seen = Source(5), list[int]()
    async with aclosing(ahead(source)) as batches:
        async for batch in batches:
            await settled()
            assert source.asked == batch + 2
            seen.append(batch)
    assert seen == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("fails_at", [0, 1, 3])
async def test_what_fails_ahead_is_told_behind_what_came_before_it(fails_at: int) -> None:
    seen = list[int]()

    async def read() -> None:
        async with aclosing(ahead(Source(5, fails_at))) as batches:
            async for batch in batches:
                await settled()
                seen.append(batch)

    with pytest.raises(OSError, match="gone"):
        await read()
    assert seen == list(range(fails_at))


async def test_who_stops_early_leaves_nothing_that_reads() -> None:
    source = Source(5)
    async with aclosing(ahead(source)) as batches:
        assert await anext(batches) == 0
        source.may_go_on.clear()
        await settled()
    assert source.was_cancelled
    assert len(asyncio.all_tasks()) == 1


async def test_a_failure_that_nobody_comes_to_see_is_no_noise(caplog: pytest.LogCaptureFixture) -> None:
    async with aclosing(ahead(Source(5, 1))) as batches:
        assert await anext(batches) == 0
        await settled()
    await settled()
    assert caplog.records == []


async def test_who_is_cancelled_while_he_waits_ends_the_reading() -> None:
    source = Source(5)
    source.may_go_on.clear()

    async def read() -> None:
        async with aclosing(ahead(source)) as batches:
            await anext(batches)

    reading = asyncio.create_task(read())
    await settled()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert source.was_cancelled
    assert len(asyncio.all_tasks()) == 1
