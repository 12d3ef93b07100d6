"""What an export answers, in the order in which it comes; a `Refusal` ends it, at the start or behind what has left."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fujie.flows.reply import Refusal, Summary
from fujie.model.decision import FieldOutcome
from fujie.model.export import Export

PIECE = 1 << 20
"""Bytes of one message; gRPC clients take 4 MiB unless told otherwise."""


@dataclass(frozen=True, slots=True, repr=False)
class ExportHead:
    """Comes first: the export (None: it was only decided), what is done to each field at its most open, and the first bytes
    of the file."""

    summary: Summary
    export: Export | None
    treatments: Mapping[str, FieldOutcome]
    data: bytes = b""


@dataclass(frozen=True, slots=True, repr=False)
class ExportPart:
    """A chunk whose release is on record: its number from 0, the bytes, how many rows, and what goes on behind it (empty:
    nothing can)."""

    summary: Summary
    number: int
    data: bytes
    rows: int
    token: str


@dataclass(frozen=True, slots=True, repr=False)
class ExportTail:
    """Comes last: how many rows the file has, how many were withheld by reason, the most frequent first (0: too few to
    tell), and the last bytes of the file."""

    summary: Summary
    rows: int
    withheld: Mapping[str, int]
    data: bytes


Answer = ExportHead | ExportPart | ExportTail | Refusal


def pieces(part: ExportPart) -> list[ExportPart]:
    """Cut a chunk into messages that any client takes; only the last one has rows, and a token."""
    cut = range(0, max(1, len(part.data)), PIECE)
    found = [replace(part, data=part.data[at : at + PIECE], rows=0, token="") for at in cut]
    return [*found[:-1], replace(part, data=found[-1].data)]
