"""The one text that confirms a customer's own "stop": that it was heard, and nothing else.

It goes to a number that has just opted out, so it is the one exception to "after an opt-out nothing is sent". It is lawful as the
answer to the customer's own message: it advertises nothing (AdLaw 43 is about advertisements), it tells what
became of a right that the customer used (PIPL 15, 50), and 47 CFR 64.1200(a)(12) names it. The act itself exempts it here, by
name, and no rule of a policy does: no grant opens it, and no other message can go this way. So it is narrow:

1. Off, unless a text is configured, and where the provider confirms by itself.
2. Once for each opt-out: only where the reply closed what was open. Once a day for a number, whatever is replied.
3. The text is a template of the policy in force: transactional, without variables and links, nothing found in it; under the
   configured signature, through the provider that brought the reply, whose agreement is in force.
4. Evidence, claim, wire as for every message (`flows.release`); what is not taken is not tried again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from fujie.audit.entry import EntryKind
from fujie.audit.errors import AuditError
from fujie.decision.message import Rendered
from fujie.decision.processor import processor_facts
from fujie.flows.acts import open_act, provider_actor
from fujie.flows.campaign_review import text_review
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate
from fujie.flows.recipients import sealed, sending_of
from fujie.flows.wording import LINK, Route, Wording, worded
from fujie.model.campaign import Lease
from fujie.model.customer import Phone
from fujie.model.decision import Decision
from fujie.model.errors import FujieError
from fujie.model.facts import AGREEMENT, Known
from fujie.model.message import (
    CHANNEL,
    Category,
    Claim,
    Draft,
    MessageState,
    Planned,
    Recipient,
    Settled,
)
from fujie.model.phone import country_of
from fujie.model.suppression import Suppression
from fujie.model.vocabulary import Action, State
from fujie.ports.providers import Acceptance, Outgoing, Reply, Submission
from fujie.ports.recollection import Recalled

PURPOSE = "opt_out_confirmation"
"""What its entries call it; no purpose of the catalogue, so that no grant can be for it."""

_LEASE_S = 30.0
_CHINESE = frozenset({"CN", "HK", "MO", "TW"})
_NOTHING_ODD: Mapping[str, Known | State] = {
    "message.signature_registered": True,
    "message.links": State.NONE,
    "message.findings": (),
    "message.concerns": (),
}
_ENDS = {
    Acceptance.ACCEPTED: MessageState.SUBMITTED,
    Acceptance.REFUSED: MessageState.FAILED,
    Acceptance.RETRY: MessageState.FAILED,
}


@dataclass(frozen=True, slots=True, repr=False)
class Stopped:
    """A reply that closed something: the purposes that it closed, and what our opt-outs call it (`replies/<id>`)."""

    reply: Reply
    purposes: tuple[str, ...]
    evidence_ref: str


class _Ready(NamedTuple):
    """What is to be sent, and to whom."""

    wording: Wording
    text: Rendered
    segments: int
    told: Recalled
    marker: int


async def confirm_stop(gate: Gate, stopped: Stopped) -> bool:
    """Send the confirmation, when there is to be one; tell whether it went out. Never raises: the opt-out holds anyway."""
    name = stopped.reply.provider
    sending = sending_of(gate)
    if sending.confirmation is None or name in sending.confirmation.silent:  # 1
        return False
    request_id = f"confirm:{stopped.evidence_ref}"
    case, decision = open_act(gate, provider_actor(name), Action.SEND, request_id)
    case = replace(case, request=replace(case.request, purpose=PURPOSE, channel=CHANNEL))
    try:
        ready = await _ready(case, stopped)
        return ready is not None and await _sent(case, decision, stopped, ready)
    except (FujieError, AuditError):
        gate.metrics.received(name, "confirmation_failed")
        return False


async def _ready(case: Case, stopped: Stopped) -> _Ready | None:
    gate, reply = case.gate, stopped.reply
    outbox, confirmation = sending_of(gate).outbox, sending_of(gate).confirmation
    assert confirmation is not None
    recalled = await outbox.recall_many([(reply.phone,)], "", gate.clock.now())
    [told] = recalled.customers
    if told.identity.wrapped_key is None or _was_closed(told.suppressions, stopped):  # 2
        return None
    wanted = "zh" if country_of(reply.phone.e164) in _CHINESE else "en"
    template = confirmation.templates.get(wanted) or next(iter(confirmation.templates.values()))
    draft = Draft(
        Category.TRANSACTIONAL, confirmation.signature, template=template, provider=reply.provider
    )
    wording = await worded(case, draft, in_campaign=False)
    text = wording.sample(Recipient(reply.phone))
    if any(each.content == text.content for each in told.sent):  # 2
        return None
    (route,) = wording.routes
    segments = _segments(case, wording, route)
    return _Ready(wording, text, segments, told, recalled.marker) if segments else None


def _segments(case: Case, wording: Wording, route: Route) -> int:
    """Return in how many parts the text goes; 0 when it is none that may go this way (3)."""
    local = case.now.astimezone(case.gate.zone).date()
    agreed = processor_facts(route.processor, PURPOSE, local, is_local=route.is_local)[AGREEMENT]
    template = wording.template
    is_plain = (
        template is not None and not template.variables and not template.asks and LINK not in template.text
    )
    if agreed not in (State.VALID, State.NOT_NEEDED) or not is_plain:
        return 0
    facts = text_review(case, wording, route).facts
    segments = facts.get("message.segments")
    is_sound = all(facts.get(path) == value for path, value in _NOTHING_ODD.items())
    return segments if is_sound and isinstance(segments, int) else 0


async def _sent(case: Case, decision: Decision, stopped: Stopped, ready: _Ready) -> bool:
    gate, reply, identity = case.gate, stopped.reply, ready.told.identity
    outbox, provider = sending_of(gate).outbox, ready.wording.routes[0].provider
    intent_id, draft = gate.ids.new_id(), ready.wording.draft
    planned = Planned(
        intent_id, identity.sid, sealed(gate, identity.sid, identity.wrapped_key, Recipient(reply.phone)), "",
        case.asker, PURPOSE, draft.category, draft.signature,
    )  # fmt: skip
    request = (case.context.request_id, draft.template)
    _, lease = await outbox.begin(planned, gate.ids.new_id(), gate.clock.now(), _LEASE_S, request)
    if lease is None:  # another worker heard the same
        return False
    facts: dict[str, Known] = {
        "message.id": intent_id,
        "message.provider": reply.provider,
        "message.template": draft.template,
        "message.answers": stopped.evidence_ref,
    }
    subject = Subject.of(identity)
    subject = Subject(subject.sids, subject.wrapped_key, facts)
    if not await provider.ready(1):
        await outbox.settle(lease.holder, [_end(intent_id, Submission(Acceptance.RETRY))], gate.clock.now())
        return False
    await record(case, EntryKind.RELEASE, decision, subject)  # 4
    said = await _submitted(case, lease, reply.phone, ready)
    out = said is not None and said.acceptance not in (Acceptance.REFUSED, Acceptance.RETRY)
    await record(case, EntryKind.OUTCOME, decision, subject if not out else Subject(facts=facts))
    return out


async def _submitted(case: Case, lease: Lease, phone: Phone, ready: _Ready) -> Submission | None:
    """Claim and submit; None when something was said of the number since: then nothing goes out."""
    gate, intent_id = case.gate, lease.intents[0].intent_id
    outbox, route = sending_of(gate).outbox, ready.wording.routes[0]
    sids = ready.told.identity.sids
    claim = Claim(intent_id, phone, sids, ready.text.content, route.provider.name, ready.segments)
    now = gate.clock.now()
    claimed = await outbox.claim(lease, [claim], ready.marker, case.asker, now)
    if intent_id not in claimed.claimed:
        refused = Settled(intent_id, MessageState.REFUSED, "MESSAGE_REPEATED")
        await outbox.settle(lease.holder, [refused], gate.clock.now())
        return None
    signature, code = ready.wording.draft.signature, ready.wording.code(route)
    outgoing = Outgoing(intent_id, phone, signature, ready.text.text, code, ready.text.params)
    [said] = await route.provider.submit([outgoing])
    await outbox.settle(lease.holder, [_end(intent_id, said)], gate.clock.now())
    gate.metrics.submitted(route.provider.name, said.acceptance.value)
    return said


def _end(intent_id: str, said: Submission) -> Settled:
    state = _ENDS.get(said.acceptance, MessageState.UNKNOWN)
    reason = "" if state is MessageState.SUBMITTED else said.code or "PROVIDER_FAILED"
    return Settled(intent_id, state, reason, said.provider_message_id)


def _was_closed(suppressions: Iterable[Suppression], stopped: Stopped) -> bool:
    """Tell whether something else than this reply had closed it, or closes every message."""
    return any(
        each.lifted is None
        and each.evidence_ref != stopped.evidence_ref
        and each.scope.purpose in ("", *stopped.purposes)
        and each.scope.channel in ("", CHANNEL)
        for each in suppressions
    )
