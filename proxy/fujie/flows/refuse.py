"""Refusals: evidence first, then an answer that says no more than the asker may know."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fujie.audit.entry import EntryKind
from fujie.audit.errors import AuditError, LogUnavailable
from fujie.decision.anew import Seen
from fujie.decision.decide import precheck, refuse
from fujie.decision.facts import Raw, derive
from fujie.decision.plan import Plan
from fujie.decision.validity import is_reachable
from fujie.flows.evidence import NOBODY, Subject, record
from fujie.flows.gate import Case, Gate, open_case, principal_of
from fujie.flows.reply import Prompt, Refusal
from fujie.model.decision import Decision
from fujie.model.errors import FujieError, RequestError
from fujie.model.facts import Facts
from fujie.model.principal import Credential, Principal
from fujie.model.reasons import BUILT_IN_REASONS
from fujie.model.request import Request, RequestContext
from fujie.model.vocabulary import Action, Effect, State

_Reply = TypeVar("_Reply")

NEVER_DELEGATED = frozenset({Action.PRINCIPAL_WRITE, Action.PRINCIPAL_OFFBOARD, Action.APPROVAL_DECIDE})
"""What a person must do with a credential of his own: a workload that could assert an administrator
would otherwise be one."""

_NOT_ACTIVE = {State.SUSPENDED: "PRINCIPAL_SUSPENDED", State.OFFBOARDED: "PRINCIPAL_OFFBOARDED"}


async def refused(
    case: Case,
    decision: Decision,
    subject: Subject = NOBODY,
    field: str = "",
    prompt: Prompt | None = None,
) -> Refusal:
    """Write the entry of a refusal, then return what the asker is told."""
    summary = await record(case, EntryKind.DECISION, decision, subject)
    case.watch.stop()
    return Refusal(summary, decision.reasons, field, prompt)


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
    """Return the principal that is judged, or the refusal when the directory does not know one.

    Who asks for somebody else is judged as that person: see `_asserted`.
    """
    if case.context.on_behalf_of:
        found = await _asserted(case)
    else:
        found = await principal_of(case.gate, case.caller.subject) or "PRINCIPAL_UNKNOWN"
    case.watch.lap("directory")
    return refuse(case.decider.bundle.digest, found) if isinstance(found, str) else found


async def gone(case: Case) -> Decision | None:
    """Return the refusal of an asker who is not there, or not ACTIVE, any more; None for who still is. For streams, which
    look again and again (promise 7)."""
    principal = await standing(case)
    if isinstance(principal, Decision):
        return principal
    if principal.employment is not State.ACTIVE:
        return refuse(
            case.decider.bundle.digest, _NOT_ACTIVE.get(principal.employment, "PRINCIPAL_UNKNOWN")
        )
    return None


async def left(gate: Gate, caller: Credential, context: RequestContext, action: Action) -> Refusal | None:
    """Return what an asker is told who may have nothing more of a stream, like `gone`; None who still may."""
    case = open_case(gate, caller, context, Request(action))
    found = await gone(case)
    return None if found is None else await refused(case, found)


async def _asserted(case: Case) -> Principal | str:
    """Return the principal for whom the caller asks, or the code of the refusal.

    1. Only a workload that is configured to, with no token beside its certificate: a stolen token
       must not become anybody else's through a trusted channel.
    2. Never to decide who may do what (promise 11), and never for a workload: its certificate alone
       proves it.
    3. A workload that the directory knows must be ACTIVE itself.
    4. The person comes from the directory alone, so that nobody becomes a bootstrap administrator.
    """
    directory = case.gate.directory
    whom = case.context.on_behalf_of
    if not _is_trusted(case):  # 1
        return "DELEGATION_REFUSED"
    if case.request.action in NEVER_DELEGATED or whom.lower().startswith("spiffe:"):  # 2
        return "DELEGATION_REFUSED"
    workload = await directory.get(case.caller.workload)
    if workload is not None and workload.employment is not State.ACTIVE:  # 3
        return _NOT_ACTIVE.get(workload.employment, "PRINCIPAL_UNKNOWN")
    person = await directory.get(whom)  # 4
    if person is None:
        return "PRINCIPAL_UNKNOWN"
    case.asserted.principal_id = person.id
    return person


def _is_trusted(case: Case) -> bool:
    return case.caller.is_workload and case.caller.workload in case.gate.may_assert


async def permitted(case: Case) -> Decision:
    """Decide an action that is not on a customer: roles, grants and guards alone."""
    principal = await standing(case)
    return principal if isinstance(principal, Decision) else permitted_to(case, principal)


def permitted_to(case: Case, principal: Principal) -> Decision:
    """Decide like `permitted`, for who stands there already."""
    plan, facts = _read(case, principal, case.request)
    decision = case.decider.decide(plan, case.request, facts)
    if case.gate.shadow is not None:
        case.gate.shadow.ask(Seen(plan, case.request, facts), decision, case.now, case.decision_id)
    case.watch.lap("decide")
    return decision


def could(case: Case, principal: Principal, request: Request) -> bool:
    """Tell whether a request that nobody made, on no customer, would be allowed: without an entry, and without a shadow."""
    plan, facts = _read(case, principal, request)
    return case.decider.decide(plan, request, facts).effect is Effect.ALLOW


def _read(case: Case, principal: Principal, request: Request) -> tuple[Plan, Facts]:
    plan = case.decider.plan(request, principal.roles)
    return plan, derive(case.decider.bundle, request, Raw(principal), case.now, case.gate.zone)


async def refuse_input(gate: Gate, caller: Credential, action: Action, error: RequestError) -> Refusal:
    """Refuse a malformed request of an authenticated caller, with an entry.

    Who holds no grant for the action at all is told NO_GRANT, like for a well-formed request. A trusted
    workload needs none of its own: for whom it asked was not read, and it is told what is wrong.
    """
    case = open_case(gate, caller, RequestContext(), Request(action))

    async def steps(case: Case) -> Refusal:
        principal = await standing(case)
        if isinstance(principal, Decision):
            if not (_is_trusted(case) and principal.primary == "PRINCIPAL_UNKNOWN"):
                return await refused(case, principal)
        else:
            plan, facts = _read(case, principal, case.request)
            closed = precheck(plan, case.request, facts)
            is_hidden = not is_reachable(plan, facts) and not _is_trusted(case)
            if closed is not None and (is_hidden or closed.primary.startswith("PRINCIPAL_")):
                return await refused(case, closed)
        return await refused(case, refuse(case.decider.bundle.digest, error.code), field=error.field)

    return await guarded(case, steps)
