"""List the consent events of a customer: its own, and the refusals of everybody that count for it."""

from dataclasses import dataclass

from fujie.audit.entry import EntryKind
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.identify import identity_of
from fujie.flows.pages import Query, opened, sealed, shown
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import ConsentEventsReply, Refusal
from fujie.model.customer import CustomerRef
from fujie.model.errors import RequestError
from fujie.model.page import FIRST_PAGE, Slice
from fujie.model.principal import Credential
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect


@dataclass(frozen=True, slots=True, repr=False)
class EventsQuery:
    """Whose events are asked for, for one purpose or, when it is empty, for all."""

    customer: CustomerRef
    purpose: str = ""
    part: Slice = FIRST_PAGE


async def list_consent_events(
    gate: Gate, caller: Credential, context: RequestContext, asked: EventsQuery
) -> ConsentEventsReply | Refusal:
    """Return one page of events in order of arrival. A customer whom the ledger does not know has none.

    A number that several customers share shows what closes for them, and nobody's consent.
    """
    case = open_case(gate, caller, context, Request(Action.CONSENT_READ))

    async def steps(case: Case) -> ConsentEventsReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        if asked.purpose and asked.purpose not in case.decider.bundle.purposes:
            raise RequestError(code="UNKNOWN_PURPOSE", field="purpose")
        identity = await identity_of(gate, asked.customer, case.now)
        sids = identity.sids if identity else ()
        own = identity.sid if identity and not identity.is_shared else ""
        query = Query("ListConsentEvents", (sids[0] if sids else "", asked.purpose))
        page = await gate.ledger.consent_page(sids, own, asked.purpose, opened(query, asked.part))
        summary = await record(case, EntryKind.DECISION, decision, Subject(sids, facts=shown(page)))
        case.watch.stop()
        return ConsentEventsReply(summary, sealed(query, page))

    return await guarded(case, steps)
