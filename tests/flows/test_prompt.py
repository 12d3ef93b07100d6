"""Prompts: a refusal says how to ask, one answer is taken, and nobody is asked who said no."""

import asyncio
import base64
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.audit.entry import EntryKind
from fujie.decision.decider import Decider
from fujie.flows.consent import NOW, Answer, record_consent, withdraw_consent
from fujie.flows.lookup import lookup
from fujie.flows.reply import ConsentReply, LookupReply, Prompt, Refusal, SuppressionReply
from fujie.flows.suppression import OptOut, add_suppression
from fujie.model.consent import Capture, ConsentEvent, ConsentEventType, Notice
from fujie.model.customer import Correction, Phone, StoreKey
from fujie.model.errors import LedgerError
from fujie.model.notice import digest_of
from fujie.model.request import LookupAsk, RequestContext
from fujie.model.suppression import SuppressionScope
from support.answers import FREE, answer
from support.house import House, InForce, ask, caller

DESK, MARKETER, SUPPORT = caller("consent-desk"), caller("marketer"), caller("support-agent")
ONE, TWO = StoreKey("crm", "C00001"), StoreKey("crm", "C00002")
MARKETING = ask("name", "phone", purpose="marketing", basis="consent", evidence="")
YES = ConsentEvent("", "", "", ConsentEventType.GIVEN, NOW, NOW, "", source="agent")
NO = replace(YES, type=ConsentEventType.REFUSED)
HEARS_OPT_OUTS = b"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: hears-opt-outs}
spec: {match: {actions: [suppression.add]}, roles: [consent_desk]}
"""


async def refusal(house: House, asked: LookupAsk = MARKETING, who: str = "marketer") -> Refusal:
    reply = await lookup(house.gate, caller(who), asked, 2.0)
    assert isinstance(reply, Refusal), reply
    return reply


async def prompted(house: House, asked: LookupAsk = MARKETING, who: str = "marketer") -> Prompt:
    prompt = (await refusal(house, asked, who)).prompt
    assert prompt is not None
    return prompt


async def said(
    house: House, prompt: Prompt | str, event: ConsentEvent = YES, who: str = "marketer", **more: Any
) -> ConsentReply | Refusal:
    token = prompt if isinstance(prompt, str) else prompt.token
    context = RequestContext(request_id=more.pop("request_id", ""))
    answered = Answer(event, prompt=token, capture=more.pop("capture", FREE), **more)
    return await record_consent(house.gate, caller(who), context, answered)


def code(reply: ConsentReply | Refusal) -> str:
    return reply.reasons[0].code if isinstance(reply, Refusal) else "ok"


def without_notices(house: House) -> House:
    bundle = replace(house.gate.policies.current.bundle, notices={})
    return replace(house, gate=replace(house.gate, policies=InForce(Decider(bundle))))


class TestOffer:
    async def test_the_notice_is_the_one_in_force_with_the_controller_in_it(self, house: House) -> None:
        prompt = await prompted(house)
        assert (prompt.purpose, prompt.notice.id, prompt.notice.version) == (
            "marketing",
            "marketing-notice",
            "1",
        )
        assert prompt.notice.text.zh.startswith("Test Ltd.")
        assert "{" not in prompt.notice.text.zh + prompt.notice.text.en
        assert prompt.notice.digest("zh-CN") == digest_of(prompt.notice.text.zh)

    async def test_the_entry_of_the_refusal_does_not_hold_the_token(self, house: House) -> None:
        prompt = await prompted(house)
        assert all(prompt.token.encode() not in leaf for leaf in house.log.leaves)

    async def test_the_token_tells_nobody_anything(self, house: House) -> None:
        prompt = await prompted(house)
        identity = await house.ledger.find((ONE,))
        assert identity is not None
        raw = base64.urlsafe_b64decode(prompt.token + "=" * (-len(prompt.token) % 4))
        for secret in (identity.sid, "marketer", "marketing", "C00001", "13800131234"):
            assert secret.encode() not in raw
        assert prompt.token not in repr(await refusal(house))

    async def test_two_prompts_for_the_same_differ(self, house: House) -> None:
        assert (await prompted(house)).token != (await prompted(house)).token

    async def test_who_has_no_grant_for_the_look_up_gets_none(self, house: House) -> None:
        assert (await refusal(house, who="nobody-in-particular")).prompt is None
        assert (await refusal(house, who="consent-desk")).prompt is None

    async def test_who_may_not_record_the_answer_gets_none(self, house: House) -> None:
        closed = b"""
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: answers-by-the-desk-alone}
spec:
  match: {actions: [consent.record]}
  validations: [{name: no-prompts, expression: "!request.has_prompt"}]
