"""What came of an export is not lost where its place was taken meanwhile, and nothing hidden stays behind."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer
from openpyxl import load_workbook

from fujie.app.cli import export
from fujie.app.cli.connection import Server
from fujie.app.cli.export_files import Kept, Sheet, Sink
from fujie.app.cli.output import Exit, Format
from fujie.app.cli.sheets import BadFile
from fujie.v1.customer_data_service_pb2 import ExportCustomersRequest

ROW = b'{"name": "*"}\n'
SINKS: dict[str, Callable[[Path], Sink]] = {
    "as it comes": lambda path: Kept(path, force=False),
    "a workbook": lambda path: Sheet(Kept(path, force=False), ["name"]),
}


def received(monkeypatch: pytest.MonkeyPatch, path: Path, sink: Sink) -> int:
    """Run an export of one row, whose file somebody else makes meanwhile; return the exit code."""

    def come(*_: Any) -> dict[str, Any]:
        sink.write(ROW)
        path.write_text("another's", "utf-8")
        return {}

    monkeypatch.setattr(export, "_received", come)
    request = ExportCustomersRequest()
    with pytest.raises(typer.Exit) as ended:
        export._run(Server("127.0.0.1:1", Path("/dev/null"), None, Format.TABLE), request, sink)
    return ended.value.exit_code


@pytest.mark.parametrize("kind", SINKS)
def test_rows_that_left_are_kept_where_their_place_is_taken(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "[" / "a]"  # which would be an order of the printer's markup
    folder.mkdir(parents=True)
    path = folder / "list.xlsx"
    monkeypatch.setattr(Server, "_connected", lambda _: _Stubs())
    assert received(monkeypatch, path, SINKS[kind](path)) == Exit.ERROR
    partial = folder / "list.xlsx.partial"
    said = capsys.readouterr().err
    assert "FILE_EXISTS" in said
    assert f"what came is in {partial}" in said
    assert sorted(os.listdir(folder)) == ["list.xlsx", "list.xlsx.partial"]
    assert path.read_text("utf-8") == "another's"
    if kind == "a workbook":
        with partial.open("rb") as opened:
            assert list(load_workbook(opened)["export"].values) == [("name",), ("*",)]
    else:
        assert partial.read_bytes() == ROW


class _Stubs:
    class channel:  # noqa: N801 - as the real one has it
        close = staticmethod(lambda: None)


def test_what_did_not_reach_the_disk_is_not_shown_as_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> NoReturn:
        raise OSError(28, "No space left on device")

    sink = Kept(tmp_path / "list.csv", force=False)
    sink.write(ROW)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BadFile) as refused:
        sink.commit()
    assert refused.value.code == "FILE_UNWRITABLE"
    assert sink.abandon() is None
    assert not os.listdir(tmp_path)
