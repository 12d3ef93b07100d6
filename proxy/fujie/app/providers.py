"""Opens the providers that the section `messaging` names."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from fujie.adapters.providers import aliyun, http_template, tencent, twilio
from fujie.adapters.providers.exchange import Exchange
from fujie.adapters.providers.outbox_file import FileOutbox
from fujie.adapters.providers.paced import Paced
from fujie.app.messaging import Messaging, ProviderSettings, template_of
from fujie.app.problems import Collector
from fujie.model.errors import StartError
from fujie.ports import Clock
from fujie.ports.providers import Provider

NO_URLS: Mapping[str, str] = MappingProxyType({})

_MOST_SECRET_BYTES = 4096
_MOST_PASSWORD = 8  # SMPP 3.4, section 5.2.2


def open_providers(
    section: Messaging, clock: Clock, callback_urls: Mapping[str, str] = NO_URLS
) -> Mapping[str, Provider]:
    """Return the providers in order of preference, each at its pace. `callback_urls` are the public addresses under which
    each may call us, secret path included. Must run in the event loop that will use them.

    Raises:
        CannotStart: with every secret or certificate that can not be read, and every client that is not installed.

    """
    found = Collector()
    opened = {}
    for name, each in section.providers.items():
        secret = found.take(_secret, name, each.secret_file) if each.secret_file else ""
        if secret is not None:
            opened[name] = (each, secret)
    found.finish()
    providers = {}
    for name, (each, secret) in opened.items():
        provider = found.take(_provider, name, each, secret, clock, callback_urls.get(name, ""))
        if provider is not None:
            # Where each message is a call of its own, the calls of one submission take places too.
            calls = provider.most if each.kind in {"twilio", "http"} else 1
            providers[name] = Paced(provider, each.rate_per_second, each.concurrency // calls, clock)
    found.finish()
    return MappingProxyType(providers)


def _provider(name: str, each: ProviderSettings, secret: str, clock: Clock, callback_url: str) -> Provider:
    if each.kind == "smpp":
        return _smpp(name, each, secret, clock)
    if each.kind == "outbox":
        return FileOutbox(name, each.file or Path(), clock)
    place, exchange = (name, each.processor), Exchange(each.timeout_seconds, each.concurrency)
    account = each.account or ""
    match each.kind:
        case "aliyun":
            key = aliyun.AccessKey(account, secret)
            return aliyun.Aliyun(place, key, exchange, clock, each.endpoint or aliyun.ENDPOINT)
        case "tencent":
            ours = tencent.TencentAccount(account, secret, each.app_id or "", each.region)
            return tencent.Tencent(
                place, ours, exchange, clock, (each.endpoint or tencent.ENDPOINT, each.poll)
            )
        case "twilio":
            theirs = twilio.TwilioAccount(account, secret, each.sender or "")
            at = (each.endpoint or twilio.ENDPOINT, callback_url)
            return twilio.Twilio(place, theirs, exchange, clock, at)
        case "http":
            return http_template.HTTPTemplate(place, template_of(each, secret), exchange, clock)


def _smpp(name: str, each: ProviderSettings, password: str, clock: Clock) -> Provider:
    try:
        from fujie.adapters.providers.smpp import SMPP, Line
        from fujie.adapters.providers.smpp_link import Account
        from fujie.adapters.providers.smpp_wire import sender
    except ModuleNotFoundError:
        raise StartError(
            "PROVIDER_CLIENT_MISSING",
            f"provider {name}: the client for SMPP is not installed",
            "Install the extra: pip install 'fujie[smpp]'.",
        ) from None
    assert each.smpp is not None
    line = each.smpp
    if len(password) > _MOST_PASSWORD:
        raise StartError(
            "PROVIDER_SECRET_UNREADABLE", f"provider {name}: SMPP has passwords of at most 8 characters"
        )
    try:
        tls = _tls(line.ca) if line.tls else None
    except OSError:  # also what OpenSSL can not read
        raise StartError(
            "PROVIDER_CA_UNREADABLE", f"provider {name}: {line.ca} is not a PEM file of certificates"
        ) from None
    account = Account(line.host, line.port, each.account or "", password, line.system_type, tls)
    return SMPP(
        name,
        each.processor,
        Line(
            account,
            sender(each.sender or ""),
            line.numbers,
            line.window,
            each.timeout_seconds,
            is_payload=line.long_texts == "payload",
        ),
        clock,
    )


def _tls(ca: Path | None) -> ssl.SSLContext:
    # Not `create_default_context`: that writes the keys of the connection to where SSLKEYLOGFILE says.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if ca is None:
        context.load_default_certs()
    else:
        context.load_verify_locations(ca)
    return context


def _secret(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            secret = file.read(_MOST_SECRET_BYTES + 1).decode("ascii").removesuffix("\n")
    except (OSError, UnicodeError):
        secret = ""
    if not secret or not secret.isprintable() or len(secret) >= _MOST_SECRET_BYTES:
        raise StartError(
            "PROVIDER_SECRET_UNREADABLE",
            f"provider {name}: {path} is not a secret in one line of ASCII",
            "Check path, mode and content of secret_file.",
        )
    return secret
