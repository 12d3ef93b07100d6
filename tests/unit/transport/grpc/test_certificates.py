"""A certificate changes under the running server: never to a half, never to one of another key."""

import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from fujie.model.errors import StartError
from fujie.transport.grpc.certificates import Certificates, TLSFiles


def pair(serial: int) -> tuple[bytes, bytes]:
    """Return certificate and key in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fujie")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=serial))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made.public_bytes(Encoding.PEM), private


@pytest.fixture
def files(tmp_path: Path) -> TLSFiles:
    files = TLSFiles(tmp_path / "tls.crt", tmp_path / "tls.key")
    put(files, *pair(1))
    return files


def put(files: TLSFiles, certificate: bytes, key: bytes) -> None:
    files.certificate.write_bytes(certificate)
    files.key.write_bytes(key)


def shown(port: int) -> int:
    """Return the serial number of the certificate that a new connection is shown."""
    pem = ssl.get_server_certificate(("127.0.0.1", port), timeout=30)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def refusal(certificates: Certificates) -> str:
    with pytest.raises(StartError) as refused:
        certificates.look()
    assert "PRIVATE" not in str(refused.value)
    return refused.value.code


def test_new_connections_get_the_new_pair_and_a_bad_one_changes_nothing(files: TLSFiles) -> None:
    certificates = Certificates(files)
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_secure_port("127.0.0.1:0", certificates.credentials())
    server.start()
    try:
        assert shown(port) == 1
        assert not certificates.look()
        new, key = pair(2)
        files.certificate.write_bytes(new)  # the key is still the old one
        assert refusal(certificates) == "TLS_INVALID"
        assert shown(port) == 1
        files.certificate.write_bytes(new[: len(new) // 2])
        assert refusal(certificates) == "TLS_INVALID"
        files.key.unlink()
        assert refusal(certificates) == "TLS_UNREADABLE"
        assert shown(port) == 1
        put(files, new, key)
        assert certificates.look()
        assert [shown(port), shown(port)] == [2, 2]
        assert (certificates.expires - datetime.now(UTC)).days == 1
    finally:
        server.stop(None).wait()


@pytest.mark.parametrize("bad", [b"", b"-----BEGIN CERTIFICATE-----\n", b"\xff\x00", pair(3)[1]])
def test_what_is_no_certificate_is_refused_at_the_start(files: TLSFiles, bad: bytes) -> None:
    files.certificate.write_bytes(bad)
    with pytest.raises(StartError) as refused:
        Certificates(files)
    assert refused.value.code == "TLS_INVALID"


def test_a_key_with_a_password_or_of_another_certificate_is_refused(files: TLSFiles) -> None:
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    for key in (locked, pair(4)[1]):
        files.key.write_bytes(key)
        with pytest.raises(StartError) as refused:
            Certificates(files)
        assert refused.value.code == "TLS_INVALID"


def test_a_bad_client_ca_is_refused_and_the_last_good_one_stays(files: TLSFiles, tmp_path: Path) -> None:
    both = TLSFiles(files.certificate, files.key, tmp_path / "ca.crt")
    assert both.client_ca is not None
    both.client_ca.write_bytes(pair(5)[0])
    certificates = Certificates(both)
    both.client_ca.write_bytes(b"")
    assert refusal(certificates) == "TLS_INVALID"
    assert certificates._fetch() is None
    both.client_ca.write_bytes(pair(6)[0])
    assert certificates.look()
    assert certificates._fetch() is not None
    assert certificates._fetch() is None, "said once"
