"""What counts as seen: only where a rule had a say, each way by its own, and never less for one case more."""

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.decision.coverage import Coverage, Mark, Watch
from fujie.decision.decider import Decider
from fujie.decision.policy_tests import settle
from fujie.model.policy_test import Ask, Asker, Case, Expected, Sample
from fujie.model.principal import AttributeValue, Principal
from fujie.model.request import Request
from fujie.model.vocabulary import Action, State
from fujie.policy.bundle import Bundle
from support.bundles import compiled, grant, guard, rule_documents
from support.policy_cases import NOW, cases

FEW = settings(max_examples=20)


def watched(bundle: Bundle, some: Sequence[Case]) -> Coverage:
    decider, watch = Decider(bundle), Watch(bundle)
    seen = frozenset[Mark]().union(
        *(watch.seen(case.ask.request.action, settle(decider, case)) for case in some)
    )
    return Coverage(watch.required, seen)


@FEW
@given(rule_documents(), st.lists(cases(), max_size=3), cases())
def test_one_case_more_never_covers_less(documents: list[str], some: list[Case], one: Case) -> None:
    bundle = compiled(*documents)
    before, after = watched(bundle, some), watched(bundle, [*some, one])
    assert before.seen <= after.seen
    assert before.percent <= after.percent


@FEW
@given(rule_documents(), st.lists(cases(), max_size=3))
def test_what_is_seen_is_something_that_there_is_to_see(documents: list[str], some: list[Case]) -> None:
    coverage = watched(compiled(*documents), some)
    # A rule that reads no fact is never missing one, yet it may fail by itself: that is seen and not asked for.
    assert {mark for mark in coverage.seen - coverage.required if mark.seen != "error"} == set()
    assert 0 <= coverage.percent <= 100
    assert {*coverage.missing} | (coverage.seen & coverage.required) == coverage.required


@FEW
@given(rule_documents(), cases())
def test_a_grant_is_seen_matched_exactly_where_the_decision_names_it(
    documents: list[str], case: Case
) -> None:
    bundle = compiled(*documents)
    decision = settle(Decider(bundle), case).decision
    seen = watched(bundle, [case]).seen
    matched = {mark.rule.removeprefix("grant ") for mark in seen if mark.seen == "matched"}
    assert matched == set(decision.grants)


def case(
    department: str = "east", /, *, employment: State = State.ACTIVE, **attributes: AttributeValue
) -> Case:
    asker = Asker(
        Principal("test", roles=frozenset({"agent"}), department=department, employment=employment), (), {}
    )
    request = Request(
        Action.LOOKUP, "care", "contract", "crm", "phone", ("phone",), has_basis_evidence=True
    )
    sample = Sample({"owner": "east", **attributes}, (), {}, ())
    return Case(
        "d", "t", "a", "c", "r", asker, sample, Ask(request, ()), NOW, frozenset(), Expected(), "t.yaml:1:1"
    )


def ways(coverage: Coverage, rule: str, clause: str = "") -> set[str]:
    return {mark.seen for mark in coverage.seen if (mark.rule, mark.clause) == (rule, clause)}


OWN = "principal.department == customer.owner"
RULE = "guard adults validations[v0]"


def test_a_validation_counts_true_false_and_error() -> None:
    bundle = compiled(grant(), guard("adults", "!customer.minor"))
    assert ways(watched(bundle, [case(minor=False)]), RULE) == {"true"}
    assert ways(watched(bundle, [case(minor=True)]), RULE) == {"false"}
    assert ways(watched(bundle, [case()]), RULE) == {"error"}
    whole = watched(bundle, [case(minor=False), case(minor=True), case()])
    assert {mark.rule for mark in whole.missing} == {"grant grant"}  # never seen not matched


def test_every_clause_counts_each_way_by_its_own_even_behind_a_short_circuit() -> None:
    bundle = compiled(grant(), guard("adults", "!customer.minor || customer.points > 2"))
    seen = watched(bundle, [case(minor=False, points=0)])
    assert ways(seen, RULE) == {"true"}
    assert ways(seen, RULE, "!customer.minor") == {"true"}
    assert ways(seen, RULE, "customer.minor") == {"false"}
    assert ways(seen, RULE, "customer.points > 2") == {"false"}


def test_a_guard_without_a_say_is_not_seen() -> None:
    bundle = compiled(
        grant(condition=OWN), guard("adults", "!customer.minor", conditions=["customer.points > 2"])
    )
    condition = "guard adults matchConditions[c0]"
    without_grant = watched(bundle, [case("west", minor=True, points=3)])
    assert ways(without_grant, "grant grant condition") == {"false"}
    assert ways(without_grant, "grant grant") == {"not matched"}
    assert ways(without_grant, condition) == ways(without_grant, RULE) == set()
    taken_out = watched(bundle, [case(minor=True, points=2)])
    assert ways(taken_out, condition) == {"false"}
    assert ways(taken_out, RULE) == set()
    # A condition that can not be evaluated leaves the guard in.
    broken = watched(bundle, [case(minor=True)])
    assert ways(broken, condition) == {"error"}
    assert ways(broken, RULE) == {"false"}


def test_who_is_not_active_shows_nothing_but_that_no_grant_matched() -> None:
    bundle = compiled(grant(condition=OWN), guard("adults", "!customer.minor"))
    seen = watched(bundle, [case(employment=State.OFFBOARDED, minor=False)]).seen
    assert {(mark.rule, mark.seen) for mark in seen} == {("grant grant", "not matched")}


def test_grants_for_other_actions_are_not_seen_by_a_look_up() -> None:
    bundle = compiled(grant(), grant("desk", actions=("consent.read",), purposes=()))
    seen = watched(bundle, [case(minor=False)])
    assert ways(seen, "grant grant") == {"matched"}
    assert ways(seen, "grant desk") == set()


def test_an_empty_bundle_is_seen_whole_and_nothing_is_seen_without_cases() -> None:
    assert watched(compiled(), []).percent == 100
    assert watched(compiled(grant()), []).percent == 0
