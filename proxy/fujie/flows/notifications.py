"""What other systems are ordered to do, and their word that it is done.

An order carries a token that only we can have made, bound to its id: who has it has received the order. The first
acknowledgement stands, so a token that is used again changes nothing; one that is older than `ANSWER_WITHIN` opens nothing.
"""

import base64
import hmac
from datetime import timedelta

from fujie.audit.entry import EntryKind
from fujie.decision.tokens import Tokeniser
from fujie.flows.acts import RECEIVER, open_act
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import NotificationReply, Refusal
from fujie.model.errors import RequestError
from fujie.model.notification import Notification
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect

ANSWER_WITHIN = timedelta(days=90)
"""How long the token of an order is taken; what is overdue for longer a person acknowledges."""

_PURPOSE = b"fujie.dev/notification/v1\0"


def answer_token(tokeniser: Tokeniser, notification_id: str) -> str:
    """Return the token that acknowledges one notification and no other: 43 characters, safe in a URL."""
    digest = hmac.digest(tokeniser.key, _PURPOSE + notification_id.encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


async def answer_notification(gate: Gate, notification_id: str, token: str) -> Notification:
    """Take the word of a receiver that an order is carried out.

    Raises:
        RequestError: LINK_INVALID, alike for a wrong token, one of another notification, one that is too old, and a
            notification that is unknown or asks for no answer.

    """
    expected = answer_token(gate.tokeniser, notification_id)
    is_known = hmac.compare_digest(token.encode(errors="replace"), expected.encode())
    notifications = gate.notifications
    known = await notifications.notification(notification_id) if is_known and notifications else None
    if known is None or known.due_at is None or notifications is None:
        raise RequestError(code="LINK_INVALID")
    if known.acknowledged_at is not None:
        return known
    case, decision = open_act(gate, RECEIVER, Action.PRINCIPAL_OFFBOARD)
    if case.now >= known.created_at + ANSWER_WITHIN:
        raise RequestError(code="LINK_INVALID")
    await record(case, EntryKind.ADMISSION, decision, _subject(known))
    return await notifications.acknowledge(known.id, RECEIVER, case.now) or known


async def acknowledge_notification(
    gate: Gate, caller: Credential, context: RequestContext, notification_id: str
) -> NotificationReply | Refusal:
    """Take a person's word that an order is carried out: where no webhook answers, or the device is lost."""
    case = open_case(gate, caller, context, Request(Action.PRINCIPAL_OFFBOARD))

    async def steps(case: Case) -> NotificationReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        known = await gate.notifications.notification(notification_id) if gate.notifications else None
        if known is None or known.due_at is None or gate.notifications is None:
            raise RequestError(code="NOTIFICATION_NOT_FOUND", field="id")
        if known.subject == case.asker:  # who leaves does not say himself that his device is wiped
            raise RequestError(code="SELF_PROMOTION", field="id")
        summary = await record(case, EntryKind.ADMISSION, decision, _subject(known))
        told = await gate.notifications.acknowledge(known.id, case.asker, case.now) or known
        await record(case, EntryKind.OUTCOME, decision, _subject(known))
        case.watch.stop()
        return NotificationReply(summary, told)

    return await guarded(case, steps)


def _subject(known: Notification) -> Subject:
    return Subject(facts={"notification.id": known.id, "notification.kind": known.kind})
