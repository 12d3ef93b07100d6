"""A log that was signed, and holds entries of another build: what reads it says so, and does not break."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fujie.adapters.logstart import open_log
from fujie.adapters.tilelog import TileLog
from fujie.app.cli import build
from fujie.audit.checkpoint import Signer
from fujie.audit.entry import Entry, EntryKind, leaf_bytes
from support.releases import policies

ADMITTED = json.loads(
    leaf_bytes(
        Entry(uid="u", time="2026-03-01T09:30:00.000000Z", origin="a/w0", kind=EntryKind.ADMISSION, decision_id="d1",
              action="consent.record", principal="clerk")
    )
)  # fmt: skip
VALUES: tuple[Any, ...] = ([], "x", 1, None)
ODD: tuple[Any, ...] = (
    *([], "text", 1, None),
    *({**ADMITTED, name: value} for name in ("facts", "sealed", "action", "time") for value in VALUES),
    {**ADMITTED, "v": 99, "more": 1},
)  # fmt: skip


def run(*arguments: str | Path) -> tuple[int, Any]:
    done = CliRunner().invoke(build(), [*map(str, arguments), "--output", "json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout or done.stderr)


async def log_of(place: Path, *entries: object) -> Path:
    log = TileLog(open_log(place, Signer("a/w0", bytes(32))), clock=lambda: 0.0, keep=lambda _note: None)
    for entry in entries:
        await log.append(json.dumps(entry, sort_keys=True, separators=(",", ":")).encode())
    log.close()
    return place


async def test_a_replay_counts_what_it_can_not_read_and_proves_nothing_by_it(tmp_path: Path) -> None:
    candidate = tmp_path / "policies"
    candidate.mkdir()
    for name, content in policies().items():
        (candidate / Path(name).name).write_bytes(content)
    log = await log_of(tmp_path / "log", *ODD)
    code, said = run("policy", "replay", "--log", log, "--bundle", candidate)
    counted = said["decisions"]
    assert (code, said["proven"]) == (6, False)
    assert counted["unreadable"] >= len(ODD) - 4
    assert counted["unreadable"] + counted["others"] + counted["outside"] == len(ODD)


@pytest.mark.parametrize("name", ["facts", "sealed", "time", "v"])
async def test_an_admission_that_can_not_be_read_hides_no_other(tmp_path: Path, name: str) -> None:
    """Of it the place is told: nobody altered the log, and who reads that it changed looks for an intruder."""
    log = await log_of(tmp_path / "log", {**ADMITTED, "decision_id": "d0", name: 99}, ADMITTED)
    code, said = run("audit", "unfinished", log)
    assert code == 6
    assert [(each["index"], each["decision_id"], each["action"]) for each in said["unfinished"]] == [
        (0, "", ""), (1, "d1", "consent.record"),
    ]  # fmt: skip
    table = CliRunner().invoke(build(), ["audit", "unfinished", str(log)])
    assert "of another build" in table.stdout
