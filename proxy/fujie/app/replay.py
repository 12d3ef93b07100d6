"""A verified log decided anew: read in parts, by several processes, equal decisions decided once."""

import asyncio
import multiprocessing
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from operator import index
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
from fujie.audit.sealing import Place, SealKey, facts_in, unseal
from fujie.audit.tiles import WIDTH
from fujie.decision.replay import FOUND, LEFT_OUT, PEOPLE, STARTS, Recorded, Replay, Replayed, Why
from fujie.model.facts import Known
from fujie.model.vocabulary import Action
from fujie.policy.bundle import Bundle

PART = 64
"""Bundles of 256 entries that a process takes at a time: some 0.2 s of work."""

EXAMPLES = 3
_MOST_MEMO = 100_000
"""Kinds of decisions, and keys of customers, that a process remembers."""
_DECIDED = frozenset({EntryKind.DECISION.value, EntryKind.ADMISSION.value})
_named = re.compile(rb'"bundle":"(sha256:[0-9a-f]{64})"').findall
"""Canonical bytes have one spelling, and a quote inside a text has a backslash before it."""

_RELEASED = frozenset({Action.SEND.value, Action.EXPORT.value})
"""Actions whose people have no other entry before something goes out."""


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


def named_in(parts: Sequence[Part]) -> frozenset[str]:
    """Return the digests of the bundles that entries name. Raises LogForked: as `replay`."""
    found: set[bytes] = set()
    for part in parts:
        for leaf in leaves_of(part.log, part.size, part.bundles):
            found.update(_named(leaf))
    return frozenset(digest.decode() for digest in found)


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


@dataclass(slots=True)
class _Counts:
    """How many people came to each row of a worker, by its number, with decision ids as examples."""

    many: dict[int, int] = field(default_factory=dict)
    examples: dict[int, list[str]] = field(default_factory=dict)

    def add(self, number: int, people: int, decision: str) -> None:
        self.many[number] = self.many.get(number, 0) + people
        known = self.examples.setdefault(number, [])
        if len(known) < EXAMPLES and decision not in known:
            known.append(decision)


class Worker:
    """Decides parts of a log, one after the other, and remembers what equal decisions came to."""

    def __init__(self, question: Question) -> None:
        *recorded, candidate = bundles_of(question)
        self._replay = Replay(recorded, candidate, ZoneInfo(question.zone))
        self._paths = frozenset({FOUND, LEFT_OUT, STARTS}).union(
            *(bundle.facts for bundle in (*recorded, candidate))
        )
        self._memo: dict[tuple[object, ...], int] = {}
        self._numbers: dict[Replayed, int] = {}  # a row takes a microsecond to hash, its number nothing
        self._keys = _Keys(question.settings) if question.settings else None

    def run(self, part: Part) -> Tally:
        """Decide the decisions of one part."""
        tally, counts = Tally(), _Counts()
        leaves = leaves_of(part.log, part.size, part.bundles)
        while some := tuple(islice(leaves, WIDTH)):
            if self._keys is not None:
                self._keys.expect(some)
            for leaf in some:  # parsed one by one: 256 parsed entries do not fit the cache of a CPU
                self._count(leaf, tally, counts)
        rows = tuple(self._numbers)
        for number, many in counts.many.items():
            tally.count(rows[number], many, tuple(counts.examples[number]))
        return tally

    def _count(self, leaf: bytes, tally: Tally, counts: "_Counts") -> None:
        try:
            plain = orjson.loads(leaf)
            if is_decided(plain):
                for number, people in self._rows(plain, leaf):
                    counts.add(number, people, plain["decision_id"])
            else:
                tally.others += 1
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,  # a moment of a year that the zone has not
            EntryInvalid,
        ):  # whatever shape another build gave it
            tally.unreadable += 1

    def close(self) -> None:
        """Let go of the ledger."""
        if self._keys is not None:
            self._keys.close()

    def _rows(self, plain: dict[str, Any], leaf: bytes) -> Sequence[tuple[int, int]]:
        """Return what came of every person whom the entry decides on: one, in all but those about many messages.

        Each is the number of a row, and of how many people.
        """
        kind, sealed = self._kind(plain), plain["sealed"]
        rows = [(self._row(kind, leaf, self._opened(plain, sid, text)), 1) for sid, text in sealed.items()]
        rest = index(plain["facts"].get(PEOPLE, 1)) - len(rows)
        if rest > 0:
            rows.append((self._row(kind, leaf, None), rest))
        return rows

    def _kind(self, plain: dict[str, Any]) -> tuple[object, ...]:
        """Return all that the decision on one person can depend on, but for what is sealed."""
        facts = plain["facts"]
        if plain["action"] != "lookup":  # others name targets and digests, no two alike
            facts = {path: value for path, value in facts.items() if path in self._paths}
        moment = datetime.fromisoformat(plain["time"]) if self._replay.needs_clock else None
        return (
            plain["action"], plain["purpose"], plain["basis"], plain["store"], plain["bundle"],
            plain["effect"], plain["on_behalf_of"] != "",
            orjson.dumps([facts, plain["fields"], plain["reasons"]]),
            self._replay.clock(moment) if moment else None,
        )  # fmt: skip

    def _row(self, kind: tuple[object, ...], leaf: bytes, opened: bytes | Why | None) -> int:
        key = (kind, opened)
        number = self._memo.get(key)
        if number is None:
            if len(self._memo) >= _MOST_MEMO:
                self._memo.clear()
            personal = facts_in(opened) if isinstance(opened, bytes) else opened
            row = self._replay.run(recorded_of(parse_entry(leaf), personal))
            number = self._memo[key] = self._numbers.setdefault(row, len(self._numbers))
        return number

    def _opened(self, plain: Mapping[str, Any], sid: str, text: str) -> bytes | Why:
        """Return the personal facts of one person, as their bytes, or why they can not be read."""
        if self._keys is None:
            return Why.SEALED
        key = self._keys.of(sid)
        if isinstance(key, Why):
            return key
        try:
            return unseal(text, key, Place(plain["origin"], plain["uid"], sid))
        except SealBroken:
            return Why.SEALED


def is_decided(plain: Mapping[str, Any]) -> bool:
    """Tell whether an entry records a decision of its own."""
    kind = plain["kind"]
    return kind in _DECIDED or (kind == EntryKind.RELEASE.value and plain["action"] in _RELEASED)


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
        self._known: dict[str, SealKey | Why] = {}
        self._next: Sequence[bytes] = ()

    def expect(self, leaves: Sequence[bytes]) -> None:
        """Say which entries come next: once the key of one is missing, those of all are read together."""
        self._next = leaves

    def of(self, sid: str) -> SealKey | Why:
        """Return a customer's key, or why there is none. Raises LedgerError."""
        if sid not in self._known:
            self._fetch({sid}.union(*map(_sealed_in, self._next)))
        return self._known[sid]

    def _fetch(self, sids: set[str]) -> None:
        if len(self._known) + len(sids) > _MOST_MEMO:
            self._known.clear()
        missing = sorted(sids.difference(self._known))
        found = self._runner.run(self._keys.of(missing))
        for sid in missing:
            self._known[sid] = found.get(sid, Why.ERASED) or Why.SEALED

    def close(self) -> None:
        self._runner.run(self._keys.close())
        self._runner.close()


def _sealed_in(leaf: bytes) -> Collection[str]:
    """Return whose facts an entry has sealed; nobody where it is no entry of this build."""
    try:
        sealed = orjson.loads(leaf)["sealed"]
    except (ValueError, KeyError, TypeError):
        return ()
    return sealed.keys() if isinstance(sealed, dict) else ()


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
