"""What every register of customers' requests, and every index of disclosures, must do (`ports.requests`)."""

import asyncio
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from fujie.adapters.ledger import SQLLedger
from fujie.model.customer import StoreKey
from fujie.model.errors import LedgerError, RequestError
from fujie.model.page import Slice
from fujie.model.subject_request import (
    Disclosure,
    Indexed,
    RequestEnd,
    RequestFilter,
    RequestKind,
    RequestOutcome,
    SubjectRequest,
)

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = date(2026, 3, 1)
BOTH = tuple[SQLLedger, SQLLedger]


def wanted(sid: str, number: int, kind: RequestKind = RequestKind.COMPLAINT) -> SubjectRequest:
    received = NOW + timedelta(minutes=number)
    return SubjectRequest(f"{number:032x}", sid, kind, b"sealed", received, received + timedelta(days=15))


async def customer(ledger: SQLLedger, number: int) -> str:
    return (await ledger.enrol([StoreKey("crm", f"C{number}")], NOW)).sid


async def test_one_request_of_a_kind_is_open_however_many_ask_at_once(ledgers: BOTH) -> None:
    sid = await customer(ledgers[0], 1)
    asked = [ledgers[n % 2].requests.open_request(wanted(sid, n)) for n in range(8)]
    answers = await asyncio.gather(*asked)
    assert len({each.id for each in answers}) == 1
    other = await ledgers[1].requests.open_request(wanted(sid, 9, RequestKind.ERASURE))
    listed = (await ledgers[0].requests.subject_requests(RequestFilter((sid,)), Slice())).rows
    assert listed == (answers[0], other)
    assert await ledgers[0].requests.subject_request(other.id) == other


async def test_the_first_outcome_stands_and_makes_room_for_another_request(ledgers: BOTH) -> None:
    here, there = (ledger.requests for ledger in ledgers)
    sid = await customer(ledgers[0], 1)
    first = await here.open_request(wanted(sid, 1))
    end = RequestEnd(RequestOutcome.REFUSED, NOW + timedelta(days=2), "officer", "letters/7")
    assert await there.resolve_request(first.id, end) == replace(first, end=end)
    late = replace(end, outcome=RequestOutcome.DONE, by="somebody")
    assert (await here.resolve_request(first.id, late)).end == end
    second = await here.open_request(wanted(sid, 2))
    assert second.id != first.id
    assert (await there.subject_requests(RequestFilter(), Slice())).rows == (second,)
    every = await there.subject_requests(RequestFilter(with_resolved=True), Slice())
    assert [each.id for each in every.rows] == [first.id, second.id]
    with pytest.raises(RequestError, match="SUBJECT_REQUEST_NOT_FOUND"):
        await here.resolve_request("0" * 32, end)


async def test_pages_repeat_and_hide_nothing_and_show_nobody_elses(ledgers: BOTH) -> None:
    here, there = (ledger.requests for ledger in ledgers)
    sids = [await customer(ledgers[0], n) for n in range(5)]
    for number, sid in enumerate(sids):
        await here.open_request(wanted(sid, number))
    found, part = list[str](), Slice(size=2)
    while True:
        page = await there.subject_requests(RequestFilter(), part)
        found += [each.sid for each in page.rows]
        if not page.next:
            break
        part = Slice(page.next, 2)
    assert found == sids
    of_two = await there.subject_requests(RequestFilter((sids[3], sids[1])), Slice())
    assert [each.sid for each in of_two.rows] == [sids[1], sids[3]]
    assert (await there.subject_requests(RequestFilter(()), Slice())).rows == ()


def counted(first: int, end: int, *keys: tuple[str, int, str, str, int], origin: str = "a/w0") -> Indexed:
    counts = {(sid, DAY + timedelta(days=day), action, purpose): n for sid, day, action, purpose, n in keys}
    return Indexed(origin, first, end, counts)


async def test_counts_add_up_and_a_part_of_the_log_counts_once(ledgers: BOTH) -> None:
    here, there = (ledger.disclosures for ledger in ledgers)
    assert await here.position("a/w0") == 0
    first = counted(0, 10, ("s1", 0, "lookup", "after_sales", 2), ("s2", 0, "send", "marketing", 1))
    await here.add(first)
    with pytest.raises(LedgerError):
        await there.add(first)
    with pytest.raises(LedgerError):
        await there.add(counted(11, 12, ("s1", 0, "lookup", "after_sales", 7)))
    await there.add(
        counted(10, 11, ("s1", 0, "lookup", "after_sales", 1), ("s2", 0, "send", "marketing", -1))
    )
    await there.add(counted(0, 5, ("s1", 0, "lookup", "after_sales", 1), origin="a/w1"))
    assert await there.position("a/w0") == 11
    listed = (await here.disclosures(("s1",), Slice())).rows
    assert listed == (Disclosure(DAY, "lookup", "after_sales", 4),)
    assert (await here.disclosures(("s2",), Slice())).rows == ()  # taken back


async def test_of_two_who_index_one_log_one_counts(ledgers: BOTH) -> None:
    part = counted(0, 3, ("s1", 0, "lookup", "after_sales", 1))
    adding = [ledgers[n % 2].disclosures.add(part) for n in range(4)]
    ended = await asyncio.gather(*adding, return_exceptions=True)
    assert sorted(type(each).__name__ for each in ended) == ["LedgerError"] * 3 + ["NoneType"]
    listed = (await ledgers[0].disclosures.disclosures(("s1",), Slice())).rows
    assert listed == (Disclosure(DAY, "lookup", "after_sales", 1),)


async def test_the_last_day_comes_first_on_every_page_and_an_alias_doubles_nothing(ledgers: BOTH) -> None:
    here, there = (ledger.disclosures for ledger in ledgers)
    keys = [
        ("s1", day, "lookup", purpose, day + 1) for day in range(4) for purpose in ("after_sales", "a-b")
    ]
    await here.add(counted(0, 8, *keys, ("s2", 3, "lookup", "a-b", 2), ("s2", 9, "send", "marketing", 1)))
    found, part = list[Disclosure](), Slice(size=3)
    while True:
        page = await there.disclosures(("s1", "s2", "s3"), part)
        found += page.rows
        if not page.next:
            break
        part = Slice(page.next, 3)
    assert [each.day for each in found] == sorted((each.day for each in found), reverse=True)
    assert len(found) == len(set(found)) == 9
    assert Disclosure(DAY + timedelta(days=3), "lookup", "a-b", 4) in found
