"""The audience of the screening benchmark: customers in every state that a rule of the base policies reads.

A site with the whole base pack, and in its ledger, by the number of the customer: who agreed, who never said anything, who
refused, withdrew, whose consent ran out, who opted out, who got as many messages as a day takes. Every twentieth customer of
the store is a minor. Written straight into the tables: to record 100,000 consents takes minutes, and is not the measure.
"""

import asyncio
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import yaml

from fujie.adapters.clock import SystemClock
from fujie.adapters.ledger import SQLLedger
from fujie.adapters.ledger.database import next_change
from fujie.adapters.ledger.instant import to_micros
from fujie.adapters.ledger.outbox_tables import message
from fujie.adapters.ledger.tables import consent_event, suppression
from fujie.adapters.metrics import PrometheusMetrics
from fujie.app.demo.site import BOOTSTRAP, Site, create_site
from fujie.app.settings import load_settings
from fujie.app.wire import Assignment, OpenGate, open_gate
from fujie.flows.directory import upsert_principal
from fujie.model.customer import Phone, StoreKey
from fujie.model.principal import Credential, Principal
from fujie.model.request import RequestContext
from fujie.model.vocabulary import State

MARKETER = "marketer"
SIGNATURE = "示例公司"
TEXT = "新品到店，欢迎选购。拒收请回复R"
STORE = "crm"

_SENDER = f"""\
apiVersion: fujie.dev/v1
kind: Sender
metadata: {{name: example}}
spec: {{signature: {SIGNATURE}}}
"""
_KINDS = (
    ("given",) * 11
    + ("none",) * 3
    + ("refused", "withdrawn", "expired", "opted_out", "opted_out_of_sms", "tired")
)
_EVENTS = {"none": (), "refused": ("given", "refused"), "withdrawn": ("given", "withdrawn")}
_LIMITS = re.compile(r"((?:rows_per_request|distinct_customers_per_day): )\d+")
_GROUP = 1_000


@dataclass(frozen=True, slots=True)
class Audience:
    """The site, and how many customers it has: C00001 and so on."""

    site: Site
    customers: int

    def ids(self, start: int, end: int) -> list[str]:
        """Return the ids of customers by number, from `start` to before `end`."""
        return [f"C{number:05}" for number in range(start, end)]


def kind_of(number: int) -> str:
    """Return what a customer said and got. Nineteen does not divide the minors' twenty evenly: they are of every kind."""
    return _KINDS[number * 7 % len(_KINDS)]


def create_audience(root: Path, customers: int, ledger: str = "") -> Audience:
    """Make the site with `customers`; `ledger` is the URL of an empty database, SQLite when empty."""
    site = create_site(root, (MARKETER, "administrator"), datetime.now(UTC), customers)
    config = yaml.safe_load(site.config.read_text())
    config["messaging"] = {"providers": {"outbox": {"kind": "outbox", "file": str(root / "outbox.jsonl")}}}
    if ledger:
        config["ledger"]["url"] = ledger
    site.config.write_text(yaml.safe_dump(config, allow_unicode=True))
    policies = root / "policies"
    (policies / "sender.yaml").write_text(_SENDER, "utf-8")
    messages = policies / "messages.yaml"
    by_day = "params: {from_hour: 8, until_hour: 20}"
    written = messages.read_text("utf-8")
    assert by_day in written
    # The limits stay too, and are counted where they are, with room for all.
    grants = policies / "grants.yaml"
    grants.write_text(_LIMITS.sub(r"\g<1>9000000", grants.read_text("utf-8")), "utf-8")
    # The rule stays and is evaluated; at night everybody would be refused alike.
    messages.write_text(written.replace(by_day, "params: {from_hour: 0, until_hour: 24}"), "utf-8")
    asyncio.run(_fill(site, customers))
    return Audience(site, customers)


async def open_site(site: Site, slot: int = 0) -> OpenGate:
    """Open the gate of a site in this process, which is the worker `slot`."""
    settings = load_settings(site.config, os.environ)
    return await open_gate(settings, PrometheusMetrics("bench", "bench"), SystemClock(), Assignment(slot))


