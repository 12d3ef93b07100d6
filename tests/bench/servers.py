"""The servers that are compared: a bare echo, fujie in several shapes, Cerbos; each a real process on its cores."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import yaml
from google.protobuf.field_mask_pb2 import FieldMask

from fujie.app.client import connect
from fujie.app.demo.cast import ADMIN, ROLES
from fujie.app.demo.server import get, running
from fujie.app.demo.site import BOOTSTRAP, Site, create_site
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import types_pb2 as types_v1

METHOD = "/fujie.v1.CustomerDataService/LookupCustomer"
_DAILY = re.compile(r"(distinct_customers_per_day: )\d+")
CHECK = "/cerbos.svc.v1.CerbosService/CheckResources"


@dataclass(frozen=True, slots=True)
class Shape:
    """How fujie is set up: its ledger (a database URL, SQLite when empty), workers, customers, callers."""

    ledger: str = ""
    workers: int = 1
    customers: int = 10_000
    callers: int = 1
    cores: str = "0"


def agents(count: int) -> tuple[str, ...]:
    """Return the names of the callers."""
    return tuple(f"agent-{number:03}" for number in range(count))


@contextmanager
def fujie(root: Path, shape: Shape) -> Iterator[Site]:
    """Serve a fresh site in this shape, its principals registered."""
    names = agents(shape.callers)
    site = create_site(root, (*ROLES, *names), datetime.now(UTC), shape.customers)
    config = yaml.safe_load(site.config.read_text())
    config["server"]["workers"] = shape.workers
    # About noon: the shipped guard on unusual hours would add a warning at night.
    hours = datetime.now(UTC).hour - 12  # POSIX signs: Etc/GMT+10 is ten hours behind
    config["policy"]["zone"] = f"Etc/GMT{hours:+}" if hours else "Etc/GMT"
    if shape.ledger:
        config["ledger"]["url"] = shape.ledger
    site.config.write_text(yaml.safe_dump(config))
    for file in (root / "policies").glob("*.yaml"):
        # The shipped limits stay in force and are counted, with room for thousands of customers a day.
        file.write_text(_DAILY.sub(r"\g<1>1000000", file.read_text("utf-8")), "utf-8")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(core) for core in shape.cores.split(",")})  # what we start inherits it
    try:
        with running(site, root / "server.log"):
            os.sched_setaffinity(0, before)
            _register(site, BOOTSTRAP, ADMIN, "administrator")
            for name in names:
                _register(site, ADMIN, name, "support")
            yield site
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(config: Path) -> float:
    """Return the CPU that the server of a configuration and its workers have used so far."""
    found: set[str] = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(config).encode() in (process / "cmdline").read_bytes().split(b"\0"):
                children = (process / "task" / process.name / "children").read_text().split()
                found |= {process.name, *children}
    ticks = 0.0
    for pid in found:
        with suppress(OSError):
            after_name = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()
            ticks += int(after_name[11]) + int(after_name[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def fill_ledger(path: Path, count: int) -> None:
    """Put `count` strangers into a SQLite ledger, so that indexes have the depth of a large one."""
    connection = sqlite3.connect(path)
    with connection:
        (start,) = connection.execute("SELECT value FROM change_counter").fetchone()
        # First: what the server writes meanwhile draws numbers beyond ours.
        connection.execute("UPDATE change_counter SET value = ?", (start + 2 * count + 2,))
        columns = [row[1] for row in connection.execute("PRAGMA table_info(alias)")]
        for number in range(count):
            if number % 10_000 == 0:
                connection.commit()  # the server, which runs, must get its turn to write
            row = {
                "kind": "store_key", "scope": "crm", "key_version": "k1", "digest": os.urandom(32),
                "sid": f"sid_{number:032x}", "valid_from": 1, "valid_to": None,
                "change_seq": start + 2 * number + 2,
            }  # fmt: skip
            connection.execute(
                "INSERT INTO subject (sid, wrapped_key, created_at, is_linked, change_seq) VALUES (?, ?, 1, 0, ?)",
                (row["sid"], os.urandom(60), start + 2 * number + 1),
            )
            known = [name for name in columns if name in row]
            connection.execute(
                f"INSERT INTO alias ({', '.join(known)}) VALUES ({', '.join('?' * len(known))})",
                [row[name] for name in known],
            )
    connection.close()


def asks(customers: Sequence[int]) -> list[bytes]:
    """Return a look-up of name and phone for each customer's number, with a ticket, as support asks."""
    context = types_v1.RequestContext(
        purpose="after_sales", basis="contract", basis_evidence="order-7", ticket="T-1"
    )
    return [
        customer_v1.LookupCustomerRequest(
            customer=types_v1.CustomerRef(
                store_key=types_v1.StoreKey(store="crm", customer_id=f"C{number:05}")
            ),
            context=context,
            read_mask=FieldMask(paths=["name", "phone"]),
        ).SerializeToString()
        for number in customers
    ]


def reply_size(site: Site, body: bytes) -> int:
    """Return how many bytes the answer to a look-up has."""
    stubs = connect(site.grpc, site.token(agents(1)[0]))
    reply = stubs.customers.LookupCustomer(customer_v1.LookupCustomerRequest.FromString(body))
    stubs.channel.close()
    return len(reply.SerializeToString())


def _register(site: Site, by: str, name: str, role: str) -> None:
    stubs = connect(site.grpc, site.token(by))
    principal = directory_v1.Principal(
        id=name, kind=directory_v1.PRINCIPAL_KIND_EMPLOYEE, roles=[role], department="east",
        employment=directory_v1.EMPLOYMENT_ACTIVE, training=directory_v1.TRAINING_VALID,
    )  # fmt: skip
    stubs.directory.UpsertPrincipal(directory_v1.UpsertPrincipalRequest(principal=principal))
    stubs.channel.close()


