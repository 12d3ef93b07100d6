"""Metrics: the names that alerts use, bounded labels, all there before anything happened. Run this file to write docs/metrics.md anew."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.adapters.ledger.standing import Standing
from fujie.adapters.metrics import (
    MOST_DECISION_SERIES,
    OTHER,
    STAGES,
    LogState,
    PrometheusMetrics,
)
from fujie.adapters.metrictable import TABLE, metrics_table
from fujie.ports import Metrics

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "metrics.md"
DECISIONS = "fujie_decisions_total"


@pytest.fixture
def metrics() -> PrometheusMetrics:
    return PrometheusMetrics("1.2.3", "engine/1")


def value(metrics: PrometheusMetrics, name: str, **labels: str) -> float | None:
    return metrics._registry.get_sample_value(name, labels)


def test_alerts_and_dashboards_use_metrics_of_the_table() -> None:
    text = (ROOT / "deploy/prometheus/rules.yaml").read_text("utf-8")
    text += (ROOT / "deploy/grafana/fujie.json").read_text("utf-8")
    spoken_of = {name.removesuffix("_bucket") for name in re.findall(r"\bfujie_[a-z_]+", text)}
    assert spoken_of <= {row.name for row in TABLE}


def test_every_stage_that_flows_report_is_known() -> None:
    flows = "".join(path.read_text("utf-8") for path in (ROOT / "proxy/fujie/flows").glob("*.py"))
    reported = set(re.findall(r'(?:lap|stage)\("(\w+)"', flows))
    assert reported
    assert reported <= set(STAGES)


def test_counters_stand_at_zero_before_anything_happened(metrics: PrometheusMetrics) -> None:
    assert value(metrics, "fujie_log_failures_total") == 0
    assert value(metrics, "fujie_bundle_reload_failures_total") == 0
    assert value(metrics, DECISIONS, action="lookup", effect="ALLOW", reason="") == 0
    assert value(metrics, DECISIONS, action="lookup", effect="DENY", reason="NO_GRANT") == 0
    assert value(metrics, "fujie_stage_seconds_count", stage="evidence") == 0


def test_a_certificate_is_shown_once_there_is_one(metrics: PrometheusMetrics) -> None:
    name = "fujie_certificate_expiry_timestamp_seconds"
    assert value(metrics, name) is None
    for expires_s in (7.0, 8.0):
        metrics.certificate_in_use(expires_s)
        assert value(metrics, name) == expires_s
    metrics.certificate_refused()
    assert value(metrics, "fujie_certificate_reload_failures_total") == 1


def test_revision_and_end_of_a_bundle_are_shown_while_there_are_any(metrics: PrometheusMetrics) -> None:
    revision, ends = "fujie_bundle_revision", "fujie_bundle_expiry_timestamp_seconds"
    assert (value(metrics, revision), value(metrics, ends)) == (None, None)
    metrics.bundle_released(7, 9.0)
    assert (value(metrics, revision), value(metrics, ends)) == (7, 9)
    metrics.bundle_released(8, None)
    metrics.bundle_released(8, None)
    assert (value(metrics, revision), value(metrics, ends)) == (8, None)
    metrics.bundle_released(9, 10.0)
    assert (value(metrics, revision), value(metrics, ends)) == (9, 10)


def test_a_reason_is_a_label_only_when_it_is_declared(metrics: PrometheusMetrics) -> None:
    metrics.decided("lookup", "DENY", "CONSENT_MISSING")
    metrics.decided("lookup", "DENY", "X_QUIET_HOURS")
    metrics.bundle_loaded("sha256:a", ["X_QUIET_HOURS"], 1.0)
    metrics.decided("lookup", "DENY", "X_QUIET_HOURS")
    metrics.decided("lookup", "DENY", "13800138000")
    found = {
        reason: value(metrics, DECISIONS, action="lookup", effect="DENY", reason=reason)
        for reason in ("CONSENT_MISSING", "X_QUIET_HOURS", OTHER, "13800138000")
    }
    assert found == {"CONSENT_MISSING": 1, "X_QUIET_HOURS": 1, OTHER: 2, "13800138000": None}


@given(st.lists(st.text(max_size=20), max_size=30))
def test_no_text_of_a_caller_ever_becomes_a_label(reasons: list[str]) -> None:
    metrics = PrometheusMetrics("0", "e")
    before = {s.labels.get("reason") for m in metrics._registry.collect() for s in m.samples}
    for reason in reasons:
        metrics.decided("lookup", "DENY", f"x{reason}")
        metrics.stage(f"x{reason}", 0.1)
    after = {s.labels.get("reason") for m in metrics._registry.collect() for s in m.samples}
    assert after <= before | {OTHER}
    assert value(metrics, "fujie_stage_seconds_count", stage=OTHER) == len(reasons)


def test_series_of_decisions_are_bounded_even_by_a_bundle_that_declares_too_much(
    metrics: PrometheusMetrics,
) -> None:
    many = [f"X_{i}" for i in range(MOST_DECISION_SERIES * 2)]
    metrics.bundle_loaded("sha256:a", many, 1.0)
    for reason in many:
        metrics.decided("lookup", "DENY", reason)
    (family,) = (m for m in metrics._registry.collect() if m.name == "fujie_decisions")
    assert len(family.samples) <= MOST_DECISION_SERIES + 1
    assert sum(sample.value for sample in family.samples) == len(many)


def test_one_bundle_is_in_force_at_a_time(metrics: PrometheusMetrics) -> None:
    for digest in ("sha256:a", "sha256:b", "sha256:b"):
        metrics.bundle_loaded(digest, [], 7.0)
    assert value(metrics, "fujie_bundle_info", digest="sha256:a") is None
    assert value(metrics, "fujie_bundle_info", digest="sha256:b") == 1
    assert value(metrics, "fujie_bundle_last_reload_timestamp_seconds") == 7


def test_the_state_is_read_at_every_scrape(metrics: PrometheusMetrics) -> None:
    state = {"entries": 3}
    metrics.watch(LogState(lambda: 1, lambda: state["entries"], lambda: 0.5))
    assert value(metrics, "fujie_log_entries") == 3
    state["entries"] = 4
    assert value(metrics, "fujie_log_entries") == 4
    assert value(metrics, "fujie_log_backlog_entries") == 1
    assert value(metrics, "fujie_log_checkpoint_age_seconds") == 0.5


def test_how_sending_stands_is_shown_for_every_provider_of_the_settings(metrics: PrometheusMetrics) -> None:
    unknown = "fujie_messages_unknown"
    assert value(metrics, unknown, provider="outbox") is None
    metrics.sending(("outbox", "line"), Standing(2.5, 7.0, {"line": 3, "gone": 1}))
    assert value(metrics, "fujie_message_claimed_seconds") == 2.5
    assert value(metrics, "fujie_campaign_waiting_seconds") == 7
    found = {each: value(metrics, unknown, provider=each) for each in ("outbox", "line", "gone")}
    assert found == {"outbox": 0, "line": 3, "gone": None}
    metrics.sending(("outbox", "line"), Standing(0.0, 0.0, {}))
    assert value(metrics, unknown, provider="line") == 0
    metrics.submitted("line", "unknown")
    assert value(metrics, "fujie_submissions_total", provider="line", what="unknown") == 1


def test_a_short_stage_is_told_from_a_shorter_one(metrics: PrometheusMetrics) -> None:
    metrics.stage("decide", 9e-6)
    metrics.stage("decide", 20e-6)
    assert value(metrics, "fujie_stage_seconds_bucket", stage="decide", le="1e-05") == 1


def test_it_is_what_flows_ask_for(metrics: PrometheusMetrics) -> None:
    port: Metrics = metrics
    report: Callable[[str, str, str], None] = port.decided
    report("lookup", "ALLOW", "")
    assert value(metrics, DECISIONS, action="lookup", effect="ALLOW", reason="") == 1


def test_the_page_of_metrics_is_that_of_the_code() -> None:
    assert PAGE.read_text("utf-8") == page(), "run this file to write the page anew"


def page() -> str:
    return f"""# Metrics

Prometheus text on `server.metrics_listen`, path `/metrics`, served off the event loop. No label holds anything of a
customer or a principal; what is not known beforehand counts as `other`. The workers of a server are one: counters are
sums and never go down (a worker that is killed takes at most two seconds of its counts with it); gauges are as the column
says. A worker that does not report within two seconds is shown by `fujie_worker_reporting` and its last report stands. Alert rules: `deploy/prometheus/rules.yaml`,
one runbook per alert in `docs/runbooks/`; dashboard: `deploy/grafana/fujie.json`. This table is generated from the code
and compared by a test.

{metrics_table()}
Stages: {", ".join(f"`{stage}`" for stage in STAGES)}; buckets from 10 µs to 1 s. Reasons: `docs/reasons.md`.
"""


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
