"""What DESIGN section 3 promises of a decision, on generated bundles: total, deterministic, monotone."""

import json
import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.decision.decide import decide, matching_grants, precheck
from fujie.decision.plan import Planner
from fujie.model.decision import Decision
from fujie.model.facts import (
    AGREEMENT,
    APPROVED,
    BREAK_GLASS,
    CUSTOMER_ROOTS,
    EXHAUSTED,
    EXPIRED,
    FREQUENT,
    USE_ROOTS,
    Facts,
    FactValue,
)
from fujie.model.request import Request
from fujie.model.vocabulary import Action, Effect, State
from support.bundles import (
    APPROVABLE,
    EXPIRABLE,
    FACTS,
    LADDERS,
    LIMITED,
    ROLES,
    UNKNOWN,
    compiled,
    facts,
    grants,
    guards,
    requests,
    rule_documents,
    values,
)

FEW = settings(max_examples=25)
OPEN = (Effect.DENY, Effect.APPROVAL_REQUIRED, Effect.ALLOW)
"""Effects, from closed to open."""


def root(path: str) -> str:
    return path.partition(".")[0]


def without(known: Facts, roots: frozenset[str]) -> Facts:
    return Facts({path: value for path, value in known.values.items() if root(path) not in roots})


def assert_not_wider(narrow: Decision, wide: Decision) -> None:
    """Assert that `narrow` opens nothing that `wide` does not, field by field."""
    assert OPEN.index(narrow.effect) <= OPEN.index(wide.effect)
    if narrow.effect is not Effect.ALLOW:
        assert (narrow.fields, narrow.charges, narrow.uses, narrow.breaks) == ({}, (), (), ())
        return
    for name, found in narrow.fields.items():
        ladder = LADDERS[name]
        assert ladder.index(str(found.step)) >= ladder.index(str(wide.fields[name].step))
        assert found.withheld or not wide.fields[name].withheld


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
    if before.effect is Effect.DENY:
        assert before.deferrable or not after.deferrable
    if after.effect is Effect.APPROVAL_REQUIRED:
        assert set(after.needs) >= set(before.needs)
    if after.effect is Effect.ALLOW:
        assert set(after.uses) >= set(before.uses)
        assert set(after.breaks) >= set(before.breaks)


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
        assert (decision.effect is Effect.APPROVAL_REQUIRED) == bool(decision.needs)
        assert decision.effect is Effect.DENY or not decision.deferrable
        if decision.effect is Effect.ALLOW:
            assert found["principal.employment"] is State.ACTIVE
            assert decision.grants
            if asked.action is Action.SEND:
                assert found[AGREEMENT] in (State.VALID, State.NOT_NEEDED)
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
    """Its answer must not depend on the customer, or it would tell who is one. The second one knows the use."""
    plan = Planner(compiled(*documents)).plan(request, roles)
    counted = without(given_facts, CUSTOMER_ROOTS)
    early = precheck(plan, request, counted)
    if early is not None:
        late = decide(plan, request, given_facts)
        assert (early.effect, early.reasons) == (late.effect, late.reasons)
    first = precheck(plan, request, without(counted, USE_ROOTS))
    if first is not None:
        assert early is not None
        assert (first.effect, first.reasons) == (early.effect, early.reasons)


@FEW
@given(rule_documents(), requests(), ROLES, facts(), st.sets(st.sampled_from(LIMITED)))
def test_a_limit_that_is_used_up_never_widens(
    documents: list[str], request: Request, roles: frozenset[str], given_facts: Facts, more: set[str]
) -> None:
    plan = Planner(compiled(*documents)).plan(request, roles)
    told = given_facts.get(EXHAUSTED)
    before = told if isinstance(told, tuple) else ()
    fresh, spent = (
        Facts({**given_facts.values, EXHAUSTED: used_up})
        for used_up in (before, tuple(sorted({*before, *more})))
    )
    assert_not_wider(decide(plan, request, spent), decide(plan, request, fresh))


@FEW
@given(
    rule_documents(), requests(actions=(Action.SEND,)), ROLES, facts(), st.sets(st.sampled_from(LIMITED))
)
def test_a_cap_on_messages_that_is_used_up_never_widens(
    documents: list[str], request: Request, roles: frozenset[str], given_facts: Facts, more: set[str]
) -> None:
    plan = Planner(compiled(*documents)).plan(request, roles)
    told = given_facts.get(FREQUENT)
    before = told if isinstance(told, tuple) else ()
    fresh, spent = (
        decide(plan, request, Facts({**given_facts.values, FREQUENT: used_up}))
        for used_up in (before, tuple(sorted({*before, *more})))
    )
    assert_not_wider(spent, fresh)
    assert fresh.deferrable or spent.effect is fresh.effect or not spent.deferrable


