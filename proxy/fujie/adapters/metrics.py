"""`ports.Metrics` and the state of a worker for Prometheus, in a registry of their own.

The server merges what its workers count and serves it (`adapters/merged.py`). The table of metrics is the truth: collectors are made from it, and so is the page of the documentation.
Labels are bounded: what is not known beforehand is counted as `other` (a label per phone number would leak
it, and a label per anything would eat the memory of whoever scrapes).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from fujie.model.reasons import BUILT_IN_REASONS
from fujie.model.vocabulary import Action, Effect

OTHER = "other"
"""Stands for every label value that was not known beforehand."""

STAGES = (
    "directory",
    "precheck",
    "store",
    "ledger",
    "decide",
    "limits",
    "evidence",
    "mask",
    "explain",
    "proofs",
    "total",
)
"""What flows report, in the order of a look-up."""

BUCKETS_S = (
    1e-5,
    2.5e-5,
    5e-5,
    1e-4,
    2.5e-4,
    5e-4,
    1e-3,
    2.5e-3,
    5e-3,
    1e-2,
    2.5e-2,
    5e-2,
    0.1,
    0.25,
    0.5,
    1.0,
)
"""10 µs, about what a cold decision takes, to 1 s. The library's own start at 5 ms, above most of a call."""

MOST_DECISION_SERIES = 2_000
"""Action, effect and reason multiply; a process should have 2,000 to 3,000 series at most."""


class Merge(Enum):
    """What one series of several workers becomes; `SERVER` is for what only the server itself knows."""

    SUM = "sum"
    HIGHEST = "highest"
    LOWEST = "lowest"
    SERVER = "the server's own"


@dataclass(frozen=True, slots=True)
class Metric:
    """One row of the table. `kind` is counter, gauge or histogram; counters and histograms are summed."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    merge: Merge = Merge.SUM


TABLE = (
    Metric(
        "fujie_decisions_total",
        "counter",
        ("action", "effect", "reason"),
        "Decisions by primary reason (empty when allowed).",
    ),
    Metric("fujie_stage_seconds", "histogram", ("stage",), "Time that the stages of a call take."),
    Metric("fujie_log_failures_total", "counter", (), "Failures of a log; each ends its worker."),
    Metric(
        "fujie_log_checkpoint_age_seconds",
        "gauge",
        (),
        "For how long there have been entries that no checkpoint covers; 0 when there are none.",
        Merge.HIGHEST,
    ),
    Metric("fujie_log_backlog_entries", "gauge", (), "Entries that are not durable yet."),
    Metric("fujie_log_entries", "gauge", (), "Durable entries of the logs."),
    Metric(
        "fujie_bundle_info",
        "gauge",
        ("digest",),
        "1 for the policy bundle in force; two while workers change to the next one.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_bundle_reload_failures_total", "counter", (), "Changed policies that were refused whole."
    ),
    Metric(
        "fujie_bundle_last_reload_timestamp_seconds",
        "gauge",
        (),
        "When the bundle in force was loaded, in Unix time; the earliest of all workers.",
        Merge.LOWEST,
    ),
    Metric(
        "fujie_unsafe_settings",
        "gauge",
        ("setting",),
        "1 for every unsafe_ setting in force.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_build_info",
        "gauge",
        ("version", "engine"),
        "1 for this build and its policy engine.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_certificate_expiry_timestamp_seconds",
        "gauge",
        (),
        "When the certificate in use ends, in Unix time; absent without TLS.",
        Merge.LOWEST,
    ),
    Metric(
        "fujie_certificate_reload_failures_total",
        "counter",
        (),
        "Changed certificates that were refused: half-written, or not of their key.",
    ),
    Metric(
        "fujie_jwks_stale",
        "gauge",
        ("issuer",),
        "1 while the keys of an issuer can not be read anew and the last good ones hold; `issuer` counts"
        " `identity.issuers` from 0.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_serving",
        "gauge",
        (),
        "1 while a worker answers: log writable, ledger readable, not ending.",
        Merge.SERVER,
    ),
    Metric("fujie_worker_serving", "gauge", ("worker",), "1 while this worker answers.", Merge.SERVER),
    Metric(
        "fujie_worker_reporting",
        "gauge",
        ("worker",),
        "1 when this worker gave its metrics in time for this scrape; else they are those of its last report.",
        Merge.SERVER,
    ),
    Metric(
        "fujie_worker_restarts_total",
        "counter",
        ("worker",),
        "Workers that ended unasked or had to be ended, and were replaced.",
        Merge.SERVER,
    ),
)
"""Every metric. Alert rules and dashboard use these names: they are never renamed."""

_ONLY_WITH_TLS = frozenset({"fujie_certificate_expiry_timestamp_seconds"})
"""Absent until it has a value: 0 would be the year 1970."""


@dataclass(frozen=True, slots=True)
class LogState:
    """What the metrics read of the worker at every scrape, from another thread."""

    backlog: Callable[[], int]
    entries: Callable[[], int]
    checkpoint_age_s: Callable[[], float]


class Stages(Collector):
    """The histogram of stages, counted by one event loop and collected by the scraping thread.

    The library's own takes 3 µs an observation for its locks, of which a look-up needs eight; this
    one 0.4. A scrape may see a count whose sum is one observation behind.
    """

    def __init__(self) -> None:
        self._counts = {name: [0] * (len(BUCKETS_S) + 1) for name in (*STAGES, OTHER)}
        self._sums = dict.fromkeys(self._counts, 0.0)

    def observe(self, stage: str, seconds: float) -> None:
        """Count one duration; an unknown stage is `other`."""
        name = stage if stage in self._counts else OTHER
        self._counts[name][bisect_left(BUCKETS_S, seconds)] += 1
        self._sums[name] += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Give the library what it exposes."""
        row = _row("fujie_stage_seconds")
        family = HistogramMetricFamily(row.name, row.meaning, labels=row.labels)
        bounds = [*(str(floatToGoString(bound)) for bound in BUCKETS_S), "+Inf"]  # type: ignore[no-untyped-call]  # as above
        for name, counts in self._counts.items():
            cumulative = accumulate(list(counts))
            family.add_metric([name], list(zip(bounds, cumulative, strict=True)), self._sums[name])
        yield family


