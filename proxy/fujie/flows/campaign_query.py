"""Recipients of a draft from a store: which of its customers a query names, and whether it may.

1. Whose campaign it is, and whether its text needs no variables: a query brings none.
2. Without a filter: whom a grant to send for the purpose may open, by their attributes. What else it reads, and every
   guard, is decided when the message is sent.
3. With a filter: the query is decided like an export of the fields that the filter reads, with its rules, approvals and
   limits, row by row. So a filter answers nothing that an export with the same filter would not show the same asker.
4. The admission is durable before the first row is read; the outcome is written however it ends. Both hold counts alone.

A call lasts some seconds and goes on by a token, in which the last customer is sealed; what is decided of the asker is
decided anew then. Nobody is in a campaign twice, so that a call that broke may be made again.
"""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

from fujie.audit.canon import canonical
from fujie.audit.entry import EntryKind
from fujie.decision.decide import refuse
from fujie.decision.filter_text import parse_filter
from fujie.decision.filtering import fields_of
from fujie.decision.replay import STARTS
from fujie.flows.additions import Rows
from fujie.flows.campaign_scan import Begun, QueryAsk, Run, Stopped
from fujie.flows.campaigns import CAMPAIGN_ID, Opened, open_campaign
from fujie.flows.evidence import APPROVAL_ID, Subject, record
from fujie.flows.export_reply import ExportHead
from fujie.flows.export_resume import Place, place_in, token_of
from fujie.flows.export_start import Start, begun, request_of
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.refuse import gone, guarded, refused
from fujie.flows.reply import RecipientsReply, Refusal
from fujie.flows.wording import worded
from fujie.model.campaign import CampaignState
from fujie.model.customer import StoreKey
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.export import Format
from fujie.model.facts import Known
from fujie.model.message import Recipient
from fujie.model.principal import Credential
from fujie.model.request import ExportAsk, Request
from fujie.model.vocabulary import Action, KeyKind

MOST_NAMED = 1_000_000
"""The most customers that one query names: the largest campaign that is made."""


async def add_from_store(
    gate: Gate, caller: Credential, asked: QueryAsk, batches: AsyncIterator[Rows], timeout_s: float
) -> RecipientsReply | Refusal:
    """Add customers of a store to a draft; what was added stays when a later batch fails. `batches` are those of the
    stream, on which nothing else may come; `timeout_s` is store time for each batch."""
    case = open_case(gate, caller, asked.context, Request(Action.SEND))

    async def steps(case: Case) -> RecipientsReply | Refusal:
        async for rows in batches:
            if rows:
                raise RequestError("a query stands alone", field="query")
            if (left := await gone(case)) is not None:
                return await refused(case, left)
        found = await _begun(case, asked)
        if isinstance(found, Refusal):
            return found
        run = Run(found, timeout_s)
        try:
            summary = await run.to_its_end()
        except Stopped as stop:
            return await refused(found.opened.case, stop.decision, run.about())
        case.watch.stop()
        token = "" if run.is_over else token_of(found.opened.case, _digest(asked), run.place)
        return RecipientsReply(summary, run.added, run.repeated, {}, token)

    return await guarded(case, steps)


async def _begun(case: Case, asked: QueryAsk) -> Begun | Refusal:
    """Decide on what no customer can change."""
    opened = await open_campaign(case, asked.campaign_id, as_requester=True)
    if isinstance(opened, Decision):
        return await refused(case, opened)
    if opened.campaign.state is not CampaignState.DRAFT:
        raise RequestError(code="CAMPAIGN_STATE", field="name")
    if asked.store not in case.gate.stores:
        raise RequestError(code="UNKNOWN_STORE", field="query.store")
    request = replace(opened.case.request, store=asked.store, key_kind=KeyKind.CUSTOMER_ID.value)
    opened = replace(opened, case=replace(opened.case, request=request))
    if not opened.case.decider.plan(request, opened.principal.roles).grants:
        return await refused(opened.case, refuse(case.decider.bundle.digest, "NO_GRANT"))
    wording = await worded(opened.case, opened.campaign.draft, in_campaign=True)
    wording.sample(Recipient(StoreKey(asked.store, "")))  # raises where the text has variables
    if not _reads(case, asked):
        place = place_in(case, _digest(asked), asked.resume)
        return Begun(opened, asked, None, place if place.first else Place(case.decision_id))
    start = await _filtered(opened, asked)
    return start if isinstance(start, Refusal) else Begun(opened, asked, start, start.place)


async def _filtered(opened: Opened, asked: QueryAsk) -> Start | Refusal:
    """Decide on the filter as on an export of what it reads, and leave the entry of that."""
    campaign = opened.campaign
    context = replace(asked.context, purpose=campaign.purpose, basis=campaign.basis)
    fields = _reads(opened.case, asked)
    export = ExportAsk(
        asked.store, context, fields, asked.max_rows, Format.CSV, asked.filter, resume=asked.resume
    )
    request = replace(
        request_of(opened.case.gate, export),
        has_basis_evidence=campaign.has_basis_evidence,
        has_ticket=campaign.has_ticket,
    )
    case = replace(opened.case, context=context, request=request)

    async def place_of(case: Case, _: str, token: str) -> Place:
        return place_in(case, _digest(asked), token)

    start = await begun(case, export, place_of)
    if isinstance(start, Refusal):
        return start
    assert not isinstance(start, ExportHead)  # which answers who only wants to know
    facts: dict[str, Known] = {CAMPAIGN_ID: campaign.id}
    if start.approval:
        facts[APPROVAL_ID] = start.approval
    await record(case, EntryKind.DECISION, start.decision, Subject(facts={STARTS: True, **facts}))
    return start


def _reads(case: Case, asked: QueryAsk) -> tuple[str, ...]:
    """Return the fields that the filter reads. Raises RequestError FILTER_INVALID."""
    return tuple(sorted(fields_of(parse_filter(asked.filter, case.decider.bundle.fields))))


def _digest(asked: QueryAsk) -> str:
    """Return what a token is for, beside its asker."""
    said = {"of": asked.campaign_id, "store": asked.store, "filter": asked.filter, "rows": asked.max_rows}
    return hashlib.sha256(canonical(said)).hexdigest()
