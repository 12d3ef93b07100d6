"""Limits close, and what they say is the same for every customer."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.decision.decide import decide, precheck
from fujie.decision.plan import Planner
from fujie.model.decision import Decision
from fujie.model.facts import EXHAUSTED, ROWS, Facts, FactValue, Unknown, UnknownWhy
from fujie.model.limit import Charge, Limit
from fujie.model.request import Request
from fujie.model.vocabulary import Action, Effect, State
from fujie.policy.bundle import Bundle
from support.bundles import (
    CUSTOMER_FACTS,
    LIMITED,
    ROLES,
    compiled,
    facts,
    grant,
    grants,
    guard,
    requests,
    rule_documents,
    values,
)

FEW = settings(max_examples=30)
AGENT = frozenset({"agent"})
ASKED = Request(Action.LOOKUP, "care", "consent", "crm", "phone", ("phone",))
KNOWN: Mapping[str, FactValue] = {
    "principal.roles": ("agent",),
    "principal.department": "east",
    "principal.employment": State.ACTIVE,
    "consent.state": State.GIVEN,
    "customer.owner": "east",
    "customer.minor": False,
    "request.has_ticket": False,
    EXHAUSTED: (),
    ROWS: 1,
}
HOURLY = {"rows_per_hour": 5}
MINE = "customer.owner == principal.department"


def decided(bundle: Bundle, request: Request = ASKED, **changed: FactValue) -> Decision:
    found = dict(KNOWN) | {path.replace("_", ".", 1): value for path, value in changed.items()}
    return decide(Planner(bundle).plan(request, AGENT), request, Facts(found))


def before(bundle: Bundle, *used_up: str, request: Request = ASKED) -> str:
    """Return what the check before the customer says, empty when it lets through."""
    asker = {path: value for path, value in KNOWN.items() if not path.startswith(("customer", "consent"))}
    refused = precheck(
        Planner(bundle).plan(request, AGENT), request, Facts({**asker, EXHAUSTED: tuple(used_up)})
    )
    return refused.primary if refused else ""


def test_an_allowed_look_up_is_charged_to_every_rule_that_counts_it() -> None:
    bundle = compiled(
        grant("a", limits={"rows_per_hour": 5, "lookups_per_minute": 7, "rows_per_request": 1}),
        grant("b", condition="false", limits=HOURLY),
        guard("c", "true", limits={"distinct_customers_per_day": 3}),
        guard("d", "true", conditions=("false",), limits=HOURLY),
        guard("e", limits={"rows_per_hour": 2}),
    )
    assert decided(bundle).charges == (
        Charge("grant:a", Limit.ROWS_PER_HOUR, 5),
        Charge("guard:c", Limit.DISTINCT_CUSTOMERS_PER_DAY, 3),
        Charge("guard:e", Limit.ROWS_PER_HOUR, 2),
    )


def test_a_refusal_is_charged_nothing() -> None:
    assert decided(compiled(grant("a", limits=HOURLY), guard("g", "false"))).charges == ()


def test_a_grant_without_room_does_not_match_and_another_may() -> None:
    bundle = compiled(grant("a", limits=HOURLY), grant("b", fields={"phone": "token"}))
    both, one = decided(bundle), decided(bundle, limits_exhausted=("grant:a",))
    assert [both.grants, str(both.fields["phone"].step)] == [("a", "b"), "reveal"]
    assert [one.grants, str(one.fields["phone"].step), one.charges] == [("b",), "token", ()]


@pytest.mark.parametrize("used_up", ["grant:a", "guard:g"])
def test_without_room_there_is_one_reason_and_nothing_else_is_said(used_up: str) -> None:
    bundle = compiled(
        grant("a", limits=HOURLY),
        guard("g", "true", limits=HOURLY),
        guard("consent", "consent.state == GIVEN"),
        guard("warns", "consent.state == GIVEN", mode="Warn"),
    )
    refusals = {
        repr((found.reasons, found.warnings, found.shadow, found.grants, found.fields, found.charges))
        for state in (State.GIVEN, State.NONE, State.WITHDRAWN)
        for found in [decided(bundle, limits_exhausted=(used_up,), consent_state=state)]
    }
    assert len(refusals) == 1
    assert decided(bundle, limits_exhausted=(used_up,)).primary == "LIMIT_EXCEEDED"
    assert before(bundle, used_up) == "LIMIT_EXCEEDED"


def test_a_guard_without_room_that_does_not_apply_is_in_nobodys_way() -> None:
    bundle = compiled(grant(), guard("g", conditions=("customer.minor",), limits=HOURLY))
    assert decided(bundle, limits_exhausted=("guard:g",)).effect is Effect.ALLOW
    assert decided(bundle, limits_exhausted=("guard:g",), customer_minor=True).primary == "LIMIT_EXCEEDED"


@pytest.mark.parametrize("used_up", ["grant:mine", "guard:g"])
@pytest.mark.parametrize("owner", ["east", "west", Unknown(UnknownWhy.NO_CUSTOMER)])
def test_who_used_up_a_limit_can_not_find_out_whose_customer_it_is(used_up: str, owner: FactValue) -> None:
    """An open grant would say so; one without room must not, for it costs nothing to ask it."""
    bundle = compiled(
        grant("mine", condition=MINE, limits=HOURLY),
        guard("g", conditions=("!customer.minor",), limits=HOURLY),
    )
    assert decided(bundle, limits_exhausted=(used_up,), customer_owner=owner).primary == "LIMIT_EXCEEDED"


def test_a_grant_whose_condition_is_false_for_everybody_hides_behind_no_limit() -> None:
    bundle = compiled(grant("a", condition="request.has_ticket", limits=HOURLY))
    for used_up in ((), ("grant:a",)):
        assert decided(bundle, limits_exhausted=used_up).primary == "NO_GRANT"
        assert before(bundle, *used_up) == "NO_GRANT"


def test_limits_that_nobody_established_are_used_up() -> None:
    bundle = compiled(grant("a", limits=HOURLY), grant("b", condition="false"))
    for odd in (Unknown(UnknownWhy.NOT_FETCHED), "grant:b", 5, None):
        assert decided(bundle, limits_exhausted=odd).primary == "LIMIT_EXCEEDED"  # type: ignore[arg-type] # garbage


@pytest.mark.parametrize(
    ("rows", "code"), [(1, ""), (2, ""), (3, "LIMIT_EXCEEDED"), (10**9, "LIMIT_EXCEEDED")]
)
@pytest.mark.parametrize("on", ["grant", "guard"])
def test_a_call_about_too_many_rows_is_refused_before_anybody_is_looked_at(
    on: str, rows: int, code: str
) -> None:
    most = {"rows_per_request": 2}
    bundle = compiled(
        grant(limits=most if on == "grant" else None),
        guard("g", "true", limits=most if on == "guard" else None),
    )
    found = decided(bundle, replace(ASKED, rows=rows), request_rows=rows)
    assert found.primary == code
    assert (EXHAUSTED in found.read, found.read.get(ROWS)) == (False, rows)
    plan = Planner(bundle).plan(ASKED, AGENT)
    early = precheck(plan, ASKED, Facts({**KNOWN, ROWS: rows}))
    assert (early.primary if early else "") == code


def test_without_limits_neither_fact_is_read() -> None:
    assert not {EXHAUSTED, ROWS} & set(decided(compiled(grant(), guard("g", "true"))).read)


def test_a_limit_on_look_ups_says_nothing_about_exports() -> None:
    bundle = compiled(grant(actions=("lookup", "export"), limits={"lookups_per_minute": 1}))
    export = replace(ASKED, action=Action.EXPORT)
    assert Planner(bundle).plan(export, AGENT).limits == ()
    assert decided(bundle, export, limits_exhausted=Unknown(UnknownWhy.NOT_FETCHED)).effect is Effect.ALLOW


# Promise 8, with limits.


def allows_no_more(narrow: Decision, wide: Decision) -> None:
    if narrow.effect is Effect.ALLOW:
        assert wide.effect is Effect.ALLOW
        assert set(narrow.grants) <= set(wide.grants)
        assert {name for name, found in narrow.fields.items() if not found.withheld} <= {
            name for name, found in wide.fields.items() if not found.withheld
        }


@FEW
@given(rule_documents(), requests(), ROLES, facts(), st.sets(st.sampled_from(LIMITED)))
def test_using_up_a_limit_never_opens(
    documents: list[str], request: Request, roles: frozenset[str], found: Facts, more: set[str]
) -> None:
    plan = Planner(compiled(*documents)).plan(request, roles)
    told = found.get(EXHAUSTED)
    used_up = set(told) if isinstance(told, tuple) else set(LIMITED)
    worse = Facts({**found.values, EXHAUSTED: tuple(sorted(used_up | more))})
    allows_no_more(decide(plan, request, worse), decide(plan, request, found))


@FEW
@given(rule_documents(), st.data(), requests(), ROLES, facts())
def test_adding_limits_never_opens(
    documents: list[str], data: st.DataObject, request: Request, roles: frozenset[str], found: Facts
) -> None:
    limited = data.draw(grants("added"))
    bundle = compiled(*documents, limited)
    (added,) = [each for each in bundle.grants if each.name == "added"]
    free = replace(
        bundle, grants=tuple(replace(each, limits={}) if each is added else each for each in bundle.grants)
    )
    with_limits, without = (
        decide(Planner(each).plan(request, roles), request, found) for each in (bundle, free)
    )
    allows_no_more(with_limits, without)


@FEW
@given(rule_documents(), requests(), ROLES, facts(), st.data())
def test_a_refusal_before_the_customer_is_that_of_every_customer(
    documents: list[str], request: Request, roles: frozenset[str], found: Facts, data: st.DataObject
) -> None:
    plan = Planner(compiled(*documents)).plan(request, roles)
    nobody = {
        path: value
        for path, value in found.values.items()
        if path.partition(".")[0] not in ("customer", "consent")
    }
    early = precheck(plan, request, Facts(nobody))
    if early is not None:
        somebody = {path: data.draw(values(kind)) for path, kind in CUSTOMER_FACTS.items()}
        assert repr(decide(plan, request, Facts({**found.values, **somebody})).reasons) == repr(
            early.reasons
        )
