"""Mutual TLS, delegation and key rotation on the real server as a real process."""

import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest

from e2e.server import ADMIN, AUDIENCE, ISSUER, START_S, Server, Site, lookup
from fujie.adapters.tilefiles import read_file
from fujie.app.client import ClientCertificate, RefusalDetail, Stubs, connect, read_refusal
from fujie.app.tokens import mint, new_signing_key
from fujie.audit.entry import Entry, parse_entry
from fujie.audit.segment import TAIL, parse_segment
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import policy_service_pb2 as policy_v1
from support.certificates import DNS, URI, Pair, authority, leaf, server, workload

CRM, JOB = "spiffe://example.com/ns/crm/sa/web", "spiffe://example.com/ns/bi/sa/job"
AGENT, PHONE = "agent", "138****"


@dataclass
class Mutual:
    """A running server that asks for certificates, the CA that it believes, and where files may be put."""

    server: Server
    root: Pair
    directory: Path

    @property
    def address(self) -> str:
        return f"localhost:{self.server.grpc.rpartition(':')[2]}"

    def files(self, pair: Pair, name: str) -> ClientCertificate:
        return ClientCertificate(*pair.files(self.directory, name))

    @property
    def ca(self) -> Path:
        return self.directory / "ca.crt"

    def connect(self, pair: Pair, token: str = "") -> Stubs:
        return connect(self.address, token, self.ca, self.files(pair, "client"))

    def workload(self, spiffe_id: str, token: str = "") -> Stubs:
        return self.connect(workload(self.root, spiffe_id), token)

    def token(self, principal: str) -> str:
        return self.server.site.token(principal)

    def hire(self, principal: str, kind: directory_v1.PrincipalKind, *roles: str) -> None:
        record = directory_v1.Principal(
            id=principal, kind=kind, roles=roles,
            employment=directory_v1.EMPLOYMENT_ACTIVE, training=directory_v1.TRAINING_VALID,
        )  # fmt: skip
        with (stubs := self.workload(CRM, self.token(ADMIN))).channel:
            stubs.directory.UpsertPrincipal(
                directory_v1.UpsertPrincipalRequest(principal=record), timeout=30
            )

    def entries(self) -> list[Entry]:
        segment = parse_segment(read_file(self.server.site.log / "e2e" / "w0", TAIL) or b"")
        return [parse_entry(leaf) for leaf in segment.leaves]


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mutual]:
    directory = tmp_path_factory.mktemp("mutual")
    root = authority()
    certificate, key = server(root).files(directory, "server")
    ca, _ = root.files(directory, "ca")
    site = Site.create(directory / "site")
    site.values["server"]["tls"] = {
        "certificate": str(certificate), "private_key": str(key), "client_ca": str(ca),
    }  # fmt: skip
    site.values["identity"]["spiffe"] = {"trust_domain": "example.com", "may_assert": [CRM]}
    site.write()
    with site.running() as running:
        served = Mutual(running, root, directory)
        served.hire(AGENT, directory_v1.PRINCIPAL_KIND_EMPLOYEE, "support")
        served.hire(JOB, directory_v1.PRINCIPAL_KIND_SERVICE, "support")
        yield served


def asked(on_behalf_of: str = "") -> Any:
    ask = lookup("C00001", "phone")
    ask.context.on_behalf_of = on_behalf_of
    return ask


def refused(stubs: Stubs, on_behalf_of: str = "") -> RefusalDetail:
    with stubs.channel, pytest.raises(grpc.RpcError) as caught:
        stubs.customers.LookupCustomer(asked(on_behalf_of), timeout=30)
    return read_refusal(caught.value)


def shown(stubs: Stubs, on_behalf_of: str = "") -> str:
    with stubs.channel:
        reply = stubs.customers.LookupCustomer(asked(on_behalf_of), timeout=30)
    return str(dict(reply.customer)["phone"])


def test_a_workload_asks_for_itself_without_any_token(mutual: Mutual) -> None:
    assert shown(mutual.workload(JOB)).startswith(PHONE)
    entry = mutual.entries()[-1]
    assert (entry.principal, entry.on_behalf_of, entry.effect) == (JOB, "", "ALLOW")


def test_a_trusted_workload_asks_for_a_person(mutual: Mutual) -> None:
    assert shown(mutual.workload(CRM), AGENT).startswith(PHONE)
    entry = mutual.entries()[-1]
    assert (entry.principal, entry.on_behalf_of, entry.effect) == (CRM, AGENT, "ALLOW")


