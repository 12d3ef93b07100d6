"""Shadow: another bundle is asked about live requests, and never obeyed.

1. It is asked with the facts that the bundle in force had read. What it reads beyond them makes it
   UNDECIDABLE for that request; nothing is fetched for its sake.
2. An answer that it gave before on the same facts is at hand: a difference goes into the entry of the request.
3. Any other question waits until the entry is on its way, behind at most `MOST_PENDING` others, and takes at most
   one part in `SHARE` of the event loop's time. What finds no room is dropped and counted.
4. Whatever breaks is counted as ERROR, once for each set of facts.
5. The first difference on a set of facts is told when it is found (`Difference`): the entry of its request is written by
   then, and those of sends and exports are about many.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Protocol

from fujie.decision.anew import Seen, decide_anew, reason_codes, steps
from fujie.decision.plan import Plan, Planner
from fujie.decision.validity import expired_at
from fujie.model.decision import Decision
from fujie.model.facts import Known
from fujie.policy.bundle import Bundle

MOST_PENDING = 64
"""Questions that wait. Facts are few, so a worker asks most of them in its first seconds."""

SHARE = 20
"""An evaluation of t seconds is followed by 19 t without one: the shadow takes 5 % of a worker at most."""

MOST_TOLD = 1_000
"""Differences that are told of one bundle; from then on they are counted alone, so that they fill no disk."""

_MOST_ANSWERS = 8_192

UNDECIDABLE, ERROR = "UNDECIDABLE", "ERROR"

_NOTHING: Mapping[str, Known] = MappingProxyType({})


class ShadowMetrics(Protocol):
    """What the shadow counts."""

    def compared(self, in_force: str, shadow: str) -> None:
        """Count one request by the effect in force and that of the shadow (or UNDECIDABLE, ERROR)."""
        ...

    def shadow_dropped(self) -> None:
        """Count one request that the shadow was not asked about."""
        ...


@dataclass(frozen=True, slots=True)
class Difference:
    """What the shadow would have decided otherwise, in words of policies alone: which decision, of which action, its effect and
    reasons beside those of the shadow, and the fields that each shows at another step."""

    decision_id: str
    action: str
    bundle: str
    effects: tuple[str, str]
    reasons: tuple[tuple[str, ...], tuple[str, ...]]
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, repr=False)
class _Question:
    seen: Seen
    decision: Decision
    now: datetime
    decision_id: str


@dataclass(frozen=True, slots=True, repr=False)
class _Scope:
    """The shadow's plan for requests of one kind, and its answers by the facts that it reads."""

    plan: Plan
    answers: dict[tuple[object, ...], Decision | str] = field(default_factory=dict)


