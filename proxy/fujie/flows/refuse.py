"""Refusals: evidence first, then an answer that says no more than the asker may know."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fujie.audit.entry import EntryKind
from fujie.audit.errors import AuditError, LogUnavailable
from fujie.decision.decide import precheck, refuse
from fujie.decision.facts import Raw, derive
from fujie.flows.evidence import NOBODY, Subject, record
from fujie.flows.gate import Case, Gate, open_case, principal_of
from fujie.flows.reply import Refusal
from fujie.model.decision import Decision
from fujie.model.errors import FujieError, RequestError
from fujie.model.principal import Credential, Principal
from fujie.model.reason import BUILT_IN_REASONS
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect

_Reply = TypeVar("_Reply")


async def refused(case: Case, decision: Decision, subject: Subject = NOBODY, field: str = "") -> Refusal:
    """Write the entry of a refusal, then return what the asker is told."""
    summary = await record(case, EntryKind.DECISION, decision, subject)
    case.watch.stop()
    return Refusal(summary, decision.reasons, field)


async def guarded(case: Case, steps: Callable[[Case], Awaitable[_Reply | Refusal]]) -> _Reply | Refusal:
    """Run the steps of a flow; what stops them becomes a refusal with an entry.

    Raises:
        AuditError: evidence could not be written; the refusal has none either.

    """
    try:
        try:
            return await steps(case)
        except LogUnavailable:
            raise
        # Also for facts that no entry can hold: the entry of the refusal goes without them, and says so.
        except (FujieError, AuditError) as error:
            code = error.code if error.code in BUILT_IN_REASONS else "INTERNAL"
            field = error.field if isinstance(error, RequestError) else ""
            return await refused(case, refuse(case.decider.bundle.digest, code), field=field)
    except AuditError as error:
        case.gate.metrics.decided(case.request.action.value, Effect.DENY.value, error.code)
        raise


async def standing(case: Case) -> Principal | Decision:
    """Return the principal that asks, or the refusal when the directory does not know one.

    Asking on behalf of somebody needs a trusted workload; this version knows none.
    """
    if case.context.on_behalf_of:
        return refuse(case.decider.bundle.digest, "DELEGATION_REFUSED")
    principal = await principal_of(case.gate, case.caller.subject)
    case.watch.lap("directory")
    return principal or refuse(case.decider.bundle.digest, "PRINCIPAL_UNKNOWN")


async def permitted(case: Case) -> Decision:
    """Decide an action that is not on a customer: roles, grants and guards alone."""
    principal = await standing(case)
    if isinstance(principal, Decision):
        return principal
    plan = case.decider.plan(case.request, principal.roles)
    facts = derive(case.decider.bundle, case.request, Raw(principal), case.now, case.gate.zone)
    decision = case.decider.decide(plan, case.request, facts)
    case.watch.lap("decide")
    return decision


async def refuse_input(gate: Gate, caller: Credential, action: Action, error: RequestError) -> Refusal:
    """Refuse a malformed request of an authenticated caller, with an entry.

    Who holds no grant for the action at all is told NO_GRANT, like for a well-formed request.
    """
    case = open_case(gate, caller, RequestContext(), Request(action))

    async def steps(case: Case) -> Refusal:
        principal = await standing(case)
        if isinstance(principal, Decision):
            return await refused(case, principal)
        plan = case.decider.plan(case.request, principal.roles)
        facts = derive(case.decider.bundle, case.request, Raw(principal), case.now, gate.zone)
        closed = precheck(plan, case.request, facts)
        if closed is not None and (not plan.reachable or closed.primary.startswith("PRINCIPAL_")):
            return await refused(case, closed)
        return await refused(case, refuse(plan.bundle.digest, error.code), field=error.field)

    return await guarded(case, steps)
