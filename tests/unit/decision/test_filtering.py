"""Which rows pass a filter: as SQL has it, on what is shown alone."""

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.decision.decide import decide
from fujie.decision.filter_text import parse_filter
from fujie.decision.filtering import (
    always_reveals,
    are_revealed,
    could_reveal,
    fields_of,
    passes,
    sieve_of,
)
from fujie.decision.mask import Shown, mask
from fujie.decision.plan import Plan, Planner
from fujie.decision.tokens import Tokeniser
from fujie.model.data_class import DataClass
from fujie.model.decision import FieldOutcome
from fujie.model.facts import Facts, FactValue
from fujie.model.predicate import ANYTHING, Column, Comparison, Operator, Predicate
from fujie.model.record import FieldTreatment, SealedRecord
from fujie.model.request import Request
from fujie.model.step import Step
from fujie.model.vocabulary import Action, State
from support.bundles import compiled, grant, guard
from support.filters import COLUMNS, DOUBLES, ROWS, TEXTS, WHOLE, Tree, trees, truth, where, written

TOKENISER = Tokeniser(b"k" * 32, "k1", "crm")
REVEALED = {name: FieldTreatment(Step("reveal"), DataClass.PLAIN) for name in COLUMNS}


def shown(row: Mapping[str, object]) -> dict[str, Shown]:
    return mask(SealedRecord(row), REVEALED, TOKENISER)


ANY_VALUE = (
    st.none() | st.booleans() | st.sampled_from(WHOLE) | st.sampled_from(DOUBLES)
    | st.sampled_from(TEXTS) | st.sampled_from([Decimal("0.10"), Decimal("2.5"), Decimal(2**53 + 1), Decimal("1E+1")])
)  # fmt: skip


@given(trees(), st.lists(st.fixed_dictionaries(dict.fromkeys(COLUMNS, ANY_VALUE)), min_size=1, max_size=8))
def test_a_row_passes_exactly_when_sql_would_say_true(
    tree: Tree, rows: Sequence[Mapping[str, object]]
) -> None:
    predicate = parse_filter(written(tree), COLUMNS)
    for row in rows:
        assert passes(predicate, shown(row)) is (truth(tree, row) is True)


@given(trees(), ROWS)
def test_the_rows_that_pass_are_those_that_sqlite_selects(
    tree: Tree, rows: Sequence[Mapping[str, object]]
) -> None:
    predicate = parse_filter(written(tree), COLUMNS)
    bound: list[object] = []
    clause = where(tree, bound)
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE customers (n INTEGER, t TEXT, d REAL)")
        database.executemany("INSERT INTO customers VALUES (:n, :t, :d)", rows)
        selected = [
            key
            for (key,) in database.execute(
                f"SELECT rowid FROM customers WHERE {clause} ORDER BY rowid", bound
            )
        ]
    assert [place for place, row in enumerate(rows, 1) if passes(predicate, shown(row))] == selected


@given(trees())
def test_the_fields_of_a_filter_are_all_that_it_reads(tree: Tree) -> None:
    class Told(dict[str, Shown]):
        def __contains__(self, name: object) -> bool:
            told.add(str(name))
            return super().__contains__(name)

    told: set[str] = set()
    predicate = parse_filter(written(tree), COLUMNS)
    passes(predicate, Told(n=1, t="a", d=None))
    assert told <= fields_of(predicate)


@pytest.mark.parametrize(
    ("raw", "text", "is_true"),
    [
        (Decimal("12.50"), "n = 12.5", True), (Decimal("0.1"), "n = 0.1", True), (Decimal("0.1"), "n > 0.1", False),
        (Decimal("12.50"), 'n = "12.50"', True), (2**60 + 1, f"n = {2**60 + 1}", True), (2**60 + 1, f"n > {2**60}", True),
        ("05", "n = 5", False), ("5", "n = 5", True), ("abc", "n != 5", False), ("", "n < 5", False),
        (date(2024, 5, 6), 'n >= "2024-05-06"', True), (date(2024, 5, 6), "n < 2024-05-07", True),
        (datetime(2024, 5, 6, 8, tzinfo=UTC), 'n < "2024-05-06T09"', True), (True, "n = 1", False), (1, "n = true", False), (True, "n = true", True),
        (True, "n != false", True), (b"secret", "n:*", True), (b"secret", 'n = "secret"', False), (None, "n:*", False), (None, "NOT n:*", True),
        ("", "n:*", True), (float("nan"), "n != 1.0", False), (float("inf"), "n > 1", False),
        (UUID(int=7), f'n = "{UUID(int=7)}"', True), (object(), "n != a", True), (1.0, "n = 1", True),
    ],
)  # fmt: skip
def test_a_value_compares_as_it_is_shown(raw: object, text: str, is_true: bool) -> None:
    assert passes(parse_filter(text, COLUMNS), shown({"n": raw})) is is_true


