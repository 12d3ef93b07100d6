"""Attacks on the customers' own page, without HTTP: whose page a link opens, what holds, and what can be taken back."""

from dataclasses import replace
from datetime import timedelta

import pytest

from fujie.flows.consent import record_consent
from fujie.flows.gate import Gate
from fujie.flows.lookup import lookup
from fujie.flows.page import VALID, Visit, show, stop, visit
from fujie.flows.reply import LookupReply, Refusal
from fujie.flows.restore import Agreed, Obstacle, offer, restore
from fujie.model.consent import NO_NOTICE
from fujie.model.customer import Phone, StoreKey
from fujie.model.errors import RequestError
from fujie.model.request import RequestContext
from fujie.model.suppression import SuppressionScope
from fujie.model.vocabulary import State
from support.answers import answer, named, shown
from support.house import House, ask, caller
from support.identities import opt_out
from support.links import Sent, send, sending

KEY, OTHER = StoreKey("crm", "C00001"), StoreKey("crm", "C00002")
MARKETER, DESK = caller("marketer"), caller("consent-desk")
MARKETING = ask("name", purpose="marketing", basis="consent", evidence="")
FORM = "0" * 31


@pytest.fixture
def gate(house: House) -> Gate:
    return sending(house)


async def phone_of(gate: Gate, key: StoreKey) -> Phone:
    (row,) = await gate.stores["crm"].fetch(key, frozenset(), frozenset(), 2.0)
    assert row.phone is not None
    return Phone(row.phone)


async def linked(gate: Gate, key: StoreKey = KEY) -> Sent:
    await record_consent(gate, DESK, RequestContext(), answer(gate, key))
    return await send(gate, key, await phone_of(gate, key))


async def opened(gate: Gate, key: StoreKey = KEY) -> Visit:
    return await visit(gate, (await linked(gate, key)).token)


async def is_open(gate: Gate) -> bool:
    reply = await lookup(gate, MARKETER, MARKETING, 2.0)
    assert isinstance(reply, LookupReply | Refusal)
    return isinstance(reply, LookupReply)


async def agreed(gate: Gate, visited: Visit, *, everything: bool = False) -> Agreed:
    """Return what the second page sends back when it is agreed to."""
    offered = await offer(gate, visited, everything=everything)
    notice = named(offered.notice) if offered.notice else NO_NOTICE
    return Agreed(offered.form, offered.seen, notice, everything)


async def test_only_a_whole_fresh_token_of_a_living_customer_opens_a_page(house: House, gate: Gate) -> None:
    sent = await linked(gate)
    assert (await visit(gate, sent.token)).customer == KEY
    token = sent.token
    swapped = ("A" if token[0] != "A" else "B") + token[1:]
    for forged in (
        "",
        token[:-1],
        token + "A",
        token.swapcase(),
        swapped,
        "A" * 22,
        token + "\n",
        "a/../" + token,
    ):
        with pytest.raises(RequestError) as refused:
            await visit(gate, forged)
        assert refused.value.code == "LINK_INVALID"
    with pytest.raises(RequestError):
        await visit(house.gate, token)  # nothing is sent from there
    house.hands.time += VALID
    with pytest.raises(RequestError):
        await visit(gate, token)


async def test_one_click_closes_at_once_and_a_repeat_is_the_same_refusal(gate: Gate) -> None:
    visited = await opened(gate)
    assert await is_open(gate)
    page = await show(gate, visited)
    assert (page.of.consent, page.of.refused_since) == (State.GIVEN, None)
    first = await stop(gate, visited, page.form, everything=False)
    assert not await is_open(gate)
    assert first.scope == SuppressionScope("marketing")
    assert await stop(gate, visited, page.form, everything=False) == first
    after = await show(gate, visited, first.suppression_id)
    assert (after.receipt, after.of.refused_since) == (first.suppression_id, first.event_time)
    assert after.refused_all_since is None


async def test_everything_closes_every_purpose_and_is_ended_by_itself(gate: Gate) -> None:
    visited = await opened(gate)
    await stop(gate, visited, (await show(gate, visited)).form, everything=True)
    assert (await show(gate, visited)).refused_all_since is not None
    assert (await offer(gate, visited, everything=False)).obstacle is Obstacle.EVERYTHING
    with pytest.raises(RequestError, match="RESTORE_REFUSED"):
        await restore(gate, visited, await agreed(gate, visited))
    assert not await is_open(gate)
    assert await restore(gate, visited, await agreed(gate, visited, everything=True))
    assert await is_open(gate)  # as it was before


