"""The SELECT of a scan: many rows in the order of their ids, behind one of them, through a sieve."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from fujie.adapters.compiled import CompiledSelect
from fujie.adapters.stores.columns import Rank
from fujie.adapters.stores.reading import Reading
from fujie.adapters.stores.sieve import Sieve, clause_of
from fujie.model.errors import StoreError
from fujie.model.record import Fetched

LONGEST_ID = 250
"""Characters of an id that a scan passes: MySQL sorts by the first 1,024 bytes (`max_sort_length`), so what is longer
has no certain place."""


class Scanning:
    """The scan of one set of fields and attributes through sieves of one shape, compiled once, in four texts:
    from the start or behind an id, without end or of `most` rows."""

    def __init__(self, reading: Reading, sieve: Sieve) -> None:
        self.reading = reading
        ranks = reading.columns.ranks(reading.store.customer_id)
        every = reading.select.where(clause_of(sieve, reading.columns)).order_by(*[r.of_row for r in ranks])
        most = sa.bindparam("most", type_=sa.Integer)
        dialect = reading.columns.dialect
        self._texts = {
            (is_behind, is_limited): CompiledSelect(select.limit(most) if is_limited else select, dialect)
            for is_behind, select in ((False, every), (True, every.where(_behind(ranks))))
            for is_limited in (False, True)
        }

    def text(self, *, is_behind: bool, is_limited: bool) -> CompiledSelect:
        """Return the statement of one kind."""
        return self._texts[is_behind, is_limited]


class Statement(NamedTuple):
    """What a driver is given."""

    text: str
    arguments: Sequence[object]


class Selection:
    """The rows of one scan, before any are read."""

    def __init__(self, scanning: Scanning, constants: dict[str, object], after: str) -> None:
        """`constants` are those of the sieve, `after` is where the scan starts; empty for the first row."""
        self._scanning = scanning
        self._constants = constants
        self.after = after

    def statement(self, after: str, most: int | None = None) -> Statement:
        """Return what reads the rows behind an id: all, or `most` of them.

        Raises:
            StoreError: the column can not hold the id, so nothing tells where to start.

        """
        compiled = self._scanning.text(is_behind=bool(after), is_limited=most is not None)
        values = {**self._constants, "most": most}
        if after:
            values |= {"key0": self._key(after), "exact": after}
        return Statement(compiled.text, compiled.arguments(values))

    def _key(self, customer_id: str) -> object:
        reading = self._scanning.reading
        key = reading.columns.argument(reading.store.customer_id, customer_id)
        if key is None:
            raise StoreError(f"store {reading.store.name}: a scan can not start behind such an id")
        return key

    def meaning(self, rows: Sequence[Sequence[Any]]) -> list[Fetched]:
        """Return what rows mean.

        Raises:
            StoreError: a row has no usable id, or a value that is too long, or lacks a column.

        """
        found = self._scanning.reading.batch(rows)
        if max(map(_length_of_id, found), default=0) > LONGEST_ID:
            raise StoreError(
                f"store {self._scanning.reading.store.name}: an id is too long to be ordered by"
            )
        if found:
            self._key(found[-1].key.customer_id)  # so that it can be started from
        return found


def _length_of_id(row: Fetched) -> int:
    return len(row.key.customer_id)


def _behind(ranks: Sequence[Rank]) -> sa.ColumnElement[bool]:
    """Return what rows behind an id meet; the first rank also stands alone, so that an index starts there."""
    first, *more = ranks
    if not more:
        return first.of_row > first.of_start
    [second] = more
    is_behind = sa.or_(first.of_row > first.of_start, second.of_row > second.of_start)
    return sa.and_(first.of_row >= first.of_start, is_behind)
