"""Races on two workers: what was acknowledged holds for whatever is decided afterwards, and what is given once is given once."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from abuse.methods import about
from abuse.target import (
    ADD_SUPPRESSION,
    BATCH,
    EVENTS,
    LOOKUP,
    MERGE,
    OFFBOARD,
    RECORD,
    SUPPRESSIONS,
    UPSERT,
    WITHDRAW,
    Target,
    ask,
    batch,
    by_id,
    consent,
    create_site,
    hired,
    leaves_of,
    marketing,
    merge,
    running,
)
from fujie.app.client import read_refusal
from fujie.audit.entry import Entry, parse_entry
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import types_pb2 as types_v1
from support.answers import WIRE_FREE

CONNECTIONS = 8
PATIENCE_S = 120.0
NOTHING = {"LEDGER_UNAVAILABLE", "DEADLINE_EXCEEDED"}
"""How a call ends that got too little of a crowded machine within its five seconds: nothing was shown, and nothing is
acknowledged."""
MOST = 20
LIMITED = f"""\
apiVersion: fujie.dev/v1
kind: Grant
metadata: {{name: limited}}
spec:
  match: {{actions: [lookup], keys: [customer_id]}}
  roles: [limited]
  purposes: [after_sales]
  fields: {{phone: "keep(3,4)"}}
  limits: {{rows_per_hour: {MOST}}}
"""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    site = create_site(tmp_path_factory.mktemp("races") / "site", customers=200)
    site.values["server"] |= {"workers": 2, "connection_age_seconds": 3600}
    site.write()
    (site.root / "policies" / "limited.yaml").write_text(LIMITED, "utf-8")
    with running(site) as started:
        yield started


def logs(target: Target) -> list[list[Entry]]:
    """Return the entries of each worker, in the order of its log."""
    return [[parse_entry(leaf) for leaf in leaves_of(target.site, slot)] for slot in (0, 1)]


@asynccontextmanager
async def connected(target: Target, count: int = CONNECTIONS) -> AsyncIterator[Sequence[Any]]:
    """Open so many connections; the kernel spreads them over the workers."""
    own = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
    channels = [grpc.aio.insecure_channel(target.server.grpc, options=own) for _ in range(count)]
    try:
        yield channels
    finally:
        await asyncio.gather(*(channel.close() for channel in channels))


async def send(target: Target, channel: Any, who: str, method: str, request: Message) -> bytes:
    call = channel.unary_unary(method)
    answer: bytes = await call(request.SerializeToString(), metadata=target.bearer(who), timeout=60)
    return answer


async def outcome(target: Target, channel: Any, who: str, method: str, request: Message) -> str:
    """Return the reason of the refusal, or gRPC's own words, or nothing."""
    try:
        await send(target, channel, who, method, request)
    except grpc.aio.AioRpcError as error:
        return read_refusal(error).reason or str(error.code())
    return ""


async def done(target: Target, channel: Any, who: str, method: str, request: Message) -> None:
    """Do it; return once it is acknowledged."""
    async with asyncio.timeout(PATIENCE_S):
        while reason := await outcome(target, channel, who, method, request):
            assert reason in NOTHING, reason


# What ends while a batch is on its way.

CROWD = [f"C{number:05}" for number in range(1, 200) if number % 20][:30]
REFUSER = "C00199"


