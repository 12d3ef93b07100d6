"""Tokens of our own making, for the demo and for tests: a signing key, its JWKS, and JWTs of it.

A company's tokens come from its identity provider; the server only ever verifies.
"""

import base64
import json
from collections.abc import Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

ALGORITHM = "ES256"


def new_signing_key() -> tuple[str, dict[str, Any]]:
    """Return a fresh P-256 private key as PKCS #8 PEM, and the JWKS of its public half.

    The key id is the RFC 7638 thumbprint; the private half is nowhere in the JWKS.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    point = {"crv": "P-256", "kty": "EC", "x": _coordinate(numbers.x), "y": _coordinate(numbers.y)}
    thumbprint = sha256(json.dumps(point, separators=(",", ":"), sort_keys=True).encode()).digest()
    jwks = {"keys": [{**point, "kid": _base64url(thumbprint), "alg": ALGORITHM, "use": "sig"}]}
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return pem, jwks


def mint(private_key_pem: str, claims: Mapping[str, str], kid: str, ttl_s: int, now: datetime) -> str:
    """Return a JWT over `claims` (`iss`, `aud`, `sub`) that is valid from `now` for `ttl_s` seconds."""
    issued = int(now.timestamp())
    times = {"iat": issued, "nbf": issued, "exp": issued + ttl_s}
    return jwt.encode({**claims, **times}, private_key_pem, algorithm=ALGORITHM, headers={"kid": kid})


def _coordinate(value: int) -> str:
    return _base64url(value.to_bytes(32, "big"))


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
