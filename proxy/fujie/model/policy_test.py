"""Tests of policies as values: who asks what about whom, and what must come of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType

from fujie.model.consent import ConsentEvent
from fujie.model.decision import RuleTrace
from fujie.model.facts import FactValue
from fujie.model.principal import AttributeValue, Principal
from fujie.model.request import Request
from fujie.model.suppression import Suppression
from fujie.model.vocabulary import Effect, State

NOBODY = ""
"""Name of the customer of a case that is about none."""


@dataclass(frozen=True, slots=True)
class Asker:
    """A named principal. `used_up` names the grants and guards (`grant:name`, `guard:name`) that have no room
    left for it, `usage` is fact path to state."""

    principal: Principal
    used_up: tuple[str, ...]
    usage: Mapping[str, State]


@dataclass(frozen=True, slots=True)
class Sent:
    """How many messages of the category that is tested the customer got lately. Each count holds the one before it;
    `same_content` of the last day had the same text."""

    last_minute: int = 0
    last_hour: int = 0
    last_day: int = 0
    same_content: int = 0


NOTHING_SENT = Sent()


@dataclass(frozen=True, slots=True)
class Sample:
    """A named customer: raw attributes, consent events of all purposes, opt-outs.

    `stated` maps a purpose whose consent the test states as it is, without events, to its facts. `recipient` holds what
    is stated of where the number is; what is left out is as if the number were Chinese and in the zone of the test.
    """

    attributes: Mapping[str, AttributeValue]
    events: tuple[ConsentEvent, ...]
    stated: Mapping[str, Mapping[str, FactValue]]
    suppressions: tuple[Suppression, ...]
    recipient: Mapping[str, FactValue] = field(default_factory=lambda: MappingProxyType({}))
    sent: Sent = NOTHING_SENT


@dataclass(frozen=True, slots=True)
class Ask:
    """A named request. `approved` holds the keys of the requirements that are approved for it, `broken` those without
    which it goes ahead where the policy lets it.

    `message` and `processor` are the facts of what is sent and through whom: None for no message, and for a message
    that stays on this machine.
    """

    request: Request
    approved: tuple[str, ...]
    message: Mapping[str, FactValue] | None = None
    processor: Mapping[str, FactValue] | None = None
    broken: tuple[str, ...] = ()


Names = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What must come out. A part that is None is not compared.

    `reasons`, `warnings` and `shadow` are codes, each once, the first by priority first; `treatments` maps
    every field asked for to its step (`omit` when withheld); `needs` are `guard/validation`, or that
    with its terms: `guard/validation by 2 of lead for 24h`. `deferrable`: the refusal may open by the clock alone.
    """

    effect: Effect = Effect.DENY
    reasons: Names | None = None
    treatments: Mapping[str, str] | None = None
    warnings: Names | None = None
    shadow: Names | None = None
    needs: Names | None = None
    deferrable: bool | None = None


NOT_LISTED = Expected()
"""What is not listed must be refused."""


@dataclass(frozen=True, slots=True)
class Case:
    """One cell of a matrix. `test`, `principal`, `customer` and `request` are the names that its document gives.

    `sample` is None when it is about nobody. The offset of `now` is the zone. `unknown` are paths of facts that can not
    be established. `where` is file:line:column of the row, or of the test when no row lists the case.
    """

    document: str
    test: str
    principal: str
    customer: str
    request: str
    asker: Asker
    sample: Sample | None
    ask: Ask
    now: datetime
    unknown: frozenset[str]
    expected: Expected
    where: str

    @property
    def id(self) -> str:
        """Names of the case, from the document down."""
        names = (self.document, self.test, self.principal, self.customer, self.request)
        return "/".join(name for name in names if name)


@dataclass(frozen=True, slots=True)
class PolicyTest:
    """A PolicyTest document: every case of every matrix, in the order of the document."""

    name: str
    file: str
    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """One part of a decision that is not as expected, both sides as lines."""

    part: str
    expected: tuple[str, ...]
    actual: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of a case: the actual effect and, where something differs, what. `trace` may tell why, rule by rule."""

    id: str
    document: str
    test: str
    principal: str
    customer: str
    request: str
    where: str
    effect: Effect
    differences: tuple[Difference, ...] = ()
    trace: tuple[RuleTrace, ...] = ()

    @property
    def is_passed(self) -> bool:
        """Tell whether everything is as expected."""
        return not self.differences
