"""Attacks on break-glass: without policy, ticket or role, twice, behind an overdue review, through a ledger that fails."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from flows.test_approvals import AGENT, EYES, NOTHING, agreed, asked_for, code, hire, opens, state
from flows.test_export_agreed import ASKED, broken
from flows.test_messaging import KEY
from flows.test_messaging import ask as message
from flows.test_replay import replayed
from fujie.audit.errors import AuditError
from fujie.decision.decider import Decider
from fujie.decision.replay import Verdict
from fujie.flows.approval_notices import tell_due
from fujie.flows.approvals import approve, get_approval, list_approvals, reject, revoke_approval
from fujie.flows.batch import batch_lookup
from fujie.flows.lookup import lookup
from fujie.flows.messaging import send_message
from fujie.flows.policy import explain
from fujie.flows.reply import (
    ApprovalReply,
    ApprovalsReply,
    ExplainReply,
    LookupReply,
    MessageReply,
    Refusal,
)
from fujie.model.approval import Approval, ApprovalState, id_of
from fujie.model.errors import LedgerError
from fujie.model.export import Format
from fujie.model.page import FIRST_PAGE
from fujie.model.principal import Credential
from fujie.model.request import BatchAsk, LeaseAsk, LookupAsk
from fujie.model.vocabulary import State
from fujie.policy.bundle import Bundle
from support.exports import LARGE, ME, POLICY, exported, facts_of, lists
from support.house import House, InForce, ask, bundle_of, caller
from support.sending import POLICY as SENDERS
from support.sending import CountingProvider, agree, sending

WITHIN = timedelta(hours=24)
DOCTOR = caller("doctor")

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
      approval:
        roles: [compliance_officer]
        count: 1
        valid_for: 24h
%s
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: everybody-sees-his-own}
spec:
  match: {actions: [approval.read, approval.decide]}
  roles: [support]
"""
GLASS = "        break_glass: {roles: [on_call], review_within: 24h}"
CLOSED = """
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: more}
spec:
  match: {actions: [lookup]}
  %s
"""
PHONE = ask("phone", ticket="T-9")


def urgent(asked: LookupAsk = PHONE) -> LookupAsk:
    return replace(asked, context=replace(asked.context, break_glass=True))


def under(house: House, *more: str, glass: str = GLASS) -> House:
    policies = InForce(Decider(_bundle(GUARD % glass, *more)))
    return replace(house, gate=replace(house.gate, policies=policies))


@cache
def _bundle(*texts: str) -> Bundle:
    return bundle_of({f"own-{n}.yaml": text.encode() for n, text in enumerate(texts)})


@pytest.fixture
async def glass(house: House) -> House:
    """A gate that shows no phone number before an officer agreed, and to who is on call in an emergency."""
    for each in EYES:
        await hire(house, each.subject, "compliance_officer")
    await hire(house, DOCTOR.subject, "support", "on_call")
    house.log.leaves.clear()
    return under(house)


async def breaks(house: House, asked: LookupAsk = PHONE, who: Credential = DOCTOR) -> LookupReply:
    reply = await lookup(house.gate, who, urgent(asked), 2.0)
    assert isinstance(reply, LookupReply), reply
    assert [hit.code for hit in reply.summary.warnings] == ["BREAK_GLASS_USED"]
    return reply


async def refused(house: House, asked: LookupAsk | None = None, who: Credential = DOCTOR) -> str:
    return code(await lookup(house.gate, who, asked or urgent(), 2.0))


async def to_review(house: House, who: Credential = EYES[0]) -> list[Approval]:
    reply = await list_approvals(house.gate, who, NOTHING, FIRST_PAGE, False, False, True)
    assert isinstance(reply, ApprovalsReply), reply
    return list(reply.page.rows)


async def reviewed(
    house: House, who: Credential = EYES[0], comment: str = "read the ticket"
) -> ApprovalReply:
    (waiting,) = await to_review(house)
    reply = await approve(house.gate, who, NOTHING, waiting.id, comment)
    assert isinstance(reply, ApprovalReply), reply
    return reply


