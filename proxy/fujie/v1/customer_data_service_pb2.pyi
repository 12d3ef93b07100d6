from fujie.v1 import types_pb2 as _types_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

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
