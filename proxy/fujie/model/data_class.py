"""Data classes: what kind of value a field holds, and which treatments mean something for it.

The list is closed. A field catalogue may give a class its own ladder and floor; the ladders here are what
it gets when it does not.
"""

from collections.abc import Mapping
from enum import StrEnum
from itertools import combinations
from types import MappingProxyType
from typing import Final

from fujie.model.step import Ladder, Step, parse_step


class DataClass(StrEnum):
    """The kind of a field's values. The shapes are those of mainland China; others are masked whole."""

    MOBILE = "mobile"  # 11 digits, 1[3-9]
    LANDLINE = "landline"  # area code of 3 or 4 digits, subscriber number of 7 or 8
    RESIDENT_ID = "resident_id"  # GB 11643: 18 characters, or the 15 digits issued until 1999
    PASSPORT = "passport"  # one letter and 8 digits, or two letters and 7
    PERMIT = "permit"  # travel and residence permits of and for Hong Kong, Macau and Taiwan; foreigners' residence
    PERSON_NAME = "person_name"
    BANK_CARD = "bank_card"  # 13 to 19 digits (ISO/IEC 7812)
    EMAIL = "email"
    ADDRESS = "address"
    BIRTHDAY = "birthday"
    PLATE = "plate"  # GA 36: 7 characters, new-energy plates 8
    USCC = "uscc"  # GB 32100: 18 characters, the last one a check; a company, or a sole trader
    SOCIAL_ID = "social_id"  # WeChat or QQ
    IP = "ip"  # version 4 or 6
    DATE = "date"  # day of an event: an order, a visit
    NUMBER = "number"  # amount, count
    IDENTIFIER = "identifier"  # order number, customer number, account name
    TEXT = "text"  # free text
    PLAIN = "plain"  # number, boolean, code: shown or left out


_MEANINGFUL: Mapping[DataClass, frozenset[str]] = {
    DataClass.MOBILE: frozenset({"keep", "mask_range", "token"}),
    DataClass.LANDLINE: frozenset({"keep", "token"}),
    DataClass.RESIDENT_ID: frozenset({"keep", "mask_range", "token"}),
    DataClass.PERSON_NAME: frozenset({"keep", "token"}),
    # No mask_range: cards have 13 to 19 digits, so a fixed range leaves up to 18 of them.
    DataClass.BANK_CARD: frozenset({"keep", "token"}),
    DataClass.EMAIL: frozenset({"before", "after", "token"}),
    DataClass.ADDRESS: frozenset({"region", "token"}),
    DataClass.BIRTHDAY: frozenset({"date_part", "date_shift", "token"}),
    DataClass.PLATE: frozenset({"keep", "token"}),
    DataClass.PASSPORT: frozenset({"keep", "mask_range", "token"}),
    # No mask_range: permits have 8 to 18 characters, social ids 5 to 20.
    DataClass.PERMIT: frozenset({"keep", "token"}),
    DataClass.USCC: frozenset({"keep", "mask_range", "token"}),
    DataClass.SOCIAL_ID: frozenset({"keep", "token"}),
    DataClass.IP: frozenset({"network", "token"}),
    DataClass.DATE: frozenset({"date_part", "date_shift", "token"}),
    DataClass.IDENTIFIER: frozenset({"keep", "mask_range", "before", "after", "regex", "token"}),
    DataClass.TEXT: frozenset({"keep", "mask_range", "before", "after", "regex", "redact", "token"}),
    # No token for these: two values, or a few, are told apart by their frequency alone.
    DataClass.NUMBER: frozenset({"round", "bucket"}),
    DataClass.PLAIN: frozenset(),
}

_MOST_KEPT: Mapping[DataClass, tuple[int, int, int]] = {  # at the start, at the end, together
    DataClass.MOBILE: (10, 10, 10),
    DataClass.LANDLINE: (4, 6, 9),  # the area code; less than a subscriber number
    DataClass.RESIDENT_ID: (14, 14, 14),
    DataClass.PERSON_NAME: (1, 1, 2),  # the surname; one code point
    DataClass.BANK_CARD: (12, 12, 12),
    DataClass.PLATE: (6, 6, 6),
    DataClass.PASSPORT: (8, 8, 8),
    DataClass.PERMIT: (7, 7, 7),
    DataClass.USCC: (17, 17, 17),
    DataClass.SOCIAL_ID: (4, 4, 4),
}
"""`keep` must hide something of the shortest value of the class, else it would hide all of it (see `mask_value`)."""

_OF_KNOWN_LENGTH = frozenset(_MOST_KEPT) - {DataClass.PERSON_NAME}
"""Every value of these is long enough for every step that is applicable to its class."""


def applicable(data_class: DataClass, step: Step) -> bool:
    """Tell whether `step` means something for `data_class`; the policy loader refuses what does not.

    `reveal`, `constant` and `omit` always do. `keep` must leave something to hide in the shortest value of a class of
    known length; for names its counts are 0 or 1; an e-mail address is cut at `@` only; `mask_range` must
    lie within the shortest value of the class.
    """
    if step.name in {"reveal", "constant", "omit"}:
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


def opens_when_short(data_class: DataClass, ladder: Ladder) -> tuple[Step, Step] | None:
    """Return a step of the ladder and a later one that shows the ends of short values which the first masks whole.

    A value too short for `keep(4,4)` keeps nothing; `keep(1,1)` behind it would open a value of five characters.
    Only classes without a known shortest value have such steps. The policy loader refuses the ladder.
    """
    if data_class in _OF_KNOWN_LENGTH:
        return None
    for earlier, later in combinations(ladder.steps, 2):
        match (earlier.name, later.name), earlier.args, later.args:
            case ("keep", "keep"), (int() as first, int() as last), (
                int() as then_first,
                int() as then_last,
            ):
                opens = 0 < then_first + then_last < first + last
            case ((("before", "before") | ("after", "after")), (_, int() as kept), (_, int() as then_kept)):
                opens = 0 < then_kept < kept
            case _:
                opens = False
        if opens:
            return earlier, later
    return None


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
        DataClass.PASSPORT: _ladder("reveal", "keep(1,2)", "token", "omit"),
        DataClass.PERMIT: _ladder("reveal", "keep(1,2)", "token", "omit"),
        DataClass.USCC: _ladder("reveal", "keep(4,4)", "token", "omit"),
        DataClass.SOCIAL_ID: _ladder("reveal", "keep(2,1)", "token", "omit"),
        DataClass.IP: _ladder("reveal", "network", "token", "omit"),
        DataClass.DATE: _ladder("reveal", "date_part(month)", "date_part(year)", "token", "omit"),
        DataClass.NUMBER: _ladder("reveal", "round(100)", "bucket(1000,10000,100000)", "omit"),
        DataClass.IDENTIFIER: _ladder("reveal", "keep(2,2)", "token", "omit"),
        DataClass.TEXT: _ladder("reveal", "redact", "token", "omit"),
        DataClass.PLAIN: _ladder("reveal", "omit"),
    }
)
"""What a class gets when the catalogue names no ladder. No step shows what one before it hides."""
