"""How a step draws a text of a class that is in normal form: what it keeps, and what stands for the rest.

Every function is total. What is too short for its step keeps nothing.
"""

from collections.abc import Callable, Sequence
from ipaddress import ip_network
from itertools import pairwise
from typing import Final

from fujie.decision.findings import LONGEST_SEARCHED, NotLooked, find_personal
from fujie.decision.names import COMPOUND_SURNAMES, surname_length
from fujie.decision.region import region_of, regions_of
from fujie.model.data_class import DataClass
from fujie.model.pattern import matches
from fujie.model.step import Step

_KEPT_IN_PLACE: Final = frozenset({DataClass.MOBILE, DataClass.RESIDENT_ID, DataClass.BANK_CARD})

MASKED: Final = "****"
"""A value masked whole. Its width says nothing about the value's."""


def drawing(step: Step, data_class: DataClass) -> Callable[[str], str]:
    """Return what turns a normal form into its masked text, for a step that is applicable to the class."""
    match step.name, step.args:
        case "keep", (int() as first, int() as last):
            return _keep(first, last, data_class)
        case "mask_range", (int() as start, int() as end):
            return lambda text: _mask_range(text, start, end)
        case "before", (str() as chars, int() as kept):
            return lambda text: _mask_before(text, chars, kept)
        case "after", (str() as chars, int() as kept):
            return lambda text: _mask_after(text, chars, kept)
        case "region", (str() as level,):
            return lambda text: region_of(text, level) + MASKED
        case "date_part", (unit,):
            return lambda text: f"{text[:4]}-**-**" if unit == "year" else f"{text[:7]}-**"
        case "network", ():
            return _network
        case "round", (int() as size,):
            return lambda text: str(int(text) // size * size)
        case "bucket", bounds:
            return lambda text: _range_of(int(text), tuple(map(int, bounds)))
        case "redact", ():
            return redacted
        case "regex", (str() as pattern, str() as replacement):
            return lambda text: _replaced(text, pattern, replacement)
        case _:  # a step that parse_step knows and this function does not: closed
            return lambda _text: MASKED


def drawing_together(step: Step, data_class: DataClass) -> Callable[[Sequence[str]], list[str]]:
    """Return what turns a column of normal forms, without line breaks, into what `drawing` makes of each, at half of the
    cost or less where the step is one of those that lists of customers are made with."""
    draw = drawing(step, data_class)
    match step.name, step.args:
        case "keep", (int() as first, int() as last) if data_class in _KEPT_IN_PLACE:
            return _keep_together(first, last, draw)
        case "keep", (int() as first, int() as last) if data_class is DataClass.PLATE:
            in_place = _keep_together(first, last, _keep_in_place(first, last))
            return lambda texts: [text[:2] + "·" + text[2:] for text in in_place(texts)]
        case "keep", (1, 0) if data_class is DataClass.PERSON_NAME:
            return _surnames
        case "before", (str() as chars, int() as kept):
            return lambda texts: [
                f"{head[:kept] if len(head) > kept else ''}***{separator}{tail}"
                if separator and head
                else MASKED
                for head, separator, tail in [text.partition(chars) for text in texts]
            ]
        case "region", (str() as level,):
            return lambda texts: [region + MASKED for region in regions_of(texts, level)]
        case "date_part", ("year",):
            return lambda texts: [text[:4] + "-**-**" for text in texts]
        case _:
            return lambda texts: list(map(draw, texts))


def _keep_together(
    first: int, last: int, draw: Callable[[str], str]
) -> Callable[[Sequence[str]], list[str]]:
    def kept(texts: Sequence[str]) -> list[str]:
        lengths = set(map(len, texts))
        if min(lengths, default=0) <= first + last:
            return list(map(draw, texts))
        lines = "\n".join(texts)
        if len(lengths) == 1 and lines.isascii():  # then each place of all of them is one slice
            drawn, width, stars = bytearray(lines, "ascii"), lengths.pop(), b"*" * len(texts)
            for place in range(first, width - last):
                drawn[place :: width + 1] = stars
            return drawn.decode().split("\n")
        hidden = {length: "*" * (length - first - last) for length in lengths}
        if last:
            return [text[:first] + hidden[len(text)] + text[-last:] for text in texts]
        return [text[:first] + hidden[len(text)] for text in texts]

    return kept


def _surnames(names: Sequence[str]) -> list[str]:
    """Return what `_keep_of_name` makes of names, of which it keeps 1 and 0."""
    return [
        MASKED
        if len(name) < 2
        else (name[: surname_length(name)] if name[:2] in COMPOUND_SURNAMES else name[0]) + "**"
        for name in names
    ]


def _keep(first: int, last: int, data_class: DataClass) -> Callable[[str], str]:
    match data_class:
        case DataClass.LANDLINE:
            return _keep_of_landline(first, last)
        case DataClass.PERSON_NAME:
            return lambda text: _keep_of_name(text, first, last)
        case DataClass.PLATE:
            draw = _keep_in_place(first, last)
            return lambda text: _with_dot(draw(text))
        case DataClass.IDENTIFIER | DataClass.TEXT | DataClass.SOCIAL_ID:
            return lambda text: _ends(text, first, last, MASKED)
        case _:
            return _keep_in_place(first, last)


def _ends(text: str, first: int, last: int, stars: str) -> str:
    """Keep both ends around `stars`; when they would meet, keep nothing."""
    return text[:first] + stars + text[len(text) - last :] if first + last < len(text) else MASKED


def _keep_in_place(first: int, last: int) -> Callable[[str], str]:
    def kept(text: str) -> str:
        hidden = len(text) - first - last
        return f"{text[:first]}{'*' * hidden}{text[first + hidden :]}" if hidden > 0 else MASKED

    return kept


def _with_dot(plate: str) -> str:
    return f"{plate[:2]}·{plate[2:]}"


def _keep_of_landline(first: int, last: int) -> Callable[[str], str]:
    kept_of_subscriber = _keep_in_place(0, last)

    def kept(text: str) -> str:
        area, _, subscriber = text.partition("-")
        hidden = "*" * (len(area) - first)
        return f"{area[:first]}{hidden}-{kept_of_subscriber(subscriber)}"

    return kept


def _keep_of_name(text: str, first: int, last: int) -> str:
    return _ends(text, surname_length(text) if first else 0, last, "**")


def _mask_range(text: str, start: int, end: int) -> str:
    """Mask positions start..end; a text that ends inside or before the range keeps nothing."""
    return text[:start] + "*" * (end + 1 - start) + text[end + 1 :] if end < len(text) else MASKED


def _mask_before(text: str, chars: str, kept: int) -> str:
    """Mask what stands before `chars`; a text with nothing there keeps nothing, as it would be shown whole."""
    head, separator, tail = text.partition(chars)
    return f"{_start(head, kept)}***{separator}{tail}" if separator and head else MASKED


def _mask_after(text: str, chars: str, kept: int) -> str:
    """Mask what stands after `chars`; a text with nothing there keeps nothing, as it would be shown whole."""
    head, separator, tail = text.partition(chars)
    return f"{head}{separator}{_start(tail, kept)}***" if separator and tail else MASKED


def _start(text: str, kept: int) -> str:
    return text[:kept] if len(text) > kept else ""


def _network(address: str) -> str:
    """Return the network that shares an address with thousands of others."""
    if ":" in address:
        return str(ip_network(f"{address}/48", strict=False))
    return f"{address.rpartition('.')[0]}.0/24"


def _range_of(number: int, bounds: tuple[int, ...]) -> str:
    if number < bounds[0]:
        return f"<{bounds[0]}"
    if number >= bounds[-1]:
        return f">={bounds[-1]}"
    return next(f"[{low},{high})" for low, high in pairwise(bounds) if number < high)


def redacted(text: str) -> str:
    """Return a text with its personal data replaced by what they are; whole, where it is too long to be looked at."""
    findings = find_personal(text)
    if isinstance(findings, NotLooked):
        return MASKED
    return _with_spans_replaced(text, [(f.start, f.end, f"[{f.data_class}]") for f in findings])


def _replaced(text: str, pattern: str, replacement: str) -> str:
    """Put `replacement` in the place of every match; a text without one would be shown whole, so it keeps nothing."""
    spans = matches(pattern, text) if len(text) <= LONGEST_SEARCHED else None
    return _with_spans_replaced(text, [(*span, replacement) for span in spans]) if spans else MASKED


def _with_spans_replaced(text: str, spans: Sequence[tuple[int, int, str]]) -> str:
    parts, place = [], 0
    for start, end, instead in spans:
        parts += [text[place:start], instead]
        place = end
    return "".join([*parts, text[place:]])
