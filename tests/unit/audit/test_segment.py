import pytest
from hypothesis import given
from hypothesis import strategies as st

from fujie.audit.errors import LogForked
from fujie.audit.segment import HEADER_BYTES, header, parse_segment, record
from fujie.audit.tree import leaf_hash

leaves = st.lists(st.binary(min_size=1, max_size=20), max_size=6)


def tail_of(entries: list[bytes], first: int = 256) -> bytes:
    return header(first) + b"".join(record(leaf, leaf_hash(leaf)) for leaf in entries)


@given(leaves)
def test_a_tail_cut_anywhere_keeps_exactly_its_whole_records(entries: list[bytes]) -> None:
    tail, whole, at = tail_of(entries), 0, HEADER_BYTES
    ends = [at := at + len(leaf) + 10 for leaf in entries]
    for cut in range(HEADER_BYTES, len(tail) + 1):
        whole = sum(end <= cut for end in ends)
        segment = parse_segment(tail[:cut])
        assert segment.leaves == tuple(entries[:whole])
        assert segment.end == 256 + whole
        assert segment.torn == cut - (ends[whole - 1] if whole else HEADER_BYTES)


@given(leaves, st.integers(1, 50))
def test_blocks_of_zeros_after_a_power_cut_are_no_entries(entries: list[bytes], zeros: int) -> None:
    segment = parse_segment(tail_of(entries) + bytes(zeros))
    assert (segment.leaves, segment.torn) == (tuple(entries), zeros)


@given(leaves.filter(bool), st.data())
def test_an_altered_record_and_all_after_it_are_torn(entries: list[bytes], data: st.DataObject) -> None:
    tail = bytearray(tail_of(entries))
    at = data.draw(st.integers(HEADER_BYTES, len(tail) - 1))
    tail[at] ^= data.draw(st.integers(1, 255))
    found = parse_segment(bytes(tail)).leaves
    assert len(found) < len(entries)
    assert found == tuple(entries[: len(found)])


@pytest.mark.parametrize("tail", [b"", b"fujie-tail-1\n", header(0)[:-1], b"x" + header(0)[1:]])
def test_a_tail_without_its_header_is_refused(tail: bytes) -> None:
    with pytest.raises(LogForked):
        parse_segment(tail)
