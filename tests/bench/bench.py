"""`make bench`: what a look-up costs, as ratios measured side by side in one run.

1. LookupCustomer through the real server (demo site: base policies, SQLite store, durable entry)
   against a bare grpc.aio echo with the same message sizes; each server alone on one core, the load
   from h2load on the other, the two in turn.
2. The stages of a look-up, from the server's own histograms under that load.
3. `decide` cold and repeated, `derive`, masking, entry bytes, append alone and among 32, in this process.

Prints Markdown; docs/performance.md holds a run with the machine's size. Needs h2load (nghttp2) for 1 and 2.
"""

import argparse
import asyncio
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter, process_time
from zoneinfo import ZoneInfo

import yaml
from google.protobuf.field_mask_pb2 import FieldMask

from fujie.adapters.logstart import open_log
from fujie.adapters.tilelog import TileLog
from fujie.app.client import connect
from fujie.app.demo.customers import SHOWN
from fujie.app.demo.server import get, running
from fujie.app.demo.site import BOOTSTRAP, Site, create_site
from fujie.app.demo.story import ADMIN, ROLES, SUPPORT
from fujie.app.shipped import shipped_policies
from fujie.audit.checkpoint import Signer, origin_of
from fujie.decision.decide import decide
from fujie.decision.decider import Decider
from fujie.decision.facts import Raw, derive
from fujie.model.principal import Principal
from fujie.model.request import Request
from fujie.model.vocabulary import Action
from fujie.policy.bundle import Bundle
from fujie.policy.compile import compile_bundle
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import types_pb2 as types_v1

SERVER_CORE, LOAD_CORE = 0, 1
METHOD = "/fujie.v1.CustomerDataService/LookupCustomer"
CONNECTIONS, STREAMS = 4, 16
_RATE = re.compile(r"finished in .*?, ([\d.]+) req/s")
_DONE = re.compile(r"requests: (\d+) total.* (\d+) succeeded, (\d+) failed")
_STAGE = re.compile(r'^fujie_stage_seconds_(sum|count)\{stage="(\w+)"\} (\S+)$', re.MULTILINE)
_ALLOWED = re.compile(r'^fujie_decisions_total\{action="lookup",effect="ALLOW".*\} (\S+)$', re.MULTILINE)


def main() -> None:
    arguments = argparse.ArgumentParser(description="Measure fujie side by side with the bare stack.")
    arguments.add_argument(
        "--rounds", type=int, default=5, help="rounds of echo and fujie in turn (default 5)"
    )
    arguments.add_argument("--requests", type=int, default=6_000, help="requests a round (default 6000)")
    options = arguments.parse_args()
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores; medians of {options.rounds} rounds\n")
    with tempfile.TemporaryDirectory() as scratch:
        if shutil.which("h2load"):
            through_the_server(Path(scratch), options.rounds, options.requests)
        else:
            print(
                "h2load is not installed (Debian: nghttp2-client): the server is not measured\n",
                file=sys.stderr,
            )
        in_process(Path(scratch))


