"""Where the servers of the tests keep their data, and who ends them when the tests can not.

A test run that is killed runs no `atexit`. So each server gets a guard: a process that waits for the end of ours, in
whatever way, then ends the server and removes its data.
"""

import atexit
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_MEMORY = Path("/dev/shm")
_ENOUGH = 2**32
"""A run was seen to hold 0.3 GiB at a time. Failed tests keep theirs."""

_GUARD = """cat
if read -r pid < "$1"; then
    kill -QUIT "$pid"
    for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" && sleep 0.5; done
    kill -KILL "$pid"
fi
rm -rf "$2"
"""
"""`cat` ends with the pipe, which the system closes with our process. A server that ended in order has no pid file."""


def memory() -> Path | None:
    """Return a directory in memory with room for what tests write, which nobody reads again, and where programs may run."""
    if not _MEMORY.is_dir() or os.statvfs(_MEMORY).f_flag & os.ST_NOEXEC:
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free > _ENOUGH else None


def directory(prefix: str) -> Path:
    """Return a new directory, in memory if there is room. Its name is short: a socket's path has 107 bytes."""
    return Path(tempfile.mkdtemp(prefix=prefix, dir=memory()))


def guard(pid_file: Path, data: Path) -> None:
    """End the server whose process is named in `pid_file`, and remove `data`, when this process is gone."""
    guard = subprocess.Popen(
        ["/bin/sh", "-c", _GUARD, "guard", pid_file, data],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what is sent to the whole group of the tests is not for it
    )

    def release() -> None:
        guard.communicate()

    atexit.register(release)
