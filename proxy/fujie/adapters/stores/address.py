"""Where the database of a store is and how it may be reached; never a password in a repr or error.

`sqlite:///path`, `postgresql://user@host:5432/database?sslmode=verify-full&sslrootcert=ca.pem` (or `?host=/directory`
for a socket), `mysql://user@host:3306/database?sslmode=...` (or `?unix_socket=/path`), the same as `mariadb://`.
The URL is read here and nowhere else: drivers get its parts, so no second reader can find another host in it.
"""

import ipaddress
import ssl
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import ArgumentError

from fujie.adapters.stores.table import StoreTable
from fujie.model.errors import StartError

_BACKENDS = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_PORTS = {"postgresql": 5432, "mysql": 3306}
_SOCKETS = {"postgresql": "host", "mysql": "unix_socket"}
_TLS = ("sslmode", "sslrootcert")
_MODES = ("require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """A checked address. `socket` is a path, and then there is no `host`; `tls` is demanded where it is not None."""

    backend: str
    database: str
    host: str = ""
    port: int = 0
    socket: str = ""
    user: str = ""
    password: str = ""
    tls: ssl.SSLContext | None = None


def address_of(store: StoreTable, url: str) -> Address:
    """Return what `url` says, with the password of `store.password_file`.

    Raises:
        StartError: STORE_MISMATCH for a URL that is not complete or says more than it may, STORE_PLAINTEXT
            when data would cross a network unencrypted, STORE_PASSWORD_UNREADABLE.

    """
    try:
        parsed = sa.make_url(url)
    except (ArgumentError, ValueError):
        raise mismatch([f"store {store.name}: its url is not a database URL"]) from None
    backend = _BACKENDS.get(parsed.drivername)
    if backend is None:
        raise mismatch(
            [f"store {store.name}: its url must begin with sqlite, postgresql, mysql or mariadb"]
        )
    if backend == "sqlite":
        return Address("sqlite", _file(store, parsed))
    said = {name: value for name, value in parsed.query.items() if isinstance(value, str)}
    _only_known(store, backend, parsed, said)
    socket, host = said.get(_SOCKETS[backend], ""), parsed.host or ""
    if bool(socket) == bool(host) or "," in host or not parsed.username or not parsed.database:
        raise mismatch([f"store {store.name}: its url must name user, database, and one host or socket"])
    mode = said.get("sslmode", "")
    if not (mode or socket or store.is_plaintext or _is_loopback(host)):
        raise StartError(
            "STORE_PLAINTEXT",
            f"store {store.name}: its url reaches another host without demanding TLS",
            "Add sslmode=verify-full and sslrootcert to its url, or say unsafe_plaintext there.",
        )
    password = str(parsed.password) if parsed.password is not None else ""
    if password and store.password_file is not None:
        raise mismatch([f"store {store.name}: url and password_file both give a password"])
    return Address(
        backend,
        parsed.database,
        host,
        parsed.port or _PORTS[backend],
        socket,
        parsed.username,
        password or _password(store),
        _tls(store, mode, said.get("sslrootcert")) if mode else None,
    )


def mismatch(found: Sequence[str]) -> StartError:
    """Return the error that names everything found, a problem on each line."""
    return StartError(
        "STORE_MISMATCH", "\n".join(found), "Correct `stores` in the configuration, or the database."
    )


def missing(store: StoreTable, present: Iterable[str]) -> list[str]:
    """Return a problem for every mapped column that is not `present`."""
    return [
        f"store {store.name}: {store.table!r} has no column {name!r}"
        for name in sorted(store.columns.difference(present))
    ]


def _file(store: StoreTable, parsed: sa.URL) -> str:
    path = parsed.database or ""
    if parsed.query or parsed.host or not path or path.startswith(":"):
        raise mismatch([f"store {store.name}: its url must name one SQLite file"])
    if store.replicas or store.password_file is not None:
        raise mismatch([f"store {store.name}: an SQLite file has neither replicas nor a password"])
    return path


def _only_known(store: StoreTable, backend: str, parsed: sa.URL, said: dict[str, str]) -> None:
    """Refuse every parameter but ours: what the URL could set for the session would win over its limits."""
    other = sorted(parsed.query.keys() - {_SOCKETS[backend], *_TLS}) + sorted(
        parsed.query.keys() - said.keys()
    )
    if other:
        raise mismatch([f"store {store.name}: its url may not set {', '.join(other)}"])
    mode = said.get("sslmode")
    if mode not in (None, *_MODES) or (mode is None and "sslrootcert" in said):
        raise mismatch([f"store {store.name}: sslmode in its url must be one of {', '.join(_MODES)}"])


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _tls(store: StoreTable, mode: str, authorities: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=authorities)
    except (OSError, ssl.SSLError):
        raise mismatch([f"store {store.name}: sslrootcert is not a readable PEM file"]) from None
    context.check_hostname = mode == "verify-full"
    if mode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context


def _password(store: StoreTable) -> str:
    path: Path | None = store.password_file
    if path is None:
        return ""
    try:
        password = path.read_text("utf-8").removesuffix("\n")
    except (OSError, UnicodeError):
        password = ""
    if not password or "\n" in password or "\0" in password:
        raise StartError(
            "STORE_PASSWORD_UNREADABLE",
            f"store {store.name}: {path} is not a password in one line",
            "Check path, mode and content of password_file.",
        )
    return password
