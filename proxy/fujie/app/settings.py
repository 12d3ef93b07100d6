"""The configuration: one frozen value, every problem at once, nothing unknown and nothing contradictory.

Secrets are files, never values; addresses may hold passwords, so they are in no repr.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from fujie.app import settingrows
from fujie.app.callbacks import NetworkText
from fujie.app.configfile import Layers, read_layers
from fujie.app.consolesection import Console
from fujie.app.identity import Identity
from fujie.app.keysection import Keys
from fujie.app.messaging import Messaging
from fujie.app.notifysection import Notify
from fujie.app.policysection import SOURCES, Policy
from fujie.app.problems import CannotStart, Problem
from fujie.app.scimsection import SCIM
from fujie.app.section import Section, Text, is_loopback_host, is_safe_web_address
from fujie.app.stores import Store


def _address(text: str) -> str:
    host, port = split_address(text)
    if not host or not 0 <= port <= 65_535:
        raise PydanticCustomError("setting_invalid", "`host:port` is meant, `[host]:port` for IPv6")
    return text


def _public_url(text: str) -> str:
    if text and (not is_safe_web_address(text) or "?" in text):
        raise PydanticCustomError(
            "setting_invalid", "an https address is meant, http for this machine only, without query"
        )
    return text


def _instance(text: str) -> str:
    from fujie.audit.checkpoint import origin_of

    try:
        origin_of(text, 0)
    except ValueError:
        raise PydanticCustomError(
            "setting_invalid", "1 to 64 of ASCII letters, digits, dot, dash and underscore are meant"
        ) from None
    return text


Address = Annotated[str, AfterValidator(_address)]
StoreName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$")]


class TLS(Section):
    """The server's certificate."""

    certificate: Path = Field(description="PEM file with the certificate chain; followed when it changes.")
    private_key: Path = Field(description="PEM file with the private key.")
    client_ca: Path | None = Field(
        default=None,
        description="PEM file with the CAs of client certificates, which are then required of every client."
        " Needs `identity.spiffe`.",
    )


class Server(Section):
    """Where the server listens, and how it ends."""

    listen: Address = Field(default="127.0.0.1:7443", description="gRPC. Port 0 takes any free port.")
    http_listen: Address = Field(
        default="127.0.0.1:7080", description="`/healthz` and `/readyz`, plain HTTP."
    )
    public_listen: Address | None = Field(
        default=None,
        description="Callbacks of providers and the customers' own page, plain HTTP; off when not set. Needs"
        " `public_url`, and the extra `console`.",
    )
    public_url: Annotated[str, AfterValidator(_public_url)] = Field(
        default="",
        description="`https://` address under which the public reaches `public_listen` (of this server or another),"
        " through the proxy that ends TLS. Links in messages begin with it.",
    )
    public_proxies: tuple[NetworkText, ...] = Field(
        default=(),
        description="Networks of the proxies in front of it, whose `X-Forwarded-For` is believed.",
    )
    console_listen: Address | None = Field(
        default=None,
        description="The pages for employees, plain HTTP on loopback behind the proxy that ends TLS; off when not set."
        " Needs `console.url`, and the extra `console`.",
    )
    metrics_listen: Address = Field(default="127.0.0.1:9464", description="`/metrics`, plain HTTP.")
    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Processes that share the gRPC port, each with a log of its own; at most one per CPU.",
    )
    connection_age_seconds: int = Field(
        default=300,
        ge=1,
        le=86_400,
        description="When a connection is asked to come anew, give or take a tenth: so connections spread over"
        " workers, certificates take hold, and a rolling restart takes at most so long per worker.",
    )
    drain_seconds: int = Field(
        default=10, ge=0, le=3600, description="How long running calls may take at the end."
    )
    reflection: bool = Field(default=False, description="Serve gRPC reflection. Off in production.")
    tls: TLS | None = Field(default=None, description="Needed to listen beyond loopback.")
    unsafe_plaintext: bool = Field(
        default=False, description="Listen beyond loopback without TLS: tokens and data cross the network."
    )
    unsafe_public_plaintext: bool = Field(
        default=False,
        description="Let `public_listen` and `console_listen` be beyond loopback: links, replies and sessions cross the"
        " network between proxy and server in plain HTTP.",
    )

    @property
    def public_base(self) -> str:
        """`public_url` without a final slash."""
        return self.public_url.rstrip("/")

    @property
    def page_url(self) -> str:
        """What the token of a link follows; empty when there is no page."""
        return f"{self.public_base}/c/" if self.public_url else ""

    @model_validator(mode="after")
    def _is_encrypted(self) -> "Server":
        if self.public_listen and not self.public_url:
            raise PydanticCustomError("setting_missing", "public_listen needs public_url")
        if self.public_listen and not (self.unsafe_public_plaintext or is_loopback(self.public_listen)):
            raise PydanticCustomError("public_plaintext", "public_listen is not loopback")
        if self.console_listen and not (self.unsafe_public_plaintext or is_loopback(self.console_listen)):
            raise PydanticCustomError("public_plaintext", "console_listen is not loopback")
        if self.tls and self.unsafe_plaintext:
            raise PydanticCustomError("tls_and_plaintext", "tls and unsafe_plaintext are both given")
        if not (self.tls or self.unsafe_plaintext or is_loopback(self.listen)):
            raise PydanticCustomError("listen_plaintext", "listen is not loopback and there is no tls")
        return self


