"""Where an issuer's keys are: a file, or an address that it publishes them at (RFC 7517).

Reading blocks, so that it belongs into a thread. Addresses are asked as `adapters/web.py` says.
"""

import json
from collections.abc import Callable, Mapping
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

from fujie.adapters.web import Ask, exchange, place_of
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
    place = place_of(url)
    try:
        answer = exchange(Ask(url, {"Accept": "application/json"}), MOST_BYTES, FETCH_S)
    except (OSError, HTTPException, ValueError) as error:
        raise _unreadable(place, type(error).__name__) from None
    if answer.status != 200:
        raise _unreadable(place, f"answered {answer.status}")
    return _parsed(place, answer.body)


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
