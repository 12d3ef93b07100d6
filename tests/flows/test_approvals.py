"""Attacks on four eyes through the gate: alone, twice, with somebody else's, too late, for something else."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from flows.test_batch import searchable
from fujie.app.shipped import shipped_policies
from fujie.decision.decider import Decider
from fujie.flows.approvals import approve, get_approval, list_approvals, reject, revoke_approval
from fujie.flows.batch import batch_lookup, search
from fujie.flows.directory import offboard_principal, upsert_principal
from fujie.flows.lookup import lookup
from fujie.flows.policy import explain
from fujie.flows.reply import (
    ApprovalReply,
    ApprovalsReply,
    BatchReply,
    ExplainReply,
    LookupReply,
    PrincipalReply,
    Refusal,
    SearchReply,
)
from fujie.model.approval import PENDING_FOR, Approval, ApprovalState, id_of
from fujie.model.customer import Phone, StoreKey
from fujie.model.page import FIRST_PAGE, Slice
from fujie.model.principal import Credential, Principal
from fujie.model.request import BatchAsk, LookupAsk, RequestContext, SearchAsk
from fujie.model.vocabulary import KeyKind, State
from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle
from support.house import ADMIN, House, InForce, ask, caller

AGENT, OTHER_AGENT, MARKETER = caller("support-agent"), caller("other-agent"), caller("marketer")
EYES = [caller(f"compliance-{number}") for number in range(1, 4)]
CRM = Credential("spiffe://example.com/ns/crm/sa/web", "", "spiffe://example.com/ns/crm/sa/web")
NOTHING = RequestContext()
NOBODYS = "approvals/" + "0" * 32

GUARD = """
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: four-eyes}
spec:
  match: {actions: [lookup], purposes: [after_sales]}
  validations:
    - name: no-phone-alone
      expression: "!('phone' in request.fields)"
      outcome: approval
      approval: {roles: [compliance_officer], count: %d, valid_for: 24h}
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: everybody-sees-his-own}
spec:
  match: {actions: [approval.read, approval.decide]}
  roles: [support, marketer, administrator]
"""
HOURS = """
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: no-late-hours}
spec:
  match: {actions: [lookup], purposes: [after_sales]}
  validations:
    - name: by-day
      expression: "time.hour < 18"
      outcome: approval
      approval: {roles: [team_lead], count: 1, valid_for: 24h}
"""
SEARCHERS = b"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: searchers}
spec:
  match: {actions: [lookup], keys: [phone_last_four]}
  roles: [support]
  purposes: [after_sales]
  fields: {name: reveal, phone: "keep(3,2)"}
"""
PHONE = ask("phone")


def under(house: House, count: int = 1, *more: str) -> House:
    files = {f"more-{n}.yaml": text.encode() for n, text in enumerate(more)}
    return house.with_policy({"four-eyes.yaml": (GUARD % count).encode(), **files})


async def hire(house: House, name: str, *roles: str, employment: State = State.ACTIVE) -> None:
    principal = Principal(
        name, roles=frozenset(roles), department="east", employment=employment, training=State.VALID
    )
    assert isinstance(await upsert_principal(house.gate, ADMIN, NOTHING, principal), PrincipalReply)


@pytest.fixture
async def eyes(house: House) -> House:
    """A gate that shows no phone number before one compliance officer agreed."""
    for each in EYES:
        await hire(house, each.subject, "compliance_officer")
    await hire(house, "other-agent", "support")
    await hire(house, "lead", "team_lead", "compliance_officer")
    house.log.leaves.clear()
    return under(house)


def with_approval(asked: LookupAsk, name: str) -> LookupAsk:
    return replace(asked, context=replace(asked.context, approval=name))