def through_the_server(scratch: Path, rounds: int, requests: int) -> None:
    site = create_site(scratch / "site", tuple(ROLES), datetime.now(UTC))
    _at_noon(site)
    with running(site, site.root / "server.log") as process:
        os.sched_setaffinity(process.pid, {SERVER_CORE})
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {SERVER_CORE})
        ask, reply_size = _prepared(site)
        body = scratch / "body"
        body.write_bytes(b"\0" + len(ask).to_bytes(4, "big") + ask)
        token = site.token(SUPPORT)
        with _echo(reply_size) as echo:
            rates: dict[str, list[float]] = {"echo": [], "fujie": []}
            _load(echo, body, token, requests // 4)
            _load(site.grpc, body, token, requests // 4)
            before, allowed = _stages(site), _allowed(site)
            for _ in range(rounds):
                rates["echo"].append(_load(echo, body, token, requests))
                rates["fujie"].append(_load(site.grpc, body, token, requests))
            counted = _allowed(site) - allowed
            if counted != rounds * requests:
                raise SystemExit(
                    f"{rounds * requests} look-ups were sent, {counted:.0f} were allowed: nothing measured"
                )
            _report(rates, len(ask), reply_size)
            _report_stages(before, _stages(site))


def in_process(scratch: Path) -> None:
    """Measure the pure parts with the base policies, and the log on this disk."""
    files = {path.name: path.read_bytes() for path in sorted((shipped_policies() / "base").glob("*.yaml"))}
    bundle = compile_bundle(files)
    if not isinstance(bundle, Bundle):
        raise SystemExit("\n".join(map(str, bundle)))
    decider = Decider(bundle)
    request = Request(
        Action.LOOKUP, "after_sales", "contract", "crm", "customer_id", ("name", "phone"), has_basis_evidence=True, has_ticket=True
    )  # fmt: skip
    principal = Principal(SUPPORT, roles=frozenset({"support"}), department="east")
    raw = Raw(principal, (), "sid", {"minor": 0, "owner_department": "east"})
    plan = decider.plan(request, principal.roles)
    now, zone = datetime.now(UTC), ZoneInfo("Asia/Shanghai")
    facts = derive(bundle, request, raw, now, zone)
    rows = [
        (
            f"decide, cold ({len(plan.all_rules.rules)} rules)",
            _best(lambda: decide(plan, request, facts)),
        ),
        ("decide, repeated", _best(lambda: decider.decide(plan, request, facts))),
        ("derive the facts", _best(lambda: derive(bundle, request, raw, now, zone))),
    ]
    for waiters, appends in ((1, 2_000), (32, 40_000)):
        per_second = asyncio.run(_appends(scratch / f"log{waiters}", waiters, appends))
        rows.append((f"durable append, {waiters} waiting ({per_second:,.0f}/s)", 1e6 / per_second))
    print("| part, in process | µs |\n|---|---|")
    for name, micros in rows:
        print(f"| {name} | {micros:.1f} |")


async def _appends(directory: Path, waiters: int, appends: int) -> float:
    log = TileLog(
        open_log(directory, Signer(origin_of("bench", 0), bytes(32))),
        clock=perf_counter,
        cpu=process_time,
        keep=lambda note: None,
    )

    async def append(count: int) -> None:
        for _ in range(count):
            await log.append(b"x" * 700)

    started = perf_counter()
    await asyncio.gather(*(append(appends // waiters) for _ in range(waiters)))
    taken = perf_counter() - started
    log.close()
    return appends / taken


def _at_noon(site: Site) -> None:
    """Put the site where it is about noon: the shipped guard on unusual hours would add a warning at night."""
    config = yaml.safe_load(site.config.read_text())
    hours = datetime.now(UTC).hour - 12  # POSIX signs: Etc/GMT+10 is ten hours behind
    config["policy"]["zone"] = f"Etc/GMT{hours:+}" if hours else "Etc/GMT"
    site.config.write_text(yaml.safe_dump(config))


def _prepared(site: Site) -> tuple[bytes, int]:
    """Register the principals, make the look-up once, and return its bytes and the size of the reply."""
    for by, name in ((BOOTSTRAP, ADMIN), (ADMIN, SUPPORT)):
        principal = directory_v1.Principal(
            id=name, kind=directory_v1.PRINCIPAL_KIND_EMPLOYEE, roles=[ROLES[name]], department="east",
            employment=directory_v1.EMPLOYMENT_ACTIVE, training=directory_v1.TRAINING_VALID,
        )  # fmt: skip
        stubs = connect(site.grpc, site.token(by))
        stubs.directory.UpsertPrincipal(directory_v1.UpsertPrincipalRequest(principal=principal))
        stubs.channel.close()
    ask = customer_v1.LookupCustomerRequest(
        customer=types_v1.CustomerRef(store_key=types_v1.StoreKey(store="crm", customer_id=SHOWN)),
        context=types_v1.RequestContext(
            purpose="after_sales", basis="contract", basis_evidence="order-7", ticket="T-1"
        ),
        read_mask=FieldMask(paths=["name", "phone"]),
    )
    stubs = connect(site.grpc, site.token(SUPPORT))
    reply = stubs.customers.LookupCustomer(ask)
    stubs.channel.close()
    return ask.SerializeToString(), len(reply.SerializeToString())


@contextmanager
def _echo(reply_size: int) -> Iterator[str]:
    command = [
        "taskset",
        "-c",
        str(SERVER_CORE),
        sys.executable,
        str(Path(__file__).with_name("echo.py")),
        str(reply_size),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            yield f"127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


def _load(address: str, body: Path, token: str, requests: int) -> float:
    """Return requests per second."""
    command = [
        "taskset", "-c", str(LOAD_CORE), "h2load", "-n", str(requests), "-c", str(CONNECTIONS), "-m", str(STREAMS), "-d", str(body),
        "-H", "content-type: application/grpc", "-H", "te: trailers", "-H", f"authorization: Bearer {token}",
        f"http://{address}{METHOD}",
    ]  # fmt: skip
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate, done = _RATE.search(output), _DONE.search(output)
    if not rate or not done or int(done[2]) != requests:
        raise SystemExit(f"the load did not go through:\n{output}")
    return float(rate[1])


def _report(rates: dict[str, list[float]], ask_size: int, reply_size: int) -> None:
    ratios = [fujie / echo for echo, fujie in zip(rates["echo"], rates["fujie"], strict=True)]
    print(f"{CONNECTIONS} connections x {STREAMS} streams, {ask_size} bytes asked, {reply_size} answered\n")
    print("| one core each | requests/s, median | min | max |\n|---|---|---|---|")
    for name, values in rates.items():
        print(f"| {name} | {statistics.median(values):,.0f} | {min(values):,.0f} | {max(values):,.0f} |")
    print(
        f"\n**fujie / echo = {statistics.median(ratios):.2f}** (rounds: {min(ratios):.2f} to {max(ratios):.2f})\n"
    )


def _stages(site: Site) -> dict[str, tuple[float, float]]:
    found: dict[str, dict[str, float]] = {}
    for what, stage, value in _STAGE.findall(get(site.metrics, "/metrics")):
        found.setdefault(stage, {})[what] = float(value)
    return {stage: (values["sum"], values["count"]) for stage, values in found.items()}


def _allowed(site: Site) -> float:
    return sum(map(float, _ALLOWED.findall(get(site.metrics, "/metrics"))))


def _report_stages(before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]) -> None:
    print("| stage, under that load (waiting included) | µs, mean |\n|---|---|")
    for stage, (total, count) in after.items():
        earlier = before.get(stage, (0.0, 0.0))
        if count > earlier[1]:
            print(f"| {stage} | {(total - earlier[0]) / (count - earlier[1]) * 1e6:.0f} |")
    print()


def _best(call: Callable[[], object], repeat: int = 7, number: int = 2_000) -> float:
    """Return microseconds a call: the least of several runs, since noise only adds."""
    times = []
    for _ in range(repeat):
        started = perf_counter()
        for _ in range(number):
            call()
        times.append((perf_counter() - started) / number)
    return min(times) * 1e6


if __name__ == "__main__":
    main()
