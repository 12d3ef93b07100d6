"""Attacks on messages that ask for consent: only by a template that asks, only whom the law lets be asked, once, proven."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fujie.app.shipped import shipped_policies
from fujie.audit.consent_bundle import Standing, verify
from fujie.flows.consent import NOW, ConsentQuery, get_consent, record_consent, withdraw_consent
from fujie.flows.consent_evidence import export_consent_evidence
from fujie.flows.double_opt_in import LEFT_S, record_left
from fujie.flows.gate import Gate, Sending
from fujie.flows.messaging import send_message
from fujie.flows.receipts import receive
from fujie.flows.reply import (
    ConsentReply,
    ConsentStateReply,
    EvidenceReply,
    MessageReply,
    Refusal,
    SuppressionReply,
)
from fujie.flows.suppression import OptOut, add_suppression
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import LedgerError
from fujie.model.message import Category, Draft, MessageState
from fujie.model.request import RequestContext, SendAsk
from fujie.model.suppression import SuppressionScope
from fujie.model.vocabulary import State
from fujie.policy.compile import compile_bundle
from fujie.ports.providers import Acceptance, Called, Reply, Submission
from support.answers import answer, shown
from support.house import House, caller
from support.sending import (
    SIGNATURE,
    CountingProvider,
    agree,
    campaign_to,
    keys,
    phone_of,
    reasons,
    states,
    work_off,
)

KEY, DESK, MARKETER = StoreKey("crm", "C00001"), caller("consent-desk"), caller("marketer")
TEMPLATE = "ask-for-marketing-consent"
DRAFT = Draft(Category.TRANSACTIONAL, SIGNATURE, template=TEMPLATE)
REASON = RequestContext(purpose="consent_request", basis="contract", basis_evidence="A-1")
SENDER = f"""
apiVersion: fujie.dev/v1
kind: Sender
metadata: {{name: test-company}}
spec: {{signature: {SIGNATURE}}}
""".encode()


@pytest.fixture
async def provider() -> CountingProvider:
    return CountingProvider()


@pytest.fixture
async def at(house: House, provider: CountingProvider) -> House:
    """Base as it is shipped, with a sender."""
    return opened(house, provider)


def opened(house: House, provider: CountingProvider, more: Mapping[str, bytes] = {}) -> House:
    with_sender = house.with_policy({"sender.yaml": SENDER, **more})
    ports = Sending(house.ledger.outbox, house.ledger.processors, {provider.name: provider})
    return replace(with_sender, gate=replace(with_sender.gate, sending=ports))


async def ask(
    at: House, ref: CustomerRef = KEY, draft: Draft = DRAFT, context: RequestContext = REASON
) -> str:
    """Ask, and return for what it was refused (nothing: it went out)."""
    reply = await send_message(at.gate, MARKETER, SendAsk(ref, draft, context), 2.0)
    if isinstance(reply, Refusal):
        return reply.reasons[0].code
    assert isinstance(reply, MessageReply)
    return "" if reply.message.state is MessageState.SUBMITTED else reply.message.reason


async def answered(at: House, text: str = "start", reply_id: str = "r-1") -> None:
    said = Reply("counting", reply_id, Phone(await phone_of(at, KEY)), text, at.hands.now(), SIGNATURE)
    await receive(at.gate, "counting", Called(replies=[said]))


async def state(gate: Gate) -> State:
    query = ConsentQuery(KEY, RequestContext(), "marketing", "sms")
    reply = await get_consent(gate, DESK, query)
    assert isinstance(reply, ConsentStateReply)
    return reply.state


async def events(at: House) -> list[ConsentEvent]:
    identity = await at.ledger.enrol((KEY, Phone(await phone_of(at, KEY))), at.hands.now())
    return list(await at.ledger.consent_events(identity.sids, "marketing"))


async def test_a_question_and_its_answer_are_a_consent_with_both_messages_in_its_evidence(
    at: House, provider: CountingProvider
) -> None:
    assert await ask(at) == ""
    (got,) = provider.got
    assert shown(at.gate).text.zh in got.text, "the whole notice, word for word"
    assert "{" not in got.text
    (requested,) = await events(at)
    assert requested.type is ConsentEventType.REQUESTED
    assert requested.evidence_ref == f"messages/{got.intent_id}"
    assert await state(at.gate) is State.REQUESTED
    await answered(at)
    assert await state(at.gate) is State.GIVEN
    reply = await export_consent_evidence(at.gate, DESK, ConsentQuery(KEY, RequestContext(), "marketing"))
    assert isinstance(reply, EvidenceReply)
    log: Any = at.log
    verified = verify(reply.evidence, [log._inner._signer.verifier])
    assert {each.standing for each in verified} == {Standing.PROVEN}
    refs = [event.evidence_ref for event in await events(at)]
    assert refs[1].startswith(f"{refs[0]} replies/"), "the consent names the message and the answer"


async def test_nobody_is_asked_twice_within_the_cool_down_by_any_sender_or_campaign(
    at: House, provider: CountingProvider
) -> None:
    assert await ask(at) == ""
    assert await ask(at) == "CONSENT_NOT_ASKABLE"
    at.hands.time += timedelta(days=29)
    assert await ask(at) == "CONSENT_NOT_ASKABLE"
    campaign = await campaign_to(
        at.gate, [KEY], DRAFT, purpose="consent_request", basis="contract", has_basis_evidence=True
    )
    await work_off(at.gate)
    assert await reasons(at.gate, campaign) == {"CONSENT_NOT_ASKABLE": 1}
    at.hands.time += timedelta(days=2)
    assert await ask(at) == ""
    assert len(provider.got) == 2


async def test_who_refused_withdrew_or_opted_out_is_not_asked(
    at: House, provider: CountingProvider
) -> None:
    refused, withdrawn, closed, brand = keys(4, first=11)
    no = answer(at.gate, refused, type=ConsentEventType.REFUSED)
    assert isinstance(await record_consent(at.gate, DESK, RequestContext(), no), ConsentReply)
    await agree(at, [withdrawn, closed, brand])
    draft = ConsentEvent("", "", "marketing", ConsentEventType.WITHDRAWN, NOW, NOW, "")
    done = await withdraw_consent(at.gate, DESK, withdrawn, RequestContext(), draft)
    assert isinstance(done, ConsentReply)
    for key, scope in ((closed, SuppressionScope("marketing")), (brand, SuppressionScope("", "", "别家"))):
        said = OptOut(key, scope, NOW, "call", "call-1")
        assert isinstance(await add_suppression(at.gate, DESK, RequestContext(), said), SuppressionReply)
    codes = [await ask(at, key) for key in (refused, withdrawn, closed, brand)]
    assert codes == [*["CONSENT_NOT_ASKABLE"] * 2, *["CUSTOMER_OPTED_OUT"] * 2]
    at.hands.time += timedelta(days=365)
    assert [await ask(at, key) for key in (withdrawn, closed, brand)] == [
        "CONSENT_NOT_ASKABLE",
        *["CUSTOMER_OPTED_OUT"] * 2,
    ], "no time brings back what was withdrawn"
    assert provider.got == []


async def test_ten_askers_at_one_moment_ask_once(at: House, provider: CountingProvider) -> None:
    async def slow() -> None:
        await asyncio.sleep(0.02)

    provider.meanwhile = slow
    codes = await asyncio.gather(*(ask(at) for _ in range(10)))
    assert sorted(codes) == ["", *["CONSENT_NOT_ASKABLE"] * 9]
    assert len(provider.got) == 1
    assert len(await events(at)) == 1


async def test_no_other_message_of_the_purpose_and_no_other_purpose_asks(
    at: House, provider: CountingProvider
) -> None:
    promo = Draft(Category.MARKETING, SIGNATURE, "新品到店，欢迎选购。拒收请回复R")
    notice = Draft(Category.TRANSACTIONAL, SIGNATURE, "您好，请回复START")
    assert await ask(at, draft=promo) == "X_MARKETING_FOR_ANOTHER_PURPOSE"
    assert await ask(at, draft=notice) == "X_NO_CONSENT_REQUEST"
    marketing = replace(REASON, purpose="marketing", basis="consent")
    assert await ask(at, context=marketing) != ""
    await agree(at, [KEY])
    assert await ask(at, context=marketing) != "", "not even whom marketing may reach"
    assert provider.got == []
    assert [event.type for event in await events(at)] == [ConsentEventType.GIVEN]


async def test_a_notice_that_is_not_in_force_asks_nothing(house: House, provider: CountingProvider) -> None:
    newer = """
