"""What every customer store must do when many rows are read (`ports.CustomerStore.scan`), run against each database."""

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import replace
from itertools import groupby, product
from pathlib import Path
from typing import Any

import asyncpg
import pymysql
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.adapters.clock import SystemClock
from fujie.adapters.stores.columns import LONGEST
from fujie.adapters.stores.scanning import LONGEST_ID
from fujie.adapters.stores.scans import SHAPES
from fujie.adapters.stores.store import SQLStore, open_store
from fujie.adapters.stores.stream import SCANS
from fujie.adapters.stores.table import StoreTable
from fujie.decision.filtering import passes
from fujie.decision.mask import Omitted, Shown, mask_value
from fujie.decision.tokens import Tokeniser
from fujie.model.customer import StoreKey
from fujie.model.data_class import DataClass
from fujie.model.errors import StoreError
from fujie.model.predicate import AllOf, AnyOf, Column, Comparison, Constant, Operator, Predicate
from fujie.model.record import Fetched, open_for_masking
from fujie.model.step import Step
from fujie.ports.stores import Scan
from support import mariadb
from support.databases import InMariaDB, InPostgreSQL, Place, place_of

Open = Callable[..., Awaitable[SQLStore]]
NOTHING: frozenset[str] = frozenset()
ANYTHING: Predicate = AllOf(())
TOKENS = Tokeniser(b"k" * 32, "p1", "demo")
PATIENCE_S = 60
"""No measure: what hangs for so long hangs for ever."""


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    with place_of(request.param, tmp_path) as place:
        yield place


@pytest.fixture
async def opened(place: Place) -> AsyncIterator[Open]:
    stores: list[SQLStore] = []

    async def opened(*script: str, **changes: Any) -> SQLStore:
        place.run("SELECT 1", *script)
        mapped = {"name": "crm", "url": place.url, "table": "customers", "customer_id": "id", **changes}
        stores.append(await open_store(StoreTable(**mapped), SystemClock()))
        return stores[-1]

    yield opened
    async with asyncio.timeout(PATIENCE_S):
        for store in stores:
            await store.close()


def only(place: Place, *kinds: str) -> None:
    if place.kind not in kinds:
        pytest.skip(f"{place.kind} has no such thing")


def table(column: str, values: Sequence[str], more: str = "") -> list[str]:
    rows = ", ".join(f"({value})" for value in values)
    return [f"CREATE TABLE customers (id {column}{more})", f"INSERT INTO customers (id) VALUES {rows}"]


def many(place: Place, rows: int, column: str = "VARCHAR(40) PRIMARY KEY", text: str = "x") -> list[str]:
    """Return what fills a table with the ids C-0000000, C-0000001, ... and a text for each."""
    source = {
        "sqlite": ("printf('C-%07d', i)", f"(WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < {rows - 1}) SELECT i FROM n)"),
        "postgresql": ("'C-' || lpad(i::text, 7, '0')", f"generate_series(0, {rows - 1}) AS n(i)"),
        "mariadb": ("concat('C-', lpad(seq, 7, '0'))", f"seq_0_to_{rows - 1}"),
    }[place.kind]  # fmt: skip
    return [
        f"CREATE TABLE customers (id {column}, name VARCHAR(400))",
        f"INSERT INTO customers SELECT {source[0]}, '{text}' FROM {source[1]}",
    ]


async def batches(
    store: SQLStore, after: str = "", size: int = 500, where: Predicate = ANYTHING
) -> list[list[Fetched]]:
    wanted = Scan(store.fields, store.attributes, where, after, size)
    async with asyncio.timeout(PATIENCE_S), store.scan(wanted, 20.0) as found:
        return [list(batch) async for batch in found]


async def drained(scan: AbstractAsyncContextManager[AsyncIterator[object]]) -> None:
    async with scan as found:
        async for _ in found:
            pass


async def ids(store: SQLStore, after: str = "", size: int = 500, where: Predicate = ANYTHING) -> list[str]:
    return [row.key.customer_id for batch in await batches(store, after, size, where) for row in batch]


async def attack_the_order(store: SQLStore, stored: Sequence[str]) -> None:
    """Read in batches of each size, and start again behind each id: nothing comes twice, nothing is left out."""
    whole = await ids(store)
    assert sorted(whole) == sorted(stored)
    runs = [(customer_id, len(list(run))) for customer_id, run in groupby(whole)]
    assert len(runs) == len(set(whole))  # rows of one id stand together
    widest = max(length for _, length in runs)
    for size in range(widest, widest + 3):
        found = await batches(store, size=size)
        assert [row.key.customer_id for batch in found for row in batch] == whole
        assert all(1 <= len(batch) <= size for batch in found)
        ends = [batch[-1].key.customer_id for batch in found]
        assert len(set(ends)) == len(ends)
        for end, batch in zip(ends, found[1:], strict=False):
            assert batch[0].key.customer_id != end
    for customer_id in dict.fromkeys(whole):
        behind = len(whole) - whole[::-1].index(customer_id)
        assert await ids(store, customer_id, widest) == whole[behind:]


# The order.

