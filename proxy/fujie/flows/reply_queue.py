"""Customers' replies that wait for a person: what reads like a refusal, and start words that answer no question of ours.

Who handles requests of customers lists and marks them, and reads what was written with the personal data in it covered.
Who may also lift opt-outs may read it as it stands: the reply is the proof of such a lift (`replies/<id>`).
"""

from dataclasses import dataclass, replace
from datetime import datetime

from fujie.audit.entry import EntryKind
from fujie.audit.errors import SealBroken
from fujie.decision.drawing import redacted
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.pages import Query, opened, sealed, shown
from fujie.flows.recipients import sending_of
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.replies import reply_text
from fujie.flows.reply import Refusal, Summary
from fujie.model.errors import RequestError
from fujie.model.message import ReplyOutcome
from fujie.model.page import FIRST_PAGE, Page, Slice
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect
from fujie.ports.messaging import KeptReply

REPLY_ID = "reply.id"
"""The fact of an entry that names a reply."""


@dataclass(frozen=True, slots=True)
class RepliesQuery:
    """Which replies are asked for: those that came at `since` or later."""

    with_reviewed: bool = False
    since: datetime | None = None
    part: Slice = FIRST_PAGE


@dataclass(frozen=True, slots=True)
class ReplyQuery:
    """Which reply is asked for, and whether as it was written."""

    reply_id: str
    is_whole: bool = False


@dataclass(frozen=True, slots=True)
class Marking:
    """What came of a reply."""

    reply_id: str
    outcome: ReplyOutcome


@dataclass(frozen=True, slots=True, repr=False)
class HeardReply:
    """A customer's reply; `text` is what they wrote, as far as the asker may read it (empty: that is not told, or gone)."""

    summary: Summary
    reply: KeptReply
    text: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class HeardRepliesReply:
    """One page of customers' replies, without what was written. `page.next` is the token of the next one."""

    summary: Summary
    page: Page[KeptReply]


async def list_replies(
    gate: Gate, caller: Credential, context: RequestContext, asked: RepliesQuery
) -> HeardRepliesReply | Refusal:
    """Return one page of replies, in their order, without what was written; its entry names whose they are."""
    case = open_case(gate, caller, context, Request(Action.SUBJECT_REQUEST_HANDLE))

    async def steps(case: Case) -> HeardRepliesReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        since = asked.since.isoformat() if asked.since else ""
        query = Query("ListReplies", (asked.with_reviewed, since))
        page = await sending_of(gate).outbox.replies(
            opened(query, asked.part), with_reviewed=asked.with_reviewed, since=asked.since
        )
        named = tuple(dict.fromkeys(each.sid for each in page.rows))
        summary = await record(case, EntryKind.DECISION, decision, Subject(named, facts=shown(page)))
        case.watch.stop()
        return HeardRepliesReply(summary, sealed(query, page))

    return await guarded(case, steps)


async def get_reply(
    gate: Gate, caller: Credential, context: RequestContext, asked: ReplyQuery
) -> HeardReply | Refusal:
    """Return a reply with what was written, which is nothing any more once the customer is erased.

    Whole needs `suppression.remove` as well, for whoever is not granted both is refused.
    """
    case = open_case(gate, caller, context, Request(Action.SUBJECT_REQUEST_HANDLE))

    async def steps(case: Case) -> HeardReply | Refusal:
        decision = await permitted(case)
        if decision.effect is Effect.ALLOW and asked.is_whole:
            lifting = replace(case, request=replace(case.request, action=Action.SUPPRESSION_REMOVE))
            may_lift = await permitted(lifting)
            if may_lift.effect is not Effect.ALLOW:
                return await refused(lifting, may_lift)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        found = await _known(gate, asked.reply_id)
        text = await _text(gate, found)
        subject = _subject(found)
        told = replace(subject, facts={**subject.facts, "reply.is_whole": asked.is_whole})
        summary = await record(case, EntryKind.DECISION, decision, told)
        case.watch.stop()
        return HeardReply(summary, found, text if asked.is_whole else redacted(text))

    return await guarded(case, steps)


async def mark_reply(
    gate: Gate, caller: Credential, context: RequestContext, asked: Marking
) -> HeardReply | Refusal:
    """Record what came of a reply, and do nothing else. A repeat returns it as it is; another outcome is refused."""
    case = open_case(gate, caller, context, Request(Action.SUBJECT_REQUEST_HANDLE))

    async def steps(case: Case) -> HeardReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        found = await _known(gate, asked.reply_id)
        subject = _subject(found)
        subject = replace(subject, facts={**subject.facts, "reply.outcome": asked.outcome.value})
        summary = await record(case, EntryKind.ADMISSION, decision, subject)
        outbox = sending_of(gate).outbox
        marked = await outbox.mark_reply(found.reply_id, asked.outcome, case.asker, case.now)
        if marked.outcome is not asked.outcome:
            raise RequestError(code="REPLY_REVIEWED", field="outcome")
        await record(case, EntryKind.OUTCOME, decision, subject)
        case.watch.stop()
        return HeardReply(summary, marked)

    return await guarded(case, steps)


async def _known(gate: Gate, reply_id: str) -> KeptReply:
    found = await sending_of(gate).outbox.reply(reply_id)
    if found is None:
        raise RequestError(code="REPLY_NOT_FOUND", field="name")
    return found


async def _text(gate: Gate, found: KeptReply) -> str:
    wrapped_key = await gate.ledger.subject_key(found.sid)
    if wrapped_key is None or not found.sealed:
        return ""
    try:
        return reply_text(gate, found, wrapped_key)
    except SealBroken:  # one row that somebody wrote into must not keep it from being marked
        return ""


def _subject(found: KeptReply) -> Subject:
    return Subject((found.sid,), facts={REPLY_ID: found.reply_id})
