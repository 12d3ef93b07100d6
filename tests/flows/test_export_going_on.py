"""Attacks by time on exports: slow readers, long streams, large chunks, and files made of several exports."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

import fujie.flows.export as flow
import fujie.flows.export_rows as of_rows
from flows.test_approvals import hire
from flows.test_export import EVERYBODY, Act, becoming, offboard, through
from flows.test_export_agreed import ASKED, EYE, NOTHING, agreed, asked_for, broken, resting_on
from fujie.flows import export_file
from fujie.flows.approvals import approve
from fujie.flows.consent import NOW, withdraw_consent
from fujie.flows.export_file import lines
from fujie.flows.export_reply import Answer, ExportPart
from fujie.flows.reply import ConsentReply
from fujie.model.approval import id_of
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import StoreKey
from fujie.model.errors import StoreError
from fujie.model.export import Closing, ExportState, Format
from fujie.model.record import Fetched
from fujie.model.request import LeaseAsk, RequestContext
from fujie.ports.stores import Scan
from support.cancelling import SlowEnd, cancelled_twice
from support.exports import (
    LARGE,
    POLICY,
    Came,
    export,
    exported,
    facts_of,
    last,
    lists,
    released,
    store_at,
    wanting,
)
from support.house import House, Shared, caller, opened_house
from support.postgresql import ledger_url

DESK = caller("consent-desk")


@pytest.fixture
def ten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow, "CHUNK", 10)


async def revoked(house: House, came: Came) -> None:
    assert came.head is not None
    assert came.head.export is not None
    closing = Closing(at=house.hands.now(), by="boss", why="EXPORT_REVOKED")
    await house.gate.exports.close_export(came.head.export.id, closing)


async def test_what_was_revoked_does_not_go_on_whichever_part_of_the_file_it_was(
    house: House, ten: None
) -> None:
    house = lists(house)
    first = await broken(house, wanting(), 1)
    second = await broken(house, wanting(resume=first.parts[-1].token), 1)
    await revoked(house, second)
    third = await exported(house.gate, wanting(resume=second.parts[-1].token))
    assert (third.code, third.parts) == ("EXPORT_CLOSED", [])


async def test_to_revoke_an_export_ends_the_one_that_goes_on_from_it(house: House, ten: None) -> None:
    house = lists(house)
    first = await broken(house, wanting(), 1)
    second = Came()
    async for answer in export(house.gate, wanting(resume=first.parts[-1].token)):
        second.take(answer)
        if isinstance(answer, ExportPart) and answer.number == 0:
            await revoked(house, first)
    assert second.code == last(house)["export.end"] == "EXPORT_CLOSED"
    assert [part.number for part in second.parts] == [0]


async def test_an_export_that_is_revoked_leaves_no_release_of_what_did_not_leave(
    house: House, ten: None
) -> None:
    house = lists(house)
    came = Came()
    async for answer in export(house.gate, wanting()):
        came.take(answer)
        if isinstance(answer, ExportPart) and answer.number == 1:
            await revoked(house, came)
    assert (came.code, len(released(house))) == ("EXPORT_CLOSED", 20)


async def test_what_goes_on_under_an_approval_of_its_own_names_it(house: House, ten: None) -> None:
    """The rule came between: the first part needed no approval."""
    for name in (EYE.subject, "compliance-2"):
        await hire(house, name, "compliance_officer")
    first = await broken(lists(house, POLICY, LARGE), ASKED, 1)
    house = lists(house, POLICY)
    asked = replace(ASKED, resume=first.parts[-1].token)
    name = await asked_for(house, asked)
    await approve(house.gate, EYE, NOTHING, id_of(name))
    second = await broken(house, resting_on(name, asked), 1)
    assert second.head is not None
    assert second.head.export is not None
    assert second.head.export.approval == id_of(name)
    assert facts_of(house, "admission")[-1]["approval.id"] == id_of(name)
    third = await exported(house.gate, resting_on(name, replace(ASKED, resume=second.parts[-1].token)))
    assert third.tail is not None, "and rests on it like any other"


async def test_who_approved_and_left_while_it_was_used_up_has_not_approved(house: House, ten: None) -> None:
    for name in (EYE.subject, "compliance-2"):
        await hire(house, name, "compliance_officer")
    house = lists(house, POLICY)
    name = await agreed(house)

    class Between:
        def __getattr__(self, name: str) -> Any:
            return getattr(house.ledger, name)

        async def end_approval(self, *ending: Any) -> Any:
            ended = await house.ledger.end_approval(*ending)
            await hire(house, EYE.subject, "nothing")
            return ended

    gate = replace(house.gate, ledger=cast("Any", Between()))
    came = await exported(gate, resting_on(name))
    assert came.head is None
    assert came.refusal is not None


async def test_a_reader_who_leaves_leaves_nothing_running(house: House, ten: None) -> None:
    hanging = asyncio.Event()

    async def act(batch: int) -> None:
        if batch == 3:
            hanging.set()
            await asyncio.Event().wait()

    house, _ = through(lists(house), act)
    before = asyncio.all_tasks()
    reading = asyncio.ensure_future(exported(house.gate, wanting()))
    await hanging.wait()
    reading.cancel()
    await asyncio.wait({reading})
    assert {task for task in asyncio.all_tasks() - before if "Filling" in repr(task)} == set()


async def test_an_approval_is_used_up_by_an_export_that_failed_before_its_first_row(
    house: House, ten: None
) -> None:
    """As documented: what was admitted may have left for all that anybody knows."""
    for name in (EYE.subject, "compliance-2"):
        await hire(house, name, "compliance_officer")
    house = lists(house, POLICY)
    name = await agreed(house)

    async def act(batch: int) -> None:
        raise StoreError(code="STORE_UNAVAILABLE")

    failing, _ = through(house, act)
    came = await exported(failing.gate, resting_on(name))
    assert (came.code, came.parts) == ("STORE_UNAVAILABLE", [])
    assert (await exported(house.gate, resting_on(name))).parts == []


@pytest.mark.parametrize("act", [offboard, becoming(roles=frozenset({"nothing"})), None])
async def test_of_a_large_chunk_a_slow_reader_gets_no_piece_once_he_may_not(
    house: House, ten: None, monkeypatch: pytest.MonkeyPatch, act: Act | None
) -> None:
    monkeypatch.setattr("fujie.flows.export_reply.PIECE", 100)
    house, came = lists(house), Came()
    async for answer in export(house.gate, wanting()):
        came.take(answer)
        if len(came.parts) == 2 and isinstance(answer, ExportPart):
            await (act(house) if act else revoked(house, came))
            house.hands.ahead += 1.0
    assert len(came.parts) == 2
    assert came.code in ("PRINCIPAL_OFFBOARDED", "NO_GRANT", "EXPORT_CLOSED")
    assert last(house)["export.rows"] == 10, "the chunk that was on its way counts as having left"


class Counting:
    """A store that counts how often a reading of it begins."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.scans = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @asynccontextmanager
    async def scan(self, wanted: Scan, timeout_s: float) -> AsyncIterator[AsyncIterator[Sequence[Fetched]]]:
        self.scans += 1
        async with self._inner.scan(wanted, timeout_s) as batches:
            yield batches


