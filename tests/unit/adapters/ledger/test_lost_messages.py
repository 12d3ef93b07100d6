"""Every write of a ledger on PostgreSQL, with the connection lost at every one of its messages: it is done once, or not at all.

Each act is what a flow does, with the request id by which a flow repeats it. A write that is missing here fails a test.
"""

import inspect
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest
import sqlalchemy as sa
from sqlalchemy import Connection

from fujie.adapters.ledger import ConfiguredKey, KeptCheckpoint, SQLLedger
from fujie.adapters.ledger.tables import metadata
from fujie.model.approval import Approval, ApprovalState, Ballot, Ending, Requirement, Stage
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import Phone, StoreKey
from fujie.model.errors import LedgerError, RequestError
from fujie.model.export import Opening
from fujie.model.limit import Charge, Limit, Reservation, Rows
from fujie.model.notice import PrivacyNotice
from fujie.model.principal import Principal
from fujie.model.reason import LocalizedText
from fujie.model.suppression import Confirmation
from fujie.model.vocabulary import State
from support.acts import (
    BESIDE,
    ENDS_AT_ONCE,
    IN_PARTS,
    KEY,
    NOW,
    PHONE,
    TODAY,
    Act,
    digest,
    leasing,
    other,
    sid_of,
)
from support.acts import NEEDS as BESIDE_NEEDS
from support.identities import because, consent_event, opt_out
from support.wire import Fault, Wire

ROWS = Charge("grant:a", Limit.ROWS_PER_HOUR, 3)
ONE_EACH = Charge("grant:b", Limit.LOOKUPS_PER_MINUTE, 1)
SOMEBODY = Requirement("late", "one", ("lead",), 1, timedelta(hours=4))


def event(sid: str) -> ConsentEvent:
    return consent_event(sid, ConsentEventType.GIVEN, NOW, NOW)


def wanted(name: str) -> Approval:
    return Approval(
        digest(name), name, frozenset({name}), "lookup", "care", "contract", "crm",
        ("name",), 1, name, (Ballot(SOMEBODY),), NOW,
    )  # fmt: skip


# Who is who.


async def enrol(ledger: SQLLedger, name: str) -> object:
    return await ledger.enrol([StoreKey("crm", name), PHONE], NOW)


async def enrol_many(ledger: SQLLedger, name: str) -> object:
    return await ledger.enrol_many([(StoreKey("crm", name), PHONE), (StoreKey("shop", name),)], NOW)


async def number(ledger: SQLLedger, name: str) -> object:
    digits = int(sha256(name.encode()).hexdigest(), 16) % 10**8
    return await ledger.number(Phone(f"+86139{digits:08}"), NOW)


async def merge(ledger: SQLLedger, name: str) -> object:
    return await ledger.merge(KEY, StoreKey("crm", f"other-{name}"), because(NOW, name))


async def split(ledger: SQLLedger, name: str) -> object:
    return await ledger.split([StoreKey("crm", f"other-{name}")], because(NOW, name))


# What was said.


async def record_consent(ledger: SQLLedger, name: str) -> object:
    return await ledger.record_consent(event(await sid_of(ledger)), name, "digest")


async def record_consents(ledger: SQLLedger, name: str) -> object:
    sid = await sid_of(ledger)
    return await ledger.record_consents([(event(sid), f"{n}-{name}", "digest") for n in range(3)])


async def add_suppression(ledger: SQLLedger, name: str) -> object:
    return await ledger.add_suppression(opt_out(await sid_of(ledger), NOW), name, "digest")


async def lift_suppression(ledger: SQLLedger, name: str) -> object:
    ours = await ledger.suppression(digest(name))
    assert ours is not None
    by = Confirmation("signed_letter", "letter-1", NOW)
    return await ledger.lift_suppression(replace(ours, lifted=by, lifted_at=NOW, lifted_by="desk"), name)


async def keep_notice(ledger: SQLLedger, name: str) -> None:
    texts = LocalizedText("您同意吗？", "Do you agree?"), LocalizedText("撤回", "withdraw")
    await ledger.keep_notice(
        PrivacyNotice("n", name, frozenset({"marketing"}), *texts, frozenset({"any"}), explicit=True), NOW
    )


# Limits, approvals, and what the server keeps for itself.


async def reserve(ledger: SQLLedger, name: str) -> object:
    return await ledger.reserve(Reservation(principal=name, now=NOW, day=TODAY, charges=(ROWS,)))


async def reserve_many(ledger: SQLLedger, name: str) -> object:
    asked = [Reservation(principal=f"{n}-{name}", now=NOW, day=TODAY, charges=(ROWS,)) for n in range(3)]
    return await ledger.reserve_many(asked)


