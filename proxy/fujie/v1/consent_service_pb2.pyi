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

class ConsentEventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONSENT_EVENT_TYPE_UNSPECIFIED: _ClassVar[ConsentEventType]
    CONSENT_EVENT_TYPE_REQUESTED: _ClassVar[ConsentEventType]
    CONSENT_EVENT_TYPE_GIVEN: _ClassVar[ConsentEventType]
    CONSENT_EVENT_TYPE_REFUSED: _ClassVar[ConsentEventType]
    CONSENT_EVENT_TYPE_WITHDRAWN: _ClassVar[ConsentEventType]
    CONSENT_EVENT_TYPE_INVALIDATED: _ClassVar[ConsentEventType]

class ConsentState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CONSENT_STATE_UNSPECIFIED: _ClassVar[ConsentState]
    CONSENT_STATE_NONE: _ClassVar[ConsentState]
    CONSENT_STATE_REQUESTED: _ClassVar[ConsentState]
    CONSENT_STATE_GIVEN: _ClassVar[ConsentState]
    CONSENT_STATE_REFUSED: _ClassVar[ConsentState]
    CONSENT_STATE_WITHDRAWN: _ClassVar[ConsentState]
    CONSENT_STATE_EXPIRED: _ClassVar[ConsentState]
    CONSENT_STATE_INVALIDATED: _ClassVar[ConsentState]
CONSENT_EVENT_TYPE_UNSPECIFIED: ConsentEventType
CONSENT_EVENT_TYPE_REQUESTED: ConsentEventType
CONSENT_EVENT_TYPE_GIVEN: ConsentEventType
CONSENT_EVENT_TYPE_REFUSED: ConsentEventType
CONSENT_EVENT_TYPE_WITHDRAWN: ConsentEventType
CONSENT_EVENT_TYPE_INVALIDATED: ConsentEventType
CONSENT_STATE_UNSPECIFIED: ConsentState
CONSENT_STATE_NONE: ConsentState
CONSENT_STATE_REQUESTED: ConsentState
CONSENT_STATE_GIVEN: ConsentState
CONSENT_STATE_REFUSED: ConsentState
CONSENT_STATE_WITHDRAWN: ConsentState
CONSENT_STATE_EXPIRED: ConsentState
CONSENT_STATE_INVALIDATED: ConsentState

class NoticeRef(_message.Message):
    __slots__ = ("id", "version", "language", "digest")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    id: str
    version: str
    language: str
    digest: str
    def __init__(self, id: _Optional[str] = ..., version: _Optional[str] = ..., language: _Optional[str] = ..., digest: _Optional[str] = ...) -> None: ...

class ConsentRecord(_message.Message):
    __slots__ = ("record_id", "schema", "purpose", "channel", "type", "event_time", "received_at", "valid_until", "explicit", "separate", "notice", "controller", "jurisdiction", "data_classes", "recipients", "storage_locations", "retention_days", "collection_method", "withdrawal_method", "source", "evidence_ref", "actor")
    RECORD_ID_FIELD_NUMBER: _ClassVar[int]
    SCHEMA_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    EXPLICIT_FIELD_NUMBER: _ClassVar[int]
    SEPARATE_FIELD_NUMBER: _ClassVar[int]
    NOTICE_FIELD_NUMBER: _ClassVar[int]
    CONTROLLER_FIELD_NUMBER: _ClassVar[int]
    JURISDICTION_FIELD_NUMBER: _ClassVar[int]
    DATA_CLASSES_FIELD_NUMBER: _ClassVar[int]
    RECIPIENTS_FIELD_NUMBER: _ClassVar[int]
    STORAGE_LOCATIONS_FIELD_NUMBER: _ClassVar[int]
    RETENTION_DAYS_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_METHOD_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWAL_METHOD_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_REF_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    record_id: str
    schema: str
    purpose: str
    channel: str
    type: ConsentEventType
    event_time: _timestamp_pb2.Timestamp
    received_at: _timestamp_pb2.Timestamp
    valid_until: _timestamp_pb2.Timestamp
    explicit: bool
    separate: bool
    notice: NoticeRef
    controller: str
    jurisdiction: str
    data_classes: _containers.RepeatedScalarFieldContainer[str]
    recipients: _containers.RepeatedScalarFieldContainer[str]
    storage_locations: _containers.RepeatedScalarFieldContainer[str]
    retention_days: int
    collection_method: str
    withdrawal_method: str
    source: str
    evidence_ref: str
    actor: str
    def __init__(self, record_id: _Optional[str] = ..., schema: _Optional[str] = ..., purpose: _Optional[str] = ..., channel: _Optional[str] = ..., type: _Optional[_Union[ConsentEventType, str]] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., explicit: bool = ..., separate: bool = ..., notice: _Optional[_Union[NoticeRef, _Mapping]] = ..., controller: _Optional[str] = ..., jurisdiction: _Optional[str] = ..., data_classes: _Optional[_Iterable[str]] = ..., recipients: _Optional[_Iterable[str]] = ..., storage_locations: _Optional[_Iterable[str]] = ..., retention_days: _Optional[int] = ..., collection_method: _Optional[str] = ..., withdrawal_method: _Optional[str] = ..., source: _Optional[str] = ..., evidence_ref: _Optional[str] = ..., actor: _Optional[str] = ...) -> None: ...