class Meanwhile:
    """Stands before a port, and does something after one of its calls, or fails in its place."""

    def __init__(self, inner: Any, call: str, act: Any) -> None:
        self._inner, self._call, self._act = inner, call, act

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name != self._call:
            return value

        async def call(*args: Any) -> Any:
            if isinstance(self._act, BaseException):
                raise self._act
            result = await value(*args)
            await self._act()
            return result

        return call


def during(house: House, port: str, call: str, act: Any) -> House:
    changed: Any = {port: Meanwhile(getattr(house.gate, port), call, act)}
    return replace(house, gate=replace(house.gate, **changed))


async def test_who_may_goes_ahead_once_warned_on_record_and_told_at_once(glass: House) -> None:
    reply = await breaks(glass)
    assert reply.customer == {"phone": "138****1234"}
    (waiting,) = await to_review(glass)
    assert waiting.state(glass.hands.now()) is ApprovalState.IN_REVIEW
    assert (waiting.requester, waiting.action, waiting.fields) == (DOCTOR.subject, "lookup", ("phone",))
    assert waiting.review_by == waiting.created_at + WITHIN
    (entry,) = [entry for entry in glass.entries if entry.action == "lookup"]
    assert entry.effect == "ALLOW"
    assert entry.reasons == ("warn:BREAK_GLASS_USED",)
    assert entry.facts["approval.id"] == waiting.id
    assert entry.facts["approvals.break_glass"] == tuple(waiting.keys)
    assert glass.counted.glass == ["lookup"]
    (told,) = await glass.ledger.notifications.take(glass.hands.now(), 60.0, 10)
    assert (told.kind, told.subject) == ("breakglass.used", waiting.name)
    assert "C00001" not in str(told.payload)


async def test_it_stands_on_record_before_the_entry_is_written(glass: House) -> None:
    seen: list[int] = []

    async def look() -> None:
        seen.append(len(glass.log.leaves))

    await breaks(during(glass, "ledger", "break_glass", look))
    assert seen == [0]


@pytest.mark.parametrize("policy", [GLASS, ""], ids=["for others", "for nobody"])
async def test_who_may_not_is_told_the_same_bytes_as_without_the_flag(glass: House, policy: str) -> None:
    """Neither that there is such a thing, nor that the policy has it (promise 9)."""
    house = under(glass, glass=policy)
    who = AGENT if policy else DOCTOR
    plain, flagged = [await lookup(house.gate, who, asked, 2.0) for asked in (PHONE, urgent())]
    assert isinstance(plain, Refusal)
    assert isinstance(flagged, Refusal)
    assert plain.reasons[0].code == "APPROVAL_REQUIRED"

    def said(refusal: Refusal) -> Refusal:
        return replace(refusal, summary=replace(refusal.summary, decision_id=""))

    assert said(plain) == said(flagged), "and it is the same approval that both ask for"
    of_both = [replace(e, uid="", time="", decision_id="", sealed={}) for e in house.entries]
    assert of_both[-2] == of_both[-1]
    assert await to_review(house) == []


async def test_without_flag_or_ticket_nothing_is_broken(glass: House) -> None:
    assert await refused(glass, PHONE) == "APPROVAL_REQUIRED"
    assert await refused(glass, urgent(ask("phone"))) == "APPROVAL_REQUIRED"
    assert glass.counted.glass == []


@pytest.mark.parametrize(
    ("closed", "expected"),
    [
        ('validations: [{name: never, expression: "request.rows > 9"}]', "GUARD_REFUSED"),
        ('validations: [{name: broken, expression: "1 / (request.rows - 1) > 0"}]', "GUARD_ERROR"),
        ("limits: {rows_per_request: 1, rows_per_hour: 1}", "LIMIT_EXCEEDED"),
        (
            'validations: [{name: other, expression: "request.rows > 9", outcome: approval, approval: {roles: [lead], valid_for: 1h}}]',
            "APPROVAL_REQUIRED",
        ),
    ],
)
async def test_it_opens_no_refusal_no_limit_and_no_other_requirement(
    glass: House, closed: str, expected: str
) -> None:
    house = under(glass, CLOSED % closed)
    if expected == "LIMIT_EXCEEDED":
        assert isinstance(await lookup(house.gate, DOCTOR, ask("name"), 2.0), LookupReply)
    assert await refused(house) == expected
    assert await to_review(house) == []


