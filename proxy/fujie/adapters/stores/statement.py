"""The one SELECT of a look-up: its text, its arguments, and what a row of it means."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Dialect

from fujie.adapters.compiled import CompiledSelect
from fujie.adapters.stores.table import StoreTable, spellings
from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.errors import StoreError
from fujie.model.phone import NotAPhoneNumber, normalise
from fujie.model.record import SealedRecord
from fujie.model.vocabulary import KeyKind
from fujie.ports import Fetched

_UNDECODABLE = "\ufffd"


class Lookup:
    """A look-up by one kind of key for one set of fields and attributes. At most two rows are read."""

    def __init__(
        self,
        store: StoreTable,
        kind: KeyKind,
        fields: frozenset[str],
        attributes: frozenset[str],
        dialect: Dialect,
    ) -> None:
        self._store = store
        self._fields = tuple(sorted(fields))
        self._attributes = tuple(sorted(attributes))
        columns = store.from_clause().c
        keys = [store.customer_id] if store.phone is None else [store.customer_id, store.phone]
        self._first = len(keys)
        names = [
            *keys,
            *(store.attributes[n] for n in self._attributes),
            *(store.fields[n] for n in self._fields),
        ]
        by_phone = kind is KeyKind.PHONE
        forms = len(spellings("", store.phone_format)) if by_phone else 1
        key = columns[keys[-1] if by_phone else store.customer_id]
        select = (
            sa.select(*(columns[name] for name in names))
            .where(key.in_([sa.bindparam(f"key{i}") for i in range(forms)]))
            .limit(2)
        )
        self._compiled = CompiledSelect(select, dialect)
        self.text = self._compiled.text
        self.is_long = False
        """Set once it ran beyond its budget on the event loop."""

    def arguments(self, ref: CustomerRef) -> tuple[object, ...]:
        """Return the arguments of `text` that find `ref`."""
        if isinstance(ref, StoreKey):
            return self._compiled.arguments({"key0": ref.customer_id})
        forms = spellings(ref.e164, self._store.phone_format)
        return self._compiled.arguments({f"key{i}": form for i, form in enumerate(forms)})

    def fetched(self, rows: Sequence[Sequence[Any]], ref: CustomerRef) -> list[Fetched]:
        """Return what was found for exactly `ref`.

        A database may find more than was asked: an integer column takes `007` for 7, a collation
        `ab` for `AB`. Such a second spelling of an id would have a consent history of its own, so it
        finds nothing.

        Raises:
            StoreError: a row has no usable id, or stands under another number than the one asked.

        """
        found = [self._row(row) for row in rows]
        if isinstance(ref, StoreKey):
            return [row for row in found if row.key.customer_id == ref.customer_id]
        if any(row.phone != ref.e164 for row in found):
            raise StoreError(
                f"store {self._store.name}: a row was found under a number that it does not hold"
            )
        return found

    def _row(self, row: Sequence[Any]) -> Fetched:
        start, middle = self._first, self._first + len(self._attributes)
        return Fetched(
            key=StoreKey(self._store.name, self._customer_id(row[0])),
            record=SealedRecord(dict(zip(self._fields, row[middle:], strict=True))),
            attributes=_mapping(self._attributes, row[start:middle]),
            phone=_phone(row[1]) if self._store.phone else "",
        )

    def _customer_id(self, value: object) -> str:
        if isinstance(value, int):
            return str(value)
        if not isinstance(value, str) or not value or _UNDECODABLE in value:
            raise StoreError(f"store {self._store.name}: a row has no usable customer id")
        return value


def _mapping(names: Sequence[str], values: Sequence[object]) -> Mapping[str, object]:
    return dict(zip(names, values, strict=True))


def _phone(value: object) -> str:
    try:
        return normalise(str(value)) if isinstance(value, str | int) else ""
    except NotAPhoneNumber:
        return ""
