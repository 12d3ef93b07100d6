"""PostgreSQL as companies run it: behind TLS and passwords, with standbys that take over, and behind PgBouncer."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.clock import SystemClock
from fujie.adapters.identifiers import SystemIdentifiers
from fujie.adapters.ledger import IndexKey, ServerAccess, SQLLedger, open_ledger, upgrade
from fujie.adapters.ledger.home import SESSION
from fujie.adapters.ledger.postgresql import PLANS
from fujie.adapters.ledger.server import URL_ALONE
from fujie.adapters.stores.store import SQLStore, open_store
from fujie.adapters.stores.table import StoreTable
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import StoreKey
from fujie.model.errors import LedgerError, StartError, StoreError
from support import certificates
from support.clusters import PASSWORD, USER, Cluster, authority, pgbouncer
from support.postgresql import apart

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
IDENTIFIERS = SystemIdentifiers(SystemClock())
ONE = StoreKey("crm", "C-1")
NOTHING: frozenset[str] = frozenset()
CUSTOMERS = (
    "CREATE TABLE customers (id TEXT PRIMARY KEY, phone TEXT, name TEXT)",
    "INSERT INTO customers VALUES ('C-1', '+8613800138000', 'before')",
)

OpenLedger = Callable[..., Awaitable[SQLLedger]]
OpenStore = Callable[..., Awaitable[SQLStore]]


@cache
def primary() -> Cluster:
    """Return the server of this process, with a ledger and a store in the database `filled`, to make copies of."""
    cluster = Cluster.new()
    cluster.execute("CREATE DATABASE filled")
    apart(lambda: upgrade(cluster.url("filled")))
    cluster.execute(*CUSTOMERS, database="filled")
    return cluster


@pytest.fixture
def cluster() -> Cluster:
    return primary()


@pytest.fixture
def name(cluster: Cluster) -> Iterator[str]:
    with cluster.database("filled") as name:
        yield name


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    """The file of the authority that signed the server."""
    file = tmp_path / "ca.pem"
    file.write_bytes(authority().pem)
    return file


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n", "utf-8")
    return file


@pytest.fixture
async def ledger_at() -> AsyncIterator[OpenLedger]:
    opened: list[SQLLedger] = []

    async def ledger_at(url: str, access: ServerAccess = URL_ALONE) -> SQLLedger:
        index = IndexKey("index-1", b"\x01" * 32)
        opened.append(await open_ledger(url, index, IDENTIFIERS, lambda sid: sid.encode(), access))
        return opened[-1]

    yield ledger_at
    for ledger in opened:
        await ledger.close()


@pytest.fixture
async def store_at() -> AsyncIterator[OpenStore]:
    opened: list[SQLStore] = []

    async def store_at(url: str, **changes: Any) -> SQLStore:
        mapped: dict[str, Any] = {"table": "customers", "customer_id": "id", "phone": "phone", **changes}
        table = StoreTable("crm", url, attributes={"name": "name"}, **mapped)
        opened.append(await open_store(table, SystemClock()))
        return opened[-1]

    yield store_at
    for store in opened:
        await store.close()


async def named(store: SQLStore, timeout_s: float = 10.0) -> object:
    """Return the name of the customer, or the code of the error."""
    try:
        [row] = await store.fetch(ONE, NOTHING, frozenset({"name"}), timeout_s)
    except StoreError as error:
        return error.code
    return row.attributes["name"]


def event(sid: str, kind: ConsentEventType) -> ConsentEvent:
    return ConsentEvent(IDENTIFIERS.new_id(), sid, "marketing", kind, NOW, NOW, "agent")


def shown(*names: str) -> Callable[[Connection], dict[str, str]]:
    """Return what asks for settings of the session."""

    def work(connection: Connection) -> dict[str, str]:
        return {each: connection.execute(sa.text(f"SHOW {each}")).scalar_one() for each in names}

    return work


async def say(ledger: SQLLedger, customer_id: str, kind: ConsentEventType) -> None:
    identity = await ledger.enrol([StoreKey("crm", customer_id)], NOW)
    await ledger.record_consent(event(identity.sid, kind), "", "")


async def said(ledger: SQLLedger, customer_id: str) -> list[ConsentEventType]:
    identity = await ledger.find([StoreKey("crm", customer_id)])
    events = await ledger.consent_events(identity.sids, "marketing") if identity else ()
    return [event.type for event in events]


async def code_of(run: Awaitable[object]) -> str:
    """Return how it failed, or nothing."""
    try:
        await run
    except (LedgerError, StartError) as error:
        return error.code
    return ""


# TLS and passwords.


def tls(cluster: Cluster, name: str, ca: Path, host: str = "localhost", user: str = USER) -> str:
    return (
        f"postgresql://{user}@{host}:{cluster.port}/{name}?sslmode=verify-full&sslrootcert={quote(str(ca))}"
    )


async def test_a_ledger_and_a_store_are_reached_by_tls_and_the_password_of_a_file(
    cluster: Cluster, name: str, trusted: Path, password: Path, ledger_at: OpenLedger, store_at: OpenStore
) -> None:
    ledger = await ledger_at(tls(cluster, name, trusted), ServerAccess(password))
    await say(ledger, "C-1", ConsentEventType.WITHDRAWN)
    assert await said(ledger, "C-1") == [ConsentEventType.WITHDRAWN]
    store = await store_at(tls(cluster, name, trusted), password_file=password)
    assert await named(store) == "before"
    sessions = (
        f"SELECT ssl, version FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = '{name}'"
    )
    found = cluster.execute(sessions)
    assert len(found) >= 3
    assert {tuple(each) for each in found} == {(True, "TLSv1.3")}
    assert cluster.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'gate'")[0][0].startswith(
        "SCRAM"
    )


Wrong = Callable[[Cluster, str, Path, Path], str]
"""Spoils one thing and returns the URL to ask."""


def other_authority(cluster: Cluster, name: str, trusted: Path, _password: Path) -> str:
    trusted.write_bytes(certificates.authority().pem)
    return tls(cluster, name, trusted)


def other_host(cluster: Cluster, name: str, trusted: Path, _password: Path) -> str:
    return tls(cluster, name, trusted, host="127.0.0.1")


def other_password(cluster: Cluster, name: str, trusted: Path, password: Path) -> str:
    password.write_text(f"{PASSWORD}!\n", "utf-8")
    return tls(cluster, name, trusted)


def expired(cluster: Cluster, name: str, trusted: Path, _password: Path) -> str:
    cluster.stop("INT")
    cluster.certify(certificates.leaf(authority(), (certificates.DNS, b"localhost"), days=-1))
    cluster.start()
    return tls(cluster, name, trusted)


def without_tls(cluster: Cluster, name: str, trusted: Path, _password: Path) -> str:
    cluster.stop("INT")
    cluster.start("ssl=off")
    return tls(cluster, name, trusted)


@pytest.fixture
def mended(cluster: Cluster) -> Iterator[None]:
    yield
    cluster.stop("INT")
    cluster.certify(certificates.server(authority()))
    cluster.start()


@pytest.mark.parametrize("wrong", [other_authority, other_host, other_password, expired, without_tls])
@pytest.mark.usefixtures("mended")
async def test_what_is_not_the_server_that_was_meant_gets_nothing_and_is_refused(
    wrong: Wrong, cluster: Cluster, name: str, trusted: Path, password: Path, ledger_at: OpenLedger,
    store_at: OpenStore, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    url = wrong(cluster, name, trusted, password)
    with pytest.raises(StartError) as by_ledger:
        await ledger_at(url, ServerAccess(password))
    with pytest.raises(StartError) as by_store:
        await store_at(url, password_file=password)
    assert by_ledger.value.code == "LEDGER_UNAVAILABLE"
    assert by_store.value.code == "STORE_MISMATCH"
    for error in (by_ledger.value, by_store.value):
        assert "s3same" not in f"{error!r} {error} {error.remedy} {error.__cause__!r} {caplog.text}"


@pytest.mark.parametrize("mode", ["", "?sslmode=disable", "?sslmode=allow", "?sslmode=prefer"])
async def test_another_host_is_not_even_asked_without_tls(mode: str, ledger_at: OpenLedger) -> None:
    url = f"postgresql://{USER}:{PASSWORD}@db.example.com:5432/fujie{mode}"
    assert await code_of(ledger_at(url)) == "LEDGER_PLAINTEXT"


async def test_a_server_that_demands_tls_is_not_talked_into_plain_text(
    cluster: Cluster, name: str, password: Path, ledger_at: OpenLedger, store_at: OpenStore
) -> None:
    """This host may be reached without; what it says then is the server's."""
    url = f"postgresql://{USER}@localhost:{cluster.port}/{name}"
    refused = ledger_at(f"{url}?sslmode=disable", ServerAccess(password))
    assert await code_of(refused) == "LEDGER_UNAVAILABLE"
    assert await code_of(store_at(url, password_file=password)) == "STORE_MISMATCH"


