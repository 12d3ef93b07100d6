from fujie.v1 import types_pb2 as _types_pb2
from google.protobuf import struct_pb2 as _struct_pb2
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

class Principal(_message.Message):
    __slots__ = ("id", "kind", "roles", "department", "employment", "training", "attributes")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    ROLES_FIELD_NUMBER: _ClassVar[int]
    DEPARTMENT_FIELD_NUMBER: _ClassVar[int]
    EMPLOYMENT_FIELD_NUMBER: _ClassVar[int]
    TRAINING_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: PrincipalKind
    roles: _containers.RepeatedScalarFieldContainer[str]
    department: str
    employment: Employment
    training: Training
    attributes: _struct_pb2.Struct
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[_Union[PrincipalKind, str]] = ..., roles: _Optional[_Iterable[str]] = ..., department: _Optional[str] = ..., employment: _Optional[_Union[Employment, str]] = ..., training: _Optional[_Union[Training, str]] = ..., attributes: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

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
    __slots__ = ("id", "context")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    context: _types_pb2.RequestContext
    def __init__(self, id: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

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
