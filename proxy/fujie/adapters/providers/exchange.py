"""One exchange with a provider over HTTP, of which is known for certain whether the provider can have got anything.

Of a message only that matters: what was not sent may be sent later or elsewhere, what may have been sent never (promise 6).
So the transport of httpx is used bare, without its client: no redirect is followed, nothing is repeated, no proxy, `.netrc`
or cookie has a say, no address is logged. The transport tells when the first byte of the request is on its way.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import httpx
import orjson

from fujie.adapters.clock import SystemClock
from fujie.ports.providers import BUSY, Acceptance, Submission

MOST_BYTES = 1 << 20
"""The longest answer that is read. A batch of 200 results has about 40 KB."""

_FIRST_BYTE = "http11.send_request_headers.started"
_CONNECTIONS = 64
_WAIT = 0.4
"""Of the whole time: for a free connection, for a new one, and again for its handshake. What waited longer would go out with too
little left for its answer, and be in doubt."""
_IDLE_SECONDS = 5.0
"""Well below what servers keep idle connections for: a request that meets a closing one is a message in doubt."""


@dataclass(frozen=True, slots=True, repr=False)
class Ask:
    """What is asked. `url` holds nothing of a customer; `headers` and `body` may hold secrets and numbers."""

    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer of the provider, at most MOST_BYTES long."""

    status: int
    body: bytes = field(repr=False)

    def fields(self) -> Mapping[str, Any]:
        """Return the JSON object that the body is; empty when it is none."""
        try:
            value = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return value if isinstance(value, dict) else {}


NO_ROOM = Submission(Acceptance.RETRY, code=BUSY)
NOT_SENT = Submission(Acceptance.RETRY, code="CONNECT")
LATE = Submission(Acceptance.UNKNOWN, code="TIMEOUT")
NO_ANSWER = Submission(Acceptance.UNKNOWN, code="ANSWER")


@lru_cache
def believed() -> ssl.SSLContext:
    """Return whom all exchanges believe: the CAs of the system, or of SSL_CERT_FILE. To load them takes 30 ms."""
    # Not `create_default_context`: that writes the keys of the connection to where SSLKEYLOGFILE says.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_default_certs()
    return context


class Exchange:
    """Connections to one provider, at most `connections`, each with one exchange at a time. Each exchange takes at most
    `timeout_s`, waiting for a connection included."""

    def __init__(self, timeout_s: float, connections: int = _CONNECTIONS) -> None:
        limits = httpx.Limits(max_connections=connections, keepalive_expiry=_IDLE_SECONDS)
        self._transport = httpx.AsyncHTTPTransport(
            verify=believed(), trust_env=False, retries=0, http2=False, limits=limits
        )
        self.timeout_s = timeout_s
        self.connections = connections
        # The handshake ends before the whole does, which would leave a socket of it to the garbage collector (anyio closes
        # it after its own timeout alone).
        self._wait_s = _WAIT * timeout_s

    async def ask(self, ask: Ask) -> Answer | Submission:
        """Return the answer; else what holds of each message that was asked to be sent: RETRY when not a byte of the
        request had left (BUSY: no connection was free; CONNECT), UNKNOWN afterwards (TIMEOUT, ANSWER). Raises nothing, but for
        cancellation."""
        has_begun, clock = False, SystemClock()
        began, now = clock.monotonic(), clock.now()

        async def trace(event: str, _: Mapping[str, Any]) -> None:
            nonlocal has_begun
            if event == _FIRST_BYTE:
                # A process that was stopped, or a machine that slept, while it connected goes on here before any timer of
                # its loop ends: by then whoever opted out was told that nothing more is on its way.
                if max(clock.monotonic() - began, (clock.now() - now).total_seconds()) >= self.timeout_s:
                    raise TimeoutError
                has_begun = True

        each = {
            **dict.fromkeys(("read", "write"), self.timeout_s),
            **dict.fromkeys(("pool", "connect"), self._wait_s),
        }
        headers = {"Accept-Encoding": "identity", **ask.headers}
        try:
            request = httpx.Request(
                ask.method,
                ask.url,
                headers=headers,
                content=ask.body,
                extensions={"timeout": each, "trace": trace},
            )
            async with asyncio.timeout(self.timeout_s):
                return await self._whole(request)
        except httpx.PoolTimeout:
            return NO_ROOM
        except (TimeoutError, httpx.TimeoutException):
            return LATE if has_begun else NOT_SENT
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError):
            return NO_ANSWER if has_begun else NOT_SENT

    async def close(self) -> None:
        """Let go of all connections."""
        await self._transport.aclose()

    async def _whole(self, request: httpx.Request) -> Answer | Submission:
        response = await self._transport.handle_async_request(request)
        body = bytearray()
        try:
            assert isinstance(response.stream, httpx.AsyncByteStream)
            async for chunk in response.stream:
                body += chunk
                if len(body) > MOST_BYTES:
                    return NO_ANSWER
        finally:
            await response.aclose()
        return Answer(response.status_code, bytes(body))
