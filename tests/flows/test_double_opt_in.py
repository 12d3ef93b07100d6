"""Consent by message: one word of the right number, in time, to the one request that is open; otherwise none."""

from datetime import timedelta
from typing import Any

import pytest

from fujie.audit.consent_bundle import Standing, verify
from fujie.decision.double_opt_in import METHOD, OPEN_FOR
from fujie.flows.acts import PAGE, open_act
from fujie.flows.asking import Asking, asking, unaskable
from fujie.flows.consent import NOW, ConsentQuery, get_consent, withdraw_consent
from fujie.flows.consent_evidence import export_consent_evidence
from fujie.flows.double_opt_in import record_request
from fujie.flows.gate import Case, Gate
from fujie.flows.identify import identify
from fujie.flows.receipts import receive
from fujie.flows.reply import ConsentReply, ConsentStateReply, EvidenceReply
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Identity, Phone, StoreKey
from fujie.model.errors import LedgerError, RequestError
from fujie.model.page import FIRST_PAGE
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Action, State
from fujie.ports.messaging import KeptReply
from fujie.ports.providers import Called, Reply
from support.answers import shown
from support.house import House, caller
from support.links import SIGNATURE, sending

KEY, OTHER, DESK = StoreKey("crm", "C00001"), StoreKey("crm", "C00002"), caller("consent-desk")


@pytest.fixture
def gate(house: House) -> Gate:
    return sending(house)


def case_of(gate: Gate) -> Case:
    return open_act(gate, PAGE, Action.CONSENT_RECORD)[0]


def words(gate: Gate, purpose: str = "marketing") -> str:
    return f"{shown(gate, purpose).text.zh}同意请回复START"


async def identity(gate: Gate, ref: CustomerRef = KEY) -> Identity:
    return await identify(gate, ref, gate.clock.now(), closes=False)


async def ask(
    gate: Gate, intent: str = "0" * 32, ref: CustomerRef = KEY, purpose: str = "marketing"
) -> Asking:
    asked = asking(case_of(gate), purpose, "zh-CN", words(gate, purpose))
    await record_request(gate, "wire", intent, await identity(gate, ref), asked)
    return asked


async def number(gate: Gate, key: StoreKey = KEY) -> Phone:
    (row,) = await gate.stores["crm"].fetch(key, frozenset(), frozenset(), 2.0)
    assert row.phone is not None
    return Phone(row.phone)


async def answered(
    gate: Gate, text: str = "start", reply_id: str = "r-1", phone: Phone | None = None
) -> None:
    said = Reply("wire", reply_id, phone or await number(gate), text, gate.clock.now(), SIGNATURE)
    await receive(gate, "wire", Called(replies=[said]))


async def state(gate: Gate, ref: CustomerRef = KEY, purpose: str = "marketing") -> State:
    reply = await get_consent(gate, DESK, ConsentQuery(ref, RequestContext(), purpose, "sms"))
    assert isinstance(reply, ConsentStateReply)
    return reply.state


async def events(gate: Gate, ref: CustomerRef = KEY) -> list[ConsentEvent]:
    return list(await gate.ledger.consent_events((await identity(gate, ref)).sids, ""))


async def kept(gate: Gate) -> list[KeptReply]:
    assert gate.sending is not None
    return list((await gate.sending.outbox.replies(FIRST_PAGE)).rows)


async def test_a_start_word_is_the_consent_that_was_asked_for_with_both_messages_as_evidence(
    house: House, gate: Gate
) -> None:
    await ask(gate, "7" * 32)
    assert await state(gate) is State.REQUESTED
    await answered(gate)
    assert await state(gate) is State.GIVEN
    requested, given = await events(gate)
    assert (requested.type, given.type) == (ConsentEventType.REQUESTED, ConsentEventType.GIVEN)
    asked_by, answered_by = given.evidence_ref.split(" ")
    assert asked_by == requested.evidence_ref == f"messages/{'7' * 32}"
    assert answered_by.startswith("replies/")
    assert (given.collection_method, given.source, given.channel) == (METHOD, "opt_in_message", "sms")
    assert given.notice == requested.notice
    assert given.data_classes == shown(gate).data_classes
    assert await kept(gate) == [], "nobody has to look at it"
    reply = await export_consent_evidence(gate, DESK, ConsentQuery(KEY, RequestContext(), "marketing"))
    assert isinstance(reply, EvidenceReply)
    log: Any = house.log
    key = log._inner._signer.verifier
    assert {each.standing for each in verify(reply.evidence, [key])} == {Standing.PROVEN}


@pytest.mark.parametrize("is_other_known", [False, True])
async def test_a_start_of_digits_that_mean_two_known_people_is_the_consent_of_neither(
    gate: Gate, is_other_known: bool
) -> None:
    foreign = Phone("+13235551234")
    if is_other_known:
        await gate.ledger.enrol((StoreKey("crm", "C77777"), foreign), gate.clock.now())
    await ask(gate)
    said = Reply("wire", "r-1", await number(gate), "START", gate.clock.now(), SIGNATURE, foreign)
    await receive(gate, "wire", Called(replies=[said]))
    assert await state(gate) is (State.REQUESTED if is_other_known else State.GIVEN)
    assert await kept(gate) == [], "a person would lift what one closed by what the other said"


async def test_the_same_answer_again_or_another_one_adds_nothing(gate: Gate) -> None:
    await ask(gate)
    for _ in range(3):
        await answered(gate)
    assert len(await events(gate)) == 2
    assert await kept(gate) == []
    await answered(gate, reply_id="r-2")
    assert len(await events(gate)) == 2
    assert len(await kept(gate)) == 1, "a start word that answers nothing waits for a person"


