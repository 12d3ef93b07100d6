"""What flows answer: a reply or a refusal, both values. The transport translates them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from fujie.decision.risk import Risk
from fujie.model.approval import Approval, ApprovalHistory, ExportTerms
from fujie.model.campaign import Campaign
from fujie.model.consent import ConsentEvent
from fujie.model.decision import Decision, Explanation, FieldOutcome, ReasonHit
from fujie.model.export import Export, Trace
from fujie.model.making import made_often
from fujie.model.message import Message
from fujie.model.notice import PrivacyNotice
from fujie.model.notification import Notification
from fujie.model.offboarding import Checklist
from fujie.model.page import Page
from fujie.model.principal import Principal
from fujie.model.processor import Processor
from fujie.model.subject_request import Disclosure, SubjectRequest
from fujie.model.suppression import Suppression
from fujie.model.vocabulary import Effect, State


@made_often
@dataclass(frozen=True, slots=True)
class Summary:
    """The decision behind an answer. `decision_id` finds the entry in the log."""

    decision_id: str
    effect: Effect
    bundle: str
    warnings: tuple[ReasonHit, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class Prompt:
    """How to ask the customer: the notice as it is to be shown, and the token that takes the answer."""

    token: str
    purpose: str
    notice: PrivacyNotice


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing was released. `reasons` is what the asker may know, the primary one first, never empty.

    `field` is the path in the request message of an invalid argument, else empty. `approval` is the name of the
    approval that waits for others, where that is what is missing. `explanation` is there for who asked for it and may explain.
    """

    summary: Summary
    reasons: tuple[ReasonHit, ...]
    field: str = ""
    prompt: Prompt | None = None
    approval: str = ""
    explanation: Explanation | None = None


@made_often
@dataclass(frozen=True, slots=True, repr=False)
class LookupReply:
    """The fields that leave: masked values by name, and what was done to each field asked for."""

    summary: Summary
    customer: Mapping[str, str | int | float | bool | None]
    treatments: Mapping[str, FieldOutcome]


@dataclass(frozen=True, slots=True, repr=False)
class BatchReply:
    """What came of each customer, in the order of the request; never empty."""

    answers: tuple[LookupReply | Refusal, ...]

    @property
    def summary(self) -> Summary:
        """The decision on the first customer: a batch has none of its own."""
        return self.answers[0].summary


@dataclass(frozen=True, slots=True, repr=False)
class SearchReply:
    """The customers that were found and may be seen. `summary` stands for the search itself."""

    summary: Summary
    found: tuple[LookupReply, ...]


@dataclass(frozen=True, slots=True)
class ConsentReply:
    """The event as it was recorded."""

    summary: Summary
    event: ConsentEvent


@dataclass(frozen=True, slots=True, repr=False)
class EvidenceReply:
    """The signed file of `audit.consent_bundle`."""

    summary: Summary
    evidence: bytes


@dataclass(frozen=True, slots=True)
class ConsentStateReply:
    """The derived state, and the event that governs it (None when there is none)."""

    summary: Summary
    state: State
    governing: ConsentEvent | None


@dataclass(frozen=True, slots=True)
class ConsentEventsReply:
    """One page of events, by arrival. `page.next` is the token of the next one."""

    summary: Summary
    page: Page[ConsentEvent]


@dataclass(frozen=True, slots=True)
class SuppressionReply:
    """An opt-out as the ledger holds it now."""

    summary: Summary
    suppression: Suppression


@dataclass(frozen=True, slots=True)
class SuppressionsReply:
    """One page of opt-outs, by arrival. `page.next` is the token of the next one."""

    summary: Summary
    page: Page[Suppression]


@dataclass(frozen=True, slots=True)
class Found:
    """What an export would find now: how many customers, and of how many with which consent; numbers as they may be told
    (the ten below or above; 0: fewer than ten). `is_partial` tells that not all rows were looked at."""

    rows: int
    consents: Mapping[State, int]
    is_partial: bool


@dataclass(frozen=True, slots=True)
class History:
    """What a requester did in the last 30 days: approvals, exports and how many customers were in them. `is_partial` tells
    that there was more than was counted."""

    approvals: ApprovalHistory
    exports: int
    exported_rows: int
    is_partial: bool


@dataclass(frozen=True, slots=True, repr=False)
class ApprovalPreview:
    """What an approval would release: the most open step of each field, how grave that is, what the requester did before,
    and of an export its terms and what it would find (None: that can not be told)."""

    steps: Mapping[str, str]
    risk: Risk
    history: History
    terms: ExportTerms | None = None
    found: Found | None = None


