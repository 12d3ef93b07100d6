"""One SMPP session, from its bind until its line is gone. Nothing outlives it: what was not written never is.

So of every request it can be told which of three things happened: it was answered; it was not written (`NotSent`); or
it was written and no answer will come.
"""

import asyncio
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from struct import pack, unpack
from typing import Any

from aiosmpplib import BindTransceiver, EnquireLink, SmppMessage, Unbind

from fujie.adapters.providers.smpp_wire import (
    DELIVER_SM,
    ENQUIRE_LINK,
    GENERIC_NACK,
    HEADER,
    MOST_BYTES,
    NOT_KNOWN,
    OK,
    RESPONSE,
    UNBIND,
    status_name,
)

_CONNECT_S = 10.0
_UNBIND_S = 1.0
_UNREAD_BYTES = 65_536
"""More than this unsent in our own buffer, and the SMSC has stopped reading: nothing more is written."""


class NotSent(Exception):
    """The request was certainly not written."""


class NotBound(Exception):
    """The SMSC did not let us in. `code` is a status of SMPP, or `CONNECT`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, repr=False)
class Account:
    """Where an SMSC is, and as whom to bind: `system_id` of at most 15 ASCII characters, `password` of at most 8.

    `tls` None means plain TCP. Every `enquire_s` the line is tried, and given up after as long without an answer.
    """

    host: str
    port: int
    system_id: str
    password: str = field(repr=False)
    system_type: str = ""
    tls: ssl.SSLContext | None = None
    enquire_s: float = 30.0


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """The command_status and the body of an answer."""

    status: int
    body: bytes


Deliver = Callable[["Link", int, bytes], None]
"""Takes a deliver_sm: its session, its sequence number, by which it is to be answered, and its body."""


class Link:
    """A bound session. `gone` is done as soon as nothing can be written any more."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, account: Account, deliver: Deliver
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._account = account
        self._deliver = deliver
        self._sequence = chain.from_iterable(repeat(range(1, 0x7FFFFFFF)))
        self._waiting: dict[int, asyncio.Future[Answer | None]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def request(self, pdu: SmppMessage) -> "asyncio.Future[Answer | None]":
        """Write a request now; the future is None when no answer will come. Raises NotSent."""
        if self.gone.done() or self._writer.transport.get_write_buffer_size() > _UNREAD_BYTES:
            raise NotSent
        pdu.sequence_num = next(self._sequence)
        octets = pdu.pdu()
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self._waiting[pdu.sequence_num] = answer
        self._writer.write(octets)
        return answer

    def respond(self, command: int, sequence: int, status: int = OK) -> None:
        """Answer a request of the SMSC; nothing happens when the line is gone."""
        if not self.gone.done():
            body = b"\0" if command == DELIVER_SM and status == OK else b""
            self._write_answer(RESPONSE | command, status, sequence, body)

    def is_stuck(self) -> bool:
        """Tell whether something that was written is still here: the SMSC does not read."""
        return not self.gone.done() and self._writer.transport.get_write_buffer_size() > 0

    def abort(self) -> None:
        """End the session at once; what is still in our buffer is never sent."""
        if not self.gone.done():
            self.gone.set_result(None)
        self._writer.transport.abort()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(None)
        self._waiting.clear()

    async def close(self) -> None:
        """Unbind, wait for the answer for at most a second, and end the session."""
        with suppress(NotSent, TimeoutError):
            await asyncio.wait_for(self.request(Unbind()), _UNBIND_S)
        self.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def bind(self) -> None:
        """Ask to be let in. Raises NotBound."""
        self._start(self._read())
        account = self._account
        try:
            answer = await self.request(
                BindTransceiver(
                    system_id=account.system_id,
                    password=account.password,
                    system_type=account.system_type,
                )
            )
        except NotSent:
            answer = None
        if answer is None or answer.status != OK:
            raise NotBound(status_name(answer.status) if answer else "CONNECT")
        self._start(self._keep())

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))  # noqa: TID251 - kept; `close` ends it

    async def _read(self) -> None:
        try:
            while await self._take():
                pass
        except (OSError, EOFError):
            pass
        finally:
            self.abort()

    async def _take(self) -> bool:
        length, command, status, sequence = unpack("!IIII", await self._reader.readexactly(HEADER))
        if not HEADER <= length <= MOST_BYTES:
            return False  # no SMPP, or a peer that wants our memory
        body = await self._reader.readexactly(length - HEADER)
        if command & RESPONSE:
            answer = self._waiting.pop(sequence, None)
            if answer is not None and not answer.done():
                answer.set_result(Answer(status, body))
        elif command == DELIVER_SM:
            self._deliver(self, sequence, body)
        elif command in (ENQUIRE_LINK, UNBIND):
            self.respond(command, sequence)
        else:
            self._write_answer(GENERIC_NACK, NOT_KNOWN, sequence, b"")
        return bool(command != UNBIND)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._account.enquire_s)
            try:
                await asyncio.wait_for(self.request(EnquireLink()), self._account.enquire_s)
            except (NotSent, TimeoutError):
                self.abort()
                return

    def _write_answer(self, command: int, status: int, sequence: int, body: bytes) -> None:
        self._writer.write(pack("!IIII", HEADER + len(body), command, status, sequence) + body)


async def bind(account: Account, deliver: Deliver) -> Link:
    """Connect and bind as transceiver within 10 seconds. Raises NotBound."""
    try:
        async with asyncio.timeout(_CONNECT_S):
            reader, writer = await asyncio.open_connection(account.host, account.port, ssl=account.tls)
            link = Link(reader, writer, account, deliver)
            try:
                await link.bind()
            except BaseException:
                link.abort()
                await link.close()
                raise
            return link
    except (
        OSError,
        TimeoutError,
        ValueError,
    ):  # the last: a host that is no name, an account with no room in SMPP
        raise NotBound("CONNECT") from None
