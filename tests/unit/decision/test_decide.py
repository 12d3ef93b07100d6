"""The decision: total, deterministic, monotone, closed by default, and in the order of DESIGN section 5."""

import random
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.decision.decide import decide, matching_grants, precheck, refuse
from fujie.decision.plan import Planner
from fujie.model.decision import Decision
from fujie.model.facts import Facts, FactValue, Unknown, UnknownWhy
from fujie.model.reason import BUILT_IN_REASONS
from fujie.model.request import Request
from fujie.model.step import parse_step
from fujie.model.vocabulary import Action, Effect, State
from fujie.policy.bundle import Bundle
from support.bundles import (
    FACTS,
    LADDERS,
    ROLES,
    UNKNOWN,
    compiled,
    document,
    facts,
    grant,
    grants,
    guard,
    guards,
    requests,
    rule_documents,
)

FEW = settings(max_examples=50)
AGENT = frozenset({"agent"})
ASKED = Request(Action.LOOKUP, "care", "consent", "crm", "phone", ("phone",))
KNOWN: Mapping[str, FactValue] = {
    "principal.kind": State.EMPLOYEE,
    "principal.roles": ("agent",),
    "principal.department": "east",
    "principal.employment": State.ACTIVE,
    "principal.training": State.VALID,
    "consent.state": State.GIVEN,
    "consent.explicit": True,
    "consent.separate": False,
    "request.has_ticket": False,
    "request.store": "crm",
    "time.hour": 10,
    "time.weekday": 1,
    "customer.minor": False,
    "customer.owner": "east",
    "customer.tags": ("new",),
    "customer.points": 5,
}


def decided(
    bundle: Bundle, request: Request = ASKED, roles: frozenset[str] = AGENT, **changed: FactValue
) -> Decision:
    values = dict(KNOWN) | {path.replace("_", ".", 1): value for path, value in changed.items()}
    return decide(Planner(bundle).plan(request, roles), request, Facts(values))


def outcome(decision: Decision) -> tuple[Effect, tuple[str, ...]]:
    return decision.effect, tuple(hit.code for hit in decision.reasons)


def assert_not_wider(narrow: Decision, wide: Decision) -> None:
    """Assert that `narrow` opens nothing that `wide` does not, field by field."""
    if narrow.effect is Effect.DENY:
        assert narrow.fields == {}
        return
    assert wide.effect is Effect.ALLOW
    for name, found in narrow.fields.items():
        ladder = LADDERS[name]
        assert ladder.index(str(found.step)) >= ladder.index(str(wide.fields[name].step))
        assert found.withheld or not wide.fields[name].withheld


ALLOWED = (Effect.ALLOW, ())
DENIED = Effect.DENY


# Promises, on generated bundles.


@FEW
@given(rule_documents(), guards("added"), requests(), ROLES, facts())
def test_adding_a_guard_never_widens(
    documents: list[str], added: str, request: Request, roles: frozenset[str], given_facts: Facts
) -> None:
    before, after = (
        decide(Planner(bundle).plan(request, roles), request, given_facts)
        for bundle in (compiled(*documents), compiled(*documents, added))
    )
    assert_not_wider(after, before)


@FEW
@given(rule_documents(), grants("removed"), requests(), ROLES, facts())
def test_removing_a_grant_never_widens(
    documents: list[str], removed: str, request: Request, roles: frozenset[str], given_facts: Facts
) -> None:
    before, after = (
        decide(Planner(bundle).plan(request, roles), request, given_facts)
        for bundle in (compiled(*documents, removed), compiled(*documents))
    )
    assert_not_wider(after, before)


@FEW
@given(rule_documents(), requests(), ROLES, facts(), st.randoms(use_true_random=False))
def test_the_order_of_the_documents_changes_nothing(
    documents: list[str],
    request: Request,
    roles: frozenset[str],
    given_facts: Facts,
    shuffler: random.Random,
) -> None:
    shuffled = documents.copy()
    shuffler.shuffle(shuffled)
    one, other = (
        decide(Planner(bundle).plan(request, roles), request, given_facts)
        for bundle in (compiled(*documents), compiled(*shuffled))
    )
    assert one == other
    assert repr(one) == repr(other)


