"""Recipients from a file: CSV, XLSX, or plain lines of ids (`sheets`)."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fujie.app.cli.sheets import BadFile, encoding_of, packed, table

if TYPE_CHECKING:  # grpc costs 100 ms, which --help need not wait for
    from fujie.v1 import messaging_service_pb2 as messaging_v1


@dataclass(frozen=True, slots=True)
class Columns:
    """Which column names the customer: by id in `store`, or by phone number when that is empty. `key` empty: lines of a
    plain file. `variables` are the columns that become variables; None: all others."""

    key: str
    store: str
    variables: tuple[str, ...] | None = None


@dataclass(slots=True)
class Rows:
    """The rows of one file on their way: `lines` has the line number of each that was sent, `refused` those that were not
    sent at all, by code."""

    file: Path
    columns: Columns
    lines: "array[int]" = field(default_factory=lambda: array("I"))
    refused: dict[str, list[int]] = field(default_factory=dict)

    def messages(self) -> Iterator["list[messaging_v1.Recipient]"]:
        """Yield recipients in messages of a size that the server takes. Raises BadFile."""
        return packed(self._recipients(), self.lines, self.refused)

    def _recipients(self) -> "Iterator[tuple[int, messaging_v1.Recipient]]":
        from fujie.v1 import messaging_service_pb2 as messaging_v1
        from fujie.v1 import types_pb2 as types_v1

        for line, key, params in _rows(self.file, self.columns):
            store = self.columns.store
            ref = (
                types_v1.CustomerRef(store_key=types_v1.StoreKey(store=store, customer_id=key))
                if store
                else types_v1.CustomerRef(phone=key)
            )
            yield line, messaging_v1.Recipient(customer=ref, params=params)


def _rows(file: Path, columns: Columns) -> Iterator[tuple[int, str, Mapping[str, str]]]:
    """Yield line number, key and variables of each row that is not empty."""
    if not columns.key:
        with file.open(encoding=encoding_of(file)) as lines:
            for number, text in enumerate(lines, 1):
                if text.strip():
                    yield number, text.strip(), {}
        return
    rows = table(file)
    try:
        _, heading = next(rows)
    except StopIteration:
        raise BadFile("FILE_EMPTY", f"{file} has no heading") from None
    wanted = _wanted(file, heading, columns)
    for number, cells in rows:
        if not any(cells):
            continue
        padded = [*cells, *[""] * (len(heading) - len(cells))]
        named = {name: padded[place] for name, place in wanted.items()}
        yield number, named.pop(columns.key), {name: text for name, text in named.items() if text}


def _wanted(file: Path, heading: Sequence[str], columns: Columns) -> Mapping[str, int]:
    """Return the place of each column that is read, the key first."""
    places = {name: place for place, name in enumerate(heading) if name}
    asked = (columns.key, *(places if columns.variables is None else columns.variables))
    for name in asked:
        if name not in places:
            raise BadFile("COLUMN_MISSING", f"{file} has no column {name}")
        if heading.count(name) > 1:
            raise BadFile("COLUMN_TWICE", f"{file} has the column {name} twice")
    return {name: places[name] for name in asked}
