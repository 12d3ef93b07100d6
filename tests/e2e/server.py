"""A whole site in a directory, and the real server on it as a real process on free ports.

    site = Site.create(tmp_path)
    with site.running() as server:
        stubs = server.connect("support-1")
        server.metric("fujie_decisions_total", effect="ALLOW")

A test changes `site.values` (then `site.write()`) or any file below `site.root` before it starts the server.
"""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from fujie.adapters.keyfiles import create_keys
from fujie.app.client import Stubs, connect
from fujie.app.demo.customers import create_store
from fujie.app.tokens import mint, new_signing_key
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import types_pb2 as types_v1
from support.ledgers import ledger_file

ROOT = Path(__file__).parents[2]
ISSUER, AUDIENCE, INSTANCE = "https://id.example.com", "fujie", "e2e"
ADMIN = "boss"
"""The subject of `bootstrap.admins`."""
STATIC_TOKEN = "a-fixed-token-for-tests"
KEYS = ("ledger_index", "token", "seal", "log")
START_S = 180.0
"""Until the server must be ready: machines of tests are shared, and nothing is measured here."""

_OF_SERVER = ("fujie_serving", "fujie_worker_")
"""Series that the server counts itself, and not its workers."""

POLICY = """\
apiVersion: fujie.dev/v1
kind: Purposes
metadata: {name: base}
spec:
  purposes:
    - {id: after_sales, label: {zh: "售后服务", en: "After-sales service"}, bases: {contract: {evidence: order_id}}}
    - {id: marketing, label: {zh: "营销", en: "Marketing"}, bases: {consent: {}}}
---
apiVersion: fujie.dev/v1
kind: FieldCatalog
metadata: {name: base}
spec:
  classes:
    mobile: {level: 2, ladder: [reveal, "keep(3,4)", omit]}
    person_name: {level: 2, ladder: [reveal, omit]}
    resident_id: {level: 3, ladder: ["keep(1,1)", omit]}
  fields: {name: {class: person_name}, phone: {class: mobile}, id_card: {class: resident_id}}
  attributes: {customer: {minor: {type: bool, personal: true}}}
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: administrators}
spec:
  match: {actions: [principal.write, principal.read, principal.offboard, policy.read, explain, consent.record]}
  roles: [administrator]
---
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: support}
spec:
  match: {actions: [lookup], stores: [crm]}
  roles: [support]
  purposes: [after_sales, marketing]
  fields: {name: reveal, phone: "keep(3,4)"}
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: marketing-needs-consent}
spec:
  match: {actions: [lookup], purposes: [marketing]}
  validations:
    - {name: given, expression: consent.state == GIVEN, reason: CONSENT_MISSING}
---
apiVersion: fujie.dev/v1
kind: Guard
metadata: {name: minors}
spec:
  match: {actions: [lookup]}
  validations:
    - {name: adult, expression: "!customer.minor", reason: CONSENT_MISSING}
"""