async def asked_for(house: House, asked: LookupAsk = PHONE, who: Credential = AGENT) -> str:
    """Look up, which must be refused for lack of an approval; return its name."""
    refusal = await lookup(house.gate, who, asked, 2.0)
    assert isinstance(refusal, Refusal), refusal
    assert (refusal.summary.effect, refusal.reasons[0].code) == ("APPROVAL_REQUIRED", "APPROVAL_REQUIRED")
    assert refusal.approval.startswith("approvals/")
    return refusal.approval


async def agreed(house: House, name: str, *who: Credential) -> Approval:
    replies = [await approve(house.gate, each, NOTHING, id_of(name)) for each in who or EYES[:1]]
    last = replies[-1]
    assert isinstance(last, ApprovalReply), last
    return last.approval


async def opens(house: House, name: str, asked: LookupAsk = PHONE, who: Credential = AGENT) -> bool:
    return isinstance(await lookup(house.gate, who, with_approval(asked, name), 2.0), LookupReply)


def code(reply: object) -> str:
    return reply.reasons[0].code if isinstance(reply, Refusal) else ""


async def state(house: House, name: str, who: Credential = AGENT) -> str:
    reply = await get_approval(house.gate, who, NOTHING, id_of(name))
    assert isinstance(reply, ApprovalReply), reply
    return reply.approval.state(reply.at)


async def test_what_others_agreed_to_opens_one_look_up_once(eyes: House) -> None:
    name = await asked_for(eyes)
    assert not await opens(eyes, name)
    await agreed(eyes, name)
    reply = await lookup(eyes.gate, AGENT, with_approval(PHONE, name), 2.0)
    assert isinstance(reply, LookupReply)
    assert reply.customer == {"phone": "138****1234"}
    assert not await opens(eyes, name)
    assert await state(eyes, name) == "USED"
    assert await asked_for(eyes) != name


async def test_every_step_leaves_evidence_that_names_the_approval_and_nobody_of_the_customer(
    eyes: House,
) -> None:
    name = await asked_for(eyes)
    await agreed(eyes, name)
    assert await opens(eyes, name)
    await revoke_approval(eyes.gate, EYES[0], NOTHING, id_of(name))
    said = [
        (entry.kind, entry.action, entry.effect, entry.facts.get("approval.act", ""))
        for entry in eyes.entries
    ]
    assert said == [
        ("decision", "lookup", "APPROVAL_REQUIRED", ""),
        ("admission", "approval.decide", "ALLOW", "approve"),
        ("outcome", "approval.decide", "ALLOW", "approve"),
        ("decision", "lookup", "ALLOW", ""),
        ("admission", "approval.decide", "ALLOW", "revoke"),
        ("decision", "approval.decide", "DENY", ""),
    ]
    assert {entry.facts.get("approval.id") for entry in eyes.entries[:-1]} == {id_of(name)}
    assert eyes.entries[2].facts["approval.state"] == "APPROVED"
    assert eyes.entries[1].sids == ()
    assert eyes.entries[3].facts["approvals.granted"]


async def test_the_same_request_finds_its_open_approval_again(eyes: House) -> None:
    name = await asked_for(eyes)
    assert await asked_for(eyes) == name
    await agreed(eyes, name)
    assert await asked_for(eyes) == name, "one that is approved is not used unless it is named"
    assert await opens(eyes, name)


# Never the requester.


async def test_nobody_agrees_to_his_own_request(eyes: House) -> None:
    await hire(eyes, AGENT.subject, "support", "compliance_officer")
    name = await asked_for(eyes)
    for act in (approve, reject):
        assert code(await act(eyes.gate, AGENT, NOTHING, id_of(name))) == "SELF_APPROVAL"
    assert not await opens(eyes, name)
    known = await eyes.ledger.approval(id_of(name))
    assert known is not None
    assert known.voters == frozenset()