async def test_it_grants_nothing(glass: House) -> None:
    await hire(glass, DOCTOR.subject, "on_call")
    assert await refused(glass) == "NO_GRANT"
    await hire(glass, DOCTOR.subject, "support", "on_call", employment=State.SUSPENDED)
    assert await refused(glass) == "PRINCIPAL_SUSPENDED"
    assert await to_review(glass) == []


async def test_behind_an_overdue_review_nothing_more_is_broken_by_two_at_once(glass: House) -> None:
    await breaks(glass)
    await breaks(glass)  # within the time of the first there may be more
    glass.hands.time += WITHIN
    codes = await asyncio.gather(*(refused(glass) for _ in range(2)))
    assert codes == ["APPROVAL_REQUIRED"] * 2
    for waiting in await to_review(glass):
        assert isinstance(
            await reject(glass.gate, EYES[0], NOTHING, waiting.id, "no ticket"), ApprovalReply
        )
    await breaks(glass)


async def test_a_review_that_becomes_overdue_between_reading_and_writing_closes(glass: House) -> None:
    await breaks(glass)

    async def late() -> None:
        glass.hands.time += WITHIN

    assert await refused(during(glass, "ledger", "owes_review", late)) == "APPROVAL_REQUIRED"
    assert len(await to_review(glass)) == 1


async def test_a_ledger_that_does_not_take_it_opens_nothing(glass: House) -> None:
    dead = during(glass, "ledger", "break_glass", LedgerError("away"))
    assert await refused(dead) == "LEDGER_UNAVAILABLE"
    assert await to_review(glass) == []


async def test_what_ends_between_record_and_entry_shows_nothing_and_is_reviewed_all_the_same(
    glass: House,
) -> None:
    dead = during(glass, "log", "append", AuditError("full"))
    with pytest.raises(AuditError):
        await lookup(dead.gate, DOCTOR, urgent(), 2.0)
    (waiting,) = await to_review(glass)
    assert not [entry for entry in glass.entries if entry.facts.get("approval.id") == waiting.id]


async def test_a_role_that_is_lost_meanwhile_opens_nothing(glass: House) -> None:
    async def lost() -> None:
        await hire(glass, DOCTOR.subject, "support")

    assert await refused(during(glass, "ledger", "break_glass", lost)) == "APPROVAL_REQUIRED"
    assert len(await to_review(glass)) == 1


async def test_who_changes_meanwhile_and_still_may_stands_on_record_once(glass: House) -> None:
    async def moved() -> None:
        await hire(glass, DOCTOR.subject, "support", "on_call", "team_lead")

    await breaks(during(glass, "ledger", "break_glass", moved))
    assert len(await to_review(glass)) == 1
    assert glass.counted.glass == ["lookup"]


async def test_it_is_reviewed_by_another_who_may_decide_with_a_word_and_once(glass: House) -> None:
    await hire(glass, DOCTOR.subject, "support", "on_call", "compliance_officer")
    await breaks(glass)
    (waiting,) = await to_review(glass)
    for act in (approve, reject):
        assert code(await act(glass.gate, DOCTOR, NOTHING, waiting.id, "it was me")) == "SELF_APPROVAL"
        assert code(await act(glass.gate, AGENT, NOTHING, waiting.id, "fine")) == "APPROVAL_NOT_FOUND"
        for silent in ("", " \n"):
            refusal = await act(glass.gate, EYES[0], NOTHING, waiting.id, silent)
            assert isinstance(refusal, Refusal)
            assert (code(refusal), refusal.field) == ("ARGUMENT_INVALID", "comment")
    for who in (DOCTOR, EYES[0]):
        assert code(await revoke_approval(glass.gate, who, NOTHING, waiting.id)) == "APPROVAL_CLOSED"
    reply = await reviewed(glass)
    assert reply.approval.state(reply.at) is ApprovalState.REVIEWED
    assert reply.approval.ending is not None
    assert (reply.approval.ending.principal, reply.approval.ending.comment) == (
        EYES[0].subject, "read the ticket",
    )  # fmt: skip
    assert code(await reject(glass.gate, EYES[1], NOTHING, waiting.id, "no")) == "APPROVAL_CLOSED"
    assert await to_review(glass) == []
    assert "REVIEWED" in [entry.facts.get("approval.state") for entry in glass.entries]


