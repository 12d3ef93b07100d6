"""Who is asked about: a customer, named by the key of a store or by a phone number."""

from dataclasses import dataclass, field
from datetime import datetime

from fujie.model.making import made_often
from fujie.model.vocabulary import KeyKind


@made_often
@dataclass(frozen=True, slots=True, repr=False)
class StoreKey:
    """A customer by its id in one store. Its repr shows no id: references reach tracebacks."""

    store: str
    customer_id: str

    @property
    def kind(self) -> KeyKind:
        """The key kind that a grant must allow."""
        return KeyKind.CUSTOMER_ID

    def __repr__(self) -> str:
        return f"StoreKey(store={self.store!r}, customer_id=...)"


@made_often
@dataclass(frozen=True, slots=True, repr=False)
class Phone:
    """A customer by phone number, normalised to E.164 (`+8613800138000`) by `model.phone`."""

    e164: str

    @property
    def kind(self) -> KeyKind:
        """The key kind that a grant must allow."""
        return KeyKind.PHONE

    def __repr__(self) -> str:
        return "Phone(...)"


CustomerRef = StoreKey | Phone


@made_often
@dataclass(frozen=True, slots=True)
class Identity:
    """What the ledger knows of a customer: `sid` is the one that was asked for, `others` are those
    that share one of its refs and may be the same person (negative state counts from all, positive
    only from `sid`).

    `is_shared` tells that the ref which led to `sid` is a number that several sids share: `sid` is
    then only the earliest of them, and what speaks for one customer cannot be said of it.
    `wrapped_key` is the wrapped data key of `sid`; None once it is erased.
    """

    sid: str
    others: tuple[str, ...] = ()
    is_shared: bool = False
    wrapped_key: bytes | None = field(default=None, repr=False, compare=False)

    @property
    def sids(self) -> tuple[str, ...]:
        """All of them, `sid` first."""
        return (self.sid, *self.others)


@dataclass(frozen=True, slots=True, repr=False)
class Correction:
    """Why the ledger is told that two references are one person, or are not: by whom, when, on which evidence.

    `evidence_ref` may hold anything and is never logged. `request_id` makes a repeat harmless; empty for none.
    """

    evidence_ref: str
    actor: str
    now: datetime
    request_id: str = ""
