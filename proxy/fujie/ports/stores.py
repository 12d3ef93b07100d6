"""What a place that holds customer records must offer."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.predicate import ANYTHING, Predicate
from fujie.model.record import Fetched


@dataclass(frozen=True, slots=True)
class Scan:
    """What is read of many customers: `fields` and `attributes` that the store maps, of the rows that may pass `where`, behind
    the customer id `after` (empty: from the start), `size` rows at a time, for `reader`: nobody has more than half of the scans
    that a store runs at a time, and the last free one is for who has none. Who waits for his turn gets it in order, and waits for
    `patience_s` at most where that is longer than opening may take."""

    fields: frozenset[str]
    attributes: frozenset[str]
    where: Predicate = ANYTHING
    after: str = ""
    size: int = 500
    reader: str = ""
    patience_s: float = 0.0


Values = tuple[str, str, tuple[object, ...]]
"""A row: the id, the number as in `Fetched`, and the raw values of the attributes that were asked for, in order of name."""


class CustomerStore(Protocol):
    """A place that holds customer records."""

    @property
    def fields(self) -> frozenset[str]:
        """Names of the catalogue's fields that this store maps."""
        ...

    @property
    def attributes(self) -> frozenset[str]:
        """Names of the catalogue's customer attributes that this store maps."""
        ...

    async def fetch(
        self, ref: CustomerRef, fields: frozenset[str], attributes: frozenset[str], timeout_s: float
    ) -> Sequence[Fetched]:
        """Return the rows for `ref` by one SELECT: none, one, or two when a phone is not unique.

        `fields` and `attributes` are subsets of what the store maps. Two rows are enough to know
        that a number is ambiguous; more are never read.

        Raises:
            StoreError: STORE_UNAVAILABLE, or STORE_TIMEOUT after `timeout_s` seconds.

        """
        ...

    async def fetch_many(
        self, keys: Sequence[StoreKey], attributes: frozenset[str], timeout_s: float
    ) -> Sequence[Fetched]:
        """Return the rows of at most 1,000 customers, those that are there, in no order; without any field.

        By few statements, each of a shape that is compiled once. Raises like `fetch`.
        """
        ...

    async def fetch_values(
        self, ids: Sequence[str], attributes: frozenset[str], timeout_s: float
    ) -> Sequence[Values]:
        """Do what `fetch_many` does for customers of this store by id, without an object for each part."""
        ...

    @property
    def can_search(self) -> bool:
        """Tell whether the store has a column of last four digits, so that `search` can find anybody."""
        ...

    async def search(
        self,
        last_four: str,
        fields: frozenset[str],
        attributes: frozenset[str],
        most: int,
        timeout_s: float,
    ) -> Sequence[Fetched]:
        """Return the rows whose number ends with these four digits, by customer id; nothing without such a column.

        At most `most` + 1 rows by one SELECT: one more than `most` tells that there are too many. Never a scan.
        Raises like `fetch`.
        """
        ...

    def scan(
        self, wanted: Scan, timeout_s: float
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Fetched]]]:
        """Open a cursor over the rows in one fixed order of their ids, in constant memory whatever the reader's pace.

        Every row that passes `wanted.where` comes; one that does not may come too, where the store can not tell. Each
        batch has 1 to `wanted.size` rows. `timeout_s` is for opening and for each batch. Raises like `fetch`, also
        between batches; leaving the block ends the statement.
        """
        ...