@dataclass(frozen=True, slots=True)
class ApprovalReply:
    """An approval as it stands `at` that moment, with what it would release for those who decide on it."""

    summary: Summary
    approval: Approval
    at: datetime
    preview: ApprovalPreview | None = None


@dataclass(frozen=True, slots=True)
class ApprovalsReply:
    """One page of approvals as they stand `at` that moment. `page.next` is the token of the next one."""

    summary: Summary
    page: Page[Approval]
    at: datetime


@dataclass(frozen=True, slots=True)
class CorrectionReply:
    """Two references are one person now, or are not."""

    summary: Summary


@dataclass(frozen=True, slots=True)
class PrincipalsReply:
    """One page of principals, by id. `page.next` is the token of the next one."""

    summary: Summary
    page: Page[Principal]


@dataclass(frozen=True, slots=True)
class PrincipalReply:
    """A principal as the directory holds it now."""

    summary: Summary
    principal: Principal


@dataclass(frozen=True, slots=True)
class ChecklistReply:
    """How far the offboarding of a principal is."""

    summary: Summary
    checklist: Checklist


@dataclass(frozen=True, slots=True)
class TransferReply:
    """What was handed over: the order to the CRM, the ids of drafts, and how many approvals ended."""

    summary: Summary
    order: Notification
    drafts: tuple[str, ...]
    approvals: int


@dataclass(frozen=True, slots=True)
class NotificationReply:
    """What another system was told, with its answer."""

    summary: Summary
    notification: Notification


@dataclass(frozen=True, slots=True)
class ExplainReply:
    """What a look-up would have decided, and why."""

    summary: Summary
    explanation: Explanation


@dataclass(frozen=True, slots=True)
class BundleDocument:
    """One policy document of the bundle in force."""

    kind: str
    name: str
    file: str


@dataclass(frozen=True, slots=True)
class BundleReply:
    """The bundle in force."""

    summary: Summary
    documents: tuple[BundleDocument, ...]
    revision: int = 0
    """0 for plain policy files."""
    signers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class MessageReply:
    """A message as it stands: of a repeated request, the first one as it is by now."""

    summary: Summary
    message: Message


@dataclass(frozen=True, slots=True, repr=False)
class CampaignReply:
    """A campaign as it stands."""

    summary: Summary
    campaign: Campaign


@dataclass(frozen=True, slots=True)
class RecipientsReply:
    """What came of recipients: how many are new, how many were there, and the places in the stream (from 0) of those
    that were not added, by reason. `resume` is the token by which a query that is not over goes on."""

    summary: Summary
    added: int
    repeated: int
    refused: Mapping[str, Sequence[int]]
    resume: str = ""


@dataclass(frozen=True, slots=True)
class ImportReply:
    """What came of rows: how many are new, how many were there, how many were refused by reason, and the places in the
    stream (from 0) of the first of these."""

    summary: Summary
    recorded: int
    repeated: int
    refused: Mapping[str, int]
    places: Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class ScreenReply:
    """What sending would decide of a batch: `places` has, for each recipient, where its decision stands in
    `decisions`."""

    summary: Summary
    decisions: tuple[Decision, ...]
    places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ProcessorReply:
    """A processor as the register holds it now."""

    summary: Summary
    processor: Processor


@dataclass(frozen=True, slots=True)
class ProcessorsReply:
    """One page of processors, by id. `page.next` is the token of the next one."""

    summary: Summary
    page: Page[Processor]


@dataclass(frozen=True, slots=True, repr=False)
class SubjectRequestReply:
    """A request of a customer as it stands; `text` is what the customer wrote, where that was asked for."""

    summary: Summary
    request: SubjectRequest
    text: str = ""


@dataclass(frozen=True, slots=True)
class SubjectRequestsReply:
    """One page of requests, in the order in which they came. `page.next` is the token of the next one."""

    summary: Summary
    page: Page[SubjectRequest]


@dataclass(frozen=True, slots=True)
class DisclosuresReply:
    """One page of what was disclosed of a customer, the last day first. `page.next` is the token of the next one."""

    summary: Summary
    page: Page[Disclosure]


@dataclass(frozen=True, slots=True, repr=False)
class ExportReply:
    """An export as it stands."""

    summary: Summary
    export: Export


@dataclass(frozen=True, slots=True, repr=False)
class ExportsReply:
    """A page of exports."""

    summary: Summary
    page: Page[Export]


@dataclass(frozen=True, slots=True, repr=False)
class TracesReply:
    """A page of the exports that held a customer."""

    summary: Summary
    page: Page[Trace]


@dataclass(frozen=True, slots=True, repr=False)
class KeysReply:
    """Keys of a leased file by chunk (None: destroyed); the export stands in the first one."""

    summary: Summary
    export: Export | None
    keys: tuple[tuple[int, bytes | None], ...]
