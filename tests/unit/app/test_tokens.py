from datetime import UTC, datetime, timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from fujie.adapters.identity.jwt import TokenAuthenticator
from fujie.adapters.identity.keyset import Issuer
from fujie.app.tokens import mint, new_signing_key
from fujie.model.errors import CredentialError
from support.proof import prove

NOW = datetime(2026, 5, 4, tzinfo=UTC)
CLAIMS = {"iss": "https://demo.invalid", "aud": "fujie", "sub": "li.na"}


def test_a_minted_token_verifies_against_its_own_key_set_only() -> None:
    (pem, jwks), (_, other) = new_signing_key(), new_signing_key()
    raw = mint(pem, CLAIMS, jwks["keys"][0]["kid"], 60, NOW)
    issuer = Issuer(CLAIMS["iss"], CLAIMS["aud"], ("ES256",), jwks)
    assert prove(believing(issuer), raw, NOW).subject == "li.na"
    with pytest.raises(CredentialError):
        prove(believing(Issuer(issuer.iss, issuer.aud, issuer.algs, other)), raw, NOW)
    with pytest.raises(CredentialError):
        prove(believing(issuer), raw, NOW + timedelta(seconds=91))


def believing(issuer: Issuer) -> TokenAuthenticator:
    return TokenAuthenticator([issuer], lambda: 0.0, lambda iss, code: None)


def test_the_key_set_describes_the_private_key_and_its_id_is_its_thumbprint() -> None:
    pem, jwks = new_signing_key()
    [entry] = jwks["keys"]
    public = load_pem_private_key(pem.encode(), None).public_key()
    assert public == jwt.PyJWK(entry).key
    again = {name: entry[name] for name in ("crv", "kty", "x", "y")}
    assert {**again, "kid": entry["kid"], "alg": "ES256", "use": "sig"} == entry
    assert len(entry["kid"]) == 43
