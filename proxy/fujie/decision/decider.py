"""One bundle, ready to decide: plans made once, decisions memoised by exactly the facts they read."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from functools import cached_property
from operator import itemgetter
from typing import NamedTuple

from fujie.decision.decide import decide, precheck
from fujie.decision.facts import Raw, derive
from fujie.decision.plan import Plan, Planner
from fujie.decision.review import Reviewer
from fujie.model.decision import Decision
from fujie.model.facts import Facts, FactValue
from fujie.model.principal import Principal
from fujie.model.request import Request
from fujie.policy.bundle import Bundle

_MAX_DECISIONS = 8_192
"""Decisions that a process keeps, least recently used first out. Facts are low-cardinality, so requests
of one kind share few; about 2 kB each."""

_MAX_OPENINGS = 1_024
"""Beginnings of requests that a process keeps, all forgotten when there are more; some 4 kB each."""


class Opening(NamedTuple):
    """How a request begins, before anything is known of a customer: its plan, the facts of who asks, and the refusal that
    these alone come to (None: none)."""

    plan: Plan
    asker: Facts
    closed: Decision | None


class Decider:
    """Decides against one bundle. Equal to `decide`, only faster; not thread-safe."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._planner = Planner(bundle)
        self._decisions: OrderedDict[tuple[object, ...], Decision] = OrderedDict()
        self._readers: dict[Plan, Callable[[Mapping[str, FactValue]], tuple[FactValue, ...]]] = {}
        self._openings: dict[tuple[int, ...], tuple[Opening, Request, Principal]] = {}

    def _read(self, plan: Plan, values: Mapping[str, FactValue]) -> tuple[FactValue | None, ...]:
        together = self._readers.get(plan)
        if together is None:
            together = self._readers[plan] = itemgetter(*plan.reads)  # of two paths at least: a tuple
        try:
            return together(values)
        except KeyError:  # a fact that nobody told
            return tuple(map(values.get, plan.reads))

    @cached_property
    def reviewer(self) -> Reviewer:
        """What reviews messages by the lexicons of the bundle."""
        return Reviewer(self.bundle.lexicons.values())

    def plan(self, request: Request, roles: frozenset[str]) -> Plan:
        """Return what of the bundle can matter for this request and these roles."""
        return self._planner.plan(request, roles)

    def opening(self, request: Request, principal: Principal, now: datetime, zone: tzinfo) -> Opening:
        """Return how this request of this principal begins; the same objects in the same hour are answered from memory.

        Of time nothing else counts: to a bundle or principal with an end of its own, each moment is another.
        """
        local = now.astimezone(zone)
        key = (id(request), id(principal), local.hour, local.isoweekday())
        known = self._openings.get(key)
        if known is not None and principal.as_of(now) is principal:
            return known[0]
        plan = self.plan(request, principal.roles)
        asker = derive(self.bundle, request, Raw(principal), now, zone)
        opening = Opening(plan, asker, precheck(plan, request, asker))
        if not self.bundle.timed_grants and principal.as_of(now) is principal:
            if len(self._openings) >= _MAX_OPENINGS:
                self._openings.clear()
            # Both are held, so that their ids stay theirs.
            self._openings[key] = opening, request, principal
        return opening

    def decide(self, plan: Plan, request: Request, facts: Facts) -> Decision:
        """Decide; a repeated request with the same facts is answered from memory.

        Of the request counts what `decide` reads of it beside the plan, which was made for its action, store, key kind
        and roles, and the facts. To hash all of it would take half of the time.
        """
        key = (
            plan, request.purpose, request.basis, request.fields, request.strict, request.has_basis_evidence, request.channel,
            self._read(plan, facts.values),
        )  # fmt: skip
        decision = self._decisions.get(key)
        if decision is None:
            decision = decide(plan, request, facts)
            if len(self._decisions) >= _MAX_DECISIONS:
                self._decisions.popitem(last=False)
            self._decisions[key] = decision
        else:
            self._decisions.move_to_end(key)
        return decision