async def test_a_review_is_no_approval_before_and_after(glass: House) -> None:
    await breaks(glass)
    (waiting,) = await to_review(glass)
    other = await asked_for(glass, PHONE, DOCTOR)
    assert id_of(other) != waiting.id, "the same request, which waits for others"
    assert not await opens(glass, waiting.name, PHONE, DOCTOR)
    await reviewed(glass)
    assert not await opens(glass, waiting.name, PHONE, DOCTOR)
    await agreed(glass, other)
    assert await opens(glass, other, PHONE, DOCTOR)


async def test_an_approval_that_holds_is_used_and_nothing_broken(glass: House) -> None:
    name = await asked_for(glass, PHONE, DOCTOR)
    await agreed(glass, name)
    both = replace(PHONE, context=replace(PHONE.context, approval=name, break_glass=True))
    assert isinstance(await lookup(glass.gate, DOCTOR, both, 2.0), LookupReply)
    assert await state(glass, name, DOCTOR) == "USED"
    assert await to_review(glass) == []


async def test_a_batch_breaks_nothing_and_to_explain_neither(glass: House) -> None:
    batch = BatchAsk((PHONE.customer,), "crm", urgent().context, ("phone",))
    refusal = await batch_lookup(glass.gate, DOCTOR, batch, 2.0)
    assert isinstance(refusal, Refusal)
    assert (code(refusal), refusal.field) == ("ARGUMENT_INVALID", "context.break_glass")
    words = {}
    for who in (AGENT, DOCTOR):
        officer = caller("privacy-officer")
        reply = await explain(glass.gate, officer, urgent().context, urgent(), who.subject)
        assert isinstance(reply, ExplainReply)
        assert reply.explanation.decision.effect == "APPROVAL_REQUIRED"
        (words[who],) = (
            r.outcome for r in reply.explanation.rules if r.part == "validations[no-phone-alone]"
        )
    assert words[AGENT] == "needs approval by 1 of compliance_officer"
    assert words[DOCTOR] == f"{words[AGENT]}; in an emergency the glass may be broken"
    assert await to_review(glass) == []


async def test_what_is_overdue_is_told_once_and_counted(glass: House) -> None:
    await breaks(glass)
    while await tell_due(glass.gate):
        pass
    assert await glass.ledger.reviews(glass.hands.now()) == (1, 0)
    glass.hands.time += WITHIN
    assert await tell_due(glass.gate) == 1
    assert await tell_due(glass.gate) == 0
    assert await glass.ledger.reviews(glass.hands.now()) == (1, 1)
    told = await glass.ledger.notifications.take(glass.hands.now(), 60.0, 10)
    assert sorted(each.kind for each in told) == ["breakglass.overdue", "breakglass.used"]
    await reviewed(glass)
    assert await glass.ledger.reviews(glass.hands.now()) == (0, 0)


async def test_replay_proves_it_and_tells_what_a_policy_without_it_would_do(glass: House) -> None:
    await breaks(glass)
    assert await refused(glass, PHONE) == "APPROVAL_REQUIRED"
    same = await replayed(glass, glass.gate.policies.current.bundle)
    without = under(glass, glass="").gate.policies.current.bundle
    told = [row for entry, row in await replayed(glass, without) if entry.action == "lookup"]
    assert [row.verdict for entry, row in same if entry.action == "lookup"] == [Verdict.SAME] * 2
    assert [row.verdict for row in told] == [Verdict.FLIPS, Verdict.SAME]


