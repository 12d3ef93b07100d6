"""Shadow and replay on a real server: what the shadow counted live, the replay of its log says again."""

import gzip
import json
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from e2e.server import START_S, Server, Site, lookup
from fujie.app.client import Stubs

NARROWER = """\
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: care-by-ticket}
spec:
  match: {actions: [lookup], purposes: [after_sales]}
  validations: [{name: ticket, expression: request.has_ticket}]
"""
CALLS = 5


def ask(stubs: Stubs, *fields: str, purpose: str = "after_sales", customer: str = "C00001") -> None:
    with suppress(grpc.RpcError):  # a refusal is as good
        stubs.customers.LookupCustomer(lookup(customer, *fields, purpose=purpose), timeout=30)


def soon(server: Server, name: str, **labels: str) -> float:
    """Return the metric when it is there; the shadow works behind the answers."""
    until = time.monotonic() + START_S
    while True:
        try:
            return server.metric(name, **labels)
        except KeyError:
            assert time.monotonic() < until, f"no {name} {labels}"
            time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Ended:
    """A site whose server has ended, with its policies and those of the shadow beside it."""

    site: Site
    shadow: Path

    def replay(self, *arguments: str, log: Path | None = None) -> tuple[int, dict[str, Any]]:
        """Run the command; return exit code and what it says as JSON."""
        given = ("--log", str(log or self.site.log), "--output", "json", *arguments)
        done = self.site.command("policy", "replay", *given)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, json.loads(done.stdout or done.stderr)

    @property
    def recorded(self) -> tuple[str, ...]:
        return ("--recorded", str(self.site.root / "policies"))

    @property
    def opened(self) -> tuple[str, ...]:
        return ("--config", str(self.site.config))

    @property
    def candidate(self) -> tuple[str, ...]:
        return ("--bundle", str(self.site.root / "policies"), "--bundle", str(self.shadow))


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    site = Site.create(tmp_path_factory.mktemp("replay") / "site")
    shadow = site.root / "narrower.yaml"
    shadow.write_text("kind: Nonsense\n", "utf-8")
    site.values["policy"]["shadow"] = [str(site.root / "policies"), str(shadow)]
    site.write()
    with site.running() as server:
        server.add_principal("agent", "support")
        server.wait_for("shadow_refused")  # and yet it serves
        assert server.metric("fujie_shadow_reload_failures_total") == 1
        shadow.write_text(NARROWER, "utf-8")
        server.wait_for("shadow_loaded")
        stubs = server.connect("agent")
        with stubs.channel:
            for _ in range(CALLS):
                ask(stubs, "name", "phone")
                soon(server, "fujie_shadow_decisions_total", effect_in_force="ALLOW", effect_shadow="DENY")
            said = server.wait_for("shadow_differs")
            told = (said["action"], said["effect"], said["shadow_effect"], said["shadow_reasons"])
            assert told == ("lookup", "ALLOW", "DENY", "GUARD_REFUSED")
            assert said["decision_id"]
            assert "C00001" not in str(said)
            ask(stubs, "name", purpose="marketing")
            ask(stubs, "name", "id_card")
            ask(stubs, "name", customer="C99999")
        assert server.stop() == 0
    return Ended(site, shadow)


def test_the_recorded_bundle_reproduces_every_decision_and_flips_none(ended: Ended) -> None:
    code, said = ended.replay(*ended.recorded, *ended.opened, "--bundle", ended.recorded[1])
    assert (code, said["proven"]) == (0, True)
    (bundle,) = said["recorded"]
    assert (bundle["differing"], bundle["unproven"]) == (0, 0)
    assert bundle["reproduced"] == said["decisions"]["same"] >= CALLS + 2
    assert (said["flips"], said["changes"], said["undecidable"]) == ([], [], [])
    assert {row["before"] for row in said["outside"]} == {"DENY CUSTOMER_NOT_FOUND"}


def test_what_flips_is_told_by_rule_role_purpose_and_reason(ended: Ended) -> None:
    code, said = ended.replay(*ended.recorded, *ended.opened, *ended.candidate)
    assert code == 0
    groups = said["flips"]
    assert sum(group["decisions"] for group in groups) == CALLS + 1
    for group in groups:
        assert group["rule"] == "guard:care-by-ticket/ticket"
        assert group["roles"] == ["support"]
        assert group["purpose"] == "after_sales"
        assert (group["before"], group["after"]) == ("ALLOW", "DENY GUARD_REFUSED")
    assert 0 < len(groups[0]["examples"]) <= 3


