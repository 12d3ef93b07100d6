"""A relay in front of a gRPC server that counts what went over the wire: requests that left clients, and answers.

Who fails a call only on the client's side is told so from who lost one: what is counted here has left.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

_PREFACE: Final = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
_FRAME: Final = 9  # RFC 9113, section 4.1: length (3), type, flags, stream (4)
_HEADERS, _END_STREAM = 0x1, 0x1


@dataclass
class Tap:
    """`asked`: requests that a client wrote (the HEADERS that open a stream). `answered`: those whose trailers came back."""

    address: str = ""
    asked: int = 0
    answered: int = 0
    _relaying: set[asyncio.Task[None]] = field(default_factory=set)

    async def _serve(self, server: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, _, port = server.rpartition(":")
        writers = [writer]
        try:
            far_reader, far_writer = await asyncio.open_connection(host, int(port))
            writers.append(far_writer)
            await asyncio.gather(
                self._pump(reader, far_writer, "asked"), self._pump(far_reader, writer, "answered")
            )
        except OSError:  # nobody there: the client's connection breaks as well
            pass
        finally:
            for each in writers:
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, counted: str) -> None:
        frames = _Frames(_PREFACE if counted == "asked" else 0)
        with suppress(OSError):
            while chunk := await reader.read(65_536):
                for kind, flags in frames.of(chunk):
                    if kind == _HEADERS and (counted == "asked" or flags & _END_STREAM):
                        setattr(self, counted, getattr(self, counted) + 1)
                writer.write(chunk)
                await writer.drain()
        writer.close()


class _Frames:
    """The frames of one direction of one connection, from chunks that end anywhere."""

    def __init__(self, skip: int) -> None:
        self._skip, self._rest = skip, b""

    def of(self, chunk: bytes) -> Iterator[tuple[int, int]]:
        """Yield type and flags of every frame whose header is complete with `chunk`."""
        passed = min(self._skip, len(chunk))
        self._skip -= passed
        self._rest += chunk[passed:]
        while not self._skip and len(self._rest) >= _FRAME:
            kind, flags = self._rest[3], self._rest[4]
            whole = _FRAME + int.from_bytes(self._rest[:3])
            self._skip = max(whole - len(self._rest), 0)
            self._rest = self._rest[whole:]
            yield kind, flags


@asynccontextmanager
async def tapped(server: str) -> AsyncIterator[Tap]:
    """Yield a tap of its own address in front of `server` (`host:port`)."""
    tap = Tap()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(tap._serve(server, reader, writer))
        tap._relaying.add(task)
        task.add_done_callback(tap._relaying.discard)

    listener = await asyncio.start_server(connected, "127.0.0.1", 0)
    tap.address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield tap
    finally:
        listener.close()
        for task in tap._relaying:
            task.cancel()
        await asyncio.gather(*tap._relaying, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted is closed in the loop's next turn
