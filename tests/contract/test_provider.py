"""What every provider must do (`ports.providers.Provider`), run against a stand-in for each vendor.

The vendors' official SDKs are the oracles of shapes and signatures: tests/contract/test_provider_oracles.py.
"""

import asyncio
import json
import logging
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.adapters.clock import SystemClock
from fujie.adapters.providers import aliyun, exchange, http_template, tencent, twilio
from fujie.adapters.providers.exchange import MOST_BYTES, Answer, Exchange, believed
from fujie.adapters.providers.fields import code_of
from fujie.decision.keywords import Meaning, meaning_of
from fujie.model.customer import Phone
from fujie.model.errors import RequestError
from fujie.model.message import MessageState
from fujie.ports.providers import Acceptance, Callback, Called, Outgoing, Provider, Submission, Unresolved
from support import certificates
from support.standins import (
    CUT,
    DRIP,
    DROP,
    GIANT,
    HANG,
    AliyunShape,
    PlainShape,
    Shape,
    StandIn,
    TencentShape,
    TwilioShape,
    standing_in,
)

A, R, T, U = Acceptance.ACCEPTED, Acceptance.REFUSED, Acceptance.RETRY, Acceptance.UNKNOWN
CLOCK = SystemClock()
PLACE = ("main", "carrier")
SECRET = "s3cret-of-the-account"
PHONES = ("+8613800138000", "+8613900139001", "+8615012345672")
NUMBERS = ("13800138000", "13900139001", "15012345672")
CAMPAIGN = "ca" * 16
LONG, SHORT = 30.0, 0.2
"""Seconds: what no good answer takes even on a busy machine; what a test of lateness waits."""
PLAIN = http_template.Template(
    "",
    '{"to": "{phone}", "say": "【{signature}】{text}", "ref": "{intent}", "vars": "{params}", "from": "{national}"}',
    http_template.AnswerShape("result.ids.0", "result.code", ("ok",), ("no",), ("busy",), ("stop",)),
    http_template.CallbackShape(
        items="list", phone="to", id="id", intent="ref", status="st", delivered=("D",), failed=("F",),
        opted_out=("B",), text="say", reply_id="mo", signature="sig", answer="OK",
    ),
    headers=(("Authorization", "Bearer {secret}"),),
    secret=SECRET,
)  # fmt: skip
RECEIPT = {"to": "13800138000", "id": "x", "st": "D"}


@dataclass(frozen=True)
class Case:
    """One kind of provider: its stand-in, and what makes it, given an address and seconds."""

    shape: Callable[[], Shape]
    make: Callable[[str, Exchange], Provider]
    is_whole: bool = False  # one outcome for all messages of a call

    def provider(self, endpoint: str, seconds: float = LONG) -> Provider:
        return self.make(endpoint, Exchange(seconds))


def plain(endpoint: str, exchange: Exchange) -> Provider:
    template = http_template.Template(
        f"{endpoint}/send?app=1",
        PLAIN.body,
        PLAIN.answer,
        PLAIN.callback,
        headers=PLAIN.headers,
        secret=SECRET,
    )
    assert http_template.flaws(template) == []
    return http_template.HTTPTemplate(PLACE, template, exchange, CLOCK)


ACCOUNT = tencent.TencentAccount("AKID", SECRET, "1400006666")
SENDER = twilio.TwilioAccount("AC" + "0" * 32, SECRET, "MG" + "1" * 32)
PUBLIC = "https://gate.example.com/callbacks/path/main"
CASES = {
    "aliyun": Case(
        AliyunShape,
        lambda at, exchange: aliyun.Aliyun(PLACE, aliyun.AccessKey("LTAI", SECRET), exchange, CLOCK, at),
        is_whole=True,
    ),
    "tencent": Case(
        TencentShape, lambda at, exchange: tencent.Tencent(PLACE, ACCOUNT, exchange, CLOCK, (at, True))
    ),
    "twilio": Case(
        TwilioShape, lambda at, exchange: twilio.Twilio(PLACE, SENDER, exchange, CLOCK, (at, PUBLIC))
    ),
    "http": Case(PlainShape, plain),
}
pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


def outgoing(*phones: str, params: Sequence[str] = ()) -> list[Outgoing]:
    names = params or ["一"] * len(phones)
    return [
        Outgoing(f"{i:032x}", Phone(phone), "某某", f"您好 {name}", "SMS_1", {"name": name}, CAMPAIGN)
        for i, (phone, name) in enumerate(zip(phones, names, strict=True), 1)
    ]


@asynccontextmanager
async def facing(case: Case, seconds: float = LONG) -> AsyncIterator[tuple[StandIn, Provider]]:
    async with standing_in(case.shape()) as stand_in:
        provider = case.provider(stand_in.endpoint, seconds)
        yield stand_in, provider
        await provider.close()


