"""Rows of a file on their way to the server: CSV or XLSX. What stands in a row is never printed; its line number is.

Rows are read one after the other, so that a million of them need no more memory than ten; only their line numbers are
kept, four bytes each.
"""

import csv
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # protobuf costs time, which --help need not wait for
    from google.protobuf.message import Message

MOST_ROWS = 500
"""Rows of one message."""

MOST_BYTES = 60_000
"""Bytes of one message; the server takes 65,536."""

_MOST_OF_ROW = 16_384
"""Bytes of one row: 64 variables of 256."""

_MOST_UNPACKED = 512 << 20
"""Bytes that a workbook may unpack to: a sheet of a million rows has some 200 MB, and texts of cells stay in memory."""

_ENCODINGS = ("utf-8-sig", "gb18030")
"""What spreadsheets write CSV in: the first that the whole file is."""


M = TypeVar("M", bound="Message")


class BadFile(Exception):
    """A file that holds no recipients. `code` is UPPER_SNAKE; the text names a column or the path, never a value."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def packed(
    rows: Iterable[tuple[int, M | str]], lines: "array[int]", refused: dict[str, list[int]]
) -> Iterator[list[M]]:
    """Yield rows in messages of a size that the server takes.

    Each row has a line number, and is a message, or the reason code for which it is none. What was sent goes into `lines`,
    what was not into `refused`. Raises what `rows` does.
    """
    batch: list[M] = []
    size = 0
    for line, row in rows:
        weight = 0 if isinstance(row, str) else row.ByteSize() + 4
        if isinstance(row, str) or weight > _MOST_OF_ROW:
            refused.setdefault(row if isinstance(row, str) else "ARGUMENT_INVALID", []).append(line)
            continue
        if len(batch) == MOST_ROWS or size + weight > MOST_BYTES:
            yield batch
            batch, size = [], 0
        lines.append(line)
        batch.append(row)
        size += weight
    if batch:
        yield batch


def count(file: Path) -> int:
    """Return about how many rows a file has, for a progress bar. Raises BadFile."""
    if file.suffix.lower() == ".xlsx":
        with _workbook(file) as book:
            return max(0, (book.worksheets[0].max_row or 1) - 1)
    try:
        with file.open("rb") as lines:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: lines.read(1 << 20), b""))
    except OSError as error:
        raise BadFile("FILE_UNREADABLE", f"{file}: {error.strerror}") from None


def table(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of a file, each with its line number, the heading first. Raises BadFile."""
    return _sheet(file) if file.suffix.lower() == ".xlsx" else _csv(file)


def _csv(file: Path) -> Iterator[tuple[int, list[str]]]:
    with file.open(encoding=encoding_of(file), newline="") as lines:
        reader = csv.reader(lines, strict=True)
        try:
            for cells in reader:
                yield reader.line_num, [cell.strip() for cell in cells]
        except csv.Error:
            raise BadFile("CSV_INVALID", f"{file}:{reader.line_num} is no CSV") from None


def _sheet(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the rows of the first sheet, as they are shown to people."""
    with _workbook(file) as book:
        for number, cells in enumerate(book.worksheets[0].iter_rows(values_only=True), 1):
            yield number, [_shown(cell) for cell in cells]


@contextmanager
def _workbook(file: Path) -> Iterator[Any]:
    """Open a workbook, and make BadFile of whatever a broken one makes of zlib, expat and openpyxl within the block."""
    from zipfile import ZipFile

    try:
        from openpyxl import load_workbook
    except ImportError:
        raise BadFile("XLSX_NOT_INSTALLED", "install fujie[xlsx] to read XLSX, or save it as CSV") from None
    try:
        with file.open("rb") as opened:
            with ZipFile(opened) as parts:  # which are never read beyond the sizes that stand here
                if sum(part.file_size for part in parts.infolist()) > _MOST_UNPACKED:
                    raise BadFile("FILE_TOO_LARGE", f"{file} unpacks to too much; save it as CSV")
            with closing(load_workbook(opened, read_only=True, data_only=True)) as book:
                yield book
    except BadFile:
        raise
    except OSError as error:
        raise BadFile("FILE_UNREADABLE", f"{file}: {error.strerror}") from None
    except Exception:  # noqa: BLE001 - see above; they have no error in common
        raise BadFile("XLSX_INVALID", f"{file} is no XLSX") from None


def _shown(cell: object) -> str:
    """Return a cell as text: a spreadsheet holds numbers of phones and customers as floats."""
    if cell is None:
        return ""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == datetime.min.time() else cell.isoformat(" ")
    return cell.isoformat() if isinstance(cell, date) else str(cell).strip()


def encoding_of(file: Path) -> str:
    """Return the encoding of a text file. Raises BadFile."""
    try:
        for encoding in _ENCODINGS:
            if _is_in(file, encoding):
                return encoding
    except OSError as error:
        raise BadFile("FILE_UNREADABLE", f"{file}: {error.strerror}") from None
    raise BadFile("ENCODING_UNKNOWN", f"{file} is neither UTF-8 nor GB18030")


def _is_in(file: Path, encoding: str) -> bool:
    try:
        with file.open(encoding=encoding) as text:
            for _ in iter(lambda: text.read(1 << 20), ""):
                pass
    except UnicodeDecodeError:
        return False
    return True


def at_lines(lines: Sequence[int], places: Iterable[int]) -> list[int]:
    """Return the line numbers of rows by their places in what was sent."""
    return [lines[place] for place in places if place < len(lines)]
