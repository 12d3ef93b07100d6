"""The listener of `/metrics`: bounded, and silent whatever a peer does."""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client import CollectorRegistry, Counter

from fujie.adapters import scrape
from fujie.adapters.scrape import MOST_CONNECTIONS, ScrapeListener

REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@pytest.fixture
def listener() -> Iterator[ScrapeListener]:
    registry = CollectorRegistry()
    Counter("fujie_tests", "Tests.", registry=registry)
    started = ScrapeListener("127.0.0.1", 0, registry)
    yield started
    started.stop()


def connect(listener: ScrapeListener) -> socket.socket:
    return socket.create_connection(("127.0.0.1", listener.port), 30)


def scraped(listener: ScrapeListener) -> bytes:
    with connect(listener) as peer:
        try:
            peer.sendall(REQUEST)
            return b"".join(iter(lambda: peer.recv(65_536), b""))
        except ConnectionError:  # closed before it was read
            return b""


def test_a_scrape_gets_the_registry(listener: ScrapeListener) -> None:
    answer = scraped(listener)
    assert answer.startswith(b"HTTP/1.0 200 OK")
    assert b"fujie_tests_total 0.0" in answer


def test_connections_beyond_the_bound_are_closed_and_the_others_make_room(listener: ScrapeListener) -> None:
    with ExitStack() as idle:
        for _ in range(MOST_CONNECTIONS):
            idle.enter_context(connect(listener)).sendall(b"GET /metrics HTTP/1.1\r\n")
        assert scraped(listener) == b""
    while not scraped(listener):  # their threads notice that they are gone
        pass


def test_a_peer_that_resets_or_talks_nonsense_prints_nothing(
    listener: ScrapeListener, capfd: pytest.CaptureFixture[str]
) -> None:
    for said in (b"", b"GET /metrics HTTP/1.1\r\n", b"\x16\x03\x01", b"GET \x1b[2J HTTP/9.9\r\n\r\n"):
        peer = connect(listener)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.sendall(said)
        peer.close()
        assert scraped(listener)
    assert capfd.readouterr() == ("", "")


def test_an_address_that_is_taken_is_an_os_error(listener: ScrapeListener) -> None:
    with pytest.raises(OSError, match="in use"):
        ScrapeListener("127.0.0.1", listener.port, CollectorRegistry())


def test_a_peer_that_says_a_byte_now_and_then_is_cut_off(
    listener: ScrapeListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time; all of them would take for ever. Only a hang would fail this test."""
    monkeypatch.setattr(scrape, "MOST_SECONDS", 0.3)

    def drip(peer: socket.socket) -> None:
        while True:
            peer.sendall(b"x")
            time.sleep(0.05)

    with connect(listener) as peer, pytest.raises(ConnectionError):
        drip(peer)
