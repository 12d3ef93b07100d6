"""Reads of one turn of the event loop share a transaction, and nobody misses what was acknowledged before he asked."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.schema import CreateTable

from fujie.adapters.compiled import CompiledSelect
from fujie.adapters.ledger import sqlite as sqlite_module
from fujie.adapters.ledger.database import Query
from fujie.adapters.ledger.given import given_rows
from fujie.adapters.ledger.sqlite import SQLiteDatabase, connect
from fujie.adapters.ledger.usage import _COUNTED
from fujie.adapters.ledger.usage_tables import usage_customer
from fujie.model.errors import LedgerError

NUMBER = sa.table("number", sa.column("n", sa.Integer))


def _n(row: Sequence[Any]) -> int:
    return int(row[0])


def _run(statement: sa.Executable, connection: sa.Connection) -> None:
    connection.execute(statement)


READ = Query(sa.select(NUMBER.c.n), _n)
BROKEN = Query(sa.select(sa.table("nothing", sa.column("n", sa.Integer)).c.n), _n)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SQLiteDatabase]:
    with closing(connect(tmp_path / "ledger.db", 1.0)) as other:
        other.execute("CREATE TABLE number (n INTEGER)")
        other.execute("INSERT INTO number VALUES (0)")
    opened = SQLiteDatabase(tmp_path / "ledger.db")
    yield opened
    await opened.close()


@pytest.fixture
def elsewhere(tmp_path: Path, database: SQLiteDatabase) -> sqlite3.Connection:
    """Another process, as far as SQLite can tell."""
    return connect(tmp_path / "ledger.db", 1.0)


async def test_who_asks_after_an_acknowledgement_sees_it_however_many_read_in_that_turn(
    database: SQLiteDatabase, elsewhere: sqlite3.Connection
) -> None:
    acknowledged = 0
    missed = []

    async def asks() -> None:
        before = acknowledged  # what he can know of when he is made ready
        await asyncio.sleep(0)
        for _ in range(3):
            [seen] = await database.rows(READ, {})
            if seen < before:
                missed.append((before, seen))

    waiting = set[asyncio.Task[None]]()
    with closing(elsewhere):
        for turn in range(1, 300):
            waiting |= {asyncio.create_task(asks()) for _ in range(turn % 5)}
            await database.rows(READ, {})  # somebody has begun the turn's transaction
            elsewhere.execute("UPDATE number SET n = ?", (turn,))
            acknowledged = turn
            waiting |= {asyncio.create_task(asks()) for _ in range(turn % 3)}
            await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert not missed


async def test_the_reads_of_a_turn_agree_and_those_of_the_next_are_new(
    database: SQLiteDatabase, elsewhere: sqlite3.Connection
) -> None:
    with closing(elsewhere):
        assert await database.rows(READ, {}) == [0]
        elsewhere.execute("UPDATE number SET n = 1")
        assert await database.rows(READ, {}) == [0]
        await asyncio.sleep(0)
        assert await database.rows(READ, {}) == [1]


async def test_what_is_of_now_sees_what_was_committed_meanwhile_and_so_does_who_reads_behind_it(
    database: SQLiteDatabase, elsewhere: sqlite3.Connection
) -> None:
    """A turn of a hundred look-ups is long: the last of them are of a time at which somebody was told that it is over."""
    of_now = Query(READ.select, _n, is_of_now=True)
    with closing(elsewhere):
        for n in range(1, 4):
            await database.rows(READ, {})
            elsewhere.execute("UPDATE number SET n = ?", (n,))
            assert await database.rows(READ, {}) == [n - 1]
            assert await database.rows(of_now, {}) == await database.rows(READ, {}) == [n]
        await asyncio.sleep(0)
        assert not database._reader.in_transaction


async def test_who_wrote_reads_what_he_wrote(database: SQLiteDatabase) -> None:
    for n in range(50):
        await database.rows(READ, {})
        changed = sa.update(NUMBER).values(n=n)
        await database.write(partial(_run, changed))
        assert await database.rows(READ, {}) == [n]


async def test_a_read_that_fails_closes_nothing_to_the_next(database: SQLiteDatabase) -> None:
    for _ in range(2):
        with pytest.raises(LedgerError):
            await database.rows(BROKEN, {})
        assert await database.rows(READ, {}) == [0]
        await asyncio.sleep(0)


def _may_begin_only(action: int, what: str | None, *_: object) -> int:
    return (
        sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_TRANSACTION and what != "BEGIN"
        else sqlite3.SQLITE_OK
    )


async def test_a_turn_that_can_not_be_ended_shows_nothing_old_and_closes_no_later_one(
    database: SQLiteDatabase, elsewhere: sqlite3.Connection
) -> None:
    with closing(elsewhere):
        assert await database.rows(READ, {}) == [0]
        database._reader.set_authorizer(_may_begin_only)
        elsewhere.execute("UPDATE number SET n = 1")
        await asyncio.sleep(0)
        for _ in range(2):
            with pytest.raises(LedgerError):
                await database.rows(READ, {})
        database._reader.set_authorizer(None)
        assert await database.rows(READ, {}) == [1]


async def test_what_was_read_in_this_turn_does_not_keep_deleted_bytes(database: SQLiteDatabase) -> None:
    await database.rows(READ, {})
    assert await database.overwrite_deleted()


async def test_the_log_stays_short_though_somebody_reads_at_every_moment(
    tmp_path: Path, database: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As two processes do under load: the next turn begins before the last one ends, so SQLite is always a write behind."""
    monkeypatch.setattr(sqlite_module, "LONG_LOG", 2 << 20)
    with (
        closing(connect(tmp_path / "ledger.db", 1.0)) as one,
        closing(connect(tmp_path / "ledger.db", 1.0)) as two,
    ):
        last, following = one, two

        def hand_over() -> None:
            nonlocal last, following
            following.execute("BEGIN")
            following.execute("SELECT n FROM number").fetchall()
            last.rollback()
            last, following = following, last

        hand_over()
        await database.write(partial(_run, sa.text("CREATE TABLE long (b BLOB)")))
        for _ in range(32):
            await database.write(partial(_run, sa.text("INSERT INTO long VALUES (zeroblob(500000))")))
            hand_over()
            assert database._writing
            while not database._writing.done():  # it empties the log behind its answer
                await asyncio.sleep(0)
                hand_over()
            assert (tmp_path / "ledger.db-wal").stat().st_size < 8 << 20


