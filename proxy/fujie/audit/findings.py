"""What a verification can say, and the naming of single entries that differ from what the tiles vouch for."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class FindingKind(StrEnum):
    """What was found. All but UNSIGNED_TAIL mean that the files are not the log that was signed."""

    CHANGED = "changed"  # the entry at this index has other bytes than were signed
    REMOVED = "removed"  # the entry at this index is missing
    INSERTED = "inserted"  # an entry that was never signed stands before this index
    SWAPPED = "swapped"  # the entries at index and last stand in each other's place
    RANGE_ALTERED = "range_altered"  # something in index..last changed; the files can not tell which entry
    TILE_ALTERED = (
        "tile_altered"  # this hash tile is missing or wrong; the entries below it are vouched for
    )
    TAIL_ALTERED = "tail_altered"  # the writer's tail contradicts signed entries, or has lost some
    UNSIGNED_TAIL = (
        "unsigned_tail"  # entries after the checkpoint: durable, but no signature vouches for them
    )
    CHECKPOINT_INVALID = "checkpoint_invalid"  # missing, malformed, or not signed by the pinned key
    ROLLED_BACK = "rolled_back"  # a checkpoint kept elsewhere is larger than this log
    FORKED = "forked"  # a checkpoint kept elsewhere has another history than this log
    MISPLACED = "misplaced"  # the log is not where its origin says, is there twice, or is missing


@dataclass(frozen=True, slots=True)
class Finding:
    """One statement about the log `origin`: entries `index` to `last` (both included; -1: no entry), or `path`."""

    kind: FindingKind
    origin: str
    index: int = -1
    last: int = -1
    path: str = ""

    def __str__(self) -> str:
        entries = (
            f" entry {self.index}" if self.last == self.index else f" entries {self.index} to {self.last}"
        )
        return f"{self.origin}: {self.kind}{entries if self.index >= 0 else ''} {self.path}".rstrip()


def name_differences(
    origin: str, start: int, vouched: Sequence[bytes], found: Sequence[bytes]
) -> list[Finding]:
    """Name what turns the vouched leaf hashes (from index `start` on) into the found ones.

    One pass with a pointer into each. A vouched entry that is gone was changed if a stranger, or a copy of another
    entry, stands in its place, else removed. A stranger where nothing is gone, and a second copy, were inserted.
    Two in each other's place were swapped; any other move reads as a removal and an insertion.
    """
    at_vouched = {hashed: i for i, hashed in enumerate(vouched)}
    at_found = {hashed: j for j, hashed in enumerate(found)}
    findings: list[Finding] = []
    far_ends: set[int] = set()  # of swaps already named
    i = j = 0
    while i < len(vouched) and j < len(found):
        kind, steps, last = None, (1, 1), i
        if vouched[i] != found[j] and i not in far_ends:
            kind, steps, last = _name_one(
                (i, at_found.get(vouched[i])),
                (j, at_vouched.get(found[j])),
                resumes=vouched[i + 1 : i + 2] == found[j + 1 : j + 2],
            )
        if kind is not None:
            findings.append(Finding(kind, origin, start + i, start + last))
            far_ends.add(last)
        i, j = i + steps[0], j + steps[1]
    end = start + len(vouched)
    if i < len(vouched):
        findings.append(Finding(FindingKind.REMOVED, origin, start + i, end - 1))
    if j < len(found):
        findings.append(Finding(FindingKind.INSERTED, origin, end, end))
    return findings


def _name_one(
    vouched: tuple[int, int | None], found: tuple[int, int | None], *, resumes: bool
) -> tuple[FindingKind, tuple[int, int], int]:
    """Name one difference: each side is (own position, position on the other side or None).

    `resumes`: the two sides agree again right after. Returns what it is, how far each pointer moves, and the last
    index concerned.
    """
    (i, new_place), (j, old_place) = vouched, found
    if new_place is None and (old_place is None or resumes):
        return FindingKind.CHANGED, (1, 1), i
    if old_place is None or old_place < i:
        return FindingKind.INSERTED, (0, 1), i
    if new_place is not None and new_place - j == old_place - i:
        return FindingKind.SWAPPED, (1, 1), old_place
    return FindingKind.REMOVED, (1, 0), i
