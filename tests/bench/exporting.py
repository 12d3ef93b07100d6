"""`make bench ARGS="export --rows 100000"`: an export beside the same rows streamed as they are.

One server process, one core (`exporting_server`), two methods in turn, a client of one process more on the other core. The
shipped policies, with a grant that shows ten fields of the store's twelve columns at the steps of a careful list (two of them are read
by rules: `minor`, `owner_department`). The third person of the guard on exports is taken to have agreed, and its limit on distinct
customers of a month stays in force and is counted, with room for all; cards are let through. The first export, which makes an identity for each customer, is told apart. CSV
comes back, is parsed, and must hold what every row is to show.

Then four workers of the real server: an offboarded principal's open streams, from the answer of OffboardPrincipal to the last byte.
"""

import argparse
import asyncio
import csv
import os
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any

import asyncpg
import grpc
import yaml
from google.protobuf.field_mask_pb2 import FieldMask

from bench import servers
from bench.exporting_server import METHOD, SERVICE
from fujie.app.client import connect
from fujie.app.demo.cast import ADMIN
from fujie.app.demo.server import running
from fujie.app.demo.site import BOOTSTRAP, Site, create_site
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import types_pb2 as types_v1

EXPORTER = "exporter"
_FEW = 10_000
_BEGUN = 2_000
"""Rows behind which a principal is offboarded."""

_FIELDS = (
    "customer_no", "name", "phone", "id_card", "bank_card", "email", "address", "birthday", "plate", "gender",
)  # fmt: skip
_GRANT = """\
apiVersion: fujie.dev/v1
kind: Grant
metadata: {name: bench-lists}
spec:
  match: {actions: [export], keys: [customer_id]}
  roles: [list_exporter]
  purposes: [after_sales]
  condition: principal.department == customer.owner_department || request.has_ticket
  fields:
    customer_no: reveal
    name: "keep(1,0)"
    phone: "keep(3,4)"
    id_card: "keep(1,1)"
    bank_card: "keep(0,4)"
    email: "before(@,1)"
    address: region(city)
    birthday: date_part(year)
    plate: "keep(2,2)"
    gender: reveal
"""
_TIER = re.compile(r"(never_from: )\d+")
_LIMITS = re.compile(r"(distinct_customers_per_month: )\d+")
_AGREED = "request.rows < params.two_approvals_from || request.rows >= params.never_from"

_ENDED = {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.FAILED_PRECONDITION}
"""How the stream of somebody ends who left: he is looked at, or the offboarding has closed his export before."""

Stubs = Any


@dataclass(frozen=True, slots=True)
class Measured:
    """Rows a second of one stream, and the CPU of each, in µs, of all threads of the server."""

    rate: float
    cpu_us: float


def exporting(scratch: Path, options: argparse.Namespace) -> None:
    """Measure, check, print."""
    for store in options.store.split(","):
        with ExitStack() as open_:
            root = scratch / store
            url = (
                open_.enter_context(servers.postgresql(scratch / f"pg-{store}"))
                if "postgresql" in (store, options.ledger)
                else ""
            )
            site = _site(root, options.rows, url if options.ledger == "postgresql" else "")
            if store == "postgresql":
                _move_store(site, url)
            print(
                f"\n{options.rows:,} rows, store in {store}, ledger in {options.ledger}; load of the machine {os.getloadavg()[0]:.1f}\n"
            )
            _compare(site, options)


