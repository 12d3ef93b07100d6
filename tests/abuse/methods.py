"""Every method of the wire with an honest call of it: what is attacked everywhere is attacked here.

`test_stuffing.py` fails when a method of the protos has no row.
"""

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from abuse.target import (
    ACKNOWLEDGE,
    ADD_RECIPIENTS,
    ADD_SUPPRESSION,
    APPROVALS,
    APPROVE,
    BATCH,
    CANCEL,
    CREATE_CAMPAIGN,
    DISCLOSURES,
    EVENTS,
    EXPIRING,
    EXPLAIN,
    EXPORT,
    EXPORT_EVIDENCE,
    EXPORTS,
    GET_APPROVAL,
    GET_BUNDLE,
    GET_CAMPAIGN,
    GET_CONSENT,
    GET_EXPORT,
    GET_MESSAGE,
    GET_OFFBOARDING,
    GET_PRINCIPAL,
    GET_PROCESSOR,
    GET_REPLY,
    GET_REQUEST,
    IMPORT,
    LIST_PRINCIPALS,
    LOOKUP,
    MARK_REPLY,
    MERGE,
    NO_SUCH_CAMPAIGN,
    OFFBOARD,
    OPEN_EXPORT,
    PAUSE,
    PROCESSORS,
    RECORD,
    REINSTATE,
    REJECT,
    REMOVE_SUPPRESSION,
    REPLIES,
    REQUESTS,
    RESOLVE,
    REVOKE,
    REVOKE_EXPORT,
    SCREEN,
    SEARCH,
    SEND,
    SHOWN,
    SPLIT,
    START,
    SUPPRESSIONS,
    SUSPEND,
    TRACE,
    TRANSFER,
    UPSERT,
    UPSERT_PROCESSOR,
    WATCH,
    WITHDRAW,
    ask,
    batch,
    by_id,
    campaign_draft,
    confirmed,
    consent,
    correcting,
    exporting,
    hired,
    imported,
    merge,
    promoting,
    promotion,
    screening,
    search,
    split,
)
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

NO_SUCH_SUPPRESSION = "0" * 32
NO_SUCH_APPROVAL = "approvals/" + "0" * 32
NO_SUCH_MESSAGE = "messages/" + "0" * 32
NO_SUCH_REQUEST = "0" * 32
NO_SUCH_EXPORT = "exports/" + "0" * 32

SERVICES = [
    service
    for file in (
        customer_v1, consent_v1, directory_v1, policy_v1, approval_v1, messaging_v1, processor_v1,
        request_v1, export_v1,
    )
    for service in file.DESCRIPTOR.services_by_name.values()
]  # fmt: skip
ON_THE_WIRE = {f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods}

HAND_OVER: Any = {"from": "nobody-at-all", "to": "agent"}
"""`from` is a word of Python."""

