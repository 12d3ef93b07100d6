"""Ports of the loopback for servers that can not be asked which one they got, or that come back on the one they had."""

import random
import socket
from contextlib import ExitStack, suppress

_OURS = range(20_000, 32_000)
"""Below what Linux gives away (`ip_local_port_range` begins with 32768): until a server is there, and while it is
restarted, its port does not become that of another test."""


def free(count: int = 1) -> list[int]:
    """Return ports on which nobody listens."""
    found = list[int]()
    with ExitStack() as held:  # all at once, so that no port comes twice
        while len(found) < count:
            port = random.choice(_OURS)
            with suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
    return found
