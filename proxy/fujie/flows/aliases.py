"""Who is who, corrected with evidence: two references are one person, or a store key is another than it was taken for.

Nothing that closes is ever lost by it, and nothing opens (`adapters` keep that; `ports.Ledger.merge`, `split`).
The evidence may hold anything: the log says only that there was some.
"""

from dataclasses import dataclass, replace

from fujie.audit.entry import EntryKind
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.identify import refs_of, rows_of
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import CorrectionReply, Refusal
from fujie.model.customer import Correction, CustomerRef, Identity, Phone, StoreKey
from fujie.model.errors import RequestError
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect

_EVIDENCE = {"correction.has_evidence": True}


@dataclass(frozen=True, slots=True, repr=False)
class Merge:
    """`into` keeps its identity and its consents; what leads to `source` leads there afterwards."""

    into: CustomerRef
    source: CustomerRef
    evidence_ref: str


async def merge_customers(
    gate: Gate, caller: Credential, context: RequestContext, asked: Merge
) -> CorrectionReply | Refusal:
    """Say that two references are one person. Both must be granted; to merge one person with itself does nothing."""
    into, source = (_request(context, ref) for ref in (asked.into, asked.source))
    case = open_case(gate, caller, context, into)

    async def steps(case: Case) -> CorrectionReply | Refusal:
        for request in (replace(case.request, store=source.store, key_kind=source.key_kind), case.request):
            decision = await permitted(replace(case, request=request))
            if decision.effect is not Effect.ALLOW:
                return await refused(replace(case, request=request), decision)
        kept, _ = await _known(case, asked.into, "into")
        moved, _ = await _known(case, asked.source, "from")
        subject = Subject(
            _both(kept, moved), facts={"correction.kind": "merge", "correction.into": kept.sid, **_EVIDENCE}
        )
        summary = await record(case, EntryKind.ADMISSION, decision, subject)
        whole = await gate.ledger.merge(asked.into, asked.source, _correction(case, asked.evidence_ref))
        await record(case, EntryKind.OUTCOME, decision, replace(subject, sids=_both(whole, moved)))
        case.watch.stop()
        return CorrectionReply(summary)

    return await guarded(case, steps)


async def split_customer(
    gate: Gate, caller: Credential, context: RequestContext, key: StoreKey, evidence_ref: str
) -> CorrectionReply | Refusal:
    """Say that a store key is another person than it was taken for: it starts anew, with every refusal so far."""
    case = open_case(gate, caller, context, _request(context, key))

    async def steps(case: Case) -> CorrectionReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        known, refs = await _known(case, key, "store_key")
        subject = Subject(known.sids, facts={"correction.kind": "split", **_EVIDENCE})
        summary = await record(case, EntryKind.ADMISSION, decision, subject)
        new = await gate.ledger.split((key, *refs), _correction(case, evidence_ref))
        facts = {**subject.facts, "correction.into": new.sid}
        await record(case, EntryKind.OUTCOME, decision, Subject(_both(new, known), facts=facts))
        case.watch.stop()
        return CorrectionReply(summary)

    return await guarded(case, steps)


def _request(context: RequestContext, ref: CustomerRef) -> Request:
    return Request(
        Action.CORRECT,
        context.purpose,
        context.basis,
        ref.store if isinstance(ref, StoreKey) else "",
        ref.kind.value,
        has_basis_evidence=bool(context.basis_evidence),
        has_ticket=bool(context.ticket),
    )


async def _known(case: Case, ref: CustomerRef, field: str) -> tuple[Identity, tuple[CustomerRef, ...]]:
    """Return who is meant, and what else the customer's row says of it: one person, whom a store or the ledger knows.

    A customer whose row is gone is merged and split by what the ledger knows: duplicates are deleted first.

    Raises:
        RequestError: UNKNOWN_STORE, CUSTOMER_NOT_FOUND or CUSTOMER_AMBIGUOUS.
        StoreError: a store can not be asked: who is who is not corrected by half.

    """
    rows = await rows_of(case.gate, ref)
    refs = refs_of(rows[0]) if len(rows) == 1 else (ref,)
    ledger = case.gate.ledger
    identity = await (ledger.enrol(refs, case.now) if len(rows) == 1 else ledger.find(refs))
    if len(rows) > 1 or (identity is not None and identity.is_shared):
        raise RequestError(code="CUSTOMER_AMBIGUOUS", field=field)
    if identity is None:
        raise RequestError(code="CUSTOMER_NOT_FOUND", field=field)
    if not rows and isinstance(ref, Phone):  # who only spoke by number has no identity of a person yet
        identity = await ledger.enrol(refs, case.now)
    return identity, tuple(each for each in refs if each != ref)


def _correction(case: Case, evidence_ref: str) -> Correction:
    return Correction(evidence_ref, case.asker, case.now, case.context.request_id)


def _both(first: Identity, second: Identity) -> tuple[str, ...]:
    """Return everybody whom a correction touches, the kept or new sid first."""
    return tuple(dict.fromkeys((*first.sids, *second.sids)))
