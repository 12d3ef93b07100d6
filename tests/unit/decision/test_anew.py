"""Deciding once more under another bundle: what is known is used, what nobody looked for is named."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings

from fujie.decision.anew import Seen, decide_again, decide_anew, lacking
from fujie.decision.decide import decide
from fujie.decision.plan import Planner
from fujie.model.facts import EXHAUSTED, Facts, FactValue, Unknown, UnknownWhy
from fujie.model.request import Request
from fujie.model.vocabulary import Action, Effect, State
from fujie.policy.bundle import Bundle
from support.bundles import ROLES, compiled, facts, grant, guard, requests, rule_documents

AGENT = ("agent",)
ASKED = Request(Action.LOOKUP, "care", "consent", "crm", "phone", ("phone",))
KNOWN: Mapping[str, FactValue] = {
    "principal.roles": AGENT,
    "principal.employment": State.ACTIVE,
    "principal.department": "east",
    "consent.state": State.GIVEN,
    "customer.owner": "east",
    "customer.points": 5,
    "request.has_ticket": False,
    EXHAUSTED: (),
}


def seen(bundle: Bundle, request: Request = ASKED, **changed: FactValue) -> Seen:
    plan = Planner(bundle).plan(request, AGENT)
    values = {**KNOWN, **{path.replace("_", ".", 1): value for path, value in changed.items()}}
    # What a record holds: the facts that were read, no others.
    return Seen(plan, request, Facts({path: values[path] for path in plan.reads if path in values}))


def anew(before: Seen, *documents: str) -> tuple[Effect | None, set[str]]:
    found = decide_anew(Planner(compiled(*documents)).plan(before.request, AGENT), before)
    return (found.decision.effect if found.decision else None), set(found.lacks)


def test_what_was_read_is_used_and_what_was_not_is_named() -> None:
    before = seen(compiled(grant(), guard("own", "customer.owner == principal.department")))
    assert anew(before, grant(), guard("west", "customer.owner == 'west'")) == (Effect.DENY, set())
    lacks = {"consent.state", "customer.points"}
    assert anew(before, grant(), guard("g", "consent.state == GIVEN && customer.points > 3")) == (
        None,
        lacks,
    )


def test_what_was_looked_for_in_vain_decides_like_it_did() -> None:
    missing = Unknown(UnknownWhy.NULL)
    before = seen(compiled(grant(), guard("own", "customer.owner == 'east'")), customer_owner=missing)
    assert decide_again(before).decision is not None
    assert anew(before, grant(), guard("other", "customer.owner != 'west'")) == (Effect.DENY, set())


def test_a_fact_of_another_type_is_another_fact() -> None:
    before = seen(compiled(grant(), guard("own", "customer.points > 3")))
    plan = Planner(compiled(grant(), guard("own", "customer.points > 4"))).plan(ASKED, AGENT)
    types = {**plan.bundle.facts, "customer.points": plan.bundle.facts["customer.owner"]}
    retyped = replace(plan, bundle=replace(plan.bundle, facts=types))
    assert lacking(plan, before) == frozenset()
    assert lacking(retyped, before) == {"customer.points"}


def test_a_guard_that_is_certainly_out_reads_nothing() -> None:
    before = seen(compiled(grant(), guard("own", "request.has_ticket || true")))
    out = guard("out", "customer.points > 3", conditions=["request.has_ticket"])
    kept = guard("in", "customer.points > 3", conditions=["!request.has_ticket"])
    assert anew(before, grant(), out) == (Effect.ALLOW, set())
    assert anew(before, grant(), kept) == (None, {"customer.points"})


def test_a_request_that_ended_before_its_customer_goes_no_further() -> None:
    before = seen(compiled(grant(roles=("lead",))))
    assert decide_again(before).is_closed
    before = replace(before, is_closed=True)
    assert anew(before, grant()) == (None, {"customer"})
    assert anew(before, grant(), guard("g", "consent.state == GIVEN")) == (None, {"consent.state"})
    assert anew(before, grant(roles=("marketer",))) == (Effect.DENY, set())


def test_who_was_not_there_is_not_found_but_after_any_other_reason() -> None:
    before = replace(seen(compiled(grant(), guard("own", "consent.state == GIVEN"))), rows=0)
    plan = Planner(compiled(grant())).plan(ASKED, AGENT)
    found = decide_anew(plan, before).decision
    assert found is not None
    assert found.primary == "CUSTOMER_NOT_FOUND"
    refusing = Planner(compiled(grant(), guard("g", "consent.state == REFUSED"))).plan(ASKED, AGENT)
    found = decide_anew(refusing, before).decision
    assert found is not None
    assert found.primary == "GUARD_REFUSED"


@pytest.mark.parametrize(
    ("used_up", "limits", "expected"),
    [
        ((), {"rows_per_hour": 9}, Effect.ALLOW),
        ((), {"rows_per_hour": 20}, Effect.ALLOW),  # there was room below a lower limit
        ((), {"rows_per_hour": 5}, None),
        ((), {"rows_per_hour": 9, "lookups_per_minute": 3}, None),  # a counter that nobody kept
        ((), {}, Effect.ALLOW),
        (("grant:grant",), {"rows_per_hour": 9}, Effect.DENY),
        (("grant:grant",), {"rows_per_hour": 20}, None),
        (("grant:grant",), {}, Effect.ALLOW),
    ],
)
def test_limits_are_decided_as_far_as_the_counters_tell(
    used_up: tuple[str, ...], limits: dict[str, int], expected: Effect | None
) -> None:
    before = seen(compiled(grant(limits={"rows_per_hour": 9})), limits_exhausted=used_up)
    found, lacks = anew(before, grant(limits=limits))
    assert found is expected
    assert lacks == ({EXHAUSTED} if expected is None else set())


FEW = settings(max_examples=20)


@FEW
@given(rule_documents(), requests(), ROLES, facts())
def test_deciding_again_is_deciding(
    documents: list[str], request: Request, roles: frozenset[str], known: Facts
) -> None:
    plan = Planner(compiled(*documents)).plan(request, roles)
    found = decide_again(Seen(plan, request, known))
    decision = decide(plan, request, known)
    assert found.decision is not None
    if found.is_closed:  # the first check says less of what it read, and nothing else
        assert (found.decision.effect, found.decision.primary) == (decision.effect, decision.primary)
    else:
        assert found.decision == decision


@FEW
@given(rule_documents(), rule_documents(), requests(), ROLES, facts())
def test_what_is_decided_anew_never_differs_from_a_decision_on_all_facts(
    documents: list[str], others: list[str], request: Request, roles: frozenset[str], known: Facts
) -> None:
    """A record holds a part of the facts: what it decides with them, all of them would decide too."""
    before = Planner(compiled(*documents)).plan(request, roles)
    after = Planner(compiled(*others)).plan(request, roles)
    values = {path: known.get(path) for path in before.reads}
    if EXHAUSTED in values and before.limits != after.limits:
        return  # names in it would mean other counters: the cases above
    recorded = Seen(before, request, Facts(values))
    again = decide_again(recorded)
    found = decide_anew(after, replace(recorded, is_closed=again.is_closed))
    if found.decision is not None and not found.is_closed:
        whole = decide(after, request, known)
        assert (found.decision.effect, found.decision.reasons) == (whole.effect, whole.reasons)
        assert found.decision.fields == whole.fields
