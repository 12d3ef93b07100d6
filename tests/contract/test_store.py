"""What every customer store must do (`ports.CustomerStore`), run against each adapter.

An adapter joins by a line in `ADAPTERS`: a function that fills a database by a script and gives its url.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fujie.adapters.clock import SystemClock
from fujie.adapters.stores.sql import SQLStore
from fujie.adapters.stores.table import PhoneFormat, StoreTable
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import StartError, StoreError
from fujie.model.phone import normalise
from fujie.model.record import open_for_masking
from fujie.ports import Fetched

Open = Callable[..., SQLStore]

NOTHING: frozenset[str] = frozenset()
SCHEMA = """
CREATE TABLE customers (id TEXT PRIMARY KEY, phone TEXT, name TEXT, minor INTEGER, department TEXT, note);
CREATE INDEX by_phone ON customers (phone);
INSERT INTO customers VALUES
    ('C-1', '+8613800138000', '欧阳 一', 0, 'east', NULL),
    ('C-2', '+8613900139000', '王 二', 1, 'west', 'x'),
    ('C-3', '+8613900139000', '李 三', NULL, NULL, 'y'),
    ('C-4', '+8613900139000', '赵 四', NULL, NULL, 'z'),
    ('C-5', NULL, '钱 五', 0, '', ''),
    ('C-6', 'ask me', '孙 六', 0, 'east', 0);