ID_TYPES = {
    "text": ("VARCHAR(40) PRIMARY KEY", ["b", "a", "B", "aa", "a b", "a-b", "10", "9", "-1", "客户", "😀", "é", "_", "%"]),
    "no index": ("VARCHAR(40)", ["b", "a", "B", "A", "a", "aa", "b", "10", "9"]),
    "text of spaces": ("VARCHAR(40)", ["a", "a ", " a", "a  ", "b"]),
    "integer": ("INTEGER", ["7", "-7", "0", "10", "9", "7"]),
    "bigint": ("BIGINT PRIMARY KEY", [str(2**63 - 1), str(-(2**63)), "0", str(2**53 + 1), str(2**53)]),
    "decimal": ("NUMERIC(20, 0)", ["7", "10", "9", "-7", "0", "7"]),
    "char": ("CHAR(8)", ["ab", "AB", "b", "a"]),
}  # fmt: skip


@pytest.mark.parametrize(("column", "stored"), ID_TYPES.values(), ids=ID_TYPES)
async def test_a_scan_goes_on_behind_any_id(
    place: Place, opened: Open, column: str, stored: list[str]
) -> None:
    if place.kind == "mariadb" and "PRIMARY" in column and "VARCHAR" in column:
        stored = [each for each in stored if each != "B"]  # one id with b, for its collation
    await attack_the_order(await opened(*table(column, [f"'{each}'" for each in stored])), stored)


FOLDING = {
    "sqlite nocase": ("sqlite", "TEXT COLLATE NOCASE"),
    "sqlite nocase indexed": ("sqlite", "TEXT COLLATE NOCASE, other TEXT); CREATE INDEX i ON customers (id"),
    "sqlite rtrim": ("sqlite", "TEXT COLLATE RTRIM"),
    "postgresql nondeterministic": ("postgresql", "TEXT COLLATE folding"),
    "postgresql locale": ("postgresql", 'TEXT COLLATE "en_US"'),
    "postgresql citext": ("postgresql", "citext"),
    "postgresql domain": ("postgresql", "folded"),
    "mariadb general": ("mariadb", "VARCHAR(40) COLLATE utf8mb4_general_ci"),
    "mariadb indexed": ("mariadb", "VARCHAR(40) COLLATE utf8mb4_general_ci, KEY k (id)"),
    "mariadb unicode": ("mariadb", "VARCHAR(40) COLLATE utf8mb4_unicode_520_ci"),
    "mariadb padded bin": ("mariadb", "VARCHAR(40) COLLATE utf8mb4_bin, UNIQUE KEY k (id(1), other), other INT NOT NULL AUTO_INCREMENT, KEY o (other)"),
    "mariadb utf8mb3": ("mariadb", "VARCHAR(40) CHARACTER SET utf8mb3"),
    "mariadb latin1": ("mariadb", "VARCHAR(40) CHARACTER SET latin1"),
}  # fmt: skip
ICU = "CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
CITEXT = (
    "CREATE TYPE citext",
    "CREATE FUNCTION ci_in(cstring) RETURNS citext AS 'textin' LANGUAGE internal IMMUTABLE STRICT",
    "CREATE FUNCTION ci_out(citext) RETURNS cstring AS 'textout' LANGUAGE internal IMMUTABLE STRICT",
    "CREATE TYPE citext (INPUT = ci_in, OUTPUT = ci_out, LIKE = text, CATEGORY = 'S')",
    "CREATE CAST (citext AS text) WITHOUT FUNCTION AS IMPLICIT",
    "CREATE CAST (text AS citext) WITHOUT FUNCTION AS ASSIGNMENT",
    "CREATE DOMAIN folded AS citext CHECK (VALUE <> NULL::text)",
)


@pytest.mark.parametrize(("kind", "column"), FOLDING.values(), ids=FOLDING)
async def test_ids_that_a_collation_takes_for_one_are_each_passed_once(
    place: Place, opened: Open, kind: str, column: str
) -> None:
    only(place, kind)
    twins = ["ab", "AB", "Ab", "aB", "ab ", "AB  ", "áb", "b", "a", "ab", "AB"]
    try:
        place.run(
            *([ICU] if "folding" in column else []), *(CITEXT if kind == "postgresql" else ["SELECT 1"])
        )
        for statement in "; ".join(table(column, [f"'{each}'" for each in twins])).split("; "):
            place.run(statement)
    except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedObjectError):
        pytest.skip("THIS PostgreSQL HAS NO SUCH COLLATION: it is not proven")
    await attack_the_order(await opened(), twins)


async def test_uuids_are_passed_in_the_order_of_the_store(place: Place, opened: Open) -> None:
    only(place, "postgresql", "mariadb")
    tails = ("e89b-12d3-a456", "e89b-11d3-a456", "0001-42d3-9456", "ffff-72d3-b456")
    stored = [f"{head:08x}-{tail}-426655440000" for head in (1, 255, 2**31) for tail in tails]
    await attack_the_order(await opened(*table("UUID", [f"'{each}'" for each in stored])), stored)


async def test_numbers_of_several_spellings_are_several_ids(place: Place, opened: Open) -> None:
    only(place, "postgresql")
    stored = ["7", "7.0", "7.00", "-1.5", "100", "7.0"]
    await attack_the_order(await opened(*table("NUMERIC", stored)), stored)


