"""Open a ledger: the tables of one database behind `ports.Ledger`, `ports.Directory` and `ports.messaging.Outbox`."""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from fujie.adapters.clock import SystemClock
from fujie.adapters.ledger.approvals import Approvals
from fujie.adapters.ledger.checkpoints import Checkpoints
from fujie.adapters.ledger.consents import Consents
from fujie.adapters.ledger.corrections import Corrections
from fujie.adapters.ledger.database import Database
from fujie.adapters.ledger.disclosures import Disclosures
from fujie.adapters.ledger.enrolment import Enrolment
from fujie.adapters.ledger.exports import Exports
from fujie.adapters.ledger.habits import Observer
from fujie.adapters.ledger.keycheck import ConfiguredKey, check_keys
from fujie.adapters.ledger.migrate import Tell, told_to_nobody, upgrade
from fujie.adapters.ledger.notices import Notices
from fujie.adapters.ledger.notifications import SQLNotifications
from fujie.adapters.ledger.outbox import SQLOutbox
from fujie.adapters.ledger.pending import Pending, pending
from fujie.adapters.ledger.postgresql import PostgreSQLDatabase
from fujie.adapters.ledger.principals import Principals
from fujie.adapters.ledger.processors import Processors
from fujie.adapters.ledger.recall import Recall
from fujie.adapters.ledger.server import URL_ALONE, ServerAccess, is_server, server_of
from fujie.adapters.ledger.sessions import Sessions
from fujie.adapters.ledger.sqlite import SQLiteDatabase, error_name, file_of
from fujie.adapters.ledger.subject_requests import SubjectRequests
from fujie.adapters.ledger.subjects import IndexKey, Subjects
from fujie.adapters.ledger.suppressions import Suppressions
from fujie.adapters.ledger.usage import Usage
from fujie.adapters.ledger.usage_rows import take_rows
from fujie.model.approval import Approval, ApprovalFilter, ApprovalHistory, Ending, Stage
from fujie.model.consent import Bearing, ConsentEvent
from fujie.model.customer import Correction, CustomerRef, Identity, Phone
from fujie.model.errors import StartError
from fujie.model.limit import Charge, Reservation, Rows
from fujie.model.notice import PrivacyNotice
from fujie.model.page import Page, Slice
from fujie.model.suppression import Suppression, SuppressionFilter
from fujie.model.usage import Habits, Look
from fujie.ports import Clock, Identifiers