async def test_no_more_does_the_workload_that_carried_it_or_he_through_one(eyes: House) -> None:
    await hire(eyes, CRM.subject, "compliance_officer")
    await hire(eyes, AGENT.subject, "support", "compliance_officer")
    trusting = replace(eyes, gate=replace(eyes.gate, may_assert=frozenset({CRM.subject})))
    delegated = ask("phone", on_behalf_of=AGENT.subject)
    refusal = await lookup(trusting.gate, CRM, delegated, 2.0)
    assert isinstance(refusal, Refusal)
    approval_id = id_of(refusal.approval)
    asserted = RequestContext(on_behalf_of=AGENT.subject)
    beside = replace(AGENT, workload=CRM.subject)
    for who, context, expected in [
        (CRM, NOTHING, "SELF_APPROVAL"),
        (CRM, asserted, "DELEGATION_REFUSED"),
        (CRM, RequestContext(on_behalf_of=EYES[0].subject), "DELEGATION_REFUSED"),
        (AGENT, NOTHING, "SELF_APPROVAL"),
        (beside, NOTHING, "SELF_APPROVAL"),
    ]:
        assert code(await approve(trusting.gate, who, context, approval_id)) == expected
    assert code(await approve(trusting.gate, EYES[0], NOTHING, approval_id)) == ""
    # What was approved for a delegated request is not his to use otherwise, nor the workload's.
    for who, asked in [(AGENT, PHONE), (CRM, PHONE)]:
        assert not await opens(trusting, refusal.approval, asked, who)
    assert await opens(trusting, refusal.approval, delegated, CRM)


async def test_a_workload_that_carried_a_token_does_not_agree_either(eyes: House) -> None:
    await hire(eyes, CRM.subject, "compliance_officer")
    beside = replace(AGENT, workload=CRM.subject)
    name = await asked_for(eyes, PHONE, beside)
    assert code(await approve(eyes.gate, CRM, NOTHING, id_of(name))) == "SELF_APPROVAL"


async def test_nobody_who_agreed_carries_the_look_up_that_uses_it(eyes: House) -> None:
    await hire(eyes, CRM.subject, "compliance_officer")
    name = await asked_for(eyes)
    await agreed(eyes, name, CRM)
    assert not await opens(eyes, name, PHONE, replace(AGENT, workload=CRM.subject))
    assert await opens(eyes, name)


async def test_there_is_no_exception_for_administrators(eyes: House) -> None:
    name = await asked_for(eyes)
    for act in (get_approval, approve, reject, revoke_approval):
        assert code(await act(eyes.gate, ADMIN, NOTHING, id_of(name))) == "APPROVAL_NOT_FOUND"
    await hire(eyes, "chief", "administrator", "support")
    chief = caller("chief")
    his = await asked_for(eyes, PHONE, chief)
    assert not await opens(eyes, his, PHONE, chief)


# k of n.


async def test_two_of_many_are_two_people(eyes: House) -> None:
    two = under(eyes, 2)
    name = await asked_for(two)
    for _ in range(3):
        once = await agreed(two, name, EYES[0])
        assert len(once.ballots[0].votes) == 1
    assert not await opens(two, name)
    assert await state(two, name) == "PENDING"
    await agreed(two, name, EYES[1])
    assert await opens(two, name)


async def test_each_requirement_needs_its_own(eyes: House) -> None:
    both = under(eyes, 1, HOURS.replace("time.hour < 18", "false"))
    name = await asked_for(both)
    one = await agreed(both, name, EYES[0])
    assert [ballot.is_met for ballot in one.ballots] == [True, False]
    assert not await opens(both, name)
    whole = await agreed(both, name, caller("lead"))
    assert [len(ballot.votes) for ballot in whole.ballots] == [2, 1]
    assert await opens(both, name)


async def test_an_approval_of_less_than_is_needed_by_now_leads_to_one_of_all(eyes: House) -> None:
    both = under(eyes, 1, HOURS)
    early = await asked_for(both)
    await agreed(both, early)
    both.hands.time += timedelta(hours=9)  # seven in the evening
    assert not await opens(both, early)
    late = await asked_for(both, with_approval(PHONE, early))
    assert late != early
    await agreed(both, late, caller("lead"))
    assert await opens(both, late)


