"""Tokens: keyed pseudonyms that say "the same value again" and nothing else.

A plain hash of a phone number is undone by trying all of them (fewer than 10^10); only a secret key protects
it. A token is for joining within one scope: it can not be turned back, and other scopes, classes and keys give
unrelated tokens. Like every deterministic pseudonym it shows equality and frequency.
"""

import re
from base64 import b32encode
from dataclasses import dataclass, field
from hmac import digest
from typing import Final

from fujie.model.data_class import DataClass

SHORTEST_KEY: Final = 32
"""Bytes. A key shorter than the hash's output is weaker than the hash (RFC 2104 section 3)."""

_KEY_ID = re.compile(r"[a-z0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Tokeniser:
    """The key and the scope (a tenant, a store, a purpose; the caller's choice) that tokens hold within.

    `customer` is the sid of the customer whose record is masked, "" when nobody's; only `shift` reads it.
    Raises ValueError when the key has fewer than 32 bytes, the key id is not 1 to 16 of a-z0-9, or the scope
    is empty or holds a NUL, which separates the parts of what is hashed.
    """

    key: bytes = field(repr=False)
    key_id: str
    scope: str
    customer: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if len(self.key) < SHORTEST_KEY:
            raise ValueError(f"a token key needs at least {SHORTEST_KEY} bytes")
        if not _KEY_ID.fullmatch(self.key_id):
            raise ValueError("a token key id is 1 to 16 of a-z and 0-9")
        if not self.scope or "\0" in self.scope:
            raise ValueError("a token scope is not empty and holds no NUL")

    def token(self, data_class: DataClass, normalised: str) -> str:
        """Return `tok_<key id>_<26 of a-z2-7>`: 16 bytes of HMAC-SHA-256 over class, scope and value.

        Normalise first, or two spellings of one phone number get two tokens. About 3 µs.
        """
        message = f"fujie.token.v1\0{data_class}\0{self.scope}\0{normalised}"
        tag = digest(self.key, message.encode("utf-8", "surrogatepass"), "sha256")[:16]
        return f"tok_{self.key_id}_{b32encode(tag).decode('ascii').rstrip('=').lower()}"

    def of(self, sid: str) -> "Tokeniser":
        """Return the tokeniser for the record of this customer. Its tokens are the same for all customers."""
        return Tokeniser(self.key, self.key_id, self.scope, sid)

    def shift(self, days: int) -> int | None:
        """Return by how many days the dates of the customer move: 1 to `days`, back or forth, never 0.

        The same for all dates of one customer, so their order and distance stay; None without a customer.
        Another number of days gives an unrelated shift: two related ones would give the date away.
        """
        if not self.customer:
            return None
        message = f"fujie.shift.v1\0{days}\0{self.scope}\0{self.customer}"
        number = int.from_bytes(digest(self.key, message.encode("utf-8", "surrogatepass"), "sha256")[:16])
        distance = number % (2 * days) - days
        return distance if distance < 0 else distance + 1
