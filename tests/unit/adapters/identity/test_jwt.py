import base64
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from hypothesis import given
from hypothesis import strategies as st

from fujie.adapters.identity.jwt import LEEWAY_S, MOST_REMEMBERED, TokenAuthenticator
from fujie.adapters.identity.keyset import Issuer
from fujie.app.tokens import new_signing_key
from fujie.model.errors import CredentialError, StartError
from fujie.model.principal import Credential
from support.proof import prove

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
AT = int(NOW.timestamp())
ISS, AUD = "https://idp.example.com", "fujie"
PEM, JWKS = new_signing_key()
KID = JWKS["keys"][0]["kid"]
OTHER_PEM, OTHER_JWKS = new_signing_key()
RSA_KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
RSA_JWK = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(RSA_KEY.public_key())), "kid": "rsa-1"}
CLAIMS: dict[str, Any] = {"iss": ISS, "aud": AUD, "sub": "li.na", "iat": AT, "exp": AT + 600}


def authenticator(**changes: Any) -> TokenAuthenticator:
    fields: dict[str, Any] = {"iss": ISS, "aud": AUD, "algs": ("ES256",), "jwks": JWKS}
    return of(Issuer(**{**fields, **changes}))


def of(*issuers: Issuer) -> TokenAuthenticator:
    def told(iss: str, code: str) -> None:
        raise AssertionError(f"keys that never change were read anew: {iss} {code}")

    return TokenAuthenticator(issuers, lambda: 0.0, told)


def token(
    claims: dict[str, Any] | None = None,
    key: Any = PEM,
    alg: str = "ES256",
    header: dict[str, Any] | None = None,
) -> str:
    return jwt.encode(
        {**CLAIMS, **(claims or {})}, key, algorithm=alg, headers={"kid": KID} if header is None else header
    )


def without(claim: str) -> str:
    left = {name: value for name, value in CLAIMS.items() if name != claim}
    return jwt.encode(left, PEM, algorithm="ES256", headers={"kid": KID})


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(header: dict[str, Any], signature: Callable[[bytes], bytes]) -> str:
    signed = f"{part(header)}.{part(CLAIMS)}"
    return f"{signed}.{base64.urlsafe_b64encode(signature(signed.encode())).rstrip(b'=').decode()}"


def refusal(raw: str, verifier: TokenAuthenticator | None = None, at: datetime = NOW) -> CredentialError:
    with pytest.raises(CredentialError) as caught:
        prove(verifier or authenticator(), raw, at)
    return caught.value


def test_a_good_token_proves_its_subject_and_nothing_else() -> None:
    claims = {
        "roles": ["administrator"],
        "employment": "ACTIVE",
        "groups": ["admins"],
        "act": {"sub": "root"},
    }
    assert Credential("li.na", ISS) == prove(authenticator(), token(claims), NOW)


def test_an_audience_may_be_one_of_several() -> None:
    assert prove(authenticator(), token({"aud": ["crm", AUD]}), NOW).subject == "li.na"


def rsa_pem() -> bytes:
    return RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


