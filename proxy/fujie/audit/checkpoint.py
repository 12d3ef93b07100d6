"""Checkpoints: signed tree heads as C2SP tlog-checkpoint v1.0.0 in a C2SP signed note, with Ed25519.

    text = origin LF size LF base64(root) LF          note = text LF then lines: em dash SP name SP base64 LF

A key's name is the origin of the log it signs, as verifiers and witnesses expect; logs of one instance may share
a secret and still have distinct keys. Lines by unknown keys are ignored (witnesses, rotation), malformed ones
refuse the note. There are no extension lines: monitors can not audit them.
"""

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from fujie.audit.errors import CheckpointInvalid

_ED25519 = b"\x01"
_is_name = re.compile(r"[^\s+]+").fullmatch
_is_digest = re.compile(r"[0-9a-f]{64}").fullmatch
_signature_line = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})").fullmatch
MAX_SIGNATURES = 64
"""signed-note demands that at least 16 are accepted; a bound keeps a hostile file from costing time."""


def origin_of(instance: str, slot: int) -> str:
    """Return the origin of a worker's log, which is also its path below `audit.dir`: `<instance>/w<slot>`.

    Raises ValueError when `instance` is not 1 to 64 of ASCII letters, digits, dot, dash and underscore, or begins
    with a dot or dash (it becomes a directory and a key name), or `slot` is negative.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", instance) or slot < 0:
        raise ValueError("audit.instance has 1 to 64 of ASCII letters, digits, dot, dash and underscore")
    return f"{instance}/w{slot}"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A tree head: `origin` names the log, `root` is the 32-byte RFC 6962 hash over its first `size` entries."""

    origin: str
    size: int
    root: bytes


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A named Ed25519 public key (32 bytes): what an auditor pins."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """Four bytes that lead each signature: SHA-256(name LF 0x01 public)[:4]."""
        return sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    @property
    def vkey(self) -> str:
        """The key as text: name+hex id+base64."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    def named(self, origin: str) -> "VerifierKey":
        """Return the same public key under the name of another log."""
        return VerifierKey(origin, self.public)


