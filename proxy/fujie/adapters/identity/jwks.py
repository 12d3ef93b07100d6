"""Where an issuer's keys are: a file, or an address that it publishes them at (RFC 7517).

Reading blocks, so that it belongs into a thread. Nothing of the environment has a say: no proxy, no
`.netrc`; and no redirect is followed, or whoever answers at one host could name keys of another.
"""

import json
import socket
import ssl
from collections.abc import Callable, Mapping
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from threading import Timer
from typing import Any, Final
from urllib.parse import urlsplit

from fujie.model.errors import StartError

MOST_BYTES: Final = 262_144
"""Large issuers publish a dozen keys of 2 KiB each."""

FETCH_S: Final = 5.0
"""The longest that one fetch may take, and each of its waits: a peer that sends a byte now and then
must not hold a thread."""

ADDRESS_S, FILE_S = 300.0, 2.0
"""How old keys may get before they are read anew. Five minutes is what issuers expect (and what PyJWT's
own client does); a file costs nothing to look at, as often as at the policies."""

Read = Callable[[], Mapping[str, Any]]


def source_of(place: str) -> tuple[Read, float]:
    """Return how to read the key set at a path or `https://` address, and how old it may get in seconds.

    Reading raises StartError: JWKS_UNREADABLE.
    """
    if "://" in place:
        return partial(fetch, place), ADDRESS_S
    return partial(read_file, Path(place)), FILE_S


def read_file(path: Path) -> Mapping[str, Any]:
    """Return the JSON object in a file. Raises StartError: JWKS_UNREADABLE."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _unreadable(str(path), error.strerror or "") from None
    return _parsed(str(path), content)


def fetch(url: str) -> Mapping[str, Any]:
    """Return the JSON object at an address. Raises StartError: JWKS_UNREADABLE."""
    parts = urlsplit(url)
    place = f"{parts.scheme}://{parts.netloc}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        status, content = _get(_connection(parts.scheme, parts.hostname or "", parts.port), target)
    except (OSError, HTTPException, ValueError) as error:
        raise _unreadable(place, type(error).__name__) from None
    if status != 200:
        raise _unreadable(place, f"answered {status}")
    return _parsed(place, content)


def _connection(scheme: str, host: str, port: int | None) -> HTTPConnection:
    if scheme == "https":
        return HTTPSConnection(host, port, timeout=FETCH_S, context=ssl.create_default_context())
    return HTTPConnection(host, port, timeout=FETCH_S)


def _get(connection: HTTPConnection, target: str) -> tuple[int, bytes]:
    """Return status and body, at most one byte longer than it may be.

    Within FETCH_S to connect to each address of the host, as much to shake hands, and as much for the answer.
    """
    try:
        connection.connect()
        peer = connection.sock  # the answer takes it over
        end = Timer(FETCH_S, _shut, [peer])
        end.start()
        try:
            headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
            connection.request("GET", target, headers=headers)
            with connection.getresponse() as response:
                return response.status, response.read(MOST_BYTES + 1)
        finally:
            end.cancel()
            peer.close()
    finally:
        connection.close()


def _shut(peer: socket.socket) -> None:
    """End both directions; what reads at the moment gets no more.

    By the plain socket's method: that of a TLS socket takes the encryption off first, and who is on the way
    could then have the reader take bytes in plain text for the issuer's.
    """
    try:
        socket.socket.shutdown(peer, socket.SHUT_RDWR)
    except OSError:
        return  # it was closed in the same moment


def _parsed(place: str, content: bytes) -> Mapping[str, Any]:
    if len(content) > MOST_BYTES:
        raise _unreadable(place, f"longer than {MOST_BYTES} bytes")
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise _unreadable(place, "not a JSON object")
    return parsed


def _unreadable(place: str, problem: str) -> StartError:
    return StartError("JWKS_UNREADABLE", f"{place}: {problem}", "Check identity.issuers[].jwks.")
