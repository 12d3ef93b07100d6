"""Texts as a filter for words must read them: however a word is dressed up, it folds to the same characters.

On top of `decision.reading` (NFKC, nothing invisible, ASCII digits): case and accents folded, traditional script made
simplified, letters of other scripts that look like Latin ones made Latin. What is neither letter nor digit is left out,
since it may stand between the characters of a word (最.佳); the place of each character tells what was left out before it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Final
from unicodedata import category, normalize

from opencc import OpenCC

from fujie.decision.reading import read

# Capitals are told apart before case is folded: В looks like B, в like nothing of Latin. Ours, looked at 2026-11.
_LOOKALIKES: Final = {
    **dict(zip("АВЕЗКМНОРСТУХІЈЅԌԚԜ", "ABE3KMHOPCTYXIJSGQW", strict=True)),
    **dict(zip("аеорсухіјѕһԁԛԝгьɡ", "aeopcyxijshdqwrbg", strict=True)),
    **dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΥΧ", "ABEZHIKMNOPTYX", strict=True)),
    **dict(zip("αικνορυχ", "aiknopux", strict=True)),
    **dict(zip("ıɩⅼℓ", "iill", strict=True)),
    **dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz", strict=True)),
    # Forms of one Chinese character that neither NFKC nor the fold to simplified script joins.
    **dict(zip("ー弌壹囯圀囻髙冣㝡朂苐蕞", "一一一国国国高最最最第最", strict=True)),
}
_ENDS_CLAUSE: Final = frozenset(",;:!?。、\n\r")
_MOST_FOLDS = 4
"""Folding one character changes it once, rarely twice (薴); this only bounds the loop."""


@dataclass(frozen=True, slots=True, repr=False)
class Folded:
    """A folded text: `plain` with all marks and blanks, `compact` with letters and digits alone (and % behind a digit).

    `places[i]` is where compact[i] stands in `plain`; `clauses[i]` counts the marks before it that end a clause.
    """

    plain: str
    compact: str
    places: Sequence[int]
    clauses: Sequence[int]


def fold(text: str) -> Folded:
    """Return how `text` reads. Linear in the text; never raises; folding `plain` or `compact` again changes nothing."""
    plain = "".join(map(_folded, read(text).plain))
    places: list[int] = []
    clauses: list[int] = []
    ended = 0
    for place, character in enumerate(plain):
        if character.isalnum() or _is_share(plain, place):
            places.append(place)
            clauses.append(ended)
        elif character in _ENDS_CLAUSE:
            ended += 1
    return Folded(plain, "".join([plain[place] for place in places]), places, clauses)


def _is_share(plain: str, place: int) -> bool:
    # 100% is another word than 100.
    return plain[place] == "%" and place > 0 and plain[place - 1].isdecimal()


@lru_cache(maxsize=8_192)
def _folded(character: str) -> str:
    for _ in range(_MOST_FOLDS):
        folded = "".join(map(_once, character))
        if folded == character:
            break
        character = folded
    return character


def _once(character: str) -> str:
    cased = _LOOKALIKES.get(character, character).casefold()
    bare = "".join(c for c in normalize("NFD", cased) if category(c) != "Mn")
    return normalize("NFKC", _simplifier().convert(bare))


@cache
def _simplifier() -> OpenCC:
    # Made when first needed: it reads its tables from files, 4 ms.
    return OpenCC("t2s")
