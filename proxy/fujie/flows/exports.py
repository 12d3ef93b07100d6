"""What became of exports: read, list, revoke.

Who may decide on approvals sees all; the requester sees and revokes his own, by any grant to export. For everybody else
there is none.
"""

from fujie.audit.entry import EntryKind
from fujie.decision.decide import precheck
from fujie.decision.facts import Raw, derive
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.pages import Query, opened, sealed, shown
from fujie.flows.refuse import guarded, permitted, refused, standing
from fujie.flows.reply import ExportReply, ExportsReply, Refusal
from fujie.model.decision import Decision
from fujie.model.errors import RequestError
from fujie.model.export import Closing, Export, ExportFilter
from fujie.model.page import Slice
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect

EXPORT_ID = "export.id"
"""The fact of an entry that names an export."""

REVOKED = "EXPORT_REVOKED"


async def get_export(
    gate: Gate, caller: Credential, context: RequestContext, export_id: str
) -> ExportReply | Refusal:
    """Return one export as it stands."""
    case = open_case(gate, caller, context, Request(Action.APPROVAL_READ))

    async def steps(case: Case) -> ExportReply | Refusal:
        known = await gate.exports.export(export_id)
        case, decision = await _seen(case, known.requester if known else "")
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        if known is None:
            raise RequestError(code="EXPORT_NOT_FOUND", field="name")
        summary = await record(case, EntryKind.DECISION, decision, _about(known))
        case.watch.stop()
        return ExportReply(summary, known)

    return await guarded(case, steps)


async def list_exports(
    gate: Gate, caller: Credential, context: RequestContext, asked: ExportFilter, part: Slice
) -> ExportsReply | Refusal:
    """Return one page of exports, the last one first: of all, or of the asker where that is who is asked for."""
    case = open_case(gate, caller, context, Request(Action.APPROVAL_READ))

    async def steps(case: Case) -> ExportsReply | Refusal:
        case, decision = await _seen(case, asked.requester)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        query = Query("ListExports", (asked.requester, asked.store, asked.state or ""))
        page = await gate.exports.export_page(asked, opened(query, part))
        summary = await record(case, EntryKind.DECISION, decision, Subject(facts=shown(page)))
        case.watch.stop()
        return ExportsReply(summary, sealed(query, page))

    return await guarded(case, steps)


async def revoke_export(
    gate: Gate, caller: Credential, context: RequestContext, export_id: str
) -> ExportReply | Refusal:
    """Stop an export and destroy its keys, with an admission before and an outcome after it. A repeat changes nothing."""
    case = open_case(gate, caller, context, Request(Action.APPROVAL_DECIDE))

    async def steps(case: Case) -> ExportReply | Refusal:
        known = await gate.exports.export(export_id)
        case, decision = await _seen(case, known.requester if known else "")
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        if known is None:
            raise RequestError(code="EXPORT_NOT_FOUND", field="name")
        about = _about(known, "revoke")
        summary = await record(case, EntryKind.ADMISSION, decision, about)
        closed = await gate.exports.close_export(
            export_id, Closing(at=gate.clock.now(), by=case.asker, why=REVOKED)
        )
        await record(case, EntryKind.OUTCOME, decision, about)
        case.watch.stop()
        return ExportReply(summary, closed)

    return await guarded(case, steps)


async def _seen(case: Case, requester: str) -> tuple[Case, Decision]:
    """Decide on the action of `case`; where it is refused, the requester himself goes on by any grant to export."""
    decision = await permitted(case)
    if decision.effect is Effect.ALLOW or not requester:
        return case, decision
    own = open_case(case.gate, case.caller, case.context, Request(Action.EXPORT))
    principal = await standing(own)
    if isinstance(principal, Decision) or own.asker != requester:
        return case, decision
    plan = case.decider.plan(own.request, principal.roles)
    facts = derive(case.decider.bundle, own.request, Raw(principal), own.now, own.gate.zone)
    closed = precheck(plan, own.request, facts)
    if closed is not None and (closed.primary == "NO_GRANT" or closed.primary.startswith("PRINCIPAL_")):
        return case, decision
    return own, Decision(Effect.ALLOW, case.decider.bundle.digest)


def _about(export: Export, act: str = "") -> Subject:
    facts = {EXPORT_ID: export.id, "target.principal": export.requester}
    return Subject(facts=facts | ({"export.act": act} if act else {}))
