"""The lines of a text by number, kept as numbers: as strings, short lines take 25 times their text."""

import re
from array import array


class Lines:
    """The lines of one text. Each that is asked for is kept once, however many problems show it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._starts: array[int] | None = None
        self._shown: dict[int, str] = {}

    def line(self, number: int) -> str:
        """Return a 1-based line without its end; empty when there is none."""
        if self._starts is None:
            self._starts = array("I", [0])
            self._starts.extend(found.end() for found in re.finditer("\n", self.text))
        if not 1 <= number <= len(self._starts):
            return ""
        if number not in self._shown:
            end = self._starts[number] - 1 if number < len(self._starts) else None
            self._shown[number] = self.text[self._starts[number - 1] : end].rstrip("\r")
        return self._shown[number]
