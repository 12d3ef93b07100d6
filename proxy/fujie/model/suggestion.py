"""What would have to be different for a refused request to be allowed: changes that lie with the one who asks."""

from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    """What can be changed, in the order in which changes are applied."""

    PURPOSE = "purpose"
    BASIS = "basis"
    BASIS_EVIDENCE = "basis_evidence"
    FIELDS = "fields"
    TICKET = "ticket"
    STRICT = "strict"
    CONSENT = "consent"
    APPROVAL = "approval"


@dataclass(frozen=True, slots=True)
class Change:
    """One change.

    `value` is, by part: the purpose; the basis; what the evidence has to be (empty: not said); the fields to leave
    out, with commas between; `false` for strict; `explicit` or `separate` for the consent that the customer would
    have to give; who would have to approve. It is empty for a ticket. `evidence` is what a basis needs besides.
    """

    part: Part
    value: str = ""
    evidence: str = ""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One or two changes. `lacks` are the facts that nobody looked for and without which it can not be told
    whether they would do; empty when they do, which was evaluated."""

    changes: tuple[Change, ...]
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Suggestions:
    """The changes that would `open` a refused request, and those of which that is `untold`. `is_cut`: there was not
    room to try all."""

    open: tuple[Suggestion, ...] = ()
    untold: tuple[Suggestion, ...] = ()
    is_cut: bool = False


NO_SUGGESTIONS = Suggestions()
