"""What every provider must do, for those that do not speak HTTP (for the others: test_provider.py), bare and paced."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest

from fujie.adapters.clock import SystemClock
from fujie.adapters.providers.outbox_file import FileOutbox
from fujie.adapters.providers.paced import Paced
from fujie.adapters.providers.smpp import SMPP, Line
from fujie.adapters.providers.smpp_link import Account
from fujie.adapters.providers.smpp_wire import sender
from fujie.model.customer import Phone
from fujie.model.errors import RequestError
from fujie.ports.providers import Acceptance, Callback, Outgoing, Provider, Unresolved
from support.smsc import SMSC, smsc

PHONES = ("+8613800138000", "+8613900139001", "+8615012345672")
SECRET, NAME = "s3cret", "欧阳一"
CLOCK = SystemClock()


class Peer(Protocol):
    """What is at the other end."""

    provider: Provider

    def numbers(self) -> list[str]:
        """Return every number that was sent to, in order."""
        ...

    async def go(self) -> None:
        """Be gone."""
        ...


class OutboxPeer:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.provider: Provider = FileOutbox("main", directory / "outbox.jsonl", CLOCK)

    def numbers(self) -> list[str]:
        lines = (self._directory / "outbox.jsonl").read_text().splitlines()
        return [json.loads(line)["phone"] for line in lines]

    async def go(self) -> None:
        self._directory.rename(self._directory.with_name("gone"))


class SMSCPeer:
    def __init__(self, server: SMSC) -> None:
        self._server = server
        account = Account("127.0.0.1", server.port, "fujie", SECRET)
        self.provider: Provider = SMPP("main", "carrier", Line(account, sender("10690000")), CLOCK)

    def numbers(self) -> list[str]:
        return ["+" + event["to"] for event in self._server.submitted()]

    async def go(self) -> None:
        await self._server.tell(bind_status=0x0D, kill=True)
        await self._server.event("closed")
        while await self.provider.ready(1):
            pass


@asynccontextmanager
async def _peer(kind: str, tmp_path: Path) -> AsyncIterator[Peer]:
    if kind == "outbox":
        (tmp_path / "outbox").mkdir()
        yield OutboxPeer(tmp_path / "outbox")
        return
    async with smsc() as server:
        peer = SMSCPeer(server)
        while not await peer.provider.ready(1):
            pass
        yield peer
        await peer.provider.close()


@pytest.fixture(params=["outbox", "smpp"])
async def peer(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Peer]:
    async with _peer(request.param, tmp_path) as running:
        yield running


@pytest.fixture(params=["bare", "paced"])
def provider(request: pytest.FixtureRequest, peer: Peer) -> Provider:
    return Paced(peer.provider, 1000.0, 2, CLOCK) if request.param == "paced" else peer.provider


def _outgoing(*phones: str) -> list[Outgoing]:
    return [
        Outgoing(f"{i:032x}", Phone(phone), "某某", f"您好 {NAME}", "", {"name": NAME})
        for i, phone in enumerate(phones, 1)
    ]


def _unresolved() -> Unresolved:
    return Unresolved("1" * 32, "sid", b"", None, "main", "", datetime.now(UTC))


async def test_each_of_a_load_is_taken_once_and_has_an_id_of_its_own(
    peer: Peer, provider: Provider
) -> None:
    messages = _outgoing(*(f"+86138{i:08d}" for i in range(provider.most)))
    assert await provider.ready(len(messages))
    submitted = await provider.submit(messages)
    assert {each.acceptance for each in submitted} == {Acceptance.ACCEPTED}
    assert len({each.provider_message_id for each in submitted} - {""}) == len(messages)
    assert peer.numbers() == [message.phone.e164 for message in messages]


async def test_nobody_there_is_retry_and_nothing_is_kept_for_later(peer: Peer, provider: Provider) -> None:
    await peer.go()
    submitted = await provider.submit(_outgoing(*PHONES))
    assert {each.acceptance for each in submitted} == {Acceptance.RETRY}
    assert await provider.query(_unresolved(), Phone(PHONES[0])) is None
    called = await provider.poll()
    assert [*called.receipts, *called.replies] == []


async def test_a_call_that_is_cancelled_ends_and_the_next_goes_out(peer: Peer, provider: Provider) -> None:
    running = asyncio.ensure_future(provider.submit(_outgoing(PHONES[0])))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    [submitted] = await provider.submit(_outgoing(PHONES[1]))
    assert submitted.acceptance is Acceptance.ACCEPTED
    assert peer.numbers().count(PHONES[1]) == 1
    assert peer.numbers().count(PHONES[0]) <= 1


async def test_no_number_name_or_secret_is_in_logs_or_reprs(
    peer: Peer, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    messages = _outgoing(*PHONES)
    submitted = await provider.submit(messages)
    called = await provider.poll()
    await peer.go()
    await provider.submit(messages)
    shown = f"{provider!r} {peer.provider!r} {messages!r} {submitted!r} {called!r} {caplog.text}"
    shown += str([vars(record) for record in caplog.records])
    for hidden in (*PHONES, *(phone.removeprefix("+86") for phone in PHONES), NAME, SECRET):
        assert hidden not in shown


async def test_nobody_calls_back(provider: Provider) -> None:
    with pytest.raises(RequestError) as refused:
        provider.callback(Callback("https://gate.example.com/callbacks/main", {}, b"{}"))
    assert refused.value.code == "CALLBACK_REFUSED"


async def test_it_says_what_it_is(peer: Peer, provider: Provider) -> None:
    assert (provider.name, provider.needs_template) == ("main", False)
    assert provider.processor == peer.provider.processor
    assert provider.timeout_s == peer.provider.timeout_s
    assert 1 <= provider.most <= peer.provider.most
