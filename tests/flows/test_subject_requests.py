"""Attacks on what customers ask of us: who may open what, who reads it, and what is kept of it."""

import re
from dataclasses import replace
from datetime import timedelta
from urllib.parse import urlencode

import httpx
import pytest

from fujie.flows.gate import Gate
from fujie.flows.own_requests import account, open_request
from fujie.flows.page import Visit, visit
from fujie.flows.reply import DisclosuresReply, Refusal, SubjectRequestReply, SubjectRequestsReply
from fujie.flows.subject_requests import (
    DisclosuresQuery,
    RequestsQuery,
    Resolving,
    get_request,
    list_disclosures,
    list_requests,
    resolve_request,
)
from fujie.model.customer import Phone, StoreKey
from fujie.model.errors import RequestError
from fujie.model.request import RequestContext
from fujie.model.subject_request import (
    ANSWER_WITHIN,
    MOST_TEXT,
    Disclosure,
    Indexed,
    RequestKind,
    RequestOutcome,
)
from fujie.transport.http.page import CONTENT_SECURITY_POLICY, CustomerPage
from fujie.transport.http.public import PublicEdge, public_app
from support.house import House, caller
from support.links import PAGE_URL, Sent, send, sending

KEY, OTHER = StoreKey("crm", "C00001"), StoreKey("crm", "C00002")
OFFICER, AGENT = caller("privacy-officer"), caller("support-agent")
WHY = RequestContext()
FORM = "0" * 32
SAID = "两条消息相隔一分钟 canary-1d9e"
COMPLAINT, ERASURE = RequestKind.COMPLAINT, RequestKind.ERASURE


@pytest.fixture
def gate(house: House) -> Gate:
    return sending(house)


async def linked(gate: Gate) -> Sent:
    (row,) = await gate.stores["crm"].fetch(KEY, frozenset(), frozenset(), 2.0)
    assert row.phone is not None
    return await send(gate, KEY, Phone(row.phone))


async def opened(gate: Gate) -> Visit:
    return await visit(gate, (await linked(gate)).token)


async def test_a_complaint_has_a_number_a_day_and_evidence_and_no_second_one_beside_it(
    house: House, gate: Gate
) -> None:
    visited = await opened(gate)
    seen = len(house.entries)
    first = await open_request(gate, visited, FORM, COMPLAINT, SAID)
    assert first.due_at == first.received_at + ANSWER_WITHIN
    assert await open_request(gate, visited, "1" * 32, COMPLAINT, "another") == first
    erasure = await open_request(gate, visited, FORM, ERASURE)
    assert [each.id for each in (await account(gate, visited)).standing] == [first.id, erasure.id]
    told = house.entries[seen:]
    assert {entry.principal for entry in told} == {"customer:page"}
    assert [entry.kind.value for entry in told] == ["admission", "outcome"] * 3
    named = [entry.facts["subject_request.id"] for entry in told if entry.kind.value == "outcome"]
    assert named == [first.id, first.id, erasure.id]


async def test_what_was_written_is_readable_by_who_answers_and_nowhere_else(
    house: House, gate: Gate
) -> None:
    request = await open_request(gate, await opened(gate), FORM, COMPLAINT, f" {SAID}\r\n\tsecond\x85line ")
    shown = await get_request(gate, OFFICER, WHY, request.id)
    assert isinstance(shown, SubjectRequestReply)
    assert shown.text == f"{SAID} second line"
    listed = await list_requests(gate, OFFICER, WHY, RequestsQuery())
    assert isinstance(listed, SubjectRequestsReply)
    assert listed.page.rows == (request,)
    held = [
        file for file in house.root.rglob("*") if file.is_file() and b"canary-1d9e" in file.read_bytes()
    ]
    assert held == []
    assert b"canary" not in b"".join(house.log.leaves)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (COMPLAINT, ""),
        (COMPLAINT, " \r\n\t"),
        (COMPLAINT, "x" * (MOST_TEXT + 1)),
        (COMPLAINT, "a\x1b[2Jb"),
        (COMPLAINT, "a\x00b"),
        (ERASURE, "text"),
    ],
)
async def test_what_no_form_of_ours_sends_opens_nothing(gate: Gate, kind: RequestKind, text: str) -> None:
    visited = await opened(gate)
    with pytest.raises(RequestError):
        await open_request(gate, visited, FORM, kind, text)
    assert (await account(gate, visited)).standing == ()


async def test_a_form_that_is_not_ours_opens_nothing(gate: Gate) -> None:
    visited = await opened(gate)
    for form in ("", "0" * 31, "../" + "0" * 29):
        with pytest.raises(RequestError):
            await open_request(gate, visited, form, ERASURE)
    assert (await account(gate, visited)).standing == ()


async def test_resolving_records_the_first_outcome_and_the_next_request_is_a_new_one(
    house: House, gate: Gate
) -> None:
    visited = await opened(gate)
    request = await open_request(gate, visited, FORM, ERASURE)
    ending = Resolving(request.id, RequestOutcome.REFUSED, "letters/canary-7")
    for _ in range(2):
        done = await resolve_request(gate, OFFICER, WHY, ending)
        assert isinstance(done, SubjectRequestReply)
        assert done.request.end is not None
        assert (done.request.end.by, done.request.end.outcome) == (
            "privacy-officer",
            RequestOutcome.REFUSED,
        )
    refused = await resolve_request(gate, OFFICER, WHY, replace(ending, outcome=RequestOutcome.DONE))
    assert isinstance(refused, Refusal)
    assert refused.reasons[0].code == "SUBJECT_REQUEST_RESOLVED"
    assert b"canary-7" not in b"".join(house.log.leaves)
    assert (await account(gate, visited)).standing == ()
    assert (await open_request(gate, visited, FORM, ERASURE)).id != request.id
    # It erased nothing.
    assert await house.ledger.subject_key(request.sid) is not None


