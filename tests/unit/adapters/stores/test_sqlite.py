"""A store in an SQLite file: types per row, where a look-up runs, files that change under it."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.adapters.clock import SystemClock
from fujie.adapters.stores.sqlite import SQLiteFile
from fujie.adapters.stores.store import SQLStore, open_store
from fujie.adapters.stores.table import StoreTable
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import StartError, StoreError
from fujie.model.record import Fetched, open_for_masking

Open = Callable[..., Awaitable[SQLStore]]
COLUMNS = "phone, name, minor, department, note"
TEXT_7 = "'7'"
SCHEMA = """
CREATE TABLE customers (id TEXT PRIMARY KEY, phone TEXT, name TEXT, minor INTEGER, department TEXT, note);
CREATE INDEX by_phone ON customers (phone);
INSERT INTO customers VALUES ('C-1', '+8613800138000', '欧阳 一', 0, 'east', NULL);
"""


def fill(path: Path, script: str) -> None:
    raw = sqlite3.connect(path)
    raw.executescript(script)
    raw.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
async def opened(path: Path) -> AsyncIterator[Open]:
    stores: list[SQLStore] = []

    async def opened(script: str = SCHEMA, **changes: Any) -> SQLStore:
        fill(path, script)
        mapped: dict[str, Any] = {
            "name": "crm", "url": f"sqlite:///{path}", "table": "customers", "customer_id": "id", "phone": "phone",
            "fields": {"name": "name", "phone": "phone", "note": "note"},
            "attributes": {"minor": "minor", "owner_department": "department"},
        }  # fmt: skip
        stores.append(await open_store(StoreTable(**{**mapped, **changes}), SystemClock()))
        return stores[-1]

    yield opened
    for store in stores:
        await store.close()


async def fetch(store: SQLStore, ref: CustomerRef, timeout_s: float = 5.0) -> list[Fetched]:
    return list(await store.fetch(ref, store.fields, store.attributes, timeout_s))


async def ids(store: SQLStore, ref: CustomerRef) -> list[str]:
    return [row.key.customer_id for row in await fetch(store, ref)]


def key(customer_id: str) -> StoreKey:
    return StoreKey("crm", customer_id)


@pytest.mark.parametrize("column", ["INTEGER PRIMARY KEY", "NUMERIC", "INT", ""])
async def test_a_second_spelling_of_a_number_finds_nobody(opened: Open, column: str) -> None:
    store = await opened(
        f"CREATE TABLE customers (id {column}, {COLUMNS}); INSERT INTO customers (id) VALUES ({7 if column else TEXT_7})"
    )
    assert await ids(store, key("7")) == ["7"]
    for spelling in ("07", "7.0", " 7", "7 ", "+7", "7e0", "0x7"):
        assert await fetch(store, key(spelling)) == []


@pytest.mark.parametrize("stored", ["NULL", "''", "1.5", "x'01'", "CAST(x'ff' AS TEXT)"])
async def test_a_row_that_cannot_be_named_is_an_error(opened: Open, stored: str) -> None:
    store = await opened(
        f"CREATE TABLE customers (id, {COLUMNS}); INSERT INTO customers (id, phone) VALUES ({stored}, '+8613800138000')"
    )
    with pytest.raises(StoreError):
        await fetch(store, Phone("+8613800138000"))


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("NULL", None),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1.5", 1.5),
        ("x'00ff'", b"\x00\xff"),
        ("'2026-02-30'", "2026-02-30"),
        ("''", ""),
        ("CAST(x'610062' AS TEXT)", "a\0b"),
        ("CAST(x'eda080' AS TEXT)", "\ufffd\ufffd\ufffd"),
        ("CAST(x'61ff' AS TEXT)", "a\ufffd"),
        ("'😀'", "😀"),
    ],
)
async def test_values_come_as_they_are_and_text_is_always_text(
    opened: Open, literal: str, expected: object
) -> None:
    store = await opened(
        "CREATE TABLE customers (id TEXT, phone, name DATE, minor BOOLEAN, department, note);"
        f"INSERT INTO customers VALUES ('1', {literal}, {literal}, {literal}, {literal}, {literal})"
    )
    [row] = await fetch(store, key("1"))
    values = open_for_masking(row.record)
    assert values == {"name": expected, "phone": expected, "note": expected}
    assert row.attributes == {"minor": expected, "owner_department": expected}
    for value in values.values():
        assert not isinstance(value, str) or value.encode().decode() == value


@settings(max_examples=40)
@given(
    customer_id=st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: "\ufffd" not in text),
    value=st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.binary()
    | st.text(st.characters(codec="utf-8")),
)
def test_any_id_and_any_value_come_back(path: Path, customer_id: str, value: object) -> None:
    raw = sqlite3.connect(path)
    raw.execute("DROP TABLE IF EXISTS customers")
    raw.execute("CREATE TABLE customers (id TEXT PRIMARY KEY, value)")
    raw.execute("INSERT INTO customers VALUES (?, ?)", (customer_id, value))
    raw.commit()
    raw.close()

    async def run() -> list[Fetched]:
        table = StoreTable("crm", f"sqlite:///{path}", "customers", "id", fields={"value": "value"})
        store = await open_store(table, SystemClock())
        found = await fetch(store, key(customer_id))
        await store.close()
        return found

    [row] = asyncio.run(run())
    assert row.key.customer_id == customer_id
    assert open_for_masking(row.record) == {"value": value}


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all.db", "sqlite:///{text}"])
async def test_a_file_that_is_no_database_is_refused(opened: Open, tmp_path: Path, url: str) -> None:
    (tmp_path / "text").write_text("no database" * 200)
    with pytest.raises(StartError) as refused:
        await opened(url=url.format(text=tmp_path / "text"))
    assert refused.value.code == "STORE_MISMATCH"


async def test_a_file_that_was_replaced_is_not_read_any_more(opened: Open, path: Path) -> None:
    store = await opened()
    assert await ids(store, key("C-1")) == ["C-1"]
    fill(path.with_name("other.db"), SCHEMA)
    os.replace(path.with_name("other.db"), path)
    outcome: object = None
    async with asyncio.timeout(30):
        while not isinstance(outcome, StoreError):  # the look may be a tenth of a second old
            [outcome] = await asyncio.gather(fetch(store, key("C-1")), return_exceptions=True)


# Where a look-up runs.

ENDLESS = """
CREATE TABLE customers (id TEXT PRIMARY KEY, phone TEXT);
CREATE VIEW endless AS
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'C-' || i AS id, NULL AS phone FROM n WHERE i < 0;
"""


class Ahead(SystemClock):
    """A monotonic clock that is ahead by what the test says."""

    by_s = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.by_s


async def test_an_endless_statement_stops_at_the_deadline_and_the_loop_goes_on(opened: Open) -> None:
    store, clock = await opened(ENDLESS, table="endless", fields={}, attributes={}), Ahead()
    assert isinstance(store._source, SQLiteFile)
    store._clock = store._source._clock = clock
    task = asyncio.ensure_future(fetch(store, key("C-1"), 600.0))
    for _ in range(6):
        await asyncio.sleep(0.01)
        assert not task.done()
    clock.by_s = 601.0
    with pytest.raises(StoreError) as failed:
        await task
    assert failed.value.code == "STORE_TIMEOUT"


async def test_more_endless_statements_than_threads_all_end(opened: Open) -> None:
    store = await opened(ENDLESS, table="endless", fields={}, attributes={})
    calls = [fetch(store, key("C-1"), 0.2) for _ in range(20)]
    async with asyncio.timeout(30):
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert {getattr(result, "code", "") for result in results} == {"STORE_TIMEOUT"}


def store_threads(store: SQLStore) -> int:
    """Return how many threads this store has begun; those of other tests may still end."""
    assert isinstance(store._source, SQLiteFile)
    return len(store._source._pool._threads)


MANY = (
    SCHEMA
    + """
