"""The bundles beside the log: found by what they compile to, whoever wrote, lost or altered a file."""

import gzip
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fujie.app.keptpolicies import KeptPolicies, kept_beside
from fujie.app.policies import PolicyFiles, compiled
from fujie.policy.archive import MAX_BYTES
from support.bundles import CATALOGUE, document, grant

FILES = {"site/base.yaml": "\n---\n".join(CATALOGUE).encode(), "site/grant.yaml": grant("g").encode()}
DIGEST = compiled(FILES).digest
OTHER = "sha256:" + "0" * 64


@pytest.fixture
def log(tmp_path: Path) -> Path:
    KeptPolicies(tmp_path / "log").keep(DIGEST, FILES)
    return tmp_path / "log"


def file_of(log: Path) -> Path:
    (file,) = (log / "policies").iterdir()
    return file


def test_what_was_kept_is_found_by_its_digest_from_the_directory_and_from_each_log(log: Path) -> None:
    for place in (log, log / "prod-a", log / "prod-a" / "w0"):
        assert dict(kept_beside(place, {DIGEST, OTHER})) == {DIGEST: FILES}
    assert dict(kept_beside(log, {OTHER})) == {}


def test_what_decides_once_a_bundle_has_ended_is_at_hand_where_nothing_is_kept(tmp_path: Path) -> None:
    """A gate whose bundle ended refuses by no policies at all: with them missing no log of it would ever be proven again."""
    closed = compiled({}).digest
    assert dict(kept_beside(tmp_path, {closed, DIGEST})) == {closed: {}}


def test_a_digest_of_an_entry_becomes_no_path(log: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.fujie.gz").write_bytes(file_of(log).read_bytes())
    assert dict(kept_beside(log, {"../../secret", "sha256:../../secret", str(tmp_path / "secret")})) == {}


def test_many_workers_at_once_leave_one_file(tmp_path: Path) -> None:
    keeping = KeptPolicies(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: keeping.keep(DIGEST, FILES), range(40)))
    assert file_of(tmp_path).stat().st_mode & 0o077 == 0
    assert dict(kept_beside(tmp_path, {DIGEST})) == {DIGEST: FILES}


def test_names_that_no_bundle_may_have_are_numbered_and_the_policies_are_the_same(tmp_path: Path) -> None:
    odd = {f"/srv/..2026/{name.partition('/')[2]}": content for name, content in FILES.items()}
    KeptPolicies(tmp_path).keep(DIGEST, odd)
    assert [compiled(files).digest for _, files in kept_beside(tmp_path, {DIGEST})] == [DIGEST]


SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "emptied": lambda _: b"",
    "not packed": gzip.decompress,
    "another bundle": lambda content: gzip.compress(
        gzip.decompress(content).replace(b"reveal", b"omit  ", 1)
    ),
    "its last byte": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "a bomb": lambda _: gzip.compress(b"\0" * (4 * MAX_BYTES)),
    "no policies": lambda _: gzip.compress(json.dumps({}).encode()),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_what_was_altered_is_passed_over(log: Path, spoil: Callable[[bytes], bytes]) -> None:
    file = file_of(log)
    file.write_bytes(spoil(file.read_bytes()))
    assert dict(kept_beside(log, {DIGEST})) == {}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_what_was_altered_is_whole_again_once_the_bundle_is_in_force_anew(
    log: Path, spoil: Callable[[bytes], bytes]
) -> None:
    """The server has it, and its decisions name it: else nobody could replay them."""
    file = file_of(log)
    file.write_bytes(spoil(file.read_bytes()))
    KeptPolicies(log).keep(DIGEST, FILES)
    assert dict(kept_beside(log, {DIGEST})) == {DIGEST: FILES}


def test_what_is_whole_is_not_written_again(log: Path) -> None:
    before = file_of(log).stat()
    KeptPolicies(log).keep(DIGEST, FILES)
    assert (file_of(log).stat().st_ino, file_of(log).stat().st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )


@pytest.mark.parametrize("kind", ["pipe", "link to nothing", "link to a pipe", "link to itself"])
def test_what_is_no_file_holds_nobody_up_and_gives_way(tmp_path: Path, kind: str) -> None:
    (tmp_path / "policies").mkdir()
    place = tmp_path / "policies" / f"{DIGEST.removeprefix('sha256:')}.fujie.gz"
    os.mkfifo(tmp_path / "pipe")
    match kind:
        case "pipe":
            os.mkfifo(place)
        case "link to nothing":
            place.symlink_to(tmp_path / "away")
        case "link to a pipe":
            place.symlink_to(tmp_path / "pipe")
        case _:
            place.symlink_to(place)
    assert dict(kept_beside(tmp_path, {DIGEST})) == {}
    KeptPolicies(tmp_path).keep(DIGEST, FILES)
    assert dict(kept_beside(tmp_path, {DIGEST})) == {DIGEST: FILES}
    assert not place.is_symlink()


def test_a_whole_bundle_of_another_digest_under_this_name_is_passed_over(tmp_path: Path) -> None:
    narrower = {**FILES, "site/more.yaml": grant("more").encode()}
    KeptPolicies(tmp_path).keep(DIGEST, narrower)
    assert dict(kept_beside(tmp_path, {DIGEST})) == {}


def test_a_place_that_takes_nothing_stops_no_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policies").write_text("in the way", "utf-8")
    KeptPolicies(tmp_path).keep(DIGEST, FILES)
    assert (tmp_path / "policies").read_text("utf-8") == "in the way"


def test_every_bundle_is_kept_before_it_is_in_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fujie.app.policies.SETTLE_S", 0)
    home = tmp_path / "policies.d"
    home.mkdir()
    (home / "base.yaml").write_bytes(FILES["site/base.yaml"])
    policies = PolicyFiles([home], {"crm": frozenset()}, KeptPolicies(tmp_path / "log").keep)
    first = policies.current.bundle.digest
    (home / "more.yaml").write_text(
        document("Grant", "g", json.loads(grant("g"))["spec"] | {"roles": ["new"]}), "utf-8"
    )
    changed = policies.changed()
    assert changed is not None
    second = changed.bundle.digest
    assert set(dict(kept_beside(tmp_path / "log", {first, second}))) == {first, second}
