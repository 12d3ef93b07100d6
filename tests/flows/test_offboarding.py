"""Attacks on leaving: what somebody had must end with him, at that very moment, whatever dies in between."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from fujie.flows import leaving
from fujie.flows.directory import offboard_principal, upsert_principal
from fujie.flows.gate import Gate
from fujie.flows.leaving import end_what_is_due
from fujie.flows.lookup import lookup
from fujie.flows.offboarding import (
    Transfer,
    get_offboarding,
    reinstate_principal,
    suspend_principal,
    transfer_customers,
)
from fujie.flows.reply import ChecklistReply, LookupReply, PrincipalReply, Refusal, TransferReply
from fujie.model.approval import Approval, ApprovalState, Ballot, Requirement
from fujie.model.campaign import Campaign, CampaignState
from fujie.model.errors import LedgerError
from fujie.model.export import Export, Format, Lease
from fujie.model.message import MessageState
from fujie.model.offboarding import Item, ItemKind, ItemState
from fujie.model.principal import Principal
from fujie.model.request import RequestContext
from fujie.model.vocabulary import ADMINISTRATOR, State
from support.house import ADMIN, House, ask, caller
from support.sending import CountingProvider, agree, campaign_to, keys, sending, work_off

NOTHING = RequestContext()
ME = caller("marketer")
AGENT = caller("support-agent")
DAY = timedelta(days=1)


@pytest.fixture
async def busy(house: House) -> House:
    """A house where the marketer has everything that somebody can leave behind: devices, campaigns, files, requests."""
    sends = sending(house, CountingProvider())
    record = await house.gate.directory.get("marketer")
    assert record is not None
    record = replace(record, devices=("laptop-7", "phone-3"))
    assert isinstance(await upsert_principal(sends.gate, ADMIN, NOTHING, record), PrincipalReply)
    await agree(sends, keys(3))
    await campaign_to(sends.gate, keys(3))
    now = sends.gate.clock.now()
    await sends.gate.ledger.ask_approval(
        Approval(
            id="a" * 32, requester="marketer", parties=frozenset({"marketer"}), action="send", purpose="marketing",
            basis="consent", store="crm", fields=(), rows=1, request_digest="d",
            ballots=(Ballot(Requirement("g", "v", ("privacy_officer",), 1, DAY)),), created_at=now,
        )
    )  # fmt: skip
    await sends.gate.exports.begin_export(
        Export(
            id="e" * 32, requester="marketer", caller="marketer", store="crm", purpose="marketing", basis="consent",
            steps={}, request_digest="d", bundle="b", started_at=now, format=Format.CSV,
            lease=Lease(expires_at=now + 30 * DAY, opens_left=3),
        )
    )  # fmt: skip
    return sends


def code(reply: Any) -> str:
    assert isinstance(reply, Refusal), reply
    return reply.reasons[0].code


async def leave(house: House, at: datetime | None = None, who: str = "marketer") -> Any:
    return await offboard_principal(house.gate, ADMIN, NOTHING, who, at)


async def checklist(house: House, who: str = "marketer") -> Mapping[str, Item]:
    reply = await get_offboarding(house.gate, ADMIN, NOTHING, who)
    assert isinstance(reply, ChecklistReply)
    return {f"{item.kind}{item.subject and ' '}{item.subject}": item for item in reply.checklist.items}


async def look(house: House) -> str:
    reply = await lookup(house.gate, AGENT, ask("name"), 5.0)
    return "" if isinstance(reply, LookupReply) else code(reply)


async def test_everything_of_somebody_ends_with_him(busy: House) -> None:
    gate = busy.gate
    assert isinstance(await leave(busy), PrincipalReply)
    assert gate.sending is not None
    assert await gate.sending.outbox.unfinished_of("marketer") == []
    approval = await gate.ledger.approval("a" * 32)
    assert approval is not None
    assert approval.state(gate.clock.now()) is ApprovalState.REVOKED
    export = await gate.exports.export("e" * 32)
    assert export is not None
    assert export.closed_why == "PRINCIPAL_OFFBOARDED"
    done = await checklist(busy)
    open_items = {name for name, item in done.items() if item.state is not ItemState.DONE}
    assert open_items == {"DEVICE laptop-7", "DEVICE phone-3"}
    outcome = busy.entries[-2]  # the last one is that of the checklist
    assert outcome.facts["offboarding.campaigns"] == outcome.facts["offboarding.approvals"] == 1
    assert (outcome.facts["offboarding.exports"], outcome.facts["offboarding.devices"]) == (1, 2)
    assert not await gate.directory.is_leaving("marketer")


async def test_nothing_of_somebody_who_left_is_sent_any_more(busy: House) -> None:
    await leave(busy)
    await work_off(busy.gate)
    provider = busy.gate.sending.providers["counting"] if busy.gate.sending else None
    assert isinstance(provider, CountingProvider)
    assert provider.got == []


async def test_devices_are_done_when_each_is_acknowledged_and_overdue_when_late(busy: House) -> None:
    await leave(busy)
    orders = await busy.ledger.notifications.about("marketer")
    assert [each.payload["device"] for each in orders] == ["laptop-7", "phone-3"]
    await busy.ledger.notifications.acknowledge(orders[0].id, "mdm", busy.hands.now())
    busy.hands.time += busy.gate.orders.wipe_within
    found = await checklist(busy)
    assert found["DEVICE laptop-7"].state is ItemState.DONE
    assert found["DEVICE laptop-7"].done_by == "mdm"
    assert found["DEVICE phone-3"].state is ItemState.OVERDUE
    assert (await busy.ledger.notifications.standing(busy.hands.now())).overdue == 1


async def test_a_device_that_was_unregistered_afterwards_stays_on_the_list(busy: House) -> None:
    await leave(busy)
    gone = Principal("marketer", employment=State.OFFBOARDED, department="east")
    await upsert_principal(busy.gate, ADMIN, NOTHING, gone)
    assert {"DEVICE laptop-7", "DEVICE phone-3"} <= (await checklist(busy)).keys()


STEPS: dict[str, Callable[[Gate], tuple[object, str]]] = {
    "exports": lambda gate: (gate.exports, "close_exports_of"),
    "campaigns": lambda gate: (gate.sending.outbox, "move_campaign") if gate.sending else (gate, ""),
    "approvals": lambda gate: (gate.ledger, "end_approval"),
    "devices": lambda gate: (gate.notifications, "notify"),
    "end": lambda gate: (gate.directory, "left"),
}


@pytest.mark.parametrize("step", STEPS)
async def test_a_process_that_dies_at_any_step_has_closed_the_door_and_a_repetition_does_the_rest(
    busy: House, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object, **__: object) -> None:
        raise LedgerError("the process is gone")

    port, name = STEPS[step](busy.gate)
    with monkeypatch.context() as dying:
        dying.setattr(port, name, dies)
        assert code(await leave(busy)) == "LEDGER_UNAVAILABLE"
    kept = await busy.gate.directory.get("marketer")
    assert kept is not None
    assert (kept.employment, kept.roles) == (State.OFFBOARDED, frozenset())
    assert await busy.gate.directory.is_leaving("marketer")
    undone = {name for name, item in (await checklist(busy)).items() if item.state is ItemState.OUTSTANDING}
    assert undone >= {"DEVICE laptop-7"}
    assert isinstance(await leave(busy), PrincipalReply)
    assert len(await busy.ledger.notifications.about("marketer")) == 2  # no order twice
    left = {item.kind for item in (await checklist(busy)).values() if item.state is not ItemState.DONE}
    assert left == {ItemKind.DEVICE}


async def test_another_worker_ends_what_a_dead_one_began_a_minute_later(
    busy: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: object) -> None:
        raise LedgerError("the process is gone")

    with monkeypatch.context() as dying:
        dying.setattr(busy.gate.notifications, "notify", dies)
        await leave(busy)
    assert not await end_what_is_due(busy.gate)  # somebody may be at it
    busy.hands.time += timedelta(seconds=61)
    assert await end_what_is_due(busy.gate)
    assert not await end_what_is_due(busy.gate)
    assert len(await busy.ledger.notifications.about("marketer")) == 2
    assert busy.entries[-1].principal == "fujie:schedule"


async def test_who_is_written_as_offboarded_leaves_whatever_dies_and_whatever_the_record_forgets(
    busy: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A form that knows nothing of devices sends the whole record, and the process dies between record and tidying up."""

    async def dies(*_: object) -> None:
        raise LedgerError("the process is gone")

    with monkeypatch.context() as dying:
        dying.setattr(busy.gate.directory, "offboard", dies)
        gone = Principal("marketer", roles=frozenset({"marketer"}), employment=State.OFFBOARDED)
        assert code(await upsert_principal(busy.gate, ADMIN, NOTHING, gone)) == "LEDGER_UNAVAILABLE"
    found = await busy.gate.directory.get("marketer")
    assert found is not None
    assert found.roles == frozenset()
    busy.hands.time += timedelta(seconds=61)
    assert await end_what_is_due(busy.gate)
    left = {item.kind for item in (await checklist(busy)).values() if item.state is not ItemState.DONE}
    assert left == {ItemKind.DEVICE}
    assert len(await busy.ledger.notifications.about("marketer")) == 2


