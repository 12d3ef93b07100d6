from fujie.v1 import customer_data_service_pb2 as _customer_data_service_pb2
from fujie.v1 import types_pb2 as _types_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExplainRequest(_message.Message):
    __slots__ = ("lookup", "principal", "context")
    LOOKUP_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    lookup: _customer_data_service_pb2.LookupCustomerRequest
    principal: str
    context: _types_pb2.RequestContext
    def __init__(self, lookup: _Optional[_Union[_customer_data_service_pb2.LookupCustomerRequest, _Mapping]] = ..., principal: _Optional[str] = ..., context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class Clause(_message.Message):
    __slots__ = ("text", "value", "depth", "reads")
    class ReadsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TEXT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    READS_FIELD_NUMBER: _ClassVar[int]
    text: str
    value: str
    depth: int
    reads: _containers.ScalarMap[str, str]
    def __init__(self, text: _Optional[str] = ..., value: _Optional[str] = ..., depth: _Optional[int] = ..., reads: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RuleTrace(_message.Message):
    __slots__ = ("kind", "name", "part", "outcome", "place", "clauses")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    CLAUSES_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    part: str
    outcome: str
    place: str
    clauses: _containers.RepeatedCompositeFieldContainer[Clause]
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., part: _Optional[str] = ..., outcome: _Optional[str] = ..., place: _Optional[str] = ..., clauses: _Optional[_Iterable[_Union[Clause, _Mapping]]] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("effect", "reasons", "treatments", "rules", "decision", "suggestions", "untold", "suggestions_cut", "fields")
    class TreatmentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: _types_pb2.Treatment
        def __init__(self, key: _Optional[str] = ..., value: _Optional[_Union[_types_pb2.Treatment, _Mapping]] = ...) -> None: ...
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    TREATMENTS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    SUGGESTIONS_FIELD_NUMBER: _ClassVar[int]
    UNTOLD_FIELD_NUMBER: _ClassVar[int]
    SUGGESTIONS_CUT_FIELD_NUMBER: _ClassVar[int]
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    effect: _types_pb2.Effect
    reasons: _containers.RepeatedCompositeFieldContainer[_types_pb2.Reason]
    treatments: _containers.MessageMap[str, _types_pb2.Treatment]
    rules: _containers.RepeatedCompositeFieldContainer[RuleTrace]
    decision: _types_pb2.DecisionSummary
    suggestions: _containers.RepeatedCompositeFieldContainer[Suggestion]
    untold: _containers.RepeatedCompositeFieldContainer[Suggestion]
    suggestions_cut: bool
    fields: _containers.RepeatedCompositeFieldContainer[FieldTrace]
    def __init__(self, effect: _Optional[_Union[_types_pb2.Effect, str]] = ..., reasons: _Optional[_Iterable[_Union[_types_pb2.Reason, _Mapping]]] = ..., treatments: _Optional[_Mapping[str, _types_pb2.Treatment]] = ..., rules: _Optional[_Iterable[_Union[RuleTrace, _Mapping]]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ..., suggestions: _Optional[_Iterable[_Union[Suggestion, _Mapping]]] = ..., untold: _Optional[_Iterable[_Union[Suggestion, _Mapping]]] = ..., suggestions_cut: bool = ..., fields: _Optional[_Iterable[_Union[FieldTrace, _Mapping]]] = ...) -> None: ...

class FieldTrace(_message.Message):
    __slots__ = ("field", "step", "withheld_reason", "opened_by", "closed_by")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    WITHHELD_REASON_FIELD_NUMBER: _ClassVar[int]
    OPENED_BY_FIELD_NUMBER: _ClassVar[int]
    CLOSED_BY_FIELD_NUMBER: _ClassVar[int]
    field: str
    step: str
    withheld_reason: str
    opened_by: _containers.RepeatedScalarFieldContainer[str]
    closed_by: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, field: _Optional[str] = ..., step: _Optional[str] = ..., withheld_reason: _Optional[str] = ..., opened_by: _Optional[_Iterable[str]] = ..., closed_by: _Optional[_Iterable[str]] = ...) -> None: ...

class Suggestion(_message.Message):
    __slots__ = ("changes", "lacks")
    CHANGES_FIELD_NUMBER: _ClassVar[int]
    LACKS_FIELD_NUMBER: _ClassVar[int]
    changes: _containers.RepeatedCompositeFieldContainer[Change]
    lacks: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, changes: _Optional[_Iterable[_Union[Change, _Mapping]]] = ..., lacks: _Optional[_Iterable[str]] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("part", "value", "evidence")
    PART_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    part: str
    value: str
    evidence: str
    def __init__(self, part: _Optional[str] = ..., value: _Optional[str] = ..., evidence: _Optional[str] = ...) -> None: ...

class GetBundleRequest(_message.Message):
    __slots__ = ("context",)
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    context: _types_pb2.RequestContext
    def __init__(self, context: _Optional[_Union[_types_pb2.RequestContext, _Mapping]] = ...) -> None: ...

class PolicyDocument(_message.Message):
    __slots__ = ("kind", "name", "file")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    file: str
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., file: _Optional[str] = ...) -> None: ...

class GetBundleResponse(_message.Message):
    __slots__ = ("digest", "documents", "decision", "revision", "signers")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    SIGNERS_FIELD_NUMBER: _ClassVar[int]
    digest: str
    documents: _containers.RepeatedCompositeFieldContainer[PolicyDocument]
    decision: _types_pb2.DecisionSummary
    revision: int
    signers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, digest: _Optional[str] = ..., documents: _Optional[_Iterable[_Union[PolicyDocument, _Mapping]]] = ..., decision: _Optional[_Union[_types_pb2.DecisionSummary, _Mapping]] = ..., revision: _Optional[int] = ..., signers: _Optional[_Iterable[str]] = ...) -> None: ...
