"""The sockets of a worker's gRPC server, for what gRPC core has no call for: leaving a shared port unnoticed.

Several workers listen on one port (SO_REUSEPORT); the kernel gives every connection to one of them by a hash
of its addresses. A listener that closes resets what waits in its queue, and gRPC core kills what is still
shaking hands and every call that crosses its GOAWAY: with 20 busy clients 5 to 10 calls per restart (Linux 6.18,
grpcio 1.85). `leave` loses none:

1. A packet filter on our listeners drops new connections before the kernel answers them. The client's kernel
   repeats its SYN after one second.
2. What waited in the queue is accepted, and handshakes end.
3. The listeners leave the port: the repeated SYN finds another worker.
4. Connections come to their maximal age, one after the other. Only then gRPC core takes leave properly:
   calls that cross that GOAWAY are still served.

What is left is the client's own: a GOAWAY may come while it hands a call to that connection. Such a call is never sent,
and gRPC takes another connection for it (a transparent retry, gRFC A6) unless `grpc.enable_retries` is 0.
"""

import asyncio
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from ctypes import addressof, create_string_buffer

SETTLE_S = 0.5
"""Until accepted connections have shaken hands: several round trips over a slow network."""

FAREWELL_S = 2.0
"""From the age of a connection to its end: gRPC core sends a ping between its two GOAWAYs, at most one a second."""

_LOOK_S = 0.25
"""Between two counts of connections; one count looks at every descriptor of the process (5 µs each)."""

_SO_ATTACH_FILTER = 26  # <asm-generic/socket.h>; not in Python's socket module
_NO_NEW_CONNECTIONS = (
    (0x30, 0, 0, 13),  # ldb [13]: the flags of the TCP header, where a socket filter's packet begins
    (0x54, 0, 0, 0x12),  # and SYN|ACK
    (0x15, 0, 1, 0x02),  # a SYN alone opens a connection:
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFFFFFF),  # pass everything else, so that begun handshakes end
)
"""Classic BPF (Linux, Documentation/networking/filter.rst). Attaching it needs no privilege."""


async def leave(port: int, seconds: float) -> int:
    """Return when no connection to `port` is left in this process, or after `seconds`; steps as in the module.

    Returns how many are left. Only for a port that another process serves too: new connections would wait in vain
    otherwise.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    for listener in _sockets(port, is_listening=True):
        _refuse_silently(listener)  # 1
    await asyncio.sleep(SETTLE_S)  # 2
    for listener in _sockets(port, is_listening=True):
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # 3
    while (left := _count(port)) and loop.time() < until:  # 4  # noqa: ASYNC110 - nothing tells that a connection of gRPC core has ended
        await asyncio.sleep(_LOOK_S)
    return left


def _count(port: int) -> int:
    return sum(1 for _ in _sockets(port, is_listening=False))


def _refuse_silently(listener: socket.socket) -> None:
    code = create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in _NO_NEW_CONNECTIONS))
    program = struct.pack("HP", len(_NO_NEW_CONNECTIONS), addressof(code))
    with suppress(OSError):  # a sandbox may forbid it: some connections are then reset, as without it
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _sockets(port: int, *, is_listening: bool) -> Iterator[socket.socket]:
    """Yield the TCP sockets of this process at local `port`: its listeners, or its connections.

    They are gRPC core's: each is lent until the next is asked for, and never closed here.
    """
    for name in os.listdir("/proc/self/fd"):
        try:
            lent = socket.socket(fileno=int(name))
        except OSError:
            continue  # no socket, or gone meanwhile
        try:
            is_ours = lent.family in (socket.AF_INET, socket.AF_INET6) and lent.getsockname()[1] == port
            if is_ours and (_listens(lent) if is_listening else bool(lent.getpeername())):
                yield lent
        except OSError:
            pass
        finally:
            lent.detach()


def _listens(lent: socket.socket) -> bool:
    """Tell a listener from a connection, and from a listener that was shut down, which is neither."""
    return bool(lent.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
