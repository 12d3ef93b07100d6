"""Follows the policies of the shadow: what is wrong with them is said and counted, and never stops the gate.

A signed bundle goes through the checks of one in force but two: its revision has no floor, since going back and forth is what
trying out means, and no copy is kept, since nothing depends on it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from fujie.adapters.metrics import PrometheusMetrics
from fujie.app.logs import log_event
from fujie.app.policies import Attributes, Files, check_stores, compiled, giving_way, read_files, shown
from fujie.app.policysection import Policy
from fujie.app.policysource import Source, shadow_source_of
from fujie.app.problems import CannotStart, Problem
from fujie.app.signedbundle import Trust, parsed, trusted, unpacked
from fujie.decision.plan import Planner
from fujie.flows.shadow import Difference, Shadow


class ShadowSource(Protocol):
    """Where the policies of the shadow come from."""

    def changed(self) -> Planner | None:
        """Return a planner of the policies when they are not those seen last. Blocks: not for the loop.

        Raises:
            CannotStart: they are bad, which is said once, or not to be had.

        """
        ...


@dataclass(slots=True)
class ShadowFiles:
    """The files of the shadow. `attributes` holds what each configured store maps."""

    paths: Sequence[Path]
    attributes: Attributes
    _seen: Files | None = None

    def changed(self) -> Planner | None:
        """See `ShadowSource.changed`."""
        files = read_files(self.paths)
        if files == self._seen:
            return None
        self._seen = files
        with giving_way():
            bundle = compiled(shown(files, self.paths))
            check_stores(bundle, self.attributes)
            return Planner(bundle)


@dataclass(slots=True)
class ShadowBundle:
    """The signed bundle of the shadow."""

    source: Source
    trust: Trust
    attributes: Attributes
    now: Callable[[], datetime]
    _tag: str = ""
    _seen: bytes = b""

    def changed(self) -> Planner | None:
        """See `ShadowSource.changed`."""
        found = self.source(self._tag)
        if found.content is None or found.content == self._seen:
            return None
        self._tag, self._seen = found.tag, found.content
        with giving_way():
            archive = parsed(found.content)
            bundle = unpacked(archive, trusted(archive, self.trust, self.now()))
            check_stores(bundle, self.attributes)
            return Planner(bundle)


def shadow_policies(policy: Policy, attributes: Attributes, now: Callable[[], datetime]) -> ShadowSource:
    """Return where the settings say that the shadow's policies are."""
    if policy.shadow:
        return ShadowFiles(policy.shadow, attributes)
    trust = Trust.of(policy.trusted_keys, policy.signatures)
    return ShadowBundle(shadow_source_of(policy), trust, attributes, now)


async def follow_shadow(
    source: ShadowSource, shadow: Shadow, metrics: PrometheusMetrics, every_s: float
) -> None:
    """Load the shadow, and reload it for ever; never raises for bad policies. The last good one goes on."""
    told: tuple[Problem, ...] = ()
    while True:
        reading = asyncio.ensure_future(asyncio.to_thread(source.changed))
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


def tell(difference: Difference) -> None:
    """Write a difference into the log."""
    effects, reasons = difference.effects, difference.reasons
    log_event(
        "shadow_differs",
        decision_id=difference.decision_id,
        action=difference.action,
        digest=difference.bundle,
        effect=effects[0],
        shadow_effect=effects[1],
        reasons=" ".join(reasons[0]),
        shadow_reasons=" ".join(reasons[1]),
        fields=" ".join(difference.fields),
    )


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
