"""The scans of a store, each shape of them compiled once."""

from fujie.adapters.stores.columns import Columns
from fujie.adapters.stores.reading import Reading
from fujie.adapters.stores.scanning import Scanning, Selection
from fujie.adapters.stores.sieve import constants_of, shape_of, sieve_of
from fujie.adapters.stores.table import StoreTable
from fujie.ports.stores import Scan

SHAPES = 64
"""Shapes of scans that are kept compiled; a filter of another shape only costs compilation, about a millisecond."""


class Scans:
    """Every scan of one store. Two that differ in constants alone have one statement."""

    def __init__(self, store: StoreTable, columns: Columns) -> None:
        self._store = store
        self._columns = columns
        self._shapes: dict[tuple[object, ...], Scanning] = {}

    def __len__(self) -> int:
        return len(self._shapes)

    def selection(self, wanted: Scan) -> Selection:
        """Return the rows that may pass. Raises StoreError when a column is not mapped."""
        sieve = sieve_of(wanted.where, self._store, self._columns)
        shape = (wanted.fields, wanted.attributes, shape_of(sieve))
        scanning = self._shapes.get(shape)
        if scanning is None:
            if len(self._shapes) >= SHAPES:
                self._shapes.clear()
            reading = Reading(self._store, self._columns, wanted.fields, wanted.attributes)
            scanning = self._shapes[shape] = Scanning(reading, sieve)
        return Selection(scanning, constants_of(sieve, self._columns), wanted.after)
