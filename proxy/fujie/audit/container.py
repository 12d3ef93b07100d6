"""The sealed file of an export (`.fjx`, docs/exports.md): parts under keys that fujie keeps, in an order that can not be
altered unseen.

    file   = header || frame 0 || frame 1 || ... || end
    header = "FJX" 0D 0A 1A || version 0x01 || length (4) || JSON
    frame  = head || nonce (12) || ciphertext and tag
    head   = kind 0x01 (end: 0x02) || number (4) || rows (4) || length of what follows (4)

Numbers are unsigned and big-endian. Each part is AES-256-GCM under a random key of its own, bound to the SHA-256 of the
header and to its head. So a part of another file, or at another place, or under a changed header, does not open; and a file
without its end, whose number is the count of parts before it, is known to be cut. Nothing here proves who made a file:
whoever could open it knows its keys.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fujie.audit.canon import canonical, parse
from fujie.audit.errors import ContainerInvalid, SealBroken
from fujie.audit.sealing import NONCE_BYTES

MAGIC: Final = b"FJX\r\n\x1a"
"""The line end and the end-of-file mark of DOS show a transfer that took it for text (as PNG, RFC 2083 section 12.11)."""

VERSION: Final = 1
MOST_HEADER: Final = 64 * 1024
MOST_PART: Final = 16 * 1024 * 1024
"""Bytes of one part: four times what a message of gRPC carries."""

_TAG_BYTES: Final = 16
_HEAD_BYTES: Final = 13
_KINDS: Final = {1: False, 2: True}
_FORMATS: Final = frozenset({"csv", "json_lines"})
_is_name = re.compile(r"exports/[0-9a-f]{32}").fullmatch
_is_time = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z").fullmatch
_is_field = re.compile(r"[a-z][a-z0-9_]{0,62}").fullmatch
_SHAPE: Final = {"export": str, "expires": str, "fields": dict, "format": str}

Read = Callable[[int], bytes]
"""Returns up to so many bytes, as the `read` of a file does; fewer only at its end."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself: the name of its export, until when it can be opened (RFC 3339, UTC), the step of each
    field, the format of what is inside. `digest` is the SHA-256 of its bytes, which every part is bound to."""

    export: str
    expires: str
    fields: Mapping[str, str]
    format: str

    def encoded(self) -> bytes:
        """Return the bytes that a file begins with."""
        said = {
            "export": self.export,
            "expires": self.expires,
            "fields": dict(self.fields),
            "format": self.format,
        }
        text = canonical(said)
        return MAGIC + bytes((VERSION,)) + len(text).to_bytes(4) + text

    @property
    def digest(self) -> bytes:
        """What binds the parts to it."""
        return hashlib.sha256(self.encoded()).digest()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part stands: its number from 0, how many rows it has, and whether it is the end."""

    number: int
    rows: int
    is_end: bool = False

    def head(self, length: int) -> bytes:
        """Return the bytes before a part of this length."""
        kind = bytes((2 if self.is_end else 1,))
        return kind + self.number.to_bytes(4) + self.rows.to_bytes(4) + length.to_bytes(4)


@dataclass(frozen=True, slots=True)
class Part:
    """A sealed part as it stands in a file."""

    place: Place
    sealed: bytes = field(repr=False)


def seal_part(plain: bytes, place: Place, digest: bytes, key: bytes, nonce: bytes) -> bytes:
    """Return the bytes of a part. `digest` is that of the header; the key (32 random bytes) is for this part alone."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce has 12 bytes")
    head = place.head(NONCE_BYTES + len(plain) + _TAG_BYTES)
    return head + nonce + AESGCM(key).encrypt(nonce, plain, digest + head)


def open_part(part: Part, digest: bytes, key: bytes) -> bytes:
    """Return what is inside. Raises SealBroken for another key, another file, another place, or a flipped byte."""
    bound = digest + part.place.head(len(part.sealed))
    try:
        return AESGCM(key).decrypt(part.sealed[:NONCE_BYTES], part.sealed[NONCE_BYTES:], bound)
    except (InvalidTag, ValueError):  # ValueError: no key of 32 bytes
        raise SealBroken("another key, another place, or altered bytes") from None


def read_header(read: Read) -> Header:
    """Return the header, and leave `read` behind it. Raises ContainerInvalid."""
    start = read(len(MAGIC) + 5)
    if not start.startswith(MAGIC) or len(start) < len(MAGIC) + 5:
        raise ContainerInvalid("this is no leased file")
    if start[len(MAGIC)] != VERSION:
        raise ContainerInvalid(
            f"the file has version {start[len(MAGIC)]}; this build reads version {VERSION}"
        )
    length = int.from_bytes(start[-4:])
    if length > MOST_HEADER:
        raise ContainerInvalid("the header was altered")
    text = read(length)
    try:
        said: Any = parse(text)
        is_one = {name: type(value) for name, value in said.items()} == _SHAPE and canonical(said) == text
    except (ValueError, AttributeError, TypeError):
        is_one = False
    if not is_one or len(text) != length or not _is_ours(said):
        raise ContainerInvalid("the header was altered")
    return Header(**said)


def _is_ours(said: Mapping[str, Any]) -> bool:
    """Tell whether a header of the right shape could be of fujie. What it says is shown to who opens the file, and stands in
    it as the heading, also where no part is there that would prove it: so nothing in it steers a terminal or a spreadsheet."""
    return (
        _is_name(said["export"]) is not None
        and _is_time(said["expires"]) is not None
        and said["format"] in _FORMATS
        and all(_is_field(name) for name in said["fields"])
        and all(
            isinstance(step, str) and step.isascii() and step.isprintable()
            for step in said["fields"].values()
        )
    )


def parts(read: Read) -> Iterator[Part]:
    """Yield the parts behind the header in their order, the end last.

    A file that was cut yields what is whole. Raises ContainerInvalid, also after some parts: for parts that lack, stand
    twice or in another order, and for bytes behind the end. That they open is another matter (`open_part`).
    """
    expected = 0
    while head := read(_HEAD_BYTES):
        if len(head) < _HEAD_BYTES:
            return
        place, length = _place(head)
        if place.number != expected:
            raise ContainerInvalid(f"part {expected} is missing or not at its place")
        sealed = read(length)
        if len(sealed) < length:
            return
        yield Part(place, sealed)
        if place.is_end:
            if read(1):
                raise ContainerInvalid("something stands behind the end")
            return
        expected += 1


def _place(head: bytes) -> tuple[Place, int]:
    number, rows, length = (int.from_bytes(head[at : at + 4]) for at in (1, 5, 9))
    if head[0] not in _KINDS or not NONCE_BYTES + _TAG_BYTES <= length <= MOST_PART:
        raise ContainerInvalid("the head of a part was altered")
    return Place(number, rows, _KINDS[head[0]]), length