async def test_who_may_not_handle_requests_learns_nothing_of_them(gate: Gate) -> None:
    request = await open_request(gate, await opened(gate), FORM, COMPLAINT, SAID)
    for number in (request.id, "0" * 32):
        for reply in (
            await get_request(gate, AGENT, WHY, number),
            await resolve_request(gate, AGENT, WHY, Resolving(number, RequestOutcome.DONE)),
            await list_requests(gate, AGENT, WHY, RequestsQuery(KEY)),
            await list_disclosures(gate, AGENT, WHY, DisclosuresQuery(KEY)),
        ):
            assert isinstance(reply, Refusal)
            assert reply.reasons[0].code == "NO_GRANT"
    missing = await get_request(gate, OFFICER, WHY, "0" * 32)
    assert isinstance(missing, Refusal)
    assert missing.reasons[0].code == "SUBJECT_REQUEST_NOT_FOUND"


async def test_disclosures_are_told_of_every_alias_and_of_nobody_unknown(house: House, gate: Gate) -> None:
    visited = await opened(gate)
    identity = await house.ledger.find((KEY,))
    assert identity is not None
    day = house.hands.now().date()
    counts = {(identity.sid, day - timedelta(days=n), "lookup", "after_sales"): n + 1 for n in range(60)}
    await house.ledger.disclosures.add(Indexed("test/w0", 0, 60, counts))
    (row,) = await gate.stores["crm"].fetch(KEY, frozenset(), frozenset(), 2.0)
    assert row.phone is not None
    for ref in (KEY, Phone(row.phone)):
        reply = await list_disclosures(gate, OFFICER, WHY, DisclosuresQuery(ref))
        assert isinstance(reply, DisclosuresReply)
        assert len(reply.page.rows) == 60
        assert reply.page.rows[0] == Disclosure(day, "lookup", "after_sales", 1)
    shown = (await account(gate, visited)).disclosures
    assert shown is not None
    assert len(shown) == 50
    nobody = await list_disclosures(gate, OFFICER, WHY, DisclosuresQuery(Phone("+8613999999999")))
    assert isinstance(nobody, DisclosuresReply)
    assert nobody.page.rows == ()


async def test_a_number_that_several_share_shows_nobodys_days_and_its_requests_are_its_own(
    house: House, gate: Gate
) -> None:
    number = Phone("+8613999999998")
    sharers = [await house.ledger.enrol((key, number), house.hands.now()) for key in (KEY, OTHER)]
    visited = await visit(gate, (await send(gate, number, number)).token)
    own = await open_request(gate, visited, FORM, ERASURE)
    assert own.sid not in {each.sid for each in sharers}
    told = await account(gate, visited)
    assert (told.standing, told.disclosures) == ((own,), None)


async def test_over_http_a_complaint_takes_a_page_of_its_own_and_a_look_opens_nothing(gate: Gate) -> None:
    edge = PublicEdge(gate, lambda _: None)
    app = public_app(
        gate, CustomerPage(edge, PAGE_URL).routes(), {"content-security-policy": CONTENT_SECURITY_POLICY}
    )
    sent = await linked(gate)
    path = f"/c/{sent.token}/request"
    visited = await visit(gate, sent.token)
    transport = httpx.ASGITransport(app, client=("192.0.2.7", 50_000))
    async with httpx.AsyncClient(
        transport=transport, base_url="https://p.example.com", trust_env=False
    ) as client:
        for of in ("complaint", "erasure"):
            page = await client.get(f"{path}?of={of}&lang=en")
            assert page.status_code == 200
            assert (await client.head(f"{path}?of={of}")).status_code in (200, 405)
        assert (await client.get(f"{path}?of=everything")).status_code == 400
        assert (await client.get(path)).status_code == 303
        assert (await account(gate, visited)).standing == ()
        fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.text))
        heads = {"content-type": "application/x-www-form-urlencoded"}
        foreign = await client.post(
            path, content=urlencode(fields), headers={**heads, "sec-fetch-site": "cross-site"}
        )
        assert foreign.status_code == 400
        for body in (
            {**fields, "of": "complaint"},
            {**fields, "text": "x"},
            {**fields, "of": ""},
            {**fields, "form": ""},
        ):
            assert (await client.post(path, content=urlencode(body), headers=heads)).status_code == 400
        whole = {**fields, "of": "complaint", "text": "诉" * 1_000}
        done = await client.post(path, content=urlencode(whole), headers=heads)
        assert done.status_code == 303
        assert (await client.post(path, content="text=" + "x" * 20_000, headers=heads)).status_code in (
            400,
            413,
        )
        (standing,) = (await account(gate, visited)).standing
        after = await client.get(f"/c/{sent.token}?lang=en&receipt={standing.id}")
        assert "Received. We answer by" in after.text
        assert after.text.replace("<wbr>", "").count(f"<code>{standing.id}</code>") == 2
        assert "诉" not in after.text
        assert (await client.get(f"{path}?of=complaint")).status_code == 303  # the page shows it
