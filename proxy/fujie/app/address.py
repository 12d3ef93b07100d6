"""The gRPC address of a server, held for all its workers.

Workers bind it themselves, each with SO_REUSEPORT: gRPC core takes no socket from outside. Left alone, a second server
of the same user could then slip in among them, and get a share of the calls.
"""

import socket

from fujie.app.settings import split_address
from fujie.model.errors import StartError


class HeldAddress:
    """An address that is bound but never listened on, from construction to `close`.

    It is taken exclusively first, and only then opened for sharing: whoever else listens there makes it fail,
    a second fujie too. Raises StartError: LISTEN_FAILED.
    """

    def __init__(self, address: str) -> None:
        host, port = split_address(address)
        self._socket: socket.socket | None = None
        try:
            family, kind, *_, where = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._socket = socket.socket(family, kind)
            # For the bind alone, because of what an earlier server left in TIME_WAIT: a listener still conflicts
            # with it, and with the flag gone so does another server that starts at the same time.
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(where)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        except OSError:
            self.close()
            raise StartError(
                "LISTEN_FAILED",
                f"cannot listen on {address}",
                "Check that the address is one of this machine, and that the port is free.",
            ) from None
        bound = self._socket.getsockname()[1]
        self.text = f"{address.rpartition(':')[0]}:{bound}"
        """`host:port` with the port that was got."""

    def close(self) -> None:
        """Let the address go."""
        if self._socket is not None:
            self._socket.close()
