"""`kill -9` for real, at every step of dispatch: what went out is on the provider's side, the rest is in the ledger."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from fujie.flows.gate import Gate
from fujie.flows.messaging import send_message
from fujie.flows.reply import MessageReply
from fujie.model.message import MessageState
from support import racing
from support.house import House, Shared, caller, opened_house
from support.sending import FINAL, CountingProvider, agree, campaign_to, keys, states, work_off

PEOPLE = keys(7)
STEPS = {
    f"{when} {step}"
    for when in ("before", "after")
    for step in (
        "outbox.lease 1",
        "ledger.reserve_many 1",
        "log.append 1",
        "outbox.claim 1",
        "outbox.claim 2",
        "provider.submit 1",
        "provider.submit 2",
        "outbox.settle 1",
        "outbox.settle 2",
        "outbox.settle 3",
        "log.append 3",
    )
}
"""Every write, and every call of the provider, of a campaign of which two are refused and five go in two submissions."""
STEPS_ALONE = {
    f"{when} {step} 1"
    for when in ("before", "after")
    for step in ("ledger.reserve_many", "outbox.begin", "log.append", "outbox.claim", "provider.submit", "outbox.settle")
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """A house that survives, and where its child processes live."""

    house: House
    provider: CountingProvider
    crm: Path
    child: Shared

    async def killed(self, act: Callable[[Gate, str], Awaitable[None]], at: str = "") -> Path:
        """Let a process act until it is killed at a moment; return where it lived."""
        root = self.house.root / os.urandom(8).hex()
        arguments = (act, root, self.crm, self.child, (self.house.hands.now(), at))
        process = racing.processes().Process(target=racing.die, args=arguments)
        process.start()
        await asyncio.to_thread(process.join, 300)
        assert process.exitcode == (-signal.SIGKILL if at else 0), at
        return root

    async def swept(self) -> None:
        """Let the time pass after which others take over."""
        self.house.hands.time += timedelta(seconds=60)
        await self.house.ledger.outbox.sweep(self.house.hands.now(), 5.0)

    def got(self, root: Path) -> list[str]:
        """Return which numbers the providers of both processes got."""
        before = [phone for _, phone in racing.times_of(root / "out")]
        return [*before, *(each.phone.e164 for each in self.provider.got)]


@pytest.fixture
async def scene(tmp_path: Path, crm: Path) -> AsyncIterator[Scene]:
    shared = Shared(f"sqlite:///{tmp_path / 'ledger.db'}", os.urandom(32))
    async with opened_house(tmp_path, crm, shared) as house:
        await agree(house, PEOPLE[:5])
        provider, child = CountingProvider(), Shared(shared.url, shared.secret, 1)
        yield Scene(racing.limited(house, shared, provider), provider, crm, child)


async def _kills(scene: Scene, rounds: int) -> None:
    house = scene.house
    await campaign_to(house.gate, PEOPLE)
    whole = await scene.killed(racing.send_all)
    moments = (whole / "moments").read_text().splitlines()
    assert set(moments) >= STEPS
    for at in moments * rounds:
        scene.provider.got.clear()
        campaign = await campaign_to(house.gate, PEOPLE)
        root = await scene.killed(racing.send_all, at)
        await scene.swept()
        await work_off(house.gate)
        got, known = scene.got(root), await states(house.gate, campaign)
        assert len(got) == len(set(got)), at
        assert known.keys() <= FINAL, at
        assert sum(known.values()) == len(PEOPLE), at
        certain = known.get("SUBMITTED", 0)
        assert certain <= len(got) <= certain + known.get("UNKNOWN", 0), at


async def test_a_kill_at_every_step_sends_nothing_twice_and_loses_nothing(scene: Scene) -> None:
    await _kills(scene, 1)


async def test_a_kill_at_every_step_of_a_message_alone_sends_it_once_or_tells_that_it_may_be_out(
    scene: Scene,
) -> None:
    whole = await scene.killed(racing.send_alone)
    moments = (whole / "moments").read_text().splitlines()
    assert set(moments) >= STEPS_ALONE
    for at in moments:
        scene.provider.got.clear()
        root = await scene.killed(racing.send_alone, at)
        await scene.swept()
        again = await send_message(scene.house.gate, caller("marketer"), racing.alone(root.name), 2.0)
        assert isinstance(again, MessageReply), at
        got, state = scene.got(root), again.message.state
        assert len(got) <= 1, at
        assert state.value in FINAL, at
        assert state in (MessageState.SUBMITTED, MessageState.UNKNOWN) or not got, at
        assert got or state is not MessageState.SUBMITTED, at


@pytest.mark.soak
async def test_hundreds_of_kills_at_every_step_send_nothing_twice_and_lose_nothing(scene: Scene) -> None:
    await _kills(scene, 8)
