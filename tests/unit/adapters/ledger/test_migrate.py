"""Migrations and metadata agree on every database, go up and down, and refuse what they do not know."""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from fujie.adapters.ledger import ServerAccess, migrate, postgresql, sqlite
from fujie.adapters.ledger.migrate import HEAD, migration_config, upgrade
from fujie.adapters.ledger.server import is_server, server_of
from fujie.adapters.ledger.sqlite import file_of, writing_engine
from fujie.adapters.ledger.tables import metadata
from fujie.app.process import START_S
from fujie.model.errors import StartError
from support.postgresql import database, server

T = TypeVar("T")


@contextmanager
def sqlite_url() -> Iterator[str]:
    with TemporaryDirectory() as directory:
        yield f"sqlite:///{directory}/ledger.db"


@contextmanager
def postgresql_url() -> Iterator[str]:
    with database() as name:
        yield server().url(name)


DATABASES = {"sqlite": sqlite_url, "postgresql": postgresql_url}


@pytest.fixture(params=list(DATABASES.values()), ids=list(DATABASES))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with request.param() as url:
        yield url


async def within(url: str, work: Callable[[Connection], T]) -> T:
    """Run `work` in a transaction on the database at `url`."""
    if not is_server(url):
        engine = writing_engine(file_of(url))
        try:
            with engine.begin() as connection:
                return work(connection)
        finally:
            engine.dispose()
    several = postgresql.writing_engine(server_of(url, ServerAccess()))
    try:
        async with several.begin() as shared:
            return await shared.run_sync(work)
    finally:
        await several.dispose()


