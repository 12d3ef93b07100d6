"""A predicate as a condition in SQL: a sieve that lets through every row that passes the predicate, and maybe others.

What decides is the evaluation of each row in Python, on the values that it shows. So a comparison is handed to the database
only where the column's type makes its answer at least as wide: texts by their bytes, numbers by value, dates against whole
days. Everything else is taken for true, which is always right: a predicate has no "not". Constants are arguments, names
come from the configuration alone.
"""

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from math import isfinite
from typing import Any, TypeAlias

import sqlalchemy as sa

from fujie.adapters.stores.columns import Columns, Comparands, Kind
from fujie.adapters.stores.table import StoreTable
from fujie.model.predicate import AllOf, AnyOf, Column, Comparison, Constant, Operator, Predicate

MOST = 200
"""Comparisons that one statement carries; a predicate of more is not handed over. Databases bound the depth of an
expression (SQLite: 1,000) and the number of arguments."""
DEEPEST = 20
"""Parts within parts; what lies deeper is taken for true."""

_LARGEST = 2**53
"""Up to here a float is the number that was written, so that all ways of comparing agree."""
_UNDECODABLE = "\ufffd"
_EQUALITY = frozenset({Operator.EQ, Operator.NE})
_SQL: Mapping[Operator, Callable[[Any, Any], Any]] = {
    Operator.EQ: operator.eq,
    Operator.NE: operator.ne,
    Operator.LT: operator.lt,
    Operator.LE: operator.le,
    Operator.GT: operator.gt,
    Operator.GE: operator.ge,
}


class Join(StrEnum):
    """How parts are joined."""

    ALL = "all"
    ANY = "any"


@dataclass(frozen=True, slots=True, repr=False)
class Test:
    """One comparison that the database makes; `kind` is the constant's, None for PRESENT and ABSENT."""

    column: str
    operator: Operator
    kind: Kind | None = None
    constant: Constant | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Joined:
    """Parts that are joined."""

    by: Join
    parts: tuple["Sieve", ...]


Sieve: TypeAlias = Test | Joined

_OPEN: Sieve = Joined(Join.ALL, ())
_SHUT: Sieve = Joined(Join.ANY, ())


def sieve_of(predicate: Predicate, store: StoreTable, columns: Columns) -> Sieve:
    """Return what of `predicate` the database can tell."""
    found = _reduced(predicate, store, columns, DEEPEST)
    return found if sum(1 for _ in _tests(found)) <= MOST else _OPEN


def shape_of(sieve: Sieve) -> tuple[object, ...]:
    """Return the sieve without its constants: two of one shape have one statement."""
    if isinstance(sieve, Test):
        return (sieve.column, sieve.operator, sieve.kind)
    return (sieve.by, *map(shape_of, sieve.parts))


def clause_of(sieve: Sieve, columns: Columns) -> sa.ColumnElement[bool]:
    """Return the condition; its parameters are `c0`, `c1`, ... in the order of `constants_of`."""
    return _clause(sieve, columns, (f"c{number}" for number in range(MOST)))


def constants_of(sieve: Sieve, columns: Columns) -> dict[str, object]:
    """Return the arguments of `clause_of`, by parameter."""
    told = [test for test in _tests(sieve) if test.kind is not None and test.constant is not None]
    return {
        f"c{i}": columns.constant(test.column, test.kind, test.constant)
        for i, test in enumerate(told)
        if test.kind is not None and test.constant is not None
    }


def _reduced(predicate: Predicate, store: StoreTable, columns: Columns, deep: int) -> Sieve:
    if isinstance(predicate, Comparison):
        return _test(predicate, store, columns) or _OPEN
    if deep == 0:
        return _OPEN
    parts = [_reduced(part, store, columns, deep - 1) for part in predicate.parts]
    # An empty "all of" and an empty "any of" say the whole of their parent, or nothing in it.
    match predicate:
        case AllOf():
            return _joined(Join.ALL, parts, nothing=_OPEN, everything=_SHUT)
        case AnyOf():
            return _joined(Join.ANY, parts, nothing=_SHUT, everything=_OPEN)


def _joined(by: Join, parts: Sequence[Sieve], *, nothing: Sieve, everything: Sieve) -> Sieve:
    left = tuple(part for part in parts if part != nothing)
    if everything in left:
        return everything
    return left[0] if len(left) == 1 else Joined(by, left)


def _test(comparison: Comparison, store: StoreTable, columns: Columns) -> Test | None:
    """Return the comparison as the database makes it; None where it might find too little."""
    column = _mapped(comparison.column, store)
    asked, constant = comparison.operator, comparison.constant
    if column is None:
        return None
    if asked in {Operator.PRESENT, Operator.ABSENT}:
        return Test(column, asked)
    kind = None if constant is None else _kind(constant, asked)
    if kind is None or constant is None:
        return None
    if kind is Kind.TRUTH and comparison.column.is_attribute and asked is Operator.EQ:
        kind = Kind.FLAG
    if columns.constant(column, kind, constant) is None and isinstance(constant, str) and _is_day(constant):
        kind = Kind.DAY
    if columns.constant(column, kind, constant) is None:
        return None
    return Test(column, asked, kind, constant)


def _mapped(column: Column, store: StoreTable) -> str | None:
    return (store.attributes if column.is_attribute else store.fields).get(column.name)


def _kind(constant: Constant, asked: Operator) -> Kind | None:
    if isinstance(constant, bool):
        return Kind.TRUTH if asked in _EQUALITY else None
    if isinstance(constant, str):
        # What a database could not decode is read as U+FFFD, and stands elsewhere in its order. Against ASCII alone
        # the order of bytes is that of code points in every encoding that a database has.
        is_safe = _UNDECODABLE not in constant and (asked in _EQUALITY or constant.isascii())
        return (Kind.WORD if asked in _EQUALITY else Kind.TEXT) if is_safe else None
    return Kind.NUMBER if isfinite(constant) and abs(constant) <= _LARGEST else None


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text and "0001" < text[:4] < "9999"
    except ValueError:
        return False


def _tests(sieve: Sieve) -> Iterator[Test]:
    if isinstance(sieve, Test):
        yield sieve
    else:
        for part in sieve.parts:
            yield from _tests(part)


def _clause(sieve: Sieve, columns: Columns, names: Iterator[str]) -> sa.ColumnElement[bool]:
    if isinstance(sieve, Joined):
        parts = [_clause(part, columns, names) for part in sieve.parts]
        return sa.and_(sa.true(), *parts) if sieve.by is Join.ALL else sa.or_(sa.false(), *parts)
    if sieve.kind is None:
        column = columns.column(sieve.column)
        return column.is_not(None) if sieve.operator is Operator.PRESENT else column.is_(None)
    compared: Comparands = columns.comparands(sieve.column, sieve.kind, next(names))
    answer: sa.ColumnElement[bool] = _SQL[sieve.operator](compared.left, compared.right)
    return answer if compared.unless is None else sa.or_(compared.unless, answer)
