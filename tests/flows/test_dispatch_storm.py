"""A storm: campaigns to the same people, paused and resumed at random, by processes that are stopped and go on anywhere,
through a provider that declines and loses answers, while opt-outs arrive."""

import asyncio
import os
import random
import signal
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import monotonic, monotonic_ns

import pytest

from fujie.flows.dispatch import dispatch
from fujie.model.campaign import CampaignState
from fujie.model.errors import RequestError
from fujie.ports.providers import Acceptance, Outgoing, Submission
from support import racing
from support.house import Hands, House, Shared, opened_house
from support.outboxes import URLS
from support.sending import POLICY, CountingProvider, agree, campaign_to, keys, sending, states

ONCE = b"""
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: seldom}
spec: {match: {actions: [send]}, frequency: {per_day: 1}}
"""
STORM_S = 6.0
SENDERS = (1, 2, 3)


class Wild(CountingProvider):
    """Stands in for a provider that takes some, declines some, and loses some answers."""

    def __init__(self, out: Path) -> None:
        super().__init__(most=4)
        self._out = out.open("a")

    async def submit(self, messages: Sequence[Outgoing]) -> Sequence[Submission]:
        said = random.choices(
            (Acceptance.ACCEPTED, Acceptance.RETRY, Acceptance.UNKNOWN), (6, 3, 1), k=len(messages)
        )
        for message, acceptance in zip(messages, said, strict=True):
            self._out.write(f"{monotonic_ns()} {message.phone.e164} {acceptance}\n")
        self._out.flush()
        await asyncio.sleep(random.random() * 0.01)
        return [Submission(each, code="X") for each in said]


async def _goes_on(hands: Hands) -> None:
    """Let the wall clock of a process go on with real time, also over what it was stopped for."""
    began, first = monotonic(), hands.time
    while True:
        hands.time = first + timedelta(seconds=monotonic() - began)
        await asyncio.sleep(0.005)


def send(directory: Path, crm: Path, shared: Shared, campaigns: Sequence[str], start: Barrier) -> None:
    """Send with whoever else does, by two lanes, until every campaign is done."""
    directory.mkdir()

    async def run() -> None:
        async with opened_house(directory, crm, shared) as house:
            gate = sending(house, Wild(directory / "out"), policy=POLICY + ONCE).gate
            outbox, clock = house.ledger.outbox, asyncio.create_task(_goes_on(house.hands))
            start.wait(60)

            async def lane() -> None:
                while True:
                    await outbox.sweep(gate.clock.now(), 5.0)
                    lease = await outbox.lease(gate.ids.new_id(), gate.clock.now(), 1.0, 10)
                    if lease is not None:
                        await dispatch(gate, lease)
                        continue
                    known = [await outbox.campaign(each) for each in campaigns]
                    if all(each is not None and each.state is CampaignState.DONE for each in known):
                        return
                    await asyncio.sleep(0.01)

            await asyncio.gather(lane(), lane())
            clock.cancel()

    asyncio.run(run())


async def _storm(at: House, campaigns: Sequence[str], senders: Sequence[BaseProcess]) -> None:
    """Pause, resume, stop and let go on; then let everything run to its end."""
    outbox, until = at.ledger.outbox, monotonic() + STORM_S
    while any(each.is_alive() for each in senders) and monotonic() < until + 60:
        is_over = monotonic() > until
        to = CampaignState.PAUSED if not is_over and random.random() < 0.4 else CampaignState.RUNNING
        for each in campaigns if is_over else random.sample(campaigns, 1):
            with suppress(RequestError):  # it is done by now
                await outbox.move_campaign(each, to, at.gate.clock.now())
        victim = random.choice(senders)
        if not is_over and random.random() < 0.3 and victim.is_alive() and victim.pid:
            os.kill(victim.pid, signal.SIGSTOP)
            await asyncio.sleep(random.choice((0.1, 1.2)))
            os.kill(victim.pid, signal.SIGCONT)
        await asyncio.sleep(0.03)


@pytest.mark.soak
@pytest.mark.parametrize("kind", URLS)
async def test_in_a_storm_nobody_gets_two_and_nobody_gets_one_behind_an_opt_out(
    tmp_path: Path, crm: Path, kind: str
) -> None:
    customers, fresh = keys(80), racing.processes()
    start = fresh.Barrier(len(SENDERS) + 1)
    with URLS[kind]() as url:
        shared = Shared(url, os.urandom(32))
        async with opened_house(tmp_path, crm, shared) as house:
            at = sending(house, CountingProvider())
            await agree(at, customers)
            made = [await campaign_to(at.gate, customers), await campaign_to(at.gate, customers[::-1])]
            ids = [each.id for each in made]
            slots = [Shared(url, shared.secret, n) for n in range(len(SENDERS) + 2)]
            senders = [
                fresh.Process(target=send, args=(tmp_path / f"send-{n}", crm, slots[n], ids, start))
                for n in SENDERS
            ]
            others = random.sample(customers, 40)
            stopping = fresh.Process(
                target=racing.opt_out, args=(tmp_path / "stop", crm, slots[-1], others, start)
            )
            for process in (*senders, stopping):
                process.start()
            await _storm(at, ids, senders)
            for process in (*senders, stopping):
                await asyncio.to_thread(process.join, 30)
            assert [process.exitcode for process in (*senders, stopping)] == [0] * 4
            known = [await states(at.gate, each) for each in made]
    assert [sum(each.values()) for each in known] == [len(customers)] * 2
    acknowledged = {phone: time for time, phone in racing.times_of(tmp_path / "stop" / "out")}
    lines = [
        line.split() for n in SENDERS for line in (tmp_path / f"send-{n}" / "out").read_text().splitlines()
    ]
    assert [phone for time, phone, _ in lines if int(time) > acknowledged.get(phone, int(time))] == []
    got = [phone for _, phone, said in lines if said != Acceptance.RETRY]
    assert len(got) == len(set(got)) > 0
