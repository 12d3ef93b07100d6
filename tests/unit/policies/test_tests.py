"""The tests that ship beside the base policies, run as their readers run them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from fujie.app.cli import build
from fujie.app.policies import read_files
from fujie.app.policytests import Wanted, cases_of, run_cases
from fujie.policy.compile import compile_bundle

BASE = Path(__file__).parents[3] / "policies" / "base"


def ran(*arguments: object) -> tuple[int, Any]:
    done = CliRunner().invoke(
        build(), ["policy", "test", *map(str, arguments), "--cross-check", "--output", "json"]
    )
    return done.exit_code, json.loads(done.stdout)


def test_shipped_tests_pass_in_both_engines_and_see_all_of_the_policies() -> None:
    code, told = ran(BASE, "--min-coverage", "100")
    assert [result["id"] for result in told["results"] if not result["passed"]] == []
    assert told["coverage"]["missing"] == []
    assert told["cross_check"]["disagreements"] == []
    assert told["cross_check"]["evaluations"] > 100
    assert code == 0


def test_tests_beside_the_policies_do_not_change_the_bundle() -> None:
    files = read_files([BASE])
    bare = {name: content for name, content in files.items() if "/tests/" not in name}
    assert len(bare) < len(files)
    digests = set()
    for each in (files, bare):
        bundle = compile_bundle(each)
        assert not isinstance(bundle, tuple)
        digests.add(bundle.digest)
    assert len(digests) == 1


def test_the_example_of_the_guide_runs(tmp_path: Path) -> None:
    guide = (BASE.parents[1] / "docs" / "policy-tests.md").read_text("utf-8")
    example, about_messages = re.findall(r"```yaml\n(.*?)```", guide, re.DOTALL)
    (tmp_path / "example.yaml").write_text(example.replace("{name: minors}", "{name: example}"), "utf-8")
    code, told = ran(BASE, tmp_path, "--run", "^example/")
    assert (code, told["cases"], told["failed"]) == (0, 2, 0)
    whole = yaml.safe_load(example)
    for key, more in yaml.safe_load(about_messages).items():
        whole["spec"][key] = {**whole["spec"].get(key, {}), **more}
    whole["metadata"]["name"] = "example"
    whole["spec"]["principals"]["marketer"] = {"roles": ["marketer"]}
    reasons = ["CONSENT_MISSING", "PROCESSOR_NOT_VALID", "X_SENDING_HOURS", "FACT_MISSING"]
    row = {"effect": "DENY", "reasons": reasons}
    whole["spec"]["tests"] = [
        {
            "name": "asleep",
            "principals": ["marketer"],
            "customers": ["asleep"],
            "requests": ["promo"],
            "expect": [row],
        }
    ]
    (tmp_path / "example.yaml").write_text(json.dumps(whole), "utf-8")
    code, told = ran(BASE, tmp_path, "--run", "^example/")
    assert (code, told["cases"], told["failed"]) == (0, 1, 0)


MUTATIONS = {  # a few through the command line; test_mutations.py tries hundreds
    "grants.yaml": (
        ("condition: request.has_ticket", "condition: 'true'"),
    ),
    "guards.yaml": (
        ('"!suppression.in_force"', '"true"'),
        ("time.hour >= 7 && time.hour < 22", "time.hour >= 7 && time.hour <= 22"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("file", "old", "new"), [(file, *pair) for file, pairs in MUTATIONS.items() for pair in pairs]
)
def test_a_weaker_policy_fails_its_tests(file: str, old: str, new: str) -> None:
    files = dict(read_files([BASE]))
    (name,) = (name for name in files if name.endswith(f"/{file}"))
    text = files[name].decode()
    assert old in text
    files[name] = text.replace(old, new, 1).encode()
    assert run_cases(*cases_of(Wanted(files))).failed