FORGED = {
    "alg none": forged({"alg": "none", "kid": KID}, lambda _: b""),
    "alg None": forged({"alg": "None", "kid": KID}, lambda _: b""),
    "alg missing": forged({"kid": KID}, lambda _: b""),
    "alg null": forged({"alg": None, "kid": KID}, lambda _: b""),
    "alg list": forged({"alg": ["ES256"], "kid": KID}, lambda _: b""),
    "HMAC with the empty key": forged(
        {"alg": "HS256", "kid": KID}, lambda m: hmac.digest(b"", m, "sha256")
    ),
    "HMAC with the JWK": forged(
        {"alg": "HS256", "kid": KID},
        lambda m: hmac.digest(json.dumps(JWKS["keys"][0]).encode(), m, "sha256"),
    ),
    "HMAC with the public PEM": forged(
        {"alg": "HS256", "kid": "rsa-1"}, lambda m: hmac.digest(rsa_pem(), m, "sha256")
    ),
    "an algorithm that is not pinned": token(key=RSA_KEY, alg="RS256"),
    "another key under our kid": token(key=OTHER_PEM),
    "unknown kid": token(header={"kid": "nobody"}),
    "kid as path": token(header={"kid": "../../../etc/passwd"}),
    "kid as URL": token(header={"kid": "http://127.0.0.1/jwks"}),
    "kid as SQL": token(header={"kid": "' OR 1=1 --"}),
    "kid number": forged({"alg": "ES256", "kid": 7}, lambda _: b"x" * 64),
    "unknown crit": token(header={"kid": KID, "crit": ["exp"], "exp": 1}),
    "crit b64": token(header={"kid": KID, "crit": ["b64"], "b64": True}),
    "crit empty": token(header={"kid": KID, "crit": []}),
    "embedded jwk": token(key=OTHER_PEM, header={"kid": KID, "jwk": OTHER_JWKS["keys"][0]}),
    "embedded jwk beside a good signature": token(header={"kid": KID, "jwk": JWKS["keys"][0]}),
    "jku": token(header={"kid": KID, "jku": "https://evil.example.com/jwks"}),
    "x5u": token(header={"kid": KID, "x5u": "https://evil.example.com/x5u"}),
    "x5c": token(header={"kid": KID, "x5c": ["MIIB"]}),
    "wrong audience": token({"aud": "other"}),
    "audience list without ours": token({"aud": ["a", "b"]}),
    "audience of a wrong type": token({"aud": {"fujie": 1}}),
    "wrong issuer": token({"iss": "https://evil.example.com"}),
    "issuer with a slash more": token({"iss": ISS + "/"}),
    "no iss": without("iss"),
    "no aud": without("aud"),
    "no exp": without("exp"),
    "no sub": without("sub"),
    "empty sub": token({"sub": ""}),
    "blank sub": token({"sub": " "}),
    "sub with a newline": token({"sub": "li\nna"}),
    "sub with NUL": token({"sub": "li\x00na"}),
    "sub of a wrong type": token({"sub": 7}),
    "long sub": token({"sub": "x" * 257}),
    "sub is a workload": token({"sub": "spiffe://example.com/crm"}),
    "sub is nearly a workload": token({"sub": "SPIFFE:example.com/crm"}),
    "exp as text": token({"exp": str(AT + 600)}),
    "exp true": token({"exp": True}),
    "exp beyond all time": token({"exp": 1e300}),
    "exp infinite": token({"exp": float("inf")}),
    "exp NaN": token({"exp": float("nan")}),
    "nbf as text": token({"nbf": "now"}),
    "iat null": token({"iat": None}),
    "empty": "",
    "two parts": "a.b",
    "four parts": token() + ".x",
    "five parts": "a.b.c.d.e",
    "not base64": "!!.!!.!!",
    "not ASCII": token() + "é",
    "too long": token({"pad": "x" * 8_000}),
    "deep": f"{part({'alg': 'ES256'})}.{base64.urlsafe_b64encode(b'[' * 5_000).decode()}.AA",
    "payload a list": f"{part({'alg': 'ES256', 'kid': KID})}.{part([])}.AA",
    "cut signature": token()[:-4],
    "padded signature": token() + "==",
    "signature with a character that decoders skip": token()[:-8] + "!" + token()[-8:],
    "newline at the end": token() + "\n",
}


@pytest.mark.parametrize("name", sorted(FORGED))
def test_a_forged_or_malformed_token_is_refused_and_not_quoted(name: str) -> None:
    error = refusal(FORGED[name])
    assert error.code == "TOKEN_INVALID"
    assert error.__cause__ is None
    parts = [piece for piece in FORGED[name].split(".") if len(piece) > 4]
    assert not any(piece in str(error) for piece in (*parts, KID, "li.na", "evil"))


