"""Attacks on one message to one customer: who may, once, by whom it goes, and what is told."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any

import pytest

from fujie.audit.entry import EntryKind
from fujie.flows.consent import NOW
from fujie.flows.messaging import get_message, send_message
from fujie.flows.reply import MessageReply, Refusal, ScreenReply, SuppressionReply
from fujie.flows.screen import ScreenAsk, screen_recipients
from fujie.flows.settlement import LATE_S
from fujie.flows.suppression import OptOut, add_suppression
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.message import Category, Claimed, Draft, MessageState
from fujie.model.request import RequestContext, SendAsk
from fujie.model.suppression import SuppressionScope
from fujie.ports.providers import Acceptance, Submission
from support.house import House, caller
from support.sending import (
    BY_DAY,
    DRAFT,
    POLICY,
    SIGNATURE,
    CountingProvider,
    agree,
    keys,
    phone_of,
    refs_of,
    sending,
)

MARKETER, AGENT, DESK = caller("marketer"), caller("support-agent"), caller("consent-desk")
KEY = StoreKey("crm", "C00001")
ONCE = b"""
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: seldom}
spec: {match: {actions: [send]}, frequency: {per_day: 1}}
"""
CODE = """
---
apiVersion: fujie.dev/v1
kind: MessageTemplate
metadata: {name: sale}
spec:
  version: "1"
  category: marketing
  text: "{name}您好，新品到店。拒收请回复R"
  variables: {name: 5}
  codes: {aliyun: SMS_1}
