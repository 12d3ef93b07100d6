"""Attacks on the console: forged and replayed forms, cookies of others, who left between page and click, texts of strangers."""

import html
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from flows.test_approvals import EYES, NOTHING, hire
from fujie.flows.approvals import approve
from fujie.flows.directory import offboard_principal, upsert_principal
from fujie.flows.offboarding import reinstate_principal, suspend_principal
from fujie.flows.reply import ApprovalReply, PrincipalReply
from fujie.model.approval import MOST_COMMENT, PENDING_FOR, Approval, ApprovalState, Ballot, Requirement
from fujie.model.errors import LedgerError
from fujie.model.principal import Principal
from fujie.model.vocabulary import Basis, State
from fujie.transport.http.console import COOKIE, origin_of_url, visible
from fujie.transport.http.console_words import console_words
from support.consoles import ORIGIN, Browser, Desk, desk_of, fixed_tokens, staffed, waiting
from support.house import ADMIN, House

OWN = b"""
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: marketers-see-their-own}
spec:
  match: {actions: [approval.read, approval.decide]}
  roles: [marketer]
"""
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
async def office(house: House) -> House:
    return await staffed(house, OWN)


@pytest.fixture
def desk(office: House) -> Desk:
    return desk_of(office.gate, fixed_tokens())


async def signed_in(desk: Desk, token: str = "support-token-1") -> Browser:
    browser = Browser(desk)
    answer = await browser.sign_in(token)
    assert answer.status_code == 200, answer.text
    assert browser.session
    return browser


async def state(office: House, approval_id: str) -> tuple[str, int]:
    approval = await office.ledger.approval(approval_id)
    assert approval is not None
    return approval.state(office.hands.now()).value, len(approval.voters)


async def test_somebody_signs_in_agrees_and_finds_it_in_the_history(office: House, desk: Desk) -> None:
    approval_id = await waiting(office)
    browser = await signed_in(desk)
    assert approval_id in (await browser.get("/console?lang=en")).text
    done = await browser.decide(approval_id, comment="as discussed")
    assert done.status_code == 303
    assert done.headers["location"] == f"/console/approvals/{approval_id}?done=approve&lang=en"
    assert await state(office, approval_id) == ("APPROVED", 1)
    page = await browser.get(done.headers["location"])
    assert "as discussed" in page.text
    assert 'value="approve"' not in page.text
    assert approval_id in (await browser.get("/console/history?lang=en")).text
    assert [entry.principal for entry in office.entries if entry.kind == "outcome"][-1] == EYES[0].subject


async def test_every_page_is_closed_to_who_is_not_signed_in(office: House, desk: Desk) -> None:
    approval_id = await waiting(office)
    before = len(office.entries)
    for path in ("/console", "/console/history", f"/console/approvals/{approval_id}"):
        answer = await Browser(desk).get(path)
        assert (answer.status_code, answer.headers["location"].split("?")[0]) == (303, "/console/login")
    for cookie in ("x", "A" * 5000, "=", "A" * 300):
        browser = Browser(desk)
        browser.jar[COOKIE] = cookie
        assert (await browser.get("/console")).status_code == 303
    assert len(office.entries) == before


