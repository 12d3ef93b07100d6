"""The ledger file under attack: other processes, kill -9, locks, a full disk, a curious reader of its bytes."""

import asyncio
import os
import resource
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.clock import SystemClock
from fujie.adapters.identifiers import SystemIdentifiers
from fujie.adapters.ledger import ConfiguredKey, IndexKey, KeptCheckpoint, SQLLedger, migrate, open_ledger
from fujie.adapters.ledger import sqlite as sqlite_module
from fujie.adapters.ledger.sqlite import file_of
from fujie.adapters.ledger.tables import metadata
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Identity, Phone, StoreKey
from fujie.model.errors import LedgerError, RequestError, StartError
from fujie.model.principal import Principal

NOW = datetime(2026, 3, 1, tzinfo=UTC)
IDENTIFIERS = SystemIdentifiers(SystemClock())
SOURCE = Path(__file__).parents[4] / "proxy"
KEY, PHONE = StoreKey("crm", "C-7700123"), Phone("+8613800138000")

PRELUDE = """
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
async def main(opening):
    ledger = await opening
"""
PATIENT = """
import fujie.adapters.ledger.sqlite
fujie.adapters.ledger.sqlite.WRITE_BUSY_S = 60.0
"""
"""On a crowded machine one needs more than two seconds to make the tables, for which the others wait."""
FINALE = """
asyncio.run(main(open_ledger(f"sqlite:///{sys.argv[1]}", IndexKey("i1", b"i" * 32), ids, str.encode)))
"""


def start(body: str, path: Path, before: str = "") -> subprocess.Popen[str]:
    """Start another process that runs `body` with a `ledger` of its own on the same file."""
    code = before + PRELUDE + "\n".join(f"    {line}" for line in body.strip().splitlines()) + FINALE
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


async def opened(path: Path) -> SQLLedger:
    return await open_ledger(f"sqlite:///{path}", IndexKey("i1", b"i" * 32), IDENTIFIERS, str.encode)


@pytest.fixture
async def ledger(path: Path) -> AsyncIterator[SQLLedger]:
    ledger = await opened(path)
    yield ledger
    await ledger.close()


def event(sid: str, kind: ConsentEventType = ConsentEventType.GIVEN) -> ConsentEvent:
    return ConsentEvent(IDENTIFIERS.new_id(), sid, "marketing", kind, NOW, NOW, "agent")


def change_seqs(path: Path) -> list[int]:
    tables = [name for name, table in metadata.tables.items() if "change_seq" in table.c]
    with sqlite3.connect(path) as raw:
        found = [row[0] for name in tables for row in raw.execute(f'SELECT change_seq FROM "{name}"')]
    raw.close()
    return sorted(found)


# Several processes.


