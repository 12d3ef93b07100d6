"""Attacks on sending by what lies between two steps: a night, a pause, a receipt that comes too soon, a used-up limit."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fujie.flows.approvals import approve
from fujie.flows.consent import NOW
from fujie.flows.dispatch import dispatch
from fujie.flows.hearing import LEFT_S, take_left
from fujie.flows.messaging import send_message
from fujie.flows.receipts import receive
from fujie.flows.reply import ApprovalReply, MessageReply, Refusal, SuppressionReply
from fujie.flows.suppression import OptOut, add_suppression
from fujie.model.campaign import CampaignState, Lease
from fujie.model.customer import StoreKey
from fujie.model.errors import LedgerError
from fujie.model.message import Category, Draft, MessageState
from fujie.model.request import RequestContext, SendAsk
from fujie.model.suppression import SuppressionScope
from fujie.ports.providers import Acceptance, Called, Receipt, Submission
from support.house import House, caller
from support.sending import (
    BY_DAY,
    DRAFT,
    POLICY,
    SIGNATURE,
    CountingProvider,
    agree,
    campaign_to,
    keys,
    leases,
    phone_of,
    reasons,
    sending,
    states,
    work_off,
)

ASKS_FIRST = b"""
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: asks-first}
spec:
  match: {actions: [send]}
  validations:
    - name: somebody-agrees
      expression: request.rows < 1
      outcome: approval
      approval: {roles: [privacy_officer], count: 1, valid_for: 24h}
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: officers-decide}
spec:
  match: {actions: [approval.decide, approval.read]}
  roles: [privacy_officer]
