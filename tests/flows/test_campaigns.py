"""Campaigns are drafted, added to, started, watched and stopped by those who may, on decisions of their own."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from fujie.flows import approvals, campaigns
from fujie.flows.additions import Row, Rows, add_recipients
from fujie.flows.campaign_start import StartAsk, start_campaign
from fujie.flows.campaigns import CampaignAsk, DraftReply, create_campaign
from fujie.flows.directory import offboard_principal, upsert_principal
from fujie.flows.gate import Gate
from fujie.flows.reply import (
    ApprovalReply,
    CampaignReply,
    PrincipalReply,
    RecipientsReply,
    Refusal,
)
from fujie.model.campaign import Campaign, CampaignState
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.message import Category, Draft, MessageState, Recipient
from fujie.model.principal import Principal
from fujie.model.request import RequestContext
from fujie.model.vocabulary import State
from support.house import ADMIN, House, caller
from support.sending import (
    DRAFT,
    POLICY,
    SIGNATURE,
    CountingProvider,
    agree,
    keys,
    phone_of,
    sending,
    states,
    work_off,
)

ME, OTHER, NOBODY = caller("marketer"), caller("marketer-2"), caller("nobody-in-particular")
WHY = RequestContext(purpose="marketing", basis="consent")
NOTHING = RequestContext()

FOUR_EYES = b"""
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: large-campaigns}
spec:
  match: {actions: [send]}
  validations:
    - name: somebody-agrees
      expression: request.rows <= 3
      outcome: approval
      approval: {roles: [privacy_officer], count: 1, valid_for: 24h}
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: officers-decide}
spec:
  match: {actions: [approval.decide, approval.read]}
  roles: [privacy_officer]
