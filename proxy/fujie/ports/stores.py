"""What a place that holds customer records must offer."""

from collections.abc import Sequence
from typing import Protocol

from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.record import Fetched


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
