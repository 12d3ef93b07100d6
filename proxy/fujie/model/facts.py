"""The typed facts that a decision reads. Low-cardinality by design: states, not timestamps.

A fact is Known (a plain value) or Unknown (with the reason why). An expression that reads an
Unknown fact is not evaluated: an absent `customer.minor` must never read as false.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from fujie.model.making import made_often
from fujie.model.vocabulary import (
    AGREEMENT_STATES,
    ASSESSMENT_STATES,
    CATEGORIES,
    CONSENT_STATES,
    EMPLOYMENT_STATES,
    LINK_STATES,
    PRINCIPAL_KINDS,
    TRAINING_STATES,
    USAGE_STATES,
    State,
)


class Kind(StrEnum):
    """The shape of a fact's value."""

    BOOL = "bool"
    INT = "int"
    STRING = "string"
    STRINGS = "strings"
    STATE = "state"


LONGEST = 1_024
"""Code points of a text, and of a list with one more for each item; what is longer is Unknown. Facts are states and
names; the engine bounds iterations, not memory: `tags.map(t, t + t)` over 10 kB texts takes hundreds of megabytes."""


class UnknownWhy(StrEnum):
    """Why a fact is not known."""

    NOT_FETCHED = "not_fetched"
    NOT_MAPPED = "not_mapped"
    NULL = "null"
    WRONG_TYPE = "wrong_type"
    NO_CUSTOMER = "no_customer"
    NO_ATTRIBUTE = "no_attribute"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that could not be established."""

    why: UnknownWhy


Known = bool | int | str | tuple[str, ...]
"""A state is the `State` member (a str); integers fit 64 bits."""

FactValue = Known | Unknown

NOT_FETCHED = Unknown(UnknownWhy.NOT_FETCHED)


@dataclass(frozen=True, slots=True)
class FactType:
    """The declared type of one fact path. `states` is its domain when `kind` is STATE.

    `personal` facts are sealed per customer in the log, so that erasure can destroy them.
    """

    kind: Kind
    states: tuple[State, ...] = ()
    personal: bool = False


_BOOL, _INT, _STRING, _STRINGS = (FactType(k) for k in (Kind.BOOL, Kind.INT, Kind.STRING, Kind.STRINGS))

BUILT_IN_FACTS: Mapping[str, FactType] = MappingProxyType(
    {
        "principal.kind": FactType(Kind.STATE, PRINCIPAL_KINDS),
        "principal.roles": _STRINGS,
        "principal.department": _STRING,
        "principal.employment": FactType(Kind.STATE, EMPLOYMENT_STATES),
        "principal.training": FactType(Kind.STATE, TRAINING_STATES),
        "consent.state": FactType(Kind.STATE, CONSENT_STATES),
        "consent.explicit": _BOOL,
        "consent.separate": _BOOL,
        "suppression.in_force": _BOOL,
        "request.action": _STRING,
        "request.purpose": _STRING,
        "request.basis": _STRING,
        "request.store": _STRING,
        "request.key": _STRING,
        "request.fields": _STRINGS,
        "request.strict": _BOOL,
        "request.has_basis_evidence": _BOOL,
        "request.has_ticket": _BOOL,
        "request.delegated": _BOOL,
        "request.has_prompt": _BOOL,
        "request.is_own": _BOOL,
        "request.rows": _INT,
        "limits.exhausted": _STRINGS,
        "grants.expired": _STRINGS,
        "approvals.granted": _STRINGS,
        "approvals.break_glass": _STRINGS,
        "usage.volume": FactType(Kind.STATE, USAGE_STATES),
        "usage.sequence": FactType(Kind.STATE, USAGE_STATES),
        "usage.peers": FactType(Kind.STATE, USAGE_STATES),
        "usage.hour": FactType(Kind.STATE, USAGE_STATES),
        "time.hour": _INT,
        "time.weekday": _INT,
        "message.category": FactType(Kind.STATE, CATEGORIES),
        "message.provider": _STRING,
        "message.is_template": _BOOL,
        "message.in_campaign": _BOOL,
        "message.asks": _BOOL,
        "message.segments": _INT,
        "message.cost": _INT,
        "message.has_signature": _BOOL,
        "message.signature_registered": _BOOL,
        "message.has_refusal": _BOOL,
        "message.links": FactType(Kind.STATE, LINK_STATES),
        "message.findings": _STRINGS,
        "message.concerns": _STRINGS,
        "message.personal_data": _STRINGS,
        "message.variables_fit": _BOOL,
        "recipient.hour": _INT,
        "recipient.weekday": _INT,
        "recipient.country": _STRING,
        "frequency.exhausted": _STRINGS,
        "processor.agreement": FactType(Kind.STATE, AGREEMENT_STATES),
        "processor.filed": _BOOL,
        "processor.clauses": _BOOL,
        "processor.region": _STRING,
        "processor.transfer": _BOOL,
        "processor.assessment": FactType(Kind.STATE, ASSESSMENT_STATES),
    }
)
"""Path to type of every fact that fujie establishes itself; the field catalogue adds
`principal.<name>` and `customer.<name>`. `time.hour` is 0 to 23 and `time.weekday` 1 (Monday) to 7
(ISO 8601), both in the zone of the settings; `recipient.hour` and `recipient.weekday` are those where the
recipient's number is. `message.*` is what the review of a message found: `findings` and `concerns` are categories of
lexicons that deny and warn, `personal_data` kinds of `decision.findings`; `cost` is in thousandths of the currency in which
the settings have the provider's price of a segment. What was not looked at, or has no price, is Unknown.
`processor.*` is about the processor behind `message.provider`, `assessment` for the purpose of the request, `clauses`
whether contact and ownership stand in its agreement; the `agreement` of what stays on this machine is NOT_NEEDED."""

SEND_ROOTS = frozenset({"message", "recipient", "frequency", "processor"})
"""Roots that have a meaning for the action `send` alone."""

CUSTOMER_ROOTS = frozenset({"customer", "consent", "suppression", "recipient", "frequency"})
"""Roots that tell something of the customer."""

USE_ROOTS = frozenset({"limits", "usage"})
"""Roots that tell how much the principal has used: read after the first check of a request, before the customer."""

LATE_ROOTS = CUSTOMER_ROOTS | USE_ROOTS | {"message"}
"""Roots that are not known at the first check of a request. A message is written for one recipient: its text holds
their variables, and where their number is decides on its segments."""

EXHAUSTED = "limits.exhausted"
"""The fact that names every grant and guard (`grant:name`, `guard:name`) a limit of which is used up."""

EXPIRED = "grants.expired"
"""The fact that names every time-bound grant that is not valid at the moment of the request."""

APPROVED = "approvals.granted"
"""The fact that holds the key of every requirement (`model.approval.Requirement.key`) that is approved for this request.
Like `EXPIRED` it is read by `decide` itself and by no expression."""

BREAK_GLASS = "approvals.break_glass"
"""The fact that holds the key of every requirement without which the asker goes ahead: he says so, gives a ticket, and owes
no review. Whether he may, `decide` takes from his roles and from each requirement. Read by `decide` itself."""

FREQUENT = "frequency.exhausted"
"""The fact that names every guard (`guard:name`) whose cap on how often one person gets messages is used up. Read by
`decide` itself."""

AGREEMENT = "processor.agreement"
"""The fact without which nothing is sent, whatever the policy says: VALID or NOT_NEEDED."""

SEGMENTS, COST = "message.segments", "message.cost"
"""In how many parts a message goes, and what it costs."""

UNREADABLE = frozenset({EXPIRED, APPROVED, BREAK_GLASS, FREQUENT})
"""Facts that no expression may read: DESIGN section 5, combining (4)."""

ROWS = "request.rows"
"""The fact how many customers the call is about."""

USAGE = frozenset({"usage.volume", "usage.sequence", "usage.peers", "usage.hour"})
"""What stands out in the use of a principal; kept only where a rule reads it."""

OWN = "request.is_own"
"""The fact that an approval is one that the asker asked for himself; the flow looks, nobody says so."""

_OF_EVERY_REQUEST = frozenset({"request.action", "request.delegated", "request.has_prompt", OWN})


def only_on_customers(path: str) -> bool:
    """Tell whether the fact has a meaning for actions on customers alone: others have no purpose, store or fields."""
    root = path.partition(".")[0]
    return root in CUSTOMER_ROOTS | USE_ROOTS or (root == "request" and path not in _OF_EVERY_REQUEST)


@made_often
@dataclass(frozen=True, slots=True)
class Facts:
    """Fact path to value. A path that is absent is Unknown (NOT_FETCHED)."""

    values: Mapping[str, FactValue]

    def get(self, path: str) -> FactValue:
        """Return the value at `path`; never raises."""
        return self.values.get(path, NOT_FETCHED)