METHODS: dict[str, tuple[str, Message]] = {
    LOOKUP: ("agent", ask("phone", ticket="T-1")),
    BATCH: ("agent", batch(by_id(SHOWN), by_id("C00002"))),
    SEARCH: ("searcher", search("1234")),
    MERGE: ("officer", merge(by_id("C00031"), by_id("C00032"))),
    SPLIT: ("officer", split("C00032")),
    RECORD: ("desk", consent(by_id(SHOWN))),
    WITHDRAW: ("desk", consent_v1.WithdrawConsentRequest(customer=by_id(SHOWN), purpose="marketing")),
    GET_CONSENT: ("desk", consent_v1.GetConsentRequest(customer=by_id(SHOWN), purpose="marketing")),
    EVENTS: ("desk", consent_v1.ListConsentEventsRequest(customer=by_id(SHOWN))),
    EXPIRING: ("desk", consent_v1.ListExpiringConsentsRequest(purpose="marketing", within_days=30)),
    IMPORT: ("desk", imported(by_id(SHOWN))),
    EXPORT_EVIDENCE: ("desk", consent_v1.ExportConsentEvidenceRequest(customer=by_id(SHOWN))),
    ADD_SUPPRESSION: (
        "desk",
        consent_v1.AddSuppressionRequest(
            customer=by_id("C00033"), scope=consent_v1.SuppressionScope(purpose="marketing"), source="call"
        ),
    ),
    REMOVE_SUPPRESSION: (
        "desk",
        consent_v1.RemoveSuppressionRequest(
            suppression_id=NO_SUCH_SUPPRESSION, confirmation=confirmed()
        ),
    ),
    SUPPRESSIONS: ("desk", consent_v1.ListSuppressionsRequest(customer=by_id("C00033"))),
    UPSERT: ("chief", hired("somebody", "support")),
    GET_PRINCIPAL: ("chief", directory_v1.GetPrincipalRequest(id="agent")),
    LIST_PRINCIPALS: ("chief", directory_v1.ListPrincipalsRequest()),
    OFFBOARD: ("chief", directory_v1.OffboardPrincipalRequest(id="nobody-at-all")),
    SUSPEND: ("chief", directory_v1.SuspendPrincipalRequest(id="nobody-at-all")),
    REINSTATE: ("chief", directory_v1.ReinstatePrincipalRequest(id="nobody-at-all")),
    TRANSFER: ("chief", directory_v1.TransferCustomersRequest(**HAND_OVER)),
    GET_OFFBOARDING: ("chief", directory_v1.GetOffboardingRequest(id="agent")),
    ACKNOWLEDGE: ("chief", directory_v1.AcknowledgeOrderRequest(order="0" * 32)),
    EXPLAIN: ("officer", policy_v1.ExplainRequest(lookup=ask("phone"), principal="agent")),
    GET_BUNDLE: ("officer", policy_v1.GetBundleRequest()),
    GET_APPROVAL: ("compliance", approval_v1.GetApprovalRequest(name=NO_SUCH_APPROVAL)),
    APPROVALS: ("compliance", approval_v1.ListApprovalsRequest()),
    APPROVE: ("compliance", approval_v1.ApproveRequest(name=NO_SUCH_APPROVAL)),
    REJECT: ("compliance", approval_v1.RejectRequest(name=NO_SUCH_APPROVAL)),
    REVOKE: ("compliance", approval_v1.RevokeApprovalRequest(name=NO_SUCH_APPROVAL)),
    SEND: ("sender", promotion(by_id(SHOWN))),
    GET_MESSAGE: ("sender", messaging_v1.GetMessageRequest(name=NO_SUCH_MESSAGE)),
    CREATE_CAMPAIGN: (
        "sender", messaging_v1.CreateCampaignRequest(context=promoting(), draft=campaign_draft())
    ),
    ADD_RECIPIENTS: (
        "sender",
        messaging_v1.AddRecipientsRequest(
            name=NO_SUCH_CAMPAIGN, recipients=[messaging_v1.Recipient(customer=by_id(SHOWN))]
        ),
    ),
    START: ("sender", messaging_v1.StartCampaignRequest(name=NO_SUCH_CAMPAIGN)),
    PAUSE: ("sender", messaging_v1.PauseCampaignRequest(name=NO_SUCH_CAMPAIGN)),
    CANCEL: ("sender", messaging_v1.CancelCampaignRequest(name=NO_SUCH_CAMPAIGN)),
    GET_CAMPAIGN: ("sender", messaging_v1.GetCampaignRequest(name=NO_SUCH_CAMPAIGN)),
    WATCH: ("sender", messaging_v1.WatchCampaignRequest(name=NO_SUCH_CAMPAIGN)),
    SCREEN: ("sender", screening(by_id(SHOWN))),
    EXPORT: ("exporter", exporting()),
    GET_EXPORT: ("compliance", export_v1.GetExportRequest(name=NO_SUCH_EXPORT)),
    EXPORTS: ("compliance", export_v1.ListExportsRequest()),
    OPEN_EXPORT: ("exporter", export_v1.OpenExportRequest(name=NO_SUCH_EXPORT)),
    REVOKE_EXPORT: ("compliance", export_v1.RevokeExportRequest(name=NO_SUCH_EXPORT)),
    TRACE: ("auditor", export_v1.TraceCustomerRequest(customer=by_id(SHOWN))),
    UPSERT_PROCESSOR: (
        "registrar",
        processor_v1.UpsertProcessorRequest(
            processor=processor_v1.Processor(
                id="carrier", agreement="contract-7", valid_from="2026-01-01", valid_until="2027-01-01",
                region="CN",
            )
        ),
    ),
    GET_PROCESSOR: ("registrar", processor_v1.GetProcessorRequest(id="nobody-at-all")),
    PROCESSORS: ("registrar", processor_v1.ListProcessorsRequest()),
    GET_REQUEST: ("officer", request_v1.GetRequestRequest(id=NO_SUCH_REQUEST)),
    REQUESTS: ("officer", request_v1.ListRequestsRequest(customer=by_id(SHOWN))),
    RESOLVE: (
        "officer",
        request_v1.ResolveRequestRequest(
            id=NO_SUCH_REQUEST, outcome=request_v1.SUBJECT_REQUEST_OUTCOME_DONE
        ),
    ),
    DISCLOSURES: ("officer", request_v1.ListDisclosuresRequest(customer=by_id(SHOWN))),
    REPLIES: ("officer", request_v1.ListRepliesRequest()),
    GET_REPLY: ("officer", request_v1.GetReplyRequest(name=f"replies/{NO_SUCH_REQUEST}")),
    MARK_REPLY: (
        "officer",
        request_v1.MarkReplyRequest(
            name=f"replies/{NO_SUCH_REQUEST}", outcome=request_v1.REPLY_OUTCOME_NONE
        ),
    ),
}  # fmt: skip
"""Who may call it, and with what. An administrator, a clerk of the consent desk and the like: nobody may call all."""


