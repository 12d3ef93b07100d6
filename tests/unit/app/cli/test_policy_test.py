"""`fujie policy test`: what it prints for people, programs and pipelines, and how it ends."""

import json
import sys
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import fromstring

import pytest
from typer.testing import CliRunner

from fujie.app.cli import build
from support.bundles import CATALOGUE, grant, guard

TESTS = """\
apiVersion: fujie.dev/v1
kind: PolicyTest
metadata: {name: care}
spec:
  now: "2026-11-20T10:00:00+08:00"
  principals:
    agent: {roles: [agent]}
    nobody: {}
  customers:
    adult: {attributes: {minor: false}}
    child: {attributes: {minor: true}}
    ageless: {}
  requests:
    look: {action: lookup, purpose: care, basis: contract, has_basis_evidence: true, store: crm, key: phone, fields: [phone]}
  tests:
    - name: adults-only
      principals: [agent, nobody]
      customers: [adult, child]
      requests: [look]
      expect:
        - {principal: agent, customer: adult, effect: ALLOW, treatments: {phone: reveal}}
        - {principal: agent, customer: child, effect: DENY, reasons: [GUARD_REFUSED]}
    - name: unknown-age
      principals: [agent]
      customers: [ageless]
      requests: [look]
      expect:
        - {effect: DENY, reasons: [FACT_MISSING]}
"""
BUNDLE = "\n---\n".join((*CATALOGUE, grant(), guard("adults", "!customer.minor")))


class Ended:
    def __init__(self, *arguments: object) -> None:
        done = CliRunner().invoke(build(), ["policy", "test", *map(str, arguments)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        self.code, self.out, self.err = done.exit_code, done.stdout, done.stderr

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    home = tmp_path / "policies"
    home.mkdir()
    (home / "bundle.yaml").write_text(BUNDLE, "utf-8")
    (home / "care.yaml").write_text(TESTS, "utf-8")
    return home


def changed(site: Path, old: str, new: str) -> Path:
    assert TESTS.count(old) == 1
    (site / "care.yaml").write_text(TESTS.replace(old, new), "utf-8")
    return site


def test_sound_tests_pass_and_are_shown_as_a_tree(site: Path) -> None:
    done = Ended(site)
    assert done.code == 0
    assert done.out.splitlines()[:3] == ["care", "  ok adults-only  4 cases", "  ok unknown-age  1 case"]
    assert "5 cases passed" in done.out
    assert "100.0 % of the policies seen" in done.out


def test_a_failure_shows_what_differs_and_why_and_ends_with_6(site: Path) -> None:
    done = Ended(
        changed(
            site,
            "customer: child, effect: DENY, reasons: [GUARD_REFUSED]",
            "customer: child, effect: ALLOW",
        )
    )
    assert done.code == 6
    lines = [line.strip() for line in done.out.splitlines()]
    assert f"FAILED agent / child / look  {site}/care.yaml:22:11" in lines
    assert lines[lines.index("effect") :][:3] == ["effect", "- ALLOW", "+ DENY"]
    assert lines[lines.index("reasons") :][:2] == ["reasons", "+ GUARD_REFUSED"]
    assert f"guard adults validations[v0]: refused  {site}/bundle.yaml:7:" in done.out
    assert "customer.minor  true  customer.minor = true" in lines
    assert "1 of 5 cases failed" in done.out
    assert "\x1b" not in done.out  # a pipe gets no colours


def test_what_no_row_lists_must_be_refused(site: Path) -> None:
    done = Ended(
        changed(
            site,
            "        - {principal: agent, customer: adult, effect: ALLOW, treatments: {phone: reveal}}\n",
            "",
        )
    )
    assert done.code == 6
    assert "FAILED agent / adult / look" in done.out


def test_a_wrong_treatment_is_shown_beside_the_right_one(site: Path) -> None:
    done = Ended(changed(site, "treatments: {phone: reveal}", 'treatments: {phone: "keep(3,4)"}'))
    lines = [line.strip() for line in done.out.splitlines()]
    assert lines[lines.index("treatments") :][:3] == ["treatments", "- phone: keep(3,4)", "+ phone: reveal"]


def test_json_holds_every_case_and_the_trace_of_those_that_failed(site: Path) -> None:
    done = Ended(changed(site, "reasons: [FACT_MISSING]", "reasons: [NO_GRANT]"), "--output", "json")
    assert done.code == 6
    told = done.json
    assert (told["passed"], told["cases"], told["failed"]) == (False, 5, 1)
    (failed,) = (result for result in told["results"] if not result["passed"])
    assert failed["id"] == "care/unknown-age/agent/ageless/look"
    assert failed["differences"] == [
        {"part": "reasons", "expected": ["NO_GRANT"], "actual": ["FACT_MISSING"]}
    ]
    assert any(rule["outcome"].startswith("unknown") for rule in failed["trace"])
    assert told["coverage"]["percent"] == 100
    assert told["coverage"]["seen"] == told["coverage"]["required"] > 0


def test_junit_names_every_case_and_carries_the_difference(site: Path, tmp_path: Path) -> None:
    file = tmp_path / "results.xml"
    changed(site, "reasons: [FACT_MISSING]", "reasons: [NO_GRANT]")
    assert Ended(site, "--junit", file).code == 6
    root = fromstring(file.read_text("utf-8"))
    assert (root.tag, root.attrib) == ("testsuites", {"tests": "5", "failures": "1", "errors": "0"})
    names = [(each.get("classname"), each.get("name")) for each in root.iter("testcase")]
    assert len(set(names)) == 5
    assert names[-1] == ("care.unknown-age", "agent/ageless/look")
    (failure,) = root.iter("failure")
    assert failure.get("message") == "reasons: expected NO_GRANT, got FACT_MISSING"
    assert failure.text is not None
    assert "customer.minor" in failure.text


def test_run_picks_cases_and_covers_only_what_they_see(site: Path) -> None:
    done = Ended(site, "--run", "/child/", "--output", "json")
    assert done.code == 0
    assert [result["customer"] for result in done.json["results"]] == ["child", "child"]
    assert done.json["coverage"]["percent"] < 100


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--run", "nothing-like-it"), 3, "NO_TESTS"),
        (("--run", "("), 2, "PATTERN_INVALID"),
        (("--min-coverage", "101"), 2, "--min-coverage"),
        (("--coverage-report", "-", "--output", "json"), 2, "both want the terminal"),
        (("--junit", "/nowhere/at/all.xml"), 1, "UNWRITABLE"),
    ],
)
def test_bad_arguments_end_with_their_own_code(
    site: Path, arguments: tuple[str, ...], code: int, says: str
) -> None:
    done = Ended(site, *arguments)
    assert (done.code, says in done.err) == (code, True), done.err