async def test_no_reading_of_a_store_lasts_as_long_as_its_reader_likes(house: House, ten: None) -> None:
    house = lists(house)
    whole = await exported(house.gate, wanting())
    counts = facts_of(house, "outcome")[-1]["export.withheld"]
    store = Counting(house.gate.stores["crm"])
    gate, came = replace(house.gate, stores={"crm": cast("Any", store)}), Came()
    async for answer in export(gate, wanting()):
        came.take(answer)
        house.hands.ahead += 31.0
    assert store.scans >= len(came.parts) // 2
    assert came.rows == whole.rows
    assert last(house)["export.withheld"] == counts, "nobody is counted twice"


class Looking:
    """A directory that counts how often somebody is looked up, and tells when that was often enough."""

    def __init__(self, inner: Any, often: int) -> None:
        self._inner, self._often = inner, often
        self.is_enough = asyncio.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def get(self, principal_id: str) -> Any:
        self._often -= 1
        if self._often <= 0:
            self.is_enough.set()
        return await self._inner.get(principal_id)


async def came_of(answers: AsyncIterator[Answer]) -> Came:
    came = Came()
    async for answer in answers:
        came.take(answer)
    return came


async def test_whoever_waits_for_his_turn_at_a_store_gets_it_and_is_looked_at_meanwhile(
    house: House, ten: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three people with four lists have all turns of a store; an export of an hour stands in line sixty times."""
    monkeypatch.setattr(flow, "TICK_S", 0.01)
    house = lists(house)
    whole, store = (await exported(house.gate, wanting())).rows, house.gate.stores["crm"]
    for ends in (False, True):
        directory = Looking(house.gate.directory, 110)  # longer than the store's time, of a second
        gate = replace(house.gate, directory=cast("Any", directory))
        async with AsyncExitStack() as held:
            for reader in ("one", "one", "two", "three"):
                scan = Scan(frozenset(), frozenset(), reader=reader)
                await held.enter_async_context(store.scan(scan, 5.0))
            waiting = asyncio.ensure_future(came_of(export(gate, wanting(), timeout_s=1.0)))
            await directory.is_enough.wait()
            assert not waiting.done()
            if ends:
                await offboard(house)
                assert (await waiting).code == "PRINCIPAL_OFFBOARDED"
        assert (await waiting).rows == ([] if ends else whole)
    async with AsyncExitStack() as held:  # who gave up has left no turn taken
        for reader in ("one", "one", "two", "three"):
            scan = Scan(frozenset(), frozenset(), reader=reader)
            await held.enter_async_context(store.scan(scan, 5.0))


@pytest.fixture
async def workers(tmp_path: Path, crm: Path) -> AsyncIterator[tuple[House, House]]:
    """Two workers with one ledger in PostgreSQL."""
    with ledger_url() as url:
        async with AsyncExitStack() as opened:
            houses = []
            for slot in range(2):
                place = tmp_path / str(slot)
                place.mkdir()
                shared = Shared(url, bytes(32), slot)
                houses.append(await opened.enter_async_context(opened_house(place, crm, shared)))
            yield houses[0], houses[1]


async def test_what_another_worker_acknowledged_counts_from_the_next_chunk_on(
    workers: tuple[House, House], ten: None
) -> None:
    """Withdrawals first; then the asker leaves."""
    house, other = lists(workers[0]), workers[1]
    listed = [row["customer_no"] for row in (await exported(house.gate, wanting())).rows]
    came, later = Came(), listed[25:33]
    async for answer in export(house.gate, wanting()):
        came.take(answer)
        if isinstance(answer, ExportPart) and answer.number == 1:
            for each in later:
                draft = ConsentEvent("", "", "after_sales", ConsentEventType.WITHDRAWN, NOW, NOW, "")
                key = StoreKey("crm", each)
                reply = await withdraw_consent(other.gate, DESK, key, RequestContext(), draft)
                assert isinstance(reply, ConsentReply), reply
            house.hands.ahead += 1.0  # the chunk that was ready has waited for its reader
        if isinstance(answer, ExportPart) and answer.number == 3:
            await offboard(other)
    assert [row["customer_no"] for row in came.rows] == [each for each in listed if each not in later][:40]
    assert came.code == last(house)["export.end"] == "PRINCIPAL_OFFBOARDED"
    assert last(house)["export.rows"] == 40


async def test_a_call_that_is_cancelled_twice_leaves_an_outcome_all_the_same(
    house: House, ten: None
) -> None:
    """The second time while the outcome is on its way to the disk."""
    house = lists(house)
    started, log = asyncio.Event(), SlowEnd(house.log)

    async def running() -> None:
        async with aclosing(cast("Any", export(gate, wanting()))) as answers:
            async for answer in answers:
                if isinstance(answer, ExportPart):
                    started.set()
                    await asyncio.Event().wait()

    gate = replace(house.gate, log=log)
    await cancelled_twice(running(), started, log)
    assert last(house)["export.end"] == "CANCELLED"


async def test_what_is_remembered_of_customers_has_a_bound(
    house: House, ten: None, tmp_path: Path, crm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every customer is another kind where a rule reads what is different for each."""
    monkeypatch.setattr(of_rows, "MOST_KINDS", 16)
    house = lists(house, EVERYBODY.replace(b'"true"', b"customer.owner_department != 'x'"), LARGE)
    shutil.copy(crm, tmp_path / "other.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as store, store:
        store.execute("UPDATE customer SET department = 'd' || rowid")
    most = 0
    judge = of_rows.judge_rows

    async def judging(matter: of_rows.Matter, rows: Sequence[Fetched]) -> Any:
        nonlocal most
        found = await judge(matter, rows)
        most = max(most, len(matter.decided), len(matter.silent), len(matter.looks))
        return found

    monkeypatch.setattr("fujie.flows.export_filling.judge_rows", judging)
    async with store_at(house, tmp_path / "other.db") as gate:
        assert len((await exported(gate, wanting())).rows) > 100
    assert 0 < most <= 16 + 20, "those of rows that wait to leave come on top"


@pytest.mark.parametrize("form", list(Format))
async def test_long_rows_are_written_a_few_at_a_time(
    house: House, monkeypatch: pytest.MonkeyPatch, form: Format
) -> None:
    """Else hundreds of megabytes are one step, in which nobody else's look-up gets a turn."""
    house = lists(house)
    whole = await exported(house.gate, wanting(format=form))
    sizes: list[int] = []

    def written(form: Format, names: Sequence[str], columns: Sequence[Sequence[Any]]) -> bytes:
        sizes.append(len(columns[0]))
        return lines(form, names, columns)

    monkeypatch.setattr(export_file, "lines", written)
    monkeypatch.setattr(export_file, "SLICE_BYTES", 300)
    came = await exported(house.gate, wanting(format=form))
    assert len(came.parts) == 1
    assert [part.data for part in came.parts] == [part.data for part in whole.parts]
    assert sizes[0] == 8
    assert max(sizes[1:]) < 8


async def test_a_leased_file_that_nobody_could_open_is_refused_before_it_leaves(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part has a bound; a hundred rows of long fields are beyond it. Nobody of them was taken to have left."""
    house = lists(house)
    monkeypatch.setattr("fujie.flows.leasing.MOST_PART", 300)
    came = await exported(house.gate, wanting(lease=LeaseAsk(3600, 1)))
    assert (came.code, came.parts) == ("ARGUMENT_INVALID", [])
    assert came.head is not None
    assert came.head.export is not None
    known = await house.gate.exports.export(came.head.export.id)
    assert known is not None
    assert (known.state, known.rows) == (ExportState.STOPPED, 0)


@pytest.mark.parametrize("at", [24, 29], ids=["within-a-chunk", "between-two-chunks"])
async def test_a_store_that_says_one_id_twice_is_refused_before_a_row_of_it_is_lost(
    house: House, ten: None, tmp_path: Path, crm: Path, at: int
) -> None:
    """What goes on behind an id can not tell how many of its rows have left."""
    house = lists(house, EVERYBODY, LARGE)
    listed = [row["customer_no"] for row in (await exported(house.gate, wanting())).rows]
    shutil.copy(crm, tmp_path / "other.db")
    with closing(sqlite3.connect(tmp_path / "other.db")) as store, store:
        store.execute("ALTER TABLE customer RENAME TO once")
        twice = f"SELECT * FROM once WHERE id = '{listed[at]}'"
        store.execute(f"CREATE VIEW customer AS SELECT * FROM once UNION ALL {twice}")
    async with store_at(house, tmp_path / "other.db") as gate:
        came = await exported(gate, wanting())
    assert came.code == last(house)["export.end"] == "STORE_ID_REPEATED"
    assert came.tail is None
    left = [row["customer_no"] for row in came.rows]
    assert left == listed[: len(left)]
    assert len(left) in (10, 20), "whole chunks before it, as they were ready"
