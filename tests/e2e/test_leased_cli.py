"""Leased files on the command line of a real server: opened, partly gone, altered, cut, revoked; and who was in them."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from e2e.server import Server, Site
from fujie.app.cli import build

GRANTS = """
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: lists}
spec:
  match: {actions: [export], stores: [crm]}
  roles: [exporter]
  purposes: [after_sales]
  fields: {name: reveal, phone: "keep(3,4)"}
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: overseers}
spec:
  match: {actions: [approval.read, approval.decide, audit.read]}
  roles: [overseer]
"""
CUSTOMERS = 250
BASIS = ("--basis-evidence", "order-1")
WHY = ("--store", "crm", "--purpose", "after_sales", "--basis", "contract", *BASIS)


@dataclass
class Desk:
    """A running server, and its command line as one principal."""

    server: Server
    files: Path

    def run(self, who: str, *arguments: str, output: str = "json") -> Result:
        token = self.server.site.root / f"{who}.token"
        token.write_text(self.server.site.token(who), "ascii")
        options = ("--address", self.server.grpc, "--token-file", str(token), "--output", output)
        return CliRunner().invoke(build(), [*arguments, *options])

    def exported(self, name: str, *arguments: str) -> tuple[Path, str]:
        """Return a leased file, and the name of its export."""
        file = self.files / name
        asked = ("export", *WHY, "--fields", "name,phone", "--max-rows", "250", "--to-file", str(file))
        done = self.run("lea", *asked, *arguments)
        assert done.exit_code == 0, done.output
        (export,) = json.loads(done.stdout)["exports"]
        return file, export

    def open(self, file: Path, *arguments: str, who: str = "lea", output: str = "json") -> Result:
        return self.run(who, "open", str(file), *BASIS, *arguments, output=output)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    root = tmp_path_factory.mktemp("leased")
    site = Site.create(root / "site", CUSTOMERS)
    with site.policy_file.open("a", encoding="utf-8") as policy:
        policy.write(GRANTS)
    (root / "files").mkdir()
    with site.running() as server:
        for who, role in (
            ("lea", "exporter"),
            ("max", "exporter"),
            ("ova", "overseer"),
            ("sam", "support"),
        ):
            server.add_principal(who, role)
        yield Desk(server, root / "files")


def test_a_file_opens_for_its_owner_alone_and_holds_what_a_plain_export_holds(
    desk: Desk, tmp_path: Path
) -> None:
    file, export = desk.exported("list.fjx")
    out, plain = tmp_path / "list.csv", tmp_path / "plain.csv"
    done = desk.open(file, "--out", str(out))
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) | {"expires": ""} == {
        "file": str(out), "export": export, "rows": CUSTOMERS, "expires": "", "opens_left": 9,
    }  # fmt: skip
    assert out.stat().st_mode & 0o777 == file.stat().st_mode & 0o777 == 0o600
    arguments = ("--fields", "name,phone", "--max-rows", "250", "--out", str(plain))
    assert desk.run("lea", "export", *WHY, *arguments).exit_code == 0
    assert out.read_bytes().splitlines()[:-1] == plain.read_bytes().splitlines()[:-1]
    assert export in out.read_text("utf-8-sig").splitlines()[-1]
    piped = desk.open(file, who="max")
    assert piped.stdout_bytes == out.read_bytes()
    assert desk.open(file, "--out", str(out)).exit_code == 2, "never overwritten"
    shown = json.loads(desk.run("ova", "exports", "show", export).stdout)
    assert shown["opens_left"] == 8, "what is not written costs no opening"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["list.csv", "plain.csv"]


def test_who_may_not_gets_nothing_and_is_told_why(desk: Desk, tmp_path: Path) -> None:
    file, export = desk.exported("refused.fjx")
    out = tmp_path / "out.csv"
    refused = desk.open(file, "--out", str(out), who="sam")
    assert (refused.exit_code, json.loads(refused.stderr)["code"]) == (4, "NO_GRANT")
    assert desk.run("lea", "exports", "revoke", export).exit_code == 0
    dead = desk.open(file, "--out", str(out), output="table")
    assert dead.exit_code == 4
    assert "EXPORT_CLOSED" in dead.stderr
    assert "永远无法再打开" in dead.stderr
    assert list(tmp_path.iterdir()) == []


def test_rows_that_are_gone_are_named_and_the_others_are_written(desk: Desk, tmp_path: Path) -> None:
    file, export = desk.exported("partly.fjx")
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    assert desk.open(file, "--out", str(whole)).exit_code == 0
    lines = whole.read_bytes().splitlines()
    for number, rows, left in (
        (1, ["101-200"], [*lines[:101], *lines[201:]]),
        (0, ["1-200"], [lines[0], *lines[201:]]),
    ):
        forget(desk, export, number)
        done = desk.open(file, "--out", str(out), "--force")
        assert done.exit_code == 6, done.output
        assert json.loads(done.stdout)["rows_gone"] == rows
        assert f"第 {rows[0]} 行" in done.stderr
        assert out.read_bytes().splitlines() == left


def test_of_an_altered_file_nothing_is_written_and_a_cut_one_is_told(desk: Desk, tmp_path: Path) -> None:
    file, export = desk.exported("altered.fjx")
    sound, out = file.read_bytes(), tmp_path / "out.csv"
    middle = len(sound) // 2
    file.write_bytes(sound[:middle] + bytes([sound[middle] ^ 1]) + sound[middle + 1 :])
    done = desk.open(file, "--out", str(out))
    assert (done.exit_code, json.loads(done.stderr)["code"]) == (5, "LEASED_FILE_INVALID")
    assert json.loads(done.stderr)["details"]["rows"] == ["101-200"]
    assert list(tmp_path.iterdir()) == []
    before = json.loads(desk.run("ova", "exports", "show", export).stdout)["opens_left"]
    for broken in (b"PK" + sound, sound[:40], sound + b"more", b""):
        file.write_bytes(broken)
        assert desk.open(file, "--out", str(out)).exit_code == 5
    after = json.loads(desk.run("ova", "exports", "show", export).stdout)["opens_left"]
    assert before == after, "what is no leased file costs no opening"
    assert desk.open(tmp_path / "nowhere.fjx").exit_code == 3
    file.write_bytes(sound[: middle + middle // 2])
    cut = desk.open(file, "--out", str(out))
    assert cut.exit_code == 6
    assert json.loads(cut.stdout)["ends_after_row"] in (100, 200)


def test_a_customer_is_traced_and_exports_are_listed_by_those_who_may(desk: Desk) -> None:
    file, export = desk.exported("traced.fjx", "--opens", "1")
    assert desk.open(file, who="max").exit_code == 0
    traced = desk.run("ova", "trace", "--store", "crm", "--customer-id", "C00150")
    newest = json.loads(traced.stdout)["exports"][0]
    assert (newest["export"]["name"], newest["chunks"]) == (export, [1])
    assert [each["principal"] for each in newest["openings"]] == ["max"]
    table = desk.run("ova", "trace", "--store", "crm", "--customer-id", "C00150", output="table")
    assert "max 20" in table.stdout
    assert desk.run("lea", "trace", "--store", "crm", "--customer-id", "C00150").exit_code == 4
    assert (
        desk.run(
            "ova", "trace", "--phone", "13800131234", "--customer-id", "C1", "--store", "crm"
        ).exit_code
        == 2
    )
    assert desk.run("ova", "trace").exit_code == 2
    listed = desk.run("ova", "exports", "list", "--requester", "lea", "--state", "complete")
    assert json.loads(listed.stdout)["exports"][0]["name"] == export
    assert export in desk.run("lea", "exports", "list", "--requester", "lea", output="table").stdout
    assert desk.run("lea", "exports", "list").exit_code == 4
    assert desk.run("ova", "exports", "list", "--state", "lost").exit_code == 2
    used = desk.open(file)
    assert json.loads(used.stderr)["code"] == "EXPORT_USED_UP"


def forget(desk: Desk, export: str, number: int) -> None:
    """Do to one chunk what the erasure of a customer in it does."""
    with closing(sqlite3.connect(desk.server.site.root / "ledger.db", timeout=30)) as ledger, ledger:
        ledger.execute(
            "UPDATE export_chunk SET wrapped_key = NULL WHERE export_id = ? AND number = ?",
            (export.removeprefix("exports/"), number),
        )
