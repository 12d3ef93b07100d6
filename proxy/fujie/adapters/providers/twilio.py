"""Twilio Messages (2010-04-01), by a thin client of our own.

Not the SDK: it takes 51 MB, has no timeout unless told, and puts whatever is looked up into the URL. It is the oracle of the
tests instead: the form is byte for byte its own, and its validator judges the signatures of callbacks as we do.

One message is one call; the calls of one `submit` go at the same time, each once. The vendor has no idempotency for
messages. StatusCallback carries our intent in its query, which the vendor signs, so that a message whose answer was lost is
known again by its receipts. `query` needs the vendor's id: to look for a number would put the number into the URL.
"""

import asyncio
import base64
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from fujie.adapters.providers.exchange import Answer, Ask, Exchange
from fujie.adapters.providers.fields import OTHER, code_of, form_fields, id_of, phone_of, text_of
from fujie.model.customer import Phone
from fujie.model.errors import RequestError
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

ENDPOINT = "https://api.twilio.com"
MOST = 20
"""Calls at the same time for one `submit`."""

_SID = re.compile(r"(SM|MM)[0-9a-f]{32}")
_HEARD = b"<Response></Response>"
_SERVICE = "MG"
_OPTED_OUT = "21610"
_THROTTLED = frozenset(
    {
        "20429",  # too many requests
        "14107",  # rate of the number exceeded
        "21611",  # the sender's queue is full
        "21730",  # maintenance: not allowed now
    }
)
_STATES = {
    **dict.fromkeys(("delivered", "read"), MessageState.DELIVERED),
    **dict.fromkeys(("failed", "undelivered", "canceled"), MessageState.FAILED),
    **dict.fromkeys(
        ("accepted", "scheduled", "queued", "sending", "sent", "partially_delivered"),
        MessageState.SUBMITTED,
    ),
}
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True, repr=False)
class TwilioAccount:
    """Account SID and auth token; `sender` is a number, a name, or a Messaging Service (`MG...`)."""

    sid: str
    token: str
    sender: str