BY_LISTS = b"""
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: short-lists}
spec:
  match: {actions: [export]}
  validations:
    - name: many
      expression: "request.rows < 25"
      outcome: approval
      approval:
        roles: [compliance_officer]
        valid_for: 24h
        break_glass: {roles: [on_call], review_within: 24h}
"""
LONG = replace(
    ASKED, context=replace(ASKED.context, ticket="T-9", break_glass=True), format=Format.JSON_LINES
)


async def listing(house: House) -> House:
    await hire(house, EYES[0].subject, "compliance_officer")
    await hire(house, ME.subject, "marketer", "on_call")
    house.log.leaves.clear()
    return lists(house, POLICY, LARGE, BY_LISTS)


async def test_a_whole_export_goes_ahead_and_its_reviewers_see_its_terms(house: House) -> None:
    at = await listing(house)
    came = await exported(at.gate, LONG)
    assert len(came.rows) > 50
    (waiting,) = await to_review(at)
    assert (waiting.rows, waiting.action) == (LONG.max_rows, "export")
    assert facts_of(at, "admission")[0]["approval.id"] == waiting.id
    assert all("approvals.break_glass" in facts for facts in facts_of(at, "release"))
    shown = await get_approval(at.gate, EYES[0], NOTHING, waiting.id, with_preview=True)
    assert isinstance(shown, ApprovalReply)
    assert shown.preview is not None
    assert shown.preview.terms is not None
    await reviewed(at)
    ended = await at.ledger.approval(waiting.id)
    assert ended is not None
    assert ended.terms == ""


async def test_a_leased_file_and_who_only_decides_break_nothing(house: House) -> None:
    at = await listing(house)
    leased = await exported(at.gate, replace(LONG, lease=LeaseAsk(3600, 10)))
    assert leased.code == "APPROVAL_REQUIRED"
    asked = await exported(at.gate, replace(LONG, validate_only=True))
    assert asked.head is not None
    assert asked.parts == []
    assert await to_review(at) == []


async def test_an_export_that_broke_goes_on_without_breaking_it_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fujie.flows.export.CHUNK", 10)
    at = await listing(house)
    whole = await exported(at.gate, LONG)
    first = await broken(at, LONG)
    rest = await exported(at.gate, replace(LONG, resume=first.parts[-1].token))
    assert first.rows + rest.rows == whole.rows
    assert len(await to_review(at)) == 2


async def test_who_loses_the_role_gets_no_further_chunk(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fujie.flows.export.CHUNK", 10)
    at = await listing(house)
    first = await broken(at, LONG)
    await hire(at, ME.subject, "marketer")
    rest = await exported(at.gate, replace(LONG, resume=first.parts[-1].token))
    assert (rest.code, rest.parts) == ("APPROVAL_REQUIRED", [])


async def test_a_message_goes_out_with_its_review_on_record(house: House) -> None:
    provider = CountingProvider()
    guard = BY_LISTS.replace(b"[export]", b"[send]").replace(b"request.rows < 25", b"request.rows > 9")
    at = sending(house, provider, policy=SENDERS + b"---" + guard)
    await hire(at, EYES[0].subject, "compliance_officer")
    await hire(at, "marketer", "marketer", "on_call")
    await agree(at, [KEY])
    at.log.leaves.clear()
    asked = message()
    assert code(await send_message(at.gate, ME, asked, 2.0)) == "APPROVAL_REQUIRED"
    now = replace(asked, context=replace(asked.context, ticket="T-9", break_glass=True))
    reply = await send_message(at.gate, ME, now, 2.0)
    assert isinstance(reply, MessageReply), reply
    assert len(provider.got) == 1
    (waiting,) = await to_review(at)
    (release,) = [entry for entry in at.entries if entry.kind == "release"]
    assert release.facts["approval.id"] == waiting.id
    assert release.reasons == ("warn:BREAK_GLASS_USED",)