async def _fill(site: Site, customers: int) -> None:
    opened = await open_site(site)
    gate = opened.front.gate
    assert gate.sending is not None
    admin = Principal("administrator", roles=frozenset({"administrator"}), training=State.VALID)
    await upsert_principal(gate, Credential(BOOTSTRAP, "bench"), RequestContext(), admin)
    marketer = Principal(MARKETER, roles=frozenset({"marketer"}), department="east", training=State.VALID)
    await upsert_principal(gate, Credential("administrator", "bench"), RequestContext(), marketer)
    store = gate.stores[STORE]
    for start in range(1, customers + 1, _GROUP):
        keys = [StoreKey(STORE, f"C{n:05}") for n in range(start, min(start + _GROUP, customers + 1))]
        rows = {row.key: row for row in await store.fetch_many(keys, frozenset(), 30.0)}
        people = [(key, Phone(rows[key].phone)) for key in keys]
        recalled = await gate.sending.outbox.recall_many(people, "marketing", gate.clock.now())
        await _say(opened.ledger, start, [each.identity.sid for each in recalled.customers])
    await opened.close()


async def _say(ledger: SQLLedger, start: int, sids: Sequence[str]) -> None:
    """Write what customers, the first of whom has the number `start`, said and got."""
    now = datetime.now(UTC)
    rows = [row for number, sid in enumerate(sids, start) for row in _rows(number, sid, now)]

    def work(connection: sa.Connection) -> None:
        change = next_change(connection, len(rows)) - len(rows)
        for table in (consent_event, suppression, message):
            found = [(change + n, row) for n, (of, row) in enumerate(rows, 1) if of is table]
            if found:
                numbered = [row if table is message else {**row, "change_seq": n} for n, row in found]
                connection.execute(sa.insert(table), numbered)

    await ledger.database.write(work)


def _rows(number: int, sid: str, now: datetime) -> Iterator[tuple[sa.Table, dict[str, Any]]]:
    kind = kind_of(number)
    for place, said in enumerate(_EVENTS.get(kind, ("given",))):
        at = now - timedelta(days=400 if kind == "expired" else 30 - place, seconds=number)
        yield consent_event, _event(f"r{number}-{place}", sid, said, at)
    if kind.startswith("opted_out"):
        channel = "sms" if kind.endswith("sms") else ""
        yield suppression, _suppression(f"s{number}", sid, channel, now - timedelta(days=3))
    for n in range(4 if kind == "tired" else 0):
        yield message, _message(f"m{number}-{n}", sid, now)


def _event(record_id: str, sid: str, said: str, at: datetime) -> dict[str, Any]:
    """Return a row as a consent desk leaves it, with every column filled."""
    return {
        "record_id": record_id, "sid": sid, "purpose": "marketing", "channel": "any", "type": said,
        "event_time": to_micros(at), "received_at": to_micros(at), "valid_until": None, "actor": "consent-desk",
        "explicit": said == "given", "separate": False, "notice_id": "marketing", "notice_version": "1",
        "notice_language": "zh", "notice_digest": "0" * 64, "controller": "Demo Ltd.", "jurisdiction": "CN",
        "data_classes": '["mobile","name"]', "recipients": "[]", "storage_locations": '["CN"]',
        "retention_days": 730, "collection_method": "web_form", "withdrawal_method": "reply_or_page",
        "source": "shop", "evidence_ref": f"form-{record_id}", "schema_version": "fujie.dev/consent/v1",
        "request_id": None, "request_digest": "", "entry_origin": None, "entry_index": None,
    }  # fmt: skip


def _suppression(suppression_id: str, sid: str, channel: str, at: datetime) -> dict[str, Any]:
    return {
        "suppression_id": suppression_id, "sid": sid, "purpose": "", "channel": channel, "brand": "",
        "event_time": to_micros(at), "received_at": to_micros(at), "source": "reply", "evidence_ref": "sms-1",
        "actor": "consent-desk", "request_id": None, "request_digest": "", "entry_origin": None, "entry_index": None,
    }  # fmt: skip


def _message(intent_id: str, sid: str, now: datetime) -> dict[str, Any]:
    # Half an hour ahead of the last half hour: within the hour of the cap for as long as the benchmark runs.
    at = to_micros(now + timedelta(minutes=30))
    return {
        "intent_id": intent_id, "campaign_id": None, "sid": sid, "sealed": None, "requester": MARKETER,
        "purpose": "marketing", "category": "MARKETING", "signature": SIGNATURE, "state": "DELIVERED", "reason": "",
        "holder": "", "due_at": 0, "attempts": 1, "created_at": at, "changed_at": at, "request_id": None,
        "request_digest": "", "address": os.urandom(32), "content": "", "segments": 1, "provider": "outbox",
        "claimed_at": at, "claim_seq": 1, "provider_message_id": None, "link": None, "asked_at": 0,
    }  # fmt: skip
