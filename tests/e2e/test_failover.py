"""A real server whose ledger fails over: it goes on with what it knew, or not at all."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from e2e.server import Server, Site, lookup
from fujie.adapters.ledger import upgrade
from fujie.app.client import read_refusal
from support.clusters import PASSWORD, Cluster, authority
from support.postgresql import apart

PATIENCE_S = 60
"""No measure: what takes so long never comes."""


def outcome(server: Server) -> str:
    """Return the reason of the refusal, or nothing."""
    stubs = server.connect("agent")
    with stubs.channel:
        try:
            stubs.customers.LookupCustomer(lookup("C00001", "name"), timeout=30)
        except grpc.RpcError as error:
            return read_refusal(error).reason
    return ""


def until_it_says(server: Server, reason: str) -> None:
    late = time.monotonic() + PATIENCE_S
    while (said := outcome(server)) != reason:
        assert time.monotonic() < late, said
        time.sleep(0.05)


@contextmanager
def pair() -> Iterator[tuple[Cluster, Cluster]]:
    """Yield a primary with a ledger in the database `gate`, and a standby of it."""
    primary = Cluster.new()
    try:
        primary.execute("CREATE DATABASE gate")
        apart(lambda: upgrade(primary.url("gate")))
        standby = primary.standby("second")
        try:
            yield primary, standby
        finally:
            standby.remove()
    finally:
        primary.remove()


@pytest.fixture
def clusters() -> Iterator[tuple[Cluster, Cluster]]:
    with pair() as clusters:
        yield clusters


@pytest.fixture
def site(tmp_path: Path, clusters: tuple[Cluster, Cluster]) -> Site:
    """A site whose ledger is either of the two, by TLS and a password."""
    site = Site.create(tmp_path / "site")
    (site.root / "ca.pem").write_bytes(authority().pem)
    (site.root / "password").write_text(PASSWORD, "utf-8")
    hosts = ",".join(f"localhost:{cluster.port}" for cluster in clusters)
    site.values["ledger"] = {
        "url": f"postgresql://gate@{hosts}/gate?sslmode=verify-full&sslrootcert={site.root / 'ca.pem'}",
        "password_file": str(site.root / "password"),
    }
    site.write()
    return site


def test_a_server_follows_its_ledger_to_the_standby(site: Site, clusters: tuple[Cluster, Cluster]) -> None:
    primary, standby = clusters
    with site.running() as server:
        server.add_principal("agent", "support")
        assert outcome(server) == ""
        standby.catch_up(primary)
        primary.stop()
        assert outcome(server) == "LEDGER_UNAVAILABLE"
        standby.promote()
        until_it_says(server, "")
        server.add_principal("late", "support")
        assert server.stop() == 0


def test_a_server_whose_ledger_went_back_stays_closed_until_people_restart_it(
    site: Site, clusters: tuple[Cluster, Cluster]
) -> None:
    """Its workers that are replaced meanwhile do not believe it either."""
    primary, standby = clusters
    with site.running() as server:
        server.add_principal("agent", "support")
        standby.catch_up(primary)
        standby.detach()
        server.add_principal("lost", "support")  # acknowledged
        assert outcome(server) == ""
        primary.stop()
        standby.promote()
        until_it_says(server, "LEDGER_ROLLED_BACK")
        assert server.get("http", "/readyz")[0] == 503
        assert not server.events("worker_lost")
        os.kill(server.worker(), signal.SIGKILL)  # none that takes its place believes what it finds
        refused = server.wait_for("cannot_start", count=2)
        assert refused["code"] == "LEDGER_ROLLED_BACK"
        assert PASSWORD not in server.output.read_text("utf-8")
        server.stop()
    with site.running() as server:
        assert outcome(server) == ""
