"""One worker: a process with a gate, a log and a gRPC server of its own, on the port that all workers share.

It does what its server (`app/supervisor.py`) says over the line between them, and nothing without it: signals are
the server's business, and a worker whose server is gone is killed by the kernel. Ending:
1. Health says NOT_SERVING, so that nobody sends anything new.
2. In a rolling restart the worker leaves the port and waits until its connections have gone elsewhere.
3. gRPC stops; calls that run get `drain_seconds`.
4. The log commits what waits and signs the last checkpoint; ledger and stores close.

Every task that lives as long as the worker is owned here: when one ends by itself, the worker ends with 1.
"""

import asyncio
import ctypes
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING

import uvloop

from fujie.adapters.clock import SystemClock
from fujie.adapters.logfiles import left_unfinished
from fujie.adapters.merged import samples_of
from fujie.adapters.metrics import LogState, PrometheusMetrics
from fujie.app import logs
from fujie.app.approving import Approving
from fujie.app.callbacks import read_lines
from fujie.app.collecting import keep_what_is_loaded
from fujie.app.control import Control
from fujie.app.cpus import let_finish, own_cpu
from fujie.app.disclosing import Disclosing, OwnLog
from fujie.app.dispatching import Dispatching
from fujie.app.expiring import Expiring
from fujie.app.leaving import Leaving
from fujie.app.logs import log_event, loop_trouble
from fujie.app.notifying import notifying_of
from fujie.app.policies import announce, follow
from fujie.app.problems import CannotStart, Collector
from fujie.app.readiness import Readiness
from fujie.app.scimroutes import opened_by
from fujie.app.settings import Server, Settings
from fujie.app.shadow import follow_shadow, shadow_policies
from fujie.app.wire import Assignment, OpenGate, open_gate
from fujie.audit.errors import AuditError
from fujie.model.errors import LedgerError, StartError
from fujie.policy.cel import ENGINE
from fujie.transport.grpc.certificates import TLSFiles
from fujie.transport.grpc.edge import Edge, Incident
from fujie.transport.grpc.server import GrpcServer, Listen, build_server
from fujie.transport.grpc.sockets import FAREWELL_S, SETTLE_S, leave

if TYPE_CHECKING:
    from fujie.app.web import PublicServer

WATCH_SECONDS = 0.2
"""How soon health follows the log and the ledger; one look costs a point read, about 20 µs."""

SENDING_SECONDS = 10.0
"""How often the metrics of sending, and of what waits for people, are read; a few reads of indexes."""

CERTIFICATE_SECONDS = 2.0
"""How often the files of the certificate are compared; reading three small files takes 50 µs."""

AGE_SPREAD = 1.1
"""By how much gRPC core lets a connection outlive its age."""

STOPPED, TASK_DIED, REFUSED = 0, 1, 5

_PR_SET_PDEATHSIG = 1
_SERVER_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR2)


def main(arguments: list[str]) -> int:
    """Run the worker whose line is the descriptor `arguments[0]` for the server with the process id `arguments[1]`."""
    for number in _SERVER_SIGNALS:  # a service manager may send them to every process
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(arguments[1]):  # it was gone before the kernel knew
        return TASK_DIED
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(_serve(socket.socket(fileno=int(arguments[0]))))
        # All is closed. The interpreter would wait for its threads: one may be waiting for an issuer's keys.
        os._exit(code)


async def _serve(end: socket.socket) -> int:
    asyncio.get_running_loop().set_exception_handler(loop_trouble)
    line = await Control.over(end)
    order = await line.receive()
    if order is None:
        return TASK_DIED
    slot = int(order["slot"])
    logs.install(f"w{slot}")
    settings = Settings.model_validate(order["settings"])
    let_finish()  # before any thread begins
    own_cpu(slot, settings.server.workers)
    try:
        return await Worker(slot, settings, line).serve(order["change"])
    except CannotStart as refusal:
        line.send("refused", problems=[asdict(problem) for problem in refusal.problems])
        return REFUSED
    finally:
        with suppress(OSError):
            await line.flush()
        line.close()


