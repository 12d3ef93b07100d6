"""One ledger on the PostgreSQL of the process, near and over a wire that can be cut."""

from collections.abc import AsyncIterator, Iterator

import pytest

from fujie.adapters.ledger import SQLLedger
from support.ledgers import opened
from support.postgresql import ledger_url, server
from support.wire import Wire


@pytest.fixture
def url() -> Iterator[str]:
    with ledger_url() as url:
        yield url


@pytest.fixture
async def ledger(url: str) -> AsyncIterator[SQLLedger]:
    ledger = await opened(url)
    yield ledger
    await ledger.close()


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    async with Wire(server().socket).serving() as wire:
        yield wire


@pytest.fixture
async def far(url: str, wire: Wire) -> AsyncIterator[SQLLedger]:
    """The same ledger as `ledger`, over the wire."""
    name = url.rpartition("?")[0].rpartition("/")[2]
    far = await opened(f"postgresql://postgres@127.0.0.1:{wire.port}/{name}?sslmode=disable")
    yield far
    await far.close()
