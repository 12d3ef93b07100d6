from collections import Counter
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fujie.audit import verify
from fujie.audit.checkpoint import Checkpoint, Signer, parse_unverified
from fujie.audit.findings import FindingKind
from fujie.audit.segment import TAIL, header, record
from fujie.audit.tiles import bundle_path, files_of, framed, tile_path
from fujie.audit.tree import EMPTY_ROOT, leaf_hash
from fujie.audit.verify import CHECKPOINT, MOST_MISSING, LogReport, verify_log

LogOf = Callable[..., dict[str, bytes]]
NoteOf = Callable[[Sequence[bytes]], str]
ORIGIN = "prod-a/w0"
K = FindingKind


def leaves_of(size: int) -> list[bytes]:
    return [b'{"n":%d}' % i for i in range(size)]


def check(files: dict[str, bytes], signer: Signer, *against: Checkpoint) -> LogReport:
    return verify_log(files.get, signer.verifier, against)


def named(report: LogReport) -> list[tuple[FindingKind, int, int]]:
    assert all(finding.origin == ORIGIN for finding in report.findings)
    return [(f.kind, f.index, f.last) for f in report.findings]


def rebundled(files: dict[str, bytes], leaves: Sequence[bytes], size: int) -> dict[str, bytes]:
    """Replace the entries by `leaves`, in the bundles that a log of `size` entries has; tiles stay."""
    bundles = dict(files)
    for start in range(0, size, 256):
        width = min(size - start, 256)
        last = start + width >= size
        part = leaves[start:] if last else leaves[start : start + 256]
        bundles[bundle_path(start // 256, width)] = b"".join(map(framed, part))
    return bundles


@pytest.mark.parametrize("size", [0, 1, 5, 255, 256, 257, 700, 66_000])
def test_an_honest_log_has_no_findings(size: int, log_of: LogOf, signer: Signer) -> None:
    files = log_of(leaves_of(size))
    report = check(files, signer, parse_unverified(files[CHECKPOINT].decode()))
    assert (report.findings, report.size, report.signed_size, report.is_intact) == ((), size, size, True)


def test_a_copy_without_the_writers_tail_verifies(log_of: LogOf, signer: Signer) -> None:
    files = log_of(leaves_of(300))
    del files[TAIL]
    assert check(files, signer).findings == ()


def test_every_single_byte_flip_in_a_small_log_is_found(log_of: LogOf, signer: Signer) -> None:
    files = log_of(leaves_of(5))
    for path, content in files.items():
        for at in range(len(content)):
            for mask in (1, 0x80, 0xFF):
                flipped = bytearray(content)
                flipped[at] ^= mask
                report = check({**files, path: bytes(flipped)}, signer)
                assert report.findings, f"{path} byte {at}"
                assert report.is_intact is False, f"{path} byte {at}"


def test_every_flip_inside_an_entry_names_that_entry(log_of: LogOf, signer: Signer) -> None:
    files = log_of(leaves_of(5))
    path = bundle_path(0, 5)
    at = 0
    for index, leaf in enumerate(leaves_of(5)):
        for byte in range(at + 2, at + 2 + len(leaf)):
            flipped = bytearray(files[path])
            flipped[byte] ^= 1
            assert named(check({**files, path: bytes(flipped)}, signer)) == [(K.CHANGED, index, index)]
        for byte in (at, at + 1):  # the length: what follows can not be told apart any more
            flipped = bytearray(files[path])
            flipped[byte] ^= 1
            assert named(check({**files, path: bytes(flipped)}, signer))[0][:2] == (K.CHANGED, index)
        at += 2 + len(leaf)


@pytest.mark.parametrize("size", [2**40, 2**63 - 1])
def test_the_number_in_a_checkpoint_keeps_nobody_busy(size: int, log_of: LogOf, signer: Signer) -> None:
    """Who signs is whom the auditor looks at: years of looking for files that never were would be no report."""
    looked = Counter[str]()
    note = signer.sign(Checkpoint(ORIGIN, size, bytes(32)))
    files = {**log_of(leaves_of(600)), CHECKPOINT: note.encode()}

    def read(path: str) -> bytes | None:
        looked[path] += 1
        return files.get(path)

    report = verify_log(read, signer.verifier)
    assert named(report) == [(K.RANGE_ALTERED, 0, size - 1)]
    assert looked.total() < 3 * MOST_MISSING


@pytest.mark.parametrize("size", [600, 512, 5])
def test_a_bundle_of_millions_of_entries_is_one_that_was_altered(
    size: int, log_of: LogOf, signer: Signer
) -> None:
    """Each of them named took hours and all memory."""
    files = log_of(leaves_of(size))
    path = bundle_path(0, min(size, 256))
    for filled in (files[path] + bytes(4_000_000), bytes(4_000_000)):
        report = check({**files, path: filled}, signer)
        assert {each[0] for each in named(report)} <= {K.CHANGED, K.INSERTED, K.REMOVED}
        assert 0 < len(report.findings) <= 512


@pytest.mark.parametrize("gone", ["entries", "tiles"])
@pytest.mark.parametrize("most", [0, 1, 2, 1 << 16])
def test_a_gap_among_entries_or_tiles_is_named_however_long_it_is(
    gone: str, most: int, log_of: LogOf, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "MOST_MISSING", most)
    files = log_of(leaves_of(1_500))
    for index in range(1, 4):
        del files[bundle_path(index) if gone == "entries" else tile_path(0, index)]
    found = named(check(files, signer))
    assert found == ([(K.REMOVED, 256, 1_023)] if gone == "entries" else [(K.TILE_ALTERED, -1, -1)] * 3)


@settings(max_examples=60)
@given(data=st.data())
def test_any_flip_in_a_log_of_several_tiles_is_found(
    data: st.DataObject, log_of: LogOf, signer: Signer
) -> None:
    files = log_of(leaves_of(600))
    path = data.draw(st.sampled_from(sorted(files)))
    flipped = bytearray(files[path])
    at = data.draw(st.integers(0, len(flipped) - 1))
    flipped[at] ^= data.draw(st.integers(1, 255))
    assert not check({**files, path: bytes(flipped)}, signer).is_intact


@pytest.mark.parametrize("size", [6, 256, 600])
def test_every_kind_of_edit_names_its_entries(size: int, log_of: LogOf, signer: Signer) -> None:
    leaves = leaves_of(size)
    files = log_of(leaves)
    for i in {0, 1, size // 2, size - 1}:
        edited = [*leaves[:i], b"alien", *leaves[i + 1 :]]
        assert named(check(rebundled(files, edited, size), signer)) == [(K.CHANGED, i, i)]
        removed = leaves[:i] + leaves[i + 1 :]
        assert named(check(rebundled(files, removed, size), signer)) == [(K.REMOVED, i, i)]
        inserted = [*leaves[:i], b"alien", *leaves[i:]]
        assert named(check(rebundled(files, inserted, size), signer)) == [(K.INSERTED, i, i)]
        j = (i + size // 2) % size
        if i != j:
            swapped = leaves.copy()
            swapped[i], swapped[j] = leaves[j], leaves[i]
            expected = [(K.SWAPPED, min(i, j), max(i, j))]
            assert named(check(rebundled(files, swapped, size), signer)) == expected


def test_every_swap_in_a_small_log_is_named(log_of: LogOf, signer: Signer) -> None:
    leaves = leaves_of(6)
    for i in range(6):
        for j in range(i + 1, 6):
            swapped = leaves.copy()
            swapped[i], swapped[j] = leaves[j], leaves[i]
            assert named(check(rebundled(log_of(leaves), swapped, 6), signer)) == [(K.SWAPPED, i, j)]


def test_every_file_that_is_deleted_is_missed(log_of: LogOf, signer: Signer) -> None:
    files = log_of(leaves_of(600))
    for path in files.keys() - {TAIL}:
        rest = {name: content for name, content in files.items() if name != path}
        assert not check(rest, signer).is_intact, path


def test_an_altered_tile_does_not_accuse_entries(log_of: LogOf, signer: Signer) -> None:
    files = log_of(leaves_of(600))
    for path in ("tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2"):
        report = check({**files, path: bytes(len(files[path]))}, signer)
        assert [(f.kind, f.path) for f in report.findings] == [(K.TILE_ALTERED, path)]


def test_damage_of_both_kinds_at_once_is_told_apart(log_of: LogOf, signer: Signer) -> None:
    leaves = leaves_of(600)
    files = rebundled(log_of(leaves), [*leaves[:3], b"alien", *leaves[4:]], 600)
    files["tile/0/001"] = bytes(8192)
    report = check(files, signer)
    assert [(f.kind, f.index, f.path) for f in report.findings] == [
        (K.TILE_ALTERED, -1, "tile/0/001"),
        (K.CHANGED, 3, ""),
    ]


def test_an_entry_forged_with_its_tile_is_confined_to_that_tile(log_of: LogOf, signer: Signer) -> None:
    leaves = leaves_of(600)
    forged = files_of([*leaves[:3], b"alien", *leaves[4:]])
    files = {**log_of(leaves), **{p: forged[p] for p in (tile_path(0, 0), bundle_path(0))}}
    assert (K.RANGE_ALTERED, 0, 255) in named(check(files, signer))


def test_a_log_forged_up_to_its_root_is_refused_as_a_whole(log_of: LogOf, signer: Signer) -> None:
    leaves = leaves_of(600)
    files = {**log_of(leaves), **files_of([*leaves[:3], b"alien", *leaves[4:]])}
    assert named(check(files, signer)) == [(K.RANGE_ALTERED, 0, 599)]
    del files[TAIL]
    assert named(check(files, signer)) == [(K.RANGE_ALTERED, 0, 599)]


def test_an_unsigned_tail_is_reported_and_is_no_damage(log_of: LogOf, signer: Signer) -> None:
    report = check(log_of(leaves_of(310), signed=300), signer)
    assert named(report) == [(K.UNSIGNED_TAIL, 300, 309)]
    assert (report.size, report.signed_size, report.is_intact) == (310, 300, True)


def test_a_tail_that_contradicts_or_loses_signed_entries_is_found(log_of: LogOf, signer: Signer) -> None:
    files = log_of(leaves_of(300))
    alien = header(256) + record(b"alien", leaf_hash(b"alien"))
    for tail in (b"", header(0), header(256), header(512), header(299), alien, files[TAIL][:-1]):
        assert not check({**files, TAIL: tail}, signer).is_intact


@pytest.mark.parametrize("altered", [256, 270, 299])
def test_a_whole_record_of_the_tail_that_is_not_what_was_signed_is_named(
    altered: int, log_of: LogOf, signer: Signer
) -> None:
    leaves = leaves_of(300)
    said = [*leaves[:altered], b"alien", *leaves[altered + 1 :]]
    tail = header(256) + b"".join([record(leaf, leaf_hash(leaf)) for leaf in said[256:]])
    assert named(check({**log_of(leaves), TAIL: tail}, signer)) == [(K.TAIL_ALTERED, altered, altered)]


def test_a_partial_bundle_whose_place_a_full_one_took_is_no_damage(log_of: LogOf, signer: Signer) -> None:
    """A writer goes on between two reads of who verifies."""
    files = log_of(leaves_of(300))
    del files[bundle_path(1, 44)]
    files[bundle_path(1)] = log_of(leaves_of(600))[bundle_path(1)]
    assert check(files, signer).findings == ()


def test_a_torn_record_after_the_signed_entries_is_reported(log_of: LogOf, signer: Signer) -> None:
    files = log_of(leaves_of(300))
    report = check({**files, TAIL: files[TAIL] + b"\0\5ab"}, signer)
    assert named(report) == [(K.UNSIGNED_TAIL, -1, -1)]


@pytest.mark.parametrize("kept", [1, 299, 300])
def test_a_kept_checkpoint_of_the_same_history_is_accepted(
    kept: int, log_of: LogOf, note_of: NoteOf, signer: Signer
) -> None:
    leaves = leaves_of(300)
    assert check(log_of(leaves), signer, parse_unverified(note_of(leaves[:kept]))).findings == ()


def test_a_restored_older_log_is_rolled_back(log_of: LogOf, note_of: NoteOf, signer: Signer) -> None:
    leaves = leaves_of(300)
    report = check(log_of(leaves[:280]), signer, parse_unverified(note_of(leaves)))
    assert named(report) == [(K.ROLLED_BACK, 280, 299)]


def test_a_history_rewritten_with_the_key_is_a_fork(log_of: LogOf, note_of: NoteOf, signer: Signer) -> None:
    leaves = leaves_of(300)
    kept = parse_unverified(note_of(leaves[:200]))
    rewritten = log_of([*leaves[:100], b"alien", *leaves[101:]])
    assert check(rewritten, signer).is_intact  # who holds the key can; hence checkpoints are kept elsewhere
    assert named(check(rewritten, signer, kept)) == [(K.FORKED, 0, 199)]
    same_size = parse_unverified(note_of(leaves))
    assert named(check(rewritten, signer, same_size)) == [(K.FORKED, 0, 299)]


def test_a_kept_checkpoint_of_another_log_is_said_to_be_so(log_of: LogOf, signer: Signer) -> None:
    report = check(log_of(leaves_of(3)), signer, Checkpoint("prod-b/w0", 0, EMPTY_ROOT))
    assert [(f.kind, f.origin) for f in report.findings] == [(K.MISPLACED, "prod-b/w0")]


@pytest.mark.parametrize("note", [None, b"", b"\xff", b"prod-a/w0\n0\n"])
def test_without_a_valid_checkpoint_nothing_is_vouched_for(
    note: bytes | None, log_of: LogOf, signer: Signer
) -> None:
    files = log_of(leaves_of(3))
    if note is None:
        del files[CHECKPOINT]
    else:
        files[CHECKPOINT] = note
    report = check(files, signer)
    assert named(report) == [(K.CHECKPOINT_INVALID, -1, -1)]
    assert (report.size, report.signed_size, report.root) == (3, 0, b"")
    del files[TAIL]
    report = check(files, signer)
    assert named(report) == [(K.CHECKPOINT_INVALID, -1, -1)]
    assert report.size == 0


def test_the_checkpoint_of_another_key_vouches_for_nothing(log_of: LogOf) -> None:
    stranger = Signer(ORIGIN, b"s" * 32)
    assert named(check(log_of(leaves_of(3)), stranger)) == [(K.CHECKPOINT_INVALID, -1, -1)]