async def test_a_request_is_recorded_once_however_often_its_sending_is_told(gate: Gate) -> None:
    await ask(gate)
    await ask(gate)
    assert len(await events(gate)) == 1


@pytest.mark.parametrize("text", ["ok", "是的", "please start", "STOP", "别发了"])
async def test_anything_but_a_start_word_is_no_consent(gate: Gate, text: str) -> None:
    await ask(gate)
    await answered(gate, text)
    assert await state(gate) is State.REQUESTED


async def test_a_start_word_without_a_request_is_no_consent(gate: Gate) -> None:
    await answered(gate)
    assert await events(gate) == []
    assert len(await kept(gate)) == 1


async def test_the_answer_of_another_number_is_no_consent(gate: Gate) -> None:
    await ask(gate)
    await answered(gate, phone=await number(gate, OTHER))
    await answered(gate, reply_id="r-2", phone=Phone("+8613912340000"))
    assert await state(gate) is State.REQUESTED
    assert await state(gate, OTHER) is State.NONE


async def test_a_number_that_two_customers_share_agrees_for_nobody(gate: Gate) -> None:
    phone = Phone("+8613912340000")
    for key in (KEY, OTHER):
        await gate.ledger.enrol((key, phone), gate.clock.now())
    await ask(gate)
    await answered(gate, phone=phone)
    assert await state(gate) is State.REQUESTED
    assert not await may_ask(gate, await _asking(gate), phone)


async def may_ask(gate: Gate, asked: Asking, ref: CustomerRef = KEY) -> bool:
    assert gate.sending is not None
    now = gate.clock.now()
    [told] = (await gate.sending.outbox.recall_many([(ref,)], asked.purpose, now)).customers
    return not unaskable(asked, told, now)


async def _asking(gate: Gate) -> Asking:
    return asking(case_of(gate), "marketing", "zh-CN", words(gate))


async def test_one_word_does_not_agree_to_two_things(gate: Gate) -> None:
    await ask(gate, "1" * 32)
    await ask(gate, "2" * 32, purpose="after_sales")
    await answered(gate)
    assert [await state(gate, purpose=each) for each in ("marketing", "after_sales")] == [
        State.REQUESTED
    ] * 2
    assert len(await kept(gate)) == 1


async def test_an_answer_that_comes_too_late_is_none(house: House, gate: Gate) -> None:
    await ask(gate)
    house.hands.time += OPEN_FOR
    await answered(gate)
    assert await state(gate) is State.REQUESTED
    assert len(await kept(gate)) == 1


async def test_an_answer_from_before_the_request_is_none(house: House, gate: Gate) -> None:
    before = house.hands.now()
    house.hands.time += timedelta(minutes=10)
    await ask(gate)
    said = Reply("wire", "r-1", await number(gate), "START", before, SIGNATURE)
    await receive(gate, "wire", Called(replies=[said]))
    assert await state(gate) is State.REQUESTED


async def test_what_was_refused_since_comes_back_by_no_single_word(gate: Gate) -> None:
    await ask(gate)
    await answered(gate, "stop", "r-1")
    await answered(gate, "start", "r-2")
    assert await state(gate) is State.REQUESTED
    assert len(await kept(gate)) == 1


async def test_a_withdrawal_since_ends_the_request(gate: Gate) -> None:
    await ask(gate)
    draft = ConsentEvent("", "", "marketing", ConsentEventType.WITHDRAWN, NOW, NOW, "")
    done = await withdraw_consent(gate, DESK, await number(gate), RequestContext(), draft)
    assert isinstance(done, ConsentReply)
    await answered(gate)
    assert await state(gate) is State.WITHDRAWN
    assert len(await kept(gate)) == 1


async def test_who_did_not_answer_or_said_no_is_not_asked_again(house: House, gate: Gate) -> None:
    asked = await _asking(gate)
    assert await may_ask(gate, asked)
    await ask(gate)
    assert not await may_ask(gate, asked)
    house.hands.time += timedelta(days=29)
    assert not await may_ask(gate, asked)
    house.hands.time += timedelta(days=2)
    assert await may_ask(gate, asked)
    await answered(gate, "td")
    assert not await may_ask(gate, asked)


def test_a_message_that_does_not_show_the_whole_notice_asks_for_nothing(gate: Gate) -> None:
    text = words(gate)
    for bad in (text[1:], "同意请回复START", "", text.replace("撤回", "")):
        with pytest.raises(RequestError, match="NOTICE_MISMATCH"):
            asking(case_of(gate), "marketing", "zh-CN", bad)
    with pytest.raises(RequestError, match="NOTICE_MISMATCH"):
        asking(case_of(gate), "order_fulfilment", "zh-CN", text)
    with pytest.raises(RequestError, match="NOTICE_MISMATCH"):
        asking(case_of(gate), "marketing", "fr", text)


async def test_an_answer_that_could_not_be_written_is_taken_when_it_comes_again(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ask(gate)

    async def away(*_: object) -> ConsentEvent:
        raise LedgerError("it is away")

    with monkeypatch.context() as patched:
        patched.setattr(gate.ledger, "record_consent", away)
        with pytest.raises(LedgerError):
            await answered(gate)
    assert await state(gate) is State.REQUESTED
    await answered(gate)
    assert await state(gate) is State.GIVEN
