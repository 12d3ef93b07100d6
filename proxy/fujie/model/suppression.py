"""Opt-outs: what a customer does not want any more. They beat every consent, whatever the times (AdLaw-43, PIPL-15)."""

from dataclasses import dataclass
from datetime import datetime

from fujie.model.consent import EntryRef


@dataclass(frozen=True, slots=True)
class SuppressionScope:
    """What an opt-out closes. An empty part stands for all of its kind: the empty scope closes everything.

    `purpose` is an id of the purpose catalogue, `channel` sms, voice, email or wechat, `brand` the
    name or signature under which messages go out, compared as it is written.
    """

    purpose: str = ""
    channel: str = ""
    brand: str = ""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The customer's own act that lifts an opt-out.

    `method` is one of `CONFIRMATION_METHODS`, `evidence_ref` tells where the proof lies and is never empty,
    `event_time` is when the customer acted: later than the opt-out.
    """

    method: str
    evidence_ref: str
    event_time: datetime


CONFIRMATION_METHODS = frozenset({"opt_in_message", "verified_form", "signed_letter", "recorded_call"})
"""Acts of the customer. None of them can be done by an employee alone."""


@dataclass(frozen=True, slots=True)
class Suppression:
    """One opt-out of one customer. Appended, never changed: that it was lifted is a second row.

    `event_time` is when the customer acted, `received_at` when fujie learned of it. `lifted` is the
    act that ended it, `lifted_at` when fujie learned of that, `lifted_by` the principal that recorded it.
    `entry` and `lift_entry` admitted the two to the ledger; None in a draft, for a copy that a split made, and for
    rows of earlier builds.
    """

    suppression_id: str
    sid: str
    scope: SuppressionScope
    event_time: datetime
    received_at: datetime
    actor: str
    """Principal that recorded it."""
    source: str = ""
    evidence_ref: str = ""
    lifted: Confirmation | None = None
    lifted_at: datetime | None = None
    lifted_by: str = ""
    entry: EntryRef | None = None
    lift_entry: EntryRef | None = None


@dataclass(frozen=True, slots=True)
class SuppressionFilter:
    """Which opt-outs are listed. `sids` None: those of everybody. `purpose` and `channel`: only those that close it."""

    sids: tuple[str, ...] | None = None
    purpose: str = ""
    channel: str = ""
    with_lifted: bool = False


@dataclass(frozen=True, slots=True)
class ReplyScope:
    """What a customer's "stop" to a message closes: these purposes, on every channel.

    The refusal is the person's, not the signature's (AdLaw-43), so it holds for all of them, unless `by_signature`
    narrows it to the one that was replied to, where the provider tells which.
    """

    purposes: tuple[str, ...] = ("marketing",)
    by_signature: bool = False
