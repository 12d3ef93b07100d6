import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.audit.errors import LogForked
from fujie.audit.tiles import (
    Frontier,
    bundle_path,
    files_of,
    framed,
    read_tile,
    shape,
    signed_root,
    split_bundle,
    tile_nodes,
    tile_path,
)
from fujie.audit.tree import Tree, consistency_proof, inclusion_proof, leaf_hash


def leaves_of(size: int) -> list[bytes]:
    return [b"entry %d" % i for i in range(size)]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (tile_path(0, 0), "tile/0/000"),
        (tile_path(0, 1234067), "tile/0/x001/x234/067"),
        (tile_path(1, 1000, 17), "tile/1/x001/000.p/17"),
        (bundle_path(273, 112), "tile/entries/273.p/112"),
        (bundle_path(999_999), "tile/entries/x999/999"),
    ],
)
def test_paths_are_those_of_the_specification(path: str, expected: str) -> None:
    assert path == expected


def test_70000_entries_make_the_tiles_of_the_worked_example() -> None:
    files = files_of(leaves_of(70_000))
    assert sum(path.startswith("tile/0/") and ".p/" not in path for path in files) == 273
    partial = {path for path in files if ".p/" in path}
    assert partial == {"tile/0/273.p/112", "tile/entries/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"}
    assert all(
        len(content) == 8192
        for path, content in files.items()
        if "entries" not in path and ".p/" not in path
    )


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=20))
def test_a_bundle_splits_into_its_entries(entries: list[bytes]) -> None:
    assert split_bundle(b"".join(map(framed, entries))) == (entries, 0)


def test_a_bundle_cut_short_gives_its_whole_entries_and_the_rest() -> None:
    assert split_bundle(framed(b"one") + framed(b"three")[:-1]) == ([b"one"], 6)
    assert split_bundle(b"\0") == ([], 1)


@settings(max_examples=30)
@given(st.integers(0, 1200), st.data())
def test_the_frontier_has_the_root_of_the_tree_and_its_tiles_prove_everything(
    size: int, data: st.DataObject
) -> None:
    leaves = leaves_of(size)
    tree, edge, files = Tree(map(leaf_hash, leaves)), Frontier(), dict[str, bytes]()
    for leaf in leaves:
        edge.append(leaf, leaf_hash(leaf))
    files.update([*edge.take_full(), *edge.partials()])
    assert edge.root() == tree.root() == signed_root(files.get, size, size)
    assert edge.take_full() == []
    if size:
        index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
        nodes = tile_nodes(files.get, size)
        assert inclusion_proof(nodes, index, size) == inclusion_proof(tree.node, index, size)
        assert consistency_proof(nodes, old, size) == consistency_proof(tree.node, old, size)
        assert signed_root(files.get, old, size) == tree.root(old)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 512, 65_535, 65_536, 65_537, 66_000])
def test_a_restored_frontier_continues_as_if_it_had_never_stopped(size: int) -> None:
    leaves = leaves_of(size + 300)
    files = files_of(leaves[:size])
    start = size - size % 256
    restored = Frontier.restore(files.get, start, size)
    for leaf in leaves[start:]:
        restored.append(leaf, leaf_hash(leaf))
    assert restored.root() == Tree(map(leaf_hash, leaves)).root()
    whole = files_of(leaves)
    assert dict(restored.partials()).items() <= whole.items()
    assert dict(restored.take_full()).items() <= whole.items()


def test_a_missing_or_short_tile_is_refused_not_guessed() -> None:
    files = files_of(leaves_of(600))
    for path in ("tile/1/000.p/2",):
        for content in (None, files[path][:-1]):
            damaged = (
                {**files, path: content}
                if content is not None
                else {k: v for k, v in files.items() if k != path}
            )
            with pytest.raises(LogForked):
                Frontier.restore(damaged.get, 512, 600)
            with pytest.raises(LogForked):
                signed_root(damaged.get, 512, 600)


def test_a_partial_tile_replaced_by_its_full_one_still_reads() -> None:
    leaves = leaves_of(300)
    full = files_of(leaves)
    assert read_tile(full.get, 0, 0, 100) == [leaf_hash(leaf) for leaf in leaves[:100]]
    assert shape(0, 300) == (1, 44)
