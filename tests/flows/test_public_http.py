"""Attacks on the public port as HTTP: strangers, forged callbacks, giant bodies, foreign forms, floods."""

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from starlette.types import ASGIApp
from twilio.request_validator import RequestValidator

from fujie.app.messaging import Messaging
from fujie.app.providers import open_providers
from fujie.flows import settlement
from fujie.flows.consent import record_consent
from fujie.flows.gate import Gate
from fujie.model.customer import Phone, StoreKey
from fujie.model.errors import StoreError
from fujie.model.message import MessageState
from fujie.model.request import RequestContext
from fujie.transport.http.callbacks import MOST_BODY, callback_route
from fujie.transport.http.lines import Line
from fujie.transport.http.page import CONTENT_SECURITY_POLICY, CustomerPage
from fujie.transport.http.public import Incident, PublicEdge, public_app
from support.answers import answer
from support.house import House, caller
from support.identities import opt_out
from support.links import PAGE_URL, Sent, send, sending
from support.stores import Spy

KEY = StoreKey("crm", "C00001")
PUBLIC, SECRET = "https://p.example.com", "s3cret-part-of-the-path-0"
TOKEN = "twilio-auth-token"
FORM = {"content-type": "application/x-www-form-urlencoded"}
INSIDE, OUTSIDE = "192.0.2.7", "198.51.100.7"
STATUS = re.compile(r'name="form" value="([0-9a-f]{32})"')


class Port:
    """The port under attack, with what it reported."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.incidents: list[Incident] = []
        edge = PublicEdge(gate, self.incidents.append)
        lines = {
            "tencent": Line(SECRET, (ip_network("192.0.2.0/24"),)),
            "twilio": Line(SECRET),
        }
        routes = [callback_route(edge, lines, PUBLIC), *CustomerPage(edge, PAGE_URL).routes()]
        self.app: ASGIApp = public_app(gate, routes, {"content-security-policy": CONTENT_SECURITY_POLICY})

    async def ask(self, method: str, path: str, *, at: str = INSIDE, **more: object) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=(at, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url=PUBLIC, trust_env=False) as client:
            return await client.request(method, path, **more)  # type: ignore[arg-type]  # passed on

    async def report(self, content: bytes, secret: str = SECRET, **more: str) -> httpx.Response:
        return await self.ask("POST", f"/callbacks/tencent/{secret}", content=content, **more)


@pytest.fixture
async def port(house: House, tmp_path: Path) -> AsyncIterator[Port]:
    secret = tmp_path / "secret"
    secret.write_text(TOKEN)
    common = {"processor": "p", "secret_file": str(secret), "account": "AC" + "0" * 32}
    section = Messaging.model_validate(
        {
            "providers": {
                "tencent": {"kind": "tencent", **common, "app_id": "1"},
                "twilio": {"kind": "twilio", **common, "sender": "+15005550006"},
            }
        }
    )
    providers = open_providers(section, house.gate.clock)
    yield Port(sending(house, providers))
    for each in providers.values():
        await each.close()


async def phone(gate: Gate) -> Phone:
    (row,) = await gate.stores["crm"].fetch(KEY, frozenset(), frozenset(), 2.0)
    assert row.phone is not None
    return Phone(row.phone)


async def linked(port: Port) -> Sent:
    await record_consent(port.gate, caller("consent-desk"), RequestContext(), answer(port.gate, KEY))
    return await send(port.gate, KEY, await phone(port.gate))


def reply_of(number: Phone, text: str) -> bytes:
    said = {
        "extend": "",
        "mobile": number.e164[3:],
        "nationcode": "86",
        "sign": "示例",
        "text": text,
        "time": 1,
    }
    return json.dumps(said).encode()


async def closed(gate: Gate) -> int:
    identity = await gate.ledger.enrol((KEY, await phone(gate)), gate.clock.now())
    return len(await gate.ledger.suppressions(identity.sids))


async def test_a_reply_that_a_provider_pushes_closes(port: Port) -> None:
    answered = await port.report(reply_of(await phone(port.gate), "TD"))
    assert (answered.status_code, answered.json()["result"]) == (200, 0)
    assert await closed(port.gate) == 1


async def test_who_is_not_the_provider_finds_nothing(port: Port) -> None:
    nowhere = await port.ask("POST", "/no/such/path")
    for path, at in [
        (f"/callbacks/tencent/{SECRET}", OUTSIDE),
        (f"/callbacks/tencent/{SECRET[:-1]}", INSIDE),
        (f"/callbacks/tencent/{SECRET}x", INSIDE),
        ("/callbacks/tencent/%00", INSIDE),
        (f"/callbacks/nobody/{SECRET}", INSIDE),
        ("/callbacks/nobody/", INSIDE),
    ]:
        forged = await port.ask("POST", path, at=at, content=reply_of(await phone(port.gate), "TD"))
        assert (forged.status_code, forged.content) == (nowhere.status_code, nowhere.content) == (404, b"")
        assert forged.headers.keys() == nowhere.headers.keys(), path
    assert await closed(port.gate) == 0


async def test_an_unsigned_callback_of_a_provider_that_signs_is_refused(house: House, port: Port) -> None:
    """With the vendor's own SDK as the oracle of what a good signature is; of the address that they call."""
    fields = {
        "From": (await phone(port.gate)).e164,
        "Body": "STOP",
        "MessageSid": "SM" + "1" * 32,
        "To": "+15005550006",
    }
    url = f"{PUBLIC}/callbacks/twilio/{SECRET}"
    good = RequestValidator(TOKEN).compute_signature(url, fields)
    other = RequestValidator(TOKEN).compute_signature(url + "?x=1", fields)
    body = urlencode(fields)
    for signature in ("", other, "x"):
        heads = {**FORM, "x-twilio-signature": signature}
        assert (await port.ask("POST", url, content=body, headers=heads)).status_code == 403
        assert await closed(port.gate) == 0
    assert ("twilio", "refused") in house.counted.arrivals
    heads = {**FORM, "x-twilio-signature": good}
    assert (await port.ask("POST", url, content=body, headers=heads)).status_code == 200
    assert await closed(port.gate) == 1


