"""`ports.Metrics` and the state of a worker for Prometheus, in a registry of their own.

The server merges what its workers count and serves it (`adapters/merged.py`). Collectors are made from the table of metrics (`metrictable.py`).
Labels are bounded: what is not known beforehand is counted as `other` (a label per phone number would leak
it, and a label per anything would eat the memory of whoever scrapes).
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from fujie.adapters.metrictable import TABLE, Merge, row_of
from fujie.model.reasons import BUILT_IN_REASONS
from fujie.model.vocabulary import APPROVABLE, Action, Effect

if TYPE_CHECKING:  # who counts needs no database (300 ms)
    from fujie.adapters.ledger.notifications import Waiting
    from fujie.adapters.ledger.pending import Pending
    from fujie.adapters.ledger.standing import Standing

OTHER = "other"
"""Stands for every label value that was not known beforehand."""

STAGES = (
    "gather",
    "directory",
    "precheck",
    "store",
    "ledger",
    "decide",
    "limits",
    "approval",
    "evidence",
    "mask",
    "explain",
    "proofs",
    "settlement",
    "total",
)
"""What flows report, in the order of a look-up; and before them `gather`, how long those look-ups waited for each other that did."""

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

EXPORT_ENDS = (
    "COMPLETE",
    "CANCELLED",
    "LIMIT_EXCEEDED",
    "PRINCIPAL_OFFBOARDED",
    "PRINCIPAL_SUSPENDED",
    "EXPORT_CLOSED",
)
"""Ends of exports that are shown from the start: an alert sees their first one only where there was a 0 before."""

MOST_DECISION_SERIES = 2_000
"""Action, effect and reason multiply; a process should have 2,000 to 3,000 series at most."""


_LATER = frozenset(
    {
        "fujie_certificate_expiry_timestamp_seconds",
        "fujie_bundle_revision",
        "fujie_bundle_expiry_timestamp_seconds",
    }
)
"""Absent until they have a value: 0 would be the year 1970."""


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

    def observe(self, name: str, seconds: float) -> None:
        """Count one duration; an unknown stage is `other`."""
        counts = self._counts.get(name)
        if counts is None:
            name, counts = OTHER, self._counts[OTHER]
        counts[bisect_left(BUCKETS_S, seconds)] += 1
        self._sums[name] += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Give the library what it exposes."""
        row = row_of("fujie_stage_seconds")
        family = HistogramMetricFamily(row.name, row.meaning, labels=row.labels)
        bounds = [*(str(floatToGoString(bound)) for bound in BUCKETS_S), "+Inf"]  # type: ignore[no-untyped-call]  # as above
        for name, counts in self._counts.items():
            cumulative = accumulate(list(counts))
            family.add_metric([name], list(zip(bounds, cumulative, strict=True)), self._sums[name])
        yield family


class Decisions(Collector):
    """The counter of decisions, counted by one event loop and collected by the scraping thread, as `Stages`: 0.2 µs a
    decision where the library's own takes 2."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str, str], int] = {}

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Give the library what it exposes."""
        row = row_of("fujie_decisions_total")
        family = CounterMetricFamily(row.name, row.meaning, labels=row.labels)
        for labels, count in list(self.counts.items()):
            family.add_metric(labels, count)
        yield family