@pytest.mark.parametrize("column", ["", "BLOB", "INTEGER", "TEXT", "DECIMAL(9, 2)", "ANY"])
async def test_numbers_and_texts_in_one_column_keep_their_place(
    place: Place, opened: Open, column: str
) -> None:
    only(place, "sqlite")
    store = await opened(*table(column, ["7", "'7'", "'a'", "10", "9", "'9a'", "'10'", "'-'", "8"]))
    await attack_the_order(store, ["7", "7", "a", "10", "9", "9a", "10", "-", "8"])


async def test_a_view_is_as_good_as_a_table(opened: Open, place: Place) -> None:
    script = table("VARCHAR(40) PRIMARY KEY", ["'b'", "'a'", "'10'", "'9'"])
    view = "CREATE VIEW seen AS SELECT id FROM customers UNION ALL SELECT id FROM customers WHERE id <> 'a'"
    await attack_the_order(await opened(*script, view, table="seen"), ["b", "a", "10", "9", "b", "10", "9"])


async def test_an_id_of_more_rows_than_a_batch_is_an_error_and_no_loop(opened: Open) -> None:
    store = await opened(*table("VARCHAR(40)", ["'a'", "'b'", "'b'", "'b'", "'c'"]))
    assert [len(batch) for batch in await batches(store, size=3)] == [1, 3, 1]
    with pytest.raises(StoreError, match="more"):
        await batches(store, size=2)


async def test_a_row_that_cannot_be_named_is_an_error(place: Place, opened: Open) -> None:
    unusable = ["NULL", "''", f"'{'x' * (LONGEST_ID + 1)}'"]
    if place.kind == "sqlite":
        unusable += ["x'41'", "CAST(x'ff41' AS TEXT)"]
    for each in unusable:
        store = await opened("DROP TABLE IF EXISTS customers", *table("VARCHAR(400)", ["'a'", each]))
        with pytest.raises(StoreError) as failed:
            await ids(store)
        assert "xxx" not in str(failed.value)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\ufffd"), min_size=1, max_size=20)


@settings(max_examples=6)
@given(stored=st.lists(TEXTS | st.sampled_from(["a", "A", "a ", "á"]), min_size=1, max_size=12))
def test_any_texts_are_each_passed_once(place: Place, stored: list[str]) -> None:
    def literal(text: str) -> str:
        return {
            "mariadb": f"CONVERT(x'{text.encode().hex()}' USING utf8mb4)",
            "postgresql": f"convert_from(decode('{text.encode().hex()}', 'hex'), 'UTF8')",
            "sqlite": f"CAST(x'{text.encode().hex()}' AS TEXT)",
        }[place.kind]

    place.run("DROP TABLE IF EXISTS customers", *table("VARCHAR(100)", [literal(each) for each in stored]))

    async def run() -> None:
        store = await open_store(StoreTable("crm", place.url, "customers", "id"), SystemClock())
        await attack_the_order(store, stored)
        await store.close()

    asyncio.run(run())


async def test_a_scan_that_starts_behind_what_no_column_holds_is_an_error(opened: Open) -> None:
    store = await opened(*table("INTEGER", ["1", "2", "3"]))
    hostile = (
        "1 OR 1=1",
        "x'; DROP TABLE customers; --",
        "NULL",
        "\ud800",
        "1.5",
        "٣",
        "'",
        "%s",
        "$1",
        ":key0",
    )
    for after in hostile:
        try:
            found = await ids(store, after)
        except StoreError:
            continue
        assert found == (["2", "3"] if after == "1.5" else [])  # SQLite: any text is behind every number
    assert await ids(store, "1") == ["2", "3"]


# What a row holds.


async def test_rows_mean_what_a_look_up_says(place: Place, opened: Open) -> None:
    store = await opened(
        "CREATE TABLE customers (id VARCHAR(40) PRIMARY KEY, phone VARCHAR(40), name VARCHAR(100), minor INTEGER)",
        "INSERT INTO customers VALUES ('a', '+8613800138000', '欧阳 一', 0), ('b', NULL, NULL, NULL),"
        " ('c', 'ask me', '', 1), ('d', '+8613800138000', 'x', 1)",
        phone="phone", fields={"name": "name", "phone": "phone", "n": "name"}, attributes={"minor": "minor"},
    )  # fmt: skip
    [batch] = await batches(store)
    assert [row.key for row in batch] == [StoreKey("crm", each) for each in "abcd"]
    for row in batch:
        [found] = await store.fetch(row.key, store.fields, store.attributes, 5.0)
        assert open_for_masking(row.record) == open_for_masking(found.record)
        assert (row.attributes, row.phone) == (found.attributes, found.phone)
    async with store.scan(Scan(NOTHING, frozenset({"minor"})), 5.0) as found_few:
        [few] = [batch async for batch in found_few]
    assert [row.attributes["minor"] for row in few] == [0, None, 1, 1]
    assert all(open_for_masking(row.record) == {} for row in few)
    with pytest.raises(StoreError):
        store.scan(Scan(frozenset({"id"}), NOTHING), 5.0)


