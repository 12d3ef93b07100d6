"""The product's face, as a stranger meets it: the demo, the client commands, and the blocks of the README."""

import csv
import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from fujie.app.demo.campaign import let_send
from fujie.app.demo.cast import ADMIN, DESK, MARKETER, OFFICER, ROLES, SUPPORT
from fujie.app.demo.customers import customers
from fujie.app.demo.server import running
from fujie.app.demo.site import Site, create_site
from fujie.app.demo.story import scenes
from support.answers import shipped_notice

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
GUIDE = (ROOT / "docs" / "policy-guide.md").read_text("utf-8")
FUJIE = [sys.executable, "-m", "fujie"]
PATIENCE_S = 600
"""No measure: what takes so long never comes."""


def run(
    *arguments: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("FUJIE")}
    return subprocess.run(
        [*FUJIE, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**plain, **(env or {})},
        timeout=PATIENCE_S,
    )


@dataclass(frozen=True, slots=True)
class Desk:
    """A running site, after the demo's story up to its exports, and the command line in front of it."""

    site: Site

    def fujie(self, who: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = {"FUJIE_ADDRESS": self.site.grpc, "FUJIE_TOKEN_FILE": str(self.site.tokens[who])}
        return run(*arguments, env=env)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    site = create_site(
        tmp_path_factory.mktemp("demo") / "site", tuple(ROLES), datetime.now(UTC), customers=200
    )
    let_send(site, datetime.now(UTC))
    with running(site, site.root / "server.log"):
        with closing(scenes(site, site.root / "copy")) as story:
            for scene in story:
                assert scene.good, scene
                if scene.who == "auditor":  # the campaign is over; exports need more customers than these
                    break
        yield Desk(site)


def test_the_demo_exits_0_and_is_plain_in_a_pipe(tmp_path: Path) -> None:
    done = run("demo", "--dir", "site", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "138****1234" in done.stdout
    assert "CONSENT_MISSING" in done.stdout
    assert "every proof holds" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stdout.count("\n") <= 100, "nobody reads that much"
    assert_opt_outs_held(done.stdout, tmp_path / "site" / "outbox.jsonl")
    assert_export_was_masked_and_is_dead(done.stdout, tmp_path / "site")
    left = {path.name for path in (tmp_path / "site").iterdir()}
    assert {"fujie.yaml", "keys", "tokens", "log", "crm.db", "policies", "ledger.db"} <= left


def assert_opt_outs_held(said: str, outbox: Path) -> None:
    """The campaign of 5,000, counted a third time: by the file alone."""
    (line,) = re.findall(r"allowed ([\d,]+) \+ refused ([\d,]+) = 5,000: (.*)", said)
    allowed, refused = (int(number.replace(",", "")) for number in line[:2])
    reasons = {code: int(count) for code, count in re.findall(r"(\w+) (\d+)", line[2])}
    (opted_out,) = re.findall(
        r"of (\d+) who said stop (\d+) got none, (\d+) had theirs before, 0 after", said
    )
    total, stopped, before = map(int, opted_out)
    assert total == stopped + before
    assert stopped > 0, "nobody was stopped"
    assert reasons["CUSTOMER_OPTED_OUT"] == stopped
    assert sum(reasons.values()) == refused
    numbers = [json.loads(each)["phone"] for each in outbox.read_text("utf-8").splitlines()]
    assert len(numbers) == len(set(numbers)) == allowed == 5_000 - refused
    assert outbox.stat().st_mode & 0o077 == 0


def assert_export_was_masked_and_is_dead(said: str, site: Path) -> None:
    """The export, looked at a second time: by its file, the store and the ledger."""
    *rows, last = csv.reader((site / "list.csv").read_text("utf-8-sig").splitlines())
    phones = [row[rows[0].index("phone")] for row in rows[1:]]
    assert all(re.fullmatch(r"1\d\d\*{6}\d\d", phone) for phone in phones)
    assert len(phones) == 240
    assert re.fullmatch(r"# fujie exports/[0-9a-f]{32}, marketer, .*Z, 240 rows", last[0])
    sealed = (site / "list.fjx").read_bytes()
    assert not any(
        str(row[2]).encode() in sealed or str(row[1]).encode() in sealed for row in customers(300)
    )
    (left,) = re.findall(r"the outcome entry: (\d+) rows had left", said)
    assert 0 < int(left) < 2_400
    with sqlite3.connect(site / "ledger.db") as ledger:
        chunks, keys = ledger.execute("SELECT count(*), count(wrapped_key) FROM export_chunk").fetchone()
    ledger.close()
    assert (chunks > 3, keys) == (True, 0)


@pytest.mark.parametrize(("hour", "is_night"), [(7, True), (8, False), (18, False), (19, True), (23, True)])
def test_the_demo_opens_the_hours_of_its_own_copy_by_night_alone(
    tmp_path: Path, hour: int, is_night: bool
) -> None:
    site = create_site(tmp_path / "site", (), datetime.now(UTC), customers=1)
    guards = site.root / "policies" / "messages.yaml"
    shipped = guards.read_bytes()
    assert let_send(site, datetime(2026, 3, 1, hour, tzinfo=ZoneInfo("Asia/Shanghai"))) is is_night
    opened = b"{from_hour: 0, until_hour: 24}"
    assert guards.read_bytes() == (
        shipped.replace(b"{from_hour: 8, until_hour: 20}", opened) if is_night else shipped
    )


def test_the_demo_does_not_delete_a_directory_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = run("demo", "--dir", str(tmp_path))
    assert done.returncode == 2
    assert (tmp_path / "thesis.txt").exists()


def test_the_demo_leaves_a_site_alone_that_is_being_served(desk: Desk) -> None:
    done = run("demo", "--dir", str(desk.site.root))
    assert (done.returncode, "is being served" in done.stderr) == (2, True)
    assert desk.site.config.exists()


def test_a_look_up_prints_a_table_or_json(desk: Desk) -> None:
    asked = ("lookup", "C00001", "--store", "crm", "--fields", "name,phone", "--purpose", "after_sales", "--basis", "contract", "--basis-evidence", "order-7")  # fmt: skip
    table = desk.fujie(SUPPORT, *asked)
    assert (table.returncode, "138****1234" in table.stdout) == (0, True), table.stderr
    answer = json.loads(desk.fujie(SUPPORT, *asked, "--output", "json").stdout)
    assert answer["customer"]["phone"] == "138****1234"
    assert answer["treatments"] == {"name": "reveal", "phone": "keep(3,4)"}


def test_a_refusal_exits_4_with_reason_article_and_remedy_in_both_languages(desk: Desk) -> None:
    asked = (
        "lookup",
        "C00001",
        "--store",
        "crm",
        "--fields",
        "phone",
        "--purpose",
        "after_sales",
        "--basis",
        "contract",
    )
    refused = desk.fujie(SUPPORT, *asked, "--output", "json")
    error = json.loads(refused.stderr)
    assert (refused.returncode, error["code"]) == (4, "BASIS_EVIDENCE_MISSING")
    (reason,) = error["details"]["reasons"]
    assert (reason["code"], reason["basis"]) == ("BASIS_EVIDENCE_MISSING", ["PIPL-13"])
    assert ("缺少证明材料" in reason["message"]["zh"], "basis_evidence" in reason["remedy"]["en"]) == (
        True,
        True,
    )
    assert refused.stdout == ""


def test_consent_is_recorded_shown_and_withdrawn(desk: Desk) -> None:
    about = ("C00007", "--store", "crm", "--purpose", "marketing")
    digest = shipped_notice("marketing", "Demo Ltd.").digest
    notice = ("--notice", "marketing-notice@1", "--digest", digest)
    assert desk.fujie(DESK, "consent", "record", *about, "--freely", *notice).returncode == 2
    unfree = desk.fujie(DESK, "consent", "record", *about, "--given", *notice)
    assert (unfree.returncode, "CONSENT_NOT_FREE" in unfree.stderr) == (4, True)
    done = desk.fujie(DESK, "consent", "record", *about, "--given", "--freely", *notice)
    assert done.returncode == 0, done.stderr
    shown = json.loads(desk.fujie(DESK, "consent", "show", *about, "--output", "json").stdout)
    assert (shown["state"], shown["governing"]["notice"]["version"]) == ("GIVEN", "1")
    assert desk.fujie(DESK, "consent", "withdraw", *about).returncode == 0
    assert (
        json.loads(desk.fujie(DESK, "consent", "show", *about, "--output", "json").stdout)["state"]
        == "WITHDRAWN"
    )


def test_a_refusal_prompts_the_answer_is_recorded_and_the_evidence_verifies_offline(
    desk: Desk, tmp_path: Path
) -> None:
    asked = ("lookup", "C00009", "--store", "crm", "--fields", "phone", "--purpose", "after_sales")
    colleague = ("--basis", "consent", "--ticket", "T-9")
    refused = desk.fujie(SUPPORT, *asked, *colleague, "--output", "json")
    prompt = json.loads(refused.stderr)["details"]["prompt"]
    assert "Demo Ltd." in prompt["text"]["zh"]
    said = ("consent", "record", "--given", "--freely", "--prompt", prompt["token"])
    recorded = json.loads(desk.fujie(SUPPORT, *said, "--output", "json").stdout)
    assert recorded["notice"]["digest"] == prompt["digest"]["zh"]
    again = desk.fujie(SUPPORT, *said, "--output", "json")
    assert (again.returncode, json.loads(again.stderr)["code"]) == (2, "PROMPT_INVALID")
    assert desk.fujie(SUPPORT, *asked, *colleague).returncode == 0

    file = tmp_path / "evidence.json"
    exporting = ("consent", "evidence", "C00009", "--store", "crm", "--file", str(file))
    assert desk.fujie(SUPPORT, *exporting).returncode == 4
    assert desk.fujie(DESK, *exporting).returncode == 0
    assert desk.fujie(DESK, *exporting).returncode == 1  # never overwritten
    assert file.stat().st_mode & 0o077 == 0
    vkey = (desk.site.log / "demo" / "w0" / "vkey").read_text().strip()
    checked = run("consent", "verify", str(file), "--vkey", vkey, "--output", "json")
    assert checked.returncode == 0, checked.stdout
    assert json.loads(checked.stdout)["proven"] is True
    file.write_bytes(file.read_bytes().replace(b"after_sales", b"marketing!!"))
    assert run("consent", "verify", str(file), "--vkey", vkey).returncode == 6


def test_a_principal_is_written_shown_and_offboarded(desk: Desk) -> None:
    assert (
        desk.fujie(
            ADMIN, "principal", "upsert", "clerk-9", "--role", "fulfilment_clerk", "--training", "valid"
        ).returncode
        == 0
    )
    shown = json.loads(desk.fujie(ADMIN, "principal", "show", "clerk-9", "--output", "json").stdout)
    assert shown["roles"] == ["fulfilment_clerk"]
    assert desk.fujie(ADMIN, "principal", "offboard", "clerk-9").returncode == 0
    gone = json.loads(desk.fujie(ADMIN, "principal", "show", "clerk-9", "--output", "json").stdout)
    assert (gone["employment"], gone.get("roles", [])) == ("EMPLOYMENT_OFFBOARDED", [])
    assert desk.fujie(ADMIN, "principal", "show", "nobody-9").returncode == 3


def test_explain_shows_the_clause_and_hides_personal_values(desk: Desk) -> None:
    asked = ("policy", "explain", "C00002", "--store", "crm", "--fields", "name", "--purpose", "marketing")
    done = desk.fujie(OFFICER, *asked, "--principal", SUPPORT)
    assert done.returncode == 0, done.stderr
    assert "NO_GRANT" in done.stdout
    detailed = desk.fujie(OFFICER, "policy", "explain", "C00002", "--store", "crm", "--fields", "name", "--purpose", "after_sales", "--basis", "contract", "--basis-evidence", "o", "--ticket", "t", "--principal", SUPPORT, "--all")  # fmt: skip
    assert "(personal)" in detailed.stdout


def test_explain_says_what_would_open_and_it_does(desk: Desk) -> None:
    other = next(str(row[0]) for row in customers(200) if row[-1] != "east" and not row[-2])
    asked = (other, "--store", "crm", "--fields", "name", "--purpose", "after_sales", "--basis", "contract")
    explain = ("policy", "explain", *asked, "--principal", SUPPORT)
    said = desk.fujie(OFFICER, *explain)
    assert said.stdout.endswith(
        "it would be allowed\n└── with a ticket, and with evidence for the basis (order_id)\n"
    ), said
    (shown,) = re.findall(r"^```text explain\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE)
    for line in shown.splitlines():
        cells = [cell for cell in re.split(r"  +|\.\.\.", line) if cell]
        assert any(all(cell in printed for cell in cells) for printed in said.stdout.splitlines()), line
    told = json.loads(desk.fujie(OFFICER, *explain, "--output", "json").stdout)
    (suggestion,) = told["suggestions"]
    reads = [tuple(clause["reads"]) for rule in told["rules"] for clause in rule.get("clauses", ())]
    assert reads == [tuple(sorted(each)) for each in reads], "two explanations are compared by their lines"
    assert [change["part"] for change in suggestion["changes"]] == ["ticket", "basis_evidence"]
    assert desk.fujie(SUPPORT, "lookup", *asked).returncode == 4
    assert (
        desk.fujie(SUPPORT, "lookup", *asked, "--ticket", "T-1", "--basis-evidence", "order-7").returncode
        == 0
    )
    allowed = desk.fujie(OFFICER, *explain, "--ticket", "T-1", "--basis-evidence", "order-7")
    assert "allowed" not in allowed.stdout


def test_a_refusal_for_programs_has_the_names_of_the_proto_files_as_every_answer_has(desk: Desk) -> None:
    asked = ("lookup", "C00001", "--store", "crm", "--fields", "name", "--purpose", "after_sales")
    refused = desk.fujie(SUPPORT, *asked, "--output", "json")
    told = json.loads(refused.stderr)
    assert (refused.returncode, told["code"]) == (4, "CONSENT_MISSING")
    assert {"notice_id", "notice_version"} <= told["details"]["prompt"].keys()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("lookup", "C00001", "--store", "crm", "--fields", "phone", "--purpose", "after_sales"), 2, "TOKEN_MISSING"),
        (("lookup", "C1", "--store", "crm", "--fields", "phone", "--purpose", "x", "--token-file", "no/such"), 2, "FILE_UNREADABLE"),
        (("lookup", "C1", "--store", "crm", "--fields", "phone", "--purpose", "x", "--token-file", "requirements-codegen.in", "--address", "192.0.2.1:1"), 2, "PLAINTEXT_REFUSED"),
        (("lookup", "C1", "--store", "crm", "--fields", "phone", "--purpose", "x", "--token-file", "LICENSE"), 2, "TOKEN_INVALID"),
        (("lookup", "C1", "--store", "crm", "--fields", "phone", "--purpose", "x", "--token-file", "requirements-codegen.in", "--address", "127.0.0.1:1"), 1, "UNAVAILABLE"),
        (("policy", "check", "no/such/path"), 5, "no/such/path"),
        (("audit", "verify", "no/such/path"), 3, "no/such/path"),
        (("serve", "--config", "no/such.yaml"), 5, "no/such.yaml"),
        (("frobnicate",), 2, ""),
    ],
)  # fmt: skip
def test_a_users_mistake_is_told_without_a_traceback(
    arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = run(*arguments)
    assert "Traceback" not in done.stdout + done.stderr
    assert (done.returncode, says in done.stdout + done.stderr) == (code, True), done.stderr


def test_the_readmes_python_runs(desk: Desk) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    token = str(desk.site.tokens[SUPPORT])
    code = code.replace("127.0.0.1:7443", desk.site.grpc).replace(".demo/tokens/support-agent.jwt", token)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_S)
    assert "138****1234" in done.stdout, done.stderr


