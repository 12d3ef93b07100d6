"""Who asks: an employee or a service, as the directory knows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fujie.model.vocabulary import State

AttributeValue = bool | int | str | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Principal:
    """A principal of the directory. Roles and employment come from here alone, never from a token.

    `kind` is EMPLOYEE or SERVICE; `employment` ACTIVE, SUSPENDED or OFFBOARDED; `training` VALID,
    LAPSED or NONE. `attributes` are the custom attributes that the field catalogue declares.
    """

    id: str
    kind: State = State.EMPLOYEE
    roles: frozenset[str] = frozenset()
    department: str = ""
    employment: State = State.ACTIVE
    training: State = State.NONE
    attributes: Mapping[str, AttributeValue] = field(default_factory=lambda: MappingProxyType({}))


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
