"""Aliases in the file itself: what its indexes hold up when our code does not, and what a look-up costs."""

import asyncio
import hmac
import sqlite3
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.adapters.clock import SystemClock
from fujie.adapters.identifiers import SystemIdentifiers
from fujie.adapters.ledger import IndexKey, SQLLedger, open_ledger
from fujie.adapters.ledger.aliases import digest_of
from fujie.adapters.ledger.sqlite import SQLiteDatabase
from fujie.model.customer import Identity, Phone, StoreKey

NOW = datetime(2026, 3, 1, tzinfo=UTC)
IDENTIFIERS = SystemIdentifiers(SystemClock())
KEY, PHONE = StoreKey("crm", "C-7700123"), Phone("+8613800138000")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[SQLLedger]:
    ledger = await open_ledger(f"sqlite:///{path}", IndexKey("i1", b"i" * 32), IDENTIFIERS, str.encode)
    yield ledger
    await ledger.close()


def link_again(path: Path, kind: str, sid: str) -> None:
    """Copy the only alias of `kind` for `sid`, past our code, as a race or a faulty build would."""
    raw = sqlite3.connect(path)
    raw.row_factory = sqlite3.Row
    row = dict(raw.execute("SELECT * FROM alias WHERE kind = ?", (kind,)).fetchone())
    row |= {"sid": sid, "valid_from": row["valid_from"] + 1, "change_seq": 1_000_000}
    try:
        raw.execute(
            f"INSERT INTO alias ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()]
        )
        raw.commit()
    finally:
        raw.close()


async def test_the_file_itself_keeps_a_store_key_to_one_sid(ledger: SQLLedger, path: Path) -> None:
    sid = (await ledger.enrol([KEY, PHONE], NOW)).sid
    other = (await ledger.enrol([StoreKey("crm", "C-7700124"), Phone("+8613900139000")], NOW)).sid
    for kind, taken in (("store_key", other), ("store_key", sid), ("phone", sid)):
        with pytest.raises(sqlite3.IntegrityError):
            link_again(path, kind, taken)
    link_again(path, "phone", other)
    await asyncio.sleep(0)  # what one turn of the loop reads is of one moment
    assert await ledger.find([PHONE]) == Identity(sid, (other,), is_shared=True)


async def test_an_alias_that_ended_leads_nowhere_and_may_come_again(ledger: SQLLedger, path: Path) -> None:
    sid = (await ledger.enrol([KEY, PHONE], NOW)).sid
    raw = sqlite3.connect(path)
    raw.execute("UPDATE alias SET valid_to = valid_from + 1")
    raw.commit()
    raw.close()
    await asyncio.sleep(0)  # what one turn of the loop reads is of one moment
    assert await ledger.find([KEY, PHONE]) is None
    later = await ledger.enrol([KEY, PHONE], NOW + timedelta(days=1))
    assert later == Identity(later.sid)
    assert later.sid != sid


async def test_finding_probes_an_index_once_per_ref(ledger: SQLLedger, path: Path) -> None:
    statements = list[str]()
    assert isinstance(ledger.database, SQLiteDatabase)
    ledger.database._reader.set_trace_callback(statements.append)
    await ledger.find([KEY, PHONE])
    await ledger.enrol([KEY], NOW)
    ledger.database._reader.set_trace_callback(None)
    statements = [each for each in statements if each.startswith("SELECT")]
    assert len(statements) == 3  # the last reads what the enrolment of a stranger wrote
    raw = sqlite3.connect(path)
    plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statements[0]}")]
    raw.close()
    assert plan[0] == "SEARCH alias USING INDEX uq_alias_current (digest=?)"
    assert not any("SCAN" in step for step in plan)


@given(secret=st.binary(min_size=1, max_size=200), customer_id=st.text(max_size=80))
def test_the_digest_of_an_alias_is_the_hmac_of_its_parts(secret: bytes, customer_id: str) -> None:
    """Whatever the length of the key: every ledger that was ever written holds these digests."""
    for ref, text in (
        (StoreKey("crm", customer_id), f"store_key\0crm\0{customer_id}"),
        (PHONE, f"phone\0\0{PHONE.e164}"),
    ):
        expected = hmac.digest(secret, text.encode("utf-8", "surrogatepass"), "sha256")
        assert digest_of(IndexKey("i1", secret), ref) == expected
