"""One worker process as its server sees it: started, asked, told, and certainly ended."""

import asyncio
import logging
import os
import socket
import subprocess
import sys
from contextlib import suppress
from math import inf

from fujie.adapters.merged import Merged
from fujie.app.control import Control, Message
from fujie.app.logs import log_event
from fujie.app.problems import CannotStart, Problem
from fujie.app.settings import Settings

START_S = 60.0
"""Until a worker must be ready, which loads the engine and policies (1 to 2 s) and recovers its log. While it migrates the
ledger, the time stands still: a migration that is given up begins from the beginning, and would never end."""
LOOK_S = 0.5
"""How often one that starts is looked at."""

EXIT_S = 2.0
"""How long a worker may live without its line: its interpreter ends in milliseconds."""

GRPC_CORE = {
    "GRPC_EXPERIMENTS": "-event_engine_listener",  # the poller's thread reads and writes: 18 thread switches a call, not 23
    "GRPC_ENABLE_FORK_SUPPORT": "0",  # counts who is inside gRPC core at each step; a worker never forks
}
"""What gRPC core is told in a worker, unless the environment says otherwise; docs/tuning.md has what it buys."""


class WorkerProcess:
    """One process, from `start` until `ended` is done. Used by one event loop.

    `why_not` says in one word why it does not answer: `starting`, `log`, `disk`, `ledger`, `policy`, `draining`, `ended`,
    or empty. `are_policies_refused`: it goes on with the last good ones.
    """

    def __init__(self, slot: int, process: subprocess.Popen[bytes], line: Control, merged: Merged) -> None:
        self.slot = slot
        self.why_not = "starting"
        self.are_policies_refused = False
        self.entries = 0
        """Durable entries of its log when it became ready."""
        self.change = 0
        """The last change of a shared ledger that it, or who was here before, has seen."""
        self._process = process
        self._line = line
        self._merged = merged
        loop = self._loop = asyncio.get_running_loop()
        self._until = loop.time() + START_S
        self._ready: asyncio.Future[None] = loop.create_future()
        self._report: asyncio.Future[None] | None = None
        self.ended = asyncio.create_task(self._listen(), name=f"w{slot}")
        """Done when the process is gone; its result is the exit code, negative for a signal."""

    @classmethod
    async def start(cls, slot: int, settings: Settings, merged: Merged, change: int = 0) -> "WorkerProcess":
        """Start a worker, whose ledger must have come to `change`, and wait until it is ready.

        Raises CannotStart; no process is left then.
        """
        line: Control | None = None
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                line = await Control.over(ours)
                process = _spawn(theirs.fileno())
        except OSError as error:  # no descriptor, process or memory left: others may give some back
            if line is not None:
                line.close()
            failed = Problem("WORKER_DIED", f"worker w{slot} could not be started: {error.strerror}")
            raise CannotStart([failed]) from None
        worker = cls(slot, process, line, merged)
        worker.change = change
        line.send("serve", slot=slot, settings=settings.model_dump(mode="json"), change=change)
        try:
            while not (await asyncio.wait({worker._ready}, timeout=LOOK_S))[0]:
                if worker._loop.time() > worker._until:
                    raise TimeoutError
            worker._ready.result()
        except BaseException as error:  # also when told to end: it may have become ready in the same moment
            await worker.end(0)
            if not isinstance(error, TimeoutError):
                raise
            late = Problem("WORKER_NOT_READY", f"worker w{slot} was not ready within {START_S:g} s")
            raise CannotStart([late]) from None
        return worker

    def tell(self, order: str) -> None:
        """Say `reload`, `leave`, `drain` or `disbelieve`; see `app/worker.py`."""
        self._line.send(order)

    async def report(self, seconds: float) -> bool:
        """Have its metrics merged; tell whether it gave them in time. One that hangs is not asked again meanwhile."""
        if self.ended.done():
            return False
        if self._report is None or self._report.done():
            self._report = asyncio.get_running_loop().create_future()
            self._line.send("report")
        asked = self._report  # the next question may follow as soon as it is answered
        await asyncio.wait({asked}, timeout=seconds)
        return asked.done() and not self.ended.done()

    async def end(self, seconds: float) -> int:
        """Wait until it has ended by itself, for `seconds`; then make it. Return the exit code."""
        await asyncio.wait({self.ended}, timeout=seconds)
        if not self.ended.done():
            self._process.kill()
        return await asyncio.shield(self.ended)  # who waits may be cancelled, what sees it end may not

    async def _listen(self) -> int:
        """Take what it says until it says nothing more, and see it end."""
        while (message := await self._line.receive()) is not None:
            self._take(message)
        self.why_not = "ended" if self._ready.done() else self.why_not
        code = await asyncio.to_thread(self._reap)
        self._line.close()
        self._merged.ended(self.slot)
        if self._report is not None and not self._report.done():
            self._report.set_result(None)
        if not self._ready.done():
            died = Problem("WORKER_DIED", f"worker w{self.slot} ended with {code} before it was ready")
            self._ready.set_exception(CannotStart([died]))
        if not self._ready.cancelled():
            self._ready.exception()  # seen: nobody may wait for it any more
        return code

    def _take(self, message: Message) -> None:
        kind = message["kind"]
        if kind == "ready":
            self.why_not, self.entries = "", message["entries"]
            if not self._ready.done():
                self._ready.set_result(None)
        elif kind == "refused":
            if not self._ready.done():
                problems = [Problem(**each) for each in message["problems"]]
                self._ready.set_exception(CannotStart(problems))
        elif kind == "migrating":
            is_migrating = message["is_migrating"]
            self._until = inf if is_migrating else self._loop.time() + START_S
            log_event("ledger_migrating" if is_migrating else "ledger_migrated", worker=f"w{self.slot}")
        elif kind == "state":
            self.why_not = message["why_not"]
            self.change = max(self.change, message["change"])
            self.are_policies_refused = message["are_policies_refused"]
        else:
            self._merged.report(self.slot, message["samples"])
            if kind == "report" and self._report is not None and not self._report.done():
                self._report.set_result(None)

    def _reap(self) -> int:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(EXIT_S)
        log_event("worker_killed", logging.ERROR, worker=f"w{self.slot}")
        self._process.kill()
        return self._process.wait()


def _spawn(line: int) -> subprocess.Popen[bytes]:
    """Start a fresh interpreter, never a fork of this one: gRPC and nonce counters do not survive one."""
    # -P: no module from whatever lies in the working directory. A process group of its own: Ctrl-C at a terminal is
    # for the server, which tells its workers.
    command = [sys.executable, "-P", "-m", "fujie.app.worker", str(line), str(os.getpid())]
    environment = GRPC_CORE | os.environ
    return subprocess.Popen(  # noqa: S603 - our own module
        command, stdin=subprocess.DEVNULL, pass_fds=[line], process_group=0, env=environment
    )
