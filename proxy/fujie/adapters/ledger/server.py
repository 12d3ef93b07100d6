"""Where the PostgreSQL server of a ledger is and how it may be reached; never a password in a repr or error.

The URL is libpq's: `postgresql://user@host:5432/database?sslmode=verify-full&sslrootcert=ca.pem`, or
`?host=/run/postgresql` for a socket. asyncpg reads it; here is what it may say.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from fujie.model.errors import StartError

_SCHEMES: Final = ("postgresql", "postgresql+asyncpg")
_PARAMETERS: Final = frozenset({"host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl"})
"""No other: what the URL could set for the session would win over the time limits."""
_ENCRYPTED: Final = frozenset({"require", "verify-ca", "verify-full"})
_REMEDY: Final = (
    "Set ledger.url to postgresql://user@host:5432/database?sslmode=verify-full, or sqlite:///path."
)


@dataclass(frozen=True, slots=True)
class ServerAccess:
    """What the settings say about a server beside its URL. `password_file` holds the password in one line."""

    password_file: Path | None = None
    unsafe_plaintext: bool = False


URL_ALONE: Final = ServerAccess()
"""The settings say nothing beside the URL."""


@dataclass(frozen=True, slots=True, repr=False)
class Server:
    """A checked address. `dsn` may hold a password."""

    dsn: str
    password: str | None = field(default=None)

    def connection(self) -> dict[str, Any]:
        """Return the arguments of `asyncpg.connect`: a primary that accepts writes."""
        arguments = {
            "dsn": self.dsn,
            # A replica may not have heard of a withdrawal yet. After a failover the next host is tried.
            "target_session_attrs": "read-write",
        }
        return arguments if self.password is None else {**arguments, "password": self.password}


def is_server(url: str) -> bool:
    """Tell whether `url` names a PostgreSQL server."""
    return url.startswith(tuple(f"{scheme}://" for scheme in _SCHEMES))


def server_of(url: str, access: ServerAccess) -> Server:
    """Return the server that `url` names.

    Raises:
        StartError: LEDGER_UNSUPPORTED for a URL that is not complete or says more than it may,
            LEDGER_PLAINTEXT when data would cross a network unencrypted, LEDGER_PASSWORD_UNREADABLE.

    """
    try:
        parts = urlsplit(url)
        said = parse_qs(parts.query, strict_parsing=True, keep_blank_values=True) if parts.query else {}
        hosts = list(_hosts(parts, said))
    except ValueError:
        raise StartError("LEDGER_UNSUPPORTED", "ledger.url is not a database URL", _REMEDY) from None
    user, _, password = parts.netloc.rpartition("@")[0].partition(":")
    if parts.scheme not in _SCHEMES or not all((user, hosts, parts.path.strip("/"))) or parts.fragment:
        raise StartError(
            "LEDGER_UNSUPPORTED",
            "ledger.url must name user, host and database of a PostgreSQL server",
            _REMEDY,
        )
    if other := sorted(said.keys() - _PARAMETERS) + [name for name in said if len(said[name]) > 1]:
        raise StartError("LEDGER_UNSUPPORTED", f"ledger.url may not set {', '.join(other)} here", _REMEDY)
    mode = said.get("sslmode", [""])[0]
    if mode not in _ENCRYPTED and not access.unsafe_plaintext and not all(map(_is_local, hosts)):
        raise StartError(
            "LEDGER_PLAINTEXT",
            "ledger.url reaches another host without demanding TLS",
            "Add sslmode=verify-full and sslrootcert to ledger.url, or say ledger.unsafe_plaintext.",
        )
    if password and access.password_file is not None:
        raise StartError(
            "LEDGER_UNSUPPORTED", "ledger.url and ledger.password_file both give a password", "Remove one."
        )
    return Server("postgresql" + url.removeprefix(parts.scheme), _password(access.password_file))


def _hosts(parts: SplitResult, said: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield every host that asyncpg could take from the URL."""
    # partition, not rpartition: asyncpg ends the password at the first @.
    at_authority = parts.netloc.partition("@")[2] if "@" in parts.netloc else parts.netloc
    for listed in filter(None, (at_authority, *said.get("host", ()))):
        for host in listed.split(","):
            # As asyncpg does, escapes end here: `a%2Cb` is one host with a strange name.
            yield _without_port(unquote(host))


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1 : host.index("]")]
    name = host if host.startswith("/") else host.partition(":")[0]
    if not name:
        raise ValueError("a host without a name")
    return name


def _is_local(host: str) -> bool:
    try:
        return host.startswith("/") or host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _password(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        password = path.read_text("utf-8").removesuffix("\n")
    except (OSError, UnicodeError):
        password = ""
    if not password or "\n" in password or "\0" in password:
        raise StartError(
            "LEDGER_PASSWORD_UNREADABLE",
            f"{path}: not a password in one line",
            "Check path, mode and content of ledger.password_file.",
        )
    return password
