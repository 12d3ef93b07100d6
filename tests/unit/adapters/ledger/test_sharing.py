"""Reads of one turn share a statement: each gets his own rows, and his own fate."""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from fujie.adapters.ledger import SQLLedger
from fujie.adapters.ledger.sharing import MOST_TOGETHER, SharedRead, Statement
from fujie.model.consent import ConsentEvent, ConsentEventType
from fujie.model.customer import StoreKey
from fujie.model.errors import LedgerError
from fujie.model.principal import Principal
from support.identities import IDENTIFIERS

NOW = datetime(2026, 3, 1, tzinfo=UTC)


async def test_each_of_many_readers_gets_what_he_alone_would_get(ledger: SQLLedger) -> None:
    """Those who said nothing, once and twice, and each of them asked about by two."""
    asked = [StoreKey("crm", f"C-{number}") for number in range(30)]
    for number, key in enumerate(asked):
        sid = (await ledger.enrol([key], NOW)).sid
        for _ in range(number % 3):
            event = ConsentEvent(
                IDENTIFIERS.new_id(), sid, "marketing", ConsentEventType.GIVEN, NOW, NOW, "agent"
            )
            await ledger.record_consent(event, "", "")
    alone = {key: await ledger.recall([key], "marketing", NOW) for key in asked}
    together = [*asked, *asked]
    random.Random(1).shuffle(together)
    found = await asyncio.gather(*(ledger.recall([key], "marketing", NOW) for key in together))
    assert [alone[key] for key in together] == found
    assert [len(alone[key][1]) for key in asked] == [number % 3 for number in range(30)]
    assert len({identity.sid for identity, _ in alone.values()}) == 30


async def test_a_reader_sees_what_was_committed_before_he_asked(ledger: SQLLedger) -> None:
    await ledger.directory.upsert(Principal("amy"), NOW)
    early = [asyncio.ensure_future(ledger.directory.get("amy")) for _ in range(3)]
    await asyncio.sleep(0)  # their statement may be on its way
    await ledger.directory.upsert(Principal("amy", department="east"), NOW)
    found = await asyncio.gather(*(ledger.directory.get("amy") for _ in range(3)))
    assert {each.department for each in found if each} == {"east"}
    await asyncio.gather(*early)


async def test_what_no_database_holds_refuses_nobody_else(ledger: SQLLedger) -> None:
    await ledger.directory.upsert(Principal("amy"), NOW)
    found = await asyncio.gather(
        *(ledger.directory.get(name) for name in ("amy", "a\0b", "\ud800", "bob", "amy")),
        return_exceptions=True,
    )
    assert [getattr(each, "id", each) for each in (found[0], found[3], found[4])] == ["amy", None, "amy"]
    assert all(isinstance(each, LedgerError) for each in found[1:3])


async def test_who_is_cancelled_takes_nobody_with_him(ledger: SQLLedger) -> None:
    await ledger.directory.upsert(Principal("amy"), NOW)
    tasks = [asyncio.ensure_future(ledger.directory.get("amy")) for _ in range(5)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert [getattr(each, "id", each) for each in found[1:]] == ["amy"] * 4


class Answers:
    """Stands for the connections: holds statements until it is let go, and echoes their arguments as rows."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[Statement] = []
        self.goes = asyncio.Event()
        self._error = error

    async def __call__(self, statement: Callable[[], Statement]) -> Sequence[Any]:
        await self.goes.wait()
        if self._error is not None:
            raise self._error
        text, arguments = statement()
        self.sent.append((text, arguments))
        if "ORDINALITY" not in text:
            return [tuple(arguments)]
        return [(place, *each) for place, each in enumerate(zip(*map(_list, arguments), strict=True), 1)]


def _list(argument: object) -> list[object]:
    assert isinstance(argument, list)
    return argument


async def test_those_who_wait_for_a_connection_share_statements_of_bounded_size() -> None:
    answers = Answers()
    shared = SharedRead("SELECT a FROM t WHERE a = $1::VARCHAR", answers)
    tasks = [asyncio.ensure_future(shared.rows((f"n{number}",))) for number in range(2 * MOST_TOGETHER + 1)]
    await asyncio.sleep(0)
    answers.goes.set()
    found = await asyncio.gather(*tasks)
    assert [[*map(tuple, rows)] for rows in found] == [[(f"n{number}",)] for number in range(len(tasks))]
    assert len(answers.sent) == 3


@pytest.mark.parametrize("stay", [0, 1])
async def test_nothing_is_asked_for_those_who_went_away(stay: int) -> None:
    """Else who comes behind a flood of calls that ran out of time waits for all of their reads."""
    answers = Answers()
    shared = SharedRead("SELECT a FROM t WHERE a = $1::VARCHAR", answers)
    tasks = [asyncio.ensure_future(shared.rows((f"n{number}",))) for number in range(20 * MOST_TOGETHER)]
    await asyncio.sleep(0)
    staying = tasks[len(tasks) - stay :]
    for task in tasks[: len(tasks) - stay]:
        task.cancel()
    await asyncio.sleep(0)
    answers.goes.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert [[*map(tuple, task.result())] for task in staying] == [[(f"n{len(tasks) - 1}",)]] * stay
    assert len(answers.sent) == stay
    assert [*map(tuple, await asyncio.wait_for(shared.rows(("later",)), 5))] == [("later",)]


async def test_each_is_told_of_a_failure_by_an_error_of_his_own() -> None:
    answers = Answers(LedgerError("the ledger did not answer in time"))
    shared = SharedRead("SELECT a FROM t WHERE a = $1::VARCHAR", answers)
    answers.goes.set()
    found = await asyncio.gather(*(shared.rows((f"n{i % 3}",)) for i in range(6)), return_exceptions=True)
    assert all(isinstance(each, LedgerError) for each in found)
    assert len({id(each) for each in found}) == 6