class PrometheusMetrics:
    """The metrics of one worker. `decided` and `stage` are for its event loop."""

    def __init__(self, version: str, engine: str) -> None:
        # A `_created` series beside every counter would double their number.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types here
        self._registry = CollectorRegistry()
        self._decisions = self._counter("fujie_decisions_total")
        self._failures = self._counter("fujie_log_failures_total")
        self._refused = self._counter("fujie_bundle_reload_failures_total")
        self._bad_certificates = self._counter("fujie_certificate_reload_failures_total")
        self._gauges = {
            row.name: Gauge(row.name, row.meaning, row.labels, registry=self._registry)
            for row in TABLE
            if row.kind == "gauge" and row.merge is not Merge.SERVER and row.name not in _ONLY_WITH_TLS
        }
        self._stages = Stages()
        self._registry.register(self._stages)
        self._reasons = frozenset(BUILT_IN_REASONS)
        self._digest = ""
        self._bound: dict[tuple[str, str, str], Counter] = {}
        for action in Action:
            for effect, reason in ((Effect.ALLOW, ""), (Effect.DENY, "NO_GRANT")):
                self._bind((action.value, effect.value, reason))
        self._gauges["fujie_build_info"].labels(version, engine).set(1)

    def decided(self, action: str, effect: str, reason: str) -> None:
        """See `ports.Metrics.decided`."""
        key = (action, effect, reason)
        counter = self._bound.get(key)
        if counter is None:
            counter = self._bind(key)
        counter.inc()

    def stage(self, name: str, seconds: float) -> None:
        """See `ports.Metrics.stage`."""
        self._stages.observe(name, seconds)

    def log_failed(self) -> None:
        """Count a failure of the log."""
        self._failures.inc()

    def bundle_loaded(self, digest: str, reasons: Iterable[str], at_s: float) -> None:
        """Show the bundle in force since `at_s` (Unix time), and learn the reasons that it declares."""
        bundle = self._gauges["fujie_bundle_info"]
        bundle.labels(digest).set(1)
        if self._digest not in ("", digest):
            bundle.remove(self._digest)
        self._digest = digest
        self._reasons = frozenset(BUILT_IN_REASONS).union(reasons)
        self._gauges["fujie_bundle_last_reload_timestamp_seconds"].set(at_s)

    def bundle_refused(self) -> None:
        """Count changed policies that were refused."""
        self._refused.inc()

    def unsafe(self, setting: str, *, is_on: bool) -> None:
        """Show whether an unsafe setting is in force."""
        self._gauges["fujie_unsafe_settings"].labels(setting).set(is_on)

    def watch(self, state: LogState) -> None:
        """Read `state` at every scrape."""
        for name, read in (
            ("fujie_log_backlog_entries", state.backlog),
            ("fujie_log_entries", state.entries),
            ("fujie_log_checkpoint_age_seconds", state.checkpoint_age_s),
        ):
            self._gauges[name].set_function(read)

    def certificate_in_use(self, expires_s: float) -> None:
        """Show when the certificate in use ends (Unix time)."""
        name = "fujie_certificate_expiry_timestamp_seconds"
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, _row(name).meaning, registry=self._registry)
        self._gauges[name].set(expires_s)

    def certificate_refused(self) -> None:
        """Count changed certificates that were refused."""
        self._bad_certificates.inc()

    def keys_read(self, issuer: int, *, is_stale: bool) -> None:
        """Show whether the keys of the issuer at this place of `identity.issuers` are the last good ones only."""
        self._gauges["fujie_jwks_stale"].labels(str(issuer)).set(is_stale)

    @property
    def registry(self) -> CollectorRegistry:
        """What is counted, for `merged.samples_of`."""
        return self._registry

    def _counter(self, name: str) -> Counter:
        row = _row(name)
        return Counter(name, row.meaning, row.labels, registry=self._registry)

    def _bind(self, key: tuple[str, str, str]) -> Counter:
        """Return the series for new labels; beyond the known words and the bound it is `other`."""
        action, effect, reason = key
        is_known = not reason or reason in self._reasons
        if len(self._bound) >= MOST_DECISION_SERIES:
            action, effect, is_known = OTHER, OTHER, False
        counter = self._decisions.labels(action, effect, reason if is_known else OTHER)
        if is_known:  # an unknown one may be declared by the next bundle
            self._bound[key] = counter
        return counter


def metrics_table() -> str:
    """Return the table of every metric for the documentation, as Markdown."""
    lines = ["| metric | kind | labels | of several workers | meaning |", "|---|---|---|---|---|"]
    for row in TABLE:
        labels = ", ".join(f"`{label}`" for label in row.labels)
        lines.append(f"| `{row.name}` | {row.kind} | {labels} | {row.merge.value} | {row.meaning} |")
    return "\n".join(lines) + "\n"


def _row(name: str) -> Metric:
    return next(row for row in TABLE if row.name == name)
