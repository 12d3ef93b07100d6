"""Start a campaign: a decision of its own, on how many it reaches and on its text, before the first message is decided.

1. Only its requester starts it, from DRAFT or PAUSED.
2. Every guard that reads no recipient holds here, approvals too. An approval is bound to the campaign and to how many
   it reaches: who adds to it afterwards needs another.
3. What was approved is kept with the campaign, since each message is decided again. It goes on with that after a pause.
4. The ledger starts it only when it still has as many recipients as were decided on.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from fujie.audit.entry import EntryKind
from fujie.decision.decide import decide
from fujie.decision.plan import Plan
from fujie.decision.replay import STARTS
from fujie.flows.agreement import Agreement, ask_approval
from fujie.flows.campaign_review import facts_of
from fujie.flows.campaigns import CAMPAIGN_ID, Opened, open_campaign, scope, told
from fujie.flows.evidence import APPROVAL_ID, Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.recipients import sending_of
from fujie.flows.refuse import guarded, refused, standing
from fujie.flows.reply import CampaignReply, Refusal
from fujie.model.campaign import Campaign, CampaignState
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.facts import APPROVED, Facts, Known
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect

_STARTS_FROM = frozenset({CampaignState.DRAFT, CampaignState.PAUSED})


@dataclass(frozen=True, slots=True, repr=False)
class StartAsk:
    """Which campaign is to start. With `validate_only` it is only decided: no approval is used up or asked for."""

    context: RequestContext
    campaign_id: str
    validate_only: bool = False


@dataclass(frozen=True, slots=True)
class _Judged:
    decision: Decision
    approval: str = ""


async def start_campaign(gate: Gate, caller: Credential, asked: StartAsk) -> CampaignReply | Refusal:
    """Start a campaign, or go on with it; one that runs is answered as it is."""
    case = open_case(gate, caller, asked.context, Request(Action.SEND))

    async def steps(case: Case) -> CampaignReply | Refusal:
        opened = await open_campaign(case, asked.campaign_id, as_requester=True)
        if isinstance(opened, Decision):
            return await refused(case, opened)
        campaign = opened.campaign
        if campaign.state is not CampaignState.RUNNING:  # 1
            _check_startable(campaign)
        judged = await _judged(opened, validate_only=asked.validate_only)  # 2
        if judged.decision.effect is not Effect.ALLOW:
            return await _closed(opened, judged.decision, validate_only=asked.validate_only)
        facts = {"campaign.act": CampaignState.RUNNING.value}
        subject = _subject(opened, {**facts, **({APPROVAL_ID: judged.approval} if judged.approval else {})})
        decision = judged.decision
        about = _starting(subject)
        if asked.validate_only:
            summary = await record(opened.case, EntryKind.DECISION, decision, about)
            return CampaignReply(summary, campaign)
        summary = await record(opened.case, EntryKind.ADMISSION, decision, about)
        sending = sending_of(gate)
        started = await sending.outbox.move_campaign(  # 3, 4
            campaign.id,
            CampaignState.RUNNING,
            gate.clock.now(),
            tuple(sorted(need.key for need in decision.uses)),
            campaign.tally.total,
        )
        sending.wake.set()
        await record(opened.case, EntryKind.OUTCOME, told(decision), subject)
        case.watch.stop()
        return CampaignReply(summary, started)

    return await guarded(case, steps)


async def _judged(opened: Opened, *, validate_only: bool) -> _Judged:
    """Decide whether it may start, with what others agreed to."""
    case, campaign = opened.case, opened.campaign
    plan, _ = scope(case, opened.principal)
    facts, _ = await facts_of(case, opened.principal, campaign.draft)
    kept = _decided(plan, case, facts, campaign.approved)
    if kept.effect is not Effect.APPROVAL_REQUIRED:
        return _Judged(kept)
    agreement = Agreement(case, plan, None)
    facts = await agreement.known(facts, _about(case, campaign))
    decision = decide(plan, case.request, facts)
    if validate_only:
        return _Judged(decision)
    while (again := await agreement.take(decision, facts)) is not None:
        facts = again
        decision = decide(plan, case.request, facts)
    if decision.effect is Effect.ALLOW and agreement.used:
        # To use it up may have needed a while, in which the asker, or who approved, has left.
        principal = await standing(case)
        if isinstance(principal, Decision):
            return _Judged(principal, agreement.used)
        plan, _ = scope(case, principal)
        facts, _ = await facts_of(case, principal, campaign.draft)
        decision = decide(plan, case.request, await agreement.known(facts, _about(case, campaign)))
    return _Judged(decision, agreement.used)


def _decided(plan: Plan, case: Case, facts: Facts, approved: Iterable[str]) -> Decision:
    return decide(plan, case.request, Facts({**facts.values, APPROVED: tuple(sorted(approved))}))


async def _closed(opened: Opened, decision: Decision, *, validate_only: bool) -> Refusal:
    """Refuse; what others have to agree to first names the approval that waits for them."""
    case, campaign = opened.case, opened.campaign
    if decision.effect is not Effect.APPROVAL_REQUIRED or validate_only:
        return await refused(case, decision, _starting(_subject(opened, {})))
    approval = await ask_approval(case, decision, None, _about(case, campaign), campaign.tally.total)
    refusal = await refused(case, decision, _starting(_subject(opened, {APPROVAL_ID: approval.id})))
    return replace(refusal, approval=approval.name)


def _check_startable(campaign: Campaign) -> None:
    if campaign.state not in _STARTS_FROM or not campaign.tally.total:
        raise RequestError("not a draft with recipients, nor paused", code="CAMPAIGN_STATE", field="name")


def _about(case: Case, campaign: Campaign) -> str:
    """Return what an approval is bound to beside the request: this campaign, whose draft never changes, with so many
    recipients; and the words of its template, which a new bundle may change."""
    template = case.decider.bundle.templates.get(campaign.draft.template)
    words = hashlib.sha256(template.text.encode()).hexdigest() if template else ""
    return f"{campaign.name} {campaign.tally.total} {words}"


def _starting(subject: Subject) -> Subject:
    """Return the same, said to be of a start: a replay decides it as one, and not as one about a recipient."""
    return replace(subject, facts={STARTS: True, **subject.facts})


def _subject(opened: Opened, more: dict[str, Known]) -> Subject:
    campaign = opened.campaign
    return Subject(facts={CAMPAIGN_ID: campaign.id, "campaign.recipients": campaign.tally.total, **more})
