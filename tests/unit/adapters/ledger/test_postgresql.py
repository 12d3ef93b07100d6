"""The ledger on PostgreSQL under attack: lost connections at every message, deadlocks, locks, dead hosts."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import await_only

from fujie.adapters.ledger import (
    KeptCheckpoint,
    ServerAccess,
    SQLLedger,
    postgresql,
    readers,
)
from fujie.adapters.ledger.aliases import person
from fujie.adapters.ledger.database import members, padded_size
from fujie.adapters.ledger.home import SESSION
from fujie.adapters.ledger.postgresql import PostgreSQLDatabase
from fujie.adapters.ledger.tables import metadata
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import LedgerError, StartError
from fujie.model.page import Slice
from fujie.model.principal import Principal
from fujie.model.suppression import Suppression, SuppressionFilter, SuppressionScope
from support.identities import IDENTIFIERS
from support.ledgers import opened
from support.postgresql import database, server, wait_until_alone
from support.wire import Fault, Wire

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SOURCE = Path(__file__).parents[4] / "proxy"
KEY, PHONE = StoreKey("crm", "C-7700123"), Phone("+8613800138000")


def event(sid: str, kind: ConsentEventType = ConsentEventType.GIVEN) -> ConsentEvent:
    return ConsentEvent(IDENTIFIERS.new_id(), sid, "marketing", kind, NOW, NOW, "agent")


def scalar(statement: str) -> Callable[[Connection], Any]:
    return lambda connection: connection.execute(sa.text(statement)).scalar_one()


# A connection that is lost. Writes: test_lost_messages.py.


@pytest.mark.parametrize("fault", [Fault.REQUEST_LOST, Fault.ANSWER_LOST])
async def test_a_read_whose_connection_breaks_is_answered(far: SQLLedger, wire: Wire, fault: Fault) -> None:
    identity = await far.enrol([KEY, PHONE], NOW)
    for at in range(3):
        wire.arm(fault, at)
        for _ in range(4):
            assert await far.find([KEY, PHONE]) == identity
        assert not wire.disarm()


async def test_connections_that_died_while_idle_are_replaced_without_an_error(
    ledger: SQLLedger, far: SQLLedger, wire: Wire
) -> None:
    sid = (await far.enrol([KEY], NOW)).sid

    async def busy() -> None:  # so that every connection of both kinds is open
        reads = (far.find([KEY]) for _ in range(20))
        counts = (far.database.transact(scalar("SELECT 1")) for _ in range(20))
        await asyncio.gather(*reads, *counts)

    def terminate_others(connection: Connection) -> None:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    async def cut() -> None:
        wire.cut()

    for kill in (cut, lambda: ledger.database.transact(terminate_others)):
        await busy()
        await kill()
        await busy()
        await kill()
        await far.record_consent(event(sid), "", "")
    assert len(await far.consent_events([sid], "")) == 2


async def test_a_connection_that_was_idle_for_long_is_not_trusted(
    ledger: SQLLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A firewall forgets it and says nothing: a read on it would wait for its time limit."""
    identity = await ledger.enrol([KEY], NOW)
    database = ledger.database
    assert isinstance(database, PostgreSQLDatabase)
    first = database._readers._idle[-1][0]
    assert await ledger.find([KEY]) == identity
    assert database._readers._idle[-1][0] is first
    monkeypatch.setattr(readers, "IDLE_LIMIT_S", 0.0)
    assert await ledger.find([KEY]) == identity
    assert first not in [connection for connection, _ in database._readers._idle]


async def test_a_ledger_closes_whose_idle_connections_the_server_has_ended(url: str) -> None:
    ledger = await opened(url)
    await asyncio.gather(*(ledger.find([KEY]) for _ in range(4)))
    database = ledger.database
    assert isinstance(database, PostgreSQLDatabase)
    end = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    others = " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    await asyncio.to_thread(server().execute, end + others, database=database_of(url))
    async with asyncio.timeout(5):
        for connection, _ in database._readers._idle:
            await connection._holder.wait_until_released()
    await ledger.close()
    with pytest.raises(LedgerError):
        await ledger.find([KEY])


