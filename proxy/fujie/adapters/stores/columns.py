"""What a statement needs to know of the columns of one database: how they are compared, and how they are read.

Databases find more than was asked: a collation takes `AB` for `ab`, padding `ab ` for `ab`, MySQL the number 0
for `abc`. So a column is compared twice: by its own order, in its own type, which its index has; and byte by byte,
which decides. The second is only looked at in the rows that the first found.
"""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Dialect

from fujie.adapters.stores.table import StoreTable
from fujie.model.predicate import Constant

LONGEST = 65_536
"""Bytes of UTF-8, or bytes, that one value of a row may have: a field is a fact about a person, not a file. The
database cuts at one more, so that a gigabyte in a column is never read, and what is longer is an error."""

_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,19})", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]{1,65}(\.[0-9]{1,38})?", re.ASCII)
_SMALLEST, _LARGEST = -(2**63), 2**64 - 1


class KeyType(StrEnum):
    """What a column of keys holds. ANY: every row has a type of its own, as in SQLite."""

    ANY = "any"
    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    UUID = "uuid"


class Kind(StrEnum):
    """What a column is compared with for a predicate: a text for equality (WORD) or by order (TEXT), a number, a
    truth value, an attribute's truth value that a column may hold as 0 or 1 (FLAG), a day of the calendar."""

    WORD = "word"
    TEXT = "text"
    NUMBER = "number"
    TRUTH = "truth"
    FLAG = "flag"
    DAY = "day"


class Comparands(NamedTuple):
    """Both sides of a comparison. Rows for which `unless` holds are not compared, and pass."""

    left: sa.ColumnElement[Any]
    right: sa.ColumnElement[Any]
    unless: sa.ColumnElement[bool] | None = None


class Rank(NamedTuple):
    """What rows are ordered by, and the same of the id that a scan starts behind."""

    of_row: sa.ColumnElement[Any]
    of_start: sa.ColumnElement[Any]


class Columns(Protocol):
    """The mapped columns of one table in one database, looked at when the store was opened."""

    @property
    def dialect(self) -> Dialect:
        """How statements are written; its parameters are positional."""
        ...

    def column(self, name: str) -> sa.ColumnElement[Any]:
        """Return the column itself, to order by."""
        ...

    def value(self, name: str) -> sa.ColumnElement[Any]:
        """Return the column as it is read for a field: never more than `LONGEST` and one."""
        ...

    def key(self, name: str) -> sa.ColumnElement[Any]:
        """Return the column as it is read for an id or a number: text, or an integer where rows have types."""
        ...

    def is_one_of(self, name: str, parameters: Sequence[str]) -> sa.ColumnElement[bool]:
        """Return whether the column equals one of the parameters by its own order, so that its index serves."""
        ...

    def is_exactly(self, name: str, parameters: Sequence[str]) -> sa.ColumnElement[bool]:
        """Return whether the column's text is one of the parameters, byte by byte."""
        ...

    def is_listed(self, name: str, parameter: str) -> sa.ColumnElement[bool] | None:
        """Return `is_one_of` of the texts in one parameter, a list in JSON; None where a database has nothing that is faster
        so. Ids that only the column's order takes for one of them are left to who reads the rows."""
        ...

    def argument(self, name: str, text: str) -> object | None:
        """Return `text` as the driver's argument for `is_one_of`; None when the column can not hold it."""
        ...

    def key_type(self, name: str) -> KeyType:
        """Return what a column of keys holds."""
        ...

    def ranks(self, name: str) -> Sequence[Rank]:
        """Return what puts rows in an order in which only rows of one id are equal: one rank, or two where the column's
        own order takes different ids for one. `of_start` has the parameters `key0`, an `argument`, and `exact`, its text."""
        ...

    def constant(self, name: str, kind: Kind, constant: Constant) -> object | None:
        """Return the driver's argument for `comparands`; None where the database might find less than was meant."""
        ...

    def comparands(self, name: str, kind: Kind, parameter: str) -> Comparands:
        """Return how the column is compared with a parameter of this kind, where `constant` gave an argument for it."""
        ...


def holds(key_type: KeyType, text: str) -> bool:
    """Tell whether a column of this type can hold `text` in exactly this spelling.

    What can not be held is never sent: a database would fail (PostgreSQL) or guess (MySQL).
    """
    match key_type:
        case KeyType.INTEGER:
            return bool(_INTEGER.fullmatch(text)) and text != "-0" and _SMALLEST <= int(text) <= _LARGEST
        case KeyType.DECIMAL:
            return bool(_DECIMAL.fullmatch(text))
        case KeyType.UUID:
            return _is_uuid(text)
        case _:
            return _is_utf8(text)


def written(constant: Constant) -> Decimal:
    """Return the number that somebody wrote, which a float only stands for."""
    return Decimal(repr(constant))


def not_keys(store: StoreTable, types: Mapping[str, KeyType | None]) -> list[str]:
    """Return a problem for every mapped column that rows can not be found by, whatever the value."""
    found = [
        f"store {store.name}: column {name!r} has a type that no key can have"
        for name in sorted(store.key_columns)
        if name in types and types[name] is None
    ]
    return found + [
        f"store {store.name}: column {name!r} must hold text"
        for name in sorted(store.digest_columns)
        if types.get(name) not in {None, KeyType.TEXT}
    ]


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
