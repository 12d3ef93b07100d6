"""Why a look-up came out as it did: for who asks why, and inside a refusal for who asked for that and may explain."""

import asyncio

from fujie.decision.anew import Seen
from fujie.decision.explain import explain
from fujie.decision.facts import Raw, derive
from fujie.decision.plan import Plan
from fujie.decision.suggestions import suggest
from fujie.flows.gate import Case
from fujie.model.decision import Decision, Explanation
from fujie.model.principal import Principal
from fujie.model.request import Request
from fujie.model.vocabulary import Action, Effect


async def explanation_of(case: Case, seen: Seen, decision: Decision) -> Explanation:
    """Return the trace of every rule in scope, and what would open the refusal. Takes tens of milliseconds."""
    traced = explain(seen.plan, seen.request, seen.facts)
    await asyncio.sleep(0)  # others first: what follows may take as long
    suggestions = suggest(case.decider.plan, seen, decision)
    case.watch.lap("explain")
    return Explanation(decision, traced.rules, suggestions)


def may_explain(case: Case, principal: Principal) -> bool:
    """Tell whether the asker could call Explain: what stands in a refusal is then nothing that he could not get."""
    request = Request(Action.EXPLAIN, delegated=case.request.delegated)
    plan: Plan = case.decider.plan(request, principal.roles)
    facts = derive(plan.bundle, request, Raw(principal), case.now, case.gate.zone)
    return case.decider.decide(plan, request, facts).effect is Effect.ALLOW
