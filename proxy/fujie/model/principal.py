"""Who asks: an employee or a service, as the directory knows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from fujie.model.vocabulary import State

AttributeValue = bool | int | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Principal:
    """A principal of the directory. Roles and employment come from here alone, never from a token.

    `kind` is EMPLOYEE or SERVICE; `employment` ACTIVE, SUSPENDED or OFFBOARDED; `training` VALID,
    LAPSED or NONE. `attributes` are the custom attributes that the field catalogue declares.

    A VALID training is LAPSED from `training_until` on, and who is to leave is OFFBOARDED from `offboard_at` on (or was then):
    `as_of` says so, by the clock alone. `devices` are ids of managed devices, which must be wiped then.

    `suspended_by` is the principal who suspended this one: empty when it is not SUSPENDED, and for a suspension that is older
    than the field (migration 0012), which counts as a person's.
    """

    id: str
    kind: State = State.EMPLOYEE
    roles: frozenset[str] = frozenset()
    department: str = ""
    employment: State = State.ACTIVE
    training: State = State.NONE
    attributes: Mapping[str, AttributeValue] = field(default_factory=lambda: MappingProxyType({}))
    training_until: datetime | None = None
    offboard_at: datetime | None = None
    devices: tuple[str, ...] = ()
    suspended_by: str = ""

    def as_of(self, now: datetime) -> "Principal":
        """Return who this is at `now`: without roles from the very moment of an offboarding, and with a lapsed training."""
        found = self
        if self.offboard_at is not None and now >= self.offboard_at:
            found = replace(found, employment=State.OFFBOARDED, roles=frozenset(), suspended_by="")
        if self.training is State.VALID and self.training_until is not None and now >= self.training_until:
            found = replace(found, training=State.LAPSED)
        return found


@dataclass(frozen=True, slots=True)
class Expected:
    """What a record must still be when it is written over: None, that there is none."""

    record: Principal | None


@dataclass(frozen=True, slots=True)
class Credential:
    """What a transport verified about a caller: the subject of its token, and who issued it.

    `subject` is the principal's id in the directory; nothing else of the token is believed.
    `workload` is the SPIFFE id of the caller's certificate, empty where none is asked for. A
    workload that sends no token is the principal itself: `subject` is its id, `issuer` is empty.
    """

    subject: str
    issuer: str
    workload: str = ""

    @property
    def is_workload(self) -> bool:
        """Tell whether a certificate alone proved who calls."""
        return bool(self.workload) and not self.issuer


@dataclass(frozen=True, slots=True)
class PrincipalFilter:
    """Which principals are listed; each part narrows when it is given."""

    role: str = ""
    department: str = ""
    employment: State | None = None
    kind: State | None = None
