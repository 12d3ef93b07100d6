from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Effect(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EFFECT_UNSPECIFIED: _ClassVar[Effect]
    EFFECT_ALLOW: _ClassVar[Effect]
    EFFECT_DENY: _ClassVar[Effect]
    EFFECT_APPROVAL_REQUIRED: _ClassVar[Effect]
EFFECT_UNSPECIFIED: Effect
EFFECT_ALLOW: Effect
EFFECT_DENY: Effect
EFFECT_APPROVAL_REQUIRED: Effect

class CustomerRef(_message.Message):
    __slots__ = ("store_key", "phone")
    STORE_KEY_FIELD_NUMBER: _ClassVar[int]
    PHONE_FIELD_NUMBER: _ClassVar[int]
    store_key: StoreKey
    phone: str
    def __init__(self, store_key: _Optional[_Union[StoreKey, _Mapping]] = ..., phone: _Optional[str] = ...) -> None: ...

class StoreKey(_message.Message):
    __slots__ = ("store", "customer_id")
    STORE_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    store: str
    customer_id: str
    def __init__(self, store: _Optional[str] = ..., customer_id: _Optional[str] = ...) -> None: ...

class RequestContext(_message.Message):
    __slots__ = ("request_id", "purpose", "basis", "basis_evidence", "ticket", "approval", "on_behalf_of", "explain", "break_glass")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    BASIS_EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    TICKET_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    ON_BEHALF_OF_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    BREAK_GLASS_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    purpose: str
    basis: str
    basis_evidence: str
    ticket: str
    approval: str
    on_behalf_of: str
    explain: bool
    break_glass: bool
    def __init__(self, request_id: _Optional[str] = ..., purpose: _Optional[str] = ..., basis: _Optional[str] = ..., basis_evidence: _Optional[str] = ..., ticket: _Optional[str] = ..., approval: _Optional[str] = ..., on_behalf_of: _Optional[str] = ..., explain: bool = ..., break_glass: bool = ...) -> None: ...

class LocalizedText(_message.Message):
    __slots__ = ("zh", "en")
    ZH_FIELD_NUMBER: _ClassVar[int]
    EN_FIELD_NUMBER: _ClassVar[int]
    zh: str
    en: str
    def __init__(self, zh: _Optional[str] = ..., en: _Optional[str] = ...) -> None: ...

class Reason(_message.Message):
    __slots__ = ("code", "guard", "validation", "message", "basis", "remedy")
    CODE_FIELD_NUMBER: _ClassVar[int]
    GUARD_FIELD_NUMBER: _ClassVar[int]
    VALIDATION_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    BASIS_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    code: str
    guard: str
    validation: str
    message: LocalizedText
    basis: _containers.RepeatedScalarFieldContainer[str]
    remedy: LocalizedText
    def __init__(self, code: _Optional[str] = ..., guard: _Optional[str] = ..., validation: _Optional[str] = ..., message: _Optional[_Union[LocalizedText, _Mapping]] = ..., basis: _Optional[_Iterable[str]] = ..., remedy: _Optional[_Union[LocalizedText, _Mapping]] = ...) -> None: ...

class DecisionSummary(_message.Message):
    __slots__ = ("decision_id", "effect", "bundle", "warnings")
    DECISION_ID_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    BUNDLE_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    decision_id: str
    effect: Effect
    bundle: str
    warnings: _containers.RepeatedCompositeFieldContainer[Reason]
    def __init__(self, decision_id: _Optional[str] = ..., effect: _Optional[_Union[Effect, str]] = ..., bundle: _Optional[str] = ..., warnings: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ...) -> None: ...

class DecisionDetail(_message.Message):
    __slots__ = ("decision", "reasons", "prompt", "approval")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    APPROVAL_FIELD_NUMBER: _ClassVar[int]
    decision: DecisionSummary
    reasons: _containers.RepeatedCompositeFieldContainer[Reason]
    prompt: ConsentPrompt
    approval: str
    def __init__(self, decision: _Optional[_Union[DecisionSummary, _Mapping]] = ..., reasons: _Optional[_Iterable[_Union[Reason, _Mapping]]] = ..., prompt: _Optional[_Union[ConsentPrompt, _Mapping]] = ..., approval: _Optional[str] = ...) -> None: ...

class ConsentPrompt(_message.Message):
    __slots__ = ("token", "purpose", "notice_id", "notice_version", "text", "digest")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    NOTICE_ID_FIELD_NUMBER: _ClassVar[int]
    NOTICE_VERSION_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    token: str
    purpose: str
    notice_id: str
    notice_version: str
    text: LocalizedText
    digest: LocalizedText
    def __init__(self, token: _Optional[str] = ..., purpose: _Optional[str] = ..., notice_id: _Optional[str] = ..., notice_version: _Optional[str] = ..., text: _Optional[_Union[LocalizedText, _Mapping]] = ..., digest: _Optional[_Union[LocalizedText, _Mapping]] = ...) -> None: ...

class Treatment(_message.Message):
    __slots__ = ("step", "withheld_reason")
    STEP_FIELD_NUMBER: _ClassVar[int]
    WITHHELD_REASON_FIELD_NUMBER: _ClassVar[int]
    step: str
    withheld_reason: str
    def __init__(self, step: _Optional[str] = ..., withheld_reason: _Optional[str] = ...) -> None: ...

class RefusedRows(_message.Message):
    __slots__ = ("reason", "count", "rows")
    REASON_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    count: int
    rows: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, reason: _Optional[str] = ..., count: _Optional[int] = ..., rows: _Optional[_Iterable[int]] = ...) -> None: ...
