"""Who calls: the certificate of the connection and the bearer token of the call, and nothing else.

Headers such as `x-user`, `x-role` or `x-forwarded-client-cert` are never believed: whoever reaches the
port can write them. Of a certificate only its one URI SAN counts (X.509-SVID, section 2): names of hosts,
subjects and further SANs are whatever a CA was asked to write.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography import x509

from fujie.model.errors import CredentialError
from fujie.model.principal import Credential
from fujie.model.workload import trust_domain_of
from fujie.ports import Authenticator
from fujie.transport.grpc.edge import Context

SECURITY_HEADERS: Final = frozenset(
    {
        "authorization",
        "proxy-authorization",
        "forwarded",
        "x-forwarded-client-cert",
        "x-forwarded-user",
        "x-user",
        "x-role",
    }
)
"""Headers that speak of identity. Sent twice, somebody may read the one and somebody else the other
(a dict of the metadata keeps the last), so that the call is refused; sent once, only
`authorization` is read."""


_UNREADABLE: Final = (
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    x509.InvalidVersion,
)
"""What the library raises for certificates that TLS lets pass, beside ValueError and TypeError."""


async def authenticate(
    context: Context, authenticator: Authenticator, trust_domain: str, now: datetime
) -> Credential:
    """Return who calls.

    1. With a `trust_domain`, the certificate must prove one workload of it, token or not.
    2. A token, where there is one, says who asks: it must be good, the workload does not stand in for it.
    3. Without a token the workload itself asks.

    Raises:
        CredentialError: WORKLOAD_INVALID, METADATA_REPEATED, TOKEN_INVALID, TOKEN_EXPIRED, or
            UNAUTHENTICATED when nothing proves anybody.

    """
    workload = workload_of(context.auth_context(), trust_domain, now) if trust_domain else ""  # 1
    token = bearer(context.invocation_metadata() or ())
    if token is not None:  # 2
        credential = await authenticator.verify(token, now)
        return Credential(credential.subject, credential.issuer, workload) if workload else credential
    if not workload:
        raise CredentialError("neither token nor workload", code="UNAUTHENTICATED")
    return Credential(workload, "", workload)  # 3


def bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str | None:
    """Return the token of `authorization: Bearer <token>` (RFC 6750); None when there is no `authorization`.

    Raises:
        CredentialError: METADATA_REPEATED for a security header sent twice; UNAUTHENTICATED when
            `authorization` has another scheme, or does not hold exactly one token.

    """
    seen: dict[str, str | bytes] = {}
    for key, value in metadata:
        if key in SECURITY_HEADERS:
            if key in seen:
                raise CredentialError("a security header came twice", code="METADATA_REPEATED")
            seen[key] = value
    if "authorization" not in seen:
        return None
    given = seen["authorization"]
    if not isinstance(given, str):
        raise CredentialError("authorization is not text", code="UNAUTHENTICATED")
    scheme, _, token = given.partition(" ")
    # A space or comma within means several credentials that a proxy joined into one header.
    if scheme.lower() != "bearer" or not token or " " in token or "," in token:
        raise CredentialError("no bearer token", code="UNAUTHENTICATED")
    return token


def workload_of(peer: Mapping[str, Iterable[bytes]], trust_domain: str, now: datetime) -> str:
    """Return the SPIFFE id that the certificate of a connection proves, by gRPC's `auth_context()`.

    gRPC's own reading (`peer_spiffe_id`) must agree with ours: it takes ports, queries and `..` for
    part of an id, and ends one at a NUL byte that the certificate goes on after (grpcio 1.85). It looks at
    the time only when a connection begins, which may be a day ago.

    Raises:
        CredentialError: WORKLOAD_INVALID.

    """
    try:
        [spiffe_id], [pem] = peer.get("peer_spiffe_id", ()), peer.get("x509_pem_cert", ())
        named, domain, expires = _named_by(pem)
        if spiffe_id.decode("ascii") == named and domain == trust_domain and now < expires:
            return named
    # Whatever a parser of hostile bytes raises means: this proves no workload.
    except (ValueError, TypeError, *_UNREADABLE):
        pass
    raise CredentialError("the certificate names no workload of the trust domain", code="WORKLOAD_INVALID")


@lru_cache(maxsize=4096)
def _named_by(pem: bytes) -> tuple[str, str, datetime]:
    """Return the one URI SAN of a leaf certificate, a SPIFFE id, its trust domain, and when the certificate ends.

    Parsing takes 50 µs, and a connection carries many calls.
    """
    certificate = x509.load_pem_x509_certificate(pem)
    extensions = certificate.extensions
    for each in extensions:
        is_ca = isinstance(each.value, x509.BasicConstraints) and each.value.ca
        signs = isinstance(each.value, x509.KeyUsage) and (each.value.key_cert_sign or each.value.crl_sign)
        if is_ca or signs:  # X.509-SVID, section 5.2
            raise ValueError("the certificate of a CA is no workload's")
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    [uri] = names.get_values_for_type(x509.UniformResourceIdentifier)
    return uri, trust_domain_of(uri), certificate.not_valid_after_utc