async def reserve_rows(ledger: SQLLedger, name: str) -> None:
    charged = (((ROWS,), "sid-1"), ((ROWS,), "sid-2"))
    await ledger.reserve_rows(Rows(principal=name, now=NOW, day=TODAY, charged=charged))


async def ask_approval(ledger: SQLLedger, name: str) -> object:
    return await ledger.ask_approval(wanted(f"another {name}"))


async def vote(ledger: SQLLedger, name: str) -> object:
    return await ledger.vote(wanted(name).id, "lead-1", frozenset({"lead"}), NOW)


async def end_approval(ledger: SQLLedger, name: str) -> object:
    return await ledger.end_approval(wanted(name).id, Ending(ApprovalState.REJECTED, "lead-1", NOW, name))


async def break_glass(ledger: SQLLedger, name: str) -> None:
    await ledger.break_glass(wanted(f"emergency {name}"))  # true for whoever comes first


async def approval_told(ledger: SQLLedger, name: str) -> None:
    await ledger.approval_told(wanted(name).id, Stage.ASKED)


async def check_keys(ledger: SQLLedger, _name: str) -> None:
    await ledger.check_keys([ConfiguredKey("seal", "s1", b"s" * 32)])


async def keep(ledger: SQLLedger, name: str) -> None:
    await ledger.checkpoints.keep(KeptCheckpoint(name, "note", 7))


# Principals.


async def upsert(ledger: SQLLedger, name: str) -> object:
    return await ledger.directory.upsert(Principal(f"new-{name}", roles=frozenset({"support"})), NOW)


async def employ(ledger: SQLLedger, name: str) -> object:
    return await ledger.directory.employ(name, State.SUSPENDED, NOW, "chief")


async def offboard(ledger: SQLLedger, name: str) -> object:
    return await ledger.directory.offboard(name, NOW)


async def leaving(ledger: SQLLedger, name: str) -> None:
    await ledger.directory.leaving(NOW + timedelta(days=1))  # each time it is somebody else's turn


async def left(ledger: SQLLedger, name: str) -> None:
    await ledger.directory.left(name)


OF_LEDGER: tuple[Act, ...] = (
    enrol, enrol_many, number, merge, split, record_consent, record_consents, add_suppression, lift_suppression, keep_notice,
    reserve, reserve_many, reserve_rows, ask_approval, vote, end_approval, break_glass, approval_told, check_keys,
)  # fmt: skip
OF_DIRECTORY: tuple[Act, ...] = (upsert, employ, offboard, leaving, left)
ONLY_READ = {
    "follow", "pending", "find", "recall", "consent_page", "suppressions", "suppression", "has_suppressed", "suppression_page",
    "consents_ending", "consent_events", "recorded", "notice", "subject_key", "habits", "approval", "approval_page",
    "owes_review", "reviews", "approvals_due", "approval_history", "close",
    "get", "has_administrator", "page", "is_leaving", "last", "every",
    "notification", "about", "standing", "processor", "processors", "era", "subject_request", "subject_requests", "disclosures",
    "position", "export", "export_page", "open_leases", "traces", "campaign", "unfinished_of", "first", "claimed_of",
    "still_claimed", "message", "link", "asking", "heard", "replies", "reply",
}  # fmt: skip
TRIED_APART = {"open_lease", "survey"}
"""A repeated opening takes another one, see below; `survey` enrols as `recall_many` does."""


async def opted_out(ledger: SQLLedger, name: str) -> None:
    given = replace(opt_out(await sid_of(ledger), NOW), suppression_id=digest(name))
    await ledger.add_suppression(given, f"given-{name}", "digest")


async def asked(ledger: SQLLedger, name: str) -> None:
    await ledger.ask_approval(wanted(name))


async def hired(ledger: SQLLedger, name: str) -> None:
    await ledger.directory.upsert(Principal(name), NOW)


async def gone(ledger: SQLLedger, name: str) -> None:
    await hired(ledger, name)
    await offboard(ledger, name)


NEEDS: dict[Act, Act] = {
    **BESIDE_NEEDS, merge: other, split: other, lift_suppression: opted_out, vote: asked, end_approval: asked,
    approval_told: asked, employ: hired, offboard: hired, leaving: gone, left: gone,
}  # fmt: skip
"""What must be there before the act of that name."""


COUNTED = {name: f"count(*) FROM {name}" for name in metadata.tables} | {
    "keys": "count(wrapped_key) FROM export_chunk"
}
COUNTS = sa.text(" UNION ALL ".join(f"SELECT '{name}', {count}" for name, count in COUNTED.items()))


