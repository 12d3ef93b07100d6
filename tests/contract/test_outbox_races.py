"""Opt-outs that race claims of several processes: once one is acknowledged, nothing is claimed that it closes."""

import asyncio
import random
import threading
from collections.abc import Sequence

import pytest

from fujie.adapters.ledger import SQLLedger
from fujie.model.consent import NEGATIVE, ConsentEventType
from fujie.model.principal import Principal
from fujie.model.vocabulary import State
from support.identities import consent_event, opt_out
from support.outboxes import NOW, URLS, claim, key, opened, phone, running

MANY = 120
CHUNK = 12


def refs(n: int) -> tuple[object, ...]:
    """Customers 2n and 2n + 1 share a number; each has one of its own, which the message goes to."""
    return key(n), phone(n), phone(1000 + n // 2)


async def send(ledger: SQLLedger, holder: str, requester: str, draw: random.Random) -> set[str]:
    """Work off what is leased as a dispatch does; return what was claimed."""
    numbers = {sid: n for n, sid in enumerate(await sids_of(ledger))}
    out = set[str]()
    while lease := await ledger.outbox.lease(holder, NOW, 60, CHUNK):
        left = list(lease.intents)
        while left:
            who = [numbers[intent.sid] for intent in left]
            recalled = await ledger.outbox.recall_many([refs(n) for n in who], "marketing", NOW)  # type: ignore[misc]
            asker = await ledger.directory.get(requester)
            await asyncio.sleep(draw.choice([0, 0, 0.001, 0.003]))  # time for others to write
            claims = [
                claim(intent.intent_id, phone(n), *known.identity.sids)
                for intent, n, known in zip(left, who, recalled.customers, strict=True)
                if not known.suppressions and not any(event.type in NEGATIVE for event in known.events)
            ]
            if asker is not None and asker.employment is not State.ACTIVE:
                return out
            done = await ledger.outbox.claim(lease, claims, recalled.marker, requester, NOW)
            out |= done.claimed
            left = [intent for intent in left if intent.intent_id in done.changed]
    return out


async def sids_of(ledger: SQLLedger) -> list[str]:
    recalled = await ledger.outbox.recall_many([refs(n) for n in range(MANY)], "marketing", NOW)  # type: ignore[misc]
    return [each.identity.sid for each in recalled.customers]


class Closer:
    """Who closes for one customer after the other, in one of the ways that there are."""

    def __init__(self, ledger: SQLLedger) -> None:
        self.ledger = ledger
        self.acknowledged: dict[int, frozenset[str]] = {}
        """For each customer that is closed: what was claimed of it when that was acknowledged."""

    async def run(self, who: Sequence[int], draw: random.Random) -> None:
        for n in who:
            await asyncio.sleep(draw.choice([0, 0.001, 0.002]))
            identity = await self.ledger.enrol(refs(n), NOW)  # type: ignore[arg-type]
            way = n % 3
            if way == 0:
                await self.ledger.add_suppression(opt_out(identity.sid, NOW), "", "")
            elif way == 1:
                event = consent_event(identity.sid, ConsentEventType.WITHDRAWN, NOW, NOW)
                await self.ledger.record_consent(event, "", "")
            else:
                identity = await self.ledger.number(phone(1000 + n // 2), NOW)
                await self.ledger.add_suppression(opt_out(identity.sid, NOW), "", "")
            self.acknowledged[n] = await self.ledger.outbox.claimed_of(identity.sids, [])


@pytest.mark.parametrize("kind", URLS)
def test_what_is_not_claimed_when_an_opt_out_is_acknowledged_is_never_claimed(kind: str) -> None:
    """Four processes, as threads with an event loop each."""
    draw = random.Random(kind)
    with URLS[kind]() as url:

        async def prepare() -> dict[str, int]:
            ledger = await opened(url)
            sids = await sids_of(ledger)
            await running(ledger, sids)
            await ledger.close()
            return {sid: n for n, sid in enumerate(sids)}

        numbers = asyncio.run(prepare())
        who = draw.sample(range(MANY), 40)
        acknowledged: dict[int, frozenset[str]] = {}
        out, failures = set[str](), list[BaseException]()
        ready = threading.Barrier(4)

        async def work(n: int) -> None:
            ledger = await opened(url)
            try:
                ready.wait(120)
                if n < 2:
                    out.update(await send(ledger, f"w{n}", "marketer", random.Random(n)))
                else:
                    closer = Closer(ledger)
                    await closer.run(who[n - 2 :: 2], random.Random(n))
                    acknowledged.update(closer.acknowledged)
            finally:
                await ledger.close()

        def process(n: int) -> None:
            try:
                asyncio.run(work(n))
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=process, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []

        async def check() -> None:
            ledger = await opened(url)
            by_sid = {sid: await ledger.outbox.claimed_of([sid], []) for sid in numbers}
            claimed = {numbers[sid]: ids for sid, ids in by_sid.items()}
            assert {each for ids in claimed.values() for each in ids} == out
            for n, known in acknowledged.items():
                sharers = (n, n ^ 1)  # who shares the number is closed too
                for each in sharers:
                    assert claimed[each] <= known, "claimed after the acknowledgement"
            assert len(acknowledged) == len(who)
            assert out, "nothing was sent, so nothing was tried"
            await ledger.close()

        asyncio.run(check())


@pytest.mark.parametrize("kind", URLS)
async def test_an_offboarded_requester_claims_nothing_more(kind: str) -> None:
    with URLS[kind]() as url:
        both = [await opened(url) for _ in range(2)]
        await both[0].directory.upsert(Principal("marketer", State.EMPLOYEE), NOW)
        await running(both[0], await sids_of(both[0]))

        async def offboard() -> frozenset[str]:
            await asyncio.sleep(0.02)
            await both[1].directory.offboard("marketer", NOW)
            return await both[1].outbox.claimed_of([], [], "marketer")

        sent, known = await asyncio.gather(send(both[0], "w0", "marketer", random.Random(1)), offboard())
        assert sent <= known
        assert await both[0].outbox.claimed_of([], [], "marketer") == known
        for each in both:
            await each.close()