# At a given time.


async def test_a_set_time_holds_to_the_microsecond_without_anything_running(house: House) -> None:
    at = house.hands.time + DAY
    assert isinstance(await leave(house, at, "support-agent"), PrincipalReply)
    house.hands.time = at - timedelta(seconds=1)
    assert await look(house) == ""
    for moment, employment in ((at - timedelta(microseconds=2), State.ACTIVE), (at, State.OFFBOARDED)):
        house.hands.time = moment
        found = await house.gate.directory.get("support-agent")
        assert found is not None
        assert found.employment is employment
    assert await look(house) == "PRINCIPAL_OFFBOARDED"
    found = await house.gate.directory.get("support-agent")
    assert found is not None
    assert found.roles == frozenset()


async def test_what_is_due_is_ended_by_one_of_many_workers(busy: House) -> None:
    at = busy.hands.time + DAY
    await leave(busy, at)
    assert (await checklist(busy))["CAMPAIGNS"].state is ItemState.NOT_DUE
    assert not await end_what_is_due(busy.gate)
    busy.hands.time = at
    assert [await end_what_is_due(busy.gate) for _ in range(3)] == [True, False, False]
    left = {item.kind for item in (await checklist(busy)).values() if item.state is not ItemState.DONE}
    assert left == {ItemKind.DEVICE}


