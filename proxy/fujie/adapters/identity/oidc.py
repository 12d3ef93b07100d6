"""Signing in at an OpenID Connect provider: authorization code (OpenID Connect Core 1.0, section 3.1) with PKCE (RFC 7636).

1. The provider's addresses come from its own document (OpenID Connect Discovery 1.0), which must name the issuer exactly.
2. The browser is sent there with `state`, `nonce` and the challenge; nothing else is asked for than `openid`.
3. The code is exchanged from here, never by the browser, with the verifier and the client's secret where there is one.
4. The ID token is verified like every token (`adapters/identity/jwt.py`: pinned algorithms, keys of the issuer, audience), and
   carries the nonce of this attempt. Who has several audiences must be the client that it was issued for.

Every failure is a CredentialError that says nothing of code or token.
"""

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from http.client import HTTPException
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from fujie.adapters.identity.follow import Report
from fujie.adapters.identity.jwks import source_of
from fujie.adapters.identity.jwt import TokenAuthenticator
from fujie.adapters.identity.keyset import Issuer
from fujie.adapters.web import Ask, exchange
from fujie.model.errors import CredentialError, StartError
from fujie.model.principal import Credential
from fujie.ports.signin import Attempt

MOST_BYTES: Final = 65_536
"""A discovery document has 4,000 bytes, a token answer with its ID token less."""

EXCHANGE_S: Final = 5.0

KNOWN_FOR_S: Final = 3_600.0
"""How long the provider's addresses are believed before they are read anew."""


@dataclass(frozen=True, slots=True, repr=False)
class Client:
    """What the console is to the provider. `secret` is empty for a public client."""

    issuer: str
    client_id: str
    secret: str
    algs: tuple[str, ...]
    prefix: str
    redirect_url: str


@dataclass(frozen=True, slots=True, repr=False)
class _Provider:
    """What the provider's document says, and what verifies its tokens."""

    authorization: str
    token: str
    tokens: TokenAuthenticator
    read_at: float


class OpenIDProvider:
    """A `ports.signin.SignIn`. For one event loop; asks the provider only when somebody signs in."""

    def __init__(self, client: Client, clock: Callable[[], float], report: Report) -> None:
        self._client = client
        self._clock = clock
        self._report = report
        self._known: _Provider | None = None

    async def close(self) -> None:
        """End what reads keys."""
        if self._known is not None:
            await self._known.tokens.close()

    async def address(self, attempt: Attempt) -> str:
        """See `ports.signin.SignIn`."""
        provider = await self._provider()
        challenge = base64.urlsafe_b64encode(hashlib.sha256(attempt.verifier.encode()).digest())
        asked = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": self._client.redirect_url,
            "scope": "openid",
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge.decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        joint = "&" if urlsplit(provider.authorization).query else "?"
        return provider.authorization + joint + urlencode(asked)

    async def finish(self, code: str, issuer: str, attempt: Attempt, now: datetime) -> Credential:
        """See `ports.signin.SignIn`."""
        if issuer and issuer != self._client.issuer:
            raise CredentialError("the code is of another provider")
        provider = await self._provider()
        token = await self._token(provider.token, code, attempt)
        credential = await provider.tokens.verify(token, now)
        claims = _claims(token)
        nonce, party = claims.get("nonce"), claims.get("azp", "")
        if not isinstance(nonce, str) or not compare_digest(nonce.encode(), attempt.nonce.encode()):
            raise CredentialError("the ID token is of another attempt")
        is_shared = isinstance(claims.get("aud"), list) and len(claims["aud"]) > 1
        if party != self._client.client_id and (party or is_shared):
            raise CredentialError("the ID token is of another client")
        return credential

    async def _token(self, url: str, code: str, attempt: Attempt) -> str:
        """Return the ID token, whose signature nobody looked at yet."""
        client = self._client
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": client.redirect_url,
            "client_id": client.client_id,
            "code_verifier": attempt.verifier,
        }
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        if client.secret:  # RFC 6749, section 2.3.1: both parts are encoded as in a form first
            pair = f"{quote(client.client_id, safe='')}:{quote(client.secret, safe='')}"
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        answer = await asyncio.to_thread(_read, Ask(url, headers, "POST", urlencode(form).encode()))
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise CredentialError("the provider gave no ID token")
        return token

    async def _provider(self) -> _Provider:
        known = self._known
        if known is not None and self._clock() - known.read_at < KNOWN_FOR_S:
            return known
        issuer = self._client.issuer
        url = issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            found = await asyncio.to_thread(_read, Ask(url, {"Accept": "application/json"}))
            if found.get("issuer") != issuer:
                raise CredentialError("the provider's document names another issuer")
            addresses = [
                _address(found.get(name), issuer)
                for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")
            ]
            read, refresh_s = source_of(addresses[2])
            keys = await asyncio.to_thread(read)
            trusted = Issuer(
                issuer,
                self._client.client_id,
                self._client.algs,
                keys,
                read,
                refresh_s,
                self._client.prefix,
            )
            tokens = TokenAuthenticator([trusted], self._clock, self._report)
        except (CredentialError, StartError):
            if known is not None:  # the last good addresses are better than nobody who can sign in
                return known
            raise CredentialError("the provider can not be asked", code="UNAUTHENTICATED") from None
        self._known = _Provider(addresses[0], addresses[1], tokens, self._clock())
        if known is not None:
            await known.tokens.close()
        return self._known


def _read(ask: Ask) -> Mapping[str, Any]:
    try:
        answer = exchange(ask, MOST_BYTES, EXCHANGE_S)
        parsed = (
            json.loads(answer.body) if answer.status == 200 and len(answer.body) <= MOST_BYTES else None
        )
    except (OSError, HTTPException, ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise CredentialError("the provider did not answer as it must")
    return parsed


def _address(found: object, issuer: str) -> str:
    """Return an address of the provider: https, but for one whose issuer is on this machine itself."""
    parts = urlsplit(found) if isinstance(found, str) else None
    allowed = {"https", urlsplit(issuer).scheme}
    if not isinstance(found, str) or parts is None or parts.scheme not in allowed or not parts.hostname:
        raise CredentialError("the provider's document lacks an address")
    return found


def _claims(token: str) -> Mapping[str, Any]:
    """Return the claims of a token that was verified."""
    part = token.split(".")[1]
    claims: Mapping[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims
