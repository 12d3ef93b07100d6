import asyncio
import re
from dataclasses import fields
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from fujie.decision.wording import Finding
from fujie.flows.campaign_review import Reviewed
from fujie.flows.campaigns import DraftReply
from fujie.flows.consent_ends import EndingReply
from fujie.flows.export_reply import ExportHead
from fujie.flows.reply import (
    ApprovalReply,
    ApprovalsReply,
    BatchReply,
    BundleDocument,
    BundleReply,
    CampaignReply,
    ChecklistReply,
    ConsentEventsReply,
    ConsentReply,
    ConsentStateReply,
    CorrectionReply,
    DisclosuresReply,
    EvidenceReply,
    ExplainReply,
    ExportReply,
    ExportsReply,
    ImportReply,
    KeysReply,
    LookupReply,
    MessageReply,
    NotificationReply,
    PrincipalReply,
    PrincipalsReply,
    ProcessorReply,
    ProcessorsReply,
    RecipientsReply,
    Refusal,
    ScreenReply,
    SearchReply,
    SubjectRequestReply,
    SubjectRequestsReply,
    Summary,
    SuppressionReply,
    SuppressionsReply,
    TracesReply,
    TransferReply,
)
from fujie.flows.reply_queue import HeardRepliesReply, HeardReply
from fujie.model.approval import Approval, Ballot, Requirement, Vote
from fujie.model.campaign import Campaign, CampaignState, Tally
from fujie.model.consent import ConsentEvent, ConsentEventType, Ending
from fujie.model.customer import StoreKey
from fujie.model.decision import Decision, Explanation, FieldOutcome, ReasonHit
from fujie.model.errors import LedgerError, RequestError
from fujie.model.export import Export, ExportState, Format, Lease, Opening, Trace
from fujie.model.message import Category, Draft, MessageState, ReplyOutcome
from fujie.model.message import Message as Sent
from fujie.model.notification import Notification
from fujie.model.offboarding import Checklist, Item, ItemKind, ItemState
from fujie.model.page import Page
from fujie.model.principal import Credential, Principal
from fujie.model.processor import Processor
from fujie.model.reasons import BUILT_IN_REASONS
from fujie.model.step import Step
from fujie.model.subject_request import Disclosure, RequestKind, SubjectRequest
from fujie.model.suppression import Suppression, SuppressionScope
from fujie.model.vocabulary import Effect, State
from fujie.policy.bundle import Severity
from fujie.ports.messaging import KeptReply
from fujie.transport.grpc import trailers
from fujie.transport.grpc.flows import Flows
from fujie.transport.grpc.methods import METHODS as UNARY
from fujie.transport.grpc.methods import STREAMS
from fujie.transport.grpc.services import GRACE_S
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

LOOKUP = "/fujie.v1.CustomerDataService/LookupCustomer"
ALLOWED = Summary("d-1", Effect.ALLOW, "sha256:0")
DENIED = Summary("d-2", Effect.DENY, "sha256:0")
NO_GRANT = Refusal(DENIED, (ReasonHit("NO_GRANT", 20, message=BUILT_IN_REASONS["NO_GRANT"].message),))
WHEN = datetime(2026, 1, 2, tzinfo=UTC)
EVENT = ConsentEvent("r-1", "s", "marketing", ConsentEventType.GIVEN, WHEN, WHEN, "anna")

OPT_OUT = Suppression("s-1", "s", SuppressionScope(), WHEN, WHEN, "anna")
CONFIRMED = consent_v1.Confirmation(method="signed_letter", evidence_ref="letter-1")
CONFIRMED.event_time.FromDatetime(WHEN)

NEED = Requirement("four-eyes", "two", ("officer",), 2, timedelta(hours=1))
APPROVAL = Approval(
    "0" * 32, "anna", frozenset({"anna"}), "lookup", "care", "consent", "crm", ("phone",), 1, "digest",
    (Ballot(NEED, (Vote("boss", WHEN, counts=False),)),), WHEN,
)  # fmt: skip
APPROVED = ApprovalReply(ALLOWED, APPROVAL, WHEN)