def outcomes(submitted: Sequence[Submission]) -> list[Acceptance]:
    return [each.acceptance for each in submitted]


# What is taken.


async def test_a_message_is_taken_once_and_has_an_id(case: Case) -> None:
    async with facing(case) as (stand_in, provider):
        [submitted] = await provider.submit(outgoing(PHONES[0]))
        assert submitted.acceptance is A
        assert submitted.provider_message_id
        assert submitted.code == ""
        assert stand_in.numbers == [PHONES[0]]
        assert (provider.name, provider.processor) == PLACE


async def test_of_a_batch_each_number_is_asked_once(case: Case) -> None:
    async with facing(case) as (stand_in, provider):
        messages = outgoing(*PHONES, params=["一", "二", "一"])
        assert outcomes(await provider.submit(messages)) == [A, A, A]
        assert sorted(stand_in.numbers) == sorted(PHONES)


async def test_a_whole_load_goes_out(case: Case) -> None:
    async with facing(case) as (stand_in, provider):
        phones = [f"+86138{i:08d}" for i in range(provider.most)]
        submitted = await provider.submit(outgoing(*phones))
        assert outcomes(submitted) == [A] * provider.most
        assert sorted(stand_in.numbers) == phones


async def test_everybody_gets_their_own_values(case: Case) -> None:
    async with facing(case) as (stand_in, provider):
        names = {phone: f"n{place}" for place, phone in enumerate(PHONES)}
        await provider.submit(outgoing(*PHONES, params=list(names.values())))
        got: dict[str, str] = {}
        for seen in stand_in.seen:
            values = unquote_plus(seen.body.decode())
            numbers = stand_in.shape.numbers(seen)
            found = re.findall(r"n[0-9]\b", values)
            got |= dict(zip(numbers, found[: len(numbers)], strict=True))
        assert got == names


AMERICAN = "+13235551234"
"""Los Angeles; without its plus it is a mobile of the mainland, whose holder is somebody else."""


async def test_no_foreign_number_is_ever_written_as_a_mainland_one(case: Case) -> None:
    async with facing(case) as (stand_in, provider):
        submitted = await provider.submit(outgoing(PHONES[0], AMERICAN, PHONES[1]))
        stranger = f"+86{AMERICAN[1:]}"
        assert stranger not in stand_in.numbers
        is_plain = case.shape in (AliyunShape, PlainShape)
        assert outcomes(submitted) == ([A, R, A] if is_plain else [A, A, A])
        assert submitted[1].code == ("NUMBER_AMBIGUOUS" if is_plain else "")


HONG_KONG = "+85261234567"


@pytest.mark.parametrize("kind", ["aliyun", "tencent"])
async def test_a_foreign_number_costs_nobody_else_the_message(kind: str) -> None:
    """Aliyun has one outcome for a call, and Tencent refuses one with numbers of both sorts."""
    async with facing(CASES[kind]) as (stand_in, provider):
        stand_in.codes = {HONG_KONG: stand_in.shape.refused}
        messages = outgoing(PHONES[0], HONG_KONG, PHONES[1])
        assert outcomes(await provider.submit(messages)) == [A, R, A]
        calls = sorted(tuple(stand_in.shape.numbers(each)) for each in stand_in.seen)
        assert calls == [(HONG_KONG,), (PHONES[0], PHONES[1])]


@pytest.mark.parametrize("kind", ["aliyun", "tencent"])
async def test_what_is_of_no_campaign_is_known_by_its_own_id_alone(kind: str) -> None:
    async with facing(CASES[kind]) as (stand_in, provider):
        messages = [replace(each, campaign_id="") for each in outgoing(*PHONES)]
        assert outcomes(await provider.submit(messages)) == [A, A, A]
        is_form = kind == "aliyun"
        given = [each.form["OutId"] if is_form else each.json["SessionContext"] for each in stand_in.seen]
        assert sorted(given) == [each.intent_id for each in messages]


async def test_tencent_takes_a_load_in_which_everybody_reads_something_else() -> None:
    async with facing(CASES["tencent"]) as (stand_in, provider):
        phones = [f"+86138{i:08d}" for i in range(tencent.MOST)]
        submitted = await provider.submit(outgoing(*phones, params=phones))
        assert outcomes(submitted) == [A] * tencent.MOST
        assert sorted(stand_in.numbers) == phones
        assert len(stand_in.seen) == tencent.MOST


