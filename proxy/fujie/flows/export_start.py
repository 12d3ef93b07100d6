"""The start of an export: what no customer can change, decided on as many rows as may leave.

1. Who asks, and could any grant open this at all: `matter_of`.
2. The filter, which may read only what some row could show.
3. The rules that read no customer, with what others agreed to: bound to store, fields, filter, format, the number of
   rows and the lease, used up by one export. One that goes on rests on what the first one used up.
"""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from fujie.audit.canon import canonical
from fujie.audit.entry import EntryKind
from fujie.decision.admission import admission
from fujie.decision.anew import steps
from fujie.decision.entitlement import entitlement
from fujie.decision.filter_text import parse_filter
from fujie.decision.filtering import could_reveal, fields_of
from fujie.decision.replay import STARTS
from fujie.flows.agreement import Agreement, Emergency, ask_approval
from fujie.flows.evidence import APPROVAL_ID, NOBODY, Subject, record
from fujie.flows.export_reply import ExportHead
from fujie.flows.export_resume import Place, resumed
from fujie.flows.export_rows import Matter, matter_of, with_room
from fujie.flows.gate import Case, Gate
from fujie.flows.likeness import request_digest
from fujie.flows.refuse import refused, standing
from fujie.flows.reply import Refusal
from fujie.model.approval import ExportTerms
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.export import Export, Lease
from fujie.model.facts import APPROVED, BREAK_GLASS, Facts
from fujie.model.predicate import Predicate
from fujie.model.request import ExportAsk, Request
from fujie.model.vocabulary import Action, Effect, KeyKind

PlaceOf = Callable[[Case, str, str], Awaitable[Place]]
"""Returns where a request of this digest goes on by this token (empty: at the start)."""

_TERMS = b"fujie.dev/export-terms/v1"


@dataclass(frozen=True, slots=True, repr=False)
class Start:
    """An export that may begin: what is one for all rows, the filter, the decision, what it rests on, where it begins, and
    the digest of its request."""

    asked: ExportAsk
    matter: Matter
    wanted: Predicate
    decision: Decision
    approval: str
    place: Place
    digest: str


@dataclass(frozen=True, slots=True)
class _Agreed:
    decision: Decision
    approval: str = ""
    keys: tuple[str, ...] = ()
    broken: tuple[str, ...] = ()
    is_of_start: bool = True


def request_of(gate: Gate, asked: ExportAsk) -> Request:
    """Return what the policy sees of an export; its rows are named by customer id."""
    context, lease = asked.context, asked.lease
    terms = {
        "filter": asked.filter,
        "format": asked.format.value,
        "seconds": lease.seconds if lease else 0,
        "opens": lease.opens if lease else 0,
    }
    return Request(
        Action.EXPORT,
        context.purpose,
        context.basis,
        asked.store,
        KeyKind.CUSTOMER_ID.value,
        asked.fields,
        asked.strict,
        bool(context.basis_evidence),
        bool(context.ticket),
        bool(context.on_behalf_of),
        asked.max_rows,
        # Keyed: a filter may name a number, and numbers can be tried.
        terms=hmac.digest(gate.tokeniser.key, _TERMS + canonical(terms), "sha256").hex(),
    )


def decided(matter: Matter) -> Decision:
    """Decide what no customer can change."""
    plan = admission(matter.plan, matter.case.request, matter.principal.roles)
    return matter.case.decider.decide(plan, matter.case.request, matter.asker)


async def begun(case: Case, asked: ExportAsk, place_of: PlaceOf = resumed) -> Start | ExportHead | Refusal:
    """Decide on an export; with `validate_only` return what it would show. `place_of` says where a resume token goes on."""
    matter = await _matter(case, asked)
    if isinstance(matter, Decision):
        return await refused(case, matter)
    wanted = parse_filter(asked.filter, case.decider.bundle.fields)
    _check_filter(matter, wanted, asked)
    digest = request_digest(case, case.request, ())
    place = await place_of(case, digest, asked.resume)
    if place.rows >= asked.max_rows:
        raise RequestError("nothing is left", code="RESUME_TOKEN_INVALID", field="resume_token")
    agreed = await _agreed(matter, asked, place)
    if agreed.decision.effect is not Effect.ALLOW:
        return await _closed(case, agreed, asked)
    if agreed.keys or agreed.broken:
        matter = await _matter(case, asked, agreed.keys, agreed.broken)
    if isinstance(matter, Decision):
        return await refused(case, matter, _named(agreed.approval))
    if asked.validate_only:
        summary = await record(case, EntryKind.DECISION, agreed.decision, starting(agreed.approval))
        return ExportHead(summary, None, agreed.decision.fields)
    place = replace(
        place,
        first=place.first or case.decision_id,
        approval=agreed.approval,
        approved=agreed.keys,
        broken=agreed.broken,
    )
    return Start(asked, matter, wanted, agreed.decision, agreed.approval, place, digest)