@contextmanager
def echo(reply_size: int) -> Iterator[str]:
    """Serve the bare echo on core 0."""
    script = str(Path(__file__).with_name("echo.py"))
    command = ["taskset", "-c", "0", sys.executable, script, str(reply_size)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


_CERBOS_POLICY = {
    "apiVersion": "api.cerbos.dev/v1",
    "resourcePolicy": {
        "version": "default",
        "resource": "customer",
        "rules": [
            {"actions": ["lookup"], "effect": "EFFECT_ALLOW", "roles": ["support"],
             "condition": {"match": {"any": {"of": [
                 {"expr": "P.attr.department == R.attr.owner_department"},
                 {"expr": "R.attr.has_ticket"}]}}}},
            {"actions": ["lookup"], "effect": "EFFECT_DENY", "roles": ["*"],
             "condition": {"match": {"expr":
                 "R.attr.basis == 'consent' && !(R.attr.consent_state == 'GIVEN' && R.attr.consent_explicit)"}}},
            {"actions": ["lookup"], "effect": "EFFECT_DENY", "roles": ["*"],
             "condition": {"match": {"expr": "R.attr.minor && !R.attr.has_ticket"}}},
            {"actions": ["lookup"], "effect": "EFFECT_DENY", "roles": ["*"],
             "condition": {"match": {"expr":
                 "R.attr.fields.exists(f, f in ['id_card', 'bank_card']) && R.attr.training != 'VALID'"}}},
        ],
    },
}  # fmt: skip


def cerbos_binary() -> str | None:
    """Return the path of Cerbos: $CERBOS, or `cerbos` on the PATH (npm package `cerbos`); None without it."""
    return os.environ.get("CERBOS") or shutil.which("cerbos")


@contextmanager
def cerbos(
    root: Path, binary: str, cores: str = "0", policy: Mapping[str, Any] = _CERBOS_POLICY
) -> Iterator[str]:
    """Serve Cerbos; by default with the nearest equal of the look-up's policy: it is given every fact, and decides only."""
    (root / "policies").mkdir(parents=True)
    (root / "policies" / "customer.yaml").write_text(json.dumps(policy))
    ports = []
    for _ in range(2):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            ports.append(probe.getsockname()[1])
    config = {
        "server": {"httpListenAddr": f"127.0.0.1:{ports[0]}", "grpcListenAddr": f"127.0.0.1:{ports[1]}"},
        "storage": {"driver": "disk", "disk": {"directory": str(root / "policies")}},
        "telemetry": {"disabled": True},
    }
    (root / "cerbos.yaml").write_text(yaml.safe_dump(config))
    command = ["taskset", "-c", cores, binary, "server", "--config", str(root / "cerbos.yaml")]
    environment = {**os.environ, "GOMAXPROCS": str(len(cores.split(",")))}
    with (
        (root / "cerbos.log").open("wb") as log,
        subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, start_new_session=True
        ) as process,
    ):
        try:
            until = monotonic() + 20
            while not get(f"127.0.0.1:{ports[0]}", "/_cerbos/health"):
                if process.poll() is not None or monotonic() > until:
                    raise SystemExit(f"Cerbos did not start: {(root / 'cerbos.log').read_text()[-400:]}")
                sleep(0.05)
            yield f"127.0.0.1:{ports[1]}"
        finally:
            os.killpg(
                process.pid, signal.SIGTERM
            )  # the npm package starts the binary from a script of its own


def cerbos_check() -> bytes:
    """Return a CheckResourcesRequest for one resource, written by hand: its protos are not ours to carry.

    Fields (cerbos.request.v1): CheckResourcesRequest{request_id=1, principal=3, resources=4};
    Principal{id=1, roles=3, attr=4 (map)}; ResourceEntry{actions=1, resource=2};
    Resource{kind=1, id=3, attr=4 (map)}.
    """
    from google.protobuf.struct_pb2 import ListValue, Value

    def field(number: int, content: bytes) -> bytes:
        return varint(number << 3 | 2) + varint(len(content)) + content

    def text(number: int, value: str) -> bytes:
        return field(number, value.encode())

    def attributes(number: int, values: dict[str, Value]) -> bytes:
        return b"".join(
            field(number, text(1, name) + field(2, value.SerializeToString()))
            for name, value in values.items()
        )

    def of(value: str) -> Value:
        return Value(string_value=value)

    principal = text(1, "agent-000") + text(3, "support") + attributes(4, {"department": of("east")})
    facts = {
        "owner_department": of("east"), "basis": of("contract"), "consent_state": of("NONE"),
        "consent_explicit": Value(bool_value=False), "minor": Value(bool_value=False),
        "has_ticket": Value(bool_value=True), "training": of("VALID"),
        "fields": Value(list_value=ListValue(values=[of("name"), of("phone")])),
    }  # fmt: skip
    resource = text(1, "customer") + text(3, "C00001") + attributes(4, facts)
    return text(1, "r-1") + field(3, principal) + field(4, text(1, "lookup") + field(2, resource))


def varint(number: int) -> bytes:
    """Return a number as protobuf writes it."""
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


@contextmanager
def postgresql(root: Path) -> Iterator[str]:
    """Start a real PostgreSQL from its wheel; its processes share the load's core, off the measured one."""
    import pgserver

    server = pgserver.get_server(str(root))  # type: ignore[attr-defined]  # exported by its __init__, not in __all__
    try:
        with suppress(FileNotFoundError):
            for line in (root / "postmaster.pid").read_text().splitlines()[:1]:
                subprocess.run(["taskset", "-a", "-p", "-c", "1", line], capture_output=True, check=False)
        yield server.get_uri()
    finally:
        server.cleanup()
