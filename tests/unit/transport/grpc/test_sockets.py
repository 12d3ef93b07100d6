"""Leaving a shared port: nobody who comes meanwhile is turned away, and nobody who is there is cut off."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from fujie.transport.grpc import sockets


def listener(port: int = 0) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    made.listen()
    return made


@pytest.fixture
def leaving() -> Iterator[socket.socket]:
    with listener() as made:
        yield made


OTHER = """
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen()
print("listens", flush=True)
while True:
    listener.accept()[0].sendall(b"other")
"""


@pytest.fixture
def port(leaving: socket.socket) -> Iterator[int]:
    """The port of `leaving`, on which another process listens too."""
    number = leaving.getsockname()[1]
    command = [sys.executable, "-c", OTHER, str(number)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "listens\n"
        yield number
        other.kill()


async def test_whoever_comes_while_a_worker_leaves_finds_another(port: int) -> None:
    waiting = asyncio.create_task(sockets.leave(port, 0.1))
    await asyncio.sleep(
        0
    )  # the filter is there; the kernel still gives this listener every second connection
    late = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(32)))
    await waiting
    for reader, writer in late:
        assert await reader.readexactly(5) == b"other"
        writer.close()
        await writer.wait_closed()


async def test_it_waits_for_connections_to_go_and_no_longer_than_told(leaving: socket.socket) -> None:
    port = leaving.getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    accepted, _ = leaving.accept()
    with accepted:
        waiting = asyncio.create_task(sockets.leave(port, 30))
        await asyncio.sleep(sockets.SETTLE_S * 2)
        assert not waiting.done()
        accepted.sendall(b"still served")
    writer.close()
    await writer.wait_closed()
    await waiting


async def test_it_ends_although_a_connection_stays(leaving: socket.socket) -> None:
    port = leaving.getsockname()[1]
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    accepted, _ = leaving.accept()
    await sockets.leave(port, 0.1)
    accepted.sendall(b"still served")
    accepted.close()
    writer.close()
    await writer.wait_closed()