# At the moment of use.


@pytest.mark.parametrize("how", ["role", "suspended", "offboarded"])
async def test_a_vote_counts_only_while_its_voter_could_vote(eyes: House, how: str) -> None:
    name = await asked_for(eyes)
    await agreed(eyes, name)
    gone = EYES[0].subject
    if how == "offboarded":
        await offboard_principal(eyes.gate, ADMIN, NOTHING, gone)
    elif how == "suspended":
        await hire(eyes, gone, "compliance_officer", employment=State.SUSPENDED)
    else:
        await hire(eyes, gone, "support")
    assert not await opens(eyes, name)
    assert await state(eyes, name) == "PENDING"
    assert await asked_for(eyes) == name, "it waits for somebody else"
    await agreed(eyes, name, EYES[1])
    assert await opens(eyes, name)


@pytest.mark.parametrize(
    ("who", "told"),
    [(EYES[0], "APPROVAL_REQUIRED"), (AGENT, "PRINCIPAL_OFFBOARDED")],
    ids=["approver", "asker"],
)
async def test_who_leaves_while_it_is_being_used_up_neither_counts_nor_sees(
    eyes: House, who: Credential, told: str
) -> None:
    name = await asked_for(eyes)
    await agreed(eyes, name)
    ledger, directory = eyes.ledger, eyes.gate.directory

    class Slow:
        """The ledger, in which somebody leaves just before the approval is used."""

        def __getattr__(self, attribute: str) -> object:
            return getattr(ledger, attribute)

        async def end_approval(self, *given: object) -> Approval:
            await directory.offboard(who.subject, eyes.hands.now())
            return await ledger.end_approval(*given)  # type: ignore[arg-type]  # passed on as they came

    slow = replace(eyes, gate=replace(eyes.gate, ledger=Slow()))  # type: ignore[arg-type]  # the rest is the ledger's
    assert code(await lookup(slow.gate, AGENT, with_approval(PHONE, name), 2.0)) == told


async def test_who_may_not_decide_any_more_can_not_vote(eyes: House) -> None:
    name = await asked_for(eyes)
    await hire(eyes, EYES[0].subject, "compliance_officer", employment=State.SUSPENDED)
    assert code(await approve(eyes.gate, EYES[0], NOTHING, id_of(name))) == "PRINCIPAL_SUSPENDED"
    await hire(eyes, EYES[1].subject, "support")
    assert code(await approve(eyes.gate, EYES[1], NOTHING, id_of(name))) == "APPROVAL_NOT_FOUND"
    await hire(eyes, EYES[2].subject, "team_lead")
    assert code(await approve(eyes.gate, EYES[2], NOTHING, id_of(name))) == "NO_GRANT"


@pytest.mark.parametrize(("after", "works"), [(timedelta(hours=23), True), (timedelta(hours=24), False)])
async def test_it_may_be_used_for_as_long_as_the_guard_says(
    eyes: House, after: timedelta, works: bool
) -> None:
    name = await asked_for(eyes)
    eyes.hands.time += PENDING_FOR - timedelta(minutes=1)
    await agreed(eyes, name)
    eyes.hands.time += after
    assert await opens(eyes, name) is works


async def test_nobody_agrees_to_what_has_waited_too_long(eyes: House) -> None:
    name = await asked_for(eyes)
    eyes.hands.time += PENDING_FOR
    assert await state(eyes, name) == "EXPIRED"
    for act in (approve, reject, revoke_approval):
        who = AGENT if act is revoke_approval else EYES[0]
        assert code(await act(eyes.gate, who, NOTHING, id_of(name))) == "APPROVAL_CLOSED"
    assert await asked_for(eyes) != name


# Bound to one request.


