"""Look-ups that go in together: none is lost, none overtakes, nobody is held without need."""

import asyncio

import pytest

from fujie.transport.grpc import gathering as module
from fujie.transport.grpc.gathering import MOST_TOGETHER, Gathering


@pytest.fixture(autouse=True)
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No timer comes to anybody's help, but where a test says so."""
    monkeypatch.setattr(module, "WAIT_S", 3600.0)


def crowded() -> Gathering:
    return Gathering(lambda: True)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def entering(gathering: Gathering, order: list[int], number: int) -> "asyncio.Task[None]":
    async def enter() -> None:
        await gathering.enter()
        order.append(number)

    return asyncio.ensure_future(enter())


async def test_who_finds_nobody_inside_waits_for_nothing() -> None:
    gathering = crowded()
    for _ in range(3):
        await asyncio.wait_for(gathering.enter(), 5)
        gathering.leave()


async def test_nobody_waits_while_there_is_cpu_to_spare() -> None:
    gathering = Gathering(lambda: False)
    for _ in range(2 * MOST_TOGETHER):
        await asyncio.wait_for(gathering.enter(), 5)


async def test_the_last_who_leaves_lets_in_all_who_wait_in_their_order() -> None:
    gathering, order = crowded(), list[int]()
    await gathering.enter()
    waiting = [entering(gathering, order, number) for number in range(5)]
    await settled()
    assert order == []
    gathering.leave()
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert order == [0, 1, 2, 3, 4]


async def test_enough_go_in_together_whoever_is_inside() -> None:
    gathering, order = crowded(), list[int]()
    await gathering.enter()
    waiting = [entering(gathering, order, number) for number in range(MOST_TOGETHER)]
    await settled()
    assert order == list(range(MOST_TOGETHER))
    waiting += [entering(gathering, order, MOST_TOGETHER + number) for number in range(3)]
    await settled()
    assert order == list(range(MOST_TOGETHER))
    for _ in range(MOST_TOGETHER + 1):
        gathering.leave()
    await asyncio.wait_for(asyncio.gather(*waiting), 5)
    assert order == list(range(MOST_TOGETHER + 3))


async def test_who_is_held_by_a_slow_store_holds_others_for_a_moment_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.001)
    gathering = crowded()
    await gathering.enter()  # and never leaves
    await asyncio.wait_for(asyncio.gather(*(gathering.enter() for _ in range(3))), 5)


async def test_nobody_overtakes_who_waits_when_the_crowd_is_gone() -> None:
    is_crowded = [True]
    gathering, order = Gathering(lambda: is_crowded[0]), list[int]()
    await gathering.enter()
    first = entering(gathering, order, 0)
    await settled()
    is_crowded[0] = False
    second = entering(gathering, order, 1)
    await settled()
    assert order == []
    gathering.leave()
    await asyncio.wait_for(asyncio.gather(first, second), 5)
    assert order == [0, 1]


@pytest.mark.parametrize("is_let_in", [False, True])
async def test_a_call_cancelled_at_the_door_leaves_no_trace(is_let_in: bool) -> None:
    """Also one that was let in and did not run yet: were it counted, nobody would ever be the last."""
    gathering, order = crowded(), list[int]()
    await gathering.enter()
    gone, stays = entering(gathering, order, 0), entering(gathering, order, 1)
    await settled()
    if is_let_in:
        gathering.leave()
        gone.cancel()
    else:
        gone.cancel()
        await settled()
        gathering.leave()
    await asyncio.wait_for(stays, 5)
    assert gone.cancelled()
    assert order == [1]
    later = entering(gathering, order, 2)  # waits for the one inside, and for nobody else
    await settled()
    assert order == [1]
    gathering.leave()
    await asyncio.wait_for(later, 5)
    gathering.leave()
    await asyncio.wait_for(gathering.enter(), 5)


async def test_how_long_a_call_was_held_is_told_and_of_no_other() -> None:
    held: list[float] = []
    gathering = Gathering(lambda: True, held.append)
    await gathering.enter()
    assert held == []
    waits = entering(gathering, [], 1)
    await settled()
    gathering.leave()
    await waits
    assert len(held) == 1
    assert held[0] >= 0
