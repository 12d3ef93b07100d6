"""`make bench ARGS="screen"`: ScreenRecipients with the whole base pack beside Cerbos CheckResources in batches of 50.

The real server screens distinct customers whose row, identity, consents, opt-outs and messages of a day it reads while the clock
runs, and writes an entry for each batch. Cerbos, on the same core, is given the facts of the same customers, worked out
before, and only decides; it must allow as many. Each in turn with the load on the other core, every round the same
customers. What the reasons come to must be what an oracle comes to that takes one customer after the other: each read alone, by the
methods for one, and decided without memory.
"""

import argparse
import asyncio
import os
import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import grpc

from bench import cerbos_screen, servers
from bench.audience import MARKETER, SIGNATURE, STORE, TEXT, Audience, create_audience, open_site
from bench.load import Calls, Load
from fujie.app.client import connect
from fujie.app.demo.server import running
from fujie.decision.decide import decide
from fujie.decision.facts import Raw, derive
from fujie.decision.message import render
from fujie.decision.plan import Plan
from fujie.decision.recipient import Reached
from fujie.flows.gate import Gate
from fujie.model.customer import Phone, StoreKey
from fujie.model.facts import APPROVED, EXHAUSTED, Facts
from fujie.model.message import CHANNEL, NO_PARAMS, Category, Draft
from fujie.model.phone import country_of, zones_of
from fujie.model.request import Request
from fujie.model.vocabulary import Action
from fujie.v1 import messaging_service_pb2 as messaging_v1
from fujie.v1 import types_pb2 as types_v1

_WARM = 2_000
"""Customers behind the measured ones, screened before: statements are compiled, plans made."""

_GIVEN = 20_000
"""Customers whose facts Cerbos is given: 400 requests, which it takes in seconds."""

_COMPARED = 40
"""Requests whose answers are held against ours before anything is measured."""

OURS, CERBOS, TELLING = (
    "ScreenRecipients", "Cerbos CheckResources", "Cerbos CheckResources, which tells the reasons",
)  # fmt: skip
_DRAFT = Draft(Category.MARKETING, SIGNATURE, TEXT)
_REQUEST = Request(
    Action.SEND, "marketing", "consent", STORE, "customer_id", has_ticket=True, channel=CHANNEL, brand=SIGNATURE
)  # fmt: skip

Reasons = Counter[tuple[str, ...]]
"""How many customers were refused for which reasons; none: allowed."""


def screen(scratch: Path, options: argparse.Namespace) -> None:
    """Measure, compare, print."""
    with ExitStack() as open_:
        url = open_.enter_context(servers.postgresql(scratch / "pg")) if options.postgresql else ""
        audience = create_audience(scratch / "site", options.customers + _WARM, url)
        _screen(audience, scratch, options)


def _screen(audience: Audience, scratch: Path, options: argparse.Namespace) -> None:
    count = options.customers
    expected, plan, facts = asyncio.run(_oracle(audience, count, min(count, _GIVEN)))
    print(f"{count:,} distinct customers, batches of {options.batch}, {options.streams} streams")
    print(f"ledger in {'PostgreSQL' if options.postgresql else 'SQLite'}\n")
    requests, measured = _requests(range(1, count + 1), options), dict[str, list[Measured]]()

    def screened() -> float:
        told, seconds = _screened(audience, requests)
        if told != expected:
            raise SystemExit(f"screening and the oracle differ: {told - expected}, {expected - told}")
        return seconds

    with ExitStack() as open_:
        memory = open_.enter_context(_serving(audience, scratch))
        checks = open_.enter_context(_cerbos(scratch, plan, facts))
        _screened(audience, _requests(range(count + 1, count + _WARM + 1), options))
        before = memory()
        for _ in range(options.rounds):
            for name, config, many, work in (_Work(OURS, audience.site.config, count, screened), *checks):
                cpu = servers.cpu_seconds(config)
                seconds = work()
                used = (servers.cpu_seconds(config) - cpu) / many * 1e6
                measured.setdefault(name, []).append(Measured(many / seconds, used))
        print(
            f"memory of the server: {before:.0f} MB before, {memory():.0f} MB after {options.rounds} rounds\n"
        )
    _report(measured)
    for reasons, many in expected.most_common():
        print(f"- {many:,}: {', '.join(reasons) or 'allowed'}")


