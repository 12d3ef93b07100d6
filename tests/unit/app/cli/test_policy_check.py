"""`fujie policy check` and `fujie policy schema`: what they print for people and for programs, and how they end."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from e2e.server import POLICY
from fujie.app.cli import build
from fujie.policy.lint_finding import CODES
from fujie.policy.schema import SCHEMAS, schema

ROOT = Path(__file__).parents[4]
GUARD = """\
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: mine, annotations: {owner: privacy}}
spec:
  match: {actions: [lookup]}
  validations:
    - name: daytime
      expression: EXPRESSION
      message: {zh: "请在白天查询。", en: "Ask by day."}
      basis: ["PIPL-51"]
"""


@dataclass
class Ended:
    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def fujie(*arguments: str | Path) -> Ended:
    done = CliRunner().invoke(build(), [str(each) for each in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return Ended(done.exit_code, done.stdout, done.stderr)


def policies(folder: Path, guard: str) -> Path:
    """Return a folder of policies with a guard of the test's own beside sound ones."""
    (folder / "base.yaml").write_text(POLICY, "utf-8")
    (folder / "own.yaml").write_text(guard, "utf-8")
    return folder


def own(done: Ended) -> list[dict[str, Any]]:
    return [finding for finding in done.json["findings"] if finding["file"].endswith("own.yaml")]


@pytest.mark.parametrize(
    ("expression", "code", "severity", "exit_code", "strict_code"),
    [
        ("time.hour >= 7", None, None, 0, 0),
        ("time.hour < 24", "VALIDATION_ALWAYS_TRUE", "error", 5, 5),
        ("time.hour > 23", "VALIDATION_ALWAYS_FALSE", "warning", 0, 5),
    ],
)
def test_errors_fail_the_check_and_warnings_fail_the_strict_one(
    tmp_path: Path, expression: str, code: str | None, severity: str, exit_code: int, strict_code: int
) -> None:
    folder = policies(tmp_path, GUARD.replace("EXPRESSION", expression))
    done = fujie("policy", "check", folder / "base.yaml", folder / "own.yaml", "--output", "json")
    assert [(each["code"], each["severity"]) for each in own(done)] == ([(code, severity)] if code else [])
    noise = {each["severity"] for each in done.json["findings"]} - {severity}
    assert "error" not in noise
    assert done.exit_code == exit_code
    if "warning" not in noise:
        assert fujie("policy", "check", folder, "--strict").exit_code == strict_code


def test_a_hint_never_fails_the_check(tmp_path: Path) -> None:
    folder = policies(tmp_path, GUARD.replace("[lookup]", "[send]").replace("EXPRESSION", "time.hour > 7"))
    done = fujie("policy", "check", folder, "--output", "json", "--strict")
    assert [(each["code"], each["severity"]) for each in own(done)] == [("GUARD_WITHOUT_GRANT", "hint")]
    others = [each for each in done.json["findings"] if each["severity"] != "hint"]
    assert done.exit_code == (5 if others else 0)
    assert done.json["hints"] >= 1


def test_a_finding_is_shown_with_place_caret_and_what_to_do(tmp_path: Path) -> None:
    folder = policies(tmp_path, GUARD.replace("EXPRESSION", "time.hour < 24"))
    done = fujie("policy", "check", folder)
    lines = done.stderr.splitlines()
    place = f"{folder / 'own.yaml'}:8:19: error: VALIDATION_ALWAYS_TRUE: "
    at = next(index for index, line in enumerate(lines) if line.startswith(place))
    assert "(Guard mine)" in lines[at]
    assert lines[at + 1].lstrip() == "expression: time.hour < 24"
    assert lines[at + 2].index("^") == lines[at + 1].index("time")
    assert lines[at + 3].startswith("  -> ")
    assert "errors     1" in done.stdout


def test_a_silence_with_a_reason_is_heard(tmp_path: Path) -> None:
    silent = GUARD.replace(
        "owner: privacy", 'lint.fujie.dev/ignore: "VALIDATION_ALWAYS_FALSE: nobody, for now"'
    )
    done = fujie(
        "policy",
        "check",
        policies(tmp_path, silent.replace("EXPRESSION", "time.hour > 23")),
        "--output",
        "json",
    )
    assert own(done) == []


def test_personal_data_in_a_text_is_told_without_repeating_it(tmp_path: Path) -> None:
    text = GUARD.replace("EXPRESSION", "time.hour > 7").replace("Ask by day.", "Ask Li on 13800138000.")
    done = fujie("policy", "check", policies(tmp_path, text), "--output", "json")
    (found,) = own(done)
    assert found["code"] == "PERSONAL_DATA_IN_TEXT"
    assert "mobile" in found["message"]
    assert "13800138000" not in found["message"]


def test_a_text_that_nobody_could_search_is_not_taken_for_clean(tmp_path: Path) -> None:
    text = GUARD.replace("EXPRESSION", "time.hour > 7").replace("Ask by day.", "Ask by day. " * 1_000)
    (found,) = own(fujie("policy", "check", policies(tmp_path, text), "--output", "json"))
    assert (found["code"], "not searched" in found["message"]) == ("PERSONAL_DATA_IN_TEXT", True)


def test_what_does_not_load_is_listed_as_before(tmp_path: Path) -> None:
    folder = policies(tmp_path, GUARD.replace("EXPRESSION", "time.huor < 24"))
    done = fujie("policy", "check", folder, "--output", "json")
    assert done.exit_code == 5
    assert [each["code"] for each in done.json["problems"]] == ["EXPRESSION_INVALID"]


def test_the_shipped_policies_are_clean_even_strictly() -> None:
    done = fujie("policy", "check", ROOT / "policies" / "base", "--strict", "--output", "json")
    assert (done.exit_code, done.json["findings"]) == (0, [])


# Schemas.


@pytest.mark.parametrize("arguments", [[], *([kind] for kind in SCHEMAS if kind)], ids=str)
def test_a_schema_is_printed(arguments: Sequence[str]) -> None:
    done = fujie("policy", "schema", *arguments)
    assert (done.exit_code, done.json) == (0, schema(*arguments or [""]))


def test_a_kind_that_is_not_known_is_named_with_those_that_are() -> None:
    done = fujie("policy", "schema", "Gaurd")
    assert done.exit_code == 2
    assert "`Gaurd` is not a kind; known: FieldCatalog, Grant, Guard" in done.stderr


def test_every_code_stands_in_the_documentation_with_its_severity() -> None:
    text = (ROOT / "docs" / "policy-lint.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| (\w+) \|", text, re.MULTILINE))
    assert documented == {code: severity.value for code, (severity, _) in CODES.items()}
