"""The one statement for many customers reads of each what is his, whatever PostgreSQL's planner knows of the tables."""

import hashlib

import orjson
import pytest

from fujie.adapters.ledger.plain import plain
from fujie.adapters.ledger.sqlite import SQLiteDatabase
from support.ledgers import sqlite_url
from support.outboxes import NOW, opened
from support.postgresql import execute, ledger_url, wait_until_alone

ASKED = 20

_EVERY = "FROM generate_series(0, 4000) AS n"
PEOPLE = (
    f"INSERT INTO subject SELECT 's' || n, 'k', 0, false, n {_EVERY}",
    f"INSERT INTO alias SELECT 'store_key', 'crm', 'i1', sha256(('C' || n)::bytea), 's' || n, 0, NULL, n {_EVERY}",
    f"INSERT INTO alias SELECT 'phone', '', 'i1', sha256(n::text::bytea), 's' || n, 0, NULL, 5000 + n {_EVERY}",
)
SAID = """INSERT INTO suppression SELECT 'o' || n, 's' || n, '', '', '', 0, 0, '', '', '', NULL, '', 10000 + n
FROM generate_series({}, 10) AS n"""
GOT = """INSERT INTO message SELECT 'm' || n, NULL, 's' || n, NULL, 'r', 'p', 'MARKETING', 'x', 'SUBMITTED', '', '', 0, 1, 0, 0,
NULL, '', sha256(n::text::bytea), 'c', 1, 'p', n, n, NULL, NULL, 0, NULL FROM generate_series({}, 10) AS n"""
ONE, FOUR_HUNDRED = "0, 0", "10, 4000"

READ = """SELECT relname, coalesce(seq_tup_read, 0) + (
    SELECT coalesce(sum(idx_tup_read), 0)::int FROM pg_stat_user_indexes AS i WHERE i.relid = t.relid)
FROM pg_stat_user_tables AS t"""


def digest(text: str) -> bytes:
    """Return what stands for a digest under the key of the ledger; SQL can make it too."""
    return hashlib.sha256(text.encode()).digest()


@pytest.mark.parametrize(
    "is_known", [False, True], ids=["nothing is known", "known when one had opted out"]
)
@pytest.mark.parametrize("keys", [True, False], ids=["with keys", "a row of lists"])
async def test_of_4000_customers_those_are_read_who_were_asked_for(is_known: bool, keys: bool) -> None:
    """With inner joins, or conditions that make them inner, it begins with the opt-outs of all, their messages, or `alias`."""
    asked = [(n, digest(f"C{n}"), digest(str(n))) for n in range(1, ASKED + 1)]
    with ledger_url() as url:
        tables = ("subject", "alias", "suppression", "message")
        execute(url, *(f"ALTER TABLE {table} SET (autovacuum_enabled = off)" for table in tables))
        execute(url, *PEOPLE, SAID.format(ONE), GOT.format(ONE), *(["ANALYZE"] if is_known else []))
        execute(url, SAID.format(FOUR_HUNDRED), GOT.format(FOUR_HUNDRED))
        wait_until_alone(url)  # who wrote has looked up foreign keys
        execute(url, "SELECT pg_stat_reset()")
        ledger = await opened(url)
        found = await plain(ledger.database, asked, "marketing", 0, keys=keys)
        await ledger.close()
        wait_until_alone(url)
        read = {row[0]: row[1] for row in execute(url, READ)}
    assert [found.recalled(n).identity.sid for n, *_ in asked] == [f"s{n}" for n, *_ in asked]
    assert sorted(found.closed) == sorted(found.sent) == [10, 20]
    assert read["alias"] >= 2 * ASKED
    assert {table: rows for table, rows in read.items() if rows > 3 * ASKED} == {}


async def test_sqlite_begins_with_who_was_asked_for_and_looks_up_everybody_else() -> None:
    """Whatever its planner thinks: it knows nothing of the sizes of tables, and would begin with all of `alias`."""
    with sqlite_url() as url:
        ledger = await opened(url)
        found = await plain(ledger.database, [(0, digest("C0"), digest("0"))], "marketing", 0)
        assert found.lacking(1) == [0]
        assert isinstance(ledger.database, SQLiteDatabase)
        text = next(each.text for each in ledger.database._compiled.values() if "people" in each.text)
        reader = ledger.database._reader
        plan = [row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {text}", ("",) * text.count("?"))]
        await ledger.close()
    assert plan[plan.index("MATERIALIZE people") + 1].startswith("SCAN json_each")
    scanned = {line.split()[1] for line in plan if line.startswith("SCAN")}
    assert scanned == {"json_each", "people"}


async def test_sqlite_tells_all_by_one_row_and_their_events_by_another_and_reads_no_subject_of_them() -> (
    None
):
    """A row for each, and the row of each subject, were a third of the statement's time."""
    named = [(f"C{n}", f"+86138000000{n:02}") for n in range(ASKED)]
    with sqlite_url() as url:
        ledger = await opened(url)
        told = await ledger.outbox.survey("crm", named, "marketing", NOW, enrol=True, sent=False)
        assert isinstance(ledger.database, SQLiteDatabase)
        text = next(
            each.text for each in ledger.database._compiled.values() if "json_group_array" in each.text
        )
        reader = ledger.database._reader
        keys = b"".join(
            row[0] for row in reader.execute("SELECT digest FROM alias WHERE kind = 'store_key'")
        )
        asked = (keys, keys, orjson.dumps(list(range(ASKED))).decode(), "marketing")
        of_events, row = reader.execute(text, asked).fetchall()
        plan = [row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {text}", asked)]
        await ledger.close()
    assert len(set(told.sids) - {""}) == ASKED
    assert sorted(orjson.loads(row[2])) == sorted(told.sids)
    assert {of_events[n] for n in range(2, 10)} == {"[]"}
    [of_subjects] = [line for line in plan if " subject " in line]
    assert "ix_subject_linked" in of_subjects
