"""`fujie serve` as a process: what it refuses to start on, what it says while it runs, how it ends."""

import json
import re
import shutil
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from ssl import get_server_certificate

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc

from e2e.server import (
    ADMIN,
    INSTANCE,
    POLICY,
    START_S,
    STATIC_TOKEN,
    Server,
    Site,
    lookup,
    probed_until,
)
from fujie.app.client import connect, read_refusal
from support.postgresql import ledger_url

ORIGIN = f"{INSTANCE}/w0"
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
REFUSALS = "fujie_bundle_reload_failures_total"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site.create(tmp_path / "site")


@pytest.fixture
def served(site: Site) -> Iterator[Server]:
    with site.running() as server:
        server.add_principal("agent", "support")
        yield server


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site.create(tmp_path_factory.mktemp("ended") / "site")
    with site.running() as server:
        server.add_principal("agent", "support")
        assert server.stop() == 0
    return site


@pytest.fixture
def used(ended: Site, tmp_path: Path) -> Site:
    """A site whose server has run and ended, with entries in its log."""
    return ended.copied(tmp_path / "site")


def ask(server: Server, principal: str = "agent", *, token: str = "") -> dict[str, str]:
    stubs = server.connect(principal, token)
    with stubs.channel:
        reply = stubs.customers.LookupCustomer(lookup("C00001", "name", "phone"), timeout=30)
    return {name: value.string_value for name, value in reply.customer.fields.items()}


def refusal_of(server: Server, principal: str = "agent", token: str = "") -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as refused:
        ask(server, principal, token=token)
    found = read_refusal(refused.value)
    return found.code, found.reason


def codes(problems: list[dict[str, str]]) -> set[str]:
    return {problem["code"] for problem in problems}


# Running.


def test_a_ledger_on_postgresql_outlives_the_server(site: Site) -> None:
    with ledger_url() as url:
        site.values["ledger"]["url"] = url
        site.write()
        with site.running() as server:
            server.add_principal("agent", "support")
            assert ask(server)["phone"].endswith("****1234")
            assert server.stop() == 0
        with site.running() as server:
            assert ask(server)["phone"].endswith("****1234")
            assert server.metric("fujie_unsafe_settings") == 0


def test_a_served_lookup_is_masked_counted_and_evidenced(site: Site, served: Server) -> None:
    assert ask(served)["phone"].endswith("****1234")
    assert served.get("http", "/readyz") == (200, "ok\n")
    assert served.get("http", "/healthz") == (200, "ok\n")
    assert served.metric("fujie_decisions_total", action="lookup", effect="ALLOW") == 1
    assert served.metric("fujie_stage_seconds_count", stage="evidence") >= 2
    assert served.metric("fujie_serving") == 1
    assert served.metric("fujie_unsafe_settings") == 0
    assert not served.events("unsafe_setting")
    assert served.metric("fujie_log_entries") == 3  # admission and outcome of the principal, the look-up
    assert served.stop() == 0
    verified = json.loads(site.command("audit", "verify", str(site.log), "--output", "json").stdout)
    assert [(log["origin"], log["signed"], log["findings"]) for log in verified["logs"]] == [
        (ORIGIN, 3, [])
    ]


def test_the_ledger_keeps_every_checkpoint_and_an_idle_log_is_not_stale(site: Site, served: Server) -> None:
    until_kept(site, served)
    wait(lambda: served.metric("fujie_log_checkpoint_age_seconds") == 0)


def test_every_line_of_the_log_is_json_without_anything_of_the_caller(site: Site, served: Server) -> None:
    name = ask(served)["name"]
    secret = site.token("agent", aud="somebody-else")
    assert refusal_of(served, token=secret) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
    incident = served.wait_for("call_failed")
    assert incident.keys() == {"time", "level", "worker", "event", "incident_id", "method", "code", "error"}
    assert served.stop() == 0
    text = served.output.read_text("utf-8")
    assert served.events()
    numbers = r'"(time|digest|grpc|http|metrics|incident_id)": "[^"]*"|"pid": \d+'
    for private in (name, "C00001", "138", secret, secret.split(".")[2], ADMIN, "agent"):
        assert private not in re.sub(numbers, "", text)


