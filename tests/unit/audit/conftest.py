"""A small signed log in memory, as an auditor would hold a copy of it."""

from collections.abc import Callable, Sequence

import pytest

from fujie.audit.checkpoint import Checkpoint, Signer
from fujie.audit.segment import TAIL, header, record
from fujie.audit.tiles import files_of
from fujie.audit.tree import Tree, leaf_hash
from fujie.audit.verify import CHECKPOINT

ORIGIN = "prod-a/w0"


@pytest.fixture
def signer() -> Signer:
    return Signer(ORIGIN, bytes(range(32)))


@pytest.fixture
def note_of(signer: Signer) -> Callable[[Sequence[bytes]], str]:
    def sign(leaves: Sequence[bytes]) -> str:
        return signer.sign(Checkpoint(ORIGIN, len(leaves), Tree(map(leaf_hash, leaves)).root()))

    return sign


@pytest.fixture
def log_of(note_of: Callable[[Sequence[bytes]], str]) -> Callable[..., dict[str, bytes]]:
    """Files of a log of `leaves`, of which the first `signed` (default all) are signed, with its tail."""

    def build(leaves: Sequence[bytes], signed: int | None = None) -> dict[str, bytes]:
        size = len(leaves) if signed is None else signed
        first = size - size % 256
        tail = header(first) + b"".join(record(leaf, leaf_hash(leaf)) for leaf in leaves[first:])
        return {
            **files_of(leaves[:size]),
            CHECKPOINT: note_of(leaves[:size]).encode(),
            TAIL: tail,
        }

    return build
