"""Personal facts in the log, readable only while the customer's own key exists (erasure by destroying the key).

Each customer has a data key (DEK); the ledger keeps it wrapped under the `seal` key. Both layers are AES-256-GCM
with a random 96-bit nonce, which the caller draws: one key must seal fewer than 2^32 messages (NIST SP 800-38D
section 8.3). A sealed text is bound to its place, so that it can not be moved to another entry or customer.

    sealed = version 0x01 || length of key id (1 byte) || key id || nonce (12) || ciphertext and tag
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fujie.audit.canon import canonical, parse
from fujie.audit.entry import FactValue
from fujie.audit.errors import EntryInvalid, SealBroken
from fujie.model.making import made_often

KEY_BYTES = 32
NONCE_BYTES = 12
_VERSION = 1


@dataclass(frozen=True, slots=True)
class SealKey:
    """A 256-bit secret and the id that ciphertexts name it by (1 to 64 ASCII characters)."""

    id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not (self.id.isascii() and 1 <= len(self.id) <= 64 and len(self.secret) == KEY_BYTES):
            raise ValueError("a seal key has an ASCII id of 1 to 64 characters and 32 bytes")


@made_often
@dataclass(frozen=True, slots=True)
class Place:
    """Where sealed facts belong: origin and uid of the entry, sid of the customer."""

    origin: str
    uid: str
    sid: str


def seal_facts(facts: Mapping[str, FactValue], key: SealKey, place: Place, nonce: bytes) -> str:
    """Return base64 of `facts` encrypted under the customer's key, bound to `place`.

    `nonce` is 12 fresh random bytes. Raises EntryInvalid for facts outside the domain of `canonical`.
    """
    return seal(canonical(dict(facts)), key, place, nonce)


def seal(facts: bytes, key: SealKey, place: Place, nonce: bytes) -> str:
    """Return what `seal_facts` returns, for who has the canonical bytes of the facts."""
    sealed = _seal(facts, key, nonce, ("facts", place.origin, place.uid, place.sid))
    return binascii.b2a_base64(sealed, newline=False).decode()


def open_facts(sealed: str, key: SealKey, place: Place) -> dict[str, FactValue]:
    """Return the facts. Raises SealBroken when key or place is another one, or a byte was altered."""
    return facts_in(unseal(sealed, key, place))


def unseal(sealed: str, key: SealKey, place: Place) -> bytes:
    """Return the canonical bytes of the facts, for who has parsed the same ones before. Raises as `open_facts`."""
    try:
        raw = binascii.a2b_base64(sealed, strict_mode=True)
    except ValueError:  # binascii.Error, or text that is not ASCII
        raise SealBroken("not base64") from None
    return _open(raw, key, ("facts", place.origin, place.uid, place.sid))


def facts_in(plain: bytes) -> dict[str, FactValue]:
    """Return the facts whose canonical bytes `unseal` gave."""
    facts = parse(plain)
    assert isinstance(facts, dict)
    return {path: tuple(value) if isinstance(value, list) else value for path, value in facts.items()}


def wrap_key(dek: bytes, under: SealKey, sid: str, nonce: bytes) -> bytes:
    """Return the customer's 32-byte data key encrypted under the `seal` key, bound to `sid`."""
    if len(dek) != KEY_BYTES:
        raise ValueError("a data key has 32 bytes")
    return _seal(dek, under, nonce, ("dek", sid))


def unwrap_key(wrapped: bytes, under: SealKey, sid: str) -> bytes:
    """Return the data key. Raises SealBroken when `under` or `sid` is another one, or a byte was altered."""
    return _open(wrapped, under, ("dek", sid))


def seal_ticket(content: Mapping[str, object], key: SealKey, nonce: bytes) -> str:
    """Return what a caller may carry and neither read nor alter: `content`, sealed, as text safe in a URL.

    Raises EntryInvalid for content outside the domain of `canonical`.
    """
    return base64.urlsafe_b64encode(_seal(canonical(content), key, nonce, ("ticket",))).decode().rstrip("=")


def open_ticket(ticket: str, key: SealKey) -> dict[str, object]:
    """Return the content. Raises SealBroken for anything but the very text that was sealed under this key."""
    try:
        raw = base64.b64decode(ticket + "=" * (-len(ticket) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise SealBroken("not base64") from None
    if base64.urlsafe_b64encode(raw).decode().rstrip("=") != ticket:  # spare bits: one ticket, one spelling
        raise SealBroken("not base64")
    content = parse(_open(raw, key, ("ticket",)))
    assert isinstance(content, dict)
    return content


def key_id(sealed: bytes) -> str:
    """Return the id of the key that `sealed` needs, for choosing among key versions. Raises SealBroken."""
    if len(sealed) < 2 or sealed[0] != _VERSION or len(sealed) < 2 + sealed[1]:
        raise SealBroken("no sealed text of version 1")
    return sealed[2 : 2 + sealed[1]].decode("ascii", "replace")


def _seal(plain: bytes, key: SealKey, nonce: bytes, place: tuple[str, ...]) -> bytes:
    if len(nonce) != NONCE_BYTES:
        raise ValueError("a nonce has 12 bytes")
    header = bytes((_VERSION, len(key.id))) + key.id.encode()
    return header + nonce + _cipher(key.secret).encrypt(nonce, plain, _bound(header, place))


def _open(sealed: bytes, key: SealKey, place: tuple[str, ...]) -> bytes:
    if key_id(sealed) != key.id:
        raise SealBroken("sealed under another key")
    header, rest = sealed[: 2 + sealed[1]], sealed[2 + sealed[1] :]
    try:
        return _cipher(key.secret).decrypt(rest[:NONCE_BYTES], rest[NONCE_BYTES:], _bound(header, place))
    except (InvalidTag, ValueError):  # ValueError: too short to hold nonce and tag
        raise SealBroken("another key, another place, or altered bytes") from None


@lru_cache(maxsize=4096)
def _cipher(secret: bytes) -> AESGCM:
    """Expand a key (4 µs) once; as many are kept as data keys that were unwrapped."""
    return AESGCM(secret)


def _bound(header: bytes, place: tuple[str, ...]) -> bytes:
    # NUL is refused in every name, so the parts can not be shifted into each other.
    joined = "\0".join(place)
    if joined.count("\0") != len(place) - 1:
        raise EntryInvalid("a name with NUL")
    return header + joined.encode()
