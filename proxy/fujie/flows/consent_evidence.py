"""Export what proves a customer's consents, for a carrier (MIIT Order 74), a regulator, or the customer."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

from fujie.audit.consent_bundle import SUBJECT, Evidence, build, signed_file
from fujie.audit.consent_records import RecordKey, RecordKind
from fujie.audit.entry import EntryKind
from fujie.decision.decide import refuse
from fujie.flows.consent import ConsentQuery
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.identify import identity_of
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import EvidenceReply, Refusal
from fujie.model.consent import NEGATIVE, ConsentEvent, EntryRef
from fujie.model.customer import Identity
from fujie.model.errors import RequestError
from fujie.model.notice import PrivacyNotice
from fujie.model.page import FIRST_PAGE, Slice
from fujie.model.principal import Credential
from fujie.model.request import Request
from fujie.model.suppression import Suppression, SuppressionFilter
from fujie.model.vocabulary import Action, Effect


async def export_consent_evidence(
    gate: Gate, caller: Credential, query: ConsentQuery
) -> EvidenceReply | Refusal:
    """Return the signed file about one customer: every event of the purpose (of all when it is empty).

    That are the customer's own events, and those that close of whoever shares a number with the customer, since they
    count, with every opt-out, also those that were lifted. A number that several customers share names none of them (CUSTOMER_AMBIGUOUS). The channel of the
    query does not matter. The digest of what leaves is in the entry.
    """
    case = open_case(gate, caller, query.context, Request(Action.CONSENT_READ))

    async def steps(case: Case) -> EvidenceReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        if query.purpose and query.purpose not in case.decider.bundle.purposes:
            raise RequestError(code="UNKNOWN_PURPOSE", field="purpose")
        identity = await identity_of(gate, query.customer, case.now)
        if identity is None:
            raise RequestError(code="CUSTOMER_NOT_FOUND", field="customer")
        if identity.is_shared:
            ambiguous = refuse(decision.bundle, "CUSTOMER_AMBIGUOUS")
            return await refused(case, ambiguous, Subject(identity.sids))
        built = build(await _gathered(case, query, identity))
        digest = sha256(built).hexdigest()
        facts = {"consent.evidence": digest}
        summary = await record(
            case, EntryKind.DECISION, decision, replace(Subject(identity.sids), facts=facts)
        )
        case.watch.stop()
        return EvidenceReply(summary, signed_file(built, gate.log.attest(SUBJECT, digest)))

    return await guarded(case, steps)


async def _gathered(case: Case, query: ConsentQuery, identity: Identity) -> Evidence:
    gate = case.gate
    found = await gate.ledger.consent_events(identity.sids, query.purpose)
    events = [event for event in found if event.sid == identity.sid or event.type in NEGATIVE]
    suppressions = await _opt_outs(gate, identity.sids, query.purpose)
    case.watch.lap("ledger")
    records = _records(events, suppressions)
    asked = {key: entry for key, (entry, _) in records.items() if entry}
    proofs = await asyncio.gather(*(gate.log.prove(entry) for entry in asked.values()))
    case.watch.lap("proofs")
    found_proofs = {key: proof for key, proof in zip(asked, proofs, strict=True) if proof}
    return Evidence(
        origin=gate.log.origin,
        decision_id=case.decision_id,
        issued_at=case.now,
        controller=gate.controller,
        customer=query.customer,
        purpose=query.purpose,
        sids=identity.sids,
        events=events,
        notices=await _notices(gate, events),
        suppressions=suppressions,
        proofs=found_proofs,
        unproven={
            key: _why_unproven(entry, source)
            for key, (entry, source) in records.items()
            if key not in found_proofs
        },
    )


async def _opt_outs(gate: Gate, sids: tuple[str, ...], purpose: str) -> list[Suppression]:
    """Return every opt-out, lifted or not, that closes or closed the purpose."""
    asked = SuppressionFilter(sids, purpose, with_lifted=True)
    page = await gate.ledger.suppression_page(asked, FIRST_PAGE)
    found = list(page.rows)
    while page.next:
        page = await gate.ledger.suppression_page(asked, Slice(page.next))
        found += page.rows
    return found


def _records(
    events: Sequence[ConsentEvent], suppressions: Sequence[Suppression]
) -> dict[RecordKey, tuple[EntryRef | None, str]]:
    """Return where the entry of each record should lie, and the source of the record."""
    return {
        **{(RecordKind.EVENT, each.record_id): (each.entry, each.source) for each in events},
        **{
            (RecordKind.SUPPRESSION, each.suppression_id): (each.entry, each.source)
            for each in suppressions
        },
        **{
            (RecordKind.LIFT, each.suppression_id): (each.lift_entry, "")
            for each in suppressions
            if each.lifted
        },
    }


def _why_unproven(entry: EntryRef | None, source: str) -> str:
    if entry:
        return f"entry {entry.index} of {entry.origin} could not be proven here"
    if source == "split":
        return "copied from another customer when the two were told apart"
    return "recorded by a build that did not keep its entry"


async def _notices(gate: Gate, events: Sequence[ConsentEvent]) -> list[PrivacyNotice]:
    named = sorted({(event.notice.id, event.notice.version) for event in events if event.notice.id})
    kept = [await gate.ledger.notice(*each) for each in named]
    return [notice for notice in kept if notice]
