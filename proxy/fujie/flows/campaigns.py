"""Campaigns: drafted, reviewed, started after a decision on how many they reach; paused, cancelled, watched.

A campaign is there for its requester, and for whoever may send for its purpose; only the requester adds to it and starts
it, since the requester is who is judged when it is sent. Whom it reaches is decided on then, not here.
"""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

from fujie.audit.entry import EntryKind
from fujie.decision.admission import ANY_PROVIDER, admission, grants_alone, is_granted
from fujie.decision.decide import decide, precheck, refuse
from fujie.decision.facts import Raw, derive
from fujie.decision.plan import Plan
from fujie.flows.campaign_review import Reviewed, review_of
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.recipients import sending_of
from fujie.flows.refuse import guarded, refused, standing
from fujie.flows.reply import CampaignReply, Refusal, Summary
from fujie.model.campaign import Campaign, CampaignState
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.facts import Facts, Known
from fujie.model.message import CHANNEL, Draft, MessageState
from fujie.model.principal import Credential, Principal
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect

CAMPAIGN_ID = "campaign.id"
"""The fact of an entry that names a campaign."""

LOOK_S = 0.4
"""How often a watched campaign is looked at, and who watches it: somebody who has left sees nothing a second later."""

WATCH_S = 240.0
"""How long one stream watches: a connection gets five minutes, and who still looks calls again."""

_FINAL = frozenset({CampaignState.CANCELLED, CampaignState.DONE})
_MOVING = (MessageState.PLANNED, MessageState.CLAIMED)


@dataclass(frozen=True, slots=True, repr=False)
class CampaignAsk:
    """A campaign to be. With `validate_only` it is reviewed and not made."""

    context: RequestContext
    draft: Draft
    validate_only: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class DraftReply:
    """A draft, and what the review of its text found. It was not made when its id is empty."""

    summary: Summary
    campaign: Campaign
    review: Reviewed


@dataclass(frozen=True, slots=True, repr=False)
class Opened:
    """A campaign that the asker may see, who that is, and the case as one about it."""

    case: Case
    principal: Principal
    campaign: Campaign

    @property
    def is_requester(self) -> bool:
        """Tell whether it is the asker's own."""
        return self.case.asker == self.campaign.requester


def request_of(context: RequestContext, draft: Draft) -> Request:
    """Return what the policy sees of a campaign before any recipient is known."""
    return Request(
        Action.SEND,
        context.purpose,
        context.basis,
        has_basis_evidence=bool(context.basis_evidence),
        has_ticket=bool(context.ticket),
        channel=CHANNEL,
        brand=draft.signature,
    )


def opening(case: Case, principal: Principal) -> Decision:
    """Decide whether any grant opens sending for the purpose of the case, on whatever basis it names."""
    plan, facts = scope(case, principal)
    return decide(grants_alone(plan), case.request, Facts({**facts.values, **ANY_PROVIDER}))


def scope(case: Case, principal: Principal) -> tuple[Plan, Facts]:
    """Return the plan of the case before any recipient is known, and what is known of the asker."""
    plan = case.decider.plan(case.request, principal.roles)
    facts = derive(plan.bundle, case.request, Raw(principal), case.now, case.gate.zone)
    return admission(plan, case.request, principal.roles), facts


async def create_campaign(gate: Gate, caller: Credential, asked: CampaignAsk) -> DraftReply | Refusal:
    """Make a draft and review its text. What would keep it from starting is told and keeps nobody from drafting."""
    case = open_case(gate, caller, asked.context, request_of(asked.context, asked.draft))

    async def steps(case: Case) -> DraftReply | Refusal:
        principal = await standing(case)
        if isinstance(principal, Decision):
            return await refused(case, principal)
        decision = opening(case, principal)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        sending = sending_of(gate)
        review = await review_of(case, principal, asked.draft)
        decision = told(decision)
        campaign = _draft(case, asked)
        if asked.validate_only:
            summary = await record(case, EntryKind.DECISION, decision)
            return DraftReply(summary, replace(campaign, id=""), review)
        subject = Subject(facts={CAMPAIGN_ID: campaign.id})
        summary = await record(case, EntryKind.ADMISSION, decision, subject)
        made = await sending.outbox.create_campaign(campaign, asked.context.request_id, _digest(asked))
        await record(case, EntryKind.OUTCOME, decision, Subject(facts={CAMPAIGN_ID: made.id}))
        case.watch.stop()
        return DraftReply(summary, made, review)

    return await guarded(case, steps)


async def get_campaign(
    gate: Gate, caller: Credential, context: RequestContext, campaign_id: str
) -> CampaignReply | Refusal:
    """Return a campaign with its counts as they stand."""
    case = open_case(gate, caller, context, Request(Action.SEND))

    async def steps(case: Case) -> CampaignReply | Refusal:
        opened = await open_campaign(case, campaign_id)
        if isinstance(opened, Decision):
            return await refused(case, opened)
        summary = await record(opened.case, EntryKind.DECISION, _seen(opened), _subject(opened))
        case.watch.stop()
        return CampaignReply(summary, opened.campaign)

    return await guarded(case, steps)


async def pause_campaign(
    gate: Gate, caller: Credential, context: RequestContext, campaign_id: str
) -> CampaignReply | Refusal:
    """Stop sending until it is started again; what a provider has by now is on its way."""
    return await _stop(gate, caller, context, (campaign_id, CampaignState.PAUSED))


async def cancel_campaign(
    gate: Gate, caller: Credential, context: RequestContext, campaign_id: str
) -> CampaignReply | Refusal:
    """End it for good: nobody gets it who did not get it by now."""
    return await _stop(gate, caller, context, (campaign_id, CampaignState.CANCELLED))


