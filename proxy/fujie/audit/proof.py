"""One entry with the proof that the signed log holds it: what somebody without the log can check."""

from collections.abc import Sequence
from dataclasses import dataclass

from fujie.audit.checkpoint import VerifierKey, open_checkpoint
from fujie.audit.errors import LogForked
from fujie.audit.tiles import WIDTH, Read, bundle_path, shape, split_bundle, tile_nodes
from fujie.audit.tree import inclusion_proof, leaf_hash, verify_inclusion
from fujie.audit.verify import CHECKPOINT


@dataclass(frozen=True, slots=True)
class Proof:
    """Entry `index` of the log `origin`: its bytes, the hashes beside its path, and the signed note of the tree."""

    origin: str
    index: int
    leaf: bytes
    hashes: tuple[bytes, ...]
    checkpoint: str

    def check(self, key: VerifierKey) -> int:
        """Return the size of the signed log that holds the entry. `key` is named like the origin.

        Raises CheckpointInvalid when `key` did not sign the note, LogForked when the entry is not in that tree.
        """
        signed = open_checkpoint(self.checkpoint, key)
        if signed.origin != self.origin or not verify_inclusion(
            leaf_hash(self.leaf), self.index, signed.size, signed.root, self.hashes
        ):
            raise LogForked("the entry is not at this place of the signed log")
        return signed.size


def prove(read: Read, key: VerifierKey, index: int) -> Proof | None:
    """Return the proof of entry `index` from the files of the log that `key` is named like.

    None while the last checkpoint does not cover it. Raises CheckpointInvalid, or LogForked when the files do not
    hold what was signed.
    """
    note = (read(CHECKPOINT) or b"").decode("utf-8", "replace")
    signed = open_checkpoint(note, key)
    if index >= signed.size:
        return None
    entries = _entries(read, index // WIDTH, signed.size)
    if index % WIDTH >= len(entries):
        raise LogForked("an entry that was signed is missing")
    hashes = inclusion_proof(tile_nodes(read, signed.size), index, signed.size)
    proof = Proof(signed.origin, index, entries[index % WIDTH], tuple(hashes), note)
    proof.check(key)
    return proof


def _entries(read: Read, bundle: int, size: int) -> Sequence[bytes]:
    full, rest = shape(0, size)
    found = read(bundle_path(bundle, WIDTH if bundle < full else rest))
    if found is None:  # a partial one that became full: the full one continues it
        found = read(bundle_path(bundle))
    return split_bundle(found or b"")[0]
