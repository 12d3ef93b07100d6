"""What waits for people, as every ledger tells it to the metrics."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from contract.test_approvals import LEAD, NOW, TWO, ending, wanted
from contract.test_ledger import ADAPTERS, Open
from fujie.adapters.ledger import SQLLedger
from fujie.adapters.ledger.pending import Pending
from fujie.model.approval import ESCALATE_AFTER, PENDING_FOR, ApprovalState
from fujie.model.principal import Principal
from fujie.model.vocabulary import State

SECOND = timedelta(seconds=1)
LATE = NOW + ESCALATE_AFTER


@pytest.fixture(params=list(ADAPTERS.values()), ids=list(ADAPTERS))
def empty(request: pytest.FixtureRequest) -> Iterator[Open]:
    with request.param() as open_:
        yield open_


@pytest.fixture
async def ledger(empty: Open) -> AsyncIterator[SQLLedger]:
    opened = await empty()
    yield opened
    await opened.close()


async def test_an_approval_waits_until_somebody_votes_and_counts_as_escalated_from_its_time_on(
    ledger: SQLLedger,
) -> None:
    assert await ledger.pending(NOW) == Pending(0, 0, 0, 0)
    for number in range(3):
        asked = await ledger.ask_approval(wanted(request_digest=str(number)))
    assert await ledger.pending(LATE - SECOND) == Pending(3, 0, 0, 0)
    assert await ledger.pending(LATE) == Pending(3, 3, 0, 0)
    await ledger.vote(asked.id, "lead-1", LEAD, NOW, 'a comment that says "votes": [] and "votes": [[')
    assert await ledger.pending(LATE) == Pending(2, 2, 0, 0), "a vote is an answer"
    other = await ledger.ask_approval(wanted(TWO, request_digest="two of two roles"))
    await ledger.vote(other.id, "officer-1", frozenset({"officer"}), NOW)
    assert await ledger.pending(LATE) == Pending(2, 2, 0, 0), "also one of two"
    again = await ledger.ask_approval(wanted(request_digest="0"))
    await ledger.end_approval(again.id, ending(ApprovalState.REVOKED))
    assert await ledger.pending(LATE) == Pending(1, 1, 0, 0)
    assert await ledger.pending(NOW + PENDING_FOR) == Pending(0, 0, 0, 0), "nobody waits for what expired"


async def test_who_leaves_is_scheduled_then_unfinished_then_forgotten(ledger: SQLLedger) -> None:
    directory, at = ledger.directory, NOW + timedelta(days=1)
    boss = Principal(id="boss", kind=State.EMPLOYEE, roles=frozenset({"administrator"}))
    for each in (boss, replace(boss, id="li.na", roles=frozenset({"support"}))):
        await directory.upsert(each, NOW)
    await directory.offboard("li.na", NOW, at)
    assert await ledger.pending(at - SECOND) == Pending(0, 0, 1, 0)
    assert await ledger.pending(at) == Pending(0, 0, 0, 1)
    await directory.left("li.na")
    assert await ledger.pending(at) == Pending(0, 0, 0, 0)