"""


async def house_of(house: House, policy: bytes = POLICY) -> House:
    """Return a house that can send, with a second marketer."""
    with_sending = sending(house, CountingProvider(), policy=policy)
    await hire(with_sending, "marketer-2", "marketer")
    return with_sending


async def hire(house: House, name: str, *roles: str) -> None:
    record = Principal(name, roles=frozenset(roles), department="east", training=State.VALID)
    reply = await upsert_principal(house.gate, ADMIN, NOTHING, record)
    assert isinstance(reply, PrincipalReply)


async def drafted(gate: Gate, draft: Draft = DRAFT, context: RequestContext = WHY) -> Campaign:
    reply = await create_campaign(gate, ME, CampaignAsk(context, draft))
    assert isinstance(reply, DraftReply), reply
    return reply.campaign


async def batches(*given: Sequence[Row] | None) -> AsyncIterator[Rows]:
    for each in given:
        yield each


async def add(gate: Gate, campaign: Campaign, refs: Sequence[CustomerRef], who: Any = ME) -> Any:
    rows: Sequence[Row] = [Recipient(ref) for ref in refs]
    return await add_recipients(gate, who, NOTHING, campaign.id, batches(rows))


async def start(gate: Gate, campaign: Campaign, who: Any = ME, approval: str = "", **more: bool) -> Any:
    context = RequestContext(approval=approval)
    return await start_campaign(gate, who, StartAsk(context, campaign.id, **more))


def code(reply: Any) -> str:
    assert isinstance(reply, Refusal), reply
    return reply.reasons[0].code


async def test_a_campaign_goes_from_draft_to_done(house: House) -> None:
    house = await house_of(house)
    await agree(house, keys(3))
    campaign = await drafted(house.gate)
    assert (campaign.state, campaign.requester) == (CampaignState.DRAFT, "marketer")
    added = await add(house.gate, campaign, keys(4))
    assert isinstance(added, RecipientsReply)
    assert (added.added, added.repeated, dict(added.refused)) == (4, 0, {})
    started = await start(house.gate, campaign)
    assert isinstance(started, CampaignReply)
    assert started.campaign.state is CampaignState.RUNNING
    assert house.gate.sending is not None
    assert house.gate.sending.wake.is_set()
    await work_off(house.gate)
    got = await campaigns.get_campaign(house.gate, ME, NOTHING, campaign.id)
    assert isinstance(got, CampaignReply)
    assert got.campaign.tally.total == 4
    assert got.campaign.tally.states[MessageState.REFUSED] == 1
    assert sum(got.campaign.tally.reasons.values()) == 1


async def test_a_review_says_what_would_keep_it_from_starting_and_makes_nothing(house: House) -> None:
    house = await house_of(house, POLICY + FOUR_EYES.replace(b"<= 3", b"< 1"))
    unsigned = replace(DRAFT, signature="没有登记")
    seen = len(house.entries)
    reply = await create_campaign(house.gate, ME, CampaignAsk(WHY, unsigned, validate_only=True))
    assert isinstance(reply, DraftReply)
    assert reply.campaign.id == ""
    assert reply.review.segments == 1
    assert "large-campaigns" in {hit.guard for hit in reply.review.problems}
    (entry,) = house.entries[seen:]
    assert (entry.kind, entry.effect, entry.action) == ("decision", "ALLOW", "send")


async def test_the_review_takes_every_variable_for_as_long_as_it_may_be(house: House) -> None:
    house = await house_of(house)
    long = replace(DRAFT, text="{name}" + "好" * 50 + "拒收请回复R")
    reply = await create_campaign(house.gate, ME, CampaignAsk(WHY, long, validate_only=True))
    assert isinstance(reply, DraftReply)
    assert (reply.review.segments, reply.review.cost) == (2, None)
    assert house.gate.sending is not None
    priced = replace(house.gate, sending=replace(house.gate.sending, prices={"counting": 45}))
    reply = await create_campaign(priced, ME, CampaignAsk(WHY, long, validate_only=True))
    assert isinstance(reply, DraftReply)
    assert reply.review.cost == 90


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"template": "none", "text": ""}, "UNKNOWN_TEMPLATE"),
        ({"provider": "none"}, "UNKNOWN_PROVIDER"),
        ({"text": "hello {link}"}, "TEMPLATE_PARAMS"),
        ({"text": "hello {"}, "TEMPLATE_PARAMS"),
    ],
)
async def test_a_draft_that_names_what_is_not_there_is_refused(
    house: House, changed: dict[str, Any], expected: str
) -> None:
    house = await house_of(house)
    reply = await create_campaign(house.gate, ME, CampaignAsk(WHY, replace(DRAFT, **changed)))
    assert code(reply) == expected


async def test_who_may_not_send_learns_that_alone_of_any_draft_and_any_campaign(house: House) -> None:
    house = await house_of(house)
    campaign = await drafted(house.gate)
    bad = replace(DRAFT, provider="none")
    told = {
        code(await create_campaign(house.gate, NOBODY, CampaignAsk(WHY, DRAFT))),
        code(await create_campaign(house.gate, NOBODY, CampaignAsk(WHY, bad))),
    }
    for campaign_id in (campaign.id, "0" * 32):
        told |= {
            code(await campaigns.get_campaign(house.gate, NOBODY, NOTHING, campaign_id)),
            code(await campaigns.pause_campaign(house.gate, NOBODY, NOTHING, campaign_id)),
            code(await campaigns.cancel_campaign(house.gate, NOBODY, NOTHING, campaign_id)),
            code(await start_campaign(house.gate, NOBODY, StartAsk(NOTHING, campaign_id))),
            code(await add_recipients(house.gate, NOBODY, NOTHING, campaign_id, batches([]))),
        }
    assert told == {"NO_GRANT"}


async def test_without_messaging_a_gate_without_grants_still_says_no_grant(house: House) -> None:
    assert code(await create_campaign(house.gate, NOBODY, CampaignAsk(WHY, DRAFT))) == "NO_GRANT"
    assert code(await campaigns.get_campaign(house.gate, NOBODY, NOTHING, "0" * 32)) == "NO_GRANT"


async def test_a_purpose_or_basis_that_the_policy_does_not_take_makes_no_draft(house: House) -> None:
    house = await house_of(house)
    for context, expected in (
        (replace(WHY, purpose="after_sales"), "NO_GRANT"),
        (replace(WHY, basis="contract"), "BASIS_NOT_ACCEPTED"),
        (replace(WHY, purpose=""), "PURPOSE_MISSING"),
    ):
        assert code(await create_campaign(house.gate, ME, CampaignAsk(context, DRAFT))) == expected


async def test_a_repeat_of_a_request_is_the_same_campaign_and_another_one_is_refused(house: House) -> None:
    house = await house_of(house)
    context = replace(WHY, request_id="r-1")
    first = await drafted(house.gate, context=context)
    assert (await drafted(house.gate, context=context)).id == first.id
    other = CampaignAsk(context, replace(DRAFT, text="别的内容，拒收请回复R"))
    assert code(await create_campaign(house.gate, ME, other)) == "REQUEST_ID_REUSED"


async def test_another_marketer_sees_and_stops_it_and_neither_adds_nor_starts(house: House) -> None:
    house = await house_of(house)
    campaign = await drafted(house.gate)
    assert isinstance(await add(house.gate, campaign, keys(2)), RecipientsReply)
    assert code(await add(house.gate, campaign, keys(1), OTHER)) == "CAMPAIGN_OF_ANOTHER"
    assert code(await start(house.gate, campaign, OTHER)) == "CAMPAIGN_OF_ANOTHER"
    assert isinstance(await start(house.gate, campaign), CampaignReply)
    for act, state in (
        (campaigns.get_campaign, CampaignState.RUNNING),
        (campaigns.pause_campaign, CampaignState.PAUSED),
        (campaigns.cancel_campaign, CampaignState.CANCELLED),
    ):
        reply = await act(house.gate, OTHER, NOTHING, campaign.id)
        assert isinstance(reply, CampaignReply)
        assert reply.campaign.state is state
    assert await states(house.gate, campaign) == {"CANCELLED": 2}
    for ended in (
        start(house.gate, campaign),
        campaigns.pause_campaign(house.gate, ME, NOTHING, campaign.id),
    ):
        assert code(await ended) == "CAMPAIGN_STATE"


async def test_a_requester_who_may_send_no_more_still_stops_what_he_began(house: House) -> None:
    house = await house_of(house)
    campaign = await drafted(house.gate)
    await add(house.gate, campaign, keys(1))
    await start(house.gate, campaign)
    await hire(house, "marketer", "nothing")
    paused = await campaigns.pause_campaign(house.gate, ME, NOTHING, campaign.id)
    assert isinstance(paused, CampaignReply)
    assert code(await start(house.gate, campaign)) == "NO_GRANT"


async def test_rows_that_can_not_be_added_are_counted_by_reason_and_stop_no_other(house: House) -> None:
    house = await house_of(house)
    campaign = await drafted(house.gate, replace(DRAFT, text="{name}您好，拒收请回复R"))
    good = [Recipient(key, {"name": "x"}) for key in keys(3)]
    rows: list[Row] = [
        good[0],
        "PHONE_INVALID",
        Recipient(keys(4)[3]),
        Recipient(StoreKey("none", "C1"), {"name": "x"}),
        Recipient(keys(4)[3], {"name": "x", "more": "y"}),
        good[1],
    ]
    reply = await add_recipients(
        house.gate, ME, NOTHING, campaign.id, batches(rows, None, [good[0], "PHONE_INVALID", good[2]])
    )
    assert isinstance(reply, RecipientsReply)
    assert (reply.added, reply.repeated) == (3, 1)
    assert {why: list(places) for why, places in reply.refused.items()} == {
        "PHONE_INVALID": [1, 7],
        "TEMPLATE_PARAMS": [2, 4],
        "UNKNOWN_STORE": [3],
    }
    assert await states(house.gate, campaign) == {"PLANNED": 3}
    outcome = house.entries[-1]
    assert (outcome.kind, outcome.facts["recipients.refused"]) == ("outcome", 5)


async def test_adding_tells_nothing_of_whether_a_customer_is_there(house: House) -> None:
    house = await house_of(house)
    campaign = await drafted(house.gate)
    there, missing = keys(1)[0], StoreKey("crm", "C99999")
    replies = [await add(house.gate, campaign, [ref]) for ref in (there, missing, Phone("+8613999999999"))]
    assert {(reply.added, reply.repeated) for reply in replies} == {(1, 0)}


async def test_who_may_not_write_to_numbers_does_not_learn_by_adding_whose_a_number_is(
    house: House,
) -> None:
    by_id = POLICY.replace(b"{actions: [send]}", b"{actions: [send], keys: [customer_id]}")
    house = await house_of(house, by_id)
    key = keys(1)[0]
    await agree(house, [key])  # the ledger knows the number of it
    campaign = await drafted(house.gate)
    number = Phone(await phone_of(house, key))
    told = [await add(house.gate, campaign, [each]) for each in (key, number, Phone("+8613912340000"))]
    assert [(each.added, each.repeated, each.refused) for each in told] == [
        (1, 0, {}),
        (0, 0, {"NO_GRANT": [0]}),
        (0, 0, {"NO_GRANT": [0]}),
    ]


async def test_only_a_draft_takes_recipients(house: House) -> None:
    house = await house_of(house)
    campaign = await drafted(house.gate)
    await add(house.gate, campaign, keys(1))
    await start(house.gate, campaign)
    assert code(await add(house.gate, campaign, keys(2))) == "CAMPAIGN_STATE"


async def test_who_leaves_while_adding_adds_no_more(house: House) -> None:
    house = await house_of(house)
    campaign = await drafted(house.gate)

    async def rows() -> AsyncIterator[Rows]:
        yield [Recipient(keys(1)[0])]
        assert isinstance(await offboard_principal(house.gate, ADMIN, NOTHING, "marketer"), PrincipalReply)
        yield None
        raise AssertionError("it went on")

    reply = await add_recipients(house.gate, ME, NOTHING, campaign.id, rows())
    assert code(reply) == "PRINCIPAL_OFFBOARDED"
    assert await states(house.gate, campaign) == {"CANCELLED": 1}  # his campaigns end with him


async def test_an_empty_campaign_does_not_start(house: House) -> None:
    house = await house_of(house)
    assert code(await start(house.gate, await drafted(house.gate))) == "CAMPAIGN_STATE"


async def test_starting_again_is_answered_as_it_is(house: House) -> None:
    house = await house_of(house)
    campaign = await drafted(house.gate)
    await add(house.gate, campaign, keys(1))
    first, again = await start(house.gate, campaign), await start(house.gate, campaign)
    assert first.campaign.started_at == again.campaign.started_at


async def approved(house: House, refusal: Any) -> str:
    assert isinstance(refusal, Refusal)
    assert refusal.approval
    approval_id = refusal.approval.removeprefix("approvals/")
    reply = await approvals.approve(house.gate, caller("privacy-officer"), NOTHING, approval_id)
    assert isinstance(reply, ApprovalReply), reply
    return str(refusal.approval)


async def test_a_large_campaign_starts_only_after_others_agreed_to_that_many(house: House) -> None:
    house = await house_of(house, POLICY + FOUR_EYES)
    await agree(house, keys(5))
    campaign = await drafted(house.gate)
    await add(house.gate, campaign, keys(4))
    only_asked = await start(house.gate, campaign, validate_only=True)
    assert isinstance(only_asked, Refusal)
    assert only_asked.approval == ""
    name = await approved(house, await start(house.gate, campaign))
    known = await house.ledger.approval(name.removeprefix("approvals/"))
    assert known is not None
    assert known.rows == 4
    await add(house.gate, campaign, keys(1, 5))  # one more than was agreed to
    assert isinstance(await start(house.gate, campaign, approval=name), Refusal)
    name = await approved(house, await start(house.gate, campaign))
    started = await start(house.gate, campaign, approval=name)
    assert isinstance(started, CampaignReply), started
    assert len(started.campaign.approved) == 1
    await work_off(house.gate)
    assert "REFUSED" not in await states(house.gate, campaign)


async def test_an_approval_starts_one_campaign_and_a_pause_does_not_ask_again(house: House) -> None:
    house = await house_of(house, POLICY + FOUR_EYES)
    first, second = await drafted(house.gate), await drafted(house.gate)
    for campaign in (first, second):
        await add(house.gate, campaign, keys(4))
    name = await approved(house, await start(house.gate, first))
    assert isinstance(await start(house.gate, second, approval=name), Refusal)
    assert isinstance(await start(house.gate, first, approval=name), CampaignReply)
    assert isinstance(await campaigns.pause_campaign(house.gate, ME, NOTHING, first.id), CampaignReply)
    resumed = await start(house.gate, first)
    assert isinstance(resumed, CampaignReply)
    assert resumed.campaign.state is CampaignState.RUNNING
    assert len(resumed.campaign.approved) == 1
    assert isinstance(await start(house.gate, second, approval=name), Refusal)


async def test_rows_per_request_of_a_grant_are_those_of_the_campaign(house: House) -> None:
    house = await house_of(house, POLICY.rstrip() + b"\n  limits: {rows_per_request: 2}\n")
    campaign = await drafted(house.gate)
    await add(house.gate, campaign, keys(2))
    assert isinstance(await start(house.gate, campaign, validate_only=True), CampaignReply)
    await add(house.gate, campaign, keys(1, 3))
    assert code(await start(house.gate, campaign)) == "LIMIT_EXCEEDED"


async def test_a_stream_that_goes_on_adding_does_not_pass_with_a_smaller_number(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await house_of(house)
    campaign = await drafted(house.gate)
    await add(house.gate, campaign, keys(1))
    assert house.gate.sending is not None
    outbox = house.gate.sending.outbox
    moving = outbox.move_campaign

    async def slow(*args: Any, **more: Any) -> Campaign:
        monkeypatch.undo()
        await add(house.gate, campaign, keys(2))
        return await moving(*args, **more)

    monkeypatch.setattr(type(outbox), "move_campaign", lambda _, *args, **more: slow(*args, **more))
    assert code(await start(house.gate, campaign)) == "CAMPAIGN_STATE"
    assert await states(house.gate, campaign) == {"PLANNED": 2}


async def test_a_watched_campaign_is_told_when_it_changes_and_ends_with_it(house: House) -> None:
    house = await house_of(house)
    campaign = await drafted(house.gate)
    await add(house.gate, campaign, keys(1))
    told: list[CampaignState] = []
    async for reply in campaigns.watch_campaign(house.gate, OTHER, NOTHING, campaign.id):
        assert isinstance(reply, CampaignReply)
        told.append(reply.campaign.state)
        if reply.campaign.state is CampaignState.DRAFT:
            await start(house.gate, campaign)
        elif reply.campaign.state is CampaignState.RUNNING:
            await campaigns.cancel_campaign(house.gate, ME, NOTHING, campaign.id)
    assert told == [CampaignState.DRAFT, CampaignState.RUNNING, CampaignState.CANCELLED]


async def test_who_leaves_while_watching_sees_no_more(house: House) -> None:
    house = await house_of(house)
    campaign = await drafted(house.gate)
    told = []
    async for reply in campaigns.watch_campaign(house.gate, ME, NOTHING, campaign.id):
        told.append(reply)
        await offboard_principal(house.gate, ADMIN, NOTHING, "marketer")
    assert isinstance(told[0], CampaignReply)
    assert code(told[1]) == "PRINCIPAL_OFFBOARDED"
    assert len(told) == 2


async def test_no_entry_of_a_campaign_holds_a_number_or_a_text(house: House) -> None:
    house = await house_of(house)
    campaign = await drafted(house.gate, Draft(Category.MARKETING, SIGNATURE, "秘密的内容，拒收请回复R"))
    await add(house.gate, campaign, [Phone("+8613999999999"), *keys(1)])
    await start(house.gate, campaign)
    await campaigns.cancel_campaign(house.gate, ME, NOTHING, campaign.id)
    whole = b"".join(house.log.leaves).decode()
    assert "13999999999" not in whole
    assert "C00001" not in whole
    assert "秘密" not in whole
