"""The policies in force, from files: checked whole, swapped whole, kept when the next ones are bad (promise 10)."""

import asyncio
import errno
import gc
import logging
import os
import random
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fujie.app.logs import log_event
from fujie.app.problems import CannotStart, Problem, problem_at
from fujie.decision.decider import Decider
from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle
from fujie.policy.source import MAX_FILE_BYTES

if TYPE_CHECKING:  # who checks policies counts nothing
    from fujie.adapters.metrics import PrometheusMetrics

SUFFIXES = (".yaml", ".yml")

_TRIES = 5
"""Readings until two in a row agree; a kubelet's swap takes one rename."""

SETTLE_S = 0.1
"""How long changed files must stay as they are: an editor truncates first, and writes then."""

GIVE_WAY_S = 0.0005
"""How long a compiling thread may keep the event loop waiting, each time the loop wants to go on. With Python's 5 ms a
reload of 1,000 grants raised the p99 of look-ups from 16 to 70 or 150 ms, with this to 40; less gains nothing."""

Files = Mapping[str, bytes]
Attributes = Mapping[str, frozenset[str]]
"""Store name to the attributes of customers that the store maps."""

Keep = Callable[[str, Files], None]
"""Takes the digest of a bundle that is about to be in force, and its files."""

AWAY = "POLICY_SOURCE_AWAY"
"""The one problem that says nothing against a bundle: there was none to be had."""


class Followed(Protocol):
    """Policies that can change under the gate: `flows.gate.Policies`, and what `follow` needs."""

    current: Decider
    attributes: Attributes
    is_refused: bool
    """Whether what was found last was bad, so that the bundle before it stays; `follow` sets it."""

    @property
    def in_order(self) -> bool:
        """Whether the last look found nothing wrong: what its source holds is in force."""
        ...

    def changed(self) -> Decider | None:
        """Look. Return the decider of a new bundle, None when there is none. Blocks: not for the loop.

        Raises:
            CannotStart: what was found is bad; said once, until that changes.

        """
        ...


class PolicyFiles:
    """`flows.gate.Policies` over files and directories. `attributes` holds what each configured store maps."""

    def __init__(
        self, paths: Sequence[Path], attributes: Attributes, keep: Keep = lambda _digest, _files: None
    ) -> None:
        """Load. Raises CannotStart with every problem."""
        self._paths = tuple(paths)
        self._keep = keep
        self.attributes = attributes
        self._seen = read_files(self._paths)
        self._trouble: tuple[Problem, ...] = ()
        self._is_taken = True
        self.is_refused = False
        self.current = self._decider(self._seen)
        """The decider of the bundle in force."""

    @property
    def in_order(self) -> bool:
        """Whether the files that were seen last are in force."""
        return self._is_taken and not self._trouble

    @property
    def is_expired(self) -> bool:
        """Files have no end."""
        return False

    def changed(self) -> Decider | None:
        """Return a decider of the files when they are not those seen last, else None. Blocks: not for the loop.

        Raises:
            CannotStart: the changed files are bad, or not there; said once, until that changes.

        """
        found = self._look()
        if not isinstance(found, tuple) and found == self._seen:
            self._trouble = ()
            return None
        if found == self._trouble:
            return None
        time.sleep(SETTLE_S)
        if self._look() != found:
            return None  # somebody is writing: the next look finds the end of it
        if isinstance(found, tuple):
            self._trouble = found
            raise CannotStart(found)
        self._trouble, self._seen, self._is_taken = (), found, False
        with giving_way():
            decider = self._decider(found)
        self._is_taken = True
        return decider

    def _look(self) -> Files | tuple[Problem, ...]:
        try:
            return read_files(self._paths)
        except CannotStart as error:
            return tuple(error.problems)

    def _decider(self, files: Files) -> Decider:
        named = shown(files, self._paths)
        bundle = compiled(named)
        check_stores(bundle, self.attributes)
        self._keep(bundle.digest, named)
        return Decider(bundle)


def unmapped(bundle: Bundle, attributes: Attributes) -> list[str]:
    """Return the customer attributes that rules read and no store maps: at run time they are FACT_MISSING."""
    mapped = {f"customer.{name}" for names in attributes.values() for name in names}
    return sorted(path for path in _reads(bundle) - mapped if path.startswith("customer."))


def check_stores(bundle: Bundle, attributes: Attributes) -> None:
    """Raise CannotStart when the bundle names a store that is not configured."""
    unknown = [
        Problem("UNKNOWN_STORE", f"no store `{name}` is configured", place=where)
        for name, where in sorted(bundle.stores.items())
        if name not in attributes
    ]
    if unknown:
        raise CannotStart(unknown)