def test_hmac_with_a_public_rsa_key_is_refused_where_rsa_is_pinned() -> None:
    verifier = authenticator(algs=("RS256",), jwks={"keys": [RSA_JWK]})
    assert refusal(FORGED["HMAC with the public PEM"], verifier).code == "TOKEN_INVALID"


@pytest.mark.parametrize(
    ("claims", "at_s", "valid"),
    [
        ({}, 0, True),
        ({}, 599 + LEEWAY_S, True),
        ({}, 600 + LEEWAY_S, False),
        ({}, -LEEWAY_S, True),
        ({}, -LEEWAY_S - 1, False),
        ({"nbf": AT + 100}, 100 - LEEWAY_S, True),
        ({"nbf": AT + 100}, 99 - LEEWAY_S, False),
        ({"iat": AT + 31}, 0, False),
        ({"exp": AT + 0.5}, 30, True),
        ({"exp": 0}, 0, False),
        ({"exp": -(2**40)}, 0, False),
    ],
)
def test_times_hold_with_the_stated_leeway(claims: dict[str, Any], at_s: float, valid: bool) -> None:
    at = NOW + timedelta(seconds=at_s)
    if valid:
        assert prove(authenticator(), token(claims), at).subject == "li.na"
    else:
        assert refusal(token(claims), at=at).code == "TOKEN_EXPIRED"


def test_a_remembered_token_expires_all_the_same_and_also_when_the_clock_jumps_back() -> None:
    verifier = authenticator()
    raw = token()
    assert prove(verifier, raw, NOW) is prove(verifier, raw, NOW)
    assert refusal(raw, verifier, NOW + timedelta(seconds=631)).code == "TOKEN_EXPIRED"
    assert refusal(raw, verifier, NOW - timedelta(seconds=31)).code == "TOKEN_EXPIRED"
    assert prove(verifier, raw, NOW).subject == "li.na"


def test_the_memo_holds_no_token_and_no_failure_and_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    verifier = authenticator()
    raw = token()
    prove(verifier, raw, NOW)
    for n in range(1_000):
        refusal(token(header={"kid": f"k{n}"}) if n < 3 else f"{raw[:-3]}{n:03}", verifier)
    assert [sha256(raw.encode()).digest()] == list(verifier._memo)
    assert raw not in repr(verifier._memo)
    monkeypatch.setattr("fujie.adapters.identity.jwt.MOST_REMEMBERED", 3)
    assert MOST_REMEMBERED > 3
    kept = [token({"jti": str(n)}) for n in range(5)]
    for one in kept:
        prove(verifier, one, NOW)
    assert [sha256(one.encode()).digest() for one in kept[-3:]] == list(verifier._memo)


def test_a_token_with_one_bit_changed_misses_the_memo() -> None:
    verifier = authenticator()
    raw = token()
    prove(verifier, raw, NOW)
    head, _, signature = raw.split(".")
    assert (
        refusal(f"{head}.{part({**CLAIMS, 'sub': 'root'})}.{signature}", verifier).code == "TOKEN_INVALID"
    )


def test_a_token_without_kid_is_taken_only_when_there_is_one_key() -> None:
    raw = token(header={})
    assert prove(authenticator(), raw, NOW).subject == "li.na"
    two = {"keys": [*JWKS["keys"], *OTHER_JWKS["keys"]]}
    assert refusal(raw, authenticator(jwks=two)).code == "TOKEN_INVALID"
    assert prove(authenticator(jwks=two), token(), NOW).subject == "li.na"


def test_each_issuer_has_its_own_keys_audience_and_algorithms() -> None:
    other = Issuer("https://other.example.com", "fujie", ("ES256",), OTHER_JWKS)
    ours = Issuer(ISS, AUD, ("ES256",), JWKS)
    verifier = of(ours, other)
    other_kid = {"kid": OTHER_JWKS["keys"][0]["kid"]}
    theirs = token({"iss": other.iss}, key=OTHER_PEM, header=other_kid)
    assert Credential("li.na", other.iss) == prove(verifier, theirs, NOW)
    assert refusal(token(key=OTHER_PEM, header=other_kid), verifier).code == "TOKEN_INVALID"
    assert refusal(token({"iss": other.iss}), verifier).code == "TOKEN_INVALID"


