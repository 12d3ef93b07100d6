import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from fujie.model.errors import StartError
from fujie.transport.grpc import trailers
from fujie.transport.grpc.certificates import TLSFiles
from fujie.transport.grpc.server import Listen, build_server

LOOKUP = "/fujie.v1.CustomerDataService/LookupCustomer"
CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
REFLECT = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def reason_of(error: grpc.aio.AioRpcError) -> str:
    [raw] = [value for key, value in error.trailing_metadata() if key == trailers.DETAILS_KEY]
    info = error_details_pb2.ErrorInfo()
    status_pb2.Status.FromString(raw).details[0].Unpack(info)
    return str(info.reason)


@pytest.mark.parametrize(
    "path",
    [
        "/fujie.v1.CustomerDataService/ExportCustomer",
        "/fujie.v1.CustomerDataService/lookupcustomer",
        "/fujie.v1.NoService/Get",
        "/grpc.health.v1.Health/List",
        "/x/" + "y" * 2_000,
        "/",
        REFLECT,
    ],
)
async def test_an_unknown_method_is_refused(path: str, serve: Any) -> None:
    async with serve() as served:
        error = await served.failure(path, b"\xff")
        assert grpc.StatusCode.UNIMPLEMENTED is error.code()
        assert reason_of(error) == "NOT_IMPLEMENTED"
        assert {"unknown"} == {incident.method for incident in served.incidents}


async def test_an_unknown_streaming_method_is_refused_before_anything_is_sent(serve: Any) -> None:
    async with serve() as served:
        call = served.channel.stream_stream("/fujie.v1.CustomerDataService/WatchCustomers")(timeout=20)
        assert grpc.StatusCode.UNIMPLEMENTED is await call.code()


async def test_a_message_beyond_an_entry_is_not_read(serve: Any) -> None:
    async with serve() as served:
        error = await served.failure(LOOKUP, b"\x12\x04" * 40_000)
        assert grpc.StatusCode.RESOURCE_EXHAUSTED is error.code()
        assert served.script.calls == []


async def test_a_compressed_bomb_ends_at_the_same_bound(serve: Any) -> None:
    async with serve() as served:
        call = served.channel.unary_unary(LOOKUP)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(
                bytes(16 << 20), metadata=served.authorized, compression=grpc.Compression.Gzip, timeout=20
            )
        assert grpc.StatusCode.RESOURCE_EXHAUSTED is caught.value.code()
        assert served.script.calls == []


async def test_metadata_beyond_the_bound_reaches_nothing(serve: Any) -> None:
    async with serve() as served:
        error = await served.failure(LOOKUP, b"", (*served.authorized, ("x-big", "a" * 20_000)))
        assert grpc.StatusCode.RESOURCE_EXHAUSTED is error.code()
        assert served.script.calls == []


async def test_the_longest_token_fits_the_metadata_bound(serve: Any) -> None:
    async with serve() as served:
        error = await served.failure(LOOKUP, b"", (("authorization", f"Bearer {'a' * 8_192}"),))
        assert grpc.StatusCode.UNAUTHENTICATED is error.code()


async def test_one_connection_carries_a_busy_client(serve: Any) -> None:
    waiting, release = 0, asyncio.Event()

    async def hold(*_args: Any) -> None:
        nonlocal waiting
        waiting += 1
        if waiting == 200:
            release.set()
        await release.wait()
        raise ValueError

    async with serve({"get_bundle": hold}, timeout_s=30) as served:
        path = "/fujie.v1.PolicyService/GetBundle"
        errors = await asyncio.gather(*(served.failure(path) for _ in range(200)))
        assert {grpc.StatusCode.INTERNAL} == {error.code() for error in errors}


async def health_of(served: Any, name: str = "") -> int:
    raw = await served.call(CHECK, health_pb2.HealthCheckRequest(service=name).SerializeToString(), ())
    return int(health_pb2.HealthCheckResponse.FromString(raw).status)


async def test_a_server_starts_as_not_serving_and_says_what_it_is_told(serve: Any) -> None:
    states = health_pb2.HealthCheckResponse
    async with serve() as served:
        assert await health_of(served) == states.NOT_SERVING
        await served.built.report_health(is_serving=True)
        for name in ("", "fujie.v1.CustomerDataService", "fujie.v1.PolicyService"):
            assert await health_of(served, name) == states.SERVING
        await served.built.report_health(is_serving=False)
        assert await health_of(served) == states.NOT_SERVING
        await served.built.health.enter_graceful_shutdown()
        await served.built.report_health(is_serving=True)
        assert await health_of(served) == states.NOT_SERVING