def test_the_readmes_policy_is_accepted(desk: Desk, tmp_path: Path) -> None:
    (policy,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "mine.yaml").write_text(policy)
    done = run("policy", "check", str(desk.site.root / "policies"), str(tmp_path))
    assert done.returncode == 0, done.stderr


def test_the_readmes_export_runs(desk: Desk, tmp_path: Path) -> None:
    """Refused first, as it says; then every command does what stands there."""
    (block,) = (
        each for each in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if "fujie export" in each
    )
    block = block.replace(".demo/tokens", str(desk.site.root / "tokens"))
    block = f'set -x; fujie() {{ {shlex.join(FUJIE)} "$@"; }}\n{block}'
    env = {"FUJIE_ADDRESS": desk.site.grpc, "FUJIE_TOKEN_FILE": str(desk.site.tokens[SUPPORT])}
    done = subprocess.run(
        ["bash", "-c", block],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, **env},
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    for said in ("X_EXPORT_NEEDS_APPROVAL", "rows of exports/"):
        assert done.stderr.count(said) >= 1, done.stderr
    for said in ("would_find", "APPROVED", "50", '"C00001"', "support-agent"):
        assert said in done.stdout, done.stdout + done.stderr
    assert (tmp_path / "list.fjx").read_bytes().startswith(b"FJX")


def test_the_readmes_shell_commands_exist() -> None:
    blocks = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    commands = set(re.findall(r"^fujie ((?:[a-z]+ ?){1,2})", blocks, re.MULTILINE))
    assert len(commands) > 3
    for command in commands:
        assert run(*command.split(), "--help").returncode == 0, command


def test_the_readme_shows_what_the_demo_prints(desk: Desk) -> None:
    assert MARKETER in README
    assert "138****1234" in README