"""


async def adults(house: House, count: int) -> list[StoreKey]:
    """Return customers who agreed and whom the shipped policy lets have marketing."""
    found = await house.gate.stores["crm"].fetch_many(keys(200), frozenset({"minor"}), 2.0)
    of_age = sorted(row.key.customer_id for row in found if not row.attributes["minor"])[:count]
    chosen = [StoreKey("crm", each) for each in of_age]
    await agree(house, chosen)
    return chosen


async def opt_out(house: House, key: StoreKey) -> None:
    said = OptOut(key, SuppressionScope(), NOW, "call", "call-1")
    reply = await add_suppression(house.gate, caller("consent-desk"), RequestContext(), said)
    assert isinstance(reply, SuppressionReply)


async def test_a_consent_that_ends_in_the_night_does_not_take_the_morning_from_others(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider, policy=POLICY + BY_DAY)
    at.hands.time = datetime.fromisoformat("2026-11-21T03:00:00+08:00").astimezone(UTC) - timedelta(
        days=365
    )
    at.hands.time += timedelta(hours=2)
    short = await adults(at, 2)
    at.hands.time = datetime.fromisoformat("2026-11-21T03:00:00+08:00").astimezone(UTC)
    agreed = [each for each in await adults(at, 6) if each not in short]
    # The first of their group would else speak for all.
    await agree(at, agreed)
    fresh = [each for each in agreed if each not in short]
    campaign = await campaign_to(at.gate, [*short, *fresh])
    await work_off(at.gate)
    at.hands.time += timedelta(hours=5)
    await work_off(at.gate)
    assert set(provider.times) >= {await phone_of(at, each) for each in fresh}
    assert (await states(at.gate, campaign)).get("PLANNED", 0) == 0


async def test_who_opted_out_is_told_so_at_night_and_takes_the_morning_from_nobody(house: House) -> None:
    provider = CountingProvider()
    serves = POLICY.split(b"---")[-1].replace(b"marketer-sends", b"marketer-serves")
    serves = serves.replace(b"[marketing]", b"[after_sales]")
    at = sending(
        house, provider, policy=POLICY + b"---" + serves + BY_DAY
    )  # no guard of it speaks of opt-outs
    at.hands.time = datetime.fromisoformat("2026-11-21T03:00:00+08:00").astimezone(UTC)
    for out in keys(2):
        await opt_out(at, out)
    campaign = await campaign_to(
        at.gate,
        keys(6),
        Draft(Category.TRANSACTIONAL, SIGNATURE, "您的订单已发货。"),
        purpose="after_sales",
        basis="contract",
        has_basis_evidence=True,
    )
    await work_off(at.gate)
    assert await reasons(at.gate, campaign) == {"CUSTOMER_OPTED_OUT": 2}
    at.hands.time += timedelta(hours=5)
    await work_off(at.gate)
    assert provider.times == dict.fromkeys([await phone_of(at, each) for each in keys(4, 3)], 1)


async def test_what_a_pause_caught_with_a_worker_goes_on_at_once_with_the_campaign(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    campaign = await campaign_to(at.gate, await adults(house, 4))
    outbox = house.ledger.outbox

    class Pausing(CountingProvider):
        async def ready(self, count: int) -> bool:
            await outbox.move_campaign(campaign.id, CampaignState.PAUSED, at.gate.clock.now())
            return True

    paused = sending(house, Pausing())
    async for lease in leases(paused.gate):
        await dispatch(paused.gate, lease)
    await outbox.move_campaign(campaign.id, CampaignState.RUNNING, at.gate.clock.now())
    await work_off(at.gate)  # no lease has to end first
    assert len(provider.got) == 4
    assert await states(at.gate, campaign) == {"SUBMITTED": 4}


async def test_a_claim_during_which_the_machine_slept_is_not_submitted(house: House) -> None:
    """A suspended machine does not count the time on its monotonic clock."""
    provider = CountingProvider()
    at = sending(house, provider)
    campaign = await campaign_to(at.gate, await adults(house, 2))
    outbox = house.ledger.outbox

    class Slept:
        def __getattr__(self, name: str) -> object:
            return getattr(outbox, name)

        async def claim(self, *args: object) -> object:
            claimed = await outbox.claim(*args)  # type: ignore[arg-type]  # passed on as they came
            house.hands.time += timedelta(seconds=20)
            return claimed

    assert at.gate.sending is not None
    slow = replace(at.gate, sending=replace(at.gate.sending, outbox=Slept()))  # type: ignore[arg-type]  # as above
    async for lease in leases(slow):
        await dispatch(slow, lease)
        break
    assert provider.got == []
    assert await states(at.gate, campaign) == {"PLANNED": 2}


LIMITED = b"""
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: paced}
spec: {match: {actions: [send]}, limits: %s}
"""


async def test_who_is_beyond_a_limit_waits_for_it_and_nobody_is_lost(house: House) -> None:
    provider = CountingProvider()
    paced = LIMITED % b"{rows_per_hour: 3, distinct_customers_per_day: 5}"
    at = sending(house, provider, policy=POLICY + paced)
    campaign = await campaign_to(at.gate, await adults(house, 6))
    for later, sent in ((0, 3), (59, 3), (2, 5), (61, 5), (24 * 60, 6)):
        at.hands.time += timedelta(minutes=later)
        await work_off(at.gate)
        assert len(provider.got) == sent
        assert (await states(at.gate, campaign)).get("PLANNED", 0) == 6 - sent
    assert set(provider.times.values()) == {1}
    assert await reasons(at.gate, campaign) == {}


async def test_a_provider_that_is_away_uses_up_no_limit(house: House) -> None:
    """Else an hour's limit would be gone with the first minutes of an outage, and the campaign would wait for another hour."""
    provider = CountingProvider(most=2)
    provider.room = lambda count: False
    at = sending(house, provider, policy=POLICY + LIMITED % b"{rows_per_hour: 4}")
    campaign = await campaign_to(at.gate, await adults(house, 4))
    for _ in range(3):
        lease = await at.ledger.outbox.lease("h", at.hands.now(), 30.0, 500)
        assert lease is not None
        assert (await dispatch(at.gate, lease)).put_back == 4
    assert await states(at.gate, campaign) == {"PLANNED": 4}
    provider.room = lambda count: True
    await work_off(at.gate)
    assert await states(at.gate, campaign) == {"SUBMITTED": 4}


async def test_what_goes_back_unsent_is_counted_once_when_it_is_sent(house: House) -> None:
    provider = CountingProvider(most=2)
    rooms = iter([True, False])
    provider.room = lambda count: next(rooms, True)
    at = sending(house, provider, policy=POLICY + LIMITED % b"{rows_per_hour: 4}")
    campaign = await campaign_to(at.gate, await adults(house, 6))
    for sent in (2, 4, 4):
        lease = await at.ledger.outbox.lease("h", at.hands.now(), 30.0, 4)
        if lease is not None:
            await dispatch(at.gate, lease)
        assert len(provider.got) == sent  # and never more than the limit
    assert await states(at.gate, campaign) == {"SUBMITTED": 4, "PLANNED": 2}
    at.hands.time += timedelta(minutes=62)
    await work_off(at.gate)
    assert await states(at.gate, campaign) == {"SUBMITTED": 6}


async def test_a_limit_that_no_time_opens_refuses(house: House) -> None:
    at = sending(
        house, CountingProvider(), policy=POLICY + LIMITED % b"{rows_per_request: 3, rows_per_hour: 1}"
    )
    campaign = await campaign_to(at.gate, await adults(house, 4))
    await work_off(at.gate)
    assert await reasons(at.gate, campaign) == {"LIMIT_EXCEEDED": 4}


