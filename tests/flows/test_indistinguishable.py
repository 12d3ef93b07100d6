"""Promise 9 as one property: no sequence of calls of an ungranted principal can tell two gates apart.

One gate has 200 customers, consents, withdrawals, suppressions and a full directory; the other has none of
them. Every method is called with generated requests; the answers must be the same bytes.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fujie.app.demo.customers import create_store
from fujie.flows.consent import record_consent, withdraw_consent
from fujie.flows.directory import offboard_principal, upsert_principal
from fujie.flows.lookup import lookup
from fujie.flows.reply import ConsentReply, LookupReply, PrincipalReply
from fujie.model.customer import Phone, StoreKey
from fujie.model.errors import FujieError
from fujie.model.export import Export, ExportChunk, Format, Lease, Opening
from fujie.model.principal import Credential, Principal
from fujie.model.processor import Processor
from fujie.model.request import RequestContext
from fujie.model.subject_request import Indexed, RequestKind, SubjectRequest
from fujie.model.vocabulary import State
from fujie.transport.grpc import streams
from fujie.transport.grpc.methods import METHODS, STREAMS
from fujie.transport.grpc.services import Front, answer
from fujie.v1 import approval_service_pb2 as approval_v1
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import export_service_pb2 as export_v1
from fujie.v1 import messaging_service_pb2 as messaging_v1
from fujie.v1 import policy_service_pb2 as policy_v1
from fujie.v1 import processor_service_pb2 as processor_v1
from fujie.v1 import subject_request_service_pb2 as request_v1
from fujie.v1 import types_pb2 as types_v1
from support import answers
from support.house import ADMIN, House, ask, caller, opened_house
from support.sending import CountingProvider, campaign_to, sending

REQUEST = "f" * 32
"""A request of the first customer."""

ASKERS = ("stranger", "nobody-in-particular", "gone", "suspended")

REFS = [
    types_v1.CustomerRef(store_key=types_v1.StoreKey(store=store, customer_id=customer_id))
    for store, customer_id in (("crm", "C00001"), ("crm", "C00002"), ("crm", "C99999"), ("none", "C00001"))
] + [
    types_v1.CustomerRef(phone=phone)
    for phone in ("13800131234", "１３８００１３１２３４", "13999999999", "x")
]

refs = st.sampled_from(REFS)
purposes = st.sampled_from(["marketing", "after_sales", "record_correction", "invented", ""])
masks = st.lists(st.sampled_from(["phone", "name", "id_card", "invented", "*"]), max_size=3).map(
    lambda names: FieldMask(paths=names)
)
contexts = st.builds(
    types_v1.RequestContext,
    request_id=st.sampled_from(["", "r-1"]),
    purpose=purposes,
    basis=st.sampled_from(["consent", "contract", "legal_duty", "invented", ""]),
    basis_evidence=st.sampled_from(["", "order-7"]),
    ticket=st.sampled_from(["", "T-1"]),
    on_behalf_of=st.sampled_from(["", "", "", "support-agent", "stranger"]),
)
principals = st.sampled_from(["support-agent", "stranger", "only-here", "nobody-in-particular"])
pages = {"page_size": st.sampled_from([0, 1, -1]), "page_token": st.sampled_from(["", "x"])}
approvals = st.sampled_from(["approvals/" + "0" * 32, "approvals/x", ""])
scopes = st.builds(consent_v1.SuppressionScope, purpose=purposes)
records = st.builds(
    consent_v1.ConsentRecord,
    purpose=purposes,
    type=st.sampled_from([consent_v1.CONSENT_EVENT_TYPE_GIVEN, consent_v1.CONSENT_EVENT_TYPE_REFUSED]),
)
CAMPAIGN = "c" * 32
EXPORT = "e" * 32
"""A campaign of the gate full of traces."""
exports = st.sampled_from([f"exports/{EXPORT}", "exports/" + "0" * 32, "x"])
campaigns = st.sampled_from([f"campaigns/{CAMPAIGN}", "campaigns/" + "0" * 32, "x"])
categories = st.sampled_from([messaging_v1.MESSAGE_CATEGORY_MARKETING, 0, 9])
texts = st.sampled_from(["hello", "hello {name}", ""])
providers = st.sampled_from(["", "counting", "none"])
drafts = st.builds(
    messaging_v1.MessageDraft,
    category=categories, signature=st.just("fujie"), text=texts, provider=providers,
)  # fmt: skip
customer_requests = st.sampled_from([REQUEST, "0" * 32, ""])
customer_replies = st.sampled_from(["replies/" + "0" * 32, "replies/x", ""])
processors = st.builds(
    processor_v1.Processor,
    id=st.sampled_from(["carrier", ""]), valid_from=st.just("2026-01-01"), region=st.just("CN"),
    valid_until=st.sampled_from(["2027-01-01", "2025-01-01", "x"]),
)  # fmt: skip
look_ups = st.builds(
    customer_v1.LookupCustomerRequest,
    customer=refs, store=st.sampled_from(["", "crm", "none"]), context=contexts, read_mask=masks,
    strict=st.booleans(),
)  # fmt: skip


def handing_over(parties: Any) -> directory_v1.TransferCustomersRequest:
    return directory_v1.TransferCustomersRequest(**parties)  # `from` is a word of Python


REQUESTS: dict[str, st.SearchStrategy[Any]] = {
    "LookupCustomer": look_ups,
    "BatchLookupCustomers": st.builds(
        customer_v1.BatchLookupCustomersRequest,
        customers=st.lists(refs, max_size=3), store=st.just("crm"), context=contexts, read_mask=masks,
    ),
    "SearchCustomers": st.builds(
        customer_v1.SearchCustomersRequest,
        phone_last_four=st.sampled_from(["1234", "0000", "12"]), store=st.just("crm"), context=contexts,
        read_mask=masks,
    ),
    "MergeCustomers": st.builds(
        customer_v1.MergeCustomersRequest,
        **{"into": refs, "from": refs, "context": contexts, "evidence_ref": st.just("form-1")},
    ),
    "SplitCustomer": st.builds(
        customer_v1.SplitCustomerRequest,
        store_key=st.sampled_from([ref.store_key for ref in REFS[:4]]), context=contexts,
        evidence_ref=st.just("form-1"),
    ),
    "RecordConsent": st.builds(
        consent_v1.RecordConsentRequest,
        customer=refs, context=contexts, consent=records, prompt=st.sampled_from(["", "forged"]),
        capture=st.just(answers.WIRE_FREE),
    ),
    "ImportConsents": st.builds(
        consent_v1.ImportConsentsRequest,
        context=contexts, validate_only=st.booleans(),
        rows=st.lists(st.builds(consent_v1.ConsentRow, customer=refs, consent=records), max_size=3),
    ),
    "WithdrawConsent": st.builds(
        consent_v1.WithdrawConsentRequest, customer=refs, context=contexts, purpose=purposes
    ),
    "GetConsent": st.builds(
        consent_v1.GetConsentRequest, customer=refs, context=contexts, purpose=purposes
    ),
    "ListConsentEvents": st.builds(
        consent_v1.ListConsentEventsRequest, customer=refs, context=contexts, purpose=purposes, **pages
    ),
    "ListExpiringConsents": st.builds(
        consent_v1.ListExpiringConsentsRequest,
        context=contexts, purpose=purposes, within_days=st.sampled_from([0, 1, 400]),
        store=st.sampled_from(["", "none"]), **pages,
    ),
    "ExportConsentEvidence": st.builds(
        consent_v1.ExportConsentEvidenceRequest, customer=refs, context=contexts, purpose=purposes
    ),
    "AddSuppression": st.builds(
        consent_v1.AddSuppressionRequest,
        customer=refs, context=contexts, scope=scopes, source=st.just("call"), evidence_ref=st.just("rec-1"),
    ),
    "RemoveSuppression": st.builds(
        consent_v1.RemoveSuppressionRequest, suppression_id=st.sampled_from(["", "0" * 32]), context=contexts
    ),
    "ListSuppressions": st.builds(
        consent_v1.ListSuppressionsRequest, customer=refs, context=contexts, purpose=purposes, **pages
    ),
    "UpsertPrincipal": st.builds(
        directory_v1.UpsertPrincipalRequest,
        principal=principals.map(
            lambda name: directory_v1.Principal(
                id=name, kind=directory_v1.PRINCIPAL_KIND_EMPLOYEE, roles=["administrator"],
                employment=directory_v1.EMPLOYMENT_ACTIVE, training=directory_v1.TRAINING_NONE,
            )
        ),
        context=contexts,
    ),
    "GetPrincipal": st.builds(directory_v1.GetPrincipalRequest, id=principals, context=contexts),
    "ListPrincipals": st.builds(directory_v1.ListPrincipalsRequest, context=contexts, **pages),
    "OffboardPrincipal": st.builds(directory_v1.OffboardPrincipalRequest, id=principals, context=contexts),
    "SuspendPrincipal": st.builds(directory_v1.SuspendPrincipalRequest, id=principals, context=contexts),
    "ReinstatePrincipal": st.builds(directory_v1.ReinstatePrincipalRequest, id=principals, context=contexts),
    "TransferCustomers": st.fixed_dictionaries(
        {"from": principals, "to": principals, "context": contexts}
    ).map(handing_over),
    "GetOffboarding": st.builds(directory_v1.GetOffboardingRequest, id=principals, context=contexts),
    "AcknowledgeOrder": st.builds(
        directory_v1.AcknowledgeOrderRequest, order=principals, context=contexts
    ),
    "Explain": st.builds(
        policy_v1.ExplainRequest, lookup=look_ups, principal=principals, context=contexts
    ),
    "GetBundle": st.builds(policy_v1.GetBundleRequest, context=contexts),
    "GetApproval": st.builds(approval_v1.GetApprovalRequest, name=approvals, context=contexts),
    "ListApprovals": st.builds(
        approval_v1.ListApprovalsRequest, context=contexts, with_closed=st.booleans(), **pages
    ),
    "Approve": st.builds(approval_v1.ApproveRequest, name=approvals, context=contexts),
    "Reject": st.builds(approval_v1.RejectRequest, name=approvals, context=contexts),
    "RevokeApproval": st.builds(approval_v1.RevokeApprovalRequest, name=approvals, context=contexts),
    "SendMessage": st.builds(
        messaging_v1.SendMessageRequest,
        customer=refs, context=contexts, category=categories, signature=st.just("fujie"), text=texts,
        provider=providers,
    ),
    "GetMessage": st.builds(
        messaging_v1.GetMessageRequest, name=st.sampled_from(["messages/" + "0" * 32, "x"]), context=contexts
    ),
    "CreateCampaign": st.builds(
        messaging_v1.CreateCampaignRequest, context=contexts, draft=drafts, validate_only=st.booleans()
    ),
    "AddRecipients": st.builds(
        messaging_v1.AddRecipientsRequest,
        name=campaigns, context=contexts,
        recipients=st.lists(st.builds(messaging_v1.Recipient, customer=refs), max_size=3),
        query=st.none()
        | st.builds(
            messaging_v1.StoreQuery,
            store=st.sampled_from(["crm", "none", ""]), filter=st.sampled_from(["", "gender = F", "("]),
            max_rows=st.sampled_from([0, 1, 20]), resume_token=st.sampled_from(["", "x"]),
        ),
    ),
    "StartCampaign": st.builds(
        messaging_v1.StartCampaignRequest, name=campaigns, context=contexts, validate_only=st.booleans()
    ),
    "PauseCampaign": st.builds(messaging_v1.PauseCampaignRequest, name=campaigns, context=contexts),
    "CancelCampaign": st.builds(messaging_v1.CancelCampaignRequest, name=campaigns, context=contexts),
    "GetCampaign": st.builds(messaging_v1.GetCampaignRequest, name=campaigns, context=contexts),
    "WatchCampaign": st.builds(messaging_v1.WatchCampaignRequest, name=campaigns, context=contexts),
    "ScreenRecipients": st.builds(
        messaging_v1.ScreenRecipientsRequest,
        context=contexts, draft=drafts, store=st.sampled_from(["crm", "none", ""]),
        customer_ids=st.lists(st.sampled_from(["C00001", "C99999"]), max_size=2),
        phones=st.lists(st.sampled_from(["13800131234", "x"]), max_size=2),
    ),
    "ExportCustomers": st.builds(
        customer_v1.ExportCustomersRequest,
        store=st.sampled_from(["crm", "none", ""]), context=contexts, max_rows=st.sampled_from([0, 1, 20]),
        format=st.sampled_from([0, customer_v1.EXPORT_FORMAT_CSV]), filter=st.sampled_from(["", "name:*", "("]),
        read_mask=st.sampled_from([FieldMask(), FieldMask(paths=["name"])]), strict=st.booleans(),
    ),
    "GetExport": st.builds(export_v1.GetExportRequest, name=exports, context=contexts),
    "ListExports": st.builds(
        export_v1.ListExportsRequest,
        context=contexts, requester=principals, state=st.sampled_from([0, 1, 2]), **pages,
    ),
    "OpenExport": st.builds(export_v1.OpenExportRequest, name=exports, context=contexts),
    "RevokeExport": st.builds(export_v1.RevokeExportRequest, name=exports, context=contexts),
    "TraceCustomer": st.builds(export_v1.TraceCustomerRequest, customer=refs, context=contexts, **pages),
    "UpsertProcessor": st.builds(
        processor_v1.UpsertProcessorRequest, processor=processors, context=contexts
    ),
    "GetProcessor": st.builds(
        processor_v1.GetProcessorRequest, id=st.sampled_from(["carrier", "none", ""]), context=contexts
    ),
    "ListProcessors": st.builds(processor_v1.ListProcessorsRequest, context=contexts, **pages),
    "GetRequest": st.builds(request_v1.GetRequestRequest, id=customer_requests, context=contexts),
    "ListRequests": st.builds(
        request_v1.ListRequestsRequest,
        customer=st.one_of(st.none(), refs), with_resolved=st.booleans(), context=contexts, **pages,
    ),
    "ResolveRequest": st.builds(
        request_v1.ResolveRequestRequest,
        id=customer_requests, outcome=st.sampled_from([0, 1, 2]), context=contexts,
    ),
    "ListDisclosures": st.builds(
        request_v1.ListDisclosuresRequest, customer=refs, context=contexts, **pages
    ),
    "ListReplies": st.builds(
        request_v1.ListRepliesRequest, context=contexts, with_reviewed=st.booleans(), **pages
    ),
    "GetReply": st.builds(
        request_v1.GetReplyRequest, name=customer_replies, context=contexts, whole=st.booleans()
    ),
    "MarkReply": st.builds(
        request_v1.MarkReplyRequest,
        name=customer_replies, outcome=st.sampled_from([0, 1, 2]), context=contexts,
    ),
}  # fmt: skip


class Numbered:
    """Ids that start anew at every call, so that equal calls have equal ids; the rest is random."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.drawn = 0

    def new_id(self) -> str:
        self.drawn += 1
        return f"{self.drawn:032x}"

    def nonce(self) -> bytes:
        nonce: bytes = self._inner.nonce()
        return nonce


