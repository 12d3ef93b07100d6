"""One server holds its address: its workers share it, nobody else does."""

import socket
from collections.abc import Iterator

import pytest

from fujie.app.address import HeldAddress
from fujie.model.errors import StartError


@pytest.fixture(params=["127.0.0.1:0", "localhost:0", "0.0.0.0:0", "[::1]:0"])
def held(request: pytest.FixtureRequest) -> Iterator[HeldAddress]:
    address = HeldAddress(request.param)
    yield address
    address.close()


def worker(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", port))
    made.listen()
    return made


def test_workers_share_what_no_other_server_can_have() -> None:
    held = HeldAddress("127.0.0.1:0")
    port = int(held.text.rpartition(":")[2])
    assert refused(held.text), "before any worker listens"
    with worker(port), worker(port):
        assert refused(held.text)
    held.close()
    HeldAddress(held.text).close()


def test_the_port_is_known_and_the_host_is_as_it_was_written(held: HeldAddress) -> None:
    host, _, port = held.text.rpartition(":")
    assert host in {"127.0.0.1", "localhost", "0.0.0.0", "[::1]"}
    assert int(port) > 0
    assert refused(held.text)


@pytest.mark.parametrize("address", ["192.0.2.1:0", "no-such-host.invalid:1"])
def test_an_address_of_somebody_else_is_a_start_error(address: str) -> None:
    assert refused(address)


def refused(address: str) -> bool:
    with pytest.raises(StartError) as error:
        HeldAddress(address)
    return error.value.code == "LISTEN_FAILED"
