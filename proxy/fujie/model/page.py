"""Lists in pages: where one starts, how long it is, what it holds."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

MOST_ON_A_PAGE = 500
"""Each page is one answer and one entry; 500 sids of 36 bytes fit the 65,535 bytes of an entry three times."""
USUAL_ON_A_PAGE = 100


@dataclass(frozen=True, slots=True)
class Slice:
    """Which part of a list is read: `size` rows (1 to 500) behind `after`; from the start when that is empty.

    `after` is the `Page.next` of the page before; it means something only to who made it.
    """

    after: str = ""
    size: int = USUAL_ON_A_PAGE


FIRST_PAGE = Slice()
"""The start of a list, at the usual length."""


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows in the list's own stable order. `next` is where the next page starts, empty at the end."""

    rows: tuple[T, ...]
    next: str = ""
