"""Attacks on opt-outs in the ledger: lost, doubled, lifted without the customer, hidden between two pages."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from contract.test_ledger import ADAPTERS, Open
from fujie.adapters.ledger import SQLLedger
from fujie.audit.consent_records import content_digest, lift_content, suppression_content
from fujie.model.consent import EntryRef
from fujie.model.customer import Correction, StoreKey
from fujie.model.errors import LedgerError, RequestError
from fujie.model.page import Slice
from fujie.model.suppression import Confirmation, Suppression, SuppressionFilter, SuppressionScope
from support.identities import IDENTIFIERS, opt_out

NOW = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
ONE, TWO = StoreKey("crm", "C-1"), StoreKey("crm", "C-2")
LATER = NOW + timedelta(hours=1)
BY = Confirmation("signed_letter", "letter-1", LATER)
HERE, THERE = EntryRef("prod-a/w0", 7), EntryRef("prod-b/w1", 2**40)


@pytest.fixture(params=list(ADAPTERS.values()), ids=list(ADAPTERS))
def empty(request: pytest.FixtureRequest) -> Iterator[Open]:
    with request.param() as open_:
        yield open_


async def sid_of(ledger: SQLLedger, key: StoreKey = ONE) -> str:
    return (await ledger.enrol([key], NOW)).sid


def lifted(given: Suppression, by: Confirmation = BY) -> Suppression:
    return replace(given, lifted=by, lifted_at=LATER, lifted_by="desk", lift_entry=THERE)


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
    assert await here.lift_suppression(lifted(first), "") == lifted(first)
    assert list(await there.suppressions([sid])) == [second]
    assert await there.suppression(first.suppression_id) == lifted(first)


async def test_the_first_confirmation_stands_whoever_comes_second(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    given = opt_out(await sid_of(ledgers[0]), NOW)
    await ledgers[0].add_suppression(given, "", "")
    ways = [replace(BY, evidence_ref=f"letter-{n}") for n in range(8)]
    answers = await asyncio.gather(
        *(ledgers[n % 2].lift_suppression(lifted(given, by), "") for n, by in enumerate(ways))
    )
    assert len(set(answers)) == 1
    assert await ledgers[1].suppression(given.suppression_id) == answers[0]


async def test_a_request_id_lifts_one_opt_out(ledger: SQLLedger) -> None:
    sid = await sid_of(ledger)
    first, second = opt_out(sid, NOW), opt_out(sid, NOW)
    for given in (first, second):
        await ledger.add_suppression(given, "", "")
    await ledger.lift_suppression(lifted(first), "r-1")
    assert await ledger.lift_suppression(lifted(first), "r-1") == lifted(first)
    with pytest.raises(RequestError) as refused:
        await ledger.lift_suppression(lifted(second), "r-1")
    assert refused.value.code == "REQUEST_ID_REUSED"
    with pytest.raises(RequestError) as unknown:
        await ledger.lift_suppression(lifted(opt_out(sid, NOW)), "")
    assert unknown.value.code == "SUPPRESSION_NOT_FOUND"
    assert list(await ledger.suppressions([sid])) == [second]


# Entries: each opt-out and each lift keeps the place of the entry that admitted it, for ever.


async def test_an_opt_out_and_its_lift_each_keep_their_entry(ledgers: tuple[SQLLedger, SQLLedger]) -> None:
    here, there = ledgers
    given = replace(opt_out(await sid_of(here), NOW), entry=HERE)
    await here.add_suppression(given, "", "")
    assert await there.suppression(given.suppression_id) == given
    await here.lift_suppression(lifted(given), "")
    known = await there.suppression(given.suppression_id)
    assert known == lifted(given)
    assert known is not None
    assert (known.entry, known.lift_entry, known.lifted_by) == (HERE, THERE, "desk")
    page = await there.suppression_page(SuppressionFilter(with_lifted=True), Slice())
    assert page.rows == (known,)


async def test_a_replay_neither_rebinds_the_first_nor_adds_another(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    sid = await sid_of(ledgers[0])
    places = [EntryRef("prod-a/w0", n) for n in range(10)]
    answers = await asyncio.gather(
        *(
            ledgers[n % 2].add_suppression(replace(opt_out(sid, NOW), entry=place), "r-1", "same")
            for n, place in enumerate(places)
        )
    )
    assert len(set(answers)) == 1
    assert list(await ledgers[0].suppressions([sid])) == [answers[0]]
    others = (("desk", "r-2"), ("another", "r-1"), ("desk", ""))
    assert await ledgers[1].has_suppressed("desk", "r-1")
    assert not await ledgers[1].has_suppressed("desk", "r-1", lifted=True)
    assert [await ledgers[1].has_suppressed(*each) for each in others] == [False] * 3
    lifts = await asyncio.gather(
        *(
            ledgers[n % 2].lift_suppression(replace(lifted(answers[0]), lift_entry=place), "r-1")
            for n, place in enumerate(places)
        )
    )
    assert len(set(lifts)) == 1
    assert await ledgers[1].suppression(answers[0].suppression_id) == lifts[0]
    assert lifts[0].entry == answers[0].entry
    assert await ledgers[1].has_suppressed("desk", "r-1", lifted=True)
    assert [await ledgers[1].has_suppressed(*each, lifted=True) for each in others] == [False] * 3


async def test_a_copy_that_a_split_made_claims_no_entry(ledger: SQLLedger) -> None:
    sid = await sid_of(ledger)
    given = replace(opt_out(sid, NOW), entry=HERE)
    await ledger.add_suppression(given, "", "")
    split = await ledger.split([ONE], Correction("form-1", "officer", NOW))
    (copy,) = await ledger.suppressions([split.sid])
    assert (copy.source, copy.entry) == ("split", None)
    late = replace(opt_out(sid, NOW), entry=THERE)  # it raced the split: written for both
    await ledger.add_suppression(late, "", "")
    assert late in await ledger.suppressions([sid])
    assert {each.entry for each in await ledger.suppressions([split.sid])} == {None}


_texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
_moments = st.datetimes(datetime(1900, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - zone is added
_entries = st.none() | st.builds(EntryRef, _texts, st.integers(0, 2**53 - 1))
_opt_outs = st.builds(
    Suppression,
    suppression_id=st.just(""), sid=st.just(""), scope=st.builds(SuppressionScope, _texts, _texts, _texts),
    event_time=_moments, received_at=_moments, actor=_texts, source=_texts, evidence_ref=_texts,
    lifted=st.builds(Confirmation, _texts, _texts, _moments), lifted_at=_moments, lifted_by=_texts,
    entry=_entries, lift_entry=_entries,
)  # fmt: skip


@settings(max_examples=13)
@drawn(said=_opt_outs)
def test_what_was_digested_comes_back_with_the_same_digest(empty: Open, said: Suppression) -> None:
    """Else an honest opt-out would look altered in the evidence."""

    async def check() -> None:
        ledger = await empty()
        suppression_id = IDENTIFIERS.new_id()
        whole = replace(
            said, suppression_id=suppression_id, sid=await sid_of(ledger, StoreKey("crm", suppression_id))
        )
        added = replace(whole, lifted=None, lifted_at=None, lifted_by="", lift_entry=None)
        assert await ledger.add_suppression(added, "", "") == added
        assert await ledger.lift_suppression(whole, "") == whole
        found = await ledger.suppression(suppression_id)
        assert found == whole
        for content in (suppression_content, lift_content):
            assert content_digest(content(found)) == content_digest(content(whole))
        await ledger.close()

    asyncio.run(check())
