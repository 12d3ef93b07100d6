"""A reason: why a request was refused or failed, as code, law and words in both languages."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class LocalizedText:
    """A text for people, in Chinese and English. Both or neither."""

    zh: str = ""
    en: str = ""


NO_TEXT = LocalizedText()
"""No text in either language."""


class Outcome(StrEnum):
    """What a reason means for the caller; the transport maps each to one gRPC status."""

    REFUSED = "refused"
    APPROVAL = "approval"
    LIMITED = "limited"
    INVALID = "invalid"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    UNAUTHENTICATED = "unauthenticated"
    UNAVAILABLE = "unavailable"
    UNIMPLEMENTED = "unimplemented"
    DEADLINE = "deadline"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class ReasonDefinition:
    """One row of the table. The lower `priority`, the earlier the reason comes; 0 to 1000."""

    code: str
    outcome: Outcome
    priority: int
    message: LocalizedText
    basis: tuple[str, ...] = ()
    remedy: LocalizedText = NO_TEXT


def row(
    code: str,
    outcome: Outcome,
    priority: int,
    zh: str,
    en: str,
    *,
    basis: tuple[str, ...] = (),
    remedy: tuple[str, str] = ("", ""),
) -> ReasonDefinition:
    """Return a row of the table; texts are Chinese, then English."""
    return ReasonDefinition(code, outcome, priority, LocalizedText(zh, en), basis, LocalizedText(*remedy))
