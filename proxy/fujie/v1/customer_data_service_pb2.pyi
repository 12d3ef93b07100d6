from fujie.v1 import types_pb2 as _types_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExportFormat(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXPORT_FORMAT_UNSPECIFIED: _ClassVar[ExportFormat]
    EXPORT_FORMAT_CSV: _ClassVar[ExportFormat]
    EXPORT_FORMAT_JSON_LINES: _ClassVar[ExportFormat]
EXPORT_FORMAT_UNSPECIFIED: ExportFormat
EXPORT_FORMAT_CSV: ExportFormat
EXPORT_FORMAT_JSON_LINES: ExportFormat

class LookupCustomerRequest(_message.Message):
    __slots__ = ("customer", "store", "context", "read_mask", "strict")
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    customer: _types_pb2.CustomerRef
    store: str
    context: _types_pb2.RequestContext
    read_mask: _field_mask_pb2.FieldMask
    strict: bool
    def __init__(self, customer: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., store: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., strict: bool = ...) -> None: ...

class LookupCustomerResponse(_message.Message):
    __slots__ = ("customer", "treatments", "decision")
    class TreatmentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Treatment
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Treatment, _Mapping]] = ...) -> None: ...
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    TREATMENTS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    customer: _struct_pb2.Struct
    treatments: _containers.MessageMap[str, _types_pb2.Treatment]
    decision: _types_pb2.DecisionSummary
    def __init__(self, customer: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., treatments: _Optional[_Mapping[str, _types_pb2.Treatment]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class BatchLookupCustomersRequest(_message.Message):
    __slots__ = ("customers", "store", "context", "read_mask", "strict")
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    customers: _containers.RepeatedCompositeFieldContainer[_types_pb2.CustomerRef]
    store: str
    context: _types_pb2.RequestContext
    read_mask: _field_mask_pb2.FieldMask
    strict: bool
    def __init__(self, customers: _Optional[_Iterable[_Union[_types_pb2.CustomerRef, _Mapping]]] = ..., store: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., strict: bool = ...) -> None: ...

class CustomerResult(_message.Message):
    __slots__ = ("index", "customer", "treatments", "decision", "reasons", "approval")
    class TreatmentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Treatment
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Treatment, _Mapping]] = ...) -> None: ...
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    TREATMENTS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    index: int
    customer: _struct_pb2.Struct
    treatments: _containers.MessageMap[str, _types_pb2.Treatment]
    decision: _types_pb2.DecisionSummary
    reasons: _containers.RepeatedCompositeFieldContainer[_types_pb2.Reason]
    approval: str
    def __init__(self, index: _Optional[int] = ..., customer: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., treatments: _Optional[_Mapping[str, _types_pb2.Treatment]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ..., reasons: _Optional[_Iterable[_Union[_types_pb2.Reason, _Mapping]]] = ..., approval: _Optional[str] = ...) -> None: ...

class BatchLookupCustomersResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[CustomerResult]
    def __init__(self, results: _Optional[_Iterable[_Union[CustomerResult, _Mapping]]] = ...) -> None: ...

class SearchCustomersRequest(_message.Message):
    __slots__ = ("phone_last_four", "store", "context", "read_mask", "strict")
    PHONE_LAST_FOUR_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    phone_last_four: str
    store: str
    context: _types_pb2.RequestContext
    read_mask: _field_mask_pb2.FieldMask
    strict: bool
    def __init__(self, phone_last_four: _Optional[str] = ..., store: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., strict: bool = ...) -> None: ...

class SearchCustomersResponse(_message.Message):
    __slots__ = ("customers", "decision")
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    customers: _containers.RepeatedCompositeFieldContainer[LookupCustomerResponse]
    decision: _types_pb2.DecisionSummary
    def __init__(self, customers: _Optional[_Iterable[_Union[LookupCustomerResponse, _Mapping]]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class MergeCustomersRequest(_message.Message):
    __slots__ = ("into", "context", "evidence_ref")
    INTO_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_REF_FIELD_NUMBER: _ClassVar[int]
    into: _types_pb2.CustomerRef
    context: _types_pb2.RequestContext
    evidence_ref: str
    def __init__(self, into: _Optional[_Union[_types_pb2.CustomerRef, _Mapping]] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., evidence_ref: _Optional[str] = ..., **kwargs) -> None: ...

class MergeCustomersResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: _types_pb2.DecisionSummary
    def __init__(self, decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class SplitCustomerRequest(_message.Message):
    __slots__ = ("store_key", "context", "evidence_ref")
    STORE_KEY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_REF_FIELD_NUMBER: _ClassVar[int]
    store_key: _types_pb2.StoreKey
    context: _types_pb2.RequestContext
    evidence_ref: str
    def __init__(self, store_key: _Optional[_Union[_types_pb2.StoreKey, _Mapping]] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., evidence_ref: _Optional[str] = ...) -> None: ...

class SplitCustomerResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: _types_pb2.DecisionSummary
    def __init__(self, decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class LeaseRequest(_message.Message):
    __slots__ = ("seconds", "opens")
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    OPENS_FIELD_NUMBER: _ClassVar[int]
    seconds: int
    opens: int
    def __init__(self, seconds: _Optional[int] = ..., opens: _Optional[int] = ...) -> None: ...

class ExportCustomersRequest(_message.Message):
    __slots__ = ("store", "filter", "context", "read_mask", "max_rows", "format", "strict", "resume_token", "lease", "validate_only")
    STORE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    LEASE_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    store: str
    filter: str
    context: _types_pb2.RequestContext
    read_mask: _field_mask_pb2.FieldMask
    max_rows: int
    format: ExportFormat
    strict: bool
    resume_token: str
    lease: LeaseRequest
    validate_only: bool
    def __init__(self, store: _Optional[str] = ..., filter: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ..., max_rows: _Optional[int] = ..., format: _Optional[_Union[ExportFormat, str]] = ..., strict: bool = ..., resume_token: _Optional[str] = ..., lease: _Optional[_Union[LeaseRequest, _Mapping]] = ..., validate_only: bool = ...) -> None: ...

class ExportHeader(_message.Message):
    __slots__ = ("export", "treatments", "decision", "data")
    class TreatmentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Treatment
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Treatment, _Mapping]] = ...) -> None: ...
    EXPORT_FIELD_NUMBER: _ClassVar[int]
    TREATMENTS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    export: str
    treatments: _containers.MessageMap[str, _types_pb2.Treatment]
    decision: _types_pb2.DecisionSummary
    data: bytes
    def __init__(self, export: _Optional[str] = ..., treatments: _Optional[_Mapping[str, _types_pb2.Treatment]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ..., data: _Optional[bytes] = ...) -> None: ...

class ExportChunk(_message.Message):
    __slots__ = ("number", "data", "rows", "resume_token")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    RESUME_TOKEN_FIELD_NUMBER: _ClassVar[int]
    number: int
    data: bytes
    rows: int
    resume_token: str
    def __init__(self, number: _Optional[int] = ..., data: _Optional[bytes] = ..., rows: _Optional[int] = ..., resume_token: _Optional[str] = ...) -> None: ...

class WithheldRows(_message.Message):
    __slots__ = ("reason", "rows")
    REASON_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    rows: int
    def __init__(self, reason: _Optional[str] = ..., rows: _Optional[int] = ...) -> None: ...

class ExportTrailer(_message.Message):
    __slots__ = ("rows", "withheld", "data")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    WITHHELD_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    rows: int
    withheld: _containers.RepeatedCompositeFieldContainer[WithheldRows]
    data: bytes
    def __init__(self, rows: _Optional[int] = ..., withheld: _Optional[_Iterable[_Union[WithheldRows, _Mapping]]] = ..., data: _Optional[bytes] = ...) -> None: ...

class ExportCustomersResponse(_message.Message):
    __slots__ = ("header", "chunk", "trailer")
    HEADER_FIELD_NUMBER: _ClassVar[int]
    CHUNK_FIELD_NUMBER: _ClassVar[int]
    TRAILER_FIELD_NUMBER: _ClassVar[int]
    header: ExportHeader
    chunk: ExportChunk
    trailer: ExportTrailer
    def __init__(self, header: _Optional[_Union[ExportHeader, _Mapping]] = ..., chunk: _Optional[_Union[ExportChunk, _Mapping]] = ..., trailer: _Optional[_Union[ExportTrailer, _Mapping]] = ...) -> None: ...
