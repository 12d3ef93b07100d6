"""Any provider with a plain HTTP interface, as the settings describe it.

A message is one request, whose body and headers are filled from a template; the answer, and what the provider posts to us,
are read by paths (`data.0.id`). The address holds no placeholder: numbers stand in no URL. What the settings list as neither accepted,
refused nor to be retried is UNKNOWN, since nothing else is known of the provider.
"""

import asyncio
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode

from fujie.adapters.providers.exchange import Answer, Ask, Exchange
from fujie.adapters.providers.fields import (
    NOT_WRITABLE,
    code_of,
    form_fields,
    id_of,
    json_items,
    national,
    other_reading,
    phone_of,
    text_of,
)
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

MOST = 20
"""Requests at the same time for one `submit`."""

PLACEHOLDERS = frozenset({"phone", "national", "text", "signature", "intent", "code", "params", "secret"})
_IN_HEADERS = frozenset({"phone", "national", "intent", "code", "secret"})
"""What is ASCII in one line; the rest could write headers of its own."""
_PLACE = re.compile(r"\{([a-z_]+)\}")
_TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class AnswerShape:
    """Where the id and the code stand in a JSON answer (empty `code`: the HTTP status), and which codes mean what."""

    id: str = ""
    code: str = ""
    accepted: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    retry: tuple[str, ...] = ()
    opted_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CallbackShape:
    """Where in a callback the items stand (empty `items`: it is one, or an array), and in each item what. An item with
    something at `text` is a reply, another a receipt. `answer` is what the provider wants to hear."""

    encoding: str = "json"
    items: str = ""
    phone: str = ""
    id: str = ""
    intent: str = ""
    status: str = ""
    code: str = ""
    delivered: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    opted_out: tuple[str, ...] = ()
    text: str = ""
    reply_id: str = ""
    signature: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class Template:
    """How a message is asked to be sent. `body` is JSON, a form, or text, with placeholders; `secret` fills its own."""

    url: str
    body: str
    answer: AnswerShape
    callback: CallbackShape
    method: str = "POST"
    encoding: str = "json"
    headers: tuple[tuple[str, str], ...] = ()
    secret: str = ""


def flaws(template: Template) -> Sequence[str]:
    """Return what is wrong with a template, without any of its values."""
    wrong = []
    if _PLACE.search(template.url):
        wrong.append("url holds a placeholder: numbers and texts stand in no URL")
    if _named(template.body) - PLACEHOLDERS:
        wrong.append(f"body knows {', '.join(f'{{{each}}}' for each in sorted(PLACEHOLDERS))} only")
    if not _named(template.body) & {"phone", "national"} | _named(str(template.headers)) & {
        "phone",
        "national",
    }:
        wrong.append("neither {phone} nor {national} stands anywhere")
    for name, value in template.headers:
        if not (name.isascii() and value.isascii() and name.isprintable() and value.isprintable()):
            wrong.append("a header is not printable ASCII")
        if _named(value) - _IN_HEADERS:
            wrong.append(f"headers know {', '.join(f'{{{each}}}' for each in sorted(_IN_HEADERS))} only")
    try:
        _tree(template)
    except ValueError:
        wrong.append(f"body is not {template.encoding}")
    return wrong


