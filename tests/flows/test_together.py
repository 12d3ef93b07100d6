"""Promises where two features meet: each holds alone elsewhere; here one is attacked through the other."""

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from fujie.adapters.logfiles import verify_directory
from fujie.audit.checkpoint import parse_vkey
from fujie.audit.consent_bundle import Standing, verify
from fujie.flows.batch import batch_lookup
from fujie.flows.consent import NOW, Answer, ConsentQuery, record_consent
from fujie.flows.consent_evidence import export_consent_evidence
from fujie.flows.lookup import lookup
from fujie.flows.reply import BatchReply, ConsentReply, EvidenceReply, LookupReply, Refusal
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import Correction, CustomerRef, Phone, StoreKey
from fujie.model.principal import Credential
from fujie.model.request import BatchAsk, LookupAsk, RequestContext
from fujie.model.suppression import Suppression, SuppressionScope
from support.answers import FREE, answer
from support.house import House, ask, caller

CRM = "spiffe://example.com/ns/crm/sa/web"
WORKLOAD = Credential(CRM, "", CRM)
DESK, MARKETER = caller("consent-desk"), caller("marketer")
WHO = "nobody-in-particular"
ONE, TWO, THREE = (StoreKey("crm", f"C{n:05}") for n in (1, 2, 3))
MARKETING = ask("name", "phone", purpose="marketing", basis="consent", evidence="")
YES = ConsentEvent("", "", "", ConsentEventType.GIVEN, NOW, NOW, "", source="agent")


@pytest.fixture
def trusting(house: House) -> House:
    return replace(house, gate=replace(house.gate, may_assert=frozenset({CRM})))


def limited(house: House, limits: str) -> House:
    grant = f"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {{name: limited}}
spec:
  match: {{actions: [lookup], keys: [customer_id, phone]}}
  roles: [nothing]
  purposes: [after_sales]
  fields: {{phone: token}}
  limits: {limits}
"""
    return house.with_policy({"limits.yaml": grant.encode()})


def code(reply: object) -> str:
    return reply.reasons[0].code if isinstance(reply, Refusal) else ""


async def seen(house: House, ref: CustomerRef, by: Credential, **context: str) -> str:
    asked = replace(ask("phone", **context), customer=ref)
    return code(await lookup(house.gate, by, asked, 2.0))


async def test_a_person_has_one_limit_however_he_calls(trusting: House) -> None:
    house = limited(trusting, "{rows_per_hour: 2}")
    assert await seen(house, ONE, caller(WHO)) == ""
    assert await seen(house, ONE, WORKLOAD, on_behalf_of=WHO) == ""
    assert await seen(house, ONE, caller(WHO)) == "LIMIT_EXCEEDED"
    assert await seen(house, ONE, WORKLOAD, on_behalf_of=WHO) == "LIMIT_EXCEEDED"


async def test_whom_two_ids_name_is_one_customer_of_the_day_and_whom_they_no_longer_do_is_two(
    house: House,
) -> None:
    house = limited(house, "{distinct_customers_per_day: 2}")
    why = Correction("form-1", "test", house.hands.now())
    assert [await seen(house, ref, caller(WHO)) for ref in (ONE, TWO)] == ["", ""]
    assert await seen(house, THREE, caller(WHO)) == "LIMIT_EXCEEDED"
    await house.ledger.enrol((THREE,), house.hands.now())
    await house.ledger.merge(ONE, THREE, why)
    assert await seen(house, THREE, caller(WHO)) == ""  # counted under the other id
    await house.ledger.split((THREE,), why)
    assert await seen(house, THREE, caller(WHO)) == "LIMIT_EXCEEDED"


async def test_a_prompt_is_the_persons_and_not_the_workloads_through_which_he_asked(
    trusting: House,
) -> None:
    delegated = replace(MARKETING, context=replace(MARKETING.context, on_behalf_of="marketer"))
    refused = await lookup(trusting.gate, WORKLOAD, delegated, 2.0)
    assert isinstance(refused, Refusal)
    assert refused.prompt

    async def said(by: Credential, whom: str) -> ConsentReply | Refusal:
        given = Answer(YES, prompt=refused.prompt.token if refused.prompt else "", capture=FREE)
        return await record_consent(trusting.gate, by, RequestContext(on_behalf_of=whom), given)

    assert code(await said(WORKLOAD, "")) == "PRINCIPAL_UNKNOWN"
    assert code(await said(WORKLOAD, "consent-desk")) == "PROMPT_INVALID"
    assert code(await said(WORKLOAD, "support-agent")) == "PROMPT_INVALID"
    reply = await said(WORKLOAD, "marketer")
    assert isinstance(reply, ConsentReply)
    assert reply.event.actor == "marketer"
    assert (trusting.entries[-1].principal, trusting.entries[-1].on_behalf_of) == (CRM, "marketer")


@pytest.mark.parametrize("by", [ONE, TWO, Phone("+8613800131234")])
async def test_an_opt_out_under_one_name_closes_a_batch_under_every_other(
    house: House, by: CustomerRef
) -> None:
    for ref in (ONE, TWO):
        assert isinstance(
            await record_consent(house.gate, DESK, RequestContext(), answer(house.gate, ref)), ConsentReply
        )
    before = await _batch(house, ONE, TWO, THREE)
    assert [isinstance(each, LookupReply) for each in before] == [True, True, False]
    now = house.hands.now()
    await house.ledger.merge(ONE, TWO, Correction("form-1", "test", now))
    whole = await (
        house.ledger.number(by, now) if isinstance(by, Phone) else house.ledger.enrol((by,), now)
    )
    given = Suppression("1" * 32, whole.sid, SuppressionScope("marketing"), now, now, "test")
    await house.ledger.add_suppression(given, "", "")
    assert [code(each) for each in await _batch(house, ONE, TWO)] == ["CUSTOMER_OPTED_OUT"] * 2
    await house.ledger.split((TWO,), Correction("form-2", "test", house.hands.now()))
    assert [code(each) for each in await _batch(house, ONE, TWO)] == ["CUSTOMER_OPTED_OUT"] * 2


async def _batch(house: House, *refs: CustomerRef) -> list[LookupReply | Refusal]:
    asked = BatchAsk(refs, "crm", MARKETING.context, MARKETING.fields)
    reply = await batch_lookup(house.gate, MARKETER, asked, 2.0)
    assert isinstance(reply, BatchReply), reply
    return list(reply.answers)


async def test_with_the_key_of_a_customer_goes_what_is_personal_and_no_proof(house: House) -> None:
    recorded = await record_consent(house.gate, DESK, RequestContext(), answer(house.gate, ONE))
    assert isinstance(recorded, ConsentReply)
    asked = LookupAsk(ONE, "crm", MARKETING.context, MARKETING.fields)
    assert isinstance(await lookup(house.gate, MARKETER, asked, 2.0), LookupReply)
    assert house.entries[-1].sealed
    with closing(sqlite3.connect(house.root / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE subject SET wrapped_key = NULL")
    assert isinstance(await lookup(house.gate, MARKETER, asked, 2.0), LookupReply)
    assert not house.entries[-1].sealed  # also not under a key that memory still has
    exported = await export_consent_evidence(
        house.gate, DESK, ConsentQuery(ONE, RequestContext(), "marketing")
    )
    assert isinstance(exported, EvidenceReply)
    key = parse_vkey((house.root / "log" / "test" / "w0" / "vkey").read_text())
    assert {each.standing for each in verify(exported.evidence, [key])} == {Standing.PROVEN}
    (report,) = verify_directory(house.root / "log")
    assert report.is_intact
