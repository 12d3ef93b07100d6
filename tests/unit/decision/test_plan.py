"""What of a bundle can matter: all that can match, nothing else, and no memory for names that callers invent."""

import pytest
from hypothesis import given, settings

from fujie.decision.plan import Planner
from fujie.model.request import Request
from fujie.model.vocabulary import Action
from fujie.policy.bundle import Bundle
from support.bundles import ROLES, compiled, grant, guard, requests, rule_documents

LOOKUP = Request(Action.LOOKUP, "care", "consent", "crm", "phone", ("phone",))


def names(bundle: Bundle, request: Request, *roles: str) -> tuple[list[str], list[str]]:
    plan = Planner(bundle).plan(request, frozenset(roles))
    return [g.name for g in plan.grants], [g.name for g in plan.guards]


@settings(max_examples=25)
@given(rule_documents(), requests(), ROLES)
def test_a_plan_holds_exactly_what_covers_the_request(
    documents: list[str], request: Request, roles: frozenset[str]
) -> None:
    bundle = compiled(*documents)
    scope = (request.action, request.purpose, request.store, request.key_kind)
    plan = Planner(bundle).plan(request, roles)
    assert plan.grants == tuple(g for g in bundle.grants if g.roles & roles and g.match.covers(*scope))
    assert plan.guards == tuple(g for g in bundle.guards if g.match.covers(*scope))
    assert plan.reachable == any(
        g.roles & roles and request.action in g.match.actions for g in bundle.grants
    )
    rules = plan.all_rules.rules
    assert set(plan.reads) >= frozenset().union(*(rule.reads for rule in rules))
    assert rules[: len(plan.conditions.rules)] == plan.conditions.rules


def test_a_grant_that_names_no_store_opens_every_store_and_one_that_does_only_its_own() -> None:
    bundle = compiled(
        grant("any"), grant("crm", match={"stores": ["crm"]}), grant("erp", match={"stores": ["erp"]})
    )
    assert names(bundle, LOOKUP, "agent")[0] == ["any", "crm"]


def test_a_role_that_no_grant_names_reaches_nothing() -> None:
    plan = Planner(compiled(grant(), guard("g", "true"))).plan(LOOKUP, frozenset({"nobody"}))
    assert (plan.reachable, plan.grants, [g.name for g in plan.guards]) == (False, (), ["g"])


def test_names_that_callers_invent_share_one_plan() -> None:
    planner = Planner(
        compiled(grant(match={"stores": ["crm"]}), guard("g", "true", match={"purposes": ["care"]}))
    )
    plans = {
        id(
            planner.plan(
                Request(action, f"p{i}", "consent", f"s{i}", f"k{i}", (f"f{i}",)),
                frozenset({f"r{i}", "agent"}),
            )
        )
        for i in range(1_000)
        for action in (Action.LOOKUP,)
    }
    assert len(plans) == 1


def test_an_unknown_purpose_is_guarded_by_what_guards_every_purpose_only() -> None:
    bundle = compiled(grant(), guard("all", "true"), guard("care", "true", match={"purposes": ["care"]}))
    unknown = Request(Action.LOOKUP, "gossip", "consent", "crm", "phone", ("phone",))
    assert names(bundle, unknown, "agent") == ([], ["all"])


def test_the_store_is_asked_only_for_the_attributes_that_a_rule_in_scope_reads() -> None:
    bundle = compiled(
        grant(condition="customer.owner == principal.department"),
        guard("here", "!customer.minor", match={"stores": ["crm"]}),
        guard("elsewhere", "customer.points > 1", match={"stores": ["erp"]}),
    )
    plan = Planner(bundle).plan(LOOKUP, frozenset({"agent"}))
    assert plan.customer_attributes == {"owner", "minor"}
    assert plan.needs_customer


@pytest.mark.parametrize("condition", ["consent.explicit", "true || customer.minor"])
def test_a_condition_that_reads_the_customer_needs_the_customer(condition: str) -> None:
    assert Planner(compiled(grant(condition=condition))).plan(LOOKUP, frozenset({"agent"})).needs_customer


def test_a_guard_that_reads_the_customer_does_not_need_it_for_matching_grants() -> None:
    bundle = compiled(grant(condition="request.has_ticket"), guard("g", "!customer.minor"))
    assert not Planner(bundle).plan(LOOKUP, frozenset({"agent"})).needs_customer


def test_rules_of_more_than_one_program_are_all_planned_in_order() -> None:
    """The engine takes 100,000 code points in one go."""
    texts = [f"time.hour >= {i % 24} || request.store == '{'x' * 3_000}'" for i in range(60)]
    plan = Planner(compiled(grant(), *(guard(f"g{i:02}", text) for i, text in enumerate(texts)))).plan(
        LOOKUP, frozenset({"agent"})
    )
    assert len(plan.all_rules.programs) > 1
    assert [rule.text for rule in plan.all_rules.rules] == texts