@pytest.mark.parametrize(
    "other",
    [
        ask("phone", customer="C00002"),
        ask("phone", "name"),
        ask("phone", basis="consent", evidence=""),
        ask("phone", ticket="T-1"),
        replace(PHONE, strict=True),
        replace(PHONE, customer=Phone("+8613800131234")),
    ],
    ids=["customer", "fields", "basis", "ticket", "strict", "key"],
)
async def test_what_was_agreed_to_opens_nothing_else(eyes: House, other: LookupAsk) -> None:
    name = await asked_for(eyes)
    await agreed(eyes, name)
    assert not await opens(eyes, name, other)
    assert await opens(eyes, name), "and it was not used up by the try"


async def test_another_purpose_or_other_terms_need_an_approval_of_their_own(eyes: House) -> None:
    name = await asked_for(eyes)
    await agreed(eyes, name)
    stricter = under(eyes, 2)
    assert not await opens(stricter, name)
    both = eyes.with_policy(
        {"f.yaml": (GUARD % 1).replace("[after_sales]", "[after_sales, marketing]").encode()}
    )
    other = replace(PHONE, context=replace(PHONE.context, purpose="marketing"))
    assert not await opens(both, name, other)
    assert await opens(eyes, name)


async def test_nobody_uses_what_somebody_else_was_given(eyes: House) -> None:
    name = await asked_for(eyes)
    await agreed(eyes, name)
    for who in (OTHER_AGENT, EYES[0], ADMIN):
        assert not await opens(eyes, name, PHONE, who)
    assert await opens(eyes, name)


async def test_a_name_that_does_not_hold_is_told_like_none_whatever_is_wrong_with_it(eyes: House) -> None:
    used = await asked_for(eyes)
    await agreed(eyes, used)
    assert await opens(eyes, used)
    foreign = await asked_for(eyes, PHONE, OTHER_AGENT)
    await agreed(eyes, foreign)
    rejected = await asked_for(eyes, ask("phone", customer="C00002"))
    await reject(eyes.gate, EYES[0], NOTHING, id_of(rejected))
    standing = await asked_for(eyes)
    bad = [used, foreign, rejected, NOBODYS, "", "x", "approvals/", used.upper(), id_of(used), standing]
    refusals = [await lookup(eyes.gate, AGENT, with_approval(PHONE, name), 2.0) for name in bad]
    told = {
        (refusal.reasons, refusal.approval, refusal.summary.effect)
        for refusal in refusals
        if isinstance(refusal, Refusal)
    }
    assert len(refusals) == len(bad)
    assert told == {(refusals[0].reasons, standing, "APPROVAL_REQUIRED")}  # type: ignore[union-attr]  # a refusal


async def test_where_no_rule_reads_the_customer_an_approval_tells_not_whether_there_is_one(
    eyes: House,
) -> None:
    files = {path.name: path.read_bytes() for path in (shipped_policies() / "base").glob("*.yaml")}
    bundle = compile_bundle({**files, "guards.yaml": (GUARD % 1).encode()})
    assert isinstance(bundle, Bundle), bundle
    blind = replace(eyes, gate=replace(eyes.gate, policies=InForce(Decider(bundle))))
    asks = {each: ask("phone", customer=each, ticket="T-1") for each in ("C77777", "C88888", "C00001")}
    names = {each: await asked_for(blind, asked) for each, asked in asks.items()}
    assert len(set(names.values())) == 3, "strangers have approvals of their own, as customers have"
    assert {each: await asked_for(blind, asked) for each, asked in asks.items()} == names
    await agreed(blind, names["C77777"])
    assert not await opens(blind, names["C77777"], asks["C88888"])
    asked = with_approval(asks["C77777"], names["C77777"])
    assert code(await lookup(blind.gate, AGENT, asked, 2.0)) == "CUSTOMER_NOT_FOUND"


