"""The Merkle tree of RFC 6962 section 2.1: hashes, roots, inclusion and consistency proofs, and their checks.

Unchanged on purpose: immudb published a break of a proof of its own design. `Nodes` is where hashes come from:
a tree in memory, or tile files; the proofs are the same.
"""

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import TypeAlias

EMPTY_ROOT = sha256(b"").digest()
"""Root of a log without entries."""

Nodes: TypeAlias = Callable[[int, int], bytes]
"""(height, index) -> hash of the perfect subtree over leaves [index * 2^height, (index + 1) * 2^height)."""


def leaf_hash(leaf: bytes) -> bytes:
    """Hash an entry. The prefix 0x00 keeps a leaf from ever passing as an inner node."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children."""
    return sha256(b"\x01" + left + right).digest()


def peaks(hashes: Iterable[bytes]) -> list[bytes]:
    """Return the compact range of `hashes`: roots of its maximal perfect subtrees, largest (leftmost) first."""
    stack: list[bytes] = []
    for count, hashed in enumerate(hashes):
        while count & 1:
            hashed = node_hash(stack.pop(), hashed)  # noqa: PLW2901  # carries upward like a binary counter
            count >>= 1  # noqa: PLW2901
        stack.append(hashed)
    return stack


def fold(mountain: Sequence[bytes]) -> bytes:
    """Return the root over peaks ordered from largest to smallest; EMPTY_ROOT for none."""
    if not mountain:
        return EMPTY_ROOT
    root = mountain[-1]
    for left in reversed(mountain[:-1]):
        root = node_hash(left, root)
    return root


class Tree:
    """A whole tree in memory (64 bytes of hashes per leaf): for proofs over small logs, and for tests.

    An append costs about 2 µs (amortised one inner node per leaf).
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]
        for hashed in leaf_hashes:
            self.append(hashed)

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0])

    def append(self, hashed: bytes) -> int:
        """Add a leaf hash and return its index."""
        index = self.size
        self._levels[0].append(hashed)
        height = 0
        while not len(self._levels[height]) & 1:
            if height + 1 == len(self._levels):
                self._levels.append([])
            left, right = self._levels[height][-2:]
            self._levels[height + 1].append(node_hash(left, right))
            height += 1
        return index

    def node(self, height: int, index: int) -> bytes:
        """Return the hash of a perfect subtree (the `Nodes` of this tree)."""
        return self._levels[height][index]

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first `size` leaves (all by default)."""
        return root_at(self.node, self.size if size is None else size)


def root_at(nodes: Nodes, size: int) -> bytes:
    """Return the root over leaves [0, size)."""
    return _subtree(nodes, 0, size) if size else EMPTY_ROOT


def inclusion_proof(nodes: Nodes, index: int, size: int) -> list[bytes]:
    """Return the audit path of leaf `index` in the tree of `size` leaves (RFC 6962 section 2.1.1)."""
    if not 0 <= index < size:
        raise ValueError("the index is outside the tree")
    return _path(nodes, index, (0, size))


def consistency_proof(nodes: Nodes, old: int, new: int) -> list[bytes]:
    """Return the proof that the tree of `new` leaves extends that of `old` (RFC 6962 section 2.1.2).

    Empty for old == new and for old == 0.
    """
    if not 0 <= old <= new:
        raise ValueError("the older size is outside the tree")
    return [] if old in (0, new) else _subproof(nodes, old, (0, new), whole=True)


def verify_inclusion(hashed: bytes, index: int, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Say whether `proof` shows that leaf hash `hashed` is at `index` of the tree (RFC 9162 section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, computed = index, size - 1, hashed
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            computed = node_hash(sibling, computed)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            computed = node_hash(computed, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and computed == root


def verify_consistency(old: tuple[int, bytes], new: tuple[int, bytes], proof: Sequence[bytes]) -> bool:
    """Say whether `proof` shows that (size, root) `new` extends `old` (RFC 9162 section 2.1.4.2)."""
    (size1, root1), (size2, root2) = old, new
    if not 0 <= size1 <= size2:
        return False
    if size1 == size2:
        return root1 == root2 and not proof
    if size1 == 0:
        return root1 == EMPTY_ROOT and not proof
    hashes = list(proof)
    if size1 & (size1 - 1) == 0:  # a perfect older tree is itself the first node of the proof
        hashes.insert(0, root1)
    if not hashes:
        return False
    at, last = size1 - 1, size2 - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    older = newer = hashes[0]
    for sibling in hashes[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and older == root1 and newer == root2


def _split(count: int) -> int:
    """Return the largest power of two below `count` (k of RFC 6962)."""
    return 1 << (count - 1).bit_length() - 1


def _subtree(nodes: Nodes, low: int, high: int) -> bytes:
    count = high - low
    if count & (count - 1) == 0:
        height = count.bit_length() - 1
        return nodes(height, low >> height)
    middle = low + _split(count)
    return node_hash(_subtree(nodes, low, middle), _subtree(nodes, middle, high))


def _path(nodes: Nodes, index: int, span: tuple[int, int]) -> list[bytes]:
    low, high = span
    if high - low == 1:
        return []
    middle = low + _split(high - low)
    if index < middle:
        return [*_path(nodes, index, (low, middle)), _subtree(nodes, middle, high)]
    return [*_path(nodes, index, (middle, high)), _subtree(nodes, low, middle)]


def _subproof(nodes: Nodes, old: int, span: tuple[int, int], *, whole: bool) -> list[bytes]:
    # `whole`: the older tree ends with this subtree and began with it, so its root is already known.
    low, high = span
    if old == high:
        return [] if whole else [_subtree(nodes, low, high)]
    middle = low + _split(high - low)
    if old <= middle:
        return [*_subproof(nodes, old, (low, middle), whole=whole), _subtree(nodes, middle, high)]
    return [*_subproof(nodes, old, (middle, high), whole=False), _subtree(nodes, low, middle)]