async def test_processes_that_write_at_once_agree_and_lose_nothing(path: Path) -> None:
    body = """
for n in range(25):
    identity = await ledger.enrol([StoreKey("crm", str(n)), Phone(f"+86138001380{n:02d}")], NOW)
    await ledger.record_consent(event(identity.sid), "", "")
    await ledger.record_consent(event(identity.sid), f"request-{n}", "digest")
    say(identity.sid)
"""
    processes = [start(body, path, PATIENT) for _ in range(3)]  # they also race to create the schema
    outputs = [process.communicate(timeout=300)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert outputs[0] == outputs[1] == outputs[2]
    assert len(set(outputs[0])) == 25
    ledger = await opened(path)
    events = await ledger.database.write(_count_events)
    await ledger.close()
    assert events == 25 * (3 + 1)
    seqs = change_seqs(path)
    assert seqs == list(range(1, len(seqs) + 1))


BUSY = """
import sqlite3, sys, time
file = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)
print("busy", flush=True)
while True:
    file.execute("BEGIN IMMEDIATE")
    time.sleep(0.01)
    file.execute("COMMIT")
    time.sleep(0.0002)
"""


@pytest.fixture
def busy(ledger: SQLLedger, path: Path) -> Iterator[None]:
    """Let another process write to the ledger for as long as the test runs."""
    del ledger  # which made the file
    command = [sys.executable, "-c", BUSY, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout
            assert other.stdout.readline() == "busy\n"
            yield
            assert other.poll() is None
        finally:
            other.kill()


@pytest.mark.usefixtures("busy")
async def test_a_write_gets_its_turn_beside_a_process_that_hardly_pauses(ledger: SQLLedger) -> None:
    """SQLite's own waiting soon looks every 100 ms, and mostly finds the other's next transaction: that starved it."""
    for number in range(12):
        await ledger.enrol([StoreKey("crm", str(number))], NOW)


async def test_writes_that_wait_together_succeed_and_fail_each_for_itself(ledger: SQLLedger) -> None:
    """One of them breaks a rule of its own, one a rule of the database: both are undone, and nobody else."""
    sid = (await ledger.enrol([KEY], NOW)).sid

    def broken(connection: Connection) -> None:
        connection.execute(sa.text("UPDATE subject SET created_at = 7"))
        raise RequestError(code="REQUEST_ID_REUSED")

    outcomes = await asyncio.gather(
        ledger.record_consent(event(sid), "", ""),
        ledger.database.write(broken),
        ledger.record_consent(event("nobody"), "", ""),
        ledger.record_consent(event(sid), "", ""),
        return_exceptions=True,
    )
    assert [type(outcome) for outcome in outcomes] == [
        ConsentEvent,
        RequestError,
        LedgerError,
        ConsentEvent,
    ]
    assert str(outcomes[2]) == "the ledger cannot be written: SQLITE_CONSTRAINT_FOREIGNKEY"
    assert len(await ledger.consent_events([sid], "")) == 2
    created = await ledger.database.write(
        lambda connection: connection.execute(sa.text("SELECT created_at FROM subject")).scalar_one()
    )
    assert created != 7


async def test_processes_that_read_before_they_write_lose_nothing_and_starve_nobody(
    ledger: SQLLedger, path: Path
) -> None:
    """As the workers of one server do, all writing at once as fast as they can."""
    body = """
from sqlalchemy import text
def increase(connection):
    value = connection.execute(text("SELECT size FROM checkpoint")).scalar_one()
    connection.execute(text("UPDATE checkpoint SET size = :size"), {"size": value + 1})
for n in range(100):
    await (ledger.database.write if n % 2 else ledger.database.transact)(increase)
"""
    await ledger.checkpoints.keep(KeptCheckpoint("counter", "", 0))
    processes = [start(body, path) for _ in range(4)]
    for process in processes:
        await asyncio.to_thread(process.communicate)
    assert [process.returncode for process in processes] == [0] * 4
    kept = await ledger.checkpoints.last("counter")
    assert kept is not None
    assert kept.size == 400


def _count_events(connection: Connection) -> int:
    count: int = connection.execute(sa.text("SELECT count(*) FROM consent_event")).scalar_one()
    return count


def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    body = """
while True:
    customer = ids.new_id()
    identity = await ledger.enrol([StoreKey("crm", customer)], NOW)
    recorded = await ledger.record_consent(event(identity.sid), customer, "digest")
    say(customer, identity.sid, recorded.record_id)
"""
    acknowledged = []
    for round_ in range(3):
        process = start(body, path)
        assert process.stdout is not None
        acknowledged += [process.stdout.readline().split() for _ in range(10 + 7 * round_)]
        process.kill()
        acknowledged += [
            line.split() for line in process.communicate()[0].splitlines() if line.count(" ") == 2
        ]

    async def check() -> None:
        ledger = await opened(path)
        for customer, sid, record_id in acknowledged:
            assert await ledger.find([StoreKey("crm", customer)]) == Identity(sid)
            assert [e.record_id for e in await ledger.consent_events([sid], "marketing")] == [record_id]
        assert await ledger.database.write(_integrity) == ["ok"]
        await ledger.close()

    asyncio.run(check())


def _integrity(connection: Connection) -> list[str]:
    return [row[0] for row in connection.exec_driver_sql("PRAGMA integrity_check")]


# Locks.


@pytest.fixture
async def impatient(monkeypatch: pytest.MonkeyPatch, path: Path) -> AsyncIterator[SQLLedger]:
    """A ledger that waits a tenth as long as ours."""
    monkeypatch.setattr(sqlite_module, "WRITE_BUSY_S", sqlite_module.WRITE_BUSY_S / 10)
    monkeypatch.setattr(sqlite_module, "WRITE_LIMIT_S", sqlite_module.WRITE_LIMIT_S / 10)
    ledger = await opened(path)
    yield ledger
    await ledger.close()


async def test_a_write_that_another_process_blocks_fails_and_reads_go_on(
    impatient: SQLLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not as impatient: on a crowded machine too there are some reads meanwhile.
    monkeypatch.setattr(sqlite_module, "WRITE_BUSY_S", 1.0)
    monkeypatch.setattr(sqlite_module, "WRITE_LIMIT_S", 20.0)
    ledger = impatient
    sid = (await ledger.enrol([KEY], NOW)).sid
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("BEGIN EXCLUSIVE")
    blocked = asyncio.create_task(ledger.record_consent(event(sid), "", ""))
    reads = 0
    while not blocked.done():
        assert await ledger.find([KEY]) == Identity(sid)
        reads += 1
        await asyncio.sleep(0.01)
    with pytest.raises(LedgerError, match="SQLITE_BUSY"):
        await blocked
    assert reads > 5
    raw.execute("ROLLBACK")
    raw.close()
    await ledger.record_consent(event(sid), "", "")
    assert len(await ledger.consent_events([sid], "")) == 1


async def test_a_locked_ledger_builds_no_queue(impatient: SQLLedger, path: Path) -> None:
    ledger = impatient
    sid = (await ledger.enrol([KEY], NOW)).sid
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    calls = [ledger.record_consent(event(sid), "", "") for _ in range(300)]
    async with asyncio.timeout(20):  # one after the other they would take a minute
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(result) for result in results} == {LedgerError}
    raw.execute("ROLLBACK")
    raw.close()
    await ledger.record_consent(event(sid), "", "")


async def test_a_ledger_that_another_process_keeps_to_itself_stops_the_start(
    impatient: SQLLedger, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await impatient.close()
    monkeypatch.setattr(migrate, "WAIT_S", 0.3)
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("PRAGMA locking_mode = EXCLUSIVE")
    raw.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StartError) as refused:
        await opened(path)
    assert refused.value.code == "LEDGER_UNAVAILABLE"
    raw.close()


# Broken disks and files.


async def test_a_full_disk_refuses_the_write_and_keeps_the_rest(ledger: SQLLedger) -> None:
    sid = (await ledger.enrol([KEY], NOW)).sid

    async def limit(pages: int) -> None:
        await ledger.database.write(
            lambda writer: writer.exec_driver_sql(f"PRAGMA max_page_count = {pages}").all()
        )

    async def record_until_full() -> int:
        for recorded in range(500):
            try:
                await ledger.record_consent(event(sid), "", "")
            except LedgerError as error:
                reasons.append(str(error))
                return recorded
        return 500

    reasons: list[str] = []
    await limit(1)  # SQLite takes the present size as the least
    recorded = await record_until_full()
    assert recorded < 500
    assert len(await ledger.consent_events([sid], "")) == recorded
    assert await record_until_full() == 0
    assert reasons == ["the ledger cannot be written: SQLITE_FULL"] * 2
    await limit(1_000_000)
    await ledger.record_consent(event(sid, ConsentEventType.WITHDRAWN), "", "")
    assert (await ledger.consent_events([sid], ""))[-1].type is ConsentEventType.WITHDRAWN


async def test_a_disk_that_fills_up_at_the_commit_refuses_all_who_waited_for_it_and_nobody_later(
    ledger: SQLLedger, path: Path
) -> None:
    sid = (await ledger.enrol([KEY], NOW)).sid
    before = await ledger.consent_events([sid], "")

    def together() -> Awaitable[list[Any]]:
        writes = [ledger.record_consent(event(sid), "", "") for _ in range(3)]
        return asyncio.gather(*writes, return_exceptions=True)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name("ledger.db-wal").stat().st_size, hard))
    try:
        refused = await together()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {type(each) for each in refused} == {LedgerError}
    assert len(set(map(id, refused))) == 3
    assert await ledger.consent_events([sid], "") == before
    recorded = await together()
    assert [each.record_id for each in await ledger.consent_events([sid], "")] == [
        each.record_id for each in recorded
    ]
    assert change_seqs(path) == list(range(1, len(change_seqs(path)) + 1))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE consent_event SET type = 'maybe'",
        "UPDATE consent_event SET event_time = 'yesterday'",
        "UPDATE consent_event SET event_time = 9223372036854775807",
        "UPDATE consent_event SET recipients = '{'",
        "UPDATE consent_event SET recipients = '\"abc\"'",
        "UPDATE consent_event SET purpose = CAST(x'6d61726b6574696e67' AS TEXT), source = CAST(x'ff' AS TEXT)",
        "DROP TABLE consent_event",
    ],
)
async def test_a_row_that_nobody_of_ours_wrote_closes(ledger: SQLLedger, path: Path, damage: str) -> None:
    sid = (await ledger.enrol([KEY], NOW)).sid
    await ledger.record_consent(event(sid), "", "")
    raw = sqlite3.connect(path)
    raw.execute(damage)
    raw.commit()
    raw.close()
    with pytest.raises(LedgerError) as failed:
        await ledger.consent_events([sid], "marketing")
    assert failed.value.__suppress_context__


