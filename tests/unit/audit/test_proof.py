"""Proofs of single entries, against the tree and against damaged files."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from fujie.audit.checkpoint import Signer, open_attestation
from fujie.audit.errors import CheckpointInvalid, LogForked, SealBroken
from fujie.audit.proof import Proof, prove
from fujie.audit.sealing import SealKey, open_ticket, seal_ticket

LEAVES = [f"entry {index}".encode() for index in range(600)]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 512, 600])
def test_every_entry_of_every_size_is_proven(
    log_of: Callable[..., dict[str, bytes]], signer: Signer, size: int
) -> None:
    files = log_of(LEAVES[:size])
    for index in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
        proof = prove(files.get, signer.verifier, index)
        assert proof is not None
        assert (proof.leaf, proof.check(signer.verifier)) == (LEAVES[index], size)
    assert prove(files.get, signer.verifier, size) is None


def test_a_partial_bundle_that_became_full_still_proves(
    log_of: Callable[..., dict[str, bytes]], note_of: Callable[[Sequence[bytes]], str], signer: Signer
) -> None:
    later = log_of(LEAVES[:256])
    read = {**later, "checkpoint": note_of(LEAVES[:200]).encode()}
    proof = prove(read.get, signer.verifier, 199)
    assert proof is not None
    assert proof.check(signer.verifier) == 200


def test_damaged_files_prove_nothing(log_of: Callable[..., dict[str, bytes]], signer: Signer) -> None:
    files = log_of(LEAVES[:300])
    for name, content in files.items():
        if "tile" in name:
            # In a bundle the first entry, in a tile the second hash: the first is its own, of no use to its proof.
            at = 3 if "entries" in name else 40 % len(content)
            flipped = {**files, name: content[:at] + bytes((content[at] ^ 1,)) + content[at + 1 :]}
            gone = {other: rest for other, rest in files.items() if other != name}
            for damaged in (flipped, gone):
                told = []
                for index in (0, 256, 299):
                    try:
                        proof = prove(damaged.get, signer.verifier, index)
                        told.append(proof is not None and proof.leaf == LEAVES[index])
                    except LogForked:
                        told.append(False)
                assert False in told, name
    with pytest.raises(CheckpointInvalid):
        prove(lambda name: None, signer.verifier, 0)
    with pytest.raises(CheckpointInvalid):
        prove(files.get, Signer(signer.verifier.name, b"x" * 32).verifier, 0)


def test_a_proof_holds_for_its_entry_and_place_alone(
    log_of: Callable[..., dict[str, bytes]], signer: Signer
) -> None:
    proof = prove(log_of(LEAVES[:300]).get, signer.verifier, 7)
    assert proof is not None
    for other in (
        replace(proof, index=8),
        replace(proof, index=-1),
        replace(proof, leaf=proof.leaf + b"x"),
        replace(proof, hashes=proof.hashes[:-1]),
        replace(proof, hashes=proof.hashes[::-1]),
        replace(proof, origin="prod-a/w1"),
    ):
        with pytest.raises(LogForked):
            Proof.check(other, signer.verifier)


def test_an_attestation_is_of_one_key_one_subject_and_one_digest(signer: Signer) -> None:
    note = signer.attest("consent-evidence", "ab" * 32)
    assert open_attestation(note, "consent-evidence", signer.verifier) == "ab" * 32
    other = Signer("prod-a/w0", b"x" * 32)
    for bad, subject, key in (
        (note, "other", signer.verifier),
        (note, "consent-evidence", other.verifier),
        (note, "consent-evidence", signer.verifier.named("prod-b/w0")),
        *(
            (note[:at] + chr(ord(note[at]) ^ 1) + note[at + 1 :], "consent-evidence", signer.verifier)
            for at in range(len(note))
        ),
        *(
            (text, "consent-evidence", signer.verifier)
            for text in (note[:-1], note + "\n", note * 2, "", "\n\n")
        ),
    ):
        with pytest.raises(CheckpointInvalid):
            open_attestation(bad, subject, key)


def test_a_ticket_opens_under_its_key_and_with_its_bytes_alone() -> None:
    key, nonce = SealKey("k1", b"k" * 32), b"n" * 12
    ticket = seal_ticket({"id": "1", "sids": ["a", "b"], "until": 7}, key, nonce)
    assert open_ticket(ticket, key) == {"id": "1", "sids": ["a", "b"], "until": 7}
    flips = [
        ticket[:at] + ("A" if ticket[at] != "A" else "B") + ticket[at + 1 :] for at in range(len(ticket))
    ]
    for bad in (*flips, ticket[:-1], ticket + "=", ticket + "A", "", "é", "\0", "+/" * 20):
        with pytest.raises(SealBroken):
            open_ticket(bad, key)
    for other in (SealKey("k1", b"x" * 32), SealKey("k2", b"k" * 32)):
        with pytest.raises(SealBroken):
            open_ticket(ticket, other)
