"""How a text travels by SMS: which alphabet, how many parts, where it may be cut.

The GSM 7-bit default alphabet with its extension table is 3GPP TS 23.038 section 6.2.1; a text with any other
character goes as UCS-2, counted in UTF-16 units. A message of several parts gives 6 octets of each to the header that
joins them (TS 23.040 section 9.2.3.24.1): 153 septets or 67 units remain of 160 and 70.

`text` is always the whole message, with its signature.
"""

_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPE = 0x1B
_EXTENSION = {
    "\f": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}
_SEPTETS = {character: bytes((code,)) for code, character in enumerate(_BASIC) if code != _ESCAPE} | {
    character: bytes((_ESCAPE, code)) for character, code in _EXTENSION.items()
}
_GSM7 = frozenset(_SEPTETS)

_ONE_GSM7, _EACH_GSM7 = 160, 153
_ONE_UCS2, _EACH_UCS2 = 70, 67


def is_gsm7(text: str) -> bool:
    """Tell whether every character is of the GSM 7-bit default alphabet or of its extension table."""
    return _GSM7.issuperset(text)


def septets(text: str) -> bytes:
    """Return the GSM-7 codes of `text`, one to an octet, each of the extension table behind its escape.

    Raises:
        ValueError: a character is of neither table. Carries no part of the text.

    """
    try:
        return b"".join(map(_SEPTETS.__getitem__, text))
    except KeyError:
        raise ValueError("not a text of the GSM 7-bit alphabet") from None


def parts(text: str) -> tuple[str, ...]:
    """Return the fewest texts that carry `text`, one to an SMS, which joined are `text`.

    No surrogate pair and no escape pair is ever cut. The empty text is one empty part.
    """
    if is_gsm7(text):
        wide, one, each = frozenset(_EXTENSION), _ONE_GSM7, _EACH_GSM7
    else:
        wide, one, each = frozenset(c for c in text if c > "\uffff"), _ONE_UCS2, _EACH_UCS2
    if len(text) + sum(map(text.count, wide)) <= one:
        return (text,)
    cut = [0]
    filled = 0
    for at, character in enumerate(text):
        size = 2 if character in wide else 1
        if filled + size > each:
            cut.append(at)
            filled = 0
        filled += size
    return tuple(text[start:end] for start, end in zip(cut, [*cut[1:], len(text)], strict=True))


def segments(text: str, country: str) -> int:
    """Return how many messages `text` is billed as to a number of `country` (ISO 3166-1, upper case).

    Mainland providers bill every character as one UTF-16 unit, ASCII too: up to 70 are one message, more are one for
    each 67 begun. Elsewhere it is the number of `parts`.
    """
    if country != "CN":
        return len(parts(text))
    units = len(text) + sum(c > "\uffff" for c in text)
    return 1 if units <= _ONE_UCS2 else -(-units // _EACH_UCS2)
