"""Full chunks: the rows that leave are gathered over as many batches of the store as it takes.

One chunk for each batch would tell how many of the batch did not leave, also behind a filter, where no count is told. So
every chunk but the last holds as many rows as a chunk does, whoever was left out between them. Where that takes longer than
`SEARCH_S`, what was found leaves: how far a search comes in a second depends on the load, and waiting for ever is no answer.

Rows that waited are asked about again in the ledger before they leave; who does not leave then makes room for others.
Nobody is enrolled to look at him: only who is about to leave is, and is decided on once more behind that.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, repeat
from operator import eq
from typing import NamedTuple

from fujie.decision.mask import Cells
from fujie.flows.export_rows import Judge, Judged, Matter, judge_leaving, judge_rows, shown_rows
from fujie.model.errors import StoreError
from fujie.model.predicate import Predicate
from fujie.model.record import Fetched

SEARCH_S = 10.0
"""How long rows are searched for before a chunk leaves that is not full: long enough that a busy machine fills one."""

STALE_S = 0.5
"""How old a reading of the ledger may be when its chunk is on its way: behind a slow reader it is read again."""

FILTERED = ""
"""The reason of rows that the filter left out."""


class Row(NamedTuple):
    """A row that leaves: what it shows of the fields that were asked for, and when the ledger was asked about it."""

    judged: Judged
    shown: Cells
    at: float

    def __repr__(self) -> str:
        return "Row(...)"


# What the constructor of a named tuple does, without a call of the interpreter for each.
_AS_ROW: Callable[[tuple[Judged, Cells | None, float]], Row] = partial(tuple.__new__, Row)


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
            LedgerError, StoreError: a batch could not be read, or not be decided; STORE_ID_REPEATED where two rows that leave
                have one customer id.

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

    async def enrolled(self, ready: Ready, room: int) -> Ready:
        """Return the chunk with its first `room` rows enrolled, and without those who may not leave any more.

        Raises:
            LedgerError: somebody could not be enrolled, or not be decided on.

        """
        while "" in [sid for (_, sid, _, _), _, _ in ready.rows[:room]]:  # whom the ledger does not have
            first = await self._seen([row.judged.row for row in ready.rows[:room]], judge_leaving)
            rows, left_out = _merged([*first, *ready.rows[room:]], ready.left_out)
            ready = replace(ready, rows=rows, left_out=left_out)
        return ready

    async def _add(self, batch: Sequence[Fetched]) -> None:
        found = await self._seen(batch, judge_rows)
        before = len(self._rows)
        self._rows += [each for each in found if not isinstance(each, str)]
        if len(self._rows) < before + len(found):
            places = accumulate((not isinstance(each, str) for each in found), initial=before)
            self._left_out += [
                LeftOut(place, each)
                for place, each in zip(places, found, strict=False)
                if isinstance(each, str)
            ]
        ids = [fetched.key.customer_id for (fetched, _, _, _), _, _ in self._rows[max(0, before - 1) :]]
        if any(map(eq, ids, ids[1:])):
            # What goes on goes on behind an id, and would lose the rest of its rows.
            raise StoreError(code="STORE_ID_REPEATED")
        self._after = batch[-1].key.customer_id if batch else self._after

    async def _renew(self) -> None:
        """Ask the ledger again about the rows that waited."""
        if not self._has_old(self._rows):
            return
        seen = await self._seen([row.judged.row for row in self._rows], judge_rows)
        self._rows, self._left_out = _merged(seen, self._left_out)

    async def _seen(self, rows: Sequence[Fetched], judge: Judge) -> list[Row | str]:
        """Return each row as it leaves, or the reason why it does not."""
        matter = self._matter()
        at = matter.case.gate.clock.monotonic()
        judged = await judge(matter, rows)
        shown = await shown_rows(matter, judged, self._wanted)
        seen = list[Row | str](map(_AS_ROW, zip(judged, shown, repeat(at), strict=False)))
        for place in [n for n, values in enumerate(shown) if values is None]:
            each = judged[place]
            seen[place] = FILTERED if each.is_allowed else each.decision.primary
        return seen

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


def _merged(seen: Sequence[Row | str], left_out: Sequence[LeftOut]) -> tuple[list[Row], list[LeftOut]]:
    """Return the rows of which some do not leave any more, and with these who was left out between them."""
    rows, out, waiting = list[Row](), list[LeftOut](), deque(left_out)
    for number, each in enumerate(seen):
        while waiting and waiting[0].before <= number:
            out.append(replace(waiting.popleft(), before=len(rows)))
        if isinstance(each, Row):
            rows.append(each)
        else:
            out.append(LeftOut(len(rows), each))
    return rows, out + [replace(each, before=len(rows)) for each in waiting]
