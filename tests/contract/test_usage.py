"""What every ledger must do with limits and single-use tokens, run against each database.

The oracle is a list of what was taken and when: no window of a limit ever holds more of it than the limit.
"""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from fujie.adapters.clock import SystemClock
from fujie.adapters.identifiers import SystemIdentifiers
from fujie.adapters.ledger import IndexKey, SQLLedger, open_ledger
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.errors import LedgerError
from fujie.model.limit import Charge, Limit, Reservation, Rows, bucket_of, in_window
from fujie.model.usage import Habits, Look
from support.outboxes import URLS
from support.postgresql import server

Open = Callable[[], Awaitable[SQLLedger]]

NOW = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
TODAY = date(2026, 3, 1)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
ROWS = Charge("grant:a", Limit.ROWS_PER_HOUR, 3)
LOOKUPS = Charge("grant:a", Limit.LOOKUPS_PER_MINUTE, 3)
PEOPLE = Charge("guard:b", Limit.DISTINCT_CUSTOMERS_PER_DAY, 2)
MONTHLY = Charge("guard:b", Limit.DISTINCT_CUSTOMERS_PER_MONTH, 3)


async def opened(url: str) -> SQLLedger:
    identifiers = SystemIdentifiers(SystemClock())
    return await open_ledger(url, IndexKey("i", b"\x01" * 32), identifiers, str.encode)


@pytest.fixture(params=list(URLS.values()), ids=list(URLS))
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with request.param() as url:
        yield url


@pytest.fixture
async def reopen(url: str) -> AsyncIterator[Open]:
    ledgers: list[SQLLedger] = []

    async def reopen() -> SQLLedger:
        ledgers.append(await opened(url))
        return ledgers[-1]

    yield reopen
    for ledger in ledgers:
        await ledger.close()


@pytest.fixture
async def ledger(reopen: Open) -> SQLLedger:
    return await reopen()