@dataclass(frozen=True, slots=True)
class Measured:
    """Decisions a second of one round, and the CPU of each, in µs, of all threads of its server."""

    rate: float
    cpu_us: float


class _Work(NamedTuple):
    """What is measured: its name, its configuration, how many decisions it is, and what does it and returns its seconds, from the
    first of its messages, which are all made before, to the last answer."""

    name: str
    config: Path
    decisions: int
    run: Callable[[], float]


@contextmanager
def _serving(audience: Audience, scratch: Path) -> Iterator["Memory"]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})  # what we start inherits it
    try:
        with running(audience.site, scratch / "server.log") as process:
            os.sched_setaffinity(0, {1} if len(before) > 1 else before)
            yield Memory(process.pid)
    finally:
        os.sched_setaffinity(0, before)


class Memory:
    """The resident memory of a process and its children, in MB."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __call__(self) -> float:
        children = Path(f"/proc/{self._pid}/task/{self._pid}/children").read_text().split()
        pages = sum(
            int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in (self._pid, *children)
        )
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


_Stream = Sequence[messaging_v1.ScreenRecipientsRequest]


def _screened(audience: Audience, requests: Sequence[_Stream]) -> tuple[Reasons, float]:
    """Screen customers by several streams at a time; return what came of them, and the seconds that it took."""
    started, found = perf_counter(), Reasons()
    with ThreadPoolExecutor(len(requests)) as pool:
        for each in pool.map(lambda sent: _stream(audience, sent), requests):
            found += each
    return found, perf_counter() - started


def _requests(numbers: range, options: argparse.Namespace) -> Sequence[_Stream]:
    """Return what each stream sends, to screen customers in turns."""
    return [list(_sent(numbers[n :: options.streams], options.batch)) for n in range(options.streams)]


def _sent(numbers: Sequence[int], size: int) -> Iterator[messaging_v1.ScreenRecipientsRequest]:
    for start in range(0, len(numbers), size):
        request = messaging_v1.ScreenRecipientsRequest(
            store=STORE, customer_ids=[f"C{number:05}" for number in numbers[start : start + size]]
        )
        if start == 0:
            request.context.CopyFrom(
                types_v1.RequestContext(purpose="marketing", basis="consent", ticket="T-1")
            )
            request.draft.CopyFrom(
                messaging_v1.MessageDraft(
                    category=messaging_v1.MESSAGE_CATEGORY_MARKETING, signature=SIGNATURE, text=TEXT
                )
            )
        yield request


def _stream(audience: Audience, sent: _Stream) -> Reasons:
    stubs = connect(audience.site.grpc, audience.site.token(MARKETER))
    found = Reasons()
    for reply in stubs.messages.ScreenRecipients(iter(sent)):
        for outcome in reply.outcomes:
            found[tuple(reason.code for reason in outcome.reasons)] += outcome.count
    stubs.channel.close()
    return found


async def _oracle(audience: Audience, count: int, given: int) -> tuple[Reasons, Plan, Mapping[str, Facts]]:
    """Return what each customer's own facts come to, the plan, and the facts of the first `given`."""
    opened = await open_site(audience.site)
    gate = opened.front.gate
    principal = await gate.directory.get(MARKETER)
    assert principal is not None
    decider = gate.policies.current
    plan = decider.plan(_REQUEST, principal.roles)
    found: Reasons = Counter()
    kept: dict[str, Facts] = {}
    for number in range(1, count + 1):
        key = StoreKey(STORE, f"C{number:05}")
        facts = await _facts(gate, key, plan, Raw(principal, is_local=True))
        decision = decide(plan, _REQUEST, facts)
        found[tuple(hit.code for hit in decision.reasons)] += 1
        if number <= given:
            kept[key.customer_id] = facts
    await opened.close()
    return found, plan, kept