async def test_a_receipt_that_is_faster_than_its_sender_counts(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    campaign = await campaign_to(at.gate, await adults(house, 3))
    heard: list[asyncio.Task[None]] = []

    async def hear() -> None:
        receipts = [
            Receipt(provider.name, MessageState.DELIVERED, f"id-{each.intent_id}", each.phone)
            for each in provider.got
        ]
        heard.append(asyncio.create_task(receive(at.gate, provider.name, Called(receipts=receipts))))
        await asyncio.wait(heard, timeout=0.05)  # as long as it would need to be lost

    provider.meanwhile = hear
    await work_off(at.gate)
    await asyncio.gather(*heard)
    assert await states(at.gate, campaign) == {"DELIVERED": 3}


async def test_an_approval_is_for_one_text_and_no_other(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider, policy=POLICY + ASKS_FIRST)
    (key, _) = await adults(house, 2)
    other = replace(DRAFT, text="今日全场半价，欢迎选购。拒收请回复R")

    async def ask(draft: Draft, approval: str = "") -> MessageReply | Refusal:
        context = RequestContext(purpose="marketing", basis="consent", approval=approval)
        return await send_message(at.gate, caller("marketer"), SendAsk(key, draft, context), 2.0)

    asked = await ask(DRAFT)
    assert isinstance(asked, Refusal)
    name = asked.approval
    told = await approve(
        at.gate, caller("privacy-officer"), RequestContext(), name.removeprefix("approvals/")
    )
    assert isinstance(told, ApprovalReply), told
    refused = await ask(other, name)
    assert isinstance(refused, Refusal)
    assert refused.approval not in ("", name)
    assert provider.got == []
    assert isinstance(await ask(DRAFT, name), MessageReply)
    assert isinstance(await ask(DRAFT, name), Refusal)
    assert [each.text for each in provider.got] == [DRAFT.text]


async def test_a_broken_row_is_refused_and_keeps_nobody_beside_it_from_being_sent(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    campaign = await campaign_to(at.gate, await adults(house, 4))
    outbox = house.ledger.outbox

    class Broken:
        def __getattr__(self, name: str) -> object:
            return getattr(outbox, name)

        async def lease(self, *args: object) -> Lease | None:
            lease = await outbox.lease(*args)  # type: ignore[arg-type]  # passed on as they came
            if lease is None:
                return None
            first, *others = lease.intents
            return replace(lease, intents=(replace(first, sealed=first.sealed[::-1]), *others))

    assert at.gate.sending is not None
    await work_off(replace(at.gate, sending=replace(at.gate.sending, outbox=Broken())))  # type: ignore[arg-type]  # as above
    assert await states(at.gate, campaign) == {"SUBMITTED": 3, "REFUSED": 1}


async def test_a_used_up_limit_says_nothing_of_whom_nothing_would_be_sent_to_anyway(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider, policy=POLICY + LIMITED % b"{distinct_customers_per_day: 2}")
    full = await campaign_to(at.gate, await adults(at, 2))
    await work_off(at.gate)
    assert await states(at.gate, full) == {"SUBMITTED": 2}
    said: list[dict[str, int]] = []
    for has_room in (True, False):
        provider.room = lambda count, has_room=has_room: has_room  # type: ignore[misc]  # a default binds it
        for stranger in keys(2, 150):
            alone = await campaign_to(at.gate, [stranger])
            await work_off(at.gate)
            said.append(await reasons(at.gate, alone))
    assert said == [{"LIMIT_EXCEEDED": 1}] * 4


async def test_one_opt_out_of_a_provider_that_can_not_be_written_takes_no_other_with_it(
    house: House,
) -> None:
    provider = CountingProvider()
    provider.says = lambda message: Submission(Acceptance.REFUSED, code="BLACK", is_opted_out=True)
    at = sending(house, provider)
    people = await adults(at, 3)
    campaign = await campaign_to(at.gate, people)
    inner, left = at.ledger, ["once"]

    class Stumbling:
        def __getattr__(self, name: str) -> object:
            return getattr(inner, name)

        async def add_suppression(self, *args: object) -> object:
            if left:
                raise LedgerError(left.pop())
            return await inner.add_suppression(*args)  # type: ignore[arg-type]  # passed on as they came

    gate = replace(at.gate, ledger=Stumbling())  # type: ignore[arg-type]  # the rest is real
    with pytest.raises(LedgerError):
        await work_off(gate)
    assert await states(at.gate, campaign) == {"FAILED": 3}
    closed = [
        identity
        for each in people
        if (identity := await inner.find((each,))) and await inner.suppressions(identity.sids)
    ]
    assert len(closed) == 2
    at.hands.time += timedelta(seconds=LEFT_S + 1)
    assert await take_left(at.gate) == 1  # nor is it lost itself
    for each in people:
        identity = await inner.find((each,))
        assert identity is not None
        assert len(await inner.suppressions(identity.sids)) == 1
