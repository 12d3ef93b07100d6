"""A filter of rows, as a store can understand it: comparisons of columns with constants, joined by "all of" and "any of".

There is no "not": a negation is written into the comparisons beneath it. So a part that a store can not evaluate may be
left out, and the store returns too many rows, never too few; what decides is the evaluation of each row afterwards.
A comparison with NULL is not true, whatever the operator, as in SQL.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from operator import eq, ge, gt, le, lt, ne
from types import MappingProxyType
from typing import Any, TypeAlias

Constant: TypeAlias = str | int | float | bool
"""What a column can be compared with. Texts compare by code point, numbers by value."""


class Operator(StrEnum):
    """How a column is compared. PRESENT and ABSENT take no constant; ABSENT is the only one that NULL passes."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="
    PRESENT = "present"
    ABSENT = "absent"

    @property
    def opposite(self) -> "Operator":
        """The operator that is true where this one is false; with NULL neither is."""
        return _OPPOSITE[self]

    def holds(self, left: Any, right: Any) -> bool:
        """Compare two values of one sort, neither of them NULL."""
        return bool(_MEANING[self](left, right))


_OPPOSITE: Mapping[Operator, Operator] = MappingProxyType(
    {
        Operator.EQ: Operator.NE,
        Operator.NE: Operator.EQ,
        Operator.LT: Operator.GE,
        Operator.GE: Operator.LT,
        Operator.GT: Operator.LE,
        Operator.LE: Operator.GT,
        Operator.PRESENT: Operator.ABSENT,
        Operator.ABSENT: Operator.PRESENT,
    }
)
_MEANING: Mapping[Operator, Callable[[Any, Any], Any]] = MappingProxyType(
    {
        Operator.EQ: eq,
        Operator.NE: ne,
        Operator.LT: lt,
        Operator.LE: le,
        Operator.GT: gt,
        Operator.GE: ge,
    }
)


@dataclass(frozen=True, slots=True)
class Column:
    """A field of the catalogue, or a customer attribute, by name; the store knows which column it is."""

    name: str
    is_attribute: bool = False


@dataclass(frozen=True, slots=True)
class Comparison:
    """One column compared with one constant (None for PRESENT and ABSENT)."""

    column: Column
    operator: Operator
    constant: Constant | None = None


@dataclass(frozen=True, slots=True)
class AllOf:
    """True when every part is; without parts always."""

    parts: tuple["Predicate", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True when a part is; without parts never."""

    parts: tuple["Predicate", ...]


Predicate: TypeAlias = Comparison | AllOf | AnyOf

ANYTHING: Predicate = AllOf(())
"""What every row passes."""

NOTHING: Predicate = AnyOf(())
"""What no row passes."""


def all_of(parts: Iterable[Predicate]) -> Predicate:
    """Return what is true when every part is, without what adds nothing: ANYTHING, and brackets in brackets."""
    kept: list[Predicate] = []
    for part in parts:
        if part == NOTHING:
            return NOTHING
        kept += part.parts if isinstance(part, AllOf) else (part,)
    return kept[0] if len(kept) == 1 else AllOf(tuple(kept))


def any_of(parts: Iterable[Predicate]) -> Predicate:
    """Return what is true when a part is, written as `all_of` does."""
    kept: list[Predicate] = []
    for part in parts:
        if part == ANYTHING:
            return ANYTHING
        kept += part.parts if isinstance(part, AnyOf) else (part,)
    return kept[0] if len(kept) == 1 else AnyOf(tuple(kept))


def comparisons(predicate: Predicate) -> Iterator[Comparison]:
    """Yield every comparison, in order."""
    if isinstance(predicate, Comparison):
        yield predicate
        return
    for part in predicate.parts:
        yield from comparisons(part)


def opposite(predicate: Predicate) -> Predicate:
    """Return what is true exactly where `predicate` is false; a comparison with NULL is neither."""
    if isinstance(predicate, Comparison):
        return Comparison(predicate.column, predicate.operator.opposite, predicate.constant)
    parts = tuple(map(opposite, predicate.parts))
    return AnyOf(parts) if isinstance(predicate, AllOf) else AllOf(parts)
