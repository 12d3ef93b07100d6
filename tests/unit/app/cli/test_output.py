"""What commands print, and how the program ends when nobody takes it."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer
from rich.text import Text
from typer.testing import CliRunner

import fujie.app.cli
from fujie.__main__ import main
from fujie.app.cli import build, leased_files
from fujie.app.cli.output import Exit, Format, cell, fail, show, show_fields, show_problems
from fujie.app.problems import Problem
from fujie.audit.container import Header, Place, seal_part
from fujie.v1 import export_service_pb2

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
        (
            "\u3400\u3000\U00020bb7\U000323af\ue000\n王\t小明",
            "\u3400\u3000\U00020bb7\U000323af\ue000\n王\t小明",
        ),
    ],
)
def test_people_read_no_json(value: Any, read: str) -> None:
    assert cell(value) == read


ORDERS = {
    "an escape": ("\x1b[2K\x1b[1A", "\\u{1b}[2K\\u{1b}[1A"),
    "the clipboard": ("\x1b]52;c;cm0=\x07", "\\u{1b}]52;c;cm0=\\u{7}"),
    "one of eight bits": ("\x9b2J", "\\u{9b}2J"),
    "a line anew": ("name\rall", "name\\u{d}all"),
    "from right to left": ("\u202eenon\u202c", "\\u{202e}enon\\u{202c}"),
}


@pytest.mark.parametrize(("text", "read"), ORDERS.values(), ids=ORDERS.keys())
def test_no_text_of_a_stranger_gives_orders_to_the_terminal(
    text: str, read: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A filter that hides itself from who decides on it, a customer's name that writes into the clipboard."""
    show_fields(Format.TABLE, {"filter": text, "fields": [text], "counts": {text: 1}})
    show(Format.TABLE, None, ("name", "reads"), [(text, Text(f"customer.city = {text}", style="dim"))])
    show_problems(Format.TABLE, [Problem("UNKNOWN_KEY", text, key=text, excerpt=text)])
    with pytest.raises(typer.Exit):
        fail(Exit.DENIED, text, details={"reason": text}, output=Format.TABLE)
    said = "".join(capsys.readouterr())
    assert text not in said
    assert said.count(read) in (9, 10)  # rich itself leaves some out of its texts


def test_no_line_of_a_text_looks_like_another_field(capsys: pytest.CaptureFixture[str]) -> None:
    show_fields(Format.TABLE, {"filter": "a\nstate    APPROVED", "fields": ["b\nc"]})
    assert capsys.readouterr().out.splitlines() == [
        "filter  a", "        state    APPROVED", "fields  b", "        c",
    ]  # fmt: skip


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


@pytest.mark.parametrize(("end", "code"), [(["--version"], 0), ([*LOOKUP, "--address", "127.0.0.1:1"], 2)])
def test_no_output_at_all_is_no_accident(end: list[str], code: int) -> None:
    """`>&-`, as a daemon may be started: Python then has no `sys.stdout`."""
    line = [*FUJIE, *end]
    ended = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" >&-', "sh", *line], stderr=subprocess.PIPE, text=True, check=False
    )
    assert (ended.returncode, "Traceback" in ended.stderr) == (code, False)


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


def test_a_leased_file_that_nobody_takes_is_not_the_one_that_can_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk under `fujie open FILE > rows.csv` is full: FILE is as it was, and an opening is spent."""
    header, key = (
        Header("exports/" + "0" * 32, "2026-11-20T02:00:00Z", {"name": "reveal"}, "csv"),
        b"k" * 32,
    )
    parts = [
        seal_part(b"name\nA\n", Place(0, 1), header.digest, key, b"n" * 12),
        seal_part(b"# end\n", Place(1, 0, is_end=True), header.digest, key, b"m" * 12),
    ]
    (tmp_path / "leased").write_bytes(b"".join((header.encoded(), *parts)))
    (tmp_path / "token").write_text("t.t.t")
    keys = {0: key, 1: key}
    monkeypatch.setattr(leased_files, "_keys", lambda *_: (export_service_pb2.Export(), keys))
    line = ["open", str(tmp_path / "leased"), "--token-file", str(tmp_path / "token")]
    with Path("/dev/full").open("w", encoding="utf-8") as full, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", full)
        with pytest.raises(OSError, match="No space left on device"):
            build(line)(line, standalone_mode=False)
        patch.undo()
        with suppress(OSError):
            full.close()
