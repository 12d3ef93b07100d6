"""What a provider says once is not lost: the process dies at every step behind the reading of it, and somebody is heard all the same."""

import asyncio
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.app import dispatching
from fujie.app.dispatching import Dispatching
from fujie.audit.errors import SealBroken
from fujie.flows import hearing
from fujie.flows.hearing import LEFT_S, keep, opened, sealed, take, take_left
from fujie.flows.resolution import resolve
from fujie.model.customer import CustomerRef, Phone
from fujie.model.errors import LedgerError
from fujie.model.message import MessageState
from fujie.ports.messaging import Heard
from fujie.ports.providers import Acceptance, Called, Receipt, Reply, Submission
from support.fragile import Died, Fuse, fragile, work_until_dead
from support.house import House
from support.sending import (
    CountingProvider,
    agree,
    campaign_to,
    keys,
    sending,
    states,
    work_off,
)

NUMBERS = (Phone(f"+861390000{number:04d}") for number in count(1))
LATER = timedelta(seconds=LEFT_S + 1)


async def is_closed(at: House, ref: CustomerRef) -> bool:
    identity = await at.ledger.find((ref,))
    return identity is not None and bool(await at.ledger.suppressions(identity.sids))


async def left(at: House) -> list[Heard]:
    return list(await at.ledger.outbox.heard(at.hands.now() + LATER, 100))


async def revived(at: House) -> None:
    """Do what another process does, later."""
    at.hands.time += timedelta(seconds=60)
    await at.ledger.outbox.sweep(at.hands.now(), 5.0)
    await take_left(at.gate)
    assert await left(at) == []


def stop(at: House, phone: Phone) -> Called:
    return Called(replies=[Reply("counting", f"r-{phone.e164}", phone, "TD", at.hands.now())])


async def test_a_stop_that_was_pulled_is_heard_wherever_the_process_dies_behind_its_keeping(
    house: House,
) -> None:
    at = sending(house, CountingProvider())

    async def heard(fuse: Fuse) -> Phone:
        phone, gate = next(NUMBERS), fragile(at.gate, fuse)
        with suppress(Died):
            kept = await keep(gate, "counting", stop(at, phone))
            assert kept is not None
            await take(gate, kept)
        return phone

    whole = Fuse()
    assert await is_closed(at, await heard(whole))
    assert await left(at) == []
    for moment in range(whole.passed.index("after outbox.keep_heard"), len(whole.passed)):
        phone = await heard(Fuse(moment))
        await revived(at)
        assert await is_closed(at, phone), whole.passed[moment]


async def test_who_opted_out_at_the_provider_is_closed_wherever_the_sender_dies_behind_the_outcome(
    house: House,
) -> None:
    provider = CountingProvider()
    provider.says = lambda message: Submission(Acceptance.REFUSED, code="BLACK", is_opted_out=True)
    at = sending(house, provider)
    rows = await house.gate.stores["crm"].fetch_many(keys(60), frozenset(), 2.0)
    people = iter([row.key for row in rows if row.phone])

    async def sent(fuse: Fuse) -> CustomerRef:
        person = next(people)
        await agree(at, [person])
        await campaign_to(at.gate, [person])
        await work_until_dead(at.gate, fuse)
        return person

    whole = Fuse()
    assert await is_closed(at, await sent(whole))
    assert await left(at) == []
    behind = range(
        whole.passed.index("after outbox.settle"), whole.passed.index("after outbox.forget_heard")
    )
    assert len(behind) > 5
    for moment in behind:
        before = len(provider.got)
        person = await sent(Fuse(moment))
        await revived(at)
        was_sent = len(provider.got) > before  # one of them has a number that nothing is sent to
        assert was_sent is await is_closed(at, person), whole.passed[moment]
    assert len(provider.got) >= len(behind)
    assert set(provider.times.values()) == {1}


