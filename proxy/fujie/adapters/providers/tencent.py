"""Tencent Cloud SMS (2021-01-11), by a thin client of our own.

Not the SDK: it is synchronous or needs an extra, its timeout of 60 s outlives every claim, and its optional retryer repeats what
may have been sent. It is the oracle of the tests instead: body and signature (TC3-HMAC-SHA256) are byte for byte its own.

A call has one set of parameters for all its numbers, which are of the mainland or all foreign, so messages are grouped by
both; the groups of one `submit` go at the same time, each once. Variables are
known by their place: the values go in the order of `Outgoing.params`, which is that of the text (`decision.message`). Each
number has its own Code. SessionContext is echoed in answers, and in reports where the vendor
opened that for the account: the intent of a call with one number, the campaign of several.
"""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from fujie.adapters.providers.exchange import NO_ANSWER, Answer, Ask, Exchange
from fujie.adapters.providers.fields import (
    CAMPAIGN,
    code_of,
    id_of,
    json_items,
    keyed,
    listed,
    mapping,
    moment_of,
    of_campaign,
    other_reading,
    phone_of,
    text_of,
)
from fujie.model.customer import Phone
from fujie.model.message import MessageState
from fujie.ports import Clock
from fujie.ports.providers import (
    Acceptance,
    Callback,
    Called,
    Outgoing,
    Receipt,
    Reply,
    Submission,
    Unresolved,
)

ENDPOINT = "https://sms.tencentcloudapi.com"
MOST = 200
"""Numbers of one SendSms."""

_VERSION = "2021-01-11"
_MOST_PULLED = 100
_HEARD = b'{"result":0,"errmsg":"OK"}'
_SIGNED = "content-type;host"
_OPTED_OUT = "FailedOperation.PhoneNumberInBlacklist"
_BLACKLISTED = ("BLACK", "黑名单")
_QUERY_SPAN = timedelta(days=1)

_MAYBE_TAKEN = ("InternalError", "ServiceUnavailable", "ResponseSizeLimitExceeded", "ResourceUnavailable")
_NOT_TAKEN = frozenset(
    f"InternalError.{name}"
    for name in (
        "JsonParseFail",
        "RequestTimeException",
        "RestApiInterfaceNotExist",
        "SigFieldMissing",
        "SigVerificationFail",
    )
)
"""Of the codes InternalError.* those that say that the request was not even understood."""
_UNCLEAR = frozenset({"FailedOperation.ParametersOtherError"})
"""Documented as `unknown error`, though not under InternalError."""
_THROTTLED = ("RequestLimitExceeded", "LimitExceeded.GlobalSmsSendingRateLimit")


@dataclass(frozen=True, slots=True, repr=False)
class TencentAccount:
    """A key (`secret` signs), the application of the messages, and the region of the service."""

    id: str
    secret: str
    app_id: str
    region: str = "ap-guangzhou"


