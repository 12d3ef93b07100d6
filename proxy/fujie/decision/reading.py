"""Texts as a person reads them: the same number in full-width digits or with invisible characters inside.

Recognition works on a plain form of the text and tells its findings in positions of the original.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from unicodedata import category, digit, normalize

# Runs that are their own plain form: most of a text, so they are not taken character by character.
_PLAIN_RUNS = re.compile(r"[\t\n\r -~\u4e00-\u9fff]+|.", re.DOTALL)
# Cf: zero width, direction. Mn, Me: combining marks, keycaps, variation selectors. Cc: NUL. Cs: lone surrogates.
_INVISIBLE: Final = frozenset({"Cf", "Mn", "Me", "Cc", "Cs"})
_BLANKS: Final = dict.fromkeys(
    "\u115f\u1160\u2800", " "
)  # letters and symbols by category, nothing to the eye


@dataclass(frozen=True, slots=True, repr=False)
class Reading:
    """The plain form of a text. `origins[i]` is the position in the original that `plain[i]` came from."""

    plain: str
    origins: Sequence[int]

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Return where the non-empty stretch plain[start:end] stands in the original."""
        return self.origins[start], self.origins[end - 1] + 1


def read(text: str) -> Reading:
    """Return the plain form: NFKC by character, every decimal digit an ASCII one, nothing that can not be seen.

    Time is linear in the text. Raises nothing, whatever the text holds.
    """
    if text.isascii() and text.isprintable():
        return Reading(text, range(len(text)))
    parts: list[str] = []
    origins: list[int] = []
    for run in _PLAIN_RUNS.finditer(text):
        plain = run[0] if run.end() - run.start() > 1 else _plain_of(run[0])
        parts.append(plain)
        if len(plain) == run.end() - run.start():
            origins.extend(range(run.start(), run.end()))
        else:
            origins.extend([run.start()] * len(plain))
    return Reading("".join(parts), origins)


@lru_cache(maxsize=4096)
def _plain_of(character: str) -> str:
    return "".join(_visible(part) for part in normalize("NFKC", character))


def _visible(character: str) -> str:
    if character in "\t\n\r":
        return character
    if category(character) in _INVISIBLE:
        return ""
    value = digit(character, None)
    return _BLANKS.get(character, character) if value is None else str(value)
