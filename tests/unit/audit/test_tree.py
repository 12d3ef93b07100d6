import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.audit.tree import (
    EMPTY_ROOT,
    Tree,
    consistency_proof,
    fold,
    inclusion_proof,
    leaf_hash,
    peaks,
    verify_consistency,
    verify_inclusion,
)

# Leaves and roots of the Certificate Transparency test suite (RFC 6962 reference implementation).
LEAVES = [
    bytes.fromhex(h)
    for h in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def tree_of(size: int) -> Tree:
    return Tree(leaf_hash(str(i).encode()) for i in range(size))


def defined_root(leaves: list[bytes]) -> bytes:
    """MTH as RFC 6962 section 2.1 writes it."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\1" + defined_root(leaves[:k]) + defined_root(leaves[k:])).digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_equal_the_reference_vectors(size: int) -> None:
    assert Tree(map(leaf_hash, LEAVES)).root(size).hex() == ROOTS[size - 1]
    assert Tree(map(leaf_hash, LEAVES[:size])).root().hex() == ROOTS[size - 1]


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert Tree().root() == EMPTY_ROOT == fold([]) == hashlib.sha256(b"").digest()


@given(st.lists(st.binary(max_size=3), max_size=70), st.data())
def test_every_root_is_the_one_defined_by_the_rfc(leaves: list[bytes], data: st.DataObject) -> None:
    size = data.draw(st.integers(0, len(leaves)))
    hashes = [leaf_hash(leaf) for leaf in leaves]
    assert Tree(hashes).root(size) == defined_root(leaves[:size]) == fold(peaks(hashes[:size]))


def test_every_inclusion_proof_up_to_33_leaves_verifies_at_its_place_only() -> None:
    tree = tree_of(33)
    for size in range(1, 34):
        root = tree.root(size)
        for index in range(size):
            proof = inclusion_proof(tree.node, index, size)
            places = [i for i in range(size) if verify_inclusion(tree.node(0, index), i, size, root, proof)]
            assert places == [index]


def test_every_consistency_proof_up_to_33_leaves_verifies() -> None:
    tree = tree_of(33)
    for new in range(34):
        for old in range(new + 1):
            proof = consistency_proof(tree.node, old, new)
            assert verify_consistency((old, tree.root(old)), (new, tree.root(new)), proof)


@given(st.integers(1, 600), st.data())
def test_an_altered_inclusion_proof_is_refused(size: int, data: st.DataObject) -> None:
    tree = tree_of(size)
    index = data.draw(st.integers(0, size - 1))
    proof, root = inclusion_proof(tree.node, index, size), tree.root()
    other = b"\xff" * 32
    assert not verify_inclusion(other, index, size, root, proof)
    assert not verify_inclusion(tree.node(0, index), index, size, other, proof)
    assert not verify_inclusion(tree.node(0, index), index, size, root, [*proof, other])
    for at in range(len(proof)):
        assert not verify_inclusion(tree.node(0, index), index, size, root, proof[:at] + proof[at + 1 :])
        assert not verify_inclusion(
            tree.node(0, index), index, size, root, [*proof[:at], other, *proof[at + 1 :]]
        )


@given(st.integers(2, 600), st.data())
def test_an_altered_consistency_proof_is_refused(new: int, data: st.DataObject) -> None:
    tree = tree_of(new)
    old = data.draw(st.integers(1, new - 1))
    older, newer = (old, tree.root(old)), (new, tree.root(new))
    proof, other = consistency_proof(tree.node, old, new), b"\xff" * 32
    assert not verify_consistency((old, other), newer, proof)
    assert not verify_consistency(older, (new, other), proof)
    assert not verify_consistency(older, newer, [*proof, other])
    for at in range(len(proof)):
        assert not verify_consistency(older, newer, proof[:at] + proof[at + 1 :])
        assert not verify_consistency(older, newer, [*proof[:at], other, *proof[at + 1 :]])


def test_degenerate_proofs_are_refused() -> None:
    tree = tree_of(3)
    root = tree.root()
    assert not verify_inclusion(tree.node(0, 0), 3, 3, root, [])
    assert not verify_inclusion(tree.node(0, 0), -1, 3, root, [])
    assert not verify_consistency((3, root), (2, tree.root(2)), [])
    assert not verify_consistency((3, root), (3, tree.root(2)), [])
    assert not verify_consistency((3, root), (3, root), [root])
    assert not verify_consistency((0, root), (3, root), [])
    assert not verify_consistency((1, tree.root(1)), (3, root), [])
    with pytest.raises(ValueError, match="outside"):
        inclusion_proof(tree.node, 3, 3)
    with pytest.raises(ValueError, match="outside"):
        consistency_proof(tree.node, 4, 3)
