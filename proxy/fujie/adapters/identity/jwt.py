"""JSON Web Tokens (RFC 7519) of configured issuers, checked after RFC 8725.

A token is checked in this order; the first failure ends it.
1. Size, and the memo of tokens that were verified before.
2. Issuer: named exactly; it selects keys and algorithms.
3. Header: a pinned algorithm, no `crit` (we implement no extension), no key or key address of its own.
   A `kid` that the set does not hold makes the set be read anew, at most every 30 s.
4. Signature, by the key that the set holds under the token's `kid`; then `iss`, `aud`, presence of claims.
5. `exp`, `nbf`, `iat` against the given time, and `sub`.

Of the claims only `sub` is believed (promise 11). Errors never hold any part of a token.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

import jwt

from fujie.adapters.identity.follow import FollowedKeys, Report
from fujie.adapters.identity.keyset import Issuer, KeySet
from fujie.model.errors import CredentialError, StartError
from fujie.model.principal import Credential

LEEWAY_S: Final = 30
"""How far the clocks of issuer and server may differ; RFC 7519 allows a few minutes at most."""

MOST_TOKEN_CHARS: Final = 8_192
"""Fits the metadata bound of the transport; tokens beyond carry group lists that nobody reads here."""

MOST_SUBJECT_CHARS: Final = 256
"""OpenID Connect allows 255."""

MOST_REMEMBERED: Final = 10_000
"""Verified tokens in memory, about 400 bytes each; verifying again costs 74 to 141 µs."""

MOST_REMEMBERED_S: Final = 3_600
"""However long a token lives, it is verified anew after an hour."""

_OWN_KEYS: Final = frozenset({"jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"})
"""Header members by which a token brings or names a key of its own (CVE-2026-27962)."""

# The library's decoder skips what is not base64url: one token would have any number of spellings.
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")

_CHECKS: Final[Any] = {
    "require": ["iss", "aud", "exp", "sub"],
    # Times are checked here against `now`: the library would read the clock of the machine.
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
}


@dataclass(frozen=True, slots=True, repr=False)
class _Verified:
    """What a token proved by a key of `keys`, at the time `at`; void when its issuer has other keys."""

    credential: Credential
    not_before: float
    expires: float
    issuer: FollowedKeys
    keys: KeySet
    at: float

    def holds(self, at: float) -> bool:
        return self.keys is self.issuer.keys and self.at <= at < self.at + MOST_REMEMBERED_S


class TokenAuthenticator:
    """A `ports.Authenticator` over any number of issuers. For one event loop; close it when done.

    `clock` is monotonic, in seconds; `report` is told when an issuer's keys can not be read anew.
    """

    def __init__(
        self,
        issuers: Sequence[Issuer],
        clock: Callable[[], float],
        report: Report,
    ) -> None:
        if len({issuer.iss for issuer in issuers}) != len(issuers):
            raise StartError("ISSUER_INVALID", "one issuer is configured twice", "Merge the two entries.")
        self._trusted: Mapping[str, FollowedKeys] = {
            issuer.iss: FollowedKeys(issuer, clock, report) for issuer in issuers
        }
        # By the SHA-256 of the token: a memory dump holds no token to replay. Failures are not
        # remembered, or a flood of them would push the good ones out.
        self._memo: OrderedDict[bytes, _Verified] = OrderedDict()

    async def close(self) -> None:
        """End what reads keys."""
        for trusted in self._trusted.values():
            await trusted.close()

    async def verify(self, token: str, now: datetime) -> Credential:
        """Return what the token proves at `now`.

        Raises:
            CredentialError: TOKEN_EXPIRED when only its time is wrong, else TOKEN_INVALID.

        """
        if len(token) > MOST_TOKEN_CHARS or not token.isascii():
            raise CredentialError("too long or not ASCII")
        digest = sha256(token.encode("ascii")).digest()
        at = now.timestamp()
        known = self._memo.get(digest)
        if known is not None and known.issuer.is_due:
            await known.issuer.refresh()
        if known is not None and known.holds(at):
            self._memo[digest] = known  # another call may have pushed it out meanwhile
            self._memo.move_to_end(digest)
        else:
            self._memo.pop(digest, None)
            known = await self._check(token, at)
            self._remember(digest, known)
        if not known.not_before - LEEWAY_S <= at < known.expires + LEEWAY_S:
            raise CredentialError("not valid at this time", code="TOKEN_EXPIRED")
        return known.credential

    def _remember(self, digest: bytes, verified: _Verified) -> None:
        self._memo[digest] = verified
        if len(self._memo) > MOST_REMEMBERED:
            self._memo.popitem(last=False)

    async def _check(self, token: str, at: float) -> _Verified:
        """Check all but the time."""
        trusted, algorithm, kid = self._claimed(token)
        if trusted.is_due:
            await trusted.refresh()
        if kid is not None and trusted.keys.find(algorithm, kid) is None:
            await trusted.seek()
        keys = trusted.keys
        key = keys.find(algorithm, kid)
        if key is None:
            raise CredentialError("no such key")
        credential, not_before, expires = _believed(_claims(token, key, trusted.issuer), trusted.issuer)
        return _Verified(credential, not_before, expires, trusted, keys, at)

    def _claimed(self, token: str) -> tuple[FollowedKeys, str, str | None]:
        """Return whose token it says to be, its algorithm, and the id of its key; nothing is proven yet."""
        if not _COMPACT.fullmatch(token):
            raise CredentialError("not three parts of base64url")
        with _refusing():
            header = jwt.get_unverified_header(token)
            claimed = jwt.decode(token, options={"verify_signature": False})
            trusted = self._trusted.get(_text(claimed.get("iss"), "iss"))
            if trusted is None:
                raise CredentialError("the issuer is not configured")
            return trusted, *_key_name(header, trusted.issuer)


@contextmanager
def _refusing() -> Iterator[None]:
    """Whatever a parser of hostile bytes raises means: not a valid token."""
    try:
        yield
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise CredentialError("not a valid token of a configured issuer") from None


def _claims(token: str, key: Any, issuer: Issuer) -> Mapping[str, Any]:
    with _refusing():
        claims: Mapping[str, Any] = jwt.decode(
            token,
            key,
            algorithms=list(issuer.algs),
            audience=issuer.aud,
            issuer=issuer.iss,
            options=_CHECKS,
        )
        return claims


def _key_name(header: Mapping[str, Any], issuer: Issuer) -> tuple[str, str | None]:
    """Return algorithm and key id of a header that asks for nothing unusual."""
    if "crit" in header or _OWN_KEYS & header.keys():
        raise CredentialError("the header asks for an extension or brings a key")
    algorithm = _text(header.get("alg"), "alg")
    if algorithm not in issuer.algs:
        raise CredentialError("the algorithm is not pinned for the issuer")
    return algorithm, header.get("kid")


def _believed(claims: Mapping[str, Any], issuer: Issuer) -> tuple[Credential, float, float]:
    """Return who the token says to be, not before and until when."""
    claimed = _text(claims.get("sub"), "sub")
    subject = issuer.prefix + claimed
    # `isprintable` also refuses what would break lines of a log; a blank id names nobody.
    if len(subject) > MOST_SUBJECT_CHARS or not subject.isprintable() or not claimed.strip():
        raise CredentialError("the subject is not a principal's id")
    # A workload proves itself by its certificate: an issuer whose users choose their names must not make one.
    if subject.lower().startswith("spiffe:"):
        raise CredentialError("the subject is a workload's")
    starts = [_time(claims[name]) for name in ("nbf", "iat") if name in claims]
    not_before = max(starts, default=float("-inf"))
    return Credential(subject, issuer.iss), not_before, _time(claims.get("exp"))


def _text(value: object, claim: str) -> str:
    if not isinstance(value, str) or not value:
        raise CredentialError(f"{claim} is not a text")
    return value


def _time(value: object) -> float:
    """Return a NumericDate. Not NaN or infinity, which would never expire, and not a bool or a text."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 2**53:
        raise CredentialError("a time of the token is not a number of seconds")
    return float(value)
