"""What is asked: the parts of a request that a decision reads."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from fujie.model.customer import CustomerRef
from fujie.model.export import Format
from fujie.model.making import made_often
from fujie.model.message import NO_PARAMS, Draft
from fujie.model.vocabulary import Action, KeyKind


@dataclass(frozen=True, slots=True)
class Request:
    """A request as the policy sees it: names and flags, no personal data.

    Names (`purpose`, `basis`, `store`, `fields`) are as the caller gave them; `decide` refuses those
    that the bundle does not define. For actions that are not on customers they are empty.
    `channel` and `brand` (the signature) are those of a message, empty for what is not narrowed to one: they say which
    consents and opt-outs count. `has_prompt` tells that a consent is the answer to a prompt of ours, `is_own`
    that an approval is one that the asker asked for. `key_kind` is how the customer was named. `fields` are sorted and without duplicates. `rows` is how many
    customers the call asks for. `terms` is a keyed digest of what else an approval of an export is bound to: filter,
    format and lease; no rule reads it.
    """

    action: Action
    purpose: str = ""
    basis: str = ""
    store: str = ""
    key_kind: str = ""
    fields: tuple[str, ...] = ()
    strict: bool = False
    has_basis_evidence: bool = False
    has_ticket: bool = False
    delegated: bool = False
    rows: int = 1
    has_prompt: bool = False
    is_own: bool = False
    channel: str = ""
    brand: str = ""
    terms: str = ""


@made_often
@dataclass(frozen=True, slots=True, repr=False)
class RequestContext:
    """Why a request is made, as the caller says it. Texts are free of control characters.

    `basis_evidence` and `ticket` are free text of the caller and may hold personal data: flags of
    their presence are facts, they themselves are never logged. `break_glass` asks to go ahead before others agreed; it is
    no part of the request that they would agree to.
    """

    request_id: str = ""
    purpose: str = ""
    basis: str = ""
    basis_evidence: str = ""
    ticket: str = ""
    approval: str = ""
    on_behalf_of: str = ""
    explain: bool = False
    break_glass: bool = False


@made_often
@dataclass(frozen=True, slots=True)
class LookupAsk:
    """A look-up as it came in. `fields` are the names of the mask, sorted, without duplicates.

    `store` is where to read; for a customer named by store key it is that key's store. `found_by` is how the
    customer was found where that is another key than the one named here (a search). `rows` is how many
    customers the whole call asks for.
    """

    customer: CustomerRef
    store: str
    context: RequestContext
    fields: tuple[str, ...]
    strict: bool = False
    found_by: KeyKind | None = None
    rows: int = 1

    @property
    def key_kind(self) -> KeyKind:
        """The key kind that a grant must allow."""
        return self.found_by or self.customer.kind


@dataclass(frozen=True, slots=True, repr=False)
class BatchAsk:
    """Several look-ups of one store that came in one call, for one reason. 1 to 100 customers."""

    customers: tuple[CustomerRef, ...]
    store: str
    context: RequestContext
    fields: tuple[str, ...]
    strict: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class SearchAsk:
    """A search by the last four digits of a phone number, in one store."""

    last_four: str
    store: str
    context: RequestContext
    fields: tuple[str, ...]
    strict: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class SendAsk:
    """One message to one customer, as it came in. `params` stand in the variables of its text."""

    customer: CustomerRef
    draft: Draft
    context: RequestContext
    params: Mapping[str, str] = field(default_factory=lambda: NO_PARAMS)


@dataclass(frozen=True, slots=True)
class LeaseAsk:
    """How long a leased file is to be readable (1 s to 90 days), and how often it is to be opened (1 to 1,000)."""

    seconds: int
    opens: int


@dataclass(frozen=True, slots=True, repr=False)
class ExportAsk:
    """An export as it came in: the customers of `store` who pass `filter`, `max_rows` of them at most. `resume` is the token
    behind which an export that broke goes on. With `validate_only` it is decided, and nothing is read."""

    store: str
    context: RequestContext
    fields: tuple[str, ...]
    max_rows: int
    format: Format
    filter: str = ""
    strict: bool = False
    resume: str = ""
    lease: LeaseAsk | None = None
    validate_only: bool = False
