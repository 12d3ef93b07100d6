"""The typed facts that a decision reads. Low-cardinality by design: states, not timestamps.

A fact is Known (a plain value) or Unknown (with the reason why). An expression that reads an
Unknown fact is not evaluated: an absent `customer.minor` must never read as false.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from fujie.model.vocabulary import (
    CONSENT_STATES,
    EMPLOYMENT_STATES,
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
        "request.rows": _INT,
        "limits.exhausted": _STRINGS,
        "grants.expired": _STRINGS,
        "approvals.granted": _STRINGS,
        "usage.volume": FactType(Kind.STATE, USAGE_STATES),
        "usage.sequence": FactType(Kind.STATE, USAGE_STATES),
        "time.hour": _INT,
        "time.weekday": _INT,
    }
)
"""Path to type of every fact that fujie establishes itself; the field catalogue adds
`principal.<name>` and `customer.<name>`. `time.hour` is 0 to 23 and `time.weekday` 1 (Monday) to 7
(ISO 8601), both in the zone of the settings."""

CUSTOMER_ROOTS = frozenset({"customer", "consent", "suppression"})
"""Roots that tell something of the customer."""

USE_ROOTS = frozenset({"limits", "usage"})
"""Roots that tell how much the principal has used: read after the first check of a request, before the customer."""

EXHAUSTED = "limits.exhausted"
"""The fact that names every grant and guard (`grant:name`, `guard:name`) a limit of which is used up."""

EXPIRED = "grants.expired"
"""The fact that names every time-bound grant that is not valid at the moment of the request."""

APPROVED = "approvals.granted"
"""The fact that holds the key of every requirement (`model.approval.Requirement.key`) that is approved for this request.
Like `EXPIRED` it is read by `decide` itself and by no expression."""

UNREADABLE = frozenset({EXPIRED, APPROVED})
"""Facts that no expression may read: DESIGN section 5, combining (4)."""

ROWS = "request.rows"
"""The fact how many customers the call is about."""

USAGE = frozenset({"usage.volume", "usage.sequence"})
"""What stands out in the use of a principal; kept only where a rule reads it."""

_OF_EVERY_REQUEST = frozenset({"request.action", "request.delegated", "request.has_prompt"})


def only_on_customers(path: str) -> bool:
    """Tell whether the fact has a meaning for actions on customers alone: others have no purpose, store or fields."""
    root = path.partition(".")[0]
    return root in CUSTOMER_ROOTS | USE_ROOTS or (root == "request" and path not in _OF_EVERY_REQUEST)


@dataclass(frozen=True, slots=True)
class Facts:
    """Fact path to value. A path that is absent is Unknown (NOT_FETCHED)."""

    values: Mapping[str, FactValue]

    def get(self, path: str) -> FactValue:
        """Return the value at `path`; never raises."""
        return self.values.get(path, NOT_FETCHED)
