"""Files of one log that survive a power cut: locked, written whole, renamed into place, directories synced.

Any OSError is the caller's signal to stop for good: after a failed fsync the kernel may have dropped the page, and
a second fsync would report success falsely (PostgreSQL stops for the same reason since 2018).
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from fujie.audit.errors import LogLocked
from fujie.audit.tiles import File

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
_TMP = ".tmp"
MOST_BYTES = 1 << 28
"""Of a file that is read. A bundle of 256 of the largest entries has 17 MB; the tail has the entries since the last full one that
was published, some bundles where the disk was slow."""


class LogDirectory:
    """The directory of one log, held by one writer from construction to `release`.

    Files and directories are for the owner only: entries tell who looked at whom.
    """

    def __init__(self, path: Path) -> None:
        """Create the directory if need be, and lock it. Raises LogLocked when another writer holds it."""
        self.path = path
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Every start, not only after mkdir: the process that made them may have died before it synced.
        for directory in (path, path.parent, path.parent.parent):
            _sync_directory(directory)
        self._known = {path}
        self._lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise LogLocked(f"another writer holds the log {path.parent.name}/{path.name}") from None

    def release(self) -> None:
        """Let another writer in."""
        os.close(self._lock)

    def read(self, name: str) -> bytes | None:
        """Return a file's content, or None when it does not exist."""
        return read_file(self.path, name)

    def publish(self, files: Iterable[File]) -> None:
        """Make the files durable and visible, each one whole: write beside, sync, rename, sync directories."""
        written: list[str] = []
        changed: set[Path] = set()
        for name, content in files:
            target = self.path / name
            changed |= {target.parent, *self._ensure(target.parent)}
            _write_synced(f"{target}{_TMP}", content)
            written.append(str(target))
        for target_name in written:
            os.rename(f"{target_name}{_TMP}", target_name)
        for directory in changed:
            _sync_directory(directory)

    def drop_partials(self, names: Iterable[str]) -> None:
        """Delete the partial versions of tiles and bundles that are now full (tlog-tiles allows it then)."""
        for name in names:
            partial = self.path / f"{name}.p"
            if partial.is_dir():
                for file in partial.iterdir():
                    file.unlink()
                partial.rmdir()
                self._known.discard(partial)

    def _ensure(self, directory: Path) -> set[Path]:
        """Make a directory exist; return the parents that list directories this process has not yet synced."""
        if directory in self._known:
            return set()
        changed = self._ensure(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)
        self._known.add(directory)
        return changed | {directory.parent}

    def open_for_append(self, name: str, length: int) -> int:
        """Return a descriptor at the end of the first `length` bytes of a file; what follows them is cut off."""
        descriptor = os.open(self.path / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.ftruncate(descriptor, length)
            os.fsync(descriptor)
            os.lseek(descriptor, length, os.SEEK_SET)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def read_file(directory: Path, name: str) -> bytes | None:
    """Return the content of `directory/name`, or None when it does not exist.

    Raises OSError, also for what no log has: a pipe, a device, or more than `MOST_BYTES`. Who verifies a copy did not make it.
    """
    path = directory / name
    try:
        # Who opens a pipe would wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "is no regular file", str(path))
        if status.st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, "is larger than any file of a log", str(path))
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.readall()
    finally:
        os.close(descriptor)


def append_synced(descriptor: int, content: bytes) -> None:
    """Append and return only when the bytes are on disk. On OSError they may be there in part, or not."""
    write_all(descriptor, content)
    os.fdatasync(descriptor)


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte; a short write (a nearly full disk) is continued until the error shows."""
    written = os.write(descriptor, content)
    while written < len(content):
        written += os.write(descriptor, memoryview(content)[written:])


def _write_synced(name: str, content: bytes) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, _DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