@pytest.mark.parametrize(
    "damage",
    [
        "roles = 'x'",
        "roles = '\"administrator\"'",
        "roles = '{}', kind = 'BOSS'",
        "attributes = '[]'",
        "employment = ''",
    ],
)
async def test_a_damaged_principal_closes(ledger: SQLLedger, path: Path, damage: str) -> None:
    await ledger.directory.upsert(Principal("alice"), NOW)
    raw = sqlite3.connect(path)
    raw.execute(f"UPDATE principal SET {damage}")
    raw.commit()
    raw.close()
    with pytest.raises(LedgerError):
        await ledger.directory.get("alice")
    with pytest.raises(LedgerError):
        await ledger.directory.offboard("alice", NOW)


async def test_a_failed_write_leaves_nothing_behind(path: Path) -> None:
    def broken(sid: str) -> bytes:
        raise ZeroDivisionError(sid)

    ledger = await open_ledger(f"sqlite:///{path}", IndexKey("i1", b"i" * 32), IDENTIFIERS, broken)
    with pytest.raises(ZeroDivisionError):
        await ledger.enrol([KEY], NOW)
    assert await ledger.find([KEY]) is None
    await ledger.directory.upsert(Principal("alice"), NOW)
    await ledger.close()
    assert change_seqs(path) == [1]