@dataclass
class Load:
    """Marketers who look the same crowd up by batches, without a pause, on every connection."""

    target: Target
    channels: Sequence[Any]
    crowd: Sequence[str]
    who: Callable[[int], str]
    is_running: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once every connection has had a batch."""
    batches: list[tuple[float, list[str]]] = field(default_factory=list)
    """When it was sent, and the reason for each customer, "" for one who was shown."""

    async def until(self, is_over: Callable[[], bool]) -> None:
        async def one(number: int, channel: Any) -> None:
            while not is_over():
                await self._batch(self.who(number), channel)
                if len(self.batches) >= CONNECTIONS:
                    self.is_running.set()

        await asyncio.gather(*(one(*each) for each in enumerate(self.channels)))

    async def _batch(self, who: str, channel: Any) -> None:
        request = batch(*map(by_id, self.crowd), purpose="marketing", basis="consent")
        sent = time.time()
        try:
            raw = await send(self.target, channel, who, BATCH, request)
        except grpc.aio.AioRpcError as error:
            reason = read_refusal(error).reason or str(error.code())
            if reason not in NOTHING:
                self.batches.append((sent, [reason] * len(self.crowd)))
            return
        results = customer_v1.BatchLookupCustomersResponse.FromString(raw).results
        self.batches.append((sent, [each.reasons[0].code if each.reasons else "" for each in results]))


def withdrawal(name: str) -> tuple[str, str, Message]:
    return "desk", WITHDRAW, about(WITHDRAW, by_id(name))


def opt_out(name: str) -> tuple[str, str, Message]:
    return "desk", ADD_SUPPRESSION, about(ADD_SUPPRESSION, by_id(name))


def merged(name: str) -> tuple[str, str, Message]:
    """Who withdrew turns out to be the same person."""
    return "officer", MERGE, merge(by_id(name), by_id(REFUSER))


ENDINGS: dict[str, tuple[Callable[[str], tuple[str, str, Message]], str]] = {
    "consent withdrawn": (withdrawal, "CONSENT_WITHDRAWN"),
    "suppression added": (opt_out, "CUSTOMER_OPTED_OUT"),
    "customer merged": (merged, "CONSENT_WITHDRAWN"),
}


@pytest.mark.parametrize(("ending", "reason"), ENDINGS.values(), ids=ENDINGS)
async def test_nothing_is_shown_after_an_ending_was_acknowledged(
    target: Target, ending: Callable[[str], tuple[str, str, Message]], reason: str
) -> None:
    """Neither by a batch that was sent later, nor by what a batch on its way had still to decide."""
    place = [code for code, _ in ENDINGS.values()].index(ending)
    crowd = CROWD[place:] + CROWD[:place]
    victim = crowd[0]
    who = [f"marketer-{place}-{number}" for number in range(CONNECTIONS)]
    for name in crowd:
        if not is_consented(target, name):
            target.call("desk", RECORD, consent(by_id(name)))
    if ending is merged:
        target.call("desk", WITHDRAW, about(WITHDRAW, by_id(REFUSER)))
    for name in who:
        target.call("chief", UPSERT, hired(name, "marketer"))
    acknowledged = float("inf")
    async with connected(target) as channels:
        load = Load(target, channels, crowd, who.__getitem__)

        def is_over() -> bool:
            return sum(sent > acknowledged for sent, _ in load.batches) > 2 * CONNECTIONS

        running_load = asyncio.create_task(load.until(is_over))
        await load.is_running.wait()
        async with connected(target, 1) as [channel]:
            await done(target, channel, *ending(victim))
            acknowledged = time.time()
        await running_load
    before = {row[0] for sent, row in load.batches if sent < acknowledged}
    after = [row for sent, row in load.batches if sent > acknowledged]
    assert "" in before
    assert {row[0] for row in after} == {reason}
    assert {code for row in after for code in row[place + 1 :]} <= {"", *(r for _, r in ENDINGS.values())}
    prove(target, victim, set(who), acknowledged)


def is_consented(target: Target, name: str) -> bool:
    request = consent_v1.GetConsentRequest(customer=by_id(name), purpose="marketing")
    raw = target.call("desk", "/fujie.v1.ConsentService/GetConsent", request)
    return consent_v1.GetConsentResponse.FromString(raw).state != consent_v1.CONSENT_STATE_NONE


def prove(target: Target, victim: str, who: set[str], acknowledged: float) -> None:
    """No entry of these askers that opened the victim was begun after the acknowledgement, in whichever log."""
    sid = sid_of(target, victim)
    moment = datetime.fromtimestamp(acknowledged, UTC).isoformat(timespec="microseconds")
    shown = [
        entry
        for log in logs(target)
        for entry in log
        if sid in entry.sids[:1] and is_opening(entry) and entry.principal in who
    ]
    assert shown
    assert {entry.basis for entry in shown} == {"consent"}
    assert [entry for entry in shown if entry.time.replace("Z", "+00:00") > moment] == []
    assert late(logs(target), sid) == []


def late(found: list[list[Entry]], sid: str) -> list[Entry]:
    """Return what opened the customer behind the outcome of what closed it, in the log of that outcome.

    There the order says it without any clock.
    """
    behind: list[Entry] = []
    for log in found:
        ended = [
            n for n, e in enumerate(log) if e.kind == "outcome" and sid in e.sids and e.action in CLOSES
        ]
        behind += [e for e in log[ended[0] :] if sid in e.sids[:1] and is_opening(e)] if ended else []
    return behind


CLOSES = {"consent.withdraw", "suppression.add", "correct"}


def is_opening(entry: Entry) -> bool:
    return (entry.action, entry.effect) == ("lookup", "ALLOW")


def sid_of(target: Target, name: str) -> str:
    """Return how the log names a customer, as the list of opt-outs' entry says it."""
    request = consent_v1.ListConsentEventsRequest(customer=by_id(name))
    raw = target.call("desk", EVENTS, request)
    wanted = consent_v1.ListConsentEventsResponse.FromString(raw).decision.decision_id
    (entry,) = [entry for log in logs(target) for entry in log if entry.decision_id == wanted]
    return entry.sids[0]


