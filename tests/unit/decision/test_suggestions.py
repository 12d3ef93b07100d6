"""What would open: every suggestion does, none is more than is needed, and none tells what the explanation hides."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.decision.anew import Seen
from fujie.decision.decide import decide
from fujie.decision.explain import explain
from fujie.decision.plan import Planner
from fujie.decision.suggestions import suggest
from fujie.model.approval import Requirement
from fujie.model.decision import Explanation
from fujie.model.facts import APPROVED, Facts, FactValue, Unknown, UnknownWhy
from fujie.model.request import Request
from fujie.model.suggestion import NO_SUGGESTIONS, Change, Part, Suggestions
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
    purpose,
    requests,
    rule_documents,
)

ASKED = Request(Action.LOOKUP, "care", "consent", "crm", "phone", ("phone",))
KNOWN: Mapping[str, FactValue] = {
    "principal.employment": State.ACTIVE, "principal.roles": ("agent",), "principal.department": "east",
    "principal.kind": State.EMPLOYEE, "customer.owner": "east", "customer.minor": False, "customer.tags": (),
    "customer.points": 5, "time.hour": 10, "consent.state": State.GIVEN, "consent.explicit": True,
    "consent.separate": False, "suppression.in_force": False,
}  # fmt: skip
OF_PURPOSE = ("consent.state", "consent.explicit", "consent.separate", "suppression.in_force")
FEW = settings(max_examples=30)


def of_request(request: Request) -> dict[str, FactValue]:
    return {
        "request.action": request.action.value, "request.purpose": request.purpose, "request.basis": request.basis,
        "request.store": request.store, "request.key": request.key_kind, "request.fields": request.fields,
        "request.strict": request.strict, "request.has_basis_evidence": request.has_basis_evidence,
        "request.has_ticket": request.has_ticket, "request.rows": request.rows,
    }  # fmt: skip


def seen(bundle: Bundle, request: Request, found: Mapping[str, FactValue], rows: int = 1) -> Seen:
    roles = found.get("principal.roles")
    held = frozenset(map(str, roles)) if isinstance(roles, tuple) else frozenset[str]()
    return Seen(
        Planner(bundle).plan(request, held), request, Facts({**found, **of_request(request)}), rows=rows
    )


def suggested(
    *documents: str, request: Request = ASKED, rows: int = 1, is_closed: bool = False, **changed_: Any
) -> Suggestions:
    bundle = compiled(*documents)
    values = dict(KNOWN) | {path.replace("_", ".", 1): value for path, value in changed_.items()}
    asked = replace(seen(bundle, request, values, rows), is_closed=is_closed)
    return suggest(Planner(bundle).plan, asked, decide(asked.plan, request, asked.facts))


def opening(found: Suggestions) -> list[str]:
    """Return every suggestion in one line."""
    return [
        " + ".join(
            " ".join(filter(None, (change.part, change.value, change.evidence))) for change in one.changes
        )
        for one in found.open
    ]


def applied(bundle: Bundle, request: Request, values: dict[str, FactValue], change: Change) -> Request:
    """Make one change; those of facts into `values`. Not the code under test, on purpose."""
    match change.part:
        case Part.PURPOSE:
            for path in OF_PURPOSE:
                values.pop(path, None)
            return replace(request, purpose=change.value)
        case Part.BASIS:
            needs = bundle.purposes[request.purpose].bases[change.value]
            assert bool(change.evidence) == (bool(needs) and not request.has_basis_evidence)
            return replace(
                request,
                basis=change.value,
                has_basis_evidence=request.has_basis_evidence or bool(change.evidence),
            )
        case Part.BASIS_EVIDENCE:
            return replace(request, has_basis_evidence=True)
        case Part.FIELDS:
            out = change.value.split(",")
            assert set(out) < set(request.fields)
            return replace(request, fields=tuple(name for name in request.fields if name not in out))
        case Part.TICKET:
            return replace(request, has_ticket=True)
        case Part.STRICT:
            return replace(request, strict=False)
        case Part.CONSENT:
            values |= {
                "consent.state": State.GIVEN, "consent.explicit": True, "consent.separate": change.value == "separate",
            }  # fmt: skip
        case Part.APPROVAL:
            needs_: tuple[Requirement, ...] = tuple(
                v.approval for rule in bundle.guards for v in rule.validations if v.approval
            )
            values[APPROVED] = tuple(sorted(need.key for need in needs_))
    return request


def fresh(change: Change) -> Change:
    """Return the change without the evidence that belongs to where it was made."""
    return replace(change, evidence="", value="" if change.part is Part.BASIS_EVIDENCE else change.value)


@FEW
@given(rule_documents(), requests(), ROLES, facts())
def test_what_is_suggested_opens_and_no_part_of_it_does(
    documents: list[str], request: Request, roles: frozenset[str], found: Facts
) -> None:
    bundle = compiled(*documents)
    asked = seen(bundle, request, {**found.values, "principal.roles": tuple(sorted(roles))})
    planner = Planner(bundle)
    decision = decide(asked.plan, request, asked.facts)
    suggestions = suggest(planner.plan, asked, decision)
    if decision.effect is Effect.ALLOW:
        assert suggestions == NO_SUGGESTIONS

    def effect(*changes: Change) -> Effect:
        values, other = dict(asked.facts.values), request
        for change in changes:
            other = applied(bundle, other, values, change)
        return decide(planner.plan(other, roles), other, Facts({**values, **of_request(other)})).effect

    singles = {fresh(one.changes[0]) for one in suggestions.open if len(one.changes) == 1}
    for suggestion in suggestions.open:
        assert effect(*suggestion.changes) is Effect.ALLOW
        assert not suggestion.lacks
        if len(suggestion.changes) > 1:
            assert len(suggestion.changes) == 2
            assert singles.isdisjoint(map(fresh, suggestion.changes))
    for change in (Change(Part.TICKET), Change(Part.STRICT, "false"), Change(Part.BASIS_EVIDENCE)):
        is_known = "customer.minor" not in asked.plan.reads
        if decision.effect is Effect.DENY and is_known and effect(change) is Effect.ALLOW:
            assert change in singles, "it opens and is not told"
    assert all(suggestion.lacks for suggestion in suggestions.untold)
    assert not suggestions.is_cut, "so few changes are within bounds, and nothing broke"


HIDING = (
    "!customer.minor", "customer.minor ? request.has_ticket : true", "request.has_ticket ? customer.minor : true",
    "request.basis == 'consent' || customer.minor", "customer.minor", "request.has_ticket", "request.basis != 'consent'",
)  # fmt: skip
HIDING_GUARDS = st.builds(
    lambda conditions, validations, purposes: (conditions, validations, purposes),
    st.lists(st.sampled_from(HIDING), max_size=1),
    st.lists(st.sampled_from(HIDING), min_size=1, max_size=2),
    st.sampled_from((["care"], ["marketing"], ["care", "marketing"])),
)


def told_of(bundle: Bundle, request: Request, minor: FactValue) -> tuple[Explanation, Suggestions]:
    asked = seen(bundle, request, {**KNOWN, "customer.minor": minor})
    explanation = explain(asked.plan, request, asked.facts)
    return explanation, suggest(Planner(bundle).plan, asked, decide(asked.plan, request, asked.facts))


def assert_alike(bundle: Bundle, request: Request) -> bool:
    """Assert that equal explanations go with equal suggestions; return whether any two are equal."""
    told = [told_of(bundle, request, minor) for minor in (True, False, Unknown(UnknownWhy.NULL))]
    alike = [(one, other) for one, other in combinations(told, 2) if one[0] == other[0]]
    assert all(one[1] == other[1] for one, other in alike)
    return bool(alike)


@FEW
@given(
    st.lists(HIDING_GUARDS, min_size=1, max_size=2), st.just("") | st.sampled_from(HIDING), st.booleans()
)
def test_who_gets_the_same_explanation_gets_the_same_suggestions(
    rules: list[tuple[list[str], list[str], list[str]]], condition: str, has_ticket: bool
) -> None:
    """Otherwise they would tell what the explanation hides: whether the customer is a minor, or that nobody knows."""
    documents = [
        guard(f"g{number}", *validations, conditions=conditions, match={"purposes": purposes})
        for number, (conditions, validations, purposes) in enumerate(rules)
    ]
    other = grant("other", fields={"name": "reveal"}, condition=condition)
    bundle = compiled(grant("open"), other, guard("always", "request.basis != 'consent'"), *documents)
    assert_alike(bundle, replace(ASKED, has_ticket=has_ticket, has_basis_evidence=True))


@pytest.mark.parametrize(
    "rule",
    [
        guard("h", "request.has_ticket ? customer.minor : true"),
        guard("h", "customer.minor ? true : true", conditions=["request.has_ticket"]),
        guard("h", "customer.minor", conditions=["request.has_ticket"]),
        guard("h", "!customer.minor", match={"purposes": ["marketing"]}),
        grant("h", fields={"name": "reveal"}, condition="request.has_ticket && customer.minor"),
    ],
)
def test_supposing_is_no_way_to_ask_what_the_explanation_hides(rule: str) -> None:
    bundle = compiled(grant(), guard("g", "request.has_ticket || request.purpose == 'marketing'"), rule)
    assert assert_alike(bundle, replace(ASKED, fields=("name", "phone"), strict=rule.startswith("grant")))


def test_single_changes_that_open() -> None:
    ticket = guard("g", "request.has_ticket")
    assert opening(suggested(grant(), ticket)) == ["ticket"]
    assert opening(suggested(grant(), guard("g", "request.has_basis_evidence"))) == [
        "basis_evidence",
        "basis contract order_id",
    ]
    assert opening(suggested(grant(), guard("g", "request.basis != 'consent'"))) == [
        "basis contract order_id"
    ]
    assert opening(suggested(grant(), request=replace(ASKED, basis="contract"))) == [
        "basis_evidence order_id",
        "basis consent",
    ]
    strict = replace(ASKED, fields=("name", "phone"), strict=True)
    assert opening(suggested(grant(), request=strict)) == ["strict false", "fields name"]


def test_another_purpose_opens_where_nothing_has_to_be_read_for_it() -> None:
    assert (
        opening(
            suggested(
                grant(purposes=["care"]),
                guard("g", "!customer.minor", match={"purposes": ["care"]}),
                request=replace(ASKED, purpose="marketing"),
                is_closed=True,
            )
        )
        == []
    )
    found = suggested(grant(), guard("g", "request.has_ticket", match={"purposes": ["care"]}))
    assert opening(found) == ["ticket", "purpose marketing"]


def test_consents_for_another_purpose_are_not_known() -> None:
    needs_consent = guard("m", "consent.state == GIVEN", match={"purposes": ["marketing"]})
    found = suggested(grant(), guard("g", "false", match={"purposes": ["care"]}), needs_consent)
    assert opening(found) == []
    assert [(one.changes, one.lacks) for one in found.untold] == [
        ((Change(Part.PURPOSE, "marketing"),), ("consent.state",))
    ]


def test_a_refusal_before_the_customer_was_looked_at_leaves_another_purpose_untold() -> None:
    found = suggested(grant(purposes=["marketing"]), is_closed=True)
    assert opening(found) == []
    assert [one.changes for one in found.untold] == [(Change(Part.PURPOSE, "marketing"),)]


def test_pairs_that_open() -> None:
    pair = guard("g", "request.has_ticket", "consent.state == GIVEN && consent.explicit")
    assert opening(suggested(grant(), pair, consent_state=State.NONE)) == ["ticket + consent explicit"]
    separate = guard("g", "request.has_ticket && consent.separate", "consent.state == GIVEN")
    assert opening(suggested(grant(), separate)) == ["ticket + consent separate"]
    three = guard("g", "request.has_ticket", "consent.state == GIVEN", "request.basis != 'consent'")
    assert opening(suggested(grant(), three, consent_state=State.NONE)) == []


def test_the_largest_part_of_the_fields_that_opens() -> None:
    every = {"phone": "reveal", "name": "reveal", "id_card": "keep(1,1)"}
    asked = replace(ASKED, fields=("id_card", "name", "phone"))
    sensitive = guard("g", "!('id_card' in request.fields)")
    assert opening(suggested(grant(fields=every), sensitive, request=asked)) == ["fields id_card"]
    with_ticket = guard("g", "!('id_card' in request.fields)", "request.has_ticket")
    assert opening(suggested(grant(fields=every), with_ticket, request=asked)) == [
        "ticket + fields id_card"
    ]
    not_both = guard("g", "!('name' in request.fields && 'phone' in request.fields)")
    assert opening(suggested(grant(fields=every), not_both, request=asked)) == ["fields phone"]


def test_an_approval_alone_and_together_with_another_change() -> None:
    asking = guard("g", "false", approvable=(0,))
    assert opening(suggested(grant(), asking)) == ["approval g/v0: 2 of lead, officer"]
    both = guard("g", "false", "request.has_ticket", approvable=(0,))
    assert opening(suggested(grant(), both)) == ["ticket + approval g/v0: 2 of lead, officer"]


@pytest.mark.parametrize(
    "changed_",
    [
        {"consent_state": State.REFUSED},
        {"consent_state": State.WITHDRAWN},
        {"consent_state": State.NONE, "suppression_in_force": True},
        {"consent_state": Unknown(UnknownWhy.NOT_FETCHED)},
    ],
)
def test_nobody_is_told_to_ask_a_customer_who_said_no(changed_: dict[str, Any]) -> None:
    rules = guard("g", "consent.state == GIVEN", "!suppression.in_force || consent.state == GIVEN")
    assert opening(suggested(grant(), rules, **changed_)) == []


def test_consent_is_not_suggested_where_the_explanation_does_not_show_its_state() -> None:
    """Whether it is would tell a refusal from none."""
    rule = guard("g", "consent.explicit")
    for state in (State.NONE, State.REFUSED):
        assert opening(suggested(grant(), rule, consent_state=state, consent_explicit=False)) == []


INCOME = document(
    "FieldCatalog", "income", {"attributes": {"customer": {"income": {"type": "int", "personal": True}}}}
)


def test_a_personal_number_is_not_guessed_by_supposing() -> None:
    probing = guard("g", "consent.state == GIVEN && customer.income > 50000")
    for income in (100, 100_000):
        found = suggested(INCOME, grant(), probing, consent_state=State.NONE, customer_income=income)
        assert opening(found) == []
        assert [one.lacks for one in found.untold][:1] == [("customer.income",)]


def test_a_rule_that_the_explanation_shows_keeps_its_outcome() -> None:
    """It is no secret that it holds, so the ticket is suggested although a rule reads the income."""
    rules = (guard("g", "customer.income > 50000"), guard("h", "request.has_ticket"))
    assert opening(suggested(INCOME, grant(), *rules, customer_income=100_000)) == ["ticket"]
    assert opening(suggested(INCOME, grant(), *rules, customer_income=100)) == []


@pytest.mark.parametrize("rows", [0, 2])
def test_nothing_opens_about_a_customer_who_is_not_there(rows: int) -> None:
    assert opening(suggested(grant(), guard("g", "request.has_ticket"), rows=rows)) == []


def test_nothing_is_suggested_to_somebody_without_employment_or_without_any_grant() -> None:
    gone = suggested(grant(), guard("g", "request.has_ticket"), principal_employment=State.SUSPENDED)
    assert gone == NO_SUGGESTIONS
    assert suggested(grant(roles=["lead"])) == NO_SUGGESTIONS


def test_a_used_up_limit_is_opened_by_nothing_but_another_grant() -> None:
    limited = grant(limits={"rows_per_hour": 5})
    assert opening(suggested(limited, limits_exhausted=("grant:grant",))) == []
    spare = grant("spare", condition="request.has_ticket")
    assert opening(suggested(limited, spare, limits_exhausted=("grant:grant",))) == ["ticket"]


def test_a_grant_whose_time_is_over_stays_over() -> None:
    over = grant(valid=("", "2026-12-01T00:00:00+08:00"))
    found: dict[str, Any] = {"grants_expired": ("grant",)}
    assert suggested(over, grant("never", roles=["lead"]), **found).open == ()
    assert suggested(over).open == (), "nothing tells whether it is over"


def test_too_many_changes_are_cut_and_that_is_said() -> None:
    many = document(
        "Purposes", "many", {"purposes": [purpose(f"p{number}", {"consent": {}}) for number in range(90)]}
    )
    names = [f"p{number}" for number in range(90)]
    found = suggested(
        many, grant(purposes=["care", *names]), guard("g", "request.has_ticket", "time.hour > 20")
    )
    assert found.is_cut
    assert suggested(grant(), guard("g", "false")).is_cut is False


@FEW
@given(rule_documents(), requests(actions=tuple(Action)), st.dictionaries(st.sampled_from(sorted(FACTS)), st.none() | st.floats() | st.text() | st.builds(object)))  # fmt: skip
def test_no_facts_make_it_raise(
    documents: list[str], request: Request, found: dict[str, FactValue]
) -> None:
    bundle = compiled(*documents)
    plan = Planner(bundle).plan(request, frozenset({"agent", "lead"}))
    asked = Seen(plan, request, Facts(found))
    suggest(Planner(bundle).plan, asked, decide(plan, request, asked.facts))