def test_sigterm_drains_what_runs_and_signs_the_last_checkpoint(site: Site) -> None:
    site.values["server"]["drain_seconds"] = 120
    site.write()
    with site.running() as server:
        server.add_principal("agent", "support")
        drains(site, server)
    # Between them the worker may say `not_serving`, if its watch looks then.
    ending = ("signal", "draining", "stopped")
    assert [event["event"] for event in server.events() if event["event"] in ending] == [*ending]
    verified = json.loads(site.command("audit", "verify", str(site.log), "--output", "json").stdout)
    assert verified["logs"][0]["signed"] == verified["logs"][0]["entries"] == 3


def drains(site: Site, served: Server) -> None:
    """Send SIGTERM while a look-up waits for its store; it is answered, and then the server ends."""
    with grpc.insecure_channel(served.grpc) as channel, ThreadPoolExecutor() as pool:
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(health).status == SERVING
        with closing(sqlite3.connect(site.root / "crm.db", isolation_level=None)) as store:
            store.execute("BEGIN EXCLUSIVE")  # the look-up waits for it
            answer = pool.submit(ask, served)
            wait(lambda: served.metric("fujie_stage_seconds_count", stage="precheck") == 1)
            served.process.send_signal(signal.SIGTERM)
            assert next(health).status == NOT_SERVING
            assert not answer.done()
            store.execute("ROLLBACK")  # at once: a look-up has five seconds
        assert answer.result(START_S)["phone"].endswith("****1234")
        # The watch of its health holds the server for `drain_seconds`.
        assert served.get("http", "/readyz") == (503, "not ready: draining\n")
        assert served.get("http", "/healthz")[0] == 200
        assert served.metric("fujie_serving") == 0
        health.cancel()
        assert served.process.wait(START_S) == 0


def test_sigint_ends_like_sigterm(site: Site) -> None:
    with site.running() as server:
        assert server.stop(signal.SIGINT) == 0
        assert server.events("stopped")


def test_a_killed_server_starts_again_on_its_log(site: Site, served: Server) -> None:
    served.process.kill()
    served.process.wait()
    with site.running() as again:
        assert ask(again)["phone"].endswith("****1234")


# Policies.


def test_a_bad_policy_on_reload_keeps_the_last_good_one(site: Site, served: Server) -> None:
    digest = served.wait_for("policies_loaded")["digest"]
    assert served.metric(REFUSALS) == 0
    site.replace_policies(POLICY.replace("customer.minor", "customer.minr"))
    refused = served.wait_for("policies_refused")
    assert refused["place"].startswith("policies/base.yaml:")
    assert served.metric(REFUSALS) == 1
    assert served.metric("fujie_bundle_info", digest=digest) == 1
    assert probed_until(served, "but") == (
        200,
        "ok, but policies refused, the last good ones are in force\n",
    )
    assert ask(served)["phone"].endswith("****1234")
    site.replace_policies(POLICY.replace('phone: "keep(3,4)"', "phone: omit"))
    served.wait_for("policies_loaded", count=2)
    assert probed_until(served, "ok\n") == (200, "ok\n")
    assert "phone" not in ask(served)
    with pytest.raises(KeyError):
        served.metric("fujie_bundle_info", digest=digest)


def test_sighup_reloads_at_once(site: Site) -> None:
    site.values["policy"]["reload_seconds"] = 3600
    site.write()
    with site.running() as server:
        site.replace_policies(POLICY.replace("[support]", "[agents]"))
        server.process.send_signal(signal.SIGHUP)
        assert server.wait_for("policies_loaded", count=2)
        assert server.process.poll() is None