async def test_who_has_no_grant_learns_of_no_approval_and_makes_none(eyes: House) -> None:
    refusal = await lookup(eyes.gate, caller("nobody-in-particular"), with_approval(PHONE, NOBODYS), 2.0)
    assert (code(refusal), getattr(refusal, "approval", "?")) == ("NO_GRANT", "")
    assert await listed(eyes, EYES[0]) == []


# Races.


async def test_of_many_uses_at_once_one_is_let_through(eyes: House) -> None:
    name = await asked_for(eyes)
    await agreed(eyes, name)
    eyes.log.leaves.clear()
    tries = await asyncio.gather(*(opens(eyes, name) for _ in range(8)))
    assert tries.count(True) == 1
    assert sorted(entry.effect for entry in eyes.entries) == ["ALLOW"] + ["APPROVAL_REQUIRED"] * 7


@pytest.mark.parametrize("close", [reject, revoke_approval])
async def test_a_no_or_a_use_comes_first_and_the_other_does_not_happen(
    eyes: House, close: Callable[..., Awaitable[ApprovalReply | Refusal]]
) -> None:
    for number in range(4):
        asked = ask("phone", customer=f"C{number + 10:05}", ticket="T-1")
        name = await asked_for(eyes, asked)
        await agreed(eyes, name)
        steps = [opens(eyes, name, asked), close(eyes.gate, EYES[1], NOTHING, id_of(name))]
        used, closed = await asyncio.gather(*(steps if number % 2 else reversed(steps)))
        if not number % 2:
            used, closed = closed, used
        assert used is (code(closed) == "APPROVAL_CLOSED")


# A no.


async def test_one_no_is_enough_and_final(eyes: House) -> None:
    two = under(eyes, 2)
    name = await asked_for(two)
    await agreed(two, name, EYES[0])
    assert code(await reject(two.gate, EYES[1], NOTHING, id_of(name))) == ""
    assert code(await reject(two.gate, EYES[2], NOTHING, id_of(name))) == "", "a repeat changes nothing"
    for each in EYES:
        assert code(await approve(two.gate, each, NOTHING, id_of(name))) == "APPROVAL_CLOSED"
    assert code(await revoke_approval(two.gate, AGENT, NOTHING, id_of(name))) == "APPROVAL_CLOSED"
    assert await state(two, name) == "REJECTED"
    assert not await opens(two, name)


@pytest.mark.parametrize("who", [AGENT, EYES[1]], ids=["requester", "approver"])
async def test_who_asked_and_who_decides_can_take_it_back(eyes: House, who: Credential) -> None:
    name = await asked_for(eyes)
    await agreed(eyes, name)
    assert code(await revoke_approval(eyes.gate, OTHER_AGENT, NOTHING, id_of(name))) == "APPROVAL_NOT_FOUND"
    assert code(await revoke_approval(eyes.gate, who, NOTHING, id_of(name))) == ""
    assert not await opens(eyes, name)
    assert await state(eyes, name) == "REVOKED"


@pytest.fixture
async def shipped(eyes: House) -> House:
    """The same with the grants that ship for approvals, and none of ours."""
    return eyes.with_policy({"four-eyes.yaml": (GUARD % 1).partition("---")[0].encode()})


async def test_with_the_shipped_policies_who_asked_sees_and_takes_back_his_own(shipped: House) -> None:
    name = await asked_for(shipped)
    await agreed(shipped, name)
    assert (await listed(shipped, AGENT), await state(shipped, name)) == ([name], "APPROVED")
    assert code(await approve(shipped.gate, AGENT, NOTHING, id_of(name))) == "SELF_APPROVAL"
    shipped.log.leaves.clear()
    assert code(await revoke_approval(shipped.gate, AGENT, NOTHING, id_of(name))) == ""
    assert [entry.kind for entry in shipped.entries] == ["admission", "outcome"]
    assert await state(shipped, name) == "REVOKED"
    assert not await opens(shipped, name)


