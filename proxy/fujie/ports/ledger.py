"""What the ledger must offer of customers: who they are, what they said, how often they were asked about, who agreed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from fujie.model.approval import Approval, ApprovalFilter, ApprovalHistory, Ending, Stage
from fujie.model.consent import Bearing, ConsentEvent
from fujie.model.customer import Correction, CustomerRef, Identity, Phone
from fujie.model.limit import Charge, Reservation, Rows
from fujie.model.notice import PrivacyNotice
from fujie.model.page import Page, Slice
from fujie.model.suppression import Suppression, SuppressionFilter
from fujie.model.usage import Habits, Look

Span = tuple[datetime, datetime]
"""From when to when."""


class Ledger(Protocol):
    """fujie's own state about customers: subjects, aliases, consent events.

    A store key leads to one sid; a phone leads to every sid that it was enrolled with, since people
    share numbers. The earliest is the one that the ref led to first.
    """

    async def find(self, refs: Sequence[CustomerRef]) -> Identity | None:
        """Return the identity under `refs`; None when none of them is known.

        `sid` is the earliest under the first known ref; `others` are all further sids that any of the
        refs leads to, the earliest first. That is one step: the sids of these refs, not those of
        other refs that these sids have. Pass every ref that is known of the customer. A number that
        the most possible sids share (50) leads only them to each other, and others to what it said itself.
        Behind these come the sids that were merged into any of them, and the numbers that any of them
        has or had, where a number has a sid (`number`).
        """
        ...

    async def enrol(self, refs: Sequence[CustomerRef], now: datetime) -> Identity:
        """Like `find`, but make every ref lead to a sid first.

        The first ref decides on `sid`: when unknown it gets a new one. Every other ref joins that
        sid: a phone also when others have it already, a store key only when it is unknown. No sid
        ever loses a ref, and none are merged: that needs evidence.
        """
        ...

    async def enrol_many(
        self, customers: Sequence[Sequence[CustomerRef]], now: datetime
    ) -> Sequence[Identity]:
        """Do what `enrol` does for each of at most 1,000 customers, in order, by few statements and one transaction."""
        ...

    async def recall(
        self, refs: Sequence[CustomerRef], purpose: str, now: datetime
    ) -> tuple[Identity, Sequence[Bearing]]:
        """Return what `enrol` does, and of `consent_events` of its sids what bears on consent; mostly one read."""
        ...

    async def number(self, phone: Phone, now: datetime) -> Identity:
        """Return the sid that stands for a number itself, made where it has none; `others` are who has it.

        What closes is recorded under it when a number says so: it then counts for everybody who has the
        number, had it, or will have it. No consent is ever recorded under it.
        """
        ...

    async def merge(self, into: CustomerRef, source: CustomerRef, correction: Correction) -> Identity:
        """Say that both are one person: what leads to the sid of `source` leads to that of `into` from now on.

        What was refused under the old sid goes on to count for the person; what was given under it does
        not. Both sids keep their data keys. Nothing happens when both are one sid. Returns the identity
        of `into`.

        Raises:
            RequestError: CUSTOMER_NOT_FOUND, CUSTOMER_AMBIGUOUS for a number that several share,
                REQUEST_ID_REUSED.

        """
        ...

    async def split(self, refs: Sequence[CustomerRef], correction: Correction) -> Identity:
        """Say that a store key, the first of `refs`, is another person than it was taken for: give it a new sid.

        The further refs join it. Everything that closed for the person until now is copied to the new sid,
        nothing that opened. Returns the new identity.

        Raises:
            RequestError: CUSTOMER_NOT_FOUND, REQUEST_ID_REUSED.

        """
        ...

    async def consent_page(
        self, sids: Sequence[str], own: str, purpose: str, part: Slice
    ) -> Page[ConsentEvent]:
        """Return events in order of arrival: all of the sid `own`, of the others what counts for it (the refusals).

        Events that are appended between two pages come at the end. `purpose` empty: every purpose.

        Raises:
            RequestError: PAGE_TOKEN_INVALID.

        """
        ...

    async def suppressions(self, sids: Sequence[str]) -> Sequence[Suppression]:
        """Return every opt-out of these sids that was not lifted, in no order."""
        ...

    async def suppression(self, suppression_id: str) -> Suppression | None:
        """Return one opt-out, lifted or not; None when there is none of this id."""
        ...

    async def has_suppressed(self, actor: str, request_id: str, *, lifted: bool = False) -> bool:
        """Tell whether this request of the actor added an opt-out; with `lifted`, whether it lifted one."""
        ...

    async def suppression_page(self, asked: SuppressionFilter, part: Slice) -> Page[Suppression]:
        """Return opt-outs in order of arrival. Raises like `consent_page`."""
        ...

    async def add_suppression(
        self, given: Suppression, request_id: str, request_digest: str
    ) -> Suppression:
        """Append an opt-out; durable on return, and seen by the very next read. Idempotent like `record_consent`.

        Raises:
            RequestError: REQUEST_ID_REUSED.

        """
        ...

    async def lift_suppression(self, lifted: Suppression, request_id: str) -> Suppression:
        """Append that `lifted` ends the opt-out, by a request of `lifted_by`; return it as it is then: the first lift stands.

        Raises:
            RequestError: SUPPRESSION_NOT_FOUND, or REQUEST_ID_REUSED when the id lifted another one.

        """
        ...

    async def consent_events(self, sids: Sequence[str], purpose: str) -> Sequence[ConsentEvent]:
        """Return every event of these sids for `purpose` (every purpose when empty), by event_time then order of arrival."""
        ...

    async def consents_ending(
        self, purpose: str, ends: Span, given: Span | None, part: tuple[str, int]
    ) -> Sequence[str]:
        """Return sids for whom a consent was given that ends after the first and until the second moment of `ends` by
        itself, or was given within `given`: after a sid, at most so many (`part`), in their order. Whether it stands, and ends
        then, is to be derived."""
        ...

    async def record_consent(
        self, event: ConsentEvent, request_id: str, request_digest: str
    ) -> ConsentEvent:
        """Append the event; durable on return, and seen by the very next read.

        A repeated non-empty `request_id` of the same `event.actor` with the same digest returns the
        first event; the ids of different actors have nothing to do with each other.

        Raises:
            RequestError: REQUEST_ID_REUSED when the actor's id came with another digest.

        """
        ...

    async def record_consents(
        self, rows: Sequence[tuple[ConsentEvent, str, str]]
    ) -> Sequence[ConsentEvent]:
        """Do what `record_consent` does for each of at most 1,000 rows of event, request id and digest, in order: all of
        them in one transaction, or none."""
        ...

    async def recorded(self, actor: str, request_ids: Sequence[str]) -> frozenset[str]:
        """Return those of at most 1,000 request ids under which the actor recorded an event."""
        ...

    async def notice(self, notice_id: str, version: str) -> PrivacyNotice | None:
        """Return a notice that was used, as it was shown; None when it never was."""
        ...

    async def keep_notice(self, notice: PrivacyNotice, now: datetime) -> None:
        """Keep a notice as it is shown, for ever; durable on return. Nothing to do when it is there.

        Raises:
            RequestError: NOTICE_CHANGED when another content was used under the same id and version.

        """
        ...

    async def subject_key(self, sid: str) -> bytes | None:
        """Return the wrapped data key of a subject; None once it is erased."""
        ...

    async def reserve(self, reservation: Reservation) -> frozenset[Charge]:
        """Take from every counter in `charges`, from all or from none; return those that had no room.

        Those of `also_told` that have none are returned as well; they keep nothing from being taken.
        Exact whoever reserves at the same time, on any host, and durable on return; without
        `charges` nothing is written. Hosts whose clocks differ blur a rolling window by the
        difference. After a LedgerError it may have been taken: nothing may be released for it.
        """
        ...

    async def reserve_many(self, reservations: Sequence[Reservation]) -> Sequence[frozenset[Charge]]:
        """Do what `reserve` does for each of at most 1,000, in their order, in one transaction."""
        ...

    async def reserve_rows(self, rows: Rows) -> int:
        """Take the rows in order, each wholly, until one has no room; return how many were taken, in one transaction.

        Exact and durable like `reserve`. After a LedgerError it may have been taken: nothing may be released for it.
        """
        ...

    async def habits(self, look: Look) -> Habits:
        """Return how the principal of `look` has asked so far, as far as it was watched."""
        ...

    def watch(self, look: Look) -> None:
        """Remember a look-up for `habits`; returns at once and is written later, or lost with the process."""
        ...

    async def approval(self, approval_id: str) -> Approval | None:
        """Return one approval, with every vote, also when it has ended; None when there is none of this id."""
        ...

    async def approval_page(self, asked: ApprovalFilter, part: Slice) -> Page[Approval]:
        """Return approvals by id, which is about the order in which they were asked for."""
        ...

    async def ask_approval(self, wanted: Approval) -> Approval:
        """Append `wanted`, or return the open one with its requester, parties, request digest and requirement keys.

        Raises:
            RequestError: LIMIT_EXCEEDED when the requester has too many open ones.

        """
        ...

    async def vote(
        self, approval_id: str, principal: str, roles: frozenset[str], now: datetime, comment: str = ""
    ) -> Approval:
        """Append the vote of `principal` on every part that his `roles` may decide; return the approval as it is then.

        Durable on return. Nothing happens when it is not open, when he is one of its parties, and for a part that
        he voted on before. Raises RequestError APPROVAL_NOT_FOUND, like `end_approval`.
        """
        ...

    async def end_approval(self, approval_id: str, ending: Ending) -> Approval:
        """End an open approval, which must have its votes to be USED, or a review, as REVIEWED or REJECTED; return it as it
        is then.

        Of many who end one, on any host, the first does: then it has `ending`, and no terms any more. Durable on
        return; after a LedgerError it may have ended.
        """
        ...

    async def owes_review(self, requester: str, now: datetime) -> bool:
        """Tell whether anything that `requester` did before others agreed should have been reviewed by `now` and was not."""
        ...

    async def break_glass(self, wanted: Approval) -> bool | None:
        """Append what the requester does before others agreed; it has `review_by`. Return False when it stands there already,
        None when he owes a review by then: nothing is appended. Durable on return; of many at once each sees the others.
        """
        ...

    async def approvals_due(self, now: datetime) -> Sequence[tuple[Approval, Stage]]:
        """Return open and expired approvals of which others are still to be told, with what they are to be told, the oldest
        first, 100 at most. An approval with a vote is never ESCALATED."""
        ...

    async def approval_told(self, approval_id: str, stage: Stage) -> None:
        """Note what others were told of an approval; it never goes back. Its terms go when it EXPIRED."""
        ...

    async def approval_history(self, requester: str, since: datetime) -> ApprovalHistory:
        """Return what a requester asked for since then, of 1,000 approvals at most, the newest."""
        ...
