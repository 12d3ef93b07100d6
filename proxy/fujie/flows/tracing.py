"""Which exports held a customer, and who opened them: for who answers for the data, not for who uses it."""

from dataclasses import dataclass

from fujie.audit.entry import EntryKind
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.identify import identity_of
from fujie.flows.pages import Query, opened, sealed, shown
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import Refusal, TracesReply
from fujie.model.customer import CustomerRef
from fujie.model.page import FIRST_PAGE, Slice
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect


@dataclass(frozen=True, slots=True, repr=False)
class TraceQuery:
    """Who is looked for, and which part of the answer."""

    customer: CustomerRef
    part: Slice = FIRST_PAGE


async def trace_customer(
    gate: Gate, caller: Credential, context: RequestContext, asked: TraceQuery
) -> TracesReply | Refusal:
    """Return one page of the exports that held a customer, under every alias, the last one first. Who is unknown was in none."""
    case = open_case(gate, caller, context, Request(Action.AUDIT_READ))

    async def steps(case: Case) -> TracesReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        identity = await identity_of(gate, asked.customer, case.now)
        sids = identity.sids if identity else ()
        query = Query("TraceCustomer", (sids[0] if sids else "",))
        page = await gate.exports.traces(sids, opened(query, asked.part))
        summary = await record(case, EntryKind.DECISION, decision, Subject(sids, facts=shown(page)))
        case.watch.stop()
        return TracesReply(summary, sealed(query, page))

    return await guarded(case, steps)
