"""A problem in somebody's text, at a place: policy documents and the configuration use it."""

from dataclasses import dataclass
from unicodedata import east_asian_width

_LONGEST_LINE = 400
"""Code points of a source line that is shown; a caret under a longer one helps nobody."""


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One problem. `line` and `column` are 1-based, in code points; 0 when there is no place.

    `code` is UPPER_SNAKE and stable; `source` is the text of the line for the caret.
    """

    file: str
    line: int
    column: int
    code: str
    message: str
    source: str = ""

    def __str__(self) -> str:
        """Render as `file:line:column: CODE: message`, then the source line with a caret under the column."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        head = f"{place}: {self.code}: {self.message}"
        if not self.source or len(self.source) > _LONGEST_LINE:
            return _printable(head)
        # A tab must stay a tab and a full-width character takes two cells, or the caret misses.
        lead = "".join(_blank(c) for c in self.source[: self.column - 1])
        return f"{_printable(head)}\n  {_printable(self.source)}\n  {lead}^"


def _printable(text: str) -> str:
    # Somebody else's text goes to a terminal: an escape sequence must not work there.
    return "".join(c if c.isprintable() or c == "\t" else "\ufffd" for c in text)


def _blank(character: str) -> str:
    if character == "\t":
        return "\t"
    return "\u3000" if east_asian_width(character) in "WF" else " "
