"""Fixed tokens for trying out, and the order in which kinds of tokens are tried.

A fixed token has no expiry and no issuer; the settings call it `unsafe_static_tokens` and say so loudly
at start.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Final

from fujie.model.errors import CredentialError, StartError
from fujie.model.principal import Credential
from fujie.ports import Authenticator

ISSUER: Final = "unsafe_static_tokens"
"""What a credential of a fixed token names as its issuer, so that entries tell it apart."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


class UnsafeStaticTokens:
    """A `ports.Authenticator` from the SHA-256 of a token (lower-case hex) to a principal's id."""

    def __init__(self, principals: Mapping[str, str]) -> None:
        for digest, principal in principals.items():
            if not _DIGEST.fullmatch(digest) or not principal:
                raise StartError(
                    "STATIC_TOKEN_INVALID",
                    "a fixed token is not given as SHA-256 in lower-case hex with a principal's id",
                    "Write the digest of the token, never the token itself.",
                )
        self._principals = tuple((digest.encode(), principal) for digest, principal in principals.items())

    async def verify(self, token: str, now: datetime) -> Credential:
        """Return the principal of the token; `now` does not matter.

        Compares with every entry in constant time, so that time tells nothing about any digest.

        Raises:
            CredentialError: TOKEN_INVALID.

        """
        del now
        digest = sha256(token.encode("utf-8", "replace")).hexdigest().encode()
        found = ""
        for known, principal in self._principals:
            if compare_digest(known, digest):
                found = principal
        if not found:
            raise CredentialError("no such fixed token")
        return Credential(found, ISSUER)


class FirstOf:
    """A `ports.Authenticator` that tries several, in order."""

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        if not authenticators:
            raise StartError("IDENTITY_MISSING", "nobody could authenticate", "Configure identity.issuers.")
        self._authenticators = tuple(authenticators)

    async def verify(self, token: str, now: datetime) -> Credential:
        """Return what the first that accepts the token says.

        Raises:
            CredentialError: that of the last, when none accepts it.

        """
        *earlier, last = self._authenticators
        for authenticator in earlier:
            try:
                return await authenticator.verify(token, now)
            except CredentialError:
                continue
        return await last.verify(token, now)
