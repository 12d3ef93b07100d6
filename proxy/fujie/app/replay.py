"""A verified log decided anew: read in parts, by several processes, equal decisions decided once."""

import asyncio
import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from fujie.adapters.keyfiles import read_key
from fujie.adapters.ledger.datakeys import DataKeys
from fujie.adapters.ledger.server import ServerAccess
from fujie.adapters.logfiles import leaves_of
from fujie.app.policies import Files, compiled
from fujie.app.settings import Settings
from fujie.audit.entry import Entry, EntryKind, parse_entry
from fujie.audit.errors import EntryInvalid, SealBroken
from fujie.audit.sealing import Place, SealKey, open_facts
from fujie.audit.tiles import WIDTH
from fujie.decision.replay import FOUND, LEFT_OUT, Recorded, Replay, Replayed, Why
from fujie.model.facts import Known
from fujie.policy.bundle import Bundle

PART = 64
"""Bundles of 256 entries that a process takes at a time: some 0.2 s of work."""

EXAMPLES = 3
_MOST_MEMO = 100_000
_DECIDED = frozenset({EntryKind.DECISION.value, EntryKind.ADMISSION.value})


@dataclass(frozen=True, slots=True)
class Question:
    """Which bundles were in force, and which one is the candidate, as files; the zone that hours are read in.

    `settings` name ledger and seal key, for the facts that are sealed; None: they stay sealed.
    """

    recorded: tuple[Files, ...]
    candidate: Files
    zone: str
    settings: Settings | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Bundles of entries of one log of `size` signed entries."""

    log: Path
    size: int
    bundles: range

    @property
    def entries(self) -> int:
        """How many entries it holds."""
        return min(self.bundles.stop * WIDTH, self.size) - self.bundles.start * WIDTH


@dataclass(slots=True)
class Tally:
    """What came of the decisions: how often, with decision ids as examples. `others` are entries that record no
    decision of their own; `unreadable` is how many no entry of this build."""

    rows: dict[Replayed, tuple[int, tuple[str, ...]]] = field(default_factory=dict)
    others: int = 0
    unreadable: int = 0

    def count(self, row: Replayed, many: int, examples: tuple[str, ...]) -> None:
        """Add `many` decisions that came to `row`."""
        before, known = self.rows.get(row, (0, ()))
        self.rows[row] = (before + many, (*known, *examples)[:EXAMPLES])

    def add(self, other: "Tally") -> None:
        """Add what another process counted."""
        for row, (many, examples) in other.rows.items():
            self.count(row, many, examples)
        self.others += other.others
        self.unreadable += other.unreadable


def parts_of(logs: Mapping[Path, int]) -> list[Part]:
    """Cut logs, with the number of their signed entries, into parts."""
    return [
        Part(log, size, range(first, min(first + PART, -(-size // WIDTH))))
        for log, size in logs.items()
        for first in range(0, -(-size // WIDTH), PART)
    ]


def replay(question: Question, parts: Sequence[Part], processes: int, done: Callable[[int], None]) -> Tally:
    """Decide every part anew. `done` hears of entries as they are done.

    Raises:
        LogForked: the files are not those that were verified.

    """
    tally = Tally()
    if processes < 2 or len(parts) < 2:
        worker = Worker(question)
        for part in parts:
            tally.add(worker.run(part))
            done(part.entries)
        worker.close()
        return tally
    if question.settings is not None:  # what is wrong with ledger or key is said once, and here
        _Keys(question.settings).close()
    fresh = multiprocessing.get_context("spawn")  # the engine has threads of its own
    with ProcessPoolExecutor(min(processes, len(parts)), fresh, _begin, (question,)) as pool:
        running = {pool.submit(_run, part): part for part in parts}
        for future in as_completed(running):
            tally.add(future.result())
            done(running[future].entries)
    return tally


class Worker:
    """Decides parts of a log, one after the other, and remembers what equal decisions came to."""

    def __init__(self, question: Question) -> None:
        *recorded, candidate = bundles_of(question)
        self._replay = Replay(recorded, candidate, ZoneInfo(question.zone))
        self._paths = frozenset({FOUND, LEFT_OUT}).union(
            *(bundle.facts for bundle in (*recorded, candidate))
        )
        self._memo: dict[tuple[object, ...], Replayed] = {}
        self._keys = _Keys(question.settings) if question.settings else None

    def run(self, part: Part) -> Tally:
        """Decide the decisions of one part."""
        tally = Tally()
        counted: dict[Replayed, list[str]] = {}
        many: dict[Replayed, int] = {}
        for leaf in leaves_of(part.log, part.size, part.bundles):
            try:
                plain = orjson.loads(leaf)
                if plain["kind"] not in _DECIDED:
                    tally.others += 1
                    continue
                row = self._row(plain, leaf)
                examples = counted.setdefault(row, [])
                many[row] = many.get(row, 0) + 1
                if len(examples) < EXAMPLES:
                    examples.append(plain["decision_id"])
            except (ValueError, KeyError, TypeError, EntryInvalid):
                tally.unreadable += 1
        for row, number in many.items():
            tally.count(row, number, tuple(counted[row]))
        return tally

    def close(self) -> None:
        """Let go of the ledger."""
        if self._keys is not None:
            self._keys.close()

    def _row(self, plain: dict[str, Any], leaf: bytes) -> Replayed:
        opened: Mapping[str, Known] | Why | None = None
        if plain["sealed"]:
            opened = self._opened(plain)
        facts = plain["facts"]
        if plain["action"] != "lookup":  # others name targets and digests, no two alike
            facts = {path: value for path, value in facts.items() if path in self._paths}
        moment = datetime.fromisoformat(plain["time"]) if self._replay.needs_clock else None
        key = (
            plain["action"], plain["purpose"], plain["basis"], plain["store"], plain["bundle"],
            plain["effect"], plain["on_behalf_of"] != "",
            orjson.dumps([facts, plain["fields"], plain["reasons"]]),
            orjson.dumps(opened) if isinstance(opened, dict) else opened,
            self._replay.clock(moment) if moment else None,
        )  # fmt: skip
        row = self._memo.get(key)
        if row is None:
            if len(self._memo) >= _MOST_MEMO:
                self._memo.clear()
            row = self._memo[key] = self._replay.run(recorded_of(parse_entry(leaf), opened))
        return row

    def _opened(self, plain: Mapping[str, Any]) -> Mapping[str, Known] | Why:
        sealed: Mapping[str, str] = plain["sealed"]
        if self._keys is None:
            return Why.SEALED
        found: dict[str, Known] = {}
        for sid, text in sealed.items():
            try:
                key = self._keys.of(sid)
                if key is None:
                    return Why.ERASED
                found |= open_facts(text, key, Place(plain["origin"], plain["uid"], sid))
            except SealBroken:
                return Why.SEALED
        return found


def recorded_of(entry: Entry, opened: Mapping[str, Known] | Why | None) -> Recorded:
    """Return the decision that an entry holds; `opened` are its personal facts."""
    return Recorded(
        entry.action, entry.purpose, entry.basis, entry.store, entry.bundle, entry.effect, entry.reasons,
        entry.fields, entry.facts, bool(entry.on_behalf_of), datetime.fromisoformat(entry.time), opened,
    )  # fmt: skip


class _Keys:
    """Data keys of customers from the ledger, read as they are needed."""

    def __init__(self, settings: Settings) -> None:
        self._runner = asyncio.Runner()
        seal = settings.keys.seal
        access = ServerAccess(settings.ledger.password_file, settings.ledger.unsafe_plaintext)
        opening = DataKeys.open(settings.ledger.url, SealKey(seal.id, read_key(seal.file)), access)
        self._keys = self._runner.run(opening)
        self.of = lru_cache(maxsize=100_000)(self._read)

    def _read(self, sid: str) -> SealKey | None:
        return self._runner.run(self._keys.of(sid))

    def close(self) -> None:
        self._runner.run(self._keys.close())
        self._runner.close()


_workers: list[Worker] = []
"""The worker of this process of the pool."""


def _begin(question: Question) -> None:
    _workers.append(Worker(question))


def _run(part: Part) -> Tally:
    return _workers[0].run(part)


def bundles_of(question: Question) -> Iterator[Bundle]:
    """Yield the recorded bundles, then the candidate. Raises CannotStart for a bad one."""
    for files in (*question.recorded, question.candidate):
        yield compiled(files)
