"""Who is employed, and in which roles: write, read, offboard."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from fujie.audit.entry import EntryKind
from fujie.flows.acts import is_reserved
from fujie.flows.evidence import Subject, record
from fujie.flows.gate import Case, Gate, open_case
from fujie.flows.leaving import By, end_everything, stop_campaigns
from fujie.flows.pages import Query, opened, sealed, shown
from fujie.flows.refuse import guarded, permitted, refused
from fujie.flows.reply import PrincipalReply, PrincipalsReply, Refusal
from fujie.flows.settlement import until_settled
from fujie.model.campaign import CampaignState
from fujie.model.errors import RequestError
from fujie.model.facts import FactType, Kind, Known
from fujie.model.page import Slice
from fujie.model.principal import AttributeValue, Credential, Expected, Principal, PrincipalFilter
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect, State

_PYTHON = {Kind.BOOL: bool, Kind.INT: int, Kind.STRING: str, Kind.STRINGS: tuple}


async def upsert_principal(
    gate: Gate,
    caller: Credential,
    context: RequestContext,
    principal: Principal,
    expected: Expected | None = None,
) -> PrincipalReply | Refusal:
    """Write the whole record of a principal. Nobody writes his own, with whatever roles (promise 11).
    Who changes a record that he has read says what he has read (`expected`), so that nothing comes back that another took.

    A suspension is of who wrote it last. Who changes a record that he has read leaves a suspension that he found to whom it
    belongs; `suspended_by` of what is written is never believed.

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
            raise RequestError(
                "customer:, provider: and fujie: are for acts that nobody signs in for",
                field="principal.id",
            )
        for name, value in principal.attributes.items():
            _check_attribute(case.decider.bundle.principal_attributes.get(name), value)
        facts: dict[str, Known] = {
            "target.principal": principal.id,
            "target.roles": tuple(sorted(principal.roles)),
            "target.department": principal.department,
            "target.employment": principal.employment.value,
            "target.training": principal.training.value,
        }
        summary = await record(case, EntryKind.ADMISSION, decision, Subject(facts=facts))
        owned = replace(principal, suspended_by=_suspended_by(principal, expected, case.asker))
        before = await gate.directory.get(principal.id)
        if before is not None and before.employment is State.SUSPENDED:  # no session outlives that
            await gate.sessions.end(principal.id, gate.clock.now())
        written = await gate.directory.upsert(owned, case.now, expected)
        if written.employment is State.OFFBOARDED:
            written = await gate.directory.offboard(principal.id, case.now) or written
            facts |= await _ended(case, written)
        elif written.employment is State.SUSPENDED:
            await gate.sessions.end(principal.id, gate.clock.now())
            await stop_campaigns(gate, principal.id, CampaignState.PAUSED)
            await until_settled(gate, requester=principal.id)
        await record(case, EntryKind.OUTCOME, decision, Subject(facts=facts))
        case.watch.stop()
        return PrincipalReply(summary, written)

    return await guarded(case, steps)


async def offboard_principal(
    gate: Gate, caller: Credential, context: RequestContext, principal_id: str, at: datetime | None = None
) -> PrincipalReply | Refusal:
    """End the employment of a principal and drop its roles; it holds for the very next call (promise 7).

    Then everything of his ends (`flows/leaving.py`); a repetition goes on where a crash left it. With `at` all of this
    happens then, by the clock of every worker: nothing needs to be alive for it but whoever would have been called.
    """
    case = open_case(gate, caller, context, Request(Action.PRINCIPAL_OFFBOARD))

    async def steps(case: Case) -> PrincipalReply | Refusal:
        decision = await permitted(case)
        if decision.effect is not Effect.ALLOW:
            return await refused(case, decision)
        # Before the entry: an unknown id may be anything.
        if await gate.directory.get(principal_id) is None:
            raise RequestError(code="PRINCIPAL_NOT_FOUND", field="id")
        facts: dict[str, Known] = {"target.principal": principal_id}
        if at is not None:
            facts["offboarding.at"] = at.isoformat()
        summary = await record(case, EntryKind.ADMISSION, decision, Subject(facts=facts))
        principal = await gate.directory.offboard(principal_id, case.now, at)
        if principal is None:
            raise RequestError(code="PRINCIPAL_NOT_FOUND", field="id")
        if principal.employment is State.OFFBOARDED:
            facts |= await _ended(case, principal)
        await record(case, EntryKind.OUTCOME, decision, Subject(facts=facts))
        case.watch.stop()
        return PrincipalReply(summary, principal)

    return await guarded(case, steps)


async def _ended(case: Case, who: Principal) -> Mapping[str, Known]:
    """End everything of somebody who has left. Raises RequestError OPT_OUT_PENDING: all of it holds, one message is in doubt."""
    told = await end_everything(case.gate, who, By(case.asker, case.decision_id))
    await case.gate.directory.left(who.id)
    await until_settled(case.gate, requester=who.id)
    return told


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


def _suspended_by(principal: Principal, expected: Expected | None, asker: str) -> str:
    """Return whose suspension a record holds that `asker` writes."""
    if principal.employment is not State.SUSPENDED:
        return ""
    read = expected.record if expected else None
    return read.suspended_by if read and read.employment is State.SUSPENDED else asker


def _check_attribute(declared: FactType | None, value: AttributeValue) -> None:
    """Refuse an attribute that the catalogue does not declare, or of another type: it would read as Unknown."""
    if declared is None or type(value) is not _PYTHON[declared.kind]:
        raise RequestError("an attribute is not declared, or of another type", field="principal.attributes")