async def test_a_campaign_of_somebody_whose_time_has_come_sends_nothing_before_any_worker_looks(
    busy: House,
) -> None:
    at = busy.hands.time + DAY
    await leave(busy, at)
    busy.hands.time = at
    await work_off(busy.gate)
    provider = busy.gate.sending.providers["counting"] if busy.gate.sending else None
    assert isinstance(provider, CountingProvider)
    assert provider.got == []


async def test_the_earlier_time_holds_and_the_past_is_now(house: House) -> None:
    first = house.hands.time + DAY
    await leave(house, first, "support-agent")
    await leave(house, first + DAY, "support-agent")
    found = await house.gate.directory.get("support-agent")
    assert found is not None
    assert found.offboard_at == first
    reply = await leave(house, house.hands.time - DAY, "support-agent")
    assert reply.principal.employment is State.OFFBOARDED


async def test_nobody_writes_a_set_time_away_and_a_reinstatement_calls_it_off(house: House) -> None:
    at = house.hands.time + DAY
    await leave(house, at, "support-agent")
    record = Principal(
        "support-agent", roles=frozenset({"support"}), department="east", training=State.VALID
    )
    await upsert_principal(house.gate, ADMIN, NOTHING, record)
    found = await house.gate.directory.get("support-agent")
    assert found is not None
    assert found.offboard_at == at
    assert isinstance(
        await reinstate_principal(house.gate, ADMIN, NOTHING, "support-agent"), PrincipalReply
    )
    house.hands.time = at
    assert await look(house) == ""
    assert not await end_what_is_due(house.gate)


