"""The decision: closed by default, and in the order of DESIGN section 5."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import settings

from fujie.decision.decide import decide, refuse
from fujie.decision.plan import Planner
from fujie.model.decision import Decision
from fujie.model.facts import APPROVED, EXPIRED, Facts, FactValue, Unknown, UnknownWhy
from fujie.model.reasons import BUILT_IN_REASONS
from fujie.model.request import Request
from fujie.model.step import parse_step
from fujie.model.vocabulary import Action, Effect, State
from fujie.policy.bundle import Bundle
from support.bundles import (
    APPROVAL,
    compiled,
    document,
    grant,
    guard,
    requirement,
)

FEW = settings(max_examples=25)
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
    bundle: Bundle, request: Request = ASKED, roles: frozenset[str] = AGENT, /, **changed: FactValue
) -> Decision:
    values = dict(KNOWN) | {path.replace("_", ".", 1): value for path, value in changed.items()}
    return decide(Planner(bundle).plan(request, roles), request, Facts(values))


def outcome(decision: Decision) -> tuple[Effect, tuple[str, ...]]:
    return decision.effect, tuple(hit.code for hit in decision.reasons)


ALLOWED = (Effect.ALLOW, ())
DENIED = Effect.DENY


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


# Approvals.

ASKING = guard("asks", "request.has_ticket", "time.hour < 9", approvable=(0, 1))
KEYS = tuple(requirement("asks", name).key for name in ("v0", "v1"))
NEEDED = Effect.APPROVAL_REQUIRED


def test_what_is_false_and_may_be_approved_asks_for_it_and_opens_nothing_yet() -> None:
    found = decided(compiled(grant(limits={"rows_per_hour": 5}), ASKING), limits_exhausted=())
    assert outcome(found) == (NEEDED, ("APPROVAL_REQUIRED", "APPROVAL_REQUIRED"))
    assert [(hit.guard, hit.validation) for hit in found.reasons] == [("asks", "v0"), ("asks", "v1")]
    assert found.needs == (requirement("asks", "v0"), requirement("asks", "v1"))
    assert (found.fields, found.charges, found.uses) == ({}, (), ())


def test_each_validation_needs_an_approval_of_its_own() -> None:
    bundle = compiled(grant(), ASKING)
    for granted, needs in ((KEYS[:1], KEYS[1:]), (KEYS[1:], KEYS[:1])):
        found = decided(bundle, approvals_granted=granted)
        assert (found.effect, tuple(need.key for need in found.needs)) == (NEEDED, needs)
    found = decided(bundle, approvals_granted=KEYS)
    assert outcome(found) == ALLOWED
    assert (found.needs, tuple(used.key for used in found.uses)) == ((), KEYS)


def test_an_approval_that_is_not_needed_is_not_used() -> None:
    found = decided(compiled(grant(), ASKING), approvals_granted=KEYS, request_has_ticket=True, time_hour=8)
    assert (outcome(found), found.uses) == (ALLOWED, ())


@pytest.mark.parametrize(
    "granted",
    [
        (),
        Unknown(UnknownWhy.NULL),
        True,
        KEYS[0],
        ("asks/v0", "asks/v1"),
        ("asks/v0#", ""),
        (KEYS[0].upper(),),
    ],
    ids=repr,
)
def test_nothing_but_its_own_key_is_an_approval(granted: FactValue) -> None:
    assert len(decided(compiled(grant(), ASKING), approvals_granted=granted).needs) == 2


@pytest.mark.parametrize(
    "terms",
    [{"count": 3}, {"roles": ["officer"]}, {"valid_for": "23h"}, {"roles": ["officer", "lead", "x"]}],
)
def test_what_was_agreed_under_other_terms_is_no_approval(terms: dict[str, object]) -> None:
    """A policy that asks for more, or for others, is not satisfied by what was agreed to before."""
    agreed = APPROVAL["approval"]
    assert isinstance(agreed, dict)
    rule = {"name": "v0", "expression": "false", "outcome": "approval", "approval": {**agreed, **terms}}
    spec = {"match": {"actions": ["lookup"]}, "validations": [rule]}
    bundle = compiled(grant(), document("Guard", "asks", spec))
    assert decided(bundle, approvals_granted=KEYS).effect is NEEDED


def test_to_refuse_comes_before_to_ask() -> None:
    """And says nothing of approvals: nobody is sent to collect one that would not help."""
    refusing = guard("refuses", "consent.explicit == false")
    found = decided(compiled(grant(), ASKING, refusing))
    assert outcome(found) == (DENIED, ("GUARD_REFUSED",))
    assert (found.needs, found.uses) == ((), ())
    assert decided(compiled(grant(), refusing)).reasons == found.reasons


@pytest.mark.parametrize(
    ("rule", "code"), [("24 / time.hour > 1", "GUARD_ERROR"), ("customer.minor", "FACT_MISSING")]
)
@pytest.mark.parametrize("granted", [(), (requirement("asks", "v0").key,)])
def test_no_approval_is_one_for_a_rule_that_could_not_be_evaluated(
    rule: str, code: str, granted: tuple[str, ...]
) -> None:
    bundle = compiled(grant(), guard("asks", rule, approvable=(0,)))
    found = decided(bundle, time_hour=0, customer_minor=Unknown(UnknownWhy.NULL), approvals_granted=granted)
    assert outcome(found) == (DENIED, (code,))


def test_a_guard_whose_condition_errs_refuses_whatever_was_approved() -> None:
    asks = guard("asks", "false", conditions=["24 / time.hour > 1"], approvable=(0,))
    found = decided(compiled(grant(), asks), time_hour=0, approvals_granted=KEYS)
    assert outcome(found) == (DENIED, ("GUARD_ERROR",))


def test_a_guard_that_does_not_apply_asks_for_nothing() -> None:
    asks = guard("asks", "false", conditions=["time.hour > 20"], approvable=(0,))
    assert outcome(decided(compiled(grant(), asks))) == ALLOWED


@pytest.mark.parametrize("used_up", ["grant:grant", "guard:asks"])
def test_a_limit_that_is_used_up_says_nothing_of_approvals(used_up: str) -> None:
    asks = guard("asks", "!customer.minor", approvable=(0,), limits={"rows_per_hour": 5})
    bundle = compiled(grant(limits={"rows_per_hour": 5}), asks)
    for minor in (True, False):
        found = decided(bundle, customer_minor=minor, limits_exhausted=(used_up,))
        assert outcome(found) == (DENIED, ("LIMIT_EXCEEDED",))


def test_who_would_get_no_field_is_not_sent_to_collect_approvals() -> None:
    bundle = compiled(grant(fields={"name": "reveal"}), ASKING)
    assert outcome(decided(bundle)) == (DENIED, ("NO_FIELD_GRANTED",))


def test_a_basis_that_is_not_accepted_is_not_a_matter_of_approval() -> None:
    found = decided(compiled(grant(), ASKING), replace(ASKED, basis="legal_duty"))
    assert outcome(found) == (DENIED, ("BASIS_NOT_ACCEPTED",))


def test_a_plan_without_approvals_and_bounds_reads_neither() -> None:
    reads = Planner(compiled(grant(), guard("g", "true"))).plan(ASKED, AGENT).reads
    assert set(reads).isdisjoint({APPROVED, EXPIRED})
    asking = Planner(compiled(grant(valid=("", "2026-12-01T00:00:00Z")), ASKING)).plan(ASKED, AGENT)
    assert {APPROVED, EXPIRED} <= set(asking.reads)
    assert asking.approvals == (requirement("asks", "v0"), requirement("asks", "v1"))


# Words.


@pytest.mark.parametrize(("with_notice", "named"), [(True, "care-notice 2"), (False, "care")])
def test_a_remedy_names_the_notice_in_force_for_the_purpose(*, with_notice: bool, named: str) -> None:
    words = {"zh": "{controller}告知：可以随时撤回。", "en": "{controller} asks. You can withdraw."}
    withdrawal = {"zh": "可以随时撤回", "en": "You can withdraw"}
    spec = {"version": "2", "purposes": ["care"], "explicit": True, "text": words, "withdrawal": withdrawal}
    spec |= {"data_classes": ["mobile"], "storage": ["CN"]}
    remedy = {"zh": "请出示{notice}。", "en": "Show {notice}."}
    validation = {"name": "agreed", "expression": "consent.state == GIVEN", "remedy": remedy}
    asks = document("Guard", "asks", {"match": {"actions": ["lookup"]}, "validations": [validation]})
    notices = [document("Notice", "care-notice", spec)] if with_notice else []
    (hit,) = decided(compiled(grant("g"), asks, *notices), consent_state=State.NONE).reasons
    assert (hit.remedy.zh, hit.remedy.en) == (f"请出示{named}。", f"Show {named}.")
