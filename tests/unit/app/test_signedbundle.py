"""Whose signatures count: distinct people who are trusted, over all of the bundle, before it has ended."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest

from fujie.app.problems import CannotStart
from fujie.app.signedbundle import Trust, parsed, trusted, unpacked
from fujie.audit.checkpoint import Checkpoint, Signer
from fujie.policy.archive import Archive, Manifest, build
from support.releases import ALICE, BOB, EVE, MADE, bundle, policies

NOW = MADE + timedelta(days=1)


def trust(*signers: Signer, needed: int = 1) -> Trust:
    return Trust.of([signer.verifier.vkey for signer in signers], needed)


def codes(act: Callable[[], object]) -> list[str]:
    with pytest.raises(CannotStart) as refused:
        act()
    return [problem.code for problem in refused.value.problems]


MISSING, INVALID = ["BUNDLE_SIGNERS_MISSING"], ["BUNDLE_SIGNATURE_INVALID"]


@pytest.mark.parametrize(
    ("signers", "needed"),
    [([], 1), ([EVE], 1), ([ALICE], 2), ([ALICE, EVE], 2), ([ALICE, ALICE], 2), ([EVE, EVE, EVE], 1)],
)
def test_too_few_of_the_trusted_are_not_enough(signers: Sequence[Signer], needed: int) -> None:
    archive = bundle(signers=signers)
    assert codes(lambda: trusted(archive, trust(ALICE, BOB, needed=needed), NOW)) == MISSING


def test_enough_of_the_trusted_are_enough_whoever_else_signed() -> None:
    release = trusted(bundle(signers=[EVE, BOB, ALICE]), trust(ALICE, BOB, needed=2), NOW)
    assert (release.revision, release.signers) == (1, ("alice", "bob"))


def test_one_person_counts_once_under_whatever_name_the_key_signs() -> None:
    again = Signer("alice2", sha256(b"alice").digest())
    archive = bundle(signers=[ALICE, again])
    assert codes(lambda: trusted(archive, trust(ALICE, BOB, needed=2), NOW)) == MISSING


def test_a_name_alone_is_not_the_key() -> None:
    impostor = Signer("alice", b"e" * 32)
    assert codes(lambda: trusted(bundle(signers=[impostor]), trust(ALICE), NOW)) == MISSING


def test_a_signature_moved_to_another_bundle_is_refused() -> None:
    signed, other = bundle(1), bundle(2, signers=[])
    moved = replace(other, lines=signed.lines)
    assert codes(lambda: trusted(moved, trust(ALICE), NOW)) == INVALID


def test_a_manifest_put_over_the_files_of_another_bundle_is_refused() -> None:
    ours, theirs = bundle(1, policies("a")), bundle(2, policies("b"), [EVE])
    swapped = replace(ours, files=theirs.files).encoded
    assert codes(lambda: parsed(swapped)) == ["BUNDLE_INVALID"]


def test_signatures_stripped_or_mangled_are_refused() -> None:
    content = bundle(signers=[ALICE]).encoded
    start = content.index("\n\n— ".encode()) + 2
    end = content.index(b"\n\n", start)
    stripped = content[:start] + content[end + 1 :]
    assert codes(lambda: trusted(parsed(stripped), trust(ALICE), NOW)) == MISSING
    doubled = content[:end] + b"\n" + content[start:end] + content[end:]
    assert codes(lambda: parsed(doubled)) == ["BUNDLE_INVALID"]
    for place in range(start, end):
        mangled = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        found = codes(lambda content=mangled: trusted(parsed(content), trust(ALICE), NOW))  # type: ignore[misc]  # bound now
        assert found[0] in ("BUNDLE_INVALID", *MISSING, *INVALID), place


def test_any_byte_of_a_signed_bundle_that_is_flipped_is_found() -> None:
    """Every seventh byte: all of them are tried on a small one in `test_archive`."""
    content = bundle(signers=[ALICE, BOB]).encoded
    both = trust(ALICE, BOB, needed=2)
    for place in range(0, len(content), 7):
        altered = content[:place] + bytes([content[place] ^ 0x20]) + content[place + 1 :]
        assert codes(lambda content=altered: trusted(parsed(content), both, NOW))  # type: ignore[misc]  # bound now


def test_a_line_that_is_no_signature_refuses_the_bundle_even_with_enough_others() -> None:
    for line in ("alice AAAA", "— alice", "— alice !!!!", "— alice AAAA extra"):
        archive = bundle(signers=[ALICE]).with_line(line)
        assert codes(lambda archive=archive: trusted(archive, trust(ALICE), NOW)) == INVALID  # type: ignore[misc]  # bound now


def test_a_flood_of_signatures_costs_nothing() -> None:
    archive = bundle(signers=[ALICE])
    flood = replace(archive, lines=tuple(sorted(f"— s{number} AAAA" for number in range(100))))
    assert codes(lambda: trusted(flood, trust(ALICE), NOW)) == INVALID


def test_what_the_same_key_signed_elsewhere_does_not_sign_a_bundle() -> None:
    """A log's key that is also trusted for bundles: neither its checkpoints nor its attestations pass."""
    archive = bundle(signers=[])
    for note in (ALICE.sign(Checkpoint("alice", 1, bytes(32))), ALICE.attest("policy", "0" * 64)):
        line = note.rstrip("\n").rpartition("\n")[2]
        with pytest.raises(CannotStart):
            trusted(archive.with_line(line), trust(ALICE), NOW)


def test_a_bundle_that_has_ended_is_refused_from_that_instant_on() -> None:
    archive = bundle(expires=NOW)
    assert trusted(archive, trust(ALICE), NOW - timedelta(microseconds=1)).expires == NOW
    for late in (NOW, NOW + timedelta(days=999)):
        assert codes(lambda late=late: trusted(archive, trust(ALICE), late)) == ["BUNDLE_EXPIRED"]  # type: ignore[misc]  # bound now


def test_policies_that_compile_to_something_else_than_was_signed_are_refused() -> None:
    """As by a build that reads them differently, or a builder that lies about what reviewers saw."""
    lied = build(Manifest("sha256:" + "0" * 64, 1, MADE), policies())
    signed = lied.with_line(ALICE.endorse(lied.note))
    release = trusted(signed, trust(ALICE), NOW)
    assert codes(lambda: unpacked(signed, release)) == ["BUNDLE_DIGEST_DIFFERS"]


def test_a_good_bundle_knows_its_release() -> None:
    archive: Archive = bundle(3)
    release = trusted(archive, trust(ALICE), NOW)
    assert unpacked(archive, release).release == release


def test_signed_policies_with_a_mistake_are_refused_with_every_problem() -> None:
    files = {"a.yaml": b"kind: [\n", "b.yaml": b"kind: 7\n"}
    broken = build(Manifest("sha256:" + "0" * 64, 1, MADE), files)
    signed = broken.with_line(ALICE.endorse(broken.note))
    release = trusted(signed, trust(ALICE), NOW)
    assert len(codes(lambda: unpacked(signed, release))) > 1