class Twilio:
    """`ports.providers.Provider`. `callback_url` is the public address of its callbacks; empty: messages name none."""

    needs_template = False

    def __init__(
        self,
        place: tuple[str, str],
        account: TwilioAccount,
        exchange: Exchange,
        clock: Clock,
        at: tuple[str, str] = (ENDPOINT, ""),
    ) -> None:
        self.name, self.processor = place
        self.timeout_s = exchange.timeout_s
        self.most = min(MOST, exchange.connections)
        self._account, self._exchange, self._clock = account, exchange, clock
        self._callback_url = at[1]
        self._messages = f"{at[0].rstrip('/')}/2010-04-01/Accounts/{account.sid}/Messages"
        pair = base64.b64encode(f"{account.sid}:{account.token}".encode()).decode()
        self._headers = {"Authorization": f"Basic {pair}", "Accept": "application/json"}

    async def ready(self, count: int) -> bool:  # noqa: ARG002 - paced by adapters/providers/paced.py
        """Tell that nothing here paces."""
        return True

    async def submit(self, messages: Sequence[Outgoing]) -> Sequence[Submission]:
        """Submit each by a call of its own."""
        return await asyncio.gather(*map(self._submit_one, messages))

    async def query(self, sent: Unresolved, phone: Phone) -> Receipt | None:
        """Ask for the message by the vendor's id; None where we have none."""
        if not _SID.fullmatch(sent.provider_message_id):
            return None
        url = f"{self._messages}/{sent.provider_message_id}.json"
        answer = await self._exchange.ask(Ask(url, self._headers, method="GET"))
        if isinstance(answer, Submission):
            return None
        said = answer.fields()
        state = _STATES.get(str(said.get("status")))
        if state is None:
            return None
        code = code_of(said["error_code"]) if said.get("error_code") else ""
        return self._receipt(state, sent.provider_message_id, phone, sent.intent_id, code)

    async def poll(self) -> Called:
        """Nothing: statuses and replies are pushed."""
        return Called()

    def callback(self, call: Callback) -> Called:
        """Read a status or a message of a customer; the signature must be of our auth token and of this very URL."""
        pairs = form_fields(call.body)
        given = call.headers.get("x-twilio-signature", "")
        good = [signature(self._account.token, url, pairs) for url in _spellings(call.url)]
        if not any(hmac.compare_digest(each.encode(), given.encode("utf-8", "replace")) for each in good):
            raise RequestError("the signature is not Twilio's", code="CALLBACK_REFUSED")
        fields = dict(pairs)
        receipt, reply = self._status(fields, call.url), self._reply(fields)
        receipts, replies = [receipt] if receipt else [], [reply] if reply else []
        return Called(receipts, replies, 1 - len(receipts) - len(replies), _HEARD, "text/xml")

    async def close(self) -> None:
        """Let go of connections."""
        await self._exchange.close()

    async def _submit_one(self, message: Outgoing) -> Submission:
        sender = self._account.sender
        form = {
            "To": message.phone.e164,
            "MessagingServiceSid" if sender.startswith(_SERVICE) else "From": sender,
            "Body": f"【{message.signature}】{message.text}" if message.signature else message.text,
        }
        if self._callback_url:
            form["StatusCallback"] = f"{self._callback_url}?{urlencode({'intent': message.intent_id})}"
        headers = {**self._headers, "Content-Type": "application/x-www-form-urlencoded"}
        ask = Ask(f"{self._messages}.json", headers, urlencode(form).encode())
        answer = await self._exchange.ask(ask)
        return answer if isinstance(answer, Submission) else submission(answer)

    def _status(self, fields: Mapping[str, str], url: str) -> Receipt | None:
        state, sid = _STATES.get(fields.get("MessageStatus", "")), fields.get("MessageSid", "")
        if state is None or not _SID.fullmatch(sid):
            return None
        intent_id = id_of(parse_qs(urlsplit(url).query).get("intent", [""])[0])
        code = code_of(fields["ErrorCode"]) if fields.get("ErrorCode") else ""
        return self._receipt(state, sid, phone_of(fields.get("To")), intent_id, code)

    def _receipt(
        self, state: MessageState, sid: str, phone: Phone | None, intent_id: str, code: str
    ) -> Receipt:
        is_opted_out = code == _OPTED_OUT and phone is not None
        return Receipt(self.name, state, sid, phone, intent_id, code, is_opted_out)

    def _reply(self, fields: Mapping[str, str]) -> Reply | None:
        phone, sid = phone_of(fields.get("From")), fields.get("MessageSid", "")
        text = text_of(fields.get("Body"))
        if "MessageStatus" in fields or phone is None or text is None or not _SID.fullmatch(sid):
            return None
        # The account may have stop words of its own, which nobody but Twilio knows: what it took for one is one.
        kind = fields.get("OptOutType", "")
        return Reply(self.name, sid, phone, kind if kind in {"STOP", "START"} else text, self._clock.now())


def signature(token: str, url: str, pairs: Sequence[tuple[str, str]]) -> str:
    """Return the X-Twilio-Signature of a form that was posted to `url`."""
    text = url + "".join(f"{name}{value}" for name, value in sorted(set(pairs)))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()


def submission(answer: Answer) -> Submission:
    """Return what the answer to one message means.

    The vendor makes the message, and says 201, or says 4xx with a code of its own and makes none; an answer without such a code
    is of somebody on the way, and 5xx may come after the making: both leave it open.
    """
    said = answer.fields()
    if answer.status == 201 and id_of(said.get("sid")):
        return Submission(Acceptance.ACCEPTED, id_of(said["sid"]))
    code = code_of(said.get("code")) if said.get("code") else ""
    if answer.status == 429 or (code in _THROTTLED and 400 <= answer.status < 600):
        return Submission(Acceptance.RETRY, code=code or "HTTP.429")
    if 400 <= answer.status < 500 and code not in {"", OTHER}:
        return Submission(Acceptance.REFUSED, code=code, is_opted_out=code == _OPTED_OUT)
    return Submission(Acceptance.UNKNOWN, code=code or "ANSWER")


def _spellings(url: str) -> Sequence[str]:
    """Return an address as it is, without port, and with it: the vendor signs now the one, now the other."""
    parts = urlsplit(url)
    try:
        port, host = parts.port, parts.netloc.rpartition(":")[0] if parts.port else parts.netloc
    except ValueError:
        return (url,)
    whole = f"{host}:{port or _PORTS.get(parts.scheme, 443)}"
    return tuple({url, *(urlunsplit(parts._replace(netloc=each)) for each in (host, whole))})
