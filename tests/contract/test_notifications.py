"""What the ledger keeps of notifications (`ports.notifications`), on every database, also with several senders."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from fujie.adapters.clock import SystemClock
from fujie.adapters.identifiers import SystemIdentifiers
from fujie.adapters.ledger import IndexKey, SQLLedger, open_ledger
from fujie.adapters.ledger.notifications import SQLNotifications, Waiting
from fujie.model.notification import Notification
from support.ledgers import sqlite_url
from support.postgresql import ledger_url

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def order(n: int, **more: object) -> Notification:
    made = Notification(
        id=f"{n:032x}", kind="principal.wipe_devices", subject="li.na", payload={"device": f"d-{n}"}, created_at=NOW,
        due_at=LATER,
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]  # passed on


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with sqlite_url() if request.param == "sqlite" else ledger_url() as found:
        yield found


@pytest.fixture
async def both(url: str) -> AsyncIterator[tuple[SQLNotifications, SQLNotifications]]:
    """The notifications of one ledger, as two processes have them."""
    index = IndexKey("k1", b"\x01" * 32)
    opened: list[SQLLedger] = [
        await open_ledger(url, index, SystemIdentifiers(SystemClock()), str.encode) for _ in range(2)
    ]
    yield opened[0].notifications, opened[1].notifications
    for ledger in opened:
        await ledger.close()


Both = tuple[SQLNotifications, SQLNotifications]


async def test_what_is_written_comes_back_and_the_first_of_an_id_stays(both: Both) -> None:
    here, there = both
    await here.notify(order(1))
    await there.notify(order(1, payload={"device": "another"}, due_at=None))
    assert await there.about("li.na") == [order(1)]
    assert await here.notification(order(1).id) == order(1)
    assert await here.notification("nobody") is None
    assert await here.about("somebody else") == []


async def test_the_first_acknowledgement_stands_and_ends_the_sending(both: Both) -> None:
    here, there = both
    await here.notify(order(1))
    first = await here.acknowledge(order(1).id, "mdm", NOW)
    assert await there.acknowledge(order(1).id, "another", LATER) == first
    assert (await there.notification(order(1).id)) == replace(
        order(1), acknowledged_at=NOW, acknowledged_by="mdm"
    )
    assert await here.take(LATER, 10.0, 10) == ()
    assert await here.acknowledge("nobody", "mdm", NOW) is None


async def test_two_senders_never_have_one_at_the_same_time(both: Both) -> None:
    for n in range(20):
        await both[0].notify(order(n))
    taken = await asyncio.gather(*(each.take(NOW, 30.0, 5) for each in both * 4))
    ids = [each.id for part in taken for each in part]
    assert sorted(ids) == [order(n).id for n in range(20)]
    assert await both[0].take(NOW + timedelta(seconds=29), 30.0, 50) == ()


async def test_a_dead_senders_are_anybodys_after_their_lease_and_it_settles_nothing_any_more(
    both: Both,
) -> None:
    here, there = both
    await here.notify(order(1))
    [dead] = await here.take(NOW, 30.0, 5)
    [mine] = await there.take(NOW + timedelta(seconds=30), 30.0, 5)
    assert (dead.attempts, mine.attempts) == (1, 2)
    await here.sent(dead, LATER)
    await here.failed(dead, None)
    assert (await there.notification(order(1).id)) == mine
    await there.sent(mine, LATER)
    assert (await there.notification(order(1).id)) == replace(mine, sent_at=LATER)
    assert await here.take(LATER + timedelta(days=9), 30.0, 5) == ()


async def test_what_failed_is_tried_again_not_before_its_time_or_never(both: Both) -> None:
    here, _ = both
    await here.notify(order(1))
    await here.notify(order(2))
    first, second = await here.take(NOW, 30.0, 5)
    await here.failed(first, LATER)
    await here.failed(second, None)
    assert await here.take(LATER - timedelta(seconds=1), 30.0, 5) == ()
    assert [each.id for each in await here.take(LATER, 30.0, 5)] == [first.id]
    assert await here.take(LATER + timedelta(days=9), 30.0, 5) == [replace(first, attempts=3)]


async def test_the_standing_counts_what_waits_fails_and_is_overdue(both: Both) -> None:
    here, there = both
    assert await here.standing(NOW) == Waiting(0, 0, 0)
    for n in range(3):
        await here.notify(order(n, due_at=LATER if n else None))
    assert await there.standing(NOW) == Waiting(3, 0, 0)
    for _ in range(2):
        for each in await here.take(NOW, 0.0, 5):
            await here.failed(each, NOW)
    assert await there.standing(LATER) == Waiting(3, 3, 2)
    await here.acknowledge(order(1).id, "mdm", LATER)
    assert await there.standing(LATER) == Waiting(2, 2, 1)
