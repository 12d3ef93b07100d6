"""Giving a bundle out: put to the address that servers follow, and never over a newer one."""

from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from fujie.adapters.web import Answer, Ask, exchange, place_of
from fujie.app.policysource import FETCH_S, bearer, is_tag
from fujie.app.problems import CannotStart, Problem
from fujie.app.signedbundle import parsed
from fujie.policy.archive import MAX_BYTES, Archive

_MOST_REPLY_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Place:
    """Where a bundle is put: an address that `section.is_safe_web_address` accepts, and the token for it."""

    url: str
    token_file: Path | None = None


def push(archive: Archive, place: Place) -> bool:
    """Put a bundle at a place. Return whether anything changed: false when it was there already.

    The write is conditional on what was there when it was looked at, so that of two that push at once one is refused.

    Raises:
        CannotStart: BUNDLE_OLDER, BUNDLE_REVISION_REUSED, ETAG_MISSING, PUSH_CONFLICT, PUSH_FAILED, or a problem of
            the token file.

    """
    there = _exchange(place, "GET", {"Accept": "application/octet-stream"}, None, MAX_BYTES)
    if there.status == 404:
        condition = {"If-None-Match": "*"}
    elif there.status != 200:
        raise _failed(place, "PUSH_FAILED", f"looking at what is there: answered {there.status}")
    elif there.body == archive.encoded:
        return False
    else:
        _check_newer(archive, parsed(there.body, place_of(place.url)), place)
        if not is_tag(there.etag) or there.etag.startswith("W/"):
            said = "the server gives no strong ETag, so that nothing keeps two pushes apart"
            raise _failed(place, "ETAG_MISSING", said)
        condition = {"If-Match": there.etag}
    headers = {**condition, "Content-Type": "application/octet-stream"}
    answer = _exchange(place, "PUT", headers, archive.encoded, _MOST_REPLY_BYTES)
    if answer.status == 412:
        raise _failed(place, "PUSH_CONFLICT", "somebody else has put another bundle there meanwhile")
    if answer.status not in (200, 201, 204):
        raise _failed(place, "PUSH_FAILED", f"answered {answer.status}")
    return True


def _check_newer(archive: Archive, there: Archive, place: Place) -> None:
    ours, theirs = archive.manifest.revision, there.manifest.revision
    if ours < theirs:
        raise _failed(place, "BUNDLE_OLDER", f"revision {theirs} is there, this is {ours}")
    if ours == theirs and archive.note != there.note:
        raise _failed(place, "BUNDLE_REVISION_REUSED", f"revision {ours} is there with another content")


def _exchange(
    place: Place, method: str, headers: dict[str, str], body: bytes | None, most_bytes: int
) -> Answer:
    ask = Ask(place.url, {**headers, **bearer(place.token_file)}, method, body)
    try:
        return exchange(ask, most_bytes, FETCH_S)
    except (OSError, HTTPException, ValueError) as error:
        raise _failed(place, "PUSH_FAILED", type(error).__name__) from None


def _failed(place: Place, code: str, said: str) -> CannotStart:
    return CannotStart([Problem(code, said, place=place_of(place.url))])
