"""How grave it would be if what is asked for went to the wrong place: high, medium or low, for those who decide on it.

Rows count with those that the requester took in the last days: the criminal code counts over time, and halves its
thresholds for what is obtained on duty (PRC Criminal Law 253-1; Interpretation 2017-10 of the Supreme People's Court,
articles 5 and 6): 25 for location, content, credit and property, 250 for health and trade, 2,500 for all other data. HIGH
begins at the tier of the most sensitive field, MEDIUM at a tenth of it. What is masked counts as the next lower kind.
Outside of working hours the grade is one higher. The grade tells where to look; it decides nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Grade(StrEnum):
    """From harmless to grave."""

    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"


class Sign(StrEnum):
    """What made a grade."""

    SENSITIVE = "SENSITIVE"  # a field of level 4: identity documents, bank cards (PIPL 28)
    LEVEL = "LEVEL"  # a field of level 3
    REVEALED = "REVEALED"  # a field is shown as it is
    ROWS = "ROWS"  # many customers, those of the last days included
    OFF_HOURS = "OFF_HOURS"


TIERS: Final = (25, 250, 2_500, 25_000)
"""From how many customers HIGH begins: sensitive data, data of level 3, other data, other data masked."""

MEDIUM_PART: Final = 10
"""MEDIUM begins at this part of the tier."""

SENSITIVE_LEVEL: Final = 4
"""The level of the catalogue from which data are sensitive personal information."""

WORKING_DAYS: Final = range(1, 6)
WORKING_HOURS: Final = range(8, 20)
"""ISO weekdays and hours in the zone of the policy. Ours: no source fixes them."""


@dataclass(frozen=True, slots=True)
class Exposed:
    """One field: the sensitivity level of its class, 1 to 4, and whether it leaves as it is."""

    level: int
    is_revealed: bool


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is graded: the fields, how many customers at most, how many the requester had in the last days, and the local
    hour and ISO weekday at which it was asked for."""

    fields: tuple[Exposed, ...]
    rows: int
    rows_before: int
    hour: int
    weekday: int


@dataclass(frozen=True, slots=True)
class Risk:
    """A grade and what made it, in the order of `Sign`."""

    grade: Grade
    signs: tuple[Sign, ...]


_GRADES = tuple(Grade)


def grade(exposure: Exposure) -> Risk:
    """Grade what is asked for. Total, and monotone: more of anything never gives a lower grade."""
    rows = exposure.rows + exposure.rows_before
    tier = TIERS[_kind(exposure.fields)]
    place = 2 if rows >= tier else 1 if rows * MEDIUM_PART >= tier else 0
    is_late = exposure.weekday not in WORKING_DAYS or exposure.hour not in WORKING_HOURS
    levels = {field.level for field in exposure.fields}
    found = {
        Sign.SENSITIVE: any(level >= SENSITIVE_LEVEL for level in levels),
        Sign.LEVEL: SENSITIVE_LEVEL - 1 in levels,
        Sign.REVEALED: any(field.is_revealed for field in exposure.fields),
        Sign.ROWS: place > 0,
        Sign.OFF_HOURS: is_late,
    }
    return Risk(
        _GRADES[min(place + is_late, len(_GRADES) - 1)],
        tuple(sign for sign, is_found in found.items() if is_found),
    )


def _kind(fields: Sequence[Exposed]) -> int:
    """Return the place in TIERS of the gravest field; no field at all counts as masked."""
    last = len(TIERS) - 1
    kinds = (
        min(max(SENSITIVE_LEVEL - each.level, 0), last - 1) + (not each.is_revealed) for each in fields
    )
    return min(kinds, default=last)
