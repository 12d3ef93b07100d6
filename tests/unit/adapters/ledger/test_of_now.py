"""A query that is of now is answered from memory while nobody has committed, and never when anybody has."""

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from fujie.adapters.ledger import sqlite as sqlite_module
from fujie.adapters.ledger.database import Query
from fujie.adapters.ledger.sqlite import SQLiteDatabase, connect
from fujie.model.errors import LedgerError

NUMBER = sa.table("number", sa.column("k", sa.Text), sa.column("n", sa.Integer))


def _n(row: Sequence[Any]) -> int:
    return int(row[0])


_SELECT = sa.select(NUMBER.c.n).where(NUMBER.c.k == sa.bindparam("k"))
NOW = Query(_SELECT, _n, is_of_now=True)
OTHER = Query(_SELECT, lambda row: -_n(row), is_of_now=True)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[SQLiteDatabase]:
    with closing(connect(tmp_path / "ledger.db", 1.0)) as other:
        other.execute("CREATE TABLE number (k TEXT PRIMARY KEY, n INTEGER)")
        other.execute("INSERT INTO number VALUES ('a', 1), ('b', 2)")
    opened = SQLiteDatabase(tmp_path / "ledger.db")
    yield opened
    await opened.close()


def _selects(database: SQLiteDatabase) -> list[str]:
    seen = list[str]()
    database._reader.set_trace_callback(lambda text: seen.append(text) if "number" in text else None)
    return seen


def _run(statement: sa.Executable, connection: sa.Connection) -> None:
    connection.execute(statement)


async def test_it_is_read_once_as_long_as_nobody_writes(database: SQLiteDatabase) -> None:
    seen = _selects(database)
    for _ in range(5):
        assert await database.rows(NOW, {"k": "a"}) == [1]
        assert await database.rows(NOW, {"k": "nobody"}) == []
        await asyncio.sleep(0)
    assert len(seen) == 2


async def test_other_values_and_other_queries_have_answers_of_their_own(database: SQLiteDatabase) -> None:
    for _ in range(2):
        assert await database.rows(NOW, {"k": "a"}) == [1]
        assert await database.rows(NOW, {"k": "b"}) == [2]
        assert await database.rows(OTHER, {"k": "a"}) == [-1]


async def test_who_changes_an_answer_changes_nobody_elses(database: SQLiteDatabase) -> None:
    for _ in range(2):
        answer = await database.rows(NOW, {"k": "a"})
        answer.clear()
    assert await database.rows(NOW, {"k": "a"}) == [1]


@pytest.mark.parametrize("most", [1, 3, 1024])
async def test_whoever_writes_and_whenever_it_is_what_the_file_holds(
    tmp_path: Path, database: SQLiteDatabase, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two other processes, our own writer, checkpoints, changes that are taken back, in one turn and over many."""
    monkeypatch.setattr(sqlite_module, "MOST_REMEMBERED", most)
    chance = random.Random(most)
    held = {"a": 1, "b": 2}
    with (
        closing(connect(tmp_path / "ledger.db", 1.0)) as one,
        closing(connect(tmp_path / "ledger.db", 1.0)) as two,
    ):
        for step in range(600):
            key = chance.choice("ab")
            match chance.randrange(8):
                case 0 | 1:
                    chance.choice((one, two)).execute("UPDATE number SET n = ? WHERE k = ?", (step, key))
                    held[key] = step
                case 2:
                    changed = sa.update(NUMBER).where(NUMBER.c.k == key).values(n=step)
                    await database.write(partial(_run, changed))
                    held[key] = step
                case 3:
                    _taken_back(one, key)
                case 4:
                    two.execute("PRAGMA wal_checkpoint(PASSIVE)")
                case 5:
                    await asyncio.sleep(0)
                case _:
                    pass
            for each, n in held.items():
                assert await database.rows(NOW, {"k": each}) == [n]


def _taken_back(connection: sqlite3.Connection, key: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE number SET n = -7 WHERE k = ?", (key,))
    connection.execute("ROLLBACK")


async def test_what_is_remembered_opens_nothing_once_the_file_is_gone(
    tmp_path: Path, database: SQLiteDatabase
) -> None:
    assert await database.rows(NOW, {"k": "a"}) == [1]
    (tmp_path / "ledger.db").rename(tmp_path / "elsewhere.db")
    database._file._looked_at = float("-inf")  # a look may be a tenth of a second old
    with pytest.raises(LedgerError):
        await database.rows(NOW, {"k": "a"})


async def test_what_is_remembered_opens_nothing_when_the_file_can_not_tell_its_version(
    database: SQLiteDatabase,
) -> None:
    assert await database.rows(NOW, {"k": "a"}) == [1]

    def deny(action: int, *_: object) -> int:
        return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_PRAGMA else sqlite3.SQLITE_OK

    database._reader.set_authorizer(deny)
    with pytest.raises(LedgerError):
        await database.rows(NOW, {"k": "a"})
    database._reader.set_authorizer(None)
    assert await database.rows(NOW, {"k": "a"}) == [1]
