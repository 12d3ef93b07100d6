"""How many streams run, and of whom: each costs something as long as it is open, also when nothing comes."""

from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Final

MOST: Final = 256
"""Streams of one worker. A watched campaign is read some twice a second: all of them take a few percent of a core."""

MOST_OF_ONE: Final = 16
"""Streams of one principal, so that nobody takes them all."""

MOST_EXPORTS: Final = 2
"""Exports of one asker: each is a scan, of which a store gives four at a time, and half of them to one reader: who asks for more
is told so before anything of his is used up."""


class Streams:
    """The streams that are open in one worker. For one event loop."""

    def __init__(self) -> None:
        self._open: Counter[Hashable] = Counter()

    @contextmanager
    def counted(self, subject: Hashable, most: int | None = None) -> Iterator[bool]:
        """Count one stream of `subject` as long as the block runs; yield whether there was room for it, of `most` at a time
        (`MOST_OF_ONE`)."""
        of_one = MOST_OF_ONE if most is None else most
        has_room = self._open.total() < MOST and self._open[subject] < of_one
        self._open[subject] += 1
        try:
            yield has_room
        finally:
            self._open[subject] -= 1
            if not self._open[subject]:
                del self._open[subject]
