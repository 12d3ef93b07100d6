"""Why a look-up came out as it did: for who asks why, and inside a refusal for who asked for that and may explain."""

import asyncio

from fujie.decision.anew import Seen
from fujie.decision.explain import explain
from fujie.decision.suggestions import suggest
from fujie.flows.gate import Case
from fujie.flows.refuse import could
from fujie.model.decision import Decision, Explanation
from fujie.model.principal import Principal
from fujie.model.request import Request
from fujie.model.vocabulary import Action


async def explanation_of(case: Case, seen: Seen, decision: Decision) -> Explanation:
    """Return the trace of every rule in scope, and what would open the refusal. Takes tens of milliseconds."""
    traced = explain(seen.plan, seen.request, seen.facts)
    await asyncio.sleep(0)  # others first: what follows may take as long
    suggestions = suggest(case.decider.plan, seen, decision)
    case.watch.lap("explain")
    return Explanation(decision, traced.rules, suggestions, traced.fields)


def may_explain(case: Case, principal: Principal) -> bool:
    """Tell whether the asker could call Explain: what stands in a refusal is then nothing that he could not get."""
    return could(case, principal, Request(Action.EXPLAIN, delegated=case.request.delegated))