class RecordConsentRequest(_message.Message):
    __slots__ = ("customer", "context", "consent", "prompt", "capture")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_FIELD_NUMBER: _ClassVar[int]
    customer: _types_pb2.CustomerRef
    context: _types_pb2.RequestContext
    consent: ConsentRecord
    prompt: str
    capture: Capture
    def __init__(self, customer: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., consent: _Optional[_Union[ConsentRecord, _Mapping]] = ..., prompt: _Optional[str] = ..., capture: _Optional[_Union[Capture, _Mapping]] = ...) -> None: ...

class Capture(_message.Message):
    __slots__ = ("preselected", "bundled")
    PRESELECTED_FIELD_NUMBER: _ClassVar[int]
    BUNDLED_FIELD_NUMBER: _ClassVar[int]
    preselected: bool
    bundled: bool
    def __init__(self, preselected: bool = ..., bundled: bool = ...) -> None: ...

class RecordConsentResponse(_message.Message):
    __slots__ = ("consent", "decision")
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    consent: ConsentRecord
    decision: _types_pb2.DecisionSummary
    def __init__(self, consent: _Optional[_Union[ConsentRecord, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class WithdrawConsentRequest(_message.Message):
    __slots__ = ("customer", "context", "purpose", "channel", "withdrawal_method", "evidence_ref")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    WITHDRAWAL_METHOD_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_REF_FIELD_NUMBER: _ClassVar[int]
    customer: _types_pb2.CustomerRef
    context: _types_pb2.RequestContext
    purpose: str
    channel: str
    withdrawal_method: str
    evidence_ref: str
    def __init__(self, customer: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., purpose: _Optional[str] = ..., channel: _Optional[str] = ..., withdrawal_method: _Optional[str] = ..., evidence_ref: _Optional[str] = ...) -> None: ...

class WithdrawConsentResponse(_message.Message):
    __slots__ = ("consent", "decision")
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    consent: ConsentRecord
    decision: _types_pb2.DecisionSummary
    def __init__(self, consent: _Optional[_Union[ConsentRecord, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class GetConsentRequest(_message.Message):
    __slots__ = ("customer", "context", "purpose", "channel")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    customer: _types_pb2.CustomerRef
    context: _types_pb2.RequestContext
    purpose: str
    channel: str
    def __init__(self, customer: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., purpose: _Optional[str] = ..., channel: _Optional[str] = ...) -> None: ...

class GetConsentResponse(_message.Message):
    __slots__ = ("state", "governing", "decision")
    STATE_FIELD_NUMBER: _ClassVar[int]
    GOVERNING_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    state: ConsentState
    governing: ConsentRecord
    decision: _types_pb2.DecisionSummary
    def __init__(self, state: _Optional[_Union[ConsentState, str]] = ..., governing: _Optional[_Union[ConsentRecord, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ListConsentEventsRequest(_message.Message):
    __slots__ = ("customer", "context", "purpose", "page_size", "page_token")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    customer: _types_pb2.CustomerRef
    context: _types_pb2.RequestContext
    purpose: str
    page_size: int
    page_token: str
    def __init__(self, customer: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., purpose: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListConsentEventsResponse(_message.Message):
    __slots__ = ("events", "next_page_token", "decision")
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[ConsentRecord]
    next_page_token: str
    decision: _types_pb2.DecisionSummary
    def __init__(self, events: _Optional[_Iterable[_Union[ConsentRecord, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ImportConsentsRequest(_message.Message):
    __slots__ = ("context", "validate_only", "rows")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    context: _types_pb2.RequestContext
    validate_only: bool
    rows: _containers.RepeatedCompositeFieldContainer[ConsentRow]
    def __init__(self, context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., validate_only: bool = ..., rows: _Optional[_Iterable[_Union[ConsentRow, _Mapping]]] = ...) -> None: ...

class ConsentRow(_message.Message):
    __slots__ = ("customer", "consent", "capture")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CONSENT_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_FIELD_NUMBER: _ClassVar[int]
    customer: _types_pb2.CustomerRef
    consent: ConsentRecord
    capture: Capture
    def __init__(self, customer: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., consent: _Optional[_Union[ConsentRecord, _Mapping]] = ..., capture: _Optional[_Union[Capture, _Mapping]] = ...) -> None: ...

class ImportConsentsResponse(_message.Message):
    __slots__ = ("recorded", "repeated", "refused", "decision")
    RECORDED_FIELD_NUMBER: _ClassVar[int]
    REPEATED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    recorded: int
    repeated: int
    refused: _containers.RepeatedCompositeFieldContainer[_types_pb2.RefusedRows]
    decision: _types_pb2.DecisionSummary
    def __init__(self, recorded: _Optional[int] = ..., repeated: _Optional[int] = ..., refused: _Optional[_Iterable[_Union[_types_pb2.RefusedRows, _Mapping]]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ExportConsentEvidenceRequest(_message.Message):
    __slots__ = ("customer", "context", "purpose")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    customer: _types_pb2.CustomerRef
    context: _types_pb2.RequestContext
    purpose: str
    def __init__(self, customer: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., purpose: _Optional[str] = ...) -> None: ...

class ExportConsentEvidenceResponse(_message.Message):
    __slots__ = ("evidence", "decision")
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    evidence: bytes
    decision: _types_pb2.DecisionSummary
    def __init__(self, evidence: _Optional[bytes] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class SuppressionScope(_message.Message):
    __slots__ = ("purpose", "channel", "brand")
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    BRAND_FIELD_NUMBER: _ClassVar[int]
    purpose: str
    channel: str
    brand: str
    def __init__(self, purpose: _Optional[str] = ..., channel: _Optional[str] = ..., brand: _Optional[str] = ...) -> None: ...

class Suppression(_message.Message):
    __slots__ = ("suppression_id", "scope", "event_time", "received_at", "source", "evidence_ref", "actor", "sid", "lifted", "lifted_at")
    SUPPRESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_REF_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    SID_FIELD_NUMBER: _ClassVar[int]
    LIFTED_FIELD_NUMBER: _ClassVar[int]
    LIFTED_AT_FIELD_NUMBER: _ClassVar[int]
    suppression_id: str
    scope: SuppressionScope
    event_time: _timestamp_pb2.Timestamp
    received_at: _timestamp_pb2.Timestamp
    source: str
    evidence_ref: str
    actor: str
    sid: str
    lifted: Confirmation
    lifted_at: _timestamp_pb2.Timestamp
    def __init__(self, suppression_id: _Optional[str] = ..., scope: _Optional[_Union[SuppressionScope, _Mapping]] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., source: _Optional[str] = ..., evidence_ref: _Optional[str] = ..., actor: _Optional[str] = ..., sid: _Optional[str] = ..., lifted: _Optional[_Union[Confirmation, _Mapping]] = ..., lifted_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Confirmation(_message.Message):
    __slots__ = ("method", "evidence_ref", "event_time")
    METHOD_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_REF_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    method: str
    evidence_ref: str
    event_time: _timestamp_pb2.Timestamp
    def __init__(self, method: _Optional[str] = ..., evidence_ref: _Optional[str] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AddSuppressionRequest(_message.Message):
    __slots__ = ("customer", "context", "scope", "source", "evidence_ref", "event_time")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_REF_FIELD_NUMBER: _ClassVar[int]
    EVENT_TIME_FIELD_NUMBER: _ClassVar[int]
    customer: _types_pb2.CustomerRef
    context: _types_pb2.RequestContext
    scope: SuppressionScope
    source: str
    evidence_ref: str
    event_time: _timestamp_pb2.Timestamp
    def __init__(self, customer: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., scope: _Optional[_Union[SuppressionScope, _Mapping]] = ..., source: _Optional[str] = ..., evidence_ref: _Optional[str] = ..., event_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class AddSuppressionResponse(_message.Message):
    __slots__ = ("suppression", "decision")
    SUPPRESSION_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    suppression: Suppression
    decision: _types_pb2.DecisionSummary
    def __init__(self, suppression: _Optional[_Union[Suppression, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class RemoveSuppressionRequest(_message.Message):
    __slots__ = ("suppression_id", "context", "confirmation")
    SUPPRESSION_ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CONFIRMATION_FIELD_NUMBER: _ClassVar[int]
    suppression_id: str
    context: _types_pb2.RequestContext
    confirmation: Confirmation
    def __init__(self, suppression_id: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., confirmation: _Optional[_Union[Confirmation, _Mapping]] = ...) -> None: ...

class RemoveSuppressionResponse(_message.Message):
    __slots__ = ("suppression", "decision")
    SUPPRESSION_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    suppression: Suppression
    decision: _types_pb2.DecisionSummary
    def __init__(self, suppression: _Optional[_Union[Suppression, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ListSuppressionsRequest(_message.Message):
    __slots__ = ("customer", "context", "purpose", "channel", "with_lifted", "page_size", "page_token")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    WITH_LIFTED_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    customer: _types_pb2.CustomerRef
    context: _types_pb2.RequestContext
    purpose: str
    channel: str
    with_lifted: bool
    page_size: int
    page_token: str
    def __init__(self, customer: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., purpose: _Optional[str] = ..., channel: _Optional[str] = ..., with_lifted: bool = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSuppressionsResponse(_message.Message):
    __slots__ = ("suppressions", "next_page_token", "decision")
    SUPPRESSIONS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    suppressions: _containers.RepeatedCompositeFieldContainer[Suppression]
    next_page_token: str
    decision: _types_pb2.DecisionSummary
    def __init__(self, suppressions: _Optional[_Iterable[_Union[Suppression, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ListExpiringConsentsRequest(_message.Message):
    __slots__ = ("context", "purpose", "channel", "within_days", "store", "page_size", "page_token")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    WITHIN_DAYS_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    context: _types_pb2.RequestContext
    purpose: str
    channel: str
    within_days: int
    store: str
    page_size: int
    page_token: str
    def __init__(self, context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., purpose: _Optional[str] = ..., channel: _Optional[str] = ..., within_days: _Optional[int] = ..., store: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ExpiringConsent(_message.Message):
    __slots__ = ("store_key", "valid_until")
    STORE_KEY_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    store_key: _types_pb2.StoreKey
    valid_until: _timestamp_pb2.Timestamp
    def __init__(self, store_key: _Optional[_Union[_types_pb2.StoreKey, _Mapping]] = ..., valid_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListExpiringConsentsResponse(_message.Message):
    __slots__ = ("consents", "count", "next_page_token", "decision")
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    consents: _containers.RepeatedCompositeFieldContainer[ExpiringConsent]
    count: int
    next_page_token: str
    decision: _types_pb2.DecisionSummary
    def __init__(self, consents: _Optional[_Iterable[_Union[ExpiringConsent, _Mapping]]] = ..., count: _Optional[int] = ..., next_page_token: _Optional[str] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...