@pytest.mark.parametrize("act", [approve, reject, revoke_approval, get_approval])
async def test_with_the_shipped_policies_nobody_touches_what_somebody_else_asked_for(
    shipped: House, act: Callable[..., Awaitable[ApprovalReply | Refusal]]
) -> None:
    """Not a colleague with the same grant, who is told the same of what there is and of what there is not."""
    name = await asked_for(shipped)
    assert await listed(shipped, OTHER_AGENT) == []
    for who in (OTHER_AGENT, MARKETER, ADMIN):
        told = [await act(shipped.gate, who, NOTHING, id_of(each)) for each in (name, NOBODYS)]
        assert [code(each) for each in told] == ["NO_GRANT", "NO_GRANT"]
    assert await state(shipped, name) == "PENDING"


async def test_who_may_take_back_his_own_decides_on_nobodys_though_a_guard_names_his_role(
    eyes: House,
) -> None:
    guard = (GUARD % 1).partition("---")[0].replace("compliance_officer", "support")
    house = eyes.with_policy({"four-eyes.yaml": guard.encode()})
    name = await asked_for(house)
    assert await listed(house, OTHER_AGENT) == []
    for act in (approve, reject, revoke_approval, get_approval):
        assert code(await act(house.gate, OTHER_AGENT, NOTHING, id_of(name))) == "NO_GRANT"


# Who sees what.


async def listed(house: House, who: Credential, *, with_closed: bool = False) -> list[str]:
    reply = await list_approvals(house.gate, who, NOTHING, FIRST_PAGE, with_closed)
    assert isinstance(reply, ApprovalsReply), reply
    return [approval.name for approval in reply.page.rows]


async def test_everybody_lists_his_own_and_what_he_may_decide(eyes: House) -> None:
    first = await asked_for(eyes)
    second = await asked_for(eyes, PHONE, OTHER_AGENT)
    assert await listed(eyes, AGENT) == [first]
    assert await listed(eyes, OTHER_AGENT) == [second]
    assert await listed(eyes, EYES[0]) == [first, second]
    assert await listed(eyes, ADMIN) == []
    await reject(eyes.gate, EYES[0], NOTHING, id_of(first))
    assert await listed(eyes, EYES[0]) == [second]
    assert await listed(eyes, EYES[0], with_closed=True) == [first, second]
    eyes.hands.time += PENDING_FOR
    assert await listed(eyes, EYES[0]) == []


async def test_pages_neither_repeat_nor_hide_any_while_votes_come_in(eyes: House) -> None:
    names = [
        await asked_for(eyes, ask("phone", customer=f"C{number:05}", ticket="T-1"))
        for number in range(1, 8)
    ]
    seen: list[str] = []
    part = Slice(size=3)
    while True:
        reply = await list_approvals(eyes.gate, EYES[0], NOTHING, part, with_closed=True)
        assert isinstance(reply, ApprovalsReply)
        seen += [approval.name for approval in reply.page.rows]
        await agreed(eyes, seen[-1])
        if not reply.page.next:
            break
        part = Slice(reply.page.next, 3)
    assert seen == names


# Several at a time, and no approval.


async def test_a_batch_names_an_approval_of_each_and_takes_none(eyes: House) -> None:
    refs = (StoreKey("crm", "C00001"), StoreKey("crm", "C00002"), StoreKey("crm", "C00001"))
    context = replace(PHONE.context, ticket="T-1")
    batch = BatchAsk(refs, "crm", context, ("phone",))
    reply = await batch_lookup(eyes.gate, AGENT, batch, 2.0)
    assert isinstance(reply, BatchReply)
    names = [each.approval for each in reply.answers if isinstance(each, Refusal)]
    assert len(names) == 3
    assert names[0] == names[2] != names[1]
    await agreed(eyes, names[0])
    refused = await batch_lookup(
        eyes.gate, AGENT, replace(batch, context=replace(context, approval=names[0])), 2.0
    )
    assert isinstance(refused, Refusal)
    assert (code(refused), refused.field) == ("ARGUMENT_INVALID", "context.approval")
    assert await opens(eyes, names[0], ask("phone", ticket="T-1"))