@pytest.mark.parametrize("operator", list(Operator))
def test_a_field_that_the_row_does_not_show_passes_nothing(operator: Operator) -> None:
    assert not passes(Comparison(Column("n"), operator, "a"), {"t": "a"})


# Which fields a filter may read.


def export_plan(*documents: str) -> Plan:
    return Planner(compiled(*documents)).plan(ASKED, {"agent"})


def opening(grant_name: str, /, condition: str = "", **fields: str) -> str:
    return grant(grant_name, actions=("export",), fields=fields, condition=condition)


ASKED = Request(Action.EXPORT, "care", "consent", "crm", "customer_id", ("id_card", "name", "phone"))
CLOSING = {"phone": "keep(3,4)"}


@pytest.mark.parametrize(
    ("documents", "field", "could", "always"),
    [
        ((opening("a", phone="reveal"),), "phone", True, True),
        ((opening("a", phone="reveal"),), "name", False, False),
        ((opening("a", phone="reveal"),), "shoe_size", False, False),
        ((opening("a", phone="keep(3,4)"),), "phone", False, False),
        ((opening("a", phone="keep(3,4)"), opening("b", condition="!customer.minor", phone="reveal")), "phone", True, False),
        ((opening("a", name="reveal"), opening("b", phone="reveal")), "phone", True, False),
        ((opening("a", id_card="reveal"),), "id_card", False, False),  # its class has a floor
        ((opening("a", phone="reveal"), guard("g", "true", fields=CLOSING)), "phone", False, False),
        ((opening("a", phone="reveal"), guard("g", "true", fields=CLOSING, conditions=["customer.minor"])), "phone", True, False),
        ((opening("a", phone="reveal"), guard("g", "true", fields=CLOSING, match={"stores": ["erp"]})), "phone", True, True),
        ((opening("a", phone="reveal"), guard("g", "true", fields={"phone": "reveal"})), "phone", True, True),
        ((opening("a", phone="reveal"), guard("g", "true", fields={"name": "omit"})), "phone", True, True),
        ((grant("a", actions=("lookup",)),), "phone", False, True),  # no grant, no row
    ],
)  # fmt: skip
def test_grants_floors_and_guards_say_what_may_be_revealed(
    documents: tuple[str, ...],
    field: str,
    could: bool,
    always: bool,
) -> None:
    plan = export_plan(*documents)
    assert (could_reveal(plan, field), always_reveals(plan, field)) == (could, always)


SECRET = Comparison(Column("phone"), Operator.EQ, "13800001234")
OPEN = Comparison(Column("name"), Operator.EQ, "a")


@pytest.mark.parametrize(
    ("text", "sieve"),
    [
        ('name = "a"', OPEN), ("phone = 13800001234", ANYTHING), ('name = "a" AND phone = 13800001234', OPEN),
        ('name = "a" OR phone = 13800001234', ANYTHING), ('name = "a" AND (name = "a" OR phone:*)', OPEN), ("", ANYTHING),
    ],
)  # fmt: skip
def test_the_sieve_holds_nothing_that_some_row_hides(text: str, sieve: Predicate) -> None:
    plan = export_plan(
        opening("a", phone="keep(3,4)", name="reveal"),
        opening("b", condition="customer.minor", phone="reveal", name="reveal"),
    )
    assert sieve_of(plan, parse_filter(text, {"phone", "name"})) == sieve


# What a filter can not find out.

