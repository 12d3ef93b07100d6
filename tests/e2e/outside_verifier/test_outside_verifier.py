"""A verifier that we did not write accepts our logs and rejects what was altered (promise to the auditor).

CI pitfall: were this a Go test, it would need `go test -count=1`, since the log is outside the module and so not
part of Go's cache key; a stale pass was seen. Here a built program runs anew on every log.
"""

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import NoReturn

import pytest

from contract.test_tilelog import assert_nothing_acknowledged_is_lost, needs_strace, run_child
from fujie.adapters.logstart import VKEY, open_log
from fujie.adapters.tilelog import Pace, TileLog
from fujie.audit.checkpoint import Signer

ORIGIN = "prod-a/w0"
SIGNER = Signer(ORIGIN, bytes(range(32)))
SOURCE = Path(__file__).parent


def missing(why: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(f"CI must build the outside verifier: {why}")
    pytest.skip(f"NO OUTSIDE VERIFIER: {why}")


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("go") is None:
        missing("Go is not installed; install it to run this")
    program = tmp_path_factory.mktemp("go") / "outside_verifier"
    fetched = subprocess.run(
        ["go", "mod", "download"], cwd=SOURCE, capture_output=True, text=True, check=False
    )
    if fetched.returncode:
        missing("its one Go module is not in the cache and can not be fetched")
    subprocess.run(["go", "build", "-o", program, "."], cwd=SOURCE, check=True)
    return program


async def write(audit_dir: Path, *sizes: int) -> Path:
    for size in sizes:
        log = TileLog(
            open_log(audit_dir, SIGNER),
            clock=time.monotonic,
            keep=lambda note: None,
            pace=Pace(entries=500),
        )
        await asyncio.gather(*(log.append(b'{"n":%d}' % i) for i in range(log.size, size)))
        await asyncio.to_thread(log.close)
    return audit_dir / ORIGIN


def verdict(verifier: Path, log: Path, vkey: str = SIGNER.verifier.vkey) -> tuple[int, str]:
    done = subprocess.run([verifier, log, vkey], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize("sizes", [(1,), (255,), (256,), (257, 258, 700), (66_000, 66_001)])
async def test_the_outside_verifier_accepts_our_log(
    tmp_path: Path, verifier: Path, sizes: tuple[int, ...]
) -> None:
    log = await write(tmp_path, *sizes)
    assert verdict(verifier, log) == (0, str(sizes[-1]))
    assert verdict(verifier, log, (log / VKEY).read_text("utf-8").strip()) == (0, str(sizes[-1]))


@pytest.mark.parametrize(
    "fault",
    [
        "kills",
        pytest.param("fdatasync:error=EIO:when=4", marks=needs_strace),
        pytest.param("rename:error=ENOSPC:when=9", marks=needs_strace),
        pytest.param("write:signal=KILL:when=9", marks=needs_strace),
    ],
)
async def test_the_outside_verifier_accepts_what_crashes_and_faults_left(
    tmp_path: Path, verifier: Path, fault: str
) -> None:
    """And all that was acknowledged is under the signature that it accepts."""
    log = await write(tmp_path, 250)  # so that the first tile is filled meanwhile
    if fault == "kills":
        told = [run_child(tmp_path, (10_000, 8), kill_after=after) for after in (1, 40, 300)]
    else:
        inject = (
            "strace",
            "-f",
            "-o",
            "/dev/null",
            "-e",
            f"trace={fault.partition(':')[0]}",
            "-e",
            f"inject={fault}",
        )
        told = [run_child(tmp_path, (30, 1), prefix=inject)]
    assert not any(each.ended for each in told)
    assert_nothing_acknowledged_is_lost(tmp_path, *told)  # which signs what was recovered
    code, size = verdict(verifier, log)
    assert code == 0
    assert int(size) > max(index for each in told for index in each.acknowledged)


async def test_the_outside_verifier_rejects_a_flip_in_any_file_and_a_missing_file(
    tmp_path: Path, verifier: Path
) -> None:
    log = await write(tmp_path, 600)
    names = [
        "checkpoint",
        "tile/0/000",
        "tile/0/002.p/88",
        "tile/1/000.p/2",
        "tile/entries/001",
        "tile/entries/002.p/88",
    ]
    for name in names:
        good = (log / name).read_bytes()
        for at in range(0, len(good), max(len(good) // 5, 1)):
            flipped = bytearray(good)
            flipped[at] ^= 1
            (log / name).write_bytes(flipped)
            assert verdict(verifier, log)[0] == 1, f"{name} byte {at}"
        (log / name).unlink()
        assert verdict(verifier, log)[0] == 1, name
        (log / name).write_bytes(good)
    assert verdict(verifier, log) == (0, "600")


async def test_the_outside_verifier_rejects_another_key(tmp_path: Path, verifier: Path) -> None:
    log = await write(tmp_path, 3)
    assert verdict(verifier, log, Signer(ORIGIN, b"s" * 32).verifier.vkey)[0] == 1
