"""The runner of policy tests: it decides as the server does, and no wrong expectation passes."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.decision.decide import decide
from fujie.decision.decider import Decider
from fujie.decision.facts import Raw, derive
from fujie.decision.plan import Planner
from fujie.decision.policy_tests import judge, run, settle, trace
from fujie.model.decision import Decision
from fujie.model.facts import APPROVED, EXHAUSTED, NOT_FETCHED, Facts, FactValue
from fujie.model.limit import Cap
from fujie.model.policy_test import Ask, Asker, Case, Expected, PolicyTest, Sample
from fujie.model.principal import Principal
from fujie.model.request import Request
from fujie.model.vocabulary import Action, Effect, State
from fujie.policy.bundle import Bundle
from fujie.policy.fixtures import SID
from support.bundles import compiled, document, grant, guard, guards, rule_documents
from support.policy_cases import NOW, cases, exact

FEW = settings(max_examples=20)


@st.composite
def bundles(draw: st.DrawFn) -> Bundle:
    """Return a bundle with guards of every mode."""
    loose = [draw(guards(f"loose-{n}", ("Warn", "Audit"))) for n in range(draw(st.integers(0, 2)))]
    return compiled(*draw(rule_documents()), *loose)


def decided(bundle: Bundle, case: Case) -> Decision:
    """Decide a case as a flow does, from the documented meaning of its parts."""
    request, sample = case.ask.request, case.sample
    raw = Raw(case.asker.principal)
    if sample is not None:
        events = [event for event in sample.events if event.purpose == request.purpose]
        raw = Raw(case.asker.principal, events, SID, sample.attributes, sample.suppressions)
    facts = dict(derive(bundle, request, raw, case.now, NOW.tzinfo).values)  # type: ignore[arg-type] # NOW has one
    facts |= case.asker.usage
    facts[EXHAUSTED], facts[APPROVED] = case.asker.used_up, case.ask.approved
    if sample is not None:
        facts |= sample.stated.get(request.purpose, {})
    if request.action is Action.SEND:
        facts |= sending(bundle, case)
    facts |= dict.fromkeys(case.unknown, NOT_FETCHED)
    return decide(Planner(bundle).plan(request, case.asker.principal.roles), request, Facts(facts))


def sending(bundle: Bundle, case: Case) -> dict[str, FactValue]:
    """Return the facts of a message by what its fixtures mean."""
    message, processor, sample = case.ask.message, case.ask.processor, case.sample
    nothing: dict[str, FactValue] = dict.fromkeys(("filed", "clauses", "transfer"), False)
    local: dict[str, FactValue] = {
        **nothing,
        "agreement": State.NOT_NEEDED,
        "region": "",
        "assessment": State.NONE,
    }
    found: dict[str, FactValue] = {**(message or {})}
    found |= processor or {f"processor.{name}": value for name, value in local.items()}
    if sample is None:
        return found
    here: dict[str, FactValue] = {"country": "CN", "hour": case.now.hour, "weekday": case.now.isoweekday()}
    found |= {f"recipient.{name}": value for name, value in here.items()}
    found |= sample.recipient
    sent = sample.sent
    counts = {
        Cap.PER_MINUTE: sent.last_minute, Cap.PER_HOUR: sent.last_hour,
        Cap.PER_DAY: sent.last_day, Cap.SAME_CONTENT_PER_DAY: sent.same_content,
    }  # fmt: skip
    if message:
        found["frequency.exhausted"] = tuple(
            f"guard:{each.name}" for each in bundle.guards
            if any(counts[cap] >= most for cap, most in each.frequency.items())
        )  # fmt: skip
    return found


@FEW
@given(bundles(), st.lists(cases(), min_size=1, max_size=4))
def test_the_verdict_is_that_of_decide(bundle: Bundle, some: list[Case]) -> None:
    decisions = [decided(bundle, case) for case in some]
    results = run(Decider(bundle), PolicyTest("document", "tests.yaml", tuple(some)))
    assert [result.effect for result in results] == [decision.effect for decision in decisions]
    assert [result.is_passed for result in results] == [
        decision.effect is Effect.DENY for decision in decisions
    ]


@FEW
@given(bundles(), cases())
def test_an_expectation_that_says_all_of_the_decision_passes(bundle: Bundle, case: Case) -> None:
    expecting = replace(case, expected=exact(decided(bundle, case)))
    assert judge(expecting, settle(Decider(bundle), expecting)).differences == ()


def mutations(expected: Expected) -> list[tuple[str, Expected]]:
    """Return every part with the expectation in which it is not what it was."""
    found = [("effect", replace(expected, effect=each)) for each in Effect if each is not expected.effect]
    steps = dict(expected.treatments or {})
    changed = {name: "omit" if step == "reveal" else "reveal" for name, step in steps.items()}
    others = ({**steps, "shoe_size": "omit"}, changed, dict(list(steps.items())[1:]))
    found += [("treatments", replace(expected, treatments=each)) for each in others if each != steps]
    found.append(("deferrable", replace(expected, deferrable=not expected.deferrable)))
    for part in ("reasons", "warnings", "shadow", "needs"):
        names = getattr(expected, part)
        reversed_ = names if part == "needs" else names[::-1]  # the order of needs says nothing
        wrong = {(*names, "X_NEVER"), names[1:], reversed_} - {names}
        found += [(part, replace(expected, **{part: each})) for each in wrong]
    return found


@FEW
@given(bundles(), cases())
def test_every_mutated_expectation_fails_and_says_where(bundle: Bundle, case: Case) -> None:
    settled = settle(Decider(bundle), case)
    for part, expected in mutations(exact(decided(bundle, case))):
        differences = judge(replace(case, expected=expected), settled).differences
        assert [difference.part for difference in differences] == [part], expected


ASKER = Asker(
    Principal("test", roles=frozenset({"agent"}), department="east"),
    (),
    {"usage.volume": State.WITHIN, "usage.sequence": State.WITHIN},
)
CHILD = Sample({"minor": True, "owner": "east", "tags": (), "points": 3}, (), {}, ())
CASE = Case(
    "d", "t", "agent", "child", "look", ASKER, CHILD,
    Ask(Request(Action.LOOKUP, "care", "contract", "crm", "phone", ("phone",), has_basis_evidence=True), ()),
    NOW, frozenset(), Expected(Effect.ALLOW), "tests.yaml:9:3",
)  # fmt: skip


def test_a_failure_shows_the_clauses_with_the_values_of_the_test_even_personal_ones() -> None:
    bundle = compiled(grant(), guard("adults", "!customer.minor && customer.points > 2"))
    settled = settle(Decider(bundle), CASE)
    (refused,) = (rule for rule in trace(CASE, settled) if rule.kind == "guard")
    assert refused.outcome == "refused"
    assert ("!customer.minor", "false") in [(clause.text, clause.value) for clause in refused.clauses]
    assert refused.clauses[0].reads == {"customer.minor": "true", "customer.points": "3"}
    assert judge(CASE, settled).where == "tests.yaml:9:3"


def test_what_came_is_told_even_where_only_the_effect_was_asked() -> None:
    bundle = compiled(grant(), guard("adults", "!customer.minor"))
    parts = {each.part: each for each in judge(CASE, settle(Decider(bundle), CASE)).differences}
    assert parts["reasons"].actual == ("GUARD_REFUSED",)


def test_a_case_about_nobody_reads_nothing_of_a_customer() -> None:
    bundle = compiled(grant(), guard("adults", "!customer.minor"))
    alone = replace(CASE, sample=None, expected=Expected(Effect.DENY, reasons=("FACT_MISSING",)))
    assert judge(alone, settle(Decider(bundle), alone)).differences == ()


TERMS = "minors/adults by 2 of lead or officer for 24h"


@pytest.mark.parametrize(
    ("changed", "wanted", "passes"),
    [
        ({}, TERMS, True),
        ({}, "minors/adults", True),
        ({"count": 1}, "minors/adults", True),
        ({"valid_for": "1d"}, TERMS, True),
        ({"count": 1}, TERMS, False),
        ({"roles": ["agent", "lead", "officer"]}, TERMS, False),
        ({"valid_for": "30d"}, TERMS, False),
        ({"valid_for": "61m"}, "minors/adults by 2 of lead or officer for 61m", True),
    ],
)
def test_terms_that_an_expectation_says_are_those_that_are_asked(
    changed: dict[str, object], wanted: str, passes: bool
) -> None:
    terms = {"roles": ["officer", "lead"], "count": 2, "valid_for": "24h"} | changed
    validation = {
        "name": "adults",
        "expression": "!customer.minor",
        "outcome": "approval",
        "approval": terms,
    }
    spec = {"match": {"actions": ["lookup"]}, "validations": [validation]}
    decider = Decider(compiled(grant(), document("Guard", "minors", spec)))
    case = replace(CASE, expected=Expected(Effect.APPROVAL_REQUIRED, needs=(wanted,)))
    assert judge(case, settle(decider, case)).is_passed is passes


def test_an_approval_counts_when_it_is_listed_and_only_then() -> None:
    validation = {
        "name": "adults", "expression": "!customer.minor", "outcome": "approval",
        "approval": {"roles": ["lead"], "count": 1, "valid_for": "24h"},
    }  # fmt: skip
    spec = {"match": {"actions": ["lookup"]}, "validations": [validation]}
    bundle = compiled(grant(), document("Guard", "minors", spec))
    (requirement,) = (v.approval for g in bundle.guards for v in g.validations)
    assert requirement is not None
    wanted = replace(CASE, expected=Expected(Effect.APPROVAL_REQUIRED, needs=("minors/adults",)))
    assert judge(wanted, settle(Decider(bundle), wanted)).differences == ()
    given_ = replace(CASE, ask=Ask(CASE.ask.request, (requirement.key,)))
    assert judge(given_, settle(Decider(bundle), given_)).differences == ()
