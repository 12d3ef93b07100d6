"""Writes of a ledger beside `ports.Ledger` itself, each as a flow does it, with the id by which the flow repeats it.

An act gets the name of its case, by which it names what it writes, and returns what must be the same after a repeat.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from typing import Any

from fujie.adapters.ledger import SQLLedger
from fujie.model.campaign import CampaignState
from fujie.model.campaign import Lease as Term
from fujie.model.customer import Phone, StoreKey
from fujie.model.export import Closing, Export, ExportChunk, ExportEnd, ExportState, Format, Lease
from fujie.model.message import MessageState, ReplyOutcome, Settled
from fujie.model.notification import Notification
from fujie.model.processor import Processor
from fujie.model.subject_request import Indexed, RequestEnd, RequestKind, RequestOutcome, SubjectRequest
from fujie.ports.messaging import Heard, KeptReply
from fujie.ports.providers import Receipt
from support.outboxes import campaign, marker, planned
from support.outboxes import claim as claim_of

NOW = datetime(2026, 3, 1, tzinfo=UTC)
TODAY = date(2026, 3, 1)
KEY, PHONE = StoreKey("crm", "C-7700123"), Phone("+8613800138000")
LATER = NOW + timedelta(hours=1)

Act = Callable[[SQLLedger, str], Awaitable[Any]]


def digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()[:32]


async def sid_of(ledger: SQLLedger) -> str:
    identity = await ledger.find([KEY])
    assert identity is not None
    return identity.sid


async def other(ledger: SQLLedger, name: str) -> None:
    await ledger.enrol([StoreKey("crm", f"other-{name}")], NOW)


async def other_sid(ledger: SQLLedger, name: str) -> str:
    identity = await ledger.find([StoreKey("crm", f"other-{name}")])
    assert identity is not None
    return identity.sid


# What other systems are told, and what customers ask for.


async def notify(ledger: SQLLedger, name: str) -> None:
    order = Notification(
        id=digest(name), kind="principal.wipe_devices", subject=name, payload={"device": "d"}, created_at=NOW, due_at=NOW,
    )  # fmt: skip
    await ledger.notifications.notify(order)


async def acknowledge(ledger: SQLLedger, name: str) -> object:
    return await ledger.notifications.acknowledge(digest(name), "mdm", NOW)


async def upsert_processor(ledger: SQLLedger, name: str) -> object:
    named = Processor(name, "Carrier", "contract", TODAY, TODAY + timedelta(days=1))
    return await ledger.processors.upsert_processor(named, NOW)


async def end(ledger: SQLLedger, name: str) -> None:
    await ledger.sessions.end(name, NOW)


async def take(ledger: SQLLedger, _name: str) -> None:
    await ledger.notifications.take(NOW, 30, 1)  # each time it is another's turn


async def being_told(ledger: SQLLedger, name: str) -> None:
    await notify(ledger, name)
    await ledger.notifications.take(NOW, 30, 100)


async def sent(ledger: SQLLedger, name: str) -> object:
    known = await ledger.notifications.notification(digest(name))
    assert known is not None
    await ledger.notifications.sent(known, NOW)
    return await ledger.notifications.notification(digest(name))


async def failed(ledger: SQLLedger, name: str) -> None:
    known = await ledger.notifications.notification(digest(name))
    assert known is not None
    await ledger.notifications.failed(known, LATER)


async def open_request(ledger: SQLLedger, name: str) -> object:
    sid = await other_sid(ledger, name)
    wanted = SubjectRequest(
        digest(name), sid, RequestKind.ERASURE, b"sealed", NOW, NOW + timedelta(days=15)
    )
    return await ledger.requests.open_request(wanted)


async def asking_for_erasure(ledger: SQLLedger, name: str) -> None:
    await other(ledger, name)
    await open_request(ledger, name)


async def resolve_request(ledger: SQLLedger, name: str) -> object:
    return await ledger.requests.resolve_request(
        digest(name), RequestEnd(RequestOutcome.DONE, NOW, "officer")
    )


async def add(ledger: SQLLedger, name: str) -> None:
    counts = {(await other_sid(ledger, name), TODAY, "lookup", "care"): 2}
    await ledger.disclosures.add(Indexed(name, 0, 5, counts))


# Exports.


def an_export(name: str, lease: Lease | None = None) -> Export:
    return Export(
        id=digest(name), requester=name, caller="crm", store="crm", purpose="marketing", basis="consent",
        steps={"phone": "keep(3,4)"}, request_digest="digest", bundle="bundle", started_at=NOW, format=Format.CSV, lease=lease,
    )  # fmt: skip


async def begin_export(ledger: SQLLedger, name: str) -> None:
    await ledger.exports.begin_export(an_export(name))


async def leasing(ledger: SQLLedger, name: str) -> None:
    """Have a leased file of one customer with one key, which can be opened once."""
    await other(ledger, name)
    await ledger.exports.begin_export(an_export(name, Lease(expires_at=LATER, opens_left=1)))
    await add_chunk(ledger, name)


async def adding_to(ledger: SQLLedger, name: str) -> None:
    await other(ledger, name)
    await begin_export(ledger, name)


async def add_chunk(ledger: SQLLedger, name: str) -> None:
    await ledger.exports.add_chunk(
        ExportChunk(digest(name), 0, (await other_sid(ledger, name),), b"wrapped")
    )


async def end_export(ledger: SQLLedger, name: str) -> None:
    await ledger.exports.end_export(digest(name), ExportEnd(ExportState.COMPLETE, NOW, 1))


async def close_export(ledger: SQLLedger, name: str) -> object:
    return await ledger.exports.close_export(
        digest(name), Closing(at=NOW, by="chief", why="EXPORT_REVOKED")
    )


async def close_exports_of(ledger: SQLLedger, name: str) -> object:
    await ledger.exports.close_exports_of(name, Closing(at=NOW, by="chief", why="EXPORT_REVOKED"))
    await ledger.exports.close_expired(NOW)  # finishes what broke off, as every worker does all the time
    return await ledger.exports.export(digest(name))


async def close_expired(ledger: SQLLedger, name: str) -> object:
    await ledger.exports.close_expired(LATER)
    return await ledger.exports.export(digest(name))


async def forget(ledger: SQLLedger, name: str) -> None:
    await ledger.exports.forget([await other_sid(ledger, name)])


# Campaigns and messages.


async def recall_many(ledger: SQLLedger, name: str) -> None:
    await ledger.outbox.recall_many([[StoreKey("crm", name)]], "marketing", NOW)


async def create_campaign(ledger: SQLLedger, name: str) -> object:
    draft = replace(campaign(name), id=digest(name), created_at=NOW)
    return await ledger.outbox.create_campaign(draft, name, "digest")


async def plan(ledger: SQLLedger, name: str) -> None:
    intent = replace(planned(await sid_of(ledger), name), intent_id=digest(f"intent {name}"))
    await ledger.outbox.plan(digest(name), [intent], NOW)  # a repeat finds him planned: none is new


async def move_campaign(ledger: SQLLedger, name: str) -> object:
    return await ledger.outbox.move_campaign(digest(name), CampaignState.RUNNING, NOW)


async def drafted(ledger: SQLLedger, name: str) -> None:
    await create_campaign(ledger, name)


async def told(ledger: SQLLedger, name: str) -> None:
    await drafted(ledger, name)
    await plan(ledger, name)


async def hand_over(ledger: SQLLedger, name: str) -> object:
    await ledger.outbox.hand_over(name, "heir")
    draft = await ledger.outbox.campaign(digest(name))
    assert draft is not None
    return draft.requester


async def running(ledger: SQLLedger, name: str) -> None:
    await told(ledger, name)
    await move_campaign(ledger, name)


async def lease(ledger: SQLLedger, _name: str) -> None:
    await ledger.outbox.lease("w0", NOW, 30, 1)  # each time another's


async def begin(ledger: SQLLedger, name: str) -> object:
    intent = replace(planned(await sid_of(ledger), name), intent_id=digest(name))
    return (await ledger.outbox.begin(intent, "w0", NOW, 30, (name, "digest")))[0]


async def claim(ledger: SQLLedger, name: str) -> None:
    number = Phone(f"+86139{int(digest(name), 16) % 10**8:08}")
    ours = claim_of(digest(name), number)
    held = Term("w0", NOW + timedelta(seconds=30), None, ())
    await ledger.outbox.claim(held, [ours], await marker(ledger), name, NOW)


async def claimed(ledger: SQLLedger, name: str) -> None:
    await begin(ledger, name)
    await claim(ledger, name)


async def settle(ledger: SQLLedger, name: str) -> object:
    went = Settled(digest(name), MessageState.SUBMITTED, provider_message_id=name)
    await ledger.outbox.settle("w0", [went], NOW)
    return await ledger.outbox.message(digest(name))


async def lost(ledger: SQLLedger, name: str) -> None:
    await claimed(ledger, name)
    await ledger.outbox.settle("w0", [Settled(digest(name), MessageState.UNKNOWN, "TIMEOUT")], NOW)


async def unresolved(ledger: SQLLedger, _name: str) -> None:
    await ledger.outbox.unresolved("outbox", LATER, 1)  # each time another's turn


async def sweep(ledger: SQLLedger, name: str) -> object:
    await ledger.outbox.sweep(LATER, 60)
    return await ledger.outbox.message(digest(name))


async def receive(ledger: SQLLedger, name: str) -> object:
    await ledger.outbox.receive(Receipt("outbox", MessageState.DELIVERED, intent_id=digest(name)), NOW)
    return await ledger.outbox.message(digest(name))


async def asked(ledger: SQLLedger, name: str) -> None:
    await ledger.outbox.asked([digest(name)])


async def keep_heard(ledger: SQLLedger, name: str) -> None:
    await ledger.outbox.keep_heard(Heard(digest(name), "outbox", b"sealed", NOW))


async def forget_heard(ledger: SQLLedger, name: str) -> None:
    await ledger.outbox.forget_heard(digest(name))


async def keep_reply(ledger: SQLLedger, name: str) -> object:
    await ledger.outbox.keep_reply(KeptReply(name, "outbox", await sid_of(ledger), b"sealed", NOW))
    return await ledger.outbox.reply(name)


async def mark_reply(ledger: SQLLedger, name: str) -> object:
    return await ledger.outbox.mark_reply(name, ReplyOutcome.NONE, "desk", NOW)


BESIDE: tuple[Act, ...] = (
    notify, acknowledge, take, sent, failed, upsert_processor, end, open_request, resolve_request, add, begin_export, add_chunk,
    end_export, close_export, close_exports_of, close_expired, forget, recall_many, create_campaign, plan, move_campaign, hand_over,
    lease, begin, claim, settle, unresolved, sweep, receive, asked, keep_heard, forget_heard, keep_reply, mark_reply,
)  # fmt: skip
NEEDS: dict[Act, Act] = {
    acknowledge: notify, sent: being_told, failed: being_told, take: notify, open_request: other,
    resolve_request: asking_for_erasure, add: other, add_chunk: adding_to, end_export: begin_export, close_export: begin_export,
    close_exports_of: leasing, close_expired: leasing, forget: leasing, plan: drafted, move_campaign: told, hand_over: told,
    lease: running, claim: begin, settle: claimed, unresolved: lost, sweep: claimed, receive: claimed, asked: claimed,
    forget_heard: keep_heard, mark_reply: keep_reply,
}  # fmt: skip
"""What must be there before the act of that name."""
IN_PARTS = frozenset({close_exports_of, close_expired})
"""What takes several transactions: marked, keys destroyed, done."""
ENDS_AT_ONCE = frozenset({begin_export, add_chunk, add})
"""Whose repeat is an error once it was done: a flow that does not know ends what it was doing."""
