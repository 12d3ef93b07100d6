"""Open a leased file: a decision anew, one of its openings, the keys of its chunks.

1. Who asks, and whether the export is there for him: whoever could not export this is told what he is told of none.
2. Decided as an export by him, now, of as many rows as the file has: every field at a step at least as open as in the
   file. A grant with a condition on the customer counts only for who holds all by which the rows may have left, with the
   same meaning (`decision/entitlement.py`). What others agreed to counts on for the requester, whose export used it up; anybody else needs an approval of
   his own. Its rows are taken from `rows_per_hour` as those of an export, and given back where no key leaves after all; its
   customers were counted when they left.
3. The admission entry, durable; the asker once more.
4. Whose requester has left is closed, also while its keys are still being destroyed. Else one opening is taken in the
   ledger: of two who take the last one, one gets it.
5. The release entry, durable; then the keys leave, some at a time, while the asker stands. A destroyed one is told as gone.
6. The outcome entry, however it ended: how many keys left.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace

from fujie.audit.entry import EntryKind
from fujie.audit.errors import AuditError
from fujie.decision.admission import NOT_YET, admission
from fujie.decision.decide import precheck, refuse
from fujie.decision.entitlement import entitlement, whoever_they_are
from fujie.decision.facts import Raw, derive
from fujie.flows.agreement import Agreement, ask_approval
from fujie.flows.evidence import APPROVAL_ID, Subject, record
from fujie.flows.exports import EXPORT_ID
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.leasing import chunk_key
from fujie.flows.refuse import gone, guarded, refused, standing
from fujie.flows.reply import KeysReply, Refusal, Summary
from fujie.flows.reserve import Meter
from fujie.model.approval import ApprovalState
from fujie.model.customer import StoreKey
from fujie.model.decision import Decision
from fujie.model.errors import LedgerError, RequestError
from fujie.model.export import Export, Opening
from fujie.model.facts import APPROVED, USAGE, Facts, Known
from fujie.model.principal import Credential, Principal
from fujie.model.request import Request, RequestContext
from fujie.model.step import parse_step
from fujie.model.vocabulary import Action, Effect, KeyKind, State

MOST_KEYS = 500
"""Keys of one message: some 25 kB, and 5 ms to unwrap."""

_OMIT = "omit"


@dataclass(frozen=True, slots=True, repr=False)
class _Opened:
    """An export with the keys of its chunks, still wrapped (None: destroyed), and the case that opened it."""

    case: Case
    decision: Decision
    summary: Summary
    export: Export
    wrapped: tuple[tuple[int, bytes | None], ...]


async def open_export(
    gate: Gate, caller: Credential, context: RequestContext, export_id: str
) -> AsyncIterator[KeysReply | Refusal]:
    """Yield the export with the first keys, then the others.

    Raises:
        AuditError: evidence could not be written; no key left before its evidence.

    """
    case = open_case(gate, caller, context, Request(Action.EXPORT))
    found: list[_Opened] = []

    async def steps(case: Case) -> KeysReply | Refusal:
        opened = await _opened(case, export_id)
        if isinstance(opened, Refusal):
            return opened
        found.append(opened)
        return _reply(opened, 0)

    first = await guarded(case, steps)
    if not found:
        yield first
        return
    left = 0
    try:
        async for reply in _keys(found[0], first):
            left += len(reply.keys) if isinstance(reply, KeysReply) else 0
            yield reply
    except BaseException:  # also a reader who went away
        with suppress(AuditError):
            await asyncio.shield(_ended(found[0], left))
        raise
    await asyncio.shield(_ended(found[0], left))


async def _keys(opened: _Opened, first: KeysReply | Refusal) -> AsyncIterator[KeysReply | Refusal]:
    yield first
    for start in range(MOST_KEYS, len(opened.wrapped), MOST_KEYS):
        if (closed := await gone(opened.case)) is not None:
            yield await refused(opened.case, closed, Subject(facts=_facts(opened.export)))
            return
        yield _reply(opened, start)


async def _ended(opened: _Opened, left: int) -> None:
    await _told_left(opened.case, opened.export, opened.decision, left)
    opened.case.watch.stop()


async def _told_left(case: Case, export: Export, decision: Decision, left: int) -> None:
    facts: dict[str, Known] = {**_facts(export), "export.keys": left}
    await record(case, EntryKind.OUTCOME, _told(decision), Subject(facts=facts))  # 6


def _reply(opened: _Opened, start: int) -> KeysReply:
    keys = [
        (number, wrapped and chunk_key(opened.case.gate, opened.export.id, number, wrapped))
        for number, wrapped in opened.wrapped[start : start + MOST_KEYS]
    ]
    return KeysReply(opened.summary, opened.export if start == 0 else None, tuple(keys))


async def _opened(case: Case, export_id: str) -> _Opened | Refusal:
    principal = await standing(case)
    if isinstance(principal, Decision):
        return await refused(case, principal)
    export = await case.gate.exports.export(export_id)
    if export is None or export.lease is None:
        return await _unseen(case, principal)  # 1
    case = replace(case, request=_request(case, export))
    async with AsyncExitStack() as unopened:
        decision, approval = await _decided(case, principal, export, unopened)  # 2
        if decision.primary == "NO_GRANT" and export.requester != case.asker:
            return await _unseen(case, principal)
        subject = Subject(facts=_facts(export) | ({APPROVAL_ID: approval} if approval else {}))
        if decision.effect is not Effect.ALLOW:
            name = f"approvals/{approval}" if approval else ""
            return replace(await refused(case, _told(decision), subject), approval=name)
        opened = await _taken(case, export, decision, subject)
        if isinstance(opened, _Opened):
            unopened.pop_all()
        return opened


async def _taken(case: Case, export: Export, decision: Decision, subject: Subject) -> _Opened | Refusal:
    """Take one opening, with its evidence.

    Raises:
        RequestError: it was taken by others meanwhile, or the export closed.

    """
    try:
        summary = await record(case, EntryKind.ADMISSION, _told(decision), subject)  # 3
        if (closed := await gone(case)) is not None:
            return await refused(case, closed, subject)
        after, wrapped = await _wrapped(case, export)
        lost = sum(key is None for key in wrapped.values())
        told: dict[str, Known] = {**_facts(export), "export.chunks": len(wrapped), "export.lost": lost}
        await record(case, EntryKind.RELEASE, _told(decision), Subject(facts=told))  # 5
    except asyncio.CancelledError:  # any other error is told as a refusal, which ends it in the log too
        with suppress(AuditError):
            await asyncio.shield(_told_left(case, export, decision, 0))
        raise
    return _Opened(case, _told(decision), summary, after, tuple(wrapped.items()))


async def _wrapped(case: Case, export: Export) -> tuple[Export, Mapping[int, bytes | None]]:
    """Take one opening; return the export and the keys of its chunks."""
    gate = case.gate
    requester = await gate.directory.get(export.requester)  # 4
    if requester is None or requester.employment is State.OFFBOARDED:
        raise RequestError(code="EXPORT_CLOSED", field="name")
    wrapped = await gate.exports.open_lease(export.id, Opening(case.asker, gate.clock.now()))
    after = await gate.exports.export(export.id)
    if (
        after is None or after.rows != export.rows
    ):  # it was on its way: what was decided was of fewer customers
        raise RequestError("more rows came meanwhile; open it anew", field="name")
    return after, wrapped


async def _given_back(meter: Meter) -> None:
    with suppress(LedgerError):  # they stay taken; what is told is why nothing was opened
        await meter.give_back()


async def _decided(
    case: Case, principal: Principal, export: Export, unopened: AsyncExitStack
) -> tuple[Decision, str]:
    """Decide on the whole file; return the id of the approval that was used up, or that is missing, beside it. `unopened` gives
    back the rows that were taken."""
    gate, request = case.gate, case.request
    plan = case.decider.plan(request, principal.roles)
    derived = derive(plan.bundle, request, Raw(principal), case.now, gate.zone)
    if not (export.grants and export.grants <= entitlement(plan, derived)):
        plan = whoever_they_are(plan)
    plan = admission(plan, request, principal.roles)
    facts = Facts({**derived.values, **NOT_YET, APPROVED: await _agreed(case, export)})
    meter = Meter(case, plan, principal.id, StoreKey(export.store, ""))
    unopened.push_async_callback(_given_back, meter)
    if case.asker == export.requester:  # whether that stood out was decided when the rows left
        facts = Facts({**facts.values, **dict.fromkeys(USAGE, State.WITHIN)})
    else:
        facts = await meter.habits(facts)
    decision = _wide_enough(case, case.decider.decide(plan, request, facts), export)
    agreement = Agreement(case, plan, None) if decision.effect is Effect.APPROVAL_REQUIRED else None
    again: Facts | None = await agreement.known(facts, export.id) if agreement else facts
    while again is not None:
        facts, decision = again, _wide_enough(case, case.decider.decide(plan, request, again), export)
        if decision.effect is Effect.ALLOW:
            export.lease_at(case.now)  # what can not be opened anyway takes nothing
        again = await meter.take_file(decision, facts, export.rows)
        if again is None and agreement is not None:
            again = await agreement.take(decision, facts)
            if again is not None:  # somebody else used it up
                await meter.give_back()
    if agreement is None:
        return decision, ""
    if decision.effect is Effect.APPROVAL_REQUIRED:
        export.lease_at(case.now)  # nobody is asked to agree to what can not be opened anyway
        asked = await ask_approval(case, decision, None, export.id, max(1, export.rows))
        return decision, asked.id
    return decision, agreement.used


async def _agreed(case: Case, export: Export) -> tuple[str, ...]:
    """Return what others agreed to when it was exported, which goes on counting for the requester and for nobody else."""
    if not export.approval or case.asker != export.requester:
        return ()
    used = await case.gate.ledger.approval(export.approval)
    if used is None or used.ending is None or used.ending.decision_id != export.id:
        return ()
    return tuple(sorted(used.keys)) if used.ending.state is ApprovalState.USED else ()


def _wide_enough(case: Case, decision: Decision, export: Export) -> Decision:
    """Refuse who would get a field more closed today than the file has it."""
    if decision.effect is not Effect.ALLOW:
        return decision
    fields = case.decider.bundle.fields
    for name in case.request.fields:
        ladder = fields[name].ladder
        try:
            is_open = ladder.rank(decision.fields[name].step) <= ladder.rank(parse_step(export.steps[name]))
        except ValueError:  # a step that the catalogue has no more
            is_open = False
        if not is_open:
            return refuse(decision.bundle, "FIELD_NOT_GRANTED")
    return decision


async def _unseen(case: Case, principal: Principal) -> Refusal:
    """Refuse alike what is not there and what is not for the asker.

    Raises:
        RequestError: EXPORT_NOT_FOUND to who holds any grant to export.

    """
    case = replace(case, request=Request(Action.EXPORT, delegated=case.request.delegated))
    plan = case.decider.plan(case.request, principal.roles)
    facts = derive(case.decider.bundle, case.request, Raw(principal), case.now, case.gate.zone)
    closed = precheck(plan, case.request, facts)
    is_hidden = closed is not None and (
        closed.primary == "NO_GRANT" or closed.primary.startswith("PRINCIPAL_")
    )
    if closed is not None and is_hidden:
        return await refused(case, closed)
    raise RequestError(code="EXPORT_NOT_FOUND", field="name")


def _request(case: Case, export: Export) -> Request:
    context = case.context
    return Request(
        Action.EXPORT,
        export.purpose,
        export.basis,
        export.store,
        KeyKind.CUSTOMER_ID.value,
        tuple(sorted(name for name, step in export.steps.items() if step != _OMIT)),
        strict=True,
        has_basis_evidence=bool(context.basis_evidence),
        has_ticket=bool(context.ticket),
        delegated=bool(context.on_behalf_of),
        rows=max(1, export.rows),
    )


def _facts(export: Export) -> dict[str, Known]:
    return {EXPORT_ID: export.id, "export.rows": export.rows, "target.principal": export.requester}


def _told(decision: Decision) -> Decision:
    """Return a decision as its entry holds it: without the facts, by which a replay would take it for one on a customer."""
    return replace(decision, read={})
