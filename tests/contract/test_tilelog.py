"""The writer keeps what it acknowledged, whatever stops it, and refuses what a crash can not explain."""

import asyncio
import base64
import contextlib
import random
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fujie.adapters.logfiles import verify_directory
from fujie.adapters.logstart import open_log
from fujie.adapters.tilelog import Pace, TileLog
from fujie.audit.checkpoint import Signer, parse_unverified
from fujie.audit.entry import MAX_ENTRY_BYTES
from fujie.audit.errors import (
    EntryInvalid,
    EntryTooLarge,
    LogForked,
    LogLocked,
    LogRolledBack,
    LogUnavailable,
)
from fujie.audit.findings import FindingKind
from fujie.audit.segment import HEADER_BYTES, parse_segment
from fujie.audit.tiles import split_bundle

ORIGIN = "prod-a/w0"
SIGNER = Signer(ORIGIN, bytes(range(32)))
NEVER = Pace(entries=10**9, seconds=1e9)
CHILD = Path(__file__).with_name("log_child.py")


def opened(
    audit_dir: Path, *, known: str | None = None, pace: Pace = NEVER, kept: list[str] | None = None
) -> TileLog:
    keep = (lambda note: None) if kept is None else kept.append
    return TileLog(open_log(audit_dir, SIGNER, known), clock=time.monotonic, keep=keep, pace=pace)


@contextlib.asynccontextmanager
async def running(audit_dir: Path, **options: object) -> AsyncIterator[TileLog]:
    log = opened(audit_dir, **options)  # type: ignore[arg-type]  # passed through
    try:
        yield log
    finally:
        await asyncio.to_thread(log.close)


def entry(i: int) -> bytes:
    return b'{"n":%d}' % i


async def fill(log: TileLog, start: int, stop: int) -> None:
    indexes = await asyncio.gather(*(log.append(entry(i)) for i in range(start, stop)))
    assert indexes == list(range(start, stop))


async def written(audit_dir: Path, *sizes: int) -> list[str]:
    """Write a log that ends, closed, at each size in turn; return the checkpoints that were kept."""
    kept: list[str] = []
    for size in sizes:
        async with running(audit_dir, kept=kept) as log:
            await fill(log, log.size, size)
    return kept