"""


def sqlite(directory: Path, script: str) -> str:
    raw = sqlite3.connect(directory / "store.db")
    raw.executescript(script)
    raw.close()
    return f"sqlite:///{directory}/store.db"


ADAPTERS = {"sqlite": sqlite}


@pytest.fixture(params=list(ADAPTERS.values()), ids=list(ADAPTERS))
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    stores: list[SQLStore] = []

    def opened(script: str = SCHEMA, **changes: Any) -> SQLStore:
        url = request.param(tmp_path, script)
        mapped: dict[str, Any] = {
            "name": "crm", "url": url, "table": "customers", "customer_id": "id", "phone": "phone",
            "fields": {"name": "name", "phone": "phone", "note": "note"},
            "attributes": {"minor": "minor", "owner_department": "department"},
        }  # fmt: skip
        stores.append(SQLStore(StoreTable(**{**mapped, **changes}), SystemClock()))
        return stores[-1]

    yield opened
    for store in stores:
        store.close()


async def fetch(store: SQLStore, ref: CustomerRef, timeout_s: float = 5.0) -> list[Fetched]:
    return list(await store.fetch(ref, store.fields, store.attributes, timeout_s))


def values(row: Fetched) -> Mapping[str, object]:
    return open_for_masking(row.record)


async def ids(store: SQLStore, ref: CustomerRef) -> list[str]:
    return [row.key.customer_id for row in await fetch(store, ref)]


def key(customer_id: str) -> StoreKey:
    return StoreKey("crm", customer_id)


# What is found.


@pytest.mark.parametrize("ref", [key("C-1"), Phone("+8613800138000")])
async def test_a_customer_comes_with_fields_attributes_and_number(opened: Open, ref: CustomerRef) -> None:
    [row] = await fetch(opened(), ref)
    assert row.key == key("C-1")
    assert values(row) == {"name": "欧阳 一", "phone": "+8613800138000", "note": None}
    assert row.attributes == {"minor": 0, "owner_department": "east"}
    assert row.phone == "+8613800138000"


async def test_only_what_was_asked_for_comes(opened: Open) -> None:
    store = opened()
    [row] = await store.fetch(key("C-1"), frozenset({"name"}), frozenset({"minor"}), 1.0)
    assert (values(row), row.attributes) == ({"name": "欧阳 一"}, {"minor": 0})
    [row] = await store.fetch(key("C-1"), NOTHING, NOTHING, 1.0)
    assert (values(row), row.attributes, row.phone) == ({}, {}, "+8613800138000")


async def test_what_is_not_mapped_is_an_error(opened: Open) -> None:
    store = opened()
    for fields, attributes in ((frozenset({"id"}), NOTHING), (NOTHING, frozenset({"department"}))):
        with pytest.raises(StoreError):
            await store.fetch(key("C-1"), fields, attributes, 1.0)


async def test_the_store_tells_what_it_maps(opened: Open) -> None:
    store = opened()
    assert store.fields == {"name", "phone", "note"}
    assert store.attributes == {"minor", "owner_department"}


async def test_a_shared_number_shows_two_rows_and_never_more(opened: Open) -> None:
    found = await fetch(opened(), Phone("+8613900139000"))
    assert len(found) == 2
    assert {row.phone for row in found} == {"+8613900139000"}


async def test_a_row_whose_number_is_none_has_no_number(opened: Open) -> None:
    store = opened()
    assert [(await fetch(store, key(c)))[0].phone for c in ("C-5", "C-6")] == ["", ""]


async def test_strangers_are_not_found(opened: Open) -> None:
    store = opened()
    odd = (
        "", "C-7", "c-1", "C-1 ", " C-1", "C%", "%", "C-_", "*", "' OR '1'='1", "C-1'--", '"', "x' UNION SELECT 1,2,3,4,5,6 --",
        "C-1\0", "?", ":key0", "NULL", "0",
    )  # fmt: skip
    for customer_id in odd:
        assert await fetch(store, key(customer_id)) == []
    for phone in ("+8613800138001", "%", "", "' OR '1'='1", "ask me;"):
        assert await fetch(store, Phone(phone)) == []
    assert await ids(store, key("C-1")) == ["C-1"]


async def test_a_row_under_another_number_than_the_one_asked_is_never_returned(opened: Open) -> None:
    with pytest.raises(StoreError):
        await fetch(opened(), Phone("ask me"))


async def test_a_key_of_another_store_finds_nobody_here(opened: Open) -> None:
    assert await fetch(opened(), StoreKey("shop", "C-1")) == []


async def test_without_a_phone_column_no_number_finds_anybody(opened: Open) -> None:
    store = opened(phone=None)
    assert await fetch(store, Phone("+8613800138000")) == []
    [row] = await fetch(store, key("C-1"))
    assert row.phone == ""


# One person, one key.


@pytest.mark.parametrize(
    ("column", "stored", "asked"),
    [
        ("INTEGER PRIMARY KEY", "7", ["07", "7.0", " 7", "7 ", "+7", "7e0", "0x7"]),
        ("NUMERIC", "7", ["07", "7.0", "7e0"]),
        ("TEXT COLLATE NOCASE PRIMARY KEY", "'ab'", ["AB", "Ab", "aB"]),
        ("TEXT COLLATE RTRIM PRIMARY KEY", "'ab'", ["ab ", "ab   "]),
    ],
)
async def test_a_second_spelling_of_an_id_finds_nobody(
    opened: Open, column: str, stored: str, asked: list[str]
) -> None:
    store = opened(
        f"CREATE TABLE customers (id {column}, phone, name, minor, department, note); INSERT INTO customers (id) VALUES ({stored})"
    )
    right = stored.strip("'")
    assert await ids(store, key(right)) == [right]
    for spelling in asked:
        assert await fetch(store, key(spelling)) == []


async def test_ids_beyond_64_bits_are_not_rounded_to_somebody_else(opened: Open) -> None:
    top = 2**63 - 1
    store = opened(
        f"CREATE TABLE customers (id INTEGER, phone, name, minor, department, note); INSERT INTO customers (id) VALUES ({top}), ({top - 1})"
    )
    assert await ids(store, key(str(top))) == [str(top)]
    assert await ids(store, key(str(top - 1))) == [str(top - 1)]
    assert await fetch(store, key(str(top + 1))) == []


@pytest.mark.parametrize("stored", ["NULL", "''", "1.5", "x'01'", "CAST(x'ff' AS TEXT)"])
async def test_a_row_that_cannot_be_named_is_an_error(opened: Open, stored: str) -> None:
    store = opened(
        "CREATE TABLE customers (id, phone TEXT, name, minor, department, note);"
        f"INSERT INTO customers (id, phone) VALUES ({stored}, '+8613800138000')"
    )
    with pytest.raises(StoreError):
        await fetch(store, Phone("+8613800138000"))


# Phone numbers.

WRITTEN = (
    "13800138000",
    "+86 138 0013 8000",
    "0086-138-0013-8000",
    "tel:+8613800138000",
    "１３８００１３８０００",
    "(+86)13800138000",
    "8613800138000",
)


@pytest.mark.parametrize("asked", WRITTEN)
@pytest.mark.parametrize(
    ("phone_format", "stored"),
    [
        (PhoneFormat.E164, "'+8613800138000'"),
        (PhoneFormat.NATIONAL, "'13800138000'"),
        (PhoneFormat.NATIONAL, "13800138000"),
        (PhoneFormat.NATIONAL, "'+8613800138000'"),
        (PhoneFormat.NATIONAL, "'8613800138000'"),
    ],
)
async def test_every_way_to_write_a_number_finds_its_row(
    opened: Open, asked: str, phone_format: PhoneFormat, stored: str
) -> None:
    affinity = "TEXT" if stored.startswith("'") else "INTEGER"
    store = opened(
        f"CREATE TABLE customers (id TEXT, phone {affinity}, name, minor, department, note);"
        f"INSERT INTO customers (id, phone) VALUES ('C-1', {stored}), ('C-2', '13800138001')",
        phone_format=phone_format,
    )
    [row] = await fetch(store, Phone(normalise(asked)))
    assert (row.key, row.phone) == (key("C-1"), "+8613800138000")


@pytest.mark.parametrize("stored", ["02112345678", "2112345678", "+862112345678", "862112345678"])
async def test_a_landline_is_found_with_and_without_its_trunk_zero(opened: Open, stored: str) -> None:
    store = opened(
        "CREATE TABLE customers (id TEXT, phone TEXT, name, minor, department, note);"
        f"INSERT INTO customers (id, phone) VALUES ('C-1', '{stored}')",
        phone_format=PhoneFormat.NATIONAL,
    )
    [row] = await fetch(store, Phone(normalise("021-1234 5678")))
    assert row.phone == "+862112345678"


async def test_a_foreign_number_does_not_find_the_chinese_one_with_its_digits(opened: Open) -> None:
    store = opened(
        "CREATE TABLE customers (id TEXT, phone TEXT, name, minor, department, note);"
        "INSERT INTO customers (id, phone) VALUES ('cn', '2025550143'), ('us', '+12025550143')",
        phone_format=PhoneFormat.NATIONAL,
    )
    assert await ids(store, Phone("+12025550143")) == ["us"]
    assert await ids(store, Phone(normalise("2025550143"))) == ["cn"]


async def test_two_spellings_of_one_number_are_ambiguous(opened: Open) -> None:
    store = opened(
        "CREATE TABLE customers (id TEXT, phone TEXT, name, minor, department, note);"
        "INSERT INTO customers (id, phone) VALUES ('a', '13800138000'), ('b', '+8613800138000')",
        phone_format=PhoneFormat.NATIONAL,
    )
    assert sorted(await ids(store, Phone("+8613800138000"))) == ["a", "b"]


# Odd values.


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
    store = opened(
        f"CREATE TABLE customers (id TEXT, phone, name DATE, minor BOOLEAN, department, note); INSERT INTO customers VALUES ('1', {literal}, {literal}, {literal}, {literal}, {literal})"
    )
    [row] = await fetch(store, key("1"))
    assert values(row) == {"name": expected, "phone": expected, "note": expected}
    assert row.attributes == {"minor": expected, "owner_department": expected}
    for value in values(row).values():
        assert not isinstance(value, str) or value.encode().decode() == value


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    customer_id=st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: "\ufffd" not in text),
    value=st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.binary()
    | st.text(st.characters(codec="utf-8")),
)
def test_any_id_and_any_value_come_back(tmp_path: Path, customer_id: str, value: object) -> None:
    path = tmp_path / "any.db"
    raw = sqlite3.connect(path)
    raw.execute("DROP TABLE IF EXISTS customers")
    raw.execute("CREATE TABLE customers (id TEXT PRIMARY KEY, value)")
    raw.execute("INSERT INTO customers VALUES (?, ?)", (customer_id, value))
    raw.commit()
    raw.close()
    store = SQLStore(
        StoreTable("crm", f"sqlite:///{path}", "customers", "id", fields={"value": "value"}), SystemClock()
    )
    [row] = asyncio.run(fetch(store, key(customer_id)))
    store.close()
    assert row.key.customer_id == customer_id
    assert values(row) == {"value": value}


# Names.

HOSTILE = (
    'x"; DROP TABLE customers; --',
    "x' OR '1'='1",
    "select",
    "a b",
    "100%",
    "a:b",
    "?",
    "[x]",
    "`x`",
    "客户号",
    "a.b",
    "x--",
    "%(id)s",
    "{x}",
)


@pytest.mark.parametrize("column", HOSTILE)
async def test_any_column_name_is_only_a_name(opened: Open, column: str) -> None:
    quoted = '"' + column.replace('"', '""') + '"'
    script = f"CREATE TABLE customers ({quoted} TEXT PRIMARY KEY, other TEXT); INSERT INTO customers VALUES ('C-1', 'o'), ('C-2', 'p')"
    store = opened(
        script,
        customer_id=column,
        phone=None,
        fields={"id": column, "o": "other"},
        attributes={"a": column},
    )
    [row] = await fetch(store, key("C-1"))
    assert (values(row), row.attributes) == ({"id": "C-1", "o": "o"}, {"a": "C-1"})
    by_phone = opened("SELECT 1", customer_id="other", phone=column, fields={}, attributes={})
    assert await fetch(by_phone, Phone("+8613800138000")) == []


@pytest.mark.parametrize("table", [name for name in HOSTILE if "." not in name])
async def test_any_table_name_is_only_a_name(opened: Open, table: str) -> None:
    quoted = '"' + table.replace('"', '""') + '"'
    script = f"CREATE TABLE {quoted} (id TEXT PRIMARY KEY); INSERT INTO {quoted} VALUES ('C-1')"
    store = opened(script, table=table, phone=None, fields={"i": "id"}, attributes={})
    assert await ids(store, key("C-1")) == ["C-1"]
    qualified = opened("SELECT 1", table=f"main.{table}", phone=None, fields={"i": "id"}, attributes={})
    assert await ids(qualified, key("C-1")) == ["C-1"]


async def test_a_view_is_as_good_as_a_table(opened: Open) -> None:
    view = "CREATE VIEW adults AS SELECT id, phone, upper(name) AS name, minor, department, note FROM customers WHERE minor = 0;"
    store = opened(SCHEMA + view, table="adults")
    assert await ids(store, Phone("+8613800138000")) == ["C-1"]
    assert await fetch(store, key("C-2")) == []


# The start.


def test_every_mismatch_is_named_at_once(opened: Open) -> None:
    with pytest.raises(StartError) as refused:
        opened(
            customer_id="Id",
            phone="mobile",
            fields={"name": "name", "x": "nmae"},
            attributes={"minor": "minor", "y": "dept"},
        )
    assert refused.value.code == "STORE_MISMATCH"
    message = str(refused.value)
    assert [line.split("column ")[1] for line in message.splitlines()] == [
        "'Id'",
        "'dept'",
        "'mobile'",
        "'nmae'",
    ]


@pytest.mark.parametrize(
    "table", ["customer", "Customers ", "main.customer", "other.customers", "", "sqlite_master; --"]
)
def test_a_table_that_is_not_there_is_named(opened: Open, table: str) -> None:
    with pytest.raises(StartError) as refused:
        opened(table=table)
    assert refused.value.code == "STORE_MISMATCH"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////nowhere/at/all.db",
        "mysql://u:secret@h/d",
        "sqlite:///x.db?mode=rwc",
    ],
)
def test_a_url_that_cannot_be_opened_is_refused_without_showing_it(opened: Open, url: str) -> None:
    with pytest.raises(StartError) as refused:
        opened(url=url)
    assert refused.value.code == "STORE_MISMATCH"
    assert "secret" not in str(refused.value)
    assert "secret" not in repr(StoreTable("crm", url, "customers", "id"))


def test_a_file_that_is_no_database_is_refused(opened: Open, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database" * 200)
    with pytest.raises(StartError):
        opened(url=f"sqlite:///{tmp_path}/text")


# Faults.


async def test_a_store_that_lost_its_table_fails_and_tells_nothing(opened: Open) -> None:
    store = opened()
    assert await ids(store, key("C-1")) == ["C-1"]
    opened("DROP TABLE customers; CREATE TABLE customers (id, phone, name, minor, department, note)")
    assert await fetch(store, key("C-1")) == []
    sqlite(Path(store._path).parent, "DROP TABLE customers")
    with pytest.raises(StoreError) as failed:
        await fetch(store, key("C-1"))
    assert failed.value.code == "STORE_UNAVAILABLE"
    assert "C-1" not in str(failed.value)
    assert failed.value.__suppress_context__


async def test_a_locked_store_times_out_and_recovers(opened: Open) -> None:
    store = opened()
    raw = sqlite3.connect(store._path, isolation_level=None)
    raw.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreError) as failed:
        await fetch(store, key("C-1"), 0.1)
    assert failed.value.code == "STORE_TIMEOUT"
    waiting = asyncio.create_task(fetch(store, key("C-1"), 5.0))
    await asyncio.sleep(0)
    raw.execute("ROLLBACK")
    raw.close()
    assert len(await waiting) == 1


ENDLESS = """
CREATE TABLE customers (id TEXT PRIMARY KEY, phone TEXT);
CREATE VIEW endless AS
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT 'C-' || i AS id, NULL AS phone FROM n WHERE i < 0;
"""


async def test_an_endless_statement_stops_at_the_deadline_and_the_loop_goes_on(opened: Open) -> None:
    store = opened(ENDLESS, table="endless", fields={}, attributes={})
    beats = 0
    task = asyncio.create_task(fetch(store, key("C-1"), 0.3))
    while not task.done():
        await asyncio.sleep(0.01)
        beats += 1
    with pytest.raises(StoreError) as failed:
        await task
    assert failed.value.code == "STORE_TIMEOUT"
    assert beats > 5


async def test_more_endless_statements_than_threads_all_end(opened: Open) -> None:
    store = opened(ENDLESS, table="endless", fields={}, attributes={})
    calls = [fetch(store, key("C-1"), 0.2) for _ in range(20)]
    async with asyncio.timeout(5):
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert {getattr(result, "code", "") for result in results} == {"STORE_TIMEOUT"}


@pytest.mark.parametrize("timeout_s", [0.0, -1.0])
async def test_no_time_left_is_a_timeout(opened: Open, timeout_s: float) -> None:
    with pytest.raises(StoreError) as failed:
        await fetch(opened(), key("C-1"), timeout_s)
    assert failed.value.code == "STORE_TIMEOUT"


async def test_a_closed_store_answers_with_its_own_error(opened: Open) -> None:
    store = opened()
    store.close()
    with pytest.raises(StoreError):
        await fetch(store, key("C-1"))


async def test_the_store_is_never_written(opened: Open) -> None:
    store = opened()
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        store._inline.execute("DELETE FROM customers")


# Where a look-up runs.


def store_threads() -> int:
    return sum(thread.name.startswith("fujie-store") for thread in threading.enumerate())


MANY = (
    SCHEMA
    + """
