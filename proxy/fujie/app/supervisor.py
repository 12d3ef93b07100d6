"""All workers of a server: started, watched, replaced, restarted one after the other, and ended.

A worker is replaced when it ends unasked, when its log has failed (only a new process writes again), and when it
does not answer for `HANG_S`. Its successor takes over its slot, with the log, which recovers as at any start. Starts that
fail are repeated, each after a longer pause.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fujie.adapters.merged import Merged, Series
from fujie.app.control import NEVER
from fujie.app.logs import log_event
from fujie.app.problems import CannotStart, Problem
from fujie.app.process import WorkerProcess
from fujie.app.settings import Settings

SCRAPE_S = 2.0
"""How long a worker is waited for, by a scrape too, whose default timeout is 10 s."""

PULSE_S = 2.0
"""Between two questions to every worker: a worker that is killed takes at most so much of its counts with it."""

HANG_S = 30.0
"""How long a worker may not answer: a liveness probe of three times ten seconds allows as much."""

FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S = 0.1, 10.0, 30.0
"""Before a replacement; doubled each time, until a worker has lasted `STEADY_S`."""

LOST_S = 60.0
"""Without any worker for so long, a new container is worth trying: it has fresh mounts and settings."""

CLOSE_S = 45.0
"""Beyond `drain_seconds`: until the ledger has kept the last checkpoint (30 s) and all is closed."""


@dataclass(slots=True)
class Slot:
    """One place for a worker, with a log of its own. `worker` is None until the first has started."""

    number: int
    worker: WorkerProcess | None = None
    restarts: int = 0
    failures: int = 0
    was_in_time: bool = False
    is_leaving: bool = False

    @property
    def name(self) -> str:
        """`w0`, as in the origin of its log."""
        return f"w{self.number}"

    @property
    def why_not(self) -> str:
        """Why it does not answer, in one word; empty when it does."""
        return self.worker.why_not if self.worker is not None else "starting"


class Supervisor:
    """The workers of one server."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._merged = Merged()
        self._slots = [Slot(number) for number in range(settings.server.workers)]
        self.is_draining = False
        """Whether all workers are to end: none is replaced any more."""
        self._lost_at: float | None = None

    @property
    def entries(self) -> int:
        """Entries of all logs when their workers started."""
        return sum(slot.worker.entries for slot in self._slots if slot.worker is not None)

    def why_not(self) -> str:
        """Why the server does not answer, in one word; empty while one worker does.

        A worker that can not know (log, ledger) refuses by itself, so none answers wrongly while another is well.
        `workers`: none could be started for long.
        """
        if self.is_draining:
            return "draining"
        reasons = [slot.why_not for slot in self._slots]
        if "" in reasons:
            return ""
        is_lost = self._lost_at is not None and asyncio.get_running_loop().time() - self._lost_at >= LOST_S
        return "workers" if is_lost else reasons[0]

    def but(self) -> str:
        """What is wrong although the server answers, in one line; empty for nothing."""
        is_refused = any(worker.are_policies_refused and not worker.why_not for worker in self._workers())
        return "policies refused, the last good ones are in force" if is_refused else ""

    async def start(self, address: str, held: Mapping[str, str | None]) -> None:
        """Start all workers on `host:port`, and on those of the other ports by setting, where there are any; all are held
        for them.

        Raises CannotStart, and then none is left.
        """
        server = self._settings.server.model_copy(update={"listen": address, **held})
        self._settings = self._settings.model_copy(update={"server": server})
        first, *others = self._slots
        try:
            # The first alone: it brings the ledger to this build, and what is wrong is said once.
            await self._start(first)
            problems: list[Problem] = []
            for outcome in await asyncio.gather(*map(self._start, others), return_exceptions=True):
                if isinstance(outcome, CannotStart):
                    problems += outcome.problems
                elif outcome is not None:
                    raise outcome
            if problems:
                raise CannotStart(problems)
        except BaseException:
            await self.drain(0)
            raise

    async def run(self) -> None:
        """Watch all workers, for ever."""
        async with asyncio.TaskGroup() as watching:
            for slot in self._slots:
                watching.create_task(self._keep(slot), name=slot.name)
                watching.create_task(self._feel_pulse(slot), name=f"pulse of {slot.name}")

    def reload(self) -> None:
        """Have every worker look at its policies now."""
        for worker in self._workers():
            worker.tell("reload")

    async def roll(self) -> None:
        """Restart one worker after the other, each once the one before it is back; others serve meanwhile.

        Stops, and says so, at a worker that does not come back, and before the last that serves.
        """
        for slot in self._slots:
            others = [other for other in self._slots if other is not slot]
            if not any(other.why_not == "" for other in others):
                log_event(
                    "roll_refused", logging.WARNING, worker=slot.name, problem="no other worker serves"
                )
                return
            if slot.worker is None or slot.why_not == "ended":
                continue  # it is being replaced anyway
            leaving, failures = slot.worker, slot.failures
            slot.is_leaving = True
            log_event("worker_leaving", worker=slot.name)
            leaving.tell("leave")
            while slot.worker is leaving:  # until its successor is ready
                await asyncio.sleep(PULSE_S / 10)
                if slot.failures > failures:
                    log_event("roll_stopped", logging.ERROR, worker=slot.name)
                    return
        log_event("rolled")

    async def drain(self, seconds: float) -> None:
        """End all workers: they get `seconds` for what runs, and then time to close their logs."""
        self.is_draining = True
        workers = self._workers()
        for worker in workers:
            worker.tell("drain")
        await asyncio.gather(*(worker.end(seconds + CLOSE_S) for worker in workers))

    async def series(self) -> Series:
        """Return the metrics of all workers, as new as they answer within `SCRAPE_S`, and those of the server."""
        await asyncio.gather(*map(self._report, self._slots))
        own: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {
            ("fujie_serving", ()): float(not self.why_not())
        }
        for slot in self._slots:
            label = (("worker", slot.name),)
            own["fujie_worker_serving", label] = float(not slot.why_not)
            own["fujie_worker_reporting", label] = float(slot.was_in_time)
            own["fujie_worker_restarts_total", label] = float(slot.restarts)
        return {**self._merged.total(), **own}

    async def _keep(self, slot: Slot) -> None:
        """Wait for the end of the slot's worker and replace it, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            assert slot.worker is not None
            since = loop.time()
            code = await asyncio.shield(slot.worker.ended)
            if self.is_draining:
                return
            if loop.time() - since >= STEADY_S:
                slot.failures = 0
            was_told, slot.is_leaving = slot.is_leaving, False
            if code != 0 or not was_told:
                slot.restarts += 1
                log_event("worker_lost", logging.ERROR, worker=slot.name, code=code)
                await asyncio.sleep(_pause_s(slot.failures))
                slot.failures += 1
            await self._replace(slot)

    async def _replace(self, slot: Slot) -> None:
        while True:
            try:
                await self._start(slot)
            except CannotStart as refusal:
                say_problems(refusal.problems, slot.name)
            else:
                self._lost_at = None
                return
            slot.failures += 1
            if self._lost_at is None and all(each.why_not in ("starting", "ended") for each in self._slots):
                self._lost_at = asyncio.get_running_loop().time()
            await asyncio.sleep(_pause_s(slot.failures))

    async def _feel_pulse(self, slot: Slot) -> None:
        """Ask the slot's worker how it is, for ever; have one replaced that can not go on."""
        missed = 0
        while True:
            await asyncio.sleep(PULSE_S)
            worker = slot.worker
            if worker is not None and any(each.change == NEVER for each in self._workers()):
                worker.tell("disbelieve")  # one of them saw more of the ledger than there is now
            # Counted, not timed: this process may have been stopped itself.
            missed = 0 if await self._report(slot) else missed + 1
            if worker is None or worker is not slot.worker or worker.ended.done():
                missed = 0
            elif missed * (PULSE_S + SCRAPE_S) >= HANG_S:
                log_event("worker_hangs", logging.CRITICAL, worker=slot.name)
                await worker.end(0)
            elif worker.why_not == "log":
                log_event("worker_leaving", logging.ERROR, worker=slot.name)
                worker.tell("drain")
                await worker.end(self._settings.server.drain_seconds + CLOSE_S)

    async def _report(self, slot: Slot) -> bool:
        worker = slot.worker
        slot.was_in_time = worker is not None and await worker.report(SCRAPE_S)
        return slot.was_in_time

    async def _start(self, slot: Slot) -> None:
        # From whoever was there before: a ledger that went back meanwhile is not believed by who is new.
        change = max((worker.change for worker in self._workers()), default=0)
        slot.worker = await WorkerProcess.start(slot.number, self._settings, self._merged, change)

    def _workers(self) -> list[WorkerProcess]:
        return [slot.worker for slot in self._slots if slot.worker is not None]


def say_problems(problems: Sequence[Problem], worker: str = "") -> None:
    """Log every problem of a start that failed, as `cannot_start`."""
    for problem in problems:
        fields = {"worker": worker} if worker else {}
        log_event(
            "cannot_start",
            logging.CRITICAL,
            code=problem.code,
            key=problem.key,
            place=problem.place,
            problem=problem.message,
            remedy=problem.remedy,
            **fields,
        )


def _pause_s(failures: int) -> float:
    return min(FIRST_PAUSE_S * 2.0 ** min(failures, 10), LONGEST_PAUSE_S)