def entries_on_disk(audit_dir: Path) -> list[bytes]:
    """All entries, signed or not, read as an outsider would: bundles, then the tail."""
    home = audit_dir / ORIGIN
    segment = parse_segment((home / "tail").read_bytes())
    entries: list[bytes] = []
    for index in range(segment.first // 256):
        entries += split_bundle((home / f"tile/entries/{index:03d}").read_bytes())[0]
    return [*entries, *segment.leaves]


def intact(audit_dir: Path) -> bool:
    (report,) = verify_directory(audit_dir, vkeys=[SIGNER.verifier.vkey])
    return report.is_intact


# Writing


async def test_indexes_are_contiguous_and_every_acknowledged_entry_is_on_disk(tmp_path: Path) -> None:
    async with running(tmp_path, pace=Pace(entries=100)) as log:
        await fill(log, 0, 700)
        assert entries_on_disk(tmp_path) == [entry(i) for i in range(700)]
        assert (log.size, log.backlog, log.healthy) == (700, 0, True)
    assert intact(tmp_path)
    assert log.signed.size == 700


async def test_an_entry_is_on_disk_the_moment_its_append_returns(tmp_path: Path) -> None:
    async with running(tmp_path) as log:
        for i in range(20):
            await log.append(entry(i))
            assert entries_on_disk(tmp_path)[i] == entry(i)


async def test_the_files_verify_at_every_checkpoint_while_the_log_is_written(tmp_path: Path) -> None:
    reports = []
    keep = lambda note: reports.append((note, verify_directory(tmp_path, against=[note])))  # noqa: E731  # short
    log = TileLog(open_log(tmp_path, SIGNER), clock=time.monotonic, keep=keep, pace=Pace(entries=90))
    for start in range(0, 600, 50):
        await fill(log, start, start + 50)
    await asyncio.to_thread(log.close)
    assert len(reports) >= 6
    assert all(
        report.is_intact and report.signed_size == parse_unverified(note).size
        for note, (report,) in reports
    )


async def test_a_checkpoint_follows_after_the_time_even_without_more_entries(tmp_path: Path) -> None:
    signed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def keep(note: str) -> None:
        if parse_unverified(note).size == 1:
            loop.call_soon_threadsafe(signed.set)

    log = TileLog(open_log(tmp_path, SIGNER), clock=time.monotonic, keep=keep, pace=Pace(seconds=0.01))
    await log.append(entry(0))
    await asyncio.wait_for(signed.wait(), 30)
    await asyncio.to_thread(log.close)


async def test_too_large_and_empty_entries_are_refused_and_leave_no_trace(tmp_path: Path) -> None:
    async with running(tmp_path) as log:
        with pytest.raises(EntryTooLarge):
            await log.append(bytes(MAX_ENTRY_BYTES + 1))
        with pytest.raises(EntryInvalid):
            await log.append(b"")
        assert await log.append(b"x" * MAX_ENTRY_BYTES) == 0
    assert entries_on_disk(tmp_path) == [b"x" * MAX_ENTRY_BYTES]


async def test_a_cancelled_wait_neither_loses_the_entry_nor_shifts_the_others(tmp_path: Path) -> None:
    async with running(tmp_path) as log:
        first = asyncio.ensure_future(log.append(entry(0)))
        await asyncio.sleep(0)
        first.cancel()
        assert await log.append(entry(1)) == 1
    assert entries_on_disk(tmp_path) == [entry(0), entry(1)]


async def test_a_second_writer_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    async with running(tmp_path) as log:
        await log.append(entry(0))
        with pytest.raises(LogLocked, match=ORIGIN):
            opened(tmp_path)
        await log.append(entry(1))
    async with running(tmp_path) as log:
        assert log.size == 2


async def test_a_closed_log_refuses(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.close()
    log.close()
    assert (log.healthy, log.ended) == (False, "CLOSED")
    with pytest.raises(LogUnavailable, match="CLOSED"):
        await log.append(entry(0))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
async def test_a_keeper_that_fails_stops_the_log(tmp_path: Path) -> None:
    def keep(note: str) -> None:
        if parse_unverified(note).size:
            raise ValueError("no keeper")

    log = TileLog(open_log(tmp_path, SIGNER), clock=time.monotonic, keep=keep, pace=Pace(entries=1))
    await log.append(entry(0))
    await asyncio.to_thread(log.close)
    assert (log.healthy, log.ended) == (False, "KEEP_FAILED")
    assert (log.size, log.signed.size) == (1, 1)
    with pytest.raises(LogUnavailable):
        await log.append(entry(1))


def test_files_are_for_the_owner_only(tmp_path: Path) -> None:
    opened(tmp_path).close()
    found = list((tmp_path / "prod-a").rglob("*"))
    assert found
    assert all(path.stat().st_mode & 0o077 == 0 for path in found)


# Starting again


async def test_a_restart_continues_the_same_history(tmp_path: Path) -> None:
    kept = await written(tmp_path, 0, 1, 255, 256, 257, 600, 600)
    assert entries_on_disk(tmp_path) == [entry(i) for i in range(600)]
    (report,) = verify_directory(tmp_path, vkeys=[SIGNER.verifier.vkey], against=kept)
    assert (report.findings, report.signed_size) == ((), 600)


async def test_a_tail_cut_at_any_byte_keeps_the_whole_entries_or_refuses(tmp_path: Path) -> None:
    source = tmp_path / "source"
    await written(source, 259)
    log = opened(source)
    await fill(log, 259, 262)
    whole = tmp_path / "crashed"
    shutil.copytree(source, whole)  # as a crash leaves it: 262 entries durable, 259 signed
    await asyncio.to_thread(log.close)
    tail = (whole / ORIGIN / "tail").read_bytes()
    ends = [HEADER_BYTES]
    for i in range(256, 262):
        ends.append(ends[-1] + len(entry(i)) + 10)
    assert ends[-1] == len(tail)
    for cut in range(len(tail) + 1):
        (whole / ORIGIN / "tail").write_bytes(tail[:cut])
        left = 256 + sum(end <= cut for end in ends[1:])
        if left < 259:
            with pytest.raises((LogRolledBack, LogForked)):
                open_log(whole, SIGNER)
        else:
            trial = tmp_path / f"trial{cut}"
            shutil.copytree(whole, trial)
            async with running(trial) as log:
                assert (log.size, log.signed.size, log.torn_bytes) == (left, left, cut - ends[left - 256])
                assert await log.append(b"next") == left
            assert entries_on_disk(trial) == [*(entry(i) for i in range(left)), b"next"]
            assert intact(trial)


async def test_every_flipped_byte_of_checkpoint_tail_or_edge_tile_refuses_or_is_torn_off(
    tmp_path: Path,
) -> None:
    await written(tmp_path, 258)
    home = tmp_path / ORIGIN
    for name in ("checkpoint", "tail", "tile/1/000.p/1"):
        good = (home / name).read_bytes()
        for at in range(len(good)):
            flipped = bytearray(good)
            flipped[at] ^= 1
            (home / name).write_bytes(flipped)
            with pytest.raises((LogForked, LogRolledBack)):
                open_log(tmp_path, SIGNER)
        (home / name).write_bytes(good)
    opened(tmp_path).close()


@pytest.mark.parametrize("name", ["checkpoint", "tail", "tile/1/000.p/1"])
async def test_a_missing_file_refuses(tmp_path: Path, name: str) -> None:
    await written(tmp_path, 258)
    (tmp_path / ORIGIN / name).unlink()
    with pytest.raises((LogForked, LogRolledBack)):
        open_log(tmp_path, SIGNER)


async def test_a_log_restored_from_an_older_copy_is_refused_by_the_kept_checkpoint(tmp_path: Path) -> None:
    audit_dir, copy = tmp_path / "log", tmp_path / "copy"
    await written(audit_dir, 300)
    shutil.copytree(audit_dir, copy)
    kept = await written(audit_dir, 310)
    with pytest.raises(LogRolledBack):
        open_log(copy, SIGNER, kept[-1])
    with pytest.raises(LogRolledBack):
        open_log(tmp_path / "emptied", SIGNER, kept[-1])
    opened(audit_dir, known=kept[-1]).close()


@pytest.mark.parametrize("size", [3, 300])
async def test_another_history_of_the_same_key_is_refused_by_the_kept_checkpoint(
    tmp_path: Path, size: int
) -> None:
    kept = await written(tmp_path / "log", size)
    log = opened(tmp_path / "other")
    for _ in range(size + 5):
        await log.append(b"other")
    await asyncio.to_thread(log.close)
    with pytest.raises(LogForked):
        open_log(tmp_path / "other", SIGNER, kept[-1])


async def test_every_older_kept_checkpoint_is_accepted(tmp_path: Path) -> None:
    for note in await written(tmp_path, 1, 255, 256, 300, 520):
        opened(tmp_path, known=note).close()


async def test_another_key_is_refused(tmp_path: Path) -> None:
    await written(tmp_path, 3)
    with pytest.raises(LogForked):
        open_log(tmp_path, Signer(ORIGIN, b"s" * 32))


async def test_the_kept_checkpoint_of_another_log_is_refused(tmp_path: Path) -> None:
    await written(tmp_path, 3)
    other = Signer("prod-a/w1", bytes(range(32)))
    note = other.sign(open_log(tmp_path, other).signed)
    with pytest.raises(LogForked):
        open_log(tmp_path, SIGNER, note)


def test_a_refused_start_releases_the_lock(tmp_path: Path) -> None:
    opened(tmp_path).close()
    for _ in range(2):
        with pytest.raises(LogForked):
            open_log(tmp_path, Signer(ORIGIN, b"s" * 32))
    opened(tmp_path).close()


# Verifying a directory


async def test_a_directory_of_several_logs_is_verified_as_a_whole(tmp_path: Path) -> None:
    kept = await written(tmp_path, 5)
    other = Signer("prod-a/w1", bytes(range(32)))
    TileLog(open_log(tmp_path, other), clock=time.monotonic, keep=kept.append).close()
    for top in (tmp_path, tmp_path / "prod-a"):
        reports = verify_directory(top, vkeys=[SIGNER.verifier.vkey], against=kept)
        assert [(r.origin, r.size, r.is_intact) for r in reports] == [
            (ORIGIN, 5, True),
            ("prod-a/w1", 0, True),
        ]
    assert [r.is_intact for r in verify_directory(tmp_path / ORIGIN)] == [True]
    shutil.rmtree(tmp_path / "prod-a/w1")
    assert [r.is_intact for r in verify_directory(tmp_path, against=kept)] == [True, False]


async def test_a_log_in_the_place_of_another_or_twice_is_found(tmp_path: Path) -> None:
    await written(tmp_path, 5)
    shutil.copytree(tmp_path / ORIGIN, tmp_path / "prod-a/w1")
    findings = [finding.kind for report in verify_directory(tmp_path) for finding in report.findings]
    assert findings == [FindingKind.MISPLACED] * 2


async def test_the_key_beside_the_log_does_not_replace_the_pinned_one(tmp_path: Path) -> None:
    await written(tmp_path, 5)
    shutil.rmtree(tmp_path / "prod-a")
    stranger = Signer(ORIGIN, b"s" * 32)
    TileLog(open_log(tmp_path, stranger), clock=time.monotonic, keep=lambda note: None).close()
    assert verify_directory(tmp_path)[0].is_intact  # who writes the log writes the file beside it
    (report,) = verify_directory(tmp_path, vkeys=[SIGNER.verifier.vkey])
    assert [finding.kind for finding in report.findings] == [FindingKind.CHECKPOINT_INVALID]


# Crashes and faults


@dataclass
class Told:
    """What a child said before it ended."""

    acknowledged: dict[int, bytes] = field(default_factory=dict)
    kept: str | None = None
    after_failure: int = 0
    failures: int = 0
    ended: bool = False

    def hear(self, line: bytes) -> None:
        kind, _, rest = line.partition(b" ")
        if kind == b"A":
            index, _, leaf = rest.partition(b" ")
            self.acknowledged[int(index)] = leaf
            self.after_failure += bool(self.failures)
        elif kind == b"K":
            self.kept = base64.b64decode(rest).decode()
        elif kind == b"F":
            assert rest == b"LOG_UNAVAILABLE"
            self.failures += 1
        else:
            assert line == b"E"
            self.ended = True


def run_child(
    audit_dir: Path, work: tuple[int, int], *, prefix: tuple[str, ...] = (), kill_after: int | None = None
) -> Told:
    """Run a writing child to its end, or until `kill_after` acknowledgements; return what it said."""
    ours, theirs = socket.socketpair()
    told = Told()
    arguments = [*prefix, sys.executable, str(CHILD), str(audit_dir), str(theirs.fileno()), *map(str, work)]
    child = subprocess.Popen(
        arguments,
        pass_fds=[theirs.fileno()],
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": str(Path(__file__).parents[2] / "proxy")},
    )
    theirs.close()
    with ours, ours.makefile("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break
            told.hear(line[:-1])
            if kill_after is not None and len(told.acknowledged) >= kill_after:
                child.kill()
        child.wait()
    return told


def assert_nothing_acknowledged_is_lost(audit_dir: Path, *tellings: Told) -> None:
    """Start again with the last checkpoint that was kept, close, and compare with everything that was said."""
    known = next((told.kept for told in reversed(tellings) if told.kept is not None), None)
    opened(audit_dir, known=known).close()
    entries = entries_on_disk(audit_dir)
    for told in tellings:
        for index, leaf in told.acknowledged.items():
            assert entries[index] == leaf
    (report,) = verify_directory(audit_dir, against=[known] if known else [])
    assert (report.findings, report.size) == ((), len(entries))


def _kill_cycles(audit_dir: Path, cycles: int) -> None:
    chance = random.Random(9)
    tellings = []
    for _ in range(cycles):
        told = run_child(audit_dir, (10_000, 8), kill_after=chance.randrange(1, 400))
        assert told.acknowledged
        assert not told.ended
        tellings.append(told)
    assert_nothing_acknowledged_is_lost(audit_dir, *tellings)


def test_no_acknowledged_entry_is_lost_over_kill_9_cycles(tmp_path: Path) -> None:
    _kill_cycles(tmp_path, 50)


@pytest.mark.soak
def test_no_acknowledged_entry_is_lost_over_1000_kill_9_cycles(tmp_path: Path) -> None:
    _kill_cycles(tmp_path, 1000)


needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None,
    reason="NO FAULT INJECTION: strace is not installed; install it to run this",
)


@pytest.fixture(scope="module")
def almost_full(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """Copies of a log of 250 entries: six more fill the first tile, so a fault can hit its publication."""
    source = tmp_path_factory.mktemp("faults") / "source"
    asyncio.run(written(source, 250))
    copies = iter(range(10_000))

    def copy() -> Path:
        return shutil.copytree(source, source.with_name(f"copy{next(copies)}"))

    return copy


def _fault(audit_dir: Path, call: str, fault: str, when: int, files: Collection[str] = ()) -> Told:
    inject = (
        "strace",
        "-f",
        *(part for name in files for part in ("-P", f"{audit_dir}{name}")),
        "-o",
        "/dev/null",
        "-e",
        f"trace={call}",
        "-e",
        f"inject={call}:{fault}:when={when}",
    )
    # The calls are counted per thread: the n-th of the starting thread fails, and the n-th of the committing one.
    return run_child(audit_dir, (30, 1), prefix=inject)


def _assert_survives(
    audit_dir: Path, call: str, fault: str, when: int, files: Collection[str] = ()
) -> Told:
    told = _fault(audit_dir, call, fault, when, files)
    assert told.after_failure == 0
    assert_nothing_acknowledged_is_lost(audit_dir, told)
    return told


@needs_strace
@pytest.mark.parametrize("fault", ["error=EIO", "error=ENOSPC", "signal=KILL"])
@pytest.mark.parametrize(("call", "when"), [("fdatasync", 4), ("write", 9), ("fsync", 20), ("rename", 9)])
def test_a_fault_in_a_durable_call_loses_nothing_acknowledged(
    almost_full: Callable[[], Path], call: str, fault: str, when: int
) -> None:
    told = _assert_survives(almost_full(), call, fault, when)
    assert told.kept  # the child ran, and came past its start
    assert not told.ended  # and the fault hit it


@needs_strace
def test_after_one_failed_sync_nothing_is_acknowledged_any_more(almost_full: Callable[[], Path]) -> None:
    told = _assert_survives(almost_full(), "fdatasync", "error=EIO", 4)
    assert (len(told.acknowledged), told.failures, told.after_failure) == (3, 27, 0)


@needs_strace
@pytest.mark.soak
@pytest.mark.parametrize("fault", ["error=EIO", "error=ENOSPC", "signal=KILL"])
@pytest.mark.parametrize(
    "call", ["write", "fdatasync", "fsync", "rename", "mkdir", "ftruncate", "unlink", "rmdir"]
)
def test_a_fault_in_any_call_of_a_run_loses_nothing_acknowledged(
    almost_full: Callable[[], Path], call: str, fault: str
) -> None:
    for when in range(1, 200):
        told = _assert_survives(almost_full(), call, fault, when)
        if told.ended and not told.failures and len(told.acknowledged) == 30:
            assert when > 1 or call in ("unlink", "rmdir")
            return
    pytest.fail("200 faults and still one more call")


@pytest.fixture(scope="module")
def files(almost_full: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every path of the log that a run names: Python itself opens too much else before it."""
    audit_dir, seen = almost_full(), tmp_path_factory.mktemp("seen") / "calls"
    run_child(audit_dir, (30, 1), prefix=("strace", "-f", "-o", str(seen), "-e", "trace=openat,rename"))
    return set(re.findall(rf'"{re.escape(str(audit_dir))}([^"]*)"', seen.read_text()))


@needs_strace
@pytest.mark.soak
@pytest.mark.parametrize("fault", ["error=EIO", "error=ENOSPC", "signal=KILL"])
@pytest.mark.parametrize("call", ["openat", "close"])
def test_a_fault_in_opening_or_closing_a_file_of_the_log_loses_nothing_acknowledged(
    almost_full: Callable[[], Path], files: set[str], call: str, fault: str
) -> None:
    for when in range(1, 100):
        told = _assert_survives(almost_full(), call, fault, when, files)
        if told.ended and not told.failures and len(told.acknowledged) == 30:
            assert when > 10
            return
    pytest.fail("100 faults and still one more call")


@pytest.mark.parametrize("callers", [1, 3, 40])
async def test_a_log_without_cpu_to_spare_gathers_entries_and_loses_none(
    tmp_path: Path, callers: int
) -> None:
    """`cpu` runs as fast as the clock, so the log believes that the process is saturated all the time."""
    log = TileLog(
        open_log(tmp_path, SIGNER), clock=time.monotonic, cpu=time.monotonic, keep=lambda note: None
    )
    acknowledged: dict[int, bytes] = {}

    async def call(caller: int) -> None:
        for number in range(12):
            leaf = f"{caller}-{number}".encode()
            acknowledged[await log.append(leaf)] = leaf

    await asyncio.gather(*(call(caller) for caller in range(callers)))
    await asyncio.to_thread(log.close)
    assert sorted(acknowledged) == list(range(12 * callers))
    again = open_log(tmp_path, SIGNER)
    assert again.frontier.size == 12 * callers
    again.directory.release()


async def test_entries_that_gather_while_the_log_closes_are_refused_or_there(tmp_path: Path) -> None:
    log = TileLog(
        open_log(tmp_path, SIGNER), clock=time.monotonic, cpu=time.monotonic, keep=lambda note: None
    )
    waiting = [asyncio.ensure_future(log.append(b"x")) for _ in range(20)]
    await asyncio.sleep(0)
    await asyncio.to_thread(log.close)
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, int | LogUnavailable) for outcome in outcomes)
