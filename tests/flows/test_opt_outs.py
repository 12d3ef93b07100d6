"""Attacks on opt-outs through the gate: taken always, beaten by nothing, lifted by the customer alone."""

from dataclasses import replace
from datetime import timedelta

import pytest

from fujie.flows.consent import NOW, record_consent
from fujie.flows.lookup import lookup
from fujie.flows.pages import Query, opened, sealed
from fujie.flows.reply import LookupReply, Refusal, SuppressionReply, SuppressionsReply
from fujie.flows.suppression import (
    OptOut,
    SuppressionQuery,
    add_suppression,
    list_suppressions,
    remove_suppression,
)
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import RequestError, StoreError
from fujie.model.page import Page, Slice
from fujie.model.request import RequestContext
from fujie.model.suppression import Confirmation, Suppression, SuppressionScope
from support.answers import answer
from support.house import House, ask, caller
from support.identities import EVERYTHING
from support.stores import Spy

DESK, MARKETER, AGENT = caller("consent-desk"), caller("marketer"), caller("support-agent")
KEY, PHONE, STRANGER = StoreKey("crm", "C00001"), Phone("+8613800131234"), Phone("+8613912340000")
MARKETING = ask("name", purpose="marketing", basis="consent", evidence="")
CONTEXT = RequestContext()


async def opt_out(
    house: House, ref: CustomerRef = KEY, scope: SuppressionScope = EVERYTHING, request_id: str = ""
) -> SuppressionReply:
    context = RequestContext(request_id=request_id)
    reply = await add_suppression(house.gate, DESK, context, OptOut(ref, scope, NOW, "call", "call-1"))
    assert isinstance(reply, SuppressionReply), reply
    return reply


def confirmed(house: House, **changes: object) -> Confirmation:
    given = Confirmation("signed_letter", "letter-1", house.hands.now())
    return replace(given, **changes)  # type: ignore[arg-type]  # a table of changes


async def code_of(house: House, confirmation: Confirmation, suppression_id: str) -> str:
    reply = await remove_suppression(house.gate, DESK, CONTEXT, suppression_id, confirmation)
    return reply.reasons[0].code if isinstance(reply, Refusal) else ""


@pytest.mark.parametrize("ref", [KEY, PHONE], ids=["key", "phone"])
@pytest.mark.parametrize("scope", [SuppressionScope(), SuppressionScope("marketing")])
async def test_an_opt_out_beats_every_consent_also_a_later_one(
    house: House, ref: CustomerRef, scope: SuppressionScope
) -> None:
    await record_consent(house.gate, DESK, CONTEXT, answer(house.gate, KEY))
    assert isinstance(await lookup(house.gate, MARKETER, MARKETING, 2.0), LookupReply)
    await opt_out(house, ref, scope)
    for _ in range(2):
        refused = await lookup(house.gate, MARKETER, MARKETING, 2.0)
        assert isinstance(refused, Refusal)
        assert refused.reasons[0].code == "CUSTOMER_OPTED_OUT"
        await record_consent(house.gate, DESK, CONTEXT, answer(house.gate, KEY))


@pytest.mark.parametrize(
    "scope",
    [SuppressionScope("after_sales"), SuppressionScope("marketing", "sms"), SuppressionScope(brand="A")],
)
async def test_what_is_narrowed_closes_no_look_up(house: House, scope: SuppressionScope) -> None:
    await record_consent(house.gate, DESK, CONTEXT, answer(house.gate, KEY))
    await opt_out(house, KEY, scope)
    assert isinstance(await lookup(house.gate, MARKETER, MARKETING, 2.0), LookupReply)


async def test_an_opt_out_is_taken_while_the_store_is_away_and_of_a_stranger(house: House) -> None:
    away = replace(
        house, gate=replace(house.gate, stores={"crm": Spy(house.gate.stores["crm"], StoreError())})
    )
    await record_consent(house.gate, DESK, CONTEXT, answer(house.gate, KEY))
    await opt_out(away, PHONE)
    assert isinstance(await lookup(house.gate, MARKETER, MARKETING, 2.0), Refusal)
    assert (await opt_out(house, STRANGER)).suppression.sid


async def test_two_entries_name_who_and_what_but_neither_brand_nor_evidence(house: House) -> None:
    house.log.leaves.clear()
    added = (await opt_out(house, PHONE, SuppressionScope("marketing", "sms", "secret-brand"))).suppression
    admission, outcome = house.entries
    assert (admission.kind, outcome.kind) == ("admission", "outcome")
    assert added.sid in admission.sids
    assert admission.facts["suppression.has_brand"] is True
    assert outcome.facts["suppression.id"] == added.suppression_id
    assert not any(
        word in leaf for leaf in house.log.leaves for word in (b"secret-brand", b"call-1", b"13800131")
    )


async def test_only_a_later_act_of_the_customer_lifts_it(house: House) -> None:
    await record_consent(house.gate, DESK, CONTEXT, answer(house.gate, KEY))
    added = (await opt_out(house)).suppression
    missing = "SUPPRESSION_CONFIRMATION_MISSING"
    for when in (
        added.event_time,
        added.event_time - timedelta(days=1),
        added.event_time + timedelta(days=1),
    ):
        assert await code_of(house, confirmed(house, event_time=when), added.suppression_id) == missing
    assert await code_of(house, confirmed(house), "no-such") == "SUPPRESSION_NOT_FOUND"
    assert isinstance(await lookup(house.gate, MARKETER, MARKETING, 2.0), Refusal)
    later = confirmed(house, event_time=added.event_time + timedelta(seconds=1))
    assert await code_of(house, later, added.suppression_id) == ""
    assert await code_of(house, replace(later, evidence_ref="other"), added.suppression_id) == ""
    known = await house.ledger.suppression(added.suppression_id)
    assert known is not None
    assert known.lifted == later
    assert isinstance(await lookup(house.gate, MARKETER, MARKETING, 2.0), LookupReply)


