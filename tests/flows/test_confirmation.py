"""Attacks on the text that confirms a "stop": once, to who said it, through who brought it, and never anything else."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fujie.audit.errors import AuditError
from fujie.flows import confirmation, settlement
from fujie.flows.consent import NOW
from fujie.flows.gate import Confirmation, Gate, Sending
from fujie.flows.receipts import receive
from fujie.flows.reply import SuppressionReply
from fujie.flows.suppression import OptOut, add_suppression
from fujie.model.customer import Phone
from fujie.model.errors import LedgerError
from fujie.model.request import RequestContext
from fujie.model.suppression import SuppressionScope
from fujie.ports.providers import Acceptance, Called, Reply, Submission
from support.house import House, caller
from support.sending import DRAFT, SIGNATURE, CountingProvider, agree, campaign_to, keys, states, work_off

PHONE, ABROAD = Phone("+8613912340001"), Phone("+14155550100")
SENDER = f"""
apiVersion: fujie.dev/v1
kind: Sender
metadata: {{name: test-company}}
spec: {{signature: {SIGNATURE}}}
""".encode()
TEXTS = {"zh": "stop-confirmed-zh", "en": "stop-confirmed-en"}


@pytest.fixture
async def provider() -> CountingProvider:
    return CountingProvider()


@pytest.fixture
async def at(house: House, provider: CountingProvider) -> House:
    return confirming(house, provider)


def confirming(
    house: House,
    provider: CountingProvider,
    texts: Mapping[str, str] = TEXTS,
    silent: frozenset[str] = frozenset(),
    more: bytes = b"",
) -> House:
    with_sender = house.with_policy({"sender.yaml": SENDER + more})
    ports = Sending(
        house.ledger.outbox,
        house.ledger.processors,
        {provider.name: provider},
        confirmation=Confirmation(texts, SIGNATURE, silent) if texts else None,
    )
    return replace(with_sender, gate=replace(with_sender.gate, sending=ports))


async def replies(
    gate: Gate, text: str = "TD", reply_id: str = "r-1", phone: Phone = PHONE, by: str = "counting"
) -> None:
    said = Reply(by, reply_id, phone, text, gate.clock.now(), SIGNATURE)
    await receive(gate, by, Called(replies=[said]))
    assert gate.sending is not None
    await asyncio.gather(*gate.sending.under_way)


async def test_a_stop_is_confirmed_once_in_the_language_of_the_number_behind_its_evidence(
    at: House, provider: CountingProvider
) -> None:
    kinds: list[tuple[str, str]] = []

    async def look() -> None:
        kinds.extend((entry.kind, entry.action) for entry in at.entries)

    provider.meanwhile = look
    await replies(at.gate)
    await replies(at.gate, reply_id="r-2", phone=ABROAD)
    zh, en = provider.got
    assert "退订" in zh.text
    assert "unsubscribed" in en.text
    assert (zh.phone, en.phone, zh.signature) == (PHONE, ABROAD, SIGNATURE)
    opted_out, released = kinds.index(("outcome", "suppression.add")), kinds.index(("release", "send"))
    assert opted_out < released, "the opt-out is done before anything is sent"
    entries = [entry for entry in at.entries if entry.action == "send"]
    assert [entry.kind for entry in entries] == ["release", "outcome"] * 2
    assert str(entries[0].facts["message.answers"]).startswith("replies/")
    assert PHONE.e164 not in str(entries)


async def test_repeats_and_further_stops_are_not_confirmed_again(
    at: House, provider: CountingProvider
) -> None:
    await replies(at.gate)
    for reply_id in ("r-1", "r-2", "r-3"):
        await replies(at.gate, reply_id=reply_id)
        at.hands.time += timedelta(days=2)
    assert len(provider.got) == 1
    others = [replies(at.gate, reply_id=f"x-{n}", phone=ABROAD) for n in range(8)]
    await asyncio.gather(*others)
    assert provider.times[ABROAD.e164] <= 1, "stops at one moment are confirmed once, or not at all"


async def test_digits_of_two_numbers_by_which_nobody_is_known_are_closed_and_get_no_answer(
    at: House, provider: CountingProvider
) -> None:
    """Half of the time it would go to somebody on another continent who never wrote to us."""
    mainland, foreign = Phone("+8613235551234"), Phone("+13235551234")
    said = Reply("counting", "r-1", mainland, "TD", at.hands.now(), SIGNATURE, foreign)
    await receive(at.gate, "counting", Called(replies=[said]))
    assert at.gate.sending is not None
    await asyncio.gather(*at.gate.sending.under_way)
    assert provider.got == []
    identity = await at.ledger.find((mainland,))
    assert identity is not None
    assert await at.ledger.suppressions(identity.sids)


@pytest.mark.parametrize("text", ["别再给我发了", "please stop it", "start", "谢谢", ""])
async def test_nothing_but_a_plain_stop_is_answered(
    at: House, provider: CountingProvider, text: str
) -> None:
    await replies(at.gate, text)
    assert provider.got == []


async def test_who_had_opted_out_before_gets_no_word(at: House, provider: CountingProvider) -> None:
    said = OptOut(PHONE, SuppressionScope(), NOW, "call", "call-1")
    done = await add_suppression(at.gate, caller("consent-desk"), RequestContext(), said)
    assert isinstance(done, SuppressionReply)
    await replies(at.gate)
    assert provider.got == []


async def test_a_provider_that_confirms_by_itself_and_no_template_are_silent(
    house: House, provider: CountingProvider
) -> None:
    table: list[dict[str, Any]] = [
        {"silent": frozenset({"counting"})},
        {"texts": {}},
        {"texts": {"zh": "no-such-template"}},
        {"texts": {"zh": "ask-for-marketing-consent"}},
    ]
    for changes in table:
        at = confirming(house, provider, **changes)
        await replies(at.gate, reply_id=str(changes))
    assert provider.got == []


@pytest.mark.parametrize(
    ("category", "text"),
    [
        ("marketing", "已退订。"),
        ("transactional", "已退订，{name}。"),
        ("transactional", "已退订，详情{link}"),
        ("transactional", "已退订，国家级品质见 http://evil.example.org/a"),
        ("transactional", "已退订，本店商品国家级最佳"),
    ],
)
async def test_no_advertisement_and_no_link_goes_out_as_a_confirmation(
    house: House, provider: CountingProvider, category: str, text: str
) -> None:
    more = f"""
