import datetime

from fujie.v1 import types_pb2 as _types_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class PrincipalKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PRINCIPAL_KIND_UNSPECIFIED: _ClassVar[PrincipalKind]
    PRINCIPAL_KIND_EMPLOYEE: _ClassVar[PrincipalKind]
    PRINCIPAL_KIND_SERVICE: _ClassVar[PrincipalKind]

class Employment(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EMPLOYMENT_UNSPECIFIED: _ClassVar[Employment]
    EMPLOYMENT_ACTIVE: _ClassVar[Employment]
    EMPLOYMENT_SUSPENDED: _ClassVar[Employment]
    EMPLOYMENT_OFFBOARDED: _ClassVar[Employment]

class Training(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRAINING_UNSPECIFIED: _ClassVar[Training]
    TRAINING_VALID: _ClassVar[Training]
    TRAINING_LAPSED: _ClassVar[Training]
    TRAINING_NONE: _ClassVar[Training]

class OffboardingKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OFFBOARDING_KIND_UNSPECIFIED: _ClassVar[OffboardingKind]
    OFFBOARDING_KIND_ACCESS: _ClassVar[OffboardingKind]
    OFFBOARDING_KIND_STREAMS: _ClassVar[OffboardingKind]
    OFFBOARDING_KIND_MESSAGES: _ClassVar[OffboardingKind]
    OFFBOARDING_KIND_CAMPAIGNS: _ClassVar[OffboardingKind]
    OFFBOARDING_KIND_APPROVALS: _ClassVar[OffboardingKind]
    OFFBOARDING_KIND_LEASES: _ClassVar[OffboardingKind]
    OFFBOARDING_KIND_DEVICE: _ClassVar[OffboardingKind]
    OFFBOARDING_KIND_TRANSFER: _ClassVar[OffboardingKind]

class OffboardingState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OFFBOARDING_STATE_UNSPECIFIED: _ClassVar[OffboardingState]
    OFFBOARDING_STATE_DONE: _ClassVar[OffboardingState]
    OFFBOARDING_STATE_NOT_DUE: _ClassVar[OffboardingState]
    OFFBOARDING_STATE_OUTSTANDING: _ClassVar[OffboardingState]
    OFFBOARDING_STATE_OVERDUE: _ClassVar[OffboardingState]
PRINCIPAL_KIND_UNSPECIFIED: PrincipalKind
PRINCIPAL_KIND_EMPLOYEE: PrincipalKind
PRINCIPAL_KIND_SERVICE: PrincipalKind
EMPLOYMENT_UNSPECIFIED: Employment
EMPLOYMENT_ACTIVE: Employment
EMPLOYMENT_SUSPENDED: Employment
EMPLOYMENT_OFFBOARDED: Employment
TRAINING_UNSPECIFIED: Training
TRAINING_VALID: Training
TRAINING_LAPSED: Training
TRAINING_NONE: Training
OFFBOARDING_KIND_UNSPECIFIED: OffboardingKind
OFFBOARDING_KIND_ACCESS: OffboardingKind
OFFBOARDING_KIND_STREAMS: OffboardingKind
OFFBOARDING_KIND_MESSAGES: OffboardingKind
OFFBOARDING_KIND_CAMPAIGNS: OffboardingKind
OFFBOARDING_KIND_APPROVALS: OffboardingKind
OFFBOARDING_KIND_LEASES: OffboardingKind
OFFBOARDING_KIND_DEVICE: OffboardingKind
OFFBOARDING_KIND_TRANSFER: OffboardingKind
OFFBOARDING_STATE_UNSPECIFIED: OffboardingState
OFFBOARDING_STATE_DONE: OffboardingState
OFFBOARDING_STATE_NOT_DUE: OffboardingState
OFFBOARDING_STATE_OUTSTANDING: OffboardingState
OFFBOARDING_STATE_OVERDUE: OffboardingState

class Principal(_message.Message):
    __slots__ = ("id", "kind", "roles", "department", "employment", "training", "attributes", "training_until", "offboard_at", "devices", "suspended_by")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    DEPARTMENT_FIELD_NUMBER: _ClassVar[int]
    EMPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    TRAINING_UNTIL_FIELD_NUMBER: _ClassVar[int]
    OFFBOARD_AT_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    SUSPENDED_BY_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: PrincipalKind
    roles: _containers.RepeatedScalarFieldContainer[str]
    department: str
    employment: Employment
    training: Training
    attributes: _struct_pb2.Struct
    training_until: _timestamp_pb2.Timestamp
    offboard_at: _timestamp_pb2.Timestamp
    devices: _containers.RepeatedScalarFieldContainer[str]
    suspended_by: str
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[PrincipalKind, str]] = ..., roles: _Optional[_Iterable[str]] = ..., department: _Optional[str] = ..., employment: _Optional[_Union[Employment, str]] = ..., training: _Optional[_Union[Training, str]] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., training_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., offboard_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., devices: _Optional[_Iterable[str]] = ..., suspended_by: _Optional[str] = ...) -> None: ...