@FEW
@given(rule_documents(), requests(), ROLES, facts(), st.data())
def test_not_knowing_a_fact_never_opens(
    documents: list[str], request: Request, roles: frozenset[str], known: Facts, data: st.DataObject
) -> None:
    plan = Planner(compiled(*documents)).plan(request, roles)
    path = data.draw(st.sampled_from(plan.reads))
    unknown = Facts({**known.values, path: data.draw(UNKNOWN)})
    assert_not_wider(decide(plan, request, unknown), decide(plan, request, known))


@FEW
@given(rule_documents(), guards("added", modes=("Warn", "Audit")), requests(), ROLES, facts())
def test_a_guard_that_warns_or_records_changes_neither_effect_nor_fields(
    documents: list[str], added: str, request: Request, roles: frozenset[str], given_facts: Facts
) -> None:
    before, after = (
        decide(Planner(bundle).plan(request, roles), request, given_facts)
        for bundle in (compiled(*documents), compiled(*documents, added))
    )
    assert (after.effect, after.reasons, after.fields, after.grants) == (
        before.effect, before.reasons, before.fields, before.grants,
    )  # fmt: skip


GARBAGE: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.binary() | st.dates()
    | st.text(st.characters()) | st.just("\ud800") | st.lists(st.text()) | st.tuples(st.integers()) | st.sampled_from(State)
    | st.builds(object)
)  # fmt: skip


@FEW
@given(
    rule_documents(),
    requests(actions=tuple(Action)),
    ROLES,
    st.dictionaries(st.sampled_from(tuple(FACTS)) | st.text(), GARBAGE),
    st.text(),
)
def test_no_facts_and_no_request_make_it_raise_or_open_by_accident(
    documents: list[str], request: Request, roles: frozenset[str], found: dict[str, FactValue], name: str
) -> None:
    bundle = compiled(*documents)
    for asked in (
        request,
        replace(request, purpose=name, store=name, fields=(name,)),
        replace(request, basis=name),
    ):
        plan = Planner(bundle).plan(asked, roles)
        decision = decide(plan, asked, Facts(found))
        assert decision.bundle == bundle.digest
        assert (decision.effect is Effect.ALLOW) == (not decision.reasons)
        if decision.effect is Effect.ALLOW:
            assert found["principal.employment"] is State.ACTIVE
            assert decision.grants
        assert set(decision.fields) <= set(asked.fields)
        precheck(plan, asked, Facts(found))


@FEW
@given(rule_documents(), requests(), ROLES, facts())
def test_the_same_arguments_give_the_same_bytes(
    documents: list[str], request: Request, roles: frozenset[str], given_facts: Facts
) -> None:
    first, second = (
        decide(Planner(compiled(*documents)).plan(request, roles), request, given_facts) for _ in range(2)
    )
    assert repr(first) == repr(second)


@FEW
@given(rule_documents(), requests(), ROLES, facts())
def test_only_fields_asked_for_and_granted_leave(
    documents: list[str], request: Request, roles: frozenset[str], given_facts: Facts
) -> None:
    bundle = compiled(*documents)
    plan = Planner(bundle).plan(request, roles)
    decision = decide(plan, request, given_facts)
    if decision.effect is not Effect.ALLOW:
        assert decision.fields == {}
        return
    assert tuple(decision.fields) == request.fields
    matched = matching_grants(plan, given_facts)
    assert decision.grants == tuple(found.name for found in matched)
    for name, found in decision.fields.items():
        ladder = bundle.fields[name].ladder
        if not found.withheld:
            opened = [ladder.rank(g.fields[name]) for g in matched if name in g.fields]
            assert ladder.rank(found.step) >= max(min(opened), ladder.rank(bundle.fields[name].floor))


@FEW
@given(rule_documents(), requests(), ROLES, facts(active=False))
def test_the_precheck_refuses_only_what_the_decision_refuses_and_alike(
    documents: list[str], request: Request, roles: frozenset[str], given_facts: Facts
) -> None:
    """Its answer must not depend on the customer, or it would tell who is one."""
    plan = Planner(compiled(*documents)).plan(request, roles)
    nobody = {
        path: value
        for path, value in given_facts.values.items()
        if path[:8] not in ("customer", "consent.")
    }
    early = precheck(plan, request, Facts(nobody))
    if early is not None:
        late = decide(plan, request, given_facts)
        assert (early.effect, early.reasons) == (late.effect, late.reasons)


