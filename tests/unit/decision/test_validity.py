"""Time-bound grants: in from the first instant, out at the last, and without a trace for who holds nothing else."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.decide import decide, precheck
from fujie.decision.facts import Raw, derive
from fujie.decision.plan import Planner
from fujie.decision.validity import expired_at, is_reachable
from fujie.model.facts import EXHAUSTED, EXPIRED, Facts, FactValue, Unknown, UnknownWhy
from fujie.model.principal import Principal
from fujie.model.request import Request
from fujie.model.vocabulary import Action, Effect, State
from fujie.policy.bundle import Bundle
from support.bundles import compiled, grant, guard

START, END = "2026-03-01T08:00:00+08:00", "2026-03-02T00:00:00Z"
FROM, UNTIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC)
TICK = timedelta(microseconds=1)
ASKED = Request(Action.LOOKUP, "care", "consent", "crm", "phone", ("phone",))
AGENT = frozenset({"agent"})
WHO = Principal("p", roles=AGENT)
ZONES = [ZoneInfo(name) for name in ("Asia/Shanghai", "UTC", "America/New_York")]


def effect(bundle: Bundle, now: datetime) -> tuple[Effect, str]:
    facts = derive(bundle, ASKED, Raw(WHO, (), "sid", {}, ()), now, ZONES[0])
    decision = decide(Planner(bundle).plan(ASKED, AGENT), ASKED, facts)
    return decision.effect, decision.primary


BOUNDS = [
    ((START, END), FROM - TICK, False),
    ((START, END), FROM, True),
    ((START, END), UNTIL - TICK, True),
    ((START, END), UNTIL, False),
    ((START, ""), FROM - TICK, False),
    ((START, ""), FROM, True),
    ((START, ""), datetime(9999, 12, 31, tzinfo=UTC), True),
    (("", END), datetime(1, 1, 2, tzinfo=UTC), True),
    (("", END), UNTIL - TICK, True),
    (("", END), UNTIL, False),
]


@pytest.mark.parametrize(("valid", "now", "is_open"), BOUNDS)
@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_a_grant_is_valid_from_its_first_instant_up_to_before_its_last(
    valid: tuple[str, str], now: datetime, is_open: bool, zone: ZoneInfo
) -> None:
    if 1 < now.year < 9999:
        now = now.astimezone(zone)
    expected = (Effect.ALLOW, "") if is_open else (Effect.DENY, "NO_GRANT")
    assert effect(compiled(grant(valid=valid)), now) == expected


@given(st.integers(-(10**12), 10**12), st.sampled_from(ZONES))
def test_one_grant_ends_where_the_next_one_begins(ticks: int, zone: ZoneInfo) -> None:
    now = (UNTIL + ticks * TICK).astimezone(zone)
    bundle = compiled(grant("before", valid=("", END)), grant("after", valid=(END, "")))
    out = expired_at(bundle, Action.LOOKUP, AGENT, now)
    assert out == (("before",) if now >= UNTIL else ("after",))


def test_the_fact_is_there_only_where_a_grant_has_bounds_and_names_only_what_could_open() -> None:
    before = FROM - TICK
    plain = derive(compiled(grant()), ASKED, Raw(WHO), before, ZONES[0])
    assert EXPIRED not in plain.values
    bundle = compiled(
        grant("mine", valid=(START, "")),
        grant("theirs", roles=["lead"], valid=(START, "")),
        grant("export", actions=["export"], valid=(START, "")),
        grant("later", valid=("", START)),
    )
    assert derive(bundle, ASKED, Raw(WHO), before, ZONES[0]).get(EXPIRED) == ("mine",)


KNOWN: dict[str, FactValue] = {"principal.employment": State.ACTIVE, "principal.roles": ("agent",)}


@pytest.mark.parametrize("told", [None, Unknown(UnknownWhy.NULL), True, "grant"], ids=repr)
def test_when_nobody_tells_no_grant_with_bounds_is_valid(told: FactValue | None) -> None:
    plan = Planner(compiled(grant(valid=(START, END)))).plan(ASKED, AGENT)
    facts = Facts(KNOWN if told is None else {**KNOWN, EXPIRED: told})
    assert decide(plan, ASKED, facts).primary == "NO_GRANT"
    assert not is_reachable(plan, facts)


@pytest.mark.parametrize(
    "asked",
    [
        ASKED,
        Request(Action.LOOKUP, "gossip", "consent", "crm", "phone", ("phone",)),
        Request(Action.LOOKUP, "", "", "", "phone", ()),
        Request(Action.LOOKUP, "care", "legal_duty", "crm", "phone", ("shoe_size",), strict=True),
    ],
)
@pytest.mark.parametrize("condition", ["", "customer.minor", "consent.state == GIVEN"])
@pytest.mark.parametrize("limits", [None, {"rows_per_hour": 1}])
def test_who_has_only_a_grant_that_is_over_sees_what_somebody_without_one_sees(
    asked: Request, condition: str, limits: dict[str, int] | None
) -> None:
    """The same bytes, before any customer is looked at, whatever names were asked for and whatever is used up."""
    bundle = compiled(
        grant("old", valid=("", END), condition=condition, limits=limits),
        grant("other", roles=["lead"]),
        guard("g", "consent.state == GIVEN", limits={"rows_per_hour": 1}),
    )
    planner = Planner(bundle)
    for used in ((), ("grant:old",), ("guard:g",)):
        seen = []
        for roles, out in ((AGENT, ("old",)), (frozenset({"nobody"}), ())):
            plan = planner.plan(asked, roles)
            facts = Facts({**KNOWN, EXPIRED: out, EXHAUSTED: used})
            early, late = precheck(plan, asked, facts), decide(plan, asked, facts)
            assert early is not None
            seen += [early.reasons, late.reasons]
        assert {reasons[0].code for reasons in seen} == {"NO_GRANT"}
        assert len(set(seen)) == 1


def test_a_grant_that_is_over_does_not_send_anybody_to_the_customer() -> None:
    """Its condition reads the customer; nobody fetches one for a grant that can not match."""
    bundle = compiled(grant("old", valid=("", END), condition="!customer.minor"), grant("now"))
    plan = Planner(bundle).plan(ASKED, AGENT)
    assert plan.needs_customer
    for out, expected in (((), None), (("old",), None)):
        assert precheck(plan, ASKED, Facts({**KNOWN, EXPIRED: out})) is expected
    alone = Planner(compiled(grant("old", valid=("", END), condition="!customer.minor"))).plan(ASKED, AGENT)
    found = precheck(alone, ASKED, Facts({**KNOWN, EXPIRED: ("old",)}))
    assert found is not None
    assert found.primary == "NO_GRANT"


def test_a_limit_of_a_grant_that_is_over_is_in_nobodys_way() -> None:
    bundle = compiled(grant("old", valid=("", END), limits={"rows_per_hour": 1}), grant("now"))
    plan = Planner(bundle).plan(ASKED, AGENT)
    found = decide(plan, ASKED, Facts({**KNOWN, EXPIRED: ("old",), EXHAUSTED: ("grant:old",)}))
    assert (found.effect, found.grants, found.charges) == (Effect.ALLOW, ("now",), ())


def test_a_grant_that_is_over_opens_no_field_for_the_one_that_is_left() -> None:
    bundle = compiled(
        grant("old", valid=("", END), fields={"phone": "reveal", "name": "reveal"}),
        grant("now", fields={"phone": "keep(3,4)"}),
    )
    asked = Request(Action.LOOKUP, "care", "consent", "crm", "phone", ("name", "phone"))
    plan = Planner(bundle).plan(asked, AGENT)
    found = decide(plan, asked, Facts({**KNOWN, EXPIRED: ("old",)}))
    assert {name: str(outcome.step) for name, outcome in found.fields.items()} == {
        "name": "omit", "phone": "keep(3,4)",
    }  # fmt: skip
