"""Reading key sets from files and from addresses: a real HTTP server on loopback, which answers badly."""

import json
import socket
import threading
from pathlib import Path
from ssl import PROTOCOL_TLS_SERVER, SSLContext

import pytest

from fujie.adapters.identity import jwks
from fujie.adapters.identity.jwks import ADDRESS_S, FILE_S, MOST_BYTES, fetch, source_of
from fujie.app.tokens import new_signing_key
from fujie.model.errors import StartError
from support.certificates import authority, server
from support.peers import Talk, answer, answering, saying

KEYS = new_signing_key()[1]
GOOD = json.dumps(KEYS).encode()


def refusal(url: str) -> str:
    with pytest.raises(StartError) as caught:
        fetch(url)
    assert caught.value.code == "JWKS_UNREADABLE"
    return str(caught.value)


def test_keys_are_fetched_by_one_plain_get() -> None:
    with answering(saying(answer(GOOD))) as (port, seen):
        read, refresh_s = source_of(f"http://127.0.0.1:{port}/keys?v=1")
        assert (read(), refresh_s) == (KEYS, ADDRESS_S)
    [request] = seen
    assert request.startswith(b"GET /keys?v=1 HTTP/1.1\r\n")
    assert b"authorization" not in request.lower()


def test_no_proxy_and_no_credentials_of_the_environment_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login u password p\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with (
        answering(saying(answer(b"{}"))) as (proxy, asked),
        answering(saying(answer(GOOD))) as (port, seen),
    ):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
        monkeypatch.delenv("no_proxy", raising=False)
        assert fetch(f"http://127.0.0.1:{port}/") == KEYS
    assert (asked, len(seen)) == ([], 1)
    assert b"Authorization" not in seen[0]


@pytest.mark.parametrize(
    "status", [b"301 Moved", b"302 Found", b"307 Temporary Redirect", b"308 Permanent"]
)
def test_no_redirect_is_followed(status: bytes) -> None:
    with answering(saying(answer(GOOD))) as (elsewhere, asked):
        where = b"\r\nLocation: http://127.0.0.1:%d/" % elsewhere
        with answering(saying(answer(b"", b"HTTP/1.1 " + status + where))) as (port, _):
            assert "answered 30" in refusal(f"http://127.0.0.1:{port}/")
    assert asked == []


BAD: dict[str, Talk] = {
    "not found": saying(answer(GOOD, b"HTTP/1.1 404 Not Found")),
    "an error with keys": saying(answer(GOOD, b"HTTP/1.1 500 Internal Server Error")),
    "no content": saying(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "a page": saying(answer(b"<html>")),
    "a list": saying(answer(b"[]")),
    "a number": saying(answer(b"7")),
    "nothing": saying(b""),
    "no HTTP": saying(b"SSH-2.0-x\r\n"),
    "half the keys": saying(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + GOOD[:-9]),
    "a negative length": saying(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n{}[]"),
    "broken chunks": saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}"),
    "compressed": saying(answer(b"\x1f\x8b\x08\x00")),
    "deep": saying(answer(b"[" * 100_000)),
    "keys and a gigabyte": saying(answer(GOOD[:-1] + b', "x": "' + b"x" * MOST_BYTES + b'"}')),
    "a header without end": saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000),
    "headers without end": saying(b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 10_000),
}


@pytest.mark.parametrize("talk", BAD.values(), ids=BAD)
def test_a_bad_answer_is_refused_and_not_quoted(talk: Talk) -> None:
    with answering(talk) as (port, _):
        said = refusal(f"http://127.0.0.1:{port}/path?secret=1")
    assert said.startswith(f"http://127.0.0.1:{port}: ")
    assert "secret" not in said
    assert "kty" not in said


def test_an_answer_that_never_ends_is_bounded() -> None:
    def endless(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.sendall(b"x" * 65_536)

    with answering(endless) as (port, _):
        assert f"longer than {MOST_BYTES}" in refusal(f"http://127.0.0.1:{port}/")


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n{"])
def test_a_peer_that_says_a_byte_now_and_then_is_cut_off(
    start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time; all of them would take for ever. Only a hang would fail this test."""
    monkeypatch.setattr(jwks, "FETCH_S", 0.3)
    stop = threading.Event()

    def drip(peer: socket.socket) -> None:
        peer.sendall(start)
        while not stop.wait(0.05):
            peer.sendall(b" ")

    with answering(drip) as (port, _):
        try:
            refusal(f"http://127.0.0.1:{port}/")
        finally:
            stop.set()


def test_nobody_there_is_refused() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))  # and does not listen: nobody else gets the port meanwhile
        port = silent.getsockname()[1]
        assert "ConnectionRefusedError" in refusal(f"http://127.0.0.1:{port}/")


def test_an_https_issuer_is_held_to_its_certificate_and_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = authority()
    certificate, key = server(root).files(tmp_path, "server")
    context = SSLContext(PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    ca, _ = root.files(tmp_path, "root")
    with answering(saying(answer(GOOD)), context) as (port, _):
        assert "SSLCertVerificationError" in refusal(f"https://localhost:{port}/")
        monkeypatch.setenv("SSL_CERT_FILE", str(ca))  # how an operator names a CA of the house
        assert fetch(f"https://localhost:{port}/") == KEYS
        assert "SSLCertVerificationError" in refusal(f"https://127.0.0.1:{port}/")


def test_a_file_is_read_anew_each_time(tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    read, refresh_s = source_of(str(path))
    assert refresh_s == FILE_S
    with pytest.raises(StartError, match="No such file"):
        read()
    empty: dict[str, object] = {"keys": []}
    for content in (empty, KEYS):
        path.write_text(json.dumps(content))
        assert read() == content


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b"{}" + b" " * MOST_BYTES]
)
def test_a_bad_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "jwks.json"
    path.write_bytes(content)
    with pytest.raises(StartError) as caught:
        source_of(str(path))[0]()
    assert caught.value.code == "JWKS_UNREADABLE"