@FEW
@given(rule_documents(), requests(actions=(Action.SEND,)), ROLES, facts())
def test_a_validation_that_defers_refuses_what_it_would_refuse_anyway(
    documents: list[str], request: Request, roles: frozenset[str], given_facts: Facts
) -> None:
    """Waiting is offered only where nothing but validations that defer stands in the way."""
    strict = [text.replace('"outcome": "defer"', '"outcome": "deny"') for text in documents]
    waiting, refusing = (
        decide(Planner(bundle).plan(request, roles), request, given_facts)
        for bundle in (compiled(*documents), compiled(*strict))
    )
    assert (waiting.effect, waiting.reasons, waiting.needs) == (
        refusing.effect,
        refusing.reasons,
        refusing.needs,
    )
    assert not refusing.deferrable
    if waiting.deferrable:
        defers = {
            (content["metadata"]["name"], entry["name"])
            for content in map(json.loads, documents)
            for entry in content["spec"].get("validations", ())
            if entry.get("outcome") == "defer"
        }
        assert {(hit.guard, hit.validation) for hit in waiting.reasons} <= defers
        assert not {hit.code for hit in waiting.reasons} & {"FACT_MISSING", "GUARD_ERROR"}


@FEW
@given(rule_documents(), requests(), ROLES, facts(), st.data())
def test_what_an_exhausted_limit_says_depends_on_no_customer(
    documents: list[str], request: Request, roles: frozenset[str], given_facts: Facts, data: st.DataObject
) -> None:
    """A refusal by the check before the customer is the same for another customer."""
    plan = Planner(compiled(*documents)).plan(request, roles)
    if (early := precheck(plan, request, without(given_facts, CUSTOMER_ROOTS))) is None:
        return
    other = {path: data.draw(values(FACTS[path])) for path in plan.reads if root(path) in CUSTOMER_ROOTS}
    late = decide(plan, request, Facts({**given_facts.values, **other}))
    assert (late.effect, late.reasons) == (early.effect, early.reasons)


@FEW
@given(rule_documents(), requests(), ROLES, facts(), st.sets(st.sampled_from(EXPIRABLE)))
def test_a_grant_that_is_out_of_its_validity_never_widens(
    documents: list[str], request: Request, roles: frozenset[str], given_facts: Facts, more: set[str]
) -> None:
    plan = Planner(compiled(*documents)).plan(request, roles)
    told = given_facts.get(EXPIRED)
    before = told if isinstance(told, tuple) else ()
    fresh, over = (
        Facts({**given_facts.values, EXPIRED: expired}) for expired in (before, tuple({*before, *more}))
    )
    assert_not_wider(decide(plan, request, over), decide(plan, request, fresh))


@FEW
@given(rule_documents(), requests(), ROLES, facts(), st.sets(st.sampled_from(EXPIRABLE)))
def test_a_grant_that_is_out_of_its_validity_is_like_one_that_was_removed(
    documents: list[str], request: Request, roles: frozenset[str], given_facts: Facts, out: set[str]
) -> None:
    """Byte for byte, or who had a grant once could tell more than who never had one (promise 9)."""
    timed = {d["metadata"]["name"]: "valid_from" in d["spec"] or "valid_until" in d["spec"]
             for d in map(json.loads, documents) if d["kind"] == "Grant"}  # fmt: skip
    gone = {name for name in out if timed.get(name)}
    left = [text for text in documents if json.loads(text)["metadata"]["name"] not in gone]
    told = Facts({**given_facts.values, EXPIRED: tuple(sorted(gone))})
    expired, removed = (
        decide(Planner(bundle).plan(request, roles), request, told)
        for bundle in (compiled(*documents), compiled(*left))
    )
    names = (
        "effect", "reasons", "fields", "grants", "warnings", "shadow", "needs", "uses", "breaks", "charges", "deferrable",
    )  # fmt: skip
    assert {n: getattr(expired, n) for n in names} == {n: getattr(removed, n) for n in names}
    early, never = (
        precheck(Planner(bundle).plan(request, roles), request, without(told, CUSTOMER_ROOTS))
        for bundle in (compiled(*documents), compiled(*left))
    )
    assert (early and early.reasons) == (never and never.reasons)


