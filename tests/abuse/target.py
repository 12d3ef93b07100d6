"""A real server with the shipped policies to attack, and what it left in its log.

Every attack states three things: the gRPC status, the reason code, and the entry (or that there is none).
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from shutil import copytree
from typing import Any
from zoneinfo import ZoneInfo

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from e2e.server import ADMIN, INSTANCE, Server, Site
from fujie.adapters.tilefiles import read_file
from fujie.app.client import RefusalDetail, Stubs, read_refusal
from fujie.app.shipped import shipped_policies
from fujie.audit.entry import Entry, parse_entry
from fujie.audit.segment import TAIL, parse_segment
from fujie.audit.tiles import WIDTH, bundle_path, split_bundle
from fujie.transport.grpc.status import DECISION_ID_KEY
from fujie.transport.grpc.trailers import DETAILS_KEY
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import messaging_service_pb2 as messaging_v1
from fujie.v1 import types_pb2 as types_v1
from support.answers import WIRE_FREE, shipped_notice

CONTROLLER = "Test Ltd."
"""The handler that the site names."""

LOOKUP, BATCH, SEARCH, MERGE, SPLIT = (
    f"/fujie.v1.CustomerDataService/{name}"
    for name in (
        "LookupCustomer", "BatchLookupCustomers", "SearchCustomers", "MergeCustomers", "SplitCustomer",
    )
)  # fmt: skip
RECORD, WITHDRAW, GET_CONSENT, EVENTS, EXPORT_EVIDENCE, IMPORT, EXPIRING = (
    f"/fujie.v1.ConsentService/{name}"
    for name in (
        "RecordConsent", "WithdrawConsent", "GetConsent", "ListConsentEvents", "ExportConsentEvidence",
        "ImportConsents", "ListExpiringConsents",
    )
)  # fmt: skip
ADD_SUPPRESSION, REMOVE_SUPPRESSION, SUPPRESSIONS = (
    f"/fujie.v1.ConsentService/{name}"
    for name in ("AddSuppression", "RemoveSuppression", "ListSuppressions")
)
UPSERT, GET_PRINCIPAL, LIST_PRINCIPALS, OFFBOARD = (
    f"/fujie.v1.DirectoryService/{name}"
    for name in ("UpsertPrincipal", "GetPrincipal", "ListPrincipals", "OffboardPrincipal")
)
SUSPEND, REINSTATE, TRANSFER, GET_OFFBOARDING, ACKNOWLEDGE = (
    f"/fujie.v1.DirectoryService/{name}"
    for name in (
        "SuspendPrincipal", "ReinstatePrincipal", "TransferCustomers", "GetOffboarding", "AcknowledgeOrder",
    )
)  # fmt: skip
GET_APPROVAL, APPROVALS, APPROVE, REJECT, REVOKE = (
    f"/fujie.v1.ApprovalService/{name}"
    for name in ("GetApproval", "ListApprovals", "Approve", "Reject", "RevokeApproval")
)
EXPLAIN, GET_BUNDLE = (f"/fujie.v1.PolicyService/{name}" for name in ("Explain", "GetBundle"))
SEND, GET_MESSAGE, CREATE_CAMPAIGN, ADD_RECIPIENTS, START, PAUSE, CANCEL, GET_CAMPAIGN, WATCH, SCREEN = (
    f"/fujie.v1.MessagingService/{name}"
    for name in (
        "SendMessage", "GetMessage", "CreateCampaign", "AddRecipients", "StartCampaign", "PauseCampaign",
        "CancelCampaign", "GetCampaign", "WatchCampaign", "ScreenRecipients",
    )
)  # fmt: skip
UPSERT_PROCESSOR, GET_PROCESSOR, PROCESSORS = (
    f"/fujie.v1.ProcessorService/{name}" for name in ("UpsertProcessor", "GetProcessor", "ListProcessors")
)
GET_REQUEST, REQUESTS, RESOLVE, DISCLOSURES, REPLIES, GET_REPLY, MARK_REPLY = (
    f"/fujie.v1.SubjectRequestService/{name}"
    for name in (
        "GetRequest", "ListRequests", "ResolveRequest", "ListDisclosures", "ListReplies", "GetReply", "MarkReply",
    )
)  # fmt: skip

EXPORT = "/fujie.v1.CustomerDataService/ExportCustomers"
GET_EXPORT, EXPORTS, OPEN_EXPORT, REVOKE_EXPORT, TRACE = (
    f"/fujie.v1.ExportService/{name}"
    for name in ("GetExport", "ListExports", "OpenExport", "RevokeExport", "TraceCustomer")
)

STAFF = {
    "chief": "administrator",
    "agent": "support",
    "marketer": "marketer",
    "desk": "consent_desk",
    "officer": "privacy_officer",
    "searcher": "searcher",
    "compliance": "compliance_officer",
    "sender": "sender",
    "registrar": "registrar",
    "exporter": "exporter",
    "auditor": "auditor",
    "nobody": "a-role-without-a-grant",
}
"""Who works at every site, all in the department `east`; `chief` makes the bootstrap administrator void."""

SIGNATURE, TEXT = "测试公司", "新品到店，欢迎选购。拒收请回复R"
NO_SUCH_CAMPAIGN = "campaigns/" + "0" * 32

SHOWN, PHONE = "C00001", "13800131234"
"""A customer of `east`, and the number."""
MISSING = "C99999"

FIELDS = {
    "customer_no": "id", "name": "full_name", "gender": "gender", "phone": "mobile", "id_card": "id_number",
    "bank_card": "card_number", "email": "email", "address": "address", "birthday": "birthday", "plate": "plate",
}  # fmt: skip

SEARCHERS = b"""\
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: searchers}
spec:
  match: {actions: [lookup], keys: [phone_last_four]}
  roles: [searcher]
  purposes: [after_sales]
  condition: principal.department == customer.owner_department
  fields: {name: reveal, phone: "keep(3,2)"}
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: senders}
spec:
  match: {actions: [send]}
  roles: [sender]
  purposes: [marketing]
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: registrars}
spec:
  match: {actions: [processor.write]}
  roles: [registrar]
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: exporters}
spec:
  match: {actions: [export], keys: [customer_id]}
  roles: [exporter]
  purposes: [after_sales]
  condition: principal.department == customer.owner_department
  fields: {name: "keep(1,0)", phone: "keep(3,2)"}