async def test_reports_repeat_and_come_of_strangers_without_harm(house: House, port: Port) -> None:
    sent = await linked(port)
    number = await phone(port.gate)
    report = {
        "user_receive_time": "2026-11-20 10:00:00", "nationcode": "86", "mobile": number.e164[3:],
        "report_status": "SUCCESS", "errmsg": "DELIVRD", "description": "", "sid": sent.provider_message_id, "ext": "",
    }  # fmt: skip
    forged = {**report, "sid": "2019:never", "report_status": "FAIL"}
    for _ in range(2):
        assert (await port.report(json.dumps([report, forged]).encode())).status_code == 200
    assert port.gate.sending is not None
    message = await port.gate.sending.outbox.message(sent.intent_id)
    assert message is not None
    assert message.state in {MessageState.DELIVERED, MessageState.SUBMITTED}
    assert ("tencent", "unknown") in house.counted.arrivals


async def test_garbage_is_answered_and_is_no_incident(port: Port) -> None:
    for body in (b"", b"{", b"[" * 5000, b"\xff" * 100, b"null", b'{"a":' * 900):
        assert (await port.report(body)).status_code in {200, 400}, body[:10]
    assert port.incidents == []


async def test_a_giant_body_is_not_read(port: Port) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(MOST_BODY // 1024 + 10):
            yield b"x" * 1024

    assert (await port.report(b"x" * (MOST_BODY + 1))).status_code == 413
    streamed = await port.ask("POST", f"/callbacks/tencent/{SECRET}", content=endless())
    assert streamed.status_code == 413
    lying = {"content-length": "9" * 40}
    assert (await port.ask("POST", f"/callbacks/tencent/{SECRET}", headers=lying)).status_code == 413
    sent = await linked(port)
    huge = await port.ask(
        "POST", f"/c/{sent.token}/stop", content=b"of=purpose&x=" + b"y" * 5000, headers=FORM
    )
    assert huge.status_code == 413


async def test_the_page_shows_what_holds_and_no_number_anywhere(port: Port) -> None:
    sent = await linked(port)
    page = await port.ask("GET", f"/c/{sent.token}", headers={"accept-language": "zh-CN,zh;q=0.9"})
    assert page.status_code == 200
    assert "已同意" in page.text
    assert '<html lang="zh-CN">' in page.text
    digits = (await phone(port.gate)).e164[3:]
    assert digits not in page.text
    assert digits[-4:] not in page.text
    for name, value in {
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "content-security-policy": CONTENT_SECURITY_POLICY,
        "x-content-type-options": "nosniff",
    }.items():
        assert page.headers[name] == value
    assert "server" not in page.headers
    assert "set-cookie" not in page.headers
    assert "<script" not in page.text
    assert "http" not in re.sub(r'xmlns="[^"]*"', "", page.text)  # nothing from elsewhere


async def test_the_language_is_the_readers(port: Port) -> None:
    sent = await linked(port)
    for asked, accepted, language in [
        ("", "", "zh-CN"), ("", "en-GB,en;q=0.8", "en"), ("", "fr, en;q=0.5, zh;q=0.4", "en"), ("zh", "en", "zh-CN"),
        ("", "zh-TW", "zh-CN"), ("xx", "de", "zh-CN"), ("", "en;q=nan,zh;q=0.1", "zh-CN"), ("", "q" * 9000, "zh-CN"),
        ("<script>", "en", "en"),
    ]:  # fmt: skip
        heads = {"accept-language": accepted}
        page = await port.ask("GET", f"/c/{sent.token}", params={"lang": asked}, headers=heads)
        assert f'<html lang="{language}">' in page.text, (asked, accepted)
        assert "<script>" not in page.text


async def stop(port: Port, sent: Sent, heads: Mapping[str, str], of: str = "purpose") -> httpx.Response:
    page = await port.ask("GET", f"/c/{sent.token}")
    found = STATUS.search(page.text)
    assert found
    body = urlencode({"form": found[1], "of": of})
    return await port.ask("POST", f"/c/{sent.token}/stop", content=body, headers={**FORM, **heads})


async def test_one_click_refuses_and_the_way_back_shows_the_receipt(port: Port) -> None:
    sent = await linked(port)
    done = await stop(port, sent, {"sec-fetch-site": "same-origin", "origin": "null"})
    assert done.status_code == 303
    where = httpx.URL(f"{PUBLIC}/c/{sent.token}/stop").join(done.headers["location"])
    page = await port.ask("GET", str(where))
    receipt = where.params["receipt"]
    assert receipt in page.text.replace("<wbr>", "")
    assert "已拒收" in page.text
    assert await closed(port.gate) == 1


async def test_a_form_from_elsewhere_refuses_nothing(port: Port) -> None:
    sent = await linked(port)
    for heads in (
        {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.example"},
        {"origin": "http://p.example.com"}, {"content-type": "text/plain"},
        {"content-type": "multipart/form-data; boundary=x"}, {"content-type": ""},
    ):  # fmt: skip
        assert (await stop(port, sent, heads)).status_code == 400, heads
    assert await closed(port.gate) == 0


async def test_looking_changes_nothing_whatever_opens_links_by_itself(port: Port) -> None:
    sent = await linked(port)
    for path in (
        "",
        "/stop",
        "/restore",
        "/stop?of=everything",
        "/restore?of=everything",
        "?of=everything",
    ):
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            await port.ask(method, f"/c/{sent.token}{path}")
    assert await closed(port.gate) == 0


async def test_a_form_that_is_not_ours_changes_nothing(port: Port) -> None:
    sent, form = await linked(port), "form=" + "0" * 32
    for body in (
        "", "of=purpose", "of=purpose&form=x", f"of=all&{form}", f"of=purpose&of=everything&{form}", "a=1&" * 50,
        "of=purpose&form=%ff", "\x00",
    ):  # fmt: skip
        answered = await port.ask("POST", f"/c/{sent.token}/stop", content=body, headers=FORM)
        assert answered.status_code == 400, body
    assert await closed(port.gate) == 0
    assert port.incidents == []


async def test_agreeing_again_over_http_takes_two_pages(port: Port) -> None:
    sent = await linked(port)
    await stop(port, sent, {})
    second = await port.ask("GET", f"/c/{sent.token}/restore?of=purpose&lang=en")
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', second.text))
    assert "Do you agree?" in second.text
    for wrong in ({"digest": "0" * 64}, {"seen": ""}, {"form": ""}, {"language": "zh"}, {"notice": ""}):
        body = urlencode({**fields, **wrong})
        refused = await port.ask("POST", f"/c/{sent.token}/restore", content=body, headers=FORM)
        assert refused.status_code in {400, 409}
        assert await closed(port.gate) == 1
    done = await port.ask("POST", f"/c/{sent.token}/restore", content=urlencode(fields), headers=FORM)
    assert done.status_code == 303
    assert await closed(port.gate) == 0


async def test_a_link_of_any_purpose_has_a_page_that_refuses_and_takes_back(port: Port) -> None:
    """One that rests on no consent, one that was never agreed to, and one that the policies do not have any more."""
    for purpose, has_words in (("order_fulfilment", False), ("fraud_prevention", True), ("renamed", False)):
        sent = await send(port.gate, KEY, await phone(port.gate), purpose)
        page = await port.ask("GET", f"/c/{sent.token}?lang=en&pending=1")
        assert page.status_code == 200
        assert "may still arrive" in page.text
        assert (await stop(port, sent, {})).status_code == 303
        assert await closed(port.gate) == 1
        second = await port.ask("GET", f"/c/{sent.token}/restore")
        assert ("blockquote" in second.text.partition("<main>")[2]) is has_words
        body = urlencode(dict(re.findall(r'name="(\w+)" value="([^"]*)"', second.text)))
        done = await port.ask("POST", f"/c/{sent.token}/restore", content=body, headers=FORM)
        assert done.status_code == 303, purpose
        assert await closed(port.gate) == 0
        again = await port.ask("GET", f"/c/{sent.token}/restore?of=everything")
        assert again.status_code == 303  # nothing is left to take back


async def test_what_left_before_is_told_of_and_the_refusal_holds_all_the_same(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settlement, "MOST_S", 0.05)
    sent = await linked(port)
    await send(port.gate, KEY, await phone(port.gate), "order_fulfilment", is_settled=False)
    done = await stop(port, sent, {})
    assert (done.status_code, "pending=1" in done.headers["location"]) == (303, True)
    assert await closed(port.gate) == 1
    answered = await port.report(reply_of(await phone(port.gate), "TD"))
    assert answered.status_code == 200
    assert await closed(port.gate) == 2


async def test_what_can_not_be_taken_back_here_says_so_and_has_no_button(port: Port) -> None:
    sent, other = await linked(port), StoreKey("crm", "C00002")
    family = await port.gate.ledger.enrol((other, await phone(port.gate)), port.gate.clock.now())
    await port.gate.ledger.add_suppression(opt_out(family.sid, port.gate.clock.now()), "", "")
    for of in ("everything", "purpose"):
        page = await port.ask("GET", f"/c/{sent.token}/restore?of={of}&lang=en")
        assert page.status_code == 200
        assert "<button" not in page.text
    assert (
        "shares your number"
        in (await port.ask("GET", f"/c/{sent.token}/restore?of=everything&lang=en")).text
    )


async def test_words_that_a_phone_took_for_a_part_of_the_link_do_not_break_it(port: Port) -> None:
    sent = await linked(port)
    for tail in ("拒收请回复R", "。", "%EF%BC%8C", ")"):
        led = await port.ask("GET", f"/c/{sent.token}{tail}")
        assert (led.status_code, led.headers["location"]) == (303, sent.token)
    for tail in ("x", "-", "_0"):
        assert (await port.ask("GET", f"/c/{sent.token}{tail}")).status_code == 404


async def test_who_opens_the_address_of_a_form_that_failed_finds_the_way_back(port: Port) -> None:
    sent = await linked(port)
    failed = await port.ask("POST", f"/c/{sent.token}/stop", headers=FORM, content="of=x")
    assert failed.status_code == 400
    assert f'href="../{sent.token}?lang=' in failed.text
    back = await port.ask("GET", f"/c/{sent.token}/stop")
    assert (back.status_code, back.headers["location"]) == (303, f"../{sent.token}?lang=zh")
    assert await closed(port.gate) == 0
    for token in ("javascript:alert(1)", "A" * 21 + '"'):
        refused = await port.ask("POST", f"/c/{token}/stop", content="of=x")
        assert refused.status_code == 400
        assert "<a " not in refused.text


async def test_a_forged_link_says_nothing(port: Port) -> None:
    for token in ("A" * 22, "x", "..", "%2e%2e", "A" * 5000, "A" * 21 + "%00", "<b>"):
        page = await port.ask("GET", f"/c/{token}")
        assert page.status_code == 404, token
        assert "<b>" not in page.text
    assert port.incidents == []


async def test_a_token_that_is_hammered_has_to_wait_and_others_do_not(house: House, port: Port) -> None:
    sent = await linked(port)
    house.hands.stands = True
    codes = [(await port.ask("GET", f"/c/{'A' * 22}")).status_code for _ in range(40)]
    assert codes.count(404) == 30
    assert codes[-1] == 429
    assert (await port.ask("GET", f"/c/{sent.token}")).status_code == 200


async def test_an_address_that_guesses_has_to_wait(house: House, port: Port) -> None:
    house.hands.stands = True
    codes = [(await port.ask("GET", f"/c/{number:022d}", at=OUTSIDE)).status_code for number in range(210)]
    assert codes == [404] * 200 + [429] * 10
    assert (await port.ask("GET", f"/c/{'B' * 22}", at=INSIDE)).status_code == 404


@pytest.mark.parametrize("of", ["purpose", "everything"])
async def test_while_the_store_is_away_a_customer_refuses_all_the_same(port: Port, of: str) -> None:
    sent = await linked(port)
    number = (await phone(port.gate)).e164
    spy: Any = Spy(port.gate.stores["crm"], StoreError())
    away = Port(replace(port.gate, stores={"crm": spy}))
    path = f"/c/{sent.token}?lang=en&receipt="
    page = await away.ask("GET", path + "0" * 32)
    assert (page.status_code, page.headers["retry-after"]) == (503, "60")
    assert number[-8:] not in page.text
    assert 'role="status"' not in page.text  # a number that somebody made up is no receipt
    assert [each.code for each in away.incidents] == [StoreError().code]
    found = STATUS.search(page.text)
    assert found
    heads = {**FORM, "sec-fetch-site": "same-origin"}
    content = urlencode({"form": found[1], "of": of})
    for _ in range(2):  # a click that comes twice is one refusal
        done = await away.ask("POST", f"/c/{sent.token}/stop?lang=en", content=content, headers=heads)
        assert done.status_code == 303
    receipt = httpx.URL(done.headers["location"]).params["receipt"]
    back = await away.ask("GET", path + receipt)
    assert 'role="status"' in back.text
    assert receipt in back.text.replace("<wbr>", "")
    assert await closed(port.gate) == 1
    other = await send(port.gate, StoreKey("crm", "C00002"), Phone("+8613900000009"))
    elsewhere = await away.ask("GET", f"/c/{other.token}?receipt={receipt}")
    assert 'role="status"' not in elsewhere.text


async def test_what_breaks_says_nothing_of_it_and_is_told_to_the_operator(
    port: Port, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fujie.adapters.ledger.outbox import SQLOutbox

    async def broken(*_: object) -> None:
        raise RuntimeError("+8613800138000 in a text")

    monkeypatch.setattr(SQLOutbox, "link", broken)
    page = await port.ask("GET", f"/c/{'A' * 22}")
    assert page.status_code == 503
    assert page.headers["retry-after"] == "60"
    assert "13800138000" not in page.text
    (incident,) = port.incidents
    assert (incident.where, incident.error, incident.code) == ("page", "RuntimeError", "INTERNAL")
