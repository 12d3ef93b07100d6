"""Screening says what sending would decide, takes nothing, and leaves evidence of who was asked about."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from fujie.flows.directory import offboard_principal, upsert_principal
from fujie.flows.gate import Gate
from fujie.flows.reply import Refusal, ScreenReply
from fujie.flows.screen import Refs, ScreenAsk, screen_recipients
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import RequestError
from fujie.model.message import NO_PARAMS
from fujie.model.principal import Principal
from fujie.model.request import RequestContext
from fujie.model.vocabulary import Effect, State
from support.house import ADMIN, Changing, House, caller
from support.sending import DRAFT, POLICY, CountingProvider, agree, keys, sending
from support.stores import Spy

ME, NOBODY = caller("marketer"), caller("nobody-in-particular")
ASKED = ScreenAsk(RequestContext(purpose="marketing", basis="consent"), DRAFT, NO_PARAMS)
MISSING = StoreKey("crm", "C99999")
MINORS_ALONE = b"""
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: minors-alone}
spec:
  match: {actions: [send]}
  validations:
    - {name: minor, expression: customer.minor, reason: FACT_MISSING}
"""


async def batches(*given: Refs) -> AsyncIterator[Refs]:
    for each in given:
        yield each


async def screen(gate: Gate, *given: Refs, who: Any = ME, asked: ScreenAsk = ASKED) -> list[Any]:
    return [reply async for reply in screen_recipients(gate, who, asked, batches(*given))]


def codes(reply: ScreenReply) -> list[str]:
    """Return the outcome of each recipient, in order."""
    return [reply.decisions[place].primary or "ALLOW" for place in reply.places]


async def test_every_recipient_gets_its_own_decision_in_order(house: House) -> None:
    house = sending(house, CountingProvider())
    await agree(house, keys(2))
    refs: Sequence[CustomerRef] = [*keys(3), MISSING, Phone("+8613999999999")]
    (reply,) = await screen(house.gate, refs)
    assert isinstance(reply, ScreenReply)
    assert codes(reply) == ["ALLOW", "ALLOW", "CONSENT_MISSING", "CONSENT_MISSING", "CONSENT_MISSING"]
    assert len(reply.decisions) <= 4


async def test_what_is_alike_is_told_once_whatever_its_number(house: House) -> None:
    house = sending(house, CountingProvider())
    (reply,) = await screen(house.gate, keys(150))
    assert isinstance(reply, ScreenReply)
    assert len(reply.places) == 150
    assert {decision.effect for decision in reply.decisions} == {Effect.DENY}
    assert len(reply.decisions) < 5


async def test_a_batch_leaves_one_entry_with_counts_and_sids_and_no_reference(house: House) -> None:
    house = sending(house, CountingProvider())
    await agree(house, keys(2))
    seen = len(house.entries)
    await screen(house.gate, keys(3), [Phone("+8613999999999")])
    first, second = house.entries[seen:]
    assert (first.kind, first.effect, first.action, first.purpose) == (
        "decision",
        "ALLOW",
        "send",
        "marketing",
    )
    assert {name: count for name, count in first.facts.items() if name.startswith("screen.")} == {
        "screen.recipients": 3, "screen.allowed": 2, "screen.refused": 1, "screen.to_approve": 0,
    }  # fmt: skip
    assert len(first.sids) == 3
    assert second.facts["screen.recipients"] == 1
    whole = b"".join(house.log.leaves[seen:]).decode()
    assert "13999999999" not in whole
    assert "C00001" not in whole


async def test_nothing_is_sent_and_nothing_is_taken_from_a_limit(house: House) -> None:
    provider = CountingProvider()
    limits = b"\n  limits: {rows_per_hour: 1, distinct_customers_per_day: 1}\n"
    house = sending(house, provider, policy=POLICY.rstrip() + limits)
    await agree(house, keys(3))
    for _ in range(3):
        (reply,) = await screen(house.gate, keys(3))
        assert isinstance(reply, ScreenReply)
        assert codes(reply) == ["ALLOW"] * 3
    assert provider.got == []


async def test_who_may_not_send_learns_that_alone_whoever_the_customers_are(house: House) -> None:
    house = sending(house, CountingProvider())
    await agree(house, keys(1))
    bad_draft = replace(ASKED, draft=replace(DRAFT, provider="none"))
    told = []
    for asked in (ASKED, bad_draft):
        for refs in (keys(1), [MISSING], [Phone("+8613999999999")], [StoreKey("none", "C1")]):
            (reply,) = await screen(house.gate, refs, who=NOBODY, asked=asked)
            assert isinstance(reply, Refusal)
            told.append([hit.code for hit in reply.reasons])
    assert told == [["NO_GRANT"]] * 8


async def test_a_refusal_ends_the_stream_and_reads_no_further_batch(house: House) -> None:
    house = sending(house, CountingProvider())

    async def more() -> AsyncIterator[Refs]:
        yield keys(1)
        raise AssertionError("it went on")

    replies = [reply async for reply in screen_recipients(house.gate, NOBODY, ASKED, more())]
    assert len(replies) == 1


async def test_who_leaves_between_two_batches_is_told_nothing_more(house: House) -> None:
    house = sending(house, CountingProvider())
    for last in (keys(1), None):

        async def leaving(last: Refs = last) -> AsyncIterator[Refs]:
            yield keys(1)
            await offboard_principal(house.gate, ADMIN, RequestContext(), "marketer")
            yield last

        replies = [reply async for reply in screen_recipients(house.gate, ME, ASKED, leaving())]
        assert isinstance(replies[-1], Refusal)
        assert replies[-1].reasons[0].code == "PRINCIPAL_OFFBOARDED"


@pytest.mark.parametrize("gets", ["offboarded", "another role"])
@pytest.mark.parametrize("refs", [keys(2), [Phone("+8613999999999")]], ids=["keys", "number"])
async def test_who_is_somebody_else_once_customers_were_read_is_told_nothing_of_them(
    house: House, refs: Refs, gets: str
) -> None:
    house = sending(house, CountingProvider())
    await agree(house, keys(2))
    clerk = Principal(
        "marketer", roles=frozenset({"support_agent"}), department="east", training=State.VALID
    )

    async def meanwhile() -> None:
        if gets == "offboarded":
            await offboard_principal(house.gate, ADMIN, RequestContext(), "marketer")
        else:
            await upsert_principal(house.gate, ADMIN, RequestContext(), clerk)

    stores = {"crm": Spy(house.gate.stores["crm"], meanwhile=meanwhile)}
    (reply,) = await screen(replace(house.gate, stores=stores), refs)
    assert isinstance(reply, Refusal)
    assert reply.reasons[0].code == ("PRINCIPAL_OFFBOARDED" if gets == "offboarded" else "NO_GRANT")


async def test_policies_that_change_between_two_batches_decide_on_the_second(house: House) -> None:
    before = sending(house, CountingProvider())
    after = sending(house, CountingProvider(), policy=POLICY + MINORS_ALONE)
    await agree(before, keys(2))
    in_force = Changing(before.gate.policies.current)

    async def changing() -> AsyncIterator[Refs]:
        for policies in (before.gate.policies, after.gate.policies, before.gate.policies):
            in_force.current = policies.current
            yield keys(2)

    gate = replace(before.gate, policies=in_force)
    replies: list[Any] = [reply async for reply in screen_recipients(gate, ME, ASKED, changing())]
    assert [codes(reply) for reply in replies] == [["ALLOW"] * 2, ["FACT_MISSING"] * 2, ["ALLOW"] * 2]


async def test_a_batch_that_can_not_be_read_is_refused_with_an_entry_after_those_before_it(
    house: House,
) -> None:
    house = sending(house, CountingProvider())

    async def broken() -> AsyncIterator[Refs]:
        yield keys(1)
        raise RequestError(code="PHONE_INVALID", field="phones")

    first, last = [reply async for reply in screen_recipients(house.gate, ME, ASKED, broken())]
    assert isinstance(first, ScreenReply)
    assert isinstance(last, Refusal)
    assert (last.reasons[0].code, last.field) == ("PHONE_INVALID", "phones")
    assert house.entries[-1].reasons == ("PHONE_INVALID",)