async def watch_campaign(
    gate: Gate, caller: Credential, context: RequestContext, campaign_id: str
) -> AsyncIterator[CampaignReply | Refusal]:
    """Yield a campaign now and whenever it has changed, until nothing moves any more or `WATCH_S` are over.

    One entry names it. Who may not see it any more is refused within a second; that ends the stream.
    """
    first = await get_campaign(gate, caller, context, campaign_id)
    yield first
    ends = gate.clock.monotonic() + WATCH_S
    last = first
    while isinstance(last, CampaignReply) and not _is_over(last.campaign) and gate.clock.monotonic() < ends:
        await asyncio.sleep(LOOK_S)
        found = await _again(gate, caller, context, last)
        if isinstance(found, Refusal) or found.campaign != last.campaign:
            last = found
            yield found


async def _again(
    gate: Gate, caller: Credential, context: RequestContext, last: CampaignReply
) -> CampaignReply | Refusal:
    """Look once more, with an entry only when it is refused."""
    case = open_case(gate, caller, context, Request(Action.SEND))

    async def steps(case: Case) -> CampaignReply | Refusal:
        opened = await open_campaign(case, last.campaign.id)
        if isinstance(opened, Decision):
            return await refused(case, opened)
        return replace(last, campaign=opened.campaign)

    return await guarded(case, steps)


async def _stop(
    gate: Gate, caller: Credential, context: RequestContext, what: tuple[str, CampaignState]
) -> CampaignReply | Refusal:
    case = open_case(gate, caller, context, Request(Action.SEND))
    campaign_id, to = what

    async def steps(case: Case) -> CampaignReply | Refusal:
        opened = await open_campaign(case, campaign_id)
        if isinstance(opened, Decision):
            return await refused(case, opened)
        decision, subject = _seen(opened), _subject(opened, to.value)
        summary = await record(opened.case, EntryKind.ADMISSION, decision, subject)
        moved = await sending_of(gate).outbox.move_campaign(campaign_id, to, gate.clock.now())
        await record(opened.case, EntryKind.OUTCOME, decision, subject)
        case.watch.stop()
        return CampaignReply(summary, moved)

    return await guarded(case, steps)


async def open_campaign(case: Case, campaign_id: str, *, as_requester: bool = False) -> Opened | Decision:
    """Return the campaign when the asker may see it, or the refusal of who may send nothing at all.

    Raises:
        RequestError: CAMPAIGN_NOT_FOUND, alike for what is not there and for what he may not see; CAMPAIGN_OF_ANOTHER
            for what is not his, with `as_requester`.

    """
    principal = await standing(case)
    if isinstance(principal, Decision):
        return principal
    asker = derive(case.decider.bundle, case.request, Raw(principal), case.now, case.gate.zone)
    closed = precheck(case.decider.plan(case.request, principal.roles), case.request, asker)
    if closed is not None and closed.primary.startswith("PRINCIPAL_"):
        return closed
    may_send = closed is None or closed.primary != "NO_GRANT"
    campaign = await case.gate.sending.outbox.campaign(campaign_id) if case.gate.sending else None
    if campaign is not None:
        opened = Opened(replace(case, request=_request_of(case, campaign)), principal, campaign)
        may_see = opened.is_requester or is_granted(*scope(opened.case, principal))
        if may_see and (opened.is_requester or not as_requester):
            return opened
        if may_see:
            raise RequestError(code="CAMPAIGN_OF_ANOTHER", field="name")
    if not may_send:
        return refuse(case.decider.bundle.digest, "NO_GRANT")
    sending_of(case.gate)
    raise RequestError(code="CAMPAIGN_NOT_FOUND", field="name")


def told(decision: Decision) -> Decision:
    """Return a decision as entries beside the start hold it: without the asker's facts, so that a replay does not take it for one
    about a recipient, which it would decide by other rules."""
    read = {
        path: value for path, value in decision.read.items() if path.startswith(("message.", "processor."))
    }
    return replace(decision, read=read)


def _request_of(case: Case, campaign: Campaign) -> Request:
    return Request(
        Action.SEND,
        campaign.purpose,
        campaign.basis,
        has_basis_evidence=campaign.has_basis_evidence,
        has_ticket=campaign.has_ticket,
        delegated=bool(case.context.on_behalf_of),
        rows=max(1, campaign.tally.total),
        channel=CHANNEL,
        brand=campaign.draft.signature,
    )


def _draft(case: Case, asked: CampaignAsk) -> Campaign:
    context = asked.context
    return Campaign(
        id=case.gate.ids.new_id(),
        state=CampaignState.DRAFT,
        requester=case.asker,
        caller=case.caller.subject,
        workload=case.caller.workload,
        purpose=context.purpose,
        basis=context.basis,
        has_basis_evidence=bool(context.basis_evidence),
        has_ticket=bool(context.ticket),
        draft=asked.draft,
        created_at=case.now,
    )


def _digest(asked: CampaignAsk) -> str:
    """Return what makes two requests with one request_id the same."""
    context, draft = asked.context, asked.draft
    said = [context.purpose, context.basis, context.basis_evidence, context.ticket]
    parts = [*said, draft.category, draft.signature, draft.text, draft.template, draft.provider]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _seen(opened: Opened) -> Decision:
    return Decision(Effect.ALLOW, opened.case.decider.bundle.digest)


def _subject(opened: Opened, act: str = "") -> Subject:
    more: dict[str, Known] = {"campaign.act": act} if act else {}
    return Subject(facts={CAMPAIGN_ID: opened.campaign.id, **more})


def _is_over(campaign: Campaign) -> bool:
    states = campaign.tally.states
    return campaign.state in _FINAL and not any(states.get(state) for state in _MOVING)
