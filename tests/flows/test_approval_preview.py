"""What those who decide see of an export: never more than they may, never what the requester may not, never to the requester."""

import shutil
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from flows.test_approvals import EYES, NOTHING, hire
from fujie.decision.filter_text import parse_filter
from fujie.decision.risk import Grade, Sign
from fujie.decision.tokens import Tokeniser
from fujie.flows import approval_preview
from fujie.flows.approval_notices import tell_due
from fujie.flows.approval_preview import shift_of
from fujie.flows.approval_preview import told as said
from fujie.flows.approval_terms import opened
from fujie.flows.approvals import approve, get_approval, list_approvals, reject
from fujie.flows.directory import offboard_principal
from fujie.flows.reply import ApprovalPreview, ApprovalReply, ApprovalsReply, Refusal
from fujie.model.approval import (
    ESCALATE_AFTER,
    MOST_COMMENT,
    PENDING_FOR,
    Approval,
    ApprovalState,
    Stage,
    id_of,
)
from fujie.model.consent import ConsentEventType
from fujie.model.customer import Phone
from fujie.model.errors import LedgerError
from fujie.model.page import FIRST_PAGE
from fujie.model.predicate import ANYTHING, Predicate
from fujie.model.principal import Credential
from fujie.model.request import LeaseAsk
from fujie.model.vocabulary import State
from fujie.ports.stores import Scan
from support.exports import ME, POLICY, exported, lists, wanting
from support.house import ADMIN, House, caller, opened_house
from support.identities import consent_event

OWN = b"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: marketers-see-their-own}
spec:
  match: {actions: [approval.read, approval.decide]}
  roles: [marketer]
