"""A ledger on PostgreSQL, far away, and two workers: what was acknowledged holds for whatever starts afterwards.

Every message to the database and back takes a while of its own, so that reads of one worker and writes of the other
cross each other in every order.
"""

import asyncio
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.message import Message

from abuse.methods import about
from abuse.target import (
    ADD_SUPPRESSION,
    LOOKUP,
    OFFBOARD,
    RECORD,
    UPSERT,
    WITHDRAW,
    Target,
    by_id,
    consent,
    create_site,
    hired,
    marketing,
    running,
)
from abuse.test_races import NOTHING, PATIENCE_S, connected, done, logs, outcome
from fujie.audit.entry import Entry
from fujie.flows.lookup import LATELY_S
from fujie.v1 import directory_service_pb2 as directory_v1
from support.postgresql import ledger_url, server
from support.wire import Wire

ROUNDS, CONNECTIONS = 4, 8
SLOWEST_S = 0.008
ADULTS = [f"C{number:05}" for number in range(1, 60) if number % 20]


@contextmanager
def far_away(seed: int) -> Iterator[int]:
    """Serve a slow wire to the database in a thread; yield its port."""
    ready: Future[int] = Future()
    over = threading.Event()

    async def serve() -> None:
        drawn = random.Random(seed)
        async with Wire(server().socket).serving() as wire:
            wire.delay_s = lambda: drawn.uniform(0, SLOWEST_S)
            ready.set_result(wire.port)
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield ready.result(30)
    finally:
        over.set()
        thread.join()


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    site = create_site(tmp_path_factory.mktemp("far") / "site", customers=60)
    site.values["server"] |= {"workers": 2, "connection_age_seconds": 3600}
    with ledger_url() as url, far_away(seed=7) as port:
        name = url.rpartition("?")[0].rpartition("/")[2]
        address = f"postgresql://postgres@127.0.0.1:{port}/{name}?sslmode=disable"
        site.values["ledger"] = {"url": address}
        site.write()
        with running(site) as started:
            yield started


@dataclass
class Asking:
    """Marketers who look one customer up on every connection, without a pause."""

    target: Target
    channels: Sequence[Any]
    who: str
    customer: str
    has_seen: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[tuple[float, str]] = field(default_factory=list)
    """When it was sent, and the reason, "" for a customer who was shown."""

    async def until(self, is_over: Callable[[], bool]) -> None:
        async def one(channel: Any) -> None:
            asked = marketing("phone", customer=self.customer)
            while not is_over():
                sent = time.time()
                reason = await outcome(self.target, channel, self.who, LOOKUP, asked)
                if reason not in NOTHING:
                    self.calls.append((sent, reason))
                if sum(reason == "" for _, reason in self.calls) > CONNECTIONS:
                    self.has_seen.set()

        await asyncio.gather(*map(one, self.channels))