async def test_every_answer_has_the_headers_that_keep_others_out(office: House, desk: Desk) -> None:
    approval_id = await waiting(office)
    browser = await signed_in(desk)
    for path in (
        "/console",
        "/console/login",
        f"/console/approvals/{approval_id}",
        "/console/nowhere",
        "/x",
    ):
        headers = (await browser.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert headers["x-frame-options"] == "DENY"
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert "script" not in policy
        assert "unsafe" not in policy


async def test_the_cookie_is_for_our_host_and_our_pages_alone(desk: Desk) -> None:
    answer = await Browser(desk).sign_in("support-token-1")
    (said,) = [c for c in answer.headers.get_list("set-cookie") if c.startswith(f"{COOKIE}=")]
    attributes = {part.strip().lower() for part in said.split(";")[1:]}
    assert attributes >= {"path=/", "secure", "httponly", "samesite=strict"}
    assert not any(part.startswith("domain") for part in attributes)
    assert EYES[0].subject not in said


FOREIGN: Mapping[str, Mapping[str, str]] = {
    "another site": {"origin": "https://evil.example.com", "sec-fetch-site": "cross-site"},
    "a sibling": {"origin": "https://other.example.com", "sec-fetch-site": "same-site"},
    "another port": {"origin": f"{ORIGIN}:8443", "sec-fetch-site": "same-site"},
    "another scheme": {"origin": ORIGIN.replace("https", "http"), "sec-fetch-site": "cross-site"},
    "a sandbox": {"origin": "null", "sec-fetch-site": "cross-site"},
    "who says none": {},
    "who lies in one": {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
    "a prefix of ours": {"origin": f"{ORIGIN}.evil.example.com"},
}


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
async def test_a_form_of_another_site_does_nothing_even_with_cookie_and_token(
    headers: Mapping[str, str], office: House, desk: Desk
) -> None:
    approval_id = await waiting(office)
    browser = await signed_in(desk)
    form = {"form": await browser.form(approval_id), "act": "approve", "comment": ""}
    answer = await browser.post(f"/console/approvals/{approval_id}", form, headers)
    assert answer.status_code == 400
    assert await state(office, approval_id) == ("PENDING", 0)
    stranger = Browser(desk)
    assert (await stranger.post("/console/login", {"token": "support-token-1"}, headers)).status_code == 400
    assert not stranger.session


async def test_a_form_is_worth_nothing_elsewhere(office: House, desk: Desk) -> None:
    """In another session, also of the same person; for another approval; after signing out."""
    one, two = await waiting(office), await waiting(office, max_rows=100)
    browser, again, other = await signed_in(desk), await signed_in(desk), await signed_in(desk, "token-2")
    form = {"form": await browser.form(one), "act": "approve", "comment": ""}
    for who, about in ((again, one), (other, one), (browser, two)):
        assert (await who.post(f"/console/approvals/{about}", form)).status_code == 400
    for wrong in ({**form, "form": ""}, {**form, "form": form["form"][:-1] + "g"}, {"act": "approve"}):
        assert (await browser.post(f"/console/approvals/{one}", wrong)).status_code == 400
    await browser.post("/console/logout", {})
    assert not browser.session
    assert (await browser.post(f"/console/approvals/{one}", form)).status_code == 303
    await browser.sign_in("support-token-1")
    assert (await browser.post(f"/console/approvals/{one}", form)).status_code == 400
    assert await state(office, one) == await state(office, two) == ("PENDING", 0)


async def test_a_replayed_form_votes_once_and_never_revives_a_no(office: House, desk: Desk) -> None:
    approval_id = await waiting(office)
    browser = await signed_in(desk)
    form = {"form": await browser.form(approval_id), "act": "approve", "comment": ""}
    for _ in range(3):
        assert (await browser.post(f"/console/approvals/{approval_id}", form)).status_code == 303
    assert await state(office, approval_id) == ("APPROVED", 1)
    other = await signed_in(desk, "token-2")
    assert (await other.decide(approval_id, "reject")).status_code == 303
    answer = await browser.post(f"/console/approvals/{approval_id}?lang=en", form)
    assert answer.status_code == 403
    assert "APPROVAL_CLOSED" in answer.text
    assert await state(office, approval_id) == ("REJECTED", 1)


async def test_who_is_offboarded_between_page_and_click_has_no_vote(office: House, desk: Desk) -> None:
    approval_id = await waiting(office)
    browser = await signed_in(desk)
    form = {"form": await browser.form(approval_id), "act": "approve", "comment": ""}
    await offboard_principal(office.gate, ADMIN, NOTHING, EYES[0].subject)
    answer = await browser.post(f"/console/approvals/{approval_id}?lang=en", form)
    assert answer.status_code == 403
    assert "PRINCIPAL_OFFBOARDED" in answer.text
    assert not browser.session
    assert await state(office, approval_id) == ("PENDING", 0)


async def test_who_lost_the_role_between_page_and_click_has_no_vote(office: House, desk: Desk) -> None:
    """His session and his form are as good as before; what they open is the directory's to say."""
    approval_id = await waiting(office)
    browser = await signed_in(desk)
    form = {"form": await browser.form(approval_id), "act": "approve", "comment": ""}
    await hire(office, EYES[0].subject, "marketer")
    answer = await browser.post(f"/console/approvals/{approval_id}?lang=en", form)
    assert answer.status_code == 404
    assert approval_id not in (await browser.get("/console")).text
    assert await state(office, approval_id) == ("PENDING", 0)


async def test_a_kept_cookie_of_who_left_shows_nothing(office: House, desk: Desk) -> None:
    approval_id = await waiting(office)
    browser = await signed_in(desk)
    stolen = browser.session
    await offboard_principal(office.gate, ADMIN, NOTHING, EYES[0].subject)
    for path in ("/console", "/console/history", f"/console/approvals/{approval_id}"):
        browser.jar[COOKIE] = stolen
        answer = await browser.get(path)
        assert answer.status_code == 403
        assert "marketer" not in answer.text


async def test_nobody_agrees_to_his_own_request_through_the_page(office: House, desk: Desk) -> None:
    approval_id = await waiting(office)
    await hire(office, "marketer", "marketer", "compliance_officer")
    browser = await signed_in(desk, "own")
    assert await browser.form(approval_id) == ""  # the page offers none
    from fujie.flows.console import form_of, session_of

    session = await session_of(office.gate, browser.session)
    assert session is not None
    form = form_of(office.gate, session, approval_id)
    answer = await browser.post(
        f"/console/approvals/{approval_id}?lang=en", {"form": form, "act": "approve"}
    )
    assert answer.status_code == 403
    assert "SELF_APPROVAL" in answer.text
    assert await state(office, approval_id) == ("PENDING", 0)


async def test_an_approval_of_others_is_not_there(office: House, desk: Desk) -> None:
    approval_id = await waiting(office)
    await hire(office, EYES[1].subject, "support")
    await hire(office, EYES[1].subject, "marketer")  # may read approvals, but none of this
    browser = await signed_in(desk, "token-2")
    there = await browser.get(f"/console/approvals/{approval_id}?lang=en")
    nowhere = await browser.get(f"/console/approvals/{'0' * 32}?lang=en")
    assert there.status_code == nowhere.status_code == 404
    assert there.text == nowhere.text
    for odd in ("x", "0" * 31, "..%2f..%2fetc", "0" * 33):
        assert (await browser.get(f"/console/approvals/{odd}")).status_code == 404


async def test_texts_of_strangers_are_shown_as_texts(office: House, desk: Desk) -> None:
    filter_ = f'name != "{HOSTILE.replace(chr(34), "")}\u202e\u200b"'
    approval_id = await waiting(office, filter_)
    agreed = await approve(office.gate, EYES[1], NOTHING, approval_id, HOSTILE)
    assert isinstance(agreed, ApprovalReply)
    browser = await signed_in(desk)
    for path in ("/console", "/console/history", f"/console/approvals/{approval_id}"):
        for more in ("", f"?lang={HOSTILE}&page={HOSTILE}&done={HOSTILE}"):
            text = (await browser.get(path + more)).text
            assert "<script" not in text
            assert "<img" not in text
            assert "\u202e" not in text
    page = await browser.get(f"/console/approvals/{approval_id}")
    assert html.escape(HOSTILE, quote=False).split("&quot;")[0][:20] in page.text
    assert "\\u{202e}" in page.text


def test_what_can_not_be_seen_is_shown_by_its_number() -> None:
    assert visible("a\u202eb\x00 中文") == "a\\u{202e}b\\u{0} 中文"


async def test_no_address_leads_elsewhere(desk: Desk) -> None:
    """There is no parameter for where to go; those that other software has mean nothing."""
    for name in ("next", "url", "redirect", "redirect_uri", "return_to", "continue"):
        browser = Browser(desk)
        query = f"{name}=https://evil.example.com"
        entered = await browser.post(
            f"/console/login?{query}", {"token": "support-token-1", name: "//evil"}
        )
        left = await browser.post(f"/console/logout?{query}", {})
        sent = await Browser(desk).get(f"/console?{query}")
        for answer in (left, sent):
            assert answer.headers["location"].startswith("/console/")
        assert "evil" not in entered.text


async def test_a_planted_cookie_is_not_the_session_of_who_signs_in(desk: Desk) -> None:
    attacker, victim = await signed_in(desk, "token-2"), Browser(desk)
    victim.jar[COOKIE] = attacker.session
    await victim.sign_in("support-token-1")
    assert victim.session != attacker.session
    assert "compliance-1" in (await victim.get("/console?lang=en")).text
    assert "compliance-2" in (await attacker.get("/console?lang=en")).text


async def test_to_sign_out_ends_every_session_of_that_person_also_a_stolen_one(
    office: House, desk: Desk
) -> None:
    """On every worker, and whoever has the cookie; nobody else's, and none that begins behind it."""
    approval_id = await waiting(office)
    own, thief = await signed_in(desk), Browser(desk_of(office.gate, fixed_tokens()))
    elsewhere, colleague = await signed_in(desk), await signed_in(desk, "token-2")
    thief.jar[COOKIE] = own.session
    form = {"form": await thief.form(approval_id), "act": "approve", "comment": ""}
    office.hands.time -= timedelta(seconds=5)  # the clock of the host that is signed out at is behind
    await own.post("/console/logout", {})
    assert (await thief.get("/console")).status_code == 303
    office.hands.time += timedelta(seconds=6)
    await (again := await signed_in(desk)).post("/console/logout", {})
    for browser in (thief, elsewhere, again):
        assert (await browser.get("/console")).status_code == 303
    assert (await thief.post(f"/console/approvals/{approval_id}", form)).status_code == 303
    assert await state(office, approval_id) == ("PENDING", 0)
    assert (await colleague.get("/console")).status_code == 200
    assert (await (await signed_in(desk)).get("/console")).status_code == 200


@pytest.mark.parametrize("ahead", [timedelta(days=400), -timedelta(days=400)])
async def test_no_clock_locks_anybody_out_or_spares_a_session(
    office: House, desk: Desk, ahead: timedelta
) -> None:
    """A host whose clock is wrong by a year: who signs out there comes in elsewhere, and what began there can be ended."""
    office.hands.time += ahead
    there = await signed_in(desk)
    await there.post("/console/logout", {})
    stolen = await signed_in(desk)
    office.hands.time -= ahead
    assert (await stolen.get("/console")).status_code == 303, "neither for a year nor after its end"
    again = await signed_in(desk)
    assert (await again.get("/console")).status_code == 200
    await again.post("/console/logout", {})
    office.hands.time += ahead
    assert (await stolen.get("/console")).status_code == 303


async def test_a_suspension_ends_sessions_that_a_reinstatement_does_not_bring_back(
    office: House, desk: Desk
) -> None:
    """By whom a theft is told: he needs no sign-in of the owner for it."""
    for suspend in (suspended, written_as_suspended):
        thief, colleague = await signed_in(desk), await signed_in(desk, "token-2")
        await suspend(office)
        reply = await reinstate_principal(office.gate, ADMIN, NOTHING, EYES[0].subject)
        assert isinstance(reply, PrincipalReply)
        assert (await thief.get("/console")).status_code == 303
        assert (await colleague.get("/console")).status_code == 200
        assert (await (await signed_in(desk)).get("/console")).status_code == 200


@pytest.mark.parametrize("in_between", ["died", "signed-in"])
async def test_no_session_from_before_a_reinstatement_comes_back_whatever_became_of_the_suspension(
    office: House, desk: Desk, in_between: str
) -> None:
    """Who suspended died before he ended the sessions, or one began meanwhile, or on a host whose clock is ahead."""

    class Dead:
        async def end(self, *_: object) -> None:
            raise LedgerError

    for reinstate in (reinstated, written_as_active):
        thief, colleague = await signed_in(desk), await signed_in(desk, "token-2")
        dead = replace(office.gate, sessions=cast("Any", Dead())) if in_between == "died" else office.gate
        await suspend_principal(dead, ADMIN, NOTHING, EYES[0].subject)
        if in_between == "signed-in":
            thief = await signed_in(desk)
        assert (await principal_of(office, EYES[0].subject)).employment is State.SUSPENDED
        await reinstate(office)
        assert (await principal_of(office, EYES[0].subject)).employment is State.ACTIVE
        assert (await thief.get("/console")).status_code == 303
        assert (await colleague.get("/console")).status_code == 200
        assert (await (await signed_in(desk)).get("/console")).status_code == 200


async def principal_of(office: House, principal_id: str) -> Principal:
    known = await office.gate.directory.get(principal_id)
    assert known is not None
    return known


async def reinstated(office: House) -> None:
    reply = await reinstate_principal(office.gate, ADMIN, NOTHING, EYES[0].subject)
    assert isinstance(reply, PrincipalReply)


async def written_as_active(office: House) -> None:
    record = replace(await principal_of(office, EYES[0].subject), employment=State.ACTIVE)
    assert isinstance(await upsert_principal(office.gate, ADMIN, NOTHING, record), PrincipalReply)


async def suspended(office: House) -> None:
    reply = await suspend_principal(office.gate, ADMIN, NOTHING, EYES[0].subject)
    assert isinstance(reply, PrincipalReply)


async def written_as_suspended(office: House) -> None:
    known = await office.gate.directory.get(EYES[0].subject)
    assert known is not None
    record = replace(known, employment=State.SUSPENDED)
    assert isinstance(await upsert_principal(office.gate, ADMIN, NOTHING, record), PrincipalReply)


async def test_a_session_ends_by_itself_whatever_was_done_in_it(office: House, desk: Desk) -> None:
    from datetime import timedelta

    browser = await signed_in(desk)
    for _ in range(3):
        office.hands.time += timedelta(minutes=9)
        assert (await browser.get("/console")).status_code == 200
    office.hands.time += timedelta(minutes=4)
    assert (await browser.get("/console")).status_code == 303


async def test_wrong_tokens_open_nothing_and_are_reported_without_them(desk: Desk) -> None:
    for wrong in ("", "nonsense", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJjb21wbGlhbmNlLTEifQ.", "é" * 9):
        browser = Browser(desk)
        assert (await browser.sign_in(wrong)).status_code == 403
        assert not browser.session
    assert {each.where for each in desk.incidents} == {"console/sign-in"}
    assert "nonsense" not in repr(desk.incidents)


async def test_tries_to_sign_in_are_few(office: House, desk: Desk) -> None:
    office.hands.stands = True
    browser = Browser(desk)
    codes = [(await browser.sign_in("nonsense")).status_code for _ in range(40)]
    assert 429 in codes


async def test_odd_forms_are_refused(office: House, desk: Desk) -> None:
    approval_id = await waiting(office)
    browser = await signed_in(desk)
    form = {"form": await browser.form(approval_id), "act": "approve", "comment": ""}
    odd = [{**form, "act": "revoke"}, {**form, "act": ""}, {**form, "comment": "x" * (MOST_COMMENT + 1)}]
    for each in odd:
        assert (await browser.post(f"/console/approvals/{approval_id}", each)).status_code == 400
    big = {**form, "comment": "x" * 40_000}
    assert (await browser.post(f"/console/approvals/{approval_id}", big)).status_code == 413
    assert await state(office, approval_id) == ("PENDING", 0)


async def test_an_expired_approval_offers_no_form(office: House, desk: Desk) -> None:
    approval_id = await waiting(office)
    office.hands.time += PENDING_FOR
    browser = await signed_in(desk)
    assert await browser.form(approval_id) == ""
    assert approval_id not in (await browser.get("/console")).text
    assert approval_id in (await browser.get("/console/history")).text


def test_all_words_are_there_for_every_state() -> None:
    for language in ("zh", "en"):
        words = console_words(language)
        assert all(words[each.value] for each in ApprovalState)
        assert all(words[f"basis_{each.value}"] for each in Basis)


@pytest.mark.parametrize(
    ("url", "origin"),
    [("https://a.example.com", "https://a.example.com"), ("https://a.example.com:443/", "https://a.example.com"),
     ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080"), ("https://[::1]:8443", "https://[::1]:8443")],
)  # fmt: skip
def test_an_origin_is_as_browsers_say_it(url: str, origin: str) -> None:
    assert origin_of_url(url) == origin


async def test_a_review_has_words_of_its_own_and_takes_none_without_a_comment(
    office: House, desk: Desk
) -> None:
    now, within = office.hands.now(), timedelta(minutes=9)
    need = Requirement("four-eyes", "many", ("compliance_officer",), 1, within)
    done = Approval(
        "a" * 32, "medic", frozenset({"medic"}), "lookup", "after_sales", "contract", "crm", ("phone",), 1, "digest",
        (Ballot(need),), now, review_by=now + within,
    )  # fmt: skip
    assert await office.ledger.break_glass(done)
    browser, said = await signed_in(desk), console_words("en")
    page = (await browser.get(f"/console/approvals/{done.id}?lang=en")).text
    for key in ("IN_REVIEW", "review_note", "review_approve", "review_reject", "review_by"):
        assert html.escape(said[key]) in page, key
    assert said["overdue"] not in page
    office.hands.time += within
    assert said["overdue"] in (await browser.get(f"/console/approvals/{done.id}?lang=en")).text
    listed = (await browser.get("/console?lang=en")).text
    assert (said["overdue"] in listed, said["review_by"] in listed) == (True, True)
    assert (await browser.decide(done.id)).status_code != 303
    assert await state(office, done.id) == ("IN_REVIEW", 0)
    assert (await browser.decide(done.id, comment="the ticket says so")).status_code == 303
    assert await state(office, done.id) == ("REVIEWED", 0)


async def test_who_decides_reads_words_and_no_language_of_policies(office: House, desk: Desk) -> None:
    approval_id = await waiting(office)
    browser = await signed_in(desk)
    page = (await browser.get(f"/console/approvals/{approval_id}?lang=zh")).text
    for words in (
        "订立、履行合同所必需",
        "仅前 3 位、后 4 位",
        "明文",
        "JSON LINES",
        "时间均为 Asia/Shanghai 时区。",
    ):
        assert words in page, words
