"""Several workers on one port: they share the calls, replace each other, and none knows less than another.

Clients never retry here (`grpc.enable_retries` off), so that a call that is lost is seen, unless a test says otherwise.
"""

import asyncio
import json
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from e2e.server import ADMIN, INSTANCE, POLICY, START_S, Server, Site, lookup
from fujie.app.client import read_refusal
from fujie.app.process import GRPC_CORE
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import customer_data_service_pb2 as customer_v1
from fujie.v1 import directory_service_pb2 as directory_v1
from fujie.v1 import types_pb2 as types_v1
from support.tap import tapped

LOOKUP = "/fujie.v1.CustomerDataService/LookupCustomer"
CONNECTIONS, LATER_CALLS = 500, 1_000
CUSTOMER = types_v1.CustomerRef(store_key=types_v1.StoreKey(store="crm", customer_id="C00001"))


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site of two workers."""
    site = Site.create(tmp_path / "site")
    site.values["server"] |= {"workers": 2, "connection_age_seconds": 1}
    site.write()
    return site


@pytest.fixture
def served(site: Site) -> Iterator[Server]:
    with site.running() as server:
        server.add_principal("agent", "support")
        yield server


class Client:
    """One connection of its own, with a token; to `address` instead of the server, if given. `retries`: as gRPC comes."""

    def __init__(
        self, server: Server, principal: str = "agent", address: str = "", *, retries: bool = False
    ) -> None:
        own = [("grpc.enable_retries", int(retries)), ("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.aio.insecure_channel(address or server.grpc, options=own)
        self._metadata = (("authorization", f"Bearer {server.site.token(principal)}"),)
        self._call: Any = self.channel.unary_unary(
            LOOKUP,
            request_serializer=customer_v1.LookupCustomerRequest.SerializeToString,
            response_deserializer=customer_v1.LookupCustomerResponse.FromString,
        )

    async def ask(self, purpose: str = "after_sales") -> str:
        """Look up; return the reason of the refusal, or gRPC's own words for a call that failed, or nothing."""
        try:
            await self._call(lookup("C00001", "name", purpose=purpose), metadata=self._metadata, timeout=60)
        except grpc.aio.AioRpcError as error:
            return read_refusal(error).reason or f"{error.code().name} {error.details()}"
        return ""


@asynccontextmanager
async def connected(
    server: Server, count: int, principal: str = "agent", address: str = "", *, retries: bool = False
) -> AsyncIterator[list[Client]]:
    clients = [Client(server, principal, address, retries=retries) for _ in range(count)]
    try:
        yield clients
    finally:
        await asyncio.gather(*(client.channel.close() for client in clients))


class Load:
    """Clients that ask without a pause: some on one connection, some on a new one for every call; see `Client`."""

    def __init__(
        self, server: Server, steady: int, fresh: int = 0, address: str = "", *, retries: bool = False
    ) -> None:
        self.outcomes: Counter[str] = Counter()
        self._connected = partial(connected, server, 1, address=address, retries=retries)
        self._is_over = False
        self._tasks = [asyncio.create_task(self._steady()) for _ in range(steady)]
        self._tasks += [asyncio.create_task(self._fresh()) for _ in range(fresh)]

    async def end(self) -> Counter[str]:
        """Let what runs end; return how the calls came out, "" for those that were allowed."""
        self._is_over = True
        await asyncio.gather(*self._tasks)
        return self.outcomes

    async def _steady(self) -> None:
        async with self._connected() as [client]:
            while not self._is_over:
                self.outcomes[await client.ask()] += 1

    async def _fresh(self) -> None:
        while not self._is_over:
            async with self._connected() as [client]:
                self.outcomes[await client.ask()] += 1


def logs(site: Site) -> dict[str, dict[str, Any]]:
    """Return what `fujie audit verify` says of every log, by origin; each must be whole."""
    verified = json.loads(site.command("audit", "verify", str(site.log), "--output", "json").stdout)
    found = {log["origin"]: log for log in verified["logs"]}
    assert found.keys() == {f"{INSTANCE}/w0", f"{INSTANCE}/w1"}
    assert all(not log["findings"] for log in found.values()), found
    return found


