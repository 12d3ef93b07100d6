"""What the contract tests of the ledger's tables share: one ledger, of each kind, that two processes have open."""

from collections.abc import AsyncIterator

import pytest

from fujie.adapters.ledger import SQLLedger
from support.outboxes import URLS, opened


@pytest.fixture(params=list(URLS))
async def ledgers(request: pytest.FixtureRequest) -> AsyncIterator[tuple[SQLLedger, SQLLedger]]:
    """Two processes on one ledger, as far as it can tell."""
    with URLS[request.param]() as url:
        both = (await opened(url), await opened(url))
        yield both
        for ledger in both:
            await ledger.close()


@pytest.fixture
async def ledger(ledgers: tuple[SQLLedger, SQLLedger]) -> SQLLedger:
    """The first of them."""
    return ledgers[0]
