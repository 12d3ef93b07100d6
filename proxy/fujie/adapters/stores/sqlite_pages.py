"""A scan of SQLite: pages in the order of the ids, each a statement of its own that starts behind the last.

Not one cursor: an open statement holds a lock, under which nobody can write to a file without WAL, and with WAL the log
grows as long as the reader takes. Between two pages a scan holds nothing at all, so there is nothing to end, and no
reader is too slow. Its price: rows that are written meanwhile may be in a later page, as two look-ups would show them.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from fujie.adapters.stores.scanning import Selection, Statement
from fujie.model.errors import StoreError

INSTRUCTIONS = 500
"""SQLite instructions for each row of a page that is read on the event loop, before the rest of the scan goes to a thread:
four times what a row of twelve columns takes. A thread takes the interpreter back for every row: measured with 12 columns,
70,000 rows a second on the loop, whether it is busy or not, and 49,000 or 34,000 in a thread. So a thread reads only where
the sieve holds many rows back, or the table is sorted."""

Read = Callable[[Statement, int, float], Awaitable[Sequence[Any] | None]]


class SQLitePages:
    """See `Stream`. `read` gives the rows of a statement by the deadline, or None when that takes more than so many
    instructions; without end where those are 0."""

    def __init__(self, store: str, read: Read, selection: Selection, size: int) -> None:
        self._store = store
        self._read = read
        self._selection = selection
        self._after = selection.after
        self._most = size + 2
        """One more than a batch may have: so one id may fill a whole batch, and the next shows that it is over."""
        self._budget = INSTRUCTIONS * self._most
        self._is_over = False

    async def more(self, deadline: float) -> Sequence[Sequence[Any]]:
        """See `Stream.more`."""
        if self._is_over:
            return ()
        statement = self._selection.statement(self._after, self._most)
        rows = await self._read(statement, self._budget, deadline) if self._budget else None
        if rows is None:
            self._budget = 0
            rows = await self._read(statement, 0, deadline) or ()
        if len(rows) < self._most:
            self._is_over = True
            return rows
        return self._whole(rows)

    def _whole(self, rows: Sequence[Any]) -> Sequence[Any]:
        """Return the rows without those of the last id, of which more may come: the next page begins with it."""
        last, cut = str(rows[-1][0]), len(rows)
        while cut and str(rows[cut - 1][0]) == last:
            cut -= 1
        if not cut:
            raise StoreError(f"store {self._store}: one id has more rows than a batch")
        self._after = self._selection.meaning(rows[cut - 1 : cut])[0].key.customer_id
        return rows[:cut]

    async def end(self) -> None:
        """See `Stream.end`."""
        self._is_over = True
