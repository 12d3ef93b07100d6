"""The tail: entries that are durable, from the last 256-boundary on, before and after a checkpoint covers them.

A writer's private file beside the C2SP tree (`tail`), append-only until replaced whole:

    tail = "fujie-tail-1" LF || index of its first entry (8 bytes) || records
    record = length (2 bytes) || entry || first 8 bytes of its leaf hash

The check bytes tell a torn record from a whole one: after a power cut a file system may show blocks that were
never written, in any order, as zeros or old content. Empty entries are refused so that zeros are no record.
"""

from dataclasses import dataclass

from fujie.audit.errors import LogForked
from fujie.audit.tiles import framed
from fujie.audit.tree import leaf_hash

TAIL = "tail"
_MAGIC = b"fujie-tail-1\n"
_CHECK_BYTES = 8
HEADER_BYTES = len(_MAGIC) + 8


@dataclass(frozen=True, slots=True)
class Segment:
    """A parsed tail: `leaves[i]` has index `first + i`; `torn` bytes at the end are no whole record."""

    first: int
    leaves: tuple[bytes, ...]
    torn: int

    @property
    def end(self) -> int:
        """Index after the last whole record."""
        return self.first + len(self.leaves)


def header(first: int) -> bytes:
    """Return the start of a tail whose first entry has index `first`."""
    return _MAGIC + first.to_bytes(8)


def record(leaf: bytes, hashed: bytes) -> bytes:
    """Return one record; `hashed` is the leaf hash."""
    return framed(leaf) + hashed[:_CHECK_BYTES]


def parse_segment(tail: bytes) -> Segment:
    """Return the whole records up to the first torn one. Raises LogForked when the header is not ours."""
    if len(tail) < HEADER_BYTES or not tail.startswith(_MAGIC):
        raise LogForked("the tail has no header; it is written whole, so a crash can not cause this")
    leaves, at = [], HEADER_BYTES
    while at + 2 <= len(tail):
        start = at + 2
        end = start + int.from_bytes(tail[at:start])
        leaf = tail[start:end]
        if not leaf or leaf_hash(leaf)[:_CHECK_BYTES] != tail[end : end + _CHECK_BYTES]:
            break
        leaves.append(leaf)
        at = end + _CHECK_BYTES
    return Segment(int.from_bytes(tail[len(_MAGIC) : HEADER_BYTES]), tuple(leaves), len(tail) - at)
