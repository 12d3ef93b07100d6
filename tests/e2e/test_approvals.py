"""Four eyes by the command line against a real server: what is shown to whom, and what opens."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from abuse.target import UPSERT, Target, create_site, hired, running
from abuse.test_approvals import POLICY

Run = Callable[..., tuple[int, Any]]
"""Principal and arguments to exit code and what stdout, or stderr where a command fails, says as JSON."""

LOOKUP = (
    "lookup", "C00001", "--store", "crm", "--fields", "address", "--purpose", "after_sales", "--basis", "contract",
    "--basis-evidence", "order-7", "--ticket", "T-1",
)  # fmt: skip


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    site = create_site(tmp_path_factory.mktemp("site"))
    policy = POLICY.replace("count: 2", "count: 1, break_glass: {roles: [on_call], review_within: 24h}")
    (site.root / "policies" / "four-eyes.yaml").write_text(policy, "utf-8")
    with running(site) as target:
        target.call("chief", UPSERT, hired("other-agent", "support"))
        target.call("chief", UPSERT, hired("medic", "support", "on_call"))
        yield target


def command(target: Target, path: Path, who: str, *arguments: str) -> Any:
    token = path / f"{who}.token"
    token.write_text(target.token(who))
    return target.site.command(*arguments, "--address", target.server.grpc, "--token-file", str(token))


@pytest.fixture
def run(target: Target, tmp_path: Path) -> Run:
    def run(who: str, *arguments: str) -> tuple[int, Any]:
        done = command(target, tmp_path, who, *arguments, "--output", "json")
        return done.returncode, json.loads(done.stdout or done.stderr)

    return run


def test_what_an_officer_agreed_to_is_shown_once(run: Run) -> None:
    code, refusal = run("agent", *LOOKUP)
    assert (code, refusal["code"]) == (4, "APPROVAL_REQUIRED")
    name = refusal["details"]["approval"]
    assert run("agent", "approval", "approve", name)[1]["code"] == "SELF_APPROVAL"
    code, listed = run("compliance", "approval", "list")
    assert (code, [each["name"] for each in listed["approvals"]]) == (0, [name])
    (shown,) = listed["approvals"]
    assert (shown["requester"], shown["fields"], shown["rows"]) == ("agent", ["address"], 1)
    assert "C00001" not in json.dumps(listed)
    code, approved = run("compliance", "approval", "approve", name)
    assert (code, approved["state"]) == (0, "APPROVAL_STATE_APPROVED")
    code, told = run("agent", *LOOKUP, "--approval", name)
    assert (code, list(told["customer"])) == (0, ["address"])
    assert run("agent", *LOOKUP, "--approval", name)[1]["code"] == "APPROVAL_REQUIRED"
    assert run("agent", "approval", "show", name)[1]["state"] == "APPROVAL_STATE_USED"
    for who in ("other-agent", "chief"):
        code, refusal = run(who, "approval", "show", name)
        assert (code, refusal["code"]) == (3, "APPROVAL_NOT_FOUND")


@pytest.mark.parametrize(
    ("who", "verb"), [("compliance", "reject"), ("compliance", "revoke"), ("agent", "revoke")]
)
def test_a_no_and_a_second_thought_close_it(run: Run, who: str, verb: str) -> None:
    name = run("agent", *LOOKUP)[1]["details"]["approval"]
    code, closed = run(who, "approval", verb, name)
    assert code == 0
    assert (closed["state"], closed["ended_by"]) == (
        f"APPROVAL_STATE_{'REJECTED' if verb == 'reject' else 'REVOKED'}",
        who,
    )
    assert run("compliance", "approval", "approve", name)[1]["code"] == "APPROVAL_CLOSED"
    assert name not in str(run("compliance", "approval", "list")[1])
    assert name in str(run("compliance", "approval", "list", "--with-closed")[1])


def test_people_read_who_agreed_and_what_to_do_next(target: Target, tmp_path: Path) -> None:
    refused = command(target, tmp_path, "agent", *LOOKUP)
    name = next(word for word in refused.stderr.split() if word.startswith("approvals/"))
    assert f"--approval {name}" in refused.stderr
    listed = command(target, tmp_path, "compliance", "approval", "list").stdout
    assert f"{name} " in listed
    assert "four-eyes/no-address-alone: 1 of compliance_officer, so far nobody" in listed
    shown = command(target, tmp_path, "compliance", "approval", "approve", name).stdout
    assert "APPROVED" in shown
    assert "so far compliance" in shown
    by_it = (*LOOKUP, "--approval", name)
    assert command(target, tmp_path, "agent", *by_it).returncode == 0
    assert f"{name}: does not hold here" in command(target, tmp_path, "agent", *by_it).stderr


def test_in_an_emergency_who_may_goes_ahead_and_another_reviews_it(run: Run) -> None:
    assert run("agent", *LOOKUP, "--break-glass")[1]["code"] == "APPROVAL_REQUIRED"
    code, told = run("medic", *LOOKUP, "--break-glass")
    assert (code, list(told["customer"])) == (0, ["address"])
    warnings = {warning["code"] for warning in told["decision"]["warnings"]}
    assert warnings - {"X_UNUSUAL_HOURS"} == {"BREAK_GLASS_USED"}  # base warns at night too
    (waiting,) = run("compliance", "approval", "list", "--to-review")[1]["approvals"]
    assert (waiting["state"], waiting["requester"]) == ("APPROVAL_STATE_IN_REVIEW", "medic")
    assert run("compliance", "approval", "approve", waiting["name"])[0] != 0, "without a word"
    code, ended = run("compliance", "approval", "reject", waiting["name"], "--comment", "no emergency")
    assert (code, ended["state"]) == (0, "APPROVAL_STATE_REJECTED")
    assert run("compliance", "approval", "list", "--to-review")[1]["approvals"] == []
