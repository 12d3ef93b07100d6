"""Stores for attacks on flows."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.record import Fetched
from fujie.ports import CustomerStore
from fujie.ports.stores import Scan, Values


class Spy:
    """A store that remembers what it was asked for, can fail, and lets something happen while it reads a customer."""

    def __init__(
        self,
        inner: CustomerStore,
        error: Exception | None = None,
        meanwhile: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        self._inner = inner
        self._error = error
        self._meanwhile = meanwhile
        self.fields_asked: list[frozenset[str]] = []

    @property
    def fields(self) -> frozenset[str]:
        return self._inner.fields

    @property
    def attributes(self) -> frozenset[str]:
        return self._inner.attributes

    async def fetch(
        self, ref: CustomerRef, fields: frozenset[str], attributes: frozenset[str], timeout_s: float
    ) -> Sequence[Fetched]:
        self.fields_asked.append(fields)
        if self._error:
            raise self._error
        if self._meanwhile:
            await self._meanwhile()
        return await self._inner.fetch(ref, fields, attributes, timeout_s)

    async def fetch_many(
        self, keys: Sequence[StoreKey], attributes: frozenset[str], timeout_s: float
    ) -> Sequence[Fetched]:
        self.fields_asked.append(frozenset())
        if self._error:
            raise self._error
        if self._meanwhile:
            await self._meanwhile()
        return await self._inner.fetch_many(keys, attributes, timeout_s)

    async def fetch_values(
        self, ids: Sequence[str], attributes: frozenset[str], timeout_s: float
    ) -> Sequence[Values]:
        self.fields_asked.append(frozenset())
        if self._error:
            raise self._error
        if self._meanwhile:
            await self._meanwhile()
        return await self._inner.fetch_values(ids, attributes, timeout_s)

    @property
    def can_search(self) -> bool:
        return self._inner.can_search

    async def search(
        self,
        last_four: str,
        fields: frozenset[str],
        attributes: frozenset[str],
        most: int,
        timeout_s: float,
    ) -> Sequence[Fetched]:
        self.fields_asked.append(fields)
        if self._error:
            raise self._error
        return await self._inner.search(last_four, fields, attributes, most, timeout_s)

    def scan(
        self, wanted: Scan, timeout_s: float
    ) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Fetched]]]:
        self.fields_asked.append(wanted.fields)
        if self._error:
            raise self._error
        return self._interrupted(wanted, timeout_s)

    @asynccontextmanager
    async def _interrupted(
        self, wanted: Scan, timeout_s: float
    ) -> AsyncIterator[AsyncIterator[Sequence[Fetched]]]:
        async def batches(
            inner: AsyncIterator[Sequence[Fetched]],
        ) -> AsyncGenerator[Sequence[Fetched], None]:
            async for batch in inner:
                if self._meanwhile:
                    await self._meanwhile()
                yield batch

        async with self._inner.scan(wanted, timeout_s) as found, aclosing(batches(found)) as interrupted:
            yield interrupted