@pytest.mark.parametrize("length", [LONGEST, LONGEST + 1])
async def test_a_value_that_is_too_long_is_an_error(place: Place, opened: Open, length: int) -> None:
    text = {"mariadb": "LONGTEXT"}.get(place.kind, "TEXT")
    store = await opened(
        f"CREATE TABLE customers (id VARCHAR(9), name {text})",
        f"INSERT INTO customers VALUES ('a', 'x'), ('b', NULL), ('c', '{'客' * (length // 3)}{'x' * (length % 3)}')",
        fields={"name": "name"},
    )
    if length <= LONGEST:
        assert await ids(store) == ["a", "b", "c"]
    else:
        with pytest.raises(StoreError, match="more than"):
            await ids(store)


async def test_what_is_no_utf8_is_read_as_look_ups_read_it(place: Place, opened: Open) -> None:
    only(place, "sqlite")
    store = await opened(
        "CREATE TABLE customers (id TEXT, name TEXT)",
        "INSERT INTO customers VALUES ('a', 'x'), ('b', CAST(x'61ff62' AS TEXT)), ('c', 'y')",
        fields={"name": "name"},
    )
    found = [open_for_masking(row.record)["name"] for [row] in await batches(store, size=1)]
    assert found == ["x", "a\ufffdb", "y"]


async def test_a_replica_is_read_and_the_primary_where_it_is_away(place: Place, opened: Open) -> None:
    only(place, "postgresql", "mariadb")
    assert isinstance(place, InPostgreSQL | InMariaDB)
    script = table("VARCHAR(40)", ["'a'"])
    for replica in (place.url, place.url.replace(place.name, "nowhere")):
        store = await opened(*script, replicas=(replica,))
        script = []
        assert await ids(store) == ["a"]
    rests = store._source._rests_until  # type: ignore[attr-defined]  # ReplicasFirst
    assert rests[0] > 0


# The end of a scan, whatever it is.


def sessions(place: Place, *, busy: bool = False) -> list[int]:
    """Return our sessions on the server; SQLite has none."""
    if place.kind == "sqlite":
        return []
    if isinstance(place, InPostgreSQL):
        found = place.run(
            f"SELECT pid FROM pg_stat_activity WHERE application_name = 'fujie' AND datname = '{place.name}'"
            f"{' AND state <> $$idle$$' if busy else ''}"
        )
    else:
        found = place.run(
            f"SELECT id FROM information_schema.processlist WHERE user = '{mariadb.USER}' AND db = DATABASE()"
            f"{' AND command <> $$Sleep$$'.replace('$$', chr(39)) if busy else ''}"
        )
    return [each for (each,) in found]


async def all_gone(place: Place, but: int = 0) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while len(await asyncio.to_thread(sessions, place)) > but:  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.02)


def end_sessions(place: Place) -> None:
    for session in sessions(place):
        how = "SELECT pg_terminate_backend({})" if place.kind == "postgresql" else "KILL {}"
        place.run(how.format(session))


ROWS = 10_000
"""Enough that no buffer between us and a server holds them all."""
WIDE = "y" * 300


async def test_every_end_of_a_scan_gives_up_its_connection(place: Place, opened: Open) -> None:
    store = await opened(*many(place, ROWS, text=WIDE), fields={"name": "name"})
    wanted = Scan(store.fields, NOTHING, size=50)
    before = len(sessions(place))

    async def stumble() -> None:
        async with store.scan(wanted, 20.0) as found:
            async for _batch in found:
                raise ZeroDivisionError

    async def read_on(reading: asyncio.Event) -> None:
        async with store.scan(wanted, 20.0) as found:
            async for _ in found:
                reading.set()

    for _ in range(SCANS + 1):  # a turn that was not given back would end this
        async with store.scan(wanted, 20.0) as found:
            async for _batch in found:
                break
        with pytest.raises(ZeroDivisionError):
            await stumble()
        async with store.scan(wanted, 20.0):
            pass

        reading = asyncio.Event()
        task = asyncio.ensure_future(read_on(reading))
        await reading.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        early = asyncio.ensure_future(read_on(reading))
        await asyncio.sleep(0)
        early.cancel()
        await asyncio.wait([early])
    await all_gone(place, before)
    assert len(await ids(store, size=2000)) == ROWS


def test_a_loop_that_ends_in_the_middle_leaves_nothing_behind(place: Place) -> None:
    place.run(*many(place, ROWS, text=WIDE))
    mapped = StoreTable("crm", place.url, "customers", "id", fields={"name": "name"})

    async def leave() -> None:
        store = await open_store(mapped, SystemClock())
        reading = asyncio.Event()

        async def read_on() -> None:
            async with store.scan(Scan(store.fields, NOTHING, size=50), 20.0) as found:
                async for _ in found:
                    reading.set()

        readers = [asyncio.ensure_future(read_on()) for _ in range(3)]
        await reading.wait()
        if (
            place.kind == "mariadb"
        ):  # whose driver leaves idle connections of look-ups to be closed by somebody
            store._source._close_idle()  # type: ignore[attr-defined]  # MySQLPool
        assert not any(reader.done() for reader in readers)

    asyncio.run(leave())
    asyncio.run(all_gone(place))


async def test_a_store_that_is_closed_ends_its_scans(place: Place, opened: Open) -> None:
    store = await opened(*many(place, ROWS, text=WIDE), fields={"name": "name"})
    async with store.scan(Scan(store.fields, NOTHING, size=50), 20.0) as found:
        await anext(found)
        await store.close()
        with pytest.raises(StoreError):
            async for _ in found:
                pass
    await all_gone(place)
    with pytest.raises(StoreError):
        store.scan(Scan(store.fields, NOTHING), 5.0)


