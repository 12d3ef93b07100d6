"""One timer for all calls: who is late ends, who is not is left alone, and a cancellation stays one."""

import asyncio
import gc
from weakref import ref

import pytest

from fujie.transport.grpc.deadlines import TICK_S, Deadlines, Limit

LONG_S = 3_600.0


async def hang() -> str:
    await asyncio.Event().wait()
    return "never"


async def limited(deadlines: Deadlines, seconds: float) -> str:
    with deadlines.within(seconds):
        return await hang()


async def ticks(count: int) -> None:
    """Wait for so many ticks of a timer that was set before."""
    for _ in range(count):
        await asyncio.sleep(TICK_S)


async def test_who_is_late_ends_and_the_others_go_on() -> None:
    deadlines = Deadlines()
    patient = asyncio.create_task(limited(deadlines, LONG_S))
    for seconds in (0.0, -1.0, 0.01, 0.12):
        with pytest.raises(TimeoutError):
            await limited(deadlines, seconds)
    assert not patient.done()
    patient.cancel()
    await asyncio.wait({patient})
    assert patient.cancelled()


async def test_a_limit_takes_hold_within_a_tenth_of_a_second() -> None:
    loop, deadlines, held = asyncio.get_running_loop(), Deadlines(), asyncio.Event()
    tasks = [asyncio.create_task(limited(deadlines, seconds / 100)) for seconds in range(20)]
    await asyncio.sleep(0)
    has_ended: list[bool] = []

    def look() -> None:  # timers run in the order of their times, however late the loop is
        has_ended.extend(bool(task.done() or task.cancelling()) for task in tasks)
        held.set()

    loop.call_at(loop.time() + 0.19 + 0.1, look)
    await held.wait()
    assert has_ended == [True] * 20
    assert {type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)} == {TimeoutError}


async def test_work_in_time_leaves_nothing_behind_and_then_nothing_ticks() -> None:
    deadlines = Deadlines()
    limits: list[ref[Limit]] = []

    class Weak(Limit):
        __slots__ = ("__weakref__",)

    for _ in range(100):
        limit = Weak(deadlines, LONG_S)
        limits.append(ref(limit))
        with limit:
            await asyncio.sleep(0)
    with pytest.raises(KeyError), deadlines.within(LONG_S):
        raise KeyError
    del limit
    gc.collect()
    assert not any(limit() for limit in limits)
    assert deadlines._running == set()
    await ticks(2)
    assert not deadlines._is_ticking
    with pytest.raises(TimeoutError):  # and it starts again
        await limited(deadlines, 0.0)


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    deadlines = Deadlines()
    task = asyncio.create_task(limited(deadlines, LONG_S))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert deadlines._running == set()


@pytest.mark.parametrize("is_late_first", [True, False])
async def test_a_cancellation_in_the_moment_of_the_limit_stays_one(is_late_first: bool) -> None:
    deadlines = Deadlines()
    task = asyncio.create_task(limited(deadlines, 0.0))
    await asyncio.sleep(0)
    [limit] = deadlines._running
    deadlines.leave(limit)  # its tick would come too
    for act in (limit.expire, task.cancel) if is_late_first else (task.cancel, limit.expire):
        act()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_limits_nest_with_those_of_the_library() -> None:
    deadlines = Deadlines()
    with deadlines.within(LONG_S), pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await hang()
    async with asyncio.timeout(LONG_S):
        with pytest.raises(TimeoutError):
            await limited(deadlines, 0.0)
    with pytest.raises(TimeoutError), deadlines.within(0.0):
        async with asyncio.timeout(LONG_S):
            await hang()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_work_that_ends_by_itself_when_it_is_cancelled_keeps_its_outcome() -> None:
    deadlines = Deadlines()

    async def stubborn() -> str:
        with deadlines.within(0.0):
            try:
                return await hang()
            except asyncio.CancelledError:
                return "in the end"

    async def failing() -> None:
        with deadlines.within(0.0):
            try:
                await hang()
            except asyncio.CancelledError:
                raise KeyError from None

    assert await stubborn() == "in the end"
    with pytest.raises(KeyError):
        await failing()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
