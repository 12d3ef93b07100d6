"""Processes that race: some send a campaign, others take opt-outs; each writes down when, by the machine's one clock."""

import asyncio
import multiprocessing
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import monotonic_ns

import pytest

from fujie.decision.tokens import Tokeniser
from fujie.flows.consent import NOW
from fujie.flows.directory import offboard_principal
from fujie.flows.dispatch import dispatch
from fujie.flows.gate import Gate
from fujie.flows.messaging import send_message
from fujie.flows.reply import MessageReply, PrincipalReply, SuppressionReply
from fujie.flows.suppression import OptOut, add_suppression
from fujie.model.campaign import CampaignState
from fujie.model.customer import CustomerRef
from fujie.model.request import RequestContext, SendAsk
from fujie.model.suppression import SuppressionScope
from fujie.ports.providers import Outgoing, Submission
from support.fragile import Fuse, fragile
from support.house import ADMIN, House, Shared, caller, opened_house
from support.sending import DRAFT, POLICY, CountingProvider, keys, phone_of, sending, work_off


@cache
def processes() -> ForkServerContext:
    """Return what starts processes that have imported all of this, compiled the policies, and opened nothing: each in
    milliseconds."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "support.warmed"])
    # What it imports it looks for where Python does by itself, which pytest has added to; what it does not find it leaves out
    # without a word, and every process of every test then imports all of it anew: 1.5 s each.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
        forkserver.ensure_running()
    return context


class WritingProvider(CountingProvider):
    """Stands in for a provider that is a few milliseconds away."""

    def __init__(self, out: Path) -> None:
        super().__init__(most=4)
        self._out = out.open("a")

    async def submit(self, messages: Sequence[Outgoing]) -> Sequence[Submission]:
        for message in messages:
            self._out.write(f"{monotonic_ns()} {message.phone.e164}\n")
        self._out.flush()
        await asyncio.sleep(random.random() * 0.01)
        return await super().submit(messages)


def send(directory: Path, crm: Path, shared: Shared, campaign_id: str, start: Barrier) -> None:
    """Send the campaign with whoever else does, until it is done."""
    directory.mkdir()

    async def run() -> None:
        async with opened_house(directory, crm, shared) as house:
            gate = sending(house, WritingProvider(directory / "out")).gate
            outbox = house.ledger.outbox
            start.wait(300)
            while True:
                lease = await outbox.lease(gate.ids.new_id(), gate.clock.now(), 3600.0, 10)
                if lease is not None:
                    await dispatch(gate, lease)
                    continue
                known = await outbox.campaign(campaign_id)
                assert known is not None
                if known.state is CampaignState.DONE:
                    return
                await asyncio.sleep(0.005)

    asyncio.run(run())


def opt_out(
    directory: Path, crm: Path, shared: Shared, customers: Sequence[CustomerRef], start: Barrier
) -> None:
    """Take opt-outs one after the other; write down each that was acknowledged."""
    directory.mkdir()

    async def run() -> None:
        async with opened_house(directory, crm, shared) as house:
            at = sending(house, CountingProvider())
            house.hands.stands = (
                True  # however slow the senders are, he waits until what is on its way has an outcome
            )
            with (directory / "out").open("a") as out:
                for number, customer in enumerate(customers):
                    if number == 1:  # the first is known to be before all that is sent
                        start.wait(300)
                    said = OptOut(customer, SuppressionScope(), NOW, "call", "call-1")
                    reply = await add_suppression(at.gate, caller("consent-desk"), RequestContext(), said)
                    acknowledged = monotonic_ns()
                    assert isinstance(reply, SuppressionReply), reply
                    out.write(f"{acknowledged} {await phone_of(at, customer)}\n")
                    await asyncio.sleep(random.random() * 0.004)

    asyncio.run(run())


def times_of(out: Path) -> list[tuple[int, str]]:
    lines = out.read_text().splitlines() if out.exists() else []
    return [(int(line.split()[0]), line.split()[1]) for line in lines]


class Killing(Fuse):
    """Kills the process, for real."""

    def pass_by(self, moment: str) -> None:
        if self.at is not None and len(self.passed) >= self.at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed.append(moment)


class KillingAt(Fuse):
    """Kills the process, for real, at a moment: its name, and which one of that name. How many others pass depends on time."""

    def __init__(self, moment: str) -> None:
        super().__init__()
        self._moment, self._times = moment, Counter[str]()

    def pass_by(self, moment: str) -> None:
        self._times[moment] += 1
        if (moment := f"{moment} {self._times[moment]}") == self._moment:
            os.kill(os.getpid(), signal.SIGKILL)
        self.passed.append(moment)


LIMITED = POLICY.replace(
    b"  purposes: [marketing]", b"  purposes: [marketing]\n  limits: {distinct_customers_per_day: 5000}"
)
"""So that sending takes from a limit, too."""


def limited(house: House, shared: Shared, provider: CountingProvider) -> House:
    """Return the house of a sender, with the key of ids that all hosts have."""
    house = sending(house, provider, policy=LIMITED)
    return replace(house, gate=replace(house.gate, tokeniser=Tokeniser(shared.secret, "k1", "test")))


def alone(request_id: str) -> SendAsk:
    context = RequestContext(purpose="marketing", basis="consent", request_id=request_id)
    return SendAsk(keys(1)[0], DRAFT, context)


async def send_alone(gate: Gate, request_id: str) -> None:
    """Send one message that is of no campaign."""
    reply = await send_message(gate, caller("marketer"), alone(request_id), 2.0)
    assert isinstance(reply, MessageReply), reply


async def send_all(gate: Gate, _: str) -> None:
    """Send what there is of campaigns."""
    await work_off(gate)


def die(
    act: Callable[[Gate, str], Awaitable[None]],
    directory: Path,
    crm: Path,
    shared: Shared,
    when: tuple[datetime, str],
) -> None:
    """Act as a process that is killed at a moment of its calls; write the moments that it came to."""
    directory.mkdir()

    async def run() -> None:
        async with opened_house(directory, crm, shared) as house:
            house.hands.time, at = when
            house.hands.stands = True  # else who is slow puts messages back, and comes to other moments
            fuse = KillingAt(at)
            gate = fragile(limited(house, shared, WritingProvider(directory / "out")).gate, fuse)
            await act(gate, directory.name)
            (directory / "moments").write_text("\n".join(fuse.passed))

    asyncio.run(run())


def offboard(
    directory: Path, crm: Path, shared: Shared, now: datetime, whom: str, *, at: int | None = None
) -> None:
    """Offboard somebody as a process that is killed at a moment of its calls; write the moments that it came to."""
    directory.mkdir()

    async def run() -> None:
        async with opened_house(directory, crm, shared) as house:
            house.hands.time = now
            fuse = Killing(at)
            gate = fragile(sending(house, CountingProvider()).gate, fuse)
            reply = await offboard_principal(gate, ADMIN, RequestContext(), whom)
            assert isinstance(reply, PrincipalReply), reply
            (directory / "moments").write_text("\n".join(fuse.passed))

    asyncio.run(run())