def test_an_issuer_with_a_prefix_names_nobody_outside_of_it() -> None:
    other = Issuer("https://ci.example.com", "fujie", ("ES256",), OTHER_JWKS, prefix="ci:")
    verifier = of(other, Issuer(ISS, AUD, ("ES256",), JWKS))
    header = {"kid": OTHER_JWKS["keys"][0]["kid"]}

    def by_the_other(sub: str) -> str:
        return token({"iss": other.iss, "sub": sub}, key=OTHER_PEM, header=header)

    assert prove(verifier, token(), NOW) == Credential("li.na", ISS)
    assert prove(verifier, by_the_other("li.na"), NOW) == Credential("ci:li.na", other.iss)
    for sub in (" ", "x" * 254):  # 255 alone would fit, and not with the prefix
        assert refusal(by_the_other(sub), verifier).code == "TOKEN_INVALID"
    joined = authenticator(prefix="spiffe:")
    assert refusal(token({"sub": "//example.com/crm"}), joined).code == "TOKEN_INVALID"


def test_one_issuer_twice_stops_the_start() -> None:
    issuer = Issuer(ISS, AUD, ("ES256",), JWKS)
    with pytest.raises(StartError):
        of(issuer, issuer)


def test_other_pinned_algorithms_verify() -> None:
    okp = ed25519.Ed25519PrivateKey.generate()
    big = ec.generate_private_key(ec.SECP384R1())
    keys = {
        "RS256": (RSA_KEY, RSA_JWK),
        "PS512": (RSA_KEY, RSA_JWK),
        "EdDSA": (okp, json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(okp.public_key()))),
        "ES384": (big, json.loads(jwt.algorithms.ECAlgorithm.to_jwk(big.public_key()))),
    }
    for alg, (key, jwk) in keys.items():
        verifier = authenticator(algs=(alg,), jwks={"keys": [jwk]})
        assert prove(verifier, token(key=key, alg=alg, header={}), NOW).subject == "li.na"


@given(
    st.one_of(
        st.text(max_size=300), st.binary(max_size=200).map(lambda b: base64.urlsafe_b64encode(b).decode())
    )
)
def test_any_text_is_refused_with_a_code(raw: str) -> None:
    assert refusal(raw, VERIFIER).code == "TOKEN_INVALID"


VERIFIER = authenticator()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "cty", "zip"]), JSON),
    st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "jti"]), JSON),
)
def test_any_header_and_claims_without_our_signature_are_refused(
    header: dict[str, Any], claims: dict[str, Any]
) -> None:
    raw = f"{part({'alg': 'ES256', 'kid': KID, **header})}.{part({**CLAIMS, **claims})}.{'A' * 86}"
    assert refusal(raw, VERIFIER).code == "TOKEN_INVALID"


@given(
    st.dictionaries(st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "jti"]), JSON, min_size=1)
)
def test_signed_claims_of_any_shape_prove_a_subject_or_are_refused(claims: dict[str, Any]) -> None:
    head = part({"alg": "ES256", "kid": KID})
    signed = f"{head}.{part({**CLAIMS, **claims})}"
    key = jwt.algorithms.ECAlgorithm(jwt.algorithms.ECAlgorithm.SHA256, ec.SECP256R1)
    private = load_pem_private_key(PEM.encode(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    signature = key.sign(signed.encode(), private)
    raw = f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    try:
        credential = prove(VERIFIER, raw, NOW)
    except CredentialError as error:
        refused_as = error.code
    else:
        assert claims.get("sub", "li.na") == credential.subject
        assert claims.get("iss", ISS) == ISS
        return
    assert refused_as in {"TOKEN_INVALID", "TOKEN_EXPIRED"}