@pytest.mark.parametrize(
    ("caller", "who", "whom", "reason"),
    [
        (JOB, "", AGENT, "DELEGATION_REFUSED"),
        (CRM, AGENT, AGENT, "DELEGATION_REFUSED"),
        (CRM, AGENT, ADMIN, "DELEGATION_REFUSED"),
        (CRM, "", ADMIN, "PRINCIPAL_UNKNOWN"),
        (CRM, "", "13800131234", "PRINCIPAL_UNKNOWN"),
        (CRM, "", "", "PRINCIPAL_UNKNOWN"),
        (CRM + "/x", "", AGENT, "DELEGATION_REFUSED"),
    ],
)
def test_nobody_asks_for_somebody_unless_told_to(
    caller: str, who: str, whom: str, reason: str, mutual: Mutual
) -> None:
    detail = refused(mutual.workload(caller, mutual.token(who) if who else ""), whom)
    assert (detail.code, detail.reason) == (grpc.StatusCode.PERMISSION_DENIED, reason)
    entry = mutual.entries()[-1]
    assert (entry.principal, entry.on_behalf_of, entry.effect) == (
        who or caller,
        "?" if whom else "",
        "DENY",
    )
    assert "13800131234" not in str(entry)


def test_a_trusted_workload_makes_nobody_an_administrator(mutual: Mutual) -> None:
    mutual.hire("friend", directory_v1.PRINCIPAL_KIND_EMPLOYEE, "a-role")
    request = directory_v1.OffboardPrincipalRequest(id="friend")
    request.context.on_behalf_of = AGENT
    with (stubs := mutual.workload(CRM)).channel, pytest.raises(grpc.RpcError) as caught:
        stubs.directory.OffboardPrincipal(request, timeout=30)
    assert read_refusal(caught.value).reason == "DELEGATION_REFUSED"


@pytest.mark.parametrize(
    "names",
    [(), ((DNS, CRM.encode()),), ((URI, CRM.encode()), (URI, JOB.encode())), ((URI, b"spiffe://example.org/x"),),
     ((URI, CRM.encode() + b"\0x"),)],
    ids=["none", "a DNS name", "two", "another domain", "NUL"],
)  # fmt: skip
def test_a_certificate_that_proves_nobody_is_an_incident_and_no_entry(
    names: Sequence[tuple[int, bytes]], mutual: Mutual
) -> None:
    count, incidents = len(mutual.entries()), len(mutual.server.events("call_failed"))
    detail = refused(mutual.connect(leaf(mutual.root, *names), mutual.token(AGENT)))
    assert (detail.code, detail.reason) == (grpc.StatusCode.UNAUTHENTICATED, "WORKLOAD_INVALID")
    incident = mutual.server.wait_for("call_failed", incidents + 1)
    assert (incident["code"], incident["incident_id"]) == ("WORKLOAD_INVALID", detail.incident_id)
    assert len(mutual.entries()) == count
    assert "spiffe" not in mutual.server.output.read_text("utf-8")


def test_without_a_certificate_nobody_speaks(mutual: Mutual) -> None:
    token = mutual.token(AGENT)
    strangers = mutual.files(workload(authority(), CRM), "stranger")
    for stubs in (
        connect(mutual.address, token, mutual.ca),
        connect(mutual.address, token, mutual.ca, strangers),
    ):
        assert refused(stubs).code is grpc.StatusCode.UNAVAILABLE


def test_the_command_line_presents_a_certificate(mutual: Mutual) -> None:
    own = mutual.files(workload(mutual.root, JOB), "job")
    call = (
        "lookup", "C00001", "--store", "crm", "--fields", "phone", "--purpose", "after_sales", "--basis", "contract",
        "--basis-evidence", "order-1", "--address", mutual.address, "--tls-root", str(mutual.ca), "--output", "json",
    )  # fmt: skip
    site = mutual.server.site
    done = site.command(*call, "--tls-cert", str(own.chain), "--tls-key", str(own.key))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["customer"]["phone"].startswith(PHONE)
    for options, code in (
        (("--tls-cert", str(own.chain)), "CERTIFICATE_INCOMPLETE"),
        (("--tls-key", str(own.key)), "CERTIFICATE_INCOMPLETE"),
        ((), "TOKEN_MISSING"),
    ):
        done = site.command(*call, *options)
        assert done.returncode == 2
        assert code in done.stderr + done.stdout