async def test_agreeing_again_needs_the_very_words_and_leaves_evidence(house: House, gate: Gate) -> None:
    visited = await opened(gate)
    await stop(gate, visited, (await show(gate, visited)).form, everything=False)
    right = await agreed(gate, visited)
    for wrong in (NO_NOTICE, replace(right.notice, digest="0" * 64), replace(right.notice, version="9")):
        with pytest.raises(RequestError):
            await restore(gate, visited, replace(right, notice=wrong))
        assert not await is_open(gate)
    receipt = await restore(gate, visited, right)
    assert await is_open(gate)
    (event,) = [
        each
        for each in await gate.ledger.consent_events((visited.link.sid,), "marketing")
        if each.record_id == receipt
    ]
    assert (event.actor, event.source, event.evidence_ref) == (
        "customer:page", "page", f"messages/{visited.link.intent_id}",
    )  # fmt: skip
    assert event.notice == named(shown(gate))
    assert event.explicit
    assert {entry.principal for entry in house.entries[-5:]} <= {"customer:page", "marketer"}


async def test_what_was_refused_since_the_words_were_shown_does_not_end(gate: Gate) -> None:
    visited = await opened(gate)
    await stop(gate, visited, (await show(gate, visited)).form, everything=False)
    stale = await agreed(gate, visited)
    await stop(gate, visited, (await show(gate, visited)).form, everything=False)
    with pytest.raises(RequestError, match="RESTORE_REFUSED"):
        await restore(gate, visited, stale)
    assert not await is_open(gate)


async def test_an_old_form_refuses_again_after_the_refusal_was_taken_back(gate: Gate) -> None:
    """A browser that sends a form once more must not be told of a refusal that holds no more."""
    visited = await opened(gate)
    form = (await show(gate, visited)).form
    first = await stop(gate, visited, form, everything=False)
    await restore(gate, visited, await agreed(gate, visited))
    second = await stop(gate, visited, form, everything=False)
    assert second.suppression_id != first.suppression_id
    assert second.lifted is None
    assert not await is_open(gate)


async def test_a_refusal_by_the_number_itself_may_be_taken_back_and_that_of_others_not(
    house: House, gate: Gate
) -> None:
    visited, now = await opened(gate), gate.clock.now()
    number = await gate.ledger.number(await phone_of(gate, KEY), now)
    await gate.ledger.add_suppression(opt_out(number.sid, now, SuppressionScope("marketing")), "", "")
    assert not await is_open(gate)
    assert (await offer(gate, visited, everything=False)).obstacle is Obstacle.NONE
    other = await gate.ledger.enrol((OTHER, await phone_of(gate, KEY)), now)  # a family shares the number
    await gate.ledger.add_suppression(opt_out(other.sid, now, SuppressionScope("marketing")), "", "")
    assert (await offer(gate, visited, everything=False)).obstacle is Obstacle.OTHERS
    with pytest.raises(RequestError, match="RESTORE_REFUSED"):
        await restore(gate, visited, await agreed(gate, visited))


async def test_a_receipt_of_somebody_else_is_not_shown(gate: Gate) -> None:
    mine, theirs = await opened(gate), await opened(gate, OTHER)
    given = await stop(gate, theirs, (await show(gate, theirs)).form, everything=False)
    assert (await show(gate, mine, given.suppression_id)).receipt == ""
    assert (await show(gate, mine)).of.refused_since is None


@pytest.mark.parametrize("form", ["", "x", FORM, FORM + "Z", "../" + FORM])
async def test_a_form_that_is_not_ours_changes_nothing(gate: Gate, form: str) -> None:
    visited = await opened(gate)
    with pytest.raises(RequestError, match="form"):
        await stop(gate, visited, form, everything=False)
    assert await is_open(gate)


async def test_a_customer_who_is_somebody_else_by_now_finds_no_page(gate: Gate) -> None:
    visited, stranger = await opened(gate), await gate.ledger.enrol((OTHER,), gate.clock.now())
    moved = replace(visited, link=replace(visited.link, sid=stranger.sid))
    for act in (show(gate, moved), offer(gate, moved, everything=False)):
        with pytest.raises(RequestError) as refused:
            await act
        assert refused.value.code == "LINK_INVALID"


async def test_every_look_leaves_an_entry_without_a_number(house: House, gate: Gate) -> None:
    visited = await opened(gate)
    house.log.leaves.clear()
    await show(gate, visited)
    (entry,) = house.entries
    assert (entry.principal, entry.action, entry.kind) == ("customer:page", "consent.read", "decision")
    assert visited.link.sid in entry.sids
    digits = (await phone_of(gate, KEY)).e164[-8:].encode()
    await stop(gate, visited, (await show(gate, visited)).form, everything=True)
    assert not any(digits in leaf for leaf in house.log.leaves)


async def test_a_consent_that_ended_is_not_shown_as_given(house: House, gate: Gate) -> None:
    await record_consent(gate, DESK, RequestContext(), answer(gate, KEY))
    house.hands.time += timedelta(days=400)
    visited = await visit(gate, (await send(gate, KEY, await phone_of(gate, KEY))).token)
    assert (await show(gate, visited)).of.consent is State.EXPIRED