async def test_every_write_draws_a_later_change(ledger: SQLLedger, path: Path) -> None:
    sid = (await ledger.enrol([KEY, PHONE], NOW)).sid
    await ledger.record_consent(event(sid), "", "")
    await ledger.directory.upsert(Principal("alice"), NOW)
    await ledger.check_keys([ConfiguredKey("seal", "s1", b"s" * 32)])
    await ledger.checkpoints.keep(KeptCheckpoint("gate/w0", "note", 1))
    assert change_seqs(path) == [1, 2, 3, 4, 5, 6, 7]
    await ledger.directory.offboard("alice", NOW)
    await ledger.checkpoints.keep(KeptCheckpoint("gate/w0", "note 2", 2))
    assert change_seqs(path) == [1, 2, 3, 4, 6, 8, 9]


# What the file gives away.


async def test_the_file_holds_no_phone_and_no_customer_id(ledger: SQLLedger, path: Path) -> None:
    other = StoreKey("crm", "C-7700124")
    people: list[list[CustomerRef]] = [[KEY, PHONE], [other, PHONE], [KEY, Phone("+8613900139000")]]
    for n, refs in enumerate(people):
        identity = await ledger.enrol(refs, NOW)
        await ledger.record_consent(event(identity.sid), f"request-{n}", "digest")
    await ledger.find([PHONE, KEY])
    assert await ledger.database.write(_integrity) == ["ok"]
    files = list(path.parent.iterdir())
    assert {file.name for file in files} == {"ledger.db", "ledger.db-wal", "ledger.db-shm"}
    stored = b"".join(file.read_bytes() for file in files)
    assert identity.sid.encode() in stored  # else the search below proves nothing
    for secret in ("13800138000", "13900139000", "7700123", "7700124"):
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            assert secret.encode(encoding) not in stored
        assert int(secret).to_bytes(8) not in stored