class UpsertPrincipalRequest(_message.Message):
    __slots__ = ("principal", "context")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    principal: Principal
    context: _types_pb2.RequestContext
    def __init__(self, principal: _Optional[_Union[Principal, _Mapping]] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class UpsertPrincipalResponse(_message.Message):
    __slots__ = ("principal", "decision")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    principal: Principal
    decision: _types_pb2.DecisionSummary
    def __init__(self, principal: _Optional[_Union[Principal, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class GetPrincipalRequest(_message.Message):
    __slots__ = ("id", "context")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    context: _types_pb2.RequestContext
    def __init__(self, id: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class GetPrincipalResponse(_message.Message):
    __slots__ = ("principal", "decision")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    principal: Principal
    decision: _types_pb2.DecisionSummary
    def __init__(self, principal: _Optional[_Union[Principal, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class OffboardPrincipalRequest(_message.Message):
    __slots__ = ("id", "context", "at")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    id: str
    context: _types_pb2.RequestContext
    at: _timestamp_pb2.Timestamp
    def __init__(self, id: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class OffboardPrincipalResponse(_message.Message):
    __slots__ = ("principal", "decision")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    principal: Principal
    decision: _types_pb2.DecisionSummary
    def __init__(self, principal: _Optional[_Union[Principal, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ListPrincipalsRequest(_message.Message):
    __slots__ = ("context", "role", "department", "employment", "kind", "page_size", "page_token")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    DEPARTMENT_FIELD_NUMBER: _ClassVar[int]
    EMPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    context: _types_pb2.RequestContext
    role: str
    department: str
    employment: Employment
    kind: PrincipalKind
    page_size: int
    page_token: str
    def __init__(self, context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., role: _Optional[str] = ..., department: _Optional[str] = ..., employment: _Optional[_Union[Employment, str]] = ..., kind: _Optional[_Union[PrincipalKind, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListPrincipalsResponse(_message.Message):
    __slots__ = ("principals", "next_page_token", "decision")
    PRINCIPALS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    principals: _containers.RepeatedCompositeFieldContainer[Principal]
    next_page_token: str
    decision: _types_pb2.DecisionSummary
    def __init__(self, principals: _Optional[_Iterable[_Union[Principal, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class SuspendPrincipalRequest(_message.Message):
    __slots__ = ("id", "context")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    context: _types_pb2.RequestContext
    def __init__(self, id: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class SuspendPrincipalResponse(_message.Message):
    __slots__ = ("principal", "decision")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    principal: Principal
    decision: _types_pb2.DecisionSummary
    def __init__(self, principal: _Optional[_Union[Principal, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ReinstatePrincipalRequest(_message.Message):
    __slots__ = ("id", "context")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    context: _types_pb2.RequestContext
    def __init__(self, id: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class ReinstatePrincipalResponse(_message.Message):
    __slots__ = ("principal", "decision")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    principal: Principal
    decision: _types_pb2.DecisionSummary
    def __init__(self, principal: _Optional[_Union[Principal, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class TransferCustomersRequest(_message.Message):
    __slots__ = ("to", "context")
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    to: str
    context: _types_pb2.RequestContext
    def __init__(self, to: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., **kwargs) -> None: ...

class TransferCustomersResponse(_message.Message):
    __slots__ = ("order", "due_at", "campaigns", "approvals", "decision")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGNS_FIELD_NUMBER: _ClassVar[int]
    APPROVALS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    order: str
    due_at: _timestamp_pb2.Timestamp
    campaigns: _containers.RepeatedScalarFieldContainer[str]
    approvals: int
    decision: _types_pb2.DecisionSummary
    def __init__(self, order: _Optional[str] = ..., due_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., campaigns: _Optional[_Iterable[str]] = ..., approvals: _Optional[int] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class OffboardingItem(_message.Message):
    __slots__ = ("kind", "state", "subject", "open", "order", "due_at", "done_at", "done_by")
    KIND_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    DUE_AT_FIELD_NUMBER: _ClassVar[int]
    DONE_AT_FIELD_NUMBER: _ClassVar[int]
    DONE_BY_FIELD_NUMBER: _ClassVar[int]
    kind: OffboardingKind
    state: OffboardingState
    subject: str
    open: int
    order: str
    due_at: _timestamp_pb2.Timestamp
    done_at: _timestamp_pb2.Timestamp
    done_by: str
    def __init__(self, kind: _Optional[_Union[OffboardingKind, str]] = ..., state: _Optional[_Union[OffboardingState, str]] = ..., subject: _Optional[str] = ..., open: _Optional[int] = ..., order: _Optional[str] = ..., due_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., done_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., done_by: _Optional[str] = ...) -> None: ...

class GetOffboardingRequest(_message.Message):
    __slots__ = ("id", "context")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    context: _types_pb2.RequestContext
    def __init__(self, id: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class GetOffboardingResponse(_message.Message):
    __slots__ = ("principal", "items", "done", "decision")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    DONE_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    principal: Principal
    items: _containers.RepeatedCompositeFieldContainer[OffboardingItem]
    done: bool
    decision: _types_pb2.DecisionSummary
    def __init__(self, principal: _Optional[_Union[Principal, _Mapping]] = ..., items: _Optional[_Iterable[_Union[OffboardingItem, _Mapping]]] = ..., done: bool = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class AcknowledgeOrderRequest(_message.Message):
    __slots__ = ("order", "context")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    order: str
    context: _types_pb2.RequestContext
    def __init__(self, order: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class AcknowledgeOrderResponse(_message.Message):
    __slots__ = ("order", "acknowledged_at", "acknowledged_by", "decision")
    ORDER_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_AT_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_BY_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    order: str
    acknowledged_at: _timestamp_pb2.Timestamp
    acknowledged_by: str
    decision: _types_pb2.DecisionSummary
    def __init__(self, order: _Optional[str] = ..., acknowledged_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., acknowledged_by: _Optional[str] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...
