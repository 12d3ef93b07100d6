"""Attacks on whom a consent is about: misspelt stores and ids, numbers before and after their customer is known."""

from dataclasses import replace

import pytest

from fujie.flows.consent import NOW, ConsentQuery, get_consent, record_consent, withdraw_consent
from fujie.flows.gate import Gate
from fujie.flows.lookup import lookup
from fujie.flows.reply import ConsentReply, ConsentStateReply, LookupReply, Refusal
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import StoreError
from fujie.model.request import RequestContext
from fujie.model.vocabulary import State
from support.answers import answer
from support.house import House, ask, caller
from support.stores import Spy

DESK, MARKETER = caller("consent-desk"), caller("marketer")
KEY, PHONE, STRANGER = StoreKey("crm", "C00001"), Phone("+8613800131234"), Phone("+8613912340000")
MARKETING = ask("name", purpose="marketing", basis="consent", evidence="")
DRAFT = ConsentEvent("", "", "marketing", ConsentEventType.GIVEN, NOW, NOW, "", explicit=True)


async def given(gate: Gate, ref: CustomerRef) -> ConsentReply | Refusal:
    return await record_consent(gate, DESK, RequestContext(), answer(gate, ref, DRAFT))


async def withdrawn(gate: Gate, ref: CustomerRef) -> ConsentReply | Refusal:
    return await withdraw_consent(gate, DESK, ref, RequestContext(), DRAFT)


async def state(house: House, ref: CustomerRef) -> State:
    reply = await get_consent(house.gate, DESK, ConsentQuery(ref, RequestContext(), "marketing"))
    assert isinstance(reply, ConsentStateReply), reply
    return reply.state


@pytest.mark.parametrize(
    ("ref", "code"),
    [
        (StoreKey("nosuch", "C00001"), "UNKNOWN_STORE"),
        (StoreKey("crm", "C99999"), "CUSTOMER_NOT_FOUND"),
        (StoreKey("crm", "c00001"), "CUSTOMER_NOT_FOUND"),
    ],
)
@pytest.mark.parametrize("act", [given, withdrawn])
async def test_nothing_is_acknowledged_for_somebody_who_is_not_there(
    house: House, ref: CustomerRef, code: str, act: object
) -> None:
    assert callable(act)
    reply = await act(house.gate, ref)
    assert isinstance(reply, Refusal)
    assert (reply.reasons[0].code, house.entries[-1].reasons) == (code, (code,))


async def test_consent_by_phone_before_the_first_look_up_is_the_customers(house: House) -> None:
    assert isinstance(await given(house.gate, PHONE), ConsentReply)
    assert isinstance(await lookup(house.gate, MARKETER, MARKETING, 2.0), LookupReply)
    assert [await state(house, ref) for ref in (KEY, PHONE)] == [State.GIVEN, State.GIVEN]
    assert isinstance(await given(house.gate, PHONE), ConsentReply)


async def test_a_withdrawal_by_phone_shows_under_the_key(house: House) -> None:
    assert isinstance(await given(house.gate, KEY), ConsentReply)
    assert isinstance(await withdrawn(house.gate, PHONE), ConsentReply)
    assert [await state(house, ref) for ref in (KEY, PHONE)] == [State.WITHDRAWN, State.WITHDRAWN]


async def test_a_number_that_no_store_knows_stands_for_itself(house: House) -> None:
    assert isinstance(await given(house.gate, STRANGER), ConsentReply)
    assert await state(house, STRANGER) is State.GIVEN


async def test_a_withdrawal_is_taken_while_the_store_is_away_and_a_consent_is_not(house: House) -> None:
    await given(house.gate, KEY)
    away = replace(house.gate, stores={"crm": Spy(house.gate.stores["crm"], StoreError())})
    opening = await given(away, KEY)
    assert isinstance(opening, Refusal)
    assert opening.reasons[0].code == "STORE_UNAVAILABLE"
    assert isinstance(await withdrawn(away, KEY), ConsentReply)
    assert await state(house, KEY) is State.WITHDRAWN


async def test_who_left_the_store_can_still_withdraw_and_no_longer_consent(house: House) -> None:
    gone = StoreKey("crm", "C99999")
    identity = await house.ledger.enrol((gone,), house.hands.now())
    assert isinstance(await given(house.gate, gone), Refusal)
    reply = await withdrawn(house.gate, gone)
    assert isinstance(reply, ConsentReply)
    assert reply.event.sid == identity.sid