class Bootstrap(Section):
    """How the first administrator gets in."""

    admins: tuple[Text, ...] = Field(
        default=(), description="Principals that are administrators until the directory has one."
    )


class Ledger(Section):
    """fujie's own state."""

    url: Text = Field(
        repr=False,
        description="`sqlite:///path` (an absolute path has four slashes), or"
        " `postgresql://user@host:5432/database?sslmode=verify-full&sslrootcert=ca.pem`.",
    )
    password_file: Path | None = Field(
        default=None, description="File with the password of the PostgreSQL user, in one line."
    )
    unsafe_plaintext: bool = Field(
        default=False, description="Reach a PostgreSQL server on another host without demanding TLS."
    )

    @model_validator(mode="after")
    def _is_of_a_server(self) -> "Ledger":
        if self.url.startswith("sqlite") and (self.password_file or self.unsafe_plaintext):
            raise PydanticCustomError(
                "setting_invalid", "password_file and unsafe_plaintext are for a PostgreSQL ledger"
            )
        return self


class Audit(Section):
    """The evidence log."""

    dir: Path = Field(description="Directory of the logs.")
    instance: Annotated[str, AfterValidator(_instance)] = Field(
        description="Name of this server in its log; never the same for two servers, never changed."
    )


class Settings(Section):
    """Everything that `fujie.yaml` says. Paths are relative to the working directory."""

    server: Server = Field(default_factory=Server)
    identity: Identity
    bootstrap: Bootstrap = Field(default_factory=Bootstrap)
    keys: Keys
    ledger: Ledger
    audit: Audit
    policy: Policy
    controller: str = Field(
        default="",
        description="Name of the personal information handler, for consent records and in notices; without it no "
        "notice can be shown, and no consent recorded.",
    )
    stores: Mapping[StoreName, Store] = Field(default={}, description="Customer stores by name.")
    messaging: Messaging = Field(default_factory=Messaging, description="How messages go out.")
    notify: Notify = Field(default_factory=Notify, description="How other systems are told.")
    scim: SCIM | None = Field(
        default=None,
        description="An identity provider that hires, moves and offboards people, under `/scim/v2` of"
        " `server.public_listen`; off when not set. Needs the extra `scim`.",
    )
    console: Console = Field(default_factory=Console, description="The pages for employees.")

    @property
    def unsafe(self) -> Mapping[str, bool]:
        """Every setting that weakens a promise, and whether it is in force."""
        return {
            "server.unsafe_plaintext": self.server.unsafe_plaintext,
            "server.unsafe_public_plaintext": self.server.unsafe_public_plaintext,
            "ledger.unsafe_plaintext": self.ledger.unsafe_plaintext,
            "notify.unsafe_plaintext": self.notify.unsafe_plaintext,
            "policy.unsafe_downgrade": self.policy.unsafe_downgrade,
            "identity.unsafe_static_tokens": self.identity.unsafe_static_tokens is not None,
            **{f"stores.{n}.unsafe_plaintext": each.unsafe_plaintext for n, each in self.stores.items()},
            **{
                f"messaging.providers.{n}.smpp.unsafe_plaintext": each.smpp.unsafe_plaintext
                for n, each in self.messaging.providers.items()
                if each.smpp
            },
        }

    def shown(self) -> dict[str, Any]:
        """Return all settings as plain values, without the passwords of addresses."""
        plain = self.model_dump(mode="json")
        for holder in (plain["ledger"], *plain["stores"].values()):
            holder["url"] = _without_password(holder["url"])
        for store in plain["stores"].values():
            store["replicas"] = [_without_password(url) for url in store["replicas"]]
        return plain


_REMEDIES = {
    "LISTEN_PLAINTEXT": "Set server.tls, or listen on 127.0.0.1, or say server.unsafe_plaintext.",
    "PUBLIC_PLAINTEXT": "Listen on 127.0.0.1 behind a proxy of the same machine or pod, or say"
    " server.unsafe_public_plaintext.",
    "TLS_AND_PLAINTEXT": "Remove one of them.",
    "IDENTITY_MISSING": "Configure identity.issuers or identity.spiffe, or identity.unsafe_static_tokens for trying out.",
    "MTLS_INCOMPLETE": "Set both or neither.",
}