OFFICERS = {
    RECORD, WITHDRAW, GET_CONSENT, EVENTS, EXPORT_EVIDENCE, IMPORT, ADD_SUPPRESSION, REMOVE_SUPPRESSION,
    SUPPRESSIONS, EXPIRING,
}  # fmt: skip
OF_CAMPAIGNS = {ADD_RECIPIENTS, START, PAUSE, CANCEL, GET_CAMPAIGN, WATCH, GET_MESSAGE}
"""Of somebody else's campaign nothing is told to who may send for another purpose: as if there were none."""

MAY: dict[str, set[str]] = {
    "chief": {
        UPSERT, GET_PRINCIPAL, LIST_PRINCIPALS, OFFBOARD, GET_BUNDLE, SUSPEND, REINSTATE, TRANSFER, GET_OFFBOARDING,
        ACKNOWLEDGE,
    },
    # A small list of one's own customers is granted; the honest request for one is for another purpose than a marketer's.
    # Who exports or sends lists the approvals that he asked for, and nobody else's.
    "agent": {LOOKUP, BATCH, EXPORT, OPEN_EXPORT, APPROVALS} | OF_CAMPAIGNS,
    # Look-ups for marketing, and by id; the honest ones are for another purpose.
    "marketer": {SEND, CREATE_CAMPAIGN, SCREEN, OPEN_EXPORT, APPROVALS} | OF_CAMPAIGNS,
    "desk": OFFICERS,
    "officer": OFFICERS
    | {MERGE, SPLIT, EXPLAIN, GET_BUNDLE, GET_PRINCIPAL, LIST_PRINCIPALS, GET_OFFBOARDING}
    | {GET_REQUEST, REQUESTS, RESOLVE, DISCLOSURES, REPLIES, GET_REPLY, MARK_REPLY},
    "searcher": {SEARCH},
    "compliance": {
        GET_APPROVAL, APPROVALS, APPROVE, REJECT, REVOKE, UPSERT_PROCESSOR, GET_PROCESSOR, PROCESSORS,
        GET_EXPORT, EXPORTS, REVOKE_EXPORT,
    },
    "sender": {
        SEND, GET_MESSAGE, CREATE_CAMPAIGN, ADD_RECIPIENTS, START, PAUSE, CANCEL, GET_CAMPAIGN, WATCH, SCREEN,
    },
    "registrar": {UPSERT_PROCESSOR, GET_PROCESSOR, PROCESSORS},
    "exporter": {EXPORT, OPEN_EXPORT},
    "auditor": {TRACE, EXPLAIN, GET_BUNDLE},
    "nobody": set(),
}  # fmt: skip
"""The methods whose honest call each of `STAFF` may make."""


def about(method: str, customer: types_v1.CustomerRef) -> Message:
    """Return an honest call of a method, about another customer where it names one."""
    changed: dict[str, Callable[[], Message]] = {
        LOOKUP: lambda: ask("phone", customer=customer),
        BATCH: lambda: batch(customer, customer),
        SEARCH: lambda: search((customer.phone or customer.store_key.customer_id)[-4:]),
        MERGE: lambda: merge(by_id(SHOWN), customer),
        SPLIT: lambda: customer_v1.SplitCustomerRequest(
            store_key=customer.store_key, context=correcting(), evidence_ref="form-1"
        ),
        RECORD: lambda: consent(customer),
        IMPORT: lambda: imported(customer),
        WITHDRAW: lambda: consent_v1.WithdrawConsentRequest(customer=customer, purpose="marketing"),
        GET_CONSENT: lambda: consent_v1.GetConsentRequest(customer=customer, purpose="marketing"),
        EVENTS: lambda: consent_v1.ListConsentEventsRequest(customer=customer),
        EXPORT_EVIDENCE: lambda: consent_v1.ExportConsentEvidenceRequest(customer=customer),
        ADD_SUPPRESSION: lambda: consent_v1.AddSuppressionRequest(customer=customer),
        SUPPRESSIONS: lambda: consent_v1.ListSuppressionsRequest(customer=customer),
        EXPLAIN: lambda: policy_v1.ExplainRequest(lookup=ask("phone", customer=customer)),
        SEND: lambda: promotion(customer),
        ADD_RECIPIENTS: lambda: messaging_v1.AddRecipientsRequest(
            name=NO_SUCH_CAMPAIGN, recipients=[messaging_v1.Recipient(customer=customer)]
        ),
        SCREEN: lambda: screening(customer),
        TRACE: lambda: export_v1.TraceCustomerRequest(customer=customer),
        REQUESTS: lambda: request_v1.ListRequestsRequest(customer=customer),
        DISCLOSURES: lambda: request_v1.ListDisclosuresRequest(customer=customer),
    }
    return changed[method]() if method in changed else METHODS[method][1]
