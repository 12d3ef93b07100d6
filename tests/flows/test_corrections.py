"""Attacks on merge and split through the gate: without grant, purpose, evidence; by half; and what the log keeps."""

from dataclasses import replace

import pytest

from fujie.flows.aliases import Merge, merge_customers, split_customer
from fujie.flows.consent import NOW, ConsentQuery, get_consent, record_consent, withdraw_consent
from fujie.flows.consent_events import EventsQuery, list_consent_events
from fujie.flows.lookup import lookup
from fujie.flows.reply import (
    ConsentEventsReply,
    ConsentReply,
    ConsentStateReply,
    CorrectionReply,
    LookupReply,
    Refusal,
)
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import StoreError
from fujie.model.request import RequestContext
from fujie.model.vocabulary import State
from support.answers import answer
from support.house import House, ask, caller
from support.stores import Spy

DESK, OFFICER, MARKETER, AGENT = (
    caller(name) for name in ("consent-desk", "privacy-officer", "marketer", "support-agent")
)
ONE, TWO, MISSING = (StoreKey("crm", each) for each in ("C00001", "C00002", "C99999"))
STRANGER = Phone("+8613912340000")
RIGHT = RequestContext(purpose="record_correction", basis="legal_duty", basis_evidence="request-9")
DRAFT = ConsentEvent("", "", "marketing", ConsentEventType.WITHDRAWN, NOW, NOW, "")


async def merge(
    house: House, into: CustomerRef = ONE, source: CustomerRef = TWO, request_id: str = ""
) -> object:
    context = replace(RIGHT, request_id=request_id)
    return await merge_customers(house.gate, OFFICER, context, Merge(into, source, "secret-form"))


async def state(house: House, ref: CustomerRef) -> State:
    reply = await get_consent(house.gate, DESK, ConsentQuery(ref, RequestContext(), "marketing"))
    assert isinstance(reply, ConsentStateReply), reply
    return reply.state


async def give(house: House, ref: CustomerRef) -> None:
    reply = await record_consent(house.gate, DESK, RequestContext(), answer(house.gate, ref))
    assert isinstance(reply, ConsentReply), reply


async def withdraw(house: House, ref: CustomerRef) -> None:
    reply = await withdraw_consent(house.gate, DESK, ref, RequestContext(), DRAFT)
    assert isinstance(reply, ConsentReply), reply


async def test_after_a_merge_a_withdrawal_of_the_other_closes_and_its_consent_opens_nothing(
    house: House,
) -> None:
    await give(house, TWO)
    assert isinstance(await merge(house), CorrectionReply)
    assert await state(house, ONE) is State.NONE
    assert await state(house, TWO) is State.NONE
    await give(house, ONE)
    marketing = ask("name", customer="C00002", purpose="marketing", basis="consent", evidence="")
    assert isinstance(await lookup(house.gate, MARKETER, marketing, 2.0), LookupReply)
    await withdraw(house, TWO)
    assert await state(house, ONE) is State.WITHDRAWN
    assert isinstance(await lookup(house.gate, MARKETER, marketing, 2.0), Refusal)


async def test_a_split_keeps_every_refusal_and_no_consent(house: House) -> None:
    await withdraw(house, ONE)
    await give(house, ONE)
    assert await state(house, ONE) is State.GIVEN
    reply = await split_customer(house.gate, OFFICER, RIGHT, ONE, "secret-form")
    assert isinstance(reply, CorrectionReply)
    assert await state(house, ONE) is State.WITHDRAWN
    events = await list_consent_events(house.gate, DESK, RequestContext(), EventsQuery(ONE))
    assert isinstance(events, ConsentEventsReply)
    assert {each.type for each in events.page.rows} == {ConsentEventType.WITHDRAWN}


async def test_both_entries_name_both_and_never_the_evidence(house: House) -> None:
    sids = [(await house.ledger.enrol([key], house.hands.now())).sid for key in (ONE, TWO)]
    house.log.leaves.clear()
    await merge(house)
    admission, outcome = house.entries
    for entry, kind in ((admission, "admission"), (outcome, "outcome")):
        assert entry.kind == kind
        assert set(sids) <= set(entry.sids)
        assert (entry.action, entry.purpose, entry.basis) == ("correct", "record_correction", "legal_duty")
        assert entry.facts["correction.has_evidence"] is True
    house.log.leaves.clear()
    await split_customer(house.gate, OFFICER, RIGHT, TWO, "secret-form")
    admission, outcome = house.entries
    new = await house.ledger.find([TWO])
    assert new is not None
    assert {sids[0], new.sid} <= set(outcome.sids)
    assert not any(
        word in leaf for leaf in house.log.leaves for word in (b"secret", b"request-9", b"C0000")
    )