async def soon(says: Callable[[], bool]) -> None:
    """Wait until it is so, without holding up the clients; nothing is measured."""
    until = time.monotonic() + START_S
    while not await asyncio.to_thread(says):
        assert time.monotonic() < until
        await asyncio.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2][:3]
    except FileNotFoundError:
        return False


# Sharing.


async def test_both_workers_are_called_and_what_they_count_adds_up(site: Site, served: Server) -> None:
    async with connected(served, 60) as clients:
        assert {await client.ask() for client in clients} == {""}
    assert served.metric("fujie_decisions_total", action="lookup", effect="ALLOW") == 60
    assert served.metric("fujie_stage_seconds_count", stage="mask") == 60
    assert served.metric("fujie_serving") == 1
    assert served.metric("fujie_worker_serving") == 2
    assert served.metric("fujie_worker_restarts_total") == 0
    assert served.metric("fujie_bundle_info") == 1
    entries = served.metric("fujie_log_entries")
    assert served.stop() == 0
    found = logs(site)
    assert all(log["entries"] == log["signed"] > 0 for log in found.values())
    assert sum(log["entries"] for log in found.values()) == entries == 62  # and the principal's two


def test_no_second_server_gets_among_them(site: Site, served: Server) -> None:
    assert {problem["code"] for problem in site.refusal()} == {"LOG_LOCKED"}
    other = Site.create(site.root / "other")
    other.values["server"]["listen"] = served.grpc
    other.write()
    assert [problem["code"] for problem in other.refusal()] == ["LISTEN_FAILED"]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one CPU")
def test_where_there_is_a_cpu_for_each_worker_it_stays_there_with_every_thread(site: Site) -> None:
    all_cpus = os.sched_getaffinity(0)
    cpus = sorted(all_cpus)[:2]
    os.sched_setaffinity(0, cpus)
    try:
        with site.running() as server:
            server.add_principal("agent", "support")
            workers = [int(ready["pid"]) for ready in server.events("worker_ready")]
            found = [set(map(_cpus_of, os.listdir(f"/proc/{pid}/task"))) - {()} for pid in workers]
    finally:
        os.sched_setaffinity(0, all_cpus)
    assert sorted(map(sorted, found)) == [[(cpus[0],)], [(cpus[1],)]]


def _cpus_of(thread: str) -> tuple[int, ...]:
    try:
        return tuple(sorted(os.sched_getaffinity(int(thread))))
    except ProcessLookupError:  # gRPC ended it
        return ()


def test_no_thread_of_a_worker_takes_the_cpu_from_another_by_waking(served: Server) -> None:
    """What gRPC core is told in the environment shows there; a policy that one of its threads lacked would show here."""
    served.add_principal("agent", "support")
    environment = Path(f"/proc/{served.worker()}/environ").read_bytes().split(b"\0")
    assert {f"{name}={value}".encode() for name, value in GRPC_CORE.items()} <= set(environment)
    threads = os.listdir(f"/proc/{served.worker()}/task")
    assert len(threads) > 1
    assert {_policy_of(thread) for thread in threads} <= {os.SCHED_BATCH, None}


def _policy_of(thread: str) -> int | None:
    try:
        return os.sched_getscheduler(int(thread))
    except ProcessLookupError:  # gRPC ended it
        return None


def test_what_the_environment_tells_grpc_core_stands(site: Site) -> None:
    site.environ["GRPC_EXPERIMENTS"] = "event_engine_listener"
    with site.running() as server:
        environment = Path(f"/proc/{server.worker()}/environ").read_bytes().split(b"\0")
        assert b"GRPC_EXPERIMENTS=event_engine_listener" in environment
        server.add_principal("agent", "support")  # it is served


async def test_sighup_reaches_every_worker(site: Site) -> None:
    site.values["policy"]["reload_seconds"] = 3600
    site.write()
    with site.running() as server:
        server.add_principal("agent", "support")
        site.replace_policies(POLICY.replace("[support]", "[agents]"))
        server.process.send_signal(signal.SIGHUP)
        await asyncio.to_thread(server.wait_for, "policies_loaded", 4)
        assert server.metric("fujie_bundle_info") == 1
        async with connected(server, 20) as clients:
            assert {await client.ask() for client in clients} == {"NO_GRANT"}


# Losing workers.


