"""`make bench ARGS="stop --customers 20000"`: how long an opt-out takes until nothing more is sent, while four processes send.

By hand only. Four processes share one ledger (SQLite, or PostgreSQL with `--postgresql`) and send one campaign through a
stand-in that answers after 50 ms, a fifth takes opt-outs of customers who are in it, one after the other. Measured from the call
to its acknowledgement, which waits until what was claimed for that customer has come back: after it nothing may be
submitted, which is looked at too.
"""

import argparse
import asyncio
import multiprocessing
import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing.synchronize import Barrier, Event
from pathlib import Path
from statistics import quantiles
from time import monotonic_ns

from bench import servers
from bench.audience import STORE, Audience, create_audience, kind_of, open_site
from bench.campaign import Taking, plan_campaign
from fujie.app.demo.site import Site
from fujie.flows.consent import NOW
from fujie.flows.directory import upsert_principal
from fujie.flows.dispatch import dispatch
from fujie.flows.gate import Gate
from fujie.flows.recipients import sending_of
from fujie.flows.reply import SuppressionReply
from fujie.flows.suppression import OptOut, add_suppression
from fujie.model.campaign import CampaignState
from fujie.model.customer import StoreKey
from fujie.model.principal import Credential, Principal
from fujie.model.request import RequestContext
from fujie.model.suppression import SuppressionScope
from fujie.model.vocabulary import State
from fujie.ports.providers import Outgoing, Submission

_SENDERS = 4
_STOPS = 400
_PROVIDER_S = 0.05
_CHUNK = 100
_DESK = "consent-desk"


class Away(Taking):
    """Stands in for a provider 50 ms away; writes down when it was called for whom."""

    def __init__(self, out: Path) -> None:
        super().__init__()
        self._out = out.open("a")

    async def submit(self, messages: Sequence[Outgoing]) -> Sequence[Submission]:
        now = monotonic_ns()
        self._out.writelines(f"{now} {message.phone.e164}\n" for message in messages)
        self._out.flush()
        await asyncio.sleep(_PROVIDER_S)
        return await super().submit(messages)


def stopping(scratch: Path, options: argparse.Namespace) -> None:
    """Measure and print."""
    with ExitStack() as open_:
        url = open_.enter_context(servers.postgresql(scratch / "pg")) if options.postgresql else ""
        audience = create_audience(scratch / "site", options.customers, url)
        asyncio.run(_plan(audience))
        fresh = multiprocessing.get_context("spawn")
        start, over = fresh.Barrier(_SENDERS + 1), fresh.Event()
        out = [scratch / f"sent-{slot}" for slot in range(1, _SENDERS + 1)]
        started = [
            fresh.Process(target=_send, args=(audience.site, slot, path, start, over))
            for slot, path in enumerate(out, 1)
        ]
        for process in started:
            process.start()
        stops = asyncio.run(_stop(audience, start))
        over.set()
        for process in started:
            process.join(120)
        assert [process.exitcode for process in started] == [0] * _SENDERS
        _tell(stops, [line.split() for path in out for line in path.read_text().splitlines()], bool(url))


async def _plan(audience: Audience) -> None:
    opened = await open_site(audience.site)
    gate = opened.front.gate
    desk = Principal(_DESK, roles=frozenset({"consent_desk"}), training=State.VALID)
    await upsert_principal(gate, Credential("administrator", "bench"), RequestContext(), desk)
    made = await plan_campaign(gate, audience)
    await sending_of(gate).outbox.move_campaign(made.id, CampaignState.RUNNING, gate.clock.now())
    await opened.close()


def _send(site: Site, slot: int, out: Path, start: Barrier, over: Event) -> None:
    async def run() -> None:
        opened = await open_site(site, slot)
        gate, provider = opened.front.gate, Away(out)
        assert gate.sending is not None
        gate = replace(gate, sending=replace(gate.sending, providers={provider.name: provider}, kinds={}))
        await asyncio.to_thread(start.wait, 120)
        while not over.is_set():
            lease = await sending_of(gate).outbox.lease(gate.ids.new_id(), gate.clock.now(), 60.0, _CHUNK)
            if lease is None:
                await asyncio.sleep(0.01)
            else:
                await dispatch(gate, lease)
        await opened.close()

    asyncio.run(run())


async def _stop(audience: Audience, start: Barrier) -> list[tuple[int, int, str]]:
    """Return when each opt-out was asked for and acknowledged, and whose number it was."""
    opened = await open_site(audience.site)
    gate = opened.front.gate
    given = [n for n in range(1, audience.customers + 1) if kind_of(n) == "given" and n % 20]
    keys = [StoreKey(STORE, f"C{n:05}") for n in random.Random(1).sample(given, _STOPS)]
    phones = {row.key: row.phone for row in await gate.stores[STORE].fetch_many(keys, frozenset(), 30.0)}
    await asyncio.to_thread(start.wait, 120)
    found = [(*await _opt_out(gate, key), phones[key]) for key in keys]
    await opened.close()
    return found


async def _opt_out(gate: Gate, key: StoreKey) -> tuple[int, int]:
    said = OptOut(key, SuppressionScope(), NOW, "call", "call-1")
    asked = monotonic_ns()
    reply = await add_suppression(gate, Credential(_DESK, "bench"), RequestContext(), said)
    assert isinstance(reply, SuppressionReply), reply
    return asked, monotonic_ns()


def _tell(
    stops: Sequence[tuple[int, int, str]], sent: Sequence[Sequence[str]], is_postgresql: bool
) -> None:
    took = sorted((done - asked) / 1e6 for asked, done, _ in stops)
    acknowledged = {phone: done for _, done, phone in stops}
    late = [phone for at, phone in sent if int(at) > acknowledged.get(phone, int(at))]
    before = sum(phone in acknowledged for _, phone in sent)
    during = sum(
        asked <= int(at) <= done for asked, done, whose in stops for at, phone in sent if phone == whose
    )
    cuts = quantiles(took, n=100)
    print(
        f"{_SENDERS} processes, ledger in {'PostgreSQL' if is_postgresql else 'SQLite'}: {len(sent):,} messages submitted,"
        f" {len(stops)} opt-outs meanwhile: p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms, most {took[-1]:.0f} ms;"
        f" {before} of these customers were sent to before their opt-out was acknowledged ({during} while it waited),"
        f" {len(late)} after"
    )
    assert not late, "something was submitted after an acknowledged opt-out"
