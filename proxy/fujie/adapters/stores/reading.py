"""What a row of a store means: whose it is, what of it a rule may read, and what is masked."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat
from types import MappingProxyType
from typing import Any

import sqlalchemy as sa

from fujie.adapters.stores.columns import LONGEST, Columns, KeyType
from fujie.adapters.stores.table import PhoneFormat, StoreTable
from fujie.model.customer import StoreKey
from fujie.model.errors import StoreError
from fujie.model.phone import NotAPhoneNumber, normalise, normalise_together
from fujie.model.record import Fetched, SealedRecord
from fujie.ports.stores import Values

_SHORT = LONGEST // 4
"""Characters that are no more than `LONGEST` bytes whatever they are; so short is nearly all, and needs no closer look."""

_MEASURED = (str, bytes, bytearray)

_PLAIN = ({str}, {int}, {bool}, set[type]())

_UNDECODABLE = "\ufffd"
_NO_ATTRIBUTES: Mapping[str, object] = MappingProxyType({})
_AS_FETCHED: Callable[[Iterable[Any]], Fetched] = partial(tuple.__new__, Fetched)


class Reading:
    """Which columns are read of a row, and what they mean."""

    def __init__(
        self, store: StoreTable, columns: Columns, fields: frozenset[str], attributes: frozenset[str]
    ) -> None:
        """Raises StoreError when a field or an attribute is not mapped."""
        if not (fields <= store.fields.keys() and attributes <= store.attributes.keys()):
            raise StoreError(f"store {store.name}: a column was asked for that is not mapped")
        self.store = store
        self.columns = columns
        self._fields = tuple(sorted(fields))
        self._attributes = tuple(sorted(attributes))
        keys = [store.customer_id] if store.phone is None else [store.customer_id, store.phone]
        self._first = len(keys)
        self._has_digits_only = (
            store.phone is not None
            and store.phone_format is PhoneFormat.E164
            and columns.key_type(store.phone) in {KeyType.INTEGER, KeyType.DECIMAL}
        )
        read = [columns.key(name) for name in keys]
        read += [columns.value(store.attributes[name]) for name in self._attributes]
        read += [columns.value(store.fields[name]) for name in self._fields]
        # Labelled by place: two fields may be mapped to one column.
        labelled = [each.label(f"c{i}") for i, each in enumerate(read)]
        self.select = sa.select(*labelled)
        self._nothing = SealedRecord({})

    def batch(self, rows: Sequence[Sequence[Any]]) -> list[Fetched]:
        """Return what many rows mean, at half of the cost of `row` for each: what can be looked at by column is.

        Raises:
            StoreError: as `row`, or a row has not as many values as were asked for.

        """
        columns = self._by_column(rows)
        if not rows or any(map(_may_be_long, columns)):
            return [self.row(row) for row in rows]
        names, fields, start = self._attributes, self._fields, self._first
        middle, store = start + len(names), self.store.name
        keys = [StoreKey(store, each) for each in self._customer_ids(columns[0])]
        phones = self._phones(columns[1]) if self.store.phone else repeat("")
        records = (
            [SealedRecord(fields, tuple(row[middle:])) for row in rows] if fields else repeat(self._nothing)
        )
        attributes = _mappings(names, columns[start:middle]) if names else repeat(_NO_ATTRIBUTES)
        # What the constructor of a named tuple does, without a call of the interpreter for each.
        return list(map(_AS_FETCHED, zip(keys, records, attributes, phones, strict=False)))

    def values(self, rows: Sequence[Sequence[Any]]) -> list[Values]:
        """Return what many rows without fields mean. Raises like `batch`."""
        columns = self._by_column(rows)
        if not rows:
            return []
        if any(map(_may_be_long, columns)):
            self._check_lengths(rows)
        phones = self._phones(columns[1]) if self.store.phone else repeat("")
        values = zip(*columns[self._first :], strict=True) if self._attributes else repeat(())
        return list(zip(self._customer_ids(columns[0]), phones, values, strict=False))

    def _by_column(self, rows: Sequence[Sequence[Any]]) -> Sequence[tuple[Any, ...]]:
        try:
            columns = tuple(zip(*rows, strict=True))
        except ValueError:
            columns = ()
        if rows and len(columns) != self._first + len(self._attributes) + len(self._fields):
            raise StoreError(f"store {self.store.name}: a row has other columns than were asked for")
        return columns

    def _check_lengths(self, rows: Iterable[Sequence[Any]]) -> None:
        for row in rows:
            for value in row:
                if isinstance(value, _MEASURED) and len(value) > _SHORT and _is_long(value):
                    raise StoreError(f"store {self.store.name}: a value has more than {LONGEST} bytes")

    def row(self, row: Sequence[Any]) -> Fetched:
        """Return what a row means.

        Raises:
            StoreError: it has no usable id, or a value beyond `LONGEST`.

        """
        self._check_lengths((row,))
        start, middle, fields = self._first, self._first + len(self._attributes), self._fields
        if len(row) != middle + len(fields):
            raise StoreError(f"store {self.store.name}: a row has other columns than were asked for")
        return Fetched(
            key=StoreKey(self.store.name, self._customer_id(row[0])),
            record=SealedRecord(fields, tuple(row[middle:])) if fields else self._nothing,
            attributes=dict(zip(self._attributes, row[start:middle], strict=True)),
            phone=self._phone(row[1]) if self.store.phone else "",
        )

    def _customer_id(self, value: object) -> str:
        if isinstance(value, int):
            return str(value)
        if not isinstance(value, str) or not value or _UNDECODABLE in value:
            raise StoreError(f"store {self.store.name}: a row has no usable customer id")
        return value

    def _customer_ids(self, column: Sequence[Any]) -> Sequence[str]:
        """Return the ids of many rows; those of most stores are texts, of which one look tells that all can be used."""
        is_usable = set(map(type, column)) == {str} and all(column) and _UNDECODABLE not in "".join(column)
        return column if is_usable else [self._customer_id(value) for value in column]

    def _phones(self, column: Sequence[Any]) -> Sequence[str]:
        """Return the numbers of many rows, most of which one search tells to be mainland mobile numbers."""
        is_text = not self._has_digits_only and set(map(type, column)) == {str}
        return (normalise_together(column) if is_text else None) or [self._phone(each) for each in column]

    def _phone(self, value: object) -> str:
        if not isinstance(value, str | int):
            return ""
        try:
            return normalise(f"+{value}" if self._has_digits_only else str(value))
        except NotAPhoneNumber:
            return ""


def _mappings(names: Sequence[str], columns: Sequence[Sequence[Any]]) -> Sequence[Mapping[str, object]]:
    """Return the attributes of many rows: one mapping for all that have the same, as most have, where each column holds one
    plain type: Python takes values of others for equal that are not (1 and True, 1.0 and 1.00)."""
    rows = list(zip(*columns, strict=True))
    if any(set(map(type, column)) - {type(None)} not in _PLAIN for column in columns):
        return [dict(zip(names, values, strict=True)) for values in rows]
    known = {values: dict(zip(names, values, strict=True)) for values in set(rows)}
    return list(map(known.__getitem__, rows))


def _may_be_long(column: Sequence[Any]) -> bool:
    """Tell whether a value of the column may be too long; never false for one that is."""
    try:
        if len("".join(column)) <= _SHORT:
            return False
    except TypeError:
        pass  # not all of them are texts
    kinds = set(map(type, column))
    if not any(issubclass(kind, str | bytes | bytearray) for kind in kinds):
        return False
    try:
        return 4 * max(map(len, filter(None, column)), default=0) > LONGEST
    except TypeError:  # texts beside numbers, as SQLite has them
        return True


def _is_long(value: object) -> bool:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass")) > LONGEST
    return isinstance(value, bytes | bytearray) and len(value) > LONGEST
