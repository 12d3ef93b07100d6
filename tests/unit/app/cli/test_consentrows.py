"""Consents in a file: a row that says nothing is refused alone, and those behind it are read."""

from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fujie.app.cli.consentrows import ConsentRows, Layout

SOUND = "13800138000,marketing,2026-01-05T10:00:00+08:00,withdrawn"
ODD = {
    "a row that ends before its type": "13800138001",
    "the first moment of .NET": "13800138001,marketing,0001-01-01 00:00:00,withdrawn",
    "the last moment, in the far west": "13800138001,marketing,9999-12-31T23:59:59-08:00,withdrawn",
    "no time": "13800138001,marketing,lately,withdrawn",
    "no type": "13800138001,marketing,2026-01-05T10:00:00+08:00,",
}


@pytest.mark.parametrize("row", ODD.values(), ids=ODD.keys())
def test_a_row_that_can_not_be_read_stops_no_other(tmp_path: Path, row: str) -> None:
    file = tmp_path / "consents.csv"
    file.write_text("\n".join(["phone,purpose,event_time,type", SOUND, row, SOUND]), "utf-8")
    rows = ConsentRows(file, Layout({}, {}, "", ZoneInfo("Asia/Shanghai")))
    assert [len(batch) for batch in rows.messages()] == [2]
    assert (list(rows.lines), rows.refused) == ([2, 4], {"ARGUMENT_INVALID": [3]})
