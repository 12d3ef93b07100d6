"""What every ledger must do for messages that ask for consent, for replies that are looked at, and for consents that end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from fujie.adapters.ledger import SQLLedger
from fujie.model.consent import ConsentEventType
from fujie.model.errors import LedgerError, RequestError
from fujie.model.message import MessageState, ReplyOutcome, Settled
from fujie.model.page import Slice
from fujie.ports.messaging import KeptReply
from fujie.ports.providers import Receipt
from support.identities import consent_event
from support.outboxes import NOW, URLS, claim, key, leased, marker, opened, phone, running

LATER, DAY = NOW + timedelta(minutes=1), timedelta(days=1)


@pytest.fixture(params=list(URLS))
async def ledger(request: pytest.FixtureRequest) -> AsyncIterator[SQLLedger]:
    with URLS[request.param]() as url:
        ledger = await opened(url)
        yield ledger
        await ledger.close()


async def asking(ledger: SQLLedger, state: MessageState | None) -> str:
    """Claim a message that asks, and settle it as said; return its id."""
    sid = (await ledger.enrol([key(0), phone(0)], NOW)).sid
    await running(ledger, [sid])
    lease = await leased(ledger)
    (intent,) = lease.intents
    letter = replace(claim(intent.intent_id, phone(0), sid), asks='{"sid": "x"}')
    done = await ledger.outbox.claim(lease, [letter], await marker(ledger), "marketer", NOW)
    assert done.claimed == {intent.intent_id}
    if state is not None:
        settled = Settled(
            intent.intent_id, state, "", "p-1", NOW if state is MessageState.PLANNED else None
        )
        await ledger.outbox.settle("w0", [settled], NOW)
    return intent.intent_id


async def is_asking(ledger: SQLLedger) -> list[bool]:
    known = await ledger.outbox.recall_many([(key(0), phone(0))], "marketing", NOW)
    return [each.is_asking for each in known.customers[0].sent]


@pytest.mark.parametrize("state", [MessageState.SUBMITTED, MessageState.UNKNOWN])
async def test_what_is_out_and_asks_is_told_until_it_is_recorded(
    ledger: SQLLedger, state: MessageState
) -> None:
    intent_id = await asking(ledger, state)
    assert await is_asking(ledger) == [True]
    assert await ledger.outbox.asking(NOW, 10) == [], "whose outcome is that new is somebody's own"
    (left,) = await ledger.outbox.asking(LATER, 10)
    assert (left.intent_id, left.provider, left.asks) == (intent_id, "outbox", '{"sid": "x"}')
    assert left.may_be_out
    assert left.claimed_at == NOW
    await ledger.outbox.asked([])
    assert len(await ledger.outbox.asking(LATER, 10)) == 1
    await ledger.outbox.asked([intent_id, "none"])
    assert await ledger.outbox.asking(LATER, 10) == []
    assert await is_asking(ledger) == [False], "a message lately, and no question any more"


async def test_what_is_on_its_way_asks_and_is_nobodys_to_record_yet(ledger: SQLLedger) -> None:
    await asking(ledger, None)
    assert await is_asking(ledger) == [True]
    assert await ledger.outbox.asking(LATER, 10) == []


async def test_what_went_back_or_failed_asked_nobody(ledger: SQLLedger) -> None:
    await asking(ledger, MessageState.PLANNED)
    assert await ledger.outbox.asking(LATER, 10) == []
    assert await is_asking(ledger) == []


async def test_what_a_provider_refused_is_told_as_such(ledger: SQLLedger) -> None:
    await asking(ledger, MessageState.FAILED)
    (left,) = await ledger.outbox.asking(LATER, 10)
    assert not left.may_be_out
    assert await is_asking(ledger) == []


async def test_a_receipt_changes_nothing_of_what_was_asked(ledger: SQLLedger) -> None:
    await asking(ledger, MessageState.SUBMITTED)
    await ledger.outbox.receive(Receipt("outbox", MessageState.DELIVERED, "p-1", phone(0)), NOW)
    (left,) = await ledger.outbox.asking(LATER, 10)
    assert left.may_be_out


async def test_of_ten_who_mark_a_reply_at_once_the_first_stands(ledger: SQLLedger) -> None:
    sid = (await ledger.enrol([phone(0)], NOW)).sid
    kept = [KeptReply(f"r{n}", "outbox", sid, b"sealed", NOW + n * DAY) for n in range(3)]
    for each in kept:
        await ledger.outbox.keep_reply(each)
    outcomes = [ReplyOutcome.NONE, ReplyOutcome.COMPLAINT_OPENED] * 5
    marked = await asyncio.gather(
        *(
            ledger.outbox.mark_reply("r1", what, f"p{n}", LATER + timedelta(seconds=n))
            for n, what in enumerate(outcomes)
        )
    )
    assert len({(each.reviewed_by, each.outcome, each.reviewed_at) for each in marked}) == 1
    assert await ledger.outbox.reply("r1") == marked[0]
    assert marked[0].sealed == b"sealed"
    assert await ledger.outbox.reply("none") is None
    with pytest.raises(RequestError, match="REPLY_NOT_FOUND"):
        await ledger.outbox.mark_reply("none", ReplyOutcome.NONE, "p", LATER)
    outbox = ledger.outbox
    assert [each.reply_id for each in (await outbox.replies(Slice())).rows] == ["r0", "r2"]
    assert len((await outbox.replies(Slice(), with_reviewed=True)).rows) == 3
    since = await outbox.replies(Slice(), since=NOW + DAY)
    assert [each.reply_id for each in since.rows] == ["r2"], "that very moment counts"
    assert len((await outbox.replies(Slice(), with_reviewed=True, since=NOW + DAY)).rows) == 2
    standing = await outbox.standing(NOW + 3 * DAY)
    assert (standing.replies, standing.reply_s) == (2, 3 * DAY.total_seconds())


async def test_ends_are_found_by_their_own_and_by_when_they_were_given_each_sid_once(
    ledger: SQLLedger,
) -> None:
    sids = [(await ledger.enrol([key(n)], NOW)).sid for n in range(6)]
    kinds = [ConsentEventType.GIVEN] * 5 + [ConsentEventType.REFUSED]
    given: list[tuple[datetime, datetime | None]] = [
        (NOW - 10 * DAY, NOW + 5 * DAY),  # by its own end
        (NOW - 90 * DAY, None),  # by its age
        (NOW - 90 * DAY, NOW + 5 * DAY),  # by both, once
        (NOW - 10 * DAY, NOW + 50 * DAY),
        (NOW - 10 * DAY, None),
        (NOW - 90 * DAY, NOW + 5 * DAY),
    ]
    for n, (sid, kind, (at, until)) in enumerate(zip(sids, kinds, given, strict=True)):
        event = consent_event(sid, kind, at, at)
        event = replace(event, record_id=f"e{n}", purpose="marketing", valid_until=until)
        await ledger.record_consent(event, "", "")
    window, aged = (NOW, NOW + 10 * DAY), (NOW - 100 * DAY, NOW - 80 * DAY)
    found = await ledger.consents_ending("marketing", window, aged, ("", 10))
    assert found == sorted(sids[:3])
    pages, after = list[str](), ""
    while part := await ledger.consents_ending("marketing", window, aged, (after, 1)):
        pages += part
        after = part[-1]
    assert pages == found
    assert await ledger.consents_ending("marketing", window, None, ("", 10)) == sorted([sids[0], sids[2]])
    assert await ledger.consents_ending("after_sales", window, aged, ("", 10)) == []
    edge = (NOW - 100 * DAY, NOW - 90 * DAY)
    assert sids[1] in await ledger.consents_ending("marketing", window, edge, ("", 10))


async def test_a_closed_ledger_fails_as_its_port_says(ledger: SQLLedger) -> None:
    await ledger.close()
    for call in (
        ledger.outbox.asking(NOW, 1),
        ledger.outbox.asked(["x"]),
        ledger.outbox.reply("x"),
        ledger.outbox.mark_reply("x", ReplyOutcome.NONE, "p", NOW),
        ledger.consents_ending("marketing", (NOW, NOW), None, ("", 1)),
    ):
        with pytest.raises(LedgerError):
            await call
