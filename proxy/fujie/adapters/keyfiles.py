"""Keys in files: 32 random bytes as one line of standard base64, so that they survive editors and Secrets.

Every key has this form, also the Ed25519 seed of the log. Reading does not look at the mode of the
file: Kubernetes mounts Secrets 0644 unless told otherwise. Creating never overwrites (promise 12:
a lost key closes, so nothing may replace one silently); `serve` never calls it.
"""

import base64
import binascii
import os
from collections.abc import Sequence
from pathlib import Path

from fujie.model.errors import StartError

KEY_BYTES = 32
"""Size of every key: HMAC-SHA-256, AES-256 and an Ed25519 seed all take 32 bytes."""

_OF_A_SERVER = "Restore the key; `fujie keys init` makes keys for a new ledger."
_MAX_FILE_BYTES = 256  # 44 characters and a newline are enough; a wrong path may name something huge


def read_key(path: Path, if_missing: str = _OF_A_SERVER) -> bytes:
    """Return the 32 bytes of a key file; white space around the base64 line is ignored. `if_missing` is what to do where
    there is none.

    Raises:
        StartError: KEY_MISSING when the file cannot be read, KEY_INVALID when it holds something
            else. Neither shows any of the content.

    """
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE_BYTES)
            is_longer = file.read(1) != b""
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise StartError(
            "KEY_MISSING",
            f"key file {path}: {why}",
            if_missing,
        ) from None
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if is_longer or len(key) != KEY_BYTES or base64.b64encode(key) != text.strip():
        raise StartError("KEY_INVALID", f"key file {path}: not one line of base64 of {KEY_BYTES} bytes")
    return key


def create_keys(directory: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """Write a fresh key `<name>.key` (mode 0600) per name and return the paths, durable on disk.

    The directory is made (0700) when missing. When any of the files exists, none is written.

    Raises:
        StartError: KEY_EXISTS, or KEY_UNWRITABLE when the directory does not take them.

    """
    paths = tuple(directory / f"{name}.key" for name in names)
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        present = [str(path) for path in paths if path.is_symlink() or path.exists()]
        if present:
            raise StartError(
                "KEY_EXISTS",
                f"keys are never overwritten: {', '.join(present)}",
                "Choose another directory.",
            )
        for path in paths:
            _create(path)
        _sync(directory)
    except OSError as error:
        raise StartError(
            "KEY_UNWRITABLE", f"keys cannot be written to {directory}: {os.strerror(error.errno or 0)}"
        ) from None
    return paths


def _create(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
