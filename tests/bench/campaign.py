"""`make bench ARGS="campaign --customers 20000"`: a campaign planned, decided and dispatched to a stand-in that takes all at once.

By hand only; a million takes an hour or more and 5 GB of disk. One process, its ledger in SQLite, or in PostgreSQL
(`--postgresql`), the log on this disk. Counts recipients a second, the most memory, and bytes of evidence a recipient.
"""

import argparse
import asyncio
import resource
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from bench import servers
from bench.audience import MARKETER, SIGNATURE, STORE, TEXT, Audience, create_audience, open_site
from fujie.flows.dispatch import dispatch
from fujie.flows.gate import Gate
from fujie.flows.recipients import planned, sending_of
from fujie.model.campaign import Campaign, CampaignState
from fujie.model.customer import Phone, StoreKey
from fujie.model.message import CHANNEL, Category, Draft, Recipient
from fujie.model.request import Request
from fujie.model.vocabulary import Action
from fujie.ports.providers import Acceptance, Callback, Called, Outgoing, Receipt, Submission, Unresolved

_CHUNK = 500
_LEASE_S = 60.0


class Taking:
    """A provider that takes every message at once, and keeps none."""

    name, processor, needs_template, most, timeout_s = "outbox", "", False, _CHUNK, 5.0

    def __init__(self) -> None:
        self.taken = 0

    async def ready(self, count: int) -> bool:
        return True

    async def submit(self, messages: Sequence[Outgoing]) -> Sequence[Submission]:
        self.taken += len(messages)
        return [Submission(Acceptance.ACCEPTED, message.intent_id) for message in messages]

    async def query(self, sent: Unresolved, phone: Phone) -> Receipt | None:
        return None

    async def poll(self) -> Called:
        return Called()

    def callback(self, call: Callback) -> Called:
        return Called()

    async def close(self) -> None:
        return


def campaign(scratch: Path, options: argparse.Namespace) -> None:
    """Measure and print."""
    with ExitStack() as open_:
        url = open_.enter_context(servers.postgresql(scratch / "pg")) if options.postgresql else ""
        audience = create_audience(scratch / "site", options.customers, url)
        print(f"campaign of {options.customers:,}, ledger in {'PostgreSQL' if url else 'SQLite'}\n")
        asyncio.run(_run(audience))


async def _run(audience: Audience) -> None:
    opened = await open_site(audience.site)
    gate, provider = opened.front.gate, Taking()
    assert gate.sending is not None
    gate = replace(gate, sending=replace(gate.sending, providers={provider.name: provider}, kinds={}))
    outbox = sending_of(gate).outbox
    before = _peak_mb()
    started = perf_counter()
    made = await plan_campaign(gate, audience)
    _told("planned", audience.customers, started)
    logged, started = _bytes(audience.site.log), perf_counter()
    await outbox.move_campaign(made.id, CampaignState.RUNNING, gate.clock.now())
    marks = [audience.customers // 4, audience.customers // 2, audience.customers]
    done = put_back = 0
    while (lease := await outbox.lease("bench", gate.clock.now(), _LEASE_S, _CHUNK)) is not None:
        dispatched = await dispatch(gate, lease)
        done, put_back = done + dispatched.done, put_back + dispatched.put_back
        if marks and done >= marks[0]:
            marks.pop(0)
            print(f"- most memory after {done:,}: {_peak_mb():,.0f} MB")
    _told("decided and dispatched", audience.customers, started)
    known = await outbox.campaign(made.id)
    await opened.close()
    grown = _bytes(audience.site.log) - logged
    assert known is not None
    assert sum(known.tally.states.values()) == audience.customers, "allowed and refused are the input"
    print(f"- {put_back:,} given back, since what was known of them was too old to send by")
    print(f"- {provider.taken:,} taken; {dict(known.tally.states)}, {dict(known.tally.reasons)}")
    print(f"- entries: {grown / audience.customers:,.0f} bytes a recipient, {grown / 1e6:,.1f} MB")
    print(f"- most memory: {_peak_mb():,.0f} MB, {before:,.0f} MB before it was planned")


async def plan_campaign(gate: Gate, audience: Audience) -> Campaign:
    """Plan a campaign to everybody of the audience, by the ids of the store."""
    outbox = sending_of(gate).outbox
    draft, request = (
        Draft(Category.MARKETING, SIGNATURE, TEXT),
        Request(Action.SEND, "marketing", "consent"),
    )
    request = replace(request, store=STORE, key_kind="customer_id", channel=CHANNEL, brand=SIGNATURE)
    principal = await gate.directory.get(MARKETER)
    assert principal is not None
    asked = gate.policies.current.plan(request, principal.roles).approvals
    made = Campaign(
        gate.ids.new_id(), CampaignState.DRAFT, MARKETER, MARKETER, "", "marketing", "consent",
        has_basis_evidence=False, has_ticket=True, draft=draft, created_at=gate.clock.now(),
        approved=tuple(each.key for each in asked),
    )  # fmt: skip
    made = await outbox.create_campaign(made, "", "")
    for recipients in _recipients(audience):
        now = gate.clock.now()
        await outbox.plan(made.id, await planned(gate, made, recipients, now), now)
    return made


def _recipients(audience: Audience) -> Iterator[Sequence[Recipient]]:
    for start in range(1, audience.customers + 1, _CHUNK):
        ids = audience.ids(start, min(start + _CHUNK, audience.customers + 1))
        yield [Recipient(StoreKey(STORE, each)) for each in ids]


def _told(what: str, count: int, started: float) -> None:
    print(f"- {what}: {count / (perf_counter() - started):,.0f} recipients/s")


def _bytes(log: Path) -> int:
    """Return how long all entries are: every tile once, in its widest form. The log keeps narrower ones beside it for who
    holds an older checkpoint, and what no tile has yet in a file of its own."""
    widest: dict[Path, int] = {}
    for path in log.rglob("tile/entries/**/*"):
        if path.is_file():
            tile = path.parent.with_suffix("") if path.parent.suffix == ".p" else path
            widest[tile] = max(widest.get(tile, 0), path.stat().st_size)
    return sum(widest.values())


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