# Standbys.


def both(first: Cluster, second: Cluster, name: str, ca: Path) -> str:
    url = tls(first, name, ca)
    return url.replace(f"localhost:{first.port}", f"localhost:{first.port},localhost:{second.port}")


@pytest.fixture
def standby(cluster: Cluster, name: str) -> Iterator[Cluster]:
    """A standby that has what `name` has, streams what comes, and is read from."""
    standby = cluster.standby("second")
    yield standby
    standby.remove()
    cluster.stop()
    cluster.start()  # the test may have ended it, or left it without who it waits for


async def test_a_standby_is_no_ledger_and_the_primary_is_found_beside_it(
    cluster: Cluster, standby: Cluster, name: str, trusted: Path, password: Path, ledger_at: OpenLedger
) -> None:
    standby.catch_up(cluster)
    assert standby.execute("SELECT count(*) FROM change_counter", database=name)[0][0] == 1
    assert (
        await code_of(ledger_at(tls(standby, name, trusted), ServerAccess(password)))
        == "LEDGER_UNAVAILABLE"
    )
    ledger = await ledger_at(both(standby, cluster, name, trusted), ServerAccess(password))
    await say(ledger, "C-1", ConsentEventType.GIVEN)


async def failed_over(cluster: Cluster, standby: Cluster, ledger: SQLLedger) -> None:
    """Lose the primary as by a crash; it is not answered from memory meanwhile; then the standby takes over."""
    cluster.stop()
    assert await code_of(said(ledger, "C-1")) == "LEDGER_UNAVAILABLE"
    standby.promote()