async def test_who_is_offboarded_is_shown_nothing_more_of_a_batch_that_is_on_its_way(
    target: Target,
) -> None:
    crowd = [f"C{number:05}" for number in range(101, 160) if number % 20]
    for name in crowd:
        target.call("desk", RECORD, consent(by_id(name)))
    target.call("chief", UPSERT, hired("leaver", "marketer"))
    acknowledged = float("inf")
    async with connected(target) as channels:
        load = Load(target, channels, crowd, lambda _: "leaver")

        def is_over() -> bool:
            return sum(sent > acknowledged for sent, _ in load.batches) > 2 * CONNECTIONS

        running_load = asyncio.create_task(load.until(is_over))
        await load.is_running.wait()
        async with connected(target, 1) as [channel]:
            request = directory_v1.OffboardPrincipalRequest(id="leaver")
            await done(target, channel, "chief", OFFBOARD, request)
            acknowledged = time.time()
        await running_load
    assert {code for sent, row in load.batches if sent > acknowledged for code in row} == {
        "PRINCIPAL_OFFBOARDED"
    }
    assert "" in {code for sent, row in load.batches if sent < acknowledged for code in row}
    moment = datetime.fromtimestamp(acknowledged, UTC).isoformat(timespec="microseconds")
    own = [entry for log in logs(target) for entry in log if entry.principal == "leaver"]
    late = [entry for entry in own if entry.time.replace("Z", "+00:00") > moment]
    assert {entry.effect for entry in late} == {"DENY"}


async def test_a_look_up_that_waits_for_its_limit_is_decided_on_what_was_said_meanwhile(
    target: Target,
) -> None:
    """Each marketer sees the customer for the first time, so that every look-up has to write to the ledger first."""
    names = [f"C{number:05}" for number in range(81, 93)]
    opened = 0
    async with connected(target) as channels:
        for turn, name in enumerate(names):
            who = [f"first-{turn}-{number}" for number in range(CONNECTIONS)]
            target.call("desk", RECORD, consent(by_id(name)))
            for each in who:
                target.call("chief", UPSERT, hired(each, "marketer"))
            sid = sid_of(target, name)
            asked = marketing("phone", customer=name)
            calls = [
                asyncio.create_task(outcome(target, channel, each, LOOKUP, asked))
                for channel, each in zip(channels, who, strict=True)
            ]
            await asyncio.sleep(turn * 0.0015)  # into the middle of them, wherever that is
            await done(target, channels[turn % CONNECTIONS], *withdrawal(name))
            said = Counter(await asyncio.gather(*calls))
            assert set(said) - NOTHING <= {"", "CONSENT_WITHDRAWN"}
            opened += said[""]
            assert late(logs(target), sid) == []
    assert opened


# What is given once.


async def test_of_many_answers_to_one_prompt_on_two_workers_one_is_taken(target: Target) -> None:
    name = "C00181"
    detail = target.refused("marketer", LOOKUP, marketing("phone", customer=name)).detail
    assert detail
    answer = consent_v1.RecordConsentRequest(
        prompt=detail.prompt.token, capture=WIRE_FREE,
        consent=consent_v1.ConsentRecord(type=consent_v1.CONSENT_EVENT_TYPE_GIVEN, source="agent"),
    )  # fmt: skip
    async with connected(target) as channels:
        said = await asyncio.gather(
            *(outcome(target, channel, "marketer", RECORD, answer) for channel in (*channels,) * 5)
        )
    lost = sum(reason in NOTHING for reason in said)  # the one that was taken may be among them
    assert set(said) - NOTHING <= {"", "PROMPT_INVALID"}
    assert min(1, lost) + said.count("") >= 1 >= said.count("")
    raw = target.call("desk", EVENTS, consent_v1.ListConsentEventsRequest(customer=by_id(name)))
    events = consent_v1.ListConsentEventsResponse.FromString(raw).events
    assert [event.type for event in events] == [consent_v1.CONSENT_EVENT_TYPE_GIVEN]


