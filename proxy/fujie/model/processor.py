"""Processors: companies that handle customer data for us. A provider of SMS is one (PIPL-21)."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Processor:
    """One processor, as it stands in the register.

    `agreement` tells where the contract lies, in force from `valid_from` to before `valid_until` (days in
    `policy.zone`). `filing` is the number under which it is filed, `region` the ISO 3166 country where it processes,
    `transfer` the mechanism of a transfer abroad (PIPL-38), empty without one. `assessments` maps a purpose to the day
    until which its impact assessment stands (PIPL-55). `contact` and `ownership` are the clauses that name whom to
    call, and who owns the data and what happens to it at the end.
    """

    id: str
    display_name: str
    agreement: str
    valid_from: date
    valid_until: date
    filing: str = ""
    region: str = "CN"
    transfer: str = ""
    contact: str = ""
    ownership: str = ""
    assessments: Mapping[str, date] = field(default_factory=lambda: MappingProxyType({}))
