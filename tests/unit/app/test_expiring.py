"""Leases end though nobody asks, and a ledger that is away stops nothing for good."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from fujie.app import expiring
from fujie.app.expiring import Expiring
from fujie.model.errors import LedgerError

NOW = datetime(2026, 3, 1, tzinfo=UTC)


class Clock:
    """A clock that stands."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


class Answers:
    """A ledger that answers as the test says, and then ends the task."""

    def __init__(self, *answers: int | LedgerError) -> None:
        self._answers: Iterator[int | LedgerError] = iter(answers)
        self.asked: list[datetime] = []

    async def open_leases(self, now: datetime) -> int:
        return 7

    async def close_expired(self, now: datetime) -> int:
        self.asked.append(now)
        answer = next(self._answers, None)
        if answer is None:
            raise asyncio.CancelledError
        if isinstance(answer, LedgerError):
            raise answer
        return answer


async def test_it_goes_on_looking_whatever_it_finds(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(expiring, "PAUSE_S", 0.0)
    ledger = Answers(0, LedgerError("away"), 2, LedgerError("away"), LedgerError("away"), 0)
    shown: list[int] = []
    with pytest.raises(asyncio.CancelledError):
        await Expiring(ledger, Clock(), shown.append).run()  # type: ignore[arg-type]  # the methods that it calls
    assert ledger.asked == [NOW] * 7
    assert shown == [7] * 3, "what can not be read stays as it was"
