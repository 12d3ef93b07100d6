"""Spoofing: nobody becomes somebody else, whatever the metadata or the token says."""

import base64
import hmac
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from google.protobuf.message import Message

from abuse.target import (
    ADD_SUPPRESSION,
    LOOKUP,
    MERGE,
    RECORD,
    SPLIT,
    UPSERT,
    WITHDRAW,
    Target,
    ask,
    by_id,
    consent,
    expect,
    hired,
    merge,
    split,
)
from e2e.server import AUDIENCE, ISSUER, Site
from fujie.app.client import read_refusal
from fujie.app.tokens import new_signing_key
from fujie.v1 import consent_service_pb2 as consent_v1
from fujie.v1 import types_pb2 as types_v1

UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
ASK = ask("phone")


def claims(**changes: Any) -> dict[str, Any]:
    now = int(datetime.now(UTC).timestamp())
    return {"iss": ISSUER, "aud": AUDIENCE, "sub": "agent", "iat": now, "exp": now + 600, **changes}


def signed(site: Site, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """Return a token that the site's issuer signed, over these claims."""
    given = {name: value for name, value in claims(**changes).items() if value is not None}
    return jwt.encode(given, site.signing_key, "ES256", {"kid": site.kid, **(header or {})})


def forged(site: Site, header: dict[str, Any], signature: Callable[[bytes], bytes]) -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    said = f"{part(json.dumps(header).encode())}.{part(json.dumps(claims()).encode())}"
    return f"{said}.{part(signature(said.encode()))}"


def public_pem(site: Site) -> bytes:
    key = load_pem_private_key(site.signing_key.encode(), None).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def of_another_key(site: Site) -> str:
    return jwt.encode(claims(), new_signing_key()[0], "ES256", {"kid": site.kid})


def with_jwk(site: Site) -> str:
    pem, jwks = new_signing_key()
    return jwt.encode(claims(), pem, "ES256", {"kid": site.kid, "jwk": jwks["keys"][0]})


def ago(**span: int) -> int:
    return int((datetime.now(UTC) - timedelta(**span)).timestamp())


INVALID: dict[str, Callable[[Site], str]] = {
    "alg none": lambda s: forged(s, {"alg": "none", "kid": s.kid}, lambda _: b""),
    "alg none, signed": lambda s: forged(s, {"alg": "none", "kid": s.kid}, lambda _: b"x" * 64),
    "HS256 with the public key": lambda s: forged(
        s, {"alg": "HS256", "kid": s.kid}, lambda m: hmac.digest(public_pem(s), m, "sha256")
    ),
    "HS256 with the JWKS": lambda s: forged(
        s,
        {"alg": "HS256", "kid": s.kid},
        lambda m: hmac.digest((s.root / "jwks.json").read_bytes(), m, "sha256"),
    ),
    "another key under our kid": of_another_key,
    "a key of its own": with_jwk,
    "kid is a path": lambda s: signed(s, {"kid": "../../keys/log.key"}),
    "kid is SQL": lambda s: signed(s, {"kid": "' OR 1=1 --"}),
    "an extension that we do not know": lambda s: signed(s, {"crit": ["x"], "x": 1}),
    "another audience": lambda s: signed(s, aud="crm"),
    "several audiences without ours": lambda s: signed(s, aud=["crm", "erp"]),
    "no audience": lambda s: signed(s, aud=None),
    "another issuer": lambda s: signed(s, iss="https://id.example.org"),
    "an issuer that starts like ours": lambda s: signed(s, iss=f"{ISSUER}.example.org"),
    "no subject": lambda s: signed(s, sub=None),
    "a subject of several lines": lambda s: signed(s, sub="agent\nchief"),
    "a subject that is a workload": lambda s: signed(s, sub="spiffe://example.com/crm"),
    "no expiry": lambda s: signed(s, exp=None),
    "not a token at all": lambda _: "no-header.no-payload.no-signature",
}
UNTIMELY: dict[str, Callable[[Site], str]] = {
    "expired": lambda s: signed(s, iat=ago(hours=2), exp=ago(hours=1)),
    "not yet valid": lambda s: signed(s, nbf=ago(hours=-1), exp=ago(hours=-2)),
    "issued in the future": lambda s: signed(s, iat=ago(hours=-1), exp=ago(hours=-2)),
}


def refuse_unseen(target: Target, token: str, reason: str) -> None:
    """Whoever is not known leaves no entry: there is nobody to name. The operator's log has the incident, and no token."""
    before = len(target.server.events("call_failed"))
    detail = target.refused("", LOOKUP, ASK, (("authorization", f"Bearer {token}"),))
    expect(detail, UNAUTHENTICATED, reason)
    assert detail.detail is None
    assert target.new() == []
    incident = target.server.wait_for("call_failed", before + 1)
    assert (incident["code"], incident["incident_id"]) == (reason, detail.incident_id)
    assert token.split(".")[1] not in target.server.output.read_text("utf-8")


@pytest.mark.parametrize("forge", INVALID.values(), ids=INVALID)
def test_a_forged_token_is_nobody(target: Target, forge: Callable[[Site], str]) -> None:
    refuse_unseen(target, forge(target.site), "TOKEN_INVALID")


@pytest.mark.parametrize("untimely", UNTIMELY.values(), ids=UNTIMELY)
def test_a_token_holds_only_in_its_time(target: Target, untimely: Callable[[Site], str]) -> None:
    refuse_unseen(target, untimely(target.site), "TOKEN_EXPIRED")


def test_a_thousand_unknown_key_ids_change_nothing(target: Target) -> None:
    """Its file may be read anew for them, now and then; it is gone, and the last good keys stay."""
    (target.site.root / "jwks.json").unlink()
    rejected = 0
    for wave in range(10):  # more at a time than one connection may carry are refused unread
        metadata = [
            (("authorization", f"Bearer {signed(target.site, {'kid': f'{wave}-{n}'})}"),)
            for n in range(100)
        ]
        calls = [target.begin(LOOKUP, ASK, each) for each in metadata]
        rejected += sum(call.code() is UNAUTHENTICATED for call in calls)
        assert {read_refusal(call).reason for call in calls} == {"TOKEN_INVALID"}
    assert rejected == 1000
    assert target.new() == []
    target.stands()


@pytest.mark.parametrize(
    "said",
    [
        {"roles": ["administrator"], "role": "administrator"},
        {"groups": ["support"], "scope": "support", "employment": "ACTIVE"},
        {"act": {"sub": "chief"}, "on_behalf_of": "agent", "department": "east"},
        {"realm_access": {"roles": ["support"]}, "resource_access": {"fujie": {"roles": ["support"]}}},
    ],
)
def test_a_token_that_claims_roles_adds_none(target: Target, said: dict[str, Any]) -> None:
    metadata = (("authorization", f"Bearer {signed(target.site, sub='nobody', **said)}"),)
    expect(target.refused("", LOOKUP, ASK, metadata), DENIED, "NO_GRANT")
    assert target.new_one("DENY", "NO_GRANT", "nobody").facts["principal.roles"] == (
        "a-role-without-a-grant",
    )
    expect(target.refused("", UPSERT, hired("x", "support"), metadata), DENIED, "NO_GRANT")
    target.new_one("DENY", "NO_GRANT", "nobody")


def test_a_good_token_of_somebody_whom_the_directory_does_not_know_opens_nothing(target: Target) -> None:
    metadata = (("authorization", f"Bearer {signed(target.site, sub='stranger')}"),)
    expect(target.refused("", LOOKUP, ASK, metadata), DENIED, "PRINCIPAL_UNKNOWN")
    target.new_one("DENY", "PRINCIPAL_UNKNOWN", "stranger")


@pytest.mark.parametrize("subject", ["Agent", "agent ", "agent\u00a0", "ａｇｅｎｔ", "chief'--"])
def test_a_subject_that_only_looks_like_somebody_is_somebody_else(target: Target, subject: str) -> None:
    metadata = (("authorization", f"Bearer {signed(target.site, sub=subject)}"),)
    detail = target.refused("", LOOKUP, ASK, metadata)
    assert detail.reason in {"PRINCIPAL_UNKNOWN", "TOKEN_INVALID"}
    assert [entry.principal for entry in target.new()] == (
        [subject] if detail.reason == "PRINCIPAL_UNKNOWN" else []
    )


SPOOFED = (
    ("x-user", "chief"),
    ("x-role", "administrator"),
    ("x-forwarded-user", "chief"),
    ("x-forwarded-client-cert", 'By=spiffe://x/a;URI="spiffe://example.com/chief"'),
    ("forwarded", "for=127.0.0.1;by=chief"),
    ("x-remote-user", "chief"),
    ("x-goog-authenticated-user-email", "chief"),
    ("grpc-previous-rpc-attempts", "9"),
)


def test_headers_that_speak_of_identity_are_never_believed(target: Target) -> None:
    expect(target.refused("", LOOKUP, ASK, SPOOFED), UNAUTHENTICATED, "UNAUTHENTICATED")
    assert target.new() == []
    expect(target.refused("", LOOKUP, ASK, (*target.bearer("nobody"), *SPOOFED)), DENIED, "NO_GRANT")
    entry = target.new_one("DENY", "NO_GRANT", "nobody")
    assert (entry.on_behalf_of, entry.facts["principal.roles"]) == ("", ("a-role-without-a-grant",))


@pytest.mark.parametrize("first", ["nobody", "agent"])
def test_two_identities_in_one_call_are_none(target: Target, first: str) -> None:
    second = "agent" if first == "nobody" else "nobody"
    twice = (*target.bearer(first), *target.bearer(second))
    expect(target.refused("", LOOKUP, ASK, twice), UNAUTHENTICATED, "METADATA_REPEATED")
    joined = (("authorization", f"{target.bearer(first)[0][1]!s}, {target.bearer(second)[0][1]!s}"),)
    expect(target.refused("", LOOKUP, ASK, joined), UNAUTHENTICATED, "UNAUTHENTICATED")
    assert target.new() == []


@pytest.mark.parametrize("header", [name for name, _ in SPOOFED[:5]])
def test_a_security_header_that_comes_twice_refuses_a_good_token(target: Target, header: str) -> None:
    twice = (*target.bearer("agent"), (header, "chief"), (header, "agent"))
    expect(target.refused("", LOOKUP, ASK, twice), UNAUTHENTICATED, "METADATA_REPEATED")
    assert target.new() == []


def test_asking_on_behalf_of_somebody_needs_trust_that_nobody_has(target: Target) -> None:
    asked = ask("phone", on_behalf_of="chief")
    expect(target.refused("agent", LOOKUP, asked), DENIED, "DELEGATION_REFUSED")
    assert target.new_one("DENY", "DELEGATION_REFUSED", "agent").on_behalf_of == "?"


def test_the_same_idempotency_key_with_another_body_is_refused(target: Target) -> None:
    context = types_v1.RequestContext(request_id="replayed")
    target.call("desk", RECORD, consent(by_id("C00003"), context=context))
    target.call("desk", RECORD, consent(by_id("C00003"), context=context))
    target.new()
    detail = target.refused("desk", RECORD, consent(by_id("C00004"), context=context))
    expect(detail, grpc.StatusCode.FAILED_PRECONDITION, "REQUEST_ID_REUSED")
    assert [(e.effect, *e.reasons) for e in target.new()] == [
        ("ALLOW",),
        ("DENY", "REQUEST_ID_REUSED"),
    ]


def acts(target: Target) -> Iterator[tuple[str, str, Message, Message]]:
    """Yield who, the method, a call under a request id, and another call under the same."""
    context = types_v1.RequestContext(request_id="act")
    scopes = [consent_v1.SuppressionScope(purpose=purpose) for purpose in ("marketing", "")]
    one, other = (
        consent_v1.AddSuppressionRequest(customer=by_id("C00015"), context=context, scope=scope)
        for scope in scopes
    )
    yield "desk", ADD_SUPPRESSION, one, other
    first, second = (
        consent_v1.WithdrawConsentRequest(customer=by_id(name), context=context, purpose="marketing")
        for name in ("C00015", "C00016")
    )
    yield "officer", WITHDRAW, first, second
    yield (
        "officer", MERGE, merge(by_id("C00015"), by_id("C00016"), request_id="act-2"),
        merge(by_id("C00017"), by_id("C00018"), request_id="act-2"),
    )  # fmt: skip
    yield "officer", SPLIT, split("C00016", request_id="act-3"), split("C00015", request_id="act-3")


def test_no_act_is_done_twice_or_exchanged_under_one_idempotency_key(target: Target) -> None:
    for who, method, first, second in acts(target):
        target.call(who, method, first)
        target.call(who, method, first)
        target.new()
        expect(
            target.refused(who, method, second), grpc.StatusCode.FAILED_PRECONDITION, "REQUEST_ID_REUSED"
        )
        assert ("DENY", "REQUEST_ID_REUSED") in {(e.effect, *e.reasons) for e in target.new()}


def test_the_server_still_stands(target: Target) -> None:
    target.stands()
