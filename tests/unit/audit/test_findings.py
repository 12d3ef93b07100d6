from hypothesis import given
from hypothesis import strategies as st

from fujie.audit.findings import Finding, FindingKind, name_differences
from fujie.audit.tree import leaf_hash

sizes = st.integers(2, 40)


def hashes(size: int) -> list[bytes]:
    return [leaf_hash(b"%d" % i) for i in range(size)]


def found(vouched: list[bytes], others: list[bytes]) -> list[tuple[FindingKind, int, int]]:
    return [(f.kind, f.index, f.last) for f in name_differences("o", 100, vouched, others)]


@given(sizes, st.data())
def test_one_change_removal_insertion_or_swap_is_named_and_nothing_else(
    size: int, data: st.DataObject
) -> None:
    good = hashes(size)
    i = data.draw(st.integers(0, size - 1))
    j = data.draw(st.integers(0, size - 1).filter(lambda k: k != i))
    low, high = min(i, j), max(i, j)
    swapped = good.copy()
    swapped[i], swapped[j] = good[j], good[i]
    alien = b"alien"
    assert found(good, good) == []
    assert found(good, [*good[:i], alien, *good[i + 1 :]]) == [(FindingKind.CHANGED, 100 + i, 100 + i)]
    assert found(good, good[:i] + good[i + 1 :]) == [(FindingKind.REMOVED, 100 + i, 100 + i)]
    assert found(good, [*good[:i], alien, *good[i:]]) == [(FindingKind.INSERTED, 100 + i, 100 + i)]
    assert found(good, [*good, alien]) == [(FindingKind.INSERTED, 100 + size, 100 + size)]
    assert found(good, swapped) == [(FindingKind.SWAPPED, 100 + low, 100 + high)]


def test_a_copy_in_the_place_of_another_entry_is_a_change_and_one_between_is_an_insertion() -> None:
    good = hashes(6)
    assert found(good, [*good[:2], good[4], *good[3:]]) == [(FindingKind.CHANGED, 102, 102)]
    assert found(good, [*good[:2], good[1], *good[2:]]) == [(FindingKind.INSERTED, 102, 102)]


def test_a_moved_entry_reads_as_removed_and_inserted() -> None:
    good = hashes(8)
    assert found(good, [*good[:2], *good[3:6], good[2], *good[6:]]) == [
        (FindingKind.REMOVED, 102, 102),
        (FindingKind.INSERTED, 106, 106),
    ]


@given(st.lists(st.integers(0, 12), max_size=14))
def test_any_other_sequence_gives_some_finding(order: list[int]) -> None:
    good = hashes(8)
    other = [leaf_hash(b"%d" % i) for i in order]
    assert bool(found(good, other)) == (other != good)


def test_a_finding_reads_as_a_sentence() -> None:
    assert str(Finding(FindingKind.CHANGED, "a/w0", 3, 3)) == "a/w0: changed entry 3"
    assert str(Finding(FindingKind.SWAPPED, "a/w0", 3, 5)) == "a/w0: swapped entries 3 to 5"
    assert (
        str(Finding(FindingKind.TILE_ALTERED, "a/w0", path="tile/0/000")) == "a/w0: tile_altered tile/0/000"
    )
