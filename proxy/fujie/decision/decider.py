"""One bundle, ready to decide: plans made once, decisions memoised by exactly the facts they read."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cached_property
from operator import itemgetter

from fujie.decision.decide import decide
from fujie.decision.plan import Plan, Planner
from fujie.decision.review import Reviewer
from fujie.model.decision import Decision
from fujie.model.facts import Facts, FactValue
from fujie.model.request import Request
from fujie.policy.bundle import Bundle

_MAX_DECISIONS = 8_192
"""Decisions that a process keeps, least recently used first out. Facts are low-cardinality, so requests
of one kind share few; about 2 kB each."""


class Decider:
    """Decides against one bundle. Equal to `decide`, only faster; not thread-safe."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._planner = Planner(bundle)
        self._decisions: OrderedDict[tuple[object, ...], Decision] = OrderedDict()
        self._readers: dict[Plan, Callable[[Mapping[str, FactValue]], tuple[FactValue, ...]]] = {}

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