async def test_a_connection_that_is_killed_is_an_error(place: Place, opened: Open) -> None:
    only(place, "postgresql", "mariadb")
    store = await opened(*many(place, ROWS, text=WIDE), fields={"name": "name"})
    async with asyncio.timeout(PATIENCE_S), store.scan(Scan(store.fields, NOTHING, size=50), 20.0) as found:
        await anext(found)
        end_sessions(place)
        with pytest.raises(StoreError) as failed:
            async for _ in found:
                pass
        assert "C-0" not in str(failed.value)
        with pytest.raises(StoreError):
            await anext(found)
    assert len(await ids(store, size=2000)) == ROWS


@pytest.fixture
def impatient(place: Place) -> Iterator[None]:
    """Let the server wait a second for who does not read, where it has such a limit."""
    if place.kind == "mariadb":
        mariadb.server().execute("SET GLOBAL net_write_timeout = 1")
    yield
    if place.kind == "mariadb":
        mariadb.server().execute("SET GLOBAL net_write_timeout = 60")


@pytest.mark.usefixtures("impatient")
async def test_a_reader_who_pauses_goes_on_where_he_was(place: Place, opened: Open) -> None:
    store = await opened(*many(place, ROWS, text=WIDE), fields={"name": "name"})
    read = 0
    async with store.scan(Scan(store.fields, NOTHING, size=500), 20.0) as found:
        async for batch in found:
            read += len(batch)
            if read == 1000:  # the server's limit passes; the others have none
                await asyncio.sleep(1.5 if place.kind == "mariadb" else 0.0)
    assert read == ROWS


async def test_look_ups_are_served_while_as_many_scans_as_may_run_do(place: Place, opened: Open) -> None:
    store = await opened(*many(place, ROWS, text=WIDE), fields={"name": "name"}, connections=1)
    wanted = Scan(store.fields, NOTHING, size=500)
    async with store.scan(wanted, 20.0) as first:
        await anext(first)
        with pytest.raises(StoreError) as failed:  # one connection: one scan
            async with store.scan(wanted, 0.2):
                pass
        assert failed.value.code == "STORE_TIMEOUT"
        for number in range(20):
            [row] = await store.fetch(StoreKey("crm", f"C-{number:07d}"), NOTHING, NOTHING, 5.0)
            assert row.key.customer_id == f"C-{number:07d}"
    several = await opened(fields={"name": "name"}, connections=9)
    async with asyncio.timeout(PATIENCE_S):
        found = await asyncio.gather(*(ids(several, size=2000) for _ in range(SCANS + 2)))
    assert {len(each) for each in found} == {ROWS}