def _compare(site: Site, options: argparse.Namespace) -> None:
    with _serving(site, options.profile, is_pinned=options.cores == "one") as server:
        _register(site, BOOTSTRAP, ADMIN, "administrator")
        _register(site, ADMIN, EXPORTER, "list_exporter")
        stubs = connect(site.grpc, site.token(EXPORTER))
        methods = {"raw": _raw(site, stubs), "export": stubs.customers.ExportCustomers}
        expected = _count(site)
        first, _ = _stream(server, methods["export"], _asked(options.rows), expected)
        print(
            f"first export, an identity for each: {first.rate:,.0f} rows/s, {first.cpu_us:.0f} µs of CPU a row"
        )
        _stream(server, methods["raw"], _asked(options.rows), expected)
        measured: dict[str, list[Measured]] = {name: [] for name in methods}
        memory = []
        for number in range(options.rounds):
            for name, method in methods.items():
                is_profiled = options.profile and number == options.rounds - 1 and name == options.profiled
                if is_profiled:
                    os.kill(server.pid, signal.SIGUSR1)
                one, data = _stream(server, method, _asked(options.rows), expected)
                if is_profiled:
                    os.kill(server.pid, signal.SIGUSR1)
                    continue
                measured[name].append(one)
                memory.append(server.most_mb)
                if number == 0:
                    _check(site, data, is_masked=name == "export")
        _report(measured, options.cores)
        server.most_mb = 0.0
        _stream(server, methods["export"], _asked(_FEW), min(_FEW, expected))
        print(
            f"memory of the server: {server.most_mb:.0f} MB at {_FEW:,} rows, {max(memory):.0f} MB at {options.rows:,}"
        )
        stubs.channel.close()