KEY = types_v1.CustomerRef(store_key=types_v1.StoreKey(store="crm", customer_id="C1"))
ASK = customer_v1.LookupCustomerRequest(customer=KEY, context=types_v1.RequestContext(on_behalf_of="boss"))
ASK.read_mask.paths.append("phone")
PRINCIPAL = directory_v1.Principal(
    id="li.na",
    kind=directory_v1.PRINCIPAL_KIND_EMPLOYEE,
    employment=directory_v1.EMPLOYMENT_ACTIVE,
    training=directory_v1.TRAINING_NONE,
)
HAND_OVER: Any = {"from": "li.na", "to": "wu.di"}  # `from` is a word of Python
ORDER = Notification(
    id="1" * 32,
    kind="customers.transfer",
    subject="li.na",
    payload={},
    created_at=datetime(2026, 3, 1, tzinfo=UTC),
    due_at=datetime(2026, 3, 4, tzinfo=UTC),
)
KNOWN = PrincipalReply(ALLOWED, Principal("li.na"))
RECORD = consent_v1.ConsentRecord(purpose="marketing", type=consent_v1.CONSENT_EVENT_TYPE_GIVEN)
DECISION = Decision(Effect.DENY, "sha256:0", NO_GRANT.reasons)

MERGE = customer_v1.MergeCustomersRequest(into=KEY, evidence_ref="form-1")
getattr(MERGE, "from").CopyFrom(KEY)  # a word of Python

METHODS: tuple[Any, ...] = (*UNARY, *STREAMS)
"""One message either way is the same frames, whether the method streams or not."""

DRAFT = messaging_v1.MessageDraft(
    category=messaging_v1.MESSAGE_CATEGORY_MARKETING, signature="fujie", text="hello"
)
CAMPAIGN = Campaign(
    "0" * 32, CampaignState.DONE, "anna", "anna", "", "marketing", "consent", False, False,
    Draft(Category.MARKETING, "fujie", "hello"), WHEN, (), WHEN, WHEN,
    Tally({MessageState.DELIVERED: 2, MessageState.REFUSED: 1}, {"CONSENT_MISSING": 1}),
)  # fmt: skip
RUN = CampaignReply(ALLOWED, CAMPAIGN)
EXPORT = Export(
    id="0" * 32, requester="anna", caller="crm", store="crm", purpose="marketing", basis="consent",
    steps={"name": "reveal"}, request_digest="d", bundle="b", started_at=WHEN, format=Format.CSV, rows=8,
    state=ExportState.STOPPED, reason="EXPORT_REVOKED", lease=Lease(expires_at=WHEN, opens_left=2), closed_at=WHEN,
)  # fmt: skip
EXPORTED = ExportReply(ALLOWED, EXPORT)
SENT = MessageReply(
    ALLOWED,
    Sent("0" * 32, MessageState.SUBMITTED, "anna", "marketing", Category.MARKETING, WHEN, WHEN, segments=2),
)
REVIEW = Reviewed(
    (Finding("superlative", ("AdLaw-9",), Severity.DENY, "best"),), 2, 45, ("mobile",), NO_GRANT.reasons
)
PROCESSOR = ProcessorReply(ALLOWED, Processor("p", "P", "a", date(2026, 1, 1), date(2027, 1, 1)))

ASKED = SubjectRequestReply(
    ALLOWED, SubjectRequest("f" * 32, "s", RequestKind.COMPLAINT, b"", WHEN, WHEN), "no answer"
)

HEARD = HeardReply(
    ALLOWED, KeptReply("f" * 32, "wire", "s", b"", WHEN, WHEN, "anna", ReplyOutcome.NONE), "no thanks"
)