def test_without_the_key_sealed_facts_stay_sealed(ended: Ended) -> None:
    code, said = ended.replay(*ended.recorded, *ended.candidate)
    assert code == 0
    assert said["flips"] == []
    assert {fact for row in said["unproven"] for fact in row["facts"]} == {"customer.minor SEALED"}
    assert said["proven"] is False, "what was not repeated is not proven"


def test_several_processes_say_what_one_says(ended: Ended) -> None:
    given = (*ended.recorded, *ended.opened, *ended.candidate)
    one, two = (ended.replay(*given, "--jobs", jobs)[1] for jobs in ("1", "2"))
    assert {**one, "seconds": 0} == {**two, "seconds": 0}


def test_a_table_says_what_was_proven(ended: Ended) -> None:
    given = ("policy", "replay", "--log", str(ended.site.log), *ended.recorded, *ended.opened)
    done = ended.site.command(*given, *ended.candidate)
    assert done.returncode == 0, done.stderr
    assert "every one byte for byte" in done.stdout
    assert "guard:care-by-ticket/ticket" in done.stdout


def test_an_altered_log_is_not_replayed(ended: Ended, tmp_path: Path) -> None:
    site = ended.site.copied(tmp_path / "altered")
    bundles = [path for path in site.log.rglob("*") if path.is_file() and "entries" in path.parts]
    changed = 0
    for path in (*bundles, *site.log.rglob("tail")):
        content = path.read_bytes()
        if b'"effect":"ALLOW"' in content:
            path.write_bytes(content.replace(b'"effect":"ALLOW"', b'"effect":"ALLOX"', 1))
            changed += 1
    assert changed
    code, said = ended.replay(*ended.recorded, "--bundle", ended.recorded[1], log=site.log)
    assert (code, said["code"]) == (6, "LOG_ALTERED")
    assert any("changed" in finding or "altered" in finding for finding in said["details"]["findings"])


def test_the_bundles_that_were_in_force_are_found_beside_the_log(ended: Ended, tmp_path: Path) -> None:
    """From one log of a copy, whatever the policies have become since."""
    given = (*ended.opened, *ended.candidate)
    with_them = ended.replay(*ended.recorded, *given)[1]
    copied = ended.site.copied(tmp_path / "copied")
    (one,) = (path.parent for path in copied.log.rglob("checkpoint"))
    code, said = ended.replay(*given, log=one)
    assert (code, said["proven"]) == (0, True)
    assert {**said, "seconds": 0} == {**with_them, "seconds": 0}


def test_a_bundle_beside_the_log_that_was_altered_is_not_believed(ended: Ended, tmp_path: Path) -> None:
    site = ended.site.copied(tmp_path / "altered")
    (kept,) = (site.log / "policies").iterdir()
    content = gzip.decompress(kept.read_bytes())
    kept.write_bytes(gzip.compress(content.replace(b"order_id", b"order_ID")))
    code, said = ended.replay(*ended.opened, *ended.candidate, log=site.log)
    assert (code, said["proven"], said["recorded"]) == (0, False, [])
    assert said["decisions"]["unknown_bundle"] >= CALLS


def test_a_log_of_another_bundle_is_counted_not_guessed(ended: Ended, tmp_path: Path) -> None:
    site = ended.site.copied(tmp_path / "alone")
    shutil.rmtree(site.log / "policies")
    code, said = ended.replay("--recorded", str(ended.site.root / "policies") + ":" + str(ended.shadow),
                              *ended.candidate, log=site.log)  # fmt: skip
    assert code == 0
    assert said["decisions"]["unknown_bundle"] >= CALLS
    assert said["decisions"]["same"] == said["decisions"]["flips"] == 0
    assert said["proven"] is False, "nothing was reproduced"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--recorded", "no-such-place", "--bundle", "policies"), 5),
        (("--recorded", "policies", "--bundle", "policies", "--zone", "Mars/Olympus"), 5),
        (("--recorded", "policies:", "--bundle", "policies"), 5),  # no path is not this directory
    ],
)
def test_bad_input_is_refused_with_a_problem(
    ended: Ended, arguments: tuple[str, ...], expected: int
) -> None:
    code, said = ended.replay(*arguments)
    assert code == expected
    assert said["problems"][0]["code"] in ("POLICY_UNREADABLE", "SETTING_INVALID")


def test_a_difference_that_was_at_hand_is_in_the_entry(ended: Ended) -> None:
    found = b"".join(path.read_bytes() for path in ended.site.log.rglob("*") if path.is_file())
    assert b'"shadow.effect":"DENY"' in found
