"""The row filter: never narrower than the decision, whatever the columns hold, and narrow where it can be."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.decide import decide, matching_grants
from fujie.decision.facts import Raw, derive, with_customer
from fujie.decision.plan import Plan, Planner
from fujie.decision.rowfilter import MOST_COMPARISONS, row_filter
from fujie.model.facts import Facts
from fujie.model.predicate import (
    ANYTHING,
    NOTHING,
    AllOf,
    AnyOf,
    Column,
    Comparison,
    Operator,
    Predicate,
    all_of,
    any_of,
)
from fujie.model.principal import Principal
from fujie.model.request import Request
from fujie.model.vocabulary import Action, Effect, State
from support.bundles import compiled, grant

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
ASKED = Request(
    Action.EXPORT, "care", "contract", "crm", "customer_id", ("phone",), has_basis_evidence=True, rows=500
)
ASKER = Principal("agent-1", State.EMPLOYEE, frozenset({"agent"}), "east", State.ACTIVE, State.VALID)


def plan_of(*conditions: str) -> Plan:
    documents = [
        grant(f"g{place}", actions=("export",), condition=condition)
        for place, condition in enumerate(conditions)
    ]
    return Planner(compiled(*documents)).plan(ASKED, ASKER.roles)


def asker_facts(plan: Plan) -> Facts:
    return derive(plan.bundle, ASKED, Raw(ASKER), NOW, UTC)


def of(name: str, operator: Operator, constant: str | int | None = None) -> Comparison:
    return Comparison(Column(name, is_attribute=True), operator, constant)


def present(name: str, *parts: Predicate) -> Predicate:
    return all_of((of(name, Operator.PRESENT), *parts))


EAST, WEST = of("owner", Operator.EQ, "east"), of("owner", Operator.EQ, "west")
EQ, NE, LT, GE = Operator.EQ, Operator.NE, Operator.LT, Operator.GE


@pytest.mark.parametrize(
    ("condition", "needed"),
    [
        ("customer.owner == principal.department", present("owner", EAST)),
        ("principal.department == customer.owner && true", present("owner", EAST)),
        ("customer.owner == principal.department || request.has_ticket", present("owner", EAST)),
        ("customer.owner == principal.department || !request.has_ticket", present("owner")),
        ("customer.owner in ['west', principal.department]", present("owner", any_of((WEST, EAST)))),
        ("!(customer.owner in ['west', 'east'])", present("owner", of("owner", NE, "west"), of("owner", NE, "east"))),
        ("customer.owner in principal.roles", present("owner", of("owner", EQ, "agent"))),
        ("'lead' in principal.roles && customer.minor", NOTHING),
        ("principal.kind == SERVICE && customer.minor", NOTHING),
        ("principal.kind in [EMPLOYEE] && customer.minor", present("minor", of("minor", EQ, True))),
        ("!customer.minor", present("minor", of("minor", EQ, False))),
        ("customer.minor != true", present("minor", of("minor", EQ, False))),
        ("5 <= customer.points && customer.points < request.rows", present("points", of("points", GE, 5), of("points", LT, 500))),
        ("!(customer.points >= -5)", present("points", of("points", LT, -5))),
        ("!(customer.points < 5 || customer.minor)", all_of((
            of("minor", Operator.PRESENT), of("points", Operator.PRESENT), of("points", GE, 5), of("minor", EQ, False)
        ))),
        # What is not understood narrows nothing but that the attribute is there.
        ("customer.owner.startsWith('e')", present("owner")),
        ("customer.points + 1 > 5", present("points")),
        ("customer.points > 5 ? customer.minor : !customer.minor", present("minor", of("points", Operator.PRESENT))),
        ("'vip' in customer.tags", present("tags")),
        ("customer.tags.exists(tag, tag == customer.owner)", present("owner", of("tags", Operator.PRESENT))),
        ("customer.owner == customer.tags[0]", present("owner", of("tags", Operator.PRESENT))),
        ("(customer.owner == 'east') == true", present("owner")),
        (r"customer.owner == 'a\x00b'", present("owner")),
        ("customer.points < int(5.5)", present("points")),
        # What may change, or is told per customer, is not asked now.
        ("time.hour > 23 && customer.minor", present("minor", of("minor", EQ, True))),
        ("consent.state == GIVEN", ANYTHING),
        ("consent.explicit || customer.owner == 'east'", present("owner")),
        ("!suppression.in_force && customer.owner == 'east'", present("owner", EAST)),
    ],
)  # fmt: skip
def test_what_a_condition_needs_is_asked_of_the_store(condition: str, needed: Predicate) -> None:
    plan = plan_of(condition)
    assert repr(row_filter(plan, asker_facts(plan))) == repr(needed)


def test_every_grant_counts_and_one_without_a_condition_opens_all() -> None:
    both = plan_of("customer.owner == 'east'", "customer.owner == 'west'", "customer.owner == 'east'")
    assert row_filter(both, asker_facts(both)) == AnyOf(
        (AllOf((of("owner", Operator.PRESENT), EAST)), AllOf((of("owner", Operator.PRESENT), WEST)))
    )
    open_one = plan_of("customer.owner == 'east'", "")
    assert row_filter(open_one, asker_facts(open_one)) == ANYTHING
    none = plan_of()
    assert row_filter(none, asker_facts(none)) == NOTHING


def test_facts_that_are_not_known_narrow_nothing() -> None:
    plan = plan_of("customer.owner == principal.department")
    assert row_filter(plan, Facts({})) == present("owner")


def test_a_filter_that_no_statement_could_hold_is_left_out() -> None:
    fit = ",".join(f"'{place}'" for place in range(MOST_COMPARISONS - 1))
    plan = plan_of(f"customer.owner in [{fit}]")
    assert row_filter(plan, asker_facts(plan)) != ANYTHING
    plan = plan_of(f"customer.owner in [{fit},'one more']")
    assert row_filter(plan, asker_facts(plan)) == ANYTHING


# Against the real compiler and the real decision, on what a real database gives back.

ATOMS = (
    "customer.owner == principal.department", "customer.owner != 'east'", "customer.owner < 'm'", "'m' <= customer.owner",
    "customer.owner in ['east', 'EAST', '1']", "customer.owner in principal.roles", "customer.minor", "customer.minor == false",
    "true != customer.minor", "customer.points == 1", "customer.points != 1", "1 < customer.points", "customer.points in [0, 1, -7]",
    "customer.points >= request.rows", "request.has_ticket", "principal.kind == EMPLOYEE", "principal.training != VALID",
    "'agent' in principal.roles", "customer.owner.size() > 3", "10 / customer.points > 1", "customer.tags[0] == 'vip'",
    "'vip' in customer.tags", "consent.state == GIVEN", "consent.explicit", "suppression.in_force", "time.hour < 12",
    "customer.points > 0 ? customer.minor : customer.owner == 'east'", "customer.tags.exists(tag, tag == customer.owner)", "true", "false",
)  # fmt: skip
CONDITIONS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.builds("!({})".format, inner),
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
    ),
    max_leaves=6,
)
# As careless databases have them: numbers as text, truth as words, the wrong type in the column.
OWNERS = (
    None,
    "east",
    "west",
    "EAST",
    "east ",
    "",
    "agent",
    "1",
    1,
    1.5,
    b"east",
    "\0",
    "x" * 2_000,
    "\U0001f600",
    "\uffee",
)
MINORS = (None, 0, 1, 2, -1, 1.0, 0.0, "0", "1", "true", "false", "", b"1")
POINTS = (None, 0, 1, -7, 500, 2**63 - 1, -(2**63), 1.0, 1.5, "1", "x", "", b"\1")
TAGS: tuple[object, ...] = (None, [], ["vip"], ["vip", "east"], "vip", ["x", None], ("west",), 5)
CUSTOMERS = st.lists(
    st.tuples(*map(st.sampled_from, (OWNERS, MINORS, POINTS, TAGS)), st.booleans()), min_size=1, max_size=12
)
SCHEMAS = (
    "owner TEXT, minor BOOLEAN, points INTEGER",
    "owner TEXT COLLATE NOCASE, minor INTEGER, points NUMERIC",
    "owner, minor, points",
    "owner VARCHAR(9), minor TEXT, points TEXT",
    "owner TEXT, minor REAL, points REAL",
)
MARKS = {EQ: "=", NE: "<>", LT: "<", Operator.LE: "<=", Operator.GT: ">", GE: ">="}


def clause(predicate: Predicate, bound: list[object]) -> str:
    """Return SQL for SQLite by the rules that `decision.rowfilter` gives to stores."""
    if isinstance(predicate, AllOf | AnyOf):
        if not predicate.parts:
            return "1" if predicate == ANYTHING else "0"
        return (" AND " if isinstance(predicate, AllOf) else " OR ").join(
            f"({clause(part, bound)})" for part in predicate.parts
        )
    name, operator = predicate.column.name, predicate.operator
    assert predicate.column.is_attribute
    if name == "tags" or operator is Operator.PRESENT:
        return "1" if name == "tags" else f"{name} IS NOT NULL"
    bound.append(predicate.constant)
    by_bytes = " COLLATE BINARY" if name == "owner" and operator is not EQ else ""
    return f"{name}{by_bytes} {MARKS[operator]} ?"


@given(st.lists(CONDITIONS, min_size=1, max_size=3), CUSTOMERS, st.sampled_from(SCHEMAS))
def test_no_row_that_a_grant_opens_is_sieved_out(
    conditions: list[str], customers: Sequence[tuple[object, ...]], schema: str
) -> None:
    plan = plan_of(*conditions)
    asker = asker_facts(plan)
    bound: list[object] = []
    sieve = clause(row_filter(plan, asker), bound)
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute(f"CREATE TABLE customers ({schema})")
        database.executemany("INSERT INTO customers VALUES (?, ?, ?)", [row[:3] for row in customers])
        rows = database.execute(
            f"SELECT owner, minor, points, ({sieve}) IS TRUE FROM customers ORDER BY rowid", bound
        ).fetchall()
    for (*values, is_kept), (*_, tags, is_mapped) in zip(rows, customers, strict=True):
        raw = dict(zip(("owner", "minor", "points"), values, strict=True)) | (
            {"tags": tags} if is_mapped else {}
        )
        known = facts_of(plan, asker, raw)
        if matching_grants(plan, known):
            assert is_kept
        assert is_kept or decide(plan, ASKED, known).effect is not Effect.ALLOW


def facts_of(plan: Plan, asker: Facts, raw: Mapping[str, object]) -> Facts:
    return with_customer(
        plan.bundle, ASKED, asker, Raw(ASKER, (), "s1", MappingProxyType(dict(raw)), ()), NOW
    )


def test_rows_that_match_are_not_the_exception() -> None:
    plan = plan_of("customer.owner == principal.department && !customer.minor")
    asker = asker_facts(plan)
    assert matching_grants(plan, facts_of(plan, asker, {"owner": "east", "minor": 0}))
    assert decide(plan, ASKED, facts_of(plan, asker, {"owner": "east", "minor": 0})).effect is Effect.ALLOW
