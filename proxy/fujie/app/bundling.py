"""Building a bundle file: which files go in, when and where from. The same inputs give the same bytes."""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fujie.app.policies import Files, compiled, read_files, shown
from fujie.app.problems import CannotStart, Problem
from fujie.policy.archive import MAX_TEXT, Archive, ArchiveInvalid, Manifest, build
from fujie.policy.places import Report
from fujie.policy.source import documents

TESTS = "PolicyTest"
_GIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the builder says of a bundle. `created` None: the instant of the commit."""

    revision: int
    created: datetime | None = None
    expires: datetime | None = None
    builder: str = ""


def built(paths: Sequence[Path], wanted: Wanted) -> Archive:
    """Return the unsigned bundle of the policies at or below `paths`, without their tests.

    Raises:
        CannotStart: every problem of the policies; TEST_AMONG_POLICIES; BUNDLE_UNDATED without any date;
            BUNDLE_INVALID when it would be refused for its form.

    """
    everything = shown(read_files(paths), paths)
    files = without_tests(everything)
    digest = compiled(everything).digest
    commit = _commit(paths[0] if paths[0].is_dir() else paths[0].parent)
    created = wanted.created or commit.made
    if created is None:
        said = "there is no commit that would date the bundle"
        raise CannotStart(
            [Problem("BUNDLE_UNDATED", said, remedy="Say --created, or set SOURCE_DATE_EPOCH.")]
        )
    provenance = {**commit.provenance, **({"builder": wanted.builder} if wanted.builder else {})}
    try:
        return build(Manifest(digest, wanted.revision, created, wanted.expires, provenance), files)
    except ArchiveInvalid as error:
        raise CannotStart([Problem("BUNDLE_INVALID", str(error))]) from None


def without_tests(files: Files) -> Files:
    """Return the files without those that hold tests only. Raises CannotStart: TEST_AMONG_POLICIES."""
    kept, problems = {}, []
    for file, content in files.items():
        kinds = _kinds(file, content)
        if TESTS not in kinds:
            kept[file] = content
        elif kinds != {TESTS}:
            remedy = f"Move the documents of kind {TESTS} to a file of their own."
            said = "tests stand beside policies, and are not part of a bundle"
            problems.append(Problem("TEST_AMONG_POLICIES", said, place=file, remedy=remedy))
    if problems:
        raise CannotStart(problems)
    return kept


def _kinds(file: str, content: bytes) -> set[str]:
    # What is wrong with a document is said when all are compiled.
    found = (document.text("kind", required=False) for document in documents(file, content, Report()))
    return {kind.text if kind else "" for kind in found}


@dataclass(frozen=True, slots=True)
class _Commit:
    made: datetime | None
    provenance: Mapping[str, str]


def _commit(directory: Path) -> _Commit:
    """Return what git says of a directory; nothing when it is in no checkout, or there is no git."""
    commit, made = _git(directory, "rev-parse", "HEAD"), _git(directory, "log", "-1", "--format=%ct")
    if not commit or not made.isdecimal():
        return _Commit(None, {})
    branch = _git(directory, "symbolic-ref", "--short", "--quiet", "HEAD")[:MAX_TEXT]
    is_modified = bool(_git(directory, "status", "--porcelain", "--", "."))
    provenance = {"commit": commit, "branch": branch, "state": "modified" if is_modified else "committed"}
    return _Commit(
        datetime.fromtimestamp(int(made), UTC), {name: text for name, text in provenance.items() if text}
    )


def _git(directory: Path, *arguments: str) -> str:
    # A checkout may configure a program to watch its files; this only looks at it.
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(directory), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_S, check=False)  # noqa: S603 - constant arguments
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""
