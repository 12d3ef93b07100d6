"""The log as static files: C2SP tlog-tiles v0.1.0 paths, entry bundles, hash tiles, and what a writer must keep.

A tile holds up to 256 hashes of one level (level L counts subtrees of 256^L leaves); a bundle up to 256 entries,
each after its length in 16 bits. Only the rightmost tile of a level may be partial.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from fujie.audit.errors import LogForked
from fujie.audit.tree import Nodes, fold, leaf_hash, peaks, root_at

WIDTH = 256
HASH_BYTES = 32

Read: TypeAlias = Callable[[str], bytes | None]
"""Path inside the log -> content, or None when there is no such file."""

File: TypeAlias = tuple[str, bytes]


def tile_path(level: int, index: int, width: int = WIDTH) -> str:
    """Return where a hash tile lives: `tile_path(0, 1234067)` is `tile/0/x001/x234/067`."""
    return f"tile/{level}/{_spread(index, width)}"


def bundle_path(index: int, width: int = WIDTH) -> str:
    """Return where an entry bundle lives, e.g. `tile/entries/000.p/17`."""
    return f"tile/entries/{_spread(index, width)}"


def framed(entry: bytes) -> bytes:
    """Return the entry after its length in two bytes, as bundles hold it."""
    return len(entry).to_bytes(2) + entry


def split_bundle(bundle: bytes) -> tuple[list[bytes], int]:
    """Return the entries, and the number of bytes at the end that are no whole entry (0 when well formed).

    Behind twice as many entries as a bundle can have, all counts as no entry: a hostile bundle of zeros has millions.
    """
    entries, at = list[bytes](), 0
    while at + 2 <= len(bundle) and len(entries) < 2 * WIDTH:
        end = at + 2 + int.from_bytes(bundle[at : at + 2])
        if end > len(bundle):
            break
        entries.append(bundle[at + 2 : end])
        at = end
    return entries, len(bundle) - at


def split_tile(tile: bytes) -> list[bytes]:
    """Return the hashes of a tile; a last one cut short is dropped."""
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile) - HASH_BYTES + 1, HASH_BYTES)]


def shape(level: int, size: int) -> tuple[int, int]:
    """Return how many full tiles, and how many hashes in a partial one, `level` has in a log of `size` entries."""
    return divmod(size >> 8 * level, WIDTH)


def read_tile(read: Read, level: int, index: int, size: int) -> list[bytes]:
    """Return the hashes of a tile of a log of `size` entries; [] when the file is missing.

    A partial tile may be replaced by its full one at any time (tlog-tiles), so that is read in its stead.
    """
    full, rest = shape(level, size)
    width = WIDTH if index < full else rest
    found = read(tile_path(level, index, width))
    if found is None and width < WIDTH:
        whole = read(tile_path(level, index))
        found = None if whole is None else whole[: width * HASH_BYTES]
    return [] if found is None else split_tile(found)


def tile_nodes(read: Read, size: int) -> Nodes:
    """Return a source of hashes for proofs over the files of a log of `size` entries.

    The source raises LogForked when a tile that the size requires is missing or too short. It reads one tile
    per hash; nothing is kept.
    """

    def node(height: int, index: int) -> bytes:
        level, within = divmod(height, 8)
        tile, offset = divmod(index << within, WIDTH)
        hashes = read_tile(read, level, tile, size)[offset : offset + (1 << within)]
        if len(hashes) < 1 << within:
            raise LogForked(f"tile {level}/{tile} is missing or too short for {size} entries")
        return fold(peaks(hashes))

    return node


class Frontier:
    """The right edge of a growing log: all that appending and publishing need, however long the log is.

    Holds the last, partial tile of each level and the last, partial bundle; full ones are handed out once by
    `take_full`. An append costs about 2 µs, hashing included. Not for two threads at once.
    """

    def __init__(self) -> None:
        self.size = 0
        self._levels: list[list[bytes]] = [[]]
        self._bundle: list[bytes] = []
        self._full: list[File] = []

    @classmethod
    def restore(cls, read: Read, start: int, size: int) -> "Frontier":
        """Return the edge as it was at `start` entries, a multiple of 256, from the tiles of `size` entries.

        Raises LogForked when those tiles are missing.
        """
        edge = cls()
        edge.size = start
        level = 1
        while start >> 8 * level:
            index, width = shape(level, start)
            hashes = read_tile(read, level, index, size)[:width] if width else []
            if len(hashes) < width:
                raise LogForked(f"tile {level}/{index} is missing or too short for {size} entries")
            edge._levels.append(hashes)
            level += 1
        return edge

    def append(self, leaf: bytes, hashed: bytes) -> None:
        """Add an entry and its leaf hash."""
        self._bundle.append(framed(leaf))
        self._levels[0].append(hashed)
        self.size += 1
        if len(self._bundle) == WIDTH:
            self._full.append((bundle_path((self.size - 1) // WIDTH), b"".join(self._bundle)))
            self._bundle = []
            self._close_tiles()

    def root(self) -> bytes:
        """Return the root over all entries. Up to 255 hashes per level (about 0.2 ms): for checkpoints only."""
        return fold([peak for level in reversed(self._levels) for peak in peaks(level)])

    def take_full(self) -> list[File]:
        """Return the tiles and bundles that became full since the last call; they never change again."""
        full, self._full = self._full, []
        return full

    def partials(self) -> list[File]:
        """Return the partial bundle and tiles that a checkpoint at this size needs beside the full ones."""
        files = [
            (tile_path(level, shape(level, self.size)[0], len(hashes)), b"".join(hashes))
            for level, hashes in enumerate(self._levels)
            if hashes
        ]
        if self._bundle:
            files.append((bundle_path(self.size // WIDTH, len(self._bundle)), b"".join(self._bundle)))
        return files

    def unfinished(self) -> Sequence[bytes]:
        """Return the framed entries of the partial bundle."""
        return tuple(self._bundle)

    def _close_tiles(self) -> None:
        level = 0
        while len(self._levels[level]) == WIDTH:
            hashes, self._levels[level] = self._levels[level], []
            self._full.append((tile_path(level, (self.size >> 8 * (level + 1)) - 1), b"".join(hashes)))
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(fold(peaks(hashes)))


def files_of(leaves: Sequence[bytes]) -> dict[str, bytes]:
    """Return every tile and bundle of a log with exactly these entries (a copy for an auditor; tests)."""
    edge = Frontier()
    for leaf in leaves:
        edge.append(leaf, leaf_hash(leaf))
    return dict([*edge.take_full(), *edge.partials()])


def signed_root(read: Read, size: int, signed_size: int) -> bytes:
    """Return the root over the first `size` entries of a log whose tiles cover `signed_size`. Raises LogForked."""
    return root_at(tile_nodes(read, signed_size), size)


def _spread(index: int, width: int) -> str:
    groups = [f"{index % 1000:03d}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03d}")
    return "/".join(groups) + (f".p/{width}" if width < WIDTH else "")
