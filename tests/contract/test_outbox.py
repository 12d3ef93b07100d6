"""What every outbox must do (`ports.messaging.Outbox`): nothing goes out twice, late, or uncounted."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from fujie.adapters.ledger import SQLLedger, campaigns
from fujie.adapters.ledger.database import Query
from fujie.adapters.ledger.outbox_tables import message as table
from fujie.model.campaign import CampaignState, Lease, Tally
from fujie.model.consent import ConsentEventType
from fujie.model.errors import LedgerError, RequestError
from fujie.model.message import Claimed, MessageState, Settled
from fujie.model.page import Slice
from fujie.model.principal import Principal
from fujie.model.processor import Processor
from fujie.model.suppression import Confirmation, SuppressionScope
from fujie.model.vocabulary import State
from fujie.ports.messaging import Heard, Incoming, KeptReply
from fujie.ports.providers import Receipt
from support.identities import IDENTIFIERS, because, consent_event, opt_out
from support.outboxes import (
    NOW,
    campaign,
    claim,
    key,
    leased,
    marker,
    phone,
    planned,
    running,
)

PLANNED, CLAIMED, SUBMITTED = MessageState.PLANNED, MessageState.CLAIMED, MessageState.SUBMITTED
DELIVERED, FAILED, UNKNOWN = MessageState.DELIVERED, MessageState.FAILED, MessageState.UNKNOWN
REFUSED, CANCELLED = MessageState.REFUSED, MessageState.CANCELLED
LATER = NOW + timedelta(seconds=31)
SCOPE = SuppressionScope("marketing", "sms")


async def customer(ledger: SQLLedger, n: int) -> str:
    return (await ledger.enrol([key(n), phone(n)], NOW)).sid


async def customers(ledger: SQLLedger, count: int) -> list[str]:
    recalled = await ledger.outbox.recall_many([(key(n), phone(n)) for n in range(count)], "marketing", NOW)
    return [each.identity.sid for each in recalled.customers]


async def claimed(ledger: SQLLedger, lease: Lease, link: bytes = b"") -> Claimed:
    """Claim all of a lease, the n-th of it for the n-th number."""
    sids = await customers(ledger, len(lease.intents) + 5)
    claims = [
        claim(intent.intent_id, phone(sids.index(intent.sid)), intent.sid, link=link)
        for intent in lease.intents
    ]
    return await ledger.outbox.claim(lease, claims, await marker(ledger), "marketer", NOW)


async def state(ledger: SQLLedger, message_id: str) -> MessageState:
    found = await ledger.outbox.message(message_id)
    assert found is not None
    return found.state


async def tally(ledger: SQLLedger, campaign_id: str) -> dict[MessageState, int]:
    found = await ledger.outbox.campaign(campaign_id)
    assert found is not None
    return dict(found.tally.states)


async def one_claimed(ledger: SQLLedger, link: bytes = b"") -> str:
    """Return the id of the only message of a campaign, claimed by `w0`."""
    await running(ledger, [await customer(ledger, 0)])
    done = await claimed(ledger, await leased(ledger), link)
    [intent_id] = done.claimed
    return intent_id


# Campaigns.


async def test_a_campaign_is_told_as_it_was_drafted_by_every_process(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    draft = campaign()
    assert await ledgers[0].outbox.create_campaign(draft, "r1", "d1") == draft
    assert await ledgers[1].outbox.campaign(draft.id) == draft
    assert await ledgers[1].outbox.campaign("none") is None


async def test_a_repeated_draft_is_one_campaign_and_another_of_its_request_id_is_refused(
    ledger: SQLLedger,
) -> None:
    first, second = campaign(), campaign()
    await ledger.outbox.create_campaign(first, "r1", "d1")
    assert await ledger.outbox.create_campaign(second, "r1", "d1") == first
    assert await ledger.outbox.campaign(second.id) is None
    with pytest.raises(RequestError, match="REQUEST_ID_REUSED"):
        await ledger.outbox.create_campaign(second, "r1", "d2")
    other = campaign("another")
    assert await ledger.outbox.create_campaign(other, "r1", "d2") == other


async def test_a_campaign_only_moves_where_it_may(ledger: SQLLedger) -> None:
    run, stop = CampaignState.RUNNING, CampaignState.PAUSED
    for legal, refused in (
        ([], [stop, CampaignState.DONE, CampaignState.DRAFT]),
        ([run], [CampaignState.DRAFT]),
        ([run, stop], [CampaignState.DONE]),
        ([run, stop, run], []),
        ([CampaignState.CANCELLED], [run, stop, CampaignState.DONE]),
        ([run, CampaignState.DONE], [run, CampaignState.CANCELLED]),
    ):
        draft = await ledger.outbox.create_campaign(campaign(), "", "")
        for to in legal:
            assert (await ledger.outbox.move_campaign(draft.id, to, NOW)).state is to
            assert (await ledger.outbox.move_campaign(draft.id, to, NOW)).state is to
        for to in set(refused) - {draft.state if not legal else None}:
            with pytest.raises(RequestError, match="CAMPAIGN_STATE"):
                await ledger.outbox.move_campaign(draft.id, to, NOW)
    with pytest.raises(RequestError, match="CAMPAIGN_NOT_FOUND"):
        await ledger.outbox.move_campaign("none", run, NOW)


async def test_what_was_approved_stays_with_the_campaign_through_a_pause(ledger: SQLLedger) -> None:
    draft = await ledger.outbox.create_campaign(campaign(), "", "")
    await ledger.outbox.move_campaign(draft.id, CampaignState.RUNNING, NOW, ("g/v",))
    await ledger.outbox.move_campaign(draft.id, CampaignState.PAUSED, NOW)
    again = await ledger.outbox.move_campaign(draft.id, CampaignState.RUNNING, LATER)
    assert (again.approved, again.started_at) == (("g/v",), NOW)


async def test_a_start_is_refused_when_the_number_of_recipients_is_another_than_was_decided_on(
    ledger: SQLLedger,
) -> None:
    draft = await ledger.outbox.create_campaign(campaign(), "", "")
    await ledger.outbox.plan(draft.id, [planned(await customer(ledger, 0))], NOW)
    with pytest.raises(RequestError, match="CAMPAIGN_STATE"):
        await ledger.outbox.move_campaign(draft.id, CampaignState.RUNNING, NOW, recipients=2)
    await ledger.outbox.move_campaign(draft.id, CampaignState.RUNNING, NOW, recipients=1)


async def test_a_customer_is_planned_once_and_only_into_a_draft(ledger: SQLLedger) -> None:
    sids = await customers(ledger, 3)
    draft = await ledger.outbox.create_campaign(campaign(), "", "")
    assert await ledger.outbox.plan(draft.id, [planned(sid) for sid in (*sids, *sids)], NOW) == 3
    assert await ledger.outbox.plan(draft.id, [planned(sid) for sid in sids], NOW) == 0
    assert await ledger.outbox.plan(draft.id, [], NOW) == 0
    await ledger.outbox.move_campaign(draft.id, CampaignState.RUNNING, NOW)
    with pytest.raises(RequestError, match="CAMPAIGN_STATE"):
        await ledger.outbox.plan(draft.id, [planned(await customer(ledger, 3))], NOW)
    with pytest.raises(RequestError, match="CAMPAIGN_NOT_FOUND"):
        await ledger.outbox.plan("none", [planned(sids[0])], NOW)
    assert await tally(ledger, draft.id) == {PLANNED: 3}


async def test_a_cancelled_campaign_keeps_no_recipient_and_sends_nothing_more(
    ledger: SQLLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "MOST_CANCELLED", 3)
    monkeypatch.setattr(campaigns, "_CANCEL", campaigns._cancel(3))
    found = await running(ledger, await customers(ledger, 8))
    lease = await leased(ledger, most=2)
    done = await claimed(ledger, replace(lease, intents=lease.intents[:1]))
    assert len(done.claimed) == 1
    over = await ledger.outbox.move_campaign(found.id, CampaignState.CANCELLED, LATER)
    assert (over.state, over.ended_at) == (CampaignState.CANCELLED, LATER)
    assert dict(over.tally.states) == {CANCELLED: 7, CLAIMED: 1}
    assert (await claimed(ledger, lease)) == Claimed()
    assert await ledger.outbox.lease("w1", LATER, 30, 10) is None
    # what comes back is not planned again
    await ledger.outbox.settle("w0", [Settled(next(iter(done.claimed)), PLANNED)], LATER)
    assert await tally(ledger, found.id) == {CANCELLED: 8}


async def test_a_cancellation_whose_process_died_is_brought_to_its_end(ledger: SQLLedger) -> None:
    found = await running(ledger, await customers(ledger, 3))
    await ledger.database.write(
        lambda connection: campaigns.change_state(
            connection, replace(found, state=CampaignState.CANCELLED, ended_at=NOW)
        )
    )
    await ledger.outbox.sweep(NOW, 60)
    assert await tally(ledger, found.id) == {CANCELLED: 3}


# Leases.


async def test_nobody_else_gets_what_is_leased_until_the_lease_ends(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    here, there = ledgers
    found = await running(here, await customers(here, 5))
    first = await leased(here, "w0", 3)
    assert (first.campaign, first.until) == (found, NOW + timedelta(seconds=30))
    second = await leased(there, "w1", 3)
    ids = [intent.intent_id for lease in (first, second) for intent in lease.intents]
    assert (len(ids), len(set(ids))) == (5, 5)
    assert await there.outbox.lease("w2", NOW, 30, 3) is None
    again = await there.outbox.lease("w2", NOW + timedelta(seconds=30), 30, 10)
    assert again is not None
    assert {intent.intent_id for intent in again.intents} == set(ids)


async def test_an_intent_is_given_out_with_its_seal_and_the_key_of_its_customer(ledger: SQLLedger) -> None:
    sid = await customer(ledger, 0)
    await running(ledger, [sid])
    [intent] = (await leased(ledger)).intents
    assert intent.sealed == b"sealed:" + intent.intent_id.encode()
    assert (intent.sid, intent.wrapped_key, intent.attempts) == (sid, b"wrapped:" + sid.encode(), 0)


async def test_many_who_lease_at_once_never_get_the_same(ledgers: tuple[SQLLedger, SQLLedger]) -> None:
    await running(ledgers[0], await customers(ledgers[0], 40))
    leases = await asyncio.gather(
        *(ledgers[n % 2].outbox.lease(f"w{n}", NOW, 30, 5) for n in range(8)),
    )
    ids = [intent.intent_id for lease in leases if lease for intent in lease.intents]
    assert (len(ids), len(set(ids))) == (40, 40)


async def test_campaigns_take_turns(ledger: SQLLedger) -> None:
    sids = await customers(ledger, 4)
    wanted = {(await running(ledger, sids)).id for _ in range(3)}
    for minute in range(4):
        now, turn = NOW + timedelta(minutes=minute), set[str]()
        for n in range(3):
            lease = await ledger.outbox.lease("w0", now + timedelta(seconds=n), 3600, 1)
            assert lease is not None
            assert lease.campaign is not None
            turn.add(lease.campaign.id)
        assert turn == wanted


async def test_what_runs_no_more_is_not_leased_and_what_is_empty_is_done(ledger: SQLLedger) -> None:
    sids = await customers(ledger, 2)
    paused = await running(ledger, sids)
    await ledger.outbox.move_campaign(paused.id, CampaignState.PAUSED, NOW)
    empty = await ledger.outbox.create_campaign(campaign(), "", "")
    await ledger.outbox.move_campaign(empty.id, CampaignState.RUNNING, NOW)
    assert await ledger.outbox.lease("w0", NOW, 30, 10) is None
    ended = await ledger.outbox.campaign(empty.id)
    assert ended is not None
    assert (ended.state, ended.ended_at) == (CampaignState.DONE, NOW)
    await ledger.outbox.move_campaign(paused.id, CampaignState.RUNNING, NOW)
    assert len((await leased(ledger)).intents) == 2


async def test_a_campaign_is_done_when_nothing_of_it_may_still_go_out(ledger: SQLLedger) -> None:
    found = await running(ledger, await customers(ledger, 2))
    lease = await leased(ledger)
    one, other = (intent.intent_id for intent in lease.intents)
    await claimed(ledger, replace(lease, intents=lease.intents[:1]))
    await ledger.outbox.settle("w0", [Settled(other, REFUSED, "CONSENT_MISSING")], NOW)
    assert await ledger.outbox.lease("w1", LATER, 30, 10) is None
    assert (await ledger.outbox.campaign(found.id)) == replace(
        found,
        tally=Tally({CLAIMED: 1, REFUSED: 1}, {"CONSENT_MISSING": 1}),
    )
    with pytest.raises(RequestError, match="CAMPAIGN_STATE"):
        await ledger.outbox.move_campaign(found.id, CampaignState.DONE, NOW)
    await ledger.outbox.settle("w0", [Settled(one, UNKNOWN, "TIMEOUT")], NOW)
    assert await ledger.outbox.lease("w1", LATER, 30, 10) is None
    done = await ledger.outbox.campaign(found.id)
    assert done is not None
    assert done.state is CampaignState.DONE
    await ledger.outbox.receive(Receipt("outbox", FAILED, intent_id=one, code="30003"), LATER)
    done = await ledger.outbox.campaign(found.id)
    assert done is not None
    assert dict(done.tally.reasons) == {"CONSENT_MISSING": 1, "30003": 1}


# Claims.


async def test_a_claim_is_durable_for_every_process_and_keeps_no_number(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    here, there = ledgers
    found = await running(here, await customers(here, 3))
    lease = await leased(here)
    done = await claimed(here, lease)
    assert done == Claimed(frozenset(intent.intent_id for intent in lease.intents))
    for intent in lease.intents:
        message = await there.outbox.message(intent.intent_id)
        assert message is not None
        assert (message.state, message.provider, message.segments) == (CLAIMED, "outbox", 1)
        assert message.campaign_id == found.id
    assert await tally(there, found.id) == {CLAIMED: 3}


async def test_a_lease_that_ended_or_was_taken_over_claims_nothing(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    here, there = ledgers
    await running(here, await customers(here, 3))
    old = await leased(here, "w0")
    claims = [claim(intent.intent_id, phone(n), intent.sid) for n, intent in enumerate(old.intents)]
    at = await marker(here)
    assert await here.outbox.claim(old, claims, at, "marketer", old.until) == Claimed()
    new = await there.outbox.lease("w0", old.until, 30, 10)  # by another of the same name even
    assert new is not None
    assert await here.outbox.claim(old, claims, at, "marketer", NOW) == Claimed()
    assert len((await there.outbox.claim(new, claims, at, "marketer", old.until)).claimed) == 3
    assert await there.outbox.claim(new, claims, at, "marketer", old.until) == Claimed()


async def test_a_paused_campaign_claims_nothing(ledger: SQLLedger) -> None:
    found = await running(ledger, await customers(ledger, 1))
    lease = await leased(ledger)
    await ledger.outbox.move_campaign(found.id, CampaignState.PAUSED, NOW)
    assert await claimed(ledger, lease) == Claimed()
    await ledger.outbox.move_campaign(found.id, CampaignState.RUNNING, NOW)
    assert len((await claimed(ledger, lease)).claimed) == 1


async def test_a_number_gets_a_campaign_once_whoever_has_it(ledger: SQLLedger) -> None:
    sids = await customers(ledger, 3)
    await running(ledger, sids)
    lease = await leased(ledger)
    claims = [claim(intent.intent_id, phone(7), intent.sid) for intent in lease.intents]
    at = await marker(ledger)
    first = await ledger.outbox.claim(lease, claims[:2], at, "marketer", NOW)
    assert (len(first.claimed), len(first.repeated)) == (1, 1)
    second = await ledger.outbox.claim(lease, claims[2:], await marker(ledger), "marketer", NOW)
    assert second == Claimed(repeated=frozenset({claims[2].intent_id}))
    # until it certainly did not go out
    await ledger.outbox.settle("w0", [Settled(next(iter(first.claimed)), PLANNED)], NOW)
    third = await ledger.outbox.claim(lease, claims[2:], await marker(ledger), "marketer", NOW)
    assert third == Claimed(frozenset({claims[2].intent_id}))


async def test_two_claims_at_once_that_reach_one_person_are_one(ledger: SQLLedger) -> None:
    """Else a cap of one message a day lets two through."""
    sids = await customers(ledger, 2)
    for _ in range(2):
        await running(ledger, sids[:1])
    leases = [await leased(ledger, f"w{n}") for n in range(2)]
    at = await marker(ledger)
    done = []
    for n, lease in enumerate(leases):
        [intent] = lease.intents
        done.append(
            await ledger.outbox.claim(
                lease, [claim(intent.intent_id, phone(n), *sids)], at, "marketer", NOW
            )
        )
    assert (len(done[0].claimed), len(done[1].changed)) == (1, 1)


async def test_two_of_one_person_in_one_claim_are_one(ledger: SQLLedger) -> None:
    """Two customers who became one, with a number each: both were planned, and neither was sent to when it was read."""
    sids = await customers(ledger, 2)
    await running(ledger, sids)
    lease = await leased(ledger)
    claims = [claim(intent.intent_id, phone(n), *sids) for n, intent in enumerate(lease.intents)]
    done = await ledger.outbox.claim(lease, claims, await marker(ledger), "marketer", NOW)
    assert done == Claimed(frozenset({claims[0].intent_id}), frozenset({claims[1].intent_id}))


Change = Callable[[SQLLedger, list[str]], Awaitable[object]]


async def added(ledger: SQLLedger, sids: list[str]) -> None:
    await ledger.add_suppression(opt_out(sids[0], NOW, SCOPE), "", "")


async def lifted(ledger: SQLLedger, sids: list[str]) -> None:
    [given] = await ledger.suppressions([sids[3]])
    by = Confirmation("signed_letter", "letter", NOW + timedelta(hours=1))
    await ledger.lift_suppression(replace(given, lifted=by, lifted_at=LATER, lifted_by="desk"), "")


async def withdrawn(ledger: SQLLedger, sids: list[str]) -> None:
    await ledger.record_consent(consent_event(sids[0], ConsentEventType.WITHDRAWN, NOW, NOW), "", "")


async def got_a_number(ledger: SQLLedger, _sids: list[str]) -> None:
    await ledger.enrol([key(0), phone(90)], NOW)


async def is_shared(ledger: SQLLedger, _sids: list[str]) -> None:
    await ledger.enrol([key(91), phone(0)], NOW)


async def another_number_is_shared(ledger: SQLLedger, _sids: list[str]) -> None:
    await ledger.enrol([key(92), phone(50)], NOW)


async def number_spoke(ledger: SQLLedger, _sids: list[str]) -> None:
    await ledger.number(phone(50), NOW)


async def merged(ledger: SQLLedger, _sids: list[str]) -> None:
    await ledger.merge(key(0), key(1), because(NOW))


async def merged_away(ledger: SQLLedger, _sids: list[str]) -> None:
    await ledger.merge(key(1), key(0), because(NOW))


async def split(ledger: SQLLedger, _sids: list[str]) -> None:
    await ledger.split([key(0)], because(NOW))


async def offboarded(ledger: SQLLedger, _sids: list[str]) -> None:
    await ledger.directory.offboard("marketer", NOW)


async def lost_a_role(ledger: SQLLedger, _sids: list[str]) -> None:
    await ledger.directory.upsert(Principal("marketer", State.EMPLOYEE), NOW)


async def agreement_ended(ledger: SQLLedger, _sids: list[str]) -> None:
    ended = Processor("carrier", "Carrier", "contract-7", date(2020, 1, 1), date(2020, 2, 1))
    await ledger.processors.upsert_processor(ended, NOW)


@pytest.mark.parametrize(
    "change",
    [
        added, lifted, withdrawn, got_a_number, is_shared, another_number_is_shared, number_spoke, merged,
        merged_away, split, offboarded, lost_a_role, agreement_ended,
    ],
    ids=lambda change: change.__name__,
)  # fmt: skip
async def test_whatever_is_written_of_a_person_the_requester_or_a_processor_stops_the_claim(
    ledgers: tuple[SQLLedger, SQLLedger], change: Change
) -> None:
    here, there = ledgers
    await there.directory.upsert(Principal("marketer", State.EMPLOYEE, frozenset({"marketing"})), NOW)
    sids = await customers(here, 5)
    await here.enrol([key(0), phone(50)], NOW)  # a second number, which the message does not go to
    await here.add_suppression(opt_out(sids[3], NOW, SCOPE), "", "")
    await running(here, [sids[0], sids[4]])
    lease = await leased(here)
    mine = {intent.sid: intent.intent_id for intent in lease.intents}
    # sid 3 was merged into 0 earlier, say: it counts for the person
    claims = [
        claim(mine[sids[0]], phone(0), sids[0], sids[3]),
        claim(mine[sids[4]], phone(4), sids[4]),
    ]
    at = await marker(here)
    await change(there, sids)
    done = await here.outbox.claim(lease, claims, at, "marketer", NOW)
    everybody = change in (offboarded, lost_a_role, agreement_ended)
    stranger = frozenset({mine[sids[4]]})
    assert done.claimed == (frozenset() if everybody else stranger)
    assert done.changed == (frozenset({mine[sids[0]]}) | (stranger if everybody else frozenset()))
    # what was written stays: with what is read now, the same may be claimed
    again = await here.outbox.claim(lease, claims[:1], await marker(here), "marketer", NOW)
    assert len(again.claimed) == (0 if change is offboarded else 1)


async def test_when_too_much_was_written_everybody_counts_as_changed(
    ledger: SQLLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fujie.adapters.ledger import claims as module

    await running(ledger, await customers(ledger, 1))
    lease = await leased(ledger)
    at = await marker(ledger)
    await customers(ledger, 9)
    claims = [claim(intent.intent_id, phone(0), intent.sid) for intent in lease.intents]
    monkeypatch.setattr(module, "MOST_CHANGED", 15)
    assert len((await ledger.outbox.claim(lease, claims, at, "marketer", NOW)).changed) == 1
    monkeypatch.setattr(module, "MOST_CHANGED", 16)
    assert len((await ledger.outbox.claim(lease, claims, at, "marketer", NOW)).claimed) == 1


async def test_a_full_chunk_is_claimed_and_settled_whole(ledger: SQLLedger) -> None:
    found = await running(ledger, await customers(ledger, 500))
    lease = await leased(ledger)
    done = await claimed(ledger, lease)
    assert len(done.claimed) == 500
    settled = [Settled(each, SUBMITTED, provider_message_id=f"m-{each}") for each in done.claimed]
    await ledger.outbox.settle("w0", settled, NOW)
    assert await tally(ledger, found.id) == {SUBMITTED: 500}


# Outcomes.


@pytest.mark.parametrize("end", [SUBMITTED, FAILED, UNKNOWN])
async def test_only_who_claimed_it_settles_a_message(ledger: SQLLedger, end: MessageState) -> None:
    intent_id = await one_claimed(ledger)
    await ledger.outbox.settle("w1", [Settled(intent_id, end)], NOW)
    assert await state(ledger, intent_id) is CLAIMED
    for wrong in (REFUSED, DELIVERED, CANCELLED, CLAIMED):
        await ledger.outbox.settle("w0", [Settled(intent_id, wrong)], NOW)
        assert await state(ledger, intent_id) is CLAIMED
    await ledger.outbox.settle("w0", [Settled(intent_id, end, "E:1", "p-1")], LATER)
    message = await ledger.outbox.message(intent_id)
    assert message is not None
    assert (message.state, message.reason, message.provider_message_id) == (end, "E:1", "p-1")
    assert message.changed_at == LATER
    await ledger.outbox.settle("w0", [Settled(intent_id, PLANNED)], NOW)
    assert await state(ledger, intent_id) is end


async def test_what_was_certainly_not_taken_is_tried_again_when_it_is_due(ledger: SQLLedger) -> None:
    intent_id = await one_claimed(ledger)
    back = Settled(intent_id, PLANNED, not_before=NOW + timedelta(minutes=5), is_attempt=True)
    await ledger.outbox.settle("w0", [back], NOW)
    assert await ledger.outbox.lease("w0", NOW + timedelta(minutes=4), 30, 10) is None
    lease = await ledger.outbox.lease("w1", NOW + timedelta(minutes=5), 30, 10)
    assert lease is not None
    assert [intent.attempts for intent in lease.intents] == [1]


async def test_under_the_same_lease_it_may_be_claimed_again_for_another_provider(ledger: SQLLedger) -> None:
    sid = await customer(ledger, 0)
    await running(ledger, [sid])
    lease = await leased(ledger)
    [intent] = lease.intents
    for provider in ("first", "second"):
        wanted = claim(intent.intent_id, phone(0), sid, provider=provider)
        done = await ledger.outbox.claim(lease, [wanted], await marker(ledger), "marketer", NOW)
        assert len(done.claimed) == 1
        assert await ledger.outbox.lease("w1", NOW, 30, 10) is None
        await ledger.outbox.settle("w0", [Settled(intent.intent_id, PLANNED, is_attempt=True)], NOW)
    assert await ledger.outbox.lease("w1", lease.until, 30, 10) is not None


async def test_what_is_given_back_unclaimed_is_due_at_once(ledger: SQLLedger) -> None:
    await running(ledger, [await customer(ledger, 0)])
    [intent] = (await leased(ledger)).intents
    await ledger.outbox.settle("w0", [Settled(intent.intent_id, PLANNED)], NOW)
    assert await ledger.outbox.lease("w1", NOW, 30, 10) is not None


async def test_nobody_keeps_the_recipient_of_what_is_over_but_for_the_page_of_a_link(
    ledger: SQLLedger,
) -> None:
    rows = ledger.database
    link = hashlib.sha256(b"token").digest()
    for n, (digest, ends, is_kept) in enumerate(
        [
            (b"", [SUBMITTED], True),
            (b"", [UNKNOWN], True),
            (b"", [FAILED], False),
            (b"", [SUBMITTED, DELIVERED], False),
            (link, [SUBMITTED, DELIVERED], True),
        ]
    ):
        sid = await customer(ledger, n)
        await running(ledger, [sid])
        lease = await leased(ledger)
        [intent] = lease.intents
        wanted = [claim(intent.intent_id, phone(n), sid, link=digest)]
        await ledger.outbox.claim(lease, wanted, await marker(ledger), "marketer", NOW)
        await ledger.outbox.settle("w0", [Settled(intent.intent_id, ends[0])], NOW)
        if ends[1:]:
            receipt = Receipt("outbox", ends[1], intent_id=intent.intent_id)
            assert await ledger.outbox.receive(receipt, NOW) is Incoming.TAKEN
        found = await rows.rows(SEALED, {"intent_id": intent.intent_id})
        assert found == [intent.sealed if is_kept else None]
    page = await ledger.outbox.link(link)
    assert page is not None
    assert (page.purpose, page.signature, page.claimed_at) == ("marketing", "符节", NOW)
    assert (page.sid, page.sealed) == (sid, intent.sealed)
    assert page.wrapped_key == b"wrapped:" + sid.encode()
    assert await ledger.outbox.link(b"\0" * 32) is None


SEALED = Query(
    sa.select(table.c.sealed).where(table.c.intent_id == sa.bindparam("intent_id")),
    lambda row: row[0],
)


async def test_what_a_dead_process_claimed_is_unknown_and_never_planned_again(ledger: SQLLedger) -> None:
    intent_id = await one_claimed(ledger)
    assert await ledger.outbox.sweep(NOW + timedelta(seconds=60), 60) == 0
    assert await ledger.outbox.sweep(NOW + timedelta(seconds=61), 60) == 1
    assert await ledger.outbox.sweep(NOW + timedelta(seconds=61), 60) == 0
    assert await state(ledger, intent_id) is UNKNOWN
    await ledger.outbox.settle("w0", [Settled(intent_id, PLANNED)], NOW)
    assert await state(ledger, intent_id) is UNKNOWN
    await ledger.outbox.settle("w0", [Settled(intent_id, SUBMITTED, "", "p-9")], NOW)  # it was only late
    assert await state(ledger, intent_id) is SUBMITTED


async def test_what_was_to_be_sent_alone_and_never_was_is_given_up(ledger: SQLLedger) -> None:
    wanted = planned(await customer(ledger, 0))
    message, lease = await ledger.outbox.begin(wanted, "w0", NOW, 30, ("r1", "d1"))
    assert lease is not None
    assert (lease.campaign, message.state, message.campaign_id) == (None, PLANNED, "")
    assert await ledger.outbox.lease("w1", LATER, 30, 10) is None
    assert await ledger.outbox.sweep(NOW + timedelta(seconds=29), 60) == 0
    assert await ledger.outbox.sweep(LATER, 60) == 1
    given_up = await ledger.outbox.message(message.id)
    assert given_up is not None
    assert (given_up.state, given_up.reason) == (FAILED, "ABANDONED")


async def test_a_message_alone_is_begun_once_and_fails_over_under_its_lease(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    here, there = ledgers
    sid = await customer(here, 0)
    wanted = planned(sid)
    assert await here.outbox.first("marketer", "r1", "d1") is None
    begun = await asyncio.gather(
        *(
            each.outbox.begin(replace(wanted, intent_id=IDENTIFIERS.new_id()), "w0", NOW, 30, ("r1", "d1"))
            for each in (here, there, here, there)
        )
    )
    [lease] = [lease for _, lease in begun if lease]
    assert len({message.id for message, _ in begun}) == 1
    message = begun[0][0]
    assert await there.outbox.first("marketer", "r1", "d1") == message
    for call in (
        there.outbox.first("marketer", "r1", "d2"),
        there.outbox.begin(planned(sid), "w0", NOW, 30, ("r1", "d2")),
    ):
        with pytest.raises(RequestError, match="REQUEST_ID_REUSED"):
            await call
    for _ in range(2):
        wire = [claim(message.id, phone(0), sid)]
        assert len((await here.outbox.claim(lease, wire, await marker(here), "marketer", NOW)).claimed) == 1
        later = NOW + timedelta(seconds=5)
        back = Settled(message.id, PLANNED, not_before=later, is_attempt=True)
        await here.outbox.settle("w0", [back], NOW)
    _, second = await here.outbox.begin(replace(planned(sid)), "w0", NOW, 30, ("", ""))
    assert second is not None, "without a request id nothing is a repeat"


async def test_receipts_lead_forward_only_and_count_once(ledger: SQLLedger) -> None:
    intent_id = await one_claimed(ledger)
    await ledger.outbox.settle("w0", [Settled(intent_id, SUBMITTED, "", "biz-1")], NOW)
    told = Receipt("outbox", DELIVERED, "biz-1", phone(0))
    for wrong in (
        replace(told, provider="another"),
        replace(told, provider_message_id="biz-2"),
        replace(told, phone=phone(1)),
        replace(told, provider_message_id=""),
        replace(told, provider_message_id="", intent_id="none"),
        replace(told, provider="another", intent_id=intent_id),
    ):
        assert await ledger.outbox.receive(wrong, NOW) is Incoming.UNKNOWN
    assert await ledger.outbox.receive(replace(told, state=SUBMITTED), NOW) is Incoming.REPEATED
    assert await ledger.outbox.receive(replace(told, phone=None), NOW) is Incoming.TAKEN
    for late in (told, replace(told, state=FAILED), replace(told, state=SUBMITTED, intent_id=intent_id)):
        assert await ledger.outbox.receive(late, NOW) is Incoming.REPEATED
    assert await state(ledger, intent_id) is DELIVERED


async def test_one_id_for_several_numbers_is_told_apart_by_the_number(ledger: SQLLedger) -> None:
    found = await running(ledger, await customers(ledger, 3))
    done = await claimed(ledger, await leased(ledger))
    await ledger.outbox.settle(
        "w0", [Settled(each, SUBMITTED, provider_message_id="biz") for each in done.claimed], NOW
    )
    assert await ledger.outbox.receive(Receipt("outbox", FAILED, "biz"), NOW) is Incoming.UNKNOWN
    for n in range(3):
        receipt = Receipt("outbox", DELIVERED if n else FAILED, "biz", phone(n), code="X")
        assert await ledger.outbox.receive(receipt, NOW) is Incoming.TAKEN
    assert await tally(ledger, found.id) == {DELIVERED: 2, FAILED: 1}


@pytest.mark.parametrize("has_answer", [True, False])
async def test_a_campaign_and_a_number_tell_the_message_though_no_answer_was_written_down(
    ledger: SQLLedger, *, has_answer: bool
) -> None:
    found = await running(ledger, await customers(ledger, 2))
    done = await claimed(ledger, await leased(ledger))
    if has_answer:
        ends = [Settled(each, UNKNOWN, "TIMEOUT", f"c-{found.id}") for each in done.claimed]
        await ledger.outbox.settle("w0", ends, NOW)
    told = Receipt("outbox", DELIVERED, f"c-{found.id}", phone(0), campaign_id=found.id)
    for wrong in (
        replace(told, phone=None, provider_message_id=""),
        replace(told, phone=phone(7)),
        replace(told, campaign_id="another", provider_message_id=""),
        replace(told, provider="another"),
    ):
        assert await ledger.outbox.receive(wrong, NOW) is Incoming.UNKNOWN
    assert await ledger.outbox.receive(told, NOW) is Incoming.TAKEN
    assert await ledger.outbox.receive(told, NOW) is Incoming.REPEATED
    assert await tally(ledger, found.id) == {DELIVERED: 1, UNKNOWN if has_answer else CLAIMED: 1}


async def test_a_receipt_of_what_was_never_sent_is_of_no_message(ledger: SQLLedger) -> None:
    await running(ledger, [await customer(ledger, 0)])
    [intent] = (await leased(ledger)).intents
    for provider in ("", "outbox"):
        receipt = Receipt(provider, DELIVERED, intent_id=intent.intent_id)
        assert await ledger.outbox.receive(receipt, NOW) is Incoming.UNKNOWN
    assert await state(ledger, intent.intent_id) is PLANNED


async def test_a_late_answer_brings_the_id_by_which_the_next_receipt_finds_the_message(
    ledger: SQLLedger,
) -> None:
    intent_id = await one_claimed(ledger)
    await ledger.outbox.settle("w0", [Settled(intent_id, UNKNOWN, "TIMEOUT")], NOW)
    answer = Receipt("outbox", SUBMITTED, "late-1", intent_id=intent_id)
    assert await ledger.outbox.receive(answer, NOW) is Incoming.TAKEN
    assert await ledger.outbox.receive(Receipt("outbox", DELIVERED, "late-1"), NOW) is Incoming.TAKEN
    assert await state(ledger, intent_id) is DELIVERED


async def test_what_is_unknown_is_asked_for_in_turn_and_not_again_at_once(
    ledgers: tuple[SQLLedger, SQLLedger],
) -> None:
    here, there = ledgers
    await running(here, await customers(here, 3))
    lease = await leased(here)
    done = await claimed(here, lease)
    await here.outbox.settle(
        "w0", [Settled(each, UNKNOWN, "TIMEOUT", f"p-{each}") for each in done.claimed], NOW
    )
    at = NOW + timedelta(seconds=90)
    assert await here.outbox.unresolved("outbox", NOW, 10) == ()
    assert await here.outbox.unresolved("another", at, 10) == ()
    asked = [
        *await here.outbox.unresolved("outbox", at, 2),
        *await there.outbox.unresolved("outbox", at, 2),
    ]
    assert {each.intent_id for each in asked} == done.claimed
    assert len(asked) == 3
    for each in asked:
        assert each.provider_message_id == f"p-{each.intent_id}"
        assert each.wrapped_key == b"wrapped:" + each.sid.encode()
        assert (each.sealed, each.claimed_at) == (b"sealed:" + each.intent_id.encode(), NOW)
    assert await here.outbox.unresolved("outbox", at + timedelta(seconds=59), 10) == ()
    await here.outbox.settle("w0", [Settled(asked[0].intent_id, FAILED)], NOW)
    again = await there.outbox.unresolved("outbox", at + timedelta(seconds=60), 10)
    assert {each.intent_id for each in again} == done.claimed - {asked[0].intent_id}


async def test_who_waits_for_what_is_claimed_finds_it_by_customer_number_and_requester(
    ledger: SQLLedger,
) -> None:
    await running(ledger, await customers(ledger, 2))
    lease = await leased(ledger)
    done = await claimed(ledger, lease)
    sid = await customer(ledger, 0)
    first = next(intent for intent in lease.intents if intent.sid == sid)
    one = frozenset({first.intent_id})
    outbox = ledger.outbox
    assert await outbox.claimed_of([], []) == frozenset()
    assert await outbox.claimed_of([first.sid, "sid_none"], []) == one
    assert await outbox.claimed_of([], [phone(0), phone(8)]) == one
    assert await outbox.claimed_of([], [], "marketer") == done.claimed
    assert await outbox.claimed_of([], [], "another") == frozenset()
    assert await outbox.still_claimed(one)
    await outbox.settle("w0", [Settled(first.intent_id, SUBMITTED)], NOW)
    assert not await outbox.still_claimed(one)
    assert await outbox.still_claimed(done.claimed)
    assert not await outbox.still_claimed(frozenset())
    assert await outbox.claimed_of([first.sid], [phone(0)]) == frozenset()


async def test_who_refuses_by_a_number_waits_for_everybody_who_has_or_had_it(ledger: SQLLedger) -> None:
    """What is closed by a number closes for more than share it now: thousands may have had a placeholder."""
    shared, own = phone(900), phone(901)
    for n in range(52):
        identity = await ledger.enrol([key(n), shared], NOW)
    await ledger.enrol(
        [key(51), own], NOW
    )  # one who was too many to be linked, and has another number by now
    await running(ledger, [identity.sid])
    lease = await leased(ledger)
    number = await ledger.number(shared, NOW)
    [known] = (await ledger.outbox.recall_many([(key(51), own)], "marketing", NOW)).customers
    assert number.sid in known.identity.sids  # so that it counts
    going = claim(lease.intents[0].intent_id, own, *known.identity.sids)
    done = await ledger.outbox.claim(lease, [going], await marker(ledger), "marketer", NOW)
    assert len(done.claimed) == 1
    assert await ledger.outbox.claimed_of(number.sids, []) == done.claimed
    assert await ledger.outbox.claimed_of([await customer(ledger, 100)], []) == frozenset()


# Replies.


async def test_a_reply_is_kept_once_and_listed_in_order_of_arrival(ledger: SQLLedger) -> None:
    sid = await customer(ledger, 0)
    kept = [KeptReply(f"r{n}", "outbox", sid, b"sealed", NOW + timedelta(seconds=-n)) for n in range(5)]
    for reply in kept:
        assert await ledger.outbox.keep_reply(reply)
        assert not await ledger.outbox.keep_reply(reply)
    assert await ledger.outbox.keep_reply(replace(kept[0], provider="another"))
    seen = replace(kept[0], reply_id="seen", reviewed_at=LATER, reviewed_by="desk")
    await ledger.outbox.keep_reply(seen)
    first = await ledger.outbox.replies(Slice(size=4))
    rest = await ledger.outbox.replies(Slice(first.next, 4))
    assert [*first.rows, *rest.rows] == [*kept, replace(kept[0], provider="another")]
    assert (await ledger.outbox.replies(Slice(), with_reviewed=True)).rows[-1] == seen
    with pytest.raises(RequestError, match="PAGE_TOKEN_INVALID"):
        await ledger.outbox.replies(Slice("x"))


async def test_what_was_heard_is_kept_with_an_outcome_or_alone_until_it_is_forgotten(
    ledger: SQLLedger,
) -> None:
    outbox = ledger.outbox
    await running(ledger, await customers(ledger, 2))
    lease = await leased(ledger)
    await claimed(ledger, lease)
    first, second = (each.intent_id for each in lease.intents)
    beside, alone = Heard("h1", "outbox", b"\0a", NOW), Heard("h2", "outbox", b"\0b", LATER)
    await outbox.settle(lease.holder, [Settled(first, FAILED, "BLACK")], NOW, beside)
    await outbox.keep_heard(alone)
    assert list(await outbox.heard(LATER, 9)) == [beside]
    assert list(await outbox.heard(LATER + timedelta(seconds=1), 9)) == [beside, alone]
    assert len(await outbox.heard(LATER + timedelta(seconds=1), 1)) == 1
    with pytest.raises(LedgerError):  # both or none: its id is taken
        await outbox.settle(lease.holder, [Settled(second, FAILED, "BLACK")], NOW, beside)
    assert await outbox.still_claimed(frozenset({second}))
    for each in (beside, alone, alone):
        await outbox.forget_heard(each.heard_id)
    assert list(await outbox.heard(LATER + timedelta(seconds=1), 9)) == []


async def test_a_closed_ledger_fails_every_method_as_its_port_says(ledger: SQLLedger) -> None:
    outbox = ledger.outbox
    await running(ledger, await customers(ledger, 1))
    lease = await leased(ledger)
    await ledger.close()
    for call in (
        outbox.recall_many([(key(0),)], "marketing", NOW),
        outbox.enrol_many([key(9)], NOW),
        outbox.lease("w0", NOW, 30, 1),
        outbox.claim(lease, [claim(lease.intents[0].intent_id, phone(0))], 1, "marketer", NOW),
        outbox.settle("w0", [Settled(lease.intents[0].intent_id, REFUSED)], NOW),
        outbox.sweep(NOW, 60),
        outbox.message("none"),
        outbox.receive(Receipt("outbox", DELIVERED, "p"), NOW),
        outbox.claimed_of(["sid"], []),
    ):
        with pytest.raises(LedgerError):
            await call
