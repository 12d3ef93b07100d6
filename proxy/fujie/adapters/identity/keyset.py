"""The keys of one issuer: a JWKS (RFC 7517) read strictly and as a whole, so that verifying only looks up.

Only public keys of asymmetric algorithms exist in here: with a symmetric key in the set, whoever can
verify a token could also forge one, and a public key taken as an HMAC secret is the classic confusion
(CVE-2026-48526).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

from fujie.model.errors import StartError

ALGORITHMS: Final[Mapping[str, tuple[str, str]]] = {
    "RS256": ("RSA", ""),
    "RS384": ("RSA", ""),
    "RS512": ("RSA", ""),
    "PS256": ("RSA", ""),
    "PS384": ("RSA", ""),
    "PS512": ("RSA", ""),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}
"""Algorithms that can be pinned, with key type and curve (RFC 7518, RFC 8037): no `none`, no HMAC."""

LEAST_RSA_BITS: Final = 2_048
"""RFC 7518 section 3.3."""

_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


@dataclass(frozen=True, slots=True)
class Issuer:
    """Whose tokens are believed: issuer and audience as they must stand in the token, pinned algorithms, keys.

    `jwks` is the content of the issuer's key set, `reread` reads it anew (blocking, StartError when it
    can not) once it is `refresh_s` seconds old; without it the keys stay as they are.
    `prefix` stands before the subject in the principal's id, so that the issuer names nobody of another's.
    """

    iss: str
    aud: str
    algs: tuple[str, ...]
    jwks: Mapping[str, Any]
    reread: Callable[[], Mapping[str, Any]] | None = None
    refresh_s: float = 300.0
    prefix: str = ""


@dataclass(frozen=True, slots=True, repr=False)
class KeySet:
    """Algorithm to key id to verification key; a key without id has the id None."""

    by_algorithm: Mapping[str, Mapping[str | None, Any]]

    def find(self, algorithm: str, kid: str | None) -> Any | None:
        """Return the key, or None.

        A token without key id is taken only when the algorithm has exactly one key: trying several
        would let a caller choose how much work a bad token makes.
        """
        keys = self.by_algorithm.get(algorithm, {})
        if kid is None:
            return next(iter(keys.values())) if len(keys) == 1 else None
        return keys.get(kid)


def read_keys(issuer: Issuer) -> KeySet:
    """Return the issuer's keys.

    Raises:
        StartError: ISSUER_INVALID. An empty name, an algorithm that is not in `ALGORITHMS`, a private
            or symmetric key, two keys with one id, a weak or unreadable key, an algorithm without key.

    """
    if not issuer.iss or not issuer.aud or not issuer.algs:
        raise _invalid(issuer, "iss, aud and algs are all needed")
    refused = [alg for alg in issuer.algs if alg not in ALGORITHMS]
    if refused:
        raise _invalid(
            issuer, f"algorithms {refused} are not accepted; choose from {', '.join(ALGORITHMS)}"
        )
    entries = issuer.jwks.get("keys")
    if not isinstance(entries, list) or not entries or not all(isinstance(e, dict) for e in entries):
        raise _invalid(issuer, "the JWKS needs a list `keys` of at least one key")
    keys: dict[str, dict[str | None, Any]] = {alg: {} for alg in issuer.algs}
    for entry in entries:
        _add(issuer, keys, entry)
    without = [alg for alg, found in keys.items() if not found]
    if without:
        raise _invalid(issuer, f"no key of the JWKS fits {without}")
    return KeySet(keys)


def _add(issuer: Issuer, keys: dict[str, dict[str | None, Any]], entry: Mapping[str, Any]) -> None:
    """Add one key under every pinned algorithm that it fits; keys for other ends than signing are left out."""
    if entry.get("kty") == "oct" or _PRIVATE_MEMBERS & entry.keys():
        raise _invalid(issuer, "the JWKS holds a private or symmetric key; publish public keys only")
    kid = entry.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise _invalid(issuer, "a key id is not a text")
    uses = entry.get("key_ops", ["verify"])
    if not isinstance(uses, list):
        raise _invalid(issuer, "key_ops is not a list")
    if entry.get("use", "sig") != "sig" or "verify" not in uses:
        return
    for alg, known in keys.items():
        kind, curve = ALGORITHMS[alg]
        if (
            entry.get("kty") != kind
            or entry.get("alg", alg) != alg
            or (curve and entry.get("crv") != curve)
        ):
            continue
        if kid in known:
            raise _invalid(issuer, "two keys have one id, or none")
        known[kid] = _public_key(issuer, entry, alg)


def _public_key(issuer: Issuer, entry: Mapping[str, Any], alg: str) -> Any:
    try:
        key = jwt.PyJWK(dict(entry), algorithm=alg).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        raise _invalid(issuer, f"a key of the JWKS is not readable as {alg}") from None
    if ALGORITHMS[alg][0] == "RSA" and key.key_size < LEAST_RSA_BITS:
        raise _invalid(issuer, f"an RSA key is shorter than {LEAST_RSA_BITS} bits")
    return key


def _invalid(issuer: Issuer, problem: str) -> StartError:
    return StartError(
        "ISSUER_INVALID", f"issuer {issuer.iss!r}: {problem}", "Correct identity.issuers or its JWKS file."
    )
