"""Attacks on look-ups of several customers: nothing more than as many single calls would give, and no oracle."""

import asyncio
from dataclasses import replace

import pytest

from fujie.audit.entry import EntryKind
from fujie.audit.errors import LogUnavailable
from fujie.flows.batch import AT_ONCE, MOST_FOUND, batch_lookup, search
from fujie.flows.lookup import lookup
from fujie.flows.reply import BatchReply, LookupReply, Refusal, SearchReply
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.request import BatchAsk, SearchAsk
from support.house import House, ask, caller
from support.stores import Spy

FIELDS = ("name", "phone")


def several(*customers: str | CustomerRef, strict: bool = False) -> BatchAsk:
    refs = tuple(StoreKey("crm", each) if isinstance(each, str) else each for each in customers)
    return BatchAsk(refs, "crm", ask(*FIELDS).context, FIELDS, strict)


def numbered(count: int) -> list[str]:
    return [f"C{number:05d}" for number in range(1, count + 1)]


async def answers(house: House, who: str, asked: BatchAsk) -> list[LookupReply | Refusal]:
    reply = await batch_lookup(house.gate, caller(who), asked, 2.0)
    assert isinstance(reply, BatchReply), reply
    return list(reply.answers)


async def test_a_batch_shows_exactly_what_single_calls_show(house: House) -> None:
    names = numbered(12)
    singles = [
        await lookup(house.gate, caller("support-agent"), ask(*FIELDS, customer=name), 2.0) for name in names
    ]
    batched = await answers(house, "support-agent", several(*names))
    for single, answer in zip(singles, batched, strict=True):
        assert type(single) is type(answer)
        if isinstance(single, LookupReply) and isinstance(answer, LookupReply):
            assert (single.customer, single.treatments) == (answer.customer, answer.treatments)
        elif isinstance(single, Refusal) and isinstance(answer, Refusal):
            assert single.reasons == answer.reasons
    assert {type(answer) for answer in batched} == {LookupReply, Refusal}


async def test_every_customer_of_a_batch_has_an_entry_of_its_own(house: House) -> None:
    batched = await answers(house, "support-agent", several(*numbered(12)))
    by_id = {entry.decision_id: entry for entry in house.entries}
    assert len(by_id) == len(batched) == 12
    for answer in batched:
        entry = by_id[answer.summary.decision_id]
        assert entry.effect == ("ALLOW" if isinstance(answer, LookupReply) else "DENY")
        assert len(entry.sids) == 1


async def test_who_may_ask_for_none_is_refused_once_and_no_store_is_touched(house: House) -> None:
    spy = Spy(house.gate.stores["crm"])
    gate = replace(house.gate, stores={"crm": spy})
    reply = await batch_lookup(gate, caller("nobody-in-particular"), several(*numbered(50)), 2.0)
    assert isinstance(reply, Refusal)
    assert [hit.code for hit in reply.reasons] == ["NO_GRANT"]
    assert (len(house.entries), spy.fields_asked) == (1, [])


async def test_a_stranger_among_customers_spoils_nothing(house: House) -> None:
    batched = await answers(house, "support-agent", several("C00001", "C99999", Phone("+8613800131234")))
    assert isinstance(batched[0], LookupReply)
    assert isinstance(batched[1], Refusal)
    assert batched[1].reasons[0].code in {"CUSTOMER_NOT_FOUND", "NO_GRANT"}
    assert isinstance(batched[2], LookupReply)


async def test_strict_refuses_the_customer_not_the_batch(house: House) -> None:
    asked = replace(several("C00001", strict=True), fields=("birthday", "name"))
    assert [type(answer) for answer in await answers(house, "support-agent", asked)] == [Refusal]


async def test_nothing_of_a_batch_leaves_when_one_entry_can_not_be_written(house: House) -> None:
    class Failing:
        origin, healthy = house.log.origin, True
        count = 0

        async def append(self, leaf: bytes) -> int:
            self.count += 1
            if self.count > 3:
                raise LogUnavailable("disk")
            return await house.log.append(leaf)

    gate = replace(house.gate, log=Failing())
    with pytest.raises(LogUnavailable):
        await batch_lookup(gate, caller("support-agent"), several(*numbered(10)), 2.0)


async def test_a_batch_never_asks_a_store_for_more_than_a_few_at_once(house: House) -> None:
    inner, running, most = house.gate.stores["crm"], 0, 0

    class Counting(Spy):
        async def fetch(self, *args: object) -> object:  # type: ignore[override]  # passes whatever it gets on
            nonlocal running, most
            running, most = running + 1, max(most, running + 1)
            await asyncio.sleep(0)
            try:
                return await inner.fetch(*args)  # type: ignore[arg-type]
            finally:
                running -= 1

    gate = replace(house.gate, stores={"crm": Counting(inner)})
    reply = await batch_lookup(gate, caller("support-agent"), several(*numbered(100)), 2.0)
    assert isinstance(reply, BatchReply)
    assert 1 < most <= AT_ONCE
