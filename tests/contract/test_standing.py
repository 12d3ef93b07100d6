"""How sending stands, as every ledger tells it to the metrics."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from fujie.adapters.ledger import SQLLedger
from fujie.adapters.ledger.standing import DOUBT, Standing
from fujie.model.campaign import CampaignState
from fujie.model.message import MessageState, Settled
from support.outboxes import (
    NOW,
    URLS,
    campaign,
    claim,
    key,
    leased,
    marker,
    opened,
    phone,
    planned,
    running,
)

QUIET = Standing(0.0, 0.0, {})


@pytest.fixture(params=list(URLS))
async def ledger(request: pytest.FixtureRequest) -> AsyncIterator[SQLLedger]:
    with URLS[request.param]() as url:
        ledger = await opened(url)
        yield ledger
        await ledger.close()


async def standing(ledger: SQLLedger, seconds: float) -> Standing:
    return await ledger.outbox.standing(NOW + timedelta(seconds=seconds))


async def test_what_nobody_takes_up_what_is_on_its_way_and_what_is_in_doubt_is_told(
    ledger: SQLLedger,
) -> None:
    assert await standing(ledger, 60) == QUIET
    sid = (await ledger.enrol([key(0), phone(0)], NOW)).sid
    await running(ledger, [sid])
    assert await standing(ledger, 60) == Standing(0.0, 60.0, {})
    lease = await leased(ledger)
    assert await standing(ledger, 10) == QUIET, "whom a worker holds does not wait"
    (intent,) = lease.intents
    letter = claim(intent.intent_id, phone(0), sid)
    await ledger.outbox.claim(lease, [letter], await marker(ledger), "marketer", NOW)
    assert await standing(ledger, 7) == Standing(7.0, 0.0, {})
    doubt = [Settled(intent.intent_id, MessageState.UNKNOWN, "TIMEOUT")]
    await ledger.outbox.settle("w0", doubt, NOW)
    day = DOUBT.total_seconds()
    assert await standing(ledger, day) == Standing(0.0, 0.0, {letter.provider: 1})
    assert await standing(ledger, day + 1) == QUIET, "nobody resolves it any more"


async def test_a_campaign_that_is_paused_or_waits_for_the_morning_is_not_stuck(ledger: SQLLedger) -> None:
    sid = (await ledger.enrol([key(0), phone(0)], NOW)).sid
    draft = await ledger.outbox.create_campaign(campaign(), "", "")
    await ledger.outbox.plan(draft.id, [planned(sid)], NOW)
    assert await standing(ledger, 60) == QUIET
    await ledger.outbox.move_campaign(draft.id, CampaignState.RUNNING, NOW + timedelta(seconds=50))
    assert await standing(ledger, 60) == Standing(0.0, 10.0, {}), "its wait begins with its start"
    lease = await leased(ledger)
    morning = [
        Settled(each.intent_id, MessageState.PLANNED, not_before=NOW + timedelta(hours=9))
        for each in lease.intents
    ]
    await ledger.outbox.settle("w0", morning, NOW)
    assert await standing(ledger, 3600) == QUIET
    await ledger.outbox.move_campaign(draft.id, CampaignState.PAUSED, NOW)
    assert await standing(ledger, 10 * 3600) == QUIET
