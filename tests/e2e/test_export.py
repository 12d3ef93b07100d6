"""Exports of a real server on the command line: into files, broken off by kill -9, told in the log."""

import csv
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import orjson
import pytest
from openpyxl import load_workbook
from typer.testing import CliRunner, Result

from abuse.target import entries
from e2e.server import Server, Site
from fujie.app.cli import build
from fujie.app.client import read_refusal
from fujie.transport.grpc.exports import EXPORT_ID_KEY
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import types_pb2 as types_v1
from fujie.v1.customer_data_service_pb2_grpc import CustomerDataServiceStub

LISTS = """
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: lists}
spec:
  match: {actions: [export], stores: [crm]}
  roles: [exporter]
  purposes: [after_sales]
  fields: {name: reveal, phone: "keep(3,4)"}
  limits: {rows_per_request: 50000}
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: no-minors-in-lists}
spec:
  match: {actions: [export]}
  validations:
    - {name: adult, expression: "!customer.minor", reason: CONSENT_MISSING}
"""
CUSTOMERS = 2_500
ADULTS = CUSTOMERS * 19 // 20
MANY = 10_000
"""More than the buffers between the server and a reader with little room hold."""
MANY_ADULTS = MANY * 19 // 20
LITTLE_AHEAD = (
    ("grpc.http2.lookahead_bytes", 16_384), ("grpc.http2.bdp_probe", 0), ("grpc.enable_http_proxy", 0),
)  # fmt: skip
WHY = ("--store", "crm", "--purpose", "after_sales", "--basis", "contract", "--basis-evidence", "order-1")


@dataclass
class Desk:
    """A running server, and its command line as one principal."""

    server: Server

    def run(self, who: str, *arguments: str, output: str = "table") -> Result:
        token = self.server.site.root / f"{who}.token"
        token.write_text(self.server.site.token(who), "ascii")
        options = ("--address", self.server.grpc, "--token-file", str(token), "--output", output)
        return CliRunner().invoke(build(), ["export", *WHY, "--fields", "name,phone", *arguments, *options])

    @contextmanager
    def reading(self, who: str) -> Iterator[Any]:
        """Export as `who` with little room for what is not yet read: else all of it were on its way at once."""
        with grpc.insecure_channel(self.server.grpc, options=LITTLE_AHEAD) as channel:
            bearer = (("authorization", f"Bearer {self.server.site.token(who)}"),)
            yield CustomerDataServiceStub(channel).ExportCustomers(asking(), metadata=bearer, timeout=60)  # type: ignore[no-untyped-call]  # generated without types


@contextmanager
def opened(root: Path, customers: int) -> Iterator[Desk]:
    site = Site.create(root, customers)
    with site.policy_file.open("a", encoding="utf-8") as policy:
        policy.write(LISTS)
    with site.running() as server:
        server.add_principal("lea", "exporter")
        server.add_principal("max", "exporter")
        server.add_principal("sam", "support")
        yield Desk(server)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with opened(tmp_path_factory.mktemp("export") / "site", CUSTOMERS) as desk:
        yield desk


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with opened(tmp_path_factory.mktemp("crowd") / "site", MANY) as desk:
        yield desk


def asking(resume: str = "") -> customer_v1.ExportCustomersRequest:
    asked = customer_v1.ExportCustomersRequest(
        store="crm",
        context=types_v1.RequestContext(purpose="after_sales", basis="contract", basis_evidence="order-1"),
        max_rows=MANY,
        format=customer_v1.EXPORT_FORMAT_JSON_LINES,
        resume_token=resume,
    )
    asked.read_mask.paths.extend(["name", "phone"])
    return asked


def test_the_command_line_writes_every_format_whole_and_for_its_owner_alone(
    desk: Desk, tmp_path: Path
) -> None:
    for form in ("csv", "jsonl", "xlsx"):
        out = tmp_path / f"list.{form}"
        done = desk.run("lea", "--max-rows", "2500", "--format", form, "--out", str(out), output="json")
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        assert told["rows"] == ADULTS
        in_tens = (CUSTOMERS - ADULTS) // 10 * 10  # docs/exports.md: counts are rounded down
        assert told["withheld"] == {"CONSENT_MISSING": in_tens}
        assert told["treatments"]["phone"] == "keep(3,4)"
        assert out.stat().st_mode & 0o777 == 0o600
        (name,) = told["exports"]
        assert name in read_back(out)[-1]
        assert len(read_back(out)) == ADULTS + 2
        assert "138****1234" in read_back(out)[1]
        assert desk.run("lea", "--max-rows", "2500", "--out", str(out)).exit_code == 2, "never overwritten"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["list.csv", "list.jsonl", "list.xlsx"]
    piped = desk.run("lea", "--max-rows", "10", "--format", "jsonl")
    assert [set(orjson.loads(line)) for line in piped.stdout.splitlines()] == [{"name", "phone"}] * 10 + [
        {"_export"}
    ]