WITH RECURSIVE n (i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO customers SELECT 'C-' || i, '+86' || (13000000000 + i), 'n', 0, 'd', NULL FROM n;
"""
)


async def test_an_indexed_look_up_stays_on_the_loop(opened: Open) -> None:
    store = opened(MANY)
    for n in range(10, 400):  # SQLite counts the instructions of a statement over all its runs
        assert await ids(store, key(f"C-{n}")) == [f"C-{n}"]
        assert await ids(store, Phone(f"+86{13000000000 + n}")) in ([], [f"C-{n}"])
    assert store_threads() == 0


async def test_a_scan_runs_in_threads_and_finds_the_same(opened: Open) -> None:
    store = opened(MANY + "DROP INDEX by_phone;")
    found = await asyncio.gather(
        *(ids(store, Phone(f"+86{13800000000 + n}")) for n in (138000, 7, 8, 9, 10, 11))
    )
    assert found == [["C-1"], [], [], [], [], []]
    assert 1 <= store_threads() <= 4
    assert await ids(store, key("C-11")) == ["C-11"]


async def test_a_thread_that_ran_into_a_deadline_is_good_for_the_next(opened: Open) -> None:
    store = opened(MANY + "DROP INDEX by_phone;")
    refs = [Phone(f"+86{13800000000 + n}") for n in range(40)]
    hasty = await asyncio.gather(*(fetch(store, ref, 0.001) for ref in refs), return_exceptions=True)
    assert {getattr(result, "code", "found") for result in hasty} <= {"STORE_TIMEOUT", "found"}
    assert await asyncio.gather(*(ids(store, Phone("+8613800138000")) for _ in range(40))) == [["C-1"]] * 40


async def test_an_index_that_is_dropped_moves_the_look_up_to_the_threads(opened: Open) -> None:
    store = opened(MANY)
    assert await ids(store, Phone("+8613800138000")) == ["C-1"]
    assert store_threads() == 0
    sqlite(Path(store._path).parent, "DROP INDEX by_phone")
    assert await ids(store, Phone("+8613800138000")) == ["C-1"]
    assert store_threads() == 1


async def test_what_another_process_commits_is_seen_at_once(opened: Open) -> None:
    for journal in ("WAL", "DELETE"):
        store = opened(f"PRAGMA journal_mode = {journal}; DROP TABLE IF EXISTS customers;" + SCHEMA)
        for n in range(5):
            sqlite(Path(store._path).parent, f"UPDATE customers SET name = 'v{n}' WHERE id = 'C-1'")
            assert values((await fetch(store, key("C-1")))[0])["name"] == f"v{n}"
        store.close()


async def test_ever_new_sets_of_fields_do_not_pile_up(opened: Open) -> None:
    columns = [f"f{n}" for n in range(11)]
    script = f"CREATE TABLE customers (id TEXT PRIMARY KEY, {', '.join(columns)}); INSERT INTO customers (id, f3) VALUES ('C-1', 3)"
    store = opened(
        script, phone=None, fields=MappingProxyType({name: name for name in columns}), attributes={}
    )
    for bits in range(1200):
        asked = frozenset(name for n, name in enumerate(columns) if bits >> n & 1)
        [row] = await store.fetch(key("C-1"), asked, NOTHING, 1.0)
        assert values(row) == {name: 3 if name == "f3" else None for name in asked}
    assert len(store._lookups) <= 512
