"""Key files: one textual form, never overwritten, never shown."""

import base64
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.adapters.keyfiles import create_keys, read_key
from fujie.model.errors import StartError

KEY = bytes(range(32))
TEXT = base64.b64encode(KEY)


def code(path: Path) -> str:
    with pytest.raises(StartError) as refused:
        read_key(path)
    return refused.value.code


def test_created_keys_are_private_different_and_readable(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "keys"
    paths = create_keys(directory, ["ledger_index", "seal", "log"])
    assert [path.name for path in paths] == ["ledger_index.key", "seal.key", "log.key"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths} == {0o600}
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    keys = {read_key(path) for path in paths}
    assert len(keys) == 3
    assert {len(key) for key in keys} == {32}
    assert all(path.read_bytes().count(b"\n") == 1 and path.read_bytes().endswith(b"\n") for path in paths)


@pytest.mark.parametrize("kind", ["file", "empty", "dangling link", "directory"])
def test_nothing_is_overwritten_and_nothing_half_made(tmp_path: Path, kind: str) -> None:
    existing = tmp_path / "seal.key"
    if kind == "directory":
        existing.mkdir()
    elif kind == "dangling link":
        existing.symlink_to(tmp_path / "elsewhere")
    else:
        existing.write_bytes(TEXT if kind == "file" else b"")
    with pytest.raises(StartError) as refused:
        create_keys(tmp_path, ["log", "seal", "token"])
    assert refused.value.code == "KEY_EXISTS"
    assert list(tmp_path.iterdir()) == [existing]


def test_a_directory_that_cannot_be_made_is_a_start_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError) as refused:
        create_keys(tmp_path / "file" / "keys", ["seal"])
    assert refused.value.code == "KEY_UNWRITABLE"


@pytest.mark.parametrize("text", [TEXT, TEXT + b"\n", b" " + TEXT + b"\r\n\n"])
def test_white_space_around_a_key_does_not_matter(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "k").write_bytes(text)
    assert read_key(tmp_path / "k") == KEY


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\n", KEY, KEY.hex().encode(), TEXT[:-4], TEXT + TEXT, TEXT.rstrip(b"="), TEXT[:20] + b"\n" + TEXT[20:], TEXT + b"#",
        base64.b64encode(KEY[:31]), base64.b64encode(KEY + b"x"), base64.b64encode(b""), base64.urlsafe_b64encode(b"\xff" * 32),
        TEXT[:-2] + b"9=", b"A" * 10_000, TEXT + b"\n" * 300, "４４".encode(), b"\xff\xfe",
    ],
)  # fmt: skip
def test_what_is_not_exactly_one_key_is_refused(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "k").write_bytes(text)
    assert code(tmp_path / "k") == "KEY_INVALID"


def test_a_key_that_is_not_there_is_missing(tmp_path: Path) -> None:
    assert code(tmp_path / "none") == "KEY_MISSING"
    assert code(tmp_path) == "KEY_MISSING"


@given(st.binary(min_size=1, max_size=100))
def test_no_content_of_a_bad_file_reaches_the_error(tmp_path: Path, content: bytes) -> None:
    secret = base64.b64encode(content) + b"!"
    (tmp_path / "k").write_bytes(secret)
    with pytest.raises(StartError) as refused:
        read_key(tmp_path / "k")
    assert len(secret) < 6 or secret.decode() not in str(refused.value)
    assert refused.value.__context__ is None  # binascii's own error would come with it
