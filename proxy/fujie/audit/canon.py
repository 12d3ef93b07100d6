"""Canonical bytes: deterministic JSON equal to RFC 8785 (JCS), at the speed of orjson.

orjson with sorted keys and JCS differ only on floats, integers beyond 2^53, and the order of keys outside the
basic plane (measured against the `rfc8785` package, which is some 60 times slower). This module refuses exactly
those, and what would make a log hard to read or to parse safely: NUL, lone surrogates, null, deep nesting.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

import orjson

from fujie.audit.errors import EntryInvalid

MAX_INT = 2**53 - 1
"""Largest magnitude every JSON reader keeps exact (RFC 8785 section 3.2.2.3, I-JSON RFC 7493 section 2.2)."""

MAX_DEPTH = 3
"""Levels below the outer map. An entry needs two (facts, list of text); much deeper is a mistake."""

_are_key_letters = re.compile(r"[\w.:-]*", re.ASCII).fullmatch
# NUL is the only thing written \u0000; an even run of backslashes before it would make it literal text.
_find_nul = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000").search


def canonical(value: Mapping[str, object]) -> bytes:
    """Return the one encoding of `value` as UTF-8 JSON.

    Keys are of ASCII letters, digits and `_.:-` (field names, fact paths, sids). Values are str, bool,
    int within ±(2^53 - 1), and lists, tuples and dicts of these. Raises EntryInvalid for anything else; its
    message never holds a value.
    """
    _check_map(value, MAX_DEPTH)
    try:
        encoded = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER)
    except orjson.JSONEncodeError:
        raise EntryInvalid("an integer beyond 2^53 - 1, or text with a lone surrogate") from None
    # Not `in`, which takes bytes for a number first, and makes an error of it.
    if encoded.find(b"\\u0000") >= 0 and _find_nul(encoded):
        raise EntryInvalid("text with NUL")
    return encoded


def parse(encoded: bytes) -> object:
    """Parse JSON. Raises EntryInvalid; the caller compares `canonical(...)` of the result to demand canon."""
    try:
        return orjson.loads(encoded)
    except orjson.JSONDecodeError:
        raise EntryInvalid("not JSON") from None


def _check_map(value: Mapping[str, object], depth: int) -> None:
    _check_keys(tuple(value))
    _check(value.values(), depth)


@lru_cache(maxsize=1024)  # entries of one kind have the same keys, but for sids
def _check_keys(keys: tuple[str, ...]) -> None:
    try:
        letters = "".join(keys)
    except TypeError:
        raise EntryInvalid("a key that is not text") from None
    if not _are_key_letters(letters) or "" in keys:
        raise EntryInvalid("a key with other characters than ASCII letters, digits and _ . : -")


def _check(items: Iterable[object], depth: int) -> None:
    # Exact types on purpose: orjson also encodes subclasses, enums, dates and dataclasses, each in its own way.
    # This order and loop take 4 µs for an entry; a call per value, or sets of types, took 8.
    for item in items:
        kind = type(item)
        if kind is str or kind is bool or kind is int:
            continue
        if not depth:
            raise EntryInvalid("nested too deep")
        if kind is dict:
            _check_map(item, depth - 1)  # type: ignore[arg-type]  # mypy does not narrow on type()
        elif kind is list or kind is tuple:
            _check(item, depth - 1)  # type: ignore[arg-type]  # as above
        else:
            raise EntryInvalid("a value that is not text, integer, boolean, list or map of these")
