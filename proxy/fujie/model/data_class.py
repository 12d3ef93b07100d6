"""Data classes: what kind of value a field holds, and which treatments mean something for it.

The list is closed. A field catalogue may give a class its own ladder and floor; the ladders here are what
it gets when it does not.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from fujie.model.step import Ladder, Step, parse_step


class DataClass(StrEnum):
    """The kind of a field's values. The shapes are those of mainland China; others are masked whole."""

    MOBILE = "mobile"  # 11 digits, 1[3-9]
    LANDLINE = "landline"  # area code of 3 or 4 digits, subscriber number of 7 or 8
    RESIDENT_ID = "resident_id"  # GB 11643: 18 characters, or the 15 digits issued until 1999
    PERSON_NAME = "person_name"
    BANK_CARD = "bank_card"  # 13 to 19 digits (ISO/IEC 7812)
    EMAIL = "email"
    ADDRESS = "address"
    BIRTHDAY = "birthday"
    PLATE = "plate"  # GA 36: 7 characters, new-energy plates 8
    IDENTIFIER = "identifier"  # order number, customer number, account name
    TEXT = "text"  # free text
    PLAIN = "plain"  # number, boolean, code: shown or left out, nothing between


_MEANINGFUL: Mapping[DataClass, frozenset[str]] = {
    DataClass.MOBILE: frozenset({"keep", "mask_range", "token"}),
    DataClass.LANDLINE: frozenset({"keep", "token"}),
    DataClass.RESIDENT_ID: frozenset({"keep", "mask_range", "token"}),
    DataClass.PERSON_NAME: frozenset({"keep", "token"}),
    # No mask_range: cards have 13 to 19 digits, so a fixed range leaves up to 18 of them.
    DataClass.BANK_CARD: frozenset({"keep", "token"}),
    DataClass.EMAIL: frozenset({"before", "after", "token"}),
    DataClass.ADDRESS: frozenset({"region", "token"}),
    DataClass.BIRTHDAY: frozenset({"date_part", "token"}),
    DataClass.PLATE: frozenset({"keep", "token"}),
    DataClass.IDENTIFIER: frozenset({"keep", "mask_range", "before", "after", "token"}),
    DataClass.TEXT: frozenset({"keep", "mask_range", "before", "after", "token"}),
    # No token: two values, or a few, are told apart by their frequency alone.
    DataClass.PLAIN: frozenset(),
}

_MOST_KEPT: Mapping[DataClass, tuple[int, int, int]] = {  # at the start, at the end, together
    DataClass.MOBILE: (10, 10, 10),
    DataClass.LANDLINE: (4, 6, 9),  # the area code; less than a subscriber number
    DataClass.RESIDENT_ID: (14, 14, 14),
    DataClass.PERSON_NAME: (1, 1, 2),  # the surname; one code point
    DataClass.BANK_CARD: (12, 12, 12),
    DataClass.PLATE: (6, 6, 6),
}
"""`keep` must hide something of the shortest value of the class, else it would hide all of it (see `mask_value`)."""


def applicable(data_class: DataClass, step: Step) -> bool:
    """Tell whether `step` means something for `data_class`; the policy loader refuses what does not.

    `reveal` and `omit` always do. `keep` must leave something to hide in the shortest value of a class of
    known length; for names its counts are 0 or 1; an e-mail address is cut at `@` only; `mask_range` must
    lie within the shortest value of the class.
    """
    if step.name in {"reveal", "omit"}:
        return True
    if step.name not in _MEANINGFUL[data_class]:
        return False
    match step.args:
        case (int() as first, int() as last) if step.name == "keep" and data_class in _MOST_KEPT:
            at_start, at_end, together = _MOST_KEPT[data_class]
            return first <= at_start and last <= at_end and first + last <= together
        case (_, int() as end) if step.name == "mask_range" and data_class in _MOST_KEPT:
            return end <= _MOST_KEPT[data_class][2]
        case (str() as chars, _) if data_class is DataClass.EMAIL:
            return chars == "@"
        case _:
            return True


def _ladder(*texts: str) -> Ladder:
    return Ladder(tuple(map(parse_step, texts)))


DEFAULT_LADDERS: Final[Mapping[DataClass, Ladder]] = MappingProxyType(
    {
        DataClass.MOBILE: _ladder("reveal", "keep(3,4)", "keep(3,2)", "token", "omit"),
        DataClass.LANDLINE: _ladder("reveal", "keep(4,4)", "keep(3,4)", "token", "omit"),
        # keep(6,4), common elsewhere, hides the birth date only: the check digit leaves about 3,000 candidates.
        DataClass.RESIDENT_ID: _ladder("reveal", "keep(1,1)", "token", "omit"),
        DataClass.PERSON_NAME: _ladder("reveal", "keep(1,0)", "token", "omit"),
        DataClass.BANK_CARD: _ladder("reveal", "keep(6,4)", "keep(0,4)", "token", "omit"),
        DataClass.EMAIL: _ladder("reveal", "before(@,1)", "before(@)", "token", "omit"),
        DataClass.ADDRESS: _ladder(
            "reveal", "region(district)", "region(city)", "region(province)", "token", "omit"
        ),
        DataClass.BIRTHDAY: _ladder("reveal", "date_part(month)", "date_part(year)", "token", "omit"),
        DataClass.PLATE: _ladder("reveal", "keep(2,2)", "token", "omit"),
        DataClass.IDENTIFIER: _ladder("reveal", "keep(2,2)", "token", "omit"),
        DataClass.TEXT: _ladder("reveal", "token", "omit"),
        DataClass.PLAIN: _ladder("reveal", "omit"),
    }
)
"""What a class gets when the catalogue names no ladder. Each leaves fewer original code points from step to step."""
