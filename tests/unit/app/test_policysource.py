"""Bundles from an address: servers that lie, stall, redirect, break and answer half; and never a byte of ours to another host."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest

from fujie.app import policysource
from fujie.app.policies import AWAY
from fujie.app.policysection import Policy
from fujie.app.policysource import Found, bearer, fetch, is_tag, source_of
from fujie.app.problems import CannotStart, Problem
from fujie.policy.archive import MAX_BYTES
from support.certificates import authority, server
from support.peers import Talk, answer, answering, saying

CONTENT = b"fujie.dev/bundle/v1\n..."


def url(port: int, scheme: str = "http", host: str = "127.0.0.1") -> str:
    return f"{scheme}://{host}:{port}/bundles/site.fujie?secret=1"


def problem(act: Callable[[], object]) -> Problem:
    with pytest.raises(CannotStart) as refused:
        act()
    (only,) = refused.value.problems
    return only


def tagged(tag: str, body: bytes = CONTENT, status: str = "200 OK") -> bytes:
    return answer(body, f"HTTP/1.1 {status}\r\nETag: {tag}".encode())


def test_a_bundle_comes_with_its_tag_and_is_then_asked_for_conditionally() -> None:
    with answering(saying(tagged('"5"'))) as (port, seen):
        source = source_of(Policy(url=url(port), trusted_keys=(VKEY,), state_dir=Path("state")))
        assert source("") == Found(CONTENT, '"5"')
        source('"5"')
    assert b"If-None-Match" not in seen[0]
    assert b'If-None-Match: "5"\r\n' in seen[1]


VKEY = "alice+4c944c93+AdmRMIEpqyq/1MrzwJXYWYwWCpVavRJfBqWZhk0QVl3n"


def test_unchanged_is_believed_only_when_it_was_asked() -> None:
    unchanged = b"HTTP/1.1 304 Not Modified\r\n\r\n"
    with answering(saying(unchanged)) as (port, _):
        assert fetch(url(port), None, '"5"') == Found(None, '"5"')
        assert problem(lambda: fetch(url(port), None, "")).code == AWAY


@pytest.mark.parametrize(
    "tag", ["", "5", '"', '"a"b"', "*", f'"{"x" * 300}"', '"\xe9"', '"a\tb"', "W/", 'W/"', 'w/"a"']
)
def test_a_tag_that_could_not_be_sent_back_is_dropped(tag: str) -> None:
    assert not is_tag(tag)
    with answering(saying(tagged(tag))) as (port, _):
        assert fetch(url(port), None, "") == Found(CONTENT, "")


def test_weak_and_empty_tags_are_tags() -> None:
    assert is_tag('W/"a"')
    assert is_tag('""')


@pytest.mark.parametrize(
    "status", [b"301 Moved", b"302 Found", b"303 See", b"307 Temporary", b"308 Permanent"]
)
def test_no_redirect_is_followed_and_the_token_goes_nowhere_else(status: bytes, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("t0ken\n")
    with answering(saying(answer(CONTENT))) as (elsewhere, asked):
        where = b"\r\nLocation: http://127.0.0.1:%d/" % elsewhere
        with answering(saying(answer(CONTENT, b"HTTP/1.1 " + status + where))) as (port, seen):
            assert problem(lambda: fetch(url(port), token, "")).code == AWAY
    assert b"Authorization: Bearer t0ken\r\n" in seen[0]
    assert asked == []


AWAYS: dict[str, Talk] = {
    "500 with a bundle": saying(answer(CONTENT, b"HTTP/1.1 500 Internal Server Error")),
    "503": saying(answer(b"", b"HTTP/1.1 503 Unavailable\r\nRetry-After: 0")),
    "404": saying(answer(b"", b"HTTP/1.1 404 Not Found")),
    "206": saying(answer(CONTENT, b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-9/99")),
    "no content": saying(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "half of it": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + CONTENT),
    "no HTTP": saying(b"SSH-2.0-x\r\n"),
    "nothing": saying(b""),
    "a header without end": saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
    "headers without end": saying(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 10_000),
}


@pytest.mark.parametrize("talk", AWAYS.values(), ids=AWAYS)
def test_what_is_no_whole_answer_is_away_and_nothing_of_it_is_quoted(talk: Talk) -> None:
    with answering(talk) as (port, _):
        said = problem(lambda: fetch(url(port), None, ""))
    assert (said.code, said.place) == (AWAY, f"http://127.0.0.1:{port}")
    assert "secret" not in f"{said}"


def test_an_answer_without_end_is_read_to_the_bound() -> None:
    def endless(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.sendall(b"x" * 1_048_576)

    with answering(endless) as (port, _):
        content = fetch(url(port), None, "").content
    assert content is not None
    assert len(content) == MAX_BYTES + 1, "one byte too many is what the archive refuses"


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\nf"])
def test_a_server_that_says_a_byte_now_and_then_is_cut_off(
    start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time; all of them would take for ever. Only a hang would fail this test."""
    monkeypatch.setattr(policysource, "FETCH_S", 0.3)
    stop = threading.Event()

    def drip(peer: socket.socket) -> None:
        peer.sendall(start)
        while not stop.wait(0.05):
            peer.sendall(b" ")

    with answering(drip) as (port, _):
        try:
            assert problem(lambda: fetch(url(port), None, "")).code == AWAY
        finally:
            stop.set()


def test_a_server_is_held_to_its_certificate_and_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = authority()
    certificate, private = server(root).files(tmp_path, "server")
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    with answering(saying(answer(CONTENT)), context) as (port, seen):
        assert "Cert" in problem(lambda: fetch(url(port, "https", "localhost"), None, "")).message
        monkeypatch.setenv("SSL_CERT_FILE", str(root.files(tmp_path, "root")[0]))
        monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "secrets"))
        assert fetch(url(port, "https", "localhost"), None, "").content == CONTENT
        assert not (tmp_path / "secrets").exists(), "what protects the token is written nowhere"
        assert "Cert" in problem(lambda: fetch(url(port, "https"), None, "")).message
    assert len(seen) == 1, "who has the wrong name is not asked at all"


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"a\nb", b"a\r\nHost: evil", b"\xff", "tökén".encode(), b"a\x00"]
)
def test_a_token_that_is_none_is_refused_and_not_shown(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    assert problem(lambda: bearer(path)) == Problem(
        "POLICY_UNREADABLE", "not one line with a token", "policy.token_file", str(path)
    )