PHONES = ("13800001234", "13899991234", "13800005678", None)
NAMES = ("张三", "张四", "a", None)
POLICIES = (
    (opening("a", phone="keep(3,4)", name="reveal"), opening("b", condition="customer.minor", phone="reveal", name="keep(1,0)")),
    (opening("a", phone="reveal", name="reveal"), guard("g", "true", fields={"phone": "keep(3,4)"}, conditions=["!customer.minor"])),
    (opening("a", phone="reveal"), guard("g", "true", fields={"name": "omit"})),
    (opening("a", phone="token", name="reveal"), guard("g", "customer.points > 1")),
    (opening("a", phone="omit", name="keep(1,0)"), opening("b", condition="customer.points > 1", name="reveal")),
)  # fmt: skip
PLANS = [export_plan(*documents) for documents in POLICIES]
ASKER: Mapping[str, FactValue] = {"principal.employment": State.ACTIVE, "principal.roles": ("agent",)}
Customer = tuple[str | None, str | None, bool, int]
CUSTOMERS = st.lists(
    st.tuples(st.sampled_from(PHONES), st.sampled_from(NAMES), st.booleans(), st.sampled_from([0, 2])),
    min_size=1,
    max_size=5,
)
ASKS = trees(st.sampled_from(["13800001234", "1385", "张三", "", "a"]) | st.just(13800001234))


NAMED = {"n": "phone", "t": "name", "d": "name"}
CLASSES = {"phone": DataClass.MOBILE, "name": DataClass.PERSON_NAME}


def renamed(tree: Tree) -> Tree:
    match tree:
        case (("and" | "or") as joint, parts):
            return joint, tuple(map(renamed, parts))
        case ("not", inner):
            return "not", renamed(inner)
        case (sort, field, *rest):
            return sort, NAMED[field], *rest
    raise AssertionError(tree)


def decided(plan: Plan, customer: Customer) -> Mapping[str, FieldOutcome]:
    """Return how the fields of a customer leave; none where the customer does not."""
    facts = Facts({**ASKER, "customer.minor": customer[2], "customer.points": customer[3]})
    return decide(plan, ASKED, facts).fields


def answered(
    plan: Plan, predicate: Predicate, customers: Sequence[Customer]
) -> tuple[list[int], list[int]]:
    """Return who passes, and whom of those that leave the store has to read."""
    leaving, read = [], []
    sieve = sieve_of(plan, predicate)
    for place, customer in enumerate(customers):
        raw = dict(zip(CLASSES, customer, strict=False))
        outcomes = decided(plan, customer)
        if outcomes and passes(sieve, raw):
            read.append(place)
        treatments = {
            name: FieldTreatment(outcomes[name].step, CLASSES[name]) for name in CLASSES if name in outcomes
        }
        if are_revealed(fields_of(predicate), outcomes) and passes(
            predicate, mask(SealedRecord(raw), treatments, TOKENISER)
        ):
            leaving.append(place)
    return leaving, read


@given(st.sampled_from(range(len(PLANS))), ASKS, CUSTOMERS, st.data())
def test_no_filter_tells_a_hidden_value(
    place: int, tree: Tree, customers: list[Customer], data: st.DataObject
) -> None:
    plan, predicate = PLANS[place], parse_filter(written(renamed(tree)), CLASSES)
    others: list[Customer] = []
    for phone, name, minor, points in customers:
        outcomes = decided(plan, (phone, name, minor, points))
        is_phone, is_name = (
            field in outcomes and str(outcomes[field].step) == "reveal" for field in CLASSES
        )
        others.append(
            (
                phone if is_phone or not outcomes else data.draw(st.sampled_from(PHONES)),
                name if is_name or not outcomes else data.draw(st.sampled_from(NAMES)),
                minor,
                points,
            )
        )
    assert answered(plan, predicate, customers) == answered(plan, predicate, others)


@given(st.sampled_from(range(len(PLANS))), ASKS, CUSTOMERS)
def test_the_sieve_drops_nobody_who_passes(place: int, tree: Tree, customers: list[Customer]) -> None:
    leaving, read = answered(PLANS[place], parse_filter(written(renamed(tree)), CLASSES), customers)
    assert set(leaving) <= set(read)
