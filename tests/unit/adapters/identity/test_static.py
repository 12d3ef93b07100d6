from datetime import UTC, datetime
from hashlib import sha256

import pytest

from fujie.adapters.identity.jwt import TokenAuthenticator
from fujie.adapters.identity.keyset import Issuer
from fujie.adapters.identity.static import ISSUER, FirstOf, UnsafeStaticTokens
from fujie.app.tokens import mint, new_signing_key
from fujie.model.errors import CredentialError, StartError
from fujie.model.principal import Credential
from support.proof import prove

NOW = datetime(2026, 5, 4, tzinfo=UTC)
PEM, JWKS = new_signing_key()


def digest(token: str) -> str:
    return sha256(token.encode()).hexdigest()


STATIC = UnsafeStaticTokens({digest("one"): "anna", digest("two"): "bo"})


def test_each_token_proves_its_principal() -> None:
    assert [Credential("anna", ISSUER), Credential("bo", ISSUER)] == [
        prove(STATIC, t, NOW) for t in ("one", "two")
    ]


@pytest.mark.parametrize("token", ["", "One", "one ", digest("one"), "anna", "x" * 100_000, "\ud800", "é"])
def test_any_other_text_proves_nothing(token: str) -> None:
    with pytest.raises(CredentialError) as caught:
        prove(STATIC, token, NOW)
    assert caught.value.code == "TOKEN_INVALID"
    assert not token or len(token) < 3 or token not in str(caught.value)


@pytest.mark.parametrize(
    "key",
    ["", "one", digest("one").upper(), digest("one")[:-1], digest("one") + "\n", "sha256:" + digest("one")],
)
def test_only_digests_are_configured_never_tokens(key: str) -> None:
    with pytest.raises(StartError) as caught:
        UnsafeStaticTokens({key: "anna"})
    assert not key.strip() or key not in f"{caught.value}{caught.value.remedy}"


def test_a_digest_without_a_principal_is_refused() -> None:
    with pytest.raises(StartError):
        UnsafeStaticTokens({digest("one"): ""})


def test_no_static_token_is_valid_when_none_is_configured() -> None:
    with pytest.raises(CredentialError):
        prove(UnsafeStaticTokens({}), "", NOW)


def test_the_first_that_accepts_answers_and_the_last_says_why_not() -> None:
    issuer = Issuer("https://idp.example.com", "fujie", ("ES256",), JWKS)
    both = FirstOf([STATIC, TokenAuthenticator([issuer], lambda: 0.0, lambda iss, code: None)])
    claims = {"iss": issuer.iss, "aud": "fujie", "sub": "li.na"}
    raw = mint(PEM, claims, JWKS["keys"][0]["kid"], 60, NOW)
    assert [prove(both, token, NOW).subject for token in ("one", raw)] == ["anna", "li.na"]
    for token, at, code in (("none", NOW, "TOKEN_INVALID"), (raw, NOW.replace(year=2027), "TOKEN_EXPIRED")):
        with pytest.raises(CredentialError) as caught:
            prove(both, token, at)
        assert code == caught.value.code


def test_nobody_to_authenticate_stops_the_start() -> None:
    with pytest.raises(StartError):
        FirstOf([])
