"""The normal form of a value of each data class, before it is masked or tokenised.

One person's phone number comes as `13800001234`, `+86 138-0000-1234` or in full-width digits: masking counts
code points, so it counts them in one form only. `normal_form` also says when a value does not have the shape
of its class (an e-mail address in the phone column): the step was chosen for the class, so nothing of such a
value is shown.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from ipaddress import IPv6Address, ip_address
from types import MappingProxyType
from typing import Final
from unicodedata import category, normalize

from fujie.decision.checks import USCC_CHARACTERS, is_uscc
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
_DAY = re.compile(
    r"([0-9]{4})(?:([0-9]{2})([0-9]{2})|[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?)(?:[T ][0-9:.+Z-]{1,32})?"
)
PLATE_PROVINCES: Final = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
"""The short names of provinces, as plates begin with them; for use inside a regular expression's brackets."""

_PLATE = re.compile(rf"[{PLATE_PROVINCES}][A-Z][0-9A-HJ-NP-Z]{{4,5}}[0-9A-HJ-NP-Z学警港澳挂领使]")
# Ordinary passports are E or E and a letter; D, S, P and H, M stand for offices and for the special regions.
_PASSPORT = re.compile(r"[A-Z](?:[0-9]{8}|[A-Z][0-9]{7})")
_PERMIT = re.compile(
    r"[CHLMTW][0-9]{8}(?:[0-9]{2})?"  # travel permits: to and from Hong Kong and Macau, to Taiwan
    r"|C[A-Z][0-9]{7}"
    r"|[0-9]{8}"  # of residents of Taiwan
    r"|(?:8[123]0000|9[0-9]{5})(?:19|20)[0-9]{9}[0-9X]"  # residence permits, built like resident ids
    r"|[A-Z]{3}[0-9]{12}"  # of foreigners, issued until 2023
)
_USCC = re.compile(rf"[{USCC_CHARACTERS}]{{2}}[0-9]{{6}}[{USCC_CHARACTERS}]{{10}}")
_SOCIAL_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{5,19}|[1-9][0-9]{4,11}")
_NUMBER = re.compile(r"([+-]?)[¥$]?([0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4})(?:\.([0-9]{1,30}))?")
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


def is_normal(data_class: DataClass) -> Callable[[str], object]:
    """Return the function that tells in one search that `cleaned` and the normal form of a text are that text; one of
    which it does not tell so may be all the same. Most values that a store holds are."""
    return PLAIN_FORMS.get(data_class, _NEVER).fullmatch


def normal_together(data_class: DataClass) -> Callable[[Sequence[str]], Sequence[str] | None]:
    """Return the function that gives the normal forms of many texts where one search over all of them tells that each is
    in that form, or as good as: plates mostly have a dot in them. None where it does not."""
    form = PLAIN_FORMS.get(data_class, _NEVER).pattern
    found = re.compile(f"(?:(?:{form})\n)*+").fullmatch
    has_dots = data_class is DataClass.PLATE

    def told(texts: Sequence[str]) -> Sequence[str] | None:
        lines = "\n".join((*texts, ""))
        if has_dots:
            lines = lines.replace("·", "")
        if lines.count("\n") != len(texts) or not found(lines):
            return None
        return lines.splitlines() if has_dots else texts

    return told


def _joined(text: str) -> str:
    """Return the text without separators: most have none, which is told faster."""
    return text if text.isalnum() else text.translate(_SEPARATORS)


def _mobile(text: str) -> str | None:
    found = _MOBILE.fullmatch(_joined(text))
    return found[1] if found else None


def _landline(text: str) -> str | None:
    """Return area code, hyphen, subscriber number; an extension is not kept."""
    found = _LANDLINE.fullmatch(_joined(text).lower())
    return f"0{found[1]}-{found[2]}" if found else None


def _resident_id(text: str) -> str | None:
    digits = _joined(text).upper()
    return digits if _RESIDENT_ID.fullmatch(digits) else None


def _bank_card(text: str) -> str | None:
    """Return the digits, unless they are a resident id or a mobile number with its country code."""
    digits = _joined(text)
    is_other = _RESIDENT_ID.fullmatch(digits) or _MOBILE.fullmatch(digits)
    return digits if _BANK_CARD.fullmatch(digits) and not is_other else None