@FEW
@given(rule_documents(), requests(), ROLES, facts(), st.sets(st.sampled_from(APPROVABLE)))
def test_approving_opens_exactly_what_was_left_to_approve(
    documents: list[str], request: Request, roles: frozenset[str], given_facts: Facts, some: set[str]
) -> None:
    """Whatever else is approved: only all of `needs` turns APPROVAL_REQUIRED into ALLOW, nothing turns a DENY."""
    plan = Planner(compiled(*documents)).plan(request, roles)

    def approved(keys: set[str]) -> Decision:
        told = {APPROVED: tuple(sorted(keys)), BREAK_GLASS: ()}
        return decide(plan, request, Facts({**given_facts.values, **told}))

    nothing, partly = approved(set()), approved(some)
    assert_not_wider(nothing, partly)
    if nothing.effect is not Effect.APPROVAL_REQUIRED:
        assert (partly.effect, partly.reasons, partly.fields) == (
            nothing.effect, nothing.reasons, nothing.fields,
        )  # fmt: skip
        assert (partly.needs, partly.uses) == ((), ())
        return
    wanted = {need.key for need in nothing.needs}
    assert len(nothing.reasons) == len(nothing.needs)
    assert (partly.effect is Effect.ALLOW) == (wanted <= some)
    assert {need.key for need in partly.needs} == wanted - some
    whole = approved(wanted)
    assert whole.effect is Effect.ALLOW
    assert whole.uses == nothing.needs


@FEW
@given(rule_documents(), requests(), ROLES, facts(), st.sets(st.sampled_from(APPROVABLE)))
def test_breaking_the_glass_opens_exactly_what_was_left_to_approve_and_warns(
    documents: list[str], request: Request, roles: frozenset[str], given_facts: Facts, some: set[str]
) -> None:
    """All of `needs`, by a role that each of them lets, and nothing else: never a DENY, and never a part."""
    plan = Planner(compiled(*documents)).plan(request, roles)
    closed, broken = (
        decide(plan, request, Facts({**given_facts.values, BREAK_GLASS: keys}))
        for keys in ((), tuple(sorted(some)))
    )
    assert closed.breaks == ()
    assert_not_wider(closed, broken)
    told = given_facts.get("principal.roles")
    may = isinstance(told, tuple) and "agent" in told
    is_open = may and all(need.break_glass and need.key in some for need in closed.needs)
    if closed.effect is not Effect.APPROVAL_REQUIRED or not is_open:
        assert replace(broken, read={}) == replace(closed, read={}), "byte for byte (promise 9)"
        return
    assert (broken.effect, broken.breaks, broken.needs, broken.reasons) == (
        Effect.ALLOW,
        closed.needs,
        (),
        (),
    )
    warned = [hit for hit in broken.warnings if hit.code == "BREAK_GLASS_USED"]
    assert {(hit.guard, hit.validation) for hit in warned} == {
        (n.guard, n.validation) for n in closed.needs
    }
    assert set(broken.warnings) - set(warned) == set(closed.warnings)
    assert BREAK_GLASS in broken.read


@FEW
@given(rule_documents(), requests(), ROLES, facts())
def test_an_approval_is_asked_for_only_where_the_same_rules_would_refuse(
    documents: list[str], request: Request, roles: frozenset[str], given_facts: Facts
) -> None:
    """It tells nothing that a refusal would not have told: the same validations in the same words."""
    strict = [
        json.dumps({**content, "spec": {**content["spec"], "validations": [
            {key: value for key, value in entry.items() if key not in ("outcome", "approval")}
            for entry in content["spec"]["validations"]
        ]}}) if content["kind"] == "Guard" else text
        for text in documents for content in [json.loads(text)]
    ]  # fmt: skip
    nothing = Facts({**given_facts.values, APPROVED: (), BREAK_GLASS: ()})
    asking, refusing = (
        decide(Planner(bundle).plan(request, roles), request, nothing)
        for bundle in (compiled(*documents), compiled(*strict))
    )
    assert_not_wider(refusing, asking)
    told = {(hit.guard, hit.validation) for hit in refusing.reasons}
    assert {(hit.guard, hit.validation) for hit in asking.reasons} <= told
    if asking.effect is Effect.APPROVAL_REQUIRED:
        assert {(need.guard, need.validation) for need in asking.needs} == told
