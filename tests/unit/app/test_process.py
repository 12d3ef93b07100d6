"""A worker process ends with whoever started it, whatever happens in between.

The interpreter that workers run in is replaced by a script: what it says and when it ends is the test's choice.
"""

import asyncio
import os
import resource
import signal
import sys
from math import inf
from pathlib import Path

import pytest

from e2e.server import Site
from fujie.adapters.merged import Merged
from fujie.app import process
from fujie.app.problems import CannotStart
from fujie.app.process import WorkerProcess
from fujie.app.settings import Settings, load_settings

READY = """printf '{"kind":"ready","entries":3}\\n' >&$4"""
HANG = "exec sleep 600"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(Site.create(tmp_path / "site", 1).config, {})


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "worker"
    path.write_text("#!/bin/bash\n", "utf-8")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    return path


def says(script: Path, *lines: str) -> None:
    script.write_text("\n".join(("#!/bin/bash", *lines)) + "\n", "utf-8")


async def listening() -> asyncio.Task[int]:
    """Return what listens to the one worker that there is, as soon as there is one."""
    while True:
        for task in asyncio.all_tasks():
            if task.get_name() == "w0":
                return task
        await asyncio.sleep(0)


async def test_a_worker_that_is_ready_stays_until_it_is_ended(settings: Settings, script: Path) -> None:
    says(script, READY, HANG)
    worker = await WorkerProcess.start(0, settings, Merged())
    assert (worker.entries, worker.why_not) == (3, "")
    assert await worker.end(0) == -signal.SIGKILL
    assert worker.why_not == "ended"
    assert not await worker.report(600)  # at once: nobody is there to answer


async def test_a_worker_that_dies_before_it_is_ready_is_a_problem(settings: Settings, script: Path) -> None:
    says(script, "exit 3")
    with pytest.raises(CannotStart) as caught:
        await WorkerProcess.start(0, settings, Merged())
    assert [problem.code for problem in caught.value.problems] == ["WORKER_DIED"]


async def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let so much time pass for the event loop."""
    loop = asyncio.get_running_loop()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + seconds)
    for _ in range(3):
        await asyncio.sleep(process.LOOK_S)


MIGRATING = """printf '{"kind":"migrating","is_migrating":%s}\\n' >&$4"""


async def test_a_worker_that_is_not_ready_in_time_is_a_problem(
    settings: Settings, script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(script, HANG)
    starting = asyncio.create_task(WorkerProcess.start(0, settings, Merged()))
    ended = await listening()
    await later(monkeypatch, process.START_S)
    with pytest.raises(CannotStart) as caught:
        await starting
    assert [problem.code for problem in caught.value.problems] == ["WORKER_NOT_READY"]
    assert ended.result() == -signal.SIGKILL


async def test_a_worker_that_migrates_the_ledger_is_waited_for_and_then_has_as_long_as_any(
    settings: Settings, script: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What is given up begins from the beginning: a large ledger would never come up."""
    go_on = tmp_path / "go-on"
    os.mkfifo(go_on)
    says(script, MIGRATING % "true", f"cat {go_on}", MIGRATING % "false", f"cat {go_on}", READY, HANG)
    starting = asyncio.create_task(WorkerProcess.start(0, settings, Merged()))
    ended = await listening()
    worker = ended.get_coro().cr_frame.f_locals["self"]  # type: ignore[union-attr]  # who listens is the worker
    while worker._until != inf:  # noqa: ASYNC110 - what another process said
        await asyncio.sleep(0.01)
    await later(monkeypatch, 100 * process.START_S)
    assert not starting.done()
    go_on.write_text("")
    while worker._until == inf:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.01)
    await later(monkeypatch, process.START_S / 2)
    assert not starting.done()
    go_on.write_text("")
    assert (await starting).entries == 3
    assert await worker.end(0) == -signal.SIGKILL


async def test_a_start_that_is_given_up_leaves_no_process(settings: Settings, script: Path) -> None:
    says(script, HANG)
    starting = asyncio.create_task(WorkerProcess.start(0, settings, Merged()))
    ended = await listening()
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert ended.result() == -signal.SIGKILL


async def test_a_worker_that_becomes_ready_while_its_start_is_given_up_is_ended_too(
    settings: Settings, script: Path
) -> None:
    says(script, HANG)
    starting = asyncio.create_task(WorkerProcess.start(0, settings, Merged()))
    ended = await listening()
    worker = ended.get_coro().cr_frame.f_locals["self"]  # type: ignore[union-attr]  # who listens is the worker
    await asyncio.sleep(0)
    starting.cancel()
    worker._take({"kind": "ready", "entries": 0})
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert ended.done()
    assert ended.result() == -signal.SIGKILL


@pytest.mark.parametrize("steps", range(8))
async def test_who_waits_for_the_end_may_be_cancelled_and_it_is_seen_all_the_same(
    steps: int, settings: Settings, script: Path
) -> None:
    says(script, READY, HANG)
    worker = await WorkerProcess.start(0, settings, Merged())
    waiting = asyncio.create_task(worker.end(0))
    for _ in range(steps):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    assert await worker.end(0) == -signal.SIGKILL


async def test_a_machine_that_is_full_is_a_problem_and_no_crash(settings: Settings, script: Path) -> None:
    says(script, READY, HANG)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        with pytest.raises(CannotStart) as caught:
            await WorkerProcess.start(0, settings, Merged())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "Too many open files" in caught.value.problems[0].message


async def test_an_interpreter_that_is_gone_is_a_problem_and_leaves_no_descriptor(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(CannotStart) as caught:
            await WorkerProcess.start(0, settings, Merged())
        assert [problem.code for problem in caught.value.problems] == ["WORKER_DIED"]
    await asyncio.sleep(0)  # a transport closes in the next round
    await asyncio.sleep(0)
    assert set(os.listdir("/proc/self/fd")) <= before  # what other tests left open may be closed meanwhile
