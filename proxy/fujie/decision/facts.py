"""Raw values to typed facts. `derive` is where time becomes states and hours; nothing after it knows a clock."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from fujie.decision.consent import Consent, consent_of
from fujie.decision.processor import processor_facts
from fujie.decision.recipient import Reached, recipient_facts
from fujie.decision.suppression import suppressed
from fujie.decision.validity import expired_at
from fujie.model.consent import ConsentEvent
from fujie.model.facts import (
    EXPIRED,
    LONGEST,
    NOT_FETCHED,
    ROWS,
    Facts,
    FactType,
    FactValue,
    Kind,
    Unknown,
    UnknownWhy,
)
from fujie.model.principal import Principal
from fujie.model.processor import Processor
from fujie.model.request import Request
from fujie.model.suppression import Suppression
from fujie.model.vocabulary import ANY_CHANNEL, Action, State
from fujie.policy.bundle import Bundle

_LARGEST = 2**63
_NEVER_ASKED = Consent(State.NONE)
_NO_CUSTOMER = Unknown(UnknownWhy.NO_CUSTOMER)
_NO_ATTRIBUTE = Unknown(UnknownWhy.NO_ATTRIBUTE)
_NOT_MAPPED = Unknown(UnknownWhy.NOT_MAPPED)
_NULL = Unknown(UnknownWhy.NULL)
_WRONG_TYPE = Unknown(UnknownWhy.WRONG_TYPE)


@dataclass(frozen=True, slots=True, repr=False)
class Raw:
    """What the edges know, before it is typed.

    `events` are the consent events of every sid of the customer, None when there is no customer.
    `sid` is the one that positive consent must have been given for. `attributes` are raw column
    values by attribute name, None when the customer has no row. `suppressions` are the opt-outs of every
    sid that were not lifted, None when they were not read.

    The rest is about what is sent, and is looked at for the action send alone: the facts of the review of the
    `message`, the `processor` behind its provider (None: it is not registered, or the provider is not known yet),
    whether that `is_local` and so has none, and whom the message has `reached` before.
    """

    principal: Principal
    events: Sequence[ConsentEvent] | None = None
    sid: str = ""
    attributes: Mapping[str, object] | None = None
    suppressions: Sequence[Suppression] | None = None
    message: Mapping[str, FactValue] | None = None
    processor: Processor | None = None
    is_local: bool = False
    reached: Reached | None = None


def derive(bundle: Bundle, request: Request, raw: Raw, now: datetime, zone: tzinfo) -> Facts:
    """Type every fact of a request. Total: what is missing or of the wrong type is Unknown, with why."""
    local = now.astimezone(zone)
    principal = raw.principal
    values: dict[str, FactValue] = {
        "principal.kind": principal.kind,
        "principal.roles": tuple(sorted(principal.roles)),
        "principal.department": principal.department,
        "principal.employment": principal.employment,
        "principal.training": principal.training,
        "request.action": request.action.value,
        "request.purpose": request.purpose,
        "request.basis": request.basis,
        "request.store": request.store,
        "request.key": request.key_kind,
        "request.fields": request.fields,
        "request.strict": request.strict,
        "request.has_basis_evidence": request.has_basis_evidence,
        "request.has_ticket": request.has_ticket,
        "request.delegated": request.delegated,
        ROWS: request.rows,
        "request.has_prompt": request.has_prompt,
        "time.hour": local.hour,
        "time.weekday": local.isoweekday(),
    }
    for name, fact_type in bundle.principal_attributes.items():
        values[f"principal.{name}"] = _typed(principal.attributes.get(name, _NO_ATTRIBUTE), fact_type)
    if bundle.timed_grants:
        values[EXPIRED] = expired_at(bundle, request.action, principal.roles, now)
    if request.action is Action.SEND and (raw.processor or raw.is_local or raw.message is not None):
        values |= processor_facts(raw.processor, request.purpose, local.date(), is_local=raw.is_local)
    return with_customer(bundle, request, Facts(values), raw, now)


def with_customer(bundle: Bundle, request: Request, asker: Facts, raw: Raw, now: datetime) -> Facts:
    """Return the facts of `asker` with those of the customer in `raw`, and of the message to them: what `derive` would
    give for it, but for `processor.*`, which stay those of `asker`."""
    values = dict(asker.values)
    if request.action is Action.SEND:
        values |= _of_message(bundle, raw, now)
    if raw.events is not None:
        consent = _NEVER_ASKED
        if raw.events:
            purpose = bundle.purposes.get(request.purpose)
            ttl = purpose.consent_ttl if purpose else None
            consent = consent_of(raw.events, raw.sid, request.channel or ANY_CHANNEL, now, ttl)
        values["consent.state"] = consent.state
        values["consent.explicit"] = consent.explicit
        values["consent.separate"] = consent.separate
    if raw.suppressions is not None:
        values["suppression.in_force"] = suppressed(
            raw.suppressions, request.purpose, request.channel, request.brand
        )
    if raw.attributes is None:
        for name in bundle.customer_attributes:
            values["customer." + name] = _NO_CUSTOMER
    else:
        known = raw.attributes.get
        for name, fact_type in bundle.customer_attributes.items():
            values["customer." + name] = _typed(known(name, _NOT_MAPPED), fact_type)
    return Facts(values)


def _of_message(bundle: Bundle, raw: Raw, now: datetime) -> Mapping[str, FactValue]:
    found = dict(raw.message or {})
    if raw.reached is not None:
        category = found.get("message.category", NOT_FETCHED)
        found |= recipient_facts(bundle.capped_guards, raw.reached, category, now)
    return found


def _typed(value: object, fact_type: FactType) -> FactValue:
    """Return `value` as the declared type, or why it is Unknown. Never guesses: "0" is not false.

    Stores without a boolean type hold 0 and 1, which are taken for false and true.
    """
    if value is None:
        return _NULL
    if isinstance(value, Unknown):
        return value
    match fact_type.kind:
        case Kind.BOOL:
            return bool(value) if isinstance(value, int) and value in (0, 1) else _WRONG_TYPE
        case Kind.INT:
            whole = isinstance(value, int) and not isinstance(value, bool)
            return (
                value if whole and isinstance(value, int) and -_LARGEST <= value < _LARGEST else _WRONG_TYPE
            )
        case Kind.STRING:
            return value if isinstance(value, str) and _is_text(value) else _WRONG_TYPE
        case Kind.STRINGS:
            items = value if isinstance(value, list | tuple) else ()
            texts = tuple(item for item in items if isinstance(item, str) and _is_text(item))
            whole = isinstance(value, list | tuple) and len(texts) == len(items)
            return texts if whole and len(texts) + sum(map(len, texts)) <= LONGEST else _WRONG_TYPE
        case _:
            return _WRONG_TYPE


def _is_text(text: str) -> bool:
    # The engine cuts at NUL and dies at a lone surrogate (cel-expr-python 0.1.3).
    if len(text) > LONGEST or "\0" in text:
        return False
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)
