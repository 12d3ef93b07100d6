"""One server from start to end: opens the gate, listens, says whether it serves, drains, closes.

Ending, on SIGTERM or SIGINT:
1. Health says NOT_SERVING and `/readyz` 503, so that nobody sends anything new.
2. Listeners close; calls that run get `drain_seconds`.
3. The log commits what waits and signs the last checkpoint; ledger and stores close.

Every task that lives as long as the server is owned here: when one ends by itself, the server ends with 1.
"""

import asyncio
import gc
import logging
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.metadata import version

import uvloop

from fujie.adapters.clock import SystemClock
from fujie.adapters.metrics import LogState, PrometheusMetrics
from fujie.app.logs import log_event, loop_trouble
from fujie.app.policies import announce, follow
from fujie.app.problems import Collector
from fujie.app.settings import Server, Settings, split_address
from fujie.app.wire import OpenGate, open_gate
from fujie.model.errors import LedgerError
from fujie.policy.cel import ENGINE
from fujie.transport.grpc.edge import Edge, Incident
from fujie.transport.grpc.server import GrpcServer, Listen, TLSFiles, build_server
from fujie.transport.http.health import HealthListener

WATCH_SECONDS = 0.2
"""How soon health follows the log and the ledger; one look costs a point read, about 20 µs."""

STOPPED, TASK_DIED = 0, 1


class Readiness:
    """Whether the gate can answer, and why not: `draining`, `log`, `ledger`, or empty."""

    def __init__(self, gate: OpenGate, clock: SystemClock) -> None:
        self._gate = gate
        self._clock = clock
        self._is_ledger_readable = True
        self._signed_at = clock.monotonic()
        self.is_draining = False

    def why_not(self) -> str:
        """Return the reason in one word; empty when the gate answers."""
        if self.is_draining:
            return "draining"
        if not self._gate.log.healthy:
            return "log"
        return "" if self._is_ledger_readable else "ledger"

    def checkpoint_age_s(self) -> float:
        """Return for how long there have been entries without a signature; 0 when there are none."""
        log = self._gate.log
        if log.signed.size >= log.size:
            return 0.0
        # An idle log signs nothing: its last checkpoint is old, its first new entry is not.
        return max(0.0, self._clock.monotonic() - max(log.last_checkpoint_time, self._signed_at))

    async def look(self) -> None:
        """Take notice of log and ledger."""
        log = self._gate.log
        if log.signed.size >= log.size:
            self._signed_at = self._clock.monotonic()
        try:
            await self._gate.ledger.checkpoints.last(log.origin)
        except LedgerError:
            self._is_ledger_readable = False
        else:
            self._is_ledger_readable = True


@dataclass(frozen=True, slots=True)
class Listening:
    """What listens, and how its addresses are told: with the ports that were bound."""

    grpc: GrpcServer
    addresses: dict[str, str]


