"""Alibaba Cloud SMS (Dysmsapi 2017-05-25), by a thin client of our own.

Not the SDK: its SendSms puts every number into the URL, where each proxy on the way logs it; its read timeout of 10 s is
hidden and can not be total; it brings ten packages. It is the oracle of the tests instead.

Every parameter goes in the form body. What is verified: signature, headers and body are byte for byte those of the SDK's
gateway client for the same parameters as a form, and SendBatchSms, whose numbers the SDK itself sends as a form, is wholly
equal. What is not: that the gateway takes the form for SendSms and QuerySendDetails too was not tried against it. Alibaba's
own Node client sends all parameters of any operation so; a gateway that did not take it would answer that PhoneNumbers is missing, which
is a definite refusal. One message goes by SendSms (the vendor says that batches are slower), several by SendBatchSms.

One Code and one BizId come for a whole batch (documented), so all its messages share one outcome; a batch holds mainland
mobiles alone, so that no other number costs them theirs. OutId is echoed in reports and queries, also when the answer was
lost, so it is the id by which we know a message: the intent of one, the campaign (and the number) of several.
No operation is idempotent, says the vendor: nothing is ever repeated here.
"""

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from fujie.adapters.providers.exchange import Answer, Ask, Exchange
from fujie.adapters.providers.fields import (
    CAMPAIGN,
    NOT_WRITABLE,
    OTHER,
    code_of,
    id_of,
    is_mainland,
    json_items,
    keyed,
    listed,
    mapping,
    national,
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

ENDPOINT = "https://dysmsapi.aliyuncs.com"
MOST = 100
"""Numbers of one SendBatchSms."""

_VERSION = "2017-05-25"
_BEIJING = timezone(timedelta(hours=8))
_HEARD = b'{"code":0,"msg":"OK"}'
_MOST_DETAILS = "50"

_MAYBE_TAKEN = frozenset(
    {
        "InternalError",
        "ServiceUnavailable",
        "SYSTEM_ERROR",
        "isp.SYSTEM_ERROR",
        "isv.SYSTEM_ERROR",
        "SignatureNonceUsed",  # something on the way sent our one request twice: the first may have been taken
    }
)
_OF_ONE = ("isv.BUSINESS_LIMIT_CONTROL", "isv.BLACK_KEY_CONTROL_LIMIT", "isv.MOBILE_NUMBER_ILLEGAL")
"""Refusals that may be of one number of a call alone. Nothing documents what became of the others then (help page of
SendBatchSms, read 2026-11), so they may have been taken: their outcome is asked for number by number, and they are never sent
again, in a smaller call or elsewhere."""
_THROTTLED = ("Throttling", "QPS_LIMIT_CONTROL", "isv.QPS_LIMIT_CONTROL")
_STATES = {1: MessageState.SUBMITTED, 2: MessageState.FAILED, 3: MessageState.DELIVERED}


@dataclass(frozen=True, slots=True, repr=False)
class AccessKey:
    """An AccessKey; `secret` signs."""

    id: str
    secret: str


class Aliyun:
    """`ports.providers.Provider`."""

    most = MOST
    needs_template = True

    def __init__(
        self,
        place: tuple[str, str],
        key: AccessKey,
        exchange: Exchange,
        clock: Clock,
        endpoint: str = ENDPOINT,
    ) -> None:
        self.name, self.processor = place
        self.timeout_s = exchange.timeout_s
        self._key, self._exchange, self._clock = key, exchange, clock
        self._endpoint = endpoint.rstrip("/")

    async def ready(self, count: int) -> bool:  # noqa: ARG002 - paced by adapters/providers/paced.py
        """Tell that nothing here paces."""
        return True

    async def submit(self, messages: Sequence[Outgoing]) -> Sequence[Submission]:
        """Submit the mainland mobiles of a campaign by one call, every other number by one of its own, each once."""
        many = [each for each in messages if each.campaign_id and is_mainland(each.phone)]
        together = {each.intent_id for each in many}
        calls = [[each] for each in messages if each.intent_id not in together] + ([many] if many else [])
        said = dict[str, Submission]()
        for call, outcome in zip(calls, await asyncio.gather(*map(self._call, calls)), strict=True):
            said |= {each.intent_id: outcome for each in call}
        return [said[each.intent_id] for each in messages]

    async def _call(self, messages: Sequence[Outgoing]) -> Submission:
        """Submit messages by one call; return what became of each of them."""
        first = messages[0]
        if not national(first.phone):
            return NOT_WRITABLE
        if len(messages) == 1:
            out_id = first.intent_id
            action, form = (
                "SendSms",
                {
                    "PhoneNumbers": national(first.phone),
                    "SignName": first.signature,
                    "TemplateCode": first.code,
                    "TemplateParam": _json(dict(first.params)),
                    "OutId": out_id,
                },
            )
            query = {}
        else:
            out_id = CAMPAIGN + first.campaign_id
            action, query = "SendBatchSms", {"TemplateCode": first.code, "OutId": out_id}
            form = {
                "PhoneNumberJson": _json([national(each.phone) for each in messages]),
                "SignNameJson": _json([each.signature for each in messages]),
                "TemplateParamJson": _json([dict(each.params) for each in messages]),
            }
        answer = await self._exchange.ask(self._ask(action, query, form))
        taken = answer if isinstance(answer, Submission) else submission(answer)
        if len(messages) > 1 and taken.code.startswith(_OF_ONE):
            taken = Submission(Acceptance.UNKNOWN, code=taken.code)
        may_be = taken.acceptance in (Acceptance.ACCEPTED, Acceptance.UNKNOWN)
        return Submission(taken.acceptance, out_id if may_be else "", taken.code)

    async def query(self, sent: Unresolved, phone: Phone) -> Receipt | None:
        """Ask QuerySendDetails for the number on the day, and look for our OutId. The day is Beijing's."""
        day = sent.claimed_at.astimezone(_BEIJING).strftime("%Y%m%d")
        form = {
            "PhoneNumber": national(phone),
            "SendDate": day,
            "PageSize": _MOST_DETAILS,
            "CurrentPage": "1",
        }
        answer = await self._exchange.ask(self._ask("QuerySendDetails", {}, form))
        if isinstance(answer, Submission) or answer.fields().get("Code") != "OK":
            return None
        ours = {sent.intent_id, CAMPAIGN + sent.campaign_id} - {CAMPAIGN}
        for each in map(
            mapping, listed(mapping(answer.fields().get("SmsSendDetailDTOs")).get("SmsSendDetailDTO"))
        ):
            state = _STATES.get(_whole(each.get("SendStatus")))
            out_id = id_of(each.get("OutId"))
            if out_id in ours and state is not None:
                code = code_of(each["ErrCode"]) if each.get("ErrCode") else ""
                return self._receipt(state, out_id, phone, code)
        return None

    async def poll(self) -> Called:
        """Nothing: reports and replies are pushed."""
        return Called()

    def callback(self, call: Callback) -> Called:
        """Read SmsReport and SmsUp. The vendor signs neither: who calls is for the secret path and the allow-list to tell."""
        receipts, replies, items = [], [], json_items(call.body)
        for each in map(mapping, items):
            phone = phone_of(each.get("phone_number"))
            if phone is None:
                continue
            receipt, reply = self._reported(each, phone), self._replied(each, phone)
            receipts += [receipt] if receipt else []
            replies += [reply] if reply else []
        return Called(receipts, replies, len(items) - len(receipts) - len(replies), _HEARD)

    async def close(self) -> None:
        """Let go of connections."""
        await self._exchange.close()

    def _reported(self, each: Mapping[str, Any], phone: Phone) -> Receipt | None:
        known_as = id_of(each.get("out_id")) or id_of(each.get("biz_id"))
        if not known_as or not isinstance(each.get("success"), bool):
            return None
        state = MessageState.DELIVERED if each["success"] else MessageState.FAILED
        receipt = self._receipt(state, known_as, phone, code_of(each.get("err_code")))
        return replace(receipt, also=other_reading(each.get("phone_number")))

    def _receipt(self, state: MessageState, known_as: str, phone: Phone, code: str) -> Receipt:
        campaign_id = of_campaign(known_as)
        intent_id = "" if campaign_id else known_as
        # `W-BLACK` and the like: the holder of the number complained of this signature (help page 2679007).
        is_opted_out = state is MessageState.FAILED and "BLACK" in code.upper()
        return Receipt(self.name, state, known_as, phone, intent_id, code, is_opted_out, campaign_id)

    def _replied(self, each: Mapping[str, Any], phone: Phone) -> Reply | None:
        text, said_at = text_of(each.get("content")), str(each.get("send_time"))
        try:
            at = datetime.strptime(said_at, "%Y-%m-%d %H:%M:%S").replace(tzinfo=_BEIJING)
        except ValueError:
            at = self._clock.now()
        if text is None:
            return None
        number = id_of(each.get("sequence_id"))
        reply_id = number or keyed(self._key.secret, phone.e164, said_at, text)
        signature, also = text_of(each.get("sign_name")) or "", other_reading(each.get("phone_number"))
        return Reply(self.name, reply_id, phone, text, at, signature, also)

    def _ask(self, action: str, query: Mapping[str, str], form: Mapping[str, str]) -> Ask:
        body = urlencode(sorted(form.items())).encode()
        headers = {
            "host": urlsplit(self._endpoint).netloc,
            "accept": "application/json",
            "content-type": "application/x-www-form-urlencoded",
            "x-acs-action": action,
            "x-acs-version": _VERSION,
            "x-acs-date": self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "x-acs-signature-nonce": secrets.token_hex(16),
            "x-acs-content-sha256": hashlib.sha256(body).hexdigest(),
        }
        url = f"{self._endpoint}/" + (f"?{_canonical(query)}" if query else "")
        return Ask(url, {**headers, "Authorization": authorization(self._key, headers, query)}, body)


def authorization(key: AccessKey, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
    """Return the header Authorization (ACS3-HMAC-SHA256) of `POST /`; all of `headers`, in lower case, are signed."""
    names = sorted(headers)
    signed = ";".join(names)
    lines = "".join(f"{name}:{headers[name].strip()}\n" for name in names)
    request = f"POST\n/\n{_canonical(query)}\n{lines}\n{signed}\n{headers['x-acs-content-sha256']}"
    text = f"ACS3-HMAC-SHA256\n{hashlib.sha256(request.encode()).hexdigest()}"
    signature = hmac.new(key.secret.encode(), text.encode(), "sha256").hexdigest()
    return f"ACS3-HMAC-SHA256 Credential={key.id},SignedHeaders={signed},Signature={signature}"


def submission(answer: Answer) -> Submission:
    """Return what an answer says of the call's messages, all alike.

    The gateway and the service check before they queue, so that any code of the caller's fault (`isv.*`, 4xx) means that nothing
    was taken; a limit per number (isv.BUSINESS_LIMIT_CONTROL) is one too, since it does not pass within a retry.
    Faults of theirs (`isp.*`, 5xx), and whatever is no answer of the service, leave it open.
    """
    said = answer.fields().get("Code")
    code = code_of(said)
    if answer.status == 200 and said == "OK":
        return Submission(Acceptance.ACCEPTED)
    if code == OTHER:
        return Submission(Acceptance.UNKNOWN, code="ANSWER" if said is None else OTHER)
    if code.startswith(_THROTTLED):
        return Submission(Acceptance.RETRY, code=code)
    is_theirs = code.startswith("isp.") and code != "isp.RAM_PERMISSION_DENY"
    is_refusal = code.startswith(("isv.", "isp.")) or 400 <= answer.status < 500
    if code in _MAYBE_TAKEN or is_theirs or answer.status >= 500 or not is_refusal:
        return Submission(Acceptance.UNKNOWN, code=code)
    return Submission(Acceptance.REFUSED, code=code)


def _canonical(query: Mapping[str, str]) -> str:
    return "&".join(f"{name}={quote(value, safe='~')}" for name, value in sorted(query.items()))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _whole(value: object) -> int:
    return value if isinstance(value, int) else -1
