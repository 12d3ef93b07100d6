"""Spreadsheets that somebody made to break the command: each ends in a code, soon, and shows nothing of what it holds."""

from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from openpyxl import Workbook

from fujie.app.cli.sheets import BadFile, count, table

SHEET = "xl/worksheets/sheet1.xml"
HEAD = b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
CELL = b'<row r="1"><c r="A1" t="inlineStr"><is><t>%s</t></is></c></row>'


@pytest.fixture
def with_sheet(tmp_path: Path) -> Callable[[bytes], Path]:
    """Return a workbook whose sheet is these bytes."""

    def made(content: bytes) -> Path:
        good, bad = tmp_path / "good.xlsx", tmp_path / "bad.xlsx"
        Workbook().save(good)
        with ZipFile(good) as old, ZipFile(bad, "w", ZIP_DEFLATED) as new:
            for name in old.namelist():
                new.writestr(name, content if name == SHEET else old.read(name))
        return bad

    return made


def refusal(file: Path) -> str:
    """Return the code with which a file is refused, wherever it shows."""
    with pytest.raises(BadFile) as refused:
        _ = [count(file), *table(file)]
    assert "13800138000" not in str(refused.value)
    return refused.value.code


def test_a_workbook_that_unpacks_to_too_much_is_not_unpacked(
    with_sheet: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fujie.app.cli.sheets._MOST_UNPACKED", 1 << 20)
    assert refusal(with_sheet(HEAD + CELL % (b"A" * (1 << 20)))) == "FILE_TOO_LARGE"


def test_what_is_no_sheet_inside_is_refused_wherever_it_breaks(with_sheet: Callable[[bytes], Path]) -> None:
    laughs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
    bomb = f'<!DOCTYPE x [<!ENTITY a0 "lol">{laughs}]>'.encode() + HEAD + CELL % b"&a9;"
    for content in (b"", b"\0", HEAD + CELL % b"13800138000", bomb, HEAD + b"<row r='x'><c r='1'/></row>"):
        assert refusal(with_sheet(content)) == "XLSX_INVALID"


def test_a_workbook_that_was_cut_or_changed_is_refused(with_sheet: Callable[[bytes], Path]) -> None:
    file = with_sheet(HEAD + CELL % b"id" + b"</sheetData></worksheet>")
    assert [cells for _, cells in table(file)] == [["id"]]
    whole = file.read_bytes()
    with ZipFile(file) as parts:
        start = parts.getinfo(SHEET).header_offset + 60
    file.write_bytes(whole[:start] + b"13800138000" + whole[start + 11 :])
    assert refusal(file) == "XLSX_INVALID"
    file.write_bytes(whole[: len(whole) // 2])
    assert refusal(file) == "XLSX_INVALID"
