"""The dispatch of a worker: it notices what is to be sent, outlives whatever goes wrong, and ends in order."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from fujie.app import dispatching
from fujie.app.dispatching import Dispatching
from fujie.audit.errors import LogUnavailable
from fujie.model.customer import Phone, StoreKey
from fujie.model.errors import LedgerError, StoreError
from fujie.model.message import MessageState
from fujie.ports.providers import Called, Receipt, Reply
from support.house import House
from support.sending import CountingProvider, agree, campaign_to, keys, sending, states


@asynccontextmanager
async def at_work(house: House, outbox: Any = None) -> AsyncIterator[asyncio.Task[None]]:
    assert house.gate.sending is not None
    ports = replace(house.gate.sending, outbox=outbox) if outbox else house.gate.sending
    task = asyncio.create_task(Dispatching(replace(house.gate, sending=ports), ports).run())
    yield task
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def soon(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not what():  # noqa: ASYNC110 - a provider in memory has no event
            await asyncio.sleep(0.01)


async def test_a_campaign_that_is_started_is_sent(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    await agree(at, keys(5))
    async with at_work(at):
        await campaign_to(at.gate, keys(5))
        assert at.gate.sending is not None
        at.gate.sending.wake.set()
        await soon(lambda: len(provider.got) == 5)


@pytest.mark.parametrize(
    "error", [LedgerError(), StoreError("secret-13800138000"), LogUnavailable(), ValueError("secret")]
)
async def test_it_outlives_every_error_and_logs_its_code_alone(
    house: House, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    await agree(at, keys(2))
    await campaign_to(at.gate, keys(2))
    failures = [error] * 2

    class Failing:
        def __getattr__(self, name: str) -> object:
            return getattr(house.ledger.outbox, name)

        async def lease(self, *args: object) -> object:
            if failures:
                raise failures.pop()
            return await house.ledger.outbox.lease(*args)  # type: ignore[arg-type]  # passed on as they came

    with caplog.at_level(logging.WARNING, "fujie"):
        async with at_work(at, Failing()):
            await soon(lambda: len(provider.got) == 2)
    failed = [record for record in caplog.records if record.msg == "dispatch_failed"]
    assert [vars(record)["error"] for record in failed] == [type(error).__name__] * 2
    assert "secret" not in caplog.text
    assert not any("secret" in str(value) for record in failed for value in vars(record).values())


async def test_at_the_end_what_is_at_a_provider_gets_its_outcome(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    await agree(at, keys(1))
    campaign = await campaign_to(at.gate, keys(1))
    there, answer = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        there.set()
        await answer.wait()

    provider.meanwhile = wait
    async with at_work(at) as task:
        await there.wait()
        task.cancel()
        await asyncio.sleep(0)
        answer.set()
        with suppress(asyncio.CancelledError):
            await task
    assert await states(at.gate, campaign) == {"SUBMITTED": 1}


@pytest.mark.parametrize("error", [LedgerError(), LogUnavailable()])
async def test_a_stop_that_could_not_be_written_down_is_not_lost(
    house: House, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is pulled from a provider is told once; an SMSC is told that we have it when it is asked again."""
    monkeypatch.setattr(dispatching, "POLL_S", 0.02)
    provider = CountingProvider()
    at = sending(house, provider)
    phone = Phone("+8613900000001")
    words = [
        Reply(provider.name, f"r-{n}", phone, word, house.hands.now())
        for n, word in enumerate(("您好", "TD"))
    ]
    provider.told = Called(replies=words)
    failures = [error] * 2

    class Failing:
        def __getattr__(self, name: str) -> object:
            return getattr(house.gate.ledger, name)

        async def has_suppressed(self, *args: object, **more: object) -> object:
            if failures:
                raise failures.pop()
            return await house.gate.ledger.has_suppressed(*args, **more)  # type: ignore[arg-type]  # passed on as they came

    failing: Any = Failing()
    async with at_work(replace(at, gate=replace(at.gate, ledger=failing))):
        await soon(lambda: ("counting", "stop") in at.counted.arrivals)
    identity = await house.ledger.enrol((phone,), house.hands.now())
    assert len(await house.ledger.suppressions(identity.sids)) == 1


async def test_what_a_provider_has_to_tell_is_fetched(house: House) -> None:
    provider = CountingProvider()
    at = sending(house, provider)
    key = StoreKey("crm", "C00001")
    await agree(at, [key])
    campaign = await campaign_to(at.gate, [key])
    async with at_work(at):
        await soon(lambda: len(provider.got) == 1)
        (got,) = provider.got
        receipt = Receipt(provider.name, MessageState.DELIVERED, f"id-{got.intent_id}")
        provider.told = Called(receipts=(receipt,))
        await soon(lambda: len(at.counted.arrivals) > 0)
    assert await states(at.gate, campaign) == {"DELIVERED": 1}
