"""Follows the policies of the shadow: what is wrong with them is said and counted, and never stops the gate."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fujie.adapters.metrics import PrometheusMetrics
from fujie.app.logs import log_event
from fujie.app.policies import Attributes, Files, check_stores, compiled, giving_way, read_files, shown
from fujie.app.problems import CannotStart, Problem
from fujie.decision.plan import Planner
from fujie.flows.shadow import Shadow


@dataclass(slots=True)
class ShadowFiles:
    """The files of the shadow. `attributes` holds what each configured store maps."""

    paths: Sequence[Path]
    attributes: Attributes
    _seen: Files | None = None

    def changed(self) -> Planner | None:
        """Return a planner of the files when they are not those seen last. Blocks: not for the loop.

        Raises:
            CannotStart: the files are bad, which is said once, or not there.

        """
        files = read_files(self.paths)
        if files == self._seen:
            return None
        self._seen = files
        with giving_way():
            bundle = compiled(shown(files, self.paths))
            check_stores(bundle, self.attributes)
            return Planner(bundle)


async def follow_shadow(
    files: ShadowFiles, shadow: Shadow, metrics: PrometheusMetrics, every_s: float
) -> None:
    """Load the shadow, and reload it for ever; never raises for bad policies. The last good one goes on."""
    told: tuple[Problem, ...] = ()
    while True:
        reading = asyncio.ensure_future(asyncio.to_thread(files.changed))
        await asyncio.wait({reading})
        if error := reading.exception():
            internal = Problem("INTERNAL", f"the policies could not be checked: {type(error).__name__}")
            problems = error.problems if isinstance(error, CannotStart) else (internal,)
            if problems != told:
                told = problems
                _refused(problems, metrics)
        elif planner := reading.result():
            told = ()
            shadow.use(planner)
            metrics.shadow_loaded(planner.bundle.digest)
            log_event("shadow_loaded", digest=planner.bundle.digest)
        await asyncio.sleep(every_s)


def _refused(problems: Sequence[Problem], metrics: PrometheusMetrics) -> None:
    metrics.shadow_refused()
    for problem in problems:
        log_event(
            "shadow_refused",
            logging.ERROR,
            code=problem.code,
            place=problem.place,
            problem=problem.message,
        )
