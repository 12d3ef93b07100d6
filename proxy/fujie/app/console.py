"""The pages for employees on the port of a worker. Needs the extra `console`. Plain HTTP: TLS ends at the proxy in front."""

import logging
from contextlib import AsyncExitStack
from datetime import timedelta

from fujie.adapters.identity.oidc import Client, OpenIDProvider
from fujie.app.consolesection import SignIn
from fujie.app.logs import log_event
from fujie.app.settings import Settings
from fujie.app.web import PublicServer, report
from fujie.flows.gate import Gate
from fujie.model.errors import StartError
from fujie.ports import Authenticator
from fujie.transport.http.console import HEADERS, Console, Door, origin_of_url
from fujie.transport.http.inbox import Inbox
from fujie.transport.http.public import PublicEdge, public_app

_CALLBACK = "/console/callback"


async def open_console(
    settings: Settings, gate: Gate, authenticator: Authenticator, opened: AsyncExitStack
) -> PublicServer:
    """Listen on `server.console_listen`; `opened` closes what follows a provider's keys.

    Raises:
        StartError: LISTEN_FAILED, or CLIENT_SECRET_UNREADABLE.

    """
    address, section = settings.server.console_listen, settings.console
    assert address is not None
    provider = _provider(section.oidc, section.url, gate) if section.oidc else None
    if provider is not None:
        opened.push_async_callback(provider.close)
    lasts = timedelta(minutes=section.session_minutes)
    door = Door(authenticator, provider, origin_of_url(section.url), lasts)
    console = Console(PublicEdge(gate, report), door)
    app = public_app(gate, [*console.routes(), *Inbox(console).routes()], HEADERS)
    return await PublicServer.over(app, address, settings.server.public_proxies)


def _provider(sign_in: SignIn, url: str, gate: Gate) -> OpenIDProvider:
    client = Client(
        sign_in.issuer,
        sign_in.client_id,
        _secret(sign_in),
        sign_in.algs,
        sign_in.prefix,
        url.rstrip("/") + _CALLBACK,
    )
    return OpenIDProvider(client, gate.clock.monotonic, _keys_followed)


def _secret(sign_in: SignIn) -> str:
    if sign_in.client_secret_file is None:
        return ""
    try:
        secret = sign_in.client_secret_file.read_text("ascii").strip()
    except (OSError, ValueError):
        secret = ""
    if not secret:
        raise StartError(
            "CLIENT_SECRET_UNREADABLE",
            "console.oidc.client_secret_file: no secret in it",
            "Check path and mode; the file holds the client's secret in one line of ASCII.",
        )
    return secret


def _keys_followed(issuer: str, code: str) -> None:
    if code:
        log_event("jwks_stale", logging.WARNING, issuer=issuer, code=code)
    else:
        log_event("jwks_followed", issuer=issuer)
