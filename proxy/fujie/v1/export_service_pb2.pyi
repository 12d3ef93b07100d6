import datetime

from fujie.v1 import customer_data_service_pb2 as _customer_data_service_pb2
from fujie.v1 import types_pb2 as _types_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExportState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPORT_STATE_UNSPECIFIED: _ClassVar[ExportState]
    EXPORT_STATE_RUNNING: _ClassVar[ExportState]
    EXPORT_STATE_COMPLETE: _ClassVar[ExportState]
    EXPORT_STATE_STOPPED: _ClassVar[ExportState]
EXPORT_STATE_UNSPECIFIED: ExportState
EXPORT_STATE_RUNNING: ExportState
EXPORT_STATE_COMPLETE: ExportState
EXPORT_STATE_STOPPED: ExportState

class Export(_message.Message):
    __slots__ = ("name", "requester", "store", "purpose", "basis", "treatments", "format", "approval", "state", "reason", "rows", "start_time", "end_time", "lease_expire_time", "opens_left", "close_time", "closed_by", "closed_why")
    class TreatmentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Treatment
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Treatment, _Mapping]] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    REQUESTER_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    TREATMENTS_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    LEASE_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    OPENS_LEFT_FIELD_NUMBER: _ClassVar[int]
    CLOSE_TIME_FIELD_NUMBER: _ClassVar[int]
    CLOSED_BY_FIELD_NUMBER: _ClassVar[int]
    CLOSED_WHY_FIELD_NUMBER: _ClassVar[int]
    name: str
    requester: str
    store: str
    purpose: str
    basis: str
    treatments: _containers.MessageMap[str, _types_pb2.Treatment]
    format: _customer_data_service_pb2.ExportFormat
    approval: str
    state: ExportState
    reason: str
    rows: int
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    lease_expire_time: _timestamp_pb2.Timestamp
    opens_left: int
    close_time: _timestamp_pb2.Timestamp
    closed_by: str
    closed_why: str
    def __init__(self, name: _Optional[str] = ..., requester: _Optional[str] = ..., store: _Optional[str] = ..., purpose: _Optional[str] = ..., basis: _Optional[str] = ..., treatments: _Optional[_Mapping[str, _types_pb2.Treatment]] = ..., format: _Optional[_Union[_customer_data_service_pb2.ExportFormat, str]] = ..., approval: _Optional[str] = ..., state: _Optional[_Union[ExportState, str]] = ..., reason: _Optional[str] = ..., rows: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lease_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., opens_left: _Optional[int] = ..., close_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., closed_by: _Optional[str] = ..., closed_why: _Optional[str] = ...) -> None: ...

class GetExportRequest(_message.Message):
    __slots__ = ("name", "context")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class GetExportResponse(_message.Message):
    __slots__ = ("export", "decision")
    EXPORT_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    export: Export
    decision: _types_pb2.DecisionSummary
    def __init__(self, export: _Optional[_Union[Export, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ListExportsRequest(_message.Message):
    __slots__ = ("context", "requester", "store", "state", "page_size", "page_token")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    REQUESTER_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    context: _types_pb2.RequestContext
    requester: str
    store: str
    state: ExportState
    page_size: int
    page_token: str
    def __init__(self, context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., requester: _Optional[str] = ..., store: _Optional[str] = ..., state: _Optional[_Union[ExportState, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListExportsResponse(_message.Message):
    __slots__ = ("exports", "next_page_token", "decision")
    EXPORTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    exports: _containers.RepeatedCompositeFieldContainer[Export]
    next_page_token: str
    decision: _types_pb2.DecisionSummary
    def __init__(self, exports: _Optional[_Iterable[_Union[Export, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class OpenExportRequest(_message.Message):
    __slots__ = ("name", "context")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class ChunkKey(_message.Message):
    __slots__ = ("number", "key")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    number: int
    key: bytes
    def __init__(self, number: _Optional[int] = ..., key: _Optional[bytes] = ...) -> None: ...

class OpenExportResponse(_message.Message):
    __slots__ = ("export", "decision", "keys")
    EXPORT_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    export: Export
    decision: _types_pb2.DecisionSummary
    keys: _containers.RepeatedCompositeFieldContainer[ChunkKey]
    def __init__(self, export: _Optional[_Union[Export, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ..., keys: _Optional[_Iterable[_Union[ChunkKey, _Mapping]]] = ...) -> None: ...

class RevokeExportRequest(_message.Message):
    __slots__ = ("name", "context")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    name: str
    context: _types_pb2.RequestContext
    def __init__(self, name: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class RevokeExportResponse(_message.Message):
    __slots__ = ("export", "decision")
    EXPORT_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    export: Export
    decision: _types_pb2.DecisionSummary
    def __init__(self, export: _Optional[_Union[Export, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class TraceCustomerRequest(_message.Message):
    __slots__ = ("customer", "context", "page_size", "page_token")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    customer: _types_pb2.CustomerRef
    context: _types_pb2.RequestContext
    page_size: int
    page_token: str
    def __init__(self, customer: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ExportTrace(_message.Message):
    __slots__ = ("export", "chunks", "openings")
    EXPORT_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    OPENINGS_FIELD_NUMBER: _ClassVar[int]
    export: Export
    chunks: _containers.RepeatedScalarFieldContainer[int]
    openings: _containers.RepeatedCompositeFieldContainer[ExportOpening]
    def __init__(self, export: _Optional[_Union[Export, _Mapping]] = ..., chunks: _Optional[_Iterable[int]] = ..., openings: _Optional[_Iterable[_Union[ExportOpening, _Mapping]]] = ...) -> None: ...

class ExportOpening(_message.Message):
    __slots__ = ("principal", "time")
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    principal: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, principal: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class TraceCustomerResponse(_message.Message):
    __slots__ = ("exports", "next_page_token", "decision")
    EXPORTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    exports: _containers.RepeatedCompositeFieldContainer[ExportTrace]
    next_page_token: str
    decision: _types_pb2.DecisionSummary
    def __init__(self, exports: _Optional[_Iterable[_Union[ExportTrace, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...
