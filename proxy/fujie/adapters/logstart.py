"""Opening a log: what a crash left is put right, what a crash can not have caused refuses the start.

1. Lock: one writer.
2. The checkpoint must be signed by our key; without one there must be no entries.
3. The right edge is rebuilt from the tiles up to the tail, then from the tail, whose torn end is cut off.
4. The root at the signed size must be the signed root. A shorter log was rolled back, another root is a fork.
5. The checkpoint that the ledger kept must be a prefix: a volume restored as a whole passes 1 to 4.
"""

from dataclasses import dataclass
from os import close
from pathlib import Path

from fujie.adapters.tilefiles import LogDirectory
from fujie.audit.checkpoint import Checkpoint, Signer, open_checkpoint, parse_unverified
from fujie.audit.errors import CheckpointInvalid, LogForked, LogRolledBack
from fujie.audit.segment import TAIL, header, parse_segment, record
from fujie.audit.tiles import WIDTH, Frontier, signed_root
from fujie.audit.tree import EMPTY_ROOT, leaf_hash
from fujie.audit.verify import CHECKPOINT

VKEY = "vkey"
"""The public key beside the log, for convenience only: an auditor pins a copy taken elsewhere."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A log ready for appending: its key, locked directory, right edge, last checkpoint and open tail.

    `torn_bytes` counts what was cut off the tail: parts of entries that were never acknowledged.
    """

    signer: Signer
    directory: LogDirectory
    frontier: Frontier
    signed: Checkpoint
    tail: int
    torn_bytes: int

    def close(self) -> None:
        """Let go of a log that is not to be continued."""
        close(self.tail)
        self.directory.release()


def open_log(audit_dir: Path, signer: Signer, known: str | None = None) -> Opened:
    """Open the log at `audit_dir/<origin>`, new or left by an earlier process, clean or not.

    `signer` is named like the log's origin (`checkpoint.origin_of`). `known` is the last signed note of this origin that was kept outside the volume; it is trusted as given.
    Raises LogLocked, LogRolledBack, LogForked, CheckpointInvalid (a malformed `known`) or OSError.
    """
    directory = LogDirectory(audit_dir / signer.verifier.name)
    try:
        return _recovered(directory, signer, known)
    except BaseException:
        directory.release()
        raise


def _recovered(directory: LogDirectory, signer: Signer, known: str | None) -> Opened:
    signed = _signed(directory, signer)
    tail = directory.read(TAIL)
    if tail is None:
        raise LogRolledBack("the log has a checkpoint and no tail")
    segment = parse_segment(tail)
    if segment.end < signed.size:
        raise LogRolledBack(f"{segment.end} entries are left of {signed.size} signed ones")
    if segment.first % WIDTH or segment.first > signed.size:
        raise LogForked("the tail does not continue the signed entries")
    frontier = Frontier.restore(directory.read, segment.first, signed.size)
    root = frontier.root() if segment.first == signed.size else b""
    for leaf in segment.leaves:
        frontier.append(leaf, leaf_hash(leaf))
        if frontier.size == signed.size:
            root = frontier.root()
    if root != signed.root:
        raise LogForked(f"the {signed.size} signed entries have another root than the one signed")
    if known is not None:
        _check_kept(directory, signed, parse_unverified(known))
    descriptor = directory.open_for_append(TAIL, len(tail) - segment.torn)
    return Opened(signer, directory, frontier, signed, descriptor, segment.torn)


def _signed(directory: LogDirectory, signer: Signer) -> Checkpoint:
    """Return the checkpoint on the volume; a new log gets an empty tail and the checkpoint of no entries."""
    note = directory.read(CHECKPOINT)
    if note is None:
        if directory.read(TAIL) not in (None, header(0)):
            raise LogRolledBack("the log has entries and no checkpoint")
        empty = Checkpoint(signer.verifier.name, 0, EMPTY_ROOT)
        # The checkpoint last: its presence says that the tail must be there.
        directory.publish([(TAIL, header(0)), (VKEY, f"{signer.verifier.vkey}\n".encode())])
        directory.publish([(CHECKPOINT, signer.sign(empty).encode())])
        return empty
    try:
        return open_checkpoint(note.decode(), signer.verifier)
    except (CheckpointInvalid, UnicodeDecodeError):
        raise LogForked("the checkpoint is not signed by this log's key") from None


def _check_kept(directory: LogDirectory, signed: Checkpoint, kept: Checkpoint) -> None:
    if kept.origin != signed.origin:
        raise LogForked("the kept checkpoint is of another origin")
    if kept.size > signed.size:
        raise LogRolledBack(f"the log is signed up to {signed.size}, a checkpoint of {kept.size} was kept")
    if signed_root(directory.read, kept.size, signed.size) != kept.root:
        raise LogForked(f"the first {kept.size} entries are not those of the kept checkpoint")


def fresh_tail(frontier: Frontier) -> bytes:
    """Return the tail that holds the entries of the partial bundle only, all others being published."""
    framed = frontier.unfinished()
    records = [record(entry[2:], leaf_hash(entry[2:])) for entry in framed]
    return header(frontier.size - len(framed)) + b"".join(records)
