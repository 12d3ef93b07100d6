"""Attacks on the look-up: each claim of promises 1 to 4, 7, 9 and 11 that a flow must hold."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fujie.adapters.logfiles import verify_directory
from fujie.audit.entry import EntryKind
from fujie.audit.errors import LogUnavailable
from fujie.decision.decide import decide
from fujie.flows.consent import NOW, record_consent, withdraw_consent
from fujie.flows.directory import offboard_principal, upsert_principal
from fujie.flows.lookup import LATELY_S, lookup, request_of
from fujie.flows.reply import ConsentReply, LookupReply, PrincipalReply, Refusal
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import LedgerError, StoreError
from fujie.model.facts import Facts, Kind
from fujie.model.principal import Principal
from fujie.model.request import LookupAsk, RequestContext
from fujie.model.vocabulary import Effect, State
from support.answers import answer
from support.house import ADMIN, BOOTSTRAP, FIELDS, House, RecordingLog, ask, caller
from support.stores import Spy

SUPPORT, MARKETER, DESK = caller("support-agent"), caller("marketer"), caller("consent-desk")
PHONE = Phone("+8613800131234")
SHOWN = StoreKey("crm", "C00001")
MARKETING = ask("name", "phone", purpose="marketing", basis="consent", evidence="")


def draft(
    kind: ConsentEventType = ConsentEventType.GIVEN, purpose: str = "marketing", **fields: Any
) -> ConsentEvent:
    event = ConsentEvent("", "", purpose, kind, NOW, NOW, "", explicit=True)
    return replace(event, **fields)


async def given(house: House, ref: CustomerRef = SHOWN, **fields: Any) -> ConsentReply:
    reply = await record_consent(
        house.gate, DESK, RequestContext(), answer(house.gate, ref, draft(**fields))
    )
    assert isinstance(reply, ConsentReply), reply
    return reply


async def withdrawn(house: House, ref: CustomerRef) -> None:
    reply = await withdraw_consent(house.gate, DESK, ref, RequestContext(), draft())
    assert isinstance(reply, ConsentReply), reply


async def refusal(house: House, who: str, asked: LookupAsk) -> Refusal:
    reply = await lookup(house.gate, caller(who), asked, 2.0)
    assert isinstance(reply, Refusal), reply
    return reply


async def code(house: House, who: str, asked: LookupAsk) -> str:
    return (await refusal(house, who, asked)).reasons[0].code


async def shown(house: House, who: str, asked: LookupAsk) -> LookupReply:
    reply = await lookup(house.gate, caller(who), asked, 2.0)
    assert isinstance(reply, LookupReply), reply
    return reply


class TestWhatLeaves:
    async def test_support_sees_the_masked_number_and_nothing_that_was_not_asked(
        self, house: House
    ) -> None:
        reply = await shown(house, "support-agent", ask("phone"))
        assert dict(reply.customer) == {"phone": "138****1234"}

    async def test_a_field_that_no_grant_names_is_withheld_and_named(self, house: House) -> None:
        reply = await shown(house, "support-agent", ask("phone", "birthday"))
        assert {"phone"} == set(reply.customer)
        assert reply.treatments["birthday"].withheld == "FIELD_NOT_GRANTED"

    async def test_strict_refuses_instead_of_withholding(self, house: House) -> None:
        asked = replace(ask("phone", "birthday"), strict=True)
        assert await code(house, "support-agent", asked) == "FIELD_NOT_GRANTED"

    async def test_only_withheld_fields_are_a_refusal(self, house: House) -> None:
        assert await code(house, "support-agent", ask("birthday", "plate")) == "NO_FIELD_GRANTED"

    async def test_the_store_is_never_asked_for_a_column_that_no_grant_opens(self, house: House) -> None:
        spy = Spy(house.gate.stores["crm"])
        gate = replace(house.gate, stores={"crm": spy})
        await lookup(gate, SUPPORT, ask("phone", "birthday", "plate"), 2.0)
        assert [frozenset({"phone"})] == spy.fields_asked

    @pytest.mark.parametrize(("who", "fields"), [("support-agent", "name"), ("marketer", "phone")])
    async def test_the_guard_closes_what_the_grant_left_open(
        self, house: House, who: str, fields: str
    ) -> None:
        await given(house)
        reply = await shown(house, "marketer", MARKETING)
        assert reply.customer["phone"] == "138******34"

    async def test_by_phone_gives_the_same_as_by_id(self, house: House) -> None:
        by_id = await shown(house, "support-agent", ask("name", "phone"))
        by_phone = await shown(house, "support-agent", replace(ask("name", "phone"), customer=PHONE))
        assert dict(by_id.customer) == dict(by_phone.customer)


class TestClosedByDefault:
    async def test_a_principal_without_a_grant_is_refused_before_any_store_is_touched(
        self, house: House
    ) -> None:
        spy = Spy(house.gate.stores["crm"])
        gate = replace(house.gate, stores={"crm": spy})
        reply = await lookup(gate, caller("nobody-in-particular"), ask("phone"), 2.0)
        assert isinstance(reply, Refusal)
        assert (reply.reasons[0].code, spy.fields_asked) == ("NO_GRANT", [])

    async def test_an_unknown_principal_is_refused_with_an_entry(self, house: House) -> None:
        assert await code(house, "stranger", ask("phone")) == "PRINCIPAL_UNKNOWN"
        assert (house.entries[-1].principal, house.entries[-1].effect) == ("stranger", "DENY")

    @pytest.mark.parametrize(
        ("asked", "expected"),
        [
            (ask("phone", purpose="profiling"), "UNKNOWN_PURPOSE"),
            (ask("phone", purpose=""), "PURPOSE_MISSING"),
            (ask("phone", "shoe_size"), "UNKNOWN_FIELD"),
            (ask(), "FIELDS_UNBOUNDED"),
            (ask("landline"), "UNKNOWN_FIELD"),
            (replace(ask("phone"), store="erp"), "UNKNOWN_STORE"),
            (ask("phone", purpose="marketing"), "NO_GRANT"),
            (ask("phone", customer="C99999"), "NO_GRANT"),
            (ask("phone", customer="C99999", ticket="T-1"), "CUSTOMER_NOT_FOUND"),
            (ask("phone", evidence=""), "BASIS_EVIDENCE_MISSING"),
            (ask("phone", basis="legal_duty"), "BASIS_NOT_ACCEPTED"),
            (ask("phone", basis="because"), "BASIS_NOT_ACCEPTED"),
            (ask("phone", on_behalf_of="administrator"), "DELEGATION_REFUSED"),
        ],
    )
    async def test_what_does_not_fit_is_refused(
        self, house: House, asked: LookupAsk, expected: str
    ) -> None:
        assert expected == await code(house, "support-agent", asked)

    async def test_a_caller_can_not_choose_its_law(self, house: House) -> None:
        await given(house)
        asked = ask("phone", purpose="marketing", basis="contract", evidence="order-7")
        assert await code(house, "marketer", asked) == "BASIS_NOT_ACCEPTED"

    async def test_an_attribute_that_a_guard_reads_and_the_row_lacks_refuses(self, house: House) -> None:
        policy = b"""
