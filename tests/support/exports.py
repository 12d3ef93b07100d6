"""Exports under test: a policy that lets lists out, and everything that one export answered."""

import csv
import io
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from fujie.adapters.stores.store import open_store
from fujie.adapters.stores.table import PhoneFormat, StoreTable
from fujie.decision.decider import Decider
from fujie.flows.export import export_customers
from fujie.flows.export_reply import Answer, ExportHead, ExportPart, ExportTail
from fujie.flows.gate import Gate, Sending
from fujie.flows.reply import Refusal
from fujie.model.export import Format
from fujie.model.principal import Credential
from fujie.model.request import ExportAsk, RequestContext
from fujie.policy.bundle import Bundle
from support.house import FIELDS as FIELDS_OF
from support.house import House, InForce, bundle_of, caller

POLICY = """
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: lists-of-east}
spec:
  match: {actions: [export], stores: [crm]}
  roles: [marketer]
  purposes: [after_sales]
  condition: customer.owner_department == principal.department
  fields: {customer_no: reveal, name: reveal, phone: "keep(3,4)", gender: reveal, birthday: "date_part(year)"}
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: no-minors-in-lists}
spec:
  match: {actions: [export]}
  validations:
    - {name: adult, expression: "!customer.minor", reason: X_LISTED_MINOR}
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: nobody-who-left}
spec:
  match: {actions: [export]}
  validations:
    - {name: not-withdrawn, expression: "consent.state != WITHDRAWN", reason: CONSENT_MISSING}
    - {name: not-opted-out, expression: "!suppression.in_force", reason: X_LISTED_OPTED_OUT}
---
apiVersion: fujie.dev/v1
kind: Reasons
metadata: {name: lists}
spec:
  reasons:
    - {code: X_LISTED_MINOR, priority: 200, message: {zh: "未成年人", en: "A minor."}}
    - {code: X_LISTED_OPTED_OUT, priority: 210, message: {zh: "已拒收", en: "Opted out."}}
""".encode()

LARGE = b"""
apiVersion: fujie.dev/v1
kind: Params
metadata: {name: large-lists}
spec: {guards: {exports-need-four-eyes: {one_approval_from: 50000, two_approvals_from: 60000, never_from: 70000}}}
"""
"""Lists of any size by nobody else's leave; without it those of base: 25 and more need a second person."""

MUCH_AT_ONCE = b"""
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: much-at-once}
spec:
  match: {actions: [export]}
  validations:
    - {name: usual, expression: usage.volume == WITHIN, reason: X_LISTED_MINOR}
"""
"""Behind `POLICY`: who takes more than on other days takes no more."""

FIELDS = ("customer_no", "gender", "name", "phone")
ME = caller("marketer")


def lists(house: House, *policies: bytes) -> House:
    """Return the house with a policy for lists, and what an export needs."""
    gate = replace(house.gate, sending=Sending(house.ledger.outbox, house.ledger.processors))
    decider = Decider(_bundle(policies or (POLICY, LARGE)))
    return replace(house, gate=replace(gate, policies=InForce(decider)))


@cache
def _bundle(policies: tuple[bytes, ...]) -> Bundle:
    return bundle_of({f"own-{n}.yaml": each for n, each in enumerate(policies)})


def wanting(filter_: str = "", max_rows: int = 10_000, **changes: Any) -> ExportAsk:
    context = RequestContext(purpose="after_sales", basis="contract", basis_evidence="order-7")
    asked = ExportAsk("crm", context, FIELDS, max_rows, Format.JSON_LINES, filter_)
    return replace(asked, **changes)


@dataclass(slots=True)
class Came:
    """All that an export answered."""

    head: ExportHead | None = None
    parts: list[ExportPart] = field(default_factory=list)
    tail: ExportTail | None = None
    refusal: Refusal | None = None

    def take(self, answer: Answer) -> None:
        match answer:
            case ExportHead():
                self.head = answer
            case ExportPart():
                self.parts.append(answer)
            case ExportTail():
                self.tail = answer
            case Refusal():
                self.refusal = answer

    @property
    def data(self) -> bytes:
        head, tail = (self.head.data if self.head else b""), (self.tail.data if self.tail else b"")
        return head + b"".join(part.data for part in self.parts) + tail

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of JSON lines, without the line that names the export."""
        said = [orjson.loads(line) for line in self.data.splitlines()]
        return [each for each in said if "_export" not in each]

    @property
    def table(self) -> list[list[str]]:
        """The rows of a CSV, heading and last line too."""
        return list(csv.reader(io.StringIO(self.data.decode("utf-8-sig"), newline="")))

    @property
    def code(self) -> str:
        return self.refusal.reasons[0].code if self.refusal else ""


def export(
    gate: Gate, asked: ExportAsk, who: Credential = ME, timeout_s: float = 5.0
) -> AsyncIterator[Answer]:
    return export_customers(gate, who, asked, timeout_s)


async def exported(gate: Gate, asked: ExportAsk, who: Credential = ME, came: Came | None = None) -> Came:
    came = came or Came()
    async for answer in export(gate, asked, who):
        came.take(answer)
    return came


def facts_of(house: House, kind: str, start: int = 0) -> list[Mapping[str, Any]]:
    """Return the facts of the entries of a kind, in order."""
    return [
        entry.facts for entry in house.entries[start:] if entry.kind == kind and entry.action == "export"
    ]


def released(house: House, start: int = 0) -> Sequence[str]:
    """Return every sid that a release entry names, in order."""
    return [sid for entry in house.entries[start:] if entry.kind == "release" for sid in entry.sids]


def last(house: House) -> dict[str, Any]:
    """Return the facts of the last outcome."""
    return dict(facts_of(house, "outcome")[-1])


@asynccontextmanager
async def store_at(house: House, path: Path) -> AsyncIterator[Gate]:
    """Return the same gate before another file of customers."""
    table = StoreTable(
        "crm", f"sqlite:///{path}", "customer", "id", "mobile", PhoneFormat.NATIONAL, FIELDS_OF,
        {"minor": "minor", "owner_department": "department"},
    )  # fmt: skip
    store = await open_store(table, house.hands)
    yield replace(house.gate, stores={"crm": store})
    await store.close()
