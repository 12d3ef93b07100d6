"""Attacks on what providers bring: refusals that hold at once, receipts that come late, twice, or of nobody."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from fujie.adapters.ledger import SQLLedger
from fujie.audit.errors import SealBroken
from fujie.decision.suppression import suppressed
from fujie.flows.consent import record_consent
from fujie.flows.gate import Gate
from fujie.flows.lookup import lookup
from fujie.flows.receipts import receive
from fujie.flows.replies import reply_text
from fujie.flows.reply import LookupReply
from fujie.model.customer import Phone, StoreKey
from fujie.model.errors import LedgerError, StoreError
from fujie.model.message import MessageState, Settled
from fujie.model.page import FIRST_PAGE
from fujie.model.request import RequestContext
from fujie.model.suppression import ReplyScope, Suppression
from fujie.ports.messaging import KeptReply
from fujie.ports.providers import Called, Receipt, Reply
from support.answers import answer
from support.house import House, ask, caller
from support.links import SIGNATURE, send, sending

KEY, STRANGER = StoreKey("crm", "C00001"), Phone("+8613912340000")
MARKETING = ask("name", purpose="marketing", basis="consent", evidence="")


@pytest.fixture
async def gate(house: House) -> Gate:
    gate = sending(house)
    await record_consent(gate, caller("consent-desk"), RequestContext(), answer(gate, KEY))
    return gate


async def number(gate: Gate) -> Phone:
    (row,) = await gate.stores["crm"].fetch(KEY, frozenset(), frozenset(), 2.0)
    assert row.phone is not None
    return Phone(row.phone)


async def said(gate: Gate, text: str, reply_id: str = "r-1", phone: Phone | None = None) -> Reply:
    return Reply("wire", reply_id, phone or await number(gate), text, gate.clock.now(), SIGNATURE)


async def is_open(gate: Gate) -> bool:
    return isinstance(await lookup(gate, caller("marketer"), MARKETING, 2.0), LookupReply)


async def closed_by(gate: Gate, phone: Phone) -> list[Suppression]:
    identity = await gate.ledger.enrol((phone,), gate.clock.now())
    return list(await gate.ledger.suppressions(identity.sids))


async def kept(gate: Gate) -> list[KeptReply]:
    assert gate.sending is not None
    return list((await gate.sending.outbox.replies(FIRST_PAGE)).rows)


async def test_stop_closes_at_once_on_every_channel_under_every_name(house: House, gate: Gate) -> None:
    assert await is_open(gate)
    await receive(gate, "wire", Called(replies=[await said(gate, "ｔｄ。")]))
    assert not await is_open(gate)
    (given,) = await closed_by(gate, await number(gate))
    assert suppressed([given], "marketing", "voice", "anybody")
    assert not suppressed([given], "after_sales", "sms", SIGNATURE)
    assert (given.actor, given.source) == ("provider:wire", "reply")
    assert await kept(gate) == []
    assert house.counted.arrivals == [("wire", "stop")]


async def test_what_reads_like_stop_closes_and_waits_for_a_person_unread_by_anybody_else(
    gate: Gate,
) -> None:
    await receive(gate, "wire", Called(replies=[await said(gate, "please stop messaging me, 13800138000")]))
    assert not await is_open(gate)
    (waiting,) = await kept(gate)
    wrapped = await gate.ledger.subject_key(waiting.sid)
    assert wrapped is not None
    assert b"13800138000" not in waiting.sealed
    assert reply_text(gate, waiting, wrapped) == "please stop messaging me, 13800138000"
    with pytest.raises(SealBroken):
        reply_text(gate, replace(waiting, reply_id="another"), wrapped)


async def test_start_opens_nothing_and_waits_for_a_person(gate: Gate) -> None:
    await receive(gate, "wire", Called(replies=[await said(gate, "TD")]))
    await receive(gate, "wire", Called(replies=[await said(gate, "START", "r-2")]))
    assert not await is_open(gate)
    assert len(await kept(gate)) == 1


async def test_anything_else_is_not_kept_and_changes_nothing(house: House, gate: Gate) -> None:
    await receive(gate, "wire", Called(replies=[await said(gate, "谢谢")], skipped=2))
    assert await is_open(gate)
    assert await kept(gate) == []
    assert house.counted.arrivals == [("wire", "other"), ("wire", "skipped"), ("wire", "skipped")]


async def test_a_repeat_is_one_refusal_and_one_reply(house: House, gate: Gate) -> None:
    reply = await said(gate, "STOP PLEASE")
    for late in (timedelta(), timedelta(minutes=5), timedelta(days=3)):
        house.hands.time += late
        await receive(gate, "wire", Called(replies=[reply]))
    assert len(await closed_by(gate, reply.phone)) == 1
    assert len(await kept(gate)) == 1
    assert house.counted.arrivals == [("wire", "maybe_stop"), ("wire", "again"), ("wire", "again")]


async def test_a_number_that_nobody_knows_is_closed_too(gate: Gate) -> None:
    await receive(gate, "wire", Called(replies=[await said(gate, "退订", phone=STRANGER)]))
    assert len(await closed_by(gate, STRANGER)) == 1


MAINLAND, FOREIGN = Phone("+8613235551234"), Phone("+13235551234")


async def either(gate: Gate, text: str, reply_id: str = "r-1") -> Reply:
    return replace(await said(gate, text, reply_id, MAINLAND), also=FOREIGN)


async def test_a_stop_of_digits_that_mean_two_numbers_closes_the_known_ones_and_a_repeat_nothing_more(
    gate: Gate,
) -> None:
    await gate.ledger.enrol((StoreKey("crm", "C77777"), FOREIGN), gate.clock.now())
    for _ in range(2):
        await receive(gate, "wire", Called(replies=[await either(gate, "TD")]))
    for phone in (MAINLAND, FOREIGN):
        (given,) = await closed_by(gate, phone)
        assert suppressed([given], "marketing", "sms", "")


async def test_a_stop_closes_no_foreign_number_that_nobody_is_known_by(gate: Gate) -> None:
    await receive(gate, "wire", Called(replies=[await either(gate, "TD")]))
    assert len(await closed_by(gate, MAINLAND)) == 1
    assert await gate.ledger.find((FOREIGN,)) is None


async def test_while_no_store_can_be_asked_both_are_closed(gate: Gate) -> None:
    class Away:
        fields = attributes = frozenset[str]()

        async def fetch(self, *_: object) -> object:
            raise StoreError

    away = replace(gate, stores={"crm": cast("Any", Away())})
    await receive(away, "wire", Called(replies=[await either(gate, "TD")]))
    assert [len(await closed_by(gate, phone)) for phone in (MAINLAND, FOREIGN)] == [1, 1]


async def test_a_clock_ahead_or_far_behind_makes_no_refusal_void(gate: Gate) -> None:
    for days, reply_id in ((400, "ahead"), (-400, "behind")):
        reply = replace(await said(gate, "TD", reply_id), at=gate.clock.now() + timedelta(days=days))
        await receive(gate, "wire", Called(replies=[reply]))
    given = await closed_by(gate, await number(gate))
    assert len(given) == 2
    assert all(each.event_time <= gate.clock.now() for each in given)


async def test_the_scope_follows_the_settings_and_is_never_empty_of_effect(gate: Gate) -> None:
    assert gate.sending is not None
    narrow = replace(gate, sending=replace(gate.sending, replies=ReplyScope(by_signature=True)))
    await receive(narrow, "wire", Called(replies=[await said(gate, "TD", "a")]))
    (given,) = await closed_by(gate, await number(gate))
    assert (given.scope.brand, given.scope.purpose) == (SIGNATURE, "marketing")
    gone = replace(gate, sending=replace(gate.sending, replies=ReplyScope(("renamed",))))
    await receive(gone, "wire", Called(replies=[await said(gate, "TD", "b", STRANGER)]))
    (given,) = await closed_by(gate, STRANGER)
    assert (given.scope.purpose, given.scope.channel) == ("", "sms")


async def test_a_ledger_that_fails_is_told_so_that_the_provider_repeats(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> Suppression:
        raise LedgerError("away")

    reply = await said(gate, "TD")
    with monkeypatch.context() as patched:
        patched.setattr(SQLLedger, "add_suppression", broken)
        with pytest.raises(LedgerError):
            await receive(gate, "wire", Called(replies=[reply]))
    assert await is_open(gate)
    await receive(gate, "wire", Called(replies=[reply]))
    assert not await is_open(gate)


async def test_receipts_count_once_in_any_order_and_of_strangers_never(house: House, gate: Gate) -> None:
    assert gate.sending is not None
    sent = await send(gate, KEY, await number(gate))
    done = Receipt("wire", MessageState.DELIVERED, sent.provider_message_id, await number(gate))
    taken = replace(done, state=MessageState.SUBMITTED)
    forged = replace(done, provider_message_id="invented", intent_id="")
    await receive(gate, "wire", Called([done, taken, done, forged]))
    assert [what for _, what in house.counted.arrivals] == ["taken", "repeated", "repeated", "unknown"]
    message = await gate.sending.outbox.message(sent.intent_id)
    assert message is not None
    assert message.state is MessageState.DELIVERED


async def test_a_block_by_the_provider_becomes_an_opt_out_of_sms_once(house: House, gate: Gate) -> None:
    phone = await number(gate)
    sent = await send(gate, KEY, phone)
    block = Receipt(
        "wire", MessageState.FAILED, sent.provider_message_id, phone, code="MBBLACK", is_opted_out=True
    )
    for _ in range(2):
        await receive(gate, "wire", Called([block]))
    (given,) = await closed_by(gate, phone)
    assert (given.scope.purpose, given.scope.channel, given.source) == (
        "marketing",
        "sms",
        "provider_block",
    )
    assert [what for _, what in house.counted.arrivals].count("block") == 1


async def test_every_number_of_one_batch_that_is_blocked_is_closed(gate: Gate) -> None:
    """The vendor knows them all by one id."""
    assert gate.sending is not None
    phones = [Phone(f"+861390000000{n}") for n in range(3)]
    for each in phones:
        sent = await send(gate, each, each, is_settled=False)
        end = Settled(sent.intent_id, MessageState.SUBMITTED, provider_message_id="c-1")
        await gate.sending.outbox.settle("worker", [end], gate.clock.now())
    told = [Receipt("wire", MessageState.FAILED, "c-1", each, "", "W-BLACK", True) for each in phones]
    await receive(gate, "wire", Called([*told, *told]))
    assert [len(await closed_by(gate, each)) for each in phones] == [1, 1, 1]


async def test_a_receipt_of_digits_that_mean_two_numbers_is_of_whom_the_message_went_to(gate: Gate) -> None:
    mainland, foreign = Phone("+8613235551234"), Phone("+13235551234")
    sent = await send(gate, foreign, foreign)
    told = Receipt(
        "wire", MessageState.FAILED, sent.provider_message_id, mainland, "", "MBBLACK", True, also=foreign
    )
    await receive(gate, "wire", Called([told]))
    assert gate.sending is not None
    message = await gate.sending.outbox.message(sent.intent_id)
    assert message is not None
    assert message.state is MessageState.FAILED
    assert (len(await closed_by(gate, foreign)), await closed_by(gate, mainland)) == (1, [])


async def test_a_forged_block_of_no_message_of_ours_closes_nobody(gate: Gate) -> None:
    phone = await number(gate)
    forged = Receipt("wire", MessageState.FAILED, "invented", phone, code="MBBLACK", is_opted_out=True)
    await receive(gate, "wire", Called([forged]))
    assert await closed_by(gate, phone) == []


async def test_a_block_of_ones_own_message_closes_nobody_elses_number(gate: Gate) -> None:
    phone = await number(gate)
    sent = await send(gate, KEY, phone)
    forged = Receipt(
        "wire", MessageState.FAILED, "x", STRANGER, sent.intent_id, "MBBLACK", is_opted_out=True
    )
    await receive(gate, "wire", Called([forged]))
    assert await closed_by(gate, STRANGER) == await closed_by(gate, phone) == []
    await receive(gate, "wire", Called([replace(forged, phone=phone)]))
    assert len(await closed_by(gate, phone)) == 1


async def test_no_entry_holds_a_number_a_text_or_a_provider_id(house: House, gate: Gate) -> None:
    house.log.leaves.clear()
    phone = await number(gate)
    reply = replace(await said(gate, "stop it at once"), reply_id=f"{phone.e164}-77")
    await receive(gate, "wire", Called(replies=[reply]))
    assert [entry.kind for entry in house.entries] == ["admission", "outcome"]
    assert {entry.principal for entry in house.entries} == {"provider:wire"}
    (given,) = await closed_by(gate, phone)
    secrets = (phone.e164[-8:].encode(), b"at once", b"-77")
    assert not any(word in leaf for leaf in house.log.leaves for word in secrets)
    assert phone.e164[-8:] not in given.evidence_ref
