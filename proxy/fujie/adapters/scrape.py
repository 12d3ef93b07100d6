"""`/metrics` over plain HTTP, in threads of its own, bounded in number and time.

The library's own server starts a thread for every connection, waits for ever for a request that does not
come, and prints a traceback when a peer resets. Descriptors are shared with the log, which ends for good
when it can not open a file; and every line of the server's output is one JSON object.
"""

import io
import socket
from contextlib import suppress
from socketserver import ThreadingMixIn
from threading import BoundedSemaphore, Thread, Timer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

MOST_CONNECTIONS = 16
"""Prometheus needs one, a pair of them two."""

MOST_SECONDS = 10.0
"""How long a whole scrape may take, which is the default of Prometheus: a peer that sends a byte now and then must
not hold a thread."""


class ScrapeListener:
    """Serves a registry from construction to `stop`. Raises OSError when the address can not be bound."""

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        family, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        # A server reads its family from its class.
        server = type("_FamilyServer", (_Server,), {"address_family": family})
        self._server: _Server = server(address[:2], _Handler)
        self._server.set_app(make_wsgi_app(registry))
        self._thread = Thread(target=self._server.serve_forever, name="fujie-metrics", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that was bound."""
        return self._server.server_port

    def stop(self) -> None:
        """Stop listening; a scrape that runs ends by itself. Blocks for at most half a second."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, *args: Any) -> None:
        self._free = BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for the connection while there is one free, else close it."""
        if self._free.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, within its time."""
        end = Timer(MOST_SECONDS, _shut, [request])
        end.daemon = True
        end.start()
        try:
            super().process_request_thread(request, client_address)
        finally:
            end.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a peer that breaks off is no event, and the traceback would name its address."""


def _shut(peer: socket.socket) -> None:
    with suppress(OSError):  # it was closed in the same moment
        peer.shutdown(socket.SHUT_RDWR)


class _Handler(WSGIRequestHandler):
    timeout = MOST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the library's
        """Say nothing: a request line is whatever the peer wrote."""

    def get_stderr(self) -> io.StringIO:
        """Return where the library writes tracebacks: nowhere."""
        return io.StringIO()
