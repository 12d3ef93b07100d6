"""The normal form of a value of each data class, before it is masked or tokenised.

One person's phone number comes as `13800001234`, `+86 138-0000-1234` or in full-width digits: masking counts
code points, so it counts them in one form only. `normal_form` also says when a value does not have the shape
of its class (an e-mail address in the phone column): the step was chosen for the class, so nothing of such a
value is shown.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType
from unicodedata import category, normalize

from fujie.decision.names import name_of
from fujie.model.data_class import DataClass

# Whatever people put between digits. NFKC has made full-width forms and odd spaces of these plain by then.
_SEPARATORS = str.maketrans(dict.fromkeys(" \t\r\n-‐‑‒–—―−().", ""))
_ADDRESS_SEPARATORS = str.maketrans(dict.fromkeys(" \t\r\n,，、-", ""))

_MOBILE = re.compile(r"(?:(?:\+|00)?86)?(1[3-9][0-9]{9})")
# 010 and 02x are area codes of three digits, the others have four; from abroad the 0 is left out.
_LANDLINE = re.compile(
    r"(?:(?:(?:\+|00)?86)?0|(?:\+|00)86)(10|2[0-9]|[3-9][0-9]{2})([1-9][0-9]{6,7})(?:(?:转|ext|x|#)[0-9]{1,6})?"
)
_RESIDENT_ID = re.compile(
    r"[1-9][0-9]{5}"
    r"(?:(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9X]"
    r"|[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])[0-9]{3})"
)
_BANK_CARD = re.compile(r"[0-9]{13,19}")
# A long run of digits in the domain is a number of somebody, not a provider (163.com, 12306.cn).
_EMAIL = re.compile(r"[^@\s]{1,64}@(?!.*[0-9]{7})(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,63}")
_BIRTHDAY = re.compile(
    r"([0-9]{4})(?:([0-9]{2})([0-9]{2})|[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?)(?:[T ][0-9:.+Z-]{1,32})?"
)
_PLATE = re.compile(
    r"[京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼][A-Z][0-9A-HJ-NP-Z]{4,5}[0-9A-HJ-NP-Z学警港澳挂领使]"
)
_PLATE_SEPARATORS = str.maketrans(dict.fromkeys(" -·•‧・", ""))


def cleaned(text: str) -> str:
    """Return the text in NFKC without format characters (zero-width, direction marks) and outer spaces."""
    if text.isascii():
        return text.strip()
    if not text.isprintable():
        text = "".join(c for c in text if category(c) != "Cf")
    return normalize("NFKC", text).strip()


def normal_form(data_class: DataClass) -> Callable[[str], str | None]:
    """Return the function that brings a cleaned text of this class to its one form.

    The function returns None when the text does not have the shape of the class. Identifiers, free text and
    plain values have no shape: they stay as they are.
    """
    return _NORMAL_FORMS[data_class]


def _mobile(text: str) -> str | None:
    found = _MOBILE.fullmatch(text.translate(_SEPARATORS))
    return found[1] if found else None


def _landline(text: str) -> str | None:
    """Return area code, hyphen, subscriber number; an extension is not kept."""
    found = _LANDLINE.fullmatch(text.translate(_SEPARATORS).lower())
    return f"0{found[1]}-{found[2]}" if found else None


def _resident_id(text: str) -> str | None:
    digits = text.translate(_SEPARATORS).upper()
    return digits if _RESIDENT_ID.fullmatch(digits) else None


def _bank_card(text: str) -> str | None:
    """Return the digits, unless they are a resident id or a mobile number with its country code."""
    digits = text.translate(_SEPARATORS)
    is_other = _RESIDENT_ID.fullmatch(digits) or _MOBILE.fullmatch(digits)
    return digits if _BANK_CARD.fullmatch(digits) and not is_other else None


def _email(text: str) -> str | None:
    address = text.lower()
    return address if _EMAIL.fullmatch(address) else None


def _address(text: str) -> str:
    return text.translate(_ADDRESS_SEPARATORS)


def _birthday(text: str) -> str | None:
    """Return the day as YYYY-MM-DD; a time of day is dropped."""
    found = _BIRTHDAY.fullmatch(text)
    if found is None:
        return None
    try:
        return date(int(found[1]), int(found[2] or found[4]), int(found[3] or found[5])).isoformat()
    except ValueError:  # the 31st of April
        return None


def _plate(text: str) -> str | None:
    plate = text.translate(_PLATE_SEPARATORS).upper()
    return plate if _PLATE.fullmatch(plate) else None


def _as_it_is(text: str) -> str:
    return text


_NORMAL_FORMS: Mapping[DataClass, Callable[[str], str | None]] = MappingProxyType(
    {
        DataClass.MOBILE: _mobile,
        DataClass.LANDLINE: _landline,
        DataClass.RESIDENT_ID: _resident_id,
        DataClass.PERSON_NAME: name_of,
        DataClass.BANK_CARD: _bank_card,
        DataClass.EMAIL: _email,
        DataClass.ADDRESS: _address,
        DataClass.BIRTHDAY: _birthday,
        DataClass.PLATE: _plate,
        DataClass.IDENTIFIER: _as_it_is,
        DataClass.TEXT: _as_it_is,
        DataClass.PLAIN: _as_it_is,
    }
)