async def test_who_has_left_by_the_clock_is_not_brought_back(house: House) -> None:
    at = house.hands.time + DAY
    await leave(house, at, "support-agent")
    house.hands.time = at
    record = Principal("support-agent", roles=frozenset({"support"}))
    for act in (
        upsert_principal(house.gate, ADMIN, NOTHING, record),
        reinstate_principal(house.gate, ADMIN, NOTHING, "support-agent"),
        suspend_principal(house.gate, ADMIN, NOTHING, "support-agent"),
    ):
        assert code(await act) == "OFFBOARDED_STAYS"


async def test_the_last_administrator_sets_no_time_for_himself(house: House) -> None:
    """Promise 11: `bootstrap.admins` would come back to life at that time."""
    assert code(await leave(house, house.hands.time + DAY, ADMIN.subject)) == "LAST_ADMINISTRATOR"
    record = Principal("second", roles=frozenset({ADMINISTRATOR}))
    await upsert_principal(house.gate, ADMIN, NOTHING, record)
    assert isinstance(await leave(house, house.hands.time + DAY, ADMIN.subject), PrincipalReply)
    # The second one is the last that stays.
    reply = await offboard_principal(house.gate, caller("second"), NOTHING, "second")
    assert code(reply) == "LAST_ADMINISTRATOR"


# Suspension, training, hand-over.


async def test_a_suspension_stops_everything_and_a_reinstatement_brings_the_roles_back(busy: House) -> None:
    gate = busy.gate
    reply = await suspend_principal(gate, ADMIN, NOTHING, "marketer")
    assert isinstance(reply, PrincipalReply)
    assert gate.sending is not None
    assert [state for _, state in await gate.sending.outbox.unfinished_of("marketer")] == [
        CampaignState.PAUSED
    ]
    await work_off(gate)
    assert code(await reinstate_principal(gate, ME, NOTHING, "marketer")) == "PRINCIPAL_SUSPENDED"
    back = await reinstate_principal(gate, ADMIN, NOTHING, "marketer")
    assert isinstance(back, PrincipalReply)
    assert (back.principal.employment, back.principal.roles) == (State.ACTIVE, frozenset({"marketer"}))


@pytest.mark.parametrize("act", [suspend_principal, reinstate_principal])
async def test_of_whom_nobody_knows_nothing_is_begun(house: House, act: Any) -> None:
    seen = len(house.entries)
    assert code(await act(house.gate, ADMIN, NOTHING, "stranger")) == "PRINCIPAL_NOT_FOUND"
    assert [entry.effect for entry in house.entries[seen:]] == ["DENY"]


async def test_nobody_reinstates_himself_or_calls_off_his_own_end(house: House) -> None:
    second = Principal("second", roles=frozenset({ADMINISTRATOR}))
    await upsert_principal(house.gate, ADMIN, NOTHING, second)
    await leave(house, house.hands.time + DAY, "second")
    reply = await reinstate_principal(house.gate, caller("second"), NOTHING, "second")
    assert code(reply) == "SELF_PROMOTION"


async def test_a_training_lapses_by_the_clock(house: House) -> None:
    until = house.hands.time + DAY
    record = Principal(
        "support-agent", roles=frozenset({"support"}), department="east", training=State.VALID, training_until=until
    )  # fmt: skip
    await upsert_principal(house.gate, ADMIN, NOTHING, record)
    house.hands.time = until - timedelta(seconds=1)
    before = await house.gate.directory.get("support-agent")
    house.hands.time = until
    after = await house.gate.directory.get("support-agent")
    assert before is not None
    assert after is not None
    assert (before.training, after.training) == (State.VALID, State.LAPSED)


