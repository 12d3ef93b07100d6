"""Consent by message (`decision.double_opt_in`): the request and the answer, each with its evidence, each once.

1. The message that asks holds the words of a notice in force, all of them, so that what was shown can be proven.
2. Once a provider has it, or may have it, REQUESTED is recorded, with the message as evidence (`messages/<id>`): by who sent
   it, or, when that process died, by whoever finds the intent (`record_left`), which says what it asked until then.
3. A start word from the number of exactly one customer, while one request to that customer is open, is the consent: GIVEN
   under the notice that was asked with, evidence `messages/<id> replies/<id>`. A number that several share agrees for nobody.
4. A forged reply can not bring back what was refused: an opt-out, a refusal or a withdrawal since ends the request, and a
   person looks at the reply, as at any other start word.
"""

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

from fujie.decision import double_opt_in
from fujie.flows.acts import open_act, provider_actor
from fujie.flows.asking import Asking, read
from fujie.flows.consent import NOW, RequestKey, append_event, dated
from fujie.flows.gate import Gate
from fujie.flows.identify import identify
from fujie.flows.notices import informed
from fujie.flows.recipients import sending_of
from fujie.flows.reply import ConsentReply
from fujie.model.consent import Capture, ConsentEvent, ConsentEventType
from fujie.model.customer import Identity
from fujie.model.errors import RequestError, StoreError
from fujie.model.message import CHANNEL
from fujie.model.vocabulary import Action
from fujie.ports.messaging import Asked
from fujie.ports.providers import Reply

SOURCE = "opt_in_message"

_ALONE = Capture(preselected=False, bundled=False)
"""How a message asks: one question, and nothing is agreed to by silence."""


_LAG = timedelta(minutes=2)
"""How far the clock of a provider may be behind ours: a reply from before the request is no answer to it."""


LEFT_S = 10.0
"""How long who sent a message has to record what it asked for, before others do it: a record takes milliseconds."""

_MOST_LEFT = 100


async def record_request(
    gate: Gate, provider: str, intent_id: str, identity: Identity, asked: Asking, at: datetime = NOW
) -> None:
    """Record that a message that a provider has, or may have, asked for consent; harmless when repeated.

    Raises RequestError like `informed`, LedgerError, AuditError.
    """
    case, decision = open_act(gate, provider_actor(provider), Action.CONSENT_RECORD, f"asked:{intent_id}")
    draft = replace(
        _draft(asked.purpose, ConsentEventType.REQUESTED, f"messages/{intent_id}"),
        event_time=at,
        notice=asked.notice,
        explicit=asked.explicit,
        separate=asked.separate,
    )
    said = await informed(case, dated(case, draft), None)
    await append_event(case, decision, identity, said, RequestKey(case.context.request_id, intent_id))


async def record_left(gate: Gate) -> int:
    """Record what messages asked for whose sender did not: its process died behind the claim. Return how many.

    What certainly did not go out asked nobody. Raises LedgerError, AuditError.
    """
    outbox = sending_of(gate).outbox
    left = await outbox.asking(gate.clock.now() - timedelta(seconds=LEFT_S), _MOST_LEFT)
    for each in left:
        await _record_left(gate, each)
        await outbox.asked([each.intent_id])
    return len(left)


async def _record_left(gate: Gate, left: Asked) -> None:
    sid, asked = read(left.asks)
    if not left.may_be_out:
        return
    try:
        await record_request(gate, left.provider, left.intent_id, Identity(sid), asked, left.claimed_at)
    except RequestError:  # the bundle knows the purpose no more: nobody asks for it again
        return


async def confirm(gate: Gate, reply: Reply, reply_id: str) -> bool | None:
    """Take a start word for the consent that was asked for; False when it was taken before, None when it is none.

    Raises LedgerError, AuditError.
    """
    now = gate.clock.now()
    try:
        identity = await identify(gate, reply.phone, now, closes=False)
    except StoreError:  # nobody can say whose number it is
        return None
    if identity.is_shared:
        return None
    events = await gate.ledger.consent_events(identity.sids, "")
    if any(event.evidence_ref.endswith(f" replies/{reply_id}") for event in events):
        return False
    closed = await gate.ledger.suppressions(identity.sids)
    asked = double_opt_in.open_request(events, closed, identity.sid, now)
    if asked is None or reply.at + _LAG < asked.event_time:
        return None
    return await _given(gate, identity, asked, (reply, reply_id))


async def _given(
    gate: Gate, identity: Identity, asked: ConsentEvent, answer: tuple[Reply, str]
) -> bool | None:
    reply, reply_id = answer
    actor = provider_actor(reply.provider)
    case, decision = open_act(gate, actor, Action.CONSENT_RECORD, f"answered:{asked.record_id}")
    draft = replace(
        _draft(asked.purpose, ConsentEventType.GIVEN, f"{asked.evidence_ref} replies/{reply_id}"),
        # Whichever provider brings the answer, the ledger knows one record of an id.
        record_id=hashlib.sha256(f"answered:{asked.record_id}".encode()).hexdigest()[:32],
        event_time=min(max(reply.at, asked.event_time), case.now),
        channel=asked.channel,
        notice=asked.notice,
        explicit=asked.explicit,
        separate=asked.separate,
    )
    try:
        said = await informed(case, dated(case, draft), _ALONE)
        key = RequestKey(case.context.request_id, asked.record_id)
        done = await append_event(case, decision, identity, said, key)
    except RequestError:  # the bundle knows the purpose no more, or the notice has other words by now
        return None
    return isinstance(done, ConsentReply) or None


def _draft(purpose: str, kind: ConsentEventType, evidence_ref: str) -> ConsentEvent:
    return ConsentEvent(
        "", "", purpose, kind, NOW, NOW, "", channel=CHANNEL, collection_method=double_opt_in.METHOD,
        source=SOURCE, evidence_ref=evidence_ref,
    )  # fmt: skip
