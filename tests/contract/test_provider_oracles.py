"""The vendors' official SDKs as oracles: what they send to a stand-in, our adapters send too, to the byte and the signature."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from fujie.adapters.clock import SystemClock
from fujie.adapters.providers import aliyun, tencent, twilio
from fujie.adapters.providers.exchange import Exchange
from fujie.model.customer import Phone
from fujie.model.errors import RequestError
from fujie.ports.providers import Acceptance, Callback, Outgoing, Unresolved
from support.standins import AliyunShape, Seen, StandIn, TencentShape, TwilioShape, standing_in

CLOCK, PLACE, SECRET = SystemClock(), ("main", "carrier"), "s3cret~of*the account"
PHONES = ("+8613800138000", "+8613900139001")
SIGN, PARAMS = "某 某&~*+", {"name": "欧阳 一/=%~*"}
KEY = aliyun.AccessKey("LTAI", SECRET)
ACCOUNT = tencent.TencentAccount("AKID", SECRET, "1400006666")
SENDER = twilio.TwilioAccount("AC" + "0" * 32, SECRET, "MG" + "1" * 32)
INTENT = "1" * 32
CAMPAIGN = "ca" * 16
# The SDKs make their dates by what Python 3.12 deprecates, and leave sessions to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def outgoing(*phones: str) -> list[Outgoing]:
    return [
        Outgoing(f"{i:x}" * 32, Phone(phone), SIGN, "您好", "SMS_1", PARAMS, CAMPAIGN)
        for i, phone in enumerate(phones, 1)
    ]


# Alibaba Cloud.


def aliyun_sdk(stand_in: StandIn) -> Any:
    from alibabacloud_dysmsapi20170525.client import Client
    from alibabacloud_tea_openapi.utils_models import Config

    host = urlsplit(stand_in.endpoint).netloc
    return Client(Config(access_key_id=KEY.id, access_key_secret=SECRET, endpoint=host, protocol="http"))


def by_form(stand_in: StandIn, action: str, form: dict[str, str]) -> None:
    """Have the SDK's gateway client send parameters as a form, as it does for SendBatchSms by itself."""
    from alibabacloud_tea_openapi.utils_models import OpenApiRequest, Params
    from darabonba.runtime import RuntimeOptions

    params = Params(
        action=action,
        version="2017-05-25",
        protocol="HTTP",
        pathname="/",
        method="POST",
        auth_type="AK",
        style="RPC",
        req_body_type="formData",
        body_type="json",
    )
    aliyun_sdk(stand_in).call_api(params, OpenApiRequest(body=form), RuntimeOptions())


def batch(stand_in: StandIn) -> None:
    from alibabacloud_dysmsapi20170525.models import SendBatchSmsRequest

    def compact(value: object) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    request = SendBatchSmsRequest(
        phone_number_json=compact([phone[3:] for phone in PHONES]),
        sign_name_json=compact([SIGN, SIGN]),
        template_param_json=compact([PARAMS, PARAMS]),
        template_code="SMS_1",
        out_id="c-" + CAMPAIGN,
    )
    aliyun_sdk(stand_in).send_batch_sms(request)


def aliyun_signature(seen: Seen) -> str:
    """Return what we would sign the request with: the headers that the request says are signed."""
    names = seen.headers["authorization"].split("SignedHeaders=")[1].split(",")[0].split(";")
    query = dict(parse_qsl(urlsplit(seen.target).query, keep_blank_values=True))
    return aliyun.authorization(KEY, {name: seen.headers[name] for name in names}, query)


FORM = {
    "PhoneNumbers": PHONES[0][3:],
    "SignName": SIGN,
    "TemplateCode": "SMS_1",
    "TemplateParam": json.dumps(PARAMS, ensure_ascii=False, separators=(",", ":")),
    "OutId": INTENT,
}


@pytest.mark.parametrize(
    ("phones", "theirs"),
    [(PHONES, batch), (PHONES[:1], lambda stand_in: by_form(stand_in, "SendSms", FORM))],
    ids=["SendBatchSms", "SendSms"],
)
async def test_aliyun_is_sent_what_its_sdk_sends(
    phones: tuple[str, ...], theirs: Callable[[StandIn], None]
) -> None:
    async with standing_in(AliyunShape()) as stand_in:
        await asyncio.to_thread(theirs, stand_in)
        provider = aliyun.Aliyun(PLACE, KEY, Exchange(30.0), CLOCK, stand_in.endpoint)
        [*submitted] = await provider.submit(outgoing(*phones))
        await provider.close()
        sdk, ours = stand_in.seen
    assert {each.acceptance for each in submitted} == {Acceptance.ACCEPTED}
    assert (ours.method, ours.target, ours.body) == (sdk.method, sdk.target, sdk.body)
    same = ("x-acs-action", "x-acs-version", "x-acs-content-sha256", "content-type", "host", "accept")
    assert {name: ours.headers[name] for name in same} == {name: sdk.headers[name] for name in same}
    assert sdk.headers["authorization"] == aliyun_signature(sdk)
    assert ours.headers["authorization"] == aliyun_signature(ours)
    assert not any(phone[3:] in ours.target for phone in phones)