def test_bad_policies_at_start_are_refused_with_all_their_problems(site: Site) -> None:
    site.policy_file.write_text(POLICY.replace("customer.minor", "customer.minr"), "utf-8")
    (site.root / "policies" / "more.yaml").write_text("kind: Grant\nkind: Guard\n", "utf-8")
    problems = site.refusal()
    assert len(problems) > 1
    places = {problem["place"].rpartition("/")[2].split(":")[0] for problem in problems}
    assert places == {"base.yaml", "more.yaml"}
    assert all(re.search(r":\d+:\d+$", problem["place"]) for problem in problems)


def test_an_attribute_that_no_store_maps_is_warned_of(site: Site) -> None:
    del site.values["stores"]["crm"]["attributes"]
    site.write()
    with site.running() as server:
        assert server.wait_for("attribute_unmapped")["attribute"] == "customer.minor"


# Starting.


def test_a_bad_configuration_is_refused_with_all_its_problems(site: Site) -> None:
    site.values["server"] |= {"listen": "0.0.0.0:0", "drian_seconds": 1}
    site.values["identity"] = {"spiffe": {}}
    del site.values["ledger"]
    site.write()
    site.environ["FUJIE__POLICY__ZONE"] = "Mars"
    found = {(problem["code"], problem["key"]) for problem in site.refusal()}
    assert found == {
        ("UNKNOWN_SETTING", "server.drian_seconds"),
        ("SETTING_MISSING", "identity.spiffe.trust_domain"),
        ("MTLS_INCOMPLETE", "identity.spiffe"),
        ("SETTING_MISSING", "ledger"),
        ("SETTING_INVALID", "policy.zone"),
    }


def test_everything_that_is_only_read_is_reported_together(site: Site) -> None:
    (site.root / "ledger.db").unlink()
    (site.root / "keys" / "token.key").unlink()
    (site.root / "keys" / "log.key").write_text("c2hvcnQ=\n", "utf-8")
    (site.root / "jwks.json").write_text("[]", "utf-8")
    (site.root / "policies" / "bad.yaml").write_text("kind: [", "utf-8")
    site.values["stores"]["crm"]["fields"]["email"] = "no_such_column"
    site.write()
    found = codes(site.refusal())
    assert found >= {"KEY_MISSING", "KEY_INVALID", "JWKS_UNREADABLE", "STORE_MISMATCH"}
    assert len(found) > 4  # and the policy's own
    assert not (site.root / "keys" / "token.key").exists()
    assert not (site.root / "ledger.db").exists()
    assert not site.log.exists()


def test_a_swapped_key_stops_the_start_beside_other_problems(used: Site) -> None:
    keys = used.root / "keys"
    seal, index = (keys / "seal.key").read_bytes(), (keys / "ledger_index.key").read_bytes()
    (keys / "seal.key").write_bytes(index)
    (keys / "ledger_index.key").write_bytes(seal)
    used.policy_file.write_text("kind: [", "utf-8")
    problems = used.refusal()
    assert codes(problems) > {"KEY_MISMATCH"}
    (mismatch,) = (problem for problem in problems if problem["code"] == "KEY_MISMATCH")
    assert "seal" in mismatch["problem"]
    assert "ledger_index" in mismatch["problem"]
    assert mismatch["remedy"]


def test_a_missing_key_stops_the_start_and_is_not_made(used: Site) -> None:
    for path in sorted((used.root / "keys").iterdir()):
        content = path.read_bytes()
        path.unlink()
        assert codes(used.refusal()) == {"KEY_MISSING"}, path.name
        assert not path.exists()
        path.write_bytes(content)


def test_another_process_on_the_same_log_is_refused(site: Site, served: Server) -> None:
    assert codes(site.refusal()) == {"LOG_LOCKED"}
    assert ask(served)["phone"].endswith("****1234")