async def test_with_synchronous_replication_nothing_acknowledged_is_lost(
    cluster: Cluster, standby: Cluster, name: str, trusted: Path, password: Path, ledger_at: OpenLedger
) -> None:
    url = both(cluster, standby, name, trusted)
    cluster.stop("INT")
    cluster.start("synchronous_standby_names=second")
    cluster.until("EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')")
    ledger, other = [await ledger_at(url, ServerAccess(password)) for _ in range(2)]
    acknowledged = [f"C-{n}" for n in range(20)]
    for each in acknowledged:
        await say(ledger, each, ConsentEventType.WITHDRAWN)
    await other.follow()
    await failed_over(cluster, standby, ledger)
    restarted = await ledger_at(url, ServerAccess(password))
    for opened in (ledger, other, restarted):
        await opened.follow()
        assert [await said(opened, customer) for customer in acknowledged] == [
            [ConsentEventType.WITHDRAWN]
        ] * 20
        await say(opened, "C-new", ConsentEventType.GIVEN)


async def test_without_its_synchronous_standby_nothing_is_acknowledged(
    cluster: Cluster, standby: Cluster, name: str, ledger_at: OpenLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL calls a commit a success when the wait for the standby is cancelled, so no time limit of the session may."""
    monkeypatch.setitem(SESSION, "statement_timeout", "1000")  # of one statement, on any machine
    cluster.stop("INT")
    cluster.start("synchronous_standby_names=second")
    cluster.until("EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')")
    ledger = await ledger_at(cluster.url(name))
    await say(ledger, "C-1", ConsentEventType.GIVEN)
    standby.stop()
    monkeypatch.setattr("fujie.adapters.ledger.postgresql.WRITE_LIMIT_S", 2.0)
    assert await code_of(say(ledger, "C-1", ConsentEventType.WITHDRAWN)) == "LEDGER_UNAVAILABLE"


async def test_what_was_never_acknowledged_is_not_missed_after_a_failover(
    cluster: Cluster, standby: Cluster, name: str, trusted: Path, password: Path, ledger_at: OpenLedger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A wait for the standby that is cancelled commits where we are: whoever sees that would not believe the standby."""
    cluster.stop("INT")
    cluster.start("synchronous_standby_names=second")
    cluster.until("EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')")
    url = both(cluster, standby, name, trusted)
    writer, reader = [await ledger_at(url, ServerAccess(password)) for _ in range(2)]
    await say(writer, "C-1", ConsentEventType.GIVEN)
    await reader.follow()
    standby.detach()
    with monkeypatch.context() as hurried:
        hurried.setattr("fujie.adapters.ledger.postgresql.WRITE_LIMIT_S", 1.0)
        assert await code_of(say(writer, "C-1", ConsentEventType.WITHDRAWN)) == "LEDGER_UNAVAILABLE"
    for ledger in (writer, reader):
        await ledger.follow()
        assert await said(ledger, "C-1") == [ConsentEventType.GIVEN]
    await failed_over(cluster, standby, writer)
    standby.until("NOT pg_is_in_recovery()")
    for ledger in (writer, reader):
        assert await said(ledger, "C-1") == [ConsentEventType.GIVEN]
        await say(ledger, "C-2", ConsentEventType.GIVEN)


async def test_what_a_restart_shows_before_the_standby_has_it_is_not_believed_and_not_missed(
    cluster: Cluster, standby: Cluster, name: str, trusted: Path, password: Path, ledger_at: OpenLedger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A primary that ends while COMMIT waits for the standby has committed it, for all to see, once it is back."""
    monkeypatch.setitem(SESSION, "statement_timeout", "1000")  # of one statement, on any machine
    cluster.stop("INT")
    cluster.start("synchronous_standby_names=second")
    cluster.until("EXISTS (SELECT FROM pg_stat_replication WHERE sync_state = 'sync')")
    url = both(cluster, standby, name, trusted)
    writer, reader = [await ledger_at(url, ServerAccess(password)) for _ in range(2)]
    await say(writer, "C-1", ConsentEventType.GIVEN)
    standby.detach()
    with monkeypatch.context() as hurried:
        hurried.setattr(
            "fujie.adapters.ledger.postgresql.WRITE_LIMIT_S", 2.0
        )  # it comes as far as the COMMIT
        assert await code_of(say(writer, "C-1", ConsentEventType.WITHDRAWN)) == "LEDGER_UNAVAILABLE"
        for limit in ("READ_LIMIT_S", "WRITE_LIMIT_S"):
            hurried.setattr(f"fujie.adapters.ledger.postgresql.{limit}", 0.5)
        cluster.stop()
        cluster.start("synchronous_standby_names=second")
        shown = "SELECT type FROM consent_event ORDER BY change_seq"
        assert [row[0] for row in cluster.execute(shown, database=name)] == ["given", "withdrawn"]
        for ledger in (writer, reader):
            assert await code_of(ledger.follow()) == "LEDGER_UNAVAILABLE"
            assert await code_of(said(ledger, "C-1")) == "LEDGER_UNAVAILABLE"
            assert await code_of(say(ledger, "C-1", ConsentEventType.GIVEN)) == "LEDGER_UNAVAILABLE"
    await failed_over(cluster, standby, writer)
    standby.until("NOT pg_is_in_recovery()")
    for ledger in (writer, reader):
        await ledger.follow()
        assert await said(ledger, "C-1") == [ConsentEventType.GIVEN]
        await say(ledger, "C-2", ConsentEventType.GIVEN)


async def test_a_withdrawal_that_asynchronous_replication_lost_closes_whoever_saw_it(
    cluster: Cluster, standby: Cluster, name: str, trusted: Path, password: Path, ledger_at: OpenLedger
) -> None:
    url = both(cluster, standby, name, trusted)
    writer, reader = [await ledger_at(url, ServerAccess(password)) for _ in range(2)]
    await say(writer, "C-1", ConsentEventType.GIVEN)
    standby.catch_up(cluster)
    standby.detach()
    await say(writer, "C-1", ConsentEventType.WITHDRAWN)
    await reader.follow()  # as every worker does five times a second
    await failed_over(cluster, standby, writer)
    standby.until("NOT pg_is_in_recovery()")
    for ledger in (writer, reader):
        assert await code_of(said(ledger, "C-1")) == "LEDGER_ROLLED_BACK"
    stranger = await ledger_at(url, ServerAccess(password))
    assert await said(stranger, "C-1") == [ConsentEventType.GIVEN]  # whoever never saw it can not know
    assert await code_of(stranger.follow(1000)) == "LEDGER_ROLLED_BACK"  # but may be told
    stranger = await ledger_at(url, ServerAccess(password))
    for n in range(5):  # the counter comes past what was seen
        await say(stranger, f"C-{n}", ConsentEventType.GIVEN)
    for ledger in (writer, reader):
        assert await code_of(ledger.follow()) == "LEDGER_ROLLED_BACK"
        assert await code_of(said(ledger, "C-1")) == "LEDGER_ROLLED_BACK"
        assert await code_of(say(ledger, "C-1", ConsentEventType.GIVEN)) == "LEDGER_ROLLED_BACK"


async def test_a_writer_notices_by_itself_that_its_ledger_was_restored(
    cluster: Cluster, name: str, ledger_at: OpenLedger
) -> None:
    """On the connections that it has: nothing broke."""
    ledger = await ledger_at(cluster.url(name))
    await say(ledger, "C-1", ConsentEventType.WITHDRAWN)
    cluster.execute("UPDATE change_counter SET value = value - 1", database=name)
    assert await code_of(say(ledger, "C-2", ConsentEventType.GIVEN)) == "LEDGER_ROLLED_BACK"
    assert await code_of(said(ledger, "C-1")) == "LEDGER_ROLLED_BACK"


async def test_many_who_write_and_look_at_once_are_no_alarm(
    cluster: Cluster, name: str, ledger_at: OpenLedger
) -> None:
    ledgers = [await ledger_at(cluster.url(name)) for _ in range(3)]

    async def look(ledger: SQLLedger) -> None:
        for _ in range(60):
            await ledger.follow()

    async def write(ledger: SQLLedger) -> None:
        for n in range(10):
            await say(ledger, f"C-{n}", ConsentEventType.GIVEN)

    await asyncio.gather(*(act(each) for each in ledgers for act in (look, look, write)))


async def test_a_replica_is_read_as_it_stands_and_not_missed_when_it_dies(
    cluster: Cluster, standby: Cluster, name: str, store_at: OpenStore
) -> None:
    store = await store_at(through(cluster.port, name), replicas=(through(standby.port, name),))
    standby.catch_up(cluster)
    standby.execute("SELECT pg_wal_replay_pause()")
    standby.until("pg_get_wal_replay_pause_state() = 'paused'")
    cluster.execute("UPDATE customers SET name = 'after'", database=name)
    assert await named(store) == "before"  # it lags: the row is old, and whole
    standby.execute("SELECT pg_wal_replay_resume()")
    standby.catch_up(cluster)
    assert await named(store) == "after"
    cluster.execute("UPDATE customers SET name = 'latest'", database=name)
    standby.stop()
    assert [await named(store) for _ in range(4)] == ["latest"] * 4
    cluster.stop()
    assert await named(store, 1.0) in ("STORE_UNAVAILABLE", "STORE_TIMEOUT")


# PgBouncer.


def through(port: int, name: str) -> str:
    return f"postgresql://open@127.0.0.1:{port}/{name}"


async def test_pgbouncer_in_session_mode_changes_nothing(
    cluster: Cluster, ledger_at: OpenLedger, store_at: OpenStore
) -> None:
    """As Debian ships it: it is told of no setting of ours. The ledger is new, so two migrate it at once."""
    with pgbouncer(cluster, "session") as port, cluster.database() as name:
        first, second = await asyncio.gather(*(ledger_at(through(port, name)) for _ in range(2)))
        direct = await ledger_at(cluster.url(name))
        await asyncio.gather(*(say(first, f"C-{n}", ConsentEventType.WITHDRAWN) for n in range(10)))
        for n in range(10):
            assert await said(second, f"C-{n}") == [ConsentEventType.WITHDRAWN]
        names = (*SESSION, *PLANS, "search_path")
        assert await first.database.transact(shown(*names)) == await direct.database.transact(shown(*names))
        assert (await first.database.transact(shown("synchronous_commit")))["synchronous_commit"] == "on"
        cluster.execute(*CUSTOMERS, database=name)
        store = await store_at(through(port, name), connections=2)
        assert await asyncio.gather(*(named(store) for _ in range(6))) == ["before"] * 6
        locker = await asyncpg.connect(cluster.url(name))
        async with locker.transaction():
            await locker.execute("LOCK TABLE customers IN ACCESS EXCLUSIVE MODE")
            assert await named(store, 0.3) == "STORE_TIMEOUT"
        await locker.close()
        assert await named(store) == "before"
        for opened in (first, second, store):
            await opened.close()


@pytest.mark.parametrize(
    ("mode", "setting"),
    [("transaction", ""), ("transaction", "server_round_robin = 1"), ("statement", "")],
    ids=["last in first out", "in turn", "by statement"],
)
async def test_a_pooler_that_shares_sessions_is_refused_and_left_as_it_was(
    mode: str, setting: str, cluster: Cluster, name: str, ledger_at: OpenLedger, store_at: OpenStore
) -> None:
    with pgbouncer(cluster, mode, setting) as port:
        if mode == "transaction":  # several sessions lie ready
            crowd = [await asyncpg.connect(through(port, name)) for _ in range(3)]
            for each in crowd:
                await each.execute("BEGIN")
            for each in crowd:
                await each.execute("COMMIT")
        for _ in range(3):
            with pytest.raises(StartError, match="a pooler in front of the ledger") as by_ledger:
                await ledger_at(through(port, name))
            assert by_ledger.value.code == "LEDGER_UNSUPPORTED"
            with pytest.raises(StartError, match="PoolerSharesSessions") as by_store:
                await store_at(through(port, name))
            assert by_store.value.code == "STORE_MISMATCH"
        if mode == "transaction":
            for each in crowd:
                await each.execute("BEGIN")
            for each in crowd:
                assert await each.fetchval("SHOW enable_seqscan") == "on"
                assert await each.fetchval("SHOW default_transaction_read_only") == "off"
                each.terminate()


async def test_a_pooler_that_has_no_session_left_is_waited_for_and_no_longer(
    cluster: Cluster, name: str, ledger_at: OpenLedger
) -> None:
    with pgbouncer(cluster, "session", "default_pool_size = 1") as port:
        assert await code_of(ledger_at(through(port, name))) == "LEDGER_UNAVAILABLE"
