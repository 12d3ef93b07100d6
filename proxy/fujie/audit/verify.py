"""Verification of one log from its files: everything is derived anew and held against the signed root.

1. The checkpoint must be signed by the pinned key and be of the expected origin.
2. Leaf hashes are computed from the entries and read from the level-0 tiles; whichever of entries, level-0
   tiles, or level-1 tiles hashes to the signed root is the authority. One that does not is what was altered.
3. Entries are compared with the authority, one by one where its leaf hashes survive, else by tile (256 entries).
4. Every tile of a higher level is derived from the authority and compared.
5. The writer's tail may only repeat signed entries and continue them; what it continues is unsigned.
6. A checkpoint kept elsewhere must be a prefix of this log.

Without a signed root there is no authority: step 2 finds none, and the whole log is RANGE_ALTERED. What no one
can know from the files: an entry that was altered before its first checkpoint (at most a second or 1,000 entries).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from fujie.audit.checkpoint import Checkpoint, VerifierKey, open_checkpoint
from fujie.audit.errors import CheckpointInvalid, LogForked
from fujie.audit.findings import Finding, FindingKind, name_differences
from fujie.audit.segment import TAIL, Segment, parse_segment
from fujie.audit.tiles import WIDTH, Read, bundle_path, read_tile, shape, split_bundle, tile_path
from fujie.audit.tree import fold, leaf_hash, peaks

CHECKPOINT = "checkpoint"
"""Path of the signed note inside a log (tlog-tiles)."""

MOST_MISSING = 1 << 16
"""Bundles in a row, of 16,777,216 entries, behind which no more are looked for where their tiles are not there either."""


@dataclass(frozen=True, slots=True)
class LogReport:
    """What verification found in one log.

    `size` counts the entries present, `signed_size` those that the checkpoint covers; `root` is the signed root
    (empty without a valid checkpoint).
    """

    origin: str
    size: int
    signed_size: int
    root: bytes
    findings: tuple[Finding, ...]

    @property
    def is_intact(self) -> bool:
        """True when nothing contradicts the signature; an unsigned tail does not."""
        return all(finding.kind is FindingKind.UNSIGNED_TAIL for finding in self.findings)


@dataclass(frozen=True, slots=True)
class _Signed:
    """The files and what was signed about them."""

    read: Read
    origin: str
    size: int
    root: bytes

    def tile(self, index: int) -> list[bytes]:
        return read_tile(self.read, 0, index, self.size)

    def hashes_of_entries(self, index: int) -> list[bytes]:
        """Leaf hashes of a bundle; bytes that are no entry count as one unknown leaf."""
        full, rest = shape(0, self.size)
        width = WIDTH if index < full else rest
        bundle, cut = self.read(bundle_path(index, width)), None
        if bundle is None and width < WIDTH:  # replaced by its full one, which only continues it
            bundle, cut = self.read(bundle_path(index)), width
        entries, torn = split_bundle(bundle or b"")
        hashes = [leaf_hash(entry) for entry in entries[:cut]]
        return [*hashes, b"torn"] if torn and cut is None else hashes


@dataclass(frozen=True, slots=True)
class _Hashes:
    """Level-1 hashes of the full tiles, and leaf hashes of the partial one: enough for the root."""

    tiles: tuple[bytes, ...]
    rest: tuple[bytes, ...]

    def root(self) -> bytes:
        return fold([*peaks(self.tiles), *peaks(self.rest)])


def verify_log(read: Read, key: VerifierKey, against: Sequence[Checkpoint] = ()) -> LogReport:
    """Verify the log behind `read` and report all findings; never raises on damage.

    `key` is pinned by the auditor and named like the log's origin. `against` are checkpoints of the same
    origin that were kept outside the log (and trusted: their signatures are the caller's to check). Cost: about 3 µs per
    entry, and memory for 32 bytes per 256 entries; naming differences takes more, only where there are any.
    """
    segment = _tail(read)  # before the checkpoint: a live writer moves both forward, the tail last
    try:
        note = (read(CHECKPOINT) or b"").decode()
        signed = open_checkpoint(note, key)
    except (CheckpointInvalid, UnicodeDecodeError):
        damage = Finding(FindingKind.CHECKPOINT_INVALID, key.name, path=CHECKPOINT)
        return LogReport(key.name, max(segment.end, 0) if segment else 0, 0, b"", (damage,))
    log = _Signed(read, signed.origin, signed.size, signed.root)
    both = _both(log)
    if both is None:
        gone = Finding(FindingKind.RANGE_ALTERED, log.origin, 0, log.size - 1)
        return LogReport(log.origin, log.size, log.size, log.root, (gone,))
    by_entries, by_tiles = both
    authority = _authority(log, by_entries, by_tiles)
    findings = list(_compare(log, authority, both))
    if authority is not None:
        findings += _upper_tiles(log, authority)
    if segment is not None:
        findings += _check_tail(log, authority, segment)
    for kept in against:
        findings += _check_kept(log, kept, both)
    size = max(signed.size, segment.end) if segment else signed.size
    return LogReport(signed.origin, size, signed.size, signed.root, tuple(findings))


def _both(log: _Signed) -> tuple[_Hashes, _Hashes] | None:
    """Return what the entries and what the tiles say; None where neither are there. So a checkpoint keeps nobody busy for years by
    the number in it: to verify takes as long as there are files."""
    known = {entries: _hashes(log, MOST_MISSING, entries=entries) for entries in (True, False)}
    if not any(known.values()):
        return None
    by_entries, by_tiles = (
        found or _hashes(log, log.size, entries=entries) for entries, found in known.items()
    )
    return (by_entries, by_tiles) if by_entries and by_tiles else None


def _hashes(log: _Signed, most_missing: int, *, entries: bool) -> _Hashes | None:
    """Return what entries, or tiles, say; None where more than `most_missing` bundles in a row are not there."""
    full, rest = shape(0, log.size)
    source = log.hashes_of_entries if entries else log.tile
    roots, missing = list[bytes](), 0
    for index in range(full):
        hashes = source(index)
        missing = 0 if hashes else missing + 1
        if missing > most_missing:
            return None
        roots.append(_tile_root(hashes))
    return _Hashes(tuple(roots), tuple(source(full)) if rest else ())


def _tile_root(hashes: list[bytes]) -> bytes:
    """Root of a full tile; a tile that is not full has none, and b"" equals no hash."""
    return fold(peaks(hashes)) if len(hashes) == WIDTH else b""


def _authority(log: _Signed, by_entries: _Hashes, by_tiles: _Hashes) -> _Hashes | None:
    """Return the hashes that produce the signed root, preferring entries, or None."""
    full, rest = shape(0, log.size)
    claimed = tuple(
        hashed
        for index in range((full + WIDTH - 1) // WIDTH)
        for hashed in read_tile(log.read, 1, index, log.size)
    )
    for tiles in (by_entries.tiles, by_tiles.tiles, claimed):
        for partial in (by_entries.rest, by_tiles.rest):
            candidate = _Hashes(tiles, partial)
            if (len(tiles), len(partial)) == (full, rest) and candidate.root() == log.root:
                return candidate
    return None


def _compare(log: _Signed, authority: _Hashes | None, both: tuple[_Hashes, _Hashes]) -> Iterator[Finding]:
    """Compare entries and level-0 tiles with the authority, and with each other."""
    by_entries, by_tiles = both
    if authority is None:
        yield Finding(FindingKind.RANGE_ALTERED, log.origin, 0, max(log.size - 1, 0))
        return
    differing = []
    for index, expected in enumerate(authority.tiles):
        entries_ok, tile_ok = by_entries.tiles[index] == expected, by_tiles.tiles[index] == expected
        if not tile_ok:
            yield Finding(FindingKind.TILE_ALTERED, log.origin, path=tile_path(0, index))
        if not entries_ok and tile_ok:
            differing.append(index)
        elif not entries_ok:
            yield Finding(FindingKind.RANGE_ALTERED, log.origin, index * WIDTH, index * WIDTH + WIDTH - 1)
    full = len(authority.tiles)
    if by_tiles.rest != authority.rest:
        yield Finding(FindingKind.TILE_ALTERED, log.origin, path=tile_path(0, full, len(authority.rest)))
    elif by_entries.rest != authority.rest:
        differing.append(full)
    if not differing:
        return
    vouched, found = list[bytes](), list[bytes]()
    # Over all of them at once: an entry may have moved from any bundle to any other.
    for index in range(differing[0], differing[-1] + 1):
        hashes = log.hashes_of_entries(index)
        found += hashes
        vouched += _vouched(log, authority, index) or hashes
    yield from name_differences(log.origin, differing[0] * WIDTH, vouched, found)


def _vouched(log: _Signed, authority: _Hashes, index: int) -> list[bytes]:
    """Return the leaf hashes of a tile that the authority vouches for, or [] when both copies are altered."""
    if index == len(authority.tiles):
        return list(authority.rest)
    for hashes in (log.tile(index), log.hashes_of_entries(index)):
        if _tile_root(hashes) == authority.tiles[index]:
            return hashes
    return []


def _upper_tiles(log: _Signed, authority: _Hashes) -> Iterator[Finding]:
    level, hashes = 1, list(authority.tiles)
    while hashes:
        upper = []
        for start in range(0, len(hashes), WIDTH):
            expected = hashes[start : start + WIDTH]
            if read_tile(log.read, level, start // WIDTH, log.size) != expected:
                path = tile_path(level, start // WIDTH, len(expected))
                yield Finding(FindingKind.TILE_ALTERED, log.origin, path=path)
            if len(expected) == WIDTH:
                upper.append(fold(peaks(expected)))
        level, hashes = level + 1, upper


def _tail(read: Read) -> Segment | None:
    """Return the tail; None for a copy without one. A tail without a header is one that lost all its entries."""
    raw = read(TAIL)
    try:
        return None if raw is None else parse_segment(raw)
    except LogForked:
        return Segment(-1, (), 0)


def _check_tail(log: _Signed, authority: _Hashes | None, segment: Segment) -> Iterator[Finding]:
    tile, vouched = -1, list[bytes]()
    for index, leaf in enumerate(segment.leaves[: max(log.size - segment.first, 0)], segment.first):
        if index // WIDTH != tile:
            tile, vouched = index // WIDTH, _vouched(log, authority, index // WIDTH) if authority else []
        if vouched and vouched[index % WIDTH] != leaf_hash(leaf):
            yield Finding(FindingKind.TAIL_ALTERED, log.origin, index, index, TAIL)
    if segment.first % WIDTH or segment.first > log.size or segment.end < log.size:
        yield Finding(FindingKind.TAIL_ALTERED, log.origin, path=TAIL)
    if segment.end > log.size:
        yield Finding(FindingKind.UNSIGNED_TAIL, log.origin, log.size, segment.end - 1, TAIL)
    elif segment.torn:
        yield Finding(FindingKind.UNSIGNED_TAIL, log.origin, path=TAIL)


def _check_kept(log: _Signed, kept: Checkpoint, both: tuple[_Hashes, _Hashes]) -> Iterable[Finding]:
    if kept.origin != log.origin:
        return [Finding(FindingKind.MISPLACED, kept.origin)]
    if kept.size > log.size:
        return [Finding(FindingKind.ROLLED_BACK, log.origin, log.size, kept.size - 1)]
    full, rest = shape(0, kept.size)
    for hashes, source in zip(both, (log.hashes_of_entries, log.tile), strict=True):
        edge = source(full)[:rest] if rest else []
        if _Hashes(hashes.tiles[:full], tuple(edge)).root() == kept.root:
            return []
    return [Finding(FindingKind.FORKED, log.origin, 0, max(kept.size - 1, 0))]
