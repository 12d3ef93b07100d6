"""Reads that wait at the same time, asked for by one statement.

A round trip costs an event loop that is busy 60 µs, whatever it asks; who looks up what others look up at the same time shares
it. Nobody is answered by a statement that was sent before he asked, so that each sees all that was committed by then.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from itertools import chain
from typing import Any, Final, TypeAlias

from fujie.model.errors import LedgerError

MOST_TOGETHER: Final = 64
"""Reads of one statement."""

Statement: TypeAlias = tuple[str, Sequence[object]]
_Waiting: TypeAlias = dict[tuple[object, ...], list["asyncio.Future[Sequence[Any]]"]]
"""Who waits for the rows of which arguments."""

_PARAMETER = re.compile(r"\$(\d+)::(\w+)")


def for_many(text: str) -> str:
    """Return a SELECT of PostgreSQL for lists of its arguments: its own rows for each, behind the place in the lists, from 1.

    Where there is none there is a row of NULLs: an inner join PostgreSQL might begin with the whole table (`PLANS`).
    """
    types = dict(sorted((int(number), kind) for number, kind in _PARAMETER.findall(text)))
    lists = ", ".join([f"${number}::{kind}[]" for number, kind in types.items()])
    names = ", ".join([f"p{number}" for number in types])
    each = _PARAMETER.sub(r"asked.p\1::\2", text).replace("SELECT ", "SELECT asked.place AS place, ", 1)
    return (  # our own text and names made of numbers; values are bound
        f"SELECT each.* FROM unnest({lists}) WITH ORDINALITY AS asked({names}, place)"  # noqa: S608
        f" LEFT JOIN LATERAL ({each}) AS each ON TRUE"
    )


class SharedRead:
    """The reads of one SELECT that wait for a connection. `answer` runs what its argument returns, once it has one."""

    def __init__(
        self, text: str, answer: Callable[[Callable[[], Statement]], Awaitable[Sequence[Any]]]
    ) -> None:
        self._one = text
        self._many = for_many(text)
        self._answer = answer
        self._waiting: _Waiting = {}
        self._running = set[asyncio.Task[None]]()

    async def rows(self, arguments: tuple[object, ...]) -> Sequence[Any]:
        """Return the rows for `arguments`, in no order. Raises LedgerError."""
        if not all(map(_is_plain, arguments)):
            return await self._answer(lambda: (self._one, arguments))
        future: asyncio.Future[Sequence[Any]] = asyncio.get_running_loop().create_future()
        if not self._waiting:
            self._begin()
        self._waiting.setdefault(arguments, []).append(future)
        return await future

    def _begin(self) -> None:
        """Ask, behind all who are ready to wait as well."""
        task = asyncio.ensure_future(self._ask())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _take(self) -> _Waiting:
        """Return whom the next statement answers; the others get one behind it. Raises _NobodyWaits where all went away."""
        taken: _Waiting = {}
        while self._waiting and len(taken) < MOST_TOGETHER:
            arguments = next(iter(self._waiting))
            futures = self._waiting.pop(arguments)
            if not all(map(_is_done, futures)):
                taken[arguments] = futures
        if self._waiting:
            self._begin()
        if not taken:
            raise _NobodyWaits
        return taken

    async def _ask(self) -> None:
        taken: _Waiting = {}

        def statement() -> Statement:
            taken.update(self._take())
            if len(taken) == 1:
                return self._one, next(iter(taken))
            return self._many, [list(each) for each in zip(*taken, strict=True)]

        try:
            found = await self._answer(statement)
            parts = [found] if len(taken) == 1 else _parted(found, len(taken))
        except _NobodyWaits:
            return
        except Exception as error:  # noqa: BLE001 (who waits is told, whatever it is)
            if not taken:  # no connection came
                taken, self._waiting = self._waiting, {}
            for future in chain(*taken.values()):
                if not future.done():  # done: who asked was cancelled
                    future.set_exception(_own(error))
            return
        for waiting, rows in zip(taken.values(), parts, strict=True):
            for future in waiting:
                if not future.done():
                    future.set_result(rows)


class _NobodyWaits(Exception):
    """All whom a statement would have answered went away before there was a connection for it."""


def _is_done(future: "asyncio.Future[Any]") -> bool:
    return future.done()


def _own(error: Exception) -> Exception:
    """Return the error for one of several who wait."""
    return LedgerError(str(error), code=error.code) if isinstance(error, LedgerError) else error


def _is_plain(argument: object) -> bool:
    """Tell whether PostgreSQL surely takes an argument: for one that it refuses nobody else is refused."""
    return isinstance(argument, bytes) or (isinstance(argument, str) and argument.isprintable())


def _parted(rows: Sequence[Any], count: int) -> list[list[Any]]:
    parts: list[list[Any]] = [[] for _ in range(count)]
    for row in rows:
        if row[0] is not None:
            parts[row[0] - 1].append(row[1:])
    return parts
