"""Who is employed, and in which roles: write, read, offboard."""

from fujie.audit.entry import EntryKind
from fujie.flows.acts import is_reserved
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.pages import Query, opened, sealed, shown
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import PrincipalReply, PrincipalsReply, Refusal
from fujie.flows.settlement import until_settled
from fujie.model.errors import RequestError
from fujie.model.facts import FactType, Kind
from fujie.model.page import Slice
from fujie.model.principal import AttributeValue, Credential, Principal, PrincipalFilter
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect, State

_PYTHON = {Kind.BOOL: bool, Kind.INT: int, Kind.STRING: str, Kind.STRINGS: tuple}


async def upsert_principal(
    gate: Gate, caller: Credential, context: RequestContext, principal: Principal
) -> PrincipalReply | Refusal:
    """Write the whole record of a principal. Nobody writes his own, with whatever roles (promise 11).

    Who was offboarded stays so (OFFBOARDED_STAYS): a returner gets a new id, since an old token or an old
    grant by id must not come back to life with the person.
    """
    case = open_case(gate, caller, context, Request(Action.PRINCIPAL_WRITE))

    async def steps(case: Case) -> PrincipalReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        if principal.id == case.asker:
            raise RequestError(code="SELF_PROMOTION", field="principal.id")
        if is_reserved(principal.id):
            raise RequestError("customer: and provider: are for acts of customers", field="principal.id")
        for name, value in principal.attributes.items():
            _check_attribute(case.decider.bundle.principal_attributes.get(name), value)
        subject = Subject(
            facts={
                "target.principal": principal.id,
                "target.roles": tuple(sorted(principal.roles)),
                "target.employment": principal.employment.value,
            }
        )
        summary = await record(case, EntryKind.ADMISSION, decision, subject)
        written = await gate.directory.upsert(principal, case.now)
        if written.employment is not State.ACTIVE:
            await until_settled(gate, requester=principal.id)
        await record(case, EntryKind.OUTCOME, decision, subject)
        case.watch.stop()
        return PrincipalReply(summary, written)

    return await guarded(case, steps)


async def offboard_principal(
    gate: Gate, caller: Credential, context: RequestContext, principal_id: str
) -> PrincipalReply | Refusal:
    """End the employment of a principal and drop its roles; it holds for the very next call (promise 7)."""
    case = open_case(gate, caller, context, Request(Action.PRINCIPAL_OFFBOARD))

    async def steps(case: Case) -> PrincipalReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        if (
            await gate.directory.get(principal_id) is None
        ):  # before the entry: an unknown id may be anything
            raise RequestError(code="PRINCIPAL_NOT_FOUND", field="id")
        subject = Subject(facts={"target.principal": principal_id})
        summary = await record(case, EntryKind.ADMISSION, decision, subject)
        principal = await gate.directory.offboard(principal_id, case.now)
        if principal is None:
            raise RequestError(code="PRINCIPAL_NOT_FOUND", field="id")
        await until_settled(gate, requester=principal_id)
        await record(case, EntryKind.OUTCOME, decision, subject)
        case.watch.stop()
        return PrincipalReply(summary, principal)

    return await guarded(case, steps)


async def list_principals(
    gate: Gate, caller: Credential, context: RequestContext, asked: PrincipalFilter, part: Slice
) -> PrincipalsReply | Refusal:
    """Return one page of principals. Its entry says how many there were, not who: the directory tells that."""
    case = open_case(gate, caller, context, Request(Action.PRINCIPAL_READ))

    async def steps(case: Case) -> PrincipalsReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        query = Query(
            "ListPrincipals", (asked.role, asked.department, asked.employment or "", asked.kind or "")
        )
        page = await gate.directory.page(asked, opened(query, part))
        summary = await record(case, EntryKind.DECISION, decision, Subject(facts=shown(page)))
        case.watch.stop()
        return PrincipalsReply(summary, sealed(query, page))

    return await guarded(case, steps)


async def get_principal(
    gate: Gate, caller: Credential, context: RequestContext, principal_id: str
) -> PrincipalReply | Refusal:
    """Return a principal as the directory holds it now."""
    case = open_case(gate, caller, context, Request(Action.PRINCIPAL_READ))

    async def steps(case: Case) -> PrincipalReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        principal = await gate.directory.get(principal_id)
        if principal is None:
            raise RequestError(code="PRINCIPAL_NOT_FOUND", field="id")
        summary = await record(
            case, EntryKind.DECISION, decision, Subject(facts={"target.principal": principal_id})
        )
        case.watch.stop()
        return PrincipalReply(summary, principal)

    return await guarded(case, steps)


def _check_attribute(declared: FactType | None, value: AttributeValue) -> None:
    """Refuse an attribute that the catalogue does not declare, or of another type: it would read as Unknown."""
    if declared is None or type(value) is not _PYTHON[declared.kind]:
        raise RequestError("an attribute is not declared, or of another type", field="principal.attributes")
