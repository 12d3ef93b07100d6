"""A real grpc.aio server on loopback, in front of flows that record what reaches them."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, cast

import grpc
import pytest

from fujie.adapters.identity.static import UnsafeStaticTokens
from fujie.flows.gate import Gate
from fujie.transport.grpc.edge import Edge, Incident
from fujie.transport.grpc.flows import Flows
from fujie.transport.grpc.server import GrpcServer, Listen, build_server
from fujie.transport.grpc.services import Front

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
TOKEN = "a-token-for-tests"
AUTHORIZED = (("authorization", f"Bearer {TOKEN}"),)


class FixedClock:
    """Also stands for the gate: the transport reads nothing of it but the clock."""

    @property
    def clock(self) -> "FixedClock":
        return self

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@dataclass
class CountingIds:
    drawn: int = 0

    def new_id(self) -> str:
        self.drawn += 1
        return f"incident-{self.drawn}"

    def nonce(self) -> bytes:
        return bytes(12)


STREAMED = {"watch_campaign", "screen_recipients", "export_customers", "open_export"}
"""Flows that answer more than once."""


@dataclass
class Script:
    """What flows answer, by name: a value, or a function of the arguments; and every call that came."""

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)

    def flows(self) -> Flows:
        return Flows(**{f.name: self._flow(f.name) for f in fields(Flows)})

    def _flow(self, name: str) -> Callable[..., Any]:
        async def stream(_gate: object, *args: Any) -> AsyncIterator[Any]:
            """Take every batch, and yield the answers, or those of each batch."""
            self.calls.append((name, args))
            batches = [each async for each in args[-1]] if hasattr(args[-1], "__anext__") else []
            answer = self.answers[name]
            for each in answer(*args, batches) if callable(answer) else [answer]:
                yield each

        if name in STREAMED:
            return stream

        async def run(_gate: object, *args: Any) -> Any:
            self.calls.append((name, args))
            answer = self.answers[name]
            return await answer(*args) if callable(answer) else answer

        return run


@dataclass
class Served:
    built: GrpcServer
    front: Front
    edge: Edge
    channel: grpc.aio.Channel
    script: Script
    incidents: list[Incident]
    authorized = AUTHORIZED

    async def call(self, path: str, raw: bytes = b"", metadata: Any = AUTHORIZED, **kwargs: Any) -> bytes:
        """Call with bytes, so that a test can send what no stub would."""
        method: Any = self.channel.unary_unary(path)
        return cast("bytes", await method(raw, metadata=metadata, **kwargs))

    async def failure(
        self, path: str, raw: bytes = b"", metadata: Any = AUTHORIZED
    ) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(path, raw, metadata, timeout=20)
        return caught.value


Serve = Callable[..., AbstractAsyncContextManager[Served]]


@pytest.fixture
def serve() -> Serve:
    @asynccontextmanager
    async def run(
        answers: dict[str, Any] | None = None, timeout_s: float = 5.0, *, with_reflection: bool = False
    ) -> AsyncIterator[Served]:
        script, incidents = Script(answers or {}), list[Incident]()
        tokens = UnsafeStaticTokens({sha256(TOKEN.encode()).hexdigest(): "anna"})
        front = Front(cast("Gate", FixedClock()), tokens, timeout_s, script.flows())
        edge = Edge(CountingIds(), incidents.append)
        built = await build_server(front, edge, Listen("127.0.0.1:0", with_reflection=with_reflection))
        await built.server.start()
        # Own subchannels: a connection that one test broke must not be the next test's.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        try:
            async with grpc.aio.insecure_channel(f"127.0.0.1:{built.port}", options=options) as channel:
                yield Served(built, front, edge, channel, script, incidents)
        finally:
            await built.server.stop(None)

    return run
