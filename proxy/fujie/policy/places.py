"""Where policy text stands, and the problems that are found in it.

A position within a text leads back to the line and column of the file that an author sees, whatever YAML made of its quotes,
folds and indentation. Problems are collected in a report, so that all of them are shown at once.
"""

import re
from dataclasses import dataclass

from fujie.model.diagnostic import Diagnostic
from fujie.policy.lines import Lines

MOST_PROBLEMS = 10_000
"""Problems that are kept; nobody reads more, and a file of anchors has a million."""

_LONGEST_MESSAGE = 2_000
"""Code points of a message: some list all that is known, which may be thousands of names."""

_BLANK = " \t\r\n"
_PIECES = {
    "'": re.compile(r"''|.", re.DOTALL),
    '"': re.compile(r"\\(?:x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)|.", re.DOTALL),
}
_PIECE = re.compile(r".", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: 1-based line and column, in code points."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Located:
    """A text with its place. `written` is the text as it stands in the file, quotes, indentation and all."""

    text: str
    place: Place
    written: str = ""

    def at(self, line: int, column: int) -> Place:
        """Return where the 1-based position of the text stands in the file.

        YAML folds lines, cuts indentation and unescapes; what it keeps is the order of the visible
        characters, so those are counted. Just behind the last one when the position is the end.
        """
        before = [*self.text.split("\n")[: line - 1], self.text.split("\n")[line - 1][: column - 1]]
        wanted = sum(not _is_blank(character) for character in "".join(before))
        style = self.written[:1]
        start = self.written.find("\n") + 1 if style in ("|", ">") else int(style in _PIECES)
        end = len(self.written) - int(style in _PIECES)
        behind = start
        for piece in _PIECES.get(style, _PIECE).finditer(self.written, start, end):
            if _is_blank(piece[0]):
                continue
            if wanted == 0:
                return self._place_of(piece.start())
            wanted, behind = wanted - 1, piece.end()
        return self._place_of(behind)

    def _place_of(self, index: int) -> Place:
        *above, last = self.written[:index].split("\n")
        if not above:
            return Place(self.place.file, self.place.line, self.place.column + len(last))
        return Place(self.place.file, self.place.line + len(above), len(last) + 1)


def _is_blank(piece: str) -> bool:
    """Tell whether one character, or one escape of a double-quoted text, is a blank or a line break."""
    if piece[0] == "\\" and len(piece) > 2:
        digits = piece[2:]
        return chr(int(digits, 16)) in _BLANK
    return piece in _BLANK or (piece[0] == "\\" and piece[1:] in {*_BLANK, "t", "n", "r"})


class Report:
    """Collects problems, with the source line for the caret."""

    def __init__(self) -> None:
        self._texts: dict[str, Lines] = {}
        self.nodes = 0
        """Nodes of all files so far."""
        self.problems: list[Diagnostic] = []

    def add_source(self, file: str, text: str) -> None:
        """Make the text of `file` available."""
        self._texts[file] = Lines(text)

    def line(self, file: str, line: int) -> str:
        """Return the text of a 1-based line; empty when there is none."""
        return self._texts[file].line(line) if file in self._texts else ""

    def written(self, file: str, start: int, end: int) -> str:
        """Return what stands from code point `start` to before `end`."""
        return self._texts[file].text[start:end]

    def problem(self, place: Place, code: str, message: str) -> None:
        """Record a problem at `place`; behind the first 10,000, that there are more."""
        if len(self.problems) > MOST_PROBLEMS:
            return
        if len(self.problems) == MOST_PROBLEMS:
            code, message = (
                "TOO_MANY_PROBLEMS",
                f"there are more than {MOST_PROBLEMS}; the rest is left out",
            )
        if len(message) > _LONGEST_MESSAGE:
            message = message[:_LONGEST_MESSAGE] + " ..."
        source = self.line(place.file, place.line)
        self.problems.append(Diagnostic(place.file, place.line, place.column, code, message, source))
