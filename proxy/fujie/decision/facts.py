"""Raw values to typed facts. `derive` is where time becomes states and hours; nothing after it knows a clock."""

from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import NamedTuple

from fujie.decision.consent import consent_of
from fujie.decision.processor import processor_facts
from fujie.decision.recipient import RECIPIENT_FACTS, Reached, recipient_facts
from fujie.decision.suppression import suppressed
from fujie.decision.validity import expired_at
from fujie.model.consent import Bearing
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
_BOOL, _STRING = Kind.BOOL, Kind.STRING  # nearly all attributes, and looked at for every customer
_NEVER_ASKED = (State.NONE, False, False)
_NO_CUSTOMER = Unknown(UnknownWhy.NO_CUSTOMER)
_NO_ATTRIBUTE = Unknown(UnknownWhy.NO_ATTRIBUTE)
_NOT_MAPPED = Unknown(UnknownWhy.NOT_MAPPED)
_NULL = Unknown(UnknownWhy.NULL)
_WRONG_TYPE = Unknown(UnknownWhy.WRONG_TYPE)


class Raw(NamedTuple):
    """What the edges know, before it is typed. A named tuple, since one is made for every recipient of a campaign.

    `events` are the consent events of every sid of the customer, None when there is no customer.
    `sid` is the one that positive consent must have been given for. `attributes` are raw column
    values by attribute name, None when the customer has no row. `suppressions` are the opt-outs of every
    sid that were not lifted, None when they were not read.

    The rest is about what is sent, and is looked at for the action send alone: the facts of the review of the
    `message`, the `processor` behind its provider (None: it is not registered, or the provider is not known yet),
    whether that `is_local` and so has none, and whom the message has `reached` before.
    """

    principal: Principal
    events: Sequence[Bearing] | None = None
    sid: str = ""
    attributes: Mapping[str, object] | None = None
    suppressions: Sequence[Suppression] | None = None
    message: Mapping[str, FactValue] | None = None
    processor: Processor | None = None
    is_local: bool = False
    reached: Reached | None = None

    def __repr__(self) -> str:
        return "Raw(...)"


class Particulars(NamedTuple):
    """All that the facts say of one customer. Customers with the same are decided alike; what was not read is None.

    `reached` is as `recipient_facts` returns it, `consent` the state, whether it is explicit and whether separate,
    `attributes` the typed values of those that the row has, by name.
    """

    reached: Sequence[FactValue] | None
    consent: tuple[State, bool, bool] | None
    in_force: bool | None
    attributes: tuple[tuple[str, FactValue], ...] | None


def derive(bundle: Bundle, request: Request, raw: Raw, now: datetime, zone: tzinfo) -> Facts:
    """Type every fact of a request. Total: what is missing or of the wrong type is Unknown, with why."""
    local, unknown = now.astimezone(zone), _unknown(bundle)
    principal = raw.principal.as_of(now)
    values: dict[str, FactValue] = {
        "principal.kind": principal.kind,
        "principal.roles": _sorted(principal.roles),
        "principal.department": principal.department,
        "principal.employment": principal.employment,
        "principal.training": principal.training,
        "request.action": str(request.action),
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
        "request.is_own": request.is_own,
        "time.hour": local.hour,
        "time.weekday": local.isoweekday(),
        **unknown.of_principal,
    }
    for name, value in principal.attributes.items():
        if name in bundle.principal_attributes:
            values["principal." + name] = _typed(value, bundle.principal_attributes[name])
    if bundle.timed_grants:
        values[EXPIRED] = expired_at(bundle, request.action, principal.roles, now)
    if request.action is Action.SEND:
        if raw.processor or raw.is_local or raw.message is not None:
            values |= processor_facts(raw.processor, request.purpose, local.date(), is_local=raw.is_local)
        values |= raw.message or {}
    return _filled(unknown, values, particulars(bundle, request, values, raw, now))


def with_customer(bundle: Bundle, request: Request, asker: Facts, raw: Raw, now: datetime) -> Facts:
    """Return the facts of `asker` with those of the customer in `raw`, and of the message to them: what `derive` would
    give for it, but for `processor.*`, which stay those of `asker`."""
    said = with_message(request, asker, raw.message)
    return told_of(bundle, said, particulars(bundle, request, said.values, raw, now))


def with_message(request: Request, asker: Facts, message: Mapping[str, FactValue] | None) -> Facts:
    """Return the facts of `asker` with those of the message, which count for the action send alone."""
    return Facts({**asker.values, **message}) if message and request.action is Action.SEND else asker


