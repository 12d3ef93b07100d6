"""An opt-out is confirmed when it is true: nothing that was on its way before goes out after it."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fujie.flows.consent import NOW, Answer, withdraw_consent
from fujie.flows.consent_import import ImportAsk, Rows, import_consents
from fujie.flows.directory import offboard_principal, upsert_principal
from fujie.flows.dispatch import dispatch
from fujie.flows.reply import Refusal, SuppressionReply
from fujie.flows.suppression import OptOut, add_suppression
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import CustomerRef, Phone, StoreKey
from fujie.model.principal import Principal
from fujie.model.request import RequestContext
from fujie.model.suppression import SuppressionScope
from fujie.model.vocabulary import State
from support import postgresql, racing
from support.house import ADMIN, House, Shared, caller, opened_house
from support.ledgers import ledger_file
from support.sending import CountingProvider, agree, campaign_to, keys, leases, phone_of, sending, states

DESK = caller("consent-desk")
CONTEXT = RequestContext()
SUSPENDED = Principal("marketer", roles=frozenset({"marketer"}), employment=State.SUSPENDED)


class OnItsWay:
    """A message at a provider that has not answered yet."""

    def __init__(self, house: House, at: House, provider: CountingProvider) -> None:
        self.house, self.at, self.provider = house, at, provider
        self.there, self.answer = asyncio.Event(), asyncio.Event()
        provider.meanwhile = self._wait
        self.task: asyncio.Task[None] | None = None

    async def _wait(self) -> None:
        self.there.set()
        await self.answer.wait()

    async def start(self) -> None:
        async def work() -> None:
            async for lease in leases(self.at.gate):
                await dispatch(self.at.gate, lease)

        self.at.hands.stands = True  # nobody has waited too long because the machine is slow
        self.task = asyncio.create_task(work())
        await self.there.wait()

    async def end(self) -> None:
        assert self.task is not None
        self.answer.set()
        await self.task


@pytest.fixture
async def on_its_way(house: House) -> OnItsWay:
    provider = CountingProvider()
    at = sending(house, provider)
    await agree(house, keys(1))
    await campaign_to(at.gate, keys(1))
    return OnItsWay(house, at, provider)


async def opt_out(at: House, ref: CustomerRef, request_id: str = "") -> SuppressionReply | Refusal:
    said = OptOut(ref, SuppressionScope(), NOW, "call", "call-1")
    return await add_suppression(at.gate, DESK, RequestContext(request_id=request_id), said)


async def withdraw(at: House, ref: CustomerRef) -> object:
    draft = ConsentEvent("", "", "marketing", ConsentEventType.WITHDRAWN, NOW, NOW, "", source="call")
    return await withdraw_consent(at.gate, DESK, ref, CONTEXT, draft)


async def by_file(at: House, ref: CustomerRef) -> object:
    when = at.hands.now()
    said = ConsentEvent("", "", "marketing", ConsentEventType.REFUSED, when, when, "", source="import")

    async def file() -> AsyncIterator[Rows]:
        yield [Answer(said, ref)]

    return await import_consents(at.gate, DESK, ImportAsk(CONTEXT), file())


Act = Callable[[House], Awaitable[object]]


async def _by_number(at: House) -> object:
    return await opt_out(at, Phone(await phone_of(at, keys(1)[0])))


ACTS: dict[str, Act] = {
    "opt-out": lambda at: opt_out(at, keys(1)[0]),
    "opt-out by number": _by_number,
    "withdrawal": lambda at: withdraw(at, keys(1)[0]),
    "refusal in a file": lambda at: by_file(at, keys(1)[0]),
    "offboarding": lambda at: offboard_principal(at.gate, ADMIN, CONTEXT, "marketer"),
    "suspension": lambda at: upsert_principal(at.gate, ADMIN, CONTEXT, SUSPENDED),
}


async def _written(at: House, act: "asyncio.Task[object]", ledger_writes: int) -> None:
    """Return once the log has the admission of the act, and the act has had time to end if it would."""
    while len(at.log.leaves) < ledger_writes:  # noqa: ASYNC110 - the log has no event for it
        await asyncio.sleep(0.005)
    await asyncio.wait({act}, timeout=0.3)


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
async def test_it_is_confirmed_only_when_what_was_on_its_way_has_an_outcome(
    on_its_way: OnItsWay, act: Act
) -> None:
    at = on_its_way.at
    await on_its_way.start()
    entries = len(at.log.leaves)
    closing: asyncio.Task[object] = asyncio.ensure_future(act(at))
    await _written(at, closing, entries + 1)
    assert not closing.done()
    await on_its_way.end()
    assert not isinstance(await closing, Refusal)


async def test_who_waits_too_long_is_told_so_and_the_opt_out_holds(on_its_way: OnItsWay) -> None:
    at, key = on_its_way.at, keys(1)[0]
    await on_its_way.start()
    entries = len(at.log.leaves)
    closing: asyncio.Task[object] = asyncio.ensure_future(opt_out(at, key, "r-1"))
    await _written(at, closing, entries + 1)
    at.hands.ahead += 10
    reply = await closing
    assert isinstance(reply, Refusal)
    assert reply.reasons[0].code == "OPT_OUT_PENDING"
    await on_its_way.end()
    second = await campaign_to(at.gate, [key])
    async for lease in leases(at.gate):
        await dispatch(at.gate, lease)
    assert await states(at.gate, second) == {"REFUSED": 1}
    again = await opt_out(at, key, "r-1")
    assert isinstance(again, SuppressionReply)
    page = await at.ledger.suppressions([again.suppression.sid])
    assert len(page) == 1


async def test_nobody_waits_for_the_messages_of_others(on_its_way: OnItsWay) -> None:
    at = on_its_way.at
    await on_its_way.start()
    assert isinstance(await opt_out(at, StoreKey("crm", "C00050")), SuppressionReply)
    await on_its_way.end()


async def test_a_gate_that_sends_nothing_waits_for_nothing(house: House) -> None:
    assert isinstance(await opt_out(house, keys(1)[0]), SuppressionReply)


@contextmanager
def _ledger(kind: str, directory: Path) -> Iterator[str]:
    if kind == "sqlite":
        yield ledger_file(directory / "ledger.db")
    else:
        with postgresql.ledger_url() as url:
            yield url


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_after_an_acknowledged_opt_out_nothing_is_submitted(
    tmp_path: Path, crm: Path, kind: str
) -> None:
    customers, fresh = keys(80), racing.processes()
    start = fresh.Barrier(4)
    with _ledger(kind, tmp_path) as url:
        shared = Shared(url, os.urandom(32))
        async with opened_house(tmp_path, crm, shared) as house:
            at = sending(house, CountingProvider())
            await agree(at, customers)
            campaign = await campaign_to(at.gate, customers)
            out = [
                fresh.Process(
                    target=racing.send,
                    args=(tmp_path / f"send-{n}", crm, Shared(url, shared.secret, n), campaign.id, start),
                )
                for n in (1, 2)
            ]
            out += [
                fresh.Process(
                    target=racing.opt_out,
                    args=(
                        tmp_path / f"stop-{n}",
                        crm,
                        Shared(url, shared.secret, n),
                        customers[::-1][n::3],
                        start,
                    ),
                )
                for n in (3, 4)
            ]
            for process in out:
                process.start()
            for process in out:
                await asyncio.to_thread(process.join, 120)
            assert [process.exitcode for process in out] == [0] * 4
            known = await states(at.gate, campaign)
    submitted = [each for n in (1, 2) for each in racing.times_of(tmp_path / f"send-{n}" / "out")]
    stopped = [each for n in (3, 4) for each in racing.times_of(tmp_path / f"stop-{n}" / "out")]
    acknowledged = {phone: time for time, phone in stopped}
    late = [time for time, phone in submitted if time > acknowledged.get(phone, time)]
    assert late == []
    assert len({phone for _, phone in submitted}) == len(submitted) == known["SUBMITTED"]
    assert sum(known.values()) == len(customers)
    assert known["REFUSED"] > 0