async def test_a_killed_worker_comes_back_and_its_log_goes_on(site: Site, served: Server) -> None:
    async with connected(served, 20) as clients:
        assert {await client.ask() for client in clients} == {""}
    allowed = served.metric("fujie_decisions_total", effect="ALLOW")
    lost = served.worker(0)
    os.kill(lost, signal.SIGKILL)
    assert served.wait_for("worker_lost")["code"] == -signal.SIGKILL
    assert served.get("http", "/readyz") == (200, "ok\n")  # the other serves
    assert served.metric("fujie_decisions_total", effect="ALLOW") >= allowed
    served.wait_for("worker_ready", count=3)
    await soon(lambda: served.metric("fujie_worker_serving") == 2)  # the server hears of it a moment later
    assert served.worker(0) != lost
    assert served.metric("fujie_worker_restarts_total", worker="w0") == 1
    assert served.metric("fujie_worker_restarts_total", worker="w1") == 0
    before = {ready["worker"]: ready["entries"] for ready in served.events("worker_ready")}
    async with connected(served, 40) as clients:
        assert {await client.ask() for client in clients} == {""}
    assert served.metric("fujie_decisions_total", effect="ALLOW") == allowed + 40
    assert served.stop() == 0
    assert logs(site)[f"{INSTANCE}/w0"]["entries"] > before["w0"] > 0


async def test_a_worker_that_hangs_is_seen_and_holds_up_no_scrape(served: Server) -> None:
    os.kill(served.worker(1), signal.SIGSTOP)
    try:
        # On a crowded machine the other one may be late for one scrape.
        await soon(lambda: served.metric("fujie_worker_reporting", worker="w0") == 1)
        assert served.metric("fujie_worker_reporting", worker="w1") == 0
        assert served.metric("fujie_serving") == 1
    finally:
        os.kill(served.worker(1), signal.SIGCONT)
    await soon(lambda: served.metric("fujie_worker_reporting", worker="w1") == 1)


async def test_a_worker_whose_log_failed_is_replaced(site: Site, served: Server) -> None:
    blocker = site.log / INSTANCE / "w0" / "checkpoint.tmp"  # where the next checkpoint is to be written
    blocker.mkdir()
    while not served.events("log_failed"):
        with suppress(grpc.RpcError):  # one may reach the worker that just failed
            served.add_principal("agent", "support")
    assert served.wait_for("cannot_start")["worker"] == "w0"  # its successor finds the same trouble
    assert served.get("http", "/readyz") == (200, "ok\n")
    assert served.metric("fujie_worker_serving", worker="w0") == 0
    assert served.metric("fujie_log_failures_total") == 1
    blocker.rmdir()
    served.wait_for("worker_ready", count=3)
    await soon(lambda: served.metric("fujie_worker_serving") == 2)  # the server hears of it a moment later
    assert served.metric("fujie_log_failures_total") == 1  # the dead worker's counters are kept


async def test_no_worker_outlives_its_server(served: Server) -> None:
    workers = [served.worker(slot) for slot in (0, 1)]
    assert all(map(is_alive, workers))
    served.process.kill()
    await soon(lambda: not any(map(is_alive, workers)))


# Ending and restarting.


async def test_sigterm_under_load_answers_every_call_that_it_took(site: Site, served: Server) -> None:
    load = Load(served, steady=16)
    await soon(lambda: load.outcomes[""] > 200)
    served.process.send_signal(signal.SIGTERM)
    await soon(lambda: served.process.poll() is not None)
    outcomes = await load.end()
    assert served.process.returncode == 0
    # A call that crosses gRPC's GOAWAY is cancelled before it reaches the gate; later ones find nobody.
    assert {outcome.split()[0] for outcome in outcomes if outcome} <= {"CANCELLED", "UNAVAILABLE"}
    found = logs(site)
    assert all(log["entries"] == log["signed"] for log in found.values())
    assert sum(log["entries"] for log in found.values()) == outcomes[""] + 2  # and the principal's two


