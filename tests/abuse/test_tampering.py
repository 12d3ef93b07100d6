"""Tampering with the files of a stopped server: the next start, or the verifier, says what was done."""

import os
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from abuse.target import Target, ask, create_site, entries, leaves, running
from e2e.server import INSTANCE, KEYS, Site
from fujie.adapters.logfiles import verify_directory
from fujie.audit.findings import FindingKind
from fujie.audit.segment import HEADER_BYTES, TAIL

WORKER = f"{INSTANCE}/w0"


@dataclass(frozen=True)
class History:
    """A stopped site today, as it was yesterday, and yesterday continued otherwise; and what an auditor kept."""

    today: Path
    yesterday: Path
    otherwise: Path
    checkpoint: str
    vkey: str


def look_ups(target: Target, count: int) -> None:
    for _ in range(count):
        target.lookup("agent", ask("phone"))


def worked(site: Site, count: int) -> Site:
    with running(site) as target:
        look_ups(target, count)
        assert target.server.stop() == 0
    return site


def clone(root: Path, to: Path) -> Site:
    """Copy a stopped site to another place, where it is as good as the first."""
    shutil.copytree(root, to)
    config = to / "fujie.yaml"
    values = yaml.safe_load(config.read_text("utf-8").replace(f"{root}/", f"{to}/"))
    site = Site(to, values, "", "", starts=1)
    site.write()
    return site


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    home = tmp_path_factory.mktemp("history")
    site = worked(create_site(home / "today"), 4)
    site.starts = 1
    clone(site.root, home / "yesterday")
    shutil.copytree(site.root, home / "otherwise")
    worked(site, 6)
    # The same keys and the same place, so that only what happened differs.
    (home / "today").rename(home / "kept")
    (home / "otherwise").rename(home / "today")
    worked(site, 9)
    (home / "today").rename(home / "otherwise")
    (home / "kept").rename(home / "today")
    log = site.log / WORKER
    return History(
        site.root, home / "yesterday", home / "otherwise",
        (log / "checkpoint").read_text(), (log / "vkey").read_text(),
    )  # fmt: skip


@pytest.fixture
def site(history: History, tmp_path: Path) -> Site:
    """Today's site, to be spoilt."""
    return clone(history.today, tmp_path / "site")


def replace_log(site: Site, by: Path) -> None:
    shutil.rmtree(site.log)
    shutil.copytree(by / "log", site.log)


def refused_start(site: Site, code: str) -> None:
    """The start is refused with exactly this, and the log on disk is as it was."""
    before = leaves(site)
    assert [code] == [problem["code"] for problem in site.refusal()]
    assert leaves(site) == before


def found(site: Site, history: History, *, against: bool = False) -> set[FindingKind]:
    """Return what an auditor finds who pinned the key, and kept a checkpoint if so said."""
    reports = verify_directory(
        site.log, vkeys=[history.vkey], against=[history.checkpoint] if against else []
    )
    return {finding.kind for report in reports for finding in report.findings}


def test_an_untouched_site_starts_again_and_verifies(site: Site, history: History) -> None:
    assert found(site, history, against=True) == set()
    size = len(entries(site))
    worked_again = clone(site.root, site.root.with_name("again"))
    with worked_again.running() as server:
        assert server.events("ready")[0]["entries"] == size


def test_yesterdays_log_is_refused(site: Site, history: History) -> None:
    replace_log(site, history.yesterday)
    assert found(site, history) == set()  # alone it is a sound log: only who remembers can tell
    assert found(site, history, against=True) == {FindingKind.ROLLED_BACK}
    refused_start(site, "LOG_ROLLED_BACK")


def test_a_log_of_another_past_is_refused(site: Site, history: History) -> None:
    replace_log(site, history.otherwise)
    assert found(site, history) == set()
    assert found(site, history, against=True) == {FindingKind.FORKED}
    refused_start(site, "LOG_FORKED")


