"""Wire to model: everything that a request says is checked here once, and trusted afterwards.

Strict by promise 1: unknown protobuf fields, unspecified or unknown enum numbers, an absent key, an
unbounded mask are refused, never guessed. A RequestError names the `field` and holds nothing of its value.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from google.protobuf.struct_pb2 import Struct, Value

from fujie.flows.consent import NOW, Answer, ConsentQuery
from fujie.model.consent import Capture, ConsentEvent, ConsentEventType, Notice
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import RequestError
from fujie.model.notice import CHANNELS
from fujie.model.phone import NotAPhoneNumber, normalise
from fujie.model.principal import AttributeValue, Principal
from fujie.model.request import LookupAsk, RequestContext
from fujie.model.vocabulary import ANY_CHANNEL, State
from fujie.transport.grpc import text
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import policy_service_pb2 as policy_v1
from fujie.v1 import types_pb2 as types_v1

M = TypeVar("M", bound=Message)
E = TypeVar("E")

SOURCES = frozenset({"website", "app", "offline", "opt_in_message", "opt_out_message", "import", "agent"})
"""Where a consent came from; evidence is worth what its words mean."""

MOST_RETENTION_DAYS = 36_525
"""A hundred years: longer than any retention that a law asks for."""

# A withdrawal has a method, and an action, of its own; recording one here would evade its grant.
_RECORDED: Mapping[int, ConsentEventType] = {
    consent_v1.CONSENT_EVENT_TYPE_REQUESTED: ConsentEventType.REQUESTED,
    consent_v1.CONSENT_EVENT_TYPE_GIVEN: ConsentEventType.GIVEN,
    consent_v1.CONSENT_EVENT_TYPE_REFUSED: ConsentEventType.REFUSED,
}
# In a file withdrawals stand among the rest; each is decided as one.
_IMPORTED = {**_RECORDED, consent_v1.CONSENT_EVENT_TYPE_WITHDRAWN: ConsentEventType.WITHDRAWN}
KINDS: Mapping[int, State] = {
    directory_v1.PRINCIPAL_KIND_EMPLOYEE: State.EMPLOYEE,
    directory_v1.PRINCIPAL_KIND_SERVICE: State.SERVICE,
}
EMPLOYMENT: Mapping[int, State] = {
    directory_v1.EMPLOYMENT_ACTIVE: State.ACTIVE,
    directory_v1.EMPLOYMENT_SUSPENDED: State.SUSPENDED,
    directory_v1.EMPLOYMENT_OFFBOARDED: State.OFFBOARDED,
}
_TRAINING: Mapping[int, State] = {
    directory_v1.TRAINING_VALID: State.VALID,
    directory_v1.TRAINING_LAPSED: State.LAPSED,
    directory_v1.TRAINING_NONE: State.NONE,
}

_OF_CONTEXT = (
    ("request_id", text.NAME),
    ("purpose", text.NAME),
    ("basis", text.NAME),
    ("basis_evidence", text.FREE),
    ("ticket", text.FREE),
    ("approval", text.NAME),
    ("on_behalf_of", text.IDENTITY),
)
"""The texts of a context in the order of `RequestContext`, each with its longest."""

_EXACT = 2**53  # integers beyond are not exact in a Struct, whose numbers are IEEE doubles
_HEX = frozenset("0123456789abcdef")


def message(kind: type[M], raw: bytes) -> M:
    """Return the message in `raw`.

    Raises:
        RequestError: TEXT_INVALID for a string that is not UTF-8 (a lone surrogate is not),
            ARGUMENT_INVALID for bytes that are no such message, nest deeper than 100 levels, or hold
            a field that this build does not know, at any depth.

    """
    try:
        parsed = kind.FromString(raw)
    except DecodeError as error:
        code = "TEXT_INVALID" if "UTF-8" in str(error) else "ARGUMENT_INVALID"
        raise RequestError("not a message of this type", code=code) from None
    # Unknown fields are dropped at every depth in C: 1.6 µs for a look-up, where walking the message
    # with UnknownFieldSet takes 2.1 µs and must know every nested message by hand.
    size = parsed.ByteSize()
    parsed.DiscardUnknownFields()
    if parsed.ByteSize() != size:
        raise RequestError("a field is not known to this build")
    return parsed


def customer(ref: types_v1.CustomerRef) -> CustomerRef:
    """Return who is meant; a phone number is normalised here and nowhere else."""
    match ref.WhichOneof("ref"):
        case "store_key":
            key = ref.store_key
            return StoreKey(
                text.named(key.store, "customer.store_key.store"),
                text.named(key.customer_id, "customer.store_key.customer_id", text.IDENTITY),
            )
        case "phone":
            written = text.clean(ref.phone, "customer.phone", text.PHONE)
            try:
                return Phone(normalise(written))
            except NotAPhoneNumber:
                raise RequestError(
                    "does not normalise", code="PHONE_INVALID", field="customer.phone"
                ) from None
        case _:
            raise RequestError("name the customer by store key or phone", field="customer")


def context(given: types_v1.RequestContext, *, may_be_urgent: bool = False) -> RequestContext:
    """Return the context; all of it may be absent, the decision says what is missing. `may_be_urgent`: such a request can go
    ahead before others agreed."""
    if given.break_glass:
        _check_urgent(given, may_be=may_be_urgent)
    said = (
        given.request_id, given.purpose, given.basis, given.basis_evidence, given.ticket, given.approval, given.on_behalf_of,
    )  # fmt: skip
    if not text.are_short(said):
        for value, (name, most) in zip(said, _OF_CONTEXT, strict=True):
            text.clean(value, f"context.{name}", most)
    return RequestContext(*said, given.explain, given.break_glass)


def _check_urgent(given: types_v1.RequestContext, *, may_be: bool) -> None:
    if not may_be:
        raise RequestError("for one look-up, export or message", field="context.break_glass")
    if not given.ticket:
        raise RequestError("break_glass needs a ticket", field="context.ticket")
    if given.approval:
        raise RequestError("break_glass goes without an approval", field="context.approval")


def lookup(request: customer_v1.LookupCustomerRequest) -> LookupAsk:
    """Return the look-up. The store of a store key counts; naming another one beside it is refused."""
    ref = customer(request.customer)
    store = text.clean(request.store, "store", text.NAME)
    if isinstance(ref, StoreKey):
        if store and store != ref.store:
            raise RequestError("the store key names another store", field="store")
        store = ref.store
    elif not store:
        raise RequestError("a customer named by phone needs a store", field="store")
    return LookupAsk(
        customer=ref,
        store=store,
        context=context(request.context, may_be_urgent=True),
        fields=text.mask(request.read_mask.paths, "read_mask"),
        strict=request.strict,
    )


def explained(request: policy_v1.ExplainRequest) -> tuple[RequestContext, LookupAsk, str]:
    """Return the context, the look-up to explain, and the principal to explain it for (empty: the asker)."""
    try:
        ask = lookup(request.lookup)
    except RequestError as error:
        raise RequestError(error.detail, code=error.code, field=f"lookup.{error.field}") from None
    if ask.context.break_glass:
        raise RequestError("nothing is broken to explain", field="lookup.context.break_glass")
    return context(request.context), ask, text.clean(request.principal, "principal", text.IDENTITY)


def recorded(
    request: consent_v1.RecordConsentRequest,
) -> tuple[RequestContext, Answer]:
    """Return the event to append. To a prompt, customer, purpose and notice need not be named again.

    What only the server may say (record_id, schema, received_at, controller, actor) is not read,
    whatever the caller put there (AIP-203, output only). An absent event_time is NOW.
    """
    given = request.consent
    prompt = text.clean(request.prompt, "prompt", text.TOKEN)
    draft = _said(given, one_of(_RECORDED, given.type, "consent.type"), is_prompted=bool(prompt))
    named = customer(request.customer) if request.HasField("customer") or not prompt else None
    return context(request.context), Answer(draft, named, _capture(request.capture), prompt)


def imported(row: consent_v1.ConsentRow) -> Answer:
    """Return what one row of a file says; when it was said must be in it. Raises RequestError."""
    given = row.consent
    draft = _said(given, one_of(_IMPORTED, given.type, "consent.type"), is_prompted=False)
    if draft.event_time == NOW:
        raise RequestError("say when it was", field="consent.event_time")
    draft = replace(draft, source=draft.source or "import")
    return Answer(draft, customer(row.customer), _capture(row.capture))


def _said(given: consent_v1.ConsentRecord, kind: ConsentEventType, *, is_prompted: bool) -> ConsentEvent:
    when = text.moment(given.event_time, "consent.event_time") if given.HasField("event_time") else NOW
    until = text.moment(given.valid_until, "consent.valid_until") if given.HasField("valid_until") else None
    if not 0 <= given.retention_days <= MOST_RETENTION_DAYS:
        raise RequestError("out of range", field="consent.retention_days")
    return ConsentEvent(
        record_id="",
        sid="",
        purpose=_purpose(given.purpose, "consent.purpose") if given.purpose or not is_prompted else "",
        type=kind,
        event_time=when,
        received_at=when,
        actor="",
        channel=channel_of(given.channel, "consent.channel"),
        explicit=given.explicit,
        separate=given.separate,
        valid_until=until,
        notice=_notice(given.notice),
        jurisdiction=text.clean(given.jurisdiction, "consent.jurisdiction", text.NAME),
        data_classes=text.each(given.data_classes, "consent.data_classes"),
        recipients=text.each(given.recipients, "consent.recipients"),
        storage_locations=text.each(given.storage_locations, "consent.storage_locations"),
        retention_days=given.retention_days,
        collection_method=text.clean(given.collection_method, "consent.collection_method", text.NAME),
        withdrawal_method=text.clean(given.withdrawal_method, "consent.withdrawal_method", text.NAME),
        source=_source(given.source),
        evidence_ref=text.clean(given.evidence_ref, "consent.evidence_ref", text.FREE),
    )


def withdrawn(
    request: consent_v1.WithdrawConsentRequest,
) -> tuple[CustomerRef, RequestContext, ConsentEvent]:
    """Return the withdrawal to append; it happens now, and for every channel when none is named."""
    draft = ConsentEvent(
        record_id="",
        sid="",
        purpose=_purpose(request.purpose, "purpose"),
        type=ConsentEventType.WITHDRAWN,
        event_time=NOW,
        received_at=NOW,
        actor="",
        channel=channel_of(request.channel, "channel"),
        withdrawal_method=text.clean(request.withdrawal_method, "withdrawal_method", text.NAME),
        evidence_ref=text.clean(request.evidence_ref, "evidence_ref", text.FREE),
    )
    return customer(request.customer), context(request.context), draft


def consent_query(request: consent_v1.GetConsentRequest) -> ConsentQuery:
    """Return whose consent for what is asked for."""
    return ConsentQuery(
        customer(request.customer),
        context(request.context),
        _purpose(request.purpose, "purpose"),
        channel_of(request.channel, "channel"),
    )


def upserted(request: directory_v1.UpsertPrincipalRequest) -> tuple[RequestContext, Principal]:
    """Return the whole record of a principal; nothing of it has a default, so nothing opens by omission."""
    given = request.principal
    # The directory says who suspended; what a client sends back is looked at like any text, and not kept.
    text.clean(given.suspended_by, "principal.suspended_by", text.IDENTITY)
    return context(request.context), Principal(
        id=text.named(given.id, "principal.id", text.IDENTITY),
        kind=one_of(KINDS, given.kind, "principal.kind"),
        roles=frozenset(text.each(given.roles, "principal.roles")),
        department=text.clean(given.department, "principal.department", text.NAME),
        employment=one_of(EMPLOYMENT, given.employment, "principal.employment"),
        training=one_of(_TRAINING, given.training, "principal.training"),
        attributes=_attributes(given.attributes),
        training_until=(
            text.moment(given.training_until, "principal.training_until")
            if given.HasField("training_until")
            else None
        ),
        devices=text.each(given.devices, "principal.devices"),
    )


def principal_id(
    request: directory_v1.GetPrincipalRequest
    | directory_v1.OffboardPrincipalRequest
    | directory_v1.SuspendPrincipalRequest
    | directory_v1.ReinstatePrincipalRequest
    | directory_v1.GetOffboardingRequest,
) -> tuple[RequestContext, str]:
    """Return the context and the id of the principal that is meant."""
    return context(request.context), text.named(request.id, "id", text.IDENTITY)


def offboarded(
    request: directory_v1.OffboardPrincipalRequest,
) -> tuple[RequestContext, str, datetime | None]:
    """Return who leaves, and when (None: now)."""
    at = text.moment(request.at, "at") if request.HasField("at") else None
    return (*principal_id(request), at)


def bundle(request: policy_v1.GetBundleRequest) -> RequestContext:
    """Return the context, which is all that is asked."""
    return context(request.context)


def _purpose(value: str, field: str) -> str:
    if not text.clean(value, field, text.NAME):
        raise RequestError("name the purpose", code="PURPOSE_MISSING", field=field)
    return value


def channel_of(value: str, field: str) -> str:
    """Return a channel; every one when none is named."""
    if value and value not in CHANNELS:
        raise RequestError("not a channel", field=field)
    return value or ANY_CHANNEL


def _source(value: str) -> str:
    if value and value not in SOURCES:
        raise RequestError("not a source", field="consent.source")
    return value


def one_of(table: Mapping[int, E], number: int, field: str) -> E:
    """Return what an enumeration's number means; unspecified and unknown ones are refused."""
    try:
        return table[number]
    except KeyError:
        raise RequestError("unspecified, unknown or not allowed here", field=field) from None


