"""Metrics of several workers become one server's: sums are sums, and no counter ever goes down."""

import socket
import urllib.request
from collections import Counter

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from fujie.adapters.ledger.standing import Standing
from fujie.adapters.merged import Merged, MergedListener, Series, samples_of
from fujie.adapters.metrics import LogState, PrometheusMetrics
from fujie.adapters.metrictable import TABLE, Merge
from fujie.model.errors import StartError

ALLOWED = ("fujie_decisions_total", (("action", "lookup"), ("effect", "ALLOW"), ("reason", "")))
DECIDED = ("fujie_stage_seconds_count", (("stage", "decide"),))


def worker(entries: int = 0, age_s: float = 0.0, loaded_s: float = 1.0) -> PrometheusMetrics:
    metrics = PrometheusMetrics("1.2.3", "engine/1")
    metrics.watch(LogState(lambda: 0, lambda: entries, lambda: age_s))
    metrics.bundle_loaded("sha256:a", [], loaded_s)
    metrics.unsafe("server.unsafe_plaintext", is_on=True)
    return metrics


def exposed(series: Series) -> str:
    listener = MergedListener("127.0.0.1", 0, lambda: series)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{listener.port}/metrics", timeout=30) as answer:
            body: bytes = answer.read()
    finally:
        listener.stop()
    return body.decode()


def test_gauges_follow_the_rule_of_their_row() -> None:
    merged = Merged()
    for slot, metrics in enumerate((worker(3, 0.5, 20.0), worker(4, 9.5, 10.0))):
        merged.report(slot, samples_of(metrics.registry))
    total = merged.total()
    assert total["fujie_log_entries", ()] == 7
    assert total["fujie_log_checkpoint_age_seconds", ()] == 9.5
    assert total["fujie_bundle_last_reload_timestamp_seconds", ()] == 10.0
    assert total["fujie_bundle_info", (("digest", "sha256:a"),)] == 1
    assert total["fujie_unsafe_settings", (("setting", "server.unsafe_plaintext"),)] == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_value_that_json_does_not_know_spoils_neither_scrapes_nor_the_end_of_a_worker(
    value: float,
) -> None:
    merged, metrics = Merged(), worker(entries=5, age_s=value)
    metrics.stage("decide", value)
    merged.report(0, orjson.loads(orjson.dumps(samples_of(metrics.registry))))
    merged.report(1, samples_of(worker(entries=2).registry))
    assert merged.total()["fujie_log_entries", ()] == 7
    assert "fujie_log_entries 7.0" in exposed(merged.total())
    merged.ended(0)
    assert merged.total()[DECIDED] == 1


def test_a_worker_that_is_gone_leaves_its_counters_and_nothing_of_its_state() -> None:
    merged, metrics = Merged(), worker(entries=5)
    metrics.decided("lookup", "ALLOW", "")
    merged.report(0, samples_of(metrics.registry))
    merged.ended(0)
    merged.ended(0)  # a start that failed reported nothing
    total = merged.total()
    assert total[ALLOWED] == 1
    assert ("fujie_log_entries", ()) not in total
    assert ("fujie_bundle_info", (("digest", "sha256:a"),)) not in total


events = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["decide", "report", "end"])), max_size=40)


@given(events)
def test_the_sum_is_what_was_reported_and_never_goes_down(events: list[tuple[int, str]]) -> None:
    merged = Merged()
    workers = {slot: worker() for slot in range(3)}
    reported: Counter[int] = Counter()
    counted: Counter[int] = Counter()
    kept = last = 0
    for slot, event in events:
        if event == "decide":
            workers[slot].decided("lookup", "ALLOW", "")
            workers[slot].stage("decide", 1e-4)
            counted[slot] += 1
        elif event == "report":
            merged.report(slot, samples_of(workers[slot].registry))
            reported[slot] = counted[slot]
        else:
            merged.ended(slot)
            kept += reported.pop(slot, 0)
            counted[slot], workers[slot] = 0, worker()
        total = merged.total()
        now = total.get(ALLOWED, 0)
        assert now == total.get(DECIDED, 0) == kept + sum(reported.values())
        assert now >= last
        last = int(now)


def test_what_is_exposed_is_well_formed_and_speaks_of_the_table_alone() -> None:
    merged = Merged()
    for slot in (0, 1):
        metrics = worker()
        metrics.stage("decide", 0.02)
        metrics.certificate_in_use(9.0)
        metrics.keys_read(0, is_stale=True)
        metrics.compared("ALLOW", "DENY")
        metrics.shadow_loaded("sha256:5")
        metrics.bundle_released(3, 9.0)
        metrics.submitted("outbox", "accepted")
        metrics.received("outbox", "taken")
        metrics.sending(("outbox",), Standing(0.0, 0.0, {}))
        merged.report(slot, samples_of(metrics.registry))
    merged.ended(0)
    own = {
        (row.name, tuple((label, "w0") for label in row.labels)): 1.0
        for row in TABLE
        if row.merge is Merge.SERVER
    }
    text = exposed({**merged.total(), **own})
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert {name if family.type != "counter" else f"{name}_total" for name, family in families.items()} == {
        row.name for row in TABLE
    }
    assert {f"{n}_total" if f.type == "counter" else n: f.type for n, f in families.items()} == {
        row.name: row.kind for row in TABLE
    }
    for row in TABLE:
        samples = families[row.name.removesuffix("_total")].samples
        assert {frozenset(sample.labels.keys() - {"le"}) for sample in samples} == {frozenset(row.labels)}
    buckets = [
        (float(sample.labels["le"]), sample.value)
        for sample in families["fujie_stage_seconds"].samples
        if sample.name.endswith("_bucket") and sample.labels["stage"] == "decide"
    ]
    assert buckets == sorted(buckets)
    assert buckets[-1] == (float("inf"), 2.0)


def test_a_series_that_nobody_declared_is_dropped() -> None:
    merged = Merged()
    merged.report(0, [("python_info", [["version", "3"]], 1.0)])
    assert merged.total() == {}


def test_a_taken_port_is_a_start_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(StartError) as refused:
            MergedListener("127.0.0.1", taken.getsockname()[1], dict)
    assert refused.value.code == "LISTEN_FAILED"