async def test_who_reads_for_a_moment_is_waited_for(
    tmp_path: Path, database: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an erasure hardly ever gets what it destroyed out of the log."""
    monkeypatch.setattr(sqlite_module, "EMPTY_BUSY_S", 60.0)
    await database.write(partial(_run, sa.text("CREATE TABLE long (b BLOB)")))
    with closing(connect(tmp_path / "ledger.db", 1.0)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT n FROM number").fetchall()
        asyncio.get_running_loop().call_later(0.05, reader.rollback)
        assert await database.overwrite_deleted()


async def test_who_reads_for_long_delays_no_write_but_one_now_and_then(
    tmp_path: Path, database: SQLiteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backup: the log is not emptied in vain at every write, and is as soon as it is over."""
    monkeypatch.setattr(sqlite_module, "LONG_LOG", 1 << 20)
    tried = 0
    empty = database._empty_log

    def counted() -> bool:
        nonlocal tried
        tried += 1
        return empty()

    monkeypatch.setattr(database, "_empty_log", counted)
    await database.write(partial(_run, sa.text("CREATE TABLE long (b BLOB)")))
    add = sa.text("INSERT INTO long VALUES (zeroblob(100000))")
    with closing(connect(tmp_path / "ledger.db", 1.0)) as backup:
        backup.execute("BEGIN")
        backup.execute("SELECT n FROM number").fetchall()
        for _ in range(24):
            await database.write(partial(_run, add))
        assert 1 <= tried <= 3
    for _ in range(24):
        await database.write(partial(_run, add))
    assert (tmp_path / "ledger.db-wal").stat().st_size < 3 << 20


async def test_nothing_is_read_of_a_closed_ledger(database: SQLiteDatabase) -> None:
    await database.rows(READ, {})
    await database.close()
    with pytest.raises(LedgerError):
        await database.rows(READ, {})


def test_who_was_counted_is_looked_up_by_the_whole_key() -> None:
    """By less of it, one look reads all customers that its principal has seen today; PostgreSQL: `contract/test_outbox_plans`."""
    dialect = SQLiteDialect_pysqlite()
    compiled = CompiledSelect(_COUNTED.select, dialect)
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(str(CreateTable(usage_customer).compile(dialect=dialect)))
        asked = compiled.arguments(given_rows([("k", 1, "s"), ("l", 2, "t")]))
        plan = connection.execute(f"EXPLAIN QUERY PLAN {compiled.text}", asked).fetchall()
    assert any("key=? AND day=? AND sid=?" in row[3] for row in plan)


LONG = Query(READ.select, _n, is_long=True)


async def test_the_event_loop_does_not_wait_for_a_long_read(database: SQLiteDatabase) -> None:
    """Of 500 customers at once it is milliseconds, in which nobody else would be served."""
    readers = list[int]()
    database._long_reader.set_trace_callback(lambda _: readers.append(threading.get_ident()))
    assert await database.rows(LONG, {}) == [0]
    assert readers
    assert threading.get_ident() not in readers


async def test_a_long_read_sees_what_was_committed_before_it_was_asked_for(
    database: SQLiteDatabase, elsewhere: sqlite3.Connection
) -> None:
    """Also behind another read of the same turn, which goes on to see what was before."""
    with closing(elsewhere):
        for n in range(1, 50):
            await database.rows(READ, {})
            elsewhere.execute("UPDATE number SET n = ?", (n,))
            assert await database.rows(LONG, {}) == [n]
        assert not database._long_reader.in_transaction


async def test_a_long_read_that_fails_tells_so_and_closes_nothing_to_the_next(
    database: SQLiteDatabase,
) -> None:
    broken = Query(BROKEN.select, BROKEN.decode, is_long=True)
    with pytest.raises(LedgerError, match="cannot be read"):
        await database.rows(broken, {})
    assert await database.rows(LONG, {}) == [0]


async def test_long_reads_that_have_begun_end_before_the_ledger_does_and_none_begins_behind_it(
    database: SQLiteDatabase,
) -> None:
    waiting = [asyncio.ensure_future(database.rows(LONG, {})) for _ in range(20)]
    await asyncio.sleep(0)
    await database.close()
    assert await asyncio.gather(*waiting) == [[0]] * 20
    with pytest.raises(LedgerError, match="closed"):
        await database.rows(LONG, {})


async def test_a_long_read_leaves_no_deleted_bytes_behind(database: SQLiteDatabase) -> None:
    await database.rows(LONG, {})
    assert await database.overwrite_deleted()