"""
MINE = ("marketer", "crm", "after_sales")
OTHERS = [("marketer-2", *MINE[1:]), ("marketer", "shop", "after_sales"), ("marketer", "crm", "marketing")]
FILTER = 'name != "Zoe 13800138000"'


async def ready(house: House, *policies: bytes) -> House:
    for each in EYES:
        await hire(house, each.subject, "compliance_officer")
    house.log.leaves.clear()
    return lists(house, *(policies or (POLICY, OWN)))


@pytest.fixture
async def desk(house: House) -> House:
    """A gate that lets 25 to 249 customers out when one compliance officer agrees."""
    return await ready(house)


async def asked_for(house: House, filter_: str = "", max_rows: int = 200, **changes: object) -> str:
    came = await exported(house.gate, wanting(filter_, max_rows, **changes))
    assert came.refusal is not None
    assert came.code == "X_EXPORT_NEEDS_APPROVAL", came.refusal
    return id_of(came.refusal.approval)


async def seen(house: House, approval_id: str, who: Credential = EYES[0]) -> ApprovalPreview | None:
    reply = await get_approval(house.gate, who, NOTHING, approval_id, with_preview=True)
    assert isinstance(reply, ApprovalReply), reply
    return reply.preview


async def kept(house: House, approval_id: str) -> Approval:
    approval = await house.ledger.approval(approval_id)
    assert approval is not None
    return approval


async def test_an_approver_sees_counts_steps_terms_and_history_and_no_row(desk: House) -> None:
    approval_id = await asked_for(desk, FILTER)
    preview = await seen(desk, approval_id)
    assert preview is not None
    assert preview.terms is not None
    assert (preview.terms.filter, preview.terms.max_rows) == (FILTER, 200)
    assert dict(preview.steps) == {
        "customer_no": "reveal", "gender": "reveal", "name": "reveal", "phone": "keep(3,4)",
    }  # fmt: skip
    assert preview.found is not None
    approved = await approve(desk.gate, EYES[0], NOTHING, approval_id)
    assert isinstance(approved, ApprovalReply)
    context = replace(wanting().context, approval=approved.approval.name)
    came = await exported(desk.gate, wanting(FILTER, 200, context=context))
    assert came.tail is not None, came.refusal
    assert abs(preview.found.rows - len(came.rows)) < 10 < preview.found.rows
    assert sum(preview.found.consents.values()) == preview.found.consents[State.NONE] == preview.found.rows
    assert not preview.found.is_partial
    assert all(str(row["name"]) not in repr(preview) for row in came.rows)
    again = await seen(desk, await asked_for(desk, "", 201))
    assert again is not None
    assert (again.history.exports, again.history.exported_rows) == (1, len(came.rows))
    assert (again.history.approvals.asked, again.history.approvals.used) == (2, 1)


async def test_every_number_is_told_as_a_ten_and_small_ones_are_not(desk: House) -> None:
    for most in (25, 29, 31):
        preview = await seen(desk, await asked_for(desk, "", most))
        assert preview is not None
        assert preview.found is not None
        numbers = [preview.found.rows, *preview.found.consents.values()]
        assert all(number % 10 == 0 for number in numbers)
        assert most - 10 < preview.found.rows <= most
        assert max(preview.found.consents.values()) <= preview.found.rows, "of more than would leave"
    few = await seen(desk, await asked_for(desk, 'customer_no = "C00001"'))
    assert few is not None
    assert few.found is not None
    assert few.found.rows in (0, 10)
    assert set(few.found.consents.values()) <= {0, few.found.rows}
    assert len(few.found.consents) == 7


def test_filters_with_one_known_customer_more_each_tell_no_number() -> None:
    """Cut to tens alone, the filter at which the ten changes would tell. Each is a draw of its own, and always the same."""
    key, asked = b"k" * 32, [read(f'region = "east" OR customer_no = "C{n:05}"') for n in range(400)]
    shifts = [shift_of(key, MINE, each) for each in asked]
    assert shifts == [shift_of(key, MINE, each) for each in asked]
    assert shifts != [shift_of(b"l" * 32, MINE, each) for each in asked], "nobody but us can draw"
    guessed_right = 0
    for hidden in range(40):
        series = [said(hidden + known, shifts[known], 1_000) for known in range(10)]
        first = next((known for known, each in enumerate(series) if each != series[0]), 0)
        guessed_right += (hidden + first) % 10 == 0
        many = [said(hidden, shift, 1_000) for shift in shifts]
        assert len(set(many)) == (1 if hidden % 10 == 0 else 2)
        assert max(abs(each - hidden) for each in many) < 10
        assert abs(sum(many) / len(many) - hidden) < 1, (
            "and neither more nor less than there are, on the whole"
        )
    assert guessed_right < 10, "where the ten changes says nothing"


def test_a_number_that_somebody_knows_tells_no_shift_of_another() -> None:
    """As of everybody whom a store has, without a filter: who knows his own could else read where the tens of others end."""
    keys = [bytes([n]) * 32 for n in range(20)]
    of = {about: [shift_of(key, about, read("")) for key in keys] for about in (MINE, *OTHERS)}
    assert len({tuple(shifts) for shifts in of.values()}) == 1 + len(OTHERS)


def read(filter_: str) -> Predicate:
    return parse_filter(filter_, {"region", "customer_no", "age"})


@pytest.mark.parametrize(
    "again",
    [
        '  age>=30   AND region="east" ',
        "region = east AND age >= 30",
        '(age >= 30) AND (((region = "east")))',
        'age >= 30 AND region = "east" AND age >= 30',
        'NOT (age < 30 OR region != "east")',
        '(region = "east" OR region = "east") AND age >= 30',
    ],
)
def test_one_filter_is_one_draw_however_it_is_written(again: str) -> None:
    """The mean of a number over many draws is the number itself: a blank more must not be a draw more."""
    keys = [bytes([n]) * 32 for n in range(20)]
    once = read('age >= 30 AND region = "east"')
    assert [shift_of(key, MINE, read(again)) for key in keys] == [shift_of(key, MINE, once) for key in keys]
    other = read('age >= 30 OR region = "east"')
    assert [shift_of(key, MINE, other) for key in keys] != [shift_of(key, MINE, once) for key in keys]


async def test_what_else_is_asked_for_tells_no_more_of_a_number(desk: House) -> None:
    """More rows than there are, or other fields and formats: the same customers, the same number, however often."""
    told = set()
    for changes in (
        *({"max_rows": 150 + n} for n in range(12)),
        {"fields": ("phone", "name")},
        {"lease": LeaseAsk(60, 1)},
    ):
        preview = await seen(desk, await asked_for(desk, FILTER, **changes))  # type: ignore[arg-type]  # by name
        assert preview is not None
        assert preview.found is not None
        told.add((preview.found.rows, *preview.found.consents.values()))
    assert len(told) == 1, "else their mean tells how many there are"


async def test_who_asks_for_very_many_different_lists_gets_no_more_numbers_told(
    desk: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mean of the draws of filters that hardly differ would be the number itself."""
    monkeypatch.setattr("fujie.flows.approval_preview.MOST_LISTS", 3)
    for number in range(3):
        again = await asked_for(desk, f'customer_no != "{number}"')
        await reject(desk.gate, EYES[0], NOTHING, again)
        waiting = await asked_for(desk, f'customer_no != "{number}"')
        preview = await seen(desk, waiting)
        assert preview is not None
        assert preview.found is not None, "the same list again is no other one"
    last = await asked_for(desk, 'customer_no != "4"')
    for each in (waiting, last):
        preview = await seen(desk, each)
        assert preview is not None
        assert (preview.found, preview.terms is None) == (None, False)
    desk.hands.time += approval_preview.SINCE
    preview = await seen(desk, await asked_for(desk, 'customer_no != "4"'))
    assert preview is not None
    assert preview.found is not None