async def test_a_rolling_restart_fails_no_call(served: Server) -> None:
    """Of clients as gRPC makes them none fails; of those whose retries are switched off, none that left the client.

    A GOAWAY may reach a client while it hands a call to that very connection. The call is not sent then, and gRPC takes
    another connection for it; no server can know of it. So the wire is watched: what left was answered.
    """
    before = {served.worker(slot) for slot in (0, 1)}
    async with tapped(served.grpc) as tap:
        load = Load(served, steady=6, fresh=3, retries=True)
        unaided = Load(served, steady=6, fresh=3, address=tap.address)
        await soon(lambda: min(load.outcomes[""], unaided.outcomes[""]) > 50)
        served.process.send_signal(signal.SIGUSR2)
        await soon(lambda: bool(served.events("rolled")))
        outcomes, unaided_outcomes = await load.end(), await unaided.end()
    assert set(outcomes) == {""}, outcomes
    assert tap.asked == tap.answered == unaided_outcomes[""], (tap, unaided_outcomes)
    unsent = [outcome for outcome in unaided_outcomes if outcome]
    assert all(each.startswith("UNAVAILABLE") and "GOAWAY received" in each for each in unsent), unsent
    assert not before & {served.worker(slot) for slot in (0, 1)}
    allowed = outcomes[""] + unaided_outcomes[""]
    assert served.metric("fujie_worker_restarts_total") == 0
    assert served.metric("fujie_decisions_total", action="lookup", effect="ALLOW") == allowed
    assert served.stop() == 0
    assert sum(log["entries"] for log in logs(served.site).values()) == allowed + 2


