"""`make bench`: what a look-up costs, as ratios measured side by side in one run.

- `server`: LookupCustomer through the real server (base policies, SQLite store, durable entry; the ledger in
  SQLite and in PostgreSQL) against a bare grpc.aio echo of the same sizes and Cerbos CheckResources with the
  nearest equal policy; each alone on core 0, the load on core 1, all in turn; then the stages of a look-up.
- `workers`: one worker and two, on both cores, which the load shares; and one confined to one core, which is what two on
  two scale from.
- `curve`: from a thousand customers to a million, from one caller to 200.
- `parts`: `decide`, `derive`, append, in this process.
- `screen`: ScreenRecipients over 100,000 customers against Cerbos in batches of 50, and an oracle (`screening`).
- `campaign`: a whole campaign to a stand-in; by name only (`campaign`).
- `export`: a masked, decided, audited export beside the same rows streamed as they are; `leave`: how long the stream of an
  offboarded principal goes on; both by name only (`exporting`).
- `stop`: how long an opt-out takes until nothing more is sent, while four processes send; by name only (`stopping`).

Prints Markdown; docs/performance.md holds a run with the machine's size. Needs Go for all but `parts`, and for
Cerbos its binary (npm package `cerbos`; $CERBOS names it).
"""

import argparse
import os
import random
import re
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from bench import servers
from bench.campaign import campaign
from bench.exporting import exporting, leave
from bench.load import CONNECTIONS, STREAMS, Calls, Load
from bench.parts import parts
from bench.screening import screen
from bench.servers import METHOD, Shape
from bench.stopping import stopping
from fujie.app.demo.server import get
from fujie.app.demo.site import Site

_STAGE = re.compile(r'^fujie_stage_seconds_(sum|count)\{stage="(\w+)"[^}]*\} (\S+)$', re.MULTILINE)
_ALLOWED = re.compile(r'^fujie_decisions_total\{action="lookup",effect="ALLOW".*\} (\S+)$', re.MULTILINE)
_ASKED = 5_000
"""Customers that are asked for at random, whatever the number that exists; each is enrolled before measuring."""