async def test_one_reader_has_half_of_the_scans_and_others_get_theirs(place: Place, opened: Open) -> None:
    store = await opened(*many(place, 10), connections=9)
    mine, others = (Scan(NOTHING, NOTHING, reader=who) for who in ("me", "somebody"))
    async with AsyncExitStack() as held:
        for _ in range(SCANS // 2):
            await anext(await held.enter_async_context(store.scan(mine, 20.0)))
        for _ in range(2):  # a wait that was in vain leaves nothing behind
            with pytest.raises(StoreError) as failed:
                async with store.scan(mine, 0.2):
                    pass
            assert failed.value.code == "STORE_TIMEOUT"
        for wanted in (others, replace(others, reader="one more")):  # the last free one is for who has none
            await anext(await held.enter_async_context(store.scan(wanted, 20.0)))
        third = Scan(NOTHING, NOTHING, reader="a third")
        patient = asyncio.ensure_future(drained(store.scan(replace(third, patience_s=PATIENCE_S), 1.0)))
        with pytest.raises(StoreError):
            async with store.scan(third, 1.1):  # longer than the other has for its reading
                pass
        assert not patient.done(), "who came before, and waits on"
    await patient
    async with asyncio.timeout(PATIENCE_S):
        for wanted in (mine, others) * 3:
            await drained(store.scan(wanted, 20.0))


async def test_a_store_that_is_locked_times_out_and_recovers(place: Place, opened: Open) -> None:
    store = await opened(*many(place, 10))
    with place.locked("customers"):
        for _ in range(SCANS + 1):
            with pytest.raises(StoreError) as failed:
                async with store.scan(Scan(NOTHING, NOTHING), 0.2) as found:
                    await anext(found)
            assert failed.value.code == "STORE_TIMEOUT"
    await all_gone(place, 1 if place.kind == "mariadb" else 0)
    assert len(await ids(store)) == 10


async def test_the_deadline_ends_a_slow_view_on_the_server_too(place: Place, opened: Open) -> None:
    slow = {
        "sqlite": "SELECT id FROM customers a WHERE (SELECT count(*) FROM customers b, customers c, customers d WHERE b.id > c.id || a.id || d.id) >= 0",
        "postgresql": "SELECT id FROM customers WHERE id < 'C-0000500' OR (SELECT true FROM pg_sleep(600) WHERE id <> '')",
        "mariadb": "SELECT id FROM customers WHERE id < 'C-0000500' OR SLEEP(600) + LENGTH(id) > 0",
    }[place.kind]
    store = await opened(*many(place, 1000), f"CREATE VIEW slow AS {slow}", table="slow")
    for size in (400, 1000):  # between two batches, or before the first
        with pytest.raises(StoreError) as failed:
            await drained(store.scan(Scan(NOTHING, NOTHING, size=size), 0.5))
        assert failed.value.code == "STORE_TIMEOUT"
    await all_gone(place, 1 if place.kind == "mariadb" else 0)


async def test_a_table_that_changes_under_a_scan_ends_it_at_most(place: Place, opened: Open) -> None:
    changes = ["ALTER TABLE customers RENAME COLUMN name TO other", "DROP TABLE customers"]
    for change in changes:
        store = await opened(
            "DROP TABLE IF EXISTS customers", *many(place, ROWS, text=WIDE), fields={"name": "name"}
        )
        got: list[str] = []
        async with asyncio.timeout(PATIENCE_S):
            try:
                async with store.scan(Scan(store.fields, NOTHING, size=500), 20.0) as found:
                    async for batch in found:
                        if not got:
                            await asyncio.to_thread(changed, place, change)
                        got += [row.key.customer_id for row in batch]
                        assert open_for_masking(batch[0].record) == {"name": WIDE}
            except StoreError as error:
                assert error.code == "STORE_UNAVAILABLE"  # noqa: PT017 - it may also come to its end
                assert len(got) >= 500
        assert got == [f"C-{number:07d}" for number in range(len(got))]
        await store.close()
    await all_gone(place)


def changed(place: Place, change: str) -> None:
    """Change the table, unless a scan that runs makes us wait."""
    wait = {"postgresql": ["SET lock_timeout = '200ms'"], "mariadb": ["SET lock_wait_timeout = 1"]}
    with suppress(asyncpg.LockNotAvailableError, pymysql.OperationalError):
        place.run(*wait.get(place.kind, []), change)


@pytest.mark.parametrize("rows", [40_000, pytest.param(200_000, marks=pytest.mark.soak)])
async def test_many_rows_take_no_more_memory_than_few(place: Place, opened: Open, rows: int) -> None:
    store = await opened(*many(place, rows, text=WIDE), fields={"name": "name"})
    page = resource.getpagesize()

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * page

    read, least, most = 0, 0, 0
    async with store.scan(Scan(store.fields, NOTHING), 30.0) as found:
        async for batch in found:
            read += len(batch)
            if read == 5_000:
                least = resident()
            elif read % 5_000 == 0:
                most = max(most, resident())
    assert read == rows
    assert most - least < rows * 200  # the texts alone are 300 bytes each


# The sieve.

COLUMN_TYPES = {
    "sqlite": {"text": "TEXT", "code": "TEXT COLLATE NOCASE", "whole": "INTEGER", "exact": "NUMERIC", "real": "REAL", "day": "DATE", "moment": "TIMESTAMP", "yes": "BOOLEAN", "bytes": "BLOB", "loose": ""},
    "postgresql": {"text": "TEXT", "code": "CHAR(9)", "whole": "BIGINT", "exact": "NUMERIC", "real": "FLOAT4", "day": "DATE", "moment": "TIMESTAMPTZ", "yes": "BOOLEAN", "bytes": "BYTEA", "loose": "JSONB"},
    "mariadb": {"text": "VARCHAR(60)", "code": "CHAR(9)", "whole": "BIGINT", "exact": "DECIMAL(30, 10)", "real": "FLOAT", "day": "DATE", "moment": "DATETIME(3)", "yes": "BOOLEAN", "bytes": "BLOB", "loose": "JSON"},
}  # fmt: skip
TEXT_VALUES = ["", " ", "a", "A", "a ", "ab", "á", "客", "😀", "\uffee", "0", "1", "1.0", "01", "NULL", "true", "****", "'", '"', "\\", "%", "_",
               "' OR '1'='1", "x'; DROP TABLE customers; --", "$1", "%s", ":c0", "?", "2024-02-29", "2024-02-30", "infinity"]  # fmt: skip
VALUES: dict[str, list[object]] = {
    "text": [None, *TEXT_VALUES],
    "code": [None, "", "a", "A", "ab", "Ab", "客", "0"],
    "whole": [None, 0, 1, -1, 2, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)],
    "exact": [None, "0", "0.1", "0.10", "1", "-1.5", "0.3", "9007199254740993", "12345678901234.5"],
    "real": [None, "0", "0.1", "1.5", "-1.5", "16777217", "1e30"],
    "day": [None, "2024-02-29", "2024-03-01", "1999-12-31", "9999-12-31", "1000-01-01"],
    "moment": [None, "2024-02-29 00:00:00", "2024-02-29 23:59:59.500", "1999-12-31 00:00:00"],
    "yes": [None, False, True],
    "bytes": [None, b"", b"a", b"****"],
    "loose": [None, "1", '"a"', "true", "null", "[]"],
}


