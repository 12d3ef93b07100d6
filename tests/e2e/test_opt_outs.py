"""Opt-outs, corrections and lists by the command line against a real server with the shipped policies."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from abuse.target import SHOWN, Target, create_site, running

PHONE = "+86 138 0013 1234"

Run = Callable[..., tuple[int, Any]]
"""Principal and arguments to exit code and what stdout, or stderr where a command fails, says as JSON."""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    with running(create_site(tmp_path_factory.mktemp("site"))) as target:
        yield target


@pytest.fixture
def run(target: Target, tmp_path: Path) -> Run:
    def run(who: str, *arguments: str) -> tuple[int, Any]:
        token = tmp_path / f"{who}.token"
        token.write_text(target.token(who))
        given = (
            *arguments,
            "--output",
            "json",
            "--address",
            target.server.grpc,
            "--token-file",
            str(token),
        )
        done = target.site.command(*given)
        return done.returncode, json.loads(done.stdout or done.stderr)

    return run


MARKETING = ("lookup", SHOWN, "--store", "crm", "--fields", "name", "--purpose", "marketing")


def test_an_opt_out_closes_at_once_and_only_the_customer_lifts_it(run: Run) -> None:
    code, added = run(
        "desk", "suppression", "add", PHONE, "--phone", "--purpose", "marketing", "--request-id", "r-1"
    )
    assert code == 0
    assert run(
        "desk", "suppression", "add", PHONE, "--phone", "--purpose", "marketing", "--request-id", "r-1"
    ) == (0, added)
    code, refusal = run("marketer", *MARKETING)
    assert (code, refusal["code"]) == (4, "CUSTOMER_OPTED_OUT")
    lift = (
        "suppression",
        "remove",
        added["suppression_id"],
        "--method",
        "signed_letter",
        "--evidence-ref",
        "l-1",
        "--when",
    )
    code, refusal = run("desk", *lift, "2020-01-01T00:00:00Z")
    assert (code, refusal["code"]) == (2, "SUPPRESSION_CONFIRMATION_MISSING")
    code, lifted = run("desk", *lift, datetime.now(UTC).isoformat())
    assert code == 0
    assert lifted["lifted"]["method"] == "signed_letter"
    assert run("marketer", *MARKETING)[1]["code"] == "CONSENT_MISSING"
    assert run("desk", "suppression", "list") == (0, {"suppressions": []})
    code, all_of_one = run("desk", "suppression", "list", SHOWN, "--store", "crm", "--with-lifted")
    assert [each["suppression_id"] for each in all_of_one["suppressions"]] == [added["suppression_id"]]


def test_events_come_in_pages(run: Run) -> None:
    for _ in range(3):
        assert (
            run("desk", "consent", "withdraw", "C00003", "--store", "crm", "--purpose", "marketing")[0] == 0
        )
    listing = ("consent", "events", "C00003", "--store", "crm", "--page-size", "2")
    code, first = run("desk", *listing)
    assert (code, len(first["events"])) == (0, 2)
    code, second = run("desk", *listing, "--page-token", first["next_page_token"])
    assert (code, len(second["events"]), second.get("next_page_token")) == (0, 1, None)
    code, refusal = run(
        "desk", *listing, "--purpose", "marketing", "--page-token", first["next_page_token"]
    )
    assert (code, refusal["code"]) == (2, "PAGE_TOKEN_INVALID")


def test_a_merge_carries_a_refusal_over_and_a_split_keeps_it(run: Run) -> None:
    assert run("desk", "suppression", "add", "C00005", "--store", "crm")[0] == 0
    right = ("--evidence-ref", "form-1", "--basis-evidence", "request-1")
    assert run("desk", "customer", "merge", "crm/C00004", "crm/C00005", *right)[1]["code"] == "NO_GRANT"
    assert run("officer", "customer", "merge", "crm/C00004", "crm/C00005", *right)[0] == 0
    own = ("lookup", "C00004", "--store", "crm", "--fields", "name", "--purpose", "marketing")
    assert run("marketer", *own)[1]["code"] == "CUSTOMER_OPTED_OUT"
    assert run("officer", "customer", "split", "C00005", "--store", "crm", *right)[0] == 0
    code, found = run("officer", "suppression", "list", "C00004", "--store", "crm")
    assert (code, [each["source"] for each in found["suppressions"]]) == (0, ["agent"])
    code, found = run("officer", "suppression", "list", "C00005", "--store", "crm")
    # Its own copy; and, through the number that stays with both, the one that the other keeps.
    assert (code, sorted(each["source"] for each in found["suppressions"])) == (0, ["agent", "split"])


def test_principals_are_listed_by_role(run: Run) -> None:
    code, found = run("chief", "principal", "list", "--role", "support", "--employment", "active")
    assert code == 0
    assert [each["id"] for each in found["principals"]] == ["agent"]
    assert run("agent", "principal", "list")[1]["code"] == "NO_GRANT"