_ASKED_OF_MANY = 1_000
"""The same where five servers have to be filled first."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure fujie side by side with the bare stack.")
    parser.add_argument(
        "section", nargs="*", choices=[*_SECTIONS, []], help="which parts to run (default: all)"
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds of all servers in turn (default 5)")
    parser.add_argument("--requests", type=int, default=6_000, help="requests a round (default 6000)")
    parser.add_argument("--most", type=int, default=1_000_000, help="customers of the largest store")
    parser.add_argument("--customers", type=int, default=100_000, help="of `screen`, `campaign`, `stop`")
    parser.add_argument("--batch", type=int, default=500, help="customers of one message of `screen`")
    parser.add_argument("--streams", type=int, default=4, help="streams of `screen` at a time")
    parser.add_argument(
        "--postgresql", action="store_true", help="the ledger of `screen`, `campaign`, `stop` in PostgreSQL"
    )
    parser.add_argument("--rows", type=int, default=100_000, help="customers of `export` and `leave`")
    parser.add_argument("--ledger", default="sqlite", choices=["sqlite", "postgresql"], help="of `export`")
    parser.add_argument(
        "--cores",
        default="one",
        choices=["one", "all"],
        help="whether the server of `export` has one, and its client another",
    )
    parser.add_argument(
        "--store", default="sqlite,postgresql", help="stores of `export`, one after the other"
    )
    parser.add_argument("--leaving", type=int, default=40, help="principals that leave in `leave`")
    parser.add_argument("--profile", default="", help="a file for a profile of the last round of `export`")
    parser.add_argument("--profiled", default="export", choices=["export", "raw"], help="what is profiled")
    options = parser.parse_args()
    print(f"{datetime.now(UTC):%Y-%m-%d}, Python {sys.version.split()[0]}, {os.cpu_count()} cores\n")
    for name in options.section or _ALL:
        with tempfile.TemporaryDirectory() as scratch:
            _SECTIONS[name](Path(scratch), options)


def server(scratch: Path, options: argparse.Namespace) -> None:
    """One core each, everything in turn."""
    load, bodies = Load(scratch), servers.asks(_some(10_000))
    with ExitStack() as running:
        sqlite = running.enter_context(servers.fujie(scratch / "sqlite", Shape()))
        url = running.enter_context(servers.postgresql(scratch / "pg"))
        shared = running.enter_context(servers.fujie(scratch / "shared", Shape(ledger=url)))
        asked = [
            ("fujie, SQLite ledger", sqlite.grpc, _calls(sqlite, bodies, scratch / "a", 1)),
            ("fujie, PostgreSQL ledger", shared.grpc, _calls(shared, bodies, scratch / "b", 1)),
        ]
        _enrol(load, asked)
        echo = running.enter_context(servers.echo(servers.reply_size(sqlite, bodies[0])))
        asked.insert(0, ("echo", echo, asked[0][2]))
        binary = servers.cerbos_binary()
        if binary:
            address = running.enter_context(servers.cerbos(scratch / "cerbos", binary))
            checks = Calls.written(servers.CHECK, [servers.cerbos_check()], [], scratch)
            asked.append(("Cerbos CheckResources", address, checks))
        before, allowed = _stages(sqlite), _allowed(sqlite)
        _in_turn(load, asked, options)
        _all_allowed(sqlite, allowed, options.rounds * options.requests)
        _report_stages(before, _stages(sqlite))


def workers(scratch: Path, options: argparse.Namespace) -> None:
    """One worker and two on both cores, and one on one core; the load takes its share of both, so what CPU a call takes, in
    the server and in the load, is told as well.

    One worker on both cores uses more than one of them (its log and gRPC have threads of their own): against it two show
    what a second worker adds to a host. Against the one on one core they show what a second core with its worker adds.
    """
    load, bodies = Load(scratch), servers.asks(_some(10_000))
    shapes = {
        "1 worker, both cores": Shape(workers=1, cores="0,1"),
        "2 workers, both cores": Shape(workers=2, cores="0,1"),
        "1 worker, one core": Shape(workers=1, cores="0"),
    }
    with ExitStack() as running:
        asked, sites = [], []
        for number, (name, shape) in enumerate(shapes.items()):
            site = running.enter_context(servers.fujie(scratch / f"w{number}", shape))
            asked.append((name, site.grpc, _calls(site, bodies, scratch / f"calls{number}", 1)))
            sites.append(site)
        _enrol(load, asked)
        _, two, one = _in_turn(load, asked, options, cores="0,1", connections=16).values()
        print(f"2 workers on both cores to 1 on one core: {_ratio(two, one)}\n")
        print("| | µs of CPU a call, all threads of the server | of the load |\n|---|---|---|")
        for (name, address, calls), site in zip(asked, sites, strict=True):
            before = servers.cpu_seconds(site.config)
            of_load = load.run(address, calls, options.requests, "0,1", 16).cpu_s
            of_server = servers.cpu_seconds(site.config) - before
            each = (used / options.requests * 1e6 for used in (of_server, of_load))
            print(f"| {name} | {' | '.join(f'{used:.0f}' for used in each)} |")


def curve(scratch: Path, options: argparse.Namespace) -> None:
    """More customers, more callers; one core each."""
    load = Load(scratch)
    sizes = [1_000, 100_000, options.most] if options.most > 100_000 else [1_000, options.most]
    shapes = [
        *(Shape(customers=size) for size in sizes),
        *(Shape(callers=count) for count in (20, 200)),
    ]
    with ExitStack() as running:
        asked = []
        for number, shape in enumerate(shapes):
            site = running.enter_context(servers.fujie(scratch / f"site{number}", shape))
            if shape.customers > 10_000:
                servers.fill_ledger(site.root / "ledger.db", shape.customers)
            bodies = servers.asks(_some(shape.customers)[:_ASKED_OF_MANY])
            calls = _calls(site, bodies, scratch / f"calls{number}", shape.callers)
            name = f"{shape.customers:,} customers, {shape.callers} caller{'s' * (shape.callers > 1)}"
            asked.append((name, site.grpc, calls))
        _enrol(load, asked)
        _in_turn(load, asked, options)


_Asked = list[tuple[str, str, Calls]]


def _in_turn(
    load: Load, asked: _Asked, options: argparse.Namespace, cores: str = "1", connections: int = CONNECTIONS
) -> dict[str, list[float]]:
    """Run every server once a round; print rates, and each one's ratio to the first of its round; return the rates."""
    rates: dict[str, list[float]] = {name: [] for name, _, _ in asked}
    waits: dict[str, list[float]] = {name: [] for name, _, _ in asked}
    for _, address, calls in asked:
        load.run(address, calls, options.requests // 4, cores, connections)
    for _ in range(options.rounds):
        for name, address, calls in asked:
            measured = load.run(address, calls, options.requests, cores, connections)
            rates[name].append(measured.rate)
            waits[name].append(measured.p99_us / 1000)
    first = rates[asked[0][0]]
    print(f"{connections} connections x {STREAMS} streams, {options.rounds} rounds of {options.requests}\n")
    print("| | calls/s, median | min | max | p99 ms | ratio (rounds) |\n|---|---|---|---|---|---|")
    for name, values in rates.items():
        print(
            f"| {name} | {statistics.median(values):,.0f} | {min(values):,.0f} | {max(values):,.0f} "
            f"| {statistics.median(waits[name]):.0f} | {_ratio(values, first)} |"
        )
    print()
    return rates


def _ratio(values: Sequence[float], to: Sequence[float]) -> str:
    """Return the ratio of two servers, round by round: the median, and from where to where it went."""
    ratios = [value / one for value, one in zip(values, to, strict=True)]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _calls(site: Site, bodies: list[bytes], scratch: Path, callers: int) -> Calls:
    scratch.mkdir()
    tokens = [site.token(name) for name in servers.agents(callers)]
    return Calls.written(METHOD, bodies, tokens, scratch)


def _enrol(load: Load, asked: _Asked) -> None:
    """Ask for every customer once, so that no round pays for a first look-up."""
    for _, address, calls in asked:
        load.run(address, calls, _ASKED)


def _some(customers: int) -> list[int]:
    chance = random.Random(7)
    return [chance.randint(1, customers) for _ in range(_ASKED)]


def _all_allowed(site: Site, before: float, count: int) -> None:
    counted = _allowed(site) - before
    if counted < count:
        raise SystemExit(f"{count} look-ups were sent, {counted:.0f} were allowed: nothing measured")


def _allowed(site: Site) -> float:
    return sum(map(float, _ALLOWED.findall(get(site.metrics, "/metrics"))))


def _stages(site: Site) -> dict[str, tuple[float, float]]:
    found: dict[str, dict[str, float]] = {}
    for what, stage, value in _STAGE.findall(get(site.metrics, "/metrics")):
        found.setdefault(stage, {})[what] = float(value)
    return {stage: (values["sum"], values["count"]) for stage, values in found.items()}


def _report_stages(before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]) -> None:
    print("| stage, under that load (waiting included) | µs, mean |\n|---|---|")
    for stage, total, count in _between(before, after):
        print(f"| {stage} | {total / count * 1e6:.0f} |")
    print()


def _between(
    before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]
) -> Iterator[tuple[str, float, float]]:
    for stage, (total, count) in after.items():
        earlier = before.get(stage, (0.0, 0.0))
        if count > earlier[1]:
            yield stage, total - earlier[0], count - earlier[1]


_SECTIONS: dict[str, Callable[[Path, argparse.Namespace], None]] = {
    "server": server,
    "workers": workers,
    "curve": curve,
    "parts": lambda scratch, _options: parts(scratch),
    "screen": screen,
    "campaign": campaign,
    "export": exporting,
    "leave": leave,
    "stop": stopping,
}

_ALL = [name for name in _SECTIONS if name not in {"campaign", "export", "leave", "stop"}]


if __name__ == "__main__":
    main()
