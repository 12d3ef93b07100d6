"""The SELECTs of a store: a look-up, a gathering and a search, their texts, their arguments, what a row of them means."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import repeat
from types import MappingProxyType
from typing import Any

import orjson
import sqlalchemy as sa

from fujie.adapters.compiled import CompiledSelect
from fujie.adapters.stores.blindindex import last_four_digest, phone_digest
from fujie.adapters.stores.columns import LONGEST, Columns, KeyType
from fujie.adapters.stores.table import PhoneFormat, StoreTable, spellings
from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.errors import StoreError
from fujie.model.phone import NotAPhoneNumber, normalise, normalise_together
from fujie.model.record import Fetched, SealedRecord
from fujie.model.vocabulary import KeyKind
from fujie.ports.stores import Values

STATEMENTS = 512
"""Statements that are kept, compiled by us and prepared by the driver; ever new sets of fields only cost compilation."""

WIDTH = 100
"""Customers that one statement gathers. Fewer are asked for with the last one repeated, so that there is one statement
for any number of them, which is compiled and prepared once."""

_KEYS, _EXACT = (tuple(f"{name}{i}" for i in range(WIDTH)) for name in ("key", "exact"))

_SHORT = LONGEST // 4
"""Characters that are no more than `LONGEST` bytes whatever they are; so short is nearly all, and needs no closer look."""

_MEASURED = (str, bytes, bytearray)

_PLAIN = ({str}, {int}, {bool}, set[type]())

_UNDECODABLE = "\ufffd"
_NO_ATTRIBUTES: Mapping[str, object] = MappingProxyType({})
_AS_FETCHED: Callable[[Iterable[Any]], Fetched] = partial(tuple.__new__, Fetched)


class Statements:
    """Every SELECT of one store, compiled once per kind of key and set of columns."""

    def __init__(self, store: StoreTable, columns: Columns) -> None:
        self._store = store
        self._columns = columns
        self._lookups: dict[tuple[Any, ...], Lookup] = {}
        self._searches: dict[tuple[Any, ...], Search] = {}
        self._gatherings: dict[frozenset[str], Gathering] = {}

    def __len__(self) -> int:
        return len(self._lookups) + len(self._searches) + len(self._gatherings)

    def lookup(self, kind: KeyKind, fields: frozenset[str], attributes: frozenset[str]) -> "Lookup":
        """Return the look-up by one kind of key. Raises StoreError when a column is not mapped."""
        shape = (kind, fields, attributes)
        lookup = self._lookups.get(shape)
        if lookup is None:
            self._make_room()
            reading = Reading(self._store, self._columns, fields, attributes)
            lookup = self._lookups[shape] = Lookup(reading, kind)
        return lookup

    def search(self, fields: frozenset[str], attributes: frozenset[str]) -> "Search":
        """Return the search by last four digits. Raises StoreError when a column is not mapped."""
        shape = (fields, attributes)
        search = self._searches.get(shape)
        if search is None:
            self._make_room()
            search = self._searches[shape] = Search(Reading(self._store, self._columns, fields, attributes))
        return search

    def gathering(self, attributes: frozenset[str]) -> "Gathering":
        """Return the look-up of many by their ids. Raises StoreError when a column is not mapped."""
        gathering = self._gatherings.get(attributes)
        if gathering is None:
            self._make_room()
            reading = Reading(self._store, self._columns, frozenset(), attributes)
            gathering = self._gatherings[attributes] = Gathering(reading)
        return gathering

    def _make_room(self) -> None:
        if len(self) >= STATEMENTS:
            self._lookups.clear()
            self._searches.clear()
            self._gatherings.clear()


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


class Lookup:
    """A look-up by one kind of key for one set of fields and attributes. At most two rows are read."""

    def __init__(self, reading: Reading, kind: KeyKind) -> None:
        self._reading = reading
        self._store = store = reading.store
        by_number = kind is KeyKind.PHONE and store.phone_hmac is None
        self._column = (store.phone_key if kind is KeyKind.PHONE else None) or store.customer_id
        forms = len(spellings("", store.phone_format)) if by_number else 1
        columns = reading.columns
        select = reading.select.where(
            columns.is_one_of(self._column, [f"key{i}" for i in range(forms)]),
            *([] if by_number else [columns.is_exactly(self._column, ["exact"])]),
        )
        self._compiled = CompiledSelect(select.limit(2), columns.dialect)
        self.text = self._compiled.text

    def arguments(self, ref: CustomerRef) -> tuple[object, ...] | None:
        """Return the arguments of `text` that find `ref`; None when no row can have such a key."""
        if isinstance(ref, StoreKey):
            return self._exactly(ref.customer_id)
        if self._store.phone_hmac is not None:
            return self._exactly(phone_digest(self._store.index_key, ref.e164))
        columns, column = self._reading.columns, self._column
        forms = spellings(ref.e164, self._store.phone_format)
        if columns.key_type(column) in {KeyType.INTEGER, KeyType.DECIMAL}:
            forms = tuple(form.lstrip("+0") for form in forms)
        values = [columns.argument(column, form) for form in forms]
        if None in values:
            return None
        return self._compiled.arguments({f"key{i}": value for i, value in enumerate(values)})

    def _exactly(self, text: str) -> tuple[object, ...] | None:
        value = self._reading.columns.argument(self._column, text)
        return None if value is None else self._compiled.arguments({"key0": value, "exact": text})

    def fetched(self, rows: Sequence[Sequence[Any]], ref: CustomerRef) -> list[Fetched]:
        """Return what was found for exactly `ref`.

        A second spelling of an id, which a database may take for the first, would have a consent history of
        its own: it finds nothing. A row that a digest found and that holds no number has the number asked.

        Raises:
            StoreError: a row has no usable id, or stands under another number than the one asked.

        """
        found = [self._reading.row(row) for row in rows]
        if isinstance(ref, StoreKey):
            return [row for row in found if row.key.customer_id == ref.customer_id]
        if self._store.phone is None:
            return [Fetched(row.key, row.record, row.attributes, ref.e164) for row in found]
        if any(row.phone != ref.e164 for row in found):
            raise StoreError(
                f"store {self._store.name}: a row was found under a number that it does not hold"
            )
        return found


class Gathering:
    """A look-up of at most `WIDTH` customers by their ids, for attributes alone."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._column = reading.store.customer_id
        columns = reading.columns
        is_listed = columns.is_listed(self._column, "ids")
        self._takes_list = is_listed is not None
        one_by_one = (columns.is_one_of(self._column, _KEYS), columns.is_exactly(self._column, _EXACT))
        select = reading.select.where(*(one_by_one if is_listed is None else (is_listed,)))
        self._compiled = CompiledSelect(select.limit(2 * WIDTH + 1), columns.dialect)
        self.text = self._compiled.text

    def possible(self, ids: Sequence[str]) -> Mapping[str, object]:
        """Return the ids that a row can have, each once, with their arguments."""
        if self._takes_list and _is_listable("".join(ids)):
            return dict(zip(ids, ids, strict=True))
        values = {each: self._reading.columns.argument(self._column, each) for each in ids}
        return {each: value for each, value in values.items() if value is not None}

    def arguments(self, chunk: Sequence[tuple[str, object]]) -> tuple[object, ...] | None:
        """Return the arguments of `text` for 1 to `WIDTH` of the `possible`; None where it can not ask for one of them."""
        if self._takes_list:
            ids = [text for text, _ in chunk]
            if not _is_listable("".join(ids)):
                return None
            return self._compiled.arguments({"ids": orjson.dumps(ids).decode()})
        texts, values = zip(*chunk, *[chunk[-1]] * (WIDTH - len(chunk)), strict=True)
        named = dict(zip((*_KEYS, *_EXACT), (*values, *texts), strict=True))
        return self._compiled.arguments(named)

    def values(
        self, rows: Sequence[Sequence[Any]], chunk: Sequence[tuple[str, object]]
    ) -> list[Values] | None:
        """Return what was found under exactly these ids, of each two rows at most.

        None when there were more rows than two for each: some may have been left out.

        Raises:
            StoreError: a row has no usable id.

        """
        if len(rows) > 2 * WIDTH:
            return None
        left, found = dict.fromkeys([text for text, _ in chunk], 2), []
        for row in self._reading.values(rows):
            room = left.get(row[0], 0)
            if room:
                left[row[0]] = room - 1
                found.append(row)
        return found


