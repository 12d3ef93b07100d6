"""Rows as the lines of a file: CSV that no spreadsheet takes for a program, or JSON lines.

A spreadsheet evaluates a text that begins with = + - @ (or their full-width forms), whatever blanks and quotes stand
before it, and some split a line at other places than we do. Such a text gets an apostrophe before the sign, which
spreadsheets take for "this is text" (OWASP, CSV Injection). What is a number stays one.
"""

import csv
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import orjson

from fujie.decision.mask import OMITTED, Omitted, Shown
from fujie.model.export import Export, Format

_BOM = "\ufeff"
_EVERY_SIGN = "=+-@＝＋－＠﹢﹣﹦﹫−"
_SIGNS = re.escape(_EVERY_SIGN)
_BLANKS = "\\s\"'`´‘’“”„＂＇\u200b-\u200f\u2060\ufeff\x00-\x1f"
# A run of more than 64 blanks counts as a sign too: so a search takes time in proportion to the text.
_BLANKS_AT_MOST = 64
_FORMULA = re.compile(
    f"(^|[;\\t\\r\\n|])(?=[{_BLANKS}]{{0,{_BLANKS_AT_MOST}}}[{_SIGNS}]|[{_BLANKS}]{{{_BLANKS_AT_MOST + 1}}})"
)
_LEADING = ("\t", "\r", "\n")


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
    return _lines(zip(*map(_column, columns), strict=True)).encode()


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
    """Return the cells of one column. Most columns hold no sign at all, which one search over all of it tells."""
    try:
        whole = "\n".join(values)
    except TypeError:  # not all of them are texts
        return [_cell(value) for value in values]
    if whole.count("\n") >= len(values) or any(sign in whole for sign in ("\0", "\t", "\r")):
        return [_cell(value) for value in values]
    if max(map(len, values), default=0) <= _BLANKS_AT_MOST and not any(
        sign in whole for sign in _EVERY_SIGN
    ):
        return values  # without the search, which looks at each character
    return [_cell(value) for value in values] if _FORMULA.search(whole) else values


def _cell(value: Shown | Omitted) -> Shown:
    if value is OMITTED:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    # A reader in C ends a line at NUL.
    return harmless(value.replace("\0", "\ufffd")) if isinstance(value, str) else value


def _lines(rows: Any) -> str:
    text = StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
    return text.getvalue()