async def contents(ledger: SQLLedger) -> dict[str, int]:
    def counted(connection: Connection) -> dict[str, int]:
        return {str(row[0]): int(row[1]) for row in connection.execute(COUNTS)}

    return await ledger.database.transact(counted)


def added(before: dict[str, int], after: dict[str, int]) -> dict[str, int]:
    """Return how many rows each table has more."""
    return {name: count - before[name] for name, count in after.items()}


def test_no_write_is_missing_here(ledger: SQLLedger) -> None:
    acts = {act.__name__ for act in (*OF_LEDGER, *OF_DIRECTORY, keep, *BESIDE)}
    ports = (
        ledger, ledger.directory, ledger.checkpoints, ledger.notifications, ledger.processors, ledger.sessions, ledger.requests,
        ledger.disclosures, ledger.exports, ledger.outbox,
    )  # fmt: skip
    writes = {
        name
        for port in ports
        for name, _ in inspect.getmembers(type(port), inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    assert writes - ONLY_READ - TRIED_APART == acts


@pytest.mark.parametrize("act", [*OF_LEDGER, *OF_DIRECTORY, keep, *BESIDE])
async def test_a_repeat_ends_in_exactly_one_whatever_message_was_lost(
    ledger: SQLLedger, far: SQLLedger, wire: Wire, act: Act
) -> None:
    async def prepare(name: str) -> None:
        if needed := NEEDS.get(act):
            await needed(ledger, name)

    async def broken(fault: Fault, at: int) -> tuple[bool, bool]:
        """Lose the message number `at` of the act, repeat it; return whether it failed, and whether it has as many messages."""
        name = f"{fault.name}-{at}"
        await prepare(name)
        before = await contents(ledger)
        wire.arm(fault, at)
        first, has_failed = None, False
        try:
            first = await act(far, name)
        except LedgerError:
            has_failed = True
        is_over = wire.disarm()
        again = first
        try:
            again = await act(far, name)
        except LedgerError:
            assert act in ENDS_AT_ONCE
        assert first in (None, again)
        assert added(before, await contents(ledger)) == once, (fault, at)
        return has_failed, not is_over

    await ledger.enrol([KEY], NOW)
    await prepare("warm")
    await act(far, "warm")  # statements are prepared
    await prepare("undisturbed")
    before = await contents(ledger)
    await act(ledger, "undisturbed")
    once = added(before, await contents(ledger))
    for fault in (Fault.REQUEST_LOST, Fault.ANSWER_LOST):
        outcomes = [await broken(fault, 0)]
        while outcomes[-1][1]:
            outcomes.append(await broken(fault, len(outcomes)))
        assert len(outcomes) > 3
        if fault is Fault.REQUEST_LOST:
            left_open = sum(has_failed for has_failed, _ in outcomes)
            assert left_open >= 3 if act in IN_PARTS else left_open == 1  # COMMIT alone leaves it open


async def test_a_limit_gives_no_more_whatever_message_was_lost(far: SQLLedger, wire: Wire) -> None:
    async def is_taken(who: str) -> bool:
        asked = Reservation(principal=who, now=NOW, day=TODAY, charges=(ONE_EACH,))
        try:
            return not await far.reserve(asked)
        except LedgerError:
            return False

    assert await is_taken("warm")
    for fault in (Fault.REQUEST_LOST, Fault.ANSWER_LOST):
        at, is_over = 0, False
        while not is_over:
            who = f"{fault.name}-{at}"
            wire.arm(fault, at)
            taken = [await is_taken(who)]
            is_over = wire.disarm()
            taken += [await is_taken(who) for _ in range(2)]
            assert taken.count(True) <= 1, who
            at += 1
        assert at > 3


async def test_a_file_opens_no_more_often_whatever_message_was_lost(
    ledger: SQLLedger, far: SQLLedger, wire: Wire
) -> None:
    async def is_opened(name: str) -> bool:
        try:
            return bool(await far.exports.open_lease(digest(name), Opening("opener", NOW)))
        except (LedgerError, RequestError):
            return False

    await leasing(ledger, "warm")
    assert await is_opened("warm")
    for fault in (Fault.REQUEST_LOST, Fault.ANSWER_LOST):
        at, is_over = 0, False
        while not is_over:
            name = f"{fault.name}-{at}"
            await leasing(ledger, name)
            before = await contents(ledger)
            wire.arm(fault, at)
            opened = [await is_opened(name)]
            is_over = wire.disarm()
            opened += [await is_opened(name) for _ in range(2)]
            assert opened.count(True) <= 1, name
            assert added(before, await contents(ledger))["export_opening"] == 1
            at += 1
        assert at > 3
