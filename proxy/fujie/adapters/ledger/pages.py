"""Pages of lists: by key, never by offset, so that rows added between two pages neither repeat nor hide any."""

from collections.abc import Mapping
from typing import TypeVar

from fujie.adapters.ledger.database import Database, Query
from fujie.model.errors import RequestError
from fujie.model.page import Page, Slice

T = TypeVar("T")

Keyed = tuple[str, T]
"""A row and the key that the list is sorted by, as text."""

_LARGEST = 2**63 - 1


async def read_page(
    database: Database, query: Query[Keyed[T]], values: Mapping[str, object], part: Slice
) -> Page[T]:
    """Return the rows of `query`, which takes `size` and sorts by the key, and where the next page starts."""
    found = await database.rows(
        query, {**values, "size": part.size + 1}
    )  # one more tells that there is more
    rows = found[: part.size]
    return Page(tuple(row for _, row in rows), rows[-1][0] if len(found) > part.size else "")


def change_after(part: Slice) -> int:
    """Return the `change_seq` that a page starts behind.

    Raises:
        RequestError: PAGE_TOKEN_INVALID for what no page of ours said.

    """
    if not part.after:
        return 0
    if not (part.after.isascii() and part.after.isdigit() and len(part.after) < 20):
        raise RequestError(code="PAGE_TOKEN_INVALID", field="page_token")
    return min(int(part.after), _LARGEST)
