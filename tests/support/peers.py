"""Web servers on loopback that answer badly: each says what a function of the test has it say."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ssl import SSLContext, SSLError

Talk = Callable[[socket.socket], None]


def answer(body: bytes, head: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """Return a whole answer."""
    return head + b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body


def saying(what: bytes) -> Talk:
    """Return what says `what` and ends."""

    def talk(peer: socket.socket) -> None:
        peer.sendall(what)

    return talk


@contextmanager
def answering(talk: Talk, tls: SSLContext | None = None) -> Iterator[tuple[int, list[bytes]]]:
    """Listen on loopback; yield the port and the requests that came."""
    seen: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return  # closed: the test is over
            with peer:
                try:
                    with tls.wrap_socket(peer, server_side=True) if tls else peer as talked:
                        seen.append(talked.recv(65_536))
                        talk(talked)
                except (SSLError, OSError):
                    continue  # the client went away, as it should

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1], seen
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
