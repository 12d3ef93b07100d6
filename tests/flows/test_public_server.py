"""The listener of the public port: whoever speaks slowly, endlessly or not at all costs a bounded part of one worker."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from fujie.app import web
from fujie.app.settings import Server
from fujie.app.web import MOST_HEAD_BYTES, PublicServer
from fujie.model.errors import StartError
from support.house import House
from support.links import sending

WAIT_S = 60.0
GET = b"GET /c/AAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture
async def server(house: House) -> AsyncIterator[PublicServer]:
    settings = Server(
        public_listen="127.0.0.1:0", public_url="https://p.example.com", public_proxies=("127.0.0.1",)
    )
    started = await PublicServer.start(settings, sending(house), {})
    yield started
    await started.stop(0.0)


async def say(server: PublicServer, raw: bytes) -> bytes:
    """Send bytes and return all that comes until the other end closes; nothing when it is reset."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        writer.write(raw)
        async with asyncio.timeout(WAIT_S):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_an_answer_names_no_software(server: PublicServer) -> None:
    answer = await say(server, GET + b"Connection: close\r\n\r\n")
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert head.startswith(b"http/1.1 404")
    assert b"\r\ndate: " in head
    assert b"server:" not in head
    assert b"uvicorn" not in answer.lower()


@pytest.mark.parametrize(
    "raw",
    [
        GET + b"X: " + b"y" * (MOST_HEAD_BYTES + 65_536) + b"\r\n\r\n",
        GET + b"".join(b"X-%d: y\r\n" % number for number in range(20_000)),
        b"GET /" + b"z" * 100_000,
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100,
        b"NONSENSE\r\n\r\n",
    ],
    ids=["long-header", "many-headers", "long-path", "tls", "nonsense"],
)
async def test_what_is_no_request_ends_the_connection(server: PublicServer, raw: bytes) -> None:
    answer = await say(server, raw)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert server.connections == 0


async def test_who_says_nothing_is_let_go(server: PublicServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "HEAD_S", 0.05)
    assert await say(server, b"") == b""
    assert await say(server, GET) == b""  # a head without an end


async def test_no_connection_lives_for_ever(server: PublicServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "CONNECTION_S", 0.3)
    body = b"POST /c/AAAAAAAAAAAAAAAAAAAAAA/stop HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n"
    body += b"Content-Type: application/x-www-form-urlencoded\r\n\r\nof="
    answer = await say(server, body)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")


async def test_too_many_connections_are_not_taken(
    server: PublicServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "MOST_CONNECTIONS", 3)
    held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(3)]
    assert await say(server, GET + b"Connection: close\r\n\r\n") == b""
    for _, writer in held:
        writer.close()
        await writer.wait_closed()
    answers = [await say(server, GET + b"Connection: close\r\n\r\n") for _ in range(20)]
    assert b" 404 " in answers[-1]  # the others have gone by then


async def test_it_ends_with_connections_open_and_listens_no_more(server: PublicServer) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    port = server.port
    await server.stop(1.0)
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)
    writer.close()


async def test_a_port_that_is_taken_is_said(house: House) -> None:
    blocker = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    taken = Server(
        public_listen=f"127.0.0.1:{blocker.sockets[0].getsockname()[1]}", public_url="https://p.example.com"
    )
    with pytest.raises(StartError, match="cannot listen"):
        await PublicServer.start(taken, sending(house), {})
    blocker.close()


async def test_the_address_of_a_stranger_is_believed_of_trusted_proxies_alone(house: House) -> None:
    """The pace is per address: with one believed header per request nobody would ever have to wait."""
    head = b"GET /c/%s HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.0.0.%d\r\nConnection: close\r\n\r\n"
    for proxies, is_slowed in (((), True), (("127.0.0.0/8",), False)):
        settings = Server(
            public_listen="127.0.0.1:0", public_url="https://p.example.com", public_proxies=proxies
        )
        house.hands.stands = True
        started = await PublicServer.start(settings, sending(house), {})
        answers = [await say(started, head % (b"%022d" % n, n % 250)) for n in range(205)]
        assert any(b" 429 " in answer for answer in answers) is is_slowed
        await started.stop(0.0)
