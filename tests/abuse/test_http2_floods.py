"""Floods of frames (CVE-2023-44487 and its kin): what one connection sends costs others nothing but a share.

The frames are written by hand on a socket, since no honest client sends them.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from hpack import Encoder
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    PriorityFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from abuse.target import BATCH, LOOKUP, SHOWN, Target, ask, batch, by_id
from abuse.test_flood import MIB, resident_bytes

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MOST_GROWTH = 96 * MIB
"""What a flood may leave in memory: gRPC core keeps buffers; without its bounds it would be gigabytes."""
PATIENCE_S = 120.0
"""No measure: what takes so long never comes."""


def headers() -> bytes:
    """Return the header block of a look-up without a token."""
    return Encoder().encode(
        [
            (":method", "POST"), (":scheme", "http"), (":path", LOOKUP), (":authority", "gate"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]
    )  # fmt: skip


def opened(stream: int, *, end: bool = False) -> Frame:
    frame = HeadersFrame(stream, headers(), flags=["END_HEADERS"])
    if end:
        frame.flags.add("END_STREAM")
    return frame


def rapid_resets() -> Iterator[Frame]:
    for stream in range(1, 40_000, 2):
        yield opened(stream, end=True)
        yield RstStreamFrame(stream, error_code=8)


def pings() -> Iterator[Frame]:
    for number in range(10_000):
        yield PingFrame(0, number.to_bytes(8, "big"))


def settings() -> Iterator[Frame]:
    for number in range(20_000):
        yield SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 65_535 - number % 2})


def endless_headers() -> Iterator[Frame]:
    yield HeadersFrame(1, headers())  # never END_HEADERS
    for number in range(5_000):
        yield ContinuationFrame(1, Encoder().encode([(f"x-{number}", "y" * 32)]))


def empty_data() -> Iterator[Frame]:
    yield opened(1)
    for _ in range(50_000):
        yield DataFrame(1, b"")


def window_updates() -> Iterator[Frame]:
    yield opened(1)
    for _ in range(20_000):
        yield WindowUpdateFrame(1, window_increment=1)


def priorities() -> Iterator[Frame]:
    for stream in range(1, 40_000, 2):
        yield PriorityFrame(stream, depends_on=0, stream_weight=1)


FLOODS: tuple[Callable[[], Iterable[Frame]], ...] = (
    rapid_resets, pings, settings, endless_headers, empty_data, window_updates, priorities,
)  # fmt: skip


def address(target: Target) -> tuple[str, int]:
    host, _, port = target.server.grpc.rpartition(":")
    return host, int(port)


@contextmanager
def raw_connection(target: Target) -> Iterator[socket.socket]:
    with socket.create_connection(address(target), timeout=PATIENCE_S) as connection:
        connection.sendall(PREFACE + SettingsFrame(0).serialize())
        yield connection


def send(connection: socket.socket, frames: Iterable[Frame]) -> bytes:
    """Send everything while reading what comes back; return that. The server may close at any point."""
    received = bytearray()

    def drain() -> None:
        with suppress(OSError):
            while chunk := connection.recv(65_536):
                received.extend(chunk)

    reader = threading.Thread(target=drain)
    reader.start()
    with suppress(OSError):
        batch = bytearray()
        for frame in frames:
            batch += frame.serialize()
            if len(batch) > 16_384:
                connection.sendall(batch)
                batch.clear()
        connection.sendall(batch)
        connection.shutdown(socket.SHUT_WR)
    reader.join(PATIENCE_S)
    return bytes(received)


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.__name__)
def test_a_flood_of_frames_stops_nobody_else_and_keeps_no_memory(
    target: Target, flood: Callable[[], Iterable[Frame]]
) -> None:
    before = resident_bytes(target)
    with raw_connection(target) as connection:
        flooding = threading.Thread(target=send, args=(connection, flood()))
        flooding.start()
        for _ in range(20):  # honest calls in the middle of it
            assert dict(target.lookup("agent", ask("phone")).customer) == {"phone": "138****1234"}
        flooding.join(PATIENCE_S)
        assert not flooding.is_alive()
    assert resident_bytes(target) - before < MOST_GROWTH
    assert {entry.effect for entry in target.new()} == {"ALLOW"}  # the flood reached no flow
    target.stands()


def test_a_flood_of_pings_is_told_to_calm_down_and_cut_off(target: Target) -> None:
    with raw_connection(target) as connection:
        received = send(connection, pings())
    last, rest = b"", received
    while len(rest) >= 9:
        frame, length = Frame.parse_frame_header(memoryview(rest[:9]))
        if isinstance(frame, GoAwayFrame):
            frame.parse_body(memoryview(rest[9 : 9 + length]))
            last = frame.additional_data
        rest = rest[9 + length :]
    assert b"too_many_pings" in last


def asked_for(stream: int, target: Target) -> Iterator[Frame]:
    """Yield an honest batch of twenty customers by the agent."""
    block = Encoder().encode(
        [
            (":method", "POST"), (":scheme", "http"), (":path", BATCH), (":authority", "gate"),
            ("content-type", "application/grpc"), ("te", "trailers"), ("authorization", f"Bearer {target.token('agent')}"),
        ]
    )  # fmt: skip
    yield HeadersFrame(stream, block, flags=["END_HEADERS"])
    message = batch(*[by_id(SHOWN)] * 20).SerializeToString()
    yield DataFrame(stream, b"\0" + len(message).to_bytes(4, "big") + message, flags=["END_STREAM"])


def test_a_reader_who_takes_nothing_holds_up_nobody_else(target: Target) -> None:
    """His window stays at 0: his answers wait in memory, bounded by how many calls a connection may have."""
    target.new()
    before, calls = resident_bytes(target), 100
    with socket.create_connection(address(target), timeout=PATIENCE_S) as connection:
        closed = SettingsFrame(0, {SettingsFrame.INITIAL_WINDOW_SIZE: 0})
        connection.sendall(PREFACE + closed.serialize())
        answered, until = 0, time.monotonic() + PATIENCE_S
        for asked in range(calls):
            frames = asked_for(2 * asked + 1, target)
            connection.sendall(b"".join(frame.serialize() for frame in frames))
            # All of it is decided, and in the log; ten at a time, since each has five seconds.
            while answered < 20 * (asked + 1) and asked % 10 == 9:
                assert time.monotonic() < until
                answered += len(target.new())
                time.sleep(0.01)
        assert answered == 20 * calls
        assert resident_bytes(target) - before < MOST_GROWTH
        target.stands()
    target.stands()


def test_connections_that_never_finish_their_handshake_are_cut_off_and_others_served(
    target: Target,
) -> None:
    with ExitStack() as half_open:
        sockets = [
            half_open.enter_context(socket.create_connection(address(target), timeout=PATIENCE_S))
            for _ in range(200)
        ]
        for connection in sockets:
            connection.sendall(PREFACE[:10])
        target.stands()
        for connection in sockets:  # each read returns once the server hangs up
            with suppress(ConnectionError):
                while connection.recv(4_096):
                    pass
    target.stands()