def _report(measured: dict[str, list[Measured]], cores: str) -> None:
    print(f"| {cores} of the cores | rows/s, median | min | max | µs of CPU a row |\n|---|---|---|---|---|")
    for name, rounds in measured.items():
        rates = [each.rate for each in rounds]
        cpu = statistics.median(each.cpu_us for each in rounds)
        print(
            f"| {name} | {statistics.median(rates):,.0f} | {min(rates):,.0f} | {max(rates):,.0f} | {cpu:.1f} |"
        )
    pairs = list(zip(measured["raw"], measured["export"], strict=False))
    for what, ratios in (
        ("rate", [export.rate / raw.rate for raw, export in pairs]),
        ("CPU", [raw.cpu_us / export.cpu_us for raw, export in pairs]),
    ):
        print(
            f"\nexport to raw, by {what}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    print(f"load of the machine {os.getloadavg()[0]:.1f}")


class _Server:
    """The server process: its CPU, and the most memory that was seen."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.pid = process.pid
        self.most_mb = 0.0

    def look(self) -> None:
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        self.most_mb = max(self.most_mb, pages * os.sysconf("SC_PAGE_SIZE") / 1e6)

    @property
    def cpu_s(self) -> float:
        after_name = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")


def _stream(server: _Server, method: Any, asked: Any, expected: int) -> tuple[Measured, bytes]:
    """Take one stream to its end; return what it took, and the file. Raises SystemExit for another number of rows."""
    pieces, rows = list[bytes](), 0
    cpu, started = server.cpu_s, perf_counter()
    for number, reply in enumerate(method(asked)):
        pieces.append(getattr(reply, reply.WhichOneof("part")).data)
        rows += reply.chunk.rows
        if number % 20 == 0:
            server.look()
    seconds, used = perf_counter() - started, server.cpu_s - cpu
    if rows != expected:
        raise SystemExit(f"{expected} rows were expected, {rows} came")
    return Measured(rows / seconds, used / rows * 1e6), b"".join(pieces)


def _check(site: Site, data: bytes, *, is_masked: bool) -> None:
    """Hold the file against the store. Raises SystemExit."""
    heading, *lines = csv.reader(StringIO(data.decode("utf-8-sig"), newline=""))
    footer = lines.pop() if is_masked else ["# fujie"]
    stored = sqlite3.connect(site.root / "crm.db")
    columns = (
        "id, full_name, mobile, id_number, card_number, email, address, birthday, plate, gender, minor"
    )
    known = stored.execute(f"SELECT {columns} FROM customer ORDER BY id").fetchall()
    stored.close()
    if heading != sorted(_FIELDS) or not footer[0].startswith("# fujie") or len(lines) != len(known):
        raise SystemExit(f"the file has another form: {len(lines)} lines, {heading}, {footer}")
    for line, (*row, is_minor) in zip(lines, known, strict=True):
        to_show = dict(
            zip(_FIELDS, _shown(row, is_minor=bool(is_minor)) if is_masked else row, strict=True)
        )
        if dict(zip(heading, line, strict=True)) != to_show:
            raise SystemExit(f"a row shows {line}, and not {to_show}")  # nobody in the store exists


def _shown(row: list[str], *, is_minor: bool) -> list[str]:
    number, name, phone, card, bank, email, address, birthday, plate, gender = row
    surname = name[: 2 if int(number[1:]) % 50 == 0 else 1]
    tail = phone[-2 if is_minor else -4 :]
    city = re.match("..市|.*?省..市", address)
    assert city
    return [
        number,
        f"{surname}**",
        f"{phone[:3]}{'*' * (8 - len(tail))}{tail}",
        f"{card[0]}{'*' * 16}{card[-1]}",
        f"{'*' * (len(bank) - 4)}{bank[-4:]}",
        f"{email[0]}***@{email.partition('@')[2]}",
        f"{city[0]}****",
        f"{birthday[:4]}-**-**",
        f"{plate[:3]}***{plate[-2:]}",
        gender,
    ]


def _asked(rows: int) -> customer_v1.ExportCustomersRequest:
    return customer_v1.ExportCustomersRequest(
        store="crm",
        context=types_v1.RequestContext(
            purpose="after_sales", basis="contract", basis_evidence="orders-7", ticket="T-1"
        ),
        read_mask=FieldMask(paths=_FIELDS),
        max_rows=rows,
        format=customer_v1.EXPORT_FORMAT_CSV,
    )


def _raw(site: Site, stubs: Stubs) -> Any:
    """Return the method of the bench; it takes the same request, and the same token."""
    call = stubs.channel.unary_stream(
        f"/{SERVICE}/{METHOD}",
        customer_v1.ExportCustomersRequest.SerializeToString,
        customer_v1.ExportCustomersResponse.FromString,
    )
    token = (("authorization", f"Bearer {site.token(EXPORTER)}"),)
    return lambda asked: call(asked, metadata=token)


def _site(root: Path, rows: int, ledger: str, principals: tuple[str, ...] = ()) -> Site:
    """Make a site with a store of so many customers."""
    site = create_site(root, (EXPORTER, ADMIN, *principals), datetime.now(UTC), rows)
    config = yaml.safe_load(site.config.read_text())
    # About noon: the shipped guard on unusual hours would add a warning at night.
    hours = datetime.now(UTC).hour - 12
    config["policy"]["zone"] = f"Etc/GMT{hours:+}" if hours else "Etc/GMT"
    if ledger:
        config["ledger"]["url"] = ledger
    site.config.write_text(yaml.safe_dump(config, allow_unicode=True))
    policies = root / "policies"
    (policies / "bench.yaml").write_text(_GRANT, "utf-8")
    guards = policies / "guards.yaml"
    kept = [
        each
        for each in guards.read_text("utf-8").split("\n---\n")
        if "{name: sensitive-exports-need-four-eyes}" not in each
    ]
    written = _TIER.sub(r"\g<1>9000000", "\n---\n".join(kept))
    assert _AGREED in written
    written = written.replace(_AGREED, f"{_AGREED} || request.has_ticket")
    guards.write_text(_LIMITS.sub(r"\g<1>9000000", written), "utf-8")
    return site


def _count(site: Site) -> int:
    with closing(sqlite3.connect(site.root / "crm.db")) as store:
        (count,) = store.execute("SELECT COUNT(*) FROM customer").fetchone()
    return int(count)


def _move_store(site: Site, url: str) -> None:
    """Put the customers into PostgreSQL, and let the configuration say so."""
    with closing(sqlite3.connect(site.root / "crm.db")) as store:
        rows = store.execute("SELECT * FROM customer")
        names = [each[0] for each in rows.description]
        asyncio.run(_copied(url, names, rows))
    config = yaml.safe_load(site.config.read_text())
    config["stores"]["crm"]["url"] = url
    site.config.write_text(yaml.safe_dump(config, allow_unicode=True))


async def _copied(url: str, names: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    connection = await asyncpg.connect(url)
    types = {"id": 'text COLLATE "C" PRIMARY KEY', "minor": "boolean"}
    columns = ", ".join(f"{name} {types.get(name, 'text')}" for name in names)
    await connection.execute(f"CREATE TABLE customer ({columns})")
    place = names.index("minor")
    typed = ((*row[:place], bool(row[place]), *row[place + 1 :]) for row in rows)
    await connection.copy_records_to_table("customer", records=typed)
    await connection.execute("ANALYZE customer")
    await connection.close()


@contextmanager
def _serving(site: Site, profile: str, *, is_pinned: bool = True) -> Iterator[_Server]:
    """Serve a site by `exporting_server`, on core 0 where it is pinned, and let us go on on another."""
    cores = os.sched_getaffinity(0)
    command = [
        sys.executable,
        "-m",
        "bench.exporting_server",
        str(site.config),
        *([profile] if profile else []),
    ]
    os.sched_setaffinity(0, {0} if is_pinned else cores)  # what we start inherits it
    try:
        with (
            (site.root / "server.log").open("wb") as log,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as process,
        ):
            try:
                os.sched_setaffinity(0, {1} if is_pinned and len(cores) > 1 else cores)
                assert process.stdout
                if process.stdout.readline() != "ready\n":
                    raise SystemExit((site.root / "server.log").read_text("utf-8", "replace")[-2000:])
                yield _Server(process)
            finally:
                process.terminate()
    finally:
        os.sched_setaffinity(0, cores)


def _register(site: Site, by: str, name: str, role: str) -> None:
    stubs = connect(site.grpc, site.token(by))
    principal = directory_v1.Principal(
        id=name, kind=directory_v1.PRINCIPAL_KIND_EMPLOYEE, roles=[role], department="east",
        employment=directory_v1.EMPLOYMENT_ACTIVE, training=directory_v1.TRAINING_VALID,
    )  # fmt: skip
    stubs.directory.UpsertPrincipal(directory_v1.UpsertPrincipalRequest(principal=principal))
    stubs.channel.close()


def leave(scratch: Path, options: argparse.Namespace) -> None:
    """Offboard one principal after the other, each in the middle of an export; print how long its stream went on."""
    names = tuple(f"leaver-{number:03}" for number in range(options.leaving))
    site = _site(scratch / "site", options.rows, "", names)
    config = yaml.safe_load(site.config.read_text())
    config["server"]["workers"] = 4
    site.config.write_text(yaml.safe_dump(config, allow_unicode=True))
    late, overall, left = list[float](), list[float](), list[int]()
    with running(site, scratch / "server.log"):
        _register(site, BOOTSTRAP, ADMIN, "administrator")
        admin = connect(site.grpc, site.token(ADMIN))
        for name in names:
            _register(site, ADMIN, name, "list_exporter")
            stream = _Stream(site, name, options.rows)
            stream.has_begun.wait(30)
            asked = perf_counter()
            admin.directory.OffboardPrincipal(directory_v1.OffboardPrincipalRequest(id=name))
            answered = perf_counter()
            stream.thread.join()
            if stream.code not in _ENDED:
                raise SystemExit(
                    f"a stream ended with {stream.code}, not by the offboarding: ask for more rows"
                )
            late.append(max(0.0, stream.last - answered))
            overall.append(stream.last - asked)
            left.append(stream.rows)
        admin.channel.close()
    print(
        f"{len(names)} principals offboarded in the middle of an export, four workers; load of the machine {os.getloadavg()[0]:.1f}"
    )
    for what, times in (
        ("from the answer to the last byte", late),
        ("from the call to the last byte", overall),
    ):
        cuts = statistics.quantiles(times, n=100, method="inclusive")
        print(
            f"- {what}: p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms, most {max(times) * 1000:.0f} ms"
        )
    print(f"- rows that had left: {min(left):,} to {max(left):,} of {options.rows:,}")


class _Stream:
    """An export that a thread reads as fast as it comes, until it ends."""

    def __init__(self, site: Site, name: str, rows: int) -> None:
        self.has_begun = Event()
        self.last, self.rows, self.code = 0.0, 0, grpc.StatusCode.OK
        self._site, self._name, self._asked = site, name, rows
        self.thread = Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        stubs = connect(self._site.grpc, self._site.token(self._name))
        try:
            for reply in stubs.customers.ExportCustomers(_asked(self._asked)):
                self.last = perf_counter()
                self.rows += reply.chunk.rows
                if self.rows >= _BEGUN:
                    self.has_begun.set()
        except grpc.RpcError as error:
            self.code = error.code()
        self.has_begun.set()
        stubs.channel.close()