def _email(text: str) -> str | None:
    address = text.lower()
    return address if _EMAIL.fullmatch(address) else None


def _address(text: str) -> str:
    return text.translate(_ADDRESS_SEPARATORS)


def _day(text: str) -> str | None:
    """Return the day as YYYY-MM-DD; a time of day is dropped."""
    found = _DAY.fullmatch(text)
    if found is None:
        return None
    try:
        return date(int(found[1]), int(found[2] or found[4]), int(found[3] or found[5])).isoformat()
    except ValueError:  # the 31st of April
        return None


def _plate(text: str) -> str | None:
    text = text.replace("·", "")  # nearly all have this one and no other
    plate = (text if text.isalnum() else text.translate(_PLATE_SEPARATORS)).upper()
    return plate if _PLATE.fullmatch(plate) else None


def _passport(text: str) -> str | None:
    number = _joined(text).upper()
    return number if _PASSPORT.fullmatch(number) else None


def _permit(text: str) -> str | None:
    number = _joined(text).upper()
    return number if _PERMIT.fullmatch(number) else None


def _uscc(text: str) -> str | None:
    """Return the 18 characters when the check character fits; a company's code has few typing errors to forgive."""
    code = _joined(text).upper()
    return code if _USCC.fullmatch(code) and is_uscc(code) else None


def _social_id(text: str) -> str | None:
    """Return the id in lower case, as WeChat tells ids apart by letters only."""
    return text.lower() if _SOCIAL_ID.fullmatch(text) else None


def _ip(text: str) -> str | None:
    """Return the address in its one form (RFC 5952); version 4 inside version 6 is version 4, a zone is dropped."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def _number(text: str) -> str | None:
    """Return the greatest whole number that is not above the value: no step of a number looks behind the point."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    whole = int(found[1] + found[2].replace(",", ""))
    return str(whole - (found[1] == "-" and bool((found[3] or "").strip("0"))))


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
        DataClass.BIRTHDAY: _day,
        DataClass.PLATE: _plate,
        DataClass.PASSPORT: _passport,
        DataClass.PERMIT: _permit,
        DataClass.USCC: _uscc,
        DataClass.SOCIAL_ID: _social_id,
        DataClass.IP: _ip,
        DataClass.DATE: _day,
        DataClass.NUMBER: _number,
        DataClass.IDENTIFIER: _as_it_is,
        DataClass.TEXT: _as_it_is,
        DataClass.PLAIN: _as_it_is,
    }
)

_NEVER = re.compile(r"(?!)")
_AS_TYPED = re.compile(r"[!-~]{1,256}")
_FULL_DAY = re.compile(r"(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])")
PLAIN_FORMS: Final[Mapping[DataClass, re.Pattern[str]]] = MappingProxyType(
    {
        DataClass.MOBILE: re.compile(r"1[3-9][0-9]{9}"),
        DataClass.RESIDENT_ID: _RESIDENT_ID,
        DataClass.PERSON_NAME: re.compile(r"[\u4e00-\u9fff]{1,6}"),
        # Neither 15 nor 18 digits, as resident ids have, nor 13 or 15, as numbers with a country code.
        DataClass.BANK_CARD: re.compile(r"[0-9]{16,17}|[0-9]{19}"),
        DataClass.EMAIL: re.compile(
            r"[a-z0-9._+-]{1,64}@(?!.*[0-9]{7})(?:[a-z0-9_-]{1,63}\.){1,8}[a-z]{2,63}"
        ),
        DataClass.ADDRESS: re.compile(r"[\u4e00-\u9fff0-9A-Za-z]{1,256}"),
        DataClass.BIRTHDAY: _FULL_DAY,
        DataClass.DATE: _FULL_DAY,
        DataClass.PLATE: _PLATE,
        DataClass.IDENTIFIER: _AS_TYPED,
        DataClass.PLAIN: _AS_TYPED,
    }
)
"""Texts without anything that cleaning or a normal form changes: the unified ideographs among them stay as they are in
NFKC."""
