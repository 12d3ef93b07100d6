"""Repudiation: what was answered is in the log, and what can not be written is not answered."""

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from abuse.target import (
    LOOKUP,
    RECORD,
    SHOWN,
    UPSERT,
    Target,
    ask,
    by_id,
    consent,
    create_site,
    entries,
    expect,
    hired,
    marketing,
    primary,
    running,
)
from e2e.server import INSTANCE, Site
from fujie.adapters.logfiles import verify_directory
from fujie.app.client import read_refusal
from fujie.audit.entry import Entry, EntryKind
from fujie.audit.segment import TAIL
from fujie.v1 import customer_data_service_pb2 as customer_v1

UNAVAILABLE, DEADLINE = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED
PATIENCE_S = 120.0


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return create_site(tmp_path / "site")


def wait_until(claim: Callable[[], bool]) -> None:
    """Wait for what follows by itself; nothing is measured."""
    until = time.monotonic() + PATIENCE_S
    while not claim():
        assert time.monotonic() < until
        time.sleep(0.02)


@contextmanager
def faulty_calls(target: Target, file: Path, call: str, fault: str) -> Iterator[None]:
    """Let every such system call of the server on this file fail (`error=EIO`) or hang (`delay_enter=1000000`, in µs)."""
    if shutil.which("strace") is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have strace")
        pytest.skip("NOT TESTED: no strace, so no fault can be injected")
    pid = target.server.worker()
    command = [
        "strace", "-f", "-o", "/dev/null", "-P", str(file),
        "-e", f"trace={call}", "-e", f"inject={call}:{fault}", "-p", str(pid),
    ]  # fmt: skip
    tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: is_traced(pid) or tracer.poll() is not None)
        if tracer.poll() is not None:
            if os.environ.get("CI"):
                pytest.fail("CI must let strace attach")
            pytest.skip("NOT TESTED: strace may not attach here")
        yield
    finally:
        tracer.terminate()
        tracer.wait(PATIENCE_S)