class Search:
    """The customers whose number ends with four digits, by a column of their own: never by scanning numbers."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._store = store = reading.store
        assert store.search_key is not None
        self._column = store.search_key
        columns = reading.columns
        select = (
            reading.select.where(
                columns.is_one_of(self._column, ["key0"]), columns.is_exactly(self._column, ["exact"])
            )
            .order_by(columns.column(store.customer_id))
            .limit(sa.bindparam("most", type_=sa.Integer))
        )
        self._compiled = CompiledSelect(select, columns.dialect)
        self.text = self._compiled.text

    def arguments(self, last_four: str, most: int) -> tuple[object, ...] | None:
        """Return the arguments of `text`; None when no row can have such digits."""
        if self._store.last_four_hmac is not None:
            last_four = last_four_digest(self._store.index_key, last_four)
        value = self._reading.columns.argument(self._column, last_four)
        if value is None:
            return None
        return self._compiled.arguments({"key0": value, "exact": last_four, "most": most})

    def fetched(self, rows: Sequence[Sequence[Any]], last_four: str) -> list[Fetched]:
        """Return what was found.

        Raises:
            StoreError: a row has no usable id, or a number that ends otherwise.

        """
        found = [self._reading.row(row) for row in rows]
        if any(row.phone and not row.phone.endswith(last_four) for row in found):
            raise StoreError(
                f"store {self._store.name}: a row was found under digits that its number lacks"
            )
        return found


def _is_listable(text: str) -> bool:
    """Tell whether a text arrives whole in a list: SQLite ends it at NUL, and no database has a lone surrogate."""
    return "\0" not in text and (text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text))


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