async def test_an_unreachable_server_closes_and_its_return_opens(far: SQLLedger, wire: Wire) -> None:
    identity = await far.enrol([KEY], NOW)
    wire.accepts = False
    wire.cut()
    for call in (far.find([KEY]), far.record_consent(event(identity.sid), "", ""), far.directory.get("a")):
        with pytest.raises(LedgerError):
            await call
    wire.accepts = True
    assert await far.find([KEY]) == identity
    await far.record_consent(event(identity.sid), "", "")


async def test_a_server_that_falls_silent_is_not_waited_for(
    far: SQLLedger, ledger: SQLLedger, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    sid = (await far.enrol([KEY], NOW)).sid
    for limit in ("READ_LIMIT_S", "WRITE_LIMIT_S", "CONNECT_LIMIT_S"):
        monkeypatch.setattr(postgresql, limit, 0.2)
    wire.arm(Fault.SILENCE, 0)
    calls = [far.find([KEY]), *(far.record_consent(event(sid), "", "") for _ in range(20))]
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {LedgerError}
    wire.disarm()
    wire.cut()
    monkeypatch.undo()
    assert (await far.enrol([KEY], NOW)).sid == sid
    assert await ledger.consent_events([sid], "") == []


async def test_a_caller_who_goes_away_harms_nobody(far: SQLLedger, ledger: SQLLedger, wire: Wire) -> None:
    """Whenever it was: the write is whole or absent, and its connection serves the next."""
    sid = (await far.enrol([KEY], NOW)).sid
    await far.record_consent(event(sid), "", "")
    for at in range(12):
        gone = list[asyncio.Future[Any]]([wire.passed(at)])
        call = asyncio.create_task(far.record_consent(event(sid), f"request-{at}", "digest"))
        gone.append(call)
        await asyncio.wait(gone, return_when=asyncio.FIRST_COMPLETED)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        again = await far.record_consent(event(sid), f"request-{at}", "digest")
        assert [e for e in await ledger.consent_events([sid], "") if e == again] == [again]
        assert len(await ledger.consent_events([sid], "")) == at + 2


# Turns.


async def test_writers_that_read_before_they_write_lose_nothing(ledger: SQLLedger, url: str) -> None:
    """The read of `work` is still true when it commits, in whatever process the others are."""
    await ledger.checkpoints.keep(KeptCheckpoint("counter", "", 0))

    def increase(connection: Connection) -> None:
        size = scalar("SELECT size FROM checkpoint")(connection)
        connection.execute(sa.text("UPDATE checkpoint SET size = :size"), {"size": size + 1})

    others = [await opened(url) for _ in range(3)]
    await asyncio.gather(*(each.database.write(increase) for each in (ledger, *others) for _ in range(15)))
    assert await ledger.database.write(scalar("SELECT size FROM checkpoint")) == 60
    for each in others:
        await each.close()


async def test_transactions_are_beside_writes_and_each_other(ledger: SQLLedger) -> None:
    await ledger.checkpoints.keep(KeptCheckpoint("counter", "", 0))
    inside, go_on = asyncio.Event(), asyncio.Event()

    def hold(connection: Connection) -> None:
        connection.execute(sa.text("UPDATE checkpoint SET size = size + 1"))
        inside.set()
        await_only(go_on.wait())

    held = asyncio.create_task(ledger.database.transact(hold))
    await inside.wait()
    await ledger.directory.upsert(Principal("alice"), NOW)
    assert await ledger.database.transact(scalar("SELECT size FROM checkpoint")) == 0
    assert not held.done()
    go_on.set()
    await held
    assert await ledger.database.transact(scalar("SELECT size FROM checkpoint")) == 1


async def test_a_counter_with_a_limit_is_exact(ledger: SQLLedger, url: str) -> None:
    await ledger.checkpoints.keep(KeptCheckpoint("counter", "", 0))
    other = await opened(url)

    def take(connection: Connection) -> bool:
        taken = connection.execute(
            sa.text("UPDATE checkpoint SET size = size + 1 WHERE size < 25 RETURNING size")
        )
        return taken.first() is not None

    taken = await asyncio.gather(
        *(each.database.transact(take) for each in (ledger, other) for _ in range(30))
    )
    assert taken.count(True) == 25
    await other.close()


async def test_a_deadlock_is_undone_and_run_again(ledger: SQLLedger) -> None:
    for name in ("a", "b"):
        await ledger.checkpoints.keep(KeptCheckpoint(name, "", 0))
    met, runs = asyncio.Barrier(2), list[str]()

    def crossing(first: str, second: str) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            runs.append(first)
            change = sa.text("UPDATE checkpoint SET size = size + 1 WHERE origin = :origin")
            connection.execute(change, {"origin": first})
            if runs.count(first) == 1:
                await_only(met.wait())
            connection.execute(change, {"origin": second})

        return work

    database = ledger.database
    await asyncio.gather(database.transact(crossing("a", "b")), database.transact(crossing("b", "a")))
    assert len(runs) == 3
    assert await ledger.database.write(scalar("SELECT sum(size) FROM checkpoint")) == 4


@pytest.mark.parametrize("kind", ["write", "transact"])
@pytest.mark.parametrize("state", ["40001", "40P01", "23505", "08006"])
async def test_only_what_is_undone_is_run_again_and_not_forever(
    ledger: SQLLedger, state: str, kind: str
) -> None:
    runs = 0

    def fail(connection: Connection) -> None:
        nonlocal runs
        runs += 1
        connection.execute(sa.text("UPDATE change_counter SET value = value + 100"))
        connection.execute(
            sa.text(f"DO $$ BEGIN RAISE EXCEPTION 'seeded' USING ERRCODE = '{state}'; END $$")
        )

    with pytest.raises(LedgerError) as failed:
        await getattr(ledger.database, kind)(fail)
    assert runs == (1 if state == "23505" else postgresql.ATTEMPTS)
    assert "seeded" not in str(failed.value)
    assert await ledger.database.write(scalar("SELECT value FROM change_counter")) == 0


async def test_an_error_that_work_swallows_is_not_taken_for_a_commit(ledger: SQLLedger) -> None:
    """PostgreSQL answers COMMIT of such a transaction with ROLLBACK, and the driver says nothing."""

    def careless(connection: Connection) -> str:
        connection.execute(sa.text("UPDATE change_counter SET value = 77"))
        with suppress(DBAPIError):
            connection.execute(sa.text("INSERT INTO change_counter VALUES (1, 0)"))
        return "done"

    with pytest.raises(LedgerError):
        await ledger.database.write(careless)
    assert await ledger.database.write(scalar("SELECT value FROM change_counter")) == 0


async def test_a_ledger_without_its_counter_is_not_written_and_not_believed(ledger: SQLLedger) -> None:
    await ledger.directory.upsert(Principal("bob"), NOW)
    await ledger.database.transact(
        lambda connection: connection.execute(sa.text("DELETE FROM change_counter"))
    )
    with pytest.raises(LedgerError):
        await ledger.directory.upsert(Principal("alice"), NOW)
    with pytest.raises(LedgerError) as lost:
        await ledger.follow()
    assert lost.value.code == "LEDGER_ROLLED_BACK"


async def test_that_a_ledger_went_back_is_told_once_and_before_anybody_is_refused(
    ledger: SQLLedger,
) -> None:
    happened = list[str]()
    await ledger.directory.upsert(Principal("bob"), NOW)
    ledger.database.when_gone_back(lambda: happened.append("told"))
    await ledger.directory.upsert(Principal("alice"), NOW)
    assert happened == []
    await ledger.database.transact(
        lambda connection: connection.execute(sa.text("UPDATE change_counter SET value = value - 1"))
    )
    for name in ("alice", "bob"):
        try:
            await ledger.directory.upsert(Principal(name, roles=frozenset({"support"})), NOW)
        except LedgerError as error:
            happened.append(error.code)
    assert happened == ["told", "LEDGER_ROLLED_BACK", "LEDGER_ROLLED_BACK"]
    ledger.database.when_gone_back(lambda: happened.append("told late"))
    assert happened[3:] == ["told late"]


async def test_who_holds_the_turn_forever_stops_writes_and_no_reads(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SESSION, "lock_timeout", "200")
    ledger, other = await opened(url), await opened(url)
    identity = await ledger.enrol([KEY], NOW)
    inside, go_on = asyncio.Event(), asyncio.Event()

    def hold(connection: Connection) -> None:
        scalar("SELECT value FROM change_counter FOR UPDATE")(connection)
        inside.set()
        await_only(go_on.wait())

    monkeypatch.setattr(postgresql, "WRITE_LIMIT_S", 60.0)
    held = asyncio.create_task(other.database.transact(hold))
    await inside.wait()
    monkeypatch.setattr(postgresql, "WRITE_LIMIT_S", 1.5)
    blocked = [ledger.record_consent(event(identity.sid), "", "") for _ in range(30)]
    writes = asyncio.gather(*blocked, return_exceptions=True)
    reads = 0
    while not writes.done() or reads < 5:  # the turn is held all the time
        assert await ledger.find([KEY]) == identity
        reads += 1
    assert {type(result) for result in writes.result()} == {LedgerError}
    monkeypatch.setattr(postgresql, "WRITE_LIMIT_S", 60.0)
    go_on.set()
    await held
    await ledger.record_consent(event(identity.sid), "", "")
    assert len(await ledger.consent_events([identity.sid], "")) == 1
    await ledger.close()
    await other.close()


async def test_a_process_that_hangs_in_its_turn_loses_it(
    url: str, ledger: SQLLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SESSION, "idle_in_transaction_session_timeout", "500")
    hanging = await opened(url)
    inside, go_on = asyncio.Event(), asyncio.Event()
    runs = 0

    def hang(connection: Connection) -> None:
        nonlocal runs
        runs += 1
        inside.set()
        if runs == 1:
            await_only(go_on.wait())
        connection.execute(sa.text("UPDATE change_counter SET value = value + 100"))

    held = asyncio.create_task(hanging.database.write(hang))
    await inside.wait()
    await ledger.directory.upsert(Principal("alice"), NOW)
    go_on.set()
    await held
    assert runs >= 2  # on a crowded machine a second run may take as long as it hung, too
    assert await ledger.database.write(scalar("SELECT value FROM change_counter")) == 101
    await hanging.close()


# Several processes.

CHILD = """
import asyncio, sys
from datetime import UTC, datetime
from fujie.adapters.clock import SystemClock
from fujie.adapters.identifiers import SystemIdentifiers
from fujie.adapters.ledger import IndexKey, open_ledger
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import Phone, StoreKey
NOW = datetime(2026, 3, 1, tzinfo=UTC)
ids = SystemIdentifiers(SystemClock())
def event(sid): return ConsentEvent(ids.new_id(), sid, "marketing", ConsentEventType.GIVEN, NOW, NOW, "agent")
def say(*words): print(*words, flush=True)
async def main(url):
    ledger = await open_ledger(url, IndexKey("i1", b"i" * 32), ids, str.encode)
    BODY
    await ledger.close()
asyncio.run(main(sys.argv[1]))
"""


def start(body: str, url: str) -> subprocess.Popen[str]:
    code = CHILD.replace("BODY", body.strip().replace("\n", "\n    "))
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    return subprocess.Popen(
        [sys.executable, "-c", code, url], env=environment, stdout=subprocess.PIPE, text=True
    )


async def test_processes_that_migrate_and_write_at_once_agree_and_lose_nothing() -> None:
    body = """
for n in range(15):
    identity = await ledger.enrol([StoreKey("crm", str(n)), Phone(f"+86138001380{n:02d}")], NOW)
    await ledger.record_consent(event(identity.sid), "", "")
    await ledger.record_consent(event(identity.sid), f"request-{n}", "digest")
    say(identity.sid)
"""
    with database() as name:
        url = server().url(name)
        processes = [start(body, url) for _ in range(3)]
        outputs = [(await asyncio.to_thread(process.communicate))[0].split() for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0]
        assert outputs[0] == outputs[1] == outputs[2]
        assert len(set(outputs[0])) == 15
        ledger = await opened(url)
        assert await ledger.database.write(scalar("SELECT count(*) FROM consent_event")) == 15 * (3 + 1)
        assert await ledger.database.write(scalar("SELECT value FROM change_counter")) == 15 * (3 + 4)
        await ledger.close()


async def test_what_was_acknowledged_survives_kill_9(url: str, ledger: SQLLedger) -> None:
    body = """
while True:
    customer = ids.new_id()
    identity = await ledger.enrol([StoreKey("crm", customer)], NOW)
    recorded = await ledger.record_consent(event(identity.sid), customer, "digest")
    say(customer, identity.sid, recorded.record_id)
"""
    process = await asyncio.to_thread(start, body, url)
    assert process.stdout is not None
    lines = [await asyncio.to_thread(process.stdout.readline) for _ in range(25)]
    process.kill()
    lines += [line for line in process.communicate()[0].splitlines() if line.count(" ") == 2]
    for customer, sid, record_id in map(str.split, lines):
        identity = await ledger.find([StoreKey("crm", customer)])
        assert identity is not None
        assert identity.sid == sid
        assert [e.record_id for e in await ledger.consent_events([sid], "")] == [record_id]
    await ledger.directory.upsert(Principal("alice"), NOW)  # who was killed in his turn has lost it


# What sessions ask of the server.


async def test_sessions_are_durable_and_bounded_whatever_the_defaults(url: str) -> None:
    name = url.rpartition("?")[0].rpartition("/")[2]
    for parameter, value in (
        ("synchronous_commit", "off"),
        ("statement_timeout", "0"),
        ("lock_timeout", "0"),
    ):
        server().execute(f"ALTER DATABASE {name} SET {parameter} = '{value}'")
    server().execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    ledger = await opened(url)
    for run in (ledger.database.write, ledger.database.transact):
        found = {name: await run(scalar(f"SHOW {name}")) for name in SESSION}
        assert found == {
            "application_name": "fujie",
            "synchronous_commit": "on",
            "default_transaction_isolation": "read committed",
            "statement_timeout": "3s",
            "lock_timeout": "2s",
            "idle_in_transaction_session_timeout": "5s",
            "row_security": "off",
        }
        assert await run(scalar("SHOW transaction_isolation")) == "read committed"
    await ledger.close()


# Tables that are not what they seem.


def database_of(url: str) -> str:
    return url.rpartition("?")[0].rpartition("/")[2]


def opt_out(sid: str) -> Suppression:
    return Suppression(IDENTIFIERS.new_id(), sid, SuppressionScope(), NOW, NOW, "agent", "reply")


async def test_a_schema_in_front_that_comes_later_hides_nothing(url: str, ledger: SQLLedger) -> None:
    """`"$user"` stands before `public` in every default search_path."""
    sid = (await ledger.enrol([KEY], NOW)).sid
    server().execute(
        "CREATE SCHEMA postgres",
        *(f'CREATE TABLE postgres."{name}" (LIKE public."{name}")' for name in metadata.tables),
        database=database_of(url),
    )
    await ledger.add_suppression(opt_out(sid), "", "")
    reads = (ledger.suppressions([sid]) for _ in range(2 * postgresql.READ_CONNECTIONS))
    assert [len(found) for found in await asyncio.gather(*reads)] == [1] * 2 * postgresql.READ_CONNECTIONS
    assert await ledger.find([KEY]) is not None


async def test_a_table_of_another_schema_in_front_is_refused(url: str) -> None:
    server().execute(
        "CREATE SCHEMA postgres",
        "CREATE TABLE postgres.suppression (LIKE public.suppression)",
        database=database_of(url),
    )
    with pytest.raises(StartError) as refused:
        await opened(url)
    assert refused.value.code == "LEDGER_UNSUPPORTED"


async def test_a_policy_that_hides_rows_closes(url: str, ledger: SQLLedger) -> None:
    """An opt-out that is not seen would be none."""
    sid = (await ledger.enrol([KEY], NOW)).sid
    await ledger.add_suppression(opt_out(sid), "", "")
    server().execute(
        "DROP ROLE IF EXISTS hidden_from",
        "CREATE ROLE hidden_from LOGIN",
        "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO hidden_from",
        "ALTER TABLE suppression ENABLE ROW LEVEL SECURITY",
        database=database_of(url),
    )
    gate = await opened(server().url(database_of(url), "hidden_from"))
    with pytest.raises(LedgerError, match="InsufficientPrivilege"):
        await gate.suppressions([sid])
    await gate.close()
    server().execute("DROP OWNED BY hidden_from", "DROP ROLE hidden_from", database=database_of(url))


@pytest.mark.parametrize(
    "dropping",
    [
        "CREATE RULE quiet AS ON INSERT TO consent_event DO INSTEAD NOTHING",
        "CREATE TRIGGER quiet BEFORE INSERT ON consent_event FOR EACH ROW EXECUTE FUNCTION nothing()",
    ],
)
async def test_a_table_that_may_drop_what_it_is_given_is_refused(url: str, dropping: str) -> None:
    """PostgreSQL reports such an INSERT as done, and a withdrawal would be acknowledged that is nowhere."""
    function = "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
    server().execute(function, dropping, database=database_of(url))
    with pytest.raises(StartError) as refused:
        await opened(url)
    assert refused.value.code == "LEDGER_UNSUPPORTED"


async def test_reads_find_by_index_whether_they_were_planned_on_an_empty_ledger_or_a_full_one(
    url: str, ledger: SQLLedger
) -> None:
    """Whatever the planner knows of the tables: nothing after a restore, the wrong thing later."""
    numbers = "FROM generate_series(1, 20000) AS n"
    sid = "'sid_' || n"

    async def read(ledger: SQLLedger) -> None:
        for count in (1, 2, 7):
            await ledger.find([StoreKey("crm", f"C-{n}") for n in range(count)])
            sids = [f"sid_{n}" for n in range(1, count + 1)]
            await ledger.database.rows(person(padded_size(count)), members(sids))
            await ledger.consent_events(sids, "marketing")
            await ledger.consent_page(sids, sids[0], "", Slice(size=10))
            await ledger.suppressions(sids)
            await ledger.suppression_page(SuppressionFilter(sids=tuple(sids)), Slice(size=10))
        await ledger.directory.get("alice")
        await ledger.directory.has_administrator()

    for _ in range(10):
        await read(ledger)
    server().execute(
        *(
            f"ALTER TABLE {name} SET (autovacuum_enabled = off)"
            for name in ("subject", "alias", "suppression")
        ),
        f"INSERT INTO subject SELECT {sid}, 'k', 0, false, n {numbers}",
        f"INSERT INTO alias SELECT 'phone', '', 'i1', sha256(n::text::bytea), {sid}, 0, NULL, n {numbers}",
        f"INSERT INTO suppression SELECT 's' || n, {sid}, '', '', '', 0, 0, '', '', '', NULL, '', n {numbers}",
        database=database_of(url),
    )
    server().execute(  # it takes them for larger, as a table of a million rows is
        "UPDATE pg_class SET relpages = 1, reltuples = 100000 WHERE relname IN ('alias', 'suppression')",
        database=database_of(url),
    )
    later = await opened(url)
    for _ in range(3):
        await read(ledger)
        await read(later)
    await ledger.close()
    await later.close()
    wait_until_alone(url)
    scans = "SELECT relname, seq_tup_read FROM pg_stat_user_tables WHERE seq_tup_read > 1000"
    assert server().execute(scans, database=database_of(url)) == []


async def test_a_server_that_accepts_no_writes_is_refused(url: str) -> None:
    name = url.rpartition("?")[0].rpartition("/")[2]
    server().execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with pytest.raises(StartError) as refused:
        await opened(url)
    assert refused.value.code == "LEDGER_UNAVAILABLE"


async def test_a_database_that_does_not_hold_all_text_is_refused() -> None:
    name = "ledger_latin1"
    server().execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    try:
        with pytest.raises(StartError) as refused:
            await opened(server().url(name))
        assert refused.value.code == "LEDGER_UNSUPPORTED"
    finally:
        server().drop(name)


async def test_a_current_ledger_needs_a_role_without_rights_on_the_schema(url: str) -> None:
    name = url.rpartition("?")[0].rpartition("/")[2]
    server().execute(
        "DROP ROLE IF EXISTS narrow",
        "CREATE ROLE narrow LOGIN",
        "GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO narrow",
        database=name,
    )
    ledger = await opened(server().url(name, "narrow"))
    identity = await ledger.enrol([KEY, PHONE], NOW)
    await ledger.record_consent(event(identity.sid), "", "")
    await ledger.directory.upsert(Principal("alice"), NOW)
    await ledger.checkpoints.keep(KeptCheckpoint("gate/w0", "note", 1))
    with pytest.raises(LedgerError, match="InsufficientPrivilege"):
        await ledger.database.write(lambda connection: connection.execute(sa.text("DROP TABLE alias")))
    await ledger.close()
    server().execute("DROP OWNED BY narrow", "DROP ROLE narrow", database=name)


async def test_a_password_is_read_from_its_file_and_told_to_nobody(url: str, tmp_path: Path) -> None:
    name = url.rpartition("?")[0].rpartition("/")[2]
    server().execute(
        "DROP ROLE IF EXISTS guarded", "CREATE ROLE guarded SUPERUSER LOGIN PASSWORD 's3same-open'"
    )
    server().demand_password("guarded")
    guarded, file = server().url(name, "guarded"), tmp_path / "password"
    file.write_text("s3same-open\n")
    ledger = await opened(guarded, ServerAccess(file))
    await ledger.close()
    ledger = await opened(guarded.replace("guarded@", "guarded:s3same-open@"))
    await ledger.close()
    file.write_text("s3same-shut\n")
    for bad_url, access in (
        (guarded, ServerAccess(file)),
        (guarded, ServerAccess()),
        (guarded.replace("guarded@", "guarded:s3same-shut@"), ServerAccess()),
    ):
        with pytest.raises(StartError) as refused:
            await opened(bad_url, access)
        assert refused.value.code == "LEDGER_UNAVAILABLE"
        assert "s3same" not in f"{refused.value!r} {refused.value} {refused.value.remedy}"


async def test_values_are_not_told_by_errors(ledger: SQLLedger, caplog: pytest.LogCaptureFixture) -> None:
    for act in (
        ledger.directory.get("canary-1\udfff"),
        ledger.directory.upsert(Principal("canary-1\0"), NOW),
        ledger.record_consent(event("canary-1"), "canary-1", ""),
    ):
        with pytest.raises(LedgerError) as failed:
            await act
        assert "canary" not in str(failed.value)
        assert failed.value.__suppress_context__
    assert "canary" not in caplog.text


async def test_the_database_holds_no_phone_and_no_customer_id(ledger: SQLLedger) -> None:
    people: list[list[CustomerRef]] = [[KEY, PHONE], [StoreKey("crm", "C-7700124"), PHONE]]
    for n, refs in enumerate(people):
        identity = await ledger.enrol(refs, NOW)
        await ledger.record_consent(event(identity.sid), f"request-{n}", "digest")

    def everything(connection: Connection) -> str:
        tables = metadata.tables.values()
        return "".join(str(row) for table in tables for row in connection.execute(sa.select(table)))

    stored = await ledger.database.write(everything)
    assert identity.sid in stored
    assert not any(secret in stored for secret in ("13800138000", "7700123", "7700124"))