@dataclass
class Site:
    """Everything that a server needs, on disk. `values` is its configuration; `write` makes it the file."""

    root: Path
    values: dict[str, Any]
    signing_key: str
    kid: str
    environ: dict[str, str] = field(default_factory=dict)
    starts: int = 0

    @classmethod
    def create(cls, root: Path, customers: int = 50) -> "Site":
        """Write a site with a store of synthetic customers, keys, an empty ledger, an issuer, and policies."""
        root.mkdir(parents=True, exist_ok=True)
        create_store(root / "crm.db", customers)
        create_keys(root / "keys", KEYS)
        pem, jwks = new_signing_key()
        (root / "jwks.json").write_text(json.dumps(jwks), "utf-8")
        (root / "policies").mkdir()
        (root / "policies" / "base.yaml").write_text(POLICY, "utf-8")
        issuer = {"iss": ISSUER, "aud": AUDIENCE, "algs": ["ES256"], "jwks": str(root / "jwks.json")}
        values = {
            "server": dict.fromkeys(("listen", "http_listen", "metrics_listen"), "127.0.0.1:0"),
            "identity": {"issuers": [issuer]},
            "bootstrap": {"admins": [ADMIN]},
            "keys": {name: {"id": "k1", "file": str(root / "keys" / f"{name}.key")} for name in KEYS},
            "ledger": {"url": ledger_file(root / "ledger.db")},
            "audit": {"dir": str(root / "log"), "instance": INSTANCE},
            "policy": {"paths": [str(root / "policies")], "reload_seconds": 0.1},
            "stores": {
                "crm": {
                    "url": f"sqlite:///{root / 'crm.db'}",
                    "table": "customer",
                    "customer_id": "id",
                    "phone": {"column": "mobile", "format": "national"},
                    "fields": {"name": "full_name", "phone": "mobile", "id_card": "id_number"},
                    "attributes": {"minor": "minor"},
                }
            },
        }
        site = cls(root, values, pem, jwks["keys"][0]["kid"])
        site.write()
        return site

    def copied(self, root: Path) -> "Site":
        """Return the same site, as it is now, in another directory. No server may be running on it."""
        shutil.copytree(self.root, root)
        values = json.loads(json.dumps(self.values).replace(str(self.root), str(root)))
        site = replace(self, root=root, values=values, environ=dict(self.environ))
        site.write()
        return site

    @property
    def config(self) -> Path:
        return self.root / "fujie.yaml"

    @property
    def policy_file(self) -> Path:
        return self.root / "policies" / "base.yaml"

    @property
    def log(self) -> Path:
        return self.root / "log"

    def write(self) -> None:
        """Make `values` the configuration file."""
        self.config.write_text(yaml.safe_dump(self.values, sort_keys=False), "utf-8")

    def replace_policies(self, text: str) -> None:
        """Put other policies in place whole: a running server may look between the truncating and the writing of a file."""
        beside = self.root / "base.new"
        beside.write_text(text, "utf-8")
        beside.replace(self.policy_file)

    def use_static_tokens(self) -> None:
        """Believe STATIC_TOKEN as ADMIN: an unsafe setting."""
        path = self.root / "static.yaml"
        path.write_text(f"{sha256(STATIC_TOKEN.encode()).hexdigest()}: {ADMIN}\n", "utf-8")
        self.values["identity"]["unsafe_static_tokens"] = str(path)
        self.write()

    def token(self, principal: str, ttl_s: int = 3600, **claims: str) -> str:
        """Return a token of the site's issuer."""
        content = {"iss": ISSUER, "aud": AUDIENCE, "sub": principal, **claims}
        return mint(self.signing_key, content, self.kid, ttl_s, datetime.now(UTC))

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the command line to its end."""
        return subprocess.run(
            [sys.executable, "-m", "fujie", *arguments],
            capture_output=True, text=True, timeout=START_S, check=False, cwd=self.root, env=self._env(),
        )  # fmt: skip

    def refusal(self) -> list[dict[str, Any]]:
        """Start the server, which must refuse with exit code 5; return its problems."""
        done = self.command("serve", "--config", str(self.config))
        assert done.returncode == 5, (done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        lines = [json.loads(line) for line in done.stderr.splitlines()]
        assert "ready" not in {line["event"] for line in lines}
        return [line for line in lines if line["event"] == "cannot_start"]

    @contextmanager
    def running(self) -> Iterator["Server"]:
        """Start the server, wait until it is ready, and end it however the block ends."""
        server = self.starting()
        try:
            server.addresses = server.wait_for("ready")
            yield server
        finally:
            if server.process.poll() is None:
                server.process.kill()
            server.process.wait()

    def starting(self) -> "Server":
        """Start the server and wait for nothing; who calls ends it."""
        self.starts += 1
        output = self.root / f"server-{self.starts}.log"
        with output.open("wb") as sink:
            process = subprocess.Popen(
                [sys.executable, "-m", "fujie", "serve", "--config", str(self.config)],
                stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, cwd=self.root, env=self._env(),
            )  # fmt: skip
        return Server(self, process, output)

    def _env(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FUJIE_")}
        return {**inherited, "PYTHONPATH": str(ROOT / "proxy"), **self.environ}


@dataclass
class Server:
    """A running server. `addresses` is its `ready` event: `grpc`, `http`, `metrics` as `host:port`."""

    site: Site
    process: subprocess.Popen[bytes]
    output: Path
    addresses: Mapping[str, Any] = field(default_factory=dict)

    @property
    def grpc(self) -> str:
        return str(self.addresses["grpc"])

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Return the log so far, or the events of one name; a line that is not JSON fails the test."""
        complete = self.output.read_text("utf-8").rpartition("\n")[0]
        lines = [json.loads(line) for line in complete.splitlines()]
        return [line for line in lines if not name or line["event"] == name]

    def wait_for(self, name: str, count: int = 1) -> dict[str, Any]:
        """Return the event when it has come `count` times."""
        until = time.monotonic() + START_S
        while len(found := self.events(name)) < count:
            if self.process.poll() is not None or time.monotonic() > until:
                raise AssertionError(f"no event {name}:\n{self.output.read_text('utf-8')}")
            time.sleep(0.02)
        return found[-1]

    def get(self, listener: str, path: str) -> tuple[int, str]:
        """Return status and body of a GET to the listener `http` or `metrics`."""
        host, _, port = str(self.addresses[listener]).rpartition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=30)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def metrics(self) -> str:
        """Return all metrics as they are now: while a worker that serves is late for the scrape, the server has its counts of
        before, and is asked again."""
        until = time.monotonic() + START_S
        while _late(text := self._scraped()) and time.monotonic() < until:
            pass  # each scrape waits for those who are late
        return text

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's series with these labels; KeyError when there is none."""
        text = self._scraped() if name.startswith(_OF_SERVER) else self.metrics()
        found = [
            float(value)
            for given, value in re.findall(rf"^{name}(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
            if labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', given)).items()
        ]
        if not found:
            raise KeyError(name)
        return sum(found)

    def _scraped(self) -> str:
        status, text = self.get("metrics", "/metrics")
        assert status == 200
        return text

    def connect(self, principal: str, token: str = "") -> Stubs:
        """Return stubs that call as `principal`, or with `token`."""
        return connect(self.grpc, token or self.site.token(principal))

    def add_principal(self, principal: str, *roles: str) -> None:
        """Have the bootstrap administrator register an active employee."""
        employee = directory_v1.Principal(
            id=principal, kind=directory_v1.PRINCIPAL_KIND_EMPLOYEE, roles=roles,
            employment=directory_v1.EMPLOYMENT_ACTIVE, training=directory_v1.TRAINING_VALID,
        )  # fmt: skip
        stubs = self.connect(ADMIN)
        with stubs.channel:
            stubs.directory.UpsertPrincipal(
                directory_v1.UpsertPrincipalRequest(principal=employee), timeout=30
            )

    def worker(self, slot: int = 0) -> int:
        """Return the process id of the worker that serves `slot` now, or served it last."""
        ready = [event for event in self.events("worker_ready") if event["worker"] == f"w{slot}"]
        return int(ready[-1]["pid"])

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(START_S)


def probed_until(server: Server, word: str) -> tuple[int, str]:
    """Probe until the answer holds `word`: the server hears of a change of its worker a moment later."""
    until = time.monotonic() + START_S
    while word not in (answer := server.get("http", "/readyz"))[1]:
        assert time.monotonic() < until, answer
        time.sleep(0.05)
    return answer


def _late(metrics: str) -> set[str]:
    """Return the workers that serve, and did not answer this scrape."""
    said = {
        name: set(re.findall(rf'^fujie_worker_{name}{{worker="(\w+)"}} 1\.0$', metrics, re.MULTILINE))
        for name in ("serving", "reporting")
    }
    return said["serving"] - said["reporting"]


def lookup(
    customer_id: str, *fields: str, purpose: str = "after_sales"
) -> customer_v1.LookupCustomerRequest:
    """Return a look-up that the site's policies allow to `support`, for a customer of the store."""
    basis = {"after_sales": ("contract", "order-1"), "marketing": ("consent", "")}[purpose]
    ask = customer_v1.LookupCustomerRequest(
        customer=types_v1.CustomerRef(store_key=types_v1.StoreKey(store="crm", customer_id=customer_id)),
        context=types_v1.RequestContext(purpose=purpose, basis=basis[0], basis_evidence=basis[1]),
    )
    ask.read_mask.paths.extend(fields)
    return ask
