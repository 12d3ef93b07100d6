"""A wire to a server that can be cut or go silent at the n-th message of the client, or be slow.

Database clients ask and wait, so what arrives at once is one message.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from enum import Enum


class Fault(Enum):
    """What happens at the message: it is lost, or its answer is, with the connection; or nothing comes any more."""

    REQUEST_LOST = "request lost"
    ANSWER_LOST = "answer lost"
    SILENCE = "silence"


class Wire:
    """Forwards every connection on a port of the loopback to the socket `path`."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fault: Fault | None = None
        self._left = 0
        self._open = set[asyncio.StreamWriter]()
        self._pumps = set[asyncio.Task[None]]()
        self.port = 0
        self._awaited: tuple[int, asyncio.Future[None]] | None = None
        self.accepts = True
        self.delay_s: Callable[[], float] | None = None
        """How long the next message stays under way, in either direction; none for a wire that is fast."""

    def arm(self, fault: Fault, at: int) -> None:
        """Let `fault` happen at the message number `at` from now, counted from 0 over all connections."""
        self._fault, self._left = fault, at

    def disarm(self) -> bool:
        """Let nothing happen any more; tell whether the fault is still to come."""
        is_waiting, self._fault = self._fault is not None and self._left >= 0, None
        return is_waiting

    def passed(self, count: int) -> "asyncio.Future[None]":
        """Return what is done when `count` more messages have come."""
        passed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited = (count, passed)
        return passed

    def cut(self) -> None:
        """End every connection."""
        for writer in self._open:
            writer.transport.abort()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Wire"]:
        """Serve until the end of the block."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self.cut()
            for pump in self._pumps:
                pump.cancel()
            await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self.accepts:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_unix_connection(self._path)
        answers = asyncio.Event()
        answers.set()
        ours = {writer, far_writer}
        self._open |= ours
        pumps = {
            asyncio.create_task(self._ask(reader, far_writer, answers, ours)),
            asyncio.create_task(self._answer(far_reader, writer, answers, ours)),
        }
        self._pumps |= pumps
        await asyncio.gather(*pumps, return_exceptions=True)
        self._pumps -= pumps
        self._open -= ours

    async def _travel(self) -> None:
        if self.delay_s is not None:
            await asyncio.sleep(self.delay_s())

    def _next_fault(self) -> Fault | None:
        """Count one message; return what shall happen to it."""
        if self._awaited is not None:
            left, passed = self._awaited
            self._awaited = (left - 1, passed)
            if left <= 1 and not passed.done():
                passed.set_result(None)
        if self._fault is None:
            return None
        fault = self._fault if self._left == 0 else None
        if fault is not Fault.SILENCE:  # that lasts; the others happen once
            self._left -= 1
        return fault

    async def _ask(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.Event,
        ours: set[asyncio.StreamWriter],
    ) -> None:
        with suppress(ConnectionError):
            while message := await reader.read(65_536):
                fault = self._next_fault()
                if fault is Fault.REQUEST_LOST:
                    break
                if fault is not None:
                    answers.clear()
                if fault is not Fault.SILENCE:
                    await self._travel()
                    writer.write(message)
                    await writer.drain()
                    if fault is Fault.ANSWER_LOST:
                        return  # `_answer` ends the connection when the server has done it
        _abort(ours)

    async def _answer(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        answers: asyncio.Event,
        ours: set[asyncio.StreamWriter],
    ) -> None:
        with suppress(ConnectionError):
            while message := await reader.read(65_536):
                if not answers.is_set():
                    break
                await self._travel()
                writer.write(message)
                await writer.drain()
        _abort(ours)


def _abort(writers: set[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.transport.abort()