---
apiVersion: fujie.dev/v1
kind: Params
metadata: {name: any-hour}
spec: {guards: {marketing-by-day: {from_hour: 0, until_hour: 24}}}
---
apiVersion: fujie.dev/v1
kind: Sender
metadata: {name: test-company}
spec: {signature: "\xe6\xb5\x8b\xe8\xaf\x95\xe5\x85\xac\xe5\x8f\xb8"}
"""
"""What base does not say: who searches among the customers of the own department and exports
them, sends at any hour under the name of
`SIGNATURE` (its bytes of UTF-8 stand here), and keeps the register."""

BROKE_OFF = "ExecuteBatchError"
"""What gRPC logs of a client that went away while it was answered: that is no trouble of the server's."""

Metadata = Sequence[tuple[str, str | bytes]]


def create_site(root: Path, customers: int = 60) -> Site:
    """Write a site with the shipped policies, and one to search, over every column of the synthetic store."""
    site = Site.create(root, customers)
    site.policy_file.unlink()
    copytree(shipped_policies() / "base", site.root / "policies", dirs_exist_ok=True)
    (site.root / "policies" / "searchers.yaml").write_bytes(SEARCHERS)
    store = site.values["stores"]["crm"]
    with closing(sqlite3.connect(site.root / "crm.db")) as connection, connection:
        connection.execute("ALTER TABLE customer ADD COLUMN last_four TEXT")
        connection.execute("UPDATE customer SET last_four = substr(mobile, -4)")
    store["phone"]["last_four_column"] = "last_four"
    store["fields"] = FIELDS
    store["attributes"] = {"minor": "minor", "owner_department": "department"}
    site.values["controller"] = CONTROLLER
    # Beside the site: what is sent stands in it as it is, so that nobody who looks for leaks may find it.
    outbox = root.parent / f"{root.name}-outbox.jsonl"
    site.values["messaging"] = {"providers": {"outbox": {"kind": "outbox", "file": str(outbox)}}}
    site.write()
    return site


def leaves(site: Site, start: int = 0) -> list[bytes]:
    """Return every durable entry of the first worker from index `start` on as it lies on disk, signed or not."""
    return leaves_of(site, 0, start)