async def test_one_row_more_or_less_tells_nothing_of_that_row(desk: House) -> None:
    """Each number of rows ends with another customer: what a number does from one to the next would be told of him."""
    now, everybody = (
        desk.hands.now(),
        desk.gate.stores["crm"].scan(Scan(frozenset(), frozenset(), ANYTHING), 5.0),
    )
    async with everybody as batches:
        people = [row async for batch in batches for row in batch]
    for person in people[::2]:
        sid = (await desk.ledger.enrol((person.key, Phone(person.phone)), now)).sid
        event = consent_event(sid, ConsentEventType.GIVEN, now - timedelta(days=1), now)
        await desk.ledger.record_consent(replace(event, purpose="after_sales"), "", "")
    told: dict[int, set[object]] = {}
    for most in range(30, 50):
        preview = await seen(desk, await asked_for(desk, "", most))
        assert preview is not None
        assert preview.found is not None
        assert preview.found.consents[State.GIVEN] > 0
        told.setdefault(most // 10, set()).add((preview.found.rows, *preview.found.consents.values()))
    assert [len(each) for each in told.values()] == [1, 1]


async def test_nobody_but_who_may_decide_gets_a_preview(desk: House) -> None:
    approval_id = await asked_for(desk, FILTER)
    own = await get_approval(desk.gate, ME, NOTHING, approval_id, with_preview=True)
    assert isinstance(own, ApprovalReply)
    assert own.preview is None
    without = await get_approval(desk.gate, EYES[0], NOTHING, approval_id)
    assert isinstance(without, ApprovalReply)
    assert without.preview is None
    stranger = await get_approval(desk.gate, caller("support-agent"), NOTHING, approval_id, True)
    assert isinstance(stranger, Refusal)
    await hire(desk, ME.subject, "marketer", "compliance_officer")  # with the role, and still a party
    own = await get_approval(desk.gate, ME, NOTHING, approval_id, with_preview=True)
    assert isinstance(own, ApprovalReply)
    assert own.preview is None


async def test_a_filter_is_sealed_where_it_is_kept_and_goes_with_its_approval(desk: House) -> None:
    approval_id = await asked_for(desk, FILTER)
    other = await asked_for(desk, FILTER, 150)
    held = await kept(desk, approval_id)
    assert opened(desk.gate, held) is not None
    assert opened(desk.gate, replace(held, terms=(await kept(desk, other)).terms)) is None
    assert opened(desk.gate, replace(held, terms=held.terms[:-2] + "AA")) is None
    listed = await list_approvals(desk.gate, EYES[0], NOTHING, FIRST_PAGE, True)
    assert isinstance(listed, ApprovalsReply)
    for where in (repr(listed), repr(held), *(leaf.decode() for leaf in desk.log.leaves)):
        assert "13800138000" not in where
    files = b"".join(each.read_bytes() for each in desk.root.glob("ledger.db*"))
    assert b"13800138000" not in files
    await reject(desk.gate, EYES[0], NOTHING, approval_id)
    desk.hands.time += PENDING_FOR
    assert await tell_due(desk.gate) == 1
    assert [(await kept(desk, each)).terms for each in (approval_id, other)] == ["", ""]


HIDDEN: Mapping[
    str, str
] = {  # what the marketer may not see, masked or not granted at all, and another value for it
    "mobile": "'19' || substr(mobile, 3, 5) || substr(mobile, 11) || substr(mobile, 8, 3)",
    "id_number": "'11010119900307109X'",
    "address": "'somewhere else'",
}


@pytest.mark.parametrize("column", HIDDEN)
async def test_stores_that_differ_in_a_hidden_value_give_the_same_preview(
    column: str, tmp_path: Path, crm: Path
) -> None:
    previews = []
    for name in ("as-it-is", "changed"):
        here = tmp_path / name
        here.mkdir()
        shutil.copy(crm, store := here / "crm.db")
        if name == "changed":
            with closing(sqlite3.connect(store)) as connection, connection:
                connection.execute(f"UPDATE customer SET {column} = {HIDDEN[column]} WHERE id <= 'C00100'")
        async with opened_house(here, store) as house:
            house = await ready(house)
            keyed = replace(
                house.gate, tokeniser=Tokeniser(b"k" * 32, "k1", "test")
            )  # which draws up or down
            house = replace(house, gate=keyed)
            approval_id = await asked_for(house, 'gender = "F" OR name = "nobody"')
            preview = await seen(house, approval_id)
            assert preview is not None
            assert preview.found is not None
            assert preview.found.rows > 0
            previews.append(preview)
    assert previews[0] == previews[1]


async def test_a_filter_on_a_masked_field_finds_nothing_even_if_it_was_stored(desk: House) -> None:
    """The flow refuses such a filter; and if a policy closed the field later, nothing is counted by it."""
    open_phone = POLICY.replace(b'phone: "keep(3,4)"', b"phone: reveal")
    open_house = lists(desk, open_phone, OWN)
    approval_id = await asked_for(open_house, 'phone != "x"')
    before = await seen(open_house, approval_id)
    assert before is not None
    assert before.found is not None
    assert before.found.rows > 0
    after = await seen(desk, approval_id)
    assert after is not None
    assert after.found is not None
    assert after.found.rows == 0


async def test_looking_ends_in_time_and_says_so(desk: House, monkeypatch: pytest.MonkeyPatch) -> None:
    approval_id = await asked_for(desk)
    monkeypatch.setattr(approval_preview, "BATCH", 20)
    monkeypatch.setattr(approval_preview, "MOST_LOOKED", 40)
    preview = await seen(desk, approval_id)
    assert preview is not None
    assert preview.found is not None
    assert preview.found.is_partial
    assert preview.found.rows <= 40
    monkeypatch.setattr(approval_preview, "LOOK_S", 1e-9)
    monkeypatch.setattr(approval_preview, "MOST_LOOKED", 10_000)
    late = await seen(desk, approval_id)
    assert late is not None
    assert late.found is None or late.found.is_partial


LIMITED = POLICY.replace(
    b"spec:\n  match: {actions: [export], stores: [crm]}",
    b"spec:\n  limits: {rows_per_hour: 40, distinct_customers_per_day: 40}\n  match: {actions: [export], stores: [crm]}",
    1,
)


async def test_a_preview_takes_nothing_from_the_requester(house: House) -> None:
    desk = await ready(house, LIMITED, OWN)
    approval_id = await asked_for(desk, "", 30)
    for _ in range(5):
        preview = await seen(desk, approval_id)
        assert preview is not None
        assert preview.found is not None
        assert preview.found.rows == 30
    agreed = await approve(desk.gate, EYES[0], NOTHING, approval_id)
    assert isinstance(agreed, ApprovalReply)
    context = replace(wanting().context, approval=agreed.approval.name)
    came = await exported(desk.gate, wanting("", 30, context=context))
    assert len(came.rows) == 30, came.refusal


async def test_nothing_is_counted_for_who_left(desk: House) -> None:
    approval_id = await asked_for(desk)
    await offboard_principal(desk.gate, ADMIN, NOTHING, ME.subject)
    gone = await seen(desk, approval_id)
    assert gone is not None
    assert gone.found is None


async def test_the_grade_follows_rows_steps_hour_and_history(desk: House) -> None:
    small = await seen(desk, await asked_for(desk, "", 40))
    assert small is not None
    assert (small.risk.grade, small.risk.signs) == (Grade.LOW, (Sign.REVEALED,))
    desk.hands.time += timedelta(hours=11)  # nine in the evening
    late = await seen(desk, await asked_for(desk, "", 41))
    assert late is not None
    assert late.risk.grade is Grade.MEDIUM
    assert Sign.OFF_HOURS in late.risk.signs


async def test_a_comment_is_kept_as_one_visible_line_for_requester_and_approvers(desk: House) -> None:
    approval_id = await asked_for(desk)
    said = "fine\r\n\u202ereversed \x00 " + "x" * 600
    agreed = await approve(desk.gate, EYES[0], NOTHING, approval_id, said)
    assert isinstance(agreed, ApprovalReply)
    (vote,) = agreed.approval.ballots[0].votes
    assert vote.comment.startswith("fine reversed x")
    assert len(vote.comment) <= MOST_COMMENT
    assert vote.comment.isprintable()
    repeated = await approve(desk.gate, EYES[0], NOTHING, approval_id, "another")
    assert isinstance(repeated, ApprovalReply)
    assert repeated.approval.ballots[0].votes == (vote,)
    ended = await reject(desk.gate, EYES[1], NOTHING, approval_id, "<b>no</b>")
    assert isinstance(ended, ApprovalReply)
    own = await get_approval(desk.gate, ME, NOTHING, approval_id)
    assert isinstance(own, ApprovalReply)
    assert own.approval.ending is not None
    assert (own.approval.ending.state, own.approval.ending.comment) == (ApprovalState.REJECTED, "<b>no</b>")
    assert all(b"reversed" not in leaf and b"<b>" not in leaf for leaf in desk.log.leaves)


async def told(house: House, approval_id: str) -> list[str]:
    assert house.gate.notifications is not None
    return [each.kind for each in await house.gate.notifications.about(f"approvals/{approval_id}")]


async def test_each_thing_is_told_once_however_many_look(desk: House) -> None:
    approval_id = await asked_for(desk)
    assert await told(desk, approval_id) == ["approval.asked"]
    assert await asked_for(desk) == approval_id  # the same again
    for _ in range(3):
        await tell_due(desk.gate)
    assert await told(desk, approval_id) == ["approval.asked"]
    desk.hands.time += ESCALATE_AFTER
    for _ in range(3):
        await tell_due(desk.gate)
    assert await told(desk, approval_id) == ["approval.asked", "approval.escalated"]
    desk.hands.time += PENDING_FOR
    for _ in range(3):
        await tell_due(desk.gate)
    assert await told(desk, approval_id) == ["approval.asked", "approval.escalated", "approval.expired"]
    assert await tell_due(desk.gate) == 0
    assert desk.gate.notifications is not None
    for each in await desk.gate.notifications.about(f"approvals/{approval_id}"):
        assert "13800138000" not in str(each.payload)


async def test_two_workers_that_look_at_once_tell_once(desk: House) -> None:
    approval_id = await asked_for(desk)
    desk.hands.time += PENDING_FOR
    due = await desk.ledger.approvals_due(desk.hands.now())
    assert [stage for _, stage in due] == [Stage.EXPIRED]
    await tell_due(desk.gate)  # between the look and the telling of the other one
    from fujie.flows.approval_notices import _notify

    await _notify(desk.gate, due[0][0], due[0][1])
    assert (await told(desk, approval_id)).count("approval.expired") == 1


async def test_who_voted_is_looked_after_and_who_ended_is_told_of_nothing(desk: House) -> None:
    voted, ended = await asked_for(desk), await asked_for(desk, "", 100)
    await approve(desk.gate, EYES[0], NOTHING, voted)
    await reject(desk.gate, EYES[0], NOTHING, ended)
    desk.hands.time += timedelta(hours=23)
    await tell_due(desk.gate)
    assert await told(desk, voted) == ["approval.asked"]
    desk.hands.time += timedelta(hours=2)  # `valid_for` is over
    await tell_due(desk.gate)
    assert await told(desk, voted) == ["approval.asked", "approval.expired"]
    assert await told(desk, ended) == ["approval.asked"]


class Deaf:
    """Notifications that can not be written once."""

    def __init__(self, inner: object) -> None:
        self._inner, self.is_deaf = inner, True

    async def notify(self, wanted: object) -> None:
        if self.is_deaf:
            raise LedgerError("gone")
        await self._inner.notify(wanted)  # type: ignore[attr-defined]  # passed on


async def test_what_could_not_be_told_at_once_is_told_later(desk: House) -> None:
    deaf = Deaf(desk.gate.notifications)
    house = replace(desk, gate=replace(desk.gate, notifications=deaf))  # type: ignore[arg-type]  # one method of it
    approval_id = await asked_for(house)
    assert await told(desk, approval_id) == []
    deaf.is_deaf = False
    await tell_due(house.gate)
    assert await told(desk, approval_id) == ["approval.asked"]


async def test_the_latest_come_first_where_that_is_asked_for(desk: House) -> None:
    ids = [await asked_for(desk, "", 100 + number) for number in range(5)]
    found: list[str] = []
    part = replace(FIRST_PAGE, size=2)
    while True:
        reply = await list_approvals(desk.gate, EYES[0], NOTHING, part, False, True)
        assert isinstance(reply, ApprovalsReply)
        found += [each.id for each in reply.page.rows]
        if not reply.page.next:
            break
        part = replace(part, after=reply.page.next)
    assert found == ids[::-1]