def execute(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run a statement behind the ledger's back."""
    if not url.startswith("sqlite"):
        return list(map(tuple, server().execute(statement, database=sa.make_url(url).database or "")))
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
        return connection.execute(statement).fetchall()


def of(*charges: Charge, at: datetime = NOW, who: str = "alice", **more: object) -> Reservation:
    return Reservation(principal=who, now=at, day=at.date(), charges=charges, **more)  # type: ignore[arg-type] # fields by name


async def taken(ledger: SQLLedger, *reservations: Reservation) -> list[bool]:
    return [not await ledger.reserve(reservation) for reservation in reservations]


# Taking.


async def test_a_counter_gives_its_limit_and_no_more(ledger: SQLLedger) -> None:
    assert await taken(ledger, *[of(ROWS)] * 5) == [True, True, True, False, False]
    assert await ledger.reserve(of(ROWS)) == {ROWS}


async def test_what_was_taken_stays_taken_after_a_restart(ledger: SQLLedger, reopen: Open) -> None:
    await taken(ledger, *[of(ROWS)] * 3)
    assert await taken(await reopen(), of(ROWS)) == [False]


async def test_all_is_taken_or_nothing(ledger: SQLLedger) -> None:
    await taken(ledger, *[of(LOOKUPS)] * 3)
    assert await ledger.reserve(of(ROWS, LOOKUPS, PEOPLE, sid="s1")) == {LOOKUPS}
    assert await taken(ledger, *[of(ROWS)] * 4) == [True, True, True, False]
    assert await taken(ledger, *[of(PEOPLE, sid=f"s{n}") for n in range(2, 5)]) == [True, True, False]


async def test_an_amount_is_taken_whole_or_not_at_all(ledger: SQLLedger) -> None:
    assert await taken(ledger, of(ROWS, amount=2), of(ROWS, amount=2), of(ROWS, amount=1)) == [
        True,
        False,
        True,
    ]
    assert await taken(ledger, of(replace(ROWS, rule="grant:c"), amount=4)) == [False]


async def test_what_is_given_back_to_its_minute_is_there_again_and_no_more(ledger: SQLLedger) -> None:
    """Also where others take meanwhile, where the window moved on, and where it has left the window since."""
    two, later = of(ROWS, amount=2), NOW + timedelta(minutes=30)
    assert await taken(ledger, two, of(ROWS, at=later)) == [True, True]
    assert await taken(ledger, replace(two, amount=-2)) == [True]
    assert await taken(ledger, *[of(ROWS, at=later)] * 3) == [True, True, False]
    gone = NOW + timedelta(hours=2)
    assert await taken(ledger, *[of(ROWS, at=gone)] * 4) == [True, True, True, False]
    assert await taken(ledger, replace(two, amount=-2), of(ROWS, at=gone)) == [True, False]


async def test_what_is_given_back_under_a_narrower_limit_than_others_take_by_is_there_again(
    ledger: SQLLedger,
) -> None:
    """The policy was widened in between: that the counter holds more by now than the old limit is nothing against it."""
    wide = replace(ROWS, at_most=9)
    assert await taken(ledger, of(ROWS, amount=3), of(wide, amount=6), of(wide)) == [True, True, False]
    assert await taken(ledger, of(ROWS, amount=-3)) == [True]
    assert await taken(ledger, of(wide, amount=4), of(wide, amount=3)) == [False, True]


async def test_what_is_only_told_is_never_taken_and_never_in_the_way(ledger: SQLLedger) -> None:
    for _ in range(9):
        assert await ledger.reserve(of(also_told=(ROWS, LOOKUPS, PEOPLE))) == frozenset()
        assert await ledger.reserve(of()) == frozenset()
    await taken(ledger, *[of(ROWS)] * 3)
    assert await ledger.reserve(of(also_told=(ROWS, LOOKUPS))) == {ROWS}
    assert await ledger.reserve(of(LOOKUPS, also_told=(ROWS,))) == {ROWS}
    assert await taken(ledger, *[of(LOOKUPS)] * 3) == [True, True, False]


@pytest.mark.parametrize(
    "other",
    [
        of(ROWS, who="bob"),
        of(ROWS, who="alice "),
        of(ROWS, who="ALICE"),
        of(replace(ROWS, rule="guard:a")),
        of(replace(ROWS, limit=Limit.LOOKUPS_PER_MINUTE)),
        of(replace(ROWS, rule="grant:renamed")),
    ],
)
async def test_nobody_uses_up_the_limit_of_another(ledger: SQLLedger, other: Reservation) -> None:
    await taken(ledger, *[of(ROWS)] * 3)
    assert await taken(ledger, *[other] * 4) == [True, True, True, False]


async def test_no_names_meet_in_one_counter(ledger: SQLLedger) -> None:
    """`a b` under `grant:x` is not `b` under `grant:x a`: rules have no space in their names."""
    await taken(ledger, *[of(ROWS, who="b grant:a")] * 3)
    assert await taken(ledger, of(ROWS, who="b"), of(ROWS, who="grant:a")) == [True, True]


async def test_another_limit_holds_at_once_for_what_was_used_before(ledger: SQLLedger) -> None:
    await taken(ledger, *[of(ROWS)] * 3)
    assert await taken(ledger, of(replace(ROWS, at_most=2)), of(replace(ROWS, at_most=4))) == [False, True]
    assert await taken(ledger, of(replace(ROWS, at_most=4))) == [False]


# Windows.


@pytest.mark.parametrize(("charge", "window"), [(ROWS, HOUR), (LOOKUPS, MINUTE)])
async def test_a_window_gives_back_what_left_it_and_nothing_before(
    ledger: SQLLedger, charge: Charge, window: timedelta
) -> None:
    bucket, one = window / 60, Charge(charge.rule, charge.limit, 1)
    assert await taken(ledger, of(one)) == [True]
    for still in (window - timedelta(microseconds=1), window):
        assert await taken(ledger, of(one, at=NOW + still)) == [False]
    assert await taken(ledger, of(one, at=NOW + window + bucket)) == [True]


async def test_a_clock_set_back_gives_nothing_back(ledger: SQLLedger) -> None:
    await taken(ledger, *[of(ROWS)] * 3)
    for back in (timedelta(seconds=1), MINUTE, HOUR, 25 * HOUR):
        assert await taken(ledger, of(ROWS, at=NOW - back)) == [False]


async def test_a_counter_whose_clock_ran_a_year_ahead_is_not_used_up_for_a_year(ledger: SQLLedger) -> None:
    await taken(ledger, *[of(ROWS, at=NOW + timedelta(days=365))] * 3)
    assert await taken(ledger, of(ROWS)) == [False]
    await taken(ledger, of(replace(ROWS, at_most=4)))  # seen again under the right clock
    assert await taken(ledger, of(ROWS, at=NOW + 61 * MINUTE)) == [True]


async def test_a_customer_counts_once_a_day_also_when_the_limit_is_used_up(ledger: SQLLedger) -> None:
    asks = [of(PEOPLE, sid=sid) for sid in ("s1", "s1", "s2", "s3", "s2", "s1")]
    assert await taken(ledger, *asks) == [True, True, True, False, True, True]
    assert await ledger.reserve(of(also_told=(PEOPLE,))) == {PEOPLE}
    assert await ledger.reserve(of(also_told=(PEOPLE,), sid="s1")) == frozenset()
    assert await ledger.reserve(of(also_told=(PEOPLE,), sid="s3")) == {PEOPLE}
    tomorrow = NOW + timedelta(days=1)
    assert await taken(ledger, *(of(PEOPLE, sid=sid, at=tomorrow) for sid in ("s3", "s1", "s2"))) == [
        True,
        True,
        False,
    ]
    assert await taken(ledger, of(PEOPLE, sid="s3")) == [
        False
    ]  # the clock went back to a day that is used up


async def test_a_month_holds_no_more_customers_than_its_limit_whatever_its_days_forget(
    ledger: SQLLedger, reopen: Open
) -> None:
    def shown(month: int, day: int, sid: str) -> Reservation:
        return of(PEOPLE, MONTHLY, at=datetime(2026, month, day, 9, tzinfo=UTC), sid=sid)

    assert await taken(ledger, shown(2, 27, "s1"), shown(2, 28, "s2"), shown(2, 28, "s2")) == [True] * 3
    # Each new day forgets the customers of those before; the month keeps its own.
    assert await taken(ledger, shown(3, 1, "s1"), shown(3, 9, "s2"), shown(3, 20, "s3")) == [True] * 3
    again = await reopen()
    assert await again.reserve(shown(3, 31, "s4")) == {MONTHLY}
    assert await taken(again, shown(3, 31, "s1"), shown(3, 31, "s3")) == [True, True]
    assert await taken(again, shown(4, 1, "s4"), shown(4, 1, "s5")) == [True, True]
    assert await again.reserve(replace(shown(4, 1, "s6"), charges=(), also_told=(PEOPLE, MONTHLY))) == {
        PEOPLE
    }


Charged = tuple[tuple[Charge, ...], str]


def rows_of(*charged: Charged, at: datetime = NOW, who: str = "alice") -> Rows:
    return Rows(principal=who, now=at, day=at.date(), charged=charged)


async def test_rows_are_taken_in_order_as_one_by_one_until_one_has_no_room(ledger: SQLLedger) -> None:
    both: tuple[Charge, ...] = (ROWS, PEOPLE)
    people: tuple[Charge, ...] = (PEOPLE,)
    parts: list[list[Charged]] = [
        [
            (both, "s1"),
            (both, "s1"),
            (people, "s1"),
            (both, "s2"),
            (both, "s2"),
        ],  # the fourth row of the hour
        [(people, "s1"), (people, "s2"), (people, "s3"), (people, "s1")],  # the third customer of the day
        [*[((), "s1")] * 3, *(((MONTHLY,), f"s{n}") for n in range(5))],
        [(both, "s1"), (people, "s9")],
    ]
    for number, charged in enumerate(parts):
        had = [
            not await ledger.reserve(of(*charges, who=f"one-{number}", sid=sid)) for charges, sid in charged
        ]
        first_without = [*had, False].index(False)
        assert await ledger.reserve_rows(rows_of(*charged, who=f"rows-{number}")) == first_without


async def test_rows_with_room_for_all_count_a_customer_once_on_each_limit(ledger: SQLLedger) -> None:
    """Whoever stands in a part twice, in rows of other charges, or in the same part once more."""
    month, day = replace(MONTHLY, at_most=5), replace(PEOPLE, at_most=5)
    charged: list[Charged] = [((month,), "s2"), ((month, day), "s1"), ((month,), "s2"), ((day,), "s3")]
    for _ in range(2):
        assert await ledger.reserve_rows(rows_of(*charged)) == len(charged)
    for charge in (month, day):
        others: list[Charged] = [((charge,), f"{charge.limit}-{n}") for n in range(4)]
        assert await ledger.reserve_rows(rows_of(*others)) == 3  # two of five were counted


async def test_rows_of_many_who_take_at_once_never_pass_the_limit(ledger: SQLLedger, reopen: Open) -> None:
    wide = Charge("grant:w", Limit.ROWS_PER_HOUR, 100)
    other = await reopen()
    row: list[Charged] = [((wide,), "s1")]
    parts = [rows_of(*(row * 30)) for _ in range(6)]
    counts = await asyncio.gather(
        *((ledger, other)[n % 2].reserve_rows(part) for n, part in enumerate(parts))
    )
    assert sum(counts) == 100
    assert await ledger.reserve(of(wide)) == {wide}


async def test_many_are_reserved_together_as_one_after_the_other(ledger: SQLLedger) -> None:
    """Each whole or not at all, in their order, in one transaction; of whom nothing is charged, none at all."""
    kinds: list[tuple[tuple[Charge, ...], tuple[Charge, ...]]] = [
        ((ROWS, PEOPLE), ()),
        ((PEOPLE,), (ROWS, MONTHLY)),
        ((), (PEOPLE, ROWS)),
        ((MONTHLY,), (LOOKUPS,)),
        ((), ()),
    ]
    transactions = 0
    inner = ledger.database.transact

    async def counted(work: Callable[..., object]) -> object:
        nonlocal transactions
        transactions += 1
        return await inner(work)

    ledger.database.transact = counted  # type: ignore[method-assign, assignment] # counts and passes on
    for first in range(len(kinds)):
        each = [kinds[(first + n) % len(kinds)] for n in range(12)]
        asks = [
            of(*charges, also_told=told, who=f"one-{first}", sid=f"s{n % 5}")
            for n, (charges, told) in enumerate(each)
        ]
        alone = [await ledger.reserve(ask) for ask in asks]
        transactions = 0
        many = [replace(ask, principal=f"many-{first}") for ask in asks]
        assert list(await ledger.reserve_many(many)) == alone
        assert transactions == 1
        told = [replace(ask, charges=()) for ask in many]
        assert list(await ledger.reserve_many(told)) == [
            await ledger.reserve(replace(ask, charges=())) for ask in asks
        ]
        assert transactions == 1


async def test_a_counter_that_has_no_room_still_tells_who_was_counted_of_many(ledger: SQLLedger) -> None:
    assert await taken(ledger, of(PEOPLE, sid="s1"), of(PEOPLE, sid="s2")) == [True, True]
    asks = [of(also_told=(PEOPLE,), sid=sid) for sid in ("s1", "s3", "", "s2")]
    assert list(await ledger.reserve_many(asks)) == [set(), {PEOPLE}, {PEOPLE}, set()]


async def test_the_day_is_the_one_that_is_said(ledger: SQLLedger) -> None:
    """Midnight in the zone of the policies is not midnight in UTC."""
    late = datetime(2026, 3, 1, 15, 59, tzinfo=UTC)  # one minute to midnight in Shanghai
    one = replace(PEOPLE, at_most=1)
    asks = [
        Reservation(principal="a", now=late, day=TODAY, charges=(one,), sid="s1"),
        Reservation(principal="a", now=late, day=TODAY, charges=(one,), sid="s2"),
        Reservation(
            principal="a", now=late + MINUTE, day=TODAY + timedelta(days=1), charges=(one,), sid="s2"
        ),
    ]
    assert await taken(ledger, *asks) == [True, False, True]


# At the same time.


async def test_of_many_at_once_exactly_the_limit_get_through(ledger: SQLLedger, reopen: Open) -> None:
    ledgers = (ledger, await reopen(), await reopen())
    charges = [Charge(name, Limit.ROWS_PER_HOUR, 40) for name in ("grant:a", "guard:b")]
    asks = [of(*(charges if n % 2 else charges[::-1])) for n in range(90)]
    got = await asyncio.gather(*(ledgers[n % 3].reserve(ask) for n, ask in enumerate(asks)))
    assert [not lacking for lacking in got].count(True) == 40


def test_of_six_processes_at_the_edge_exactly_the_limit_get_through(url: str) -> None:
    script = Path(__file__).with_name("usage_child.py")
    children = [
        subprocess.Popen(
            [sys.executable, str(script), url, str(n)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(6)
    ]
    try:
        assert [child.stdout.readline() for child in children if child.stdout] == ["ready\n"] * 6
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        got = [int(child.communicate(timeout=300)[0]) for child in children]
    finally:
        for child in children:
            child.kill()
            child.wait()
    assert sum(got) == 100


async def test_who_goes_away_has_used_what_was_taken_and_stops_nobody(ledger: SQLLedger) -> None:
    tasks = [asyncio.ensure_future(ledger.reserve(of(ROWS))) for _ in range(2)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    assert await tasks[1] == frozenset()
    assert await taken(ledger, of(ROWS), of(ROWS)) == [True, False]


async def test_waiting_reservations_share_transactions(ledger: SQLLedger) -> None:
    """Alone each would wait for the disk of all before it."""
    transactions = 0
    inner = ledger.database.transact

    async def counted(work: Callable[..., object]) -> object:
        nonlocal transactions
        transactions += 1
        return await inner(work)

    ledger.database.transact = counted  # type: ignore[method-assign, assignment] # counts and passes on
    many = replace(ROWS, at_most=1000)
    await asyncio.gather(*(ledger.reserve(of(many, who=f"p{n}")) for n in range(200)))
    assert transactions <= 3


# Failures.


@pytest.mark.parametrize("stored", ["x", "[[1, Infinity]]", "[[NaN, 1]]", "[7]", "{}", "null"])
async def test_a_counter_that_cannot_be_read_is_used_up_for_its_principal_alone(
    url: str, ledger: SQLLedger, stored: str
) -> None:
    await taken(ledger, of(ROWS), of(ROWS, who="bob"))
    execute(url, f"UPDATE usage_count SET counts = '{stored}' WHERE key LIKE '%alice'")
    got = await asyncio.gather(ledger.reserve(of(ROWS)), ledger.reserve(of(ROWS, who="bob")))
    assert list(map(set, got)) == [{ROWS}, set()]
    assert await ledger.reserve(of(also_told=(ROWS,))) == {ROWS}


async def test_a_closed_ledger_takes_nothing_and_says_so(ledger: SQLLedger) -> None:
    await ledger.close()
    for ask in (of(ROWS), of(also_told=(ROWS,))):
        with pytest.raises(LedgerError):
            await ledger.reserve(ask)


async def test_the_tables_do_not_grow_with_use(url: str, ledger: SQLLedger) -> None:
    for day in range(40):
        at = NOW + timedelta(days=day)
        await taken(ledger, *(of(ROWS, LOOKUPS, PEOPLE, sid=f"s{n}", at=at) for n in range(2)))
    (rows,) = execute(url, "SELECT count(*), max(length(counts)) FROM usage_count")
    people = execute(url, "SELECT count(*) FROM usage_customer")
    assert rows[0] == 3
    assert rows[1] < 500
    assert people == [(4,)]


# Against a model.


class Counters(RuleBasedStateMachine):
    """Two principals, three counters, a clock that moves: what is let through is what the windows allow."""

    url: AbstractContextManager[str]

    @initialize()
    def start(self) -> None:
        self.url = URLS["sqlite"]()
        self.runner = asyncio.Runner()
        url = self.url.__enter__()
        self.ledger = self.runner.run(opened(url))
        self.now = NOW
        self.taken: list[tuple[str, Charge, datetime, str]] = []

    @rule(seconds=st.sampled_from((0, 1, 30, 59, 60, 61, 1800, 3540, 3600, 3660, 86400)))
    def wait(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(
        who=st.sampled_from(("alice", "bob")),
        charges=st.lists(st.sampled_from((ROWS, LOOKUPS, PEOPLE)), min_size=1, max_size=3, unique=True),
        sid=st.sampled_from(("s1", "s2", "s3", "s4")),
    )
    def ask(self, who: str, charges: Sequence[Charge], sid: str) -> None:
        lacking = self.runner.run(self.ledger.reserve(of(*charges, at=self.now, who=who, sid=sid)))
        surely = {
            charge for charge in charges if self.held(who, charge, sid, slack=False) >= charge.at_most
        }
        perhaps = {
            charge for charge in charges if self.held(who, charge, sid, slack=True) >= charge.at_most
        }
        assert surely <= lacking <= perhaps
        if not lacking:
            self.taken += [(who, charge, self.now, sid) for charge in charges]

    def held(self, who: str, charge: Charge, sid: str, *, slack: bool) -> int:
        """Return how much of the limit the window holds; with `slack`, and one sub-bucket before it."""
        mine = [(at, s) for w, c, at, s in self.taken if (w, c) == (who, charge)]
        if charge is PEOPLE:
            today = {s for at, s in mine if at.date() == self.now.date()}
            return 0 if sid in today else len(today)
        window = HOUR if charge is ROWS else MINUTE
        return sum(self.now - at < window + (window / 60 if slack else timedelta()) for at, _ in mine)

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.runner.run(self.ledger.close())
            self.runner.close()
            self.url.__exit__(None, None, None)


Counters.TestCase.settings = settings(max_examples=8, stateful_step_count=25)
TestCounters = Counters.TestCase


@settings(max_examples=30)
@given(st.lists(st.integers(0, 7300), min_size=1, max_size=40), st.integers(1, 5))
def test_no_hour_ever_holds_more_than_the_limit(moments: list[int], at_most: int) -> None:
    """Whatever the moments are, with the arithmetic that the ledger uses."""
    counts: dict[int, int] = {}
    let_through: list[int] = []
    for moment in sorted(moments):
        bucket = bucket_of(Limit.ROWS_PER_HOUR, NOW + timedelta(seconds=moment))
        counts = in_window(counts, bucket)
        if sum(counts.values()) < at_most:
            counts[bucket] = counts.get(bucket, 0) + 1
            let_through.append(moment)
    assert len(counts) <= 61
    for start in let_through:
        assert sum(start <= moment <= start + 3600 for moment in let_through) <= at_most


async def test_customers_of_days_that_are_over_are_forgotten_for_rules_and_people_who_are_gone_too(
    url: str, ledger: SQLLedger
) -> None:
    gone = Charge("guard:renamed", Limit.DISTINCT_CUSTOMERS_PER_DAY, 9)
    for number in range(3):
        assert await taken(ledger, of(gone, who="left", sid=f"sid_{number}")) == [True]
    for day in range(1, 4):
        assert await taken(ledger, of(PEOPLE, at=NOW + timedelta(days=day), sid="sid_9")) == [True]
    assert execute(url, "SELECT count(*) FROM usage_customer WHERE key LIKE '%renamed%'")[0][0] == 0


# Habits.


def look(ref: CustomerRef | int, at: datetime = NOW, who: str = "alice", sid: str = "") -> Look:
    ref = StoreKey("crm", f"C{ref:05}") if isinstance(ref, int) else ref
    return Look(principal=who, now=at, day=at.date(), ref=ref, sid=sid)


async def habits(ledger: SQLLedger, *looks: Look, at: datetime = NOW, who: str = "alice") -> Habits:
    """Return what is known after the looks."""
    for each in looks:
        ledger.watch(each)
    await ledger._observer.catch_up()
    return await ledger.habits(look(0, at, who))


UP, DOWN = range(100, 110), range(110, 100, -1)
DECOYS = [ref for n in range(10) for ref in (100 + n, 5000 + 37 * n, 40000 - 91 * n)]


@pytest.mark.parametrize(
    ("asked", "hits"),
    [
        (UP, 9),
        (DOWN, 9),
        (DECOYS, 9),
        ((104, 106, 105), 1),
        ((99, 100), 1),  # 99 and 100 are neighbours whatever the width
        ((7, 7, 7), 0),
        ((7, 8, 7, 8, 7, 8), 1),  # two customers in turn are two customers
        ((7, 9, 11, 13), 0),
        ((0, 1), 1),
        ((), 0),
    ],
)
async def test_neighbours_are_noticed_in_any_order_and_between_decoys(
    ledger: SQLLedger, asked: Sequence[int], hits: int
) -> None:
    assert (await habits(ledger, *map(look, asked))).hits == hits


async def test_numbers_have_neighbours_too_and_names_none(ledger: SQLLedger) -> None:
    phones = [look(Phone(f"+86138001380{n:02}")) for n in range(5)]
    assert (await habits(ledger, *phones)).hits == 4
    names = [look(StoreKey("crm", name), who="bob") for name in ("alpha", "beta", "C12-x", "C13-x")]
    assert (await habits(ledger, *names, who="bob")).hits == 1  # C12-x and C13-x


async def test_habits_are_one_principals_own_and_leave_the_hour(ledger: SQLLedger, reopen: Open) -> None:
    both = [look(n, who=who) for n in range(6) for who in ("alice", "bob") if (n + (who == "bob")) % 2]
    assert [(await habits(ledger, *both)).hits, (await habits(ledger, who="bob")).hits] == [0, 0]
    await habits(ledger, *map(look, UP))
    assert (await (await reopen()).habits(look(0))).hits == 9
    later = NOW + timedelta(minutes=62)
    assert (await habits(ledger, look(110, later), at=later)).hits == 0  # 109 is forgotten


async def test_the_customers_of_each_day_are_counted_once(ledger: SQLLedger) -> None:
    days = [NOW + timedelta(days=n) for n in range(40)]
    looks = [look(n, at, sid=f"s{n}") for at in days for n in (1, 2, 2, 1, 3)] + [look(9, days[-1])]
    found = await habits(ledger, *looks)
    assert len(found.customers) == 31
    assert set(found.customers.values()) == {3}


async def test_a_department_sees_what_its_principals_see_each_customer_once_for_each_of_them(
    ledger: SQLLedger,
) -> None:
    def of_sales(n: int, who: str, **more: Any) -> Look:
        return replace(look(n, who=who, sid=f"s{n}"), department="sales", hour=9, **more)

    looks = [of_sales(n, who) for who in ("alice", "bob") for n in (1, 2, 2)]
    exported = replace(of_sales(9, "carol"), ref=StoreKey("crm", ""), sid="", rows=500)
    found = await habits(ledger, *looks, exported, exported, replace(of_sales(7, "dave"), sid=""))
    told = await ledger.habits(of_sales(0, "carol"))
    day = TODAY.toordinal()
    assert (told.customers, told.of_department, told.people) == ({day: 1000}, {day: 1004}, {day: 3})
    assert (told.hits, told.hours) == (0, {9: day})
    assert not found.of_department  # of the department that `habits` asks for: none


async def test_the_hours_in_which_somebody_asked_are_known_with_the_day_before_the_last_one(
    ledger: SQLLedger,
) -> None:
    days = [NOW, NOW + timedelta(days=3), NOW + timedelta(days=3, hours=1)]
    found = await habits(ledger, *(replace(look(n, at, sid=f"s{n}"), hour=9) for n, at in enumerate(days)))
    assert found.hours == {9: TODAY.toordinal() + 3, 33: TODAY.toordinal()}


async def test_what_was_watched_is_written_by_itself_and_at_the_end(
    ledger: SQLLedger, reopen: Open
) -> None:
    ledger.watch(look(1))
    ledger.watch(look(2))
    await ledger.close()
    assert (await (await reopen()).habits(look(0))).hits == 1


async def test_no_reference_is_kept_in_clear(url: str, ledger: SQLLedger) -> None:
    await habits(ledger, look(Phone("+8613800138000")), look(StoreKey("crm", "C-998877")))
    kept = execute(url, "SELECT principal, digest FROM usage_trace")
    assert len(kept) == 6
    for _, digest in kept:
        assert len(bytes(digest)) == 32


async def test_a_ledger_that_is_gone_loses_observations_and_stops_nobody(ledger: SQLLedger) -> None:
    await ledger.database.close()
    ledger.watch(look(1))
    await ledger._observer.catch_up()