@pytest.mark.parametrize(
    ("context", "code"),
    [
        (replace(RIGHT, purpose=""), "PURPOSE_MISSING"),
        (replace(RIGHT, purpose="marketing", basis="consent"), "NO_GRANT"),
        (replace(RIGHT, basis="contract"), "BASIS_NOT_ACCEPTED"),
        (replace(RIGHT, basis_evidence=""), "BASIS_EVIDENCE_MISSING"),
    ],
)
async def test_a_correction_needs_its_purpose_and_basis(
    house: House, context: RequestContext, code: str
) -> None:
    for reply in (
        await merge_customers(house.gate, OFFICER, context, Merge(ONE, TWO, "form")),
        await split_customer(house.gate, OFFICER, context, ONE, "form"),
    ):
        assert isinstance(reply, Refusal)
        assert reply.reasons[0].code == code
    assert await house.ledger.find([ONE]) is None


@pytest.mark.parametrize(
    ("into", "source", "code", "field"),
    [
        (ONE, MISSING, "CUSTOMER_NOT_FOUND", "from"),
        (MISSING, ONE, "CUSTOMER_NOT_FOUND", "into"),
        (ONE, STRANGER, "CUSTOMER_NOT_FOUND", "from"),
    ],
)
async def test_nobody_is_merged_with_nobody(
    house: House, into: CustomerRef, source: CustomerRef, code: str, field: str
) -> None:
    reply = await merge(house, into, source)
    assert isinstance(reply, Refusal)
    assert (reply.reasons[0].code, reply.field) == (code, field)


async def test_a_number_that_only_spoke_can_be_said_to_be_somebodys(house: House) -> None:
    await withdraw(house, STRANGER)
    await give(house, ONE)
    assert await state(house, ONE) is State.GIVEN
    assert isinstance(await merge(house, ONE, STRANGER), CorrectionReply)
    events = await list_consent_events(house.gate, DESK, RequestContext(), EventsQuery(ONE))
    assert isinstance(events, ConsentEventsReply)
    assert ConsentEventType.WITHDRAWN in {each.type for each in events.page.rows}


async def test_nobody_is_corrected_while_a_store_is_away(house: House) -> None:
    away = replace(
        house, gate=replace(house.gate, stores={"crm": Spy(house.gate.stores["crm"], StoreError())})
    )
    reply = await merge(away)
    assert isinstance(reply, Refusal)
    assert reply.reasons[0].code == "STORE_UNAVAILABLE"


async def test_a_grant_for_one_store_corrects_no_other(house: House) -> None:
    grant = b"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: shop-corrections}
spec:
  match: {actions: [correct], stores: [shop], keys: [customer_id]}
  roles: [support]
  purposes: [record_correction]
"""
    house = house.with_policy({"shop.yaml": grant})
    for into, source in (
        (StoreKey("shop", "1"), ONE),
        (ONE, StoreKey("shop", "1")),
        (StoreKey("shop", "1"), STRANGER),
    ):
        reply = await merge_customers(house.gate, AGENT, RIGHT, Merge(into, source, "form"))
        assert isinstance(reply, Refusal)
        assert [hit.code for hit in reply.reasons] == ["NO_GRANT"]


async def test_who_has_no_grant_is_told_the_same_of_everybody(house: House) -> None:
    await house.ledger.enrol([ONE], house.hands.now())
    house.log.leaves.clear()
    replies = [
        await merge_customers(house.gate, AGENT, RIGHT, Merge(into, source, "form"))
        for into in (ONE, MISSING, STRANGER)
        for source in (TWO, MISSING)
    ]
    replies += [await split_customer(house.gate, AGENT, RIGHT, key, "form") for key in (ONE, MISSING)]
    assert {tuple(hit.code for hit in each.reasons) for each in replies if isinstance(each, Refusal)} == {
        ("NO_GRANT",)
    }
    assert len(replies) == 8
    assert {entry.sids for entry in house.entries} == {()}


async def test_to_read_the_consent_of_one_never_shows_that_of_who_shares_the_number(house: House) -> None:
    """The neighbour is known to the ledger, the customer who is asked for not yet."""
    row = await house.gate.stores["crm"].fetch(ONE, frozenset(), frozenset(), 2.0)
    neighbour = await house.ledger.enrol([StoreKey("shop", "7"), Phone(row[0].phone)], house.hands.now())
    given = ConsentEvent(
        house.gate.ids.new_id(), neighbour.sid, "marketing", ConsentEventType.GIVEN, house.hands.now(),
        house.hands.now(), "desk", explicit=True,
    )  # fmt: skip
    await house.ledger.record_consent(given, "", "")
    assert await state(house, ONE) is State.NONE
    events = await list_consent_events(house.gate, DESK, RequestContext(), EventsQuery(ONE))
    assert isinstance(events, ConsentEventsReply)
    assert events.page.rows == ()
