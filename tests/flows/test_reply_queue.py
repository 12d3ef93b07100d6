"""Attacks on the queue of replies: who may read what a customer wrote, how much of it, and what is written of it."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
import sqlalchemy as sa

from fujie.adapters.ledger.outbox_tables import reply as table
from fujie.flows.gate import Gate
from fujie.flows.receipts import receive
from fujie.flows.reply import Refusal
from fujie.flows.reply_queue import (
    HeardRepliesReply,
    HeardReply,
    Marking,
    RepliesQuery,
    ReplyQuery,
    get_reply,
    list_replies,
    mark_reply,
)
from fujie.model.customer import Phone
from fujie.model.message import ReplyOutcome
from fujie.model.page import Slice
from fujie.model.request import RequestContext
from fujie.ports.messaging import KeptReply
from fujie.ports.providers import Called, Reply
from support.house import House, caller
from support.links import SIGNATURE, sending

OFFICER, DESK, MARKETER = caller("privacy-officer"), caller("consent-desk"), caller("marketer")
WHY = RequestContext()
NUMBER, CARD = "13900001234", "4111111111111111"
TEXT = f"别再给我发了，我的号码是{NUMBER}，卡号{CARD}"
HANDLER = b"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: handler}
spec: {match: {actions: [subject_request.handle]}, roles: [support]}
"""


@pytest.fixture
def at(house: House) -> House:
    return house.with_policy({"handler.yaml": HANDLER})


@pytest.fixture
def gate(at: House) -> Gate:
    return sending(at)


async def heard(
    gate: Gate, text: str = TEXT, reply_id: str = "r-1", number: str = "+8613912340000"
) -> None:
    said = Reply("wire", reply_id, Phone(number), text, gate.clock.now(), SIGNATURE)
    await receive(gate, "wire", Called(replies=[said]))


async def listed(gate: Gate, asked: RepliesQuery = RepliesQuery()) -> Sequence[KeptReply]:  # noqa: B008 (frozen)
    reply = await list_replies(gate, OFFICER, WHY, asked)
    assert isinstance(reply, HeardRepliesReply)
    return reply.page.rows


async def only(gate: Gate) -> KeptReply:
    (found,) = await listed(gate)
    return found


async def code(gate: Gate, marking: Marking) -> str:
    reply = await mark_reply(gate, OFFICER, WHY, marking)
    return reply.reasons[0].code if isinstance(reply, Refusal) else ""


async def test_what_was_written_is_covered_for_who_handles_and_whole_for_who_may_lift_opt_outs(
    at: House, gate: Gate
) -> None:
    await heard(gate)
    found = await only(gate)
    for who in (OFFICER, caller("support-agent")):
        told = await get_reply(gate, who, WHY, ReplyQuery(found.reply_id))
        assert isinstance(told, HeardReply)
        assert told.text.startswith("别再给我发了，我的号码是[")
        assert NUMBER not in told.text
        assert CARD not in told.text
    whole = await get_reply(gate, OFFICER, WHY, ReplyQuery(found.reply_id, is_whole=True))
    assert isinstance(whole, HeardReply)
    assert whole.text == TEXT
    assert [e.facts["reply.is_whole"] for e in at.entries if "reply.is_whole" in e.facts] == [
        False,
        False,
        True,
    ]
    assert all(found.sid in entry.sids for entry in at.entries if "reply.id" in entry.facts)
    for leaf in at.log.leaves:
        assert NUMBER.encode() not in leaf
        assert "别再给我发了".encode() not in leaf


async def test_who_may_not_lift_opt_outs_reads_nothing_whole(gate: Gate) -> None:
    await heard(gate)
    found = await only(gate)
    told = await get_reply(gate, caller("support-agent"), WHY, ReplyQuery(found.reply_id, is_whole=True))
    assert isinstance(told, Refusal)
    assert told.reasons[0].code == "NO_GRANT"