def load_settings(path: Path, environ: Mapping[str, str]) -> Settings:
    """Return the settings of the YAML file `path`, overlaid by the variables `FUJIE__SECTION__KEY` of `environ`.

    Raises:
        CannotStart: with every problem: code, key path, place, what to do.

    """
    layers = read_layers(path, environ)
    problems = list(layers.problems)
    settings = None
    try:
        settings = Settings.model_validate(layers.values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        problems += _problems(found, layers)
    problems += _across(layers)
    if settings is None or problems:
        raise CannotStart(problems)
    return settings


def split_address(text: str) -> tuple[str, int]:
    """Return host (without brackets) and port of `host:port`; ("", -1) when it is none."""
    host, colon, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not (port.isascii() and port.isdigit()) or (":" in host and not is_bracketed):
        return "", -1
    return host.strip("[]"), int(port)


def is_loopback(address: str) -> bool:
    """Tell whether only this machine can reach `host:port`."""
    return is_loopback_host(split_address(address)[0])


def _problems(found: Sequence[ErrorDetails], layers: Layers) -> Iterator[Problem]:
    paths = [tuple(str(part) for part in each["loc"] if part != "[key]") for each in found]
    for each, path in zip(found, paths, strict=True):
        code, message = _said(each)
        remedy = _REMEDIES.get(code, "")
        if code == "UNKNOWN_SETTING":
            remedy = _suggestion(path)
        yield Problem(code, message, ".".join(path), layers.place(path), remedy)


def _said(error: ErrorDetails) -> tuple[str, str]:
    kind = error["type"]
    if kind == "extra_forbidden":
        return "UNKNOWN_SETTING", "is not a setting"
    if kind == "missing":
        return "SETTING_MISSING", "is needed"
    ours = {"setting_invalid", "setting_missing", *(code.lower() for code in _REMEDIES)}
    return (kind.upper() if kind in ours else "SETTING_INVALID"), error["msg"]


def _suggestion(path: tuple[str, ...]) -> str:
    section = settingrows.generic(path[:-1])
    known = [row.name for row in settingrows.rows(Settings) if row.parent == section]
    close = difflib.get_close_matches(path[-1], known, n=1)
    return f"Did you mean `{close[0]}`?" if close else f"Known here: {', '.join(known)}."


def _across(layers: Layers) -> Iterator[Problem]:
    """What two sections contradict each other in; on the raw values, so that it is found beside other problems."""
    yield from _policy_source(layers)
    server = layers.values.get("server")
    listens = _section(layers.values, "server").get("console_listen")
    if listens and not _section(layers.values, "console").get("url"):
        place, needed = layers.place(("server", "console_listen")), "is needed for server.console_listen"
        yield Problem("SETTING_MISSING", needed, "console.url", place, "Set the address browsers use.")
    keys, stores = _section(layers.values, "keys"), _section(layers.values, "stores")
    for name in stores if keys.get("store_index") is None else ():
        phone = _section(stores[name], "phone")
        for column in ("hmac_column", "last_four_hmac_column"):
            if phone.get(column) is not None:
                yield Problem(
                    "SETTING_MISSING",
                    "is needed for a column of digests",
                    "keys.store_index",
                    layers.place(("stores", str(name), "phone", column)),
                    "Make the key with `fujie keys init` and name it, or use a column of numbers.",
                )
    if (
        layers.values.get("scim") is not None
        and _section(layers.values, "server").get("public_listen") is None
    ):
        remedy = "Set server.public_listen and server.public_url, or remove scim."
        place = layers.place(("scim",))
        yield Problem("SETTING_MISSING", "is needed for scim", "server.public_listen", place, remedy)
    tls, identity = _section(server, "tls"), _section(layers.values, "identity")
    if (tls.get("client_ca") is None) != (identity.get("spiffe") is None):
        given = ("server", "tls", "client_ca") if tls.get("client_ca") else ("identity", "spiffe")
        yield Problem(
            "MTLS_INCOMPLETE",
            "server.tls.client_ca and identity.spiffe belong together",
            ".".join(given),
            layers.place(given),
            _REMEDIES["MTLS_INCOMPLETE"],
        )


def _policy_source(layers: Layers) -> Iterator[Problem]:
    policy = layers.values.get("policy")
    if not isinstance(policy, Mapping):
        return  # which is said anyway
    given = [name for name in SOURCES if policy.get(name) is not None]
    if not given:
        remedy = "Set policy.paths, or policy.bundle or policy.url for a signed bundle."
        place = layers.place(("policy",))
        yield Problem("SETTING_MISSING", "policies come from somewhere", "policy.paths", place, remedy)
    for name in given[1:]:
        problem, remedy = (
            f"policy.{given[0]} is set too",
            "Keep one of policy.paths, policy.bundle and policy.url.",
        )
        yield Problem("POLICY_SOURCE", problem, f"policy.{name}", layers.place(("policy", name)), remedy)


def _section(above: object, name: str) -> Mapping[str, Any]:
    below = above.get(name) if isinstance(above, Mapping) else None
    return below if isinstance(below, Mapping) else {}


def _without_password(url: str) -> str:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except ArgumentError:
        return "***"
    return parsed.set(query=dict.fromkeys(parsed.query, "***")).render_as_string(hide_password=True)


def settings_table() -> str:
    """Return the table of every setting for the documentation, as Markdown."""
    return settingrows.table(Settings)