Ending = Callable[[str, str], tuple[str, str, Message]]
ENDINGS: dict[str, tuple[Ending, str]] = {
    "consent withdrawn": (
        lambda name, _: ("desk", WITHDRAW, about(WITHDRAW, by_id(name))),
        "CONSENT_WITHDRAWN",
    ),
    "suppression added": (
        lambda name, _: ("desk", ADD_SUPPRESSION, about(ADD_SUPPRESSION, by_id(name))),
        "CUSTOMER_OPTED_OUT",
    ),
    "principal offboarded": (
        lambda _, who: ("chief", OFFBOARD, directory_v1.OffboardPrincipalRequest(id=who)),
        "PRINCIPAL_OFFBOARDED",
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_no_look_up_that_starts_after_an_ending_was_acknowledged_is_allowed(
    target: Target, ending: str
) -> None:
    act, reason = ENDINGS[ending]
    place = list(ENDINGS).index(ending)
    for number in range(ROUNDS):
        name, who = ADULTS[place * ROUNDS + number], f"asker-{place}-{number}"
        acknowledged = float("inf")
        async with connected(target, CONNECTIONS) as channels, connected(target, 1) as [desk]:
            await done(target, desk, "desk", RECORD, consent(by_id(name)))
            await done(target, desk, "chief", UPSERT, hired(who, "marketer"))
            asking = Asking(target, channels, who, name)

            def is_over(calls: list[tuple[float, str]] = asking.calls) -> bool:
                return sum(sent > acknowledged for sent, _ in calls) > CONNECTIONS  # noqa: B023 (of this round)

            load = asyncio.create_task(asking.until(is_over))
            await asyncio.wait_for(asking.has_seen.wait(), PATIENCE_S)
            await done(target, desk, *act(name, who))
            acknowledged = time.time()
            await load
        assert {code for sent, code in asking.calls if sent > acknowledged} == {reason}
        assert {code for _, code in asking.calls} == {"", reason}
        assert opened_after(target, who, acknowledged) == []


def opened_after(target: Target, who: str, moment: float) -> list[Entry]:
    """Return the look-ups of this principal that began after a moment and showed something, in whichever log."""
    begun = datetime.fromtimestamp(moment, UTC).isoformat(timespec="microseconds")
    own = [entry for log in logs(target) for entry in log if entry.principal == who]
    assert [entry for entry in own if entry.effect == "ALLOW"]
    return [e for e in own if e.effect == "ALLOW" and e.time.replace("Z", "+00:00") > begun]


# What had started before, and waits for a slow store.


@contextmanager
def store_locked(target: Target) -> Iterator[None]:
    with closing(sqlite3.connect(target.site.root / "crm.db", isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


async def test_what_was_said_while_a_look_up_waited_for_the_store_holds_for_it(target: Target) -> None:
    """A withdrawal and an offboarding that were acknowledged meanwhile."""
    for number in range(5):  # a crowded machine may not do all of it within the five seconds of a look-up
        if await is_said_meanwhile(
            target, f"leaver-{number}", [f"C{41 + 2 * number + n:05}" for n in (0, 1)]
        ):
            return
    raise AssertionError("the look-ups never waited long enough")


async def is_said_meanwhile(target: Target, leaver: str, names: Sequence[str]) -> bool:
    """Let two look-ups wait while both is said, and see what becomes of them; False when their time was over before."""
    asked = dict(zip(("marketer", leaver), names, strict=True))
    async with connected(target, 3) as [*channels, desk]:
        for name in names:
            await done(target, desk, "desk", RECORD, consent(by_id(name)))
        await done(target, desk, "chief", UPSERT, hired(leaver, "marketer"))

        async def each() -> list[str]:
            return await asyncio.gather(
                *(
                    outcome(target, channel, who, LOOKUP, marketing("phone", customer=name))
                    for channel, (who, name) in zip(channels, asked.items(), strict=True)
                )
            )

        while NOTHING & set(first := await each()):
            pass
        assert first == ["", ""]
        with store_locked(target):
            begun = target.server.metric("fujie_stage_seconds_count", stage="precheck")
            waiting = asyncio.create_task(each())
            until = time.monotonic() + PATIENCE_S
            while target.server.metric("fujie_stage_seconds_count", stage="precheck") < begun + 2:
                assert time.monotonic() < until
                await asyncio.sleep(0.01)
            await asyncio.gather(
                done(target, desk, "chief", OFFBOARD, directory_v1.OffboardPrincipalRequest(id=leaver)),
                done(target, desk, "desk", WITHDRAW, about(WITHDRAW, by_id(names[0]))),
            )
            acknowledged = time.time()
            await asyncio.sleep(LATELY_S)  # a faster store's row leaves by what was known when it was asked
            is_too_late = waiting.done()
        said = await waiting
        assert opened_after(target, leaver, acknowledged) == []
        if is_too_late or (NOTHING | {"STORE_TIMEOUT"}) & set(said):
            assert set(said) <= NOTHING | {"STORE_TIMEOUT", "CONSENT_WITHDRAWN", "PRINCIPAL_OFFBOARDED"}
            return False
        assert said == ["CONSENT_WITHDRAWN", "PRINCIPAL_OFFBOARDED"]
        while NOTHING & set(last := await each()):
            pass
        assert last == ["CONSENT_WITHDRAWN", "PRINCIPAL_OFFBOARDED"]
        return True