def execute(statement: str) -> Callable[[Connection], list[Any]]:
    def work(connection: Connection) -> list[Any]:
        result = connection.execute(sa.text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []

    return work


def condition(index: Mapping[str, Any]) -> str:
    options = index.get("dialect_options", {})
    return str([str(options[name]) for name in ("sqlite_where", "postgresql_where") if name in options])


def test_the_head_that_a_current_ledger_is_told_by_is_that_of_the_scripts() -> None:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        assert ScriptDirectory.from_config(migration_config(connection)).get_heads() == [HEAD]
    engine.dispose()


def schema(connection: Connection) -> dict[str, Any]:
    """Return everything that the inspector tells of each of our tables."""
    look = sa.inspect(connection)
    return {
        name: (
            [{**column, "type": str(column["type"])} for column in look.get_columns(name)],
            look.get_pk_constraint(name),
            sorted(map(str, look.get_foreign_keys(name))),
            sorted(map(str, look.get_unique_constraints(name))),
            sorted(
                (str(index["name"]), index["column_names"], index["unique"], condition(index))
                for index in look.get_indexes(name)
            ),
            sorted(map(str, look.get_check_constraints(name))),
        )
        for name in look.get_table_names()
        if name != "alembic_version"
    }


@pytest.mark.parametrize("kind", DATABASES)
async def test_migrations_make_exactly_the_tables_of_the_metadata(kind: str) -> None:
    with DATABASES[kind]() as migrated, DATABASES[kind]() as created:
        await upgrade(migrated)
        await within(created, metadata.create_all)
        found = await within(migrated, schema)
        assert found == await within(created, schema)
        assert found.keys() == metadata.tables.keys()
        difference = await within(
            migrated, lambda connection: compare_metadata(MigrationContext.configure(connection), metadata)
        )
        assert difference == []


def test_every_table_that_somebody_follows_has_a_unique_change_seq() -> None:
    without = {
        name
        for name, table in metadata.tables.items()
        if "change_seq" not in table.c or not table.c.change_seq.unique
    }
    # read when asked, by everybody; or written with a row that has one, and never changed
    of_use = {"usage_count", "usage_customer", "usage_trace", "approval_role"}
    of_sending = {"message", "campaign_count", "heard"}
    of_the_log = {"disclosure", "disclosure_position"}  # made from the log, asked by hand
    of_exports = {
        "export",
        "export_chunk",
        "export_member",
        "export_opening",
    }  # a row for each customer that leaves
    assert without == {"change_counter", *of_use, *of_sending, *of_the_log, *of_exports}


async def test_migrations_go_down_to_nothing_and_up_again(url: str) -> None:
    await upgrade(url)
    before = await within(url, schema)
    await within(url, lambda connection: command.downgrade(migration_config(connection), "base"))
    assert await within(url, schema) == {}
    await upgrade(url)
    assert await within(url, schema) == before


async def test_opt_outs_of_an_earlier_build_stay_and_claim_no_entry(url: str) -> None:
    """Nothing is made up for them; and who goes back to that build loses no opt-out either."""
    await within(url, lambda connection: command.upgrade(migration_config(connection), "0002"))
    rows = (
        "INSERT INTO subject (sid, created_at, is_linked, change_seq) VALUES ('s1', 1, false, 1)",
        """INSERT INTO suppression (suppression_id, sid, purpose, channel, brand, event_time, received_at, source,
        evidence_ref, actor, request_digest, change_seq)
        VALUES ('o1', 's1', '', '', '', 1, 1, '', '', 'desk', '', 2)""",
        """INSERT INTO suppression_lift (suppression_id, method, evidence_ref, event_time, received_at, actor, change_seq)
        VALUES ('o1', 'signed_letter', 'letter-1', 2, 2, 'desk', 3)""",
    )
    for row in rows:
        await within(url, execute(row))
    await upgrade(url)
    tables = ("suppression", "suppression_lift")
    for table in tables:
        found = await within(url, execute(f"SELECT suppression_id, entry_origin, entry_index FROM {table}"))
        assert found == [("o1", None, None)]
    await within(url, lambda connection: command.downgrade(migration_config(connection), "0002"))
    for table in tables:
        assert await within(url, execute(f"SELECT suppression_id FROM {table}")) == [("o1",)]


async def test_who_goes_back_to_a_build_without_exports_loses_no_customer(url: str) -> None:
    await upgrade(url)
    rows = (
        "INSERT INTO subject (sid, created_at, is_linked, change_seq) VALUES ('s1', 1, false, 1)",
        "INSERT INTO export_member (sid, export_id, number) VALUES ('s1', 'e1', 0)",
    )
    for row in rows:
        await within(url, execute(row))
    await within(url, lambda connection: command.downgrade(migration_config(connection), "0006"))
    assert not {name for name in await within(url, schema) if name.startswith("export")}
    assert await within(url, execute("SELECT sid FROM subject")) == [("s1",)]
    await upgrade(url)
    assert await within(url, execute("SELECT * FROM export_member")) == []


async def test_members_of_earlier_exports_are_found_by_a_later_build_and_by_an_earlier_one_again(
    url: str,
) -> None:
    await within(url, lambda connection: command.upgrade(migration_config(connection), "0013"))
    rows = sorted((f"s{n}", f"e{n % 3}", n % 2) for n in range(8))
    for sid, export_id, number in rows:
        row = (
            f"INSERT INTO export_member (sid, export_id, number) VALUES ('{sid}', '{export_id}', {number})"
        )
        await within(url, execute(row))
    before = await within(url, schema)
    await upgrade(url)
    read = "SELECT sid, export_id, number FROM export_member ORDER BY sid"
    assert await within(url, execute(read)) == rows
    await within(url, lambda connection: command.downgrade(migration_config(connection), "0013"))
    assert await within(url, execute(read)) == rows
    assert await within(url, schema) == before


async def test_who_was_suspended_by_an_earlier_build_is_suspended_by_nobody_in_particular(url: str) -> None:
    """No provisioner finds its own id there, so that only a person lifts it."""
    await within(url, lambda connection: command.upgrade(migration_config(connection), "0011"))
    row = """INSERT INTO principal (id, kind, roles, department, employment, training, attributes, is_administrator, updated_at,
        change_seq) VALUES ('li.na', 'EMPLOYEE', '["support"]', '', 'SUSPENDED', 'NONE', '{}', false, 1, 1)"""
    await within(url, execute(row))
    await upgrade(url)
    read = "SELECT id, employment, suspended_by FROM principal"
    assert await within(url, execute(read)) == [("li.na", "SUSPENDED", "")]
    await within(url, execute("UPDATE principal SET suspended_by = 'idp'"))
    await within(url, lambda connection: command.downgrade(migration_config(connection), "0011"))
    assert await within(url, execute("SELECT id, employment FROM principal")) == [("li.na", "SUSPENDED")]
    await upgrade(url)
    assert await within(url, execute(read)) == [("li.na", "SUSPENDED", "")]


async def test_a_current_ledger_keeps_its_counter(url: str) -> None:
    await upgrade(url)
    await within(url, execute("UPDATE change_counter SET value = 41"))
    await upgrade(url)
    assert await within(url, execute("SELECT id, value FROM change_counter")) == [(1, 41)]


async def test_a_migration_that_fails_leaves_nothing(url: str) -> None:
    await within(url, execute("CREATE TABLE consent_event (x integer)"))  # among the last that are made
    with pytest.raises(StartError) as refused:
        await upgrade(url)
    assert refused.value.code == "LEDGER_UNAVAILABLE"
    assert (await within(url, schema)).keys() == {"consent_event"}


def test_many_can_create_one_ledger_at_once(url: str) -> None:
    """Threads of their own, as SQLite's wait holds the thread; processes do it in `test_postgresql`."""
    failures = list[BaseException]()

    def run() -> None:
        try:
            asyncio.run(upgrade(url))
        except BaseException as error:
            failures.append(error)

    # Alembic's context is one per process: only what waits outside of it may come together here.
    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


async def test_several_can_create_one_ledger_at_once_in_one_loop(url: str) -> None:
    await asyncio.gather(*(upgrade(url) for _ in range(5)))
    assert (await within(url, schema)).keys() == metadata.tables.keys()


@contextmanager
def slow_migration(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let a thread of its own migrate the ledger and not commit before the end of the block."""
    monkeypatch.setattr(sqlite, "WRITE_BUSY_S", 0.05)
    to_head = migrate._to_head
    has_migrated, may_commit = threading.Event(), threading.Event()

    def slowly(connection: Connection, tell: migrate.Tell) -> None:
        to_head(connection, tell)
        if not has_migrated.is_set():
            has_migrated.set()
            may_commit.wait()

    monkeypatch.setattr(migrate, "_to_head", slowly)
    with ThreadPoolExecutor(1) as thread:
        slow = thread.submit(lambda: asyncio.run(upgrade(url)))
        try:
            assert has_migrated.wait(120)
            yield
        finally:
            may_commit.set()
        slow.result()


def test_who_meets_a_migration_waits_for_it_and_goes_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with ThreadPoolExecutor(1) as thread:
        with slow_migration(url, monkeypatch):
            later = thread.submit(lambda: asyncio.run(upgrade(url)))
            with pytest.raises(TimeoutError):
                later.result(0.6)  # many times what a write waits
        later.result()
    assert asyncio.run(within(url, schema)).keys() == metadata.tables.keys()


def test_a_migration_that_never_ends_is_told_with_what_to_do(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrate, "WAIT_S", 0.3)
    monkeypatch.setitem(migrate._SESSION, "lock_timeout", "300")
    with slow_migration(url, monkeypatch), pytest.raises(StartError) as refused:
        asyncio.run(upgrade(url))
    assert refused.value.code == "LEDGER_UNAVAILABLE"
    assert "locked for 0.3 s" in str(refused.value)
    assert "let it finish, or end it" in refused.value.remedy


async def test_a_migration_is_told_before_it_begins_and_behind_its_end_and_a_current_ledger_is_not(
    url: str,
) -> None:
    """Who started the process gives it up behind `START_S`, and what is given up begins from the beginning."""
    told = list[bool]()
    await upgrade(url, tell=told.append)
    assert told == [True, False]
    await upgrade(url, tell=told.append)
    assert told == [True, False]


async def test_a_migration_that_fails_is_told_to_be_over(url: str) -> None:
    await upgrade(url)
    await within(url, execute("UPDATE alembic_version SET version_num = '9999'"))
    told = list[bool]()
    with pytest.raises(StartError):
        await upgrade(url, tell=told.append)
    assert told == [True, False]


def test_the_event_loop_goes_on_while_a_ledger_is_migrated(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must hear the orders of the server, and say that it migrates."""
    to_head, may_end = migrate._to_head, threading.Event()

    def waiting(connection: Connection, tell: migrate.Tell) -> None:
        to_head(connection, tell)
        if not is_server(url):  # PostgreSQL is waited for on the loop itself
            assert may_end.wait(60)

    async def migrated() -> None:
        migrating = asyncio.ensure_future(upgrade(url))
        for _ in range(100):
            await asyncio.sleep(0)
        may_end.set()
        await migrating

    monkeypatch.setattr(migrate, "_to_head", waiting)
    asyncio.run(migrated())


def test_a_worker_that_waited_in_vain_still_has_the_time_to_say_so() -> None:
    assert migrate.WAIT_S + sqlite.WRITE_BUSY_S + 10 <= START_S
    assert migrate._SESSION["lock_timeout"] == "45000"


async def test_a_ledger_of_a_later_build_is_refused(url: str) -> None:
    await upgrade(url)
    await within(url, execute("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StartError) as refused:
        await upgrade(url)
    assert refused.value.code == "LEDGER_NEWER"


@pytest.mark.parametrize("kind", ["text", "directory", "nowhere"])
async def test_what_is_no_ledger_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "ledger.db"
    if kind == "text":
        path.write_text("this is not a database, but it is long enough to be read as one" * 20)
    elif kind == "directory":
        path.mkdir()
    else:
        path = tmp_path / "missing" / "ledger.db"
    with pytest.raises(StartError) as refused:
        await upgrade(f"sqlite:///{path}")
    assert refused.value.code == "LEDGER_UNAVAILABLE"


def test_a_percent_sign_in_the_path_is_only_a_character(tmp_path: Path) -> None:
    directory = tmp_path / "100%(x)s"
    directory.mkdir()
    asyncio.run(upgrade(f"sqlite:///{directory}/ledger.db".replace("%", "%25")))
    assert list(tmp_path.iterdir()) == [directory]
