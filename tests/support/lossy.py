"""A relay on the loopback that stops relaying, or cuts, after the n-th packet of the server."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER of nothing: the close is a reset, as of a host that lost its memory."""


class Lossy:
    """`fault` is "stall", "cut" or "": what happens after `packets` of the server, in `connections` more connections."""

    def __init__(self, target: str) -> None:
        self._target = target
        self._writers: list[asyncio.StreamWriter] = []
        self.fault, self.packets, self.connections = "", 0, 0
        self.port = 0

    def fail(self, fault: str, packets: int, connections: int = 1000) -> None:
        self.fault, self.packets, self.connections = fault, packets, connections

    async def relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_faulty = self.connections > 0 and self.fault
        fault, packets = (self.fault, self.packets) if is_faulty else ("", -1)
        self.connections -= 1
        server_reader, server_writer = await asyncio.open_unix_connection(self._target)
        self._writers += [writer, server_writer]
        upstream = asyncio.ensure_future(self._pump(reader, server_writer))
        await self._pump(server_reader, writer, packets)
        if fault == "stall" and not reader.at_eof():
            upstream.cancel()  # what the client sends is not read either, and nothing is closed
            return
        for each in (writer, server_writer):
            raw = each.get_extra_info("socket")
            if raw.family == socket.AF_INET:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            each.close()
        upstream.cancel()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, packets: int = -1
    ) -> None:
        with suppress(OSError):
            while packets != 0 and (chunk := await reader.read(65536)):
                writer.write(chunk)
                await writer.drain()
                packets -= 1
            if packets:  # the end, not the fault
                writer.close()

    def close(self) -> None:
        for writer in self._writers:
            writer.close()


@asynccontextmanager
async def lossy(target: str) -> AsyncIterator[Lossy]:
    """Yield a relay to the socket `target`."""
    relay = Lossy(target)
    server = await asyncio.start_server(relay.relay, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        relay.close()
