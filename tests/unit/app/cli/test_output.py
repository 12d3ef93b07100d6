"""What commands print, and how the program ends when nobody takes it."""

import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner

import fujie.app.cli
from fujie.__main__ import main
from fujie.app.cli import build
from fujie.app.cli.output import Format, cell, show_fields

FUJIE = [sys.executable, "-m", "fujie"]
LOOKUP = ["lookup", "C1", "--store", "crm", "--fields", "name", "--purpose", "p", "--basis", "contract"]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("as it is", "as it is"),
        (["a", "b"], "a, b"),
        ({"name": "reveal", "phone": "keep(3,4)"}, "name reveal, phone keep(3,4)"),
        ([{"a": ["b", "c"]}], "a b, c"),
        ([], ""),
        ({}, ""),
        (7, "7"),
        (True, "true"),
        (None, "null"),
    ],
)
def test_people_read_no_json(value: Any, read: str) -> None:
    assert cell(value) == read


def test_programs_read_json(capsys: pytest.CaptureFixture[str]) -> None:
    show_fields(Format.JSON, {"exports": ["exports/1"], "withheld": {}})
    assert capsys.readouterr().out == '{\n  "exports": [\n    "exports/1"\n  ],\n  "withheld": {}\n}\n'


@pytest.mark.parametrize("arguments", [["--version"], ["policy", "schema"]], ids=" ".join)
def test_a_full_disk_is_told_in_one_line(arguments: list[str]) -> None:
    """What is short stays in the buffer until the program ends, what is long does not."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        ended = subprocess.run(
            [*FUJIE, *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (ended.returncode, ended.stderr) == (1, "OUTPUT_FAILED: No space left on device\n")


def test_a_reader_who_has_enough_hears_no_complaint() -> None:
    with subprocess.Popen(
        [*FUJIE, "policy", "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 1


def test_ctrl_c_before_a_command_runs_leaves_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_line: list[str]) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(fujie.app.cli, "build", interrupted)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130


def test_what_nobody_foresaw_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_line: list[str]) -> NoReturn:
        raise FileNotFoundError(2, "No such file or directory", "ledger.db")

    monkeypatch.setattr(fujie.app.cli, "build", broken)
    with pytest.raises(FileNotFoundError):
        main()


def test_a_server_that_is_not_there_is_named(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t.t.t")
    told = CliRunner().invoke(build(), [*LOOKUP, "--address", "127.0.0.1:1", "--token-file", str(token)])
    assert told.exit_code == 1
    assert told.stderr.startswith("UNAVAILABLE: no answer from 127.0.0.1:1; --address or FUJIE_ADDRESS")


def test_a_root_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t.t.t")
    told = CliRunner().invoke(build(), [*LOOKUP, "--tls-root", str(token), "--token-file", str(token)])
    assert (told.exit_code, told.stderr) == (
        2,
        f"CERTIFICATE_INVALID: {token}: no certificates in PEM form\n",
    )
