"""The commands of sending against a real server whose provider is a file: from a list of customers to a report."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest
from openpyxl import Workbook
from typer.testing import CliRunner, Result

from e2e.server import ADMIN, Server, Site
from fujie.app.cli import build, campaigns, sheets
from fujie.app.shipped import shipped_policies
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import types_pb2 as types_v1
from support.answers import WIRE_FREE, shipped_notice

CONTROLLER = "Test Ltd."
SAYS = ("--signature", "测试公司", "--text", "新品到店，欢迎选购。拒收请回复R")
STAFF = {
    "ann": "sender",
    "bob": "sender",
    "reg": "registrar",
    "desk": "consent_desk",
    "officer": "privacy_officer",
    "nobody": "nothing",
}
WHY = ("--purpose", "marketing", "--category", "marketing")
POLICY = """\
apiVersion: fujie.dev/v1
kind: Sender
metadata: {name: test-company}
spec: {signature: 测试公司}
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: senders}
spec:
  match: {actions: [send]}
  roles: [sender]
  purposes: [marketing]
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: registrars}
spec:
  match: {actions: [processor.write]}
  roles: [registrar]
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: sender-lists}
spec:
  match: {actions: [export], keys: [customer_id]}
  roles: [sender]
  purposes: [marketing]
  fields: {gender: reveal}
