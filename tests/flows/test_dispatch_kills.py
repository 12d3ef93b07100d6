"""`kill -9` for real, at every step of dispatch: what went out is on the provider's side, the rest is in the ledger."""

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from support import racing
from support.house import House, Shared, opened_house
from support.sending import FINAL, CountingProvider, agree, campaign_to, keys, sending, states, work_off

PEOPLE = keys(7)
RISKY = ("outbox.claim", "provider.submit", "outbox.settle", "log.append")


async def _killed(house: House, crm: Path, shared: Shared, name: str, at: int | None) -> int:
    """Let a process send until it is killed at the moment `at`; return its exit code."""
    arguments = (house.root / name, crm, shared, house.hands.now(), at)
    process = racing.processes().Process(target=racing.die, args=arguments)
    process.start()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode is not None
    return process.exitcode


async def _kills(tmp_path: Path, crm: Path, rounds: int, *, is_every: bool) -> None:
    shared = Shared(f"sqlite:///{tmp_path / 'ledger.db'}", os.urandom(32))
    child = Shared(shared.url, shared.secret, 1)
    async with opened_house(tmp_path, crm, shared) as house:
        provider = CountingProvider()
        at = sending(house, provider)
        await agree(house, PEOPLE[:5])
        await campaign_to(at.gate, PEOPLE)
        assert await _killed(at, crm, child, "whole", None) == 0
        moments = (tmp_path / "whole" / "moments").read_text().splitlines()
        chosen = [
            number
            for number, moment in enumerate(moments)
            if is_every or (moment.endswith(RISKY) and moments.index(moment) == number)
        ]
        assert len(chosen) >= 2 * len(RISKY)
        for number in chosen * rounds:
            name = os.urandom(8).hex()
            provider.got.clear()
            campaign = await campaign_to(at.gate, PEOPLE)
            assert await _killed(at, crm, child, name, number) == -signal.SIGKILL
            at.hands.time += timedelta(seconds=60)
            await house.ledger.outbox.sweep(at.hands.now(), 5.0)
            await work_off(at.gate)
            before = [phone for _, phone in racing.times_of(tmp_path / name / "out")]
            got = [*before, *(each.phone.e164 for each in provider.got)]
            known = await states(at.gate, campaign)
            assert len(got) == len(set(got)), moments[number]
            assert known.keys() <= FINAL, moments[number]
            assert sum(known.values()) == len(PEOPLE), moments[number]
            certain = known.get("SUBMITTED", 0)
            assert certain <= len(got) <= certain + known.get("UNKNOWN", 0), moments[number]


async def test_a_kill_at_the_risky_steps_sends_nothing_twice_and_loses_nothing(
    tmp_path: Path, crm: Path
) -> None:
    await _kills(tmp_path, crm, 1, is_every=False)


@pytest.mark.soak
async def test_hundreds_of_kills_at_every_step_send_nothing_twice_and_lose_nothing(
    tmp_path: Path, crm: Path
) -> None:
    await _kills(tmp_path, crm, 5, is_every=True)