async def test_the_sdk_of_aliyun_itself_puts_numbers_into_the_url() -> None:
    """The reason why it is not used; when this fails, the reason is gone."""
    from alibabacloud_dysmsapi20170525.models import SendSmsRequest

    request = SendSmsRequest(phone_numbers=PHONES[0][3:], sign_name=SIGN, template_code="SMS_1")
    async with standing_in(AliyunShape()) as stand_in:
        await asyncio.to_thread(lambda: aliyun_sdk(stand_in).send_sms(request))
        assert PHONES[0][3:] in stand_in.seen[0].target
        assert stand_in.seen[0].headers["authorization"] == aliyun_signature(stand_in.seen[0])


async def test_aliyun_is_queried_by_a_form_that_its_gateway_client_would_sign_so() -> None:
    async with standing_in(AliyunShape()) as stand_in:
        provider = aliyun.Aliyun(PLACE, KEY, Exchange(30.0), CLOCK, stand_in.endpoint)
        at = datetime(2026, 11, 1, 17, tzinfo=UTC)  # the second of November in Beijing
        await provider.query(Unresolved(INTENT, "sid", b"", None, "main", "", at), Phone(PHONES[0]))
        await provider.close()
        form = {"PhoneNumber": PHONES[0][3:], "SendDate": "20261102", "PageSize": "50", "CurrentPage": "1"}
        await asyncio.to_thread(by_form, stand_in, "QuerySendDetails", form)
        ours, sdk = stand_in.seen
    assert (ours.target, ours.body) == (sdk.target, sdk.body)
    assert ours.headers["authorization"] == aliyun_signature(ours)


# Tencent Cloud.


async def test_tencent_is_sent_what_its_sdk_sends() -> None:
    from tencentcloud.common.credential import Credential
    from tencentcloud.common.profile.client_profile import ClientProfile
    from tencentcloud.common.profile.http_profile import HttpProfile
    from tencentcloud.sms.v20210111 import models, sms_client

    async with standing_in(TencentShape()) as stand_in:
        host = urlsplit(stand_in.endpoint).netloc
        profile = ClientProfile(httpProfile=HttpProfile(protocol="http", endpoint=host))
        client = sms_client.SmsClient(Credential(ACCOUNT.id, SECRET), ACCOUNT.region, profile)
        request = models.SendSmsRequest()
        request.PhoneNumberSet, request.SmsSdkAppId, request.TemplateId = (
            list(PHONES),
            ACCOUNT.app_id,
            "SMS_1",
        )
        request.SignName, request.TemplateParamSet = SIGN, list(PARAMS.values())
        request.SessionContext = "c-" + CAMPAIGN
        answer = await asyncio.to_thread(client.SendSms, request)
        assert [each.Code for each in answer.SendStatusSet] == ["Ok", "Ok"]
        provider = tencent.Tencent(PLACE, ACCOUNT, Exchange(30.0), CLOCK, (stand_in.endpoint, False))
        await provider.submit(outgoing(*PHONES))
        await provider.close()
        sdk, ours = stand_in.seen
    assert (ours.method, ours.target, ours.body) == (sdk.method, sdk.target, sdk.body)
    same = ("x-tc-action", "x-tc-version", "x-tc-region", "content-type", "host")
    assert {name: ours.headers[name] for name in same} == {name: sdk.headers[name] for name in same}
    for seen in (sdk, ours):
        at = datetime.fromtimestamp(int(seen.headers["x-tc-timestamp"]), UTC)
        assert seen.headers["authorization"] == tencent.authorization(ACCOUNT, seen.body, host, at)


# Twilio.


async def test_twilio_is_sent_what_its_sdk_sends() -> None:
    from twilio.rest import Client

    async with standing_in(TwilioShape()) as stand_in:
        client = Client(SENDER.sid, SECRET)
        client.api.base_url = stand_in.endpoint
        made = await asyncio.to_thread(
            lambda: client.messages.create(
                to=PHONES[0],
                messaging_service_sid=SENDER.sender,
                body=f"【{SIGN}】您好",
                status_callback=f"https://gate.example.com/x?intent={INTENT}",
            )
        )
        assert made.sid
        at = (stand_in.endpoint, "https://gate.example.com/x")
        provider = twilio.Twilio(PLACE, SENDER, Exchange(30.0), CLOCK, at)
        await provider.submit(outgoing(PHONES[0]))
        await provider.close()
        sdk, ours = stand_in.seen
    assert (ours.method, ours.target) == (sdk.method, sdk.target)
    assert sorted(ours.body.split(b"&")) == sorted(sdk.body.split(b"&"))
    same = ("authorization", "content-type", "host")
    assert {name: ours.headers[name] for name in same} == {name: sdk.headers[name] for name in same}


URLS = st.sampled_from(
    [
        "https://gate.example.com/callbacks/x",
        "https://gate.example.com:443/callbacks/x?intent=1",
        "https://gate.example.com:8443/callbacks/x",
        "http://gate.example.com/callbacks/x?a=b&c=",
    ]
)
FIELDS = st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=6)


@given(URLS, FIELDS, st.booleans())
def test_twilio_and_we_judge_signatures_alike(url: str, fields: dict[str, str], is_forged: bool) -> None:
    validator = RequestValidator(SECRET)
    given_signature = validator.compute_signature(url, fields)
    assert twilio.signature(SECRET, url, list(fields.items())) == given_signature
    said = {**fields, "Added": "1"} if is_forged else fields
    call = Callback(url, {"x-twilio-signature": given_signature}, urlencode(said).encode())
    try:
        VERIFIER.callback(call)
        is_good = True
    except RequestError:
        is_good = False
    assert is_good == validator.validate(url, said, given_signature) == (said == fields)


VERIFIER = twilio.Twilio(PLACE, SENDER, Exchange(30.0), CLOCK)