async def test_a_worker_that_waits_for_its_last_calls_is_not_taken_for_hanging(site: Site) -> None:
    site.values["server"]["drain_seconds"] = 3
    site.write()
    health = health_pb2.HealthCheckRequest().SerializeToString()
    with site.running() as server:
        leaving = server.worker(0)
        async with connected(server, 20) as clients:
            for client in clients:  # a watch never ends by itself
                await client.channel.unary_stream("/grpc.health.v1.Health/Watch")(health).read()
            server.process.send_signal(signal.SIGUSR2)
            await asyncio.to_thread(server.wait_for, "worker_leaving")
            has_reported = []
            while is_alive(leaving):
                is_reporting = await asyncio.to_thread(server.metric, "fujie_worker_reporting", worker="w0")
                if is_alive(leaving):
                    has_reported.append(bool(is_reporting))
            # To its end: on a crowded machine it may be late for any one scrape.
            assert any(has_reported[len(has_reported) // 2 :]), has_reported
            assert server.events("worker_lost") == []
            assert server.events("port_left")[0]["connections"] > 0


async def test_a_roll_that_meets_a_dying_worker_and_a_storm_of_signals_leaves_all_serving(
    served: Server,
) -> None:
    os.kill(served.worker(0), signal.SIGKILL)
    served.process.send_signal(signal.SIGUSR2)
    for _ in range(100):
        served.process.send_signal(signal.SIGHUP)
    served.wait_for("worker_lost")
    # Refused where the death was noticed first: then nobody else serves while the other one would leave.
    await soon(lambda: any(map(served.events, ("rolled", "roll_stopped", "roll_refused"))))
    await soon(lambda: served.metric("fujie_worker_serving") == 2)
    async with connected(served, 20) as clients:
        assert {await client.ask() for client in clients} == {""}
    ready = len(served.events("worker_ready"))
    os.kill(served.worker(0), signal.SIGKILL)  # that it was told to leave once is forgotten
    served.wait_for("worker_ready", count=ready + 1)
    assert served.metric("fujie_worker_restarts_total", worker="w0") == 2
    assert served.stop() == 0
    logs(served.site)


def test_sigterm_in_the_middle_of_a_roll_and_once_more_is_a_good_end(served: Server) -> None:
    served.process.send_signal(signal.SIGUSR2)
    served.wait_for("worker_leaving")
    served.process.send_signal(signal.SIGTERM)
    assert served.stop() == 0
    assert served.events("task_died") == served.events("worker_lost") == []
    assert all(log["entries"] == log["signed"] for log in logs(served.site).values())


def test_sigterm_while_the_workers_start_is_a_good_end(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as issuer:  # it takes the connection and says nothing
        site.values["identity"]["issuers"][0]["jwks"] = f"http://127.0.0.1:{issuer.getsockname()[1]}/"
        site.write()
        starting = site.starting()
        try:
            with issuer.accept()[0]:
                assert starting.stop() == 0
        finally:
            starting.process.kill()
    assert {event["event"] for event in starting.events()} == {"signal", "stopped"}


def test_the_only_worker_is_not_restarted_by_rolling(site: Site) -> None:
    site.values["server"]["workers"] = 1
    site.write()
    with site.running() as server:
        server.process.send_signal(signal.SIGUSR2)
        assert server.wait_for("roll_refused")["worker"] == "w0"
        assert is_alive(server.worker(0))
        assert server.get("http", "/readyz") == (200, "ok\n")


# What one worker is told, the other knows.


NOTICE = """\
---
apiVersion: fujie.dev/v1
kind: Notice
metadata: {name: marketing-notice}
spec:
  version: "1"
  purposes: [marketing]
  explicit: true
  data_classes: [person_name, mobile]
  storage: [CN]
  text:
    zh: "{controller}希望使用您的姓名和手机号码。您可以随时撤回同意。您是否同意？"
    en: "{controller} would like to use your name and mobile number. You can withdraw. Do you agree?"
  withdrawal: {zh: "您可以随时撤回同意", en: "You can withdraw"}
"""


@pytest.fixture
def crowd(site: Site) -> Iterator[Server]:
    """A server whose connections stay, and where `agent` may look at a customer who has consented."""
    site.values["server"]["connection_age_seconds"] = 3600
    site.values["controller"] = "Test Ltd."
    site.write()
    policy = POLICY.replace("consent.record]", "consent.record, consent.withdraw]")
    site.policy_file.write_text(policy + NOTICE, "utf-8")
    with site.running() as server:
        server.add_principal("agent", "support")
        text = "Test Ltd.希望使用您的姓名和手机号码。您可以随时撤回同意。您是否同意？"
        notice = consent_v1.NoticeRef(
            id="marketing-notice", version="1", language="zh-CN", digest=sha256(text.encode()).hexdigest()
        )
        answer = consent_v1.RecordConsentRequest(
            customer=CUSTOMER,
            consent=consent_v1.ConsentRecord(
                purpose="marketing",
                type=consent_v1.CONSENT_EVENT_TYPE_GIVEN,
                explicit=True,
                source="agent",
                notice=notice,
            ),
            capture=consent_v1.Capture(preselected=False, bundled=False),
        )
        with (stubs := server.connect(ADMIN)).channel:
            stubs.consent.RecordConsent(answer, timeout=60)
        yield server


async def outcomes_after(server: Server, change: Callable[[Any], object]) -> set[str]:
    """Make `change` while 500 connections ask; return how the next 1,000 calls come out once it is acknowledged."""
    async with connected(server, CONNECTIONS) as clients:
        before = await asyncio.gather(*(client.ask("marketing") for client in clients))
        assert set(before) == {""}
        is_over = False

        async def keep_asking(client: Client) -> None:
            while not is_over:
                await client.ask("marketing")

        busy = [asyncio.create_task(keep_asking(client)) for client in clients[:32]]
        with (stubs := server.connect(ADMIN)).channel:
            await asyncio.to_thread(change, stubs)
        later = [client.ask("marketing") for client in clients * (LATER_CALLS // CONNECTIONS)]
        outcomes = set(await asyncio.gather(*later))
        is_over = True
        await asyncio.gather(*busy)
    assert server.metric("fujie_worker_serving") == 2
    assert server.stop() == 0
    # The kernel spread the connections: both workers were asked.
    assert all(log["entries"] > CONNECTIONS // 10 for log in logs(server.site).values())
    return outcomes


async def test_after_a_withdrawal_no_worker_allows_what_rested_on_the_consent(crowd: Server) -> None:
    withdrawal = consent_v1.WithdrawConsentRequest(customer=CUSTOMER, purpose="marketing")
    outcomes = await outcomes_after(
        crowd, lambda stubs: stubs.consent.WithdrawConsent(withdrawal, timeout=60)
    )
    assert outcomes == {"CONSENT_MISSING"}


async def test_after_an_offboarding_no_worker_serves_the_principal(crowd: Server) -> None:
    leaver = directory_v1.OffboardPrincipalRequest(id="agent")
    outcomes = await outcomes_after(
        crowd, lambda stubs: stubs.directory.OffboardPrincipal(leaver, timeout=60)
    )
    assert outcomes == {"PRINCIPAL_OFFBOARDED"}
