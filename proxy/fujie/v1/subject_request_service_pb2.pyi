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

class ReplyOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REPLY_OUTCOME_UNSPECIFIED: _ClassVar[ReplyOutcome]
    REPLY_OUTCOME_NONE: _ClassVar[ReplyOutcome]
    REPLY_OUTCOME_OPT_OUT_ADDED: _ClassVar[ReplyOutcome]
    REPLY_OUTCOME_COMPLAINT_OPENED: _ClassVar[ReplyOutcome]

class SubjectRequestKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBJECT_REQUEST_KIND_UNSPECIFIED: _ClassVar[SubjectRequestKind]
    SUBJECT_REQUEST_KIND_COMPLAINT: _ClassVar[SubjectRequestKind]
    SUBJECT_REQUEST_KIND_ERASURE: _ClassVar[SubjectRequestKind]

class SubjectRequestState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBJECT_REQUEST_STATE_UNSPECIFIED: _ClassVar[SubjectRequestState]
    SUBJECT_REQUEST_STATE_OPEN: _ClassVar[SubjectRequestState]
    SUBJECT_REQUEST_STATE_RESOLVED: _ClassVar[SubjectRequestState]

class SubjectRequestOutcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBJECT_REQUEST_OUTCOME_UNSPECIFIED: _ClassVar[SubjectRequestOutcome]
    SUBJECT_REQUEST_OUTCOME_DONE: _ClassVar[SubjectRequestOutcome]
    SUBJECT_REQUEST_OUTCOME_REFUSED: _ClassVar[SubjectRequestOutcome]
    SUBJECT_REQUEST_OUTCOME_WITHDRAWN: _ClassVar[SubjectRequestOutcome]
REPLY_OUTCOME_UNSPECIFIED: ReplyOutcome
REPLY_OUTCOME_NONE: ReplyOutcome
REPLY_OUTCOME_OPT_OUT_ADDED: ReplyOutcome
REPLY_OUTCOME_COMPLAINT_OPENED: ReplyOutcome
SUBJECT_REQUEST_KIND_UNSPECIFIED: SubjectRequestKind
SUBJECT_REQUEST_KIND_COMPLAINT: SubjectRequestKind
SUBJECT_REQUEST_KIND_ERASURE: SubjectRequestKind
SUBJECT_REQUEST_STATE_UNSPECIFIED: SubjectRequestState
SUBJECT_REQUEST_STATE_OPEN: SubjectRequestState
SUBJECT_REQUEST_STATE_RESOLVED: SubjectRequestState
SUBJECT_REQUEST_OUTCOME_UNSPECIFIED: SubjectRequestOutcome
SUBJECT_REQUEST_OUTCOME_DONE: SubjectRequestOutcome
SUBJECT_REQUEST_OUTCOME_REFUSED: SubjectRequestOutcome
SUBJECT_REQUEST_OUTCOME_WITHDRAWN: SubjectRequestOutcome

class CustomerReply(_message.Message):
    __slots__ = ("name", "provider", "sid", "received_at", "text", "reviewed_at", "reviewed_by", "outcome")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    SID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    REVIEWED_AT_FIELD_NUMBER: _ClassVar[int]
    REVIEWED_BY_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    name: str
    provider: str
    sid: str
    received_at: _timestamp_pb2.Timestamp
    text: str
    reviewed_at: _timestamp_pb2.Timestamp
    reviewed_by: str
    outcome: ReplyOutcome
    def __init__(self, name: _Optional[str] = ..., provider: _Optional[str] = ..., sid: _Optional[str] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., text: _Optional[str] = ..., reviewed_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., reviewed_by: _Optional[str] = ..., outcome: _Optional[_Union[ReplyOutcome, str]] = ...) -> None: ...

class SubjectRequest(_message.Message):
    __slots__ = ("id", "kind", "state", "sid", "received_at", "due_at", "text", "resolved_at", "resolved_by", "outcome", "evidence_ref")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SID_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_AT_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_AT_FIELD_NUMBER: _ClassVar[int]
    RESOLVED_BY_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_REF_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: SubjectRequestKind
    state: SubjectRequestState
    sid: str
    received_at: _timestamp_pb2.Timestamp
    due_at: _timestamp_pb2.Timestamp
    text: str
    resolved_at: _timestamp_pb2.Timestamp
    resolved_by: str
    outcome: SubjectRequestOutcome
    evidence_ref: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[SubjectRequestKind, str]] = ..., state: _Optional[_Union[SubjectRequestState, str]] = ..., sid: _Optional[str] = ..., received_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., due_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., text: _Optional[str] = ..., resolved_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., resolved_by: _Optional[str] = ..., outcome: _Optional[_Union[SubjectRequestOutcome, str]] = ..., evidence_ref: _Optional[str] = ...) -> None: ...

