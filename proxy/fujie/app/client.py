"""The gRPC client of the command line, and how any Python client reads a refusal.

The stubs are the generated ones: a Python user needs nothing else. Tokens are neither printed nor part
of any repr.
"""

import ipaddress
import json
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from fujie.transport.grpc.trailers import DETAILS_KEY, DOMAIN
from fujie.v1 import policy_service_pb2 as policy_v1
from fujie.v1 import types_pb2 as types_v1
from fujie.v1.approval_service_pb2_grpc import ApprovalServiceStub
from fujie.v1.consent_service_pb2_grpc import ConsentServiceStub
from fujie.v1.customer_data_service_pb2_grpc import CustomerDataServiceStub
from fujie.v1.directory_service_pb2_grpc import DirectoryServiceStub
from fujie.v1.export_service_pb2_grpc import ExportServiceStub
from fujie.v1.messaging_service_pb2_grpc import MessagingServiceStub
from fujie.v1.policy_service_pb2_grpc import PolicyServiceStub
from fujie.v1.processor_service_pb2_grpc import ProcessorServiceStub
from fujie.v1.subject_request_service_pb2_grpc import SubjectRequestServiceStub

READS: Final = {
    "fujie.v1.CustomerDataService": ("LookupCustomer", "BatchLookupCustomers"),
    "fujie.v1.ConsentService": ("GetConsent", "ListConsentEvents", "ListSuppressions"),
    "fujie.v1.DirectoryService": ("GetPrincipal", "ListPrincipals"),
    "fujie.v1.ApprovalService": ("GetApproval", "ListApprovals"),
    "fujie.v1.PolicyService": ("Explain", "GetBundle"),
}
"""Methods that change nothing but counts and the log, so that a call whose answer was lost may be made again. A look-up that rests on
an approval uses it up, answered or not: the second one asks for another, as a person would who tries again."""

SERVICE_CONFIG: Final = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{"service": s, "method": m} for s, methods in READS.items() for m in methods],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 3,
                    # CANCELLED: a stopping server's gRPC cancels calls that cross its GOAWAY.
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                },
            }
        ]
    }
)
"""What a client of fujie repeats by itself: reads whose connection was lost. What the gate itself answers is never repeated (it
says so in `grpc-retry-pushback-ms`), and calls that were not sent at all gRPC repeats without any policy."""

_OPTIONS: Final = (("grpc.service_config", SERVICE_CONFIG),)


class PlaintextRefused(ValueError):
    """A token would cross the network in plain text."""


class CertificateInvalid(ValueError):
    """A file that should hold certificates holds none."""


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """PEM files by which a workload proves itself: its certificate with the chain, and the private key."""

    chain: Path
    key: Path


@dataclass(frozen=True, slots=True, repr=False)
class Stubs:
    """One connection, with the stubs of every service. Close `channel` when done."""

    channel: grpc.Channel
    customers: CustomerDataServiceStub
    consent: ConsentServiceStub
    directory: DirectoryServiceStub
    policy: PolicyServiceStub
    approvals: ApprovalServiceStub
    messages: MessagingServiceStub
    processors: ProcessorServiceStub
    requests: SubjectRequestServiceStub
    exports: ExportServiceStub


@dataclass(frozen=True, slots=True)
class RefusalDetail:
    """What a failed call says. Empty texts where the server gave none (it may not be fujie at all).

    `decision_id` finds the entry in the log, `incident_id` the line in the server's own log;
    `fields` are the paths in the request that are at fault; `detail` holds all reasons, `explanation` what would open it where that was asked for.
    """

    code: grpc.StatusCode
    message: str
    reason: str = ""
    message_zh: str = ""
    decision_id: str = ""
    bundle: str = ""
    incident_id: str = ""
    fields: tuple[str, ...] = ()
    detail: types_v1.DecisionDetail | None = None
    explanation: policy_v1.ExplainResponse | None = None