async def test_customers_go_to_another_and_the_order_is_the_same_until_it_is_done(busy: House) -> None:
    gate = busy.gate
    assert gate.sending is not None
    await upsert_principal(gate, ADMIN, NOTHING, Principal("heir", roles=frozenset({"marketer"})))
    draft = Campaign(
        "d" * 32, CampaignState.DRAFT, "marketer", "marketer", "", "marketing", "consent", False, False,
        (await _any_campaign(gate)).draft, gate.clock.now(),
    )  # fmt: skip
    await gate.sending.outbox.create_campaign(draft, "same-id", "digest")
    first = await transfer_customers(gate, ADMIN, NOTHING, Transfer("marketer", "heir"))
    again = await transfer_customers(gate, ADMIN, NOTHING, Transfer("marketer", "heir"))
    assert isinstance(first, TransferReply)
    assert isinstance(again, TransferReply)
    assert (first.drafts, first.approvals) == (("d" * 32,), 1)
    assert (again.drafts, again.approvals, again.order) == ((), 0, first.order)
    assert (await checklist(busy))["TRANSFER heir"].state is ItemState.OUTSTANDING
    moved = await gate.sending.outbox.campaign("d" * 32)
    assert moved is not None
    assert moved.requester == moved.caller == "heir"
    await leave(busy)  # what was handed over stays
    assert [each for each, _ in await gate.sending.outbox.unfinished_of("heir")] == ["d" * 32]
    await busy.ledger.notifications.acknowledge(first.order.id, "crm", busy.hands.now())
    assert (await checklist(busy))["TRANSFER heir"].state is ItemState.DONE


async def _any_campaign(gate: Gate) -> Campaign:
    assert gate.sending is not None
    [(campaign_id, _)] = await gate.sending.outbox.unfinished_of("marketer")
    found = await gate.sending.outbox.campaign(campaign_id)
    assert found is not None
    assert MessageState.PLANNED in found.tally.states
    return found


@pytest.mark.parametrize(
    ("transfer", "expected"),
    [
        (Transfer("marketer", ADMIN.subject), "SELF_PROMOTION"),
        (Transfer("marketer", "marketer"), "ARGUMENT_INVALID"),
        (Transfer("marketer", "stranger"), "PRINCIPAL_NOT_FOUND"),
        (Transfer("stranger", "marketer"), "PRINCIPAL_NOT_FOUND"),
        (Transfer("support-agent", "gone"), "ARGUMENT_INVALID"),
    ],
)
async def test_customers_go_to_nobody_who_must_not_get_them(
    house: House, transfer: Transfer, expected: str
) -> None:
    await upsert_principal(house.gate, ADMIN, NOTHING, Principal("gone", employment=State.SUSPENDED))
    assert code(await transfer_customers(house.gate, ADMIN, NOTHING, transfer)) == expected
    assert await house.ledger.notifications.about(transfer.from_id) == []


async def test_who_has_no_grant_learns_of_nobody(house: House) -> None:
    for whom in ("marketer", "stranger"):
        for act in (
            suspend_principal(house.gate, AGENT, NOTHING, whom),
            reinstate_principal(house.gate, AGENT, NOTHING, whom),
            get_offboarding(house.gate, AGENT, NOTHING, whom),
            transfer_customers(house.gate, AGENT, NOTHING, Transfer(whom, "marketer")),
            offboard_principal(house.gate, AGENT, NOTHING, whom, house.hands.time + DAY),
        ):
            assert code(await act) == "NO_GRANT"


def test_the_ids_of_orders_are_of_their_parts_and_of_no_others() -> None:
    made = {leaving.order_id(*parts) for parts in (("a", "b", "c"), ("a", "bc"), ("ab", "c"), ("a", "b"))}
    assert len(made) == 4
