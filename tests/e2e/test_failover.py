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

PATIENCE_S = 180
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


def until_it_is_not_ready(server: Server) -> None:
    """Wait until the server says so: a worker looks a moment after somebody was refused."""
    late = time.monotonic() + PATIENCE_S
    while server.get("http", "/readyz")[0] != 503:
        assert time.monotonic() < late
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
        until_it_is_not_ready(server)
        server.wait_for("ledger_rolled_back")
        assert not server.events("worker_lost")
        os.kill(server.worker(), signal.SIGKILL)  # none that takes its place believes what it finds
        refused = server.wait_for("cannot_start", count=2)
        assert refused["code"] == "LEDGER_ROLLED_BACK"
        assert PASSWORD not in server.output.read_text("utf-8")
        server.stop()
    with site.running() as server:
        assert outcome(server) == ""


def test_what_one_worker_saw_is_missed_by_those_who_had_not_looked_yet(
    site: Site, clusters: tuple[Cluster, Cluster]
) -> None:
    """What a standby lacks is what was acknowledged last: by one worker, before the others looked."""
    primary, _ = clusters
    site.values["server"]["workers"] = 2
    site.write()
    with site.running() as server:
        server.wait_for("worker_ready", count=2)
        behind = server.worker(1)
        os.kill(behind, signal.SIGSTOP)
        try:
            primary.execute("UPDATE change_counter SET value = value + 5", database="gate")
            [[then]] = primary.execute("SELECT clock_timestamp()::text")
            primary.until(
                "EXISTS (SELECT FROM pg_stat_activity WHERE state = 'idle' AND query LIKE 'SELECT change_counter.value%'"
                f" AND query_start > '{then}')"
            )
            primary.execute("UPDATE change_counter SET value = value - 5", database="gate")
        finally:
            os.kill(behind, signal.SIGCONT)
        server.wait_for("not_serving", count=2)
        assert {each["worker"] for each in server.events("not_serving")} == {"w0", "w1"}
        until_it_is_not_ready(server)
        assert outcome(server) == "LEDGER_ROLLED_BACK"
        assert server.stop() == 0


def test_who_takes_the_place_of_a_worker_that_has_just_noticed_does_not_believe_the_ledger(
    site: Site, clusters: tuple[Cluster, Cluster]
) -> None:
    primary, _ = clusters
    with site.running() as server:
        server.add_principal("agent", "support")
        noticing = server.worker()
        primary.execute("UPDATE change_counter SET value = value - 1", database="gate")
        with pytest.raises(grpc.RpcError) as refused:
            server.add_principal("late", "support")
        os.kill(noticing, signal.SIGKILL)
        assert read_refusal(refused.value).reason == "LEDGER_ROLLED_BACK"
        assert server.wait_for("cannot_start")["code"] == "LEDGER_ROLLED_BACK"
        server.stop()
