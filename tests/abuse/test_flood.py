"""Denial of service: whatever one caller sends, what it costs is bounded, and others are served."""

import itertools
import re
import resource
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from abuse.methods import METHODS
from abuse.target import (
    LIST_PRINCIPALS,
    LOOKUP,
    SCREEN,
    SEARCH,
    SHOWN,
    SUPPRESSIONS,
    UPSERT,
    Target,
    ask,
    by_id,
    create_site,
    expect,
    hired,
    running,
    search,
)
from fujie.app.client import read_refusal
from fujie.transport.grpc.openstreams import MOST_OF_ONE
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import directory_service_pb2 as directory_v1

INVALID, EXHAUSTED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED
MIB = 2**20


def resident_bytes(target: Target) -> int:
    status = Path(f"/proc/{target.server.worker()}/status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB$", status, re.MULTILINE)
    assert found
    return int(found[1]) * 1024


def test_a_compressed_bomb_is_not_unpacked(target: Target) -> None:
    bomb = ask("phone", ticket="T" * 32 * MIB).SerializeToString()
    before = resident_bytes(target)
    for _ in range(6):
        error = target.failure("agent", LOOKUP, bomb, compression=grpc.Compression.Gzip)
        assert error.code() is EXHAUSTED
    assert resident_bytes(target) - before < 64 * MIB
    assert target.new() == []
    target.stands()


@pytest.mark.parametrize("size", [17_000, 60_000])
def test_metadata_beyond_the_bound_reaches_nobody(target: Target, size: int) -> None:
    error = target.failure("agent", LOOKUP, ask("phone"), (*target.bearer("agent"), ("x-more", "m" * size)))
    assert error.code() in {EXHAUSTED, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL}
    assert target.new() == []
    target.stands()


def test_open_streams_of_one_caller_are_bounded_and_others_are_served(target: Target) -> None:
    """Each costs something as long as it is open, also when nothing is sent."""
    who, honest = METHODS[SCREEN]
    raw, goes_on = honest.SerializeToString(), threading.Event()

    def messages() -> Iterator[bytes]:
        yield raw
        goes_on.wait(60)

    def opened() -> Any:
        return target.channel.stream_stream(SCREEN)(messages(), metadata=target.bearer(who), timeout=60)

    try:
        calls = [opened() for _ in range(MOST_OF_ONE)]
        assert all(next(call) for call in calls)
        with pytest.raises(grpc.RpcError) as caught:
            next(opened())
        expect(read_refusal(caught.value), EXHAUSTED, "LIMIT_EXCEEDED")
        target.stands()
    finally:
        goes_on.set()
    for call in calls:
        assert list(call) == []
    assert next(opened())  # there is room again
    target.stands()


def test_a_mask_of_thousands_of_fields_is_refused_before_any_is_looked_at(target: Target) -> None:
    many = ask(*(f"f{n}" for n in range(8_000)))
    expect(target.refused("agent", LOOKUP, many), INVALID, "ARGUMENT_INVALID")
    target.new_one("DENY", "ARGUMENT_INVALID", "agent")
    repeated = ask(*["phone"] * 8_000)  # the same name ever again is one field
    assert dict(target.lookup("agent", repeated).customer) == {"phone": "138****1234"}
    assert dict(target.new_one("ALLOW").fields) == {"phone": "keep(3,4)"}
    error = target.failure("agent", LOOKUP, ask(*(f"f{n}" for n in range(100_000))))
    assert error.code() is EXHAUSTED
    assert target.new() == []


def nested(levels: int) -> bytes:
    """Return the registration of a principal with an attribute of so many lists within lists, as bytes."""

    def part(tag: int, content: bytes) -> bytes:
        size, more = len(content), b""
        while size > 127:
            more, size = more + bytes([size & 127 | 128]), size >> 7
        return bytes([tag << 3 | 2]) + more + bytes([size]) + content

    value = part(3, b"x")  # Value.string_value
    for _ in range(levels):
        value = part(6, part(1, value))  # Value.list_value, ListValue.values
    attributes = part(7, part(1, part(1, b"region") + part(2, value)))
    base = hired("deep", "support").principal.SerializeToString()
    return part(1, base + attributes)


@pytest.mark.parametrize("levels", [2, 20, 95, 200, 5_000])
def test_a_deep_struct_is_refused_at_every_depth(target: Target, levels: int) -> None:
    expect(target.refused("chief", UPSERT, nested(levels)), INVALID, "ARGUMENT_INVALID")
    target.new_one("DENY", "ARGUMENT_INVALID", "chief")


