"""The use cases that the methods call, as one table: the transport names each flow here and nowhere else."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from fujie.flows import (
    additions,
    aliases,
    approvals,
    batch,
    campaign_query,
    campaign_start,
    campaigns,
    consent,
    consent_ends,
    consent_events,
    consent_evidence,
    consent_import,
    directory,
    export,
    exports,
    lookup,
    messaging,
    notifications,
    offboarding,
    opening,
    policy,
    processors,
    refuse,
    reply_queue,
    screen,
    subject_requests,
    suppression,
    tracing,
)
from fujie.flows.additions import Rows
from fujie.flows.aliases import Merge
from fujie.flows.campaign_scan import QueryAsk
from fujie.flows.campaign_start import StartAsk
from fujie.flows.campaigns import CampaignAsk, DraftReply
from fujie.flows.consent import Answer, ConsentQuery
from fujie.flows.consent_events import EventsQuery
from fujie.flows.consent_import import ImportAsk
from fujie.flows.consent_import import Rows as ConsentRows
from fujie.flows.export_reply import Answer as Exported
from fujie.flows.gate import Gate
from fujie.flows.offboarding import Transfer
from fujie.flows.reply import (
    ApprovalReply,
    ApprovalsReply,
    BatchReply,
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
    SuppressionReply,
    SuppressionsReply,
    TracesReply,
    TransferReply,
)
from fujie.flows.screen import Refs, ScreenAsk
from fujie.flows.subject_requests import DisclosuresQuery, RequestsQuery, Resolving
from fujie.flows.suppression import OptOut, SuppressionQuery
from fujie.flows.tracing import TraceQuery
from fujie.model.consent import ConsentEvent
from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.errors import RequestError
from fujie.model.export import ExportFilter
from fujie.model.page import Slice
from fujie.model.principal import Credential, Principal, PrincipalFilter
from fujie.model.processor import Processor
from fujie.model.request import BatchAsk, ExportAsk, LookupAsk, RequestContext, SearchAsk, SendAsk
from fujie.model.suppression import Confirmation
from fujie.model.vocabulary import Action

_Consented = Awaitable[ConsentReply | Refusal]
_Directed = Awaitable[PrincipalReply | Refusal]
_Offboarding = Callable[[Gate, Credential, RequestContext, str, datetime | None], _Directed]
_OptedOut = Awaitable[SuppressionReply | Refusal]
_Corrected = Awaitable[CorrectionReply | Refusal]
_Approval = Callable[..., Awaitable[ApprovalReply | Refusal]]
_Campaign = Callable[[Gate, Credential, RequestContext, str], Awaitable[CampaignReply | Refusal]]
_Messaged = Awaitable[MessageReply | Refusal]
_Said = TypeVar("_Said")
_Told = TypeVar("_Told")
_Flow = Callable[[Gate, Credential, RequestContext, _Said], Awaitable[_Told | Refusal]]
_Named = Callable[[Gate, Credential, RequestContext, str], Awaitable[_Told | Refusal]]


@dataclass(frozen=True, slots=True)
class Flows:
    """The use cases that the methods call."""

    lookup: Callable[[Gate, Credential, LookupAsk, float], Awaitable[LookupReply | Refusal]] = lookup.lookup
    batch_lookup: Callable[[Gate, Credential, BatchAsk, float], Awaitable[BatchReply | Refusal]] = (
        batch.batch_lookup
    )
    search: Callable[[Gate, Credential, SearchAsk, float], Awaitable[SearchReply | Refusal]] = batch.search
    record_consent: Callable[[Gate, Credential, RequestContext, Answer], _Consented] = (
        consent.record_consent
    )
    withdraw_consent: Callable[
        [Gate, Credential, CustomerRef, RequestContext, ConsentEvent], _Consented
    ] = consent.withdraw_consent
    get_consent: Callable[[Gate, Credential, ConsentQuery], Awaitable[ConsentStateReply | Refusal]] = (
        consent.get_consent
    )
    export_consent_evidence: Callable[
        [Gate, Credential, ConsentQuery], Awaitable[EvidenceReply | Refusal]
    ] = consent_evidence.export_consent_evidence
    upsert_principal: Callable[[Gate, Credential, RequestContext, Principal], _Directed] = (
        directory.upsert_principal
    )
    get_principal: Callable[[Gate, Credential, RequestContext, str], _Directed] = directory.get_principal
    offboard_principal: _Offboarding = directory.offboard_principal
    explain: Callable[
        [Gate, Credential, RequestContext, LookupAsk, str], Awaitable[ExplainReply | Refusal]
    ] = policy.explain
    get_bundle: Callable[[Gate, Credential, RequestContext], Awaitable[BundleReply | Refusal]] = (
        policy.get_bundle
    )
    list_consent_events: _Flow[EventsQuery, ConsentEventsReply] = consent_events.list_consent_events
    import_consents: Callable[
        [Gate, Credential, ImportAsk, AsyncIterator[ConsentRows]], Awaitable[ImportReply | Refusal]
    ] = consent_import.import_consents
    add_suppression: Callable[[Gate, Credential, RequestContext, OptOut], _OptedOut] = (
        suppression.add_suppression
    )
    remove_suppression: Callable[[Gate, Credential, RequestContext, str, Confirmation], _OptedOut] = (
        suppression.remove_suppression
    )
    list_suppressions: _Flow[SuppressionQuery, SuppressionsReply] = suppression.list_suppressions
    merge_customers: Callable[[Gate, Credential, RequestContext, Merge], _Corrected] = (
        aliases.merge_customers
    )
    split_customer: Callable[[Gate, Credential, RequestContext, StoreKey, str], _Corrected] = (
        aliases.split_customer
    )
    list_principals: Callable[
        [Gate, Credential, RequestContext, PrincipalFilter, Slice], Awaitable[PrincipalsReply | Refusal]
    ] = directory.list_principals
    get_approval: _Approval = approvals.get_approval
    list_approvals: Callable[..., Awaitable[ApprovalsReply | Refusal]] = approvals.list_approvals
    approve: _Approval = approvals.approve
    reject: _Approval = approvals.reject
    revoke_approval: _Approval = approvals.revoke_approval
    send_message: Callable[[Gate, Credential, SendAsk, float], _Messaged] = messaging.send_message
    get_message: Callable[[Gate, Credential, RequestContext, str], _Messaged] = messaging.get_message
    create_campaign: Callable[[Gate, Credential, CampaignAsk], Awaitable[DraftReply | Refusal]] = (
        campaigns.create_campaign
    )
    add_recipients: Callable[
        [Gate, Credential, RequestContext, str, AsyncIterator[Rows]], Awaitable[RecipientsReply | Refusal]
    ] = additions.add_recipients
    add_from_store: Callable[
        [Gate, Credential, QueryAsk, AsyncIterator[Rows], float], Awaitable[RecipientsReply | Refusal]
    ] = campaign_query.add_from_store
    start_campaign: Callable[[Gate, Credential, StartAsk], Awaitable[CampaignReply | Refusal]] = (
        campaign_start.start_campaign
    )
    pause_campaign: _Campaign = campaigns.pause_campaign
    cancel_campaign: _Campaign = campaigns.cancel_campaign
    get_campaign: _Campaign = campaigns.get_campaign
    watch_campaign: Callable[
        [Gate, Credential, RequestContext, str], AsyncIterator[CampaignReply | Refusal]
    ] = campaigns.watch_campaign
    screen_recipients: Callable[
        [Gate, Credential, ScreenAsk, AsyncIterator[Refs]], AsyncIterator[ScreenReply | Refusal]
    ] = screen.screen_recipients
    export_customers: Callable[[Gate, Credential, ExportAsk, float], AsyncIterator[Exported]] = (
        export.export_customers
    )
    get_export: Callable[[Gate, Credential, RequestContext, str], Awaitable[ExportReply | Refusal]] = (
        exports.get_export
    )
    list_exports: Callable[
        [Gate, Credential, RequestContext, ExportFilter, Slice], Awaitable[ExportsReply | Refusal]
    ] = exports.list_exports
    revoke_export: Callable[[Gate, Credential, RequestContext, str], Awaitable[ExportReply | Refusal]] = (
        exports.revoke_export
    )
    open_export: Callable[[Gate, Credential, RequestContext, str], AsyncIterator[KeysReply | Refusal]] = (
        opening.open_export
    )
    trace_customer: _Flow[TraceQuery, TracesReply] = tracing.trace_customer
    upsert_processor: _Flow[Processor, ProcessorReply] = processors.upsert_processor
    get_processor: _Flow[str, ProcessorReply] = processors.get_processor
    list_processors: _Flow[Slice, ProcessorsReply] = processors.list_processors
    get_request: _Flow[str, SubjectRequestReply] = subject_requests.get_request
    list_requests: _Flow[RequestsQuery, SubjectRequestsReply] = subject_requests.list_requests
    resolve_request: _Flow[Resolving, SubjectRequestReply] = subject_requests.resolve_request
    list_disclosures: _Flow[DisclosuresQuery, DisclosuresReply] = subject_requests.list_disclosures
    suspend_principal: _Named[PrincipalReply] = offboarding.suspend_principal
    reinstate_principal: _Named[PrincipalReply] = offboarding.reinstate_principal
    transfer_customers: _Flow[Transfer, TransferReply] = offboarding.transfer_customers
    get_offboarding: _Named[ChecklistReply] = offboarding.get_offboarding
    acknowledge_order: _Named[NotificationReply] = notifications.acknowledge_notification
    list_replies: _Flow[reply_queue.RepliesQuery, reply_queue.HeardRepliesReply] = reply_queue.list_replies
    get_reply: _Flow[reply_queue.ReplyQuery, reply_queue.HeardReply] = reply_queue.get_reply
    mark_reply: _Flow[reply_queue.Marking, reply_queue.HeardReply] = reply_queue.mark_reply
    list_expiring_consents: _Flow[consent_ends.EndsQuery, consent_ends.EndingReply] = (
        consent_ends.list_expiring_consents
    )
    refuse_input: Callable[[Gate, Credential, Action, RequestError], Awaitable[Refusal]] = (
        refuse.refuse_input
    )
    left: Callable[[Gate, Credential, RequestContext, Action], Awaitable[Refusal | None]] = refuse.left