"""
        assert (await refusal(house.with_policy({"own.yaml": closed}))).prompt is None

    async def test_a_child_is_not_asked(self, house: House) -> None:
        reply = await refusal(house, replace(MARKETING, customer=StoreKey("crm", "C00020")))
        assert {hit.code for hit in reply.reasons} >= {"CONSENT_MISSING", "X_MINOR_MARKETING"}
        assert reply.prompt is None

    async def test_nobody_is_asked_who_is_not_there(self, house: House) -> None:
        assert (await refusal(house, replace(MARKETING, customer=StoreKey("crm", "C99999")))).prompt is None

    async def test_another_basis_is_not_asked_for(self, house: House) -> None:
        assert (await refusal(house, ask("phone", evidence=""), "support-agent")).prompt is None

    async def test_without_a_controller_there_is_no_notice_to_show(self, house: House) -> None:
        nameless = replace(house, gate=replace(house.gate, controller=""))
        assert (await refusal(nameless)).prompt is None

    async def test_without_a_notice_in_force_there_is_none(self, house: House) -> None:
        assert (await refusal(without_notices(house))).prompt is None

    async def test_a_text_changed_without_a_new_version_is_not_shown(self, house: House) -> None:
        await prompted(house)
        renamed = replace(house, gate=replace(house.gate, controller="Other Ltd."))
        assert (await refusal(renamed)).prompt is None


class TestCooldown:
    async def test_after_a_refusal_nobody_asks_again_for_thirty_days(self, house: House) -> None:
        assert code(await said(house, await prompted(house), NO)) == "ok"
        house.hands.time += timedelta(days=29, hours=23)
        assert (await refusal(house)).prompt is None
        house.hands.time += timedelta(hours=2)
        await prompted(house)

    async def test_after_a_withdrawal_nobody_ever_asks(self, house: House) -> None:
        await withdraw_consent(house.gate, DESK, ONE, RequestContext(), replace(YES, purpose="marketing"))
        house.hands.time += timedelta(days=3650)
        reply = await refusal(house)
        assert (reply.reasons[0].code, reply.prompt) == ("CONSENT_WITHDRAWN", None)

    async def test_a_refusal_after_a_withdrawal_opens_no_way_back(self, house: House) -> None:
        await withdraw_consent(house.gate, DESK, ONE, RequestContext(), replace(YES, purpose="marketing"))
        house.hands.time += timedelta(days=1)
        refused = answer(house.gate, ONE, replace(NO, purpose="marketing"))
        assert code(await record_consent(house.gate, DESK, RequestContext(), refused)) == "ok"
        house.hands.time += timedelta(days=60)
        reply = await refusal(house)
        assert (reply.reasons[0].code, reply.prompt) == ("CONSENT_MISSING", None)

    async def test_a_withdrawal_by_number_closes_the_mouth_as_well(self, house: House) -> None:
        await prompted(house)
        phone = Phone("+8613800131234")
        await withdraw_consent(house.gate, DESK, phone, RequestContext(), replace(YES, purpose="marketing"))
        assert (await refusal(house)).prompt is None

    async def test_who_opted_out_is_not_asked_and_not_overruled(self, house: House) -> None:
        prompt = await prompted(house)
        out = OptOut(ONE, SuppressionScope(purpose="marketing"))
        hearing = house.with_policy({"own.yaml": HEARS_OPT_OUTS})
        reply = await add_suppression(hearing.gate, DESK, RequestContext(), out)
        assert isinstance(reply, SuppressionReply), reply
        assert (await refusal(house)).prompt is None
        assert code(await said(house, prompt)) == "PROMPT_INVALID"

    async def test_an_expired_consent_may_be_asked_for_again(self, house: House) -> None:
        assert code(await said(house, await prompted(house))) == "ok"
        house.hands.time += timedelta(days=365)
        await prompted(house)


class TestAnswer:
    async def test_yes_opens_the_very_next_look_up(self, house: House) -> None:
        prompt = await prompted(house)
        reply = await said(house, prompt, replace(YES, evidence_ref="call-7"))
        assert isinstance(reply, ConsentReply)
        event = reply.event
        assert (event.purpose, event.channel, event.explicit, event.separate) == (
            "marketing",
            "any",
            True,
            False,
        )
        assert event.notice == Notice("marketing-notice", "1", "zh-CN", prompt.notice.digest("zh"))
        assert (event.actor, event.evidence_ref, event.data_classes) == (
            "marketer",
            "call-7",
            tuple(sorted(prompt.notice.data_classes)),
        )
        assert isinstance(await lookup(house.gate, MARKETER, MARKETING, 2.0), LookupReply)

    async def test_the_language_that_was_shown_is_recorded(self, house: House) -> None:
        prompt = await prompted(house)
        reply = await said(house, prompt, replace(YES, notice=Notice(language="en-GB")))
        assert isinstance(reply, ConsentReply)
        assert reply.event.notice.digest == digest_of(prompt.notice.text.en)

    async def test_no_is_recorded_and_opens_nothing(self, house: House) -> None:
        reply = await said(house, await prompted(house), NO, capture=None)
        assert isinstance(reply, ConsentReply)
        assert (reply.event.type, reply.event.explicit) == (ConsentEventType.REFUSED, False)
        assert (await refusal(house)).reasons[0].code == "CONSENT_MISSING"

    async def test_who_talks_to_customers_records_nothing_without_a_prompt(self, house: House) -> None:
        reply = await record_consent(house.gate, MARKETER, RequestContext(), answer(house.gate, ONE))
        assert code(reply) == "NO_GRANT"

    @pytest.mark.parametrize(
        "capture",
        [None, Capture(preselected=True, bundled=False), Capture(preselected=False, bundled=True)],
    )
    async def test_a_yes_that_was_not_free_is_none_and_leaves_the_prompt(
        self, house: House, capture: Capture | None
    ) -> None:
        prompt = await prompted(house)
        assert code(await said(house, prompt, capture=capture)) == "CONSENT_NOT_FREE"
        assert code(await said(house, prompt)) == "ok"

    async def test_a_prompt_takes_one_answer(self, house: House) -> None:
        prompt = await prompted(house)
        assert code(await said(house, prompt)) == "ok"
        for event in (YES, NO):
            for request_id in ("", "r-9"):
                assert code(await said(house, prompt, event, request_id=request_id)) == "PROMPT_INVALID"

    @pytest.mark.parametrize("event", [YES, NO])
    async def test_a_repeat_of_the_same_request_is_answered_like_the_first(
        self, house: House, event: ConsentEvent
    ) -> None:
        prompt = await prompted(house)
        first, again = [await said(house, prompt, event, request_id="r-1") for _ in range(2)]
        assert isinstance(first, ConsentReply)
        assert isinstance(again, ConsentReply)
        assert first.event == again.event
        other = replace(event, evidence_ref="another")
        assert code(await said(house, prompt, other, request_id="r-1")) == "PROMPT_INVALID"
        assert len(await house.ledger.consent_events([first.event.sid], "marketing")) == 1

    async def test_of_many_answers_at_once_one_is_taken(self, house: House) -> None:
        prompt = await prompted(house)
        replies = await asyncio.gather(*(said(house, prompt, YES if i % 2 else NO) for i in range(16)))
        assert sorted(map(code, replies)) == ["PROMPT_INVALID"] * 15 + ["ok"]

    async def test_a_failed_write_spends_nothing(self, house: House) -> None:
        """Between taking the token and writing the event there is no moment to crash in."""
        prompt = await prompted(house)

        class Failing:
            def __getattr__(self, name: str) -> Any:
                return getattr(house.gate.ledger, name)

            async def record_consent(self, *_: object) -> ConsentEvent:
                raise LedgerError

        broken: Any = Failing()
        assert (
            code(await said(replace(house, gate=replace(house.gate, ledger=broken)), prompt))
            == "LEDGER_UNAVAILABLE"
        )
        assert code(await said(house, prompt)) == "ok"

    async def test_the_answer_of_somebody_else_is_not_taken(self, house: House) -> None:
        prompt = await prompted(house)
        for who in ("support-agent", "consent-desk", "privacy-officer"):
            assert code(await said(house, prompt, who=who)) == "PROMPT_INVALID"
        assert code(await said(house, prompt)) == "ok"

    async def test_ten_minutes_and_not_a_second_more(self, house: House) -> None:
        prompt = await prompted(house)
        house.hands.time += timedelta(minutes=9, seconds=58)
        late = await prompted(house)
        assert code(await said(house, prompt)) == "ok"
        house.hands.time += timedelta(minutes=10)
        assert code(await said(house, late)) == "PROMPT_INVALID"

    async def test_a_forged_prompt_is_told_like_any_bad_one(self, house: House) -> None:
        token = (await prompted(house)).token
        flips = [
            token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
            for at in range(0, len(token), 9)
        ]
        for forged in [*flips, token[:-1], f"{token}A", f"{token}=", "", "x", "é" * 9, token.swapcase()]:
            if forged:
                reply = await said(house, forged)
                assert (code(reply), isinstance(reply, Refusal) and reply.field) == (
                    "PROMPT_INVALID",
                    "prompt",
                )

    @settings(max_examples=20)
    @given(token=st.text(min_size=1, max_size=200))
    async def test_no_text_opens_a_prompt_or_breaks_the_flow(self, house: House, token: str) -> None:
        assert code(await said(house, token)) == "PROMPT_INVALID"

    async def test_a_prompt_of_another_deployment_is_none_here(self, house: House) -> None:
        other = replace(
            house, gate=replace(house.gate, tokeniser=replace(house.gate.tokeniser, key=b"o" * 32))
        )
        assert code(await said(house, (await prompted(other)).token)) == "PROMPT_INVALID"

    async def test_what_is_said_beside_the_prompt_must_agree(self, house: House) -> None:
        prompt = await prompted(house)
        differing: list[dict[str, Any]] = [
            {"purpose": "after_sales"},
            {"channel": "sms"},
            {"notice": Notice("after-sales-notice", "1", "zh")},
            {"notice": Notice("marketing-notice", "2", "zh")},
            {"notice": Notice("marketing-notice", "1", "zh", "0" * 64)},
            {"notice": Notice(language="fr")},
            {"separate": True},
            {"recipients": ("a partner",)},
        ]
        told = {
            str(changes): code(await said(house, prompt, replace(YES, **changes))) for changes in differing
        }
        assert set(told.values()) == {"PROMPT_INVALID"}, told
        assert code(await said(house, prompt)) == "ok"

    async def test_what_agrees_may_be_said_again(self, house: House) -> None:
        prompt = await prompted(house)
        full = Notice("marketing-notice", "1", "zh", prompt.notice.digest("zh"))
        event = replace(YES, purpose="marketing", notice=full, explicit=True)
        assert code(await said(house, prompt, event, customer=ONE)) == "ok"

    async def test_about_another_customer_it_is_not_taken(self, house: House) -> None:
        await refusal(house, replace(MARKETING, customer=TWO))
        prompt = await prompted(house)
        for other in (TWO, StoreKey("crm", "C99999"), Phone("+8613912340000")):
            assert code(await said(house, prompt, customer=other)) == "PROMPT_INVALID"

    async def test_a_customer_who_said_no_since_then_is_not_overruled(self, house: House) -> None:
        prompts = [await prompted(house), await prompted(house)]
        await withdraw_consent(house.gate, DESK, ONE, RequestContext(), replace(YES, purpose="marketing"))
        assert [code(await said(house, prompt)) for prompt in prompts] == ["PROMPT_INVALID"] * 2

    async def test_a_no_by_number_since_then_is_not_overruled(self, house: House) -> None:
        """It is said under a sid that the number gets by it: nobody's when the prompt was made."""
        phone, prompt = Phone("+8613800131234"), await prompted(house)
        await withdraw_consent(house.gate, DESK, phone, RequestContext(), replace(YES, purpose="marketing"))
        assert code(await said(house, prompt)) == "PROMPT_INVALID"

    async def test_an_opt_out_by_number_since_then_is_not_overruled(self, house: House) -> None:
        prompt = await prompted(house)
        out = OptOut(Phone("+8613800131234"), SuppressionScope(purpose="marketing"))
        hearing = house.with_policy({"own.yaml": HEARS_OPT_OUTS})
        reply = await add_suppression(hearing.gate, DESK, RequestContext(), out)
        assert isinstance(reply, SuppressionReply), reply
        assert code(await said(house, prompt)) == "PROMPT_INVALID"

    @pytest.mark.parametrize("is_split", [True, False])
    async def test_who_is_somebody_else_by_now_is_asked_anew(self, house: House, *, is_split: bool) -> None:
        prompt = await prompted(house)
        correction = Correction("form-1", "test", house.hands.now())
        await house.ledger.enrol((TWO,), house.hands.now())
        if is_split:
            await house.ledger.split((ONE,), correction)
        else:
            await house.ledger.merge(TWO, ONE, correction)
        assert code(await said(house, prompt)) == "PROMPT_INVALID"

    async def test_one_no_voids_every_other_prompt(self, house: House) -> None:
        first, second = await prompted(house), await prompted(house)
        assert code(await said(house, first, NO)) == "ok"
        assert code(await said(house, second)) == "PROMPT_INVALID"

    @pytest.mark.parametrize("kind", sorted(set(ConsentEventType) - {"given", "refused"}))
    async def test_an_answer_is_yes_or_no(self, house: House, kind: ConsentEventType) -> None:
        assert code(await said(house, await prompted(house), replace(YES, type=kind))) == "ARGUMENT_INVALID"

    async def test_an_answer_is_of_now(self, house: House) -> None:
        event = replace(YES, event_time=house.hands.time - timedelta(days=1))
        assert code(await said(house, await prompted(house), event)) == "ARGUMENT_INVALID"

    async def test_an_answer_leaves_admission_and_outcome_about_the_customer_alone(
        self, house: House
    ) -> None:
        prompt = await prompted(house)
        house.log.leaves.clear()
        reply = await said(house, prompt)
        assert isinstance(reply, ConsentReply)
        admission, outcome = house.entries
        assert (admission.kind, outcome.kind) == (EntryKind.ADMISSION, EntryKind.OUTCOME)
        assert (admission.sids[0], admission.principal) == (reply.event.sid, "marketer")
        assert (
            admission.facts["consent.record_id"]
            == outcome.facts["consent.record_id"]
            == reply.event.record_id
        )

    async def test_the_notice_that_was_shown_counts_also_when_the_policy_moved_on(
        self, house: House
    ) -> None:
        prompt = await prompted(house)
        assert code(await said(without_notices(house), prompt)) == "ok"
