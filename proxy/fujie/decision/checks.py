"""Check digits and characters: what tells a number of a person or company from any other number.

Every function takes a text that has the shape of its kind; any other text has no meaning here.
"""

from typing import Final

PROVINCES: Final = frozenset(
    map(str, (*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82, 83))
)  # fmt: skip
"""The first two digits of a resident id (GB/T 2260); 81, 82 and 83 are those of residents from Hong Kong, Macau, Taiwan."""

USCC_CHARACTERS: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
"""The 31 characters of a unified social credit code (GB 32100): no I, O, S, V, Z."""

_ID_WEIGHTS = tuple(2**place % 11 for place in range(17, 0, -1))
_ID_CHECKS = "10X98765432"
_USCC_VALUES = {character: value for value, character in enumerate(USCC_CHARACTERS)}
_USCC_WEIGHTS = tuple(3**place % 31 for place in range(17))
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def is_resident_id(text: str) -> bool:
    """Tell whether 18 characters bear the check of GB 11643 (ISO 7064 MOD 11-2), or 15 digits may be an old number.

    Both must begin with a province; the old number had no check.
    """
    if text[:2] not in PROVINCES:
        return False
    if len(text) == 15:
        return True
    total = sum(int(digit) * weight for digit, weight in zip(text, _ID_WEIGHTS, strict=False))
    return _ID_CHECKS[total % 11] == text[17]


def is_uscc(text: str) -> bool:
    """Tell whether 18 characters of `USCC_CHARACTERS` bear the check character of GB 32100."""
    total = sum(_USCC_VALUES[c] * weight for c, weight in zip(text, _USCC_WEIGHTS, strict=False))
    return USCC_CHARACTERS[-total % 31] == text[17]


def is_luhn(digits: str) -> bool:
    """Tell whether ASCII digits bear the check digit of ISO/IEC 7812."""
    backwards = [ord(digit) - 48 for digit in reversed(digits)]
    return (sum(backwards[::2]) + sum(_DOUBLED[digit] for digit in backwards[1::2])) % 10 == 0
