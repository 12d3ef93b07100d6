"""Whose turn it is to scan: two readers never keep out a third, and whoever goes away leaves nothing behind."""

import asyncio
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.adapters.stores.stream import SCANS, Turns


class Readers:
    """Readers at the turns of one store: each attempt is a task that holds its turn until it is let go."""

    def __init__(self, most: int) -> None:
        self.turns = Turns(most)
        self.tasks: list[tuple[str, asyncio.Task[None], asyncio.Event]] = []
        self.began: list[str] = []
        self.holding: Counter[str] = Counter()

    async def comes(self, reader: str) -> asyncio.Task[None]:
        end = asyncio.Event()

        async def read() -> None:
            async with self.turns.taken(reader):
                self.began.append(reader)
                self.holding[reader] += 1
                try:
                    await end.wait()
                finally:
                    self.holding[reader] -= 1

        task = asyncio.ensure_future(read())
        self.tasks.append((reader, task, end))
        await self.settle()
        return task

    async def settle(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    async def ends(self, number: int) -> None:
        self.tasks.pop(number)[2].set()
        await self.settle()

    async def leaves(self, number: int) -> None:
        """Go away, waiting or not; also in the very moment in which the turn came."""
        _, task, _ = self.tasks.pop(number)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await self.settle()

    async def all_end(self) -> None:
        while self.tasks:
            await self.ends(0)


async def test_two_readers_who_take_all_they_can_leave_a_turn_for_a_third() -> None:
    readers = Readers(SCANS)
    for who in ("a", "b") * SCANS:
        await readers.comes(who)
    assert readers.holding == {"a": 2, "b": 1}
    await readers.comes("a third")
    assert readers.holding["a third"] == 1
    await readers.comes("a fourth")
    assert readers.holding["a fourth"] == 0
    await readers.ends(0)
    assert readers.began[-1] == "a fourth", "who has none comes before who came earlier and has one"
    await readers.all_end()


@pytest.mark.parametrize("most", [1, 2, 3])
async def test_where_a_store_gives_few_turns_each_reader_has_one(most: int) -> None:
    readers = Readers(most)
    for who in ("a", "a", "b", "b", "c", "c"):
        await readers.comes(who)
    assert sorted(readers.began) == ["a", "b", "c"][:most]
    await readers.all_end()
    assert sorted(readers.began) == ["a", "a", "b", "b", "c", "c"]


ACTS = st.lists(
    st.one_of(
        st.tuples(st.just("comes"), st.sampled_from("abcd")),
        st.tuples(st.sampled_from(("ends", "leaves")), st.integers(0, 9)),
    ),
    max_size=40,
)


@settings(max_examples=40)
@given(st.integers(1, SCANS), ACTS)
def test_whoever_comes_and_goes_no_turn_is_lost_and_none_is_too_many(
    most: int, acts: list[tuple[str, str | int]]
) -> None:
    async def all_of_it() -> None:
        readers, half = Readers(most), max(1, most // 2)
        for act, of in acts:
            if isinstance(of, str):
                await readers.comes(of)
            elif readers.tasks:
                await (readers.ends if act == "ends" else readers.leaves)(of % len(readers.tasks))
            holding = +readers.holding
            assert holding.total() <= most
            assert max(holding.values(), default=0) <= half
            if holding.total() < most:
                assert {who for who, *_ in readers.tasks} == holding.keys(), (
                    "nobody without one waits for a free one"
                )
        await readers.all_end()
        for who in "ab":
            await readers.comes(who)
        assert (+readers.holding).total() == min(2, most)
        await readers.all_end()

    asyncio.run(all_of_it())


async def test_who_goes_away_as_his_turn_comes_gives_it_to_the_next() -> None:
    readers = Readers(1)
    await readers.comes("a")
    second = await readers.comes("b")
    await readers.comes("c")
    readers.tasks[0][2].set()
    await asyncio.sleep(0)  # the first one ends, and gives the turn to the second, who has not woken yet
    second.cancel()
    await readers.settle()
    assert readers.began == ["a", "c"]
    assert second.cancelled()
    await readers.all_end()
