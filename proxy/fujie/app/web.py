"""The public HTTP port of a worker: uvicorn's HTTP/1.1 on the worker's own loop, and bounds that it has none of.

All workers share the port (SO_REUSEPORT), which the server holds for them. uvicorn's own `Server` is not used: it
takes the process's signals, which are the server's business, and wakes ten times a second.

Needs the extra `console`. Plain HTTP: TLS ends at the ingress in front, whose addresses are `server.public_proxies`.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from starlette.routing import BaseRoute
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from fujie.app.logs import log_event
from fujie.app.settings import Server, split_address
from fujie.flows.gate import Gate
from fujie.model.errors import StartError
from fujie.transport.http.answers import answer_route
from fujie.transport.http.callbacks import callback_route
from fujie.transport.http.lines import Line
from fujie.transport.http.page import CONTENT_SECURITY_POLICY, CustomerPage
from fujie.transport.http.public import Incident, PublicEdge, public_app

MOST_CONNECTIONS = 256
"""Of one worker: descriptors are shared with the log, which stops for good without one."""

BACKLOG = 64
"""As many as one turn of the loop accepts, before any of them can be sent away (asyncio accepts 100)."""

MOST_HEAD_BYTES = 16_384
"""A request line with its headers, of which at most twice as much is read; browsers send 2,000, and we set no cookies."""

HEAD_S, CONNECTION_S = 10.0, 60.0
"""Until the first request has come; and as long as a connection lives at most: longer than an opt-out may wait for what is
on its way (a provider's timeout, 30 s at most). A browser opens another one unseen."""

KEEP_ALIVE_S = 5


class BoundedConnection(H11Protocol):
    """A connection that ends by itself, however slowly its other end speaks."""

    _bounds: tuple[asyncio.TimerHandle, ...] = ()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the parent
        """Take one connection, while there are not too many."""
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
            return
        self._bounds = (
            self.loop.call_later(HEAD_S, self._end_without_request),
            self.loop.call_later(CONNECTION_S, transport.abort),
        )

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        for bound in self._bounds:
            bound.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in pieces: h11 measures only a head that is not yet whole, and one read may bring 256 KiB."""
        for start in range(0, len(data), MOST_HEAD_BYTES):
            if self.transport.is_closing():
                return
            super().data_received(data[start : start + MOST_HEAD_BYTES])

    def _end_without_request(self) -> None:
        if self.cycle is None:
            self.transport.abort()  # type: ignore[unreachable]  # the parent says that it is never None


class PublicServer:
    """The listener of one worker."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    @classmethod
    async def start(
        cls,
        settings: Server,
        gate: Gate,
        lines: Mapping[str, Line],
        more: Callable[[PublicEdge], Sequence[BaseRoute]] = lambda _: (),
    ) -> "PublicServer":
        """Listen on `server.public_listen`, also for the routes of `more`. Raises StartError LISTEN_FAILED."""
        assert settings.public_listen is not None
        edge = PublicEdge(gate, report)
        routes = [
            callback_route(edge, lines, settings.public_base),
            *CustomerPage(edge, settings.page_url).routes(),
            answer_route(edge),
            *more(edge),
        ]
        app = public_app(gate, routes, {"content-security-policy": CONTENT_SECURITY_POLICY})
        return await cls.over(app, settings.public_listen, settings.public_proxies)

    @classmethod
    async def over(cls, app: ASGIApp, address: str, proxies: Sequence[str]) -> "PublicServer":
        """Serve an application on `host:port`, behind proxies of these networks. Raises StartError LISTEN_FAILED."""
        config = Config(
            ProxyHeadersMiddleware(app, list(proxies)),  # type: ignore[arg-type]  # ASGI, by another name
            http=BoundedConnection,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=MOST_HEAD_BYTES,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        config.load()
        public = cls(config)
        await public._listen(address)
        return public

    @property
    def port(self) -> int:
        """The port that it listens on."""
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._state.connections)

    async def stop(self, seconds: float) -> None:
        """Listen no more, let requests that run end within `seconds`, and close every connection."""
        if self._server is None:
            return
        self._server.close()
        self._server = None
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(list(self._state.tasks), timeout=seconds)
        for connection in list(self._state.connections):
            connection.transport.abort()

    async def _listen(self, address: str) -> None:
        loop = asyncio.get_running_loop()
        host, port = split_address(address)
        try:
            self._server = await loop.create_server(
                self._connection, host, port, reuse_port=True, backlog=BACKLOG
            )
        except OSError:
            raise StartError("LISTEN_FAILED", f"cannot listen on {address} for web pages") from None

    def _connection(self) -> BoundedConnection:
        return BoundedConnection(self._config, self._state, {})


def report(incident: Incident) -> None:
    """Log what nobody expected of a request."""
    log_event(
        "request_failed",
        logging.WARNING,
        incident_id=incident.id,
        method=incident.where,
        code=incident.code,
        error=incident.error,
    )