class Sub:
    """Believes that the token is the name: who calls is not what is attacked here."""

    async def verify(self, token: str, now: object) -> Credential:
        return Credential(token, "test")


@dataclass
class Wire:
    """What a transport knows of one call."""

    who: str
    raw: object = grpc.aio.EOF
    written: list[bytes] = field(default_factory=list)

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.who}"),)

    def time_remaining(self) -> None:
        return None

    def auth_context(self) -> dict[str, list[bytes]]:
        return {}

    def set_trailing_metadata(self, metadata: object) -> None:
        self.trailing = metadata

    async def read(self) -> object:
        """Return the one message, then the end."""
        raw, self.raw = self.raw, grpc.aio.EOF
        return raw

    async def write(self, raw: bytes) -> None:
        self.written.append(raw)


async def told(house: House, who: str, name: str, message: Message) -> object:
    """Return everything that the caller gets, as bytes or as a failure."""
    front = Front(replace(house.gate, ids=Numbered(house.gate.ids)), Sub(), 5.0)
    raw = message.SerializeToString()
    context: Any = Wire(who, raw)
    try:
        for stream in STREAMS:
            if stream.name == name:
                return await streams.answer(stream, front, None, context), context.written
        (method,) = (each for each in METHODS if each.name == name)
        return await answer(method, front, raw, context)
    except FujieError as error:
        return (type(error).__name__, error.code)