---
apiVersion: fujie.dev/v1
kind: MessageTemplate
metadata: {{name: mine}}
spec:
  version: "1"
  category: {category}
  text: "{text}"
{"  variables: {name: 5}" if "{name}" in text else ""}
""".encode()
    at = confirming(house, provider, {"zh": "mine"}, more=more)
    await replies(at.gate)
    assert provider.got == []


@pytest.mark.parametrize("said", [Acceptance.REFUSED, Acceptance.RETRY, Acceptance.UNKNOWN])
async def test_what_a_provider_does_not_take_is_not_sent_again(
    at: House, provider: CountingProvider, said: Acceptance
) -> None:
    provider.says = lambda message: Submission(said, "", "CODE")
    for n in range(3):
        await replies(at.gate, reply_id=f"r-{n}")
    assert len(provider.got) == 1


@pytest.mark.parametrize("method", ["begin", "claim", "settle", "recall_many"])
async def test_a_ledger_that_fails_costs_the_confirmation_and_not_the_opt_out(
    at: House, provider: CountingProvider, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*args: object) -> None:
        raise LedgerError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(type(at.ledger.outbox), method, fails)
        await replies(at.gate)
    monkeypatch.setattr(settlement, "MOST_S", 0.0)  # what was not settled is waited for in vain
    assert len(provider.got) == (1 if method == "settle" else 0)
    assert ("counting", "confirmation_failed") in at.counted.arrivals
    await replies(at.gate, reply_id="r-2")
    assert len(provider.got) <= 1
    identity = await at.ledger.number(PHONE, at.hands.now())
    assert await at.ledger.suppressions(identity.sids)


async def test_without_evidence_nothing_is_confirmed(
    at: House, provider: CountingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*args: object) -> None:
        raise AuditError("disk")

    monkeypatch.setattr(confirmation, "record", fails)
    await replies(at.gate)
    assert provider.got == []


async def test_behind_a_confirmed_stop_no_campaign_message_goes_out(
    at: House, provider: CountingProvider
) -> None:
    (key,) = keys(1)
    await agree(at, [key])
    (row,) = await at.gate.stores["crm"].fetch(key, frozenset(), frozenset(), 2.0)
    campaign = await campaign_to(at.gate, [key])
    await replies(at.gate, phone=Phone(row.phone))
    await work_off(at.gate)
    assert await states(at.gate, campaign) == {"REFUSED": 1}
    (got,) = provider.got
    assert got.text != DRAFT.text