def series(target: Target) -> int:
    text = target.server.get("metrics", "/metrics")[1]
    return sum(not line.startswith("#") for line in text.splitlines())


def invented(number: int) -> Iterator[tuple[str, str, Message]]:
    name = f"invented_{number}"
    yield "agent", LOOKUP, ask("phone", purpose=name)
    yield "agent", LOOKUP, ask("phone", basis=name)
    yield "agent", LOOKUP, ask(name)
    yield "agent", LOOKUP, ask("phone", customer=by_id(SHOWN, store=name))
    yield "agent", LOOKUP, ask("phone", on_behalf_of=name)
    yield "nobody", LOOKUP, ask("phone", purpose=name)
    yield name, LOOKUP, ask("phone")
    yield "searcher", SEARCH, search(name)
    yield "desk", SUPPRESSIONS, consent_v1.ListSuppressionsRequest(purpose=name)
    yield "chief", LIST_PRINCIPALS, directory_v1.ListPrincipalsRequest(page_token=name)
    yield "agent", f"/fujie.v1.{name}/Look", ask("phone")
    yield "agent", f"/{name}/{name}", ask("phone")


def test_invented_names_make_no_new_series(target: Target) -> None:
    """Every reason that they can lead to is one series; a hundred times as many names are none more."""

    def send(numbers: range) -> None:
        for number in numbers:
            for who, method, message in invented(number):
                target.refused(who, method, message)

    send(range(2))
    before = series(target)
    send(range(2, 60))
    assert series(target) == before
    target.stands()


def test_invented_scopes_are_not_remembered(target: Target) -> None:
    """16 kB of fresh names with every call: a thousand calls would be 16 MB more, every time, if any of it stayed."""

    def send(wave: int) -> None:
        calls = []
        for number in range(100):
            fields = [f"f{wave}_{number}_{index}_{'x' * 110}" for index in range(128)]
            asked = ask(*fields, purpose=f"p{wave}_{number}", basis=f"b{wave}_{number}")
            calls.append(target.begin(LOOKUP, asked, target.bearer("agent")))
        assert {INVALID} == {call.code() for call in calls}

    grown, waves = list[int](), itertools.count()
    while (
        not grown or grown[-1] >= 8 * MIB
    ):  # the allocator first takes what it needs for a hundred calls at a time
        assert len(grown) < 8, grown
        before = resident_bytes(target)
        for wave in itertools.islice(waves, 10):
            send(wave)
        grown.append(resident_bytes(target) - before)
    target.stands()


@contextmanager
def idle_connections(address: str, count: int) -> Iterator[None]:
    """Connect and say half a request, so often; what is refused or dropped is all right."""
    host, _, port = address.rpartition(":")
    with ExitStack() as opened:
        for _ in range(count):
            try:
                connection = opened.enter_context(socket.create_connection((host, int(port)), 0.5))
                connection.sendall(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
            except TimeoutError:
                break  # the queue of the listener is full
            except OSError:
                continue
        yield


@pytest.mark.parametrize("listener", ["metrics", "http"])
def test_connections_to_a_plain_listener_do_not_eat_the_descriptors_of_the_log(
    tmp_path: Path, listener: str
) -> None:
    """A log that can open no file ends for good: who reaches /metrics could close the gate."""
    with running(create_site(tmp_path / "site")) as target:
        for process in (target.server.process.pid, target.server.worker()):
            resource.prlimit(process, resource.RLIMIT_NOFILE, (256, 256))
        with idle_connections(str(target.server.addresses[listener]), 400):
            for number in range(1, 40):
                target.lookup("agent", ask("phone", customer=by_id(f"C{number:05}"), ticket="T-1"))
            target.stands()
        assert target.server.stop() == 0


def test_clients_of_the_plain_listeners_that_break_off_write_nothing_to_the_servers_log(
    target: Target,
) -> None:
    for listener in ("metrics", "http"):
        host, _, port = str(target.server.addresses[listener]).rpartition(":")
        for said in (
            b"",
            b"GET /metrics HTTP/1.1\r\n",
            b"\x16\x03\x01\x02\x00",
            b"GET \x1b[2J\n\n HTTP/9.9\r\n\r\n",
        ):
            connection = socket.create_connection((host, int(port)), 30)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(said)
            connection.close()  # with a reset
        assert target.server.get("metrics", "/metrics")[0] == 200
        assert target.server.get("http", "/readyz")[0] == 200
    target.stands()  # one JSON object per line, or this fails
