"""Attacks on lists: rows that come between two pages, strange names, places of nobody."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import product
from typing import TypeVar

import pytest

from contract.test_ledger import ADAPTERS, Open
from fujie.adapters.ledger import SQLLedger
from fujie.model.consent import ConsentEventType
from fujie.model.customer import StoreKey
from fujie.model.errors import RequestError
from fujie.model.page import Page, Slice
from fujie.model.principal import Principal, PrincipalFilter
from fujie.model.suppression import Confirmation, SuppressionFilter, SuppressionScope
from fujie.model.vocabulary import ADMINISTRATOR, State
from support.identities import consent_event, opt_out

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE, TWO = StoreKey("crm", "C-1"), StoreKey("crm", "C-2")
GIVEN, WITHDRAWN = ConsentEventType.GIVEN, ConsentEventType.WITHDRAWN

T = TypeVar("T")


@pytest.fixture(params=list(ADAPTERS.values()), ids=list(ADAPTERS))
def empty(request: pytest.FixtureRequest) -> Iterator[Open]:
    with request.param() as open_:
        yield open_


@pytest.fixture
async def ledger(empty: Open) -> AsyncIterator[SQLLedger]:
    opened = await empty()
    yield opened
    await opened.close()


async def all_pages(
    read: Callable[[Slice], Awaitable[Page[T]]], size: int, between: Callable[[], Awaitable[object]]
) -> list[T]:
    """Read to the end; at most as often as rows can be added, so that a list that never ends fails."""
    rows, after = list[T](), ""
    for _ in range(50):
        page = await read(Slice(after, size))
        assert len(page.rows) <= size
        rows += page.rows
        after = page.next
        if not after:
            return rows
        await between()
    raise AssertionError("the list has no end")


async def nothing() -> None:
    pass


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_every_event_stands_once_on_the_pages_also_those_that_come_between(
    ledger: SQLLedger, size: int
) -> None:
    sid, left = (await ledger.enrol([ONE], NOW)).sid, 3

    async def add() -> None:
        nonlocal left
        if left:
            left -= 1
            await ledger.record_consent(consent_event(sid, GIVEN, NOW, NOW), "", "")

    for _ in range(5):
        await ledger.record_consent(consent_event(sid, GIVEN, NOW, NOW), "", "")
    rows = await all_pages(lambda part: ledger.consent_page([sid], sid, "", part), size, add)
    assert sorted(each.record_id for each in rows) == sorted(
        each.record_id for each in await ledger.consent_events([sid], "")
    )


async def test_a_list_of_events_shows_ones_own_and_what_closes_of_others(ledger: SQLLedger) -> None:
    one, two = (await ledger.enrol([ONE], NOW)).sid, (await ledger.enrol([TWO], NOW)).sid
    for sid, kind in product((one, two), (GIVEN, WITHDRAWN)):
        await ledger.record_consent(consent_event(sid, kind, NOW, NOW), "", "")
    page = await ledger.consent_page([one, two], one, "marketing", Slice())
    assert [(each.sid, each.type) for each in page.rows] == [
        (one, GIVEN), (one, WITHDRAWN), (two, WITHDRAWN),
    ]  # fmt: skip
    assert (await ledger.consent_page([one], one, "other", Slice())).rows == ()
    assert await ledger.consent_page([], "", "", Slice()) == Page(())
    assert {each.type for each in (await ledger.consent_page([one, two], "", "", Slice())).rows} == {
        WITHDRAWN
    }


@pytest.mark.parametrize("after", ["x", "-1", "1 OR 1=1", "１", "9" * 20, "1.0"])
async def test_a_place_that_no_page_gave_is_refused(ledger: SQLLedger, after: str) -> None:
    for call in (
        ledger.consent_page(["s"], "s", "", Slice(after)),
        ledger.suppression_page(SuppressionFilter(), Slice(after)),
    ):
        with pytest.raises(RequestError) as refused:
            await call
        assert refused.value.code == "PAGE_TOKEN_INVALID"
    assert (await ledger.suppression_page(SuppressionFilter(), Slice("9" * 19))).rows == ()


async def test_opt_outs_are_listed_by_what_they_close(ledger: SQLLedger) -> None:
    scopes = [
        SuppressionScope(purpose, channel)
        for purpose in ("", "marketing", "care")
        for channel in ("", "sms")
    ]
    sids = [(await ledger.enrol([key], NOW)).sid for key in (ONE, TWO)]
    for sid, scope in product(sids, scopes):
        await ledger.add_suppression(opt_out(sid, NOW, scope), "", "")

    async def found(asked: SuppressionFilter) -> list[tuple[str, SuppressionScope]]:
        rows = await all_pages(lambda part: ledger.suppression_page(asked, part), 2, nothing)
        return [(each.sid, each.scope) for each in rows]

    everything = [(sid, scope) for sid in sids for scope in scopes]
    assert await found(SuppressionFilter()) == everything
    assert await found(SuppressionFilter((sids[1],))) == everything[6:]
    assert await found(SuppressionFilter(())) == []
    assert await found(SuppressionFilter(None, "marketing")) == [
        each for each in everything if each[1].purpose in ("", "marketing")
    ]
    assert await found(SuppressionFilter((sids[0],), "marketing", "voice")) == [
        each for each in everything[:6] if each[1].purpose in ("", "marketing") and not each[1].channel
    ]
    first = (await ledger.suppression_page(SuppressionFilter(), Slice())).rows[0]
    ended = Confirmation("signed_letter", "l-1", NOW)

    await ledger.lift_suppression(replace(first, lifted=ended, lifted_at=NOW, lifted_by="desk"), "")
    assert len(await found(SuppressionFilter())) == len(everything) - 1
    assert len(await found(SuppressionFilter(with_lifted=True))) == len(everything)


ODD_ROLES = (
    "support", "Support", "supp", "port", 'a", "support', '"support"', "support\\", "\\", '["support', "%", "_upport",
    "支持", "sup'port", "support ", "é", ", ",
)  # fmt: skip


async def test_a_role_finds_exactly_those_who_have_it(ledger: SQLLedger) -> None:
    directory = ledger.directory
    people = [frozenset({role}) for role in ODD_ROLES]
    people += [frozenset({role, "zz", "0"}) for role in ODD_ROLES] + [frozenset()]
    for n, roles in enumerate(people):
        await directory.upsert(Principal(f"p-{n:03}", roles=roles), NOW)
    for role in (*ODD_ROLES, "zz", "none"):
        page = await directory.page(PrincipalFilter(role=role), Slice("", 500))
        assert [each.id for each in page.rows] == [
            f"p-{n:03}" for n, roles in enumerate(people) if role in roles
        ], role


async def test_principals_are_listed_by_every_part_of_the_filter(ledger: SQLLedger) -> None:
    directory = ledger.directory
    people = [
        Principal(f"{department}-{kind}-{employment}", kind, frozenset({"r"}), department, employment)
        for department in ("east", "west")
        for kind in (State.EMPLOYEE, State.SERVICE)
        for employment in (State.ACTIVE, State.SUSPENDED, State.OFFBOARDED)
    ]
    for each in people:
        await directory.upsert(each, NOW)
    for department, kind, employment in product(
        ("", "east"), (None, State.SERVICE), (None, State.SUSPENDED, State.OFFBOARDED)
    ):
        asked = PrincipalFilter("", department, employment, kind)  # who left has no role
        rows = await all_pages(lambda part, asked=asked: directory.page(asked, part), 2, nothing)  # type: ignore[misc]  # bound now
        assert {each.id for each in rows} == {
            each.id
            for each in people
            if department in ("", each.department)
            and kind in (None, each.kind)
            and employment in (None, each.employment)
        }


async def test_principals_who_come_and_go_between_pages_double_nobody(ledger: SQLLedger) -> None:
    directory, came = ledger.directory, 0
    for n in range(0, 20, 2):
        await directory.upsert(Principal(f"p-{n:03}"), NOW)

    async def hire() -> None:
        nonlocal came
        if came < 8:
            came += 1
            await directory.upsert(Principal(f"p-{came * 2 - 1:03}"), NOW)

    rows = [
        each.id for each in await all_pages(lambda part: directory.page(PrincipalFilter(), part), 3, hire)
    ]
    assert rows == sorted(set(rows))
    assert {f"p-{n:03}" for n in range(0, 20, 2)} <= set(rows)


async def test_who_was_offboarded_is_not_employed_again(ledger: SQLLedger) -> None:
    directory = ledger.directory
    await directory.upsert(Principal("chief", roles=frozenset({ADMINISTRATOR})), NOW)
    await directory.upsert(Principal("li.na", roles=frozenset({"support"})), NOW)
    await directory.offboard("li.na", NOW)
    for employment in (State.ACTIVE, State.SUSPENDED):
        with pytest.raises(RequestError) as refused:
            await directory.upsert(Principal("li.na", employment=employment), NOW)
        assert refused.value.code == "OFFBOARDED_STAYS"
    kept = Principal("li.na", department="west", employment=State.OFFBOARDED, offboard_at=NOW)
    assert await directory.upsert(kept, NOW) == kept
