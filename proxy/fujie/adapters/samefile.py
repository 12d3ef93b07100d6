"""Whether a path still names the file that was opened: an open file lives on after its name, and SQLite in it."""

import os
from pathlib import Path

LOOK_S = 0.1
"""How old a look may be: a stat costs 5 to 10 µs, which every read of a look-up would pay."""


class SameFile:
    """Remembers the device and inode at `path`, which must exist."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _file_at(path)
        self._looked_at = float("-inf")
        self._was_same = True

    def is_same(self) -> bool:
        """Look now."""
        return self._file is not None and _file_at(self._path) == self._file

    def was_same(self, now_s: float) -> bool:
        """Return what a look at most `LOOK_S` ago said; `now_s` is on a monotonic scale."""
        if now_s - self._looked_at >= LOOK_S:
            self._looked_at, self._was_same = now_s, self.is_same()
        return self._was_same


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