---
apiVersion: fujie.dev/v1
kind: Params
metadata: {name: any-hour} # these tests run when they run
spec: {guards: {marketing-by-day: {from_hour: 0, until_hour: 24}}}
"""


@dataclass
class Desk:
    """A running server, and its command line as one principal."""

    server: Server
    outbox: Path

    def run(self, who: str, *arguments: str, output: str = "json") -> Result:
        """Run a command of `fujie` as `who`, in this process: a fresh interpreter for each costs seconds."""
        token = self.server.site.root / f"{who}.token"
        token.write_text(self.server.site.token(who), "ascii")
        options = ("--address", self.server.grpc, "--token-file", str(token), "--output", output)
        return CliRunner().invoke(build(), [*arguments, *options])

    def json(self, who: str, *arguments: str, code: int = 0) -> Any:
        """Run a command that must end with `code`; return what it printed."""
        done = self.run(who, *arguments)
        assert done.exit_code == code, (done.exit_code, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def created(self, *more: str) -> str:
        return str(self.json("ann", "campaign", "create", *WHY, *(more or SAYS))["campaign"]["name"])

    def numbers(self) -> list[str]:
        """Return whom the provider got a message for."""
        if not self.outbox.exists():
            return []
        return [json.loads(line)["phone"] for line in self.outbox.read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    root = tmp_path_factory.mktemp("campaigns")
    site = Site.create(root / "site", 60)
    site.policy_file.unlink()
    copytree(shipped_policies() / "base", site.root / "policies", dirs_exist_ok=True)
    (site.root / "policies" / "senders.yaml").write_text(POLICY, "utf-8")
    outbox = root / "outbox.jsonl"
    site.values["stores"]["crm"]["fields"]["gender"] = "gender"
    site.values["stores"]["crm"]["attributes"] = {"minor": "minor", "owner_department": "department"}
    site.values["controller"] = CONTROLLER
    site.values["messaging"] = {
        "providers": {"outbox": {"kind": "outbox", "file": str(outbox), "segment_price": 45}}
    }
    site.write()
    with site.running() as server:
        server.add_principal("chief", "administrator")
        desk = Desk(server, outbox)
        for name, role in STAFF.items():
            hired = desk.run("chief", "principal", "upsert", name, "--role", role, "--training", "valid")
            assert hired.exit_code == 0, hired.stderr
        agree(server, 10)
        yield desk


def agree(server: Server, count: int) -> None:
    """Let the first customers agree to marketing."""
    stubs = server.connect("desk")
    with stubs.channel:
        for number in range(1, count + 1):
            key = types_v1.StoreKey(store="crm", customer_id=f"C{number:05}")
            stubs.consent.RecordConsent(
                consent_v1.RecordConsentRequest(
                    customer=types_v1.CustomerRef(store_key=key),
                    consent=consent_v1.ConsentRecord(
                        purpose="marketing", type=consent_v1.CONSENT_EVENT_TYPE_GIVEN, explicit=True,
                        source="agent", notice=shipped_notice("marketing", CONTROLLER),
                    ),
                    capture=WIRE_FREE,
                ),
                timeout=30,
            )  # fmt: skip


def test_a_list_of_customers_becomes_a_campaign_that_is_done(desk: Desk, tmp_path: Path) -> None:
    name, before = desk.created(), len(desk.numbers())
    file = tmp_path / "list.csv"
    file.write_text("id\n" + "".join(f"C{number:05}\n" for number in range(1, 21)), "utf-8")
    added = desk.json("ann", "campaign", "add", name, str(file), "--store", "crm", "--id-column", "id")
    assert added == {"added": 20, "repeated": 0, "refused": {}}
    again = desk.json("ann", "campaign", "add", name, str(file), "--store", "crm", "--id-column", "id")
    assert again == {"added": 0, "repeated": 20, "refused": {}}
    assert desk.json("ann", "campaign", "start", name)["state"] == "CAMPAIGN_STATE_RUNNING"
    watched = desk.run("bob", "campaign", "watch", name)
    assert watched.exit_code == 0, watched.stderr
    last = json.loads(watched.stdout.splitlines()[-1])
    report = desk.json("ann", "campaign", "report", name)
    for told in (last, report):
        assert told["state"] == "CAMPAIGN_STATE_DONE"
        counts = {each["state"]: each["count"] for each in told["states"]}
        assert sum(counts.values()) == told["recipients"] == 20
        assert counts["MESSAGE_STATE_REFUSED"] == sum(each["count"] for each in told["reasons"])
        sent = desk.numbers()[before:]
        assert 20 - counts["MESSAGE_STATE_REFUSED"] == len(set(sent)) == len(sent)


def test_bad_rows_are_listed_by_line_and_reason_and_never_by_what_they_hold(
    desk: Desk, tmp_path: Path
) -> None:
    name = desk.created(*SAYS[:2], "--text", "{name}您好，新品到店。拒收请回复R")
    file = tmp_path / "list.csv"
    rows = [
        "phone,name",
        "13900000001,甲",
        "no-number-7,乙",
        "",
        "13900000002,",
        '13900000003,"丙',
        '丁"',
        ",戊",
    ]
    file.write_text("\n".join(rows), "utf-8")
    done = desk.run("ann", "campaign", "add", name, str(file), "--phone-column", "phone")
    assert done.exit_code == 6, done.stderr
    assert json.loads(done.stdout) == {
        "added": 1,
        "repeated": 0,
        "refused": {
            "PHONE_INVALID": {"count": 2, "lines": [3, 8]},
            "TEMPLATE_PARAMS": {"count": 1, "lines": [5]},
            "TEXT_INVALID": {"count": 1, "lines": [7]},
        },
    }
    shown = desk.run("ann", "campaign", "add", name, str(file), "--phone-column", "phone", output="table")
    assert shown.exit_code == 6
    for said in (done.stdout + done.stderr, shown.stdout + shown.stderr):
        assert "no-number-7" not in said
        assert "139000" not in said
    assert "PHONE_INVALID" in shown.stdout


def test_a_file_that_takes_long_is_added_in_several_calls_and_lines_stay_those_of_the_file(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaigns, "CALL_S", -1.0)  # each batch is a call
    monkeypatch.setattr(sheets, "MOST_ROWS", 2)
    name = desk.created()
    file = tmp_path / "list.csv"
    lines = [f"x,C{n:05}" for n in range(2, 9)]
    file.write_text("\n".join(["x,id", *lines, lines[0]]), "utf-8")
    done = desk.json(
        "ann",
        "campaign",
        "add",
        name,
        str(file),
        "--store",
        "crm",
        "--id-column",
        "id",
        "--variable",
        "x",
        code=6,
    )
    assert (done["added"], done["repeated"]) == (0, 0)
    assert done["refused"] == {"TEMPLATE_PARAMS": {"count": 8, "lines": list(range(2, 10))}}
    file.write_text("\n".join(["id", *(f"C{n:05}" for n in range(2, 9)), "C00002"]), "utf-8")
    done = desk.json("ann", "campaign", "add", name, str(file), "--store", "crm", "--id-column", "id")
    assert done == {"added": 7, "repeated": 1, "refused": {}}


def test_a_spreadsheet_and_a_list_from_excel_are_read_as_they_are(desk: Desk, tmp_path: Path) -> None:
    name = desk.created(*SAYS[:2], "--text", "{name}您好，新品到店。拒收请回复R")
    book = Workbook()
    sheet: Any = book.active
    for row in (
        ("手机", "name", "note"),
        (13900000001, "甲", "x"),
        (13900000002.0, "乙", None),
        ("13900000003", 7, 8),
    ):
        sheet.append(row)
    xlsx, csv = tmp_path / "list.xlsx", tmp_path / "list.csv"
    book.save(xlsx)
    csv.write_bytes("手机,name\n13900000004,甲\n".encode("gb18030"))
    options = ("--phone-column", "手机", "--variable", "name")
    assert desk.json("ann", "campaign", "add", name, str(xlsx), *options)["added"] == 3
    assert desk.json("ann", "campaign", "add", name, str(csv), *options)["added"] == 1


def test_a_plain_file_of_ids_is_what_a_query_of_a_store_gives(desk: Desk, tmp_path: Path) -> None:
    name = desk.created()
    file = tmp_path / "ids.txt"
    file.write_text("C00001\n\n C00002 \nC00001\n", "utf-8")
    added = desk.json("ann", "campaign", "add", name, str(file), "--store", "crm")
    assert (added["added"], added["repeated"]) == (2, 1)


def test_a_store_is_asked_who_the_recipients_are(desk: Desk) -> None:
    name = desk.created()
    first = desk.json("ann", "campaign", "add", name, "--store", "crm", "--max", "7")
    assert first == {"added": 7, "repeated": 0}
    everybody = desk.json("ann", "campaign", "add", name, "--store", "crm")
    assert everybody == {"added": 53, "repeated": 7}
    women = ("campaign", "add", desk.created(), "--store", "crm", "--filter")
    picked = desk.json("ann", *women, "gender = F", "--max", "20")
    assert 0 < picked["added"] <= 10, "those who agreed, by the rules of base for lists"
    assert desk.json("ann", *women, "gender = F", "--max", "20") == {
        "added": 0,
        "repeated": picked["added"],
    }
    for arguments, why in (
        (("id_card:*", "--max", "20"), "FILTER_NOT_REVEALED"),
        (("minor = 1", "--max", "20"), "FILTER_INVALID"),
        (("gender = F", "--max", "500"), "approvals/"),
    ):
        refused = desk.run("ann", *women, *arguments, output="table")
        assert refused.exit_code != 0
        assert why in refused.stderr
    for wrong in (
        ("--store", "crm", "--id-column", "id"),
        (),
        ("x.csv", "--store", "crm", "--filter", "a:*"),
    ):
        assert desk.run("ann", "campaign", "add", name, *wrong).exit_code == 2


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("x.csv", b"", "FILE_EMPTY"),
        ("x.csv", b"other\nC1\n", "COLUMN_MISSING"),
        ("x.csv", b"id,id\nC1,C2\n", "COLUMN_TWICE"),
        ("x.csv", b"id\n\x81\x81\xff\n", "ENCODING_UNKNOWN"),
        ("x.csv", b'id\nC1\n"C2\n', "CSV_INVALID"),
        ("x.xlsx", b"PK no spreadsheet", "XLSX_INVALID"),
        ("missing.csv", None, "FILE_UNREADABLE"),
    ],
)
def test_a_file_that_holds_no_recipients_ends_the_command_with_a_code(
    desk: Desk, tmp_path: Path, name: str, content: bytes | None, code: str
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    campaign = desk.created()
    done = desk.run("ann", "campaign", "add", campaign, str(file), "--store", "crm", "--id-column", "id")
    assert done.exit_code == 2, (done.stdout, done.stderr)
    assert code in done.stderr
    assert "Traceback" not in done.stderr


def test_a_review_is_shown_before_anybody_is_added_and_a_refusal_ends_with_4(desk: Desk) -> None:
    reviewed = desk.json("ann", "campaign", "create", *WHY, *SAYS, "--validate-only")
    assert "name" not in reviewed["campaign"]
    assert (reviewed["review"]["segments"], reviewed["review"]["cost"]) == (1, 45)
    refused = desk.run("nobody", "campaign", "create", *WHY, *SAYS)
    assert refused.exit_code == 4
    assert "NO_GRANT" in refused.stderr
    assert desk.run("ann", "campaign", "report", "campaigns/" + "0" * 32).exit_code == 3


def test_a_paused_campaign_is_cancelled_for_good(desk: Desk, tmp_path: Path) -> None:
    name = desk.created()
    file = tmp_path / "ids.txt"
    file.write_text("C00001\n", "utf-8")
    desk.json("ann", "campaign", "add", name, str(file), "--store", "crm")
    assert desk.json("bob", "campaign", "cancel", name)["state"] == "CAMPAIGN_STATE_CANCELLED"
    assert desk.run("ann", "campaign", "start", name).exit_code == 4
    watched = desk.run("ann", "campaign", "watch", name, output="table")
    assert watched.exit_code == 0
    assert "CANCELLED 1 of 1: 1 CANCELLED" in watched.stdout


def test_one_message_is_sent_once_however_often_it_is_asked_for(desk: Desk) -> None:
    before = len(desk.numbers())
    once = (
        "send",
        "C00009",
        "--store",
        "crm",
        *WHY[:2],
        *SAYS[:2],
        "--text",
        "另一件新品到店。拒收请回复R",
    )
    first = desk.json("ann", *once, "--request-id", "r-1")
    again = desk.json("ann", *once, "--request-id", "r-1")
    assert first["name"] == again["name"]
    assert len(desk.numbers()) == before + 1
    refused = desk.run("ann", *once[:1], "C00050", *once[2:])
    assert refused.exit_code == 4
    assert "CONSENT_MISSING" in refused.stderr


def test_the_register_of_processors_is_kept_by_command(desk: Desk) -> None:
    given = ("--agreement", "contract-7", "--valid-from", "2026-01-01", "--valid-until", "2027-01-01")
    written = desk.json(
        "reg", "processor", "upsert", "carrier", *given, "--assessment", "marketing=2026-12-01"
    )
    assert written == desk.json("reg", "processor", "show", "carrier")
    assert [each["id"] for each in desk.json("reg", "processor", "list")["processors"]] == ["carrier"]
    assert desk.run("reg", "processor", "show", "nobody").exit_code == 3
    assert desk.run("ann", "processor", "list").exit_code == 4
    wrong = ("--agreement", "x", "--valid-from", "2026-01-01", "--valid-until", "2026-01-01")
    assert desk.run("reg", "processor", "upsert", "p", *wrong).exit_code == 2


def test_requests_of_customers_are_handled_by_command(desk: Desk) -> None:
    assert desk.json("officer", "request", "list")["requests"] == []
    assert (
        desk.run("officer", "request", "list", "C00001", "--store", "crm", "--with-resolved").exit_code == 0
    )
    missing = "0" * 32
    assert desk.run("officer", "request", "show", missing).exit_code == 3
    assert desk.run("officer", "request", "resolve", missing, "--outcome", "done").exit_code == 3
    assert desk.run("officer", "request", "resolve", missing, "--outcome", "erased").exit_code == 2
    assert desk.run("ann", "request", "list").exit_code == 4


def test_replies_that_wait_are_handled_by_command(desk: Desk) -> None:
    assert desk.json("officer", "replies", "list", "--since", "2026-01-01")["replies"] == []
    missing = "replies/" + "0" * 32
    assert desk.run("officer", "replies", "show", missing, "--whole").exit_code == 3
    assert desk.run("officer", "replies", "mark", missing, "--outcome", "none").exit_code == 3
    assert desk.run("officer", "replies", "mark", missing, "--outcome", "good").exit_code == 2
    assert desk.run("ann", "replies", "list").exit_code == 4


def test_what_was_sent_is_told_to_who_asks_by_day_and_purpose_and_never_by_whom(desk: Desk) -> None:
    once = (
        "send",
        "C00008",
        "--store",
        "crm",
        *WHY[:2],
        *SAYS[:2],
        "--text",
        "第三件新品到店。拒收请回复R",
    )
    assert desk.json("ann", *once)["name"]
    asked = ("request", "disclosures", "C00008", "--store", "crm")
    until = time.monotonic() + 120
    while not (told := desk.json("officer", *asked)["disclosures"]):
        assert time.monotonic() < until
        time.sleep(0.1)  # the log is signed once a second
    assert {(each["action"], each["purpose"]) for each in told} == {("send", "marketing")}
    assert all(each.keys() == {"day", "action", "purpose", "count"} for each in told)


def test_who_may_not_be_written_to_soon_is_listed_and_asked_again_in_one_go(desk: Desk) -> None:
    roles = ("--role", "marketer", "--role", "consent_desk", "--training", "valid")
    assert desk.run("chief", "principal", "upsert", "mia", *roles).exit_code == 0
    expiring = ("consent", "expiring", "--purpose", "marketing", "--within")
    assert desk.json("mia", *expiring, "30", "--store", "crm") == {"consents": []}
    assert desk.json("mia", *expiring, "366") == {"count": 10}
    found = desk.json("mia", *expiring, "366", "--store", "crm")["consents"]
    assert [each["customer_id"] for each in found] == [f"C{n:05}" for n in range(1, 11)]
    assert desk.run("ann", *expiring, "30").exit_code == 4
    assert desk.run("mia", *expiring, "30", "--to-campaign", "campaigns/x").exit_code == 2
    asks = (
        "--category",
        "transactional",
        "--signature",
        "测试公司",
        "--template",
        "ask-for-marketing-consent",
    )
    why = ("--purpose", "consent_request", "--basis", "contract", "--basis-evidence", "A-1")
    name = desk.json("mia", "campaign", "create", *why, *asks)["campaign"]["name"]
    added = desk.json("mia", *expiring, "366", "--store", "crm", "--to-campaign", name)
    assert added == {"added": 10, "repeated": 0, "refused": 0}
    before = len(desk.numbers())
    assert desk.run("mia", "campaign", "start", name).exit_code == 0
    assert desk.run("mia", "campaign", "watch", name).exit_code == 0
    assert len(desk.numbers()) == before + 10
    text = json.loads(desk.outbox.read_text("utf-8").splitlines()[-1])["text"]
    assert CONTROLLER in text
    assert text.endswith("同意请回复START，不回复视为不同意。")
    once = desk.run("mia", "send", "C00001", "--store", "crm", *why, *asks)
    assert once.exit_code == 4
    assert "CONSENT_NOT_ASKABLE" in once.stderr


def test_the_administrator_of_the_start_sends_nothing(desk: Desk) -> None:
    assert desk.run(ADMIN, "campaign", "create", *WHY, *SAYS).exit_code == 4
