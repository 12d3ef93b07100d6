"""Stores on servers: deadlines reach them, hanging and cut connections do no harm, and indexes are used."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from fujie.adapters.clock import SystemClock
from fujie.adapters.stores import postgresql_pool
from fujie.adapters.stores.mysql import MySQLPool
from fujie.adapters.stores.store import SQLStore, open_store
from fujie.adapters.stores.table import PhoneFormat, StoreTable
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import StartError, StoreError
from fujie.model.vocabulary import KeyKind
from support import mariadb
from support.databases import InMariaDB, InPostgreSQL, place_of
from support.lossy import Lossy, lossy

Server = InPostgreSQL | InMariaDB
Open = Callable[..., Awaitable[SQLStore]]
NOTHING: frozenset[str] = frozenset()
ONE = StoreKey("crm", "C-1")
PATIENCE_S = 60
"""No measure: what hangs for so long hangs for ever."""


@pytest.fixture(params=["postgresql", "mariadb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    with place_of(request.param, tmp_path) as place:
        assert isinstance(place, InPostgreSQL | InMariaDB)
        place.run(
            "CREATE TABLE customers (id VARCHAR(40) PRIMARY KEY, phone VARCHAR(40), last4 CHAR(4))",
            "INSERT INTO customers VALUES ('C-1', '+8613800138000', '8000')",
        )
        yield place


@pytest.fixture
async def relay(place: Server) -> AsyncIterator[Lossy]:
    async with lossy(place.socket) as relay:
        yield relay


@pytest.fixture
async def opened(place: Server) -> AsyncIterator[Open]:
    stores: list[SQLStore] = []

    async def opened(url: str = "", **changes: Any) -> SQLStore:
        mapped: dict[str, Any] = {"table": "customers", "customer_id": "id", "phone": "phone", **changes}
        stores.append(await open_store(StoreTable("crm", url or place.url, **mapped), SystemClock()))
        return stores[-1]

    yield opened
    async with asyncio.timeout(PATIENCE_S):
        for store in stores:
            await store.close()


async def outcome(store: SQLStore, timeout_s: float, ref: CustomerRef = ONE) -> str:
    """Return the id that was found, or the code of the error; nothing else may come, and come it must."""
    async with asyncio.timeout(PATIENCE_S):
        try:
            rows = await store.fetch(ref, NOTHING, NOTHING, timeout_s)
        except StoreError as error:
            return f"leaked {error}" if "C-1" in str(error) else error.code
        return ",".join(row.key.customer_id for row in rows)


def running(place: Server) -> list[Any]:
    """Return the statements of our sessions that run at this moment."""
    if isinstance(place, InPostgreSQL):
        return list(place.run(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'fujie' AND state = 'active'"
            f" AND datname = '{place.name}'"
        ))  # fmt: skip
    return list(place.run(
        "SELECT id FROM information_schema.processlist WHERE command <> 'Sleep'"
        f" AND user = '{mariadb.USER}' AND db = '{place.name}'"
    ))  # fmt: skip


def sessions(place: Server) -> list[Any]:
    if isinstance(place, InPostgreSQL):
        return list(
            place.run(
                f"SELECT pid FROM pg_stat_activity WHERE application_name = 'fujie' AND datname = '{place.name}'"
            )
        )
    return list(
        place.run(
            f"SELECT id FROM information_schema.processlist WHERE user = '{mariadb.USER}' AND db = '{place.name}'"
        )
    )


def end_sessions(place: Server) -> None:
    for (session,) in sessions(place):
        how = "SELECT pg_terminate_backend({})" if isinstance(place, InPostgreSQL) else "KILL {}"
        place.run(how.format(session))


def forget_idle(store: SQLStore) -> None:
    """Make the next look-up connect; a PostgreSQL store has no connection yet."""
    if isinstance(store._source, MySQLPool):
        store._source._close_idle()


def slow_view(place: Server) -> None:
    if isinstance(place, InPostgreSQL):
        place.run(
            "CREATE VIEW slow AS SELECT c.* FROM customers c, LATERAL (SELECT pg_sleep(600) WHERE c.id <> '') s"
        )
    else:
        place.run("CREATE VIEW slow AS SELECT id, phone FROM customers WHERE SLEEP(600) + LENGTH(id) > 0")


async def test_the_deadline_ends_the_statement_on_the_server_too(place: Server, opened: Open) -> None:
    slow_view(place)
    store = await opened(table="slow", connections=2)
    results = await asyncio.gather(*(outcome(store, 0.4) for _ in range(8)))
    assert set(results) == {"STORE_TIMEOUT"}
    async with asyncio.timeout(PATIENCE_S):
        while running(place):  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.05)


async def test_never_more_connections_than_the_limit(place: Server, opened: Open) -> None:
    store = await opened(connections=3)
    forget_idle(store)
    async with asyncio.timeout(PATIENCE_S):
        while sessions(place):  # noqa: ASYNC110 - a server ends a session a moment after its client left
            await asyncio.sleep(0.02)
    with place.locked("customers"):
        calls = [asyncio.ensure_future(outcome(store, 30.0)) for _ in range(20)]
        async with asyncio.timeout(PATIENCE_S):
            while len(running(place)) < 3:  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.02)
        assert len(sessions(place)) == 3
    assert await asyncio.gather(*calls) == ["C-1"] * 20


@pytest.mark.parametrize("packets", range(6))
async def test_a_server_that_stops_answering_costs_the_deadline_and_no_more(
    place: Server, relay: Lossy, opened: Open, packets: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_pool, "CANCEL_S", 0.1)
    store = await opened(place.through(relay.port), connections=2)
    forget_idle(store)
    relay.fail("stall", packets)
    assert set(await asyncio.gather(*(outcome(store, 0.2) for _ in range(4)))) <= {"STORE_TIMEOUT", "C-1"}
    relay.fail("", 0)
    rounds: list[str] = []
    async with asyncio.timeout(PATIENCE_S):  # an idle connection that hangs is only found by using it
        while rounds != ["C-1"] * 4:
            rounds = await asyncio.gather(*(outcome(store, 0.3) for _ in range(4)))


@pytest.mark.parametrize("packets", range(6))
async def test_one_cut_connection_costs_nobody_an_answer(
    place: Server, relay: Lossy, opened: Open, packets: int
) -> None:
    store = await opened(place.through(relay.port), connections=1)
    forget_idle(store)
    relay.fail("cut", packets, connections=1)
    for _ in range(4):
        assert await outcome(store, 10.0) == "C-1"


async def test_a_server_that_cuts_every_connection_is_unavailable_at_once(
    place: Server, relay: Lossy, opened: Open
) -> None:
    store = await opened(place.through(relay.port), connections=2)
    for packets in range(5):
        relay.fail("cut", packets)
        assert await outcome(store, 30.0) in {"STORE_UNAVAILABLE", "C-1"}
    relay.fail("", 0)
    assert await outcome(store, 10.0) == "C-1"


async def test_idle_connections_that_the_server_ends_are_replaced_unseen(
    place: Server, opened: Open
) -> None:
    store = await opened(connections=3)
    for _ in range(3):
        assert await asyncio.gather(*(outcome(store, 10.0) for _ in range(6))) == ["C-1"] * 6
        end_sessions(place)
    assert await asyncio.gather(*(outcome(store, 10.0) for _ in range(6))) == ["C-1"] * 6


async def test_a_restarted_server_is_found_again(tmp_path: Path, opened: Open, place: Server) -> None:
    if isinstance(place, InPostgreSQL):
        pytest.skip(
            "the PostgreSQL of the process is shared with the ledger's tests; its sessions are ended above"
        )
    store = await opened(connections=2)
    assert await outcome(store, 10.0) == "C-1"
    mariadb.server().stop()
    assert await outcome(store, 10.0) == "STORE_UNAVAILABLE"
    mariadb.server().start()
    assert await asyncio.gather(*(outcome(store, 10.0) for _ in range(4))) == ["C-1"] * 4


async def test_a_hanging_server_does_not_hold_up_the_end(
    place: Server, relay: Lossy, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_pool, "CANCEL_S", 0.1)
    store = await opened(place.through(relay.port))
    relay.fail("stall", 3)
    calls = [asyncio.ensure_future(outcome(store, 30.0)) for _ in range(3)]
    await asyncio.sleep(0.1)
    async with asyncio.timeout(PATIENCE_S):
        await store.close()
        assert set(await asyncio.gather(*calls)) <= {"STORE_UNAVAILABLE", "STORE_TIMEOUT", "C-1"}


FORMS = {
    "varchar": "VARCHAR(40)",
    "char": "CHAR(20)",
    "bigint": "BIGINT",
    "decimal": "NUMERIC(20, 0)",
    "folded": "",
}


@pytest.mark.parametrize("column", FORMS.values(), ids=FORMS)
async def test_every_way_to_find_somebody_uses_the_index(place: Server, opened: Open, column: str) -> None:
    if not column:
        if isinstance(place, InPostgreSQL):
            pytest.skip("a matter of MySQL's charsets")
        column = "VARCHAR(40) CHARACTER SET latin1 COLLATE latin1_german1_ci"
    numbers = "generate_series(1, 4000) AS n" if isinstance(place, InPostgreSQL) else "seq_1_to_4000"
    n = "n" if isinstance(place, InPostgreSQL) else "seq"
    place.run(
        f"CREATE TABLE many (id {column} PRIMARY KEY, phone {column}, last4 CHAR(4), idx CHAR(64))",
        f"INSERT INTO many SELECT 10000 + {n}, 13800000000 + {n}, RIGHT(CONCAT('000', {n}), 4), md5(CONCAT({n}, '')) FROM {numbers}",
        "CREATE INDEX by_phone ON many (phone)",
        "CREATE INDEX by_last4 ON many (last4, id)",
        "CREATE INDEX by_idx ON many (idx)",
        "ANALYZE many" if isinstance(place, InPostgreSQL) else "ANALYZE TABLE many",
    )
    store = await opened(table="many", phone_format=PhoneFormat.NATIONAL, last_four="last4")
    hashed = await opened(table="many", phone=None, phone_hmac="idx", index_key=b"k" * 32)
    by_id = store._statements.lookup(KeyKind.CUSTOMER_ID, NOTHING, NOTHING)
    by_phone = store._statements.lookup(KeyKind.PHONE, NOTHING, NOTHING)
    by_hmac = hashed._statements.lookup(KeyKind.PHONE, NOTHING, NOTHING)
    search = store._statements.search(NOTHING, NOTHING)
    many = store._statements.gathering(NOTHING)
    chunk = list(many.possible([str(10_000 + n) for n in range(1, 61)]).items())
    for text, arguments in (
        (many.text, many.arguments(chunk)),
        (by_id.text, by_id.arguments(StoreKey("crm", "10042"))),
        (by_phone.text, by_phone.arguments(Phone("+8613800000042"))),
        (by_hmac.text, by_hmac.arguments(Phone("+8613800000042"))),
        (search.text, search.arguments("0042", 5)),
    ):
        assert arguments is not None
        plan = await explained(place, text, arguments)
        assert "Seq Scan" not in plan, plan
        assert "ALL" not in plan, plan
        assert "Index" in plan or "by_" in plan or "PRIMARY" in plan, plan
    assert await outcome(store, 10.0, Phone("+8613800000042")) == "10042"
    keys = [StoreKey("crm", customer_id) for customer_id, _ in chunk]
    assert len(await store.fetch_many(keys, NOTHING, 10.0)) == 60
    assert await outcome(store, 10.0, StoreKey("crm", "10042")) == "10042"


async def test_a_table_that_appears_in_front_answers_for_nobody(place: Server, opened: Open) -> None:
    """`"$user"` stands before `public` in every default search_path of PostgreSQL; MySQL has no such thing."""
    if isinstance(place, InMariaDB):
        pytest.skip("a matter of PostgreSQL's search_path")
    store = await opened()
    place.run(
        "CREATE SCHEMA postgres",
        "CREATE TABLE postgres.customers AS SELECT 'C-1' AS id, '+8613900139000' AS phone, '9000' AS last4",
    )
    try:
        [row] = await store.fetch(ONE, NOTHING, NOTHING, 10.0)
        assert row.phone == "+8613800138000"
    finally:
        place.run("DROP SCHEMA postgres CASCADE")


async def test_callers_without_time_take_nothing_from_the_next(place: Server, opened: Open) -> None:
    """A millisecond is over somewhere else every time: before, within or after the connecting, the read, the return."""
    store = await opened(connections=2)
    before = asyncio.all_tasks()
    for round_ in range(12):
        hurried = [outcome(store, 0.0005 * (1 + (round_ + n) % 16)) for n in range(16)]
        gone = [asyncio.ensure_future(outcome(store, 30.0)) for _ in range(8)]
        for n, call in enumerate(gone):
            asyncio.get_running_loop().call_later(0.0003 * n * round_, call.cancel)
        assert set(await asyncio.gather(*hurried)) <= {"STORE_TIMEOUT", "C-1"}
        await asyncio.gather(*gone, return_exceptions=True)
        assert await outcome(store, 30.0) == "C-1"
    async with asyncio.timeout(PATIENCE_S):
        while len(sessions(place)) > 2 or asyncio.all_tasks() - before:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)
    assert await asyncio.gather(*(outcome(store, 30.0) for _ in range(8))) == ["C-1"] * 8


async def explained(place: Server, text: str, arguments: tuple[object, ...]) -> str:
    if isinstance(place, InPostgreSQL):
        connection = await asyncpg.connect(place.url)
        try:
            return "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {text}", *arguments))
        finally:
            await connection.close()

    def run() -> str:
        with closing(mariadb.server().connect(place.name)) as connection, connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN {text}", arguments)
            return "\n".join(str(row) for row in cursor.fetchall())

    return await asyncio.to_thread(run)


async def test_where_tls_is_demanded_a_server_without_it_gets_no_password(
    place: Server, relay: Lossy, opened: Open
) -> None:
    seen: list[bytes] = []
    pump = relay._pump

    async def watched(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, packets: int = -1
    ) -> None:
        write = writer.write

        def noted(chunk: bytes | bytearray | memoryview) -> None:
            seen.append(bytes(chunk))
            write(chunk)

        writer.write = noted  # type: ignore[method-assign, assignment]  # to see what crosses the network
        await pump(reader, writer, packets)

    relay._pump = watched  # type: ignore[method-assign]
    with pytest.raises(StartError) as refused:
        await opened(f"{place.through(relay.port)}?sslmode=verify-full")
    assert refused.value.code == "STORE_MISMATCH"
    assert seen
    assert b"SELECT" not in b"".join(seen)
    assert place.name.encode() not in b"".join(seen)  # the client's part of the handshake names it


async def test_tls_is_used_when_it_is_demanded_and_only_with_the_named_authority(
    opened: Open, place: Server
) -> None:
    if isinstance(place, InPostgreSQL):
        pytest.skip("the PostgreSQL of the wheel listens on a socket only")
    port, authority = mariadb.server().port, mariadb.server().certificate
    place.run(f"ALTER USER '{mariadb.USER}'@'localhost' REQUIRE SSL")
    try:
        store = await opened(
            f"{place.through(port)}?sslmode=verify-full&sslrootcert={authority}", connections=2
        )
        assert await asyncio.gather(*(outcome(store, 10.0) for _ in range(6))) == ["C-1"] * 6
        with place.locked("customers"):
            assert await outcome(store, 0.3) == "STORE_TIMEOUT"
        assert await outcome(store, 10.0) == "C-1"
        for url in (place.through(port), f"{place.through(port)}?sslmode=verify-full"):
            with pytest.raises(StartError):
                await opened(url)
    finally:
        place.run(f"ALTER USER '{mariadb.USER}'@'localhost' REQUIRE NONE")