@pytest.mark.parametrize("who", [DESK, MARKETER, caller("nobody-in-particular")])
async def test_who_may_not_handle_requests_learns_nothing_not_even_whether_there_is_one(
    gate: Gate, who: object
) -> None:
    await heard(gate)
    found = await only(gate)
    answers = set()
    for name in (found.reply_id, "0" * 32):
        for reply in (
            await list_replies(gate, who, WHY, RepliesQuery()),  # type: ignore[arg-type]  # parametrized
            await get_reply(gate, who, WHY, ReplyQuery(name)),  # type: ignore[arg-type]
            await get_reply(gate, who, WHY, ReplyQuery(name, is_whole=True)),  # type: ignore[arg-type]
            await mark_reply(gate, who, WHY, Marking(name, ReplyOutcome.NONE)),  # type: ignore[arg-type]
        ):
            assert isinstance(reply, Refusal)
            answers.add(tuple(reason.code for reason in reply.reasons))
    assert answers == {("NO_GRANT",)}
    assert (await only(gate)).outcome is None


async def test_a_marked_reply_waits_no_more_and_the_first_word_on_it_stands(at: House, gate: Gate) -> None:
    await heard(gate)
    found = await only(gate)
    marking = Marking(found.reply_id, ReplyOutcome.COMPLAINT_OPENED)
    assert [await code(gate, marking) for _ in range(2)] == ["", ""]
    assert await code(gate, Marking(found.reply_id, ReplyOutcome.NONE)) == "REPLY_REVIEWED"
    assert await code(gate, Marking("0" * 32, ReplyOutcome.NONE)) == "REPLY_NOT_FOUND"
    assert await listed(gate) == ()
    (marked,) = await listed(gate, RepliesQuery(with_reviewed=True))
    assert (marked.outcome, marked.reviewed_by) == (ReplyOutcome.COMPLAINT_OPENED, "privacy-officer")
    kinds = [entry.kind for entry in at.entries if "reply.outcome" in entry.facts]
    assert kinds[:2] == ["admission", "outcome"]
    await heard(gate)
    assert await listed(gate) == (), "the provider's repeat does not bring it back"


async def test_replies_come_in_pages_and_since_a_moment(at: House, gate: Gate) -> None:
    for n in range(5):
        await heard(gate, "start", f"r-{n}", f"+861391234000{n}")
        at.hands.time += timedelta(hours=1)
    first = await list_replies(gate, OFFICER, WHY, RepliesQuery(part=Slice("", 2)))
    assert isinstance(first, HeardRepliesReply)
    rest = await listed(gate, RepliesQuery(part=Slice(first.page.next, 10)))
    assert [len(first.page.rows), len(rest)] == [2, 3]
    since = at.hands.time - timedelta(hours=2, minutes=30)
    assert len(await listed(gate, RepliesQuery(since=since))) == 2
    other = await list_replies(
        gate, OFFICER, WHY, RepliesQuery(since=since, part=Slice(first.page.next, 2))
    )
    assert isinstance(other, Refusal)
    assert other.reasons[0].code == "PAGE_TOKEN_INVALID"


async def test_of_an_erased_customer_or_a_broken_row_nothing_is_left_to_read(at: House, gate: Gate) -> None:
    await heard(gate)
    found = await only(gate)
    engine = sa.create_engine(f"sqlite:///{at.root / 'ledger.db'}")
    with engine.begin() as connection:
        connection.execute(sa.update(table).values(sealed=b"x" * 64))
    engine.dispose()
    told = await get_reply(gate, OFFICER, WHY, ReplyQuery(found.reply_id, is_whole=True))
    assert isinstance(told, HeardReply)
    assert told.text == ""
    assert await code(gate, Marking(found.reply_id, ReplyOutcome.NONE)) == ""


async def test_how_many_wait_and_for_how_long_is_seen(at: House, gate: Gate) -> None:
    assert (await at.ledger.outbox.standing(at.hands.now())).replies == 0
    for n in range(3):
        await heard(gate, "start", f"r-{n}", f"+861391234000{n}")
    at.hands.time += timedelta(hours=30)
    standing = await at.ledger.outbox.standing(at.hands.now())
    assert (standing.replies, round(standing.reply_s / 3600)) == (3, 30)
    for reply in await listed(gate):
        await code(gate, Marking(reply.reply_id, ReplyOutcome.NONE))
    standing = await at.ledger.outbox.standing(at.hands.now())
    assert (standing.replies, standing.reply_s) == (0, 0.0)
