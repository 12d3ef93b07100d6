"""Rows as the lines of a file: CSV that no spreadsheet takes for a program, or JSON lines.

A spreadsheet evaluates a text that begins with = + - @ (or their full-width forms), whatever blanks and quotes stand
before it, and some split a line at other places than we do. Such a text gets an apostrophe before the sign, which
spreadsheets take for "this is text" (OWASP, CSV Injection). What is a number stays one.
"""

import asyncio
import csv
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import orjson

from fujie.decision.mask import OMITTED, Cells, Omitted, Shown
from fujie.model.export import BATCH, Export, Format

_BOM = "\ufeff"
_SIGNS = re.escape("=+-@＝＋－＠﹢﹣﹦﹫−")
_BLANKS = "\\s\"'`´‘’“”„＂＇\u200b-\u200f\u2060\ufeff\x00-\x1f"
# A run of more than 64 blanks counts as a sign too: so a search takes time in proportion to the text.
_BLANKS_AT_MOST = 64
_FORMULA = re.compile(
    f"(^|[;\\t\\r\\n|])(?=[{_BLANKS}]{{0,{_BLANKS_AT_MOST}}}[{_SIGNS}]|[{_BLANKS}]{{{_BLANKS_AT_MOST + 1}}})"
)
_LEADING = ("\t", "\r", "\n")

SLICE_BYTES = 1 << 18
"""Bytes of rows that are written in one step: some 10 ms of CSV."""
_FIRST_ROWS = 8
"""Rows of the first step, which tells how long they are."""


def opening(form: Format, columns: Sequence[str]) -> bytes:
    """Return how a file begins: of a CSV the mark that says UTF-8, and the heading; of JSON lines nothing."""
    return (_BOM + _lines([list(columns)])).encode() if form is Format.CSV else b""


def lines(form: Format, names: Sequence[str], columns: Sequence[Sequence[Shown | Omitted]]) -> bytes:
    """Return rows, given column by column, as lines. A field that a row does not show is an empty cell, or absent from the
    object."""
    if form is Format.JSON_LINES:
        objects = (
            {name: value for name, value in zip(names, row, strict=True) if value is not OMITTED}
            for row in zip(*columns, strict=True)
        )
        return b"".join(orjson.dumps(each, option=orjson.OPT_APPEND_NEWLINE) for each in objects)
    cells = list(map(_column, columns))
    quoted = _quoted(cells)
    return (_lines(zip(*cells, strict=True)) if quoted is None else quoted).encode()


async def lines_of(form: Format, names: Sequence[str], rows: Sequence[Cells]) -> bytes:
    """Return rows as lines, few at a time where they are long: between them others have their turn."""
    written, at, size = list[bytes](), 0, _FIRST_ROWS
    while at < len(rows):
        part = rows[at : at + size]
        written.append(lines(form, names, tuple(zip(*part, strict=True))))
        at += size
        size = max(1, min(BATCH, SLICE_BYTES * len(part) // len(written[-1])))
        await asyncio.sleep(0)
    return b"".join(written)


def closing(export: Export, at: datetime, rows: int) -> bytes:
    """Return the line that names the export, as whoever finds the file later needs it (`fujie exports show`)."""
    moment = at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if export.format is Format.JSON_LINES:
        said = {"name": export.name, "principal": export.requester, "time": moment, "rows": rows}
        return orjson.dumps({"_export": said}, option=orjson.OPT_APPEND_NEWLINE)
    return _lines(
        [[harmless(f"# fujie {export.name}, {export.requester}, {moment}, {rows} rows")]]
    ).encode()


def harmless(text: str) -> str:
    """Return a text that no spreadsheet evaluates."""
    text = _FORMULA.sub(r"\1'", text)
    return f"'{text}" if text.startswith(_LEADING) else text


def _column(values: Sequence[Any]) -> Sequence[Any]:
    """Return the cells of one column. Most columns hold nothing that begins a formula: their texts begin with a letter, a digit or
    a star, which none of the blanks and signs is, and have nothing that splits a cell."""
    try:
        whole = "\n".join(values)
    except TypeError:  # not all of them are texts
        return [_cell(value) for value in values]
    if whole.count("\n") >= len(values) or any(sign in whole for sign in ("\0", "\t", "\r")):
        return [_cell(value) for value in values]
    firsts = "".join([text[:1] for text in values]).replace("*", "")
    if (firsts.isalnum() or not firsts) and ";" not in whole and "|" not in whole:
        return values  # without the search, which looks at each character
    return [_cell(value) for value in values] if _FORMULA.search(whole) else values


def _cell(value: Shown | Omitted) -> Shown:
    if value is OMITTED:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    # A reader in C ends a line at NUL.
    return harmless(value.replace("\0", "\ufffd")) if isinstance(value, str) else value


def _quoted(columns: Sequence[Sequence[Any]]) -> str | None:
    """Return what `_lines` does, at a quarter of its cost, where every cell is a text without a quote, as nearly all are; else
    None. Then there are two quotes for each cell, and no more."""
    try:
        text = '"\r\n"'.join(map('","'.join, zip(*columns, strict=True)))
    except TypeError:  # a number, or an empty cell
        return None
    if text.count('"') != 2 * sum(map(len, columns)) - 2:
        return None
    return f'"{text}"\r\n'


def _lines(rows: Any) -> str:
    text = StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
    return text.getvalue()
