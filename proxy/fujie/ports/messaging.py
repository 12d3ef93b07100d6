"""What sending needs of the ledger: the outbox."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from fujie.model.campaign import Campaign, CampaignState, Lease
from fujie.model.customer import CustomerRef, Identity, Phone
from fujie.model.message import Claim, Claimed, Message, Planned, ReplyOutcome, Settled
from fujie.model.page import Page, Slice
from fujie.ports.providers import Receipt, Unresolved
from fujie.ports.recollection import People, Recollection, Survey


@dataclass(frozen=True, slots=True, repr=False)
class ProviderLink:
    """Whose page a link opens: the recipient of the intent (`sealed` and `wrapped_key` are as in `Intent`), what the
    message was for, and when it went out."""

    intent_id: str
    sid: str
    purpose: str
    signature: str
    claimed_at: datetime
    sealed: bytes
    wrapped_key: bytes | None


class Incoming(StrEnum):
    """What came of a receipt: it counted; it said what was known; it is of no message of ours."""

    TAKEN = "taken"
    REPEATED = "repeated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, repr=False)
class KeptReply:
    """A reply that a person must look at: its text sealed under the data key of `sid`. `outcome` is what came of it, once
    somebody did."""

    reply_id: str
    provider: str
    sid: str
    sealed: bytes
    received_at: datetime
    reviewed_at: datetime | None = None
    reviewed_by: str = ""
    outcome: ReplyOutcome | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Heard:
    """What a provider said and does not say again: sealed, from before it is acted on until all of it is done."""

    heard_id: str
    provider: str
    sealed: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """A claimed message that asks for consent (`Claim.asks`), and that is not recorded yet. `may_be_out`: a provider has
    it, or may have it."""

    intent_id: str
    provider: str
    asks: str
    claimed_at: datetime
    may_be_out: bool


class Outbox(Protocol):
    """Intents, campaigns and what became of them. Part of the ledger: every method raises LedgerError.

    Whatever moves an intent is one transaction that no other write of the ledger overlaps, on any host.
    """

    async def enrol_many(self, refs: Sequence[CustomerRef], now: datetime) -> Sequence[Identity]:
        """Do what `Ledger.enrol((ref,), now)` does for each of at most 1,000 refs, in one transaction."""
        ...

    async def recall_many(
        self, customers: Sequence[Sequence[CustomerRef]], purpose: str, now: datetime
    ) -> Recollection:
        """Return for each customer, given by all of their refs, what `Ledger.recall`, `Ledger.suppressions` and the
        messages of the last 24 hours say, by few statements for at most 1,000 of them; enrols who is not known."""
        ...

    async def survey(
        self, store: str, people: People, purpose: str, now: datetime, *, enrol: bool, sent: bool
    ) -> Survey:
        """Do what `recall_many` does for customers of a store, without an object for each.

        Unless it may `enrol`, it writes nothing, and tells of each what it would if it enrolled him alone, under the
        sid "". Without `sent` no messages are read.
        """
        ...

    async def create_campaign(self, campaign: Campaign, request_id: str, request_digest: str) -> Campaign:
        """Append a DRAFT; a repeated `request_id` of its requester returns the first one (REQUEST_ID_REUSED)."""
        ...

    async def campaign(self, campaign_id: str) -> Campaign | None:
        """Return one campaign with its tally; None when there is none of this id."""
        ...

    async def move_campaign(
        self,
        campaign_id: str,
        to: CampaignState,
        now: datetime,
        approved: tuple[str, ...] = (),
        recipients: int | None = None,
    ) -> Campaign:
        """Move it along `MOVES`; nothing happens when it is there already. Its `approved` are set with RUNNING.
        CANCELLED also cancels every PLANNED intent. Raises RequestError CAMPAIGN_NOT_FOUND or CAMPAIGN_STATE; the
        latter also when it has another number of recipients than `recipients`: the decision was on that many."""
        ...

    async def unfinished_of(self, requester: str) -> Sequence[tuple[str, CampaignState]]:
        """Return the campaigns of a requester that are DRAFT, RUNNING or PAUSED, by id."""
        ...

    async def hand_over(self, requester: str, to: str) -> Sequence[str]:
        """Make `to` the requester of every DRAFT of `requester`; return their ids. He is judged when they are started."""
        ...

    async def plan(self, campaign_id: str, planned: Sequence[Planned], now: datetime) -> int:
        """Add at most 1,000 recipients to a DRAFT; return how many are new. Raises like `move_campaign`."""
        ...

    async def first(self, requester: str, request_id: str, request_digest: str) -> Message | None:
        """Return the message that this request of the requester began before, as it is now; None when it began none.

        Raises RequestError REQUEST_ID_REUSED."""
        ...

    async def begin(
        self, planned: Planned, holder: str, now: datetime, seconds: float, request: tuple[str, str]
    ) -> tuple[Message, Lease | None]:
        """Append one message alone and lease it; `request` is request_id (empty: none) and digest. A repeat returns
        the first one as it is now, and no lease. Raises RequestError REQUEST_ID_REUSED. To settle it as PLANNED keeps
        the lease."""
        ...

    async def lease(self, holder: str, now: datetime, seconds: float, most: int) -> Lease | None:
        """Lease PLANNED intents of one RUNNING campaign that are due and that nobody holds; None when there are none.
        A campaign that has no PLANNED or CLAIMED intent left becomes DONE."""
        ...

    async def claim(
        self, lease: Lease, claims: Sequence[Claim], marker: int, requester: str, now: datetime
    ) -> Claimed:
        """Move to CLAIMED what is still leased to the holder and of a campaign that runs (or of none), whose `sids`,
        number and `requester` nothing was written of after `marker`, nor of any processor, and whose number has not got it
        yet. What was read of the requester and of processors must have been read after `recall_many` gave the marker.

        Durable on return. After a LedgerError it may have been claimed: nothing may be submitted.
        """
        ...

    async def settle(
        self, holder: str, settled: Sequence[Settled], now: datetime, heard: Heard | None = None
    ) -> None:
        """Write, and keep `heard` in the same transaction, what became of intents that `holder` leased or claimed; others are left alone. What is CLAIMED ends
        as SUBMITTED, FAILED or UNKNOWN, or goes back to PLANNED; what is leased becomes REFUSED or FAILED, or PLANNED
        again; what `sweep` made UNKNOWN may still be SUBMITTED or FAILED. Back in PLANNED with a `not_before`, or given
        back unclaimed, the lease is over; without one it is kept, and `claim` may be tried again under it. Of a campaign
        that was cancelled PLANNED is CANCELLED."""
        ...

    async def sweep(self, now: datetime, seconds: float) -> int:
        """Make UNKNOWN what has been CLAIMED for longer than `seconds`: its process died, or hangs. Make FAILED what
        was to be sent alone, and never claimed, whose lease has ended. Return how many."""
        ...

    async def claimed_of(
        self, sids: Sequence[str], phones: Sequence[Phone], requester: str = ""
    ) -> frozenset[str]:
        """Return the ids of intents that are CLAIMED now: of any of these sids, or of who shares or shared a number with
        one; to any of these numbers; or of this requester."""
        ...

    async def still_claimed(self, intent_ids: frozenset[str]) -> bool:
        """Tell whether any of them is CLAIMED now."""
        ...

    async def message(self, message_id: str) -> Message | None:
        """Return one message; None when there is none of this id."""
        ...

    async def receive(self, receipt: Receipt, now: datetime) -> Incoming:
        """Write what a receipt says. It never leads back: DELIVERED and FAILED stay."""
        ...

    async def unresolved(self, provider: str, before: datetime, most: int) -> Sequence[Unresolved]:
        """Return intents of the provider that are UNKNOWN, the longest unasked first, claimed before `before`; each is
        given out again after a while."""
        ...

    async def link(self, digest: bytes) -> ProviderLink | None:
        """Return whose page the token opens whose ASCII text has this SHA-256; None when there is none."""
        ...

    async def asking(self, before: datetime, most: int) -> Sequence[Asked]:
        """Return messages that ask for consent whose outcome has been known since before `before`, and that `asked`
        did not name."""
        ...

    async def asked(self, intent_ids: Sequence[str]) -> None:
        """Forget what at most 1,000 messages ask for: it is recorded, or nobody was asked."""
        ...

    async def keep_heard(self, heard: Heard) -> None:
        """Keep what a provider said until `forget_heard`, if it is not there. Durable on return."""
        ...

    async def heard(self, before: datetime, most: int, behind: Heard | None = None) -> Sequence[Heard]:
        """Return what was kept before `before`, the oldest first, from the one behind `behind` on: who kept it died, or
        could not finish."""
        ...

    async def forget_heard(self, heard_id: str) -> None:
        """Forget what was kept, if it is there."""
        ...

    async def keep_reply(self, reply: KeptReply) -> bool:
        """Queue a reply for review; False when it was there."""
        ...

    async def replies(
        self, part: Slice, *, with_reviewed: bool = False, since: datetime | None = None
    ) -> Page[KeptReply]:
        """Return replies in order of arrival: those that wait, or all; those that came at `since` or later."""
        ...

    async def reply(self, reply_id: str) -> KeptReply | None:
        """Return one reply; None when there is none of this id."""
        ...

    async def mark_reply(self, reply_id: str, outcome: ReplyOutcome, by: str, now: datetime) -> KeptReply:
        """Write what came of a reply; the first who says so stands. Raises RequestError REPLY_NOT_FOUND."""
        ...
