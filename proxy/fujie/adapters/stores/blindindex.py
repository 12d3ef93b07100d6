"""The keyed digests by which a store finds numbers that it does not hold: a blind index.

HMAC-SHA-256 under the `store_index` key, in full, as 64 lower-case hexadecimal digits, of the ASCII text
`fujie.store_index.v1:phone:+8613800138000` for a number in E.164, and of
`fujie.store_index.v1:last_four:8000` for its last four digits. Whoever fills the column makes the same
(`docs/operations.md`), so nothing here can change without a new version in the label.

It shows equality and frequency; with the key every number can be tried (about 10^10), without it none.
"""

import hmac

_LABEL = "fujie.store_index.v1"


def phone_digest(key: bytes, phone_e164: str) -> str:
    """Return the digest of a number in E.164, with its plus."""
    return _digest(key, f"{_LABEL}:phone:{phone_e164}")


def last_four_digest(key: bytes, last_four: str) -> str:
    """Return the digest of the last four digits of a number."""
    return _digest(key, f"{_LABEL}:last_four:{last_four}")


def _digest(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256").hex()
