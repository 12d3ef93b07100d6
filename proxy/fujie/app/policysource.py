"""Where signed bundles come from: a file, or an address with ETag. Reading blocks: it belongs into a thread."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path

from fujie.adapters.web import Ask, exchange, place_of
from fujie.app.policies import AWAY, SETTLE_S
from fujie.app.policysection import Policy
from fujie.app.problems import CannotStart, Problem
from fujie.policy.archive import MAX_BYTES

FETCH_S = 10.0
"""The longest that one fetch may take, and each of its waits: 16 MiB at 14 Mbit/s. A start waits for it, of `START_S`."""

MOST_TOKEN_BYTES = 16_384

_TRIES = 5
"""Readings until two in a row agree: somebody may be copying a file over the one before."""

_LONGEST_TAG = 256


@dataclass(frozen=True, slots=True)
class Found:
    """What a source holds. `content` is None when it is still what `tag` named; `tag` names what it is now, if anything does."""

    content: bytes | None
    tag: str = ""


Source = Callable[[str], Found]
"""Takes the tag of what is in force, empty for none. Raises CannotStart."""


def source_of(policy: Policy) -> Source:
    """Return how to read the bundle that the settings name."""
    if policy.url is not None:
        return partial(fetch, policy.url, policy.token_file)
    assert policy.bundle is not None
    return BundleFile(policy.bundle)


def shadow_source_of(policy: Policy) -> Source:
    """Return how to read the signed bundle of the shadow. Its problems are told as the shadow's."""
    if policy.shadow_url is not None:
        return partial(fetch, policy.shadow_url, policy.token_file)
    assert policy.shadow_bundle is not None
    return BundleFile(policy.shadow_bundle)


class BundleFile:
    """A bundle in a file, which may be a link that somebody swaps (`..data` of a ConfigMap): the name counts, nothing else."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last: bytes | None = None

    def __call__(self, _tag: str) -> Found:
        """Return the whole file, once it stays as it is. Raises CannotStart: POLICY_UNREADABLE."""
        content = _content(self._path, MAX_BYTES)
        for _ in range(_TRIES):
            if content == self._last:
                return Found(content)
            time.sleep(SETTLE_S)
            self._last, content = content, _content(self._path, MAX_BYTES)
        said = "the bundle keeps changing while it is read"
        raise CannotStart([Problem("POLICY_UNREADABLE", said, place=str(self._path))])


def fetch(url: str, token_file: Path | None, tag: str) -> Found:
    """Return the bundle at an address, asked for only if it is no longer what `tag` names.

    Raises:
        CannotStart: POLICY_SOURCE_AWAY, or POLICY_UNREADABLE for the token file.

    """
    headers = {"Accept": "application/octet-stream", **bearer(token_file)}
    if tag:
        headers["If-None-Match"] = tag
    try:
        answer = exchange(Ask(url, headers), MAX_BYTES, FETCH_S)
    except (OSError, HTTPException, ValueError) as error:
        raise _away(url, type(error).__name__) from None
    if answer.status == 304 and tag:
        return Found(None, tag)
    if answer.status != 200:
        raise _away(url, f"answered {answer.status}")
    return Found(answer.body, answer.etag if is_tag(answer.etag) else "")


def is_tag(tag: str) -> bool:
    """Tell whether an entity tag may be sent back: short, printable ASCII in quotes (RFC 9110 section 8.8.3)."""
    bare = tag.removeprefix("W/")
    is_quoted = len(bare) >= 2 and bare[0] == bare[-1] == '"' and '"' not in bare[1:-1]
    return is_quoted and len(tag) <= _LONGEST_TAG and tag.isascii() and tag.isprintable()


def bearer(token_file: Path | None) -> dict[str, str]:
    """Return the header with the token in a file, read anew each time. Raises CannotStart: POLICY_UNREADABLE."""
    if token_file is None:
        return {}
    token = _content(token_file, MOST_TOKEN_BYTES).strip()
    if not (token.isascii() and token.decode("ascii", "replace").isprintable() and token):
        said = "not one line with a token"
        raise CannotStart([Problem("POLICY_UNREADABLE", said, "policy.token_file", str(token_file))])
    return {"Authorization": f"Bearer {token.decode()}"}


def _content(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except OSError as error:
        raise CannotStart([Problem("POLICY_UNREADABLE", error.strerror or "", place=str(path))]) from None


def _away(url: str, said: str) -> CannotStart:
    remedy = "Check the address; the last good bundle stays in force."
    return CannotStart([Problem(AWAY, said, place=place_of(url), remedy=remedy)])
