"""The table of metrics: names, labels, meanings, and what several workers' series become. Collectors are made from it, and so
is the page of the documentation."""

from dataclasses import dataclass
from enum import Enum


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
    Metric(
        "fujie_submissions_total",
        "counter",
        ("provider", "what"),
        "What providers said to messages: `accepted`, `refused`, `retry` (not taken, this time), `unknown`.",
    ),
    Metric(
        "fujie_messages_unknown",
        "gauge",
        ("provider",),
        "Messages of the last 24 hours whose outcome nobody knows, of the whole ledger; they are never sent again.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_message_claimed_seconds",
        "gauge",
        (),
        "Age of the oldest message on its way to a provider, of the whole ledger; 0 when there is none.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_replies_waiting",
        "gauge",
        (),
        "Customers' replies that nobody has looked at yet, of the whole ledger.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_reply_waiting_seconds",
        "gauge",
        (),
        "Age of the oldest of them; 0 when there is none.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_campaign_waiting_seconds",
        "gauge",
        (),
        "The longest that a running campaign has had due messages which no worker took up; 0 when there is none.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_export_rows_total",
        "counter",
        ("what",),
        "Rows of exports that ended: `released`, and `withheld` by guards from who may export at all.",
    ),
    Metric(
        "fujie_exports_total",
        "counter",
        ("end",),
        "Exports that ended: `COMPLETE`, `CANCELLED` where the reader left, or the reason that stopped them.",
    ),
    Metric(
        "fujie_export_leases_open",
        "gauge",
        (),
        "Leased files that can still be opened, of the whole ledger.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_break_glass_total",
        "counter",
        ("action",),
        "Requests that went ahead before anybody agreed, as the policy lets some do in an emergency.",
    ),
    Metric(
        "fujie_break_glass_reviews_waiting",
        "gauge",
        (),
        "Those of them that nobody has reviewed yet, of the whole ledger.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_break_glass_reviews_overdue",
        "gauge",
        (),
        "Those of them whose review is overdue, of the whole ledger.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_received_total",
        "counter",
        ("provider", "what"),
        "What providers sent: receipts (`taken`, `repeated`, `unknown` where no message of ours was meant), replies"
        " (`stop`, `maybe_stop`, `start`, `other`, `again` when repeated), `confirmation_failed` where a stop could not be"
        " confirmed, `block` for numbers on their own lists,"
        " `skipped` for what could not be read, `refused` for calls that were not theirs.",
    ),
    Metric(
        "fujie_notifications_waiting",
        "gauge",
        (),
        "Notifications that the receiver of webhooks has not taken yet, of the whole ledger.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_notifications_failed",
        "gauge",
        (),
        "Those of them that were tried in vain, at least once.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_notifications_overdue",
        "gauge",
        (),
        "Orders (devices to wipe, customers to hand over) that nobody acknowledged in time, of the whole ledger.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_approvals_waiting",
        "gauge",
        (),
        "Open approvals on which nobody has voted yet, of the whole ledger.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_approvals_escalated",
        "gauge",
        (),
        "Those of them that have waited longer than `escalate_after`.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_offboardings_scheduled",
        "gauge",
        (),
        "People who leave at a set time that has not come yet, of the whole ledger.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_offboardings_unfinished",
        "gauge",
        (),
        "People who have left, and whose files, campaigns and orders are not all settled yet; they get no answer any more.",
        Merge.HIGHEST,
    ),
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
        "fujie_bundle_last_check_timestamp_seconds",
        "gauge",
        (),
        "When the source of the policies was last read and what it holds was, or came, in force, in Unix time.",
        Merge.LOWEST,
    ),
    Metric(
        "fujie_bundle_revision",
        "gauge",
        (),
        "Revision of the signed bundle in force; absent with plain policy files.",
        Merge.LOWEST,
    ),
    Metric(
        "fujie_bundle_expiry_timestamp_seconds",
        "gauge",
        (),
        "When the bundle in force ends and the gate closes, in Unix time; absent when it does not.",
        Merge.LOWEST,
    ),
    Metric(
        "fujie_shadow_decisions_total",
        "counter",
        ("effect_in_force", "effect_shadow"),
        "Decisions that the shadow was asked about: its effect, UNDECIDABLE where it reads facts that nobody"
        " fetched, or ERROR.",
    ),
    Metric(
        "fujie_shadow_dropped_total",
        "counter",
        (),
        "Decisions that the shadow was not asked about, for want of time.",
    ),
    Metric(
        "fujie_shadow_bundle_info",
        "gauge",
        ("digest",),
        "1 for the bundle of the shadow.",
        Merge.HIGHEST,
    ),
    Metric(
        "fujie_shadow_reload_failures_total",
        "counter",
        (),
        "Policies of the shadow that were refused whole.",
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


def metrics_table() -> str:
    """Return the table of every metric for the documentation, as Markdown."""
    lines = ["| metric | kind | labels | of several workers | meaning |", "|---|---|---|---|---|"]
    for row in TABLE:
        labels = ", ".join(f"`{label}`" for label in row.labels)
        lines.append(f"| `{row.name}` | {row.kind} | {labels} | {row.merge.value} | {row.meaning} |")
    return "\n".join(lines) + "\n"


def row_of(name: str) -> Metric:
    """Return the row of a metric."""
    return next(row for row in TABLE if row.name == name)