async def leave_traces(house: House) -> None:
    """Make everything of which a stranger must not learn."""
    desk, support = caller("consent-desk"), caller("support-agent")
    for number in range(1, 4):
        ref = StoreKey("crm", f"C{number:05}")
        reply = await record_consent(house.gate, desk, RequestContext(), answers.answer(house.gate, ref))
        assert isinstance(reply, ConsentReply), reply
        await lookup(house.gate, support, ask("phone", customer=ref.customer_id), 2.0)
    draft = answers.answer(house.gate, StoreKey("crm", "C00002")).draft
    for gone in (StoreKey("crm", "C00002"), Phone("+8613999999999")):
        withdrawn = await withdraw_consent(house.gate, desk, gone, RequestContext(), draft)
        assert isinstance(withdrawn, ConsentReply), withdrawn
    assert isinstance(await lookup(house.gate, support, ask("phone"), 2.0), LookupReply)
    campaign = await campaign_to(
        house.gate, [StoreKey("crm", f"C{number:05}") for number in range(1, 4)], id=CAMPAIGN
    )
    assert campaign.id == CAMPAIGN
    assert house.gate.sending is not None
    register = house.gate.sending.processors
    await register.upsert_processor(
        Processor("carrier", "Carrier", "c-7", date(2026, 1, 1), date(2027, 1, 1)), house.hands.now()
    )
    await of_a_customer(house)
    await an_export(house)
    extra = Principal("only-here", roles=frozenset({"support"}), department="east")
    assert isinstance(await upsert_principal(house.gate, ADMIN, RequestContext(), extra), PrincipalReply)