@contextmanager
def publishing(jwks: Any) -> Iterator[str]:
    """Serve a key set on loopback; yield its address."""

    class Keys(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(jwks).encode())

        def log_message(self, *_args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Keys) as endpoint:
        thread = threading.Thread(target=endpoint.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{endpoint.server_port}/jwks"
        finally:
            endpoint.shutdown()
            thread.join()


def test_keys_come_from_an_address_and_stay_when_it_is_gone(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site")
    jwks = json.loads((site.root / "jwks.json").read_text())
    with publishing(jwks) as address:
        site.values["identity"]["issuers"][0]["jwks"] = address
        site.write()
        with site.running() as running:
            running.add_principal(AGENT, "support")
            assert shown(running.connect(AGENT)).startswith(PHONE)
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        site.values["identity"]["issuers"][0]["jwks"] = f"http://127.0.0.1:{taken.getsockname()[1]}/"
    site.write()
    assert {problem["code"] for problem in site.refusal()} == {"JWKS_UNREADABLE"}


def test_a_key_file_that_changes_is_followed_without_a_restart(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site")
    path = site.root / "jwks.json"
    pem, fresh = new_signing_key()
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": AGENT}
    token = mint(pem, claims, fresh["keys"][0]["kid"], 600, datetime.now(UTC))
    with site.running() as running:
        running.add_principal(AGENT, "support")
        assert refused(connect(running.grpc, token)).reason == "TOKEN_INVALID"
        path.write_text("half a fi")
        running_until(running, "jwks_stale")
        assert running.metric("fujie_jwks_stale", issuer="0") == 1
        assert shown(running.connect(AGENT)).startswith(PHONE)
        path.write_text(json.dumps(fresh))
        running_until(running, "jwks_followed")
        assert running.metric("fujie_jwks_stale", issuer="0") == 0
        assert shown(connect(running.grpc, token)).startswith(PHONE)
        assert refused(running.connect(AGENT)).reason == "TOKEN_INVALID"


def test_of_two_issuers_each_names_only_whom_it_may(tmp_path: Path) -> None:
    site = Site.create(tmp_path / "site")
    builds = "https://ci.example.com"
    pem, jwks = new_signing_key()
    (site.root / "ci.json").write_text(json.dumps(jwks))
    second = {
        "iss": builds,
        "aud": "fujie-ci",
        "algs": ["ES256"],
        "jwks": str(site.root / "ci.json"),
        "prefix": "ci:",
    }
    site.values["identity"]["issuers"].append(second)
    site.write()

    def token(sub: str, iss: str = builds, aud: str = "fujie-ci", key: str = pem) -> str:
        return mint(
            key, {"iss": iss, "aud": aud, "sub": sub}, jwks["keys"][0]["kid"], 600, datetime.now(UTC)
        )

    with site.running() as running:
        for principal in (AGENT, "ci:build-7"):
            running.add_principal(principal, "support")
        for good in (site.token(AGENT), token("build-7"), site.token(AGENT)):
            assert shown(connect(running.grpc, good)).startswith(PHONE)
        for stranger in (AGENT, "ci:build-7", ADMIN):  # `ci:` stands before whatever it says
            assert refused(connect(running.grpc, token(stranger))).reason == "PRINCIPAL_UNKNOWN"
        of_the_other = (
            token("build-7", iss=ISSUER, aud=AUDIENCE),
            token("build-7", aud=AUDIENCE),
            token("build-7", key=site.signing_key),
            site.token(AGENT, aud="fujie-ci"),
            site.token(AGENT, iss=builds, aud="fujie-ci"),
        )
        for mixed in of_the_other:
            assert refused(connect(running.grpc, mixed)).reason == "TOKEN_INVALID"
        assert [running.metric("fujie_jwks_stale", issuer=number) for number in "01"] == [0, 0]


def running_until(running: Server, event: str) -> None:
    """Call, since calls drive the keys, until the server says so."""
    until = time.monotonic() + START_S
    while not running.events(event):
        assert time.monotonic() < until
        with (stubs := running.connect(AGENT)).channel, pytest.raises(grpc.RpcError):
            stubs.policy.GetBundle(policy_v1.GetBundleRequest(), timeout=30)
        time.sleep(0.1)
