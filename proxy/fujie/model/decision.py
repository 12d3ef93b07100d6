"""A decision: a pure value. Its id is given by the flow, outside it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fujie.model.approval import Requirement
from fujie.model.facts import FactValue
from fujie.model.limit import Charge
from fujie.model.reason import NO_TEXT, LocalizedText
from fujie.model.step import Step
from fujie.model.suggestion import NO_SUGGESTIONS, Suggestions
from fujie.model.vocabulary import Effect


@dataclass(frozen=True, slots=True)
class ReasonHit:
    """One reason of a decision, with the guard and validation that gave it (empty when built in)."""

    code: str
    priority: int
    guard: str = ""
    validation: str = ""
    message: LocalizedText = NO_TEXT
    basis: tuple[str, ...] = ()
    remedy: LocalizedText = NO_TEXT


@dataclass(frozen=True, slots=True)
class FieldOutcome:
    """What happens to one field that was asked for: a step, or withheld with a reason code."""

    step: Step
    withheld: str = ""


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Decision:
    """The outcome of `decide`.

    `reasons` are sorted: the primary one first (by priority, then guard, then validation). `fields`
    holds every field asked for, in order of name; it is empty unless the effect is ALLOW.
    `warnings` come from guards in Warn mode, `shadow` from those in Audit mode: recorded, not told.
    `grants` names the matching grants. `read` are the facts that the decision depended on.
    `charges` is what an ALLOW takes from the limits of its grants and guards: nothing may be released
    before they are reserved.
    `needs` is what must be approved, when the effect is APPROVAL_REQUIRED; its approvals are used up by an ALLOW
    that `uses` them. What an ALLOW `breaks` nobody has agreed to: it must be on record for review before anything is
    released. A refusal is `deferrable` when all that refuses is of validations that say so: it may
    open later by the clock alone.
    """

    effect: Effect
    bundle: str
    reasons: tuple[ReasonHit, ...] = ()
    fields: Mapping[str, FieldOutcome] = field(default_factory=lambda: MappingProxyType({}))
    grants: tuple[str, ...] = ()
    warnings: tuple[ReasonHit, ...] = ()
    shadow: tuple[ReasonHit, ...] = ()
    read: Mapping[str, FactValue] = field(default_factory=lambda: MappingProxyType({}))
    charges: tuple[Charge, ...] = ()
    needs: tuple[Requirement, ...] = ()
    uses: tuple[Requirement, ...] = ()
    breaks: tuple[Requirement, ...] = ()
    deferrable: bool = False

    @property
    def primary(self) -> str:
        """Code of the first reason, or empty when the effect is ALLOW."""
        return self.reasons[0].code if self.reasons else ""


@dataclass(frozen=True, slots=True)
class Clause:
    """One sub-expression of an explained expression, with what it came to.

    `value` is `true`, `false`, a rendered value, `error: ...` or `unknown: path`; facts that are
    personal are rendered masked.
    """

    text: str
    value: str
    depth: int
    reads: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """Why one grant matched or not, or one validation of a guard held or not."""

    kind: str
    name: str
    part: str
    outcome: str
    place: str
    clauses: tuple[Clause, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldTrace:
    """Where the step of one field comes from: `opened_by` are the grants that open it the furthest, `closed_by` what closes it
    further than they do, `guard NAME` or `floor of the class CLASS`."""

    name: str
    outcome: FieldOutcome
    opened_by: tuple[str, ...] = ()
    closed_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with the trace of every rule in scope and of every field that would leave, and what would open it."""

    decision: Decision
    rules: tuple[RuleTrace, ...]
    suggestions: Suggestions = NO_SUGGESTIONS
    fields: tuple[FieldTrace, ...] = ()
