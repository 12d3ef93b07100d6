"""Recognition: where personal data stands in free text, by form and check digit; no model, no dictionary.

A finding says what and where, never the text itself, so that it may go into logs and reasons. Whether nobody
looked or nothing was found are two answers. Names and addresses have no form: they are found behind a label
(`姓名：`) only, as are passports, permits, WeChat and QQ ids. It knows the numbers of mainland China.

Every pattern takes a bounded number of steps at each place of the text, so time is linear in the text; about
0.7 ms for a thousand characters. What is deliberately taken for personal data although it may not be: one in
ten order numbers of 13 to 19 digits that begin like a bank card passes Luhn's check.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import groupby, pairwise
from operator import itemgetter
from typing import Final

from fujie.decision.checks import USCC_CHARACTERS, is_luhn, is_resident_id, is_uscc
from fujie.decision.classes import PLATE_PROVINCES, normal_form
from fujie.decision.names import HAN
from fujie.decision.reading import read
from fujie.model.data_class import DataClass

LONGEST_SEARCHED: Final = 10_000
"""Code points; longer than any note that people write, and 0.2 s of one core at worst, in which nobody else is served."""


class NotLooked(Enum):
    """Why a text was not searched. It says nothing about what the text holds."""

    TOO_LONG = "too_long"


@dataclass(frozen=True, slots=True)
class Finding:
    """Personal data of one class at text[start:end], in code points of the text that was searched."""

    data_class: DataClass
    start: int
    end: int


Span = tuple[int, int]

# What people put between the digits of a number; NFKC has made full-width forms of these plain by then.
_GAP = r"[ \t\-‐‑‒–—―−.·/_()]{0,3}"
# How people write digits to get past filters: 大写, and 幺 and 洞 as spoken.
_SPELLED: Final = ("零〇洞", "一壹幺", "二贰两", "三叁", "四肆", "五伍", "六陆", "七柒", "八捌", "九玖")
_SPELLED_DIGITS = str.maketrans({c: str(value) for value, spelled in enumerate(_SPELLED) for c in spelled})
_NOT_ALNUM = re.compile(r"[^0-9A-Za-z]+")


def _digit(low: int = 0, high: int = 9) -> str:
    return "[" + "".join(f"{value}{_SPELLED[value]}" for value in range(low, high + 1)) + "]"


def _at_every_place(pattern: str, *, before: str = "[0-9]", after: str = "[0-9]") -> re.Pattern[str]:
    # Nothing is consumed: a false start (张三 before a spelled number) must not swallow the true one behind it.
    return re.compile(f"(?<!{before})(?=({pattern})(?!{after}))", re.ASCII)


_D, _C = _digit(), f"[{USCC_CHARACTERS}{USCC_CHARACTERS[10:].lower()}]"
_MOBILE = _at_every_place(
    rf"(?:(?:\+|00)?86{_GAP})?0?{_digit(1, 1)}{_GAP}{_digit(3, 9)}(?:{_GAP}{_D}){{9}}"
)
_LANDLINE = _at_every_place(
    rf"(?:(?:\+|00)86{_GAP}0?|{_digit(0, 0)})(?:{_digit(1, 1)}{_digit(0, 0)}|{_digit(2, 2)}{_D}|{_digit(3, 9)}{_D}{_D})"
    rf"{_GAP}{_digit(1, 9)}(?:{_GAP}{_D}){{6,7}}(?:(?:转|ext\.?|[-#])[ ]?[0-9]{{1,6}})?"
)
_RESIDENT_ID = _at_every_place(rf"{_digit(1, 9)}(?:{_GAP}{_D}){{16}}{_GAP}(?:{_D}|[Xx])")
_OLD_RESIDENT_ID = _at_every_place(r"[1-9][0-9]{14}")
_USCC = _at_every_place(
    rf"{_C}[ -]?{_C}(?:[ -]?[0-9]){{6}}(?:[ -]?{_C}){{10}}", before="[0-9A-Za-z]", after="[0-9A-Za-z]"
)
_CARD = _at_every_place(rf"{_D}(?:{_GAP}{_D}){{12,18}}")
_DOMAIN = re.compile(r"@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,63}")
_NOT_LOCAL = re.compile(r"[^A-Za-z0-9._%+'-]")
# Longest first, or a new-energy plate is cut to seven.
_PLATE = re.compile(
    rf"[{PLATE_PROVINCES}][A-Za-z][ \-·•‧・.]{{0,2}}[0-9A-HJ-NP-Za-hj-np-z]{{4,5}}[0-9A-HJ-NP-Za-hj-np-z学警港澳挂领使]"
    r"(?![0-9A-Za-z])"
)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?<![0-9.])(?:{_OCTET}\.){{3}}{_OCTET}(?![0-9])(?!\.[0-9])")
_IPV6 = re.compile(r"(?<![0-9A-Za-z:])[0-9A-Fa-f:]{6,39}(?![0-9A-Za-z:])")

_IS = r"[ \t]{0,3}(?:[:=]|是|为)[ \t]{0,3}"
_MAY_BE = r"[ \t]{0,3}(?:号码?|[Nn]o\.?|[Ii][Dd])?[ \t]{0,3}(?:[:=]|是|为)?[ \t]{0,3}"
_NEXT_LABEL = "姓名|电话|手机|联系|收件|收货|地址|住址|身份|微信|性别|邮箱|备注|QQ|[Aa]ddress"
_HAN_NAME = rf"[{HAN}]{{1,12}}(?:·[{HAN}]{{1,12}}){{1,4}}|[{HAN}](?: [{HAN}]){{1,3}}(?![{HAN}])|(?:(?!{_NEXT_LABEL})[{HAN}]){{1,6}}"
_LATIN_NAME = r"[A-Z][A-Za-z.'-]{0,30}(?: [A-Z][A-Za-z.'-]{0,30}){0,3}"
# The value stands in a lookahead, so that a label may follow a label. An address ends where the next label or
# a mark of an earlier redaction begins, which also keeps the time linear.
_LABELLED: Final = {
    DataClass.PASSPORT: re.compile(
        rf"(?:护照|[Pp]assport){_MAY_BE}(?=([A-Za-z]{{1,2}}[ ]?[0-9]{{7,8}})(?![0-9A-Za-z]))"
    ),
    DataClass.PERMIT: re.compile(
        rf"(?:通行证|回乡证|台胞证|居住证|居留证){_MAY_BE}(?=([A-Za-z0-9]{{8,18}})(?![0-9A-Za-z]))"
    ),
    DataClass.SOCIAL_ID: re.compile(
        rf"(?:微信|QQ|(?<![A-Za-z])(?:[Ww]e[Cc]hat|[Vv][Xx]|[Ww][Xx]|qq)){_MAY_BE}(?=([A-Za-z0-9][A-Za-z0-9_-]{{4,19}}))"
    ),
    DataClass.PERSON_NAME: re.compile(
        rf"(?:姓名|收件人|收货人|寄件人|联系人|持卡人|户名|(?<![A-Za-z_])[Nn]ame){_IS}(?=({_HAN_NAME}|{_LATIN_NAME}))"
    ),
    DataClass.ADDRESS: re.compile(
        rf"(?:地址|住址|(?<![A-Za-z_])[Aa]ddress){_IS}(?=((?:(?!{_NEXT_LABEL}|\[[a-z_]{{2,12}}\])[^\n;。|])+))"
    ),
}


def find_personal(text: str) -> tuple[Finding, ...] | NotLooked:
    """Return what personal data stands in `text`, from left to right, without overlaps; never raises.

    Where two classes claim the same place, the first of this order has it: e-mail, resident id, USCC, bank
    card, mobile, landline, IP address, plate, and the labelled ones. Invisible characters, full-width and
    spelled digits and gaps inside a number do not matter; a number inside a longer run of digits is none.
    """
    if len(text) > LONGEST_SEARCHED:
        return NotLooked.TOO_LONG
    reading = read(text)
    found: list[Finding] = []
    for data_class, start, end in _resolved(reading.plain):
        first, last = reading.original(start, end)
        first = max(first, found[-1].end if found else 0)  # one original character may be two plain ones
        if first < last:
            found.append(Finding(data_class, first, last))
    return tuple(found)


def _resolved(plain: str) -> Iterator[tuple[DataClass, int, int]]:
    """Settle who has which place."""
    claims = [
        (data_class, span)
        for data_class, search in _SEARCHES.items()
        for span in _joined(search(plain))
        if any(c.isalnum() for c in plain[slice(*span)])
    ]
    in_order = sorted(span for _, span in claims)
    if all(left[1] <= right[0] for left, right in pairwise(in_order)):
        yield from sorted(((data_class, *span) for data_class, span in claims), key=itemgetter(1))
        return
    # Painted over each other, the strongest last.
    owners: list[tuple[DataClass, int] | None] = [None] * len(plain)
    for data_class, (start, end) in reversed(claims):
        owners[start:end] = [(data_class, start)] * (end - start)
    place = 0
    for owner, same in groupby(owners):
        start, place = place, place + len(list(same))
        # What is left of an address around a number may be a comma.
        if owner is not None and any(c.isalnum() for c in plain[start:place]):
            yield owner[0], start, place


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    """Make one of spans that overlap. They come in the order of their starts."""
    last: Span | None = None
    for start, end in spans:
        if last is None or start >= last[1]:
            if last:
                yield last
            last = (start, end)
        else:
            last = (last[0], max(last[1], end))
    if last:
        yield last


def _compact(text: str) -> str:
    return _NOT_ALNUM.sub("", text.translate(_SPELLED_DIGITS)).upper()


def _search(pattern: re.Pattern[str], is_one: Callable[[str], bool]) -> Callable[[str], Iterator[Span]]:
    """Return the search for group 1 of `pattern` where its compact form passes the check."""
    return lambda plain: (found.span(1) for found in pattern.finditer(plain) if is_one(_compact(found[1])))


def _any(_compact: str) -> bool:
    return True


_id_of = normal_form(DataClass.RESIDENT_ID)


def _is_id(compact: str) -> bool:
    return _id_of(compact) is not None and is_resident_id(compact)


def _ids(plain: str) -> Iterator[Span]:
    yield from sorted([*_search(_RESIDENT_ID, _is_id)(plain), *_search(_OLD_RESIDENT_ID, _is_id)(plain)])


def _cards(plain: str) -> Iterator[Span]:
    for found in _CARD.finditer(plain):
        if end := _card_end(plain, *found.span(1)):
            yield found.start(1), end


def _card_end(plain: str, start: int, end: int) -> int:
    """Return where a card number that begins at `start` ends, at most at `end`; 0 when there is none."""
    digits = plain[start:end].translate(_SPELLED_DIGITS)
    # 0, 1 and 7 begin no bank card; what begins with a year is an order number.
    if digits[0] in "017" or digits.startswith("20"):
        return 0
    places = [place for place, c in enumerate(digits) if c.isdecimal()]
    compact = _compact(digits)
    for count in range(len(places), 12, -1):
        stop = places[count - 1] + 1
        is_whole = not digits[stop : stop + 1].isdecimal()
        if is_whole and is_luhn(compact[:count]) and _is_card_grouping(_NOT_ALNUM.split(digits[:stop])):
            return start + stop
    return 0


def _is_card_grouping(groups: list[str]) -> bool:
    # In one, 4-4-4-4, 6-13 or digit by digit: not a date beside a phone number.
    sizes = [len(group) for group in groups]
    return (
        len(sizes) == 1
        or sizes == [6, 13]
        or (sizes[0] in {1, 4} and set(sizes[:-1]) == {sizes[0]} and sizes[-1] <= 4)
    )


def _emails(plain: str) -> Iterator[Span]:
    """Go left from every @ as far as a local part goes: ASCII only, or Chinese before it would be swallowed."""
    for found in _DOMAIN.finditer(plain):
        earliest = max(0, found.start() - 64)
        before = _NOT_LOCAL.search(plain[earliest : found.start()][::-1])
        length = before.start() if before else found.start() - earliest
        if length:
            yield found.start() - length, found.end()


def _plates(plain: str) -> Iterator[Span]:
    for found in _PLATE.finditer(plain):
        if sum(c.isdecimal() for c in found[0]) >= 2:  # two letters at most, else it is a word
            yield found.span()


_ip_of = normal_form(DataClass.IP)


def _ips(plain: str) -> Iterator[Span]:
    sixes = (
        found.span()
        for found in _IPV6.finditer(plain)
        if sum(map(bool, found[0].split(":"))) >= 3 and _ip_of(found[0])  # `::1` is nobody's
    )
    yield from sorted([*(found.span() for found in _IPV4.finditer(plain)), *sixes])


_SEARCHES: Final[dict[DataClass, Callable[[str], Iterable[Span]]]] = {
    DataClass.EMAIL: _emails,
    DataClass.RESIDENT_ID: _ids,
    DataClass.USCC: _search(_USCC, is_uscc),
    DataClass.BANK_CARD: _cards,
    DataClass.MOBILE: _search(_MOBILE, _any),
    DataClass.LANDLINE: _search(_LANDLINE, _any),
    DataClass.IP: _ips,
    DataClass.PLATE: _plates,
    **{data_class: _search(pattern, _any) for data_class, pattern in _LABELLED.items()},
}
"""From strong to weak."""
