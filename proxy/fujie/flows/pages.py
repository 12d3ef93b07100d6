"""Page tokens: opaque to callers, and good for the one query of the one method that gave them.

A token holds a digest of the query and the place where the next page starts. It opens nothing: every page is
decided anew. The customer stands in the query as a sid, since a digest of a phone number can be enumerated.
"""

import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from fujie.audit.canon import canonical
from fujie.model.errors import RequestError
from fujie.model.facts import Known
from fujie.model.page import Page, Slice

T = TypeVar("T")

_DIGEST_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Query:
    """What is listed: the method, and everything that narrows it."""

    method: str
    parts: tuple[str | bool, ...]

    @property
    def digest(self) -> bytes:
        """What binds a token to the query."""
        said = {"method": self.method, "parts": self.parts}
        return hashlib.sha256(canonical(said)).digest()[:_DIGEST_BYTES]


def opened(query: Query, part: Slice) -> Slice:
    """Return the slice with the place that its token holds.

    Raises:
        RequestError: PAGE_TOKEN_INVALID for a token of another query, or of nobody.

    """
    if not part.after:
        return part
    try:
        token = urlsafe_b64decode(part.after.encode("ascii"))
        after = token[_DIGEST_BYTES:].decode()
    except ValueError:  # also what is not ASCII, or not UTF-8
        token, after = b"", ""
    if token[:_DIGEST_BYTES] != query.digest or not after or _token(query, after) != part.after:
        raise RequestError(code="PAGE_TOKEN_INVALID", field="page_token")
    return replace(part, after=after)


def sealed(query: Query, page: Page[T]) -> Page[T]:
    """Return the page with a token for where the next one starts."""
    return replace(page, next=_token(query, page.next)) if page.next else page


def shown(page: Page[T]) -> Mapping[str, Known]:
    """Return what the entry of a page says of it."""
    return {"page.rows": len(page.rows), "page.is_last": not page.next}


def _token(query: Query, after: str) -> str:
    return urlsafe_b64encode(query.digest + after.encode()).decode("ascii")
