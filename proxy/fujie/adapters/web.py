"""One exchange with a web server, bounded in size and time. Blocks: it belongs into a thread.

Nothing of the environment has a say but the CAs that are believed (`SSL_CERT_FILE`): no proxy, no `.netrc`. No redirect
is followed, or whoever answers at one host could speak for another, and would be shown the token.
"""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPSConnection, IncompleteRead
from threading import Event, Timer
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True, repr=False)
class Ask:
    """What is asked of an `http://` or `https://` address. `headers` may hold a token."""

    url: str
    headers: Mapping[str, str]
    method: str = "GET"
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came. `body` is at most one byte longer than it may be; `etag` is empty when there was none."""

    status: int
    body: bytes = field(repr=False)
    etag: str = ""


def place_of(url: str) -> str:
    """Return what may be said of an address: scheme, host and port. Paths and queries may hold secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


def exchange(ask: Ask, most_bytes: int, seconds: float) -> Answer:
    """Return what the server answers.

    Within `seconds` to connect to each address of the host, as much to shake hands, and as much for the rest: a
    peer that sends a byte now and then does not hold the thread.

    Raises:
        OSError, HTTPException, ValueError: there was no whole answer.

    """
    parts = urlsplit(ask.url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _connection(parts.scheme, parts.hostname or "", parts.port, seconds)
    try:
        connection.connect()
        peer = connection.sock  # the answer takes it over
        is_late = Event()
        end = Timer(seconds, _cut, [peer, is_late])
        end.start()
        try:
            headers = {"Accept-Encoding": "identity", "Connection": "close", **ask.headers}
            connection.request(ask.method, target, body=ask.body, headers=headers)
            with connection.getresponse() as response:
                body = response.read(most_bytes + 1)
                if response.length and len(body) <= most_bytes:
                    raise IncompleteRead(b"", response.length)
                if is_late.is_set():  # what came looks whole where nothing said how long it is
                    raise TimeoutError
                return Answer(response.status, body, response.headers.get("ETag", ""))
        finally:
            end.cancel()
            peer.close()
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None, seconds: float) -> HTTPConnection:
    if scheme == "https":
        # Not `create_default_context`: that writes the keys of the connection to where SSLKEYLOGFILE says.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_default_certs()
        return HTTPSConnection(host, port, timeout=seconds, context=context)
    return HTTPConnection(host, port, timeout=seconds)


def _cut(peer: socket.socket, is_late: Event) -> None:
    is_late.set()
    _shut(peer)


def _shut(peer: socket.socket) -> None:
    """End both directions; what reads at the moment gets no more.

    By the plain socket's method: that of a TLS socket takes the encryption off first, and who is on the way
    could then have the reader take bytes in plain text for the server's.
    """
    try:
        socket.socket.shutdown(peer, socket.SHUT_RDWR)
    except OSError:
        return  # it was closed in the same moment