CALLS: dict[str, tuple[str, Message, Any]] = {
    "ListReplies": (
        "list_replies",
        request_v1.ListRepliesRequest(),
        HeardRepliesReply(ALLOWED, Page((HEARD.reply,), "next")),
    ),
    "GetReply": ("get_reply", request_v1.GetReplyRequest(name="replies/" + "f" * 32), HEARD),
    "MarkReply": (
        "mark_reply",
        request_v1.MarkReplyRequest(name="replies/" + "f" * 32, outcome=request_v1.REPLY_OUTCOME_NONE),
        HEARD,
    ),
    "ListExpiringConsents": (
        "list_expiring_consents",
        consent_v1.ListExpiringConsentsRequest(purpose="marketing", within_days=30),
        EndingReply(ALLOWED, (Ending(StoreKey("crm", "C00001"), WHEN),), 0, "next"),
    ),
    "GetRequest": ("get_request", request_v1.GetRequestRequest(id="f" * 32), ASKED),
    "ListRequests": (
        "list_requests",
        request_v1.ListRequestsRequest(),
        SubjectRequestsReply(ALLOWED, Page((ASKED.request,), "next")),
    ),
    "ResolveRequest": (
        "resolve_request",
        request_v1.ResolveRequestRequest(id="f" * 32, outcome=request_v1.SUBJECT_REQUEST_OUTCOME_REFUSED),
        ASKED,
    ),
    "ListDisclosures": (
        "list_disclosures",
        request_v1.ListDisclosuresRequest(customer=KEY),
        DisclosuresReply(ALLOWED, Page((Disclosure(WHEN.date(), "lookup", "marketing", 2),), "next")),
    ),
    "SendMessage": (
        "send_message",
        messaging_v1.SendMessageRequest(
            customer=KEY, category=messaging_v1.MESSAGE_CATEGORY_MARKETING, signature="fujie", text="hello"
        ),
        SENT,
    ),
    "GetMessage": ("get_message", messaging_v1.GetMessageRequest(name="messages/" + "0" * 32), SENT),
    "CreateCampaign": (
        "create_campaign",
        messaging_v1.CreateCampaignRequest(draft=DRAFT),
        DraftReply(ALLOWED, CAMPAIGN, REVIEW),
    ),
    "AddRecipients": (
        "add_recipients",
        messaging_v1.AddRecipientsRequest(
            name=CAMPAIGN.name, recipients=[messaging_v1.Recipient(customer=KEY)]
        ),
        RecipientsReply(ALLOWED, 1, 0, {"PHONE_INVALID": [1]}),
    ),
    "StartCampaign": ("start_campaign", messaging_v1.StartCampaignRequest(name=CAMPAIGN.name), RUN),
    "PauseCampaign": ("pause_campaign", messaging_v1.PauseCampaignRequest(name=CAMPAIGN.name), RUN),
    "CancelCampaign": ("cancel_campaign", messaging_v1.CancelCampaignRequest(name=CAMPAIGN.name), RUN),
    "GetCampaign": ("get_campaign", messaging_v1.GetCampaignRequest(name=CAMPAIGN.name), RUN),
    "WatchCampaign": ("watch_campaign", messaging_v1.WatchCampaignRequest(name=CAMPAIGN.name), RUN),
    "ScreenRecipients": (
        "screen_recipients",
        messaging_v1.ScreenRecipientsRequest(draft=DRAFT, store="crm", customer_ids=["C1"]),
        ScreenReply(ALLOWED, (DECISION,), (0,)),
    ),
    "ExportCustomers": (
        "export_customers",
        customer_v1.ExportCustomersRequest(
            store="crm", read_mask={"paths": ["name"]}, max_rows=1, format=customer_v1.EXPORT_FORMAT_CSV
        ),
        ExportHead(ALLOWED, EXPORT, {"name": FieldOutcome(Step("reveal"))}, b"name"),
    ),
    "GetExport": ("get_export", export_v1.GetExportRequest(name=EXPORT.name), EXPORTED),
    "ListExports": (
        "list_exports",
        export_v1.ListExportsRequest(requester="anna", state=export_v1.EXPORT_STATE_STOPPED),
        ExportsReply(ALLOWED, Page((EXPORT,), "next")),
    ),
    "RevokeExport": ("revoke_export", export_v1.RevokeExportRequest(name=EXPORT.name), EXPORTED),
    "OpenExport": (
        "open_export",
        export_v1.OpenExportRequest(name=EXPORT.name),
        KeysReply(ALLOWED, EXPORT, ((0, b"k" * 32), (1, None))),
    ),
    "TraceCustomer": (
        "trace_customer",
        export_v1.TraceCustomerRequest(customer=KEY),
        TracesReply(ALLOWED, Page((Trace(EXPORT, (0, 7), (Opening("li.na", WHEN),)),))),
    ),
    "UpsertProcessor": (
        "upsert_processor",
        processor_v1.UpsertProcessorRequest(
            processor=processor_v1.Processor(
                id="p", valid_from="2026-01-01", valid_until="2027-01-01", region="CN"
            )
        ),
        PROCESSOR,
    ),
    "GetProcessor": ("get_processor", processor_v1.GetProcessorRequest(id="p"), PROCESSOR),
    "ListProcessors": (
        "list_processors",
        processor_v1.ListProcessorsRequest(),
        ProcessorsReply(ALLOWED, Page((PROCESSOR.processor,), "next")),
    ),
    "LookupCustomer": ("lookup", ASK, LookupReply(ALLOWED, {"phone": "138****8000"}, {})),
    "BatchLookupCustomers": (
        "batch_lookup",
        customer_v1.BatchLookupCustomersRequest(customers=[KEY], read_mask=ASK.read_mask),
        BatchReply((LookupReply(ALLOWED, {"phone": "138****8000"}, {}), NO_GRANT)),
    ),
    "SearchCustomers": (
        "search",
        customer_v1.SearchCustomersRequest(phone_last_four="8000", store="crm", read_mask=ASK.read_mask),
        SearchReply(ALLOWED, (LookupReply(ALLOWED, {"phone": "138****8000"}, {}),)),
    ),
    "RecordConsent": (
        "record_consent",
        consent_v1.RecordConsentRequest(customer=KEY, consent=RECORD),
        ConsentReply(ALLOWED, EVENT),
    ),
    "ImportConsents": (
        "import_consents",
        consent_v1.ImportConsentsRequest(rows=[consent_v1.ConsentRow(customer=KEY, consent=RECORD)]),
        ImportReply(ALLOWED, 1, 1, {"PHONE_INVALID": 1}, {"PHONE_INVALID": [1]}),
    ),
    "WithdrawConsent": (
        "withdraw_consent",
        consent_v1.WithdrawConsentRequest(customer=KEY, purpose="marketing"),
        ConsentReply(ALLOWED, EVENT),
    ),
    "GetConsent": (
        "get_consent",
        consent_v1.GetConsentRequest(customer=KEY, purpose="marketing"),
        ConsentStateReply(ALLOWED, State.GIVEN, EVENT),
    ),
    "ExportConsentEvidence": (
        "export_consent_evidence",
        consent_v1.ExportConsentEvidenceRequest(customer=KEY),
        EvidenceReply(ALLOWED, b"{}"),
    ),
    "ListConsentEvents": (
        "list_consent_events",
        consent_v1.ListConsentEventsRequest(customer=KEY),
        ConsentEventsReply(ALLOWED, Page((EVENT,), "next")),
    ),
    "AddSuppression": (
        "add_suppression",
        consent_v1.AddSuppressionRequest(customer=KEY),
        SuppressionReply(ALLOWED, OPT_OUT),
    ),
    "RemoveSuppression": (
        "remove_suppression",
        consent_v1.RemoveSuppressionRequest(suppression_id="s-1", confirmation=CONFIRMED),
        SuppressionReply(ALLOWED, OPT_OUT),
    ),
    "ListSuppressions": (
        "list_suppressions",
        consent_v1.ListSuppressionsRequest(),
        SuppressionsReply(ALLOWED, Page((OPT_OUT,))),
    ),
    "MergeCustomers": (
        "merge_customers",
        MERGE,
        CorrectionReply(ALLOWED),
    ),
    "SplitCustomer": (
        "split_customer",
        customer_v1.SplitCustomerRequest(store_key=KEY.store_key, evidence_ref="form-1"),
        CorrectionReply(ALLOWED),
    ),
    "ListPrincipals": (
        "list_principals",
        directory_v1.ListPrincipalsRequest(),
        PrincipalsReply(ALLOWED, Page((Principal("li.na"),))),
    ),
    "UpsertPrincipal": (
        "upsert_principal",
        directory_v1.UpsertPrincipalRequest(principal=PRINCIPAL),
        KNOWN,
    ),
    "GetPrincipal": ("get_principal", directory_v1.GetPrincipalRequest(id="li.na"), KNOWN),
    "OffboardPrincipal": ("offboard_principal", directory_v1.OffboardPrincipalRequest(id="li.na"), KNOWN),
    "SuspendPrincipal": ("suspend_principal", directory_v1.SuspendPrincipalRequest(id="li.na"), KNOWN),
    "ReinstatePrincipal": (
        "reinstate_principal",
        directory_v1.ReinstatePrincipalRequest(id="li.na"),
        KNOWN,
    ),
    "TransferCustomers": (
        "transfer_customers",
        directory_v1.TransferCustomersRequest(**HAND_OVER),
        TransferReply(ALLOWED, ORDER, ("0" * 32,), 1),
    ),
    "GetOffboarding": (
        "get_offboarding",
        directory_v1.GetOffboardingRequest(id="li.na"),
        ChecklistReply(
            ALLOWED,
            Checklist(Principal("li.na"), (Item(kind=ItemKind.ACCESS, state=ItemState.NOT_DUE),)),
        ),
    ),
    "AcknowledgeOrder": (
        "acknowledge_order",
        directory_v1.AcknowledgeOrderRequest(order=ORDER.id),
        NotificationReply(ALLOWED, ORDER),
    ),
    "Explain": (
        "explain",
        policy_v1.ExplainRequest(lookup=ASK, principal="li.na"),
        ExplainReply(ALLOWED, Explanation(DECISION, ())),
    ),
    "GetBundle": (
        "get_bundle",
        policy_v1.GetBundleRequest(),
        BundleReply(ALLOWED, (BundleDocument("Grant", "g", "g.yaml"),)),
    ),
    "GetApproval": ("get_approval", approval_v1.GetApprovalRequest(name=APPROVAL.name), APPROVED),
    "ListApprovals": (
        "list_approvals",
        approval_v1.ListApprovalsRequest(with_closed=True),
        ApprovalsReply(ALLOWED, Page((APPROVAL,), "next"), WHEN),
    ),
    "Approve": ("approve", approval_v1.ApproveRequest(name=APPROVAL.name), APPROVED),
    "Reject": ("reject", approval_v1.RejectRequest(name=APPROVAL.name), APPROVED),
    "RevokeApproval": (
        "revoke_approval",
        approval_v1.RevokeApprovalRequest(name=APPROVAL.name),
        APPROVED,
    ),
}


