"""Messages: what is said to whom, and what has become of it.

A message has one intent, written before anything goes out. Its state only ever moves forward:

    PLANNED -> CLAIMED -> SUBMITTED -> DELIVERED | FAILED
                       -> FAILED | UNKNOWN -> SUBMITTED | DELIVERED | FAILED
    PLANNED -> REFUSED | CANCELLED | FAILED (given up without having been claimed)

From CLAIMED back to PLANNED leads one way only: the provider said for certain that it took nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType

from fujie.model.customer import CustomerRef, Phone


class Category(StrEnum):
    """What kind of message it is; the law treats them differently (MIIT Order 74, Advertising Law 43)."""

    MARKETING = "MARKETING"
    TRANSACTIONAL = "TRANSACTIONAL"
    VERIFICATION = "VERIFICATION"


class MessageState(StrEnum):
    """How far a message has come.

    CLAIMED: decided, and on its way to the provider or there. SUBMITTED: the provider took it. UNKNOWN: it may have
    been taken; it is never sent again, here or elsewhere. FAILED: it was certainly not taken, or not delivered.
    REFUSED: the policy closed it. CANCELLED: its campaign was.
    """

    PLANNED = "PLANNED"
    CLAIMED = "CLAIMED"
    SUBMITTED = "SUBMITTED"
    DELIVERED = "DELIVERED"
    FAILED = "FAILED"
    UNKNOWN = "UNKNOWN"
    REFUSED = "REFUSED"
    CANCELLED = "CANCELLED"


class ReplyOutcome(StrEnum):
    """What came of a customer's reply that a person looked at. NONE: it asked for nothing."""

    NONE = "NONE"
    OPT_OUT_ADDED = "OPT_OUT_ADDED"
    COMPLAINT_OPENED = "COMPLAINT_OPENED"


SETTLED = frozenset(
    {MessageState.DELIVERED, MessageState.FAILED, MessageState.REFUSED, MessageState.CANCELLED}
)
"""States that nothing changes any more."""

CHANNEL = "sms"
"""The channel of consents and opt-outs that a message goes by."""

NO_PARAMS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Ask:
    """What a template asks for: consent for a purpose, in the words of a notice in one `language` (`zh`, `en`)."""

    purpose: str
    notice: str
    language: str


@dataclass(frozen=True, slots=True)
class Template:
    """A text that was registered. `text` holds `{name}` where a variable goes, and no signature.

    `variables` maps each to the most characters that it may have; `codes` maps a provider to the id under which it
    knows the template. A new `version` is another message to the same person. With `asks` the text has `{notice}` where
    the words of the notice go.
    """

    id: str
    version: str
    category: Category
    text: str
    variables: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    codes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    asks: Ask | None = None


@dataclass(frozen=True, slots=True)
class Sender:
    """A name under which messages go out: the signature, registered with `providers` (empty: with all of them).

    `domains` are those that a link in its messages may lead to, subdomains included.
    """

    signature: str
    providers: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, repr=False)
class Draft:
    """What is to be said. Either `template` names a registered text, or `text` is free, with `{name}` where a variable
    goes. `{link}` is the customer's own page. Empty `provider`: the first that can, in the order of the settings."""

    category: Category
    signature: str
    text: str = ""
    template: str = ""
    provider: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Recipient:
    """Who is to get it, and what stands in the variables for them. Values of `params` may be personal data."""

    customer: CustomerRef
    params: Mapping[str, str] = field(default_factory=lambda: NO_PARAMS)


@dataclass(frozen=True, slots=True, repr=False)
class Planned:
    """An intent to be. `sealed` is the recipient under the data key of `sid` (`flows.recipients`): the ledger holds no
    number. One campaign has one intent for a `sid`; `requester` to `signature` are those of the campaign, if any."""

    intent_id: str
    sid: str
    sealed: bytes
    campaign_id: str = ""
    requester: str = ""
    purpose: str = ""
    category: Category = Category.MARKETING
    signature: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Intent:
    """One leased intent. `wrapped_key` is the data key of `sid`; None once it is erased. `attempts` counts how often a
    provider certainly did not take it."""

    intent_id: str
    campaign_id: str
    sid: str
    sealed: bytes
    wrapped_key: bytes | None
    attempts: int = 0


@dataclass(frozen=True, slots=True, repr=False)
class Message:
    """What may be told of a message. `reason` is why it was refused, or the provider's code; never personal.

    `requester` is who asked for it. `segments` is 0 until it is claimed.
    """

    id: str
    state: MessageState
    requester: str
    purpose: str
    category: Category
    created_at: datetime
    changed_at: datetime
    campaign_id: str = ""
    segments: int = 0
    provider: str = ""
    provider_message_id: str = ""
    reason: str = ""

    @property
    def name(self) -> str:
        """Its resource name."""
        return f"messages/{self.id}"


@dataclass(frozen=True, slots=True, repr=False)
class Claim:
    """What is written before the wire: whom the intent reaches, with what, through whom.

    `sids` are all of the person, for whom nothing may have changed since the decision was read. `content` is a digest
    of the rendered text (`decision.message`), `link` the SHA-256 of the token of the customer's page (empty: none).
    `asks` is what it asks consent for (`flows.double_opt_in`), kept until that is recorded.
    """

    intent_id: str
    phone: Phone
    sids: tuple[str, ...]
    content: str
    provider: str
    segments: int
    link: bytes = b""
    asks: str = ""


@dataclass(frozen=True, slots=True)
class Claimed:
    """What came of claims, by intent id. Whom nothing names was not ours any more: another holds the lease, or the
    campaign does not run. `changed`: something was said of the person since. `repeated`: the number has this message."""

    claimed: frozenset[str] = frozenset()
    changed: frozenset[str] = frozenset()
    repeated: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one intent. `reason` is a reason code or the provider's; `not_before` for what goes back to
    PLANNED: when to try again, and whether that was an `attempt` at a provider."""

    intent_id: str
    state: MessageState
    reason: str = ""
    provider_message_id: str = ""
    not_before: datetime | None = None
    is_attempt: bool = False


@dataclass(frozen=True, slots=True)
class SentMessage:
    """A message that a person got, or may have got, lately: for caps on how often. `is_asking`: it asks for consent, and
    that is not recorded yet."""

    at: datetime
    content: str
    category: Category
    is_asking: bool = False
