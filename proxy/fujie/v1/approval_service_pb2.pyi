import datetime

from fujie.v1 import types_pb2 as _types_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ApprovalState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    APPROVAL_STATE_UNSPECIFIED: _ClassVar[ApprovalState]
    APPROVAL_STATE_PENDING: _ClassVar[ApprovalState]
    APPROVAL_STATE_APPROVED: _ClassVar[ApprovalState]
    APPROVAL_STATE_REJECTED: _ClassVar[ApprovalState]
    APPROVAL_STATE_REVOKED: _ClassVar[ApprovalState]
    APPROVAL_STATE_EXPIRED: _ClassVar[ApprovalState]
    APPROVAL_STATE_USED: _ClassVar[ApprovalState]
    APPROVAL_STATE_IN_REVIEW: _ClassVar[ApprovalState]
    APPROVAL_STATE_REVIEWED: _ClassVar[ApprovalState]

class RiskGrade(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RISK_GRADE_UNSPECIFIED: _ClassVar[RiskGrade]
    RISK_GRADE_LOW: _ClassVar[RiskGrade]
    RISK_GRADE_MEDIUM: _ClassVar[RiskGrade]
    RISK_GRADE_HIGH: _ClassVar[RiskGrade]
APPROVAL_STATE_UNSPECIFIED: ApprovalState
APPROVAL_STATE_PENDING: ApprovalState
APPROVAL_STATE_APPROVED: ApprovalState
APPROVAL_STATE_REJECTED: ApprovalState
APPROVAL_STATE_REVOKED: ApprovalState
APPROVAL_STATE_EXPIRED: ApprovalState
APPROVAL_STATE_USED: ApprovalState
APPROVAL_STATE_IN_REVIEW: ApprovalState
APPROVAL_STATE_REVIEWED: ApprovalState
RISK_GRADE_UNSPECIFIED: RiskGrade
RISK_GRADE_LOW: RiskGrade
RISK_GRADE_MEDIUM: RiskGrade
RISK_GRADE_HIGH: RiskGrade

class ApprovalVote(_message.Message):
    __slots__ = ("principal", "time", "counts", "comment")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    principal: str
    time: _timestamp_pb2.Timestamp
    counts: bool
    comment: str
    def __init__(self, principal: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., counts: bool = ..., comment: _Optional[str] = ...) -> None: ...

class ApprovalRequirement(_message.Message):
    __slots__ = ("guard", "validation", "roles", "count", "valid_for", "votes")
    GUARD_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    VALID_FOR_FIELD_NUMBER: _ClassVar[int]
    VOTES_FIELD_NUMBER: _ClassVar[int]
    guard: str
    validation: str
    roles: _containers.RepeatedScalarFieldContainer[str]
    count: int
    valid_for: _duration_pb2.Duration
    votes: _containers.RepeatedCompositeFieldContainer[ApprovalVote]
    def __init__(self, guard: _Optional[str] = ..., validation: _Optional[str] = ..., roles: _Optional[_Iterable[str]] = ..., count: _Optional[int] = ..., valid_for: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., votes: _Optional[_Iterable[_Union[ApprovalVote, _Mapping]]] = ...) -> None: ...

class Approval(_message.Message):
    __slots__ = ("name", "state", "requester", "action", "purpose", "basis", "store", "fields", "rows", "requirements", "created_at", "expires_at", "ended_by", "ended_at", "ended_comment")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REQUESTER_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    REQUIREMENTS_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_BY_FIELD_NUMBER: _ClassVar[int]
    ENDED_AT_FIELD_NUMBER: _ClassVar[int]
    ENDED_COMMENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: ApprovalState
    requester: str
    action: str
    purpose: str
    basis: str
    store: str
    fields: _containers.RepeatedScalarFieldContainer[str]
    rows: int
    requirements: _containers.RepeatedCompositeFieldContainer[ApprovalRequirement]
    created_at: _timestamp_pb2.Timestamp
    expires_at: _timestamp_pb2.Timestamp
    ended_by: str
    ended_at: _timestamp_pb2.Timestamp
    ended_comment: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[_Union[ApprovalState, str]] = ..., requester: _Optional[str] = ..., action: _Optional[str] = ..., purpose: _Optional[str] = ..., basis: _Optional[str] = ..., store: _Optional[str] = ..., fields: _Optional[_Iterable[str]] = ..., rows: _Optional[int] = ..., requirements: _Optional[_Iterable[_Union[ApprovalRequirement, _Mapping]]] = ..., created_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_by: _Optional[str] = ..., ended_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., ended_comment: _Optional[str] = ...) -> None: ...

class ConsentCount(_message.Message):
    __slots__ = ("state", "rows")
    STATE_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    state: str
    rows: int
    def __init__(self, state: _Optional[str] = ..., rows: _Optional[int] = ...) -> None: ...