class Disclosure(_message.Message):
    __slots__ = ("day", "action", "purpose", "count")
    DAY_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    day: str
    action: str
    purpose: str
    count: int
    def __init__(self, day: _Optional[str] = ..., action: _Optional[str] = ..., purpose: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class GetRequestRequest(_message.Message):
    __slots__ = ("id", "context")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    context: _types_pb2.RequestContext
    def __init__(self, id: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class GetRequestResponse(_message.Message):
    __slots__ = ("request", "decision")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    request: SubjectRequest
    decision: _types_pb2.DecisionSummary
    def __init__(self, request: _Optional[_Union[SubjectRequest, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ListRequestsRequest(_message.Message):
    __slots__ = ("context", "customer", "with_resolved", "page_size", "page_token")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    WITH_RESOLVED_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    context: _types_pb2.RequestContext
    customer: _types_pb2.CustomerRef
    with_resolved: bool
    page_size: int
    page_token: str
    def __init__(self, context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., customer: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., with_resolved: bool = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRequestsResponse(_message.Message):
    __slots__ = ("requests", "next_page_token", "decision")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[SubjectRequest]
    next_page_token: str
    decision: _types_pb2.DecisionSummary
    def __init__(self, requests: _Optional[_Iterable[_Union[SubjectRequest, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ResolveRequestRequest(_message.Message):
    __slots__ = ("id", "context", "outcome", "evidence_ref")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_REF_FIELD_NUMBER: _ClassVar[int]
    id: str
    context: _types_pb2.RequestContext
    outcome: SubjectRequestOutcome
    evidence_ref: str
    def __init__(self, id: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., outcome: _Optional[_Union[SubjectRequestOutcome, str]] = ..., evidence_ref: _Optional[str] = ...) -> None: ...

class ResolveRequestResponse(_message.Message):
    __slots__ = ("request", "decision")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    request: SubjectRequest
    decision: _types_pb2.DecisionSummary
    def __init__(self, request: _Optional[_Union[SubjectRequest, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ListDisclosuresRequest(_message.Message):
    __slots__ = ("context", "customer", "page_size", "page_token")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    context: _types_pb2.RequestContext
    customer: _types_pb2.CustomerRef
    page_size: int
    page_token: str
    def __init__(self, context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., customer: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListDisclosuresResponse(_message.Message):
    __slots__ = ("disclosures", "next_page_token", "decision")
    DISCLOSURES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    disclosures: _containers.RepeatedCompositeFieldContainer[Disclosure]
    next_page_token: str
    decision: _types_pb2.DecisionSummary
    def __init__(self, disclosures: _Optional[_Iterable[_Union[Disclosure, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ListRepliesRequest(_message.Message):
    __slots__ = ("context", "with_reviewed", "since", "page_size", "page_token")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    WITH_REVIEWED_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    context: _types_pb2.RequestContext
    with_reviewed: bool
    since: _timestamp_pb2.Timestamp
    page_size: int
    page_token: str
    def __init__(self, context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., with_reviewed: bool = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListRepliesResponse(_message.Message):
    __slots__ = ("replies", "next_page_token", "decision")
    REPLIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    replies: _containers.RepeatedCompositeFieldContainer[CustomerReply]
    next_page_token: str
    decision: _types_pb2.DecisionSummary
    def __init__(self, replies: _Optional[_Iterable[_Union[CustomerReply, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class GetReplyRequest(_message.Message):
    __slots__ = ("name", "context", "whole")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    WHOLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    whole: bool
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., whole: bool = ...) -> None: ...

class GetReplyResponse(_message.Message):
    __slots__ = ("reply", "decision")
    REPLY_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    reply: CustomerReply
    decision: _types_pb2.DecisionSummary
    def __init__(self, reply: _Optional[_Union[CustomerReply, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class MarkReplyRequest(_message.Message):
    __slots__ = ("name", "context", "outcome")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    outcome: ReplyOutcome
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., outcome: _Optional[_Union[ReplyOutcome, str]] = ...) -> None: ...

class MarkReplyResponse(_message.Message):
    __slots__ = ("reply", "decision")
    REPLY_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    reply: CustomerReply
    decision: _types_pb2.DecisionSummary
    def __init__(self, reply: _Optional[_Union[CustomerReply, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...