@contextmanager
def giving_way() -> Iterator[None]:
    """Let the event loop go on while this thread compiles: it gets its turn at once, and no collection stops it.

    A compiled bundle has no cycles (it is freed as soon as the last call lets go of it), so that nothing is to be
    collected, and freezing spares the next collection a look at all that was made.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(GIVE_WAY_S)
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
        sys.setswitchinterval(before)


def shown(files: Files, paths: Sequence[Path]) -> Files:
    """Return the files by name below their path: Explain tells clients where a rule stands, not where
    this machine keeps it. Two of one name keep their whole ones."""
    short = {
        str(Path(name).relative_to(path.parent)): content
        for name, content in files.items()
        for path in paths
        if Path(name).is_relative_to(path)
    }
    return short if len(short) == len(files) else files


def compiled(files: Files) -> Bundle:
    """Return the bundle of the files. Raises CannotStart with every problem, by place."""
    outcome = compile_bundle(files)
    if isinstance(outcome, Bundle):
        return outcome
    raise CannotStart([problem_at(diagnostic) for diagnostic in outcome])


def read_files(paths: Sequence[Path]) -> Files:
    """Return every policy file at or below `paths`, as one generation: two readings in a row must agree.

    Raises:
        CannotStart: POLICY_MISSING when a path holds none, POLICY_UNREADABLE when it can not be read.

    """
    files = _read_once(paths)
    for _ in range(_TRIES):
        again = _read_once(paths)
        if again == files:
            return files
        files = again
    raise CannotStart([Problem("POLICY_UNREADABLE", "the policy files keep changing while they are read")])


async def follow(
    policies: Followed, metrics: "PrometheusMetrics", every_s: float, now: asyncio.Event
) -> None:
    """Reload for ever: every `every_s` seconds, give or take a tenth, and at once when `now` is set.

    Never raises for bad policies.
    """
    if not policies.in_order:  # a start with the bundle of before: say why
        now.set()
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(every_s * random.uniform(0.9, 1.1)):  # noqa: S311 - no secret: many gates shall not ask at once
                await now.wait()
        now.clear()
        reading = asyncio.ensure_future(asyncio.to_thread(policies.changed))
        await asyncio.wait({reading})
        # Whatever a policy makes the compiler do, the last good bundle stays (promise 10).
        if error := reading.exception():
            policies.is_refused |= _say_refused(error, metrics)
        elif decider := reading.result():
            policies.current, policies.is_refused = decider, False
            announce(policies, metrics)
        elif policies.in_order:
            policies.is_refused = False
            metrics.bundle_checked(time.time())


def _say_refused(error: BaseException, metrics: "PrometheusMetrics") -> bool:
    """Tell log and metrics of every problem; return whether they are of a bundle, not of a source that is away."""
    refused = Problem("INTERNAL", f"the policies could not be checked: {type(error).__name__}")
    problems = error.problems if isinstance(error, CannotStart) else (refused,)
    is_away = all(problem.code == AWAY for problem in problems)
    if not is_away:
        metrics.bundle_refused()
    for problem in problems:
        log_event(
            "policies_away" if is_away else "policies_refused",
            logging.WARNING if is_away else logging.ERROR,
            code=problem.code,
            place=problem.place,
            problem=problem.message,
        )
    return not is_away


def announce(policies: Followed, metrics: "PrometheusMetrics") -> None:
    """Tell log and metrics which bundle is in force, and which attributes it will miss."""
    bundle = policies.current.bundle
    metrics.bundle_loaded(bundle.digest, bundle.reasons, time.time())
    if policies.in_order:
        metrics.bundle_checked(time.time())
    if release := bundle.release:
        metrics.bundle_released(release.revision, release.expires.timestamp() if release.expires else None)
        signers = ", ".join(release.signers)
        log_event("policies_loaded", digest=bundle.digest, revision=release.revision, signers=signers)
    else:
        log_event("policies_loaded", digest=bundle.digest)
    for attribute in unmapped(bundle, policies.attributes):
        log_event("attribute_unmapped", logging.WARNING, attribute=attribute)


def _reads(bundle: Bundle) -> set[str]:
    rules = [grant.condition for grant in bundle.grants if grant.condition]
    for guard in bundle.guards:
        rules += [rule for _, rule in guard.conditions]
        rules += [validation.rule for validation in guard.validations]
    return {path for rule in rules for path in rule.reads}


def _read_once(paths: Sequence[Path]) -> Files:
    files: dict[str, bytes] = {}
    problems = []
    for path in paths:
        try:
            found = {str(file): _content(file) for file in _files(path)}
        except OSError as error:
            problems.append(Problem("POLICY_UNREADABLE", error.strerror or "", place=str(error.filename)))
            continue
        problems += [
            Problem("POLICY_EMPTY", "an empty file is taken for a half-written one", place=file)
            for file, content in found.items()
            if not content
        ]
        if not found:
            remedy = "Correct policy.paths, or mount the policies."
            problems.append(
                Problem("POLICY_MISSING", "no policy files here", "policy.paths", str(path), remedy)
            )
        files |= found
    if problems:
        raise CannotStart(problems)
    return files


def _content(file: Path) -> bytes:
    """Return what a file holds, and no more of a huge one than shows that it is too large.

    Raises:
        OSError: it can not be read, or is no regular file: a pipe would be waited for until somebody writes.

    """
    with open(file, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(file))
        return opened.read(MAX_FILE_BYTES + 1)


def _files(path: Path) -> Iterator[Path]:
    """Yield policy files in order. Hidden names are left out: a ConfigMap mount has `..data` beside each file."""
    if path.is_file():
        yield path
        return
    walked: set[str] = set()
    # A subdirectory of a projected volume is a link: links are followed, each directory once.
    for directory, inner, names in os.walk(path, onerror=_unreadable, followlinks=True):
        real = os.path.realpath(directory)
        inner[:] = sorted(name for name in inner if not name.startswith(".")) if real not in walked else []
        if real not in walked:
            yield from (
                Path(directory, name)
                for name in sorted(names)
                if name.endswith(SUFFIXES) and not name.startswith(".")
            )
        walked.add(real)


def _unreadable(error: OSError) -> None:
    raise error