def particulars(
    bundle: Bundle, request: Request, said: Mapping[str, FactValue], raw: Raw, now: datetime
) -> Particulars:
    """Return what the facts say of the customer in `raw`; `said` are those of asker and message."""
    reached = None
    if raw.reached is not None and request.action is Action.SEND:
        category = said.get("message.category", NOT_FETCHED)
        reached = recipient_facts(bundle.capped_guards, raw.reached, category, now)
    consent = None if raw.events is None else consent_facts(bundle, request, raw.events, raw.sid, now)
    in_force = None
    if raw.suppressions is not None:
        given = raw.suppressions
        in_force = bool(given) and suppressed(given, request.purpose, request.channel, request.brand)
    attributes = None
    if raw.attributes is not None:
        types = bundle.customer_attributes
        of_row = raw.attributes.items()
        attributes = tuple([(name, _typed(value, types[name])) for name, value in of_row if name in types])
    return Particulars(reached, consent, in_force, attributes)


def consent_facts(
    bundle: Bundle, request: Request, events: Sequence[Bearing], sid: str, now: datetime
) -> tuple[State, bool, bool]:
    """Return the state of consent for a request, and whether it is explicit and whether separate; see `consent_of`."""
    if not events:
        return _NEVER_ASKED
    purpose = bundle.purposes.get(request.purpose)
    ttl = purpose.consent_ttl if purpose else None
    state, event = consent_of(events, sid, request.channel or ANY_CHANNEL, now, ttl)
    if state is not State.GIVEN or event is None:
        return state, False, False
    return state, event.explicit, event.separate


def told_of(bundle: Bundle, said: Facts, known: Particulars) -> Facts:
    """Return the facts of asker and message with those of a customer."""
    return _filled(_unknown(bundle), dict(said.values), known)


def _filled(unknown: "_UnknownAttributes", values: dict[str, FactValue], known: Particulars) -> Facts:
    if known.reached is not None:
        values.update(zip(RECIPIENT_FACTS, known.reached, strict=True))
    if known.consent is not None:
        values["consent.state"], values["consent.explicit"], values["consent.separate"] = known.consent
    if known.in_force is not None:
        values["suppression.in_force"] = known.in_force
    if known.attributes is None:
        values.update(unknown.without_customer)
    else:
        values.update(unknown.of_customer)
        for name, value in known.attributes:
            values["customer." + name] = value
    return Facts(values)


class _UnknownAttributes(NamedTuple):
    """The attributes of a bundle that nobody told: of a principal, of a customer who is there, and of one who is not."""

    of_principal: Mapping[str, FactValue]
    of_customer: Mapping[str, FactValue]
    without_customer: Mapping[str, FactValue]


@lru_cache(maxsize=4)  # those in force, and no more: each is kept alive by this
def _unknown(bundle: Bundle) -> _UnknownAttributes:
    of_customer = ["customer." + name for name in bundle.customer_attributes]
    return _UnknownAttributes(
        {"principal." + name: _NO_ATTRIBUTE for name in bundle.principal_attributes},
        dict.fromkeys(of_customer, _NOT_MAPPED),
        dict.fromkeys(of_customer, _NO_CUSTOMER),
    )


@lru_cache(maxsize=1024)
def _sorted(roles: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(roles))


def _typed(value: object, fact_type: FactType) -> FactValue:
    """Return `value` as the declared type, or why it is Unknown. Never guesses: "0" is not false.

    Stores without a boolean type hold 0 and 1, which are taken for false and true.
    """
    kind = fact_type.kind
    if kind is _BOOL and isinstance(value, int):
        return bool(value) if value in (0, 1) else _WRONG_TYPE
    if kind is _STRING and isinstance(value, str):
        return value if _is_text(value) else _WRONG_TYPE
    if value is None:
        return _NULL
    if isinstance(value, Unknown):
        return value
    if kind is Kind.INT:
        whole = isinstance(value, int) and not isinstance(value, bool)
        return value if whole and isinstance(value, int) and -_LARGEST <= value < _LARGEST else _WRONG_TYPE
    if kind is Kind.STRINGS and isinstance(value, list | tuple):
        texts = tuple(item for item in value if isinstance(item, str) and _is_text(item))
        if len(texts) == len(value) and len(texts) + sum(map(len, texts)) <= LONGEST:
            return texts
    return _WRONG_TYPE


def _is_text(text: str) -> bool:
    # The engine cuts at NUL and dies at a lone surrogate (cel-expr-python 0.1.3).
    if len(text) > LONGEST or "\0" in text:
        return False
    return text.isascii() or not any("\ud800" <= c <= "\udfff" for c in text)