def literal(kind: str, value: object) -> str:
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).upper() if kind == "postgresql" else str(int(value))
        case int():
            return f"({value})" if value != -(2**63) or kind != "sqlite" else "(-9223372036854775807 - 1)"
        case bytes():
            return f"decode('{value.hex()}', 'hex')" if kind == "postgresql" else f"x'{value.hex()}'"
        case _:
            escaped = str(value).replace("'", "''")
            return f"'{escaped.replace(chr(92), chr(92) * 2) if kind == 'mariadb' else escaped}'"


def hostile_table(kind: str) -> list[str]:
    columns = ", ".join(f"{name}_ {of}" for name, of in COLUMN_TYPES[kind].items())
    rows = []
    for number in range(max(map(len, VALUES.values()))):
        row = [VALUES[name][number % len(VALUES[name])] for name in VALUES]
        if kind == "sqlite" and number % 7 == 3:  # SQLite: each value of another type than its column's
            row = row[1:] + row[:1]
        rows.append(f"('r{number:02d}', {', '.join(literal(kind, value) for value in row)})")
    if kind == "sqlite":
        rows.append(
            f"('odd', {', '.join(['CAST(x' + chr(39) + '61ff' + chr(39) + ' AS TEXT)'] * len(VALUES))})"
        )
        rows.append(f"('inf', {', '.join(['9e999'] * len(VALUES))})")
    if kind == "postgresql":
        rows.append(
            f"('nan', {', '.join({'exact': chr(39) + 'NaN' + chr(39), 'real': chr(39) + 'NaN' + chr(39), 'day': chr(39) + 'infinity' + chr(39)}.get(name, 'NULL') for name in VALUES)})"
        )
        rows.append(
            f"('min', {', '.join({'exact': chr(39) + '-Infinity' + chr(39), 'real': chr(39) + '-Infinity' + chr(39)}.get(name, 'NULL') for name in VALUES)})"
        )
    return [
        f"CREATE TABLE customers (id VARCHAR(9) PRIMARY KEY, {columns})",
        f"INSERT INTO customers VALUES {', '.join(rows)}",
    ]


CONSTANTS: st.SearchStrategy[Constant] = (
    st.sampled_from(
        [
            *TEXT_VALUES,
            "2024-03-01",
            "9999-12-31",
            "\0",
            "\ud800",
            "\ufffd",
            "a\ufffd",
            "z",
            "{}",
            "Infinity",
        ]
    )
    | TEXTS
    | st.sampled_from([0, 1, -1, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1, 2**64, -(2**63) - 1, 16777216])
    | st.sampled_from([0.1, 0.3, 1.5, -1.5, 1.0, 1e15, 12345678901234.5, 1e30, 0.0, -0.0])
    | st.booleans()
)
NAMES = st.sampled_from([*VALUES, "id", "unknown", 'x"; DROP TABLE customers; --', "text_", "customers"])


@st.composite
def comparisons(draw: st.DrawFn) -> Predicate:
    constant = draw(CONSTANTS)
    equality = [Operator.EQ, Operator.NE]
    order = [Operator.LT, Operator.LE, Operator.GT, Operator.GE]
    asked = draw(st.sampled_from(equality if isinstance(constant, bool) else equality + order))
    if draw(st.integers(0, 9)) == 0:
        return Comparison(Column(draw(NAMES)), draw(st.sampled_from([Operator.PRESENT, Operator.ABSENT])))
    return Comparison(Column(draw(NAMES)), asked, constant)


PREDICATES: st.SearchStrategy[Predicate] = st.recursive(
    comparisons(),
    lambda parts: (
        st.builds(AllOf, st.lists(parts, max_size=3).map(tuple))
        | st.builds(AnyOf, st.lists(parts, max_size=3).map(tuple))
    ),
    max_leaves=6,
)


def shown_of(row: Fetched) -> dict[str, Shown]:
    raw = open_for_masking(row.record)
    shown = {name: mask_value(value, Step("reveal"), DataClass.TEXT, TOKENS) for name, value in raw.items()}
    return {name: value for name, value in shown.items() if not isinstance(value, Omitted)}


def holds(predicate: Predicate, row: Fetched, shown: Mapping[str, Shown]) -> bool:
    """Evaluate fields as `decision.filtering` does, and attributes as `decision.facts` types them."""
    match predicate:
        case AllOf(parts):
            return all(holds(part, row, shown) for part in parts)
        case AnyOf(parts):
            return any(holds(part, row, shown) for part in parts)
        case Comparison(column, asked, constant) if column.is_attribute:
            value = row.attributes.get(column.name)
            if asked is Operator.PRESENT:
                return value is not None
            if isinstance(constant, bool):
                return (
                    asked is Operator.EQ
                    and isinstance(value, int)
                    and value in (0, 1)
                    and bool(value) is constant
                )
            of_type = type(value) is type(constant) and isinstance(value, int | str)
            return of_type and constant is not None and asked.holds(value, constant)
        case _:
            return passes(predicate, shown)


def on_attributes(predicate: Predicate) -> Predicate:
    """Return the same of attributes; what is never asked of one is replaced."""
    match predicate:
        case AllOf(parts):
            return AllOf(tuple(map(on_attributes, parts)))
        case AnyOf(parts):
            return AnyOf(tuple(map(on_attributes, parts)))
        case Comparison(column, asked, constant):
            if isinstance(constant, bool):
                asked = Operator.EQ
            if asked is Operator.ABSENT or isinstance(constant, float):
                asked, constant = Operator.PRESENT, None
            return Comparison(Column(column.name, is_attribute=True), asked, constant)


