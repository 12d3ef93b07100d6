"""Full chunks: the rows that leave are gathered over as many batches of the store as it takes.

One chunk for each batch would tell how many of the batch did not leave, also behind a filter, where no count is told. So
every chunk but the last holds as many rows as a chunk does, whoever was left out between them. Where that takes longer than
`SEARCH_S`, what was found leaves: how far a search comes in a second depends on the load, and waiting for ever is no answer.

Rows that waited are asked about again in the ledger before they leave; who does not leave then makes room for others.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fujie.decision.mask import Shown
from fujie.flows.export_rows import Judged, Matter, judge_rows, shown_rows
from fujie.model.predicate import Predicate
from fujie.model.record import Fetched

SEARCH_S = 10.0
"""How long rows are searched for before a chunk leaves that is not full: long enough that a busy machine fills one."""

STALE_S = 0.5
"""How old a reading of the ledger may be when its chunk is on its way: behind a slow reader it is read again."""

FILTERED = ""
"""The reason of rows that the filter left out."""


@dataclass(frozen=True, slots=True, repr=False)
class Row:
    """A row that leaves: what it shows, and when the ledger was asked about it."""

    judged: Judged
    shown: Mapping[str, Shown]
    at: float


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that does not leave, by its reason; `before` rows of its chunk stand before it."""

    before: int
    reason: str


@dataclass(frozen=True, slots=True, repr=False)
class Ready:
    """A chunk: the rows that leave, those that were left out, and the customer behind whom the store goes on."""

    rows: Sequence[Row]
    left_out: Sequence[LeftOut]
    after: str


class Filling:
    """The chunks of one reading of the store, `size` rows each; `matter` gives the matter of the moment. Whoever gathers
    lets go of it all when that decides otherwise than before."""

    def __init__(
        self,
        matter: Callable[[], Matter],
        wanted: Predicate,
        batches: AsyncIterator[Sequence[Fetched]],
        size: int,
    ) -> None:
        self._matter = matter
        self._wanted = wanted
        self._batches = batches
        self._size = size
        self._rows: list[Row] = []
        self._left_out: list[LeftOut] = []
        self._after = ""
        self._is_over = False

    async def chunk(self) -> Ready | None:
        """Return the next chunk; None behind the last one.

        Raises:
            LedgerError, StoreError: a batch could not be read, or not be decided.

        """
        clock = self._matter().case.gate.clock
        until = clock.monotonic() + SEARCH_S
        await self._renew()
        while len(self._rows) < self._size and not self._is_over and clock.monotonic() < until:
            batch = await anext(self._batches, None)
            self._matter().case.watch.lap("store")
            if batch is None:
                self._is_over = True
            else:
                await self._add(batch)
                await self._renew()
        return self._cut() if self._rows or self._left_out or not self._is_over else None

    def is_stale(self, ready: Ready) -> bool:
        """Tell whether the ledger is to be asked about rows again before they leave."""
        return self._has_old(ready.rows)

    def give_back(self, ready: Ready) -> None:
        """Take a chunk back that did not leave; the next one begins with its rows."""
        taken = len(ready.rows)
        self._left_out = [*ready.left_out, *(replace(e, before=e.before + taken) for e in self._left_out)]
        self._rows = [*ready.rows, *self._rows]

    async def _add(self, batch: Sequence[Fetched]) -> None:
        judged, shown, at = await self._seen(batch)
        for each, values in zip(judged, shown, strict=True):
            self._put(each, values, at)
        self._after = batch[-1].key.customer_id if batch else self._after

    async def _renew(self) -> None:
        """Ask the ledger again about the rows that waited."""
        if not self._has_old(self._rows):
            return
        rows, left_out = self._rows, self._left_out
        judged, shown, at = await self._seen([row.judged.row for row in rows])
        self._rows, self._left_out = [], []
        places = iter(left_out)
        waiting = next(places, None)
        for number, (each, values) in enumerate(zip(judged, shown, strict=True)):
            while waiting is not None and waiting.before <= number:
                self._left_out.append(replace(waiting, before=len(self._rows)))
                waiting = next(places, None)
            self._put(each, values, at)
        while waiting is not None:
            self._left_out.append(replace(waiting, before=len(self._rows)))
            waiting = next(places, None)

    async def _seen(
        self, rows: Sequence[Fetched]
    ) -> tuple[Sequence[Judged], Sequence[Mapping[str, Shown] | None], float]:
        matter = self._matter()
        at = matter.case.gate.clock.monotonic()
        judged = await judge_rows(matter, rows)
        return judged, await shown_rows(matter, judged, self._wanted), at

    def _put(self, judged: Judged, shown: Mapping[str, Shown] | None, at: float) -> None:
        if shown is not None:
            self._rows.append(Row(judged, shown, at))
        else:
            reason = FILTERED if judged.is_allowed else judged.decision.primary
            self._left_out.append(LeftOut(len(self._rows), reason))

    def _cut(self) -> Ready:
        """Take a chunk off what was gathered. Behind the last row of a full one nothing counts yet: it is not known whether
        anybody else leaves."""
        size = self._size
        if len(self._rows) <= size:
            ready = Ready(self._rows, self._left_out, self._after)
            self._rows, self._left_out = [], []
            return ready
        rows = self._rows[:size]
        left_out = [each for each in self._left_out if each.before < size]
        later = self._left_out[len(left_out) :]
        self._rows = self._rows[size:]
        self._left_out = [replace(each, before=each.before - size) for each in later]
        return Ready(rows, left_out, rows[-1].judged.row.key.customer_id)

    def _has_old(self, rows: Sequence[Row]) -> bool:
        """Tell whether the ledger was asked about any of them too long ago: the first one has waited longest."""
        return bool(rows) and self._matter().case.gate.clock.monotonic() - rows[0].at > STALE_S
