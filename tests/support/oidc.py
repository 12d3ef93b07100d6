"""A stand-in for an OpenID Connect provider, written by us: discovery, authorization code with PKCE, token endpoint, keys.

It has the wire shape of OpenID Connect Core 1.0 and RFC 7636, holds clients to it, and is no vendor's software. It
misbehaves as it is told: `changes` replace claims of the ID token, `forge` makes another token of its claims.
"""

import base64
import hashlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import jwt
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from fujie.app.tokens import ALGORITHM, new_signing_key
from fujie.app.web import PublicServer

CLIENT, SECRET = "fujie-console", "client secret: with /specials+"


@dataclass
class Provider:
    """A running one. `codes` are those that nobody has exchanged yet, `exchanged` how often one was tried."""

    now: Callable[[], datetime]
    issuer: str = ""
    changes: dict[str, Any] = field(default_factory=dict)
    forge: Callable[[dict[str, Any]], str] | None = None
    document: dict[str, Any] = field(default_factory=dict)
    codes: dict[str, Mapping[str, str]] = field(default_factory=dict)
    exchanged: int = 0
    key: tuple[str, dict[str, Any]] = field(default_factory=new_signing_key)

    def agree(self, address: str, subject: str) -> str:
        """Do what the browser and the user do at `address`; return where the browser is sent back to."""
        parts = urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{self.issuer}/authorize"
        asked = dict(parse_qsl(parts.query, strict_parsing=True))
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        assert min(len(asked["state"]), len(asked["nonce"])) >= 32
        code = secrets.token_urlsafe(16)
        self.codes[code] = {**asked, "sub": subject}
        said = {"code": code, "state": asked["state"], "iss": self.issuer}
        return f"{asked['redirect_uri']}?{urlencode(said)}"

    def _exchange(self, form: Mapping[str, str], authorization: str) -> dict[str, Any] | None:
        self.exchanged += 1
        asked = self.codes.pop(form.get("code", ""), None)
        pair = base64.b64encode(b"fujie-console:client%20secret%3A%20with%20%2Fspecials%2B").decode()
        challenge = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if (
            asked is None
            or authorization != f"Basic {pair}"
            or form.get("grant_type") != "authorization_code"
            or form.get("redirect_uri") != asked["redirect_uri"]
            or base64.urlsafe_b64encode(challenge).decode().rstrip("=") != asked["code_challenge"]
        ):
            return None
        at = int(self.now().timestamp())
        claims = {
            "iss": self.issuer, "aud": CLIENT, "sub": asked["sub"], "nonce": asked["nonce"], "iat": at, "exp": at + 300,
            **self.changes,
        }  # fmt: skip
        claims = {name: value for name, value in claims.items() if value is not None}
        token = self.forge(claims) if self.forge else self.signed(claims)
        return {"access_token": "not ours", "token_type": "Bearer", "id_token": token}

    def signed(self, claims: Mapping[str, Any]) -> str:
        """Return a token of the provider."""
        pem, jwks = self.key
        return jwt.encode(dict(claims), pem, ALGORITHM, headers={"kid": jwks["keys"][0]["kid"]})

    def routes(self) -> list[Route]:
        """Return what it serves."""

        async def document(_: Request) -> Response:
            said = {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/jwks",
                **self.document,
            }
            return JSONResponse(said)

        async def keys(_: Request) -> Response:
            return JSONResponse(self.key[1])

        async def page(request: Request) -> Response:
            back = f'<form method="post" action="?{request.url.query.replace("&", "&amp;")}">'
            field = '<label>Name <input name="name"></label><button>Let me in</button></form>'
            return HTMLResponse(f'<!doctype html><html lang="en"><title>Provider</title>{back}{field}')

        async def agreed(request: Request) -> Response:
            form = parse_qs((await request.body()).decode())
            return RedirectResponse(
                self.agree(f"{self.issuer}/authorize?{request.url.query}", form["name"][0]), 303
            )

        async def token(request: Request) -> Response:
            form = dict(parse_qsl((await request.body()).decode()))
            answer = self._exchange(form, request.headers.get("authorization", ""))
            return JSONResponse(answer or {"error": "invalid_grant"}, 200 if answer else 400)

        return [
            Route("/.well-known/openid-configuration", document),
            Route("/jwks", keys),
            Route("/authorize", page, methods=["GET"]),
            Route("/authorize", agreed, methods=["POST"]),
            Route("/token", token, methods=["POST"]),
        ]


@asynccontextmanager
async def provider(now: Callable[[], datetime]) -> AsyncIterator[Provider]:
    """Run one on loopback."""
    running = Provider(now)
    server = await PublicServer.over(Starlette(routes=running.routes()), "127.0.0.1:0", ())
    running.issuer = f"http://127.0.0.1:{server.port}"
    try:
        yield running
    finally:
        await server.stop(5.0)
