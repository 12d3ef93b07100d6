"""Who calls: the bearer token of a call, and nothing else of its metadata.

Headers such as `x-user`, `x-role` or `x-forwarded-client-cert` are never believed: whoever reaches the
port can write them.
"""

from collections.abc import Iterable
from typing import Final

from fujie.model.errors import CredentialError

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


def bearer(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """Return the token of `authorization: Bearer <token>` (RFC 6750).

    Raises:
        CredentialError: METADATA_REPEATED for a security header sent twice; UNAUTHENTICATED when there
            is no `authorization`, it has another scheme, or it does not hold exactly one token.

    """
    seen: dict[str, str | bytes] = {}
    for key, value in metadata:
        if key in SECURITY_HEADERS:
            if key in seen:
                raise CredentialError("a security header came twice", code="METADATA_REPEATED")
            seen[key] = value
    given = seen.get("authorization", "")
    if not isinstance(given, str):
        raise CredentialError("authorization is not text", code="UNAUTHENTICATED")
    scheme, _, token = given.partition(" ")
    # A space or comma within means several credentials that a proxy joined into one header.
    if scheme.lower() != "bearer" or not token or " " in token or "," in token:
        raise CredentialError("no bearer token", code="UNAUTHENTICATED")
    return token