@pytest.mark.parametrize("is_committed", [False, True])
async def test_who_opted_out_at_the_provider_is_closed_though_the_ledger_fails_when_it_is_to_be_kept(
    house: House, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    """Whether or not the transaction that says it failed was committed, and though the ledger stays away for a while."""
    provider = CountingProvider()
    provider.says = lambda message: Submission(Acceptance.REFUSED, code="BLACK", is_opted_out=True)
    at = sending(house, provider)
    (person,) = keys(1)
    await agree(at, [person])
    await campaign_to(at.gate, [person])
    outbox = at.ledger.outbox
    settle = outbox.settle

    async def fails(*what: Any) -> None:
        if is_committed:
            await settle(*what)
        raise LedgerError("the connection is lost")

    async def away(_: Heard) -> None:
        raise LedgerError("the ledger is away")

    with monkeypatch.context() as broken:
        broken.setattr(outbox, "settle", fails)
        with pytest.raises(LedgerError):
            await work_off(at.gate)
        broken.setattr(outbox, "keep_heard", away)
        with pytest.raises(LedgerError):
            await take_left(at.gate)
    assert not await is_closed(at, person)
    await revived(at)
    assert await is_closed(at, person)
    provider.says = lambda message: Submission(Acceptance.ACCEPTED, "id")
    await campaign_to(at.gate, [person])
    await work_off(at.gate)
    assert len(provider.got) == 1


async def test_a_worker_that_ends_keeps_what_could_not_be_kept_before(house: House) -> None:
    at, phone = sending(house, CountingProvider()), next(NUMBERS)
    ports = at.gate.sending
    assert ports is not None
    task = asyncio.create_task(Dispatching(at.gate, ports).run())
    await asyncio.sleep(0)
    ports.unkept.append(sealed(at.gate, "counting", stop(at, phone)))
    task.cancel()
    await asyncio.wait({task})
    assert ports.unkept == []
    await revived(at)
    assert await is_closed(at, phone)


async def test_an_opt_out_that_a_query_tells_of_is_not_lost_between_its_two_writes(house: House) -> None:
    """Once the message is known to have failed nobody asks for it again."""
    provider = CountingProvider()
    provider.says = lambda message: Submission(Acceptance.UNKNOWN, code="TIMEOUT")
    at = sending(house, provider)
    (person,) = keys(1)
    await agree(at, [person])
    campaign = await campaign_to(at.gate, [person])
    await work_off(at.gate)
    (got,) = provider.got
    told = Receipt(provider.name, MessageState.FAILED, "", got.phone, got.intent_id, "BLACK", True)
    provider.knows = {got.intent_id: told}
    at.hands.time += timedelta(minutes=3)
    for moment in range(99):
        fuse = Fuse(moment)
        gate = fragile(at.gate, fuse)
        assert gate.sending is not None
        with suppress(Died):
            await resolve(gate, gate.sending.providers[provider.name])
        at.hands.time += timedelta(minutes=3)  # until it is asked about again
        if await states(at.gate, campaign) == {"FAILED": 1}:
            break
    assert await states(at.gate, campaign) == {"FAILED": 1}
    assert not await is_closed(at, Phone(got.phone.e164))
    await revived(at)
    assert await is_closed(at, Phone(got.phone.e164))


async def test_a_worker_that_is_told_to_end_keeps_what_is_being_pulled(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "END_S", 0.01)
    asked, answer, phone = asyncio.Event(), asyncio.Event(), next(NUMBERS)

    class Slow(CountingProvider):
        async def poll(self) -> Called:
            asked.set()
            await answer.wait()
            return stop(house, phone)

    at = sending(house, Slow())
    ports = at.gate.sending
    assert ports is not None
    task = asyncio.create_task(Dispatching(at.gate, ports).run())
    await asked.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    answer.set()
    await asyncio.gather(*ports.under_way)
    assert not await is_closed(at, phone)
    await revived(at)
    assert await is_closed(at, phone)


async def test_however_much_can_not_be_read_any_more_it_keeps_no_other_from_being_heard(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither what stands elsewhere than it was sealed for, nor what a newer version kept in a form of its own."""
    monkeypatch.setattr(hearing, "_AT_A_TIME", 2)
    at, phone = sending(house, CountingProvider()), next(NUMBERS)
    good = sealed(at.gate, "counting", stop(at, phone))
    for number in range(3):
        await at.ledger.outbox.keep_heard(replace(good, heard_id=f"{number}-moved"))
    with monkeypatch.context() as newer:
        newer.setattr(hearing, "asdict", lambda each: {**asdict(each), "mood": "angry"})
        await at.ledger.outbox.keep_heard(sealed(at.gate, "counting", stop(at, phone)))
    assert len(odd := await left(at)) == 4
    await at.ledger.outbox.keep_heard(good)
    at.hands.time += LATER
    with pytest.raises(SealBroken):
        await take_left(at.gate)
    assert await is_closed(at, phone)
    assert await left(at) == odd


async def test_what_is_kept_shows_no_number_and_is_left_alone_by_others_at_first(house: House) -> None:
    at, phone = sending(house, CountingProvider()), next(NUMBERS)
    kept = await keep(at.gate, "counting", stop(at, phone))
    assert kept is not None
    assert phone.e164[3:].encode() not in kept.sealed
    assert await take_left(at.gate) == 0
    assert await keep(at.gate, "counting", Called(skipped=1)) is None


TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30)
PHONES = st.sampled_from([Phone("+8613900000001"), Phone("+13235551234")])
TIMES = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - the zone is drawn
RECEIPTS = st.builds(
    Receipt,
    st.just("counting"),
    st.sampled_from([MessageState.DELIVERED, MessageState.FAILED, MessageState.SUBMITTED]),
    TEXTS,
    st.none() | PHONES,
    TEXTS,
    TEXTS,
    st.booleans(),
    TEXTS,
    st.none() | PHONES,
)
REPLIES = st.builds(Reply, st.just("counting"), TEXTS, PHONES, TEXTS, TIMES, TEXTS, st.none() | PHONES)


def test_what_is_kept_is_what_was_said(house: House) -> None:
    @given(receipts=st.lists(RECEIPTS, max_size=3), replies=st.lists(REPLIES, max_size=3))
    def proven(receipts: Any, replies: Any) -> None:
        said = Called(receipts, replies)
        assert opened(house.gate, sealed(house.gate, "counting", said)) == said

    proven()
