"""The last good bundle on disk: what a start takes when the source is away, and the floor under revisions.

One file holds both, so that they can not contradict each other. Workers of one server share the directory; whoever
writes holds its lock. Nothing here is believed without its signatures, except that a revision is never undercut.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fujie.app.problems import CannotStart, Problem
from fujie.app.signedbundle import parsed
from fujie.policy.archive import MAX_BYTES, Archive

_NAME = "last.fujie"
_REMEDY = "Check policy.state_dir: space, mode, and that it is a directory of the server's own."


class BundleState:
    """The directory `policy.state_dir`."""

    def __init__(self, directory: Path, *, may_go_back: bool = False) -> None:
        """Make the directory when it is missing. `may_go_back` is `policy.unsafe_downgrade`.

        Raises:
            CannotStart: POLICY_STATE_UNUSABLE.

        """
        self._directory = directory
        self._may_go_back = may_go_back
        self._newest: tuple[int, str] | None = None
        """Revision and note of what this process kept: who loses the file while it runs gains nothing."""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(error) from None

    def last(self) -> bytes | None:
        """Return the bytes of the last good bundle; None before the first. Raises CannotStart: POLICY_STATE_UNUSABLE."""
        try:
            with (self._directory / _NAME).open("rb") as file:
                return file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unusable(error) from None

    def check(self, archive: Archive) -> None:
        """Refuse a bundle that is older than the last good one, or another one of the same revision.

        Raises:
            CannotStart: BUNDLE_OLDER, BUNDLE_REVISION_REUSED; POLICY_STATE_INVALID when what is kept can not be read:
                then nothing says what is older.

        """
        if self._may_go_back:
            return
        if self._newest is not None:
            _check_newer(archive, *self._newest)
        content = self.last()
        if content is None:
            return
        try:
            kept = parsed(content)
        except CannotStart:
            said = "the bundle that is kept was altered, so that nothing says which revision was the last"
            remedy = f"Restore {_NAME} in policy.state_dir, or set policy.unsafe_downgrade for one start."
            raise CannotStart([Problem("POLICY_STATE_INVALID", said, remedy=remedy)]) from None
        _check_newer(archive, kept.manifest.revision, kept.note)

    def keep(self, archive: Archive) -> None:
        """Make a bundle the last good one, durable on disk; checked once more, for another worker may have been faster.

        Raises:
            CannotStart: as `check`, or POLICY_STATE_UNUSABLE.

        """
        try:
            with self._locked() as directory:
                self.check(archive)
                if self.last() != archive.encoded:
                    self._write(archive.encoded)
                    os.fsync(directory)
                self._newest = (archive.manifest.revision, archive.note)
        except OSError as error:
            raise _unusable(error) from None

    def _write(self, content: bytes) -> None:
        new = self._directory / f".{_NAME}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._directory / _NAME)

    @contextmanager
    def _locked(self) -> Iterator[int]:
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)
            yield directory
        finally:
            os.close(directory)  # which unlocks


def _check_newer(archive: Archive, last: int, note: str) -> None:
    revision, remedy = archive.manifest.revision, "Give it out under a higher revision."
    if revision < last:
        said = f"revision {revision} is older than {last}, which was in force"
        raise CannotStart([Problem("BUNDLE_OLDER", said, remedy=remedy)])
    if revision == last and archive.note != note:
        said = f"revision {revision} was in force with another content"
        raise CannotStart([Problem("BUNDLE_REVISION_REUSED", said, remedy=remedy)])


def _unusable(error: OSError) -> CannotStart:
    problem = Problem("POLICY_STATE_UNUSABLE", error.strerror or "", "policy.state_dir", remedy=_REMEDY)
    return CannotStart([problem])
