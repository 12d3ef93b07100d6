"""The next batch is read while one is worked on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import TypeVar

T = TypeVar("T")


async def ahead(batches: AsyncIterator[T]) -> AsyncGenerator[T, None]:
    """Yield what `batches` do, one of them read ahead: store and ledger, each in a thread or process of its own, work at the
    same time. To be closed before `batches` are; what was read ahead is then gone."""
    coming = asyncio.ensure_future(anext(batches, None))
    try:
        while (batch := await coming) is not None:
            coming = asyncio.ensure_future(anext(batches, None))
            yield batch
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