async def test_health_of_an_unknown_service_is_not_found_and_no_incident(serve: Any) -> None:
    async with serve() as served:
        raw = health_pb2.HealthCheckRequest(service="nobody").SerializeToString()
        assert grpc.StatusCode.NOT_FOUND is (await served.failure(CHECK, raw, ())).code()
        assert served.incidents == []


async def test_health_can_be_watched(serve: Any) -> None:
    async with serve() as served:
        call = served.channel.unary_stream(WATCH)(b"", timeout=20)
        states = health_pb2.HealthCheckResponse
        assert states.FromString(await call.read()).status == states.NOT_SERVING
        await served.built.report_health(is_serving=True)
        assert states.FromString(await call.read()).status == states.SERVING
        call.cancel()


async def test_undecodable_health_requests_end_at_the_edge(serve: Any) -> None:
    async with serve() as served:
        error = await served.failure(CHECK, b"\xff", ())
        assert (error.code(), reason_of(error)) == (grpc.StatusCode.INVALID_ARGUMENT, "ARGUMENT_INVALID")
        call = served.channel.unary_stream(WATCH)(b"\xff", timeout=20)
        assert grpc.StatusCode.INVALID_ARGUMENT is await call.code()


async def test_reflection_answers_only_where_it_was_asked_for(serve: Any) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async with serve(with_reflection=True) as served:
        call = served.channel.stream_stream(REFLECT)(timeout=20)
        await call.write(request.SerializeToString())
        response = reflection_pb2.ServerReflectionResponse.FromString(await call.read())
        names = {service.name for service in response.list_services_response.service}
        assert {"fujie.v1.CustomerDataService", "fujie.v1.PolicyService"} < names
        call.cancel()
        broken = served.channel.stream_stream(REFLECT)(timeout=20)
        await broken.write(b"\xff")
        await broken.done_writing()
        code, words = await broken.code(), await broken.details()
        assert grpc.StatusCode.INTERNAL is code
        assert words == "An internal error; refused."


async def test_an_address_of_another_machine_stops_the_start(serve: Any) -> None:
    async with serve() as served:
        with pytest.raises(StartError) as caught:
            await build_server(served.front, served.edge, Listen("192.0.2.1:0"))
        assert caught.value.code == "LISTEN_FAILED"


async def test_tls_files_that_are_missing_or_no_pem_stop_the_start(tmp_path: Path, serve: Any) -> None:
    async with serve() as served:
        files = TLSFiles(tmp_path / "a.crt", tmp_path / "a.key")
        for code in ("TLS_UNREADABLE", "TLS_INVALID"):
            with pytest.raises(StartError) as caught:
                await build_server(served.front, served.edge, Listen("127.0.0.1:0", files))
            assert code == caught.value.code
            files.certificate.write_text("no pem")
            files.key.write_text("no pem")


@dataclass(frozen=True)
class Pair:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> tuple[bytes, bytes]:
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return key, self.certificate.public_bytes(Encoding.PEM)


def certificate(name: str, issuer: Pair | None = None) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    )
    return Pair(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))


async def test_tls_serves_and_with_a_client_ca_only_its_clients(tmp_path: Path, serve: Any) -> None:
    root, other = certificate("root"), certificate("other")
    leaf, client, stranger = certificate("localhost", root), certificate("c", root), certificate("s", other)
    files = TLSFiles(tmp_path / "a.crt", tmp_path / "a.key", tmp_path / "ca.crt")
    files.key.write_bytes(leaf.pem[0])
    files.certificate.write_bytes(leaf.pem[1])
    assert files.client_ca is not None
    files.client_ca.write_bytes(root.pem[1])

    async def code(listen: Listen, pair: Pair | None) -> grpc.StatusCode:
        built = await build_server(served.front, served.edge, listen)
        await built.server.start()
        own = pair.pem if pair else (None, None)
        credentials = grpc.ssl_channel_credentials(root.pem[1], *own)
        try:
            async with grpc.aio.secure_channel(f"localhost:{built.port}", credentials) as channel:
                check: Any = channel.unary_unary(CHECK)
                return cast("grpc.StatusCode", await check(b"", timeout=20).code())
        finally:
            await built.server.stop(None)

    async with serve() as served:
        one_way = Listen("localhost:0", TLSFiles(files.certificate, files.key))
        assert grpc.StatusCode.OK is await code(one_way, None)
        mutual = Listen("localhost:0", files)
        assert grpc.StatusCode.OK is await code(mutual, client)
        assert grpc.StatusCode.UNAVAILABLE is await code(mutual, None)
        assert grpc.StatusCode.UNAVAILABLE is await code(mutual, stranger)
