"""A complete site on disk: configuration, keys, tokens, policies and a store, ready for `fujie serve`.

The demo makes one under `.demo/`; the end-to-end tests and the benchmark make theirs the same way.
"""

import fcntl
import json
import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import yaml

from fujie.adapters.keyfiles import create_keys
from fujie.app.demo.customers import create_store
from fujie.app.shipped import shipped_policies
from fujie.app.tokens import mint, new_signing_key

ISSUER, AUDIENCE = "https://id.example.com", "fujie"
KEYS = ("ledger_index", "token", "seal", "log")
BOOTSTRAP = "bootstrap-admin"
_TOKEN_TTL_S = 7 * 24 * 3600
_FIELDS = {
    "customer_no": "id",
    "name": "full_name",
    "phone": "mobile",
    "id_card": "id_number",
    "bank_card": "card_number",
    "email": "email",
    "address": "address",
    "birthday": "birthday",
    "plate": "plate",
    "gender": "gender",
}


@dataclass(frozen=True, slots=True)
class Site:
    """Where everything lies. `grpc`, `http` and `metrics` are the addresses that the configuration names; `customers` is
    how many the store has."""

    root: Path
    config: Path
    log: Path
    tokens: Mapping[str, Path]
    grpc: str
    http: str
    metrics: str
    customers: int

    def token(self, principal: str) -> str:
        """Return a principal's token."""
        return self.tokens[principal].read_text().strip()


def create_site(root: Path, principals: tuple[str, ...], now: datetime, customers: int = 10_000) -> Site:
    """Write a site with a token per principal; what an earlier site left under `root` is removed first.

    Ports are the usual ones when they are free, else any.
    """
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    create_store(root / "crm.db", customers)
    create_keys(root / "keys", KEYS)
    shutil.copytree(shipped_policies() / "base", root / "policies")
    pem, jwks = new_signing_key()
    (root / "jwks.json").write_text(json.dumps(jwks))
    tokens = _tokens(root / "tokens", pem, jwks["keys"][0]["kid"], (BOOTSTRAP, *principals), now)
    grpc, http, metrics = (f"127.0.0.1:{_free_port(port)}" for port in (7443, 7080, 9464))
    config = {
        "server": {"listen": grpc, "http_listen": http, "metrics_listen": metrics, "reflection": True},
        "identity": {
            "issuers": [
                {"iss": ISSUER, "aud": AUDIENCE, "algs": ["ES256"], "jwks": str(root / "jwks.json")}
            ]
        },
        "bootstrap": {"admins": [BOOTSTRAP]},
        "keys": {name: {"id": "k1", "file": str(root / "keys" / f"{name}.key")} for name in KEYS},
        "ledger": {"url": f"sqlite:///{root / 'ledger.db'}"},
        "audit": {"dir": str(root / "log"), "instance": "demo"},
        "policy": {"paths": [str(root / "policies")]},
        "stores": {
            "crm": {
                "url": f"sqlite:///{root / 'crm.db'}",
                "table": "customer",
                "customer_id": "id",
                "phone": {"column": "mobile", "format": "national"},
                "fields": _FIELDS,
                "attributes": {"minor": "minor", "owner_department": "department"},
            }
        },
        "controller": "Demo Ltd.",
    }
    path = root / "fujie.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    return Site(root, path, root / "log", tokens, grpc, http, metrics, customers)


def is_served(root: Path) -> bool:
    """Tell whether a server holds the log of the site under `root`."""
    for lock in (root / "log").glob("*/*/lock"):
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return True
    return False


def _tokens(
    directory: Path, pem: str, kid: str, principals: tuple[str, ...], now: datetime
) -> Mapping[str, Path]:
    directory.mkdir()
    paths = {principal: directory / f"{principal}.jwt" for principal in principals}
    for principal, path in paths.items():
        path.touch(mode=0o600)
        path.write_text(
            mint(pem, {"iss": ISSUER, "aud": AUDIENCE, "sub": principal}, kid, _TOKEN_TTL_S, now)
        )
    return paths


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise OSError("no free port on the loopback interface")