def run(settings: Settings) -> int:
    """Serve until told to stop; return the exit code. Raises CannotStart."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(serve(settings))


async def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT, then drain; SIGHUP reloads the policies.

    Raises:
        CannotStart: with everything that is wrong.

    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(loop_trouble)
    clock = SystemClock()
    build = version("fujie")
    metrics = PrometheusMetrics(build, ENGINE)
    for setting, is_on in settings.unsafe.items():
        metrics.unsafe(setting, is_on=is_on)
        if is_on:
            log_event("unsafe_setting", logging.WARNING, setting=setting)
    stop, reload = asyncio.Event(), asyncio.Event()
    _on_signals(
        loop, stop, reload
    )  # from here on a signal never ends the process half way through something
    async with AsyncExitStack() as open_things:
        gate = await open_gate(settings, metrics, clock)
        open_things.push_async_callback(gate.close)
        announce(gate.policies, metrics)
        if gate.log.torn_bytes:
            log_event("torn_entries_cut", logging.WARNING, torn_bytes=gate.log.torn_bytes)
        readiness = Readiness(gate, clock)
        metrics.watch(_log_state(gate, readiness))
        listening = await _listen(settings.server, gate, metrics, readiness, open_things)
        await listening.grpc.server.start()
        await listening.grpc.report_health(is_serving=True)
        follower = follow(gate.policies, metrics, settings.policy.reload_seconds, reload)
        watcher = _watch(gate, readiness, listening.grpc, metrics)
        tasks = {
            asyncio.create_task(follower, name="policies"),
            asyncio.create_task(watcher, name="health"),
            asyncio.create_task(gate.keeper.run(), name="keeper"),
        }
        # What is loaded stays: the collector need not look through engine, policies and modules again.
        gc.collect()
        gc.freeze()
        log_event("ready", version=build, entries=gate.log.size, **listening.addresses)
        code = await _until_stopped(stop, tasks)
        readiness.is_draining = True
        await _cancelled(tasks)
        await listening.grpc.report_health(is_serving=False)
        log_event("draining", seconds=settings.server.drain_seconds)
        await listening.grpc.server.stop(settings.server.drain_seconds)
    log_event("stopped", entries=gate.log.size)
    return code


async def _listen(
    server: Server,
    gate: OpenGate,
    metrics: PrometheusMetrics,
    readiness: Readiness,
    open_things: AsyncExitStack,
) -> Listening:
    """Bind all three addresses, or say which can not be bound."""
    found = Collector()
    ports: dict[str, int] = {}
    health = HealthListener(readiness.why_not)
    with found.gathering():
        ports["metrics"], stop_metrics = metrics.expose(*split_address(server.metrics_listen))
        open_things.push_async_callback(asyncio.to_thread, stop_metrics)
    with found.gathering():
        ports["http"] = await health.start(*split_address(server.http_listen))
        open_things.push_async_callback(health.stop)
    built: list[GrpcServer] = []
    with found.gathering():
        tls = TLSFiles(server.tls.certificate, server.tls.private_key) if server.tls else None
        listen = Listen(server.listen, tls, with_reflection=server.reflection)
        built.append(await build_server(gate.front, Edge(gate.front.gate.ids, _report), listen))
        ports["grpc"] = built[0].port
    found.finish()
    asked = {"grpc": server.listen, "http": server.http_listen, "metrics": server.metrics_listen}
    addresses = {name: f"{asked[name].rpartition(':')[0]}:{port}" for name, port in ports.items()}
    return Listening(built[0], addresses)


async def _watch(
    gate: OpenGate, readiness: Readiness, server: GrpcServer, metrics: PrometheusMetrics
) -> None:
    """Let health follow the log and the ledger, for ever."""
    told, is_failure_counted = "", False
    while True:
        await readiness.look()
        why_not = readiness.why_not()
        if why_not == "log" and not is_failure_counted:
            is_failure_counted = True
            metrics.log_failed()
            log_event("log_failed", logging.CRITICAL, error=gate.log.ended, entries=gate.log.size)
        if why_not != told:
            await server.report_health(is_serving=not why_not)
            log_event("not_serving" if why_not else "serving", logging.WARNING, state=why_not)
            told = why_not
        await asyncio.sleep(WATCH_SECONDS)


async def _until_stopped(stop: asyncio.Event, tasks: set[asyncio.Task[None]]) -> int:
    """Wait for the signal; a task of ours that ends before is a fault."""
    asked = asyncio.create_task(stop.wait(), name="signal")
    await asyncio.wait({asked, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    dead = [task for task in tasks if task.done()]
    for task in dead:
        error = task.exception()
        log_event("task_died", logging.CRITICAL, task=task.get_name(), error=type(error).__name__)
    asked.cancel()
    return TASK_DIED if dead else STOPPED


async def _cancelled(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _on_signals(loop: asyncio.AbstractEventLoop, stop: asyncio.Event, reload: asyncio.Event) -> None:
    def on(number: signal.Signals, act: Callable[[], None]) -> None:
        def received() -> None:
            log_event("signal", signal=number.name)
            act()

        loop.add_signal_handler(number, received)

    on(signal.SIGTERM, stop.set)
    on(signal.SIGINT, stop.set)
    on(signal.SIGHUP, reload.set)


def _log_state(gate: OpenGate, readiness: Readiness) -> LogState:
    return LogState(
        serving=lambda: not readiness.why_not(),
        backlog=lambda: gate.log.backlog,
        entries=lambda: gate.log.size,
        checkpoint_age_s=readiness.checkpoint_age_s,
    )


def _report(incident: Incident) -> None:
    log_event(
        "call_failed",
        logging.WARNING,
        incident_id=incident.id,
        method=incident.method,
        code=incident.code,
        error=incident.error,
    )
