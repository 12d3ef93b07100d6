"""Attacks on opt-outs in the ledger: lost, doubled, lifted without the customer, hidden between two pages."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from contract.test_ledger import ADAPTERS, Open
from fujie.adapters.ledger import SQLLedger
from fujie.model.customer import StoreKey
from fujie.model.errors import LedgerError, RequestError
from fujie.model.suppression import Confirmation, Suppression, SuppressionScope
from support.identities import opt_out

NOW = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
ONE, TWO = StoreKey("crm", "C-1"), StoreKey("crm", "C-2")
LATER = NOW + timedelta(hours=1)
BY = Confirmation("signed_letter", "letter-1", LATER)


@pytest.fixture(params=list(ADAPTERS.values()), ids=list(ADAPTERS))
def empty(request: pytest.FixtureRequest) -> Iterator[Open]:
    with request.param() as open_:
        yield open_


@pytest.fixture
async def ledgers(empty: Open) -> AsyncIterator[tuple[SQLLedger, SQLLedger]]:
    """Two processes on one ledger."""
    both = (await empty(), await empty())
    yield both
    for ledger in both:
        await ledger.close()


@pytest.fixture
async def ledger(ledgers: tuple[SQLLedger, SQLLedger]) -> SQLLedger:
    return ledgers[0]


async def sid_of(ledger: SQLLedger, key: StoreKey = ONE) -> str:
    return (await ledger.enrol([key], NOW)).sid


def lifted(given: Suppression, by: Confirmation = BY) -> Suppression:
    return replace(given, lifted=by, lifted_at=LATER)


async def test_an_opt_out_is_seen_by_the_very_next_read_of_everybody(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    here, there = ledgers
    sid = await sid_of(here)
    for n in range(10):
        given = opt_out(sid, NOW, SuppressionScope("marketing", "sms", f"brand-{n}"))
        assert await here.add_suppression(given, "", "") == given
        assert given in await there.suppressions([sid])
        assert await there.suppression(given.suppression_id) == given
    assert len(await there.suppressions([sid])) == 10
    assert await there.suppressions([]) == ()


async def test_a_repeat_adds_nothing_and_another_request_of_that_id_is_refused(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    sid = await sid_of(ledgers[0])
    answers = await asyncio.gather(
        *(ledgers[n % 2].add_suppression(opt_out(sid, NOW), "r-1", "same") for n in range(12))
    )
    assert len(set(answers)) == 1
    assert list(await ledgers[1].suppressions([sid])) == [answers[0]]
    with pytest.raises(RequestError) as refused:
        await ledgers[1].add_suppression(opt_out(sid, NOW), "r-1", "other")
    assert refused.value.code == "REQUEST_ID_REUSED"
    theirs = replace(opt_out(sid, NOW), actor="another")
    assert await ledgers[0].add_suppression(theirs, "r-1", "other") == theirs


async def test_an_opt_out_of_nobody_is_an_error(ledger: SQLLedger) -> None:
    with pytest.raises(LedgerError):
        await ledger.add_suppression(opt_out("sid_unknown", NOW), "r-1", "d")
    assert await ledger.suppressions(["sid_unknown"]) == []


async def test_a_lift_ends_one_opt_out_and_deletes_none(ledgers: tuple[SQLLedger, SQLLedger]) -> None:
    here, there = ledgers
    sid = await sid_of(here)
    first, second = opt_out(sid, NOW), opt_out(sid, NOW)
    for given in (first, second):
        await here.add_suppression(given, "", "")
    assert await here.lift_suppression(lifted(first), "desk", "") == lifted(first)
    assert list(await there.suppressions([sid])) == [second]
    assert await there.suppression(first.suppression_id) == lifted(first)


async def test_the_first_confirmation_stands_whoever_comes_second(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    given = opt_out(await sid_of(ledgers[0]), NOW)
    await ledgers[0].add_suppression(given, "", "")
    ways = [replace(BY, evidence_ref=f"letter-{n}") for n in range(8)]
    answers = await asyncio.gather(
        *(ledgers[n % 2].lift_suppression(lifted(given, by), "desk", "") for n, by in enumerate(ways))
    )
    assert len(set(answers)) == 1
    assert await ledgers[1].suppression(given.suppression_id) == answers[0]


async def test_a_request_id_lifts_one_opt_out(ledger: SQLLedger) -> None:
    sid = await sid_of(ledger)
    first, second = opt_out(sid, NOW), opt_out(sid, NOW)
    for given in (first, second):
        await ledger.add_suppression(given, "", "")
    await ledger.lift_suppression(lifted(first), "desk", "r-1")
    assert await ledger.lift_suppression(lifted(first), "desk", "r-1") == lifted(first)
    with pytest.raises(RequestError) as refused:
        await ledger.lift_suppression(lifted(second), "desk", "r-1")
    assert refused.value.code == "REQUEST_ID_REUSED"
    with pytest.raises(RequestError) as unknown:
        await ledger.lift_suppression(lifted(opt_out(sid, NOW)), "desk", "")
    assert unknown.value.code == "SUPPRESSION_NOT_FOUND"
    assert list(await ledger.suppressions([sid])) == [second]
