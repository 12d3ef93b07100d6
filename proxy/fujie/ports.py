"""What the edges must offer: Protocols that flows are written against and adapters satisfy.

Every method that can fail raises the error of its port (`StoreError`, `LedgerError`, for the log `audit.errors.AuditError`)
and nothing else; texts of errors hold no personal data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from fujie.model.consent import ConsentEvent
from fujie.model.customer import CustomerRef, StoreKey
from fujie.model.principal import Credential, Principal
from fujie.model.record import SealedRecord


@dataclass(frozen=True, slots=True, repr=False)
class Fetched:
    """One row of a store: the sealed fields that were asked for, and the attributes for facts.

    `phone` is the row's own number in E.164 where the store maps one and it normalises, else empty:
    it finds what the ledger knows of the same person under the number. `attributes` holds raw
    values of the columns that were asked for; a column that is not mapped is absent.
    """

    key: StoreKey
    record: SealedRecord
    attributes: Mapping[str, object]
    phone: str = ""


class CustomerStore(Protocol):
    """A place that holds customer records."""

    @property
    def fields(self) -> frozenset[str]:
        """Names of the catalogue's fields that this store maps."""
        ...

    @property
    def attributes(self) -> frozenset[str]:
        """Names of the catalogue's customer attributes that this store maps."""
        ...

    async def fetch(
        self, ref: CustomerRef, fields: frozenset[str], attributes: frozenset[str], timeout_s: float
    ) -> Sequence[Fetched]:
        """Return the rows for `ref` by one SELECT: none, one, or two when a phone is not unique.

        `fields` and `attributes` are subsets of what the store maps. Two rows are enough to know
        that a number is ambiguous; more are never read.

        Raises:
            StoreError: STORE_UNAVAILABLE, or STORE_TIMEOUT after `timeout_s` seconds.

        """
        ...


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


class Ledger(Protocol):
    """fujie's own state about customers: subjects, aliases, consent events.

    A store key leads to one sid; a phone leads to every sid that it was enrolled with, since people
    share numbers. The earliest is the one that the ref led to first.
    """

    async def find(self, refs: Sequence[CustomerRef]) -> Identity | None:
        """Return the identity under `refs`; None when none of them is known.

        `sid` is the earliest under the first known ref; `others` are all further sids that any of the
        refs leads to, the earliest first. That is one step: the sids of these refs, not those of
        other refs that these sids have. Pass every ref that is known of the customer.
        """
        ...

    async def enrol(self, refs: Sequence[CustomerRef], now: datetime) -> Identity:
        """Like `find`, but make every ref lead to a sid first.

        The first ref decides on `sid`: when unknown it gets a new one. Every other ref joins that
        sid: a phone also when others have it already, a store key only when it is unknown. No sid
        ever loses a ref, and none are merged: that needs evidence.
        """
        ...

    async def consent_events(self, sids: Sequence[str], purpose: str) -> Sequence[ConsentEvent]:
        """Return every event of these sids for `purpose` (every purpose when empty), by event_time then order of arrival."""
        ...

    async def record_consent(
        self, event: ConsentEvent, request_id: str, request_digest: str
    ) -> ConsentEvent:
        """Append the event; durable on return, and seen by the very next read.

        A repeated non-empty `request_id` of the same `event.actor` with the same digest returns the
        first event; the ids of different actors have nothing to do with each other.

        Raises:
            RequestError: REQUEST_ID_REUSED when the actor's id came with another digest.

        """
        ...

    async def subject_key(self, sid: str) -> bytes | None:
        """Return the wrapped data key of a subject; None once it is erased."""
        ...


class Directory(Protocol):
    """Who is employed, and in which roles."""

    async def get(self, principal_id: str) -> Principal | None:
        """Return the principal; None when unknown."""
        ...

    async def has_administrator(self) -> bool:
        """Tell whether any ACTIVE principal has the administrator role."""
        ...

    async def upsert(self, principal: Principal, now: datetime) -> Principal:
        """Write the whole record; durable on return, and seen by the very next read.

        Raises:
            RequestError: LAST_ADMINISTRATOR when it would leave the directory without an ACTIVE
                administrator: `bootstrap.admins` would come back to life (promise 11).

        """
        ...

    async def offboard(self, principal_id: str, now: datetime) -> Principal | None:
        """Set employment to OFFBOARDED and drop all roles; None when unknown. Raises like `upsert`."""
        ...


class EvidenceLog(Protocol):
    """The append-only log of one worker."""

    @property
    def origin(self) -> str:
        """Name of the log, `<instance>/w<slot>`."""
        ...

    @property
    def healthy(self) -> bool:
        """False for ever after the first write that failed."""
        ...

    async def append(self, leaf: bytes) -> int:
        """Return the entry's index once its bytes are durable on disk.

        Raises:
            LogUnavailable: the log has failed, now or before; nothing may be released.

        """
        ...


class Authenticator(Protocol):
    """Turns a bearer token into a credential."""

    def verify(self, token: str, now: datetime) -> Credential:
        """Return what the token proves.

        Raises:
            CredentialError: TOKEN_INVALID or TOKEN_EXPIRED.

        """
        ...


class Clock(Protocol):
    """The only reader of time."""

    def now(self) -> datetime:
        """Return the time in UTC, aware."""
        ...

    def monotonic(self) -> float:
        """Return seconds that only differences have a meaning of."""
        ...


class Identifiers(Protocol):
    """The only source of randomness for flows."""

    def new_id(self) -> str:
        """Return a fresh, unguessable, time-ordered identifier (UUIDv7, 32 hex digits)."""
        ...

    def nonce(self) -> bytes:
        """Return 12 fresh random bytes."""
        ...


class Metrics(Protocol):
    """What flows report; label sets are bounded by the bundle."""

    def decided(self, action: str, effect: str, reason: str) -> None:
        """Count one decision by its primary reason."""
        ...

    def stage(self, name: str, seconds: float) -> None:
        """Observe how long one stage of a flow took."""
        ...