WITH RECURSIVE n (i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO customers SELECT 'C-' || i, '+86' || (13000000000 + i), 'n', 0, 'd', NULL FROM n;
"""
)


async def test_an_indexed_look_up_stays_on_the_loop(opened: Open) -> None:
    store = await opened(MANY)
    for n in range(10, 400):  # SQLite counts the instructions of a statement over all its runs
        assert await ids(store, key(f"C-{n}")) == [f"C-{n}"]
        assert await ids(store, Phone(f"+86{13000000000 + n}")) in ([], [f"C-{n}"])
    assert store_threads(store) == 0


async def test_a_scan_runs_in_threads_and_finds_the_same(opened: Open) -> None:
    store = await opened(MANY + "DROP INDEX by_phone;", connections=4)
    found = await asyncio.gather(
        *(ids(store, Phone(f"+86{13800000000 + n}")) for n in (138000, 7, 8, 9, 10, 11))
    )
    assert found == [["C-1"], [], [], [], [], []]
    assert 1 <= store_threads(store) <= 4
    assert await ids(store, key("C-11")) == ["C-11"]


async def test_a_thread_that_ran_into_a_deadline_is_good_for_the_next(opened: Open) -> None:
    store = await opened(MANY + "DROP INDEX by_phone;")
    refs = [Phone(f"+86{13800000000 + n}") for n in range(40)]
    hasty = await asyncio.gather(*(fetch(store, ref, 0.001) for ref in refs), return_exceptions=True)
    assert {getattr(result, "code", "found") for result in hasty} <= {"STORE_TIMEOUT", "found"}
    assert await asyncio.gather(*(ids(store, Phone("+8613800138000")) for _ in range(40))) == [["C-1"]] * 40


async def test_an_index_that_is_dropped_moves_the_look_up_to_the_threads(opened: Open, path: Path) -> None:
    store = await opened(MANY, connections=1)
    assert await ids(store, Phone("+8613800138000")) == ["C-1"]
    assert store_threads(store) == 0
    fill(path, "DROP INDEX by_phone")
    assert await ids(store, Phone("+8613800138000")) == ["C-1"]
    assert store_threads(store) == 1


async def test_ever_new_long_statements_do_not_pile_up(opened: Open) -> None:
    store = await opened()
    source = store._source
    assert isinstance(source, SQLiteFile)
    endless = (
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n WHERE i < 0"
    )
    for n in range(600):
        assert source._on_loop(endless.format(n), ()) is None
    assert len(source._long) <= 512


async def test_what_another_process_commits_is_seen_at_once(opened: Open, path: Path) -> None:
    for journal in ("WAL", "DELETE"):
        store = await opened(f"PRAGMA journal_mode = {journal}; DROP TABLE IF EXISTS customers;" + SCHEMA)
        for n in range(5):
            fill(path, f"UPDATE customers SET name = 'v{n}' WHERE id = 'C-1'")
            assert open_for_masking((await fetch(store, key("C-1")))[0].record)["name"] == f"v{n}"
        await store.close()