class Worker:
    """What one worker process does, from its settings to its end."""

    def __init__(self, slot: int, settings: Settings, line: Control) -> None:
        self._slot = slot
        self._settings = settings
        self._line = line
        self._clock = SystemClock()
        self._metrics = PrometheusMetrics(version("fujie"), ENGINE)
        self._leave, self._drain, self._reload = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._disbelieve = asyncio.Event()

    async def serve(self, change: int) -> int:
        """Serve until the server says to end; return the exit code. Raises CannotStart, also for a ledger that lacks
        `change`, which another worker has seen."""
        for setting, is_on in self._settings.unsafe.items():
            self._metrics.unsafe(setting, is_on=is_on)
        async with AsyncExitStack() as open_things:
            # Until all is closed: a server that hears nothing for `HANG_S` takes its worker for hanging.
            orders = asyncio.create_task(self._obey(), name="orders")
            open_things.push_async_callback(_cancelled, {orders})
            assigned = Assignment(self._slot, change, self._migrating)
            gate = await open_gate(self._settings, self._metrics, self._clock, assigned)
            open_things.push_async_callback(gate.close)
            announce(gate.policies, self._metrics)
            if gate.log.torn_bytes:
                log_event("torn_entries_cut", logging.WARNING, torn_bytes=gate.log.torn_bytes)
            await self._tell_unfinished(gate)
            readiness = Readiness(gate, self._clock, self._line)
            self._metrics.watch(_log_state(gate, readiness))
            grpc = await _listen(self._settings.server, gate)
            await grpc.server.start()
            await grpc.report_health(is_serving=True)
            pages = [
                *await _open_public(self._settings, gate),
                *await _open_console(self._settings, gate, open_things),
            ]
            for each in pages:
                open_things.push_async_callback(each.stop, 0.0)
            tasks = self._tasks(gate, readiness, grpc)
            open_things.push_async_callback(_cancelled, tasks)  # before the gate closes
            keep_what_is_loaded()
            log_event("worker_ready", pid=os.getpid(), entries=gate.log.size)
            self._line.send("ready", entries=gate.log.size)
            code = await self._until_ended({orders, *tasks}, readiness, grpc)
            await grpc.report_health(is_serving=False)
            drain_s = self._settings.server.drain_seconds
            began = self._clock.monotonic()
            await asyncio.gather(grpc.server.stop(drain_s), *(each.stop(drain_s) for each in pages))
            log_event("drained", seconds=round(self._clock.monotonic() - began, 1))
        self._line.send("last_report", samples=await asyncio.to_thread(samples_of, self._metrics.registry))
        return code

    def _migrating(self, is_migrating: bool) -> None:  # noqa: FBT001 - see `Tell`
        """Have the server wait meanwhile, however long it takes: what is given up begins again from the beginning."""
        self._line.send("migrating", is_migrating=is_migrating)

    def _tasks(self, gate: OpenGate, readiness: Readiness, grpc: GrpcServer) -> set[asyncio.Task[None]]:
        reload_s = self._settings.policy.follow_seconds
        running = {
            "policies": follow(gate.policies, self._metrics, reload_s, self._reload),
            "health": self._watch(gate, readiness, grpc),
            "keeper": gate.keeper.run(),
            "disclosures": self._disclosing(gate).run(),
            "leases": Expiring(gate.ledger.exports, self._clock, self._metrics.leases).run(),
        }
        notifying = notifying_of(self._settings, gate, self._clock)
        running["notifying"] = notifying.run()
        running["notifications"] = notifying.follow(self._metrics)
        running["leaving"] = Leaving(gate.front.gate).run()
        running["approving"] = Approving(gate.front.gate, gate.ledger.reviews, self._metrics.reviews).run()
        running["pending"] = self._follow_pending(gate)
        if (sending := gate.front.gate.sending) is not None and sending.providers:
            running["dispatch"] = Dispatching(gate.front.gate, sending).run()
            running["standing"] = self._follow_sending(gate, tuple(sending.providers))
        if (shadow := gate.front.gate.shadow) is not None:
            policy = self._settings.policy
            source = shadow_policies(policy, gate.policies.attributes, gate.front.gate.clock.now)
            running["shadow"] = follow_shadow(source, shadow, self._metrics, policy.shadow_follow_seconds)
        if grpc.certificates is not None:
            running["certificates"] = self._follow_certificates(grpc)
        return {asyncio.create_task(each, name=name) for name, each in running.items()}

    async def _tell_unfinished(self, gate: OpenGate) -> None:
        """Say which acts a crash cut off, before anything new begins (`fujie audit unfinished` lists all there ever were)."""
        place = self._settings.audit.dir / gate.log.origin
        with suppress(AuditError, OSError):  # nothing that stops a start
            for each in await asyncio.to_thread(left_unfinished, place, gate.log.signed.size):
                entry = each.entry
                log_event(
                    "act_unfinished",
                    logging.WARNING,
                    index=each.index,
                    decision_id=entry.decision_id if entry else "",
                    action=entry.action if entry else "",
                )

    def _disclosing(self, gate: OpenGate) -> Disclosing:
        log = OwnLog(
            self._settings.audit.dir / gate.log.origin, gate.log.origin, lambda: gate.log.signed.size
        )
        return Disclosing(log, gate.ledger.disclosures, gate.front.gate.zone)

    async def _follow_sending(self, gate: OpenGate, providers: tuple[str, ...]) -> None:
        """Let the metrics follow how sending stands, for ever; what can not be read stays as it was."""
        while True:
            with suppress(LedgerError):
                self._metrics.sending(providers, await gate.ledger.outbox.standing(self._clock.now()))
            await asyncio.sleep(SENDING_SECONDS)

    async def _follow_pending(self, gate: OpenGate) -> None:
        """Let the metrics follow what waits for people, for ever; what can not be read stays as it was."""
        while True:
            with suppress(LedgerError):
                self._metrics.waiting(await gate.ledger.pending(self._clock.now()))
            await asyncio.sleep(SENDING_SECONDS)

    async def _obey(self) -> None:
        """Do what the server says, until it is gone."""
        while (order := await self._line.receive()) is not None:
            if order["kind"] == "report":
                # In a thread: a thousand series take milliseconds.
                samples = await asyncio.to_thread(samples_of, self._metrics.registry)
                self._line.send("report", samples=samples)
            else:
                events = {"reload": self._reload, "leave": self._leave, "drain": self._drain}
                (events | {"disbelieve": self._disbelieve})[order["kind"]].set()

    async def _until_ended(
        self, tasks: set[asyncio.Task[None]], readiness: Readiness, grpc: GrpcServer
    ) -> int:
        """Wait until the server says to end; a task of ours that ends before is a fault."""
        ended = await _first(tasks, self._drain, self._leave)
        if self._leave.is_set() and not ended:
            readiness.is_draining = True  # the watcher tells
            leaving = asyncio.create_task(self._leave_port(grpc.port), name="leaving")
            ended = await _first({*tasks, leaving}, self._drain) - {leaving}
            await _cancelled({leaving})
        readiness.is_draining = True
        for task in ended:
            error = task.exception()
            log_event("task_died", logging.CRITICAL, task=task.get_name(), error=type(error).__name__)
        return TASK_DIED if ended else STOPPED

    async def _leave_port(self, port: int) -> None:
        """Leave the shared port, and say how long it took and how many connections would not end."""
        began = self._clock.monotonic()
        age_s = self._settings.server.connection_age_seconds * AGE_SPREAD
        left = await leave(port, SETTLE_S + age_s + FAREWELL_S)
        log_event("port_left", connections=left, seconds=round(self._clock.monotonic() - began, 1))

    async def _watch(self, gate: OpenGate, readiness: Readiness, grpc: GrpcServer) -> None:
        """Let health follow the log and the ledger, for ever."""
        told, was_refused, is_failure_counted, change = "", False, False, 0
        while True:
            await readiness.look(believes=not self._disbelieve.is_set())
            why_not = readiness.why_not()
            if why_not == "log" and not is_failure_counted:
                is_failure_counted = True
                self._metrics.log_failed()
                log_event("log_failed", logging.CRITICAL, error=gate.log.ended, entries=gate.log.size)
            if why_not != told:
                await grpc.report_health(is_serving=not why_not)
                log_event("not_serving" if why_not else "serving", logging.WARNING, state=why_not)
            is_refused = gate.policies.is_refused
            if (why_not, is_refused, readiness.change) != (told, was_refused, change):
                told, was_refused, change = why_not, is_refused, readiness.change
                self._line.send("state", why_not=told, are_policies_refused=was_refused, change=change)
            await asyncio.sleep(WATCH_SECONDS)

    async def _follow_certificates(self, grpc: GrpcServer) -> None:
        """Take over a changed certificate, for ever; a bad one is said, and the last good one stays."""
        certificates = grpc.certificates
        assert certificates is not None
        self._metrics.certificate_in_use(certificates.expires.timestamp())
        trouble = ""
        while True:
            await asyncio.sleep(CERTIFICATE_SECONDS)
            try:
                if await asyncio.to_thread(certificates.look):
                    self._metrics.certificate_in_use(certificates.expires.timestamp())
                    log_event("certificate_loaded")
                trouble = ""
            except StartError as error:
                if str(error) != trouble:
                    trouble = str(error)
                    self._metrics.certificate_refused()
                    log_event("certificate_refused", logging.ERROR, code=error.code, problem=str(error))