def export_of(start: Start) -> Export:
    """Return the export that begins, as the ledger keeps it."""
    case, asked = start.matter.case, start.asked
    lease = None
    if asked.lease:
        until = case.now + timedelta(seconds=asked.lease.seconds)
        lease = Lease(expires_at=until, opens_left=asked.lease.opens)
    return Export(
        id=case.decision_id,
        requester=case.asker,
        caller=case.caller.subject,
        store=asked.store,
        purpose=case.request.purpose,
        basis=case.request.basis,
        steps=steps(start.decision),
        request_digest=start.digest,
        bundle=start.decision.bundle,
        started_at=case.now,
        format=asked.format,
        approval=start.place.approval,
        lease=lease,
        grants=entitlement(start.matter.plan, start.matter.asker),
    )


def told(decision: Decision) -> Decision:
    """Return a decision as entries behind the start hold it: without facts, which are those of the start."""
    return replace(decision, read={})


def starting(approval: str) -> Subject:
    """Return what the entry of a start says besides the facts that were read: that it is one, so that a replay decides it as one, and
    the approval that it rests on or waits for."""
    return Subject(facts={STARTS: True, **({APPROVAL_ID: approval} if approval else {})})


async def _matter(
    case: Case, asked: ExportAsk, approved: tuple[str, ...] = (), broken: tuple[str, ...] = ()
) -> Matter | Decision:
    principal = await standing(case)
    if isinstance(principal, Decision):
        return principal
    matter = await matter_of(case, principal, approved, broken)
    # What goes on asks what it asked before, and learns nothing new: its last chunk may have been counted, and not arrived.
    return matter if isinstance(matter, Decision) or asked.resume else await with_room(matter)


def _check_filter(matter: Matter, wanted: Predicate, asked: ExportAsk) -> None:
    for name in sorted(fields_of(wanted)):
        if name not in asked.fields or not could_reveal(matter.plan, name):
            raise RequestError(code="FILTER_NOT_REVEALED", field="filter")


async def _agreed(matter: Matter, asked: ExportAsk, place: Place) -> _Agreed:
    """Decide with what others agreed to, and use that up."""
    case = matter.case
    if place.approved or place.broken:
        resting = replace(matter, asker=_with(matter.asker, place.approved, place.broken))
        return _Agreed(decided(resting), place.approval, place.approved, place.broken)
    decision = decided(matter)
    if decision.effect is not Effect.APPROVAL_REQUIRED:
        return _Agreed(decision)
    # What opens a leased file is decided when it is opened, by what others agreed to.
    emergency = None if asked.lease else Emergency(asked.max_rows, _terms(asked))
    agreement = Agreement(case, matter.plan, None, emergency)
    matter = replace(matter, asker=await agreement.known(matter.asker, ""))
    decision = decided(matter)
    if asked.validate_only:
        return _Agreed(decision)
    while (again := await agreement.take(decision, matter.asker)) is not None:
        matter = replace(matter, asker=again)
        decision = decided(matter)
    if decision.effect is Effect.ALLOW and agreement.used:
        # To use it up may have needed a while, in which the asker, or who approved, has left.
        now = await _matter(case, asked)
        if isinstance(now, Decision):
            return _Agreed(now, agreement.used, is_of_start=False)
        decision = decided(replace(now, asker=await agreement.known(now.asker, "")))
    uses, breaks = (tuple(need.key for need in needs) for needs in (decision.uses, decision.breaks))
    return _Agreed(decision, agreement.used, uses, breaks)


async def _closed(case: Case, agreed: _Agreed, asked: ExportAsk) -> Refusal:
    """Refuse; what others have to agree to first names the approval that waits for them."""
    if agreed.decision.effect is not Effect.APPROVAL_REQUIRED:
        about = starting(agreed.approval) if agreed.is_of_start else _named(agreed.approval)
        return await refused(case, agreed.decision, about)
    approval = await ask_approval(case, agreed.decision, None, "", asked.max_rows, _terms(asked))
    refusal = await refused(case, agreed.decision, starting(approval.id))
    return replace(refusal, approval=approval.name)


def _named(approval: str) -> Subject:
    return Subject(facts={APPROVAL_ID: approval}) if approval else NOBODY


def _terms(asked: ExportAsk) -> ExportTerms:
    lease = asked.lease
    return ExportTerms(
        asked.filter, asked.format.value, asked.max_rows, lease.seconds if lease else 0, lease.opens if lease else 0
    )  # fmt: skip


def _with(facts: Facts, keys: tuple[str, ...], broken: tuple[str, ...]) -> Facts:
    agreed = {APPROVED: tuple(sorted(keys)), BREAK_GLASS: tuple(sorted(broken))}
    return Facts({**facts.values, **agreed})
