from datetime import timedelta

import pytest

from fujie.model.errors import CredentialError
from fujie.transport.grpc.credentials import SECURITY_HEADERS, bearer, workload_of
from support.certificates import URI, authority, leaf


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_case_insensitive(scheme: str) -> None:
    assert bearer([("user-agent", "x"), ("authorization", f"{scheme} t.o.k")]) == "t.o.k"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "t.o.k",
        "Bearer",
        "Bearer ",
        "Basic dXNlcg==",
        "Bearer a b",
        "Bearer a, Bearer b",
        "Bearer a,b",
        b"Bearer a",
    ],
)
def test_what_is_not_exactly_one_bearer_token_is_refused(value: str | bytes) -> None:
    with pytest.raises(CredentialError) as caught:
        bearer([("authorization", value)])
    assert caught.value.code == "UNAUTHENTICATED"


def test_nothing_stands_in_for_a_missing_authorization() -> None:
    believed_elsewhere = [(header, "Bearer t") for header in sorted(SECURITY_HEADERS - {"authorization"})]
    assert bearer([*believed_elsewhere, ("authorization-bin", b"Bearer t"), ("cookie", "token=t")]) is None


@pytest.mark.parametrize("header", sorted(SECURITY_HEADERS))
@pytest.mark.parametrize("second", ["Bearer t", "Bearer other", ""])
def test_a_repeated_security_header_refuses_the_call_even_when_equal(header: str, second: str) -> None:
    metadata = [("authorization", "Bearer t"), (header, "Bearer t"), ("a", "b"), (header, second)]
    with pytest.raises(CredentialError) as caught:
        bearer(metadata)
    assert caught.value.code == "METADATA_REPEATED"


def test_other_headers_may_repeat() -> None:
    assert bearer([("x-trace", "1"), ("x-trace", "2"), ("authorization", "Bearer t")]) == "t"


def test_a_certificate_that_ended_proves_nothing_however_old_its_connection_is() -> None:
    named = b"spiffe://example.com/crm"
    pair = leaf(authority(), (URI, named))
    peer = {"peer_spiffe_id": [named], "x509_pem_cert": [pair.pem]}
    end = pair.certificate.not_valid_after_utc
    assert workload_of(peer, "example.com", end - timedelta(seconds=1)) == named.decode()
    for now in (end, end + timedelta(days=1)):
        with pytest.raises(CredentialError) as caught:
            workload_of(peer, "example.com", now)
        assert caught.value.code == "WORKLOAD_INVALID"
