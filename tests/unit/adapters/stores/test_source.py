"""Replicas take turns, and nobody gets an error while the primary answers."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from fujie.adapters.clock import SystemClock
from fujie.adapters.stores.scanning import Selection
from fujie.adapters.stores.source import REST_S, ReplicasFirst, Stream
from fujie.adapters.stores.store import open_store
from fujie.adapters.stores.table import StoreTable
from fujie.model.customer import StoreKey
from fujie.model.errors import StoreError
from fujie.ports.stores import Scan
from support import mariadb, postgresql


class At:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> Any:
        raise NotImplementedError


class Rows:
    """A source that answers with its name, or fails."""

    def __init__(self, name: str, error: StoreError | None = None) -> None:
        self.name = name
        self.error = error
        self.deadlines: list[float] = []
        self.is_closed = False

    async def rows(
        self, text: str, arguments: Sequence[object], deadline: float
    ) -> Sequence[Sequence[Any]]:
        self.deadlines.append(deadline)
        if self.error:
            raise self.error
        return [(self.name,)]

    async def open_scan(self, selection: Selection, size: int, deadline: float) -> Stream:
        await self.rows(selection.after, (), deadline)
        return Named(self.name)

    async def close(self) -> None:
        self.is_closed = True


class Named:
    """A stream of one row: the name of its source."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def more(self, deadline: float) -> Sequence[Sequence[Any]]:
        return [(self.name, deadline)]

    async def end(self) -> None:
        raise NotImplementedError


async def names(source: ReplicasFirst, times: int) -> list[str]:
    return [(await source.rows("", (), 110.0))[0][0] for _ in range(times)]


async def test_replicas_take_turns_and_the_primary_rests() -> None:
    source = ReplicasFirst([Rows("a"), Rows("b")], primary := Rows("p"), At())
    assert sorted(await names(source, 4)) == ["a", "a", "b", "b"]
    assert primary.deadlines == []


@pytest.mark.parametrize("code", ["STORE_UNAVAILABLE", "STORE_TIMEOUT"])
async def test_the_primary_stands_in_and_the_replica_is_tried_again_later(code: str) -> None:
    clock = At()
    bad, primary = Rows("a", StoreError(code=code)), Rows("p")
    source = ReplicasFirst([bad], primary, clock)
    assert await names(source, 3) == ["p", "p", "p"]
    assert (bad.deadlines, primary.deadlines) == ([105.0], [110.0] * 3)  # half of the time, and once
    bad.error = None
    clock.seconds += REST_S
    assert await names(source, 1) == ["a"]


async def test_a_scan_is_opened_like_a_look_up_and_stays_where_it_is() -> None:
    clock = At()
    bad, primary = Rows("a", StoreError()), Rows("p")
    source = ReplicasFirst([bad], primary, clock)
    nobody = Selection(None, {}, "")  # type: ignore[arg-type]  # no source of this test makes a statement
    for _ in range(2):
        stream = await source.open_scan(nobody, 10, 110.0)
        assert await stream.more(110.0) == [("p", 110.0)]
    assert (bad.deadlines, primary.deadlines) == ([105.0], [110.0] * 2)
    bad.error = None
    clock.seconds += REST_S
    stream = await source.open_scan(nobody, 10, 110.0)
    bad.error = StoreError()
    assert await stream.more(110.0) == [("a", 110.0)]


async def test_when_nobody_answers_the_error_is_the_primary_s() -> None:
    source = ReplicasFirst(
        [Rows("a", StoreError("a"))], Rows("p", StoreError("p", code="STORE_TIMEOUT")), At()
    )
    with pytest.raises(StoreError) as failed:
        await source.rows("", (), 110.0)
    assert failed.value.code == "STORE_TIMEOUT"


async def test_all_are_closed() -> None:
    all_of = [Rows("a"), Rows("b"), Rows("p")]
    await ReplicasFirst(all_of[:2], all_of[2], At()).close()
    assert all(each.is_closed for each in all_of)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
async def test_a_real_replica_is_read_and_one_that_is_gone_is_not_missed(kind: str) -> None:
    server = postgresql if kind == "postgresql" else mariadb
    with server.database() as first, server.database() as second:
        for name, value in ((first, "primary"), (second, "replica")):
            server.server().execute(
                "CREATE TABLE customers (id VARCHAR(9) PRIMARY KEY, at VARCHAR(9))",
                f"INSERT INTO customers VALUES ('C-1', '{value}')",
                database=name,
            )
        url = server.server().url
        seen = []
        for replicas in ((url(second),), (url(second), url("gone"))):
            table = StoreTable(
                "crm", url(first), "customers", "id", attributes={"at": "at"}, replicas=replicas
            )
            store = await open_store(table, SystemClock())
            async with asyncio.timeout(30):
                for _ in range(4):
                    [row] = await store.fetch(StoreKey("crm", "C-1"), frozenset(), frozenset({"at"}), 5.0)
                    seen.append(row.attributes["at"])
            async with store.scan(Scan(frozenset(), frozenset({"at"})), 10.0) as found:
                seen += [row.attributes["at"] async for batch in found for row in batch]
            await store.close()
        assert seen.pop(4) == "replica"
        assert seen[:4] == ["replica"] * 4
        assert set(seen[4:]) == {"replica", "primary"}