async def _facts(gate: Gate, key: StoreKey, plan: Plan, asker: Raw) -> Facts:
    """Return the facts of one customer, each part read by the method for one."""
    assert gate.sending is not None
    now, bundle = gate.clock.now(), plan.bundle
    (row,) = await gate.stores[STORE].fetch(key, frozenset(), plan.customer_attributes, 5.0)
    refs = (key, Phone(row.phone))
    identity, events = await gate.ledger.recall(refs, _REQUEST.purpose, now)
    suppressions = await gate.ledger.suppressions(identity.sids)
    recalled = await gate.sending.outbox.recall_many([refs], _REQUEST.purpose, now)
    rendered = render(_DRAFT, None, NO_PARAMS, "")
    sender = bundle.senders[SIGNATURE]
    country = country_of(row.phone)
    review = gate.policies.current.reviewer.review(rendered, _DRAFT, None, sender, "outbox", country)
    zones = tuple(ZoneInfo(name) for name in zones_of(row.phone))
    reached = Reached(country, zones, recalled.customers[0].sent, rendered.content)
    message = {**review.facts, "message.in_campaign": True, "message.asks": False}
    raw = Raw(
        asker.principal, events, identity.sid, row.attributes, suppressions, message, None, True, reached
    )
    values = derive(bundle, _REQUEST, raw, now, gate.zone).values
    return Facts({**values, EXHAUSTED: (), APPROVED: ()})


@contextmanager
def _cerbos(scratch: Path, plan: Plan, facts: Mapping[str, Facts]) -> Iterator[list[_Work]]:
    """Serve Cerbos twice, with and without reasons; yield what measures them: nothing where it is not installed."""
    binary = servers.cerbos_binary()
    if not binary:
        yield []
        return
    size, ids = cerbos_screen.BATCH, list(facts)
    batches = [{each: facts[each] for each in ids[n : n + size]} for n in range(0, len(ids), size)]
    bodies = [cerbos_screen.check(plan, batch) for batch in batches]
    load, calls = Load(scratch), Calls.written(servers.CHECK, bodies, [], scratch)
    checks = list[_Work]()
    with ExitStack() as open_:
        for name, with_reasons in ((CERBOS, False), (TELLING, True)):
            root = scratch / f"cerbos{with_reasons:d}"
            policy = cerbos_screen.policy(plan, with_reasons=with_reasons)
            address = open_.enter_context(servers.cerbos(root, binary, policy=policy))
            for body, batch in zip(bodies[:_COMPARED], batches, strict=False):
                _check_allowed(address, body, plan, batch)
            ask = partial(_seconds, load, address, calls, len(bodies))
            ask()  # warm
            checks.append(_Work(name, root / "cerbos.yaml", len(facts), ask))
        yield checks


def _seconds(load: Load, address: str, calls: Calls, count: int) -> float:
    return count / load.run(address, calls, count).rate


def _check_allowed(address: str, body: bytes, plan: Plan, batch: Mapping[str, Facts]) -> None:
    """Raise SystemExit unless Cerbos allows as many of a batch as we do."""
    with grpc.insecure_channel(address) as channel:
        call: Any = channel.unary_unary(servers.CHECK)
        allowed = cerbos_screen.allowed(call(body))
    ours = sum(decide(plan, _REQUEST, each).effect == "ALLOW" for each in batch.values())
    if allowed != ours:
        raise SystemExit(f"of {len(batch)} Cerbos allows {allowed}, we {ours}")


def _report(measured: Mapping[str, Sequence[Measured]]) -> None:
    print(
        "| one core each | decisions/s, median | min | max | ours to it (rounds) | CPU µs each | ours to it |"
    )
    print("|---|---|---|---|---|---|---|")
    ours = measured[OURS]
    for name, rounds in measured.items():
        rates = [each.rate for each in rounds]
        ratios = [mine.rate / each.rate for mine, each in zip(ours, rounds, strict=True)]
        cpu = [each.cpu_us / mine.cpu_us for mine, each in zip(ours, rounds, strict=True)]
        print(
            f"| {name} | {statistics.median(rates):,.0f} | {min(rates):,.0f} | {max(rates):,.0f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) "
            f"| {statistics.median(each.cpu_us for each in rounds):.0f} | {statistics.median(cpu):.2f} |"
        )
    print()
