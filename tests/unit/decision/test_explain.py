"""Why: the trace agrees with the decision, shows no personal value, and never raises."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.decision.decide import decide, outcomes
from fujie.decision.explain import explain
from fujie.decision.plan import Plan, Planner, rule_set, rules_of
from fujie.model.decision import Explanation
from fujie.model.facts import Facts, FactValue, Unknown, UnknownWhy
from fujie.model.request import Request
from fujie.model.vocabulary import Action, Effect, State
from fujie.policy.bundle import Bundle
from support.bundles import (
    FACTS,
    ROLES,
    compiled,
    document,
    facts,
    grant,
    guard,
    requests,
    requirement,
    rule_documents,
)

ASKED = Request(Action.LOOKUP, "care", "consent", "crm", "phone", ("phone",))
AGENT = frozenset({"agent"})
KNOWN: dict[str, FactValue] = {
    "principal.employment": State.ACTIVE, "principal.roles": ("agent",), "principal.department": "east",
    "customer.owner": "east", "customer.minor": False, "customer.tags": (), "time.hour": 10,
    "consent.state": State.GIVEN, "consent.explicit": True,
}  # fmt: skip
FEW = settings(max_examples=20)


def explained(
    bundle: Bundle, request: Request = ASKED, roles: frozenset[str] = AGENT, /, **changed: FactValue
) -> Explanation:
    values = KNOWN | {path.replace("_", ".", 1): value for path, value in changed.items()}
    return explain(Planner(bundle).plan(request, roles), request, Facts(values))


def with_roles(found: Facts, roles: frozenset[str]) -> Facts:
    return Facts({**found.values, "principal.roles": tuple(sorted(roles))})


@FEW
@given(rule_documents(), requests(), ROLES, facts())
def test_the_decision_is_the_real_one(
    documents: list[str], request: Request, roles: frozenset[str], found: Facts
) -> None:
    plan = Planner(compiled(*documents)).plan(request, roles)
    real, shown = decide(plan, request, found), explain(plan, request, found).decision
    assert replace(shown, read=real.read) == real
    assert set(shown.read) == set(real.read)


@FEW
@given(rule_documents(), requests(), ROLES, facts())
def test_the_trace_agrees_with_the_decision(
    documents: list[str], request: Request, roles: frozenset[str], found: Facts
) -> None:
    bundle = compiled(*documents)
    plan = Planner(bundle).plan(request, roles)
    explanation = explain(plan, request, with_roles(found, roles))
    matched = [
        rule.name for rule in explanation.rules if rule.kind == "grant" and rule.outcome == "matched"
    ]
    if explanation.decision.grants:
        assert tuple(matched) == explanation.decision.grants
    elif explanation.decision.primary == "NO_GRANT":
        assert matched == []
    traced = {(rule.name, rule.part): rule.outcome for rule in explanation.rules if rule.kind == "guard"}
    for hit in explanation.decision.reasons:
        if hit.guard:
            parts = [
                (hit.guard, f"validations[{hit.validation}]"),
                (hit.guard, f"matchConditions[{hit.validation}]"),
                (hit.guard, "frequency"),
            ]
            assert any(traced.get(part, "held") not in ("held", "does not apply") for part in parts)
    if explanation.decision.effect is Effect.ALLOW:
        assert not [
            rule for rule in explanation.rules
            if rule.part.startswith("validations") and rule.outcome not in ("held", "does not apply", "approved")
        ]  # fmt: skip


@FEW
@given(rule_documents(), requests(), ROLES, facts())
def test_the_step_of_every_field_is_that_of_what_opened_or_closed_it(
    documents: list[str], request: Request, roles: frozenset[str], found: Facts
) -> None:
    bundle = compiled(*documents)
    explanation = explain(Planner(bundle).plan(request, roles), request, with_roles(found, roles))
    decided = explanation.decision.fields
    assert {each.name: each.outcome for each in explanation.fields} == decided
    for each in explanation.fields:
        assert bool(each.opened_by) or each.outcome.withheld == "FIELD_NOT_GRANTED"
        opened = {grant.fields[each.name] for grant in bundle.grants if grant.name in each.opened_by}
        closing = {
            f"guard {one.name}": one.fields[each.name] for one in bundle.guards if each.name in one.fields
        }
        floor = bundle.fields[each.name]
        closing[f"floor of the class {floor.data_class}"] = floor.floor
        assert {closing[by] for by in each.closed_by} <= {each.outcome.step}
        assert each.closed_by or not opened or opened == {each.outcome.step}


def test_of_an_allow_each_field_says_who_opened_and_who_closed_it() -> None:
    bundle = compiled(
        grant("wide", fields={"phone": "keep(3,4)", "id_card": "reveal"}),
        grant("narrow", fields={"phone": "keep(3,2)"}),
        guard("tighter", fields={"phone": "keep(3,2)"}),
        guard("elsewhere", "false", conditions=["customer.minor"], fields={"phone": "omit"}),
    )
    asked = replace(ASKED, fields=("id_card", "name", "phone"))
    told = {each.name: (each.opened_by, each.closed_by) for each in explained(bundle, asked).fields}
    assert told == {
        "id_card": (("wide",), ("floor of the class resident_id",)),
        "name": ((), ()),
        "phone": (("wide",), ("guard tighter",)),
    }
    assert explained(bundle, asked, principal_employment=State.SUSPENDED).fields == ()


def test_a_guard_that_only_warns_or_records_is_not_told_as_one_that_refused() -> None:
    for mode, said in (("Warn", "warns"), ("Audit", "recorded")):
        bundle = compiled(grant(fields={"phone": "reveal"}), guard("g", "false", mode=mode))
        explanation = explained(bundle)
        assert explanation.decision.effect is Effect.ALLOW
        assert [rule.outcome for rule in explanation.rules if rule.kind == "guard"] == [said]


@FEW
@given(rule_documents(), requests(), ROLES, facts())
def test_the_first_clause_of_a_rule_says_what_the_rule_came_to(
    documents: list[str], request: Request, roles: frozenset[str], found: Facts
) -> None:
    bundle = compiled(*documents)
    plan = Planner(bundle).plan(request, roles)
    traced = {(r.name, r.part): r for r in explain(plan, request, found).rules if r.kind == "guard"}
    for held in plan.guards:
        names = [f"matchConditions[{name}]" for name, _ in held.conditions]
        names += [f"validations[{validation.name}]" for validation in held.validations]
        verdicts = outcomes(bundle.engine, rule_set(bundle.engine, rules_of(held)), found)
        for name, rule, verdict in zip(names, rules_of(held), verdicts, strict=True):
            value = traced[held.name, name].clauses[0].value
            if any(FACTS[path].personal for path in rule.reads):
                assert value == "(personal)"
            elif isinstance(verdict, bool):
                assert value == str(verdict).lower()
            else:
                assert value.startswith("unknown: " if isinstance(verdict, Unknown) else "error: ")


SECRETS = document("FieldCatalog", "secrets", {"attributes": {"customer": {
    "diagnosis": {"type": "string", "personal": True},
    "ailments": {"type": "strings", "personal": True},
    "income": {"type": "int", "personal": True},
}}})  # fmt: skip
PRYING = (
    "customer.diagnosis == 'CANARY-1'",
    "customer.diagnosis + 'x' != customer.owner",
    "customer.diagnosis.matches(principal.department)",
    "principal.department.matches(customer.diagnosis + '(')",
    "customer.ailments.exists(a, a == principal.department) || customer.income > 3",
    "{customer.diagnosis: 1}[customer.owner] == 1",
    "customer.ailments[customer.income] == 'x'",
    "int(customer.diagnosis) == 1",
    "timestamp(customer.diagnosis) == timestamp('2026-01-01T00:00:00Z')",
    "10 / (customer.income - 777001) > 1",
    "(customer.owner == 'east' && customer.diagnosis != '') || !(customer.ailments == [customer.diagnosis])",
)


@FEW
@given(st.lists(st.sampled_from(PRYING), min_size=1, max_size=4), st.sampled_from(PRYING), st.booleans())
def test_a_personal_value_appears_nowhere_in_an_explanation(
    rules: list[str], condition: str, as_condition: bool
) -> None:
    bundle = compiled(
        SECRETS, grant("plain"), grant("prying", condition=condition),
        guard("g", *rules, conditions=rules[:1] if as_condition else ()), guard("w", *rules, mode="Warn"),
    )  # fmt: skip
    values: dict[str, FactValue] = {
        "customer_diagnosis": "CANARY-2", "customer_ailments": ("CANARY-3", "CANARY-2"), "customer_income": 777001,
    }  # fmt: skip
    shown = repr(explained(bundle, **values))
    assert "CANARY-2" not in shown
    assert "CANARY-3" not in shown
    # The number stands in a rule's own text; what must not appear is the value beside the fact.
    assert "'customer.income': 777001" not in shown
    assert "'customer.income': '777001'" not in shown


def test_a_clause_that_reads_a_personal_fact_hides_its_outcome_and_its_neighbour_does_not() -> None:
    explanation = explained(
        compiled(grant(), guard("g", "time.hour > 1 && !customer.minor")), customer_minor=True
    )
    (rule,) = [rule for rule in explanation.rules if rule.kind == "guard"]
    assert [(c.text, c.value, c.depth) for c in rule.clauses] == [
        ("time.hour > 1 && !customer.minor", "(personal)", 0),
        ("time.hour > 1", "true", 1),
        ("!customer.minor", "(personal)", 1),
        ("customer.minor", "(personal)", 2),
    ]
    assert rule.clauses[3].reads == {"customer.minor": "(personal)"}


def test_an_unknown_fact_is_named_even_when_it_is_not_personal() -> None:
    bundle = compiled(grant(), guard("g", "customer.owner == 'east' || time.hour > 1"))
    explanation = explained(bundle, customer_owner=Unknown(UnknownWhy.NULL))
    (rule,) = [rule for rule in explanation.rules if rule.kind == "guard"]
    assert rule.outcome == "unknown: null"
    assert [clause.value for clause in rule.clauses] == [
        "unknown: customer.owner",
        "unknown: customer.owner",
        "true",
    ]


def test_a_grant_that_does_not_match_says_which_part() -> None:
    bundle = compiled(
        grant("a-role", roles=("lead",)), grant("b-purpose", purposes=("marketing",)),
        grant("c-store", match={"stores": ["erp"]}), grant("d-key", match={"keys": ["customer_id"]}),
        grant("e-condition", condition="time.hour > 20"), grant("f-other", actions=("export",)), grant("g-fine"),
    )  # fmt: skip
    traced = [(rule.name, rule.part, rule.outcome.split(":")[0]) for rule in explained(bundle).rules]
    assert traced == [
        ("a-role", "roles", "not matched"), ("b-purpose", "purposes", "not matched"),
        ("c-store", "match.stores", "not matched"), ("d-key", "match.keys", "not matched"),
        ("e-condition", "condition", "not matched"), ("g-fine", "match", "matched"),
    ]  # fmt: skip


def test_a_guard_that_does_not_apply_says_so() -> None:
    explanation = explained(compiled(grant(), guard("g", "false", conditions=["time.hour > 20"])))
    outcomes_ = {rule.part: rule.outcome for rule in explanation.rules if rule.kind == "guard"}
    assert outcomes_ == {"matchConditions[c0]": "does not apply", "validations[v0]": "does not apply"}


def test_a_very_long_rule_is_cut() -> None:
    rule = " || ".join(f"time.hour == {number}" for number in range(150))
    explanation = explained(compiled(grant(), guard("g", rule)))
    assert [len(r.clauses) for r in explanation.rules if r.kind == "guard"] == [64]


GARBAGE: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | st.text(st.characters())
    | st.just("\ud800") | st.lists(st.text()) | st.tuples(st.integers()) | st.sampled_from(State) | st.builds(object)
)  # fmt: skip


@FEW
@given(
    rule_documents(),
    requests(actions=tuple(Action)),
    ROLES,
    st.dictionaries(st.sampled_from(tuple(FACTS)), GARBAGE),
)
def test_no_facts_make_it_raise(
    documents: list[str], request: Request, roles: frozenset[str], found: dict[str, FactValue]
) -> None:
    plan: Plan = Planner(compiled(*documents)).plan(request, roles)
    explain(plan, request, Facts(found))


def test_no_rule_makes_it_raise() -> None:
    hostile = (
        "!" * 3_990 + "true",
        "(" * 30 + "true" + ")" * 30,
        "'((' != '&& ||'",
        "true // && (",
        "true\n// x\n",
        "!(true)in[false]",
    )
    explanation = explained(compiled(grant(), guard("g", *hostile)))
    assert [rule.outcome for rule in explanation.rules if rule.kind == "guard"] == ["held"] * len(hostile)


def test_an_approval_is_explained_as_needed_or_given() -> None:
    bundle = compiled(grant(), guard("asks", "time.hour > 12", "true", approvable=(0,)))
    for keys, expected in (
        ((), "needs approval by 2 of lead, officer"),
        ((requirement("asks", "v0").key,), "approved"),
    ):
        traced = {rule.part: rule.outcome for rule in explained(bundle, approvals_granted=keys).rules}
        assert (traced["validations[v0]"], traced["validations[v1]"]) == (expected, "held")


def test_a_grant_out_of_its_validity_is_explained_by_its_bounds() -> None:
    bundle = compiled(
        grant(
            "old", valid=("2026-01-01T00:00:00Z", "2026-02-01T00:00:00+08:00"), condition="customer.minor"
        ),
        grant("now", valid=("2026-01-01T00:00:00Z", "")),
    )
    found = explained(bundle, grants_expired=("old",))
    traced = {rule.name: (rule.part, rule.outcome, rule.clauses) for rule in found.rules}
    assert traced == {
        "now": ("match", "matched", ()),
        "old": (
            "validity",
            "not matched: valid from 2026-01-01T00:00:00+00:00 until 2026-02-01T00:00:00+08:00",
            (),
        ),
    }
    assert found.decision.effect is Effect.ALLOW


def test_a_param_is_explained_by_the_value_in_force() -> None:
    spec = {
        "match": {"actions": ["lookup"]}, "params": {"late": 21, "closed": ["erp"]},
        "validations": [{"name": "v", "expression": "time.hour < params.late && !(request.store in params.closed)"}],
    }  # fmt: skip
    tuned = document("Params", "prod", {"guards": {"g": {"late": 9}}})
    bundle = compiled(grant(), document("Guard", "g", spec), tuned)
    (rule,) = [rule for rule in explained(bundle, request_store="crm").rules if rule.kind == "guard"]
    assert [(clause.text, clause.value) for clause in rule.clauses] == [
        ('time.hour < 9 && !(request.store in ["erp"])', "false"),
        ("time.hour < 9", "false"),
        ('!(request.store in ["erp"])', "true"),
        ('request.store in ["erp"]', "false"),
    ]