async def of_a_customer(house: House) -> None:
    """A request, and disclosures."""
    now, rights = house.hands.now(), house.gate.rights
    sid = (await house.ledger.enrol([StoreKey("crm", "C00001")], now)).sid
    asked = SubjectRequest(REQUEST, sid, RequestKind.COMPLAINT, b"", now, now)
    assert await rights.requests.open_request(asked) == asked
    counts = {(sid, now.date(), "lookup", "after_sales"): 3}
    await rights.disclosures.add(Indexed("test/w7", 0, 3, counts))


async def an_export(house: House) -> None:
    """A leased file with a customer in it, opened once."""
    now, exports = house.hands.now(), house.gate.exports
    sid = (await house.ledger.enrol([StoreKey("crm", "C00001")], now)).sid
    lease = Lease(expires_at=now + timedelta(days=90), opens_left=9)
    await exports.begin_export(
        Export(
            id=EXPORT, requester="marketer", caller="marketer", store="crm", purpose="marketing", basis="consent",
            steps={"name": "reveal"}, request_digest="", bundle="", started_at=now, format=Format.CSV, lease=lease,
        )
    )  # fmt: skip
    await exports.add_chunk(ExportChunk(EXPORT, 0, (sid,), b"key"))
    await exports.open_lease(EXPORT, Opening("marketer", now))


