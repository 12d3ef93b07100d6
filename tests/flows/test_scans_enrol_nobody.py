"""To look through a store leaves no trace of its customers: only who leaves is enrolled, and is decided on once more then."""

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

import fujie.flows.export as flow
from flows.test_approval_preview import OWN, asked_for, ready, seen
from flows.test_campaign_query import LISTS, SENDS, able, drafted, queried, total
from flows.test_export import offboard, rows_of
from fujie.model.customer import Phone, StoreKey
from support.exports import LARGE, POLICY, exported, lists, released, wanting
from support.house import House, Shared, opened_house
from support.identities import opt_out
from support.outboxes import URLS

NOBODY = POLICY.replace(b"!customer.minor", b"customer.owner_department == 'moon'")


@pytest.fixture(params=URLS)
async def either(request: pytest.FixtureRequest, tmp_path: Path, crm: Path) -> AsyncIterator[House]:
    """A gate over each of the databases."""
    with ExitStack() as stack:
        url = stack.enter_context(URLS[request.param]())
        async with opened_house(tmp_path, crm, Shared(url, bytes(32))) as house:
            yield house


@pytest.fixture
def ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "CHUNK", 10)


async def known(house: House, crm: Path) -> set[str]:
    """Return whom the ledger knows, by id; a number that it knows is somebody else's."""
    found = set()
    for row in rows_of(crm):
        if await house.ledger.find([StoreKey("crm", row["id"])]) is not None:
            found.add(row["id"])
        else:
            held = await house.ledger.find([Phone(f"+86{row['mobile']}")])
            assert held is None, "an alias is left behind"
    return found


class Meanwhile:
    """An outbox before which something happens when somebody is about to be enrolled, once."""

    def __init__(self, inner: Any, act: Callable[[], Awaitable[object]]) -> None:
        self._inner = inner
        self._act: Callable[[], Awaitable[object]] | None = act

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def survey(self, store: str, people: Sequence[Any], *given: Any, enrol: bool, sent: bool) -> Any:
        if enrol and people and self._act:
            act, self._act = self._act, None
            await act()
        return await self._inner.survey(store, people, *given, enrol=enrol, sent=sent)


def racing(house: House, act: Callable[[], Awaitable[object]]) -> House:
    assert house.gate.sending is not None
    outbox = cast("Any", Meanwhile(house.gate.sending.outbox, act))
    return replace(house, gate=replace(house.gate, sending=replace(house.gate.sending, outbox=outbox)))


async def refuse(house: House, phone: str) -> None:
    identity = await house.ledger.number(Phone(f"+86{phone}"), house.hands.now())
    await house.ledger.add_suppression(opt_out(identity.sid, house.hands.now()), "", "")


async def test_an_export_that_lets_nobody_out_leaves_nobody_behind(either: House, crm: Path) -> None:
    came = await exported(lists(either, NOBODY, LARGE).gate, wanting())
    assert came.tail is not None
    assert came.tail.withheld["X_LISTED_MINOR"] > 50
    came = await exported(lists(either).gate, wanting("customer_no = nobody"))
    assert came.tail is not None
    assert (came.rows, await known(either, crm)) == ([], set())


async def test_an_export_leaves_those_behind_who_left(either: House, crm: Path, ten: None) -> None:
    house = lists(either)
    came = await exported(house.gate, wanting(max_rows=15))
    left = {row["customer_no"] for row in came.rows}
    assert len(left) == 15
    assert await known(house, crm) == left
    sids = released(house)
    assert len(set(sids)) == 15
    assert "" not in sids


async def test_a_preview_leaves_nobody_behind(either: House, crm: Path) -> None:
    desk = await ready(either, POLICY, OWN)
    preview = await seen(desk, await asked_for(desk))
    assert preview is not None
    assert preview.found is not None
    assert preview.found.rows > 50
    assert await known(either, crm) == set()


async def test_a_query_for_recipients_leaves_the_recipients_behind(either: House, crm: Path) -> None:
    house = able(either, SENDS, LISTS)
    campaign = await drafted(house.gate)
    assert (await queried(house.gate, campaign, "gender = X")).added == 0
    assert await known(house, crm) == set()
    assert (await queried(house.gate, campaign, "gender = F", 7)).added == 7
    assert len(await known(house, crm)) == await total(house.gate, campaign) == 7


def listed(crm: Path) -> list[tuple[str, str]]:
    """Return id and number of those who may leave, in order."""
    return [(row["id"], row["mobile"]) for row in rows_of(crm, "department = 'east' AND NOT minor")]


async def test_whose_number_refused_stays_in_and_unknown(either: House, crm: Path) -> None:
    house, [first, second, *_] = lists(either), listed(crm)
    await refuse(house, second[1])
    came = await exported(house.gate, wanting(max_rows=5))
    assert len(came.rows) == 5
    assert came.rows[0]["customer_no"] == first[0]
    assert second[0] not in {row["customer_no"] for row in came.rows}
    assert await house.ledger.find([StoreKey("crm", second[0])]) is None


async def test_who_refuses_while_he_is_enrolled_does_not_leave_and_another_takes_his_place(
    either: House, crm: Path, ten: None
) -> None:
    people = listed(crm)
    either.hands.stands = True  # or a slow machine's rows are read again, and come in one chunk
    house = racing(lists(either), lambda: refuse(either, people[4][1]))
    came = await exported(house.gate, wanting(max_rows=10))
    expected = [customer for customer, _ in people[:11] if customer != people[4][0]]
    assert [row["customer_no"] for row in came.rows] == expected
    assert len(set(released(house))) == 10
    assert [part.rows for part in came.parts] == [9, 1]


async def test_who_leaves_while_customers_are_enrolled_gets_none_of_them(either: House, crm: Path) -> None:
    house = racing(lists(either), lambda: offboard(either))
    came = await exported(house.gate, wanting())
    assert (came.code, came.parts, released(house)) == ("PRINCIPAL_OFFBOARDED", [], [])


async def test_a_recipient_who_refuses_while_he_is_enrolled_is_none(house: House, crm: Path) -> None:
    """Where a rule of lists looks at refusals; another takes his place."""
    refusals = POLICY[POLICY.index(b"---") :]
    house = able(house, SENDS, LISTS.split(b"---")[0], refusals)
    people = rows_of(crm, "department = 'east' AND NOT minor AND gender = 'F'")
    own = racing(house, lambda: refuse(house, people[2]["mobile"]))
    campaign = await drafted(own.gate)
    assert (await queried(own.gate, campaign, "gender = F", 6)).added == 6
    sids = {
        (await house.ledger.enrol([StoreKey("crm", row["id"])], house.hands.now())).sid
        for row in people[:7]
    }
    gone = (await house.ledger.enrol([StoreKey("crm", people[2]["id"])], house.hands.now())).sid
    assert await recipients(house, campaign.id) == sids - {gone}


async def recipients(house: House, campaign_id: str) -> set[str]:
    with closing(sqlite3.connect(house.root / "ledger.db")) as ledger:
        return {
            row[0]
            for row in ledger.execute("SELECT sid FROM message WHERE campaign_id = ?", (campaign_id,))
        }
