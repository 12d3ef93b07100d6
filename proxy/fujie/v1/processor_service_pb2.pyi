from fujie.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Processor(_message.Message):
    __slots__ = ("id", "display_name", "agreement", "valid_from", "valid_until", "filing", "region", "transfer", "contact", "ownership", "assessments")
    class AssessmentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    DISPLAY_NAME_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    VALID_FROM_FIELD_NUMBER: _ClassVar[int]
    VALID_UNTIL_FIELD_NUMBER: _ClassVar[int]
    FILING_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    TRANSFER_FIELD_NUMBER: _ClassVar[int]
    CONTACT_FIELD_NUMBER: _ClassVar[int]
    OWNERSHIP_FIELD_NUMBER: _ClassVar[int]
    ASSESSMENTS_FIELD_NUMBER: _ClassVar[int]
    id: str
    display_name: str
    agreement: str
    valid_from: str
    valid_until: str
    filing: str
    region: str
    transfer: str
    contact: str
    ownership: str
    assessments: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., display_name: _Optional[str] = ..., agreement: _Optional[str] = ..., valid_from: _Optional[str] = ..., valid_until: _Optional[str] = ..., filing: _Optional[str] = ..., region: _Optional[str] = ..., transfer: _Optional[str] = ..., contact: _Optional[str] = ..., ownership: _Optional[str] = ..., assessments: _Optional[_Mapping[str, str]] = ...) -> None: ...

class UpsertProcessorRequest(_message.Message):
    __slots__ = ("processor", "context")
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    processor: Processor
    context: _types_pb2.RequestContext
    def __init__(self, processor: _Optional[_Union[Processor, _Mapping]] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class UpsertProcessorResponse(_message.Message):
    __slots__ = ("processor", "decision")
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    processor: Processor
    decision: _types_pb2.DecisionSummary
    def __init__(self, processor: _Optional[_Union[Processor, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class GetProcessorRequest(_message.Message):
    __slots__ = ("id", "context")
    ID_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    id: str
    context: _types_pb2.RequestContext
    def __init__(self, id: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class GetProcessorResponse(_message.Message):
    __slots__ = ("processor", "decision")
    PROCESSOR_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    processor: Processor
    decision: _types_pb2.DecisionSummary
    def __init__(self, processor: _Optional[_Union[Processor, _Mapping]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...

class ListProcessorsRequest(_message.Message):
    __slots__ = ("context", "page_size", "page_token")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    context: _types_pb2.RequestContext
    page_size: int
    page_token: str
    def __init__(self, context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListProcessorsResponse(_message.Message):
    __slots__ = ("processors", "next_page_token", "decision")
    PROCESSORS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    processors: _containers.RepeatedCompositeFieldContainer[Processor]
    next_page_token: str
    decision: _types_pb2.DecisionSummary
    def __init__(self, processors: _Optional[_Iterable[_Union[Processor, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ...) -> None: ...