def error_info(error: grpc.aio.AioRpcError) -> error_details_pb2.ErrorInfo:
    [raw] = [value for key, value in error.trailing_metadata() if key == trailers.DETAILS_KEY]
    info = error_details_pb2.ErrorInfo()
    assert status_pb2.Status.FromString(raw).details[0].Unpack(info)
    return info


def test_every_rpc_of_the_package_is_one_row_of_its_types() -> None:
    files = (
        customer_v1, consent_v1, directory_v1, policy_v1, approval_v1, messaging_v1, processor_v1,
        request_v1, export_v1,
    )  # fmt: skip
    declared = {
        (service.full_name, method.name, method.input_type.full_name)
        for file in files
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
    assert declared == {(m.service, m.name, m.request.DESCRIPTOR.full_name) for m in METHODS}
    assert len(declared) == len(METHODS) == len(CALLS)


def test_every_row_has_an_action_of_its_own_which_is_the_one_that_the_proto_documents() -> None:
    protos = Path(__file__).parents[4] / "protos" / "fujie" / "v1"
    text = "\n".join(path.read_text("utf-8") for path in sorted(protos.glob("*_service.proto")))
    documented = {name: action for action, name in re.findall(r"Action: ([a-z_.]+)\.\n  rpc (\w+)\(", text)}
    assert documented == {method.name: method.action.value for method in METHODS}


def test_every_flow_is_called_by_a_method_or_by_bad_input() -> None:
    others = {"refuse_input", "add_from_store", "left"}
    assert {f.name for f in fields(Flows)} == {flow for flow, _, _ in CALLS.values()} | others


async def test_recipients_from_a_store_are_a_flow_of_their_own_and_stand_alone(serve: Any) -> None:
    path = "/fujie.v1.MessagingService/AddRecipients"
    query = messaging_v1.StoreQuery(store="crm", filter="gender = F", max_rows=7, resume_token="t-1")
    good = messaging_v1.AddRecipientsRequest(name=CAMPAIGN.name, query=query)
    async with serve({"add_from_store": RecipientsReply(ALLOWED, 7, 0, {}, "t-2")}) as served:
        call = served.channel.unary_unary(path)(good.SerializeToString(), metadata=served.authorized)
        assert messaging_v1.AddRecipientsResponse.FromString(await call).resume_token == "t-2"
        ((name, (_, asked, *_)),) = served.script.calls
        assert (name, asked.store, asked.filter, asked.max_rows) == (
            "add_from_store", "crm", "gender = F", 7,
        )  # fmt: skip
        for wrong in ({"max_rows": 0}, {"max_rows": 1_000_001}, {"store": ""}, {"filter": "a" * 4_001}):
            bad = messaging_v1.AddRecipientsRequest(name=CAMPAIGN.name)
            bad.query.CopyFrom(query)
            for field, value in wrong.items():
                setattr(bad.query, field, value)
            await served.failure(path, bad.SerializeToString())
            assert served.script.calls[-1][0] == "refuse_input"


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
async def test_a_good_call_reaches_its_flow_and_answers_with_the_decision_id(
    method: Any, serve: Any
) -> None:
    flow, request, reply = CALLS[method.name]
    async with serve({flow: reply}) as served:
        call = served.channel.unary_unary(method.path)(
            request.SerializeToString(), metadata=served.authorized
        )
        raw = await call
        assert [(flow, "anna")] == [(name, args[0].subject) for name, args in served.script.calls]
        assert ("fujie-decision-id", "d-1") in [tuple(pair) for pair in await call.trailing_metadata()]
        assert b"d-1" in raw
        assert served.incidents == []


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
async def test_a_refusal_is_told_with_its_decision(method: Any, serve: Any) -> None:
    flow, request, _ = CALLS[method.name]
    async with serve({flow: NO_GRANT}) as served:
        error = await served.failure(method.path, request.SerializeToString())
        assert grpc.StatusCode.PERMISSION_DENIED is error.code()
        assert (error_info(error).reason, error_info(error).metadata["decision_id"]) == ("NO_GRANT", "d-2")
        assert ("fujie-decision-id", "d-2") in [tuple(pair) for pair in error.trailing_metadata()]
        assert served.incidents == []


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
async def test_bad_input_goes_to_refuse_input_with_the_action_and_never_to_the_flow(
    method: Any, serve: Any
) -> None:
    _, request, _ = CALLS[method.name]
    refusal = Refusal(DENIED, (ReasonHit("ARGUMENT_INVALID", 30),), field="x.y")
    unknown_field = request.SerializeToString() + b"\x98\x06\x01"
    async with serve({"refuse_input": refusal}) as served:
        for raw in (unknown_field, b"\xff\xff"):
            error = await served.failure(method.path, raw)
            assert grpc.StatusCode.INVALID_ARGUMENT is error.code()
            assert error_info(error).metadata["decision_id"] == "d-2"
        calls = [(name, args[0], args[1], type(args[2])) for name, args in served.script.calls]
        anna = Credential("anna", "unsafe_static_tokens")
        assert [("refuse_input", anna, method.action, RequestError)] * 2 == calls


@pytest.mark.parametrize("method", METHODS, ids=lambda m: m.name)
async def test_an_unauthenticated_call_reaches_no_flow_even_when_malformed(method: Any, serve: Any) -> None:
    async with serve() as served:
        for metadata in (
            (),
            (("authorization", "Bearer wrong"),),
            (("x-user", "anna"), ("x-role", "admin")),
        ):
            error = await served.failure(method.path, b"\xff", metadata)
            assert grpc.StatusCode.UNAUTHENTICATED is error.code()
            assert "decision_id" not in error_info(error).metadata
        assert served.script.calls == []
        assert [i.code for i in served.incidents] == ["UNAUTHENTICATED", "TOKEN_INVALID", "UNAUTHENTICATED"]


async def test_identity_headers_of_others_change_nothing(serve: Any) -> None:
    _, request, reply = CALLS["LookupCustomer"]
    spoofed = (
        ("x-user", "root"),
        ("x-role", "administrator"),
        ("x-forwarded-client-cert", "URI=spiffe://a/b"),
        ("x-forwarded-user", "root"),
        ("fujie-principal", "root"),
        ("authorization-bin", b"Bearer root"),
    )
    async with serve({"lookup": reply}) as served:
        await served.call(LOOKUP, request.SerializeToString(), (*served.authorized, *spoofed))
        [(_, (caller, ask, _))] = served.script.calls
        assert Credential("anna", "unsafe_static_tokens") == caller
        assert ("boss", StoreKey("crm", "C1")) == (ask.context.on_behalf_of, ask.customer)


@pytest.mark.parametrize("header", ["authorization", "x-user", "x-forwarded-client-cert"])
async def test_a_repeated_security_header_refuses_the_call(header: str, serve: Any) -> None:
    async with serve() as served:
        repeated = ((header, served.authorized[0][1]),) * 2
        error = await served.failure(LOOKUP, ASK.SerializeToString(), (*served.authorized, *repeated))
        assert grpc.StatusCode.UNAUTHENTICATED is error.code()
        assert error_info(error).reason == "METADATA_REPEATED"
        assert served.script.calls == []


async def test_a_flow_gets_the_callers_deadline_but_never_more_than_the_servers(serve: Any) -> None:
    _, _, reply = CALLS["LookupCustomer"]
    async with serve({"lookup": reply}, timeout_s=50.0) as served:
        for timeout in (None, 3_600, 20.0):
            await served.call(LOOKUP, ASK.SerializeToString(), timeout=timeout)
        unbounded, long, short = (args[2] for _, args in served.script.calls)
    assert (unbounded, long) == (50.0, 50.0)
    assert 0.0 < short < 21.0


async def test_a_flow_that_hangs_ends_with_the_servers_deadline(serve: Any) -> None:
    async def hang(*_args: Any) -> None:
        await asyncio.Event().wait()

    async with serve({"lookup": hang}, timeout_s=-GRACE_S + 0.05) as served:
        error = await served.failure(LOOKUP, ASK.SerializeToString())
        assert grpc.StatusCode.DEADLINE_EXCEEDED is error.code()
        assert error_info(error).reason == "DEADLINE_EXCEEDED"


CLOSING = frozenset(
    {"WithdrawConsent", "RecordConsent", "AddSuppression", "OffboardPrincipal", "UpsertPrincipal"}
)


@pytest.mark.parametrize("method", [each for each in METHODS if each.name in CLOSING], ids=lambda m: m.name)
async def test_what_closes_may_wait_for_its_confirmation_longer_than_other_calls(
    method: Any, serve: Any
) -> None:
    flow, request, reply = CALLS[method.name]

    async def wait(*_args: Any) -> Any:
        await asyncio.sleep(0.1)  # longer than this server lets other calls take
        return reply

    async with serve({flow: wait}, timeout_s=-GRACE_S + 0.05) as served:
        await served.call(method.path, request.SerializeToString())


async def test_a_caller_that_gives_up_cancels_the_flow(serve: Any) -> None:
    started, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(*_args: Any) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    async with serve({"lookup": hang}) as served:
        call = served.channel.unary_unary(LOOKUP)(ASK.SerializeToString(), metadata=served.authorized)
        await asyncio.wait_for(started.wait(), 60)
        call.cancel()
        await asyncio.wait_for(cancelled.wait(), 60)
        assert served.incidents == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("13800138000 secret"), grpc.StatusCode.INTERNAL),
        (LedgerError("13800138000 secret"), grpc.StatusCode.UNAVAILABLE),
        (TypeError("13800138000 secret"), grpc.StatusCode.INTERNAL),
    ],
)
async def test_no_text_of_an_exception_reaches_the_client(
    error: Exception, code: grpc.StatusCode, serve: Any
) -> None:
    async def fail(*_args: Any) -> None:
        raise error

    async with serve({"lookup": fail}) as served:
        told = await served.failure(LOOKUP, ASK.SerializeToString())
        assert code is told.code()
        whole = repr(
            (told.details(), told.debug_error_string(), list(told.trailing_metadata()), served.incidents)
        )
        assert "138" not in whole
        assert "secret" not in whole
        assert served.incidents[0].id == error_info(told).metadata["incident_id"]