# The order of the procedure.


@pytest.mark.parametrize(
    ("employment", "code"),
    [
        (State.OFFBOARDED, "PRINCIPAL_OFFBOARDED"),
        (State.SUSPENDED, "PRINCIPAL_SUSPENDED"),
        (State.GIVEN, "PRINCIPAL_UNKNOWN"),
        ("ACTIVE", "PRINCIPAL_UNKNOWN"),
        (True, "PRINCIPAL_UNKNOWN"),
        (Unknown(UnknownWhy.NULL), "PRINCIPAL_UNKNOWN"),
    ],
)
@pytest.mark.parametrize("request_", [ASKED, replace(ASKED, purpose="gossip"), Request(Action.AUDIT_READ)])
def test_employment_comes_first(employment: FactValue, code: str, request_: Request) -> None:
    decision = decided(compiled(grant(), guard("g", "false")), request_, principal_employment=employment)
    assert outcome(decision) == (DENIED, (code,))


def test_an_asker_without_a_matching_grant_sees_that_and_nothing_else() -> None:
    bundle = compiled(
        grant("g", roles=("lead",)), grant("e", match={"stores": ["erp"]}), guard("all", "consent.state == WITHDRAWN"),
        guard("warn", "false", mode="Warn"), guard("audit", "false", mode="Audit"),
    )  # fmt: skip
    for state in (State.GIVEN, State.WITHDRAWN, State.NONE):
        for asked in (ASKED, replace(ASKED, basis="legal_duty"), replace(ASKED, strict=True)):
            decision = decided(bundle, asked, consent_state=state)
            assert outcome(decision) == (DENIED, ("NO_GRANT",))
            assert (decision.warnings, decision.shadow, decision.grants, decision.fields) == (
                (),
                (),
                (),
                {},
            )


@pytest.mark.parametrize(
    "asked",
    [replace(ASKED, purpose="gossip"), replace(ASKED, fields=("shoe_size",)), replace(ASKED, fields=())],
)
def test_who_has_no_grant_for_the_action_is_not_told_which_names_exist(asked: Request) -> None:
    assert outcome(decided(compiled(grant()), asked, frozenset({"nobody"}))) == (DENIED, ("NO_GRANT",))


@pytest.mark.parametrize(
    ("asked", "codes"),
    [
        (replace(ASKED, purpose=""), ("PURPOSE_MISSING",)),
        (replace(ASKED, purpose="gossip"), ("UNKNOWN_PURPOSE",)),
        (replace(ASKED, fields=()), ("FIELDS_UNBOUNDED",)),
        (replace(ASKED, fields=("*",)), ("UNKNOWN_FIELD",)),
        (replace(ASKED, fields=("phone", "shoe_size")), ("UNKNOWN_FIELD",)),
        (replace(ASKED, purpose="gossip", fields=("*",)), ("UNKNOWN_FIELD", "UNKNOWN_PURPOSE")),
    ],
)
def test_names_that_the_bundle_does_not_define_are_invalid(asked: Request, codes: tuple[str, ...]) -> None:
    assert outcome(decided(compiled(grant()), asked)) == (DENIED, codes)


@pytest.mark.parametrize(
    ("basis", "evidence", "purpose", "codes"),
    [
        ("consent", False, "care", ()),
        ("contract", True, "care", ()),
        ("contract", False, "care", ("BASIS_EVIDENCE_MISSING",)),
        ("legal_duty", True, "care", ("BASIS_NOT_ACCEPTED",)),
        ("", True, "care", ("BASIS_NOT_ACCEPTED",)),
        ("CONSENT", True, "care", ("BASIS_NOT_ACCEPTED",)),
        ("contract", True, "marketing", ("BASIS_NOT_ACCEPTED",)),
        ("consent", False, "marketing", ()),
    ],
)
def test_a_caller_can_not_choose_its_law(
    basis: str, evidence: bool, purpose: str, codes: tuple[str, ...]
) -> None:
    asked = replace(ASKED, basis=basis, has_basis_evidence=evidence, purpose=purpose)
    assert outcome(decided(compiled(grant()), asked)) == (DENIED if codes else Effect.ALLOW, codes)


