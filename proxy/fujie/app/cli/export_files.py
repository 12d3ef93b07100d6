"""Where an export goes: a file that is there whole or not at all, or standard output.

A file is written beside its place under a hidden name, for its owner alone, and takes its place at the end; what is
there already is not overwritten. What came of an export that broke off is kept as `<file>.partial`.
"""

import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from fujie.app.cli.sheets import BadFile

_MOST_IN_SHEET = 1_048_575
"""Rows of a worksheet below its heading (ECMA-376)."""

_MOST_IN_CELL = 32_767
_NOT_IN_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


class Sink(Protocol):
    """Takes the bytes of an export in order."""

    def write(self, data: bytes) -> None:
        """Take the next bytes, which end with a line."""
        ...

    def commit(self) -> None:
        """All of it came."""
        ...

    def abandon(self) -> Path | None:
        """No more comes: return where what came is kept, None for nowhere, as on a full disk."""
        ...


class Piped:
    """Standard output."""

    def write(self, data: bytes) -> None:
        """See `Sink.write`."""
        sys.stdout.buffer.write(data)

    def commit(self) -> None:
        """See `Sink.commit`."""
        sys.stdout.buffer.flush()

    def abandon(self) -> Path | None:
        """See `Sink.abandon`."""
        self.commit()
        return None


class Kept:
    """A file. Raises BadFile."""

    def __init__(self, path: Path, *, force: bool) -> None:
        if path.exists() and not force:
            raise BadFile("FILE_EXISTS", f"{path} is there; --force overwrites it")
        self._path = path
        self._force = force
        self._hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        self.file = self._opened()
        """The file under its hidden name."""

    def write(self, data: bytes) -> None:
        """See `Sink.write`."""
        with self.writing():
            self.file.write(data)

    def commit(self) -> None:
        """See `Sink.commit`."""
        self._place(self._path, force=self._force)

    def abandon(self) -> Path | None:
        """See `Sink.abandon`."""
        if not self.file.closed and not self.file.tell():
            self.file.close()
            self._hidden.unlink(missing_ok=True)
            return None
        partial = self._path.with_name(f"{self._path.name}.partial")
        with suppress(BadFile):
            self._place(partial, force=True)
            return partial
        with suppress(OSError):
            self._hidden.unlink()
        return None

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Say of which file it is that something could not be written."""
        try:
            yield
        except OSError as error:
            raise BadFile("FILE_UNWRITABLE", f"{self._path}: {error.strerror}") from None

    def _opened(self) -> BinaryIO:
        with self.writing():
            return os.fdopen(os.open(self._hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def _place(self, path: Path, *, force: bool) -> None:
        """Give the file a place. Where it gets none it stays hidden, for `abandon`."""
        try:
            if not self.file.closed:
                self._finish()
            if force:
                self._hidden.replace(path)
                return
            os.link(self._hidden, path)  # unlike a rename, never over another file
            with suppress(OSError):
                self._hidden.unlink()
        except FileExistsError:
            raise BadFile("FILE_EXISTS", f"{path} is there; --force overwrites it") from None
        except OSError as error:
            raise BadFile("FILE_UNWRITABLE", f"{path}: {error.strerror}") from None

    def _finish(self) -> None:
        """Bring all of it to the disk; of what is not sure to be there nothing stays."""
        try:
            with self.file as file:
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            self._hidden.unlink(missing_ok=True)
            raise


class Sheet:
    """A workbook made of JSON lines, in constant memory; texts stay texts, whatever they begin with."""

    def __init__(self, kept: Kept, columns: list[str]) -> None:
        try:
            from openpyxl import Workbook
            from openpyxl.cell import WriteOnlyCell
        except ImportError:
            kept.abandon()
            raise BadFile(
                "XLSX_NOT_INSTALLED", "install fujie[xlsx] to write XLSX, or choose csv"
            ) from None
        self._kept = kept
        self._columns = columns
        self._book = Workbook(write_only=True)
        self._sheet = self._book.create_sheet("export")
        self._cell: Callable[..., Any] = WriteOnlyCell
        self._rest = b""
        self._rows = 0
        self._is_saved = False
        self._sheet.append(columns)

    def write(self, data: bytes) -> None:
        """See `Sink.write`."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            said = json.loads(line)
            export = said.get("_export") if set(said) == {"_export"} else None
            if isinstance(export, dict):
                self._name(export)
                continue
            self._rows += 1
            if self._rows > _MOST_IN_SHEET:
                raise BadFile("SHEET_FULL", f"a sheet has {_MOST_IN_SHEET} rows at most; choose csv")
            with self._kept.writing():  # into a file of the library's, until all is there
                self._sheet.append([self._value(said.get(name)) for name in self._columns])

    def commit(self) -> None:
        """See `Sink.commit`."""
        self._save()
        self._kept.commit()

    def abandon(self) -> Path | None:
        """See `Sink.abandon`."""
        with suppress(BadFile):
            if self._rows and not self._is_saved:
                self._save()
        return self._kept.abandon()

    def _save(self) -> None:
        self._is_saved = True  # a workbook is written once, whatever comes of it
        with self._kept.writing():
            self._book.save(self._kept.file)

    def _value(self, value: object) -> Any:
        if not isinstance(value, str):
            return value
        cell = self._cell(self._sheet, value=None)
        cell.value = _NOT_IN_XML.sub("\ufffd", value)[:_MOST_IN_CELL]
        cell.data_type = "s"  # never a formula, nor an error value
        return cell

    def _name(self, export: dict[str, Any]) -> None:
        """Say on every printed page which export it is. & begins a code there."""
        said = f"fujie {export['name']}, {export['principal']}, {export['time']}, {export['rows']} rows"
        self._sheet.oddFooter.left.text = said.replace("&", "&&")[:200]
        self._sheet.oddHeader.left.text = str(export["name"]).replace("&", "&&")
