"""Who asks "who has seen my data" is answered from the log: each worker indexes its own by customer, behind the calls.

It reads what is signed, so never ahead of the disk, and at most `MOST_ENTRIES` a second, so that a restart that has much
to catch up slows nothing down. What counts is what let data out: a look-up that was allowed, a row of an export that was
released, and a message that was released and went out. An entry of the outcome names those to whom nothing was sent after all, and takes that back.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from fujie.adapters.logfiles import leaves_of
from fujie.app.logs import log_event
from fujie.audit.canon import parse
from fujie.audit.entry import EntryKind
from fujie.audit.errors import AuditError
from fujie.audit.tiles import WIDTH
from fujie.model.errors import FujieError
from fujie.model.subject_request import Indexed
from fujie.model.vocabulary import Action, Effect
from fujie.ports.requests import Disclosures

PAUSE_S = 1.0
"""Between two parts: one transaction a second and worker."""

MOST_ENTRIES, MOST_ROWS = 4_096, 4_000
"""Of one part: 20 ms of reading in a thread, and a transaction that nobody waits for long. One entry more may name
1,700 customers."""

_LONGEST_PAUSE_S = 30.0

_COUNTS = {
    (EntryKind.DECISION.value, Action.LOOKUP.value): 1,
    (EntryKind.RELEASE.value, Action.SEND.value): 1,
    (EntryKind.RELEASE.value, Action.EXPORT.value): 1,
    (EntryKind.OUTCOME.value, Action.SEND.value): -1,
}
"""What an entry that allows says of each customer whom it names."""


@dataclass(frozen=True, slots=True)
class OwnLog:
    """A log on disk: its directory, its origin, and how many of its entries are signed by now."""

    path: Path
    origin: str
    signed: Callable[[], int]


class Disclosing:
    """The index of one log. Only one process follows a log; were there two, each part would count once all the same."""

    def __init__(self, log: OwnLog, disclosures: Disclosures, zone: tzinfo) -> None:
        self._log = log
        self._disclosures = disclosures
        self._zone = zone
        self._position: int | None = None

    async def run(self) -> None:
        """Follow the log, for ever. What fails is logged by its code, and tried again after a pause."""
        pause = PAUSE_S
        while True:
            try:
                await self.step()
                pause = PAUSE_S
            except (FujieError, AuditError, OSError) as error:
                code = "LOG_UNAVAILABLE" if isinstance(error, OSError) else error.code
                log_event("disclosures_behind", logging.WARNING, code=code, error=type(error).__name__)
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            await asyncio.sleep(pause)

    async def step(self) -> bool:
        """Index the next part of the log; return whether there was any.

        Raises:
            LedgerError: it may or may not have been written: the ledger is asked how far it came before the next one.
            AuditError, OSError: the log can not be read.

        """
        first, self._position = self._position, None
        if first is None:
            first = await self._disclosures.position(self._log.origin)
        signed = self._log.signed()
        if signed > first:
            part = await asyncio.to_thread(read_part, self._log, first, signed, self._zone)
            await self._disclosures.add(part)
            self._position = part.end
            return True
        self._position = first
        return False


def read_part(log: OwnLog, first: int, signed: int, zone: tzinfo) -> Indexed:
    """Return what the entries from `first` on disclosed, as far as one part goes. Raises AuditError or OSError."""
    counts: Counter[tuple[str, date, str, str]] = Counter()
    last = min(signed, first + MOST_ENTRIES)
    start = first // WIDTH
    leaves = leaves_of(log.path, signed, range(start, -(-last // WIDTH)))
    end = first
    for index, leaf in enumerate(leaves, start * WIDTH):
        if index < first:
            continue
        if index >= last or len(counts) >= MOST_ROWS:
            break
        _count(cast("dict[str, Any]", parse(leaf)), zone, counts)
        end = index + 1
    return Indexed(log.origin, first, end, {key: count for key, count in counts.items() if count})


def _count(entry: dict[str, Any], zone: tzinfo, counts: Counter[tuple[str, date, str, str]]) -> None:
    count = _COUNTS.get((entry["kind"], entry["action"]))
    if count is None or entry["effect"] != Effect.ALLOW:
        return
    day = _day(entry["time"][:16], zone)
    for sid in entry["sids"]:
        counts[(sid, day, entry["action"], entry["purpose"])] += count


@lru_cache(maxsize=256)
def _day(minute: str, zone: tzinfo) -> date:
    return datetime.fromisoformat(f"{minute}Z").astimezone(zone).date()
