"""The policies in force, from files: checked whole, swapped whole, kept when the next ones are bad (promise 10)."""

import asyncio
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from fujie.adapters.metrics import PrometheusMetrics
from fujie.app.logs import log_event
from fujie.app.problems import CannotStart, Problem, problem_at
from fujie.decision.decider import Decider
from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle

SUFFIXES = (".yaml", ".yml")

_TRIES = 5
"""Readings until two in a row agree; a kubelet's swap takes one rename."""

SETTLE_S = 0.1
"""How long changed files must stay as they are: an editor truncates first, and writes then."""

Files = Mapping[str, bytes]


class PolicyFiles:
    """`flows.gate.Policies` over files and directories. `attributes` holds what each configured store maps."""

    def __init__(self, paths: Sequence[Path], attributes: Mapping[str, frozenset[str]]) -> None:
        """Load. Raises CannotStart with every problem."""
        self._paths = tuple(paths)
        self._attributes = attributes
        self._seen = read_files(self._paths)
        self._trouble: tuple[Problem, ...] = ()
        self._current = self._decider(self._seen)

    @property
    def current(self) -> Decider:
        """The decider of the bundle in force."""
        return self._current

    @current.setter
    def current(self, decider: Decider) -> None:
        self._current = decider

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
        self._trouble, self._seen = (), found
        return self._decider(found)

    def _look(self) -> Files | tuple[Problem, ...]:
        try:
            return read_files(self._paths)
        except CannotStart as error:
            return tuple(error.problems)

    def unmapped(self) -> list[str]:
        """Return the customer attributes that rules read and no store maps: at run time they are FACT_MISSING."""
        bundle = self._current.bundle
        mapped = {f"customer.{name}" for names in self._attributes.values() for name in names}
        return sorted(path for path in _reads(bundle) - mapped if path.startswith("customer."))

    def _decider(self, files: Files) -> Decider:
        bundle = compiled(_shown(files, self._paths))
        unknown = [
            Problem("UNKNOWN_STORE", f"no store `{name}` is configured", place=where)
            for name, where in sorted(bundle.stores.items())
            if name not in self._attributes
        ]
        if unknown:
            raise CannotStart(unknown)
        return Decider(bundle)


def _shown(files: Files, paths: Sequence[Path]) -> Files:
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
    policies: PolicyFiles, metrics: PrometheusMetrics, every_s: float, now: asyncio.Event
) -> None:
    """Reload for ever: every `every_s` seconds, and at once when `now` is set. Never raises for bad policies."""
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(every_s):
                await now.wait()
        now.clear()
        reading = asyncio.ensure_future(asyncio.to_thread(policies.changed))
        await asyncio.wait({reading})
        # Whatever a policy makes the compiler do, the last good bundle stays (promise 10).
        if error := reading.exception():
            metrics.bundle_refused()
            refused = Problem("INTERNAL", f"the policies could not be checked: {type(error).__name__}")
            for problem in error.problems if isinstance(error, CannotStart) else (refused,):
                log_event(
                    "policies_refused",
                    logging.ERROR,
                    code=problem.code,
                    place=problem.place,
                    problem=problem.message,
                )
        elif decider := reading.result():
            policies.current = decider
            announce(policies, metrics)


def announce(policies: PolicyFiles, metrics: PrometheusMetrics) -> None:
    """Tell log and metrics which bundle is in force, and which attributes it will miss."""
    bundle = policies.current.bundle
    metrics.bundle_loaded(bundle.digest, bundle.reasons, time.time())
    log_event("policies_loaded", digest=bundle.digest)
    for attribute in policies.unmapped():
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
            found = {str(file): file.read_bytes() for file in _files(path)}
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
