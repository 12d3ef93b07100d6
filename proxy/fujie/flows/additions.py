"""Recipients of a campaign, added in batches while it is a draft.

A row that can not be added is counted and stops no other; its place and its reason are told, never what stood in it.
Nobody is asked in the stores here, so that no answer tells who is a customer: that is found out when it is sent.
"""

from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from fujie.audit.entry import EntryKind
from fujie.flows.campaigns import CAMPAIGN_ID, Opened, open_campaign
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.recipients import planned, sending_of
from fujie.flows.refuse import gone, guarded, refused
from fujie.flows.reply import RecipientsReply, Refusal
from fujie.flows.wording import Wording, worded
from fujie.model.campaign import CampaignState
from fujie.model.customer import StoreKey
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.facts import Known
from fujie.model.message import Recipient
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect

Row = Recipient | str
"""A recipient, or the reason code for which a row is none."""

Rows = Sequence[Row] | None
"""A batch of at most 500; None each half second in which none came, so that who has left is not waited for."""


@dataclass(slots=True)
class _Counts:
    """What came of the rows so far."""

    seen: int
    added: int
    repeated: int
    refused: defaultdict[str, list[int]]


async def add_recipients(
    gate: Gate, caller: Credential, context: RequestContext, campaign_id: str, batches: AsyncIterator[Rows]
) -> RecipientsReply | Refusal:
    """Add recipients to a draft until there are no more batches. What was added stays when a later batch fails."""
    case = open_case(gate, caller, context, Request(Action.SEND))

    async def steps(case: Case) -> RecipientsReply | Refusal:
        opened = await open_campaign(case, campaign_id, as_requester=True)
        if isinstance(opened, Decision):
            return await refused(case, opened)
        if opened.campaign.state is not CampaignState.DRAFT:
            raise RequestError(code="CAMPAIGN_STATE", field="name")
        decision = Decision(Effect.ALLOW, case.decider.bundle.digest)
        summary = await record(opened.case, EntryKind.ADMISSION, decision, _subject(opened, {}))
        counts = _Counts(0, 0, 0, defaultdict(list))
        async for rows in batches:
            if (left := await gone(case)) is not None:
                return await refused(case, left, _subject(opened, _told(counts)))
            if rows:
                await _add(opened, rows, counts)
        await record(opened.case, EntryKind.OUTCOME, decision, _subject(opened, _told(counts)))
        case.watch.stop()
        return RecipientsReply(summary, counts.added, counts.repeated, counts.refused)

    return await guarded(case, steps)


async def _add(opened: Opened, rows: Sequence[Row], counts: _Counts) -> None:
    case, campaign = opened.case, opened.campaign
    wording = await worded(case, campaign.draft, in_campaign=True)
    good: list[Recipient] = []
    for place, row in enumerate(rows, counts.seen):
        why = row if isinstance(row, str) else _trouble(opened, wording, row)
        if isinstance(row, Recipient) and not why:
            good.append(row)
        else:
            counts.refused[why].append(place)
    counts.seen += len(rows)
    if good:
        now = case.gate.clock.now()
        intents = await planned(case.gate, campaign, good, now)
        added = await sending_of(case.gate).outbox.plan(campaign.id, intents, now)
        counts.added += added
        counts.repeated += len(good) - added


def _trouble(opened: Opened, wording: Wording, row: Recipient) -> str:
    """Return why a row can not be added; empty when it can.

    Who may not write to numbers adds none: of a number and a customer id of one person the second counts as repeated,
    which tells whose the number is.
    """
    case, ref = opened.case, row.customer
    store = ref.store if isinstance(ref, StoreKey) else ""
    if store and store not in case.gate.stores:
        return "UNKNOWN_STORE"
    request = replace(case.request, store=store, key_kind=ref.kind.value)
    if not case.decider.plan(request, opened.principal.roles).grants:
        return "NO_GRANT"
    try:
        wording.sample(row)
    except RequestError as error:
        return error.code
    return ""


def _told(counts: _Counts) -> dict[str, Known]:
    return {
        "recipients.added": counts.added,
        "recipients.repeated": counts.repeated,
        "recipients.refused": sum(map(len, counts.refused.values())),
    }


def _subject(opened: Opened, more: dict[str, Known]) -> Subject:
    return Subject(facts={CAMPAIGN_ID: opened.campaign.id, **more})