def connect(
    address: str, token: str, tls_root: Path | None = None, certificate: ClientCertificate | None = None
) -> Stubs:
    """Return stubs for the server at `address` (`host:port`) that send `token` with every call.

    Without a token (an empty one) the workload of `certificate` asks for itself. Connects on the first
    call. Plain text is for the own machine only, and there is no certificate in it.

    Raises:
        PlaintextRefused: there is no `tls_root` and the address is not a loopback one, or there is a
            `certificate`.
        CertificateInvalid: `tls_root` is no PEM file with certificates.
        OSError: a file is not readable.

    """
    if tls_root is not None:
        roots = _certificates(tls_root)
        own = (
            (certificate.key.read_bytes(), certificate.chain.read_bytes()) if certificate else (None, None)
        )
        credentials = grpc.ssl_channel_credentials(roots, *own)
        channel = grpc.secure_channel(address, credentials, options=_OPTIONS)
    elif certificate is not None:
        raise PlaintextRefused("a client certificate needs TLS: give the TLS root certificate")
    elif _is_loopback(address):
        # A proxy of the environment would receive the token.
        channel = grpc.insecure_channel(address, options=[*_OPTIONS, ("grpc.enable_http_proxy", 0)])
    else:
        raise PlaintextRefused(f"{address} is not this machine: give the TLS root certificate")
    with_token = grpc.intercept_channel(channel, _Bearer(token)) if token else channel
    return Stubs(
        channel,
        CustomerDataServiceStub(with_token),  # type: ignore[no-untyped-call]  # generated without types
        ConsentServiceStub(with_token),  # type: ignore[no-untyped-call]  # generated without types
        DirectoryServiceStub(with_token),  # type: ignore[no-untyped-call]  # generated without types
        PolicyServiceStub(with_token),  # type: ignore[no-untyped-call]  # generated without types
        ApprovalServiceStub(with_token),  # type: ignore[no-untyped-call]  # generated without types
        MessagingServiceStub(with_token),  # type: ignore[no-untyped-call]  # generated without types
        ProcessorServiceStub(with_token),  # type: ignore[no-untyped-call]  # generated without types
        SubjectRequestServiceStub(with_token),  # type: ignore[no-untyped-call]  # generated without types
        ExportServiceStub(with_token),  # type: ignore[no-untyped-call]  # generated without types
    )


def _certificates(file: Path) -> bytes:
    content = file.read_bytes()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise CertificateInvalid(f"{file}: no certificates in PEM form") from None
    return content


def read_refusal(error: grpc.RpcError) -> RefusalDetail:
    """Return what a failed call says; works for the errors of grpc and of grpc.aio. Never raises for bad details."""
    call: Any = error  # grpc.RpcError is a bare marker; both concrete errors have the methods of a call
    found: dict[str, Any] = {}
    for key, value in call.trailing_metadata() or ():
        if key == DETAILS_KEY:
            with suppress(DecodeError):
                found = _details(status_pb2.Status.FromString(value))
    return RefusalDetail(code=call.code(), message=call.details() or "", **found)


def _details(status: status_pb2.Status) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for packed in status.details:
        if packed.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            info = error_details_pb2.ErrorInfo.FromString(packed.value)
            if info.domain == DOMAIN:
                ids = {"decision_id", "bundle", "incident_id"}
                found |= {"reason": info.reason, **{k: v for k, v in info.metadata.items() if k in ids}}
        elif packed.Is(error_details_pb2.LocalizedMessage.DESCRIPTOR):
            words = error_details_pb2.LocalizedMessage.FromString(packed.value)
            if words.locale == "zh-CN":
                found["message_zh"] = words.message
        elif packed.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            bad = error_details_pb2.BadRequest.FromString(packed.value)
            found["fields"] = tuple(violation.field for violation in bad.field_violations)
        elif packed.Is(types_v1.DecisionDetail.DESCRIPTOR):
            found["detail"] = types_v1.DecisionDetail.FromString(packed.value)
        elif packed.Is(policy_v1.ExplainResponse.DESCRIPTOR):
            found["explanation"] = policy_v1.ExplainResponse.FromString(packed.value)
    return found


def _is_loopback(address: str) -> bool:
    host = address.rsplit(":", 1)[0].strip("[]")
    if host == "localhost":
        return True
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


class _Bearer(
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    """Adds the token to every call: call credentials would need TLS, which loopback does without."""

    def __init__(self, token: str) -> None:
        self._header = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request: Any
    ) -> Any:
        """Send the call on, with the token."""
        sent = tuple(client_call_details.metadata or ())
        return continuation(client_call_details._replace(metadata=(*sent, self._header)), request)

    def intercept_stream_unary(
        self, continuation: Callable[[Any, Any], Any], client_call_details: Any, request_iterator: Any
    ) -> Any:
        """Likewise."""
        return self.intercept_unary_unary(continuation, client_call_details, request_iterator)

    intercept_unary_stream = intercept_unary_unary
    intercept_stream_stream = intercept_stream_unary
