"""The server's certificate, its key and the CA of its clients, replaced without a restart.

gRPC core asks at every handshake, on threads of its own, whether there is another certificate: the answer must be
quick and must not raise. So files are read and checked elsewhere (`look`), and only a pair that works gets there.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from fujie.model.errors import StartError

SETTLE_S = 0.1
"""How long changed files must stay as they are: certificate and key are two files, written one after the other."""


@dataclass(frozen=True, slots=True)
class TLSFiles:
    """PEM files. With `client_ca`, a client without a certificate of it does not get to speak; whose
    certificate it is, every call checks (`credentials.workload_of`)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


_Contents = Mapping[Path, bytes]


class Certificates:
    """What the files held when they last worked. Raises StartError as `look` does when they do not at the start."""

    def __init__(self, files: TLSFiles) -> None:
        self._files = files
        self._seen = _read(files)
        self._first, self.expires = _checked(files, self._seen)
        self._pending: dict[str, grpc.ServerCertificateConfiguration] = {}

    expires: datetime
    """When the certificate in use ends, in UTC."""

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials that follow this object. Connections keep what they shook hands with."""
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            self._fetch,  # type: ignore[arg-type]  # None is allowed: "no change" (grpc's own documentation)
            require_client_authentication=self._files.client_ca is not None,
        )

    def look(self) -> bool:
        """Take over changed files; tell whether there were any. Blocks: not for the event loop.

        Raises:
            StartError: TLS_UNREADABLE or TLS_INVALID, once per change: half-written or not a pair. What was
                in use stays in use.

        """
        found = _read(self._files)
        if found == self._seen:
            return False
        time.sleep(SETTLE_S)
        if _read(self._files) != found:
            return False  # somebody is writing: the next look finds the end of it
        self._seen = found
        fresh, self.expires = _checked(self._files, found)
        self._pending["certificate"] = fresh
        return True

    def _fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """Return what is new since the last handshake: anything else would make core parse it again each time."""
        return self._pending.pop("certificate", None)


def _read(files: TLSFiles) -> _Contents:
    paths = [path for path in (files.certificate, files.key, files.client_ca) if path is not None]
    try:
        return {path: path.read_bytes() for path in paths}
    except OSError as error:
        raise StartError(
            "TLS_UNREADABLE", f"cannot read {error.filename}", "Check path and mode."
        ) from None


def _checked(files: TLSFiles, found: _Contents) -> tuple[grpc.ServerCertificateConfiguration, datetime]:
    """Return what gRPC takes, and when it ends. Raises StartError TLS_INVALID."""
    chain = _certificates(files.certificate, found)
    try:
        key = load_pem_private_key(found[files.key], None)
    except (ValueError, TypeError, UnsupportedAlgorithm):  # TypeError: it needs a password
        raise _invalid(f"{files.key} is no private key in PEM without a password") from None
    form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    if key.public_key().public_bytes(*form) != chain[0].public_key().public_bytes(*form):
        raise _invalid(f"{files.key} is not the key of {files.certificate}")
    roots = None
    if files.client_ca is not None:
        _certificates(files.client_ca, found)
        roots = found[files.client_ca]
    pair = (found[files.key], found[files.certificate])
    return grpc.ssl_server_certificate_configuration([pair], roots), chain[0].not_valid_after_utc


def _certificates(path: Path, found: _Contents) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(found[path])
    except ValueError:
        raise _invalid(f"{path} holds no certificate in PEM, or half of one") from None


def _invalid(message: str) -> StartError:
    return StartError("TLS_INVALID", message, "Write certificate and key anew, both.")