async def test_a_reply_that_does_not_render_releases_nothing(serve: Any) -> None:
    broken = LookupReply(ALLOWED, {"phone": "13800138000\ud800"}, {})
    async with serve({"lookup": broken}) as served:
        told = await served.failure(LOOKUP, ASK.SerializeToString())
        assert grpc.StatusCode.INTERNAL is told.code()
        assert "138" not in repr((told.details(), list(told.trailing_metadata())))


@pytest.mark.parametrize(
    "name",
    ["", "x", "approvals/", "approvals/1", "0" * 32, "approvals/" + "A" * 32, "approvals/" + "0" * 33],
)
async def test_a_name_that_names_no_approval_is_bad_input(name: str, serve: Any) -> None:
    refusal = Refusal(DENIED, (ReasonHit("ARGUMENT_INVALID", 30),), field="name")
    async with serve({"refuse_input": refusal}) as served:
        request = approval_v1.ApproveRequest(name=name).SerializeToString()
        error = await served.failure("/fujie.v1.ApprovalService/Approve", request)
        assert grpc.StatusCode.INVALID_ARGUMENT is error.code()
        ((_, args),) = served.script.calls
        assert args[-1].field == "name"


async def test_an_approval_is_told_as_it_stands_and_names_no_customer(serve: Any) -> None:
    async with serve({"get_approval": APPROVED}) as served:
        request = approval_v1.GetApprovalRequest(name=APPROVAL.name).SerializeToString()
        raw = await served.call("/fujie.v1.ApprovalService/GetApproval", request)
        told = approval_v1.GetApprovalResponse.FromString(raw).approval
        assert (told.name, told.state) == (APPROVAL.name, approval_v1.APPROVAL_STATE_PENDING)
        assert (told.requester, list(told.fields), told.rows) == ("anna", ["phone"], 1)
        (need,) = told.requirements
        assert (need.count, need.valid_for.seconds, list(need.roles)) == (2, 3600, ["officer"])
        assert [(vote.principal, vote.counts) for vote in need.votes] == [("boss", False)]
        assert "digest" not in str(told)
