import json
from contextlib import suppress
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from fujie.adapters.identity.keyset import ALGORITHMS, Issuer, read_keys
from fujie.app.tokens import new_signing_key
from fujie.model.errors import StartError

PEM, JWKS = new_signing_key()
KEY: dict[str, Any] = JWKS["keys"][0]
OTHER: dict[str, Any] = new_signing_key()[1]["keys"][0]
PLAIN = {name: value for name, value in KEY.items() if name not in {"alg", "use"}}
WEAK = json.loads(
    jwt.algorithms.RSAAlgorithm.to_jwk(
        rsa.generate_private_key(public_exponent=65_537, key_size=1_024).public_key()
    )
)


@pytest.mark.parametrize(
    "alg", ["none", "None", "NONE", "HS256", "HS384", "HS512", "es256", "", "RSA-OAEP", "dir", "ES256K"]
)
def test_no_issuer_can_pin_none_hmac_or_what_we_do_not_verify(alg: str) -> None:
    with pytest.raises(StartError, match="not accepted"):
        read_keys(Issuer("i", "a", ("ES256", alg), JWKS))
    assert alg not in ALGORITHMS


@pytest.mark.parametrize(
    ("jwks", "algs"),
    [
        ({}, ("ES256",)),
        ({"keys": []}, ("ES256",)),
        ({"keys": "x"}, ("ES256",)),
        ({"keys": ["x"]}, ("ES256",)),
        ({"keys": [{}]}, ("ES256",)),
        ({"keys": [{"kty": "oct", "k": "c2VjcmV0", "kid": "1"}]}, ("ES256",)),
        ({"keys": [KEY, {"kty": "oct", "k": "c2VjcmV0"}]}, ("ES256",)),
        ({"keys": [{**KEY, "d": "c2VjcmV0"}]}, ("ES256",)),
        ({"keys": [{**KEY, "k": "c2VjcmV0"}]}, ("ES256",)),
        ({"keys": [KEY, KEY]}, ("ES256",)),
        ({"keys": [{**KEY, "kid": 1}]}, ("ES256",)),
        ({"keys": [{**KEY, "x": "AAAA"}]}, ("ES256",)),
        ({"keys": [{k: v for k, v in KEY.items() if k != "y"}]}, ("ES256",)),
        ({"keys": [{**KEY, "y": OTHER["y"]}]}, ("ES256",)),
        ({"keys": [{**KEY, "crv": "P-384"}]}, ("ES256",)),
        ({"keys": [{**KEY, "use": "enc"}]}, ("ES256",)),
        ({"keys": [{**KEY, "key_ops": ["sign"]}]}, ("ES256",)),
        ({"keys": [{**KEY, "key_ops": 5}]}, ("ES256",)),
        ({"keys": [{**KEY, "key_ops": None}]}, ("ES256",)),
        ({"keys": [{**KEY, "key_ops": "verify"}]}, ("ES256",)),
        ({"keys": [{**KEY, "alg": "ES384"}]}, ("ES256",)),
        ({"keys": [KEY]}, ("ES256", "RS256")),
        ({"keys": [KEY]}, ("RS256",)),
        ({"keys": [WEAK]}, ("RS256",)),
        ({"keys": [KEY]}, ()),
    ],
)
def test_a_key_set_that_cannot_be_trusted_stops_the_start(
    jwks: dict[str, Any], algs: tuple[str, ...]
) -> None:
    with pytest.raises(StartError) as caught:
        read_keys(Issuer("i", "a", algs, jwks))
    assert caught.value.code == "ISSUER_INVALID"
    assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.parametrize(("iss", "aud"), [("", "a"), ("i", "")])
def test_issuer_and_audience_are_needed(iss: str, aud: str) -> None:
    with pytest.raises(StartError):
        read_keys(Issuer(iss, aud, ("ES256",), JWKS))


def test_a_key_is_found_under_its_id_and_algorithm_alone() -> None:
    keys = read_keys(
        Issuer("i", "a", ("ES256",), {"keys": [KEY, OTHER, {**PLAIN, "kid": "enc", "use": "enc"}]})
    )
    assert keys.find("ES256", KEY["kid"]) is not None
    assert keys.find("ES256", OTHER["kid"]) is not None
    assert [
        keys.find("ES256", "enc"),
        keys.find("ES256", ""),
        keys.find("RS256", KEY["kid"]),
        keys.find("ES256", None),
    ] == [None] * 4


def test_neither_key_set_nor_its_repr_holds_a_private_half() -> None:
    assert {"crv", "kty", "x", "y", "kid", "alg", "use"} == KEY.keys()
    assert "KeySet object" in repr(read_keys(Issuer("i", "a", ("ES256",), JWKS)))


MEMBERS = st.sampled_from(["kty", "crv", "x", "y", "n", "e", "kid", "alg", "use", "key_ops", "x5c", "d"])
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=9)
    | st.sampled_from(["RSA", "EC", "OKP", "AQAB"])
)


@given(st.dictionaries(MEMBERS, VALUES | st.lists(VALUES, max_size=2) | st.dictionaries(MEMBERS, VALUES)))
def test_whatever_an_issuer_publishes_is_read_or_refused(members: dict[str, Any]) -> None:
    for entry in (members, {**KEY, **members}, {**WEAK, **members}):
        with suppress(StartError):
            read_keys(Issuer("i", "a", ("ES256",), {"keys": [entry]}))
        with suppress(StartError):
            read_keys(Issuer("i", "a", ("RS256",), {"keys": [entry]}))