BROKEN: dict[str, tuple[str, dict[str, FactValue]]] = {
    "an error": ("24 / time.hour > 1", {"time_hour": 0}),
    "an unknown fact": ("!customer.minor", {"customer_minor": Unknown(UnknownWhy.NULL)}),
    "an unknown fact behind a true": ("true || customer.minor", {"customer_minor": Unknown(UnknownWhy.NULL)}),
    "a fact of another type": ("customer.points > 1", {"customer_points": "many"}),
    "a fact without a value": ("!customer.minor", {"customer_minor": None}),  # type: ignore[dict-item] # the attack
    "a spent budget": (
        "request.fields.all(x, request.fields.all(y, x == y || true))", {"request_fields": tuple(map(str, range(150)))},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("rule", "values"), BROKEN.values(), ids=BROKEN.keys())
def test_a_condition_that_breaks_does_not_match(rule: str, values: dict[str, FactValue]) -> None:
    for text in (rule, f"!({rule})"):
        assert outcome(decided(compiled(grant(condition=text)), **values)) == (DENIED, ("NO_GRANT",))


@pytest.mark.parametrize(("rule", "values"), BROKEN.values(), ids=BROKEN.keys())
def test_a_guard_that_breaks_refuses(rule: str, values: dict[str, FactValue]) -> None:
    for text in (rule, f"!({rule})"):
        unknown = any(isinstance(value, Unknown) for value in values.values())
        code = "FACT_MISSING" if unknown else "GUARD_ERROR"
        as_validation = compiled(grant(), guard("g", text))
        as_condition = compiled(grant(), guard("g", "true", conditions=[text]))
        assert outcome(decided(as_validation, **values)) == (DENIED, (code,))
        broken = decided(as_condition, **values)
        assert (broken.effect, {hit.code for hit in broken.reasons}) == (DENIED, {code})


def test_a_guard_that_breaks_names_itself_and_the_fact_but_never_its_value() -> None:
    bundle = compiled(grant(), guard("adults-only", "!customer.minor && customer.owner != 'x'"))
    decision = decided(bundle, customer_minor=Unknown(UnknownWhy.NULL), customer_owner="secret-department")
    (hit,) = decision.reasons
    assert (hit.guard, hit.validation) == ("adults-only", "v0")
    assert "customer.minor" in hit.message.en
    assert "secret" not in repr(hit)


def test_a_match_condition_that_is_false_takes_the_guard_out_even_if_another_breaks() -> None:
    bundle = compiled(
        grant(), guard("g", "false", conditions=["24 / time.hour > 1", "false"], fields={"phone": "omit"})
    )
    decision = decided(bundle, time_hour=0)
    assert outcome(decision) == ALLOWED
    assert str(decision.fields["phone"].step) == "reveal"


def test_every_guard_is_evaluated_and_the_first_reason_is_by_priority_then_name() -> None:
    reasons = document("Reasons", "r", {"reasons": [
        {"code": "X_LATE", "message": {"zh": "晚", "en": "late"}, "priority": 800},
        {"code": "X_EARLY", "message": {"zh": "早", "en": "early"}, "priority": 100},
    ]})  # fmt: skip

    def refusing(name: str, code: str) -> str:
        return document("Guard", name, {
            "match": {"actions": ["lookup"]}, "validations": [{"name": "v", "expression": "false", "reason": code}],
        })  # fmt: skip

    bundle = compiled(
        reasons, grant(), refusing("a", "X_LATE"), refusing("b", "X_EARLY"), refusing("c", "X_EARLY")
    )
    decision = decided(bundle, replace(ASKED, basis="legal_duty"))
    assert [(hit.code, hit.guard) for hit in decision.reasons] == [
        ("BASIS_NOT_ACCEPTED", ""), ("X_EARLY", "b"), ("X_EARLY", "c"), ("X_LATE", "a"),
    ]  # fmt: skip
    assert decision.primary == "BASIS_NOT_ACCEPTED"


def test_warnings_are_told_and_shadows_recorded_also_when_they_break() -> None:
    bundle = compiled(
        grant(), guard("w", "false", mode="Warn"), guard("s", "24 / time.hour > 1", mode="Audit"),
        guard("fine", "true", mode="Warn"),
    )  # fmt: skip
    decision = decided(bundle, time_hour=0)
    assert decision.effect is Effect.ALLOW
    assert [(hit.code, hit.guard) for hit in decision.warnings] == [("GUARD_REFUSED", "w")]
    assert [(hit.code, hit.guard) for hit in decision.shadow] == [("GUARD_ERROR", "s")]


# The steps of the fields.


@pytest.mark.parametrize(
    ("opened", "closing", "field", "step"),
    [
        (["keep(3,4)"], [], "phone", "keep(3,4)"),
        (["keep(3,4)", "reveal"], [], "phone", "reveal"),
        (["reveal", "token"], ["keep(3,2)"], "phone", "keep(3,2)"),
        (["token"], ["keep(3,2)"], "phone", "token"),
        (["reveal"], ["keep(3,4)", "token"], "phone", "token"),
        (["reveal"], [], "id_card", "keep(1,1)"),
        (["token"], [], "id_card", "token"),
        (["reveal"], ["reveal"], "id_card", "keep(1,1)"),
    ],
)
def test_the_step_is_the_most_open_of_the_grants_then_the_most_closed_of_guards_and_floor(
    opened: list[str], closing: list[str], field: str, step: str
) -> None:
    bundle = compiled(
        *(grant(f"grant-{i}", fields={field: text}) for i, text in enumerate(opened)),
        *(guard(f"guard-{i}", fields={field: text}) for i, text in enumerate(closing)),
    )
    decision = decided(bundle, replace(ASKED, fields=(field,)))
    assert decision.fields[field].step == parse_step(step)


def test_a_grant_whose_condition_is_false_opens_no_step() -> None:
    bundle = compiled(
        grant("a", fields={"phone": "reveal"}, condition="false"), grant("b", fields={"phone": "token"})
    )
    decision = decided(bundle)
    assert (str(decision.fields["phone"].step), decision.grants) == ("token", ("b",))


def test_a_field_that_is_not_granted_is_withheld_and_named() -> None:
    decision = decided(compiled(grant()), replace(ASKED, fields=("name", "phone")))
    assert outcome(decision) == ALLOWED
    assert [(name, str(found.step), found.withheld) for name, found in decision.fields.items()] == [
        ("name", "omit", "FIELD_NOT_GRANTED"), ("phone", "reveal", ""),
    ]  # fmt: skip


def test_a_strict_request_is_refused_when_any_field_is_withheld() -> None:
    decision = decided(compiled(grant()), replace(ASKED, fields=("name", "phone"), strict=True))
    assert outcome(decision) == (DENIED, ("FIELD_NOT_GRANTED",))
    assert decision.fields == {}


@pytest.mark.parametrize(
    "documents", [(grant(fields={"name": "reveal"}),), (grant(), guard("g", fields={"phone": "omit"}))]
)
def test_a_request_all_of_whose_fields_are_withheld_is_refused(documents: tuple[str, ...]) -> None:
    assert outcome(decided(compiled(*documents))) == (DENIED, ("NO_FIELD_GRANTED",))


def test_a_refusal_shows_no_field() -> None:
    assert decided(compiled(grant(), guard("g", "false"))).fields == {}


def test_an_action_that_is_not_on_customers_needs_a_grant_and_neither_purpose_nor_basis() -> None:
    bundle = compiled(grant("g", actions=("audit.read",), purposes=()))
    assert outcome(decided(bundle, Request(Action.AUDIT_READ))) == ALLOWED
    assert outcome(decided(bundle, Request(Action.PRINCIPAL_WRITE))) == (DENIED, ("NO_GRANT",))
    assert outcome(decided(bundle, Request(Action.AUDIT_READ, fields=("phone",)))) != ALLOWED


def test_an_empty_bundle_opens_nothing() -> None:
    for action in Action:
        assert decided(compiled(), replace(ASKED, action=action)).primary == "NO_GRANT"


def test_a_decision_says_what_it_depended_on() -> None:
    decision = decided(
        compiled(
            grant(condition="request.has_ticket || customer.owner == 'east'"), guard("g", "!customer.minor")
        )
    )
    assert set(decision.read) == {
        "principal.employment", "principal.roles", "request.has_ticket", "customer.owner", "customer.minor",
    }  # fmt: skip


@pytest.mark.parametrize("code", BUILT_IN_REASONS)
def test_every_built_in_reason_can_refuse_outside_the_policy(code: str) -> None:
    decision = refuse("sha256:x", code)
    assert (decision.effect, decision.primary, decision.fields) == (Effect.DENY, code, {})