class Tencent:
    """`ports.providers.Provider`. `endpoint` and `polls`: whether reports and replies are pulled, which takes them out of the
    vendor's queue, instead of being pushed."""

    most = MOST
    needs_template = True

    def __init__(
        self,
        place: tuple[str, str],
        account: TencentAccount,
        exchange: Exchange,
        clock: Clock,
        at: tuple[str, bool] = (ENDPOINT, False),
    ) -> None:
        self.name, self.processor = place
        self.timeout_s = exchange.timeout_s
        self._account, self._exchange, self._clock = account, exchange, clock
        self._endpoint, self._polls = at[0].rstrip("/"), at[1]

    async def ready(self, count: int) -> bool:  # noqa: ARG002 - paced by adapters/providers/paced.py
        """Tell that nothing here paces."""
        return True

    async def submit(self, messages: Sequence[Outgoing]) -> Sequence[Submission]:
        """Submit all, one call for each set of parameters at home and abroad; what is of no campaign goes alone."""
        groups: dict[tuple[bool, str, tuple[str, ...]], list[Outgoing]] = {}
        for each in messages:
            alone = "" if each.campaign_id else each.intent_id
            alike = each.phone.e164.startswith("+86"), alone, tuple(each.params.values())
            groups.setdefault(alike, []).append(each)
        called = await asyncio.gather(*map(self._submit_alike, groups.values()))
        outcomes: dict[str, Submission] = {}
        for outcome in called:
            outcomes |= outcome
        return [outcomes[each.intent_id] for each in messages]

    async def query(self, sent: Unresolved, phone: Phone) -> Receipt | None:
        """Ask for the reports of the number since the claim, and look for our ids. The vendor keeps seven days."""
        begin = sent.claimed_at - timedelta(minutes=1)
        asked = {
            "BeginTime": int(begin.timestamp()),
            "Offset": 0,
            "Limit": _MOST_PULLED,
            "PhoneNumber": phone.e164,
            "SmsSdkAppId": self._account.app_id,
            "EndTime": int(min(begin + _QUERY_SPAN, self._clock.now()).timestamp()),
        }
        answer = await self._response("PullSmsSendStatusByPhoneNumber", asked)
        ours = {sent.intent_id, sent.provider_message_id, CAMPAIGN + sent.campaign_id} - {"", CAMPAIGN}
        for each in map(mapping, listed(answer.get("PullSmsSendStatusSet"))):
            if {id_of(each.get("SerialNo")), id_of(each.get("SessionContext"))} & ours:
                return self._report(each, _PULLED, phone)
        return None

    async def poll(self) -> Called:
        """Pull what waits: replies, and reports where there are none. What is pulled is not told again, so no answer is held
        while another is waited for."""
        if not self._polls:
            return Called()
        for action in ("PullSmsReplyStatus", "PullSmsSendStatus"):
            answer = await self._response(action, self._limit())
            if items := listed(answer.get(f"{action}Set")):
                return self._read([mapping(each) for each in items], _PULLED)
        return Called()

    def callback(self, call: Callback) -> Called:
        """Read a report (array) or a reply (object). Unsigned: the secret path and the allow-list tell who calls."""
        return self._read([mapping(each) for each in json_items(call.body)], _PUSHED)

    async def close(self) -> None:
        """Let go of connections."""
        await self._exchange.close()

    async def _submit_alike(self, messages: Sequence[Outgoing]) -> Mapping[str, Submission]:
        first = messages[0]
        context = first.intent_id if len(messages) == 1 else CAMPAIGN + first.campaign_id
        asked = {
            "PhoneNumberSet": [each.phone.e164 for each in messages],
            "SmsSdkAppId": self._account.app_id,
            "TemplateId": first.code,
            "SignName": first.signature,
            "TemplateParamSet": list(first.params.values()),
            "SessionContext": context,
        }
        answer = await self._exchange.ask(self._ask("SendSms", asked))
        said = answer if isinstance(answer, Submission) else _said(answer)
        by_phone = {} if isinstance(said, Submission) else said
        whole = said if isinstance(said, Submission) else NO_ANSWER
        outcomes = {each.intent_id: by_phone.get(each.phone.e164, whole) for each in messages}
        return {
            intent_id: _with_id(each, context) if each.acceptance is Acceptance.UNKNOWN else each
            for intent_id, each in outcomes.items()
        }

    def _read(self, items: Sequence[Mapping[str, Any]], names: "_Names") -> Called:
        receipts, replies = [], []
        for each in items:
            number, code = str(each.get(names.phone)), each.get(names.country)
            phone = phone_of(number if number.startswith("+") or not code else f"+{code}{number}")
            if phone is None:
                continue
            receipt, reply = self._report(each, names, phone), self._reply(each, names, phone)
            receipts += [receipt] if receipt else []
            replies += [reply] if reply else []
        return Called(receipts, replies, len(items) - len(receipts) - len(replies), _HEARD)

    def _report(self, each: Mapping[str, Any], names: "_Names", phone: Phone) -> Receipt | None:
        serial = id_of(each.get(names.serial))
        state = {"SUCCESS": MessageState.DELIVERED, "FAIL": MessageState.FAILED}.get(
            str(each.get(names.status))
        )
        if state is None or not serial:
            return None
        context = id_of(each.get(names.context))
        campaign_id = of_campaign(context)
        intent_id = "" if campaign_id else context
        said = str(each.get(names.code, ""))
        # MBBLACK and the like: the carrier, or the vendor, has the number on a list of who opted out.
        is_opted_out = state is MessageState.FAILED and any(word in said.upper() for word in _BLACKLISTED)
        also = None if each.get(names.country) else other_reading(each.get(names.phone))
        code = code_of(said) if said else ""
        return Receipt(self.name, state, serial, phone, intent_id, code, is_opted_out, campaign_id, also)

    def _reply(self, each: Mapping[str, Any], names: "_Names", phone: Phone) -> Reply | None:
        text, time = text_of(each.get(names.text)), each.get(names.time)
        if text is None:
            return None
        reply_id = keyed(self._account.secret, phone.e164, str(time), text)
        at = moment_of(time) or self._clock.now()
        also = None if each.get(names.country) else other_reading(each.get(names.phone))
        return Reply(self.name, reply_id, phone, text, at, text_of(each.get(names.signature)) or "", also)

    def _limit(self) -> Mapping[str, Any]:
        return {"SmsSdkAppId": self._account.app_id, "Limit": _MOST_PULLED}

    async def _response(self, action: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        answer = await self._exchange.ask(self._ask(action, asked))
        return {} if isinstance(answer, Submission) else mapping(answer.fields().get("Response"))

    def _ask(self, action: str, asked: Mapping[str, Any]) -> Ask:
        body = json.dumps(asked).encode()
        host, now = urlsplit(self._endpoint).netloc, self._clock.now()
        headers = {
            "Host": host,
            "Content-Type": "application/json",
            "X-TC-Action": action,
            "X-TC-Version": _VERSION,
            "X-TC-Timestamp": str(int(now.timestamp())),
            "X-TC-Region": self._account.region,
            "Authorization": authorization(self._account, body, host, now),
        }
        return Ask(f"{self._endpoint}/", headers, body)


@dataclass(frozen=True, slots=True)
class _Names:
    """How reports and replies call their fields."""

    phone: str
    country: str
    serial: str
    status: str
    code: str
    context: str
    text: str
    time: str
    signature: str


_PUSHED = _Names("mobile", "nationcode", "sid", "report_status", "errmsg", "ext", "text", "time", "sign")
_PULLED = _Names(
    "PhoneNumber",
    "CountryCode",
    "SerialNo",
    "ReportStatus",
    "Description",
    "SessionContext",
    "ReplyContent",
    "ReplyTime",
    "SignName",
)


def authorization(account: TencentAccount, body: bytes, host: str, now: datetime) -> str:
    """Return the header Authorization (TC3-HMAC-SHA256) of `POST /` at `now`, which is in UTC."""
    request = f"POST\n/\n\ncontent-type:application/json\nhost:{host}\n\n{_SIGNED}\n{hashlib.sha256(body).hexdigest()}"
    scope = f"{now:%Y-%m-%d}/sms/tc3_request"
    text = (
        f"TC3-HMAC-SHA256\n{int(now.timestamp())}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    )
    key = f"TC3{account.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.new(key, text.encode(), "sha256").hexdigest()
    return (
        f"TC3-HMAC-SHA256 Credential={account.id}/{scope}, SignedHeaders={_SIGNED}, Signature={signature}"
    )


def _said(answer: Answer) -> Mapping[str, Submission] | Submission:
    """Return what an answer says of each number, or of all alike."""
    response = mapping(answer.fields().get("Response"))
    if not response or answer.status != 200:
        return NO_ANSWER
    error = mapping(response.get("Error"))
    if error:
        return submission(error)
    said: dict[str, Submission] = {}
    for each in map(mapping, listed(response.get("SendStatusSet"))):
        phone, outcome = str(each.get("PhoneNumber")), submission(each)
        # A number that comes twice with two outcomes: in doubt it was taken.
        said[phone] = outcome if said.get(phone, outcome) == outcome else NO_ANSWER
    return said


def submission(said: Mapping[str, Any]) -> Submission:
    """Return what the Code of a call, or of one number, means.

    The vendor answers per number after its checks, and hands over only what it calls Ok; so an explicit code is a refusal.
    InternalError.* (which has Timeout and SendAndRecvFail: between their servers) and their common codes of
    unavailability leave it open.
    """
    code = code_of(said.get("Code"))
    if code == "Ok":
        return Submission(Acceptance.ACCEPTED, id_of(said.get("SerialNo")))
    if code.startswith(_THROTTLED):
        return Submission(Acceptance.RETRY, code=code)
    if (
        code in _UNCLEAR
        or (code.startswith(_MAYBE_TAKEN) and code not in _NOT_TAKEN)
        or said.get("Code") is None
    ):
        return Submission(Acceptance.UNKNOWN, code=code)
    return Submission(Acceptance.REFUSED, code=code, is_opted_out=code == _OPTED_OUT)


def _with_id(outcome: Submission, context: str) -> Submission:
    return Submission(outcome.acceptance, context, outcome.code)