def _capture(given: consent_v1.Capture) -> Capture | None:
    """Return how the answer was captured; None unless both is said: silence is not "no"."""
    if not (given.HasField("preselected") and given.HasField("bundled")):
        return None
    return Capture(given.preselected, given.bundled)


def _notice(given: consent_v1.NoticeRef) -> Notice:
    if given.digest and not (len(given.digest) == 64 and _HEX.issuperset(given.digest)):
        raise RequestError("64 lower-case hex digits are needed", field="consent.notice.digest")
    return Notice(
        id=text.clean(given.id, "consent.notice.id", text.NAME),
        version=text.clean(given.version, "consent.notice.version", text.NAME),
        language=text.clean(given.language, "consent.notice.language", text.NAME),
        digest=given.digest,
    )


def _attributes(given: Struct) -> Mapping[str, AttributeValue]:
    field = "principal.attributes"
    if len(given.fields) > text.ITEMS:
        raise RequestError(f"more than {text.ITEMS} attributes", field=field)
    return {text.named(name, field): _attribute(value, field) for name, value in given.fields.items()}


def _attribute(value: Value, field: str) -> AttributeValue:
    match value.WhichOneof("kind"):
        case "bool_value":
            return value.bool_value
        case "string_value":
            return text.clean(value.string_value, field, text.FREE)
        case "number_value":
            number = value.number_value
            # An infinity or NaN fails the comparison; a fraction has no type in the catalogue.
            if -_EXACT <= number <= _EXACT and number == int(number):
                return int(number)
        case "list_value":
            entries = value.list_value.values
            if all(entry.WhichOneof("kind") == "string_value" for entry in entries):
                return text.each((entry.string_value for entry in entries), field)
    raise RequestError(
        "a bool, a whole number up to 2^53, a text or a list of texts is needed", field=field
    )
