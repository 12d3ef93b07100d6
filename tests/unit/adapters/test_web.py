"""One bounded exchange with a web server: whole answers or none, and nothing taken from who is on the way."""

import socket
import threading
from http.client import HTTPException
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext, SSLError, create_default_context

import pytest

from fujie.adapters import web
from fujie.adapters.web import Answer, Ask, exchange, place_of
from support.certificates import authority, server
from support.peers import Talk, answer, answering, saying

SECONDS = 10.0


def get(port: int, most_bytes: int = 100) -> Answer:
    return exchange(
        Ask(f"http://127.0.0.1:{port}/a?b=c", {"Authorization": "Bearer t"}), most_bytes, SECONDS
    )


def test_an_answer_comes_with_its_tag() -> None:
    with answering(saying(answer(b"body", b'HTTP/1.1 200 OK\r\nETag: "x"'))) as (port, seen):
        assert get(port) == Answer(200, b"body", '"x"')
    assert seen[0].startswith(b"GET /a?b=c HTTP/1.1\r\n")
    assert b"Authorization: Bearer t\r\n" in seen[0]


def test_a_body_is_put_with_its_headers() -> None:
    with answering(saying(answer(b"", b"HTTP/1.1 201 Created"))) as (port, seen):
        ask = Ask(f"http://127.0.0.1:{port}/b", {"If-None-Match": "*"}, "PUT", b"content")
        assert exchange(ask, 100, SECONDS).status == 201
    assert seen[0].startswith(b"PUT /b HTTP/1.1\r\n")
    assert b"If-None-Match: *\r\n" in seen[0]
    assert b"Content-Length: 7\r\n" in seen[0]


PARTIAL: dict[str, Talk] = {
    "half of it": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
    "half of its chunks": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf"),
    "no last chunk": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
    "half of its head": saying(b"HTT"),
    "nothing": saying(b""),
}


@pytest.mark.parametrize("talk", PARTIAL.values(), ids=PARTIAL)
def test_a_part_of_an_answer_is_none(talk: Talk) -> None:
    with answering(talk) as (port, _), pytest.raises((OSError, HTTPException, ValueError)):
        get(port)


def test_what_is_too_long_is_shown_by_one_byte_and_not_read_on() -> None:
    def endless(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.sendall(b"x" * 65_536)

    with answering(endless) as (port, _):
        assert get(port).body == b"x" * 101
    with answering(saying(answer(b"x" * 5_000))) as (port, _):
        assert len(get(port).body) == 101


def test_neither_ask_nor_place_shows_a_secret() -> None:
    ask = Ask("https://h:8443/path?key=SECRET", {"Authorization": "Bearer SECRET"})
    assert "SECRET" not in repr(ask)
    assert place_of(ask.url) == "https://h:8443"


def test_a_fetch_that_is_cut_off_takes_nothing_in_plain_text_for_the_servers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is on the way needs no key to add bytes behind what the server encrypted."""
    root = authority()
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server(root).files(tmp_path, "server"))
    monkeypatch.setenv("SSL_CERT_FILE", str(root.files(tmp_path, "root")[0]))
    ours, theirs = socket.socketpair()
    plain = theirs.dup()
    shaking = threading.Thread(target=lambda: context.wrap_socket(theirs, server_side=True).close())
    shaking.start()
    with plain, create_default_context().wrap_socket(ours, server_hostname="localhost") as peer:
        shaking.join()
        plain.sendall(answer(b"evil"))
        web._shut(peer)
        with pytest.raises(SSLError):
            peer.recv(65_536)