class HTTPTemplate:
    """`ports.providers.Provider`."""

    def __init__(
        self, place: tuple[str, str], template: Template, exchange: Exchange, clock: Clock
    ) -> None:
        self.name, self.processor = place
        self.timeout_s = exchange.timeout_s
        self.most = min(MOST, exchange.connections)
        self.needs_template = "code" in _named(template.body)
        self._template, self._exchange, self._clock = template, exchange, clock
        self._tree = _tree(template)
        self._is_national = "national" in _named(template.body) | _named(str(template.headers))

    async def ready(self, count: int) -> bool:  # noqa: ARG002 - paced by adapters/providers/paced.py
        """Tell that nothing here paces."""
        return True

    async def submit(self, messages: Sequence[Outgoing]) -> Sequence[Submission]:
        """Submit each by a request of its own."""
        return await asyncio.gather(*map(self._submit_one, messages))

    async def query(self, sent: Unresolved, phone: Phone) -> Receipt | None:  # noqa: ARG002 - the port's shape
        """Nothing: a template asks for no outcome; callbacks tell."""
        return None

    async def poll(self) -> Called:
        """Nothing: a template fetches nothing."""
        return Called()

    def callback(self, call: Callback) -> Called:
        """Read receipts and replies. Who calls is for the secret path and the allow-list to tell."""
        shape = self._template.callback
        body: object = dict(form_fields(call.body)) if shape.encoding == "form" else json_items(call.body)
        if shape.items:
            alone = body[0] if isinstance(body, list) and len(body) == 1 else body
            body = _at(alone, shape.items)
        items = body if isinstance(body, list) else [body]
        if not shape.phone:
            raise RequestError("no callbacks are described in the settings")
        receipts, replies = [], []
        for each in items:
            phone = phone_of(_at(each, shape.phone))
            text = text_of(_at(each, shape.text)) if shape.text else None
            if text is not None and phone is not None:
                replies.append(self._reply(each, phone, text))
            elif (receipt := self._receipt(each, phone)) is not None:
                receipts.append(receipt)
        skipped = len(items) - len(receipts) - len(replies)
        is_json = shape.answer[:1] in {"{", "["}
        return Called(
            receipts, replies, skipped, shape.answer.encode(), _TYPES["json" if is_json else "text"]
        )

    async def close(self) -> None:
        """Let go of connections."""
        await self._exchange.close()

    async def _submit_one(self, message: Outgoing) -> Submission:
        template = self._template
        if self._is_national and not national(message.phone):
            return NOT_WRITABLE
        values = {
            "phone": message.phone.e164,
            "national": national(message.phone),
            "text": message.text,
            "signature": message.signature,
            "intent": message.intent_id,
            "code": message.code,
            "params": json.dumps(dict(message.params), ensure_ascii=False),
            "secret": template.secret,
        }
        headers = {name: _filled(value, values) for name, value in template.headers}
        if not any(name.lower() == "content-type" for name in headers):
            headers["Content-Type"] = _TYPES[template.encoding]
        body = _body(self._tree, template.encoding, values, message.params)
        answer = await self._exchange.ask(Ask(template.url, headers, body, template.method))
        return answer if isinstance(answer, Submission) else submission(answer, template.answer)

    def _receipt(self, each: object, phone: Phone | None) -> Receipt | None:
        shape = self._template.callback
        status, given = _plain(_at(each, shape.status)), id_of(_at(each, shape.id)) if shape.id else ""
        intent_id = id_of(_at(each, shape.intent)) if shape.intent else ""
        if not (given or intent_id) or status not in {*shape.delivered, *shape.failed, *shape.opted_out}:
            return None
        state = MessageState.DELIVERED if status in shape.delivered else MessageState.FAILED
        code = code_of(_plain(_at(each, shape.code)) if shape.code else status)
        is_opted_out = phone is not None and bool({status, code} & set(shape.opted_out))
        also = other_reading(_at(each, shape.phone))
        return Receipt(self.name, state, given, phone, intent_id, code, is_opted_out, also=also)

    def _reply(self, each: object, phone: Phone, text: str) -> Reply:
        shape = self._template.callback
        given = id_of(_at(each, shape.reply_id)) if shape.reply_id else ""
        # Without an id nothing tells a repetition from a customer who says stop again, after it was lifted: it is a new one.
        reply_id = given or secrets.token_hex(16)
        said = text_of(_at(each, shape.signature)) if shape.signature else ""
        also = other_reading(_at(each, shape.phone))
        return Reply(self.name, reply_id, phone, text, self._clock.now(), said or "", also)


def submission(answer: Answer, shape: AnswerShape) -> Submission:
    """Return what an answer means by the settings."""
    fields = answer.fields()
    said = _plain(_at(fields, shape.code)) if shape.code else str(answer.status)
    code = code_of(said)
    if said in shape.opted_out:
        return Submission(Acceptance.REFUSED, code=code, is_opted_out=True)
    if said in shape.refused:
        return Submission(Acceptance.REFUSED, code=code)
    if said in shape.retry:
        return Submission(Acceptance.RETRY, code=code)
    if said in shape.accepted and answer.status < 300:
        return Submission(Acceptance.ACCEPTED, id_of(_at(fields, shape.id)) if shape.id else "")
    return Submission(Acceptance.UNKNOWN, code=code if said else "ANSWER")


def _tree(template: Template) -> Any:
    """Return the body as what it will be filled in. Raises ValueError."""
    if template.encoding == "json":
        return json.loads(template.body)
    if template.encoding == "form":
        return parse_qsl(template.body, keep_blank_values=True, strict_parsing=True)
    return template.body


def _body(tree: Any, encoding: str, values: Mapping[str, str], params: Mapping[str, str]) -> bytes:
    if encoding == "form":
        return urlencode([(name, _filled(value, values)) for name, value in tree]).encode()
    if encoding == "json":
        return json.dumps(_grown(tree, values, params), ensure_ascii=False).encode()
    return _filled(tree, values).encode()


def _grown(tree: Any, values: Mapping[str, str], params: Mapping[str, str]) -> Any:
    if isinstance(tree, dict):
        return {name: _grown(value, values, params) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_grown(value, values, params) for value in tree]
    if tree == "{params}":
        return dict(params)
    return _filled(tree, values) if isinstance(tree, str) else tree


def _filled(text: str, values: Mapping[str, str]) -> str:
    """Fill all placeholders in one pass, so that what is filled in is never looked at again."""
    return _PLACE.sub(lambda found: values[found[1]], text)


def _named(text: str) -> frozenset[str]:
    return frozenset(_PLACE.findall(text))


def _at(value: object, path: str) -> object:
    for part in path.split(".") if path else ():
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part[:4]) < len(value):
            value = value[int(part[:4])]
        else:
            return None
    return value


def _plain(value: object) -> str:
    """Return a code as the settings write it: `true`, `0`, `OK`; empty for what is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int) else ""