async def until_said(target: Target, channel: Any, same: consent_v1.AddSuppressionRequest) -> bytes:
    """Ask until there is an answer: a request id is for asking again."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await send(target, channel, "desk", ADD_SUPPRESSION, same)
            except grpc.aio.AioRpcError as error:
                if read_refusal(error).reason not in NOTHING:
                    raise


async def test_one_request_id_on_two_workers_is_one_act(target: Target) -> None:
    name = "C00182"
    same = consent_v1.AddSuppressionRequest(
        customer=by_id(name), context=types_v1.RequestContext(request_id="once")
    )
    async with connected(target) as channels:
        said = await asyncio.gather(*(until_said(target, channel, same) for channel in (*channels,) * 5))
        ids = {consent_v1.AddSuppressionResponse.FromString(raw).suppression.suppression_id for raw in said}
        assert len(ids) == 1
        other = consent_v1.AddSuppressionRequest(
            customer=by_id("C00183"), context=types_v1.RequestContext(request_id="once")
        )
        refused = [await outcome(target, channel, "desk", ADD_SUPPRESSION, other) for channel in channels]
    assert set(refused) == {"REQUEST_ID_REUSED"}
    raw = target.call("desk", SUPPRESSIONS, consent_v1.ListSuppressionsRequest(customer=by_id(name)))
    assert len(consent_v1.ListSuppressionsResponse.FromString(raw).suppressions) == 1


async def test_people_who_are_merged_into_each_other_at_once_are_one_and_lose_no_refusal(
    target: Target,
) -> None:
    ring = ["C00184", "C00185", "C00186"]
    target.call("desk", WITHDRAW, about(WITHDRAW, by_id(ring[2])))
    pairs = [(one, two) for one in ring for two in ring if one != two]
    async with connected(target) as channels:
        said = await asyncio.gather(
            *(
                outcome(target, channels[n % CONNECTIONS], "officer", MERGE, merge(by_id(one), by_id(two)))
                for n, (one, two) in enumerate(pairs * 3)
            )
        )
    assert "" in said
    assert set(said) - NOTHING <= {"", "MERGE_CONFLICT", "LEDGER_CONFLICT"}, Counter(said)
    for name in ring:
        detail = target.refused("marketer", LOOKUP, marketing("phone", customer=name))
        assert detail.reason == "CONSENT_WITHDRAWN"


# One who floods.


async def test_a_flood_by_one_is_cut_at_his_limit_and_touches_nobody_elses(target: Target) -> None:
    for name in ("hog", "honest"):
        target.call("chief", UPSERT, hired(name, "limited"))
    flood: list[str] = []
    served: list[str] = []
    flooded = asyncio.Event()
    async with connected(target, 16) as channels, connected(target, 2) as others:

        async def hog(channel: Any) -> None:
            while len(served) <= MOST:
                several = [
                    outcome(target, channel, "hog", LOOKUP, ask("phone", customer=by_id(f"C{n:05}")))
                    for n in range(1, 9)
                ]
                flood.extend(await asyncio.gather(*several))
                flooded.set()

        async def honest() -> None:
            await flooded.wait()
            for number in range(MOST + 1):
                asked = ask("phone", customer=by_id(f"C{number % 19 + 1:05}"))
                served.append(await outcome(target, others[number % 2], "honest", LOOKUP, asked))

        await asyncio.gather(honest(), *map(hog, channels))
    assert Counter(flood) == {"": MOST, "LIMIT_EXCEEDED": len(flood) - MOST}
    assert len(flood) > 10 * MOST
    # All of his own, while the flood went on, and then no more of his own.
    assert served == [""] * MOST + ["LIMIT_EXCEEDED"]
    found = [entry for log in logs(target) for entry in log if entry.principal in {"hog", "honest"}]
    assert Counter(entry.effect for entry in found)["ALLOW"] == 2 * MOST
    # On both workers: that the kernel gave sixteen connections to one of them is a chance of 1 in 32,768.
    assert all(any(entry.principal == "hog" for entry in log) for log in logs(target))


def test_the_server_still_stands(target: Target) -> None:
    assert dict(target.lookup("agent", ask("phone")).customer) == {"phone": "138****1234"}
    assert [line for line in target.server.events() if line["level"] in ("error", "critical")] == []
    assert target.server.metric("fujie_worker_serving") == 2
