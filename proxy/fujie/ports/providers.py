"""What companies that carry SMS must offer: take messages, and tell what became of them and what customers replied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from fujie.model.customer import Phone
from fujie.model.message import NO_PARAMS, MessageState


@dataclass(frozen=True, slots=True, repr=False)
class Outgoing:
    """One message for the wire. `text` is as the customer reads it, without the signature; `code` and `params` are for
    a provider that knows the text under a template code of its own (`code` empty: free text). `campaign_id` is empty for one
    that is sent alone; a number gets a campaign once."""

    intent_id: str
    phone: Phone
    signature: str
    text: str
    code: str = ""
    params: Mapping[str, str] = field(default_factory=lambda: NO_PARAMS)
    campaign_id: str = ""


BUSY = "BUSY"
"""Code of what was not submitted (RETRY), since as many calls as may be are under way: the provider heard nothing of it."""


class Acceptance(StrEnum):
    """What a provider said to a message.

    REFUSED: certainly not taken, and will not be. RETRY: certainly not taken, this time: no connection, throttled.
    UNKNOWN: anything else. Only REFUSED and RETRY may go to another provider; UNKNOWN never.
    """

    ACCEPTED = "accepted"
    REFUSED = "refused"
    RETRY = "retry"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of one submitted message. `code` is the provider's, or one of ours (`TIMEOUT`, `CONNECT`, `ANSWER`):
    at most 64 of `[A-Za-z0-9_.:-]`, never a text. `is_opted_out`: the provider says that the customer opted out."""

    acceptance: Acceptance
    provider_message_id: str = ""
    code: str = ""
    is_opted_out: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Receipt:
    """What a provider says became of a message. `state` is DELIVERED, FAILED, or SUBMITTED (taken, no more known yet).

    `provider_message_id` is what `Submission` gave; where that is one id for several numbers, `phone` tells which.
    `intent_id` is there where the provider echoes ours; where it echoes `campaign_id`, `phone` tells which message.
    `code` is the provider's, of a bounded vocabulary. `is_opted_out` is as in `Submission`, and needs `phone`. `also` is the
    other number that the provider's digits can mean.
    """

    provider: str
    state: MessageState
    provider_message_id: str = ""
    phone: Phone | None = None
    intent_id: str = ""
    code: str = ""
    is_opted_out: bool = False
    campaign_id: str = ""
    also: Phone | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Reply:
    """A message that a customer sent. `reply_id` is the same whenever the provider repeats it. `signature` is that of
    the message replied to, where the provider says so. `also` is the other number that the provider's digits can mean."""

    provider: str
    reply_id: str
    phone: Phone
    text: str
    at: datetime
    signature: str = ""
    also: Phone | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Unresolved:
    """An intent whose outcome the provider must be asked for."""

    intent_id: str
    sid: str
    sealed: bytes
    wrapped_key: bytes | None
    provider: str
    provider_message_id: str
    claimed_at: datetime
    campaign_id: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Callback:
    """An HTTP request of a provider. Header names are lower-case; `url` is the one that the provider called."""

    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Called:
    """What a callback said, and what the provider wants to hear. `skipped` counts items that could not be read."""

    receipts: Sequence[Receipt] = ()
    replies: Sequence[Reply] = ()
    skipped: int = 0
    body: bytes = b""
    content_type: str = "application/json"


class Provider(Protocol):
    """A company that carries SMS, or a file that stands for one. Made by one event loop, used by it alone."""

    @property
    def name(self) -> str:
        """Its name in the settings."""
        ...

    @property
    def processor(self) -> str:
        """Id of its processor in the register; empty for what stays on this machine."""
        ...

    @property
    def most(self) -> int:
        """The most messages of one `submit`."""
        ...

    @property
    def needs_template(self) -> bool:
        """Tell whether it takes registered templates alone."""
        ...

    @property
    def timeout_s(self) -> float:
        """The longest that `submit` takes, whatever happens."""
        ...

    async def ready(self, count: int) -> bool:
        """Wait until `count` messages may be submitted at once by its rate and concurrency; at most a second. False
        when they may not yet, or when the circuit is open. Asked before the claim, so that no claim waits."""
        ...

    async def submit(self, messages: Sequence[Outgoing]) -> Sequence[Submission]:
        """Submit at most `most` messages of one signature and one text or template, each to one number, once, without
        any retry; return what became of each, in order. Never raises, but for cancellation."""
        ...

    async def query(self, sent: Unresolved, phone: Phone) -> Receipt | None:
        """Ask what became of a message; None when the provider can not say (yet)."""
        ...

    async def poll(self) -> Called:
        """Fetch receipts and replies from a provider that is asked for them, or has a line of its own; else nothing."""
        ...

    def callback(self, call: Callback) -> Called:
        """Read a callback. Raises RequestError CALLBACK_REFUSED (not authentic) or ARGUMENT_INVALID."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