@pytest.mark.parametrize("made_with", [1024, 4096, 8192])
async def test_a_ledger_keeps_the_pages_that_it_was_made_with(
    path: Path, made_with: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ledgers of the versions before have pages of 4 KiB."""
    monkeypatch.setattr(sqlite_module, "PAGE_BYTES", made_with)
    before = await opened(path)
    sid = (await before.enrol([KEY], NOW)).sid
    await before.close()
    monkeypatch.undo()
    after = await opened(path)
    await after.record_consent(event(sid), "", "")
    found = await after.find([KEY])
    await after.close()
    assert found is not None
    assert found.sid == sid
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA page_size").fetchone() == (made_with,)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_the_file_is_for_its_owner_alone(ledger: SQLLedger, path: Path) -> None:
    await ledger.enrol([KEY], NOW)
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


async def test_without_the_index_key_nobody_can_test_for_a_number(ledger: SQLLedger, path: Path) -> None:
    await ledger.enrol([PHONE], NOW)
    stranger = await open_ledger(f"sqlite:///{path}", IndexKey("i1", b"j" * 32), IDENTIFIERS, str.encode)
    assert await stranger.find([PHONE]) is None
    await stranger.close()


def test_keys_print_nothing() -> None:
    assert "secret" not in repr(IndexKey("i1", b"secret"))
    assert "secret" not in repr(ConfiguredKey("seal", "i1", b"secret"))


@pytest.mark.parametrize(
    "url",
    ["", "sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///a.db?mode=ro", "postgresql://u:secret@h/d", "mysql://h/d", "ledger.db", "sqlite+aiosqlite:///a"],
)  # fmt: skip
def test_a_ledger_that_is_not_one_file_is_refused(url: str) -> None:
    with pytest.raises(StartError) as refused:
        file_of(url)
    assert refused.value.code == "LEDGER_UNSUPPORTED"
    assert "secret" not in str(refused.value)


async def test_nothing_is_said_to_be_overwritten_in_a_file_that_is_gone(
    ledger: SQLLedger, path: Path
) -> None:
    os.unlink(path)
    with pytest.raises(LedgerError, match="gone"):
        await ledger.database.overwrite_deleted()
    assert path.name not in os.listdir(path.parent)


async def test_what_was_overwritten_lies_in_no_file_as_soon_as_nobody_reads(path: Path) -> None:
    """A page as it was stays in the write-ahead log until that is emptied, which a reader elsewhere holds up."""
    ledger = await opened(path)
    secret = b"a key that nobody must find again, 70 bytes of it, as long as they are"

    def keep(connection: Connection) -> None:
        row = {"sid": "s1", "wrapped_key": secret, "created_at": 1, "is_linked": False, "change_seq": 1}
        connection.execute(sa.insert(metadata.tables["subject"]), row)

    def destroy(connection: Connection) -> None:
        connection.execute(sa.text("UPDATE subject SET wrapped_key = NULL WHERE sid = 's1'"))

    def left() -> list[str]:
        return [file.name for file in path.parent.iterdir() if secret in file.read_bytes()]

    await ledger.database.transact(keep)
    reader = sqlite3.connect(path)
    reader.execute("BEGIN")
    reader.execute("SELECT wrapped_key FROM subject").fetchall()
    await ledger.database.transact(destroy)
    assert not await ledger.database.overwrite_deleted()
    assert "ledger.db-wal" in left()
    reader.close()
    assert await ledger.database.overwrite_deleted()
    assert left() == []
    await ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        await ledger.database.overwrite_deleted()
