"""Closed vocabularies: the words that protos, policies, the log and the ledger share.

A word is never renamed or reused: entries written years ago must keep their meaning.
"""

from enum import StrEnum


class Action(StrEnum):
    """What is asked for. Every method of every service has exactly one action, and needs a grant for it."""

    LOOKUP = "lookup"
    EXPORT = "export"
    SEND = "send"
    ERASE = "erase"
    CORRECT = "correct"
    CONSENT_RECORD = "consent.record"
    CONSENT_WITHDRAW = "consent.withdraw"
    CONSENT_READ = "consent.read"
    SUPPRESSION_ADD = "suppression.add"
    SUPPRESSION_REMOVE = "suppression.remove"
    SUPPRESSION_READ = "suppression.read"
    PRINCIPAL_WRITE = "principal.write"
    PRINCIPAL_READ = "principal.read"
    PRINCIPAL_OFFBOARD = "principal.offboard"
    APPROVAL_DECIDE = "approval.decide"
    APPROVAL_READ = "approval.read"
    SUBJECT_REQUEST_HANDLE = "subject_request.handle"
    PROCESSOR_WRITE = "processor.write"
    POLICY_READ = "policy.read"
    EXPLAIN = "explain"
    AUDIT_READ = "audit.read"


CUSTOMER_ACTIONS = frozenset({Action.LOOKUP, Action.EXPORT, Action.SEND, Action.ERASE, Action.CORRECT})
"""Actions on one customer or many: they have a purpose and a basis, and can read customer and consent facts."""

FIELD_ACTIONS = frozenset({Action.LOOKUP, Action.EXPORT})
"""Actions that return fields of a customer record, so that their grants must list fields."""

APPROVABLE = frozenset({Action.LOOKUP, Action.EXPORT, Action.SEND})
"""Actions whose flows can wait for an approval; for others a validation that asks for one would refuse for ever."""


class Basis(StrEnum):
    """Why processing is lawful: the seven cases of PIPL article 13(1)."""

    CONSENT = "consent"
    CONTRACT = "contract"
    LEGAL_DUTY = "legal_duty"
    EMERGENCY = "emergency"
    NEWS_SUPERVISION = "news_supervision"
    DISCLOSED = "disclosed"
    OTHER_LAW = "other_law"


class KeyKind(StrEnum):
    """By what a caller names a customer."""

    CUSTOMER_ID = "customer_id"
    PHONE = "phone"
    PHONE_LAST_FOUR = "phone_last_four"


SEARCHES = frozenset({KeyKind.PHONE_LAST_FOUR})
"""Key kinds that find several customers: a grant that names no keys opens all others, but none of these."""


class Effect(StrEnum):
    """The outcome of a decision."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    APPROVAL_REQUIRED = "APPROVAL_REQUIRED"


class State(StrEnum):
    """Every constant that an expression can compare a state with.

    One vocabulary, so that a bare name such as `GIVEN` has one meaning in CEL; which constants a
    fact can take is part of its type (`model.facts`), and comparing it with another is a load error.
    """

    UNSPECIFIED = "UNSPECIFIED"
    NONE = "NONE"
    REQUESTED = "REQUESTED"
    GIVEN = "GIVEN"
    REFUSED = "REFUSED"
    WITHDRAWN = "WITHDRAWN"
    EXPIRED = "EXPIRED"
    INVALIDATED = "INVALIDATED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    OFFBOARDED = "OFFBOARDED"
    VALID = "VALID"
    LAPSED = "LAPSED"
    EMPLOYEE = "EMPLOYEE"
    SERVICE = "SERVICE"
    WITHIN = "WITHIN"
    EXCEEDED = "EXCEEDED"
    MARKETING = "MARKETING"
    TRANSACTIONAL = "TRANSACTIONAL"
    VERIFICATION = "VERIFICATION"
    LISTED = "LISTED"
    UNLISTED = "UNLISTED"
    SHORTENED = "SHORTENED"
    NOT_NEEDED = "NOT_NEEDED"

    # As equal texts hash, and at their speed: an Enum's own hash is written in Python.
    __hash__ = str.__hash__


STATE_NUMBERS = {state: number for number, state in enumerate(State)}
"""State to its number in the engine; UNSPECIFIED is 0. Append only."""

CONSENT_STATES = (
    State.NONE,
    State.REQUESTED,
    State.GIVEN,
    State.REFUSED,
    State.WITHDRAWN,
    State.EXPIRED,
    State.INVALIDATED,
)
EMPLOYMENT_STATES = (State.ACTIVE, State.SUSPENDED, State.OFFBOARDED)
TRAINING_STATES = (State.VALID, State.LAPSED, State.NONE)
USAGE_STATES = (State.WITHIN, State.EXCEEDED)
PRINCIPAL_KINDS = (State.EMPLOYEE, State.SERVICE)
CATEGORIES = (State.MARKETING, State.TRANSACTIONAL, State.VERIFICATION)
LINK_STATES = (State.NONE, State.LISTED, State.UNLISTED, State.SHORTENED)
AGREEMENT_STATES = (State.NONE, State.VALID, State.LAPSED, State.NOT_NEEDED)
ASSESSMENT_STATES = (State.NONE, State.VALID, State.LAPSED)

ADMINISTRATOR = "administrator"
"""The role whose first holders come from `bootstrap.admins` (promise 11)."""

ANY_CHANNEL = "any"
"""The channel of a consent event that holds for every channel."""