apiVersion: fujie.dev/v1
kind: FieldCatalog
metadata: {name: extra}
spec: {attributes: {customer: {vip: {type: bool}}}}
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: reads-vip}
spec:
  match: {actions: [lookup]}
  validations: [{name: not-vip, expression: "!customer.vip"}]
"""
        house = house.with_policy({"extra.yaml": policy})
        reply = await refusal(house, "support-agent", ask("phone"))
        assert (reply.reasons[0].code, reply.reasons[0].guard) == ("FACT_MISSING", "reads-vip")
        assert "customer.vip" in reply.reasons[0].message.en

    @pytest.mark.parametrize(
        "expression", ["1 / (time.hour - time.hour) == 1", "request.fields[99] == 'x'", "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2].all(e, e > 0)))))"]
    )  # fmt: skip
    async def test_a_rule_that_errs_at_run_time_refuses(self, house: House, expression: str) -> None:
        policy = f"""
apiVersion: fujie.dev/v1
kind: Guard
metadata: {{name: broken}}
spec:
  match: {{actions: [lookup]}}
  validations: [{{name: errs, expression: "{expression}"}}]
"""
        house = house.with_policy({"extra.yaml": policy.encode()})
        reply = await refusal(house, "support-agent", ask("phone"))
        assert (reply.reasons[0].code, reply.reasons[0].guard) == ("GUARD_ERROR", "broken")

    @pytest.mark.parametrize(
        ("error", "expected"),
        [(StoreError(), "STORE_UNAVAILABLE"), (StoreError(code="STORE_TIMEOUT"), "STORE_TIMEOUT"), (LedgerError(), "LEDGER_UNAVAILABLE")],
    )  # fmt: skip
    async def test_a_broken_dependency_refuses_with_an_entry(
        self, house: House, error: Exception, expected: str
    ) -> None:
        gate = replace(house.gate, stores={"crm": Spy(house.gate.stores["crm"], error)})
        reply = await lookup(gate, SUPPORT, ask("phone"), 2.0)
        assert isinstance(reply, Refusal)
        assert (expected, (expected,)) == (reply.reasons[0].code, house.entries[-1].reasons)

    async def test_no_time_left_is_a_refusal(self, house: House) -> None:
        reply = await lookup(house.gate, SUPPORT, ask("phone"), 0.0)
        assert isinstance(reply, Refusal)
        assert reply.reasons[0].code == "STORE_TIMEOUT"


class TestConsent:
    async def test_marketing_without_consent_is_refused_with_article_and_remedy_in_both_languages(
        self, house: House
    ) -> None:
        reason = (await refusal(house, "marketer", MARKETING)).reasons[0]
        assert (reason.code, "PIPL-13" in reason.basis) == ("CONSENT_MISSING", True)
        assert all((reason.message.zh, reason.message.en, reason.remedy.zh, reason.remedy.en))

    async def test_recorded_consent_opens_the_very_next_call_and_a_withdrawal_closes_it(
        self, house: House
    ) -> None:
        await given(house)
        await shown(house, "marketer", MARKETING)
        await withdrawn(house, StoreKey("crm", "C00001"))
        assert await code(house, "marketer", MARKETING) == "CONSENT_WITHDRAWN"

    async def test_a_withdrawal_by_phone_closes_the_look_up_by_id(self, house: House) -> None:
        await given(house)
        await shown(house, "marketer", MARKETING)
        await withdrawn(house, PHONE)
        assert await code(house, "marketer", MARKETING) == "CONSENT_WITHDRAWN"

    async def test_a_withdrawal_by_phone_before_anything_else_closes_too(self, house: House) -> None:
        await withdrawn(house, PHONE)
        assert await code(house, "marketer", MARKETING) == "CONSENT_WITHDRAWN"

    async def test_consent_of_one_customer_opens_no_other(self, house: House) -> None:
        await given(house)
        other = replace(MARKETING, customer=StoreKey("crm", "C00002"))
        assert await code(house, "marketer", other) == "CONSENT_MISSING"

    async def test_consent_for_one_purpose_opens_no_other(self, house: House) -> None:
        await given(house, purpose="after_sales")
        assert await code(house, "marketer", MARKETING) == "CONSENT_MISSING"

    @pytest.mark.parametrize("fields", [{"explicit": False}, {"channel": "sms"}])
    async def test_a_weaker_consent_is_none(self, house: House, fields: Mapping[str, Any]) -> None:
        await given(house, **fields)
        assert await code(house, "marketer", MARKETING) == "CONSENT_MISSING"

    async def test_consent_ends_with_its_validity_and_with_the_purpose(self, house: House) -> None:
        await given(house, valid_until=house.hands.time + timedelta(hours=1))
        await shown(house, "marketer", MARKETING)
        house.hands.time += timedelta(hours=1)
        assert await code(house, "marketer", MARKETING) == "CONSENT_MISSING"
        await given(house)
        house.hands.time += timedelta(days=364)
        await shown(house, "marketer", MARKETING)
        house.hands.time += timedelta(days=1)
        assert await code(house, "marketer", MARKETING) == "CONSENT_MISSING"

    async def test_an_older_consent_imported_later_does_not_lift_a_withdrawal(self, house: House) -> None:
        await withdrawn(house, StoreKey("crm", "C00001"))
        await given(house, event_time=house.hands.time - timedelta(days=30))
        assert await code(house, "marketer", MARKETING) == "CONSENT_WITHDRAWN"

    async def test_an_event_in_the_future_is_refused(self, house: House) -> None:
        event = draft(event_time=house.hands.time + timedelta(minutes=1))
        reply = await record_consent(house.gate, DESK, RequestContext(), answer(house.gate, PHONE, event))
        assert isinstance(reply, Refusal)
        assert reply.reasons[0].code == "EVENT_IN_FUTURE"

    async def test_a_repeated_request_id_answers_like_the_first_and_another_body_is_refused(
        self, house: House
    ) -> None:
        context = RequestContext(request_id="r-1")
        said = answer(house.gate, PHONE, draft())
        first, again = [await record_consent(house.gate, DESK, context, said) for _ in range(2)]
        assert isinstance(first, ConsentReply)
        assert isinstance(again, ConsentReply)
        assert first.event.record_id == again.event.record_id
        other = await record_consent(
            house.gate, DESK, context, answer(house.gate, PHONE, draft(purpose="after_sales"))
        )
        assert isinstance(other, Refusal)
        assert other.reasons[0].code == "REQUEST_ID_REUSED"

    async def test_a_minor_is_never_marketed_to(self, house: House) -> None:
        child = StoreKey("crm", "C00020")
        await given(house, ref=child)
        assert await code(house, "marketer", replace(MARKETING, customer=child)) == "X_MINOR_MARKETING"


class TestEmployment:
    async def test_offboarding_holds_for_the_very_next_call(self, house: House) -> None:
        await shown(house, "support-agent", ask("phone"))
        reply = await offboard_principal(house.gate, ADMIN, RequestContext(), "support-agent")
        assert isinstance(reply, PrincipalReply)
        assert await code(house, "support-agent", ask("phone")) == "PRINCIPAL_OFFBOARDED"

    async def test_who_is_offboarded_while_the_store_is_slow_gets_no_row(self, house: House) -> None:
        async def leaves() -> None:
            reply = await offboard_principal(house.gate, ADMIN, RequestContext(), "support-agent")
            assert isinstance(reply, PrincipalReply)
            house.hands.ahead += LATELY_S

        store = Spy(house.gate.stores["crm"], meanwhile=leaves)
        slow = replace(house, gate=replace(house.gate, stores={"crm": store}))
        assert await code(slow, "support-agent", ask("phone")) == "PRINCIPAL_OFFBOARDED"
        assert house.entries[-1].reasons == ("PRINCIPAL_OFFBOARDED",)
        assert len(store.fields_asked) == 1

    async def test_who_loses_a_role_while_the_store_is_slow_is_judged_without_it(
        self, house: House
    ) -> None:
        async def moves() -> None:
            other = Principal("support-agent", roles=frozenset({"nothing"}), training=State.VALID)
            reply = await upsert_principal(house.gate, ADMIN, RequestContext(), other)
            assert isinstance(reply, PrincipalReply)
            house.hands.ahead += LATELY_S

        slow = Spy(house.gate.stores["crm"], meanwhile=moves)
        asked = replace(house, gate=replace(house.gate, stores={"crm": slow}))
        assert await code(asked, "support-agent", ask("phone")) == "NO_GRANT"

    async def test_a_suspended_principal_is_refused_with_all_its_roles(self, house: House) -> None:
        suspended = Principal("support-agent", roles=frozenset({"support"}), employment=State.SUSPENDED)
        await upsert_principal(house.gate, ADMIN, RequestContext(), suspended)
        assert await code(house, "support-agent", ask("phone", ticket="T-1")) == "PRINCIPAL_SUSPENDED"

    @pytest.mark.parametrize("who", [BOOTSTRAP, ADMIN, SUPPORT])
    async def test_nobody_writes_himself_a_role(self, house: House, who: object) -> None:
        assert isinstance(who, type(SUPPORT))
        promoted = Principal(who.subject, roles=frozenset({"administrator", "support"}))
        reply = await upsert_principal(house.gate, who, RequestContext(), promoted)
        assert isinstance(reply, Refusal)
        kept = await house.gate.directory.get(who.subject)
        assert kept is None or "support" not in kept.roles or who is SUPPORT

    async def test_the_bootstrap_administrator_is_void_once_there_is_one(self, house: House) -> None:
        reply = await upsert_principal(
            house.gate, BOOTSTRAP, RequestContext(), Principal("x", roles=frozenset({"a"}))
        )
        assert isinstance(reply, Refusal)
        assert reply.reasons[0].code == "PRINCIPAL_UNKNOWN"


class TestEvidence:
    async def test_nothing_is_released_when_the_log_can_not_be_written(self, house: House) -> None:
        gate = replace(house.gate, log=BrokenLog(house.log))
        with pytest.raises(LogUnavailable):
            await lookup(gate, SUPPORT, ask("phone"), 2.0)
        assert house.counted.decisions[-1] == ("lookup", "DENY", "LOG_UNAVAILABLE")

    async def test_the_entry_is_durable_before_the_record_is_opened(self, house: House) -> None:
        await shown(house, "support-agent", ask("phone"))
        stages = house.counted.stages
        assert stages.index("evidence") < stages.index("mask")
        entry = house.entries[-1]
        assert (
            entry.kind,
            entry.effect,
            dict(entry.fields),
        ) == (EntryKind.DECISION, "ALLOW", {"phone": "keep(3,4)"})

    async def test_a_write_that_can_not_be_evidenced_is_not_made(self, house: House) -> None:
        gate = replace(house.gate, log=BrokenLog(house.log))
        with pytest.raises(LogUnavailable):
            await record_consent(gate, DESK, RequestContext(), answer(gate, PHONE, draft()))
        assert await code(house, "marketer", MARKETING) == "CONSENT_MISSING"

    async def test_writes_leave_admission_and_outcome(self, house: House) -> None:
        await given(house)
        kinds = [entry.kind for entry in house.entries[-2:]]
        assert kinds == [EntryKind.ADMISSION, EntryKind.OUTCOME]
        assert house.entries[-1].decision_id == house.entries[-2].decision_id

    async def test_entries_hold_no_personal_data(self, house: House) -> None:
        await given(house)
        await shown(
            house, "support-agent", ask("name", "phone", "address", "email", ticket="T-张三-13800131234")
        )
        await refusal(house, "marketer", replace(MARKETING, customer=PHONE))
        await lookup(house.gate, SUPPORT, ask("name", customer="C00002", evidence="13912345678"), 2.0)
        logged = b"".join(path.read_bytes() for path in (house.root / "log").rglob("*") if path.is_file())
        logged += b"".join(house.log.leaves) + b"".join(
            p.read_bytes() for p in house.root.glob("ledger.db*")
        )
        for secret in (
            "13800131234",
            "138****1234",
            "C00001",
            "C00002",
            "张三",
            "13912345678",
            "customer1@",
            "样例路",
            "order-7",
        ):
            assert secret.encode() not in logged, secret

    async def test_a_decision_can_be_replayed_from_its_entry_alone(self, house: House) -> None:
        await given(house)
        await shown(house, "marketer", MARKETING)
        await refusal(house, "support-agent", ask("birthday", customer="C00020", ticket="T-1"))
        decider = house.gate.policies.current
        for entry, asked in (
            (house.entries[-2], MARKETING),
            (house.entries[-1], ask("birthday", customer="C00020", ticket="T-1")),
        ):
            recorded: dict[str, Any] = dict(entry.facts) | await house.personal_facts(entry)
            types = decider.bundle.facts
            facts = Facts({
                path: State(value) if types[path].kind is Kind.STATE and isinstance(value, str) else value
                for path, value in recorded.items()
            })  # fmt: skip
            roles = recorded["principal.roles"]
            assert isinstance(roles, tuple)
            request = request_of(asked)
            decision = decide(decider.plan(request, frozenset(roles)), request, facts)
            assert (entry.effect, entry.bundle) == (decision.effect.value, decision.bundle)
            assert entry.reasons[: len(decision.reasons)] == tuple(hit.code for hit in decision.reasons)

    async def test_personal_facts_are_sealed_under_the_customers_own_key(self, house: House) -> None:
        await shown(house, "support-agent", ask("phone"))
        entry = house.entries[-1]
        assert "customer.minor" not in entry.facts
        assert await house.personal_facts(entry) == {"customer.minor": False}

    async def test_one_customer_has_one_sid_whatever_it_is_asked_by(self, house: House) -> None:
        await asyncio.gather(*(shown(house, "support-agent", ask("phone")) for _ in range(8)))
        await shown(house, "support-agent", replace(ask("phone"), customer=PHONE))
        assert len({entry.sids for entry in house.entries}) == 1


class TestNoLeaksOnTheSide:
    @pytest.mark.parametrize("who", ["nobody-in-particular", "stranger", "administrator", "marketer"])
    async def test_without_a_grant_the_answer_is_the_same_whoever_the_customer_is(
        self, house: House, who: str
    ) -> None:
        await given(house, purpose="after_sales")
        answers = set()
        for customer in ("C00001", "C00002", "C00020", "C99999", "' OR 1=1 --", "%"):
            reply = await refusal(house, who, ask("phone", customer=customer))
            answers.add(
                (
                    reply.summary.effect,
                    reply.summary.bundle,
                    reply.reasons,
                    reply.field,
                    reply.summary.warnings,
                )
            )
        assert len(answers) == 1

    async def test_other_peoples_customers_look_like_none_at_all(self, house: House) -> None:
        store = house.gate.stores["crm"]
        others = [
            f"C{n:05}" for n in range(2, 60)
            if (await store.fetch(StoreKey("crm", f"C{n:05}"), frozenset(), frozenset({"owner_department"}), 1.0))[0].attributes["owner_department"] != "east"
        ]  # fmt: skip
        replies = [
            await refusal(house, "support-agent", ask("phone", customer=c)) for c in (others[0], "C99999")
        ]
        assert replies[0].reasons == replies[1].reasons

    async def test_the_reasons_of_a_refusal_name_no_value(self, house: House) -> None:
        reply = await refusal(house, "marketer", MARKETING)
        text = repr(reply)
        assert all(value not in text for value in ("13800131234", "C00001", FIELDS["phone"]))


class BrokenLog(RecordingLog):
    """A log whose disk is gone."""

    healthy = False

    async def append(self, leaf: bytes) -> int:
        raise LogUnavailable("the log has failed or is closed")


def test_the_effects_are_those_of_the_wire() -> None:
    assert {"ALLOW", "DENY", "APPROVAL_REQUIRED"} == {effect.value for effect in Effect}


@pytest.mark.parametrize(
    ("ends", "reason"),
    [
        ("UPDATE principal SET employment = 'OFFBOARDED' WHERE id = 'marketer'", "PRINCIPAL_OFFBOARDED"),
        (f"UPDATE consent_event SET type = '{ConsentEventType.WITHDRAWN}'", "CONSENT_WITHDRAWN"),
    ],
)
async def test_what_another_process_ended_is_over_also_for_who_asks_within_a_turn_that_began_before(
    house: House, tmp_path: Path, ends: str, reason: str
) -> None:
    """A hundred look-ups that were made ready together are a long turn: those that begin last are of a time behind it."""
    await given(house)
    assert isinstance(await lookup(house.gate, MARKETER, MARKETING, 2.0), LookupReply)
    assert await house.ledger.find([SHOWN])  # the turn has begun to read, and goes on below
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as elsewhere, elsewhere:
        elsewhere.execute(ends)
    assert (await refusal(house, "marketer", MARKETING)).reasons[0].code == reason


async def test_a_clock_that_is_set_back_breaks_no_evidence_and_reopens_nothing(house: House) -> None:
    assert isinstance(await lookup(house.gate, SUPPORT, ask("phone"), 2.0), LookupReply)
    withdrawn = await withdraw_consent(house.gate, DESK, SHOWN, RequestContext(), draft())
    assert isinstance(withdrawn, ConsentReply)
    for _ in range(3):
        house.hands.time -= timedelta(days=1)
        reply = await lookup(house.gate, MARKETER, MARKETING, 2.0)
        assert isinstance(reply, Refusal)
        assert reply.reasons[0].code == "CONSENT_WITHDRAWN"
        again = await record_consent(house.gate, DESK, RequestContext(), answer(house.gate, SHOWN))
        assert isinstance(again, ConsentReply)  # said, as it seems, before the withdrawal
    entries = house.entries
    assert entries[0].time > entries[-1].time
    assert len({entry.uid for entry in entries}) == len(entries)
    (report,) = verify_directory(house.root / "log")
    assert report.is_intact
