"""The outbox: whole lines, durable, private, and nothing said that is not in the file."""

import asyncio
import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fujie.adapters.clock import SystemClock
from fujie.adapters.providers.outbox_file import FileOutbox
from fujie.model.customer import Phone
from fujie.model.message import MessageState
from fujie.ports.providers import Acceptance, Outgoing, Submission, Unresolved

PHONE = Phone("+8613800138000")


def _outbox(path: Path) -> FileOutbox:
    return FileOutbox("outbox", path, SystemClock())


def _out(intent_id: str, text: str = "hello") -> Outgoing:
    return Outgoing(intent_id, PHONE, "符节", text)


def _lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def _unresolved(intent_id: str) -> Unresolved:
    return Unresolved(intent_id, "s1", b"", None, "outbox", "", datetime.now(UTC))


async def test_each_message_is_one_line_of_a_private_file_and_delivered_once(tmp_path: Path) -> None:
    path = tmp_path / "outbox.jsonl"
    outbox = _outbox(path)
    texts = ['a "quoted"\nline', "拒收请回复R😀"]
    assert await outbox.submit([_out("i1", texts[0]), _out("i2", texts[1])]) == [
        Submission(Acceptance.ACCEPTED, "i1"),
        Submission(Acceptance.ACCEPTED, "i2"),
    ]
    assert [(line["intent_id"], line["phone"], line["text"]) for line in _lines(path)] == [
        ("i1", PHONE.e164, texts[0]),
        ("i2", PHONE.e164, texts[1]),
    ]
    assert path.stat().st_mode & 0o777 == 0o600
    receipts = (await outbox.poll()).receipts
    assert [(each.provider_message_id, each.state) for each in receipts] == [
        ("i1", MessageState.DELIVERED),
        ("i2", MessageState.DELIVERED),
    ]
    assert (await outbox.poll()).receipts == []


async def test_lines_of_many_writers_are_never_mixed(tmp_path: Path) -> None:
    path = tmp_path / "out"
    writers = [_outbox(path) for _ in range(8)]
    await asyncio.gather(
        *(each.submit([_out(f"{n}-{m}", "长" * 500) for m in range(50)]) for n, each in enumerate(writers))
    )
    assert len({line["intent_id"] for line in _lines(path)}) == 400


async def test_what_the_file_holds_can_be_asked_for_by_another_process(tmp_path: Path) -> None:
    path = tmp_path / "out"
    assert await _outbox(path).query(_unresolved("i1"), PHONE) is None
    await _outbox(path).submit([_out("i1", text='{"intent_id":"i2",')])
    found = await _outbox(path).query(_unresolved("i1"), PHONE)
    assert found is not None
    assert (found.state, found.intent_id) == (MessageState.DELIVERED, "i1")
    for other in ("i2", "i", "i11", "x"):
        assert await _outbox(path).query(_unresolved(other), PHONE) is None


@contextmanager
def _room(octets: int) -> Iterator[None]:
    """Let files of this process grow to so many octets, as on a disk that is full then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


async def test_a_line_that_did_not_fit_is_not_taken_and_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "out"
    outbox = _outbox(path)
    await outbox.submit([_out("i0")])
    length = path.stat().st_size
    with _room(length * 2 + 20):
        said = [each.acceptance for each in await outbox.submit([_out("i1"), _out("i2"), _out("i3")])]
        assert (await outbox.submit([_out("i4")]))[0].acceptance is Acceptance.RETRY
    assert said == [Acceptance.ACCEPTED, Acceptance.RETRY, Acceptance.RETRY]
    assert await outbox.query(_unresolved("i2"), PHONE) is None
    assert (await outbox.submit([_out("i2")]))[0].acceptance is Acceptance.ACCEPTED
    whole = []
    for line in path.read_bytes().splitlines():
        try:
            whole.append(json.loads(line)["intent_id"])
        except json.JSONDecodeError:
            continue
    assert whole == ["i0", "i1", "i2"]


@pytest.mark.parametrize("kind", ["no directory", "symbolic link"])
async def test_a_place_that_is_no_file_of_ours_takes_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "missing" / "out" if kind == "no directory" else tmp_path / "link"
    if kind == "symbolic link":
        path.symlink_to(tmp_path / "elsewhere")
    assert await _outbox(path).submit([_out("i1")]) == [Submission(Acceptance.RETRY, code="FILE")]
    assert os.listdir(tmp_path) in ([], ["link"])


async def test_a_disk_that_does_not_confirm_leaves_it_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_file: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    outbox = _outbox(tmp_path / "out")
    assert await outbox.submit([_out("i1")]) == [Submission(Acceptance.UNKNOWN, code="FILE")]
    assert (await outbox.poll()).receipts == []
