"""What every keeper of ended sessions must do (`ports.signin.Sessions`): what is over stays over, for every process."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from fujie.adapters.ledger import SQLLedger

NOW = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)


async def test_an_end_is_another_era_for_everybody_and_nobody_elses(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    here, there = (ledger.sessions for ledger in ledgers)
    assert await there.era("somebody") == 0
    await here.end("somebody", NOW)
    assert await there.era("somebody") == await here.era("somebody") > 0
    assert await there.era("SOMEBODY") == 0


@pytest.mark.parametrize("skew", [-timedelta(days=400), timedelta(0), timedelta(days=400)])
async def test_no_era_comes_back_whatever_the_clocks_say(
    ledgers: tuple[SQLLedger, SQLLedger], skew: timedelta
) -> None:
    """Hosts whose clocks are far apart, and many who end the same at one moment."""
    eras = {await ledgers[0].sessions.era("somebody")}
    for number in range(4):
        await ledgers[number % 2].sessions.end("somebody", NOW + number % 2 * skew)
        eras.add(await ledgers[1 - number % 2].sessions.era("somebody"))
    assert len(eras) == 5
    await asyncio.gather(
        *(ledgers[n % 2].sessions.end(who, NOW) for n in range(8) for who in ("somebody", "another"))
    )
    here, there = (ledger.sessions for ledger in ledgers)
    assert await here.era("somebody") == await there.era("somebody") > max(eras)
    assert 0 < await here.era("another") == await there.era("another") != await here.era("somebody")