def is_traced(pid: int) -> bool:
    for task in Path(f"/proc/{pid}/task").glob("*/status"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended since
            if "TracerPid:\t0\n" in task.read_text():
                return False
    return True


@contextmanager
def no_larger_files(target: Target, tail: Path) -> Iterator[None]:
    """Let no file of the server grow beyond the size that the log has now: EFBIG, as on a full disk."""
    pid = target.server.worker()
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (tail.stat().st_size + 10, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


@contextmanager
def nobody_replaced(target: Target) -> Iterator[None]:
    """Hold the parent of the workers: one whose log failed is told to end within two seconds, and calls that arrive after
    that are cancelled unread."""
    pid = target.server.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


Fault = Callable[[Target, Path], AbstractContextManager[None]]
FAULTS: dict[str, tuple[Fault, str]] = {
    "EIO of the sync": (lambda t, f: faulty_calls(t, f, "fdatasync", "error=EIO"), "EIO"),
    "disk full": (lambda t, f: faulty_calls(t, f, "write", "error=ENOSPC"), "ENOSPC"),
    "size limit": (no_larger_files, "EFBIG"),
}


def answered(target: Target, count: int) -> list[str]:
    """Look up so often; return the ids of the decisions that were answered."""
    return [target.lookup("agent", ask("phone")).decision.decision_id for _ in range(count)]


@pytest.mark.parametrize(("fault", "error"), FAULTS.values(), ids=FAULTS)
def test_a_log_that_can_not_be_written_closes_the_gate_of_its_process_for_good(
    site: Site, fault: Fault, error: str
) -> None:
    tail = site.log / INSTANCE / "w0" / TAIL
    with running(site) as target:
        acknowledged = answered(target, 5)
        assert target.server.metric("fujie_log_failures_total") == 0
        with nobody_replaced(target), fault(target, tail):
            calls = [target.begin(LOOKUP, ask("phone"), target.bearer("agent")) for _ in range(20)]
            calls.append(target.begin(RECORD, consent(by_id(SHOWN)), target.bearer("desk")))
            assert {UNAVAILABLE} == {call.code() for call in calls}
            assert {"LOG_UNAVAILABLE"} == {read_refusal(call).reason for call in calls}
            assert target.server.wait_for("log_failed")["error"] == error
        # The fault is over; a process whose log failed once is not believed again, a new one takes its place.
        target.server.wait_for("not_serving")
        assert target.server.events("not_serving")[0]["state"] == "log"  # before it drains
        target.server.wait_for("worker_ready", count=2)
        assert target.server.metric("fujie_log_failures_total") == 1
        refused = target.server.metric("fujie_decisions_total", reason="LOG_UNAVAILABLE", effect="DENY")
        assert refused == 21
        acknowledged += answered(target, 1)
        target.server.stop()
    with running(site) as target:
        assert set(acknowledged) <= {entry.decision_id for entry in entries(site)}
        expect(
            target.refused("marketer", LOOKUP, marketing("phone")),
            grpc.StatusCode.PERMISSION_DENIED,
            "CONSENT_MISSING",  # the consent that was refused was not recorded
        )
        answered(target, 1)


def test_a_disk_that_hangs_lets_nothing_out_and_the_gate_goes_on_when_it_does(site: Site) -> None:
    """No error and no answer: calls end with their deadline, health says why, and no worker is replaced."""
    tail = site.log / INSTANCE / "w0" / TAIL
    with running(site) as target:
        answered(target, 3)
        quiet(target)
        with faulty_calls(target, tail, "fdatasync", "delay_enter=600000000"):
            calls = [target.begin(LOOKUP, ask("phone"), target.bearer("agent")) for _ in range(5)]
            calls.append(target.begin(RECORD, consent(by_id(SHOWN)), target.bearer("desk")))
            assert {DEADLINE} == {call.code() for call in calls}
            assert {"DEADLINE_EXCEEDED"} == {read_refusal(call).reason for call in calls}
            assert target.server.wait_for("not_serving")["state"] == "disk"
            wait_until(lambda: "disk" in target.server.get("http", "/readyz")[1])
        target.server.wait_for("serving", count=len(target.server.events("not_serving")))
        wait_until(lambda: target.server.get("http", "/readyz")[0] == 200)
        expect(
            target.refused("marketer", LOOKUP, marketing("phone")),
            grpc.StatusCode.PERMISSION_DENIED,
            "CONSENT_MISSING",  # its admission was not durable in time: the consent was not recorded
        )
        answered(target, 1)
        assert len(target.server.events("worker_ready")) == 1
        assert target.server.metric("fujie_log_failures_total") == 0
        target.server.stop()
    assert not any(report.findings for report in verify_directory(site.log))


def test_every_answer_before_a_kill_has_its_entry(site: Site) -> None:
    """Under load, several times: also what was answered in the last moment is there after the restart."""
    acknowledged: list[str] = []
    for round_ in range(2):
        with running(site) as target:
            calls = []
            for number in range(400):
                asked = ask("phone", customer=by_id(f"C{1 + number % 50:05}"), ticket="T-1")
                calls.append(target.begin(LOOKUP, asked, target.bearer("agent")))
                if number == 250 + round_ * 40:
                    while not any(call.done() for call in calls):
                        time.sleep(0.001)
                    target.server.process.send_signal(signal.SIGKILL)
            for call in calls:
                if call.exception() is None:
                    reply = customer_v1.LookupCustomerResponse.FromString(call.result())
                    acknowledged.append(reply.decision.decision_id)
            target.server.process.wait(PATIENCE_S)
        kept = {entry.decision_id for entry in entries(site)}
        assert set(acknowledged) <= kept
    assert acknowledged
    with running(site) as target:
        target.stands()
        target.server.stop()
    assert not any(report.findings for report in verify_directory(site.log))


def test_an_act_that_a_kill_cut_off_is_told_at_the_next_start_and_may_be_asked_for_again(
    site: Site,
) -> None:
    """Killed between its admission, which is durable, and what the ledger would have said."""
    asked = hired("newcomer", "support")
    with running(site) as target:
        quiet(target)
        with locked(site.root / "ledger.db", "IMMEDIATE"):
            # gRPC cancels a call that nobody holds.
            cut_off = target.begin(UPSERT, asked, target.bearer("chief"))
            wait_until(lambda: any(map(is_about_newcomer, entries(site))))
            target.server.process.kill()
            target.server.process.wait(PATIENCE_S)
            assert cut_off.code() is UNAVAILABLE
    (cut,) = filter(is_about_newcomer, entries(site))
    assert cut.kind is EntryKind.ADMISSION
    with running(site) as target:
        told = target.server.wait_for("act_unfinished")
        assert (told["decision_id"], told["action"]) == (cut.decision_id, "principal.write")
        (listed,) = unfinished(site, 6)
        assert told["index"] == listed["index"]
        said = {"decision_id": cut.decision_id, "principal": "chief", "log": f"{INSTANCE}/w0"}
        assert said.items() <= listed.items()
        expect(
            target.refused("newcomer", LOOKUP, ask("phone")),
            grpc.StatusCode.PERMISSION_DENIED,
            "PRINCIPAL_UNKNOWN",
        )
        target.call("chief", UPSERT, asked)
        target.lookup("newcomer", ask("phone"))
        assert target.server.stop() == 0
    assert unfinished(site, 6) == [
        listed
    ]  # what was asked for anew has an end; what was cut off never gets one


def is_about_newcomer(entry: Entry) -> bool:
    return entry.facts.get("target.principal") == "newcomer"


def unfinished(site: Site, code: int) -> list[dict[str, Any]]:
    """Return what `fujie audit unfinished` lists; it ends with `code`."""
    done = site.command("audit", "unfinished", str(site.log), "--output", "json")
    assert done.returncode == code, done.stderr
    listed: list[dict[str, Any]] = json.loads(done.stdout)["unfinished"]
    return listed


@contextmanager
def locked(file: Path, how: str = "EXCLUSIVE") -> Iterator[None]:
    """Hold the lock that a careless backup or a forgotten shell would hold."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(f"BEGIN {how}")
        yield
        connection.execute("ROLLBACK")


def quiet(target: Target) -> None:
    """Wait until every entry is signed: the log has then nothing to tell the ledger."""
    wait_until(lambda: target.server.metric("fujie_log_checkpoint_age_seconds") == 0)


def test_a_locked_ledger_refuses_what_must_be_written_there(site: Site) -> None:
    stranger = ask("phone", customer=by_id("C00002"), ticket="T-1")
    with running(site) as target:
        answered(target, 1)
        target.new()
        quiet(target)
        with locked(site.root / "ledger.db"):
            expect(target.refused("agent", LOOKUP, stranger), UNAVAILABLE, "LEDGER_UNAVAILABLE")
            assert target.new_one("DENY", "LEDGER_UNAVAILABLE", "agent").sids == ()
        assert target.lookup("agent", stranger).customer["phone"]
        target.stands()


def test_a_locked_ledger_does_not_stop_look_ups_of_known_customers(site: Site) -> None:
    """A backup holds the write lock over several checkpoints; what only reads goes on, what is signed is kept later."""
    with running(site) as target:
        answered(target, 1)
        with locked(site.root / "ledger.db", "IMMEDIATE"):
            before = target.server.metric("fujie_log_entries")
            for _ in range(3):
                answered(target, 1)
                quiet(target)  # signed; the ledger can not take it yet
            assert target.server.metric("fujie_log_entries") == before + 3
        answered(target, 1)
        quiet(target)
        target.stands()
        assert (
            target.server.stop() == 0
        )  # a kill between the signature and its keeping would leave the one before
    with closing(sqlite3.connect(site.root / "ledger.db")) as ledger:
        ((kept,),) = ledger.execute("SELECT size FROM checkpoint")
    (report,) = verify_directory(site.log)
    assert kept == report.signed_size, "the last checkpoint reached the ledger"


LEDGER_FILES = ("ledger.db", "ledger.db-wal", "ledger.db-shm")


def test_a_ledger_that_is_gone_records_nothing(site: Site) -> None:
    with running(site) as target:
        for name in LEDGER_FILES:
            (site.root / name).unlink()
        detail = target.refused("desk", RECORD, consent(by_id(SHOWN)))
        expect(detail, UNAVAILABLE, "LEDGER_UNAVAILABLE")


def test_a_ledger_that_can_not_be_written_refuses_and_the_log_tells(site: Site) -> None:
    with running(site) as target:
        quiet(target)
        with faulty_calls(target, site.root / "ledger.db-wal", "pwrite64", "error=EIO"):
            expect(target.refused("desk", RECORD, consent(by_id(SHOWN))), UNAVAILABLE, "LEDGER_UNAVAILABLE")
        assert {"LEDGER_UNAVAILABLE"} == {primary(entry) for entry in target.new()}
        target.call("desk", RECORD, consent(by_id(SHOWN)))
        assert target.lookup("marketer", marketing("phone")).customer["phone"] == "138******34"


@pytest.mark.parametrize("left", ["gone", "replaced"])
def test_a_store_whose_file_is_another_answers_nothing(site: Site, left: str) -> None:
    """An open file lives on after its name: who reads it answers about customers of yesterday."""
    file = site.root / "crm.db"
    with running(site) as target:
        answered(target, 1)
        target.new()
        aside = file.rename(site.root / "aside.db")
        if left == "replaced":
            shutil.copy(aside, file)

        def is_refused() -> bool:
            try:
                return not answered(target, 1)
            except grpc.RpcError:
                return True

        wait_until(is_refused)  # the path is looked at every tenth of a second
        target.new()
        expect(target.refused("agent", LOOKUP, ask("phone")), UNAVAILABLE, "STORE_UNAVAILABLE")
        assert target.new_one("DENY", "STORE_UNAVAILABLE", "agent").sids == ()
        aside.rename(file)
        wait_until(lambda: not is_refused())
        target.stands()


def test_a_store_that_does_not_answer_is_a_timeout(site: Site) -> None:
    """One store is locked, another is a view that counts for ever: both end with the server's deadline."""
    slow = site.root / "slow.db"
    shutil.copy(site.root / "crm.db", slow)
    with closing(sqlite3.connect(slow)) as connection:
        connection.execute(
            "CREATE VIEW endless AS SELECT c.* FROM customer c, (WITH RECURSIVE n(i) AS"
            " (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS k FROM n) WHERE k > 0"
        )
    crm = site.values["stores"]["crm"]
    site.values["stores"]["slow"] = {**crm, "url": f"sqlite:///{slow}", "table": "endless"}
    site.write()
    with running(site) as target, locked(site.root / "crm.db"):
        asked = [ask("phone", customer=by_id(SHOWN, store), ticket="T-1") for store in ("crm", "slow")]
        calls = [target.begin(LOOKUP, each, target.bearer("agent")) for each in asked]
        for call in calls:
            expect(read_refusal(call.exception()), DEADLINE, "STORE_TIMEOUT")
        found = target.new()
        assert sorted((entry.store, primary(entry)) for entry in found) == [
            ("crm", "STORE_TIMEOUT"),
            ("slow", "STORE_TIMEOUT"),
        ]
