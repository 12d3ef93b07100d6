"""What every keeper of ended sessions must do (`ports.signin.Sessions`): what is over stays over, for every process."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from fujie.adapters.ledger import SQLLedger
from support.outboxes import URLS, opened

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(params=list(URLS))
async def ledgers(request: pytest.FixtureRequest) -> AsyncIterator[tuple[SQLLedger, SQLLedger]]:
    """Two processes on one ledger."""
    with URLS[request.param]() as url:
        both = (await opened(url), await opened(url))
        yield both
        for ledger in both:
            await ledger.close()


async def test_an_end_is_known_to_others_to_the_microsecond_and_is_nobody_elses(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    here, there = (ledger.sessions for ledger in ledgers)
    assert await there.ended("somebody") is None
    await here.end("somebody", NOW)
    assert await there.ended("somebody") == NOW
    assert await there.ended("SOMEBODY") is None


async def test_no_later_word_brings_a_session_back(ledgers: tuple[SQLLedger, SQLLedger]) -> None:
    """A host whose clock is behind, and many who end the same at one moment."""
    here, there = (ledger.sessions for ledger in ledgers)
    await here.end("somebody", NOW)
    await there.end("somebody", NOW - timedelta(days=1))
    assert await here.ended("somebody") == NOW
    moments = [NOW + timedelta(seconds=each) for each in range(8)]
    await asyncio.gather(
        *(
            (here, there)[n % 2].end(who, at)
            for n, at in enumerate(moments)
            for who in ("somebody", "another")
        )
    )
    for who in ("somebody", "another"):
        assert await there.ended(who) == moments[-1]
