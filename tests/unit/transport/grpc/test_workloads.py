"""Certificates of every evil kind against a real server: what the edge refuses, and what TLS does already."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from fujie.flows.reply import Refusal, Summary
from fujie.model.decision import ReasonHit
from fujie.model.principal import Credential
from fujie.model.vocabulary import Effect
from fujie.transport.grpc.certificates import TLSFiles
from fujie.transport.grpc.edge import Edge, Incident
from fujie.transport.grpc.server import Listen, build_server
from fujie.transport.grpc.services import Front
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import types_pb2 as types_v1
from support.certificates import DNS, EMAIL, URI, X400, Pair, authority, leaf, server, workload

LOOKUP = "/fujie.v1.CustomerDataService/LookupCustomer"
CRM = b"spiffe://example.com/crm"
ROOT, STRANGER = authority(), authority()
SERVER = server(ROOT)
ASK = customer_v1.LookupCustomerRequest(
    customer=types_v1.CustomerRef(store_key=types_v1.StoreKey(store="crm", customer_id="C1"))
)
ASK.read_mask.paths.append("phone")
REFUSED = Refusal(Summary("d-1", Effect.DENY, "sha256:0"), (ReasonHit("NO_GRANT", 20),))


@dataclass
class Gated:
    """A server that asks for certificates, and whom its flows saw."""

    port: int
    incidents: list[Incident]
    calls: list[tuple[str, tuple[Any, ...]]]
    authorized: tuple[tuple[str, str], ...]

    @property
    def callers(self) -> list[Credential]:
        return [args[0] for _, args in self.calls]

    async def failure(
        self, pair: Pair | None, metadata: tuple[tuple[str, str], ...] = ()
    ) -> tuple[grpc.StatusCode, str]:
        """Call with a certificate; return status and the text of the details."""
        own = (pair.key_pem, pair.pem) if pair else (None, None)
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        credentials = grpc.ssl_channel_credentials(ROOT.pem, *own)
        address = f"localhost:{self.port}"
        async with grpc.aio.secure_channel(address, credentials, options=options) as channel:
            method: Any = channel.unary_unary(LOOKUP)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await method(ASK.SerializeToString(), metadata=metadata, timeout=20)
        return caught.value.code(), caught.value.details() or ""


@pytest.fixture
def gated(tmp_path: Path, serve: Any) -> Callable[..., Any]:
    @asynccontextmanager
    async def run(trust_domain: str = "example.com") -> AsyncIterator[Gated]:
        certificate, key = SERVER.files(tmp_path, "server")
        ca, _ = ROOT.files(tmp_path, "ca")
        async with serve({"lookup": REFUSED}) as plain:
            front = Front(
                plain.front.gate,
                plain.front.authenticator,
                5.0,
                plain.front.flows,
                trust_domain=trust_domain,
            )
            incidents: list[Incident] = []
            edge = Edge(plain.edge.ids, incidents.append)
            built = await build_server(front, edge, Listen("localhost:0", TLSFiles(certificate, key, ca)))
            await built.server.start()
            try:
                yield Gated(built.port, incidents, plain.script.calls, plain.authorized)
            finally:
                await built.server.stop(None)

    return run


EVIL: dict[str, Callable[[], Pair]] = {
    "no alternative name": lambda: leaf(ROOT, common_name="spiffe://example.com/crm"),
    "a DNS name alone": lambda: leaf(ROOT, (DNS, b"crm.example.com")),
    "a DNS name that looks like an id": lambda: leaf(ROOT, (DNS, CRM)),
    "an email address that looks like an id": lambda: leaf(ROOT, (EMAIL, CRM)),
    "a DNS name that is a role": lambda: leaf(ROOT, (DNS, b"administrator")),
    "two ids": lambda: leaf(ROOT, (URI, CRM), (URI, b"spiffe://example.com/admin")),
    "the same id twice": lambda: leaf(ROOT, (URI, CRM), (URI, CRM)),
    "an id and a web address": lambda: leaf(ROOT, (URI, CRM), (URI, b"https://example.com/")),
    "a web address and an id": lambda: leaf(ROOT, (URI, b"https://example.com/"), (URI, CRM)),
    "an id and an empty URI": lambda: leaf(ROOT, (URI, CRM), (URI, b"")),
    "an empty URI": lambda: leaf(ROOT, (URI, b"")),
    "another trust domain": lambda: leaf(ROOT, (URI, b"spiffe://example.org/crm")),
    "a trust domain below ours": lambda: leaf(ROOT, (URI, b"spiffe://a.example.com/crm")),
    "a trust domain that ours begins": lambda: leaf(ROOT, (URI, b"spiffe://example.com.evil.org/crm")),
    "a scheme in capitals": lambda: leaf(ROOT, (URI, b"SPIFFE://example.com/crm")),
    "a trust domain in capitals": lambda: leaf(ROOT, (URI, b"spiffe://EXAMPLE.com/crm")),
    "a port": lambda: leaf(ROOT, (URI, b"spiffe://example.com:443/crm")),
    "a user": lambda: leaf(ROOT, (URI, b"spiffe://crm@example.com/crm")),
    "our domain as the user": lambda: leaf(ROOT, (URI, b"spiffe://example.com@example.org/crm")),
    "a query": lambda: leaf(ROOT, (URI, CRM + b"?x")),
    "a fragment": lambda: leaf(ROOT, (URI, CRM + b"#x")),
    "no path": lambda: leaf(ROOT, (URI, b"spiffe://example.com")),
    "an empty path": lambda: leaf(ROOT, (URI, b"spiffe://example.com/")),
    "a slash at the end": lambda: leaf(ROOT, (URI, CRM + b"/")),
    "a slash too many": lambda: leaf(ROOT, (URI, b"spiffe://example.com//crm")),
    "dots": lambda: leaf(ROOT, (URI, b"spiffe://example.com/x/../crm")),
    "percent encoding": lambda: leaf(ROOT, (URI, b"spiffe://example.com/%63rm")),
    "a NUL after the id": lambda: leaf(ROOT, (URI, CRM + b"\0.evil")),
    "a NUL at the end": lambda: leaf(ROOT, (URI, CRM + b"\0")),
    "a newline": lambda: leaf(ROOT, (URI, CRM + b"\n")),
    "UTF-8": lambda: leaf(ROOT, (URI, CRM + "é".encode())),
    "a blank in front": lambda: leaf(ROOT, (URI, b" " + CRM)),
    "an id without end": lambda: leaf(ROOT, (URI, b"spiffe://example.com/" + b"a" * 2_100)),
    "a name that no library reads": lambda: leaf(ROOT, (X400, b""), (URI, CRM)),
    "the key of a CA": lambda: leaf(ROOT, (URI, CRM), signs=True),
    "the certificate of a CA": lambda: leaf(ROOT, (URI, CRM), is_ca=True),
}
"""All signed by the CA that is believed: a CA that can be talked into a name must not be enough."""


@pytest.mark.parametrize("make", EVIL.values(), ids=EVIL)
async def test_a_certificate_that_proves_no_workload_is_refused_at_the_edge(
    make: Callable[[], Pair], gated: Any
) -> None:
    pair = make()
    async with gated() as served:
        for metadata in ((), served.authorized):  # a good token beside it changes nothing
            code, _ = await served.failure(pair, metadata)
            assert grpc.StatusCode.UNAUTHENTICATED is code
        assert [incident.code for incident in served.incidents] == ["WORKLOAD_INVALID"] * 2
        assert "spiffe" not in repr(served.incidents)
        assert served.calls == []


UNTRUSTED: dict[str, Callable[[], Pair | None]] = {
    "none": lambda: None,
    "of another CA": lambda: workload(STRANGER, CRM.decode()),
    "signed by itself": lambda: workload(None, CRM.decode()),
    "expired": lambda: leaf(ROOT, (URI, CRM), days=-1),
    "signed by a leaf": lambda: leaf(workload(ROOT, CRM.decode()), (URI, CRM)),
}


@pytest.mark.parametrize("make", UNTRUSTED.values(), ids=UNTRUSTED)
async def test_a_certificate_that_tls_refuses_never_reaches_the_edge(
    make: Callable[[], Pair | None], gated: Any
) -> None:
    async with gated() as served:
        code, _ = await served.failure(make(), served.authorized)
        assert grpc.StatusCode.UNAVAILABLE is code
        assert served.incidents == []
        assert served.calls == []


async def test_a_workload_without_a_token_is_the_principal_itself(gated: Any) -> None:
    async with gated() as served:
        code, _ = await served.failure(workload(ROOT, CRM.decode()))
        assert grpc.StatusCode.PERMISSION_DENIED is code
        [caller] = served.callers
        assert Credential(CRM.decode(), "", CRM.decode()) == caller
        assert caller.is_workload


async def test_further_names_that_are_no_uris_do_not_matter(gated: Any) -> None:
    async with gated() as served:
        await served.failure(leaf(ROOT, (DNS, b"crm.example.com"), (URI, CRM), (EMAIL, b"a@example.com")))
        assert [caller.subject for caller in served.callers] == [CRM.decode()]


async def test_with_a_token_its_subject_asks_and_the_workload_is_remembered(gated: Any) -> None:
    async with gated() as served:
        await served.failure(workload(ROOT, CRM.decode()), served.authorized)
        [caller] = served.callers
        assert Credential("anna", "unsafe_static_tokens", CRM.decode()) == caller
        assert not caller.is_workload


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        ((("authorization", "Bearer wrong"),), "TOKEN_INVALID"),
        ((("authorization", "Basic YTpi"),), "UNAUTHENTICATED"),
        ((("authorization", ""),), "UNAUTHENTICATED"),
        ((("authorization", "Bearer"),), "UNAUTHENTICATED"),
        ((("x-user", "a"), ("x-user", "a")), "METADATA_REPEATED"),
    ],
)
async def test_a_workload_does_not_stand_in_for_a_bad_token(
    metadata: tuple[tuple[str, str], ...], code: str, gated: Any
) -> None:
    async with gated() as served:
        status, _ = await served.failure(workload(ROOT, CRM.decode()), metadata)
        assert grpc.StatusCode.UNAUTHENTICATED is status
        assert [incident.code for incident in served.incidents] == [code]
        assert served.calls == []


async def test_without_a_trust_domain_no_certificate_is_believed(gated: Any) -> None:
    async with gated(trust_domain="") as served:
        status, _ = await served.failure(workload(ROOT, CRM.decode()))
        assert grpc.StatusCode.UNAUTHENTICATED is status
        await served.failure(workload(ROOT, CRM.decode()), served.authorized)
        assert [caller.workload for caller in served.callers] == [""]