class Signer:
    """The log's secret. Its repr shows the name only."""

    def __init__(self, name: str, seed: bytes) -> None:
        """Take the key name (the origin) and the 32-byte Ed25519 seed."""
        if not _is_name(name):
            raise CheckpointInvalid("a key name has no white space and no plus sign")
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.verifier = VerifierKey(name, self._key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"Signer({self.verifier.name!r})"

    def sign(self, checkpoint: Checkpoint) -> str:
        """Return the signed note of a checkpoint of this key's own log."""
        if checkpoint.origin != self.verifier.name:
            raise CheckpointInvalid("the key belongs to another origin")
        return self._noted(_text(checkpoint), self.verifier)

    def attest(self, subject: str, digest: str) -> str:
        """Return a signed note that is no checkpoint: the key `<origin>/<subject>` vouches for a SHA-256 (hex).

        Name, key id and number of lines differ from a checkpoint's, so that neither passes for the other.
        """
        named = self.verifier.named(f"{self.verifier.name}/{subject}")
        return self._noted(f"{named.name}\nsha256:{digest}\n", named)

    def endorse(self, text: str) -> str:
        """Return this key's signature line (without LF) below a note of somebody else's making.

        The first line of `text` says what it is, so that it passes for neither a checkpoint nor an attestation.
        """
        return self._line(text, self.verifier)

    def _noted(self, text: str, key: VerifierKey) -> str:
        return f"{text}\n{self._line(text, key)}\n"

    def _line(self, text: str, key: VerifierKey) -> str:
        return _signature_line_of(key, self._key.sign(text.encode()))


def endorsement(text: str, key: VerifierKey, signature: bytes) -> str:
    """Return the line of a signature that somebody else's `key` made below `text`, as `Signer.endorse` would.

    Raises CheckpointInvalid when the signature (64 bytes) is not that of this key and text.
    """
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
    except InvalidSignature:
        raise CheckpointInvalid("the signature does not verify") from None
    return _signature_line_of(key, signature)


def _signature_line_of(key: VerifierKey, signature: bytes) -> str:
    return f"— {key.name} {base64.b64encode(key.key_id + signature).decode()}"


def endorsers(text: str, lines: Sequence[str], keys: Sequence[VerifierKey]) -> tuple[VerifierKey, ...]:
    """Return those of `keys` that signed the note `text`, each once, in the order of `keys`.

    Raises CheckpointInvalid for a malformed line, more than `MAX_SIGNATURES`, or a line under one of `keys` that does
    not verify. Lines of unknown keys say nothing.
    """
    if len(lines) > MAX_SIGNATURES:
        raise CheckpointInvalid("too many signatures")
    known = {(key.name, key.key_id): key for key in keys}
    signed = set()
    for name, raw in map(_parsed_line, lines):
        key = known.get((name, raw[:4]))
        if key is None:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(raw[4:], text.encode())
        except InvalidSignature:
            raise CheckpointInvalid("the signature does not verify") from None
        signed.add(key)
    return tuple(key for key in keys if key in signed)


def open_attestation(note: str, subject: str, key: VerifierKey) -> str:
    """Return the digest (hex) that `key` attested under `subject`, else raise CheckpointInvalid."""
    named = key.named(f"{key.name}/{subject}")
    text, blank, tail = note.partition("\n\n")
    match = _signature_line(tail[:-1]) if tail.endswith("\n") else None
    head = text.split("\n")
    if not blank or match is None or len(head) != 2 or head[0] != named.name or match[1] != named.name:
        raise CheckpointInvalid("not an attestation of this log's key")
    raw, digest = _decoded(match[2]), head[1].removeprefix("sha256:")
    if raw[:4] != named.key_id or head[1] != f"sha256:{digest}" or not _is_digest(digest):
        raise CheckpointInvalid("not an attestation of this log's key")
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(raw[4:], f"{text}\n".encode())
    except InvalidSignature:
        raise CheckpointInvalid("the signature does not verify") from None
    return digest


def parse_vkey(text: str) -> VerifierKey:
    """Return the key of a vkey line. Raises CheckpointInvalid unless name, id and Ed25519 key agree."""
    name, _, rest = text.strip().partition("+")
    _, _, encoded = rest.partition("+")
    raw = _decoded(encoded)
    if not _is_name(name) or len(raw) != 33 or raw[:1] != _ED25519:
        raise CheckpointInvalid("not the vkey of an Ed25519 key")
    key = VerifierKey(name, raw[1:])
    if key.vkey != text.strip():
        raise CheckpointInvalid("the vkey's id does not belong to its key")
    return key


def parse_unverified(note: str) -> Checkpoint:
    """Return what a note claims, WITHOUT looking at signatures: for one that another trusted place kept.

    Raises CheckpointInvalid when the form is wrong.
    """
    return _split(note)[0]


def open_checkpoint(note: str, key: VerifierKey) -> Checkpoint:
    """Return the checkpoint if `key` signed it and it is of the key's own log, else raise CheckpointInvalid."""
    checkpoint, lines = _split(note)
    if checkpoint.origin != key.name:
        raise CheckpointInvalid("a checkpoint of another origin")
    for line in lines:
        name, raw = line
        if name != key.name or raw[:4] != key.key_id:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(raw[4:], _text(checkpoint).encode())
        except InvalidSignature:
            raise CheckpointInvalid("the signature does not verify") from None
        return checkpoint
    raise CheckpointInvalid("not signed by the expected key")


def _text(checkpoint: Checkpoint) -> str:
    return f"{checkpoint.origin}\n{checkpoint.size}\n{base64.b64encode(checkpoint.root).decode()}\n"


def _split(note: str) -> tuple[Checkpoint, list[tuple[str, bytes]]]:
    text, blank, tail = note.partition("\n\n")
    head, lines = text.split("\n"), tail.split("\n")
    if not blank or len(head) != 3 or lines[-1] or not 2 <= len(lines) <= MAX_SIGNATURES + 1:
        raise CheckpointInvalid("not a signed checkpoint")
    origin, size, root = head
    if not _is_name(origin) or not re.fullmatch(r"0|[1-9][0-9]{0,18}", size) or len(_decoded(root)) != 32:
        raise CheckpointInvalid("not a checkpoint: origin, size or root is malformed")
    return Checkpoint(origin, int(size), _decoded(root)), [_parsed_line(line) for line in lines[:-1]]


def _parsed_line(line: str) -> tuple[str, bytes]:
    match = _signature_line(line)
    if match is None:
        raise CheckpointInvalid("a malformed signature line")
    return match[1], _decoded(match[2])


def _decoded(text: str) -> bytes:
    # Re-encoding refuses the spare bits of the last character: a note has one spelling, so no flip goes unseen.
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise CheckpointInvalid("malformed base64") from None
    if base64.b64encode(raw).decode() != text:
        raise CheckpointInvalid("malformed base64")
    return raw
