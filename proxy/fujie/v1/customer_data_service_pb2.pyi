from fujie.v1 import types_pb2 as _types_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
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