async def _listen(server: Server, gate: OpenGate) -> GrpcServer:
    tls = server.tls
    files = TLSFiles(tls.certificate, tls.private_key, tls.client_ca) if tls else None
    listen = Listen(server.listen, files, server.reflection, server.connection_age_seconds)
    found = Collector()
    built: list[GrpcServer] = []
    with found.gathering():
        built.append(await build_server(gate.front, Edge(gate.front.gate.ids, _report), listen))
    found.finish()
    return built[0]


async def _open_public(settings: Settings, gate: OpenGate) -> "list[PublicServer]":
    """Listen for the public, where the settings say so. Raises CannotStart."""
    if settings.server.public_listen is None:
        return []
    found = Collector()
    opened = []
    with found.gathering(), _needs_extra("public_listen"):
        from fujie.app.web import PublicServer  # 100 ms of imports, for who needs it

        lines = read_lines(settings.messaging.callbacks)
        more = opened_by(settings.scim, settings.server.public_base)
        opened.append(await PublicServer.start(settings.server, gate.front.gate, lines, more))
    found.finish()
    return opened


async def _open_console(
    settings: Settings, gate: OpenGate, open_things: AsyncExitStack
) -> "list[PublicServer]":
    """Listen for employees, where the settings say so. Raises CannotStart."""
    if settings.server.console_listen is None:
        return []
    found = Collector()
    opened: list[PublicServer] = []
    with found.gathering(), _needs_extra("console_listen"):
        from fujie.app.console import open_console

        front = gate.front
        opened.append(await open_console(settings, front.gate, front.authenticator, open_things))
    found.finish()
    return opened


@contextmanager
def _needs_extra(setting: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError:
        raise StartError(
            "EXTRA_MISSING",
            f"server.{setting}: the packages of the extra `console` are not installed",
            "Install it: pip install 'fujie[console]'.",
        ) from None


async def _first(tasks: set[asyncio.Task[None]], *events: asyncio.Event) -> set[asyncio.Task[None]]:
    """Wait for the first event, or the first task that ends; return the tasks that have ended."""
    waits = {asyncio.create_task(event.wait(), name="order") for event in events}
    await asyncio.wait({*waits, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    for each in waits:
        each.cancel()
    return {task for task in tasks if task.done()}


async def _cancelled(tasks: set[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


def _log_state(gate: OpenGate, readiness: Readiness) -> LogState:
    return LogState(
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
