"""The SELECTs of a store: a look-up, a gathering and a search, their texts, their arguments, what they found."""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import sqlalchemy as sa

from fujie.adapters.compiled import CompiledSelect
from fujie.adapters.stores.blindindex import last_four_digest, phone_digest
from fujie.adapters.stores.columns import Columns, KeyType
from fujie.adapters.stores.reading import Reading
from fujie.adapters.stores.table import StoreTable, spellings
from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.errors import StoreError
from fujie.model.record import Fetched
from fujie.model.vocabulary import KeyKind
from fujie.ports.stores import Values

STATEMENTS = 512
"""Statements that are kept, compiled by us and prepared by the driver; ever new sets of fields only cost compilation."""

WIDTH = 100
"""Customers that one statement gathers. Fewer are asked for with the last one repeated, so that there is one statement
for any number of them, which is compiled and prepared once."""

_KEYS, _EXACT = (tuple(f"{name}{i}" for i in range(WIDTH)) for name in ("key", "exact"))


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
