"""`/healthz` and `/readyz` in plain HTTP/1.1 for probes: kubelets speak no gRPC over TLS before Kubernetes 1.37.

One request per connection, bounded in size, time and number; nothing of the request is ever echoed.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress

from fujie.model.errors import StartError

MOST_HEAD_BYTES = 8_192
MOST_SECONDS = 5.0
MOST_CONNECTIONS = 64
"""Probes need one or two; descriptors are shared with the log, which stops for good without one."""

BACKLOG = 16
"""As many as one turn of the loop accepts, before any of them can be sent away: asyncio's 100 are too many beside 64."""


FINAL = frozenset({"workers"})
"""Reasons that at most a new container ends: `/healthz` fails too, so that the kubelet starts one."""


class HealthListener:
    """Answers probes on the event loop: a loop that hangs fails `/healthz`, as it should.

    `why_not` says why the server is not ready, in one word; empty when it is. `but` says what is wrong with one that is
    ready all the same, in one line without names or places, since anybody may ask; empty for nothing.
    """

    def __init__(self, why_not: Callable[[], str], but: Callable[[], str]) -> None:
        self._why_not = why_not
        self._but = but
        self._open = 0
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; return the port that was bound.

        Raises:
            StartError: LISTEN_FAILED.

        """
        try:
            self._server = await asyncio.start_server(
                self._serve, host, port, limit=MOST_HEAD_BYTES, backlog=BACKLOG
            )
        except OSError:
            raise StartError("LISTEN_FAILED", f"cannot listen on {host}:{port} for probes") from None
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        """Stop listening. Connections end by themselves, within their time."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MOST_CONNECTIONS:
                async with asyncio.timeout(MOST_SECONDS):
                    await self._answer(reader, writer)
        except (OSError, EOFError, ValueError):  # gone, too slow (TimeoutError), or no request
            pass
        finally:
            self._open -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            status, body = "431 Request Header Fields Too Large", "too large"
        else:
            status, body = self._status(head.split(b"\r\n", 1)[0].split(b" "))
        content = f"{body}\n".encode()
        lines = (
            f"HTTP/1.1 {status}",
            "Content-Type: text/plain; charset=utf-8",
            f"Content-Length: {len(content)}",
            "Cache-Control: no-store",
            "Connection: close",
        )
        writer.write("\r\n".join((*lines, "", "")).encode() + content)
        await writer.drain()

    def _status(self, request: list[bytes]) -> tuple[str, str]:
        if len(request) != 3 or not request[2].startswith(b"HTTP/1."):
            return "400 Bad Request", "bad request"
        method, target, _ = request
        path = target.split(b"?", 1)[0]
        if path not in {b"/healthz", b"/readyz"}:
            return "404 Not Found", "not found"
        if method != b"GET":
            return "405 Method Not Allowed", "GET only"
        why_not = self._why_not()
        if path == b"/healthz":
            return (
                ("503 Service Unavailable", f"not ready: {why_not}")
                if why_not in FINAL
                else ("200 OK", "ok")
            )
        if why_not:
            return "503 Service Unavailable", f"not ready: {why_not}"
        but = self._but()
        return "200 OK", f"ok, but {but}" if but else "ok"