async def test_a_repeat_is_one_opt_out_and_another_of_its_id_is_refused(house: House) -> None:
    first = await opt_out(house, PHONE, request_id="r-1")
    assert (await opt_out(house, PHONE, request_id="r-1")).suppression == first.suppression
    other = OptOut(PHONE, SuppressionScope("marketing"), NOW, "call", "call-1")
    reply = await add_suppression(house.gate, DESK, RequestContext(request_id="r-1"), other)
    assert isinstance(reply, Refusal)
    assert reply.reasons[0].code == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (OptOut(KEY, SuppressionScope("invented")), "UNKNOWN_PURPOSE"),
        (OptOut(StoreKey("crm", "C99999"), SuppressionScope()), "CUSTOMER_NOT_FOUND"),
        (OptOut(StoreKey("none", "C00001"), SuppressionScope()), "UNKNOWN_STORE"),
    ],
)
async def test_nothing_is_acknowledged_that_would_hold_for_nothing(
    house: House, said: OptOut, code: str
) -> None:
    reply = await add_suppression(house.gate, DESK, CONTEXT, said)
    assert isinstance(reply, Refusal)
    assert (reply.reasons[0].code, house.entries[-1].reasons) == (code, (code,))


async def test_an_opt_out_of_the_future_is_refused(house: House) -> None:
    when = house.hands.now() + timedelta(minutes=1)
    reply = await add_suppression(house.gate, DESK, CONTEXT, OptOut(KEY, SuppressionScope(), when))
    assert isinstance(reply, Refusal)
    assert reply.reasons[0].code == "EVENT_IN_FUTURE"


async def test_who_has_no_grant_learns_nothing_and_changes_nothing(house: House) -> None:
    added = (await opt_out(house)).suppression
    replies: list[object] = [
        await add_suppression(house.gate, AGENT, CONTEXT, OptOut(ref, SuppressionScope()))
        for ref in (KEY, STRANGER, StoreKey("crm", "C99999"))
    ]
    replies += [
        await remove_suppression(house.gate, AGENT, CONTEXT, name, confirmed(house))
        for name in (added.suppression_id, "no-such")
    ]
    replies += [
        await list_suppressions(house.gate, AGENT, CONTEXT, SuppressionQuery(ref))
        for ref in (None, KEY, STRANGER)
    ]
    assert {
        tuple(hit.code for hit in reply.reasons) for reply in replies if isinstance(reply, Refusal)
    } == {("NO_GRANT",)}
    assert len(replies) == 8
    assert list(await house.ledger.suppressions([added.sid])) == [added]


async def test_a_list_shows_the_opt_outs_of_every_alias_and_its_entry_names_them(house: House) -> None:
    by_key, by_phone = (await opt_out(house, KEY)).suppression, (await opt_out(house, PHONE)).suppression
    other = (await opt_out(house, StoreKey("crm", "C00002"))).suppression
    for ref, expected in ((KEY, [by_key, by_phone]), (None, [by_key, by_phone, other]), (STRANGER, [])):
        found, token = list[Suppression](), ""
        while True:
            house.log.leaves.clear()
            reply = await list_suppressions(
                house.gate, DESK, CONTEXT, SuppressionQuery(ref, part=Slice(token, 1))
            )
            assert isinstance(reply, SuppressionsReply), reply
            [entry] = house.entries
            assert {each.sid for each in reply.page.rows} <= set(entry.sids)
            assert entry.facts["page.rows"] == len(reply.page.rows)
            found += reply.page.rows
            token = reply.page.next
            if not token:
                break
        assert found == expected


async def test_a_token_is_good_for_its_own_query_alone(house: House) -> None:
    for ref in (KEY, PHONE, StoreKey("crm", "C00002")):
        await opt_out(house, ref)
    first = await list_suppressions(house.gate, DESK, CONTEXT, SuppressionQuery(part=Slice("", 1)))
    assert isinstance(first, SuppressionsReply)
    token = first.page.next
    for query in (
        SuppressionQuery(KEY), SuppressionQuery(purpose="marketing"), SuppressionQuery(channel="sms"),
        SuppressionQuery(with_lifted=True),
    ):  # fmt: skip
        reply = await list_suppressions(house.gate, DESK, CONTEXT, replace(query, part=Slice(token, 1)))
        assert isinstance(reply, Refusal)
        assert (reply.reasons[0].code, reply.field) == ("PAGE_TOKEN_INVALID", "page_token")


@pytest.mark.parametrize("token", ["x", "====", "AAAA", "é", "\udc80", "AAAAAAAAAAAAAAAAAAAAAAAAAAAA"])
def test_a_token_of_nobody_is_refused(token: str) -> None:
    with pytest.raises(RequestError) as refused:
        opened(Query("ListPrincipals", ("a",)), Slice(token))
    assert refused.value.code == "PAGE_TOKEN_INVALID"


def test_a_token_of_another_method_or_with_a_changed_letter_is_refused() -> None:
    query = Query("ListPrincipals", ("a", True))
    token = sealed(query, Page((), "li.na")).next
    assert opened(query, Slice(token)).after == "li.na"
    assert "li.na" not in token
    changed = [token[:n] + ("A" if token[n] != "A" else "B") + token[n + 1 :] for n in range(20)]
    for bad, asked in [(token, Query("ListSuppressions", ("a", True))), (token + "=", query)] + [
        (each, query) for each in changed
    ]:
        with pytest.raises(RequestError):
            opened(asked, Slice(bad))
