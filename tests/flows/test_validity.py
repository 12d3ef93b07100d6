"""Grants with bounds in time, through the gate: open to the second, and over without a trace."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from fujie.flows.directory import upsert_principal
from fujie.flows.lookup import lookup
from fujie.flows.policy import explain
from fujie.flows.refuse import refuse_input
from fujie.flows.reply import ExplainReply, LookupReply, Refusal
from fujie.model.errors import RequestError
from fujie.model.principal import Principal
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Action, State
from support.house import ADMIN, Hands, House, ask, caller
from support.stores import Spy

WHO, NEVER = "nobody-in-particular", "never"
"""The role of WHO has no grant but the one under test; NEVER has none at all."""
TICK = timedelta(microseconds=1)


class Stopped(Hands):
    """A clock that says the same instant whenever it is looked at."""

    def now(self) -> datetime:
        return self.time


def until(instant: datetime, condition: str = "") -> bytes:
    return f"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {{name: seasonal}}
spec:
  match: {{actions: [lookup], keys: [customer_id, phone]}}
  roles: [nothing]
  purposes: [after_sales]
  {f"condition: {condition}" if condition else ""}
  fields: {{phone: token}}
  valid_until: "{instant.isoformat(timespec="seconds")}"
""".encode()


async def bounded(house: House, condition: str = "") -> House:
    never = Principal(NEVER, roles=frozenset({"none"}), department="east", training=State.VALID)
    await upsert_principal(house.gate, ADMIN, RequestContext(), never)
    house.hands.time = house.hands.time.replace(microsecond=0)
    return house.with_policy({"own.yaml": until(house.hands.time + timedelta(hours=1), condition)})


async def test_a_grant_opens_up_to_its_last_instant_and_not_at_it(house: House) -> None:
    seasonal = await bounded(house)
    clock = Stopped()
    gate = replace(seasonal.gate, clock=clock)
    clock.time = house.hands.time + timedelta(hours=1) - TICK
    assert isinstance(await lookup(gate, caller(WHO), ask("phone"), 2.0), LookupReply)
    clock.time += TICK
    refusal = await lookup(gate, caller(WHO), ask("phone"), 2.0)
    assert isinstance(refusal, Refusal)
    assert [reason.code for reason in refusal.reasons] == ["NO_GRANT"]
    out = house.entries[-1].facts["grants.expired"]
    assert isinstance(out, list | tuple)
    assert list(out) == ["seasonal"]


@pytest.mark.parametrize("condition", ["", "consent.state == GIVEN", "'!customer.minor'"])
async def test_who_has_only_a_grant_that_is_over_is_told_what_somebody_without_one_is_told(
    house: House, condition: str
) -> None:
    """The same bytes for a customer who is there or not, for names that exist or not, without a look at anybody."""
    seasonal = await bounded(house, condition)
    house.hands.time += timedelta(hours=2)
    spy = Spy(house.gate.stores["crm"])
    gate = replace(seasonal.gate, stores={"crm": spy})
    wrong = replace(ask("phone"), context=replace(ask("phone").context, purpose="invented"))
    told = set()
    for each in (ask("phone"), ask("phone", customer="C99999"), ask("shoe_size"), wrong):
        for who in (WHO, NEVER):
            refusal = await lookup(gate, caller(who), each, 2.0)
            assert isinstance(refusal, Refusal)
            told.add(repr((refusal.reasons, refusal.field, refusal.prompt)))
    assert len(told) == 1
    assert spy.fields_asked == []


async def test_a_malformed_request_is_no_way_to_learn_of_a_grant_that_is_over(house: House) -> None:
    seasonal = await bounded(house)
    malformed = RequestError("not a phone number", code="PHONE_INVALID", field="customer.phone")
    codes = []
    for step in (timedelta(), timedelta(hours=2)):
        house.hands.time += step
        refusal = await refuse_input(seasonal.gate, caller(WHO), Action.LOOKUP, malformed)
        codes.append(refusal.reasons[0].code)
    assert codes == ["PHONE_INVALID", "NO_GRANT"]


async def test_who_may_ask_why_reads_when_the_grant_was_valid(house: House) -> None:
    seasonal = await bounded(house)
    house.hands.time += timedelta(hours=2)
    reply = await explain(seasonal.gate, caller("privacy-officer"), RequestContext(), ask("phone"), WHO)
    assert isinstance(reply, ExplainReply), reply
    (rule,) = [rule for rule in reply.explanation.rules if rule.name == "seasonal"]
    assert (rule.part, rule.outcome.partition(" 2")[0]) == ("validity", "not matched: valid until")