async def hire(house: House) -> None:
    """Give both gates the askers that have a record and no right."""
    for name, employment in (("gone", State.ACTIVE), ("suspended", State.SUSPENDED)):
        record = Principal(name, roles=frozenset({"support"}), department="east", employment=employment)
        assert isinstance(
            await upsert_principal(house.gate, ADMIN, RequestContext(), record), PrincipalReply
        )
    assert isinstance(await offboard_principal(house.gate, ADMIN, RequestContext(), "gone"), PrincipalReply)


@pytest.fixture(scope="module")
def compare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., tuple[object, object]]]:
    """Return what one call is told by the gate full of traces, and by the empty one."""
    root = tmp_path_factory.mktemp("two-gates")
    with asyncio.Runner() as runner:

        async def open_gate(name: str, customers: int) -> tuple[Any, House]:
            directory = root / name
            directory.mkdir()
            store: Path = directory / "crm.db"
            create_store(store, customers)
            opening = opened_house(directory, store)
            return opening, sending(await opening.__aenter__(), CountingProvider())

        full_opening, full = runner.run(open_gate("full", 200))
        empty_opening, empty = runner.run(open_gate("empty", 0))
        for house in (full, empty):
            runner.run(hire(house))
        runner.run(leave_traces(full))
        yield lambda *call: (runner.run(told(full, *call)), runner.run(told(empty, *call)))
        for opening in (full_opening, empty_opening):
            runner.run(opening.__aexit__(None, None, None))


def test_every_method_is_attacked() -> None:
    names = [*(method.name for method in METHODS), *(stream.name for stream in STREAMS)]
    assert REQUESTS.keys() == set(names)


@pytest.mark.parametrize("name", list(REQUESTS))
def test_no_call_of_an_ungranted_principal_tells_two_gates_apart(
    compare: Callable[..., tuple[object, object]], name: str
) -> None:
    @settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    @given(who=st.sampled_from(ASKERS), message=REQUESTS[name])
    def attack(who: str, message: Message) -> None:
        full, empty = compare(who, name, message)
        assert full == empty

    attack()


one_call = st.sampled_from(list(REQUESTS)).flatmap(
    lambda name: st.tuples(st.sampled_from(ASKERS), st.just(name), REQUESTS[name])
)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(calls=st.lists(one_call, min_size=2, max_size=12))
def test_no_sequence_of_calls_of_ungranted_principals_tells_two_gates_apart(
    compare: Callable[..., tuple[object, object]], calls: list[tuple[str, str, Message]]
) -> None:
    """What one call leaves behind is told by no later one: of another method, or of another asker."""
    for call in calls:
        full, empty = compare(*call)
        assert full == empty


def test_a_granted_principal_does_tell_them_apart(compare: Callable[..., tuple[object, object]]) -> None:
    """Else the property above would hold for a gate that says nothing to anybody."""
    message = customer_v1.LookupCustomerRequest(
        customer=REFS[0],
        context=types_v1.RequestContext(
            purpose="after_sales", basis="contract", basis_evidence="o", ticket="T"
        ),
        read_mask=FieldMask(paths=["phone"]),
    )
    full, empty = compare("support-agent", "LookupCustomer", message)
    assert isinstance(full, bytes)
    assert not isinstance(empty, bytes)
