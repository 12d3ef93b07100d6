"""The process dies at every step of dispatch: nothing is sent twice, and nothing is lost without a word."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from fujie.flows.dispatch import dispatch
from fujie.flows.messaging import send_message
from fujie.flows.reply import MessageReply
from fujie.flows.resolution import resolve
from fujie.model.campaign import Campaign
from fujie.model.errors import LedgerError, StoreError
from fujie.model.message import MessageState
from fujie.model.request import RequestContext, SendAsk
from fujie.ports.providers import Acceptance, Receipt, Submission
from support.fragile import Died, Fuse, fragile, work_until_dead
from support.house import House, caller
from support.sending import (
    DRAFT,
    FINAL,
    CountingProvider,
    agree,
    campaign_to,
    keys,
    leases,
    sending,
    states,
    work_off,
)
from support.stores import Spy

MARKETER = caller("marketer")
PEOPLE = keys(12)


async def house_to_die_in(house: House, provider: CountingProvider) -> House:
    at = sending(house, provider)
    await agree(house, PEOPLE[:5])
    return at


async def revived(at: House) -> None:
    """Do what another process does: later, when leases are over and claims are abandoned."""
    at.hands.time += timedelta(seconds=60)
    await at.ledger.outbox.sweep(at.hands.now(), 5.0)
    await work_off(at.gate)


async def test_a_campaign_survives_a_death_at_every_step(house: House) -> None:
    provider = CountingProvider(most=2)
    at = await house_to_die_in(house, provider)
    whole = Fuse()
    await campaign_to(at.gate, PEOPLE[:7])
    await work_until_dead(at.gate, whole)
    steps = len(whole.passed)
    assert {
        "before outbox.claim",
        "after outbox.claim",
        "before provider.submit",
        "after outbox.settle",
    } < set(whole.passed)
    for moment in range(steps):
        provider.got.clear()
        campaign = await campaign_to(at.gate, PEOPLE[:7])
        await work_until_dead(at.gate, Fuse(moment))
        await revived(at)
        await _proven(at, provider, campaign, whole.passed[moment])


async def _proven(at: House, provider: CountingProvider, campaign: Campaign, moment: str) -> None:
    got = [each.intent_id for each in provider.got]
    assert len(got) == len(set(got)), moment
    known = await states(at.gate, campaign)
    assert sum(known.values()) == 7, moment
    assert known.keys() <= FINAL, (moment, known)
    # Whatever a provider got is known to be there, or not known; and whoever was to get it got it, or is listed.
    assert known.get("SUBMITTED", 0) <= len(got) <= known.get("SUBMITTED", 0) + known.get("UNKNOWN", 0), (
        moment
    )
    assert known.get("SUBMITTED", 0) + known.get("UNKNOWN", 0) + known.get("REFUSED", 0) == 7, moment
    for intent_id in got:
        message = await at.ledger.outbox.message(intent_id)
        assert message is not None
        assert message.state in (MessageState.SUBMITTED, MessageState.UNKNOWN), moment


async def test_what_is_not_known_is_resolved_by_asking_and_never_by_sending(house: House) -> None:
    provider = CountingProvider()
    provider.says = lambda message: Submission(Acceptance.UNKNOWN, code="TIMEOUT")
    at = await house_to_die_in(house, provider)
    campaign = await campaign_to(at.gate, PEOPLE[:3])
    await work_off(at.gate)
    took, never, _ = (each.intent_id for each in provider.got)
    provider.knows = {
        took: Receipt(provider.name, MessageState.DELIVERED, intent_id=took),
        never: Receipt(provider.name, MessageState.FAILED, intent_id=never, code="NOT_TAKEN"),
    }
    at.hands.time += timedelta(minutes=3)
    assert await resolve(at.gate, provider) == 2
    assert await states(at.gate, campaign) == {"DELIVERED": 1, "FAILED": 1, "UNKNOWN": 1}
    assert len(provider.got) == 3


async def test_a_message_alone_survives_a_death_at_every_step(house: House) -> None:
    provider = CountingProvider()
    at = await house_to_die_in(house, provider)

    def ask(number: int) -> SendAsk:
        context = RequestContext(purpose="marketing", basis="consent", request_id=f"r{number}")
        return SendAsk(PEOPLE[0], DRAFT, context)

    async def sent(number: int, fuse: Fuse) -> None:
        gate = fragile(at.gate, fuse)
        with suppress(Died):
            await send_message(gate, MARKETER, ask(number), 2.0)

    whole = Fuse()
    await sent(0, whole)
    assert "after outbox.begin" in whole.passed
    for moment in range(len(whole.passed)):
        provider.got.clear()
        await sent(1 + moment, Fuse(moment))
        at.hands.time += timedelta(seconds=60)
        await at.ledger.outbox.sweep(at.hands.now(), 5.0)
        died_with = len(provider.got)
        again = await send_message(at.gate, MARKETER, ask(1 + moment), 2.0)
        assert isinstance(again, MessageReply), whole.passed[moment]
        assert len(provider.got) <= 1, whole.passed[moment]
        if died_with:
            assert again.message.state in (MessageState.SUBMITTED, MessageState.UNKNOWN), whole.passed[
                moment
            ]
        assert again.message.state is not MessageState.PLANNED


@pytest.mark.parametrize("where", ["ledger", "store"])
async def test_a_store_or_ledger_that_fails_leaves_everyone_planned(house: House, where: str) -> None:
    provider = CountingProvider()
    at = await house_to_die_in(house, provider)
    campaign = await campaign_to(at.gate, PEOPLE[:3])
    if where == "store":
        gate = replace(at.gate, stores={"crm": Spy(at.gate.stores["crm"], StoreError())})
    else:

        class Away:
            def __getattr__(self, name: str) -> object:
                return getattr(house.ledger.outbox, name)

            async def recall_many(self, *args: object) -> None:
                raise LedgerError

        assert at.gate.sending is not None
        away = Away()
        gate = replace(at.gate, sending=replace(at.gate.sending, outbox=away))  # type: ignore[arg-type]  # the rest is real
    async for lease in leases(gate):
        with pytest.raises((StoreError, LedgerError)):
            await dispatch(gate, lease)
    assert await states(at.gate, campaign) == {"PLANNED": 3}
    at.hands.time += timedelta(seconds=60)
    await work_off(at.gate)
    assert len(provider.got) == 3


async def test_a_claim_of_which_nothing_is_known_is_not_submitted(house: House) -> None:
    provider = CountingProvider()
    at = await house_to_die_in(house, provider)
    campaign = await campaign_to(at.gate, PEOPLE[:3])
    outbox = house.ledger.outbox

    class Lost:
        def __getattr__(self, name: str) -> object:
            return getattr(outbox, name)

        async def claim(self, *args: object) -> None:
            await outbox.claim(*args)  # type: ignore[arg-type]  # passed on as they came
            raise LedgerError  # the answer was lost on its way

    assert at.gate.sending is not None
    lost = Lost()
    gate = replace(at.gate, sending=replace(at.gate.sending, outbox=lost))  # type: ignore[arg-type]  # the rest is real
    lease = await outbox.lease("h", at.hands.now(), 30.0, 500)
    assert lease is not None
    with pytest.raises(LedgerError):
        await dispatch(gate, lease)
    assert provider.got == []
    await revived(at)
    assert set(provider.times.values()) <= {1}
    assert sum((await states(at.gate, campaign)).values()) == 3
