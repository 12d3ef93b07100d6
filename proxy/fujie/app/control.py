"""The line between the server and one of its workers: JSON objects over a socket pair, one per text line.

Nobody else can reach it: it has no name in any file system, and only the two processes hold its ends. It carries the
settings once (never on a command line or in the environment, since addresses may hold passwords), then orders
one way, states and metrics the other.
"""

import asyncio
import socket
from typing import Any, Final

import orjson

LONGEST = 16 * 1024 * 1024
"""Bytes of one message. Metrics are the longest: 3,000 series of about 150 bytes."""

NEVER: Final = 2**63 - 1
"""The `change` of a worker that found its ledger gone back: no ledger comes to it."""

Message = dict[str, Any]
"""`kind` says what it is; the rest is its content."""


class Control:
    """One end. Used by one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, end: socket.socket) -> "Control":
        """Take over one end of a socket pair."""
        end.setblocking(False)
        return cls(*await asyncio.open_unix_connection(sock=end, limit=LONGEST))

    def send(self, kind: str, **content: Any) -> None:
        """Send without waiting; nothing happens when the other side is gone, which `receive` tells."""
        if not self._writer.is_closing():
            self._writer.write(orjson.dumps({"kind": kind, **content}) + b"\n")

    async def flush(self) -> None:
        """Return once what was sent is with the operating system. Raises OSError when the other side is gone."""
        await self._writer.drain()

    async def receive(self) -> Message | None:
        """Return the next message; None once the other side is gone."""
        try:
            line = await self._reader.readuntil(b"\n")
        except (OSError, EOFError):  # IncompleteReadError: it went in the middle of a line
            return None
        message: Message = orjson.loads(line)
        return message

    def close(self) -> None:
        """Give up this end."""
        self._writer.close()
