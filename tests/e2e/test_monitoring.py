"""Alert rules, runbooks and dashboard: they fire when they should and speak of metrics that exist."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from fujie.adapters.metrictable import TABLE
from fujie.app.settingrows import rows
from fujie.app.settings import Settings
from fujie.model.reasons import BUILT_IN_REASONS

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
RULE_TESTS = ROOT / "deploy" / "prometheus" / "rules_test.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "fujie.json"
RUNBOOKS = ROOT / "docs" / "runbooks"
METRICS = {
    f"{row.name}_bucket" if row.kind == "histogram" else row.name: {
        *row.labels,
        *(["le"] if row.kind == "histogram" else []),
    }
    for row in TABLE
}
"""What a server exposes, with its labels; Prometheus adds `instance`."""

Object = dict[str, Any]


@pytest.fixture(scope="session")
def promtool() -> str:
    found = shutil.which("promtool")
    if found:
        return found
    reason = "NO PROMTOOL: the alert rules are not unit-tested. It comes with Prometheus (Debian package `prometheus`)"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def alerts() -> list[Object]:
    (group,) = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return list(group["rules"])


def dashboard() -> Object:
    loaded: Object = json.loads(DASHBOARD.read_text("utf-8"))
    return loaded


def queries() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]


@pytest.mark.parametrize(
    "arguments", [("check", "rules", RULES), ("test", "rules", RULE_TESTS)], ids=["check", "test"]
)
def test_promtool_accepts_the_rules_and_their_unit_tests(
    promtool: str, arguments: tuple[str, str, Path]
) -> None:
    done = subprocess.run(
        [promtool, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_unit_tested_both_silent_and_firing() -> None:
    asked = [
        case
        for test in yaml.safe_load(RULE_TESTS.read_text("utf-8"))["tests"]
        for case in test["alert_rule_test"]
    ]
    named = {alert["alert"] for alert in alerts()}
    assert named == {case["alertname"] for case in asked if case.get("exp_alerts")}
    assert named == {case["alertname"] for case in asked if not case.get("exp_alerts")}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_every_alert_says_how_bad_it_is_and_leads_to_its_runbook(alert: Object) -> None:
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert {"summary", "description", "runbook_url"} == alert["annotations"].keys()
    assert alert["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{alert['alert']}.md")
    headings = re.findall(
        r"^#+ (.*)$", (RUNBOOKS / f"{alert['alert']}.md").read_text("utf-8"), re.MULTILINE
    )
    assert headings == [alert["alert"], "Meaning", "Impact", "Diagnosis", "Mitigation"]


def test_no_runbook_is_left_without_its_alert() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == {alert["alert"] for alert in alerts()}


def test_alerts_panels_and_runbooks_speak_of_metrics_that_exist() -> None:
    asking = [*queries(), *(alert["expr"] for alert in alerts())]
    pages = [page.read_text("utf-8") for page in RUNBOOKS.glob("*.md")]
    assert set(re.findall(r"\bfujie_\w+", "\n".join([*asking, *pages]))) <= METRICS.keys()
    for query in asking:
        asked = set(re.findall(r'(\w+)(?:=~|!=|=)"', query)) | set(
            ", ".join(re.findall(r"by \((.*?)\)", query)).split(", ")
        )
        exposed = set().union(*(METRICS[name] for name in re.findall(r"\bfujie_\w+", query)))
        assert asked - {"", "instance"} <= exposed, query


def first_cells(page: str) -> set[str]:
    """Return what stands in code quotes in the first column of a runbook's table."""
    cells = re.findall(r"^\| (`.*?) \|", (RUNBOOKS / f"{page}.md").read_text("utf-8"), re.MULTILINE)
    return set(re.findall(r"`(.*?)`", " ".join(cells)))


def test_the_error_alert_counts_reasons_that_exist_and_its_runbook_explains_each() -> None:
    (rule,) = (alert for alert in alerts() if alert["alert"] == "FujieDecisionErrors")
    (pattern,) = re.findall(r'reason=~"([^"]*)"', rule["expr"])
    assert set(pattern.split("|")) <= BUILT_IN_REASONS.keys()
    assert set(pattern.split("|")) == first_cells("FujieDecisionErrors")


def test_the_runbook_of_unsafe_settings_knows_every_one() -> None:
    unsafe = {row.key for row in rows(Settings) if row.name.startswith("unsafe_")}
    assert first_cells("FujieUnsafeSetting") == unsafe


def test_rates_follow_the_scrape_interval_and_every_panel_the_chosen_data_source() -> None:
    (source, _) = dashboard()["templating"]["list"]
    assert (source["name"], source["type"]) == ("datasource", "datasource")
    for panel in dashboard()["panels"]:
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert {each["datasource"]["uid"] for each in [panel, *panel["targets"]]} == {"${datasource}"}
    windows = set(re.findall(r"\[(.*?)\]", "\n".join(queries())))
    assert windows == {"$__rate_interval", "$__range"}


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