class PrometheusMetrics:
    """The metrics of one worker. `decided` and `stage` are for its event loop."""

    def __init__(self, version: str, engine: str) -> None:
        # A `_created` series beside every counter would double their number.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library has no types here
        self._registry = CollectorRegistry()
        self._decisions = Decisions()
        self._registry.register(self._decisions)
        self._submitted = self._counter("fujie_submissions_total")
        self._received = self._counter("fujie_received_total")
        self._export_rows = self._counter("fujie_export_rows_total")
        self._exports = self._counter("fujie_exports_total")
        for end in EXPORT_ENDS:
            self._exports.labels(end)
        self._glass = self._counter("fujie_break_glass_total")
        for action in APPROVABLE:
            self._glass.labels(action.value)
        for what in ("released", "withheld"):
            self._export_rows.labels(what)
        self._failures = self._counter("fujie_log_failures_total")
        self._refused = self._counter("fujie_bundle_reload_failures_total")
        self._bad_certificates = self._counter("fujie_certificate_reload_failures_total")
        self._gauges = {
            row.name: Gauge(row.name, row.meaning, row.labels, registry=self._registry)
            for row in TABLE
            if row.kind == "gauge" and row.merge is not Merge.SERVER and row.name not in _LATER
        }
        self._stages = Stages()
        self._registry.register(self._stages)
        self.stage = self._stages.observe
        """See `ports.Metrics.stage`."""
        self._reasons = frozenset(BUILT_IN_REASONS)
        self._digest = ""
        self._shadow_decisions = self._counter("fujie_shadow_decisions_total")
        self._shadow_dropped = self._counter("fujie_shadow_dropped_total")
        self._shadow_refused = self._counter("fujie_shadow_reload_failures_total")
        self._shadow_digest = ""
        for action in Action:
            for effect, reason in ((Effect.ALLOW, ""), (Effect.DENY, "NO_GRANT")):
                self._decisions.counts[action.value, effect.value, reason] = 0
        self._gauges["fujie_build_info"].labels(version, engine).set(1)

    def decided(self, action: str, effect: str, reason: str) -> None:
        """See `ports.Metrics.decided`."""
        key, counts = (action, effect, reason), self._decisions.counts
        if key not in counts:
            key = self._series(key)
        counts[key] = counts.get(key, 0) + 1

    def submitted(self, provider: str, what: str) -> None:
        """See `ports.Metrics.submitted`."""
        self._submitted.labels(provider, what).inc()

    def sending(self, providers: Iterable[str], standing: "Standing") -> None:
        """Show how sending stands, for the providers of the settings."""
        self._gauges["fujie_message_claimed_seconds"].set(standing.claimed_s)
        self._gauges["fujie_campaign_waiting_seconds"].set(standing.waiting_s)
        for provider in providers:
            unknown = standing.unknown.get(provider, 0)
            self._gauges["fujie_messages_unknown"].labels(provider).set(unknown)
        self._gauges["fujie_replies_waiting"].set(standing.replies)
        self._gauges["fujie_reply_waiting_seconds"].set(standing.reply_s)

    def notifying(self, standing: "Waiting") -> None:
        """Show how notifications stand."""
        self._gauges["fujie_notifications_waiting"].set(standing.waiting)
        self._gauges["fujie_notifications_failed"].set(standing.failed)
        self._gauges["fujie_notifications_overdue"].set(standing.overdue)

    def waiting(self, pending: "Pending") -> None:
        """Show how much waits for people."""
        self._gauges["fujie_approvals_waiting"].set(pending.approvals)
        self._gauges["fujie_approvals_escalated"].set(pending.escalated)
        self._gauges["fujie_offboardings_scheduled"].set(pending.scheduled)
        self._gauges["fujie_offboardings_unfinished"].set(pending.unfinished)

    def exported(self, end: str, released: int, withheld: int) -> None:
        """See `ports.Metrics.exported`."""
        self._exports.labels(end if end in self._reasons or end in EXPORT_ENDS else OTHER).inc()
        self._export_rows.labels("released").inc(released)
        self._export_rows.labels("withheld").inc(withheld)

    def broke_glass(self, action: str) -> None:
        """See `ports.Metrics.broke_glass`."""
        self._glass.labels(action).inc()

    def reviews(self, waiting: int, overdue: int) -> None:
        """Show how many uses of break-glass nobody has reviewed, and how many of these are overdue."""
        self._gauges["fujie_break_glass_reviews_waiting"].set(waiting)
        self._gauges["fujie_break_glass_reviews_overdue"].set(overdue)

    def leases(self, open_: int) -> None:
        """Show how many leased files can still be opened."""
        self._gauges["fujie_export_leases_open"].set(open_)

    def received(self, provider: str, what: str) -> None:
        """See `ports.Metrics.received`; providers are those of the settings."""
        self._received.labels(provider, what).inc()

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

    def bundle_checked(self, at_s: float) -> None:
        """Show that the source of the policies was in order at `at_s` (Unix time)."""
        self._gauges["fujie_bundle_last_check_timestamp_seconds"].set(at_s)

    def bundle_released(self, revision: int, expires_s: float | None) -> None:
        """Show revision and end (Unix time; None: never) of the signed bundle in force."""
        self._later("fujie_bundle_revision").set(revision)
        name = "fujie_bundle_expiry_timestamp_seconds"
        if expires_s is not None:
            self._later(name).set(expires_s)
        elif name in self._gauges:
            self._registry.unregister(self._gauges.pop(name))

    def bundle_refused(self) -> None:
        """Count changed policies that were refused."""
        self._refused.inc()

    def compared(self, in_force: str, shadow: str) -> None:
        """See `flows.shadow.ShadowMetrics.compared`."""
        self._shadow_decisions.labels(in_force, shadow).inc()

    def shadow_dropped(self) -> None:
        """See `flows.shadow.ShadowMetrics.shadow_dropped`."""
        self._shadow_dropped.inc()

    def shadow_loaded(self, digest: str) -> None:
        """Show the bundle of the shadow."""
        info = self._gauges["fujie_shadow_bundle_info"]
        info.labels(digest).set(1)
        if self._shadow_digest not in ("", digest):
            info.remove(self._shadow_digest)
        self._shadow_digest = digest

    def shadow_refused(self) -> None:
        """Count policies of the shadow that were refused."""
        self._shadow_refused.inc()

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
        self._later("fujie_certificate_expiry_timestamp_seconds").set(expires_s)

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

    def _later(self, name: str) -> Gauge:
        """Return a gauge that begins to exist when it has a value."""
        if name not in self._gauges:
            self._gauges[name] = Gauge(name, row_of(name).meaning, registry=self._registry)
        return self._gauges[name]

    def _counter(self, name: str) -> Counter:
        row = row_of(name)
        return Counter(name, row.meaning, row.labels, registry=self._registry)

    def _series(self, key: tuple[str, str, str]) -> tuple[str, str, str]:
        """Return the series for new labels; beyond the known words and the bound it is `other`."""
        action, effect, reason = key
        if len(self._decisions.counts) >= MOST_DECISION_SERIES:
            return OTHER, OTHER, OTHER
        return action, effect, reason if not reason or reason in self._reasons else OTHER
