"""A customer store in SQL: one table or view, read-only, one SELECT per look-up; whatever the database."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager

from fujie.adapters.stores.address import Address, address_of, mismatch
from fujie.adapters.stores.columns import Columns
from fujie.adapters.stores.scans import Scans
from fujie.adapters.stores.source import Source, timed_out
from fujie.adapters.stores.sqlite import open_sqlite
from fujie.adapters.stores.statement import WIDTH, Statements
from fujie.adapters.stores.stream import SCANS, RunningScan, Turns
from fujie.adapters.stores.table import StoreTable
from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.errors import StartError, StoreError
from fujie.model.record import Fetched, SealedRecord
from fujie.ports import Clock
from fujie.ports.stores import Scan, Values

_NO_FIELDS = SealedRecord({})

_LAST_FOUR = re.compile(r"[0-9]{4}", re.ASCII)


class SQLStore:
    """A store as `ports.CustomerStore`. It belongs to the event loop that opened it."""

    def __init__(self, table: StoreTable, columns: Columns, source: Source, clock: Clock) -> None:
        self._table = table
        self._clock = clock
        self._fields = frozenset(table.fields)
        self._attributes = frozenset(table.attributes)
        self._statements = Statements(table, columns)
        self._scans = Scans(table, columns)
        self._turns = Turns(min(SCANS, table.connections))
        self._source = source
        self._is_closed = False

    @property
    def fields(self) -> frozenset[str]:
        """See `ports.CustomerStore.fields`."""
        return self._fields

    @property
    def attributes(self) -> frozenset[str]:
        """See `ports.CustomerStore.attributes`."""
        return self._attributes

    @property
    def can_search(self) -> bool:
        """See `ports.CustomerStore.can_search`."""
        return self._table.search_key is not None

    async def fetch(
        self, ref: CustomerRef, fields: frozenset[str], attributes: frozenset[str], timeout_s: float
    ) -> Sequence[Fetched]:
        """See `ports.CustomerStore.fetch`. A key of another store, or a phone where none is mapped, finds nothing."""
        if ref.store != self._table.name if isinstance(ref, StoreKey) else self._table.phone_key is None:
            return ()
        deadline = self._deadline(timeout_s)
        lookup = self._statements.lookup(ref.kind, fields, attributes)
        arguments = lookup.arguments(ref)
        if arguments is None:
            return ()
        return lookup.fetched(await self._source.rows(lookup.text, arguments, deadline), ref)

    async def fetch_many(
        self, keys: Sequence[StoreKey], attributes: frozenset[str], timeout_s: float
    ) -> Sequence[Fetched]:
        """See `ports.CustomerStore.fetch_many`. What `fetch` finds for each key, by one statement for every `WIDTH`."""
        name, names = self._table.name, sorted(attributes)
        ids = [key.customer_id for key in keys if key.store == name]
        return [
            Fetched(StoreKey(name, customer_id), _NO_FIELDS, dict(zip(names, values, strict=True)), phone)
            for customer_id, phone, values in await self.fetch_values(ids, attributes, timeout_s)
        ]

    async def fetch_values(
        self, ids: Sequence[str], attributes: frozenset[str], timeout_s: float
    ) -> Sequence[Values]:
        """See `ports.CustomerStore.fetch_values`."""
        deadline = self._deadline(timeout_s)
        gathering = self._statements.gathering(attributes)
        possible = list(gathering.possible(ids).items())
        found: list[Values] = []
        for start in range(0, len(possible), WIDTH):
            chunk = possible[start : start + WIDTH]
            arguments = gathering.arguments(chunk) if len(chunk) > 1 else None
            gathered = None
            if arguments is not None:
                rows = await self._source.rows(gathering.text, arguments, self._before(deadline))
                gathered = gathering.values(rows, chunk)
            found += await self._one_by_one(chunk, attributes, deadline) if gathered is None else gathered
        return found

    async def _one_by_one(
        self, chunk: Sequence[tuple[str, object]], attributes: frozenset[str], deadline: float
    ) -> list[Values]:
        """Fetch each alone: there is one, or an id that no list holds, or a view with one in so many rows that others had no room."""
        return [
            (customer_id, row.phone, tuple([row.attributes[name] for name in sorted(attributes)]))
            for customer_id, _ in chunk
            for row in await self.fetch(
                StoreKey(self._table.name, customer_id),
                frozenset(),
                attributes,
                deadline - self._clock.monotonic(),
            )
        ]

    async def search(
        self,
        last_four: str,
        fields: frozenset[str],
        attributes: frozenset[str],
        most: int,
        timeout_s: float,
    ) -> Sequence[Fetched]:
        """See `ports.CustomerStore.search`. What is not four digits ends no number."""
        if not self.can_search or most < 1 or not _LAST_FOUR.fullmatch(last_four):
            return ()
        deadline = self._deadline(timeout_s)
        search = self._statements.search(fields, attributes)
        arguments = search.arguments(last_four, most + 1)
        if arguments is None:
            return ()
        return search.fetched(await self._source.rows(search.text, arguments, deadline), last_four)

    def scan(
        self, wanted: Scan, timeout_s: float
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Fetched]]]:
        """See `ports.CustomerStore.scan`. At most `SCANS` at a time, and half of them for one reader; the next waits for its turn."""
        self._deadline(timeout_s)
        if wanted.size < 1:
            raise StoreError(f"store {self._table.name}: a batch has at least one row")
        turn = self._turns.taken(wanted.reader)
        running = RunningScan(self._source, self._scans.selection(wanted), wanted.size, turn)
        return running.within(self._clock, (timeout_s, wanted.patience_s), self._table.name)

    def _deadline(self, timeout_s: float) -> float:
        if self._is_closed:
            raise StoreError(f"store {self._table.name} is closed")
        if timeout_s <= 0:
            raise timed_out(self._table.name)
        return self._clock.monotonic() + timeout_s

    def _before(self, deadline: float) -> float:
        if self._clock.monotonic() >= deadline:
            raise timed_out(self._table.name)
        return deadline

    async def close(self) -> None:
        """Refuse further look-ups and end every connection."""
        self._is_closed = True
        await self._source.close()


async def open_store(table: StoreTable, clock: Clock) -> SQLStore:
    """Open the store that `table` says and compare it with its configuration.

    Raises:
        StartError: STORE_MISMATCH, naming everything that the database does not have, or that it can not
            be reached; STORE_DRIVER_MISSING when its extra is not installed.

    """
    address = address_of(table, table.url)
    replicas = [address_of(table, url) for url in table.replicas]
    if any(replica.backend != address.backend for replica in replicas):
        raise mismatch([f"store {table.name}: a replica is another kind of database"])
    columns: Columns
    source: Source
    # The drivers are imported where they are used: one is an extra, both take their time.
    if address.backend == "postgresql":
        from fujie.adapters.stores.postgresql import open_postgresql

        columns, source = await open_postgresql(table, address, replicas, clock)
    elif address.backend == "mysql":
        columns, source = await _mysql(table, address, replicas, clock)
    else:
        columns, source = open_sqlite(table, address, clock)
    return SQLStore(table, columns, source, clock)


async def _mysql(
    table: StoreTable, address: Address, replicas: Sequence[Address], clock: Clock
) -> tuple[Columns, Source]:
    try:
        from fujie.adapters.stores.mysql import open_mysql
    except ModuleNotFoundError:
        raise StartError(
            "STORE_DRIVER_MISSING",
            f"store {table.name}: the driver for MySQL and MariaDB is not installed",
            "Install the extra: pip install 'fujie[mysql]'.",
        ) from None
    return await open_mysql(table, address, replicas, clock)