class Shadow:
    """The shadow of one worker. Belongs to its event loop; without a bundle it does nothing."""

    def __init__(
        self, metrics: ShadowMetrics, monotonic: Callable[[], float], tell: Callable[[Difference], None]
    ) -> None:
        self._metrics = metrics
        self._monotonic = monotonic
        self._tell = tell
        self._told = 0
        self._planner: Planner | None = None
        self._in_force: Bundle | None = None
        self._scopes: dict[tuple[object, ...], _Scope] = {}
        self._kept = 0
        self._waiting: deque[_Question] = deque()
        self._task: asyncio.Task[None] | None = None
        self._pause_s = 0.0

    @property
    def pending(self) -> int:
        """Number of questions that wait."""
        return len(self._waiting)

    def use(self, planner: Planner) -> None:
        """Ask the bundle of this planner from now on. Making one takes 4 ms for 1,000 grants: not for the loop."""
        self._planner = planner
        self._told = 0
        self._forget()
        self._waiting.clear()

    def ask(self, seen: Seen, decision: Decision, now: datetime, decision_id: str) -> Mapping[str, Known]:
        """Compare with the `decision` in force; return the facts for its entry, when the answer is at hand and differs.

        `decision_id` is that of the entry; many decisions of one send or export have the same. Costs some 6 µs and raises nothing.
        """
        if self._planner is None:
            return _NOTHING
        self._stand_beside(seen.plan.bundle)
        scope = self._scopes.get(_place(seen))
        answer = scope.answers.get(_key(scope.plan, seen, now)) if scope else None
        if answer is not None:
            return self._compared(decision, answer)
        if len(self._waiting) >= MOST_PENDING:
            self._metrics.shadow_dropped()
            return _NOTHING
        self._waiting.append(_Question(seen, decision, now, decision_id))
        self._start()
        return _NOTHING

    async def close(self) -> None:
        """Ask nothing more."""
        self._planner = None
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _compared(self, decision: Decision, answer: Decision | str) -> Mapping[str, Known]:
        if isinstance(answer, str):
            self._metrics.compared(decision.effect.value, answer)
            return _NOTHING
        self._metrics.compared(decision.effect.value, answer.effect.value)
        if not _differs(decision, answer):
            return _NOTHING
        return {
            "shadow.bundle": answer.bundle,
            "shadow.effect": answer.effect.value,
            "shadow.reasons": reason_codes(answer),
        }

    def _start(self) -> None:
        if self._task is None and self._waiting:
            self._task = asyncio.get_running_loop().create_task(self._work(), name="shadow")
            self._task.add_done_callback(self._ended)

    async def _work(self) -> None:
        await asyncio.sleep(self._pause_s)  # the entry goes first
        while self._waiting:
            started = self._monotonic()
            try:
                self._evaluate(self._waiting[0])
            finally:  # what breaks took its time too
                self._pause_s = (self._monotonic() - started) * (SHARE - 1)
            self._waiting.popleft()
            await asyncio.sleep(self._pause_s)
        self._pause_s = 0.0

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and task.exception() is not None and self._waiting:
            failed = self._waiting.popleft()
            self._metrics.compared(failed.decision.effect.value, ERROR)
            self._start()

    def _evaluate(self, question: _Question) -> None:
        if self._planner is None:
            return
        seen = question.seen
        self._stand_beside(seen.plan.bundle)
        if self._kept >= _MOST_ANSWERS:
            self._forget()
        scope = self._scopes.get(_place(seen))
        if scope is None:
            roles = seen.facts.get("principal.roles")
            plan = self._planner.plan(seen.request, roles if isinstance(roles, tuple) else ())
            scope = self._scopes[_place(seen)] = _Scope(plan)
        key = _key(scope.plan, seen, question.now)
        answer = scope.answers.get(key)
        if answer is None:
            self._kept += 1
            scope.answers[key] = ERROR  # stands when what follows breaks
            anew = decide_anew(scope.plan, seen, _expired(scope.plan, seen, question.now))
            answer = scope.answers[key] = anew.decision or UNDECIDABLE
            self._say(question, answer)
        self._compared(question.decision, answer)

    def _say(self, question: _Question, answer: Decision | str) -> None:
        """Tell of a difference that no entry has."""
        decision = question.decision
        if isinstance(answer, str) or self._told >= MOST_TOLD or not _differs(decision, answer):
            return
        self._told += 1
        shown, other = steps(decision), steps(answer)
        self._tell(
            Difference(
                question.decision_id,
                question.seen.request.action.value,
                answer.bundle,
                (decision.effect.value, answer.effect.value),
                (reason_codes(decision), reason_codes(answer)),
                tuple(sorted(name for name in {**shown, **other} if shown.get(name) != other.get(name))),
            )
        )

    def _stand_beside(self, bundle: Bundle) -> None:
        """Forget what was asked beside another bundle in force: it would stay in memory with its plans."""
        if bundle is not self._in_force:
            self._in_force = bundle
            self._forget()

    def _forget(self) -> None:
        self._scopes.clear()
        self._kept = 0


def _differs(decision: Decision, answer: Decision) -> bool:
    same = (decision.effect, decision.fields) == (answer.effect, answer.fields)
    return not same or reason_codes(answer) != reason_codes(decision)


def _place(seen: Seen) -> tuple[object, ...]:
    return (seen.plan, seen.request, seen.facts.get("principal.roles"))


def _key(plan: Plan, seen: Seen, now: datetime) -> tuple[object, ...]:
    known = map(seen.facts.get, plan.reads)
    return (seen.is_closed, seen.rows, _expired(plan, seen, now), *known)


def _expired(plan: Plan, seen: Seen, now: datetime) -> tuple[str, ...]:
    if not plan.timed:
        return ()
    roles = seen.facts.get("principal.roles")
    return expired_at(plan.bundle, seen.request.action, roles if isinstance(roles, tuple) else (), now)
