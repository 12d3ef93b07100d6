"""`fujie consent import` against a real server: what stands in a file is recorded once, and refusals are told by line."""

import csv
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from openpyxl import Workbook
from typer.testing import CliRunner, Result

from e2e.server import Server, Site
from fujie.app.cli import build, consent_import
from fujie.app.shipped import shipped_policies
from support.answers import shipped_notice

CONTROLLER = "Test Ltd."
NOTICE = shipped_notice("marketing", CONTROLLER)
SAME = (
    "--set", f"notice_id={NOTICE.id}", "--set", f"notice_version={NOTICE.version}",
    "--set", "notice_language=zh-CN", "--set", f"notice_digest={NOTICE.digest}",
)  # fmt: skip
HEADING = ("customer_id", "type", "purpose", "event_time", "preselected", "bundled", "evidence_ref")

A_MONTH_AGO = (datetime.now(UTC) - timedelta(days=30)).isoformat(timespec="seconds")
"""What was agreed to holds for a year."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    site = Site.create(tmp_path_factory.mktemp("import") / "site", 60)
    site.policy_file.unlink()
    copytree(shipped_policies() / "base", site.root / "policies", dirs_exist_ok=True)
    site.values["stores"]["crm"]["attributes"] = {"minor": "minor", "owner_department": "department"}
    site.values["controller"] = CONTROLLER
    site.write()
    with site.running() as running:
        running.add_principal("chief", "administrator")
        for name, role in {"desk": "consent_desk", "nobody": "nothing"}.items():
            hired = run(
                running, "chief", "principal", "upsert", name, "--role", role, "--training", "valid"
            )
            assert hired.exit_code == 0, hired.stderr
        yield running


def run(server: Server, who: str, *arguments: str, output: str = "json") -> Result:
    """Run a command of `fujie` as `who`, in this process: a fresh interpreter for each costs seconds."""
    token = server.site.root / f"{who}.token"
    token.write_text(server.site.token(who), "ascii")
    options = ("--address", server.grpc, "--token-file", str(token), "--output", output)
    return CliRunner().invoke(build(), [*arguments, *options])


def imported(server: Server, file: Path, *more: str, code: int = 0) -> Any:
    done = run(server, "desk", "consent", "import", str(file), "--store", "crm", *SAME, *more)
    assert done.exit_code == code, (done.exit_code, done.stdout, done.stderr)
    return json.loads(done.stdout)


def state(server: Server, customer: str) -> str:
    shown = run(server, "desk", "consent", "show", customer, "--store", "crm", "--purpose", "marketing")
    return str(json.loads(shown.stdout)["state"])


def written(path: Path, rows: Sequence[Sequence[str]], heading: Sequence[str] = HEADING) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([heading, *rows])
    return path


def given(number: int, **changes: str) -> list[str]:
    said = dict(zip(HEADING, (f"C{number:05}", "given", "marketing", A_MONTH_AGO, "no", "no", "form"), strict=True))  # fmt: skip
    return [{**said, **changes}[name] for name in HEADING]


def test_a_file_is_checked_then_recorded_then_adds_nothing(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consent_import, "MOST_OF_CALL", 0)  # every message is a call of its own
    monkeypatch.setattr("fujie.app.cli.sheets.MOST_ROWS", 7)
    rows = [given(number) for number in range(1, 21)]
    rows[16] = given(17, preselected="yes")
    file, report = written(tmp_path / "consents.csv", rows), tmp_path / "refused.csv"
    refused = {"CONSENT_NOT_FREE": {"count": 1, "lines": [18]}}
    checked = imported(server, file, "--check", code=6)
    assert checked == {"good": 19, "repeated": 0, "refused": refused}
    assert state(server, "C00001") == "NONE"
    first = imported(server, file, "--report", str(report), code=6)
    assert first == {"recorded": 19, "repeated": 0, "refused": refused}
    assert report.read_text() == "line,code\n18,CONSENT_NOT_FREE\n"
    assert imported(server, file, code=6) == {"recorded": 0, "repeated": 19, "refused": refused}
    assert (state(server, "C00001"), state(server, "C00017")) == ("GIVEN", "NONE")
    again = run(server, "desk", "consent", "import", str(file), "--report", str(report))
    assert again.exit_code == 1, "a report is never overwritten"


def test_every_bad_row_is_told_by_line_and_code_and_never_by_what_it_holds(
    server: Server, tmp_path: Path
) -> None:
    rows = [
        given(21),
        given(22, bundled="是"),
        given(23, preselected=""),
        given(24, event_time="2999-01-01T00:00:00Z"),
        given(25, event_time="2026-01-05 10:00"),
        given(26, type="perhaps"),
        given(27, preselected="13900000001"),
        given(99_999),
        given(28, evidence_ref="\x07bell"),
        given(29, type="withdrawn"),
        [""] * len(HEADING),
        given(30, purpose="nosuch"),
    ]
    file, report = written(tmp_path / "bad.csv", rows), tmp_path / "refused.csv"
    done = run(
        server, "desk", "consent", "import", str(file), "--store", "crm", *SAME, "--report", str(report)
    )
    assert done.exit_code == 6, done.stderr
    told = [tuple(row) for row in csv.reader(report.read_text().splitlines())][1:]
    assert told == [
        ("3", "CONSENT_NOT_FREE"), ("4", "CONSENT_NOT_FREE"), ("5", "EVENT_IN_FUTURE"), ("6", "ARGUMENT_INVALID"),
        ("7", "ARGUMENT_INVALID"), ("8", "ARGUMENT_INVALID"), ("9", "CUSTOMER_NOT_FOUND"), ("10", "TEXT_INVALID"),
        ("13", "UNKNOWN_PURPOSE"),
    ]  # fmt: skip
    assert "13900000001" not in done.stdout + done.stderr + report.read_text()
    assert (state(server, "C00021"), state(server, "C00029")) == ("GIVEN", "WITHDRAWN")


def test_a_chinese_sheet_with_local_times_is_read_as_it_is(server: Server, tmp_path: Path) -> None:
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(
        ("客户编号", "姓名", "客户意愿", "处理目的", "渠道", "签署日", "默认勾选", "捆绑同意", "明示同意")
    )
    sheet.append(("C00041", "甲", "同意", "marketing", "短信", "2026/1/5 10:00", "否", "否", "是"))
    sheet.append(("C00042", "乙", "拒绝", "marketing", "", "2026-01-05", "", "", ""))
    file = tmp_path / "consents.xlsx"
    book.save(file)
    done = run(
        server, "desk", "consent", "import", str(file), "--store", "crm", *SAME, "--column", "event_time=签署日",
        "--zone", "Asia/Shanghai",
    )  # fmt: skip
    assert done.exit_code == 0, (done.stdout, done.stderr)
    assert done.stderr.strip() == "not read: 姓名"
    assert state(server, "C00042") == "REFUSED"
    shown = run(server, "desk", "consent", "events", "C00041", "--store", "crm")
    (event,) = json.loads(shown.stdout)["events"]
    assert (event["event_time"], event["channel"], event["source"]) == (
        "2026-01-05T02:00:00Z",
        "sms",
        "import",
    )


@pytest.mark.parametrize(
    ("heading", "options", "code"),
    [
        (("customer_id", "type", "purpose"), (), "COLUMN_MISSING"),
        (("type", "purpose", "event_time"), (), "COLUMN_MISSING"),
        ((*HEADING, "类型"), (), "COLUMN_TWICE"),
        (HEADING, ("--set", "purpose=marketing"), "COLUMN_TWICE"),
        (HEADING, ("--column", "channel=nosuch"), "COLUMN_MISSING"),
        (HEADING, ("--column", "nosuch=type"), "ARGUMENT_INVALID"),
        (HEADING, ("--zone", "Nowhere/At-all"), "ARGUMENT_INVALID"),
        (None, (), "FILE_EMPTY"),
    ],
)
def test_a_file_that_can_not_be_read_is_refused_by_its_heading(
    server: Server, tmp_path: Path, heading: Sequence[str] | None, options: tuple[str, ...], code: str
) -> None:
    file = tmp_path / "consents.csv"
    if heading is None:
        file.write_text("")
    else:
        written(file, [["C00051"] * len(heading)], heading)
    done = run(server, "desk", "consent", "import", str(file), "--store", "crm", *SAME, *options)
    assert done.exit_code == 2, (done.stdout, done.stderr)
    assert json.loads(done.stderr.splitlines()[-1])["code"] == code
    assert state(server, "C00051") == "NONE"


def test_who_may_not_record_learns_nothing_of_the_file(server: Server, tmp_path: Path) -> None:
    file = written(tmp_path / "consents.csv", [given(52)])
    done = run(server, "nobody", "consent", "import", str(file), "--store", "crm", *SAME)
    assert done.exit_code == 4, (done.stdout, done.stderr)
    assert json.loads(done.stderr)["code"] == "NO_GRANT"