""".encode()


def ask(ref: CustomerRef = KEY, request_id: str = "", draft: Draft = DRAFT, **more: object) -> SendAsk:
    context = RequestContext(purpose="marketing", basis="consent", request_id=request_id)
    return replace(SendAsk(ref, draft, context), **more)  # type: ignore[arg-type]  # a table of changes


async def code_of(at: House, asked: SendAsk, by: str = "marketer") -> str:
    reply = await send_message(at.gate, caller(by), asked, 2.0)
    return reply.reasons[0].code if isinstance(reply, Refusal) else ""


@pytest.fixture
async def provider() -> CountingProvider:
    return CountingProvider()


@pytest.fixture
async def at(house: House, provider: CountingProvider) -> House:
    opened = sending(house, provider)
    await agree(opened, [KEY])
    opened.log.leaves.clear()
    return opened


async def sent(at: House, asked: SendAsk) -> MessageReply:
    reply = await send_message(at.gate, MARKETER, asked, 2.0)
    assert isinstance(reply, MessageReply), reply
    return reply


async def test_a_message_goes_out_once_with_its_release_before_it(
    at: House, provider: CountingProvider
) -> None:
    kinds: list[str] = []

    async def look() -> None:
        kinds.extend(entry.kind for entry in at.entries)

    provider.meanwhile = look
    reply = await sent(at, ask())
    assert kinds == ["release"]
    assert [entry.kind for entry in at.entries] == ["release", "outcome"]
    assert at.entries[0].facts["message.id"] == reply.message.id
    (got,) = provider.got
    assert (got.text, got.signature, got.phone.e164) == (DRAFT.text, SIGNATURE, await phone_of(at, KEY))
    assert reply.message.state is MessageState.SUBMITTED
    assert (reply.message.segments, reply.message.provider_message_id) == (1, f"id-{got.intent_id}")
    assert reply.summary.decision_id == at.entries[0].decision_id


async def test_a_repeat_returns_the_first_message_and_sends_nothing(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider, policy=POLICY + b"  limits: {rows_per_hour: 1}\n" + ONCE)
    await agree(at, [KEY])
    first = await sent(at, ask(request_id="r-1"))
    again = await sent(at, ask(request_id="r-1"))  # although limit and cap are used up, by itself
    assert again.message == first.message
    assert len(provider.got) == 1
    other = replace(DRAFT, text="另一条。拒收请回复R")
    assert await code_of(at, ask(request_id="r-1", draft=other)) == "REQUEST_ID_REUSED"
    assert await code_of(at, ask(request_id="r-1", params={"x": "1"})) == "REQUEST_ID_REUSED"
    assert await code_of(at, ask()) == "LIMIT_EXCEEDED"


async def test_of_whom_there_is_nobody_an_asker_learns_what_he_learns_of_who_did_not_agree(
    house: House,
) -> None:
    """Not that nobody knows what was sent to him, or which hour he has: that is no reason, and tells that he is not there."""
    at = sending(house, CountingProvider(), policy=POLICY + ONCE + BY_DAY)
    missing, silent = StoreKey("crm", "C99999"), KEY
    for who, expected in ((MARKETER, ("CONSENT_MISSING",)), (AGENT, ("NO_GRANT",))):
        for ref in (missing, silent):
            reply = await send_message(at.gate, who, ask(ref), 2.0)
            assert isinstance(reply, Refusal)
            assert tuple(hit.code for hit in reply.reasons) == expected
    told = [reply async for reply in screened(at, [missing, silent])]
    (both,) = told
    assert isinstance(both, ScreenReply)
    assert both.places[0] == both.places[1]
    recorded = [entry.reasons for entry in at.entries if "CONSENT_MISSING" in entry.reasons]
    assert "FACT_MISSING" in recorded[0], "the entry has all of it, as a replay decides it"


def screened(at: House, refs: Sequence[CustomerRef]) -> AsyncIterator[ScreenReply | Refusal]:
    async def batches() -> AsyncIterator[Sequence[CustomerRef]]:
        yield refs

    context = RequestContext(purpose="marketing", basis="consent")
    return screen_recipients(at.gate, MARKETER, ScreenAsk(context, DRAFT, {}), batches())


async def test_repeats_at_one_moment_are_one_message(at: House, provider: CountingProvider) -> None:
    replies = await asyncio.gather(*(sent(at, ask(request_id="r-1")) for _ in range(5)))
    assert len({reply.message.id for reply in replies}) == 1
    assert len(provider.got) == 1


async def test_a_cap_on_frequency_counts_what_went_out_and_two_at_once_are_one(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider, policy=POLICY + ONCE)
    await agree(at, [KEY])
    codes = await asyncio.gather(*(code_of(at, ask()) for _ in range(4)))
    assert sorted(codes) == ["", *["FREQUENCY_EXCEEDED"] * 3]
    assert len(provider.got) == 1
    at.hands.time += timedelta(hours=24)
    assert await code_of(at, ask()) == ""


async def test_who_has_no_grant_is_told_the_same_of_everybody_and_everything(
    at: House, provider: CountingProvider
) -> None:
    said = OptOut(StoreKey("crm", "C00002"), SuppressionScope(), NOW, "call", "call-1")
    assert isinstance(await add_suppression(at.gate, DESK, RequestContext(), said), SuppressionReply)
    asked = [
        ask(KEY), ask(StoreKey("crm", "C00002")), ask(StoreKey("crm", "C99999")), ask(StoreKey("none", "x")),
        ask(Phone("+8613912340000")), ask(draft=replace(DRAFT, template="none")),
        ask(draft=replace(DRAFT, provider="none")), ask(params={"odd": "1"}),
    ]  # fmt: skip
    told = [await send_message(at.gate, AGENT, each, 2.0) for each in asked]
    assert all(isinstance(each, Refusal) for each in told)
    assert {each.reasons for each in told if isinstance(each, Refusal)} == {told[0].reasons}  # type: ignore[union-attr]  # said above
    assert {each.field for each in told if isinstance(each, Refusal)} == {""}
    assert told[0].reasons[0].code == "NO_GRANT"  # type: ignore[union-attr]  # said above
    assert provider.got == []


async def test_an_opt_out_is_obeyed_also_where_no_policy_speaks_of_it(house: House) -> None:
    provider = CountingProvider()
    more = (
        POLICY.replace(b"marketer-sends", b"marketer-serves").replace(b"[marketing]", b"[after_sales]")
    ).split(b"---")[-1]
    at = sending(house, provider, policy=POLICY + b"---" + more)
    said = OptOut(KEY, SuppressionScope(), NOW, "call", "call-1")
    assert isinstance(await add_suppression(at.gate, DESK, RequestContext(), said), SuppressionReply)
    context = RequestContext(purpose="after_sales", basis="contract", basis_evidence="order-7")
    draft = Draft(Category.TRANSACTIONAL, SIGNATURE, "您的订单已发货。")
    assert await code_of(at, SendAsk(KEY, draft, context)) == "CUSTOMER_OPTED_OUT"
    assert await code_of(at, SendAsk(StoreKey("crm", "C00002"), draft, context)) == ""
    assert len(provider.got) == 1


async def test_what_can_not_be_resolved_is_told(house: House) -> None:
    aliyun, plain = CountingProvider("aliyun"), CountingProvider("plain")
    aliyun.needs_template = True
    at = sending(house, aliyun, plain, policy=POLICY + CODE)
    await agree(at, [KEY])
    sale = replace(DRAFT, text="", template="sale")
    wrong: dict[str, SendAsk] = {
        "UNKNOWN_TEMPLATE": ask(draft=replace(DRAFT, text="", template="none")),
        "UNKNOWN_PROVIDER": ask(draft=replace(DRAFT, provider="none")),
        "TEMPLATE_NEEDED": ask(draft=replace(DRAFT, provider="aliyun")),
        "TEMPLATE_PARAMS": ask(draft=sale),
        "ARGUMENT_INVALID": ask(draft=replace(sale, category=Category.TRANSACTIONAL), params={"name": "a"}),
    }
    assert {code: await code_of(at, asked) for code, asked in wrong.items()} == {
        code: code for code in wrong
    }
    assert await code_of(at, ask(draft=replace(DRAFT, text="看 {link} 拒收请回复R"))) == "TEMPLATE_PARAMS"
    assert await code_of(at, ask(draft=sale, params={"name": "王女士"})) == ""
    assert await code_of(at, ask()) == ""
    assert [(each.code, dict(each.params)) for each in aliyun.got] == [("SMS_1", {"name": "王女士"})]
    assert [each.text for each in plain.got] == [DRAFT.text]
    off = replace(at, gate=replace(at.gate, sending=None))
    assert await code_of(off, ask()) == "MESSAGING_OFF"


async def test_a_link_is_new_each_time_and_the_ledger_knows_its_digest_alone(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider, page_url="https://p.example/c/")
    await agree(at, [KEY])
    draft = replace(DRAFT, text="详情 {link} 拒收请回复R")
    tokens = []
    for _ in range(2):
        reply = await send_message(at.gate, MARKETER, ask(draft=draft), 2.0)
        assert isinstance(reply, MessageReply), reply.reasons
        token = provider.got[-1].text.split("/c/")[1].split()[0]
        found = await house.ledger.outbox.link(hashlib.sha256(token.encode()).digest())
        assert found is not None
        assert found.intent_id == reply.message.id
        tokens.append(token)
    assert len(set(tokens)) == 2
    assert {len(token) for token in tokens} == {22}
    assert not any(token.encode() in leaf for token in tokens for leaf in at.log.leaves)


async def test_the_next_provider_is_asked_only_when_the_first_certainly_did_not_take_it(
    house: House,
) -> None:
    first, second = CountingProvider("first"), CountingProvider("second")
    at = sending(house, first, second)
    await agree(at, [KEY])
    first.says = lambda message: Submission(Acceptance.RETRY, code="CONNECT")
    assert (await sent(at, ask())).message.provider == "second"
    first.says = lambda message: Submission(Acceptance.UNKNOWN, code="TIMEOUT")
    assert (await sent(at, ask())).message.state is MessageState.UNKNOWN
    first.says = lambda message: Submission(Acceptance.REFUSED, code="BAD")
    assert (await sent(at, ask())).message.state is MessageState.FAILED
    assert len(second.got) == 1
    first.says = second.says = lambda message: Submission(Acceptance.RETRY, code="CONNECT")
    failed = (await sent(at, ask())).message
    assert (failed.state, failed.reason) == (MessageState.FAILED, "CONNECT")
    named = (await sent(at, ask(draft=replace(DRAFT, provider="first")))).message
    assert (named.state, named.provider, len(second.got)) == (MessageState.FAILED, "first", 2)


async def test_an_opt_out_between_two_providers_is_obeyed(house: House) -> None:
    first, second = CountingProvider("first"), CountingProvider("second")
    at = sending(house, first, second)
    await agree(at, [KEY])
    first.says = lambda message: Submission(Acceptance.RETRY, code="CONNECT")

    async def stop() -> (
        None
    ):  # written straight into the ledger: the confirmation would wait for this very message
        identity = await house.ledger.enrol(await refs_of(at, KEY), at.hands.now())
        from support.identities import opt_out

        await house.ledger.add_suppression(opt_out(identity.sid, at.hands.now()), "", "")

    first.meanwhile = stop
    assert await code_of(at, ask()) == "CUSTOMER_OPTED_OUT"
    assert (len(first.got), len(second.got)) == (1, 0)


async def test_no_room_anywhere_sends_nothing_and_says_so(house: House) -> None:
    first, second = CountingProvider("first"), CountingProvider("second")
    first.room = lambda count: False
    at = sending(house, first, second)
    await agree(at, [KEY])
    assert (await sent(at, ask())).message.provider == "second"
    second.room = first.room
    message = (await sent(at, ask(request_id="r-1"))).message
    assert (message.state, message.reason) == (MessageState.FAILED, "PROVIDER_FAILED")
    assert (await sent(at, ask(request_id="r-1"))).message.id == message.id
    assert len(second.got) == 1


@pytest.mark.parametrize("slow", [1, 7])
async def test_a_message_that_met_a_slow_ledger_goes_out_by_the_same_provider_once_that_answers(
    house: House, monkeypatch: pytest.MonkeyPatch, slow: int
) -> None:
    """What was claimed too long ago is decided on anew: the only provider has not refused it, and nothing has failed."""
    first, second = CountingProvider("first"), CountingProvider("second")
    at = sending(house, first, second)
    await agree(at, [KEY])
    assert at.gate.sending is not None
    outbox, times = at.gate.sending.outbox, count()
    claim = outbox.claim

    async def slowly(*given: Any) -> Claimed:
        claimed = await claim(*given)
        if next(times) < slow:
            at.hands.time += timedelta(seconds=LATE_S + 1)
        return claimed

    monkeypatch.setattr(outbox, "claim", slowly)
    message = (await sent(at, ask())).message
    assert (message.state, message.provider, message.reason) == (MessageState.SUBMITTED, "first", "")
    assert (len(first.got), len(second.got)) == (1, 0)


async def test_a_message_that_meets_a_slow_ledger_again_and_again_fails_and_nothing_goes_out(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    await agree(at, [KEY])
    assert at.gate.sending is not None
    outbox = at.gate.sending.outbox
    claim = outbox.claim

    async def slowly(*given: Any) -> Claimed:
        claimed = await claim(*given)
        at.hands.time += timedelta(seconds=LATE_S + 1)
        return claimed

    monkeypatch.setattr(outbox, "claim", slowly)
    message = (await sent(at, ask())).message
    assert (message.state, message.reason) == (MessageState.FAILED, "PROVIDER_FAILED")
    assert provider.got == []


async def test_a_call_that_ends_early_leaves_no_message_half_sent(
    at: House, provider: CountingProvider
) -> None:
    there, answer = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        there.set()
        await answer.wait()

    provider.meanwhile = wait
    call = asyncio.create_task(send_message(at.gate, MARKETER, ask(request_id="r-1"), 2.0))
    await there.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert at.gate.sending is not None
    (under_way,) = at.gate.sending.under_way
    answer.set()
    await under_way
    assert (await sent(at, ask(request_id="r-1"))).message.state is MessageState.SUBMITTED
    assert len(provider.got) == 1


async def test_a_message_is_told_to_its_requester_and_to_nobody_without_a_grant(at: House) -> None:
    message = (await sent(at, ask())).message
    told = await get_message(at.gate, MARKETER, RequestContext(), message.id)
    assert isinstance(told, MessageReply)
    assert told.message == message
    for by, name, code in (
        (AGENT, message.id, "NO_GRANT"),
        (AGENT, "no-such", "NO_GRANT"),
        (MARKETER, "no-such", "MESSAGE_NOT_FOUND"),
    ):
        refused = await get_message(at.gate, by, RequestContext(), name)
        assert isinstance(refused, Refusal)
        assert refused.reasons[0].code == code


async def test_a_number_leads_to_the_consent_of_the_customer_who_has_it(
    at: House, provider: CountingProvider
) -> None:
    assert await code_of(at, ask(Phone(await phone_of(at, KEY)))) == ""
    assert await code_of(at, ask(Phone("+8613912340000"))) == "CONSENT_MISSING"
    assert len(provider.got) == 1


async def test_a_refused_message_is_written_down_with_whom_it_was_for(at: House) -> None:
    (other,) = keys(1, first=2)
    assert await code_of(at, ask(other)) == "CONSENT_MISSING"
    (entry,) = at.entries
    sid = (await at.ledger.enrol(await refs_of(at, other), at.hands.now())).sid
    assert (entry.kind, entry.effect, entry.sids[0]) == (EntryKind.DECISION, "DENY", sid)
