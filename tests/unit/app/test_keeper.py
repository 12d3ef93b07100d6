"""A ledger that has gone back ends no log: the worker that knows it must live, and say so."""

import asyncio
from datetime import UTC, datetime

import pytest

from fujie.adapters.clock import SystemClock
from fujie.adapters.identifiers import SystemIdentifiers
from fujie.adapters.ledger import IndexKey, open_ledger
from fujie.app.keeper import KEEP_SECONDS, CheckpointKeeper
from fujie.audit.checkpoint import Checkpoint, Signer
from fujie.model.errors import LedgerError
from support.postgresql import ledger_url, server

ORIGIN = "gate/w0"


class Hurrying:
    """A clock on which every question takes most of the time that a checkpoint may be missing."""

    def __init__(self) -> None:
        self.asked = 0
        self.has_run = asyncio.Event()

    def monotonic(self) -> float:
        self.asked += 1
        if self.asked == 12:  # three attempts at least
            self.has_run.set()
        return self.asked * KEEP_SECONDS * 0.7

    def now(self) -> datetime:
        return datetime(2026, 3, 1, tzinfo=UTC)


def note(size: int) -> str:
    return Signer(ORIGIN, b"\x01" * 32).sign(Checkpoint(ORIGIN, size, bytes([size]) * 32))


async def test_a_ledger_that_went_back_ends_no_log_and_holds_up_no_farewell() -> None:
    """It is never believed again by this process, so its end, which waits for the last checkpoint, waits for nothing."""
    with ledger_url() as url:
        ids = SystemIdentifiers(SystemClock())
        ledger = await open_ledger(url, IndexKey("k", b"\x01" * 32), ids, lambda sid: sid.encode())
        clock = Hurrying()
        keeper = CheckpointKeeper(ledger.checkpoints, clock)
        keeper(note(1))
        await keeper.catch_up()
        name = url.rpartition("?")[0].rpartition("/")[2]
        server().execute("UPDATE change_counter SET value = 0", database=name)
        keeper(note(2))
        catching_up = asyncio.create_task(keeper.catch_up())
        hurried = asyncio.create_task(clock.has_run.wait())
        await asyncio.wait({catching_up, hurried}, return_when=asyncio.FIRST_COMPLETED)
        assert catching_up.done()
        hurried.cancel()
        keeper(note(3))  # it would raise, which ends the log
        with pytest.raises(LedgerError) as refused:
            await ledger.follow()
        assert refused.value.code == "LEDGER_ROLLED_BACK"
        await ledger.close()