apiVersion: fujie.dev/v1
kind: Notice
metadata: {name: newer-notice}
spec:
  version: "1"
  purposes: [marketing]
  channels: [sms]
  text: {zh: "{controller}问您。可撤回", en: "{controller} asks. Withdraw any time"}
  withdrawal: {zh: "可撤回", en: "Withdraw any time"}
""".encode()
    at = opened(house, provider, {"newer.yaml": newer})
    assert await ask(at) == "NOTICE_MISMATCH"
    assert provider.got == []


@pytest.mark.parametrize(
    ("said", "recorded"),
    [
        (Acceptance.ACCEPTED, 1),
        (Acceptance.UNKNOWN, 1),
        (Acceptance.REFUSED, 0),
    ],
)
async def test_what_may_have_gone_out_counts_as_asked_and_what_certainly_did_not_does_not(
    at: House, provider: CountingProvider, said: Acceptance, recorded: int
) -> None:
    provider.says = lambda message: Submission(said, "id-1" if said is Acceptance.ACCEPTED else "", "CODE")
    await ask(at)
    assert len(await events(at)) == recorded
    at.hands.time += timedelta(seconds=LEFT_S + 1)
    assert await record_left(at.gate) == 0, "nothing is left"
    assert len(await events(at)) == recorded


async def test_a_sender_that_dies_behind_the_wire_leaves_a_question_that_is_recorded_once(
    at: House, provider: CountingProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*args: object) -> ConsentEvent:
        raise LedgerError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(type(at.ledger), "record_consent", dies)
        assert await ask(at) == "", "it went out"
    assert await events(at) == []
    assert await ask(at) == "CONSENT_NOT_ASKABLE", "nobody is asked again meanwhile"
    at.hands.time += timedelta(seconds=LEFT_S + 1)
    assert [await record_left(at.gate) for _ in range(3)] == [1, 0, 0]
    (requested,) = await events(at)
    (got,) = provider.got
    assert requested.evidence_ref == f"messages/{got.intent_id}"
    assert at.hands.time - requested.event_time > timedelta(seconds=LEFT_S), "asked then, not now"
    await answered(at)
    assert await state(at.gate) is State.GIVEN


async def test_a_campaign_that_asks_reaches_those_who_may_be_asked(
    at: House, provider: CountingProvider
) -> None:
    said = OptOut(KEY, SuppressionScope(), NOW, "call", "call-1")
    assert isinstance(await add_suppression(at.gate, DESK, RequestContext(), said), SuppressionReply)
    campaign = await campaign_to(
        at.gate, keys(6), DRAFT, purpose="consent_request", basis="contract", has_basis_evidence=True
    )
    await work_off(at.gate)
    known = await states(at.gate, campaign)
    assert sum(known.values()) == 6
    assert known["SUBMITTED"] == len(provider.got)
    assert await phone_of(at, KEY) not in provider.times


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (("category: transactional", "category: marketing"), "UNKNOWN_CATEGORY"),
        (("{notice}同意", "同意"), "NOTICE_MISSING"),
        (("{notice}同意", "{notice}{notice}同意"), "NOTICE_MISSING"),
        (("notice: marketing-notice", "notice: no-notice"), "UNKNOWN_NOTICE"),
        (("notice: marketing-notice", "notice: after-sales-notice"), "UNKNOWN_NOTICE"),
        (("language: zh", "language: fr"), "UNKNOWN_LANGUAGE"),
        (("asks: {purpose: marketing, notice", "asks: {notice"), "MISSING_KEY"),
        (("  asks: {", "  isks: {"), "UNKNOWN_KEY"),
    ],
)
def test_a_template_that_asks_badly_is_a_load_error(change: tuple[str, str], code: str) -> None:
    base = {path.name: path.read_bytes() for path in (shipped_policies() / "base").glob("*.yaml")}
    text = base["templates.yaml"].decode()
    assert change[0] in text
    found = compile_bundle({**base, "templates.yaml": text.replace(*change).encode()})
    assert isinstance(found, tuple)
    assert code in {each.code for each in found}
