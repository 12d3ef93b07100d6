"""One gRPC server of one worker: its methods, its limits, its health."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio
from grpc_reflection.v1alpha import reflection, reflection_pb2

from fujie.model.errors import FujieError, RequestError, StartError
from fujie.transport.grpc import services, status, streams
from fujie.transport.grpc.certificates import Certificates, TLSFiles
from fujie.transport.grpc.edge import Context, Edge
from fujie.transport.grpc.methods import METHODS, STREAMS

HEALTH: Final = "grpc.health.v1.Health"

LIMITS: Final = (
    # Workers share the port; the server's own process keeps strangers from it (`app/address.py`).
    ("grpc.so_reuseport", 1),
    # gRPC core sets no bound, and 20,000 rapid resets then cost 1 s of CPU (0.1 s with 100). One
    # connection must still carry a busy client: 1,600 look-ups a second, the most of one core, at
    # 100 ms each (a slow store) are 160 in flight.
    ("grpc.max_concurrent_streams", 256),
    # What does not fit an entry (65,535 bytes) cannot be evidenced, so it need not be read. The
    # bound also holds for the decompressed size, so that a gzip bomb ends here.
    ("grpc.max_receive_message_length", 65_536),
    ("grpc.max_send_message_length", 4_194_304),  # what clients accept by default
    # What a flow has not asked for waits at the sender. Where gRPC core may measure the line, it lets every
    # stream send ahead by 4 to 16 MiB (seen: 4 to 19 MB held here, by nothing but chance); without, by 64 KiB.
    ("grpc.http2.bdp_probe", 0),
    # A token has at most 8 KiB; gRPC core refuses at random between the soft and the hard bound.
    ("grpc.max_metadata_size", 12_288),
    ("grpc.absolute_max_metadata_size", 16_384),
    # Descriptors are shared with ledger and log (1,024 is a common limit), and a log that cannot
    # open its file stops the worker: connections must not eat them, finished handshake or not.
    ("grpc.max_allowed_incoming_connections", 512),
    ("grpc.server_handshake_timeout_ms", 5_000),
    # Clients may ping every 10 s (mobile and mesh defaults are 10 to 30 s); faster is a flood.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Idle connections are dropped; old ones are replaced after `Listen.connection_age_s`.
    ("grpc.max_connection_idle_ms", 900_000),
    ("grpc.max_connection_age_grace_ms", 60_000),
)
"""Channel arguments, each with its reason."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Where to listen: `host:port`, port 0 for any; in plain text when there is no `tls`.

    A connection lives for `connection_age_s`, which gRPC core varies by a tenth, so that those of one moment do
    not all come back in one moment; its calls then get a minute to end.
    """

    address: str
    tls: TLSFiles | None = None
    with_reflection: bool = False
    connection_age_s: int = 300


@dataclass(frozen=True, slots=True)
class GrpcServer:
    """A server that is bound but not started; `port` is the one it got. It starts as NOT_SERVING.

    `certificates` are what it follows when it speaks TLS.
    """

    server: grpc.aio.Server
    health: health_aio.HealthServicer
    port: int
    certificates: Certificates | None

    async def report_health(self, *, is_serving: bool) -> None:
        """Tell probes and balancers; the empty name stands for the whole server."""
        state = health_pb2.HealthCheckResponse
        for name in ("", *_services()):
            await self.health.set(name, state.SERVING if is_serving else state.NOT_SERVING)


async def build_server(front: services.Front, edge: Edge, listen: Listen) -> GrpcServer:
    """Return a bound server with every method, health and, where asked for, reflection.

    Must run in the event loop that will serve.

    Raises:
        StartError: LISTEN_FAILED, TLS_UNREADABLE or TLS_INVALID.

    """
    certificates = Certificates(listen.tls) if listen.tls else None
    age = ("grpc.max_connection_age_ms", listen.connection_age_s * 1000)
    server = grpc.aio.server(options=(*LIMITS, age))
    health = health_aio.HealthServicer()
    server.add_generic_rpc_handlers(
        (
            *_own(front, edge),
            _health(health, edge),
            *([_reflection(edge)] if listen.with_reflection else []),
            _Unknown(edge),  # last: it takes whatever none before it knows
        )
    )
    built = GrpcServer(server, health, _bind(server, listen.address, certificates), certificates)
    await built.report_health(is_serving=False)
    return built


def _own(front: services.Front, edge: Edge) -> list[grpc.GenericRpcHandler]:
    """Return our services. Bytes reach the edge undecoded, so that a decoding error ends there too."""
    tables: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {name: {} for name in _services()}
    for method in METHODS:
        behaviour = edge.around(method.path, partial(services.answer, method, front))
        tables[method.service][method.name] = grpc.unary_unary_rpc_method_handler(behaviour)
    for stream in STREAMS:
        # Whatever streams, bytes go both ways: who sends or expects one message alone sends the same frames.
        streamed = edge.around(stream.path, partial(streams.answer, stream, front))
        tables[stream.service][stream.name] = grpc.stream_stream_rpc_method_handler(streamed)
    return [grpc.method_handlers_generic_handler(name, table) for name, table in tables.items()]


def _services() -> list[str]:
    names = (*(method.service for method in METHODS), *(stream.service for stream in STREAMS))
    return list(dict.fromkeys(names))


def _health(servicer: health_aio.HealthServicer, edge: Edge) -> grpc.GenericRpcHandler:
    """Return grpc.health.v1, for which probes have no token: it tells nothing but SERVING or not."""
    request = health_pb2.HealthCheckRequest
    encode = health_pb2.HealthCheckResponse.SerializeToString
    check = edge.around(f"/{HEALTH}/Check", _decoded(request, servicer.Check))
    watch = edge.around(f"/{HEALTH}/Watch", _decoded(request, servicer.Watch))
    return grpc.method_handlers_generic_handler(
        HEALTH,
        {
            "Check": grpc.unary_unary_rpc_method_handler(check, response_serializer=encode),
            "Watch": grpc.unary_stream_rpc_method_handler(watch, response_serializer=encode),
        },
    )


def _reflection(edge: Edge) -> grpc.GenericRpcHandler:
    """Return reflection, so that grpcurl and buf curl work without protos; off in production."""
    service = reflection.SERVICE_NAME
    servicer = reflection.aio.ReflectionServicer([*_services(), HEALTH, service])

    async def reflect(requests: Any, context: Context) -> None:
        async for response in servicer.ServerReflectionInfo(requests, context):
            await context.write(response)

    handler = grpc.stream_stream_rpc_method_handler(
        edge.around(f"/{service}/ServerReflectionInfo", reflect),
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": handler})


def _decoded(kind: type[Message], behaviour: Callable[[Any, Context], Awaitable[Any]]) -> Any:
    async def run(raw: bytes, context: Context) -> Any:
        try:
            request = kind.FromString(raw)
        except DecodeError:
            raise RequestError("not a message of this type") from None
        return await behaviour(request, context)

    return run


class _Unknown(grpc.GenericRpcHandler):
    """Answers every method that nobody else does; closed by default (promise 1)."""

    def __init__(self, edge: Edge) -> None:
        async def refuse(_requests: Any, _context: Context) -> status.Failure:
            raise FujieError("no such method", code="NOT_IMPLEMENTED")

        # Streaming both ways fits every kind of call, and reads nothing before it answers.
        self._handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
            edge.around("unknown", refuse)
        )

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any]":
        """Return the refusal, whatever the method."""
        del handler_call_details
        return self._handler


def _bind(server: grpc.aio.Server, address: str, certificates: Certificates | None) -> int:
    try:
        if certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, certificates.credentials())
    except RuntimeError:
        raise StartError(
            "LISTEN_FAILED",
            f"cannot listen on {address}",
            "Check that the address is one of this machine, and that the port is free.",
        ) from None
