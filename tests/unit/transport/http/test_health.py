"""The listener for probes: two answers, and nothing that a stranger sends makes it give a third."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from fujie.model.errors import StartError
from fujie.transport.http import health
from fujie.transport.http.health import MOST_CONNECTIONS, MOST_HEAD_BYTES, HealthListener


class Probed:
    def __init__(self) -> None:
        self.why_not = self.but = ""
        self.port = 0
        self.listener = HealthListener(lambda: self.why_not, lambda: self.but)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, raw: bytes) -> bytes:
        """Send bytes and return all that comes back until the end."""
        reader, writer = await self.connect()
        try:
            writer.write(raw)
            async with asyncio.timeout(60):
                return await reader.read()
        finally:
            writer.close()

    async def status(self, request: str) -> str:
        answer = await self.say(f"{request}\r\nHost: x\r\n\r\n".encode())
        return answer.split(b"\r\n", 1)[0].decode()


@asynccontextmanager
async def listening() -> AsyncIterator[Probed]:
    probed = Probed()
    probed.port = await probed.listener.start("127.0.0.1", 0)
    try:
        yield probed
    finally:
        await probed.listener.stop()


async def test_liveness_fails_when_no_worker_starts_and_not_while_one_is_replaced() -> None:
    async with listening() as probed:
        probed.why_not = "log"
        assert await probed.status("GET /healthz HTTP/1.1") == "HTTP/1.1 200 OK"
        probed.why_not = "workers"
        assert await probed.status("GET /healthz HTTP/1.1") == "HTTP/1.1 503 Service Unavailable"


async def test_alive_whatever_is_away_ready_only_when_ready() -> None:
    async with listening() as probed:
        assert await probed.status("GET /healthz HTTP/1.1") == "HTTP/1.1 200 OK"
        assert await probed.status("GET /readyz?verbose HTTP/1.0") == "HTTP/1.1 200 OK"
        probed.why_not = "ledger"
        assert await probed.status("GET /healthz HTTP/1.1") == "HTTP/1.1 200 OK"
        assert await probed.status("GET /readyz HTTP/1.1") == "HTTP/1.1 503 Service Unavailable"
        answer = await probed.say(b"GET /readyz HTTP/1.1\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        assert body == b"not ready: ledger\n"
        assert f"Content-Length: {len(body)}".encode() in head


async def test_what_is_wrong_with_a_ready_server_is_said_and_changes_no_status() -> None:
    async with listening() as probed:
        for why_not, but, said in (
            ("", "", b"200 OK|ok\n"),
            ("", "something is odd", b"200 OK|ok, but something is odd\n"),
            ("ledger", "something is odd", b"503 Service Unavailable|not ready: ledger\n"),
        ):
            probed.why_not, probed.but = why_not, but
            head, _, body = (await probed.say(b"GET /readyz HTTP/1.1\r\n\r\n")).partition(b"\r\n\r\n")
            assert head.split(b"\r\n")[0].removeprefix(b"HTTP/1.1 ") + b"|" + body == said
        alive = await probed.say(b"GET /healthz HTTP/1.1\r\n\r\n")
        assert alive.endswith(b"\r\n\r\nok\n")


@pytest.mark.parametrize(
    ("request_line", "code"),
    [
        ("POST /readyz HTTP/1.1", "405"),
        ("GET / HTTP/1.1", "404"),
        ("GET /13800138000 HTTP/1.1", "404"),
        ("GET http://x/readyz HTTP/1.1", "404"),
        ("GET /readyz", "400"),
        ("GET  /readyz HTTP/1.1", "400"),
        ("PRI * HTTP/2.0", "400"),
        ("\x16\x03\x01 \x00 \xff", "400"),
    ],
)
async def test_other_requests_are_refused_and_not_echoed(request_line: str, code: str) -> None:
    async with listening() as probed:
        answer = await probed.say(request_line.encode() + b"\r\n\r\n")
        assert answer.split(b" ")[1].decode() == code
        assert b"13800138000" not in answer


async def test_a_head_without_end_is_refused_at_its_bound() -> None:
    async with listening() as probed:
        answer = await probed.say(b"GET /readyz HTTP/1.1\r\nX: " + b"a" * (MOST_HEAD_BYTES * 2))
        assert answer.startswith(b"HTTP/1.1 431 ")
        assert await probed.status("GET /readyz HTTP/1.1") == "HTTP/1.1 200 OK"


async def test_who_says_nothing_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "MOST_SECONDS", 0.05)
    async with listening() as probed:
        assert await probed.say(b"GET /readyz") == b""


async def test_connections_beyond_the_bound_are_closed_and_do_not_stay() -> None:
    async with listening() as probed:
        idle = [await probed.connect() for _ in range(MOST_CONNECTIONS)]
        for _, writer in idle:  # until each has been taken, an answer to one more would be luck
            writer.write(b"GET")
            await writer.drain()
        async with asyncio.timeout(60):
            while probed.listener._open < MOST_CONNECTIONS:  # noqa: ASYNC110 - a counter sets no event
                await asyncio.sleep(0.01)
            reader, refused = await probed.connect()
            assert await reader.read() == b""
            refused.close()
            for _, writer in idle:
                writer.close()
            while probed.listener._open:  # noqa: ASYNC110 - a counter sets no event
                await asyncio.sleep(0.01)
        assert await probed.status("GET /readyz HTTP/1.1") == "HTTP/1.1 200 OK"


async def test_a_taken_port_is_a_start_error() -> None:
    async with listening() as probed:
        with pytest.raises(StartError) as refused:
            await HealthListener(lambda: "", lambda: "").start("127.0.0.1", probed.port)
        assert refused.value.code == "LISTEN_FAILED"