def test_yesterdays_log_with_yesterdays_ledger_is_only_found_by_a_checkpoint_kept_elsewhere(
    site: Site, history: History
) -> None:
    """The limit of what one machine can know about itself, stated in docs/threat-model.md."""
    replace_log(site, history.yesterday)
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (site.root / name).unlink(missing_ok=True)
        if (history.yesterday / name).exists():
            shutil.copy(history.yesterday / name, site.root / name)
    with site.running() as server:
        assert server.get("http", "/readyz")[0] == 200
    assert found(site, history, against=True) == {FindingKind.ROLLED_BACK}


def test_a_log_that_is_gone_is_refused_and_no_new_one_is_begun(site: Site, history: History) -> None:
    shutil.rmtree(site.log)
    assert [problem["code"] for problem in site.refusal()] == ["LOG_ROLLED_BACK"]
    assert found(site, history, against=True) & {FindingKind.MISPLACED, FindingKind.ROLLED_BACK}


def test_a_ledger_that_is_gone_is_refused_and_no_empty_one_forgets_who_said_no(
    site: Site, history: History
) -> None:
    for file in site.root.glob("ledger.db*"):
        file.unlink()
    refused_start(site, "LEDGER_STRANGE")
    refused_start(site, "LEDGER_STRANGE")  # and the empty one that is there now changes nothing
    assert found(site, history, against=True) == set()


@pytest.mark.parametrize("left", [0.0, 0.99])
def test_a_signed_tail_that_was_cut_is_refused(site: Site, history: History, left: float) -> None:
    tail = site.log / WORKER / TAIL
    size = tail.stat().st_size
    os.truncate(tail, HEADER_BYTES + int((size - HEADER_BYTES) * left))
    assert FindingKind.TAIL_ALTERED in found(site, history)
    refused_start(site, "LOG_ROLLED_BACK")


def test_a_torn_record_is_cut_off_and_said(site: Site, history: History) -> None:
    """What was never whole was never acknowledged: no reason to refuse the start, and none to keep silent."""
    signed = len(entries(site))
    tail = site.log / WORKER / TAIL
    whole = tail.read_bytes()
    with tail.open("ab") as file:  # what a power cut leaves: a record of which only the start is there
        file.write((500).to_bytes(2) + b'{"v":1')
    assert FindingKind.TAIL_ALTERED not in found(site, history)
    with site.running() as server:
        (cut,) = server.events("torn_entries_cut")
        assert (cut["torn_bytes"], server.events("ready")[0]["entries"]) == (8, signed)
        assert server.stop() == 0
    assert tail.read_bytes() == whole


@pytest.mark.parametrize("name", ["tail", "checkpoint", "tile/0/000.p/*", "tile/entries/000.p/*"])
def test_a_flipped_byte_is_found_wherever_it_is(site: Site, history: History, name: str) -> None:
    file = max((site.log / WORKER).glob(name), key=_width)  # narrower tiles are of checkpoints before
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert found(site, history)


def _width(file: Path) -> int:
    return int(file.name) if file.name.isdecimal() else 0


@pytest.mark.parametrize(("first", "second"), [("ledger_index", "token"), ("seal", "log")])
def test_swapped_keys_stop_the_start(site: Site, first: str, second: str) -> None:
    one, other = (site.root / "keys" / f"{name}.key" for name in (first, second))
    aside = one.rename(one.with_name("aside"))
    other.rename(one)
    aside.rename(other)
    problems = site.refusal()
    assert {"KEY_MISMATCH"} == {problem["code"] for problem in problems}
    text = str(problems)
    assert all(name in text for name in (first, second))


def test_lost_keys_stop_the_start_and_none_is_made(site: Site) -> None:
    files = [site.root / "keys" / f"{name}.key" for name in KEYS]
    for file in files:
        file.unlink()
    assert ["KEY_MISSING"] * len(KEYS) == [problem["code"] for problem in site.refusal()]
    assert not any(file.exists() for file in files)


def test_a_second_server_on_the_same_site_is_refused_and_the_first_serves_on(
    tmp_path: Path,
) -> None:
    site = create_site(tmp_path / "site")
    with running(site) as target:
        look_ups(target, 1)
        assert [problem["code"] for problem in site.refusal()] == ["LOG_LOCKED"]
        target.stands()
        assert target.server.stop(signal.SIGTERM) == 0
    assert not any(report.findings for report in verify_directory(site.log))