@pytest.fixture
def hostile(place: Place) -> Iterator[tuple[asyncio.Runner, SQLStore, Place]]:
    place.run(*hostile_table(place.kind))
    mapped = {name: f"{name}_" for name in VALUES} | {"id": "id"}
    of = StoreTable("crm", place.url, "customers", "id", fields=mapped, attributes=mapped)
    with asyncio.Runner() as runner:
        store = runner.run(open_store(of, SystemClock()))
        yield runner, store, place
        runner.run(store.close())


def test_no_row_that_passes_stays_in_the_sieve(hostile: tuple[asyncio.Runner, SQLStore, Place]) -> None:
    runner, store, _place = hostile
    everyone = [row for batch in runner.run(batches(store)) for row in batch]
    shown = {row.key.customer_id: shown_of(row) for row in everyone}
    assert len(everyone) >= len(TEXT_VALUES)

    @settings(max_examples=50, deadline=None)
    @given(predicate=PREDICATES | PREDICATES.map(on_attributes))
    def attack(predicate: Predicate) -> None:
        meant = [r.key.customer_id for r in everyone if holds(predicate, r, shown[r.key.customer_id])]
        found = runner.run(ids(store, where=predicate, size=7))
        assert set(meant) <= set(found)
        if found:
            middle = found[len(found) // 2]
            assert runner.run(ids(store, middle, where=predicate)) == found[len(found) // 2 + 1 :]

    attack()
    assert len(runner.run(ids(store))) == len(everyone)


def test_every_comparison_with_every_value_lets_through_what_passes(
    hostile: tuple[asyncio.Runner, SQLStore, Place],
) -> None:
    runner, store, place = hostile
    everyone = [row for batch in runner.run(batches(store)) for row in batch]
    shown = {row.key.customer_id: shown_of(row) for row in everyone}
    constants: list[Constant] = ["", "a", "客", "2024-02-29", 1, 2**53, 0.1, True]
    tight = 0
    order = (Operator.EQ, Operator.LT, Operator.GE)
    for number, (name, constant) in enumerate(product(VALUES, constants)):
        asked = Operator.EQ if isinstance(constant, bool) else order[number % 3]
        predicate = Comparison(Column(name), asked, constant)
        meant = {r.key.customer_id for r in everyone if holds(predicate, r, shown[r.key.customer_id])}
        found = set(runner.run(ids(store, where=predicate)))
        assert meant <= found, (name, asked, constant)
        tight += len(found) < len(everyone)
    assert tight >= {"sqlite": 25, "postgresql": 12, "mariadb": 10}[place.kind]  # a sieve it is


async def test_a_constant_is_only_a_value(place: Place, opened: Open) -> None:
    store = await opened(
        "CREATE TABLE customers (id VARCHAR(40) PRIMARY KEY, name VARCHAR(60))",
        f"INSERT INTO customers VALUES {', '.join(f'({literal(place.kind, str(i))}, {literal(place.kind, text)})' for i, text in enumerate(TEXT_VALUES))}",
        fields={"name": "name"}, attributes={"name": "name"},
    )  # fmt: skip
    for is_attribute in (False, True):
        for number, text in enumerate(TEXT_VALUES):
            where = Comparison(Column("name", is_attribute), Operator.EQ, text)
            assert await ids(store, where=where) == [str(number)]
        hostile = 'name"; DROP TABLE customers; --'
        for column in (hostile, "id", "NAME", "`name`", ""):
            where = Comparison(Column(column, is_attribute), Operator.EQ, "x")
            assert len(await ids(store, where=where)) == len(
                TEXT_VALUES
            )  # not mapped: nothing that it could say
    assert await ids(store, where=AnyOf(())) == []
    assert len(store._scans) < SHAPES


async def test_a_filter_is_compiled_once_for_all_its_constants_and_shapes_do_not_pile_up(
    opened: Open,
) -> None:
    store = await opened(*table("VARCHAR(9) PRIMARY KEY", ["'a'", "'b'"]), fields={"id": "id"})
    for number in range(20):
        parts = [Comparison(Column("id"), Operator.EQ, f"{number}{i}") for i in range(100)]
        assert await ids(store, where=AllOf((AnyOf(tuple(parts)), ANYTHING))) == []
    assert len(store._scans) == 1
    orders = [Operator.EQ, Operator.NE, Operator.LT]
    for number in range(SHAPES + 17):
        parts = [Comparison(Column("id"), orders[number // 3**place_ % 3], "b") for place_ in range(4)]
        store._scans.selection(Scan(NOTHING, NOTHING, AnyOf(tuple(parts))))
    assert len(store._scans) <= SHAPES
    deep: Predicate = Comparison(Column("id"), Operator.EQ, "b")
    for _ in range(100):
        deep = AllOf((AnyOf((deep, AnyOf(()))), ANYTHING, Comparison(Column("id"), Operator.PRESENT)))
    assert await ids(store, where=deep) == ["a", "b"]
    long = AnyOf(tuple(Comparison(Column("id"), Operator.EQ, str(i)) for i in range(5000)))
    assert await ids(store, where=long) == ["a", "b"]  # too long to be handed over