def read_back(out: Path) -> list[str]:
    """Return the lines of a file: the heading, the rows, and the one that names the export."""
    if out.suffix == ".csv":
        with out.open(encoding="utf-8-sig", newline="") as lines:
            return [" ".join(row) for row in csv.reader(lines, strict=True)]
    if out.suffix == ".jsonl":
        return [
            "",
            *(" ".join(map(str, orjson.loads(line).values())) for line in out.read_bytes().splitlines()),
        ]
    (sheet,) = load_workbook(out).worksheets
    rows = [" ".join(map(str, row)) for row in sheet.iter_rows(values_only=True)]
    return [*rows, str(sheet.oddFooter.left.text if sheet.oddFooter else "")]


def test_who_is_refused_gets_no_file_and_exit_code_four(desk: Desk, tmp_path: Path) -> None:
    out = tmp_path / "list.csv"
    done = desk.run("sam", "--max-rows", "10", "--out", str(out))
    assert (done.exit_code, list(tmp_path.iterdir())) == (4, [])
    assert "NO_GRANT" in done.output
    done = desk.run("lea", "--max-rows", "60000", "--out", str(out))
    assert "LIMIT_EXCEEDED" in done.output
    done = desk.run("lea", "--max-rows", "10", "--filter", 'phone = "13800131234"', "--out", str(out))
    assert "FILTER_NOT_REVEALED" in done.output
    assert "13800131234" not in done.output
    done = desk.run("lea", "--max-rows", "10", "--validate-only", output="json")
    assert json.loads(done.stdout)["treatments"]["name"]["step"] == "reveal"
    assert list(tmp_path.iterdir()) == []


def test_offboarding_ends_an_open_stream_with_a_status_and_an_outcome(crowd: Desk) -> None:
    with crowd.reading("max") as call:
        name = next(call).header.export
        assert dict(call.initial_metadata())[EXPORT_ID_KEY] == name.removeprefix("exports/")
        next(call)
        boss = crowd.server.connect("boss")
        with boss.channel:
            boss.directory.OffboardPrincipal(directory_v1.OffboardPrincipalRequest(id="max"))
        with pytest.raises(grpc.RpcError) as ended:
            list(call)
    assert read_refusal(ended.value).reason in ("PRINCIPAL_OFFBOARDED", "EXPORT_CLOSED")


def test_kill_minus_nine_leaves_what_left_in_the_log_and_it_goes_on(crowd: Desk) -> None:
    site, server = crowd.server.site, crowd.server
    rows: list[dict[str, Any]] = []
    with crowd.reading("lea") as call:
        head = next(call).header
        for _ in range(2):
            chunk = next(call).chunk
            rows += map(orjson.loads, chunk.data.splitlines())
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    of_export = [
        entry for entry in entries(site) if entry.decision_id == head.export.removeprefix("exports/")
    ]
    assert [entry.kind for entry in of_export][:2] == ["admission", "release"]
    assert "outcome" not in {entry.kind for entry in of_export}
    named = {entry.facts["export.chunk"]: len(entry.sids) for entry in of_export if entry.kind == "release"}
    assert sum(named[number] for number in range(2)) == len(rows), "what left is named, whatever came then"
    with site.running() as again, (stubs := again.connect("lea")).channel:
        call = stubs.customers.ExportCustomers(asking(chunk.resume_token))
        for reply in call:
            if reply.WhichOneof("part") == "chunk":
                rows += map(orjson.loads, reply.chunk.data.splitlines())
        assert reply.trailer.rows == len(rows) == MANY_ADULTS
    phones = [row["phone"] for row in rows]
    assert len(phones) == MANY_ADULTS