class SQLLedger:
    """fujie's own state, as `ports.Ledger`; `directory`, `checkpoints`, `outbox`, `processors`, `requests`,
    `disclosures`, `exports` and `sessions` share its database.

    It belongs to the event loop that opened it.
    """

    def __init__(
        self,
        database: Database,
        index: IndexKey,
        identifiers: Identifiers,
        new_wrapped_key: Callable[[str], bytes],
        clock: Clock | None = None,
    ) -> None:
        self.database = database
        self.directory = Principals(database, clock or SystemClock())
        self.checkpoints = Checkpoints(database)
        self._subjects = Subjects(database, index, identifiers, new_wrapped_key)
        self._enrolment = Enrolment(database, self._subjects)
        self.outbox = SQLOutbox(database, index, self._subjects)
        self.processors = Processors(database)
        self.requests = SubjectRequests(database)
        self.disclosures = Disclosures(database)
        self.exports = Exports(database)
        self.notifications = SQLNotifications(database)
        self.sessions = Sessions(database)
        self._consents = Consents(database)
        self._recall = Recall(database, self._subjects)
        self._suppressions = Suppressions(database)
        self._corrections = Corrections(database, self._subjects)
        self._approvals = Approvals(database)
        self._usage = Usage(database)
        self._observer = Observer(database, index)
        self._notices = Notices(database)

    async def follow(self, seen: int = 0) -> int:
        """See `Database.follow`."""
        return await self.database.follow(seen)

    async def pending(self, now: datetime) -> Pending:
        """Return how much waits for people. Raises LedgerError."""
        return await pending(self.database, now)

    async def find(self, refs: Sequence[CustomerRef]) -> Identity | None:
        """See `ports.Ledger.find`."""
        return await self._subjects.find(refs)

    async def enrol(self, refs: Sequence[CustomerRef], now: datetime) -> Identity:
        """See `ports.Ledger.enrol`."""
        return await self._subjects.enrol(refs, now)

    async def enrol_many(
        self, customers: Sequence[Sequence[CustomerRef]], now: datetime
    ) -> Sequence[Identity]:
        """See `ports.Ledger.enrol_many`."""
        return (await self._enrolment.enrol(customers, now)).identities

    async def recall(
        self, refs: Sequence[CustomerRef], purpose: str, now: datetime
    ) -> tuple[Identity, Sequence[Bearing]]:
        """See `ports.Ledger.recall`."""
        if purpose and refs and (known := await self._recall.known(refs, purpose)):
            return known
        identity = await self._subjects.enrol(refs, now)
        return identity, await self._consents.consent_events(identity.sids, purpose)

    async def number(self, phone: Phone, now: datetime) -> Identity:
        """See `ports.Ledger.number`."""
        return await self._subjects.number(phone, now)

    async def merge(self, into: CustomerRef, source: CustomerRef, correction: Correction) -> Identity:
        """See `ports.Ledger.merge`."""
        return await self._corrections.merge(into, source, correction)

    async def split(self, refs: Sequence[CustomerRef], correction: Correction) -> Identity:
        """See `ports.Ledger.split`."""
        return await self._corrections.split(refs, correction)

    async def consent_page(
        self, sids: Sequence[str], own: str, purpose: str, part: Slice
    ) -> Page[ConsentEvent]:
        """See `ports.Ledger.consent_page`."""
        return await self._consents.consent_page(sids, own, purpose, part)

    async def suppressions(self, sids: Sequence[str]) -> Sequence[Suppression]:
        """See `ports.Ledger.suppressions`."""
        return await self._suppressions.suppressions(sids)

    async def suppression(self, suppression_id: str) -> Suppression | None:
        """See `ports.Ledger.suppression`."""
        return await self._suppressions.suppression(suppression_id)

    async def has_suppressed(self, actor: str, request_id: str, *, lifted: bool = False) -> bool:
        """See `ports.Ledger.has_suppressed`."""
        return await self._suppressions.has_suppressed(actor, request_id, lifted=lifted)

    async def suppression_page(self, asked: SuppressionFilter, part: Slice) -> Page[Suppression]:
        """See `ports.Ledger.suppression_page`."""
        return await self._suppressions.suppression_page(asked, part)

    async def add_suppression(
        self, given: Suppression, request_id: str, request_digest: str
    ) -> Suppression:
        """See `ports.Ledger.add_suppression`."""
        return await self._suppressions.add_suppression(given, request_id, request_digest)

    async def lift_suppression(self, lifted: Suppression, request_id: str) -> Suppression:
        """See `ports.Ledger.lift_suppression`."""
        return await self._suppressions.lift_suppression(lifted, request_id)

    async def consents_ending(
        self,
        purpose: str,
        ends: tuple[datetime, datetime],
        given: tuple[datetime, datetime] | None,
        part: tuple[str, int],
    ) -> Sequence[str]:
        """See `ports.Ledger.consents_ending`."""
        return await self._consents.consents_ending(purpose, ends, given, part)

    async def consent_events(self, sids: Sequence[str], purpose: str) -> Sequence[ConsentEvent]:
        """See `ports.Ledger.consent_events`."""
        return await self._consents.consent_events(sids, purpose)

    async def record_consent(
        self, event: ConsentEvent, request_id: str, request_digest: str
    ) -> ConsentEvent:
        """See `ports.Ledger.record_consent`."""
        return await self._consents.record_consent(event, request_id, request_digest)

    async def record_consents(
        self, rows: Sequence[tuple[ConsentEvent, str, str]]
    ) -> Sequence[ConsentEvent]:
        """See `ports.Ledger.record_consents`."""
        return await self._consents.record_consents(rows)

    async def recorded(self, actor: str, request_ids: Sequence[str]) -> frozenset[str]:
        """See `ports.Ledger.recorded`."""
        return await self._consents.recorded(actor, request_ids)

    async def notice(self, notice_id: str, version: str) -> PrivacyNotice | None:
        """See `ports.Ledger.notice`."""
        return await self._notices.notice(notice_id, version)

    async def keep_notice(self, notice: PrivacyNotice, now: datetime) -> None:
        """See `ports.Ledger.keep_notice`."""
        await self._notices.keep_notice(notice, now)

    async def subject_key(self, sid: str) -> bytes | None:
        """See `ports.Ledger.subject_key`."""
        return await self._subjects.subject_key(sid)

    async def reserve(self, reservation: Reservation) -> frozenset[Charge]:
        """See `ports.Ledger.reserve`."""
        return await self._usage.reserve(reservation)

    async def reserve_many(self, reservations: Sequence[Reservation]) -> Sequence[frozenset[Charge]]:
        """See `ports.Ledger.reserve_many`."""
        return await self._usage.reserve_many(reservations)

    async def reserve_rows(self, rows: Rows) -> int:
        """See `ports.Ledger.reserve_rows`."""
        return await self.database.transact(partial(take_rows, rows))

    async def habits(self, look: Look) -> Habits:
        """See `ports.Ledger.habits`."""
        return await self._observer.habits(look)

    def watch(self, look: Look) -> None:
        """See `ports.Ledger.watch`."""
        self._observer.watch(look)

    async def approval(self, approval_id: str) -> Approval | None:
        """See `ports.Ledger.approval`."""
        return await self._approvals.approval(approval_id)

    async def approval_page(self, asked: ApprovalFilter, part: Slice) -> Page[Approval]:
        """See `ports.Ledger.approval_page`."""
        return await self._approvals.approval_page(asked, part)

    async def ask_approval(self, wanted: Approval) -> Approval:
        """See `ports.Ledger.ask_approval`."""
        return await self._approvals.ask_approval(wanted)

    async def vote(
        self, approval_id: str, principal: str, roles: frozenset[str], now: datetime, comment: str = ""
    ) -> Approval:
        """See `ports.Ledger.vote`."""
        return await self._approvals.vote(approval_id, principal, roles, now, comment)

    async def end_approval(self, approval_id: str, ending: Ending) -> Approval:
        """See `ports.Ledger.end_approval`."""
        return await self._approvals.end_approval(approval_id, ending)

    async def owes_review(self, requester: str, now: datetime) -> bool:
        """See `ports.Ledger.owes_review`."""
        return await self._approvals.owes_review(requester, now)

    async def break_glass(self, wanted: Approval) -> bool | None:
        """See `ports.Ledger.break_glass`."""
        return await self._approvals.break_glass(wanted)

    async def reviews(self, now: datetime) -> tuple[int, int]:
        """See `Approvals.reviews`."""
        return await self._approvals.reviews(now)

    async def approvals_due(self, now: datetime) -> Sequence[tuple[Approval, Stage]]:
        """See `ports.Ledger.approvals_due`."""
        return await self._approvals.due(now)

    async def approval_told(self, approval_id: str, stage: Stage) -> None:
        """See `ports.Ledger.approval_told`."""
        await self._approvals.told(approval_id, stage)

    async def approval_history(self, requester: str, since: datetime) -> ApprovalHistory:
        """See `ports.Ledger.approval_history`."""
        return await self._approvals.history(requester, since)

    async def check_keys(self, keys: Sequence[ConfiguredKey]) -> None:
        """Refuse to go on with other keys than the ledger was written under; see `keycheck.check_keys`."""
        await check_keys(self.database, keys)

    async def close(self) -> None:
        """Finish the writes that are running and close the database."""
        await self._observer.close()
        await self.database.close()


async def open_ledger(
    url: str,
    index: IndexKey,
    identifiers: Identifiers,
    new_wrapped_key: Callable[[str], bytes],
    access: ServerAccess = URL_ALONE,
    clock: Clock | None = None,
    tell: Tell = told_to_nobody,
) -> SQLLedger:
    """Migrate the ledger at `url` (`sqlite:///path` or `postgresql://user@host:port/database`) and open it; `tell` is told
    while it is migrated.

    `new_wrapped_key` takes a new sid and returns its fresh data key, wrapped under the `seal` key.
    `clock` tells who has left by now; that of the system when none is given. Call `check_keys` before anything else.

    Raises:
        StartError: see `upgrade`.

    """
    await upgrade(url, access, tell)
    opened = await _database(url, access)
    return SQLLedger(opened, index, identifiers, new_wrapped_key, clock)


async def _database(url: str, access: ServerAccess) -> Database:
    if is_server(url):
        return await PostgreSQLDatabase.open(server_of(url, access))
    try:
        return SQLiteDatabase(file_of(url))
    except (sqlite3.Error, OSError) as error:
        raise StartError(
            "LEDGER_UNAVAILABLE", f"the ledger cannot be opened: {error_name(error)}"
        ) from None