async def test_a_search_leaves_out_who_needs_an_approval_and_asks_for_none(eyes: House) -> None:
    policy = SEARCHERS + b"---" + (GUARD % 1).encode()
    async with searchable(eyes, policy) as searching:
        asked = SearchAsk("1234", "crm", PHONE.context, ("name", "phone"))
        reply = await search(searching.gate, AGENT, asked, 2.0)
        assert isinstance(reply, SearchReply)
        assert reply.found == ()
        shown = await search(searching.gate, AGENT, replace(asked, fields=("name",)), 2.0)
        assert isinstance(shown, SearchReply)
        assert len(shown.found) == 3
        # Should the rules change between the search and the look-up of one that it found:
        late = replace(ask("phone", customer="A1"), found_by=KeyKind.PHONE_LAST_FOUR)
        refusal = await lookup(searching.gate, AGENT, late, 2.0)
        assert isinstance(refusal, Refusal)
        assert (refusal.summary.effect, refusal.approval) == ("APPROVAL_REQUIRED", "")
        assert await listed(searching, EYES[0]) == []
        named = replace(asked, context=replace(asked.context, approval=NOBODYS))
        refused = await search(searching.gate, AGENT, named, 2.0)
        assert isinstance(refused, Refusal)
        assert (code(refused), refused.field) == ("ARGUMENT_INVALID", "context.approval")


async def test_to_explain_neither_asks_for_an_approval_nor_uses_one(eyes: House) -> None:
    officer = caller("privacy-officer")
    name = await asked_for(eyes)
    await agreed(eyes, name)
    for asked in (with_approval(PHONE, name), ask("phone", customer="C00002", ticket="T-1")):
        reply = await explain(eyes.gate, officer, RequestContext(approval=name), asked, AGENT.subject)
        assert isinstance(reply, ExplainReply)
        assert reply.explanation.decision.effect == "APPROVAL_REQUIRED"
    assert await listed(eyes, EYES[0]) == [name]
    assert await opens(eyes, name)


async def test_what_needs_no_approval_uses_none_up(eyes: House) -> None:
    name = await asked_for(eyes)
    await agreed(eyes, name)
    assert isinstance(await lookup(eyes.gate, AGENT, with_approval(ask("name"), name), 2.0), LookupReply)
    assert await state(eyes, name) == ApprovalState.APPROVED


async def test_a_limit_that_refuses_uses_up_no_approval(eyes: House) -> None:
    cap = """
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: cap}
spec:
  match: {actions: [lookup]}
  limits: {rows_per_hour: 1}
"""
    capped = under(eyes, 1, cap)
    name = await asked_for(capped)
    await agreed(capped, name)
    assert isinstance(
        await lookup(capped.gate, AGENT, ask("name", customer="C00002", ticket="T-1"), 2.0), LookupReply
    )
    assert code(await lookup(capped.gate, AGENT, with_approval(PHONE, name), 2.0)) == "LIMIT_EXCEEDED"
    assert await state(capped, name) == ApprovalState.APPROVED


@pytest.mark.parametrize(("act", "effect"), list(product((get_approval, approve), ("", "0" * 32))))
async def test_an_unknown_approval_and_that_of_others_are_told_alike(
    eyes: House, act: Callable[..., Awaitable[ApprovalReply | Refusal]], effect: str
) -> None:
    approval_id = effect or id_of(await asked_for(eyes))
    eyes.log.leaves.clear()
    assert code(await act(eyes.gate, MARKETER, NOTHING, approval_id)) == "APPROVAL_NOT_FOUND"
    (entry,) = eyes.entries
    assert entry.reasons == ("APPROVAL_NOT_FOUND",)
    assert "approval.id" not in entry.facts
