"""Certificates of every kind, good and evil, made on the spot.

`san` takes raw names: the tag of RFC 5280's GeneralName (URI 0x86, DNS 0x82, email 0x81, X.400 0xa3) and its bytes, so that
a certificate can say what no library would write.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

URI, DNS, EMAIL, X400 = 0x86, 0x82, 0x81, 0xA3
_SAN, _KEY_USAGE = x509.ObjectIdentifier("2.5.29.17"), x509.ObjectIdentifier("2.5.29.15")


@dataclass(frozen=True)
class Pair:
    """A certificate with its key. `files` writes both as PEM, and returns their paths."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def files(self, directory: Path, name: str) -> tuple[Path, Path]:
        certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
        certificate.write_bytes(self.pem)
        key.write_bytes(self.key_pem)
        return certificate, key


def authority(name: str = "authority") -> Pair:
    return _signed(name, None, None, is_ca=True)


def leaf(
    issuer: Pair | None,
    *names: tuple[int, bytes],
    common_name: str = "leaf",
    is_ca: bool = False,
    signs: bool = False,
    days: int = 1,
) -> Pair:
    """Return a certificate of `issuer` (its own where there is none) with these alternative names."""
    san = _names(names) if names else None
    return _signed(common_name, issuer, san, is_ca=is_ca, signs=signs, days=days)


def workload(issuer: Pair | None, spiffe_id: str) -> Pair:
    return leaf(issuer, (URI, spiffe_id.encode()))


def server(issuer: Pair) -> Pair:
    return leaf(issuer, (DNS, b"localhost"), common_name="localhost")


def _signed(
    name: str, issuer: Pair | None, san: bytes | None, *, is_ca: bool, signs: bool = False, days: int = 1
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    )
    if signs:  # may sign certificates, says its key usage
        builder = builder.add_extension(
            x509.UnrecognizedExtension(_KEY_USAGE, b"\x03\x02\x02\x84"), critical=False
        )
    if san is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(_SAN, san), critical=False)
    return Pair(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))


def _names(names: Sequence[tuple[int, bytes]]) -> bytes:
    """Return GeneralNames in DER."""
    return b"\x30" + _sized(b"".join(bytes([tag]) + _sized(value) for tag, value in names))


def _sized(value: bytes) -> bytes:
    if len(value) < 0x80:
        return bytes([len(value)]) + value
    length = len(value).to_bytes((len(value).bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(length)]) + length + value
