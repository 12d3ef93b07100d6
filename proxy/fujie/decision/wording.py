"""Words of lexicons in a text, all of them in one pass, however they are dressed up (`decision.folding`).

A word of Chinese characters is found through one or two Latin letters between them too (d贷k款), in a second pass where a text
has such; not through digits, of which ordinary texts have many there (第3一). A word that is denied is found through any mark between its characters. One that is only warned about ends where a clause
does, as 环保，本店 holds 保本. A word of Latin letters must stand by itself (best, not bestow), and blanks within it count
only where it is spelled out (b e s t) or has them itself.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import ahocorasick  # type: ignore[import-not-found]  # a compiled module without types

from fujie.decision.folding import Folded, fold
from fujie.policy.bundle import Lexicon, Severity

_JOINS: Final = frozenset(" .-·_/'&\t\n\r")
"""What may stand within a word without being part of it; a word with another mark (c++) is searched as it is."""


_STRAY: Final = re.compile(r"(?<=[^\x00-\x7f])[a-z]{1,2}(?=[^\x00-\x7f])")


@dataclass(frozen=True, slots=True)
class Finding:
    """A word of a lexicon that a text uses: as the lexicon has it, never as the text wrote it."""

    category: str
    articles: tuple[str, ...]
    severity: Severity
    word: str


@dataclass(frozen=True, slots=True)
class _Entry:
    """One word, or one exception, of a lexicon. `apart[i]`: the word itself has a mark or blank before character i."""

    lexicon: Lexicon
    word: str
    compact: str
    apart: tuple[bool, ...]
    is_exception: bool


class Words:
    """Every word of some lexicons, ready to be found."""

    def __init__(self, lexicons: Iterable[Lexicon]) -> None:
        self._marked: list[tuple[str, _Entry]] = []
        by_form: dict[str, list[_Entry]] = {}
        for lexicon in lexicons:
            for word, is_exception in [
                *((word, False) for word in lexicon.words),
                *((word, True) for word in lexicon.exceptions),
            ]:
                entry, plain = _entry(lexicon, word, is_exception=is_exception)
                if _is_literal(entry.compact, plain):
                    self._marked.append((plain, entry))
                else:
                    by_form.setdefault(entry.compact, []).append(entry)
        self._automaton = ahocorasick.Automaton() if by_form else None
        if self._automaton is not None:
            for form, entries in by_form.items():
                self._automaton.add_word(form, tuple(entries))
            self._automaton.make_automaton()

    def find(self, folded: Folded) -> tuple[Finding, ...]:
        """Return each word that the text uses once, in the order of the places where they end. Linear in the text."""
        found = {
            Finding(each.lexicon.category, each.lexicon.articles, each.lexicon.severity, each.word): None
            for each in [*self._in_compact(folded), *self._in_plain(folded), *self._between_letters(folded)]
        }
        return tuple(found)

    def _between_letters(self, folded: Folded) -> Iterator[_Entry]:
        bare = _without_strays(folded)
        return (
            (each for each in self._in_compact(bare) if not _HAS_ASCII(each.compact)) if bare else iter(())
        )

    def _in_compact(self, folded: Folded) -> Iterator[_Entry]:
        hits: list[tuple[_Entry, int, int]] = []
        excepted: dict[str, list[int]] = {}
        for last, entries in self._automaton.iter(folded.compact) if self._automaton is not None else ():
            for entry in entries:
                start = last + 1 - len(entry.compact)
                if not entry.is_exception:
                    hits.append((entry, start, last + 1))
                elif folded.places[last] - folded.places[start] == last - start:
                    reach = excepted.setdefault(entry.lexicon.name, [0] * len(folded.compact))
                    reach[start] = max(reach[start], last + 1)
        for reach in excepted.values():
            for place in range(1, len(reach)):
                reach[place] = max(reach[place], reach[place - 1])
        for entry, start, end in hits:
            reach = excepted.get(entry.lexicon.name, [])
            if not (reach and reach[start] >= end) and _is_meant(entry, folded, start, end):
                yield entry

    def _in_plain(self, folded: Folded) -> Iterator[_Entry]:
        return (entry for form, entry in self._marked if not entry.is_exception and form in folded.plain)


_HAS_ASCII: Final = re.compile(r"[\x00-\x7f]").search


def _without_strays(folded: Folded) -> Folded | None:
    """Return the text without one or two Latin letters wherever they stand between characters of another script; None where none do."""
    strays = [each.span() for each in _STRAY.finditer(folded.compact)]
    if not strays:
        return None
    left = list[int]()
    at = 0
    for start, end in strays:
        left += range(at, start)
        at = end
    left += range(at, len(folded.compact))
    return Folded(
        folded.plain,
        "".join([folded.compact[each] for each in left]),
        [folded.places[each] for each in left],
        [folded.clauses[each] for each in left],
    )


def _entry(lexicon: Lexicon, word: str, *, is_exception: bool) -> tuple[_Entry, str]:
    folded = fold(word)
    apart = tuple(at > 0 and place - folded.places[at - 1] > 1 for at, place in enumerate(folded.places))
    return _Entry(lexicon, word, folded.compact, apart, is_exception), folded.plain


def _is_literal(compact: str, plain: str) -> bool:
    marks = [c for c in plain if c not in compact]
    return not compact or (compact.isascii() and not _JOINS.issuperset(marks))


def _is_meant(entry: _Entry, folded: Folded, start: int, end: int) -> bool:
    if entry.lexicon.severity is Severity.WARN and folded.clauses[start] != folded.clauses[end - 1]:
        return False
    before = folded.places[start] - 1
    behind = folded.places[end - 1] + 1
    if _is_latin(folded.compact[start]) and before >= 0 and _is_latin(folded.plain[before]):
        return False
    if (
        _is_latin(folded.compact[end - 1])
        and behind < len(folded.plain)
        and _is_latin(folded.plain[behind])
    ):
        return False
    return _is_one_word(entry.apart, folded, start, end)


def _is_one_word(apart: Sequence[bool], folded: Folded, start: int, end: int) -> bool:
    """Tell whether blanks between Latin characters are those of a word that is spelled out."""
    has_blank, is_spelled_out = False, True
    for at in range(start + 1, end):
        if apart[at - start] or not (_is_latin(folded.compact[at - 1]) and _is_latin(folded.compact[at])):
            continue
        between = folded.plain[folded.places[at - 1] + 1 : folded.places[at]]
        has_blank = has_blank or any(c.isspace() for c in between)
        is_spelled_out = is_spelled_out and bool(between)
    return is_spelled_out or not has_blank


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalnum()