def test_a_rolled_back_log_is_refused_and_so_is_a_lost_one(used: Site) -> None:
    shutil.copytree(used.log, used.root / "older")
    with used.running() as server:
        assert ask(server)
        assert server.stop() == 0
    shutil.rmtree(used.log)
    shutil.copytree(used.root / "older", used.log)
    (problem,) = used.refusal()
    assert (problem["code"], problem["place"]) == ("LOG_ROLLED_BACK", ORIGIN)
    assert problem["remedy"]
    shutil.rmtree(used.log)
    assert codes(used.refusal()) == {"LOG_ROLLED_BACK"}


def test_a_log_with_another_history_is_refused(used: Site, tmp_path: Path) -> None:
    other = Site.create(tmp_path / "other")
    shutil.copytree(used.root / "keys", other.root / "keys", dirs_exist_ok=True)
    with other.running() as server:
        for name in ("a", "b"):
            server.add_principal(name, "support")
        assert server.stop() == 0
    shutil.rmtree(used.log)
    shutil.copytree(other.log, used.log)
    assert codes(used.refusal()) == {"LOG_FORKED"}


def test_addresses_that_are_taken_are_all_named(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        free = site.values["server"]
        site.values["server"] = dict.fromkeys(free, address)
        site.write()
        problems = site.refusal()
    assert [problem["code"] for problem in problems] == ["LISTEN_FAILED"] * 3
    site.values["server"] = free
    site.write()
    with site.running():  # nothing was left half open
        pass


def certificate(directory: Path) -> tuple[Path, Path]:
    """Write a self-signed certificate for the loopback address; return its path and that of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fujie")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, private = directory / "tls.crt", directory / "tls.key"
    pem.write_bytes(made.public_bytes(Encoding.PEM))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pem, private


def test_beyond_loopback_it_speaks_tls_and_nothing_else(site: Site) -> None:
    pem, private = certificate(site.root)
    site.values["server"] |= {
        "listen": "0.0.0.0:0",
        "tls": {"certificate": str(pem), "private_key": str(private)},
    }
    site.write()
    with site.running() as server:
        address = server.grpc.replace("0.0.0.0", "127.0.0.1")
        stubs = connect(address, site.token("nobody"), tls_root=pem)
        with stubs.channel, pytest.raises(grpc.RpcError) as refused:
            stubs.customers.LookupCustomer(lookup("C00001", "name"), timeout=30)
        assert read_refusal(refused.value).reason == "PRINCIPAL_UNKNOWN"
        plain = connect(address, site.token("nobody"))
        with plain.channel, pytest.raises(grpc.RpcError) as dropped:
            plain.customers.LookupCustomer(lookup("C00001", "name"), timeout=START_S)
        assert read_refusal(dropped.value).code is grpc.StatusCode.UNAVAILABLE
    private.unlink()
    assert codes(site.refusal()) == {"TLS_UNREADABLE"}


def test_a_new_certificate_is_taken_over_and_half_of_one_is_not(site: Site) -> None:
    pem, private = certificate(site.root)
    site.values["server"]["tls"] = {"certificate": str(pem), "private_key": str(private)}
    site.write()
    with site.running() as server:
        host, _, port = server.grpc.rpartition(":")

        def shown() -> str:
            return get_server_certificate((host, int(port)), timeout=30)

        first = shown()
        assert first.strip() == pem.read_text().strip()
        pem.write_bytes(pem.read_bytes()[:100])
        assert server.wait_for("certificate_refused")["code"] == "TLS_INVALID"
        assert shown() == first
        assert server.metric("fujie_certificate_reload_failures_total") >= 1
        certificate(site.root)
        server.wait_for("certificate_loaded")
        assert shown().strip() == pem.read_text().strip() != first.strip()
        assert server.metric("fujie_certificate_expiry_timestamp_seconds") > time.time()


def test_unsafe_settings_are_loud(site: Site) -> None:
    site.use_static_tokens()
    site.values["server"]["unsafe_plaintext"] = True
    site.write()
    with site.running() as server:
        loud = server.events("unsafe_setting")
        assert {event["setting"] for event in loud} == {
            "server.unsafe_plaintext",
            "identity.unsafe_static_tokens",
        }
        assert {event["level"] for event in loud} == {"warning"}
        assert server.metric("fujie_unsafe_settings") == 2
        assert refusal_of(server, token=STATIC_TOKEN) == (grpc.StatusCode.PERMISSION_DENIED, "NO_GRANT")


# Failing.


def test_a_log_that_can_not_be_signed_closes_the_gate_until_a_new_worker_can(
    site: Site, served: Server
) -> None:
    wait(lambda: served.metric("fujie_log_checkpoint_age_seconds") == 0)
    blocker = site.log / ORIGIN / "checkpoint.tmp"  # where the next checkpoint is to be written
    blocker.mkdir()
    with grpc.insecure_channel(served.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(health).status == SERVING
        ask(served)
        assert next(health).status == NOT_SERVING
        health.cancel()
    failed = served.wait_for("log_failed")
    assert (failed["level"], failed["error"]) == ("critical", "EISDIR")
    assert (
        served.wait_for("cannot_start")["code"] == "LOG_UNAVAILABLE"
    )  # its successor finds the same trouble
    assert served.get("http", "/readyz")[0] == 503
    assert served.get("http", "/healthz")[0] == 200, "a new container would find it too"
    assert served.metric("fujie_serving") == 0
    assert served.metric("fujie_log_failures_total") == 1
    blocker.rmdir()
    served.wait_for("worker_ready", count=2)
    assert ask(served)["phone"].endswith("****1234")
    assert probed_until(served, "ok\n") == (200, "ok\n")
    assert served.stop() == 0


def test_a_ledger_that_will_not_keep_a_checkpoint_closes_the_gate(site: Site, served: Server) -> None:
    until_kept(site, served)
    with closing(sqlite3.connect(site.root / "ledger.db")) as ledger, ledger:
        ledger.execute("UPDATE checkpoint SET size = 1000000")

    def has_failed() -> bool:
        with suppress(grpc.RpcError):  # from then on
            ask(served)
        return bool(served.events("log_failed"))

    wait(has_failed)  # a checkpoint is not kept, and the next one after that finds it
    assert served.wait_for("log_failed")["error"] == "KEEP_FAILED"
    assert served.wait_for("thread_died")["error"] == "LogForked"
    assert served.wait_for("worker_lost")["worker"] == "w0"  # only a new process may write again


def test_health_follows_the_ledger_there_and_back(site: Site, served: Server) -> None:
    wait(lambda: served.metric("fujie_log_checkpoint_age_seconds") == 0)
    with closing(sqlite3.connect(site.root / "ledger.db")) as ledger:
        with ledger:
            ledger.execute("ALTER TABLE change_counter RENAME TO gone")
        assert served.wait_for("not_serving")["state"] == "ledger"
        assert probed_until(served, "ledger") == (503, "not ready: ledger\n")
        with ledger:
            ledger.execute("ALTER TABLE gone RENAME TO change_counter")
        served.wait_for("serving")
    assert probed_until(served, "ok\n")[0] == 200


def until_kept(site: Site, served: Server) -> None:
    """Wait until the ledger has the checkpoint over every entry: that one is signed says only that it will have it."""
    entries = int(served.metric("fujie_log_entries"))
    with closing(sqlite3.connect(site.root / "ledger.db")) as ledger:
        wait(
            lambda: ledger.execute("SELECT origin, size FROM checkpoint").fetchall() == [(ORIGIN, entries)]
        )


def wait(says: Callable[[], bool]) -> None:
    """Wait until it is so; nothing is measured."""
    until = time.monotonic() + START_S
    while not says():
        assert time.monotonic() < until
        time.sleep(0.02)
