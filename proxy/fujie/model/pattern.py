"""Patterns of the step `regex`: the only door to RE2 (`google-re2`, which wraps the C++ library).

Python's own `re` backtracks: one careless pattern in a policy and one crafted value in a record would stop the
gate. RE2 searches in time linear in the text, whatever the pattern; what it can not do in linear time (back
references, look-around) it refuses.

1. `log_errors` is off: the library would write patterns to stderr.
2. `\\C` is refused: it matches one byte, and half a character has no place in a text.
3. One search is linear, all matches of a text are not (`x.*y|x` over `xxxx`): there is a bound to their number.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

import re2  # type: ignore[import-untyped] # the wheel carries no stubs

LONGEST_PATTERN: Final = 200
"""Code points; rules that people can check are shorter."""

MOST_MATCHES: Final = 100
"""Matches in one text. Each costs a search of the rest of it, so this bounds the work to 101 passes."""

MATCHES_NOTHING: Final = "the pattern matches the empty text"
"""A fault of a pattern that hides something; one that a whole text is compared with may well do so."""

_MOST_MEMORY: Final = (
    1 << 20
)  # bytes of one compiled pattern; `((a{100}){100}){100}` is refused, not compiled


@lru_cache(maxsize=256)
def fault_of(pattern: str) -> str:
    """Return why `pattern` can not be used, "" when it can.

    A pattern has 1 to 200 printable code points and does not match the empty text: such a match hides nothing.
    """
    if not 1 <= len(pattern) <= LONGEST_PATTERN or not pattern.isprintable():
        return f"a pattern has 1 to {LONGEST_PATTERN} visible characters"
    if r"\C" in pattern:
        return r"\C matches a part of a character"
    try:
        matches_nothing = _compiled(pattern).search("") is not None
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        return f"not RE2: {reason.decode('utf-8', 'replace') if isinstance(reason, bytes) else reason}"
    return MATCHES_NOTHING if matches_nothing else ""


def matches(pattern: str, text: str) -> Sequence[tuple[int, int]] | None:
    """Return where `pattern` matches in `text`, from left to right: start and end in code points, never empty.

    None when there are more than 100 matches. `pattern` must have no fault and `text` no lone surrogate. Time
    is linear in the text.
    """
    found = [found.span() for found in islice(_compiled(pattern).finditer(text), MOST_MATCHES + 1)]
    return None if len(found) > MOST_MATCHES else [span for span in found if span[0] < span[1]]


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> "re2._Regexp":
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MOST_MEMORY
    return re2.compile(pattern, options)
