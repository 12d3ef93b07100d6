"""Every bundle that was in force, kept beside the log whose decisions name it, so that a replay finds it by its digest.

A file is named by the digest that it compiles to: who alters one makes it another bundle, which no entry names. It is the gzip of an
unsigned bundle file; nothing deletes it, as nothing deletes entries.
"""

import gzip
import logging
import os
import re
import tempfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from fujie.app.logs import log_event
from fujie.app.policies import Files, compiled
from fujie.app.problems import CannotStart
from fujie.policy.archive import MAX_BYTES, Archive, ArchiveInvalid, Manifest, build, read

_FOLDER = "policies"
_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_is_digest = re.compile(r"sha256:[0-9a-f]{64}").fullmatch


class KeptPolicies:
    """The folder of bundles in `audit.dir`. Workers of one server share it; a file is written once, whole or not at all."""

    def __init__(self, audit_dir: Path) -> None:
        self._folder = audit_dir / _FOLDER

    def keep(self, digest: str, files: Files) -> None:
        """Keep the files that compiled to `digest`, unless they are there, as they are. Blocks; never raises: what can not be kept
        is said, and stops no policy."""
        path = self._folder / _name(digest)
        try:
            archive = _archive(digest, files)
            if _files(path) == archive.files:
                return
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(path, gzip.compress(archive.encoded, mtime=0))
        except (OSError, ArchiveInvalid) as error:
            log_event("policies_not_kept", logging.WARNING, digest=digest, error=type(error).__name__)


def kept_beside(log: Path, digests: Collection[str]) -> Iterator[tuple[str, Files]]:
    """Yield those of the bundles `digests` that are kept beside a log; `log` is `audit.dir`, or one log in it.

    What was altered, or what this version reads otherwise, is passed over. No policies at all are what decides once a signed
    bundle has ended; they are at hand everywhere.
    """
    if (closed := compiled({}).digest) in digests:
        yield closed, {}
    places = [above / _FOLDER for above in (log, *log.resolve().parents[:2])]
    for digest in sorted(filter(_is_digest, digests)):
        for path in (place / _name(digest) for place in places):
            files = _files(path)
            if files is not None and _is(digest, files):
                yield digest, files
                break


def _name(digest: str) -> str:
    return f"{digest.removeprefix('sha256:')}.fujie.gz"


def _archive(digest: str, files: Files) -> Archive:
    manifest = Manifest(digest, 1, _NO_TIME)
    try:
        return build(manifest, files)
    except ArchiveInvalid:  # names that no bundle may have: those of a mounted folder may be anything
        return build(manifest, {f"{n}.yaml": files[name] for n, name in enumerate(sorted(files), 1)})


def _write(path: Path, content: bytes) -> None:
    descriptor, new = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(new).replace(path)
    except OSError:
        with suppress(OSError):
            Path(new).unlink()
        raise


def _files(path: Path) -> Files | None:
    try:
        if not path.is_file():  # who opens a pipe waits for its other end
            return None
        with gzip.open(path) as file:
            return read(file.read(MAX_BYTES + 1)).files
    except (OSError, EOFError, zlib.error, ArchiveInvalid):
        return None


def _is(digest: str, files: Files) -> bool:
    try:
        return compiled(files).digest == digest
    except CannotStart:
        return False