async def test_the_proxies_of_the_environment_have_no_say(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with facing(case) as (_, provider):
        assert outcomes(await provider.submit(outgoing(PHONES[0]))) == [A]


async def test_with_a_certificate_that_is_believed_it_goes_by_tls(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = certificates.authority()
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    believed.cache_clear()
    async with standing_in(case.shape(), server_tls(authority, tmp_path)) as stand_in:
        provider = case.provider(stand_in.endpoint)
        believed.cache_clear()
        assert outcomes(await provider.submit(outgoing(PHONES[0]))) == [A]
        await provider.close()


def server_tls(authority: certificates.Pair, directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificates.server(authority).files(directory, "server"))
    return context


# What is in doubt is UNKNOWN, and asked once.


@pytest.mark.parametrize("how", [DROP, GIANT, CUT])
async def test_once_taken_whatever_comes_back_is_unknown_and_nothing_is_asked_again(
    case: Case, how: str
) -> None:
    async with facing(case) as (stand_in, provider):
        stand_in.how = how
        submitted = await provider.submit(outgoing(*PHONES))
        assert [(each.acceptance, each.code) for each in submitted] == [(U, "ANSWER")] * 3
        assert sorted(stand_in.numbers) == sorted(PHONES)


@pytest.mark.parametrize("how", [HANG, DRIP])
async def test_an_answer_that_is_late_is_unknown_and_nothing_is_asked_again(case: Case, how: str) -> None:
    async with facing(case, SHORT) as (stand_in, provider):
        stand_in.how = how
        submitted = await provider.submit(outgoing(*PHONES))
        # On a busy machine the time may be over before a request is sent; what was seen is in doubt at any rate.
        late = {phone: each.acceptance for phone, each in zip(PHONES, submitted, strict=True)}
        assert len(stand_in.numbers) == len(set(stand_in.numbers))
        assert {late[number] for number in stand_in.numbers} <= {U}
        assert {(each.acceptance, each.code) for each in submitted} <= {(U, "TIMEOUT"), (T, "CONNECT")}


NONSENSE = {
    "no http": b"\x00\x01\x02\r\n\r\n",
    "another protocol": b"220 smtp ready\r\n\r\n",
    "not json": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "an array": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
    "empty": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "nothing but null": b"HTTP/1.1 201 OK\r\nContent-Length: 4\r\n\r\nnull",
    "deep": b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b"[" * 9000,
    "packed, unasked": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
    "a header without end": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
    "moved": b"HTTP/1.1 307 Moved\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
    "a gateway in between": b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\n{}",
    "not theirs": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\n<html>",
    "fault": b"HTTP/1.1 500 E\r\nContent-Length: 24\r\n\r\n" + b'{"Code":"InternalError"}',
}


@pytest.mark.parametrize("raw", NONSENSE.values(), ids=NONSENSE.keys())
async def test_an_answer_that_is_none_leaves_it_open(case: Case, raw: bytes) -> None:
    async with facing(case) as (stand_in, provider):
        stand_in.raw = raw
        submitted = await provider.submit(outgoing(PHONES[0]))
        assert outcomes(submitted) == [U]
        assert stand_in.numbers == [PHONES[0]]


# What certainly went nowhere may be tried again.


async def test_nobody_there_is_retry(case: Case) -> None:
    async with standing_in(case.shape()) as stand_in:
        endpoint = stand_in.endpoint
    provider = case.provider(endpoint)
    submitted = await provider.submit(outgoing(*PHONES))
    assert [(each.acceptance, each.code) for each in submitted] == [(T, "CONNECT")] * 3
    await provider.close()


async def test_a_certificate_that_is_not_believed_is_retry_and_nothing_is_shown(
    case: Case, tmp_path: Path
) -> None:
    async with standing_in(case.shape(), server_tls(certificates.authority(), tmp_path)) as stand_in:
        provider = case.provider(stand_in.endpoint)
        submitted = await provider.submit(outgoing(*PHONES))
        assert [(each.acceptance, each.code) for each in submitted] == [(T, "CONNECT")] * 3
        assert stand_in.seen == []
        await provider.close()


async def test_a_handshake_that_does_not_end_is_retry(case: Case) -> None:
    async with standing_in(case.shape()) as stand_in:  # it waits for a request line, which never comes
        provider = case.provider(stand_in.endpoint.replace("http:", "https:"), SHORT)
        assert outcomes(await provider.submit(outgoing(PHONES[0]))) == [T]
        assert stand_in.seen == []
        await provider.close()


async def test_a_limit_on_calls_is_retry(case: Case) -> None:
    async with facing(case) as (stand_in, provider):
        stand_in.codes = {"*": stand_in.shape.throttled}
        submitted = await provider.submit(outgoing(*PHONES))
        assert [(each.acceptance, each.code) for each in submitted] == [(T, stand_in.shape.throttled)] * 3


# What is refused.


async def test_an_explicit_code_refuses_whom_it_is_about(case: Case) -> None:
    async with facing(case) as (stand_in, provider):
        stand_in.codes = {PHONES[1]: stand_in.shape.refused}
        submitted = await provider.submit(outgoing(*PHONES))
        assert outcomes(submitted) == ([R, R, R] if case.is_whole else [A, R, A])
        assert submitted[1] == Submission(R, "", stand_in.shape.refused)


async def test_who_opted_out_there_is_told(case: Case) -> None:
    async with facing(case) as (stand_in, provider):
        if not stand_in.shape.opted_out:
            pytest.skip("it says so in reports alone")
        stand_in.codes = {PHONES[2]: stand_in.shape.opted_out}
        submitted = await provider.submit(outgoing(*PHONES))
        assert [each.is_opted_out for each in submitted] == [False, False, True]
        assert outcomes(submitted) == [A, A, R]


# Cancelled, closed, hidden.


async def test_a_call_that_is_cancelled_ends_and_was_asked_once(case: Case) -> None:
    async with facing(case) as (stand_in, provider):
        stand_in.how = HANG
        task = asyncio.ensure_future(provider.submit(outgoing(PHONES[0])))
        await stand_in.met.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stand_in.numbers == [PHONES[0]]
        stand_in.how = "accept"
        assert outcomes(await provider.submit(outgoing(PHONES[1]))) == [A]


@pytest.mark.parametrize("how", ["accept", DROP, CUT])
async def test_no_number_name_or_secret_is_in_urls_logs_or_reprs(
    case: Case, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpcore").setLevel(logging.DEBUG)
    async with facing(case) as (stand_in, provider):
        stand_in.how = how
        submitted = await provider.submit(messages := outgoing(*PHONES, params=["欧阳一"] * 3))
        receipt = await provider.query(unresolved(submitted[0].provider_message_id), Phone(PHONES[0]))
        targets = " ".join(each.target for each in stand_in.seen)
        shown = f"{targets} {caplog.text} {provider!r} {messages!r} {submitted!r} {receipt!r}"
    for hidden in (*PHONES, *NUMBERS, "欧阳", SECRET):
        assert hidden not in shown
        assert hidden not in str([vars(record) for record in caplog.records])


def unresolved(provider_message_id: str, intent_id: str = "1" * 32) -> Unresolved:
    return Unresolved(intent_id, "sid", b"", None, "main", provider_message_id, datetime.now(UTC))


async def test_what_became_of_a_message_can_not_be_said_while_nobody_answers(case: Case) -> None:
    async with facing(case) as (stand_in, provider):
        stand_in.how = DROP
        assert await provider.query(unresolved("SM" + "0" * 32), Phone(PHONES[0])) is None
        assert await provider.poll() in (
            Called(),
            Called(body=b'{"result":0,"errmsg":"OK"}'),
            Called([], [], 0, b'{"result":0,"errmsg":"OK"}'),
        )


# Codes, one by one.

CODES: dict[str, dict[Acceptance, str]] = {
    "aliyun": {
        R: "isv.BUSINESS_LIMIT_CONTROL isv.MOBILE_NUMBER_ILLEGAL isv.SMS_SIGNATURE_SCENE_ILLEGAL isv.SIGN_STATE_ILLEGAL"
        " isv.EXTEND_CODE_ERROR isv.DOMESTIC_NUMBER_NOT_SUPPORTED isv.DENY_IP_RANGE isv.DAY_LIMIT_CONTROL"
        " isv.MONTH_LIMIT_CONTROL isv.SMS_CONTENT_ILLEGAL isv.SMS_SIGN_ILLEGAL isv.OUT_OF_SERVICE isv.PRODUCT_UN_SUBSCRIPT"
        " isv.ACCOUNT_NOT_EXISTS isv.ACCOUNT_ABNORMAL isp.RAM_PERMISSION_DENY isv.AMOUNT_NOT_ENOUGH"
        " isv.BLACK_KEY_CONTROL_LIMIT isv.SOMETHING_NEW",
        T: "Throttling Throttling.User Throttling.Api isv.QPS_LIMIT_CONTROL",
        U: "isp.SYSTEM_ERROR isp.SOMETHING_NEW InternalError ServiceUnavailable SignatureNonceUsed Whatever",
    },
    "tencent": {
        R: "FailedOperation.PhoneNumberInBlacklist FailedOperation.MarketingSendTimeConstraint"
        " FailedOperation.ContainSensitiveWord InvalidParameterValue.MarketingTemplateWithoutUnsubscribe"
        " InvalidParameterValue.TemplateParameterLengthLimit LimitExceeded.PhoneNumberThirtySecondLimit"
        " LimitExceeded.DeliveryFrequencyLimit LimitExceeded.AppDailyLimit UnauthorizedOperation.RequestIpNotInWhitelist"
        " UnsupportedOperation.ContainDomesticAndInternationalPhoneNumber AuthFailure.SignatureFailure"
        " InternalError.SigVerificationFail InternalError.RequestTimeException FailedOperation.SomethingNew",
        T: "RequestLimitExceeded RequestLimitExceeded.IPLimitExceeded LimitExceeded.GlobalSmsSendingRateLimit",
        U: "InternalError InternalError.Timeout InternalError.SendAndRecvFail InternalError.UnknownError"
        " InternalError.SomethingNew FailedOperation.ParametersOtherError ServiceUnavailable",
    },
    "twilio": {R: "21211 21610 21408 21612 21614 20003 30034 99999", T: "20429 21611 14107 21730", U: ""},
}  # fmt: skip


def meant(kind: str, code: str) -> Acceptance:
    if kind == "aliyun":
        status = 503 if code in {"ServiceUnavailable", "InternalError"} else 400 if "Nonce" in code else 200
        return aliyun.submission(Answer(status, json.dumps({"Code": code}).encode())).acceptance
    if kind == "tencent":
        return tencent.submission({"Code": code}).acceptance
    return twilio.submission(Answer(400, json.dumps({"code": int(code)}).encode())).acceptance


@pytest.mark.parametrize("kind", CODES)
def test_every_documented_code_means_what_it_says(kind: str) -> None:
    expected = {code: acceptance for acceptance, codes in CODES[kind].items() for code in codes.split()}
    assert {code: meant(kind, code) for code in expected} == expected


def test_every_code_of_the_tencent_sdk_means_something() -> None:
    from tencentcloud.sms.v20210111 import errorcodes

    codes = [value for name, value in vars(errorcodes).items() if name.isupper()]
    assert len(codes) > 80
    unclear = {code for code in codes if meant("tencent", code) is U}
    assert unclear == {
        "FailedOperation.ParametersOtherError",
        *(f"InternalError.{each}" for each in ("OtherError", "ParseBackendResponseFail", "SendAndRecvFail", "Timeout", "UnknownError")),
    }  # fmt: skip


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
answers = st.builds(
    Answer,
    st.integers(200, 599),
    st.binary(max_size=60)
    | st.dictionaries(st.sampled_from(["Code", "code", "sid", "result", "Response"]), json_values).map(
        lambda value: json.dumps(value).encode()
    ),
)


@given(answers)
def test_no_answer_breaks_the_reading_and_only_a_good_one_is_taken(answer: Answer) -> None:
    for said in (
        aliyun.submission(answer),
        twilio.submission(answer),
        http_template.submission(answer, PLAIN.answer),
        tencent.submission(answer.fields()),
    ):
        assert said.code == "" or code_of(said.code) == said.code
        if said.acceptance is A:
            assert {"OK", "Ok", "ok"} & set(str(answer.fields()).split("'")) or answer.status == 201
    if not 200 <= answer.status < 300:
        assert aliyun.submission(answer).acceptance is not A


@given(st.text(max_size=80) | st.integers() | st.none() | st.lists(st.integers(), max_size=2))
def test_a_code_is_of_the_bounded_vocabulary(value: object) -> None:
    code = code_of(value)
    assert 1 <= len(code) <= 64
    assert code.isascii()
    assert all(each.isalnum() or each in "_.:-" for each in code)
    assert not any(code[i : i + 11].isdigit() for i in range(len(code) - 10))


# Callbacks.


def posted(body: object, url: str = PUBLIC, **headers: str) -> Callback:
    return Callback(url, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def signed(fields: dict[str, str], url: str = PUBLIC, token: str = SECRET) -> Callback:
    good = twilio.signature(token, url, list(fields.items()))
    return Callback(url, {"x-twilio-signature": good}, urlencode(fields).encode())


@lru_cache  # the certificates of the system take 30 ms to load
def silent(kind: str) -> Provider:
    return CASES[kind].provider("http://127.0.0.1:1")


SID = "SM" + "a" * 32
GOOD: dict[str, list[Callback]] = {
    "aliyun": [
        posted([
            {"phone_number": "13800138000", "success": True, "err_code": "DELIVERED", "out_id": "1" * 32, "biz_id": "9^0"},
            {"phone_number": "13900139001", "success": False, "err_code": "W-BLACK", "out_id": "c-" + CAMPAIGN},
        ]),
        posted([{"phone_number": "13800138000", "send_time": "2026-11-01 08:00:00", "content": "TD", "sign_name": "某某",
                 "dest_code": "1", "sequence_id": 77}]),
    ],
    "tencent": [
        posted([
            {"user_receive_time": "2026-11-01 08:03:04", "nationcode": "86", "mobile": "13800138000",
             "report_status": "SUCCESS", "errmsg": "DELIVRD", "sid": "2019:1", "ext": "1" * 32},
            {"nationcode": "1", "mobile": "2025550123", "report_status": "FAIL", "errmsg": "BLACK", "sid": "2019:2"},
        ]),
        posted({"extend": "", "mobile": "13800138000", "nationcode": "86", "sign": "某某", "text": "TD", "time": 1793318400}),
    ],
    "twilio": [
        signed({"MessageSid": SID, "MessageStatus": "delivered", "To": "+12025550123"}, PUBLIC + "?intent=" + "1" * 32),
        signed({"MessageSid": SID, "SmsStatus": "received", "From": "+12025550123", "Body": "no more!", "OptOutType": "STOP"}),
    ],
    "http": [
        posted({"list": [RECEIPT, {"to": "+12025550123", "ref": "1" * 32, "st": "B"}]}),
        posted({"list": [{"to": "13800138000", "say": "TD", "mo": 5, "sig": "某某"}]}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", GOOD)
def test_receipts_and_replies_are_read_and_a_repetition_reads_the_same(kind: str) -> None:
    provider = silent(kind)
    reports, replies = GOOD[kind]
    called = provider.callback(reports)
    assert called == provider.callback(reports)
    assert called.skipped == 0
    assert called.replies == []
    first = called.receipts[0]
    assert (first.provider, first.state) == ("main", MessageState.DELIVERED)
    assert first.phone is not None
    assert first.provider_message_id or first.intent_id
    [reply], [again] = provider.callback(replies).replies, provider.callback(replies).replies
    assert reply.reply_id == again.reply_id != ""
    assert reply.text == ("STOP" if kind == "twilio" else "TD")
    assert reply.at.tzinfo is not None
    assert (called.body, called.content_type) != (b"", "")


@pytest.mark.parametrize(
    "broken", [b"\\ud83d TD", b"\xcd\xcb TD", b"TD \xff"], ids=["half an emoji", "GBK", "no encoding"]
)
def test_a_broken_character_takes_no_refusal_with_it(broken: bytes) -> None:
    body = b'[{"phone_number":"13800138000","content":"%s"},{"phone_number":"13900139001","content":"TD"}]'
    odd, other = silent("aliyun").callback(posted(body % broken)).replies
    assert (odd.phone.e164, other.phone.e164, other.text) == (PHONES[0], PHONES[1], "TD")
    assert meaning_of(odd.text) in (Meaning.STOP, Meaning.MAYBE_STOP)
    assert odd.text.encode()


def test_stop_without_an_id_counts_anew_each_time_for_it_may_have_been_lifted_between() -> None:
    said = posted({"list": [{"to": "13800138000", "say": "TD"}]})
    [first], [second] = (silent("http").callback(said).replies for _ in range(2))
    assert first.reply_id != second.reply_id


def test_of_a_batch_the_campaign_and_the_number_tell_the_message() -> None:
    [alone, of_many] = silent("aliyun").callback(GOOD["aliyun"][0]).receipts
    assert (alone.intent_id, alone.campaign_id) == ("1" * 32, "")
    assert (of_many.intent_id, of_many.campaign_id) == ("", CAMPAIGN)
    assert (of_many.phone, of_many.is_opted_out, of_many.code) == (Phone(PHONES[1]), True, "W-BLACK")


def test_a_blocked_number_is_told_by_a_receipt() -> None:
    for kind, code in {"http": "B", "tencent": "BLACK"}.items():
        [other, blocked] = silent(kind).callback(GOOD[kind][0]).receipts
        assert (blocked.is_opted_out, blocked.state, blocked.code) == (True, MessageState.FAILED, code)
        assert not other.is_opted_out


def test_a_foreign_number_keeps_its_country() -> None:
    assert silent("tencent").callback(GOOD["tencent"][0]).receipts[1].phone == Phone("+12025550123")


@pytest.mark.parametrize(
    ("digits", "also"),
    [
        ("13235551234", "+13235551234"),
        ("13800138000", None),
        ("8613235551234", None),
        ("+13235551234", None),
    ],
)
def test_digits_that_can_be_a_foreign_number_too_are_told_as_both(digits: str, also: str | None) -> None:
    """Only where a plan of numbers has the other one, and where the provider does not say which it is."""
    said = {
        "aliyun": {"phone_number": digits, "content": "TD", "sequence_id": 7},
        "http": {"list": [{"to": digits, "say": "TD"}]},
        "tencent": {"mobile": digits, "text": "TD", "time": 1793318400},
    }
    for kind, body in said.items():
        [reply] = silent(kind).callback(posted(body)).replies
        assert reply.also == (Phone(also) if also else None)
        assert reply.phone.e164 == (digits if digits[0] == "+" else f"+86{digits.removeprefix('86')}")
    reports = {
        "aliyun": {"phone_number": digits, "success": True, "out_id": "1" * 32},
        "http": {"list": [{"to": digits, "id": "x", "st": "D"}]},
        "tencent": {"mobile": digits, "report_status": "SUCCESS", "sid": "1"},
    }
    for kind, body in reports.items():
        [receipt] = silent(kind).callback(posted(body)).receipts
        assert receipt.also == (Phone(also) if also else None)
    named = {"mobile": "13235551234", "text": "TD", "time": 1793318400, "nationcode": "86"}
    [told] = silent("tencent").callback(posted(named)).replies
    assert told.also is None


@pytest.mark.parametrize("digits", ["14155552671", "16465551234"])
def test_digits_that_no_mainland_mobile_has_are_the_foreign_number(digits: str) -> None:
    """San Francisco and New York: they look like eleven digits of the mainland, and their "stop" counts."""
    said = {
        "aliyun": {"phone_number": digits, "content": "TD", "sequence_id": 7},
        "http": {"list": [{"to": digits, "say": "TD"}]},
        "tencent": {"mobile": digits, "text": "TD", "time": 1793318400},
    }
    for kind, body in said.items():
        [reply] = silent(kind).callback(posted(body)).replies
        assert (reply.phone, reply.also) == (Phone(f"+{digits}"), None)


@pytest.mark.parametrize("kind", ["aliyun", "tencent", "http"])
@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b'"x"', b"\xff\xfe", b"[" * 5000, b"7", b"{}" + b" " * MOST_BYTES]
)
def test_what_is_no_callback_is_refused(kind: str, body: bytes) -> None:
    with pytest.raises(RequestError) as refused:
        silent(kind).callback(posted(body))
    assert refused.value.code == "ARGUMENT_INVALID"


@pytest.mark.parametrize("kind", ["aliyun", "tencent", "http"])
@settings(max_examples=20)
@given(items=st.lists(json_values | st.fixed_dictionaries({}, optional={
    "phone_number": st.just("13800138000") | json_values, "success": json_values, "out_id": json_values,
    "content": json_values, "send_time": json_values, "sequence_id": json_values,
    "mobile": st.just("13800138000") | json_values, "nationcode": st.just("86") | json_values, "sid": json_values,
    "report_status": st.just("FAIL") | json_values, "text": json_values, "time": json_values, "errmsg": json_values,
    "to": st.just("13800138000") | json_values, "st": st.just("D") | json_values, "id": json_values, "say": json_values,
}), max_size=5))  # fmt: skip
def test_odd_items_are_counted_and_the_others_are_read(kind: str, items: list[Any]) -> None:
    provider = silent(kind)
    body = {"list": [*items, RECEIPT]} if kind == "http" else [*items, *json.loads(GOOD[kind][0].body)]
    called = provider.callback(posted(body))
    expected = len(items) + (1 if kind == "http" else 2)
    assert len(called.receipts) + len(called.replies) + called.skipped == expected
    assert [each for each in called.receipts if each.state is MessageState.DELIVERED]
    for receipt in called.receipts:
        assert receipt.code == "" or code_of(receipt.code) == receipt.code


@pytest.mark.parametrize("forged", [
    signed({"MessageSid": SID, "MessageStatus": "delivered"}, token="another"),
    signed({"MessageSid": SID, "MessageStatus": "delivered"}, url=PUBLIC + "?intent=other"),
    Callback(PUBLIC, {}, b"MessageSid=" + SID.encode()),
    Callback(PUBLIC, {"x-twilio-signature": ""}, b""),
    Callback(PUBLIC, {"x-twilio-signature": "\u00e9\udcff"}, b"a=b"),
], ids=["another's token", "another address", "unsigned", "empty", "not ascii"])  # fmt: skip
def test_a_forged_callback_is_refused(forged: Callback) -> None:
    with pytest.raises(RequestError) as refused:
        silent("twilio").callback(Callback(PUBLIC, forged.headers, forged.body))
    assert refused.value.code == "CALLBACK_REFUSED"


def test_a_field_that_was_added_breaks_the_signature() -> None:
    good = signed({"MessageSid": SID, "MessageStatus": "failed"})
    silent("twilio").callback(good)
    with pytest.raises(RequestError):
        silent("twilio").callback(Callback(good.url, good.headers, good.body + b"&MessageStatus=delivered"))


# What each asks its vendor afterwards.


async def test_aliyun_is_asked_by_our_own_id(case: Case) -> None:
    async with facing(CASES["aliyun"]) as (stand_in, provider):
        assert isinstance(stand_in.shape, AliyunShape)
        stand_in.shape.details = [
            {"OutId": "other", "SendStatus": 3, "PhoneNum": NUMBERS[0]},
            {
                "OutId": "1" * 32,
                "SendStatus": 2,
                "ErrCode": "MOBILE_TERMINAL_ERROR",
                "PhoneNum": NUMBERS[0],
            },
        ]
        receipt = await provider.query(unresolved(""), Phone(PHONES[0]))
        assert receipt is not None
        assert (receipt.state, receipt.intent_id, receipt.code) == (
            MessageState.FAILED,
            "1" * 32,
            "MOBILE_TERMINAL_ERROR",
        )
        stand_in.shape.details = stand_in.shape.details[:1]
        assert await provider.query(unresolved(""), Phone(PHONES[0])) is None


async def test_tencent_is_asked_by_number_and_told_by_our_id_and_pulled() -> None:
    async with facing(CASES["tencent"]) as (stand_in, provider):
        assert isinstance(stand_in.shape, TencentShape)
        report = {
            "PhoneNumber": PHONES[0],
            "CountryCode": "86",
            "SerialNo": "2019:1",
            "ReportStatus": "SUCCESS",
            "SessionContext": "",
        }
        stand_in.shape.pulled = {"PullSmsSendStatusSet": [report]}
        assert await provider.query(unresolved("2019:2"), Phone(PHONES[0])) is None
        receipt = await provider.query(unresolved("2019:1"), Phone(PHONES[0]))
        assert receipt is not None
        assert receipt.state is MessageState.DELIVERED
        reply = {
            "PhoneNumber": PHONES[0],
            "ReplyContent": "TD",
            "ReplyTime": 1793318400,
            "SignName": "某某",
        }
        stand_in.shape.pulled["PullSmsReplyStatusSet"] = [reply]
        blocked = {**report, "SerialNo": "2019:9", "ReportStatus": "FAIL", "Description": "号码在黑名单"}
        stand_in.shape.pulled["PullSmsSendStatusSet"].append(blocked)
        asked = len(stand_in.seen)
        called = await provider.poll()
        # What was pulled is nowhere else: it is not held while the next answer is waited for.
        assert len(stand_in.seen) == asked + 1
        assert [(each.text, each.signature) for each in called.replies] == [("TD", "某某")]
        assert called.receipts == []
        stand_in.shape.pulled["PullSmsReplyStatusSet"] = []
        called = await provider.poll()
        assert [(each.provider_message_id, each.is_opted_out, each.code) for each in called.receipts] == [
            ("2019:1", False, ""),
            ("2019:9", True, "OTHER"),
        ]


@pytest.mark.parametrize("code", ["isv.BUSINESS_LIMIT_CONTROL", "isv.MOBILE_NUMBER_ILLEGAL"])
async def test_what_aliyun_refuses_for_one_number_of_many_is_in_doubt_for_all_and_sent_once(
    code: str,
) -> None:
    async with facing(CASES["aliyun"]) as (stand_in, provider):
        stand_in.codes = {PHONES[1]: code}
        said = await provider.submit(outgoing(*PHONES))
        assert [(each.acceptance, each.code) for each in said] == [(U, code)] * 3
        assert {each.provider_message_id for each in said} == {f"c-{CAMPAIGN}"}
        assert sorted(stand_in.numbers) == sorted(PHONES)
        (alone,) = await provider.submit(outgoing(PHONES[1]))
        assert (alone.acceptance, alone.code) == (R, code)


async def test_no_more_calls_are_under_way_than_were_agreed_and_what_had_no_place_never_left() -> None:
    async with standing_in(TwilioShape()) as stand_in:
        stand_in.how = HANG
        narrow = Exchange(5 * SHORT, 2)  # time for two to leave on a busy machine, too
        provider = twilio.Twilio(PLACE, SENDER, narrow, CLOCK, (stand_in.endpoint, PUBLIC))
        assert provider.most == 2
        said = await provider.submit(outgoing(*PHONES, *PHONES[:2]))
        assert Counter((each.acceptance, each.code) for each in said) == {(U, "TIMEOUT"): 2, (T, "BUSY"): 3}
        assert len(stand_in.seen) == 2
        await provider.close()


@pytest.mark.parametrize("jumps", ["monotonic", "wall"])
async def test_a_process_that_was_stopped_while_it_connected_sends_nothing_when_it_goes_on(
    jumps: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then its message counts as abandoned, and whoever opted out was told that nothing is on its way."""

    class Stopped(SystemClock):
        reads = 0

        def is_later(self) -> bool:
            self.reads += 1
            return self.reads > 2

        def now(self) -> datetime:
            return super().now() + timedelta(hours=self.is_later() and jumps == "wall")

        def monotonic(self) -> float:
            return CLOCK.monotonic() + 3600.0 * (self.is_later() and jumps == "monotonic")

    monkeypatch.setattr(exchange, "SystemClock", Stopped, raising=False)
    async with facing(CASES["twilio"]) as (stand_in, provider):
        assert outcomes(await provider.submit(outgoing(PHONES[0]))) == [T]
        assert stand_in.seen == []


async def test_twilio_is_asked_by_its_id_alone() -> None:
    async with facing(CASES["twilio"]) as (stand_in, provider):
        assert isinstance(stand_in.shape, TwilioShape)
        stand_in.shape.message = {"status": "undelivered", "error_code": 21610}
        assert await provider.query(unresolved(""), Phone(PHONES[0])) is None
        assert await provider.query(unresolved("../../x?To=1"), Phone(PHONES[0])) is None
        assert stand_in.seen == []
        receipt = await provider.query(unresolved(SID), Phone(PHONES[0]))
        assert receipt is not None
        assert (receipt.state, receipt.code, receipt.is_opted_out) == (MessageState.FAILED, "21610", True)
