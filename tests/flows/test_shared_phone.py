"""Attacks on consent when two customers share a number (DESIGN: what closes counts for all, what opens for one)."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from fujie.adapters.stores.store import open_store
from fujie.adapters.stores.table import PhoneFormat, StoreTable
from fujie.app.demo.customers import create_store
from fujie.flows.consent import NOW, record_consent, withdraw_consent
from fujie.flows.lookup import lookup
from fujie.flows.reply import ConsentReply, LookupReply, Refusal
from fujie.model.consent import NEGATIVE, ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Effect
from support.answers import answer
from support.house import House, ask, caller

DESK, MARKETER = caller("consent-desk"), caller("marketer")
ONE, TWO = StoreKey("crm", "C00001"), StoreKey("shop", "77")
PHONE = Phone("+8613800131234")
"""The number that the store has for ONE; TWO is a customer of another store with the same number."""
MARKETING = ask("name", "phone", purpose="marketing", basis="consent", evidence="")


@pytest.fixture
async def house(house: House, tmp_path: Path) -> AsyncIterator[House]:
    """The house with a second store, in which TWO has the number of ONE."""
    path = tmp_path / "shop.db"
    create_store(path, 1)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE customer SET id = '77'")
    table = StoreTable("shop", f"sqlite:///{path}", "customer", "id", "mobile", PhoneFormat.NATIONAL)
    shop = await open_store(table, house.hands)
    yield replace(house, gate=replace(house.gate, stores={**house.gate.stores, "shop": shop}))
    await shop.close()


def draft(kind: ConsentEventType = ConsentEventType.GIVEN) -> ConsentEvent:
    return ConsentEvent("", "", "marketing", kind, NOW, NOW, "", explicit=True)


async def meet_both(house: House) -> tuple[str, str]:
    identities = [await house.ledger.enrol([key, PHONE], house.hands.now()) for key in (ONE, TWO)]
    return identities[0].sid, identities[1].sid


async def record(
    house: House, ref: CustomerRef, event: ConsentEvent, request_id: str = ""
) -> ConsentReply | Refusal:
    return await record_consent(
        house.gate, DESK, RequestContext(request_id=request_id), answer(house.gate, ref, event)
    )


@pytest.mark.parametrize("kind", sorted(set(ConsentEventType) - NEGATIVE))
async def test_what_opens_is_refused_under_a_shared_number_and_leaves_an_entry(
    house: House, kind: ConsentEventType
) -> None:
    one, two = await meet_both(house)
    house.log.leaves.clear()
    reply = await record(house, PHONE, draft(kind))
    assert isinstance(reply, Refusal)
    assert [reason.code for reason in reply.reasons] == ["CUSTOMER_AMBIGUOUS"]
    assert list(await house.ledger.consent_events([one, two], "")) == []
    [entry] = house.entries
    assert entry.effect == Effect.DENY.value
    assert entry.reasons == ("CUSTOMER_AMBIGUOUS",)
    assert entry.sids == (one, two)


@pytest.mark.parametrize("kind", sorted(NEGATIVE))
async def test_what_closes_is_taken_under_a_shared_number(house: House, kind: ConsentEventType) -> None:
    await meet_both(house)
    reply = await record(house, PHONE, draft(kind))
    assert isinstance(reply, ConsentReply)
    for key in (ONE, TWO):  # the event is the number's own, and counts for everybody who has it
        identity = await house.ledger.find([key])
        assert identity is not None
        assert [event.type for event in await house.ledger.consent_events(identity.sids, "")] == [kind]


async def test_what_opens_is_taken_under_a_number_of_one_and_under_a_key(house: House) -> None:
    alone = replace(house, gate=replace(house.gate, stores={"crm": house.gate.stores["crm"]}))
    assert isinstance(await record(alone, PHONE, draft()), ConsentReply)
    assert isinstance(await lookup(house.gate, MARKETER, MARKETING, 2.0), LookupReply)
    assert isinstance(await record(house, PHONE, draft()), Refusal)
    assert isinstance(await record(house, TWO, draft()), ConsentReply)


@pytest.mark.parametrize("by", [ONE, TWO, PHONE], ids=["one", "two", "phone"])
@pytest.mark.parametrize("order", list(permutations(("one", "two", "withdraw"))), ids="-".join)
async def test_a_withdrawal_by_anybody_of_the_number_closes_the_look_up(
    house: House, by: CustomerRef, order: tuple[str, ...]
) -> None:
    assert isinstance(await record(house, ONE, draft()), ConsentReply)
    for act in order:
        if act == "withdraw":
            reply = await withdraw_consent(house.gate, DESK, by, RequestContext(), draft())
            assert isinstance(reply, ConsentReply)
        else:
            await house.ledger.enrol([ONE if act == "one" else TWO, PHONE], house.hands.now())
    assert isinstance(await lookup(house.gate, MARKETER, MARKETING, 2.0), Refusal)


async def test_consent_of_the_neighbour_opens_nothing(house: House) -> None:
    await meet_both(house)
    assert isinstance(await record(house, TWO, draft()), ConsentReply)
    assert isinstance(await lookup(house.gate, MARKETER, MARKETING, 2.0), Refusal)
    assert isinstance(await record(house, ONE, draft()), ConsentReply)
    assert isinstance(await lookup(house.gate, MARKETER, MARKETING, 2.0), LookupReply)


async def test_a_withdrawal_by_phone_is_repeated_safely_once_the_number_is_shared(house: House) -> None:
    """The first to have the number stays its sid, so a retry is the same request."""
    older = (await house.ledger.enrol([TWO], house.hands.now())).sid
    await house.ledger.enrol([ONE, PHONE], house.hands.now())
    withdrawal = draft(ConsentEventType.WITHDRAWN)
    first = await record(house, PHONE, withdrawal, "r-1")
    assert (await house.ledger.enrol([TWO, PHONE], house.hands.now())).sid == older
    again = await record(house, PHONE, withdrawal, "r-1")
    assert isinstance(first, ConsentReply)
    assert isinstance(again, ConsentReply)
    assert first.event == again.event