def leaves_of(site: Site, slot: int, start: int = 0) -> list[bytes]:
    """Return them for the worker of this slot."""
    directory = site.log / INSTANCE / f"w{slot}"
    segment = parse_segment(read_file(directory, TAIL) or b"")
    found: list[bytes] = []
    first = min(start // WIDTH, segment.first // WIDTH)
    for index in range(first, segment.first // WIDTH):
        bundle, _ = split_bundle(read_file(directory, bundle_path(index)) or b"")
        found += bundle
    return [*found, *segment.leaves][start - first * WIDTH :]


def entries(site: Site) -> list[Entry]:
    """Return them parsed; one that is no entry fails the test."""
    return [parse_entry(leaf) for leaf in leaves(site)]


@dataclass(repr=False)
class Target:
    """A running server, a connection to it, and how much of its log was seen."""

    server: Server
    channel: Any  # a grpc.Channel: its stubs know no bytes
    seen: int = 0
    tokens: dict[str, str] = field(default_factory=dict)

    @property
    def site(self) -> Site:
        return self.server.site

    def stubs(self, who: str) -> Stubs:
        return self.server.connect(who)

    def token(self, who: str) -> str:
        return self.tokens.setdefault(who, self.site.token(who))

    def bearer(self, who: str) -> Metadata:
        return (("authorization", f"Bearer {self.token(who)}"),)

    def call(
        self,
        who: str,
        method: str,
        message: Message | bytes,
        metadata: Metadata | None = None,
        **options: Any,
    ) -> bytes:
        """Send bytes that no stub would, as `who` or under any metadata; return the bytes of the answer."""
        raw = message if isinstance(message, bytes) else message.SerializeToString()
        sent = self.bearer(who) if metadata is None else metadata
        answer: bytes = self.channel.unary_unary(method)(raw, metadata=sent, timeout=30, **options)
        return answer

    def begin(self, method: str, message: Message | bytes, metadata: Metadata) -> Any:
        """Send without waiting; return the future, which is also the call."""
        raw = message if isinstance(message, bytes) else message.SerializeToString()
        return self.channel.unary_unary(method).future(raw, metadata=metadata, timeout=60)

    def refused(
        self,
        who: str,
        method: str,
        message: Message | bytes,
        metadata: Metadata | None = None,
        **options: Any,
    ) -> RefusalDetail:
        """Call, which must fail; return what the refusal says."""
        return read_refusal(self.failure(who, method, message, metadata, **options))

    def failure(
        self,
        who: str,
        method: str,
        message: Message | bytes,
        metadata: Metadata | None = None,
        **options: Any,
    ) -> Any:
        """Call, which must fail; return the client's error, which is also the call."""
        with pytest.raises(grpc.RpcError) as caught:
            self.call(who, method, message, metadata, **options)
        return caught.value

    def lookup(
        self, who: str, ask: customer_v1.LookupCustomerRequest
    ) -> customer_v1.LookupCustomerResponse:
        """Look up, which must succeed."""
        return customer_v1.LookupCustomerResponse.FromString(self.call(who, LOOKUP, ask))

    def new(self) -> list[Entry]:
        """Return the entries since the last time; one that is no entry fails the test."""
        fresh = leaves(self.site, self.seen)
        self.seen += len(fresh)
        return [parse_entry(leaf) for leaf in fresh]

    def new_one(self, effect: str, reason: str = "", who: str = "") -> Entry:
        """Return the one entry since the last time, which must say this."""
        (entry,) = self.new()
        assert (effect, reason) == (entry.effect, primary(entry)), entry
        assert who in ("", entry.principal)
        return entry

    def stands(self) -> None:
        """The server still works: an honest call passes, with its entry; nothing unforeseen broke."""
        self.new()
        assert dict(self.lookup("agent", ask("phone")).customer) == {"phone": "138****1234"}
        assert self.new_one("ALLOW").principal == "agent"
        broken = [
            line
            for line in self.server.events()
            if line["level"] in ("error", "critical") and line.get("error") != BROKE_OFF
        ]
        assert broken == [], broken[0]


def primary(entry: Entry) -> str:
    """Return the first enforced reason; warnings depend on the hour of the day."""
    return next((code for code in entry.reasons if ":" not in code), "")


def expect(detail: RefusalDetail, code: grpc.StatusCode, reason: str) -> None:
    """A refusal says exactly this status and reason, and never the text of an exception."""
    assert (detail.code, detail.reason) == (code, reason), detail
    assert "Traceback" not in detail.message
    assert "Exception" not in detail.message


@contextmanager
def running(site: Site, credentials: grpc.ChannelCredentials | None = None) -> Iterator[Target]:
    """Start the site's server, with its staff when it is the first time. One with TLS is `localhost`."""
    with site.running() as server:
        # A connection of our own: channels with equal arguments would share one, and its broken state.
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        address = f"localhost:{server.grpc.rpartition(':')[2]}" if credentials else server.grpc
        opened = (
            grpc.secure_channel(address, credentials, options=options)
            if credentials
            else grpc.insecure_channel(address, options=options)
        )
        with opened as channel:
            target = Target(server, channel)
            if site.starts == 1:
                hire_staff(target)
            target.new()
            yield target


def with_a_day_before_it() -> None:
    """Return when the day of the policies does not end soon: limits of a day begin anew then."""
    now = datetime.now(ZoneInfo("Asia/Shanghai"))
    left = timedelta(days=1) - timedelta(hours=now.hour, minutes=now.minute, seconds=now.second)
    if left < timedelta(minutes=2):
        time.sleep(left.total_seconds() + 1)


def hire_staff(target: Target) -> None:
    for name, role in STAFF.items():
        target.call(ADMIN if role == "administrator" else "chief", UPSERT, hired(name, role))


def hired(name: str, *roles: str, **more: Any) -> directory_v1.UpsertPrincipalRequest:
    """Return the request that registers an active, trained employee of `east`."""
    return directory_v1.UpsertPrincipalRequest(
        principal=directory_v1.Principal(
            id=name, kind=directory_v1.PRINCIPAL_KIND_EMPLOYEE, roles=roles, department="east",
            employment=directory_v1.EMPLOYMENT_ACTIVE, training=directory_v1.TRAINING_VALID, **more,
        )
    )  # fmt: skip


def by_id(customer_id: str, store: str = "crm") -> types_v1.CustomerRef:
    return types_v1.CustomerRef(store_key=types_v1.StoreKey(store=store, customer_id=customer_id))


def ask(
    *fields: str,
    customer: types_v1.CustomerRef | None = None,
    purpose: str = "after_sales",
    basis: str = "contract",
    **context: Any,
) -> customer_v1.LookupCustomerRequest:
    """Return a look-up that an agent of `east` is granted, unless something else is said."""
    given = {"basis_evidence": "order-7"} if basis == "contract" else {}
    request = customer_v1.LookupCustomerRequest(
        customer=customer or by_id(SHOWN),
        context=types_v1.RequestContext(purpose=purpose, basis=basis, **{**given, **context}),
    )
    if not request.customer.HasField("store_key"):
        request.store = "crm"
    request.read_mask.paths.extend(fields)
    return request


def exporting(*, leased: bool = False) -> customer_v1.ExportCustomersRequest:
    """Return an export of few that an exporter of `east` is granted: decided only, or a leased file."""
    asked = ask("name", "phone")
    request = customer_v1.ExportCustomersRequest(
        store="crm",
        context=asked.context,
        read_mask=asked.read_mask,
        max_rows=20,
        format=customer_v1.EXPORT_FORMAT_CSV,
        validate_only=not leased,
    )
    if leased:
        request.lease.opens = 2
    return request


def marketing(*fields: str, customer: str = SHOWN) -> customer_v1.LookupCustomerRequest:
    """Return a look-up that a marketer is granted once there is consent."""
    return ask(*fields, customer=by_id(customer), purpose="marketing", basis="consent")


def batch(*customers: types_v1.CustomerRef, **more: Any) -> customer_v1.BatchLookupCustomersRequest:
    """Return the look-up of several customers for one reason, like `ask`."""
    single = ask(*more.pop("fields", ("phone",)), **more)
    return customer_v1.BatchLookupCustomersRequest(
        customers=customers, store="crm", context=single.context, read_mask=single.read_mask
    )


def search(last_four: str, *fields: str) -> customer_v1.SearchCustomersRequest:
    single = ask(*(fields or ("name", "phone")))
    return customer_v1.SearchCustomersRequest(
        phone_last_four=last_four, store="crm", context=single.context, read_mask=single.read_mask
    )


def correcting(**context: Any) -> types_v1.RequestContext:
    """Return why an officer corrects who is who."""
    return types_v1.RequestContext(
        purpose="record_correction", basis="legal_duty", basis_evidence="request-1", **context
    )


def campaign_draft() -> messaging_v1.MessageDraft:
    """Return what `sender` may say to many."""
    return messaging_v1.MessageDraft(
        category=messaging_v1.MESSAGE_CATEGORY_MARKETING, signature=SIGNATURE, text=TEXT
    )


def promotion(customer: types_v1.CustomerRef) -> messaging_v1.SendMessageRequest:
    """Return a message that `sender` is granted once there is consent."""
    return messaging_v1.SendMessageRequest(
        customer=customer, category=messaging_v1.MESSAGE_CATEGORY_MARKETING, signature=SIGNATURE, text=TEXT,
        context=promoting(),
    )  # fmt: skip


def promoting(**context: Any) -> types_v1.RequestContext:
    """Return why a sender says something."""
    return types_v1.RequestContext(purpose="marketing", basis="consent", **context)


def screening(customer: types_v1.CustomerRef) -> messaging_v1.ScreenRecipientsRequest:
    """Return a batch of one customer."""
    batch_of_one = messaging_v1.ScreenRecipientsRequest(context=promoting(), draft=campaign_draft())
    if customer.HasField("store_key"):
        batch_of_one.store = customer.store_key.store
        batch_of_one.customer_ids.append(customer.store_key.customer_id)
    else:
        batch_of_one.phones.append(customer.phone)
    return batch_of_one


def merge(
    into: types_v1.CustomerRef, source: types_v1.CustomerRef, **context: Any
) -> customer_v1.MergeCustomersRequest:
    request = customer_v1.MergeCustomersRequest(
        into=into, context=correcting(**context), evidence_ref="form-1"
    )
    getattr(request, "from").CopyFrom(source)
    return request


def split(customer_id: str, **context: Any) -> customer_v1.SplitCustomerRequest:
    return customer_v1.SplitCustomerRequest(
        store_key=by_id(customer_id).store_key, context=correcting(**context), evidence_ref="form-1"
    )


def confirmed() -> consent_v1.Confirmation:
    """Return an act of the customer, now, that lifts an opt-out."""
    when = Timestamp()
    when.GetCurrentTime()
    return consent_v1.Confirmation(method="signed_letter", evidence_ref="letter-1", event_time=when)


def consent(customer: types_v1.CustomerRef, **more: Any) -> consent_v1.RecordConsentRequest:
    """Return the request that records an explicit consent to marketing, given freely under the notice in force."""
    return consent_v1.RecordConsentRequest(
        customer=customer,
        consent=consent_v1.ConsentRecord(
            purpose="marketing", type=consent_v1.CONSENT_EVENT_TYPE_GIVEN, explicit=True, source="agent",
            notice=shipped_notice("marketing", CONTROLLER),
        ),
        capture=WIRE_FREE,
        **more,
    )  # fmt: skip


def imported(*customers: types_v1.CustomerRef) -> consent_v1.ImportConsentsRequest:
    """Return a file in which customers agreed in the past, as `consent` says it."""
    rows = []
    for customer in customers:
        said = consent(customer)
        said.consent.event_time.FromSeconds(1_767_225_600)
        rows.append(consent_v1.ConsentRow(customer=customer, consent=said.consent, capture=said.capture))
    return consent_v1.ImportConsentsRequest(rows=rows)


def told(target: Target, who: str, request: Message, method: str = LOOKUP) -> tuple[object, ...]:
    """Return everything that the asker of a refused call can see, but for the ids of this one decision."""
    target.new()
    error = target.failure(who, method, request)
    return seen_of(error, target.new_one("DENY", "NO_GRANT", who).decision_id)


def seen_of(error: Any, decision_id: str) -> tuple[object, ...]:
    """Return all that a client sees of a refusal, without the id of its decision."""
    trailing = [
        (key, value.replace(decision_id.encode(), b"-" * 32) if isinstance(value, bytes) else value)
        for key, value in error.trailing_metadata() or ()
        if key != DECISION_ID_KEY
    ]
    leading = sorted(key for key, _ in error.initial_metadata() or ())
    assert DETAILS_KEY in dict(trailing)
    return error.code(), error.details(), tuple(trailing), tuple(leading)


def of_another_department(target: Target) -> str:
    """Return a customer whom `agent`, of `east`, may not see."""
    with closing(sqlite3.connect(target.site.root / "crm.db")) as connection:
        (found,) = connection.execute("SELECT min(id) FROM customer WHERE department <> 'east'").fetchone()
    return str(found)


def row_of(site: Site, customer_id: str = SHOWN) -> tuple[str, ...]:
    """Return what the store holds of a customer, as texts: none may be anywhere but in an answer."""
    connection = sqlite3.connect(site.root / "crm.db")
    try:
        (row,) = connection.execute("SELECT * FROM customer WHERE id = ?", (customer_id,)).fetchall()
    finally:
        connection.close()
    return tuple(str(value) for value in row)
