"""SendMessage and GetMessage on the wire, and what all messages share: drafts, variables, names."""

import re
from collections.abc import Mapping
from typing import Any, Final

from fujie.flows.reply import MessageReply
from fujie.model.errors import RequestError
from fujie.model.message import Category, Draft, Message
from fujie.model.request import RequestContext, SendAsk
from fujie.model.vocabulary import Action
from fujie.transport.grpc import parse, render, text
from fujie.transport.grpc.services import Method
from fujie.v1 import messaging_service_pb2 as messaging_v1

SERVICE: Final = "fujie.v1.MessagingService"

MESSAGE: Final = 1_000
"""Code points of a text: as many as the rendered message may have."""

CATEGORIES: Mapping[int, Category] = {
    messaging_v1.MESSAGE_CATEGORY_MARKETING: Category.MARKETING,
    messaging_v1.MESSAGE_CATEGORY_TRANSACTIONAL: Category.TRANSACTIONAL,
    messaging_v1.MESSAGE_CATEGORY_VERIFICATION: Category.VERIFICATION,
}
_ID = re.compile("[0-9a-f]{32}")


def sent(request: messaging_v1.SendMessageRequest) -> SendAsk:
    """Return the message to send."""
    is_template = request.WhichOneof("content") == "template"
    draft = Draft(
        parse.one_of(CATEGORIES, request.category, "category"),
        text.named(request.signature, "signature"),
        "" if is_template else text.named(request.text, "text", MESSAGE),
        text.named(request.template.id, "template.id") if is_template else "",
        text.clean(request.provider, "provider", text.NAME),
    )
    return SendAsk(
        parse.customer(request.customer),
        draft,
        parse.context(request.context, may_be_urgent=True),
        params(request.template.params, "template.params"),
    )


def drafted(given: messaging_v1.MessageDraft) -> Draft:
    """Return what is to be said to many."""
    is_template = given.WhichOneof("content") == "template"
    return Draft(
        parse.one_of(CATEGORIES, given.category, "draft.category"),
        text.named(given.signature, "draft.signature"),
        "" if is_template else text.named(given.text, "draft.text", MESSAGE),
        text.named(given.template, "draft.template") if is_template else "",
        text.clean(given.provider, "draft.provider", text.NAME),
    )


def params(given: Mapping[str, str], field: str) -> Mapping[str, str]:
    """Return the values of variables."""
    if len(given) > text.ITEMS:
        raise RequestError(f"more than {text.ITEMS} variables", field=field)
    return {text.named(name, field): text.clean(value, field, text.FREE) for name, value in given.items()}


def id_in(name: str, collection: str) -> str:
    """Return the id in the name of a resource, `<collection>/<id>`."""
    bare = text.named(name, "name").removeprefix(f"{collection}/")
    if bare == name or not _ID.fullmatch(bare):
        raise RequestError(f"{collection}/ and 32 lower-case hex digits", field="name")
    return bare


def draft_told(draft: Draft) -> messaging_v1.MessageDraft:
    """Return what is to be said to many."""
    content = {"template": draft.template} if draft.template else {"text": draft.text}
    return messaging_v1.MessageDraft(
        category=f"MESSAGE_CATEGORY_{draft.category}",
        signature=draft.signature,
        provider=draft.provider,
        **content,
    )


def told(message: Message) -> messaging_v1.Message:
    """Return a message: what has become of it, never to whom it went or what it said."""
    return messaging_v1.Message(
        name=message.name,
        state=f"MESSAGE_STATE_{message.state}",
        segments=message.segments,
        provider=message.provider,
        provider_message_id=message.provider_message_id,
        reason=message.reason,
        purpose=message.purpose,
        category=f"MESSAGE_CATEGORY_{message.category}",
        created_at=render.stamp(message.created_at),
        changed_at=render.stamp(message.changed_at),
    )


def _named(request: messaging_v1.GetMessageRequest) -> tuple[RequestContext, str]:
    return parse.context(request.context), id_in(request.name, "messages")


def _send(reply: MessageReply) -> messaging_v1.SendMessageResponse:
    return messaging_v1.SendMessageResponse(
        message=told(reply.message), decision=render.summary(reply.summary)
    )


def _get(reply: MessageReply) -> messaging_v1.GetMessageResponse:
    return messaging_v1.GetMessageResponse(
        message=told(reply.message), decision=render.summary(reply.summary)
    )


_SEND = Method(
    SERVICE,
    "SendMessage",
    Action.SEND,
    messaging_v1.SendMessageRequest,
    sent,
    lambda call, ask: call.front.flows.send_message(call.front.gate, call.caller, ask, call.timeout_s),
    _send,
)
_GET = Method(
    SERVICE,
    "GetMessage",
    Action.SEND,
    messaging_v1.GetMessageRequest,
    _named,
    lambda call, asked: call.front.flows.get_message(call.front.gate, call.caller, *asked),
    _get,
)

METHODS: Final[tuple[Method[Any, Any, Any], ...]] = (_SEND, _GET)
"""The rows of this module."""