class RequesterHistory(_message.Message):
    __slots__ = ("approvals_asked", "approvals_used", "approvals_rejected", "exports", "exported_rows", "partial")
    APPROVALS_ASKED_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_USED_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_REJECTED_FIELD_NUMBER: _ClassVar[int]
    EXPORTS_FIELD_NUMBER: _ClassVar[int]
    EXPORTED_ROWS_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    approvals_asked: int
    approvals_used: int
    approvals_rejected: int
    exports: int
    exported_rows: int
    partial: bool
    def __init__(self, approvals_asked: _Optional[int] = ..., approvals_used: _Optional[int] = ..., approvals_rejected: _Optional[int] = ..., exports: _Optional[int] = ..., exported_rows: _Optional[int] = ..., partial: bool = ...) -> None: ...

class ExportTerms(_message.Message):
    __slots__ = ("filter", "format", "max_rows", "lease_seconds", "lease_opens")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LEASE_OPENS_FIELD_NUMBER: _ClassVar[int]
    filter: str
    format: str
    max_rows: int
    lease_seconds: int
    lease_opens: int
    def __init__(self, filter: _Optional[str] = ..., format: _Optional[str] = ..., max_rows: _Optional[int] = ..., lease_seconds: _Optional[int] = ..., lease_opens: _Optional[int] = ...) -> None: ...

class ExportFound(_message.Message):
    __slots__ = ("rows", "consents", "partial")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    CONSENTS_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    rows: int
    consents: _containers.RepeatedCompositeFieldContainer[ConsentCount]
    partial: bool
    def __init__(self, rows: _Optional[int] = ..., consents: _Optional[_Iterable[_Union[ConsentCount, _Mapping]]] = ..., partial: bool = ...) -> None: ...

class ApprovalPreview(_message.Message):
    __slots__ = ("steps", "risk", "signs", "history", "terms", "found")
    class StepsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STEPS_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    SIGNS_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    TERMS_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    steps: _containers.ScalarMap[str, str]
    risk: RiskGrade
    signs: _containers.RepeatedScalarFieldContainer[str]
    history: RequesterHistory
    terms: ExportTerms
    found: ExportFound
    def __init__(self, steps: _Optional[_Mapping[str, str]] = ..., risk: _Optional[_Union[RiskGrade, str]] = ..., signs: _Optional[_Iterable[str]] = ..., history: _Optional[_Union[RequesterHistory, _Mapping]] = ..., terms: _Optional[_Union[ExportTerms, _Mapping]] = ..., found: _Optional[_Union[ExportFound, _Mapping]] = ...) -> None: ...

class GetApprovalRequest(_message.Message):
    __slots__ = ("name", "context", "with_preview")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    WITH_PREVIEW_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    with_preview: bool
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., with_preview: bool = ...) -> None: ...

class GetApprovalResponse(_message.Message):
    __slots__ = ("approval", "decision", "preview")
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    decision: _types_pb2.DecisionSummary
    preview: ApprovalPreview
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ..., preview: _Optional[_Union[ApprovalPreview, _Mapping]] = ...) -> None: ...

class ListApprovalsRequest(_message.Message):
    __slots__ = ("context", "with_closed", "page_size", "page_token", "latest_first", "to_review")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    WITH_CLOSED_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LATEST_FIRST_FIELD_NUMBER: _ClassVar[int]
    TO_REVIEW_FIELD_NUMBER: _ClassVar[int]
    context: _types_pb2.RequestContext
    with_closed: bool
    page_size: int
    page_token: str
    latest_first: bool
    to_review: bool
    def __init__(self, context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., with_closed: bool = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ..., latest_first: bool = ..., to_review: bool = ...) -> None: ...

class ListApprovalsResponse(_message.Message):
    __slots__ = ("approvals", "next_page_token", "decision")
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    approvals: _containers.RepeatedCompositeFieldContainer[Approval]
    next_page_token: str
    decision: _types_pb2.DecisionSummary
    def __init__(self, approvals: _Optional[_Iterable[_Union[Approval, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ApproveRequest(_message.Message):
    __slots__ = ("name", "context", "comment")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    comment: str
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., comment: _Optional[str] = ...) -> None: ...

class ApproveResponse(_message.Message):
    __slots__ = ("approval", "decision")
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    decision: _types_pb2.DecisionSummary
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class RejectRequest(_message.Message):
    __slots__ = ("name", "context", "comment")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    comment: str
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., comment: _Optional[str] = ...) -> None: ...

class RejectResponse(_message.Message):
    __slots__ = ("approval", "decision")
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    decision: _types_pb2.DecisionSummary
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class RevokeApprovalRequest(_message.Message):
    __slots__ = ("name", "context")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class RevokeApprovalResponse(_message.Message):
    __slots__ = ("approval", "decision")
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    approval: Approval
    decision: _types_pb2.DecisionSummary
    def __init__(self, approval: _Optional[_Union[Approval, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...