def test_no_tests_at_all_is_no_success(site: Path) -> None:
    (site / "care.yaml").unlink()
    assert Ended(site).code == 3


@pytest.mark.parametrize(
    ("file", "old", "new", "code"),
    [
        ("care.yaml", "customers: [ageless]", "customers: [agless]", "UNKNOWN_NAME"),
        ("bundle.yaml", "!customer.minor", "!customer.minr", "EXPRESSION_INVALID"),
    ],
)
def test_files_that_are_not_valid_end_with_5_and_every_place(
    site: Path, file: str, old: str, new: str, code: str
) -> None:
    path = site / file
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    done = Ended(site, "--output", "json")
    assert done.code == 5
    first = done.json["problems"][0]
    assert first["code"] == code
    assert first["place"].startswith(f"{path}:")


def test_coverage_below_the_minimum_ends_with_6_and_names_what_was_not_seen(site: Path) -> None:
    assert Ended(site, "--min-coverage", "100").code == 0
    done = Ended(site, "--run", "adults-only", "--min-coverage", "100")
    assert done.code == 6
    assert "guard adults validations[v0]: never error" in done.out
    assert Ended(site, "--run", "adults-only", "--min-coverage", "50").code == 0


def test_what_was_not_seen_is_counted_where_it_is_too_much_to_list(site: Path) -> None:
    clauses = " && ".join(f"customer.points != {n}" for n in range(30))
    (site / "more.yaml").write_text(guard("many", clauses, match={"purposes": ["marketing"]}), "utf-8")
    done = Ended(site, "--min-coverage", "100")
    assert done.code == 6
    listed = [line for line in done.out.splitlines() if ": never " in line]
    missing = len(Ended(site, "--output", "json").json["coverage"]["missing"])
    assert len(listed) == 20 < missing
    assert f"  and {missing - 20} more: see --coverage-report" in done.out.splitlines()


def test_the_report_shows_the_policies_with_marks(site: Path, tmp_path: Path) -> None:
    file = tmp_path / "coverage.txt"
    Ended(site, "--run", "adults-only", "--coverage-report", file)
    report = file.read_text("utf-8").splitlines()
    assert report[0].startswith(f"{site}/bundle.yaml  ")
    source = BUNDLE.splitlines()
    (marked,) = (line for line in report if line.endswith(source[6]))
    assert marked.split(" | ")[0].split() == ["4/5", "7"]  # true and false, and so its clause; no error
    assert "! guard adults validations[v0]: never error" in report[report.index(marked) + 1]
    shown = [line.split(" | ", 1)[1] for line in report if " | " in line]
    assert shown == source


def test_the_report_goes_to_the_terminal_too(site: Path) -> None:
    done = Ended(site, "--coverage-report", "-")
    assert f"{site}/bundle.yaml  100.0 %" in done.out


def test_engines_that_differ_end_with_6_even_where_every_case_passes(site: Path) -> None:
    odd = guard("odd", "string(request.has_ticket) == 'false'")
    (site / "odd.yaml").write_text(odd, "utf-8")
    assert Ended(site).code == 0
    done = Ended(site, "--cross-check")
    assert done.code == 6
    assert "1 differ" in done.out
    assert "ours true, cel-python false, in care/adults-only/agent/adult/look" in done.out


def test_without_the_extra_the_cross_check_says_what_to_install(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "celpy", None)
    monkeypatch.delitem(sys.modules, "fujie.adapters.second_opinion", raising=False)
    assert Ended(site).code == 0
    done = Ended(site, "--cross-check")
    assert done.code == 1
    assert "EXTRA_MISSING" in done.err
    assert "crosscheck" in done.err
