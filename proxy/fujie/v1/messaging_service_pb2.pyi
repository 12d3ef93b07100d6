import datetime

from fujie.v1 import types_pb2 as _types_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MessageCategory(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MESSAGE_CATEGORY_UNSPECIFIED: _ClassVar[MessageCategory]
    MESSAGE_CATEGORY_MARKETING: _ClassVar[MessageCategory]
    MESSAGE_CATEGORY_TRANSACTIONAL: _ClassVar[MessageCategory]
    MESSAGE_CATEGORY_VERIFICATION: _ClassVar[MessageCategory]

class MessageState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MESSAGE_STATE_UNSPECIFIED: _ClassVar[MessageState]
    MESSAGE_STATE_PLANNED: _ClassVar[MessageState]
    MESSAGE_STATE_CLAIMED: _ClassVar[MessageState]
    MESSAGE_STATE_SUBMITTED: _ClassVar[MessageState]
    MESSAGE_STATE_DELIVERED: _ClassVar[MessageState]
    MESSAGE_STATE_FAILED: _ClassVar[MessageState]
    MESSAGE_STATE_UNKNOWN: _ClassVar[MessageState]
    MESSAGE_STATE_REFUSED: _ClassVar[MessageState]
    MESSAGE_STATE_CANCELLED: _ClassVar[MessageState]

class CampaignState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAMPAIGN_STATE_UNSPECIFIED: _ClassVar[CampaignState]
    CAMPAIGN_STATE_DRAFT: _ClassVar[CampaignState]
    CAMPAIGN_STATE_RUNNING: _ClassVar[CampaignState]
    CAMPAIGN_STATE_PAUSED: _ClassVar[CampaignState]
    CAMPAIGN_STATE_CANCELLED: _ClassVar[CampaignState]
    CAMPAIGN_STATE_DONE: _ClassVar[CampaignState]
MESSAGE_CATEGORY_UNSPECIFIED: MessageCategory
MESSAGE_CATEGORY_MARKETING: MessageCategory
MESSAGE_CATEGORY_TRANSACTIONAL: MessageCategory
MESSAGE_CATEGORY_VERIFICATION: MessageCategory
MESSAGE_STATE_UNSPECIFIED: MessageState
MESSAGE_STATE_PLANNED: MessageState
MESSAGE_STATE_CLAIMED: MessageState
MESSAGE_STATE_SUBMITTED: MessageState
MESSAGE_STATE_DELIVERED: MessageState
MESSAGE_STATE_FAILED: MessageState
MESSAGE_STATE_UNKNOWN: MessageState
MESSAGE_STATE_REFUSED: MessageState
MESSAGE_STATE_CANCELLED: MessageState
CAMPAIGN_STATE_UNSPECIFIED: CampaignState
CAMPAIGN_STATE_DRAFT: CampaignState
CAMPAIGN_STATE_RUNNING: CampaignState
CAMPAIGN_STATE_PAUSED: CampaignState
CAMPAIGN_STATE_CANCELLED: CampaignState
CAMPAIGN_STATE_DONE: CampaignState

class Template(_message.Message):
    __slots__ = ("id", "params")
    class ParamsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    id: str
    params: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., params: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Message(_message.Message):
    __slots__ = ("name", "state", "segments", "provider", "provider_message_id", "reason", "purpose", "category", "created_at", "changed_at")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_MESSAGE_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    CHANGED_AT_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: MessageState
    segments: int
    provider: str
    provider_message_id: str
    reason: str
    purpose: str
    category: MessageCategory
    created_at: _timestamp_pb2.Timestamp
    changed_at: _timestamp_pb2.Timestamp
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[MessageState, str]] = ..., segments: _Optional[int] = ..., provider: _Optional[str] = ..., provider_message_id: _Optional[str] = ..., reason: _Optional[str] = ..., purpose: _Optional[str] = ..., category: _Optional[_Union[MessageCategory, str]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., changed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SendMessageRequest(_message.Message):
    __slots__ = ("customer", "context", "category", "signature", "text", "template", "provider")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    customer: _types_pb2.CustomerRef
    context: _types_pb2.RequestContext
    category: MessageCategory
    signature: str
    text: str
    template: Template
    provider: str
    def __init__(self, customer: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., category: _Optional[_Union[MessageCategory, str]] = ..., signature: _Optional[str] = ..., text: _Optional[str] = ..., template: _Optional[_Union[Template, _Mapping]] = ..., provider: _Optional[str] = ...) -> None: ...

class SendMessageResponse(_message.Message):
    __slots__ = ("message", "decision")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    message: Message
    decision: _types_pb2.DecisionSummary
    def __init__(self, message: _Optional[_Union[Message, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class GetMessageRequest(_message.Message):
    __slots__ = ("name", "context")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class GetMessageResponse(_message.Message):
    __slots__ = ("message", "decision")
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    message: Message
    decision: _types_pb2.DecisionSummary
    def __init__(self, message: _Optional[_Union[Message, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class MessageDraft(_message.Message):
    __slots__ = ("category", "signature", "text", "template", "provider")
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    TEMPLATE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    category: MessageCategory
    signature: str
    text: str
    template: str
    provider: str
    def __init__(self, category: _Optional[_Union[MessageCategory, str]] = ..., signature: _Optional[str] = ..., text: _Optional[str] = ..., template: _Optional[str] = ..., provider: _Optional[str] = ...) -> None: ...

class StateCount(_message.Message):
    __slots__ = ("state", "count")
    STATE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    state: MessageState
    count: int
    def __init__(self, state: _Optional[_Union[MessageState, str]] = ..., count: _Optional[int] = ...) -> None: ...

class ReasonCount(_message.Message):
    __slots__ = ("reason", "count")
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    reason: str
    count: int
    def __init__(self, reason: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class Campaign(_message.Message):
    __slots__ = ("name", "state", "requester", "purpose", "basis", "draft", "created_at", "started_at", "ended_at", "recipients", "states", "reasons")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REQUESTER_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    DRAFT_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    STARTED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    RECIPIENTS_FIELD_NUMBER: _ClassVar[int]
    STATES_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: CampaignState
    requester: str
    purpose: str
    basis: str
    draft: MessageDraft
    created_at: _timestamp_pb2.Timestamp
    started_at: _timestamp_pb2.Timestamp
    ended_at: _timestamp_pb2.Timestamp
    recipients: int
    states: _containers.RepeatedCompositeFieldContainer[StateCount]
    reasons: _containers.RepeatedCompositeFieldContainer[ReasonCount]
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[CampaignState, str]] = ..., requester: _Optional[str] = ..., purpose: _Optional[str] = ..., basis: _Optional[str] = ..., draft: _Optional[_Union[MessageDraft, _Mapping]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., started_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., recipients: _Optional[int] = ..., states: _Optional[_Iterable[_Union[StateCount, _Mapping]]] = ..., reasons: _Optional[_Iterable[_Union[ReasonCount, _Mapping]]] = ...) -> None: ...

class Finding(_message.Message):
    __slots__ = ("category", "articles", "severity", "word")
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    ARTICLES_FIELD_NUMBER: _ClassVar[int]
    SEVERITY_FIELD_NUMBER: _ClassVar[int]
    WORD_FIELD_NUMBER: _ClassVar[int]
    category: str
    articles: _containers.RepeatedScalarFieldContainer[str]
    severity: str
    word: str
    def __init__(self, category: _Optional[str] = ..., articles: _Optional[_Iterable[str]] = ..., severity: _Optional[str] = ..., word: _Optional[str] = ...) -> None: ...

class Review(_message.Message):
    __slots__ = ("findings", "segments", "personal_data", "problems", "cost")
    FINDINGS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    PERSONAL_DATA_FIELD_NUMBER: _ClassVar[int]
    PROBLEMS_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    findings: _containers.RepeatedCompositeFieldContainer[Finding]
    segments: int
    personal_data: _containers.RepeatedScalarFieldContainer[str]
    problems: _containers.RepeatedCompositeFieldContainer[_types_pb2.Reason]
    cost: int
    def __init__(self, findings: _Optional[_Iterable[_Union[Finding, _Mapping]]] = ..., segments: _Optional[int] = ..., personal_data: _Optional[_Iterable[str]] = ..., problems: _Optional[_Iterable[_Union[_types_pb2.Reason, _Mapping]]] = ..., cost: _Optional[int] = ...) -> None: ...

class CreateCampaignRequest(_message.Message):
    __slots__ = ("context", "draft", "validate_only")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    DRAFT_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    context: _types_pb2.RequestContext
    draft: MessageDraft
    validate_only: bool
    def __init__(self, context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., draft: _Optional[_Union[MessageDraft, _Mapping]] = ..., validate_only: bool = ...) -> None: ...

class CreateCampaignResponse(_message.Message):
    __slots__ = ("campaign", "review", "decision")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    REVIEW_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    campaign: Campaign
    review: Review
    decision: _types_pb2.DecisionSummary
    def __init__(self, campaign: _Optional[_Union[Campaign, _Mapping]] = ..., review: _Optional[_Union[Review, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class Recipient(_message.Message):
    __slots__ = ("customer", "params")
    class ParamsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    customer: _types_pb2.CustomerRef
    params: _containers.ScalarMap[str, str]
    def __init__(self, customer: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., params: _Optional[_Mapping[str, str]] = ...) -> None: ...

class AddRecipientsRequest(_message.Message):
    __slots__ = ("name", "context", "recipients", "query")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    RECIPIENTS_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    recipients: _containers.RepeatedCompositeFieldContainer[Recipient]
    query: StoreQuery
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., recipients: _Optional[_Iterable[_Union[Recipient, _Mapping]]] = ..., query: _Optional[_Union[StoreQuery, _Mapping]] = ...) -> None: ...

class StoreQuery(_message.Message):
    __slots__ = ("store", "filter", "max_rows", "resume_token")
    STORE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    store: str
    filter: str
    max_rows: int
    resume_token: str
    def __init__(self, store: _Optional[str] = ..., filter: _Optional[str] = ..., max_rows: _Optional[int] = ..., resume_token: _Optional[str] = ...) -> None: ...

class AddRecipientsResponse(_message.Message):
    __slots__ = ("added", "repeated", "refused", "decision", "resume_token")
    ADDED_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    added: int
    repeated: int
    refused: _containers.RepeatedCompositeFieldContainer[_types_pb2.RefusedRows]
    decision: _types_pb2.DecisionSummary
    resume_token: str
    def __init__(self, added: _Optional[int] = ..., repeated: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[_types_pb2.RefusedRows, _Mapping]]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ..., resume_token: _Optional[str] = ...) -> None: ...

class StartCampaignRequest(_message.Message):
    __slots__ = ("name", "context", "validate_only")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    validate_only: bool
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., validate_only: bool = ...) -> None: ...

class StartCampaignResponse(_message.Message):
    __slots__ = ("campaign", "decision")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    campaign: Campaign
    decision: _types_pb2.DecisionSummary
    def __init__(self, campaign: _Optional[_Union[Campaign, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class PauseCampaignRequest(_message.Message):
    __slots__ = ("name", "context")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class PauseCampaignResponse(_message.Message):
    __slots__ = ("campaign", "decision")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    campaign: Campaign
    decision: _types_pb2.DecisionSummary
    def __init__(self, campaign: _Optional[_Union[Campaign, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class CancelCampaignRequest(_message.Message):
    __slots__ = ("name", "context")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class CancelCampaignResponse(_message.Message):
    __slots__ = ("campaign", "decision")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    campaign: Campaign
    decision: _types_pb2.DecisionSummary
    def __init__(self, campaign: _Optional[_Union[Campaign, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class GetCampaignRequest(_message.Message):
    __slots__ = ("name", "context")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class GetCampaignResponse(_message.Message):
    __slots__ = ("campaign", "decision")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    campaign: Campaign
    decision: _types_pb2.DecisionSummary
    def __init__(self, campaign: _Optional[_Union[Campaign, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class WatchCampaignRequest(_message.Message):
    __slots__ = ("name", "context")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class WatchCampaignResponse(_message.Message):
    __slots__ = ("campaign", "decision")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    campaign: Campaign
    decision: _types_pb2.DecisionSummary
    def __init__(self, campaign: _Optional[_Union[Campaign, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ScreenRecipientsRequest(_message.Message):
    __slots__ = ("context", "draft", "params", "store", "customer_ids", "phones")
    class ParamsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    DRAFT_FIELD_NUMBER: _ClassVar[int]
    PARAMS_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_IDS_FIELD_NUMBER: _ClassVar[int]
    PHONES_FIELD_NUMBER: _ClassVar[int]
    context: _types_pb2.RequestContext
    draft: MessageDraft
    params: _containers.ScalarMap[str, str]
    store: str
    customer_ids: _containers.RepeatedScalarFieldContainer[str]
    phones: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., draft: _Optional[_Union[MessageDraft, _Mapping]] = ..., params: _Optional[_Mapping[str, str]] = ..., store: _Optional[str] = ..., customer_ids: _Optional[_Iterable[str]] = ..., phones: _Optional[_Iterable[str]] = ...) -> None: ...

class ScreenOutcome(_message.Message):
    __slots__ = ("effect", "reasons", "deferrable", "count")
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    DEFERRABLE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    effect: _types_pb2.Effect
    reasons: _containers.RepeatedCompositeFieldContainer[_types_pb2.Reason]
    deferrable: bool
    count: int
    def __init__(self, effect: _Optional[_Union[_types_pb2.Effect, str]] = ..., reasons: _Optional[_Iterable[_Union[_types_pb2.Reason, _Mapping]]] = ..., deferrable: bool = ..., count: _Optional[int] = ...) -> None: ...

class ScreenRecipientsResponse(_message.Message):
    __slots__ = ("outcomes", "places", "decision")
    OUTCOMES_FIELD_NUMBER: _ClassVar[int]
    PLACES_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    outcomes: _containers.RepeatedCompositeFieldContainer[ScreenOutcome]
    places: _containers.RepeatedScalarFieldContainer[int]
    decision: _types_pb2.DecisionSummary
    def __init__(self, outcomes: _Optional[_Iterable[_Union[ScreenOutcome, _Mapping]]] = ..., places: _Optional[_Iterable[int]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...
