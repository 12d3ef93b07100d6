"""An Ed25519 key that never leaves its place (a KMS, an HSM, somebody's token): a command of the operator signs for us.

The command gets the message on its standard input, and where it names `{}` in a file of that path; it writes the signature to its
standard output, 64 bytes as they are or in base64. That is what the command lines of cloud KMS, PKCS#11 and OpenSSL
do, so that no SDK of theirs is needed here. What comes back is believed by nobody: the caller verifies it.
"""

import base64
import binascii
import shlex
import subprocess
import tempfile
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fujie.model.errors import StartError

SIGN_S = 120.0
"""How long a command may take: somebody may have to touch a token."""

_MESSAGE = "{}"
_SIGNATURE_BYTES = 64
_MAX_PEM_BYTES = 4096


def read_public_key(path: Path) -> bytes:
    """Return the 32 bytes of an Ed25519 public key in PEM, as a KMS gives it out. Raises StartError: KEY_MISSING, KEY_INVALID."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_PEM_BYTES)
    except OSError as error:
        raise StartError("KEY_MISSING", f"public key {path}: {error.strerror}") from None
    try:
        key = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise StartError("KEY_INVALID", f"public key {path}: not an Ed25519 key in PEM")
    return key.public_bytes_raw()


def sign_by(command: str, message: bytes) -> bytes:
    """Return the signature that `command` makes of `message`: words as a shell would read them, and no shell.

    Raises:
        StartError: SIGNER_FAILED when it can not be run, fails, takes too long, or writes no signature.

    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise _failed(str(error)) from None
    if not words:
        raise _failed("no command was given")
    with tempfile.TemporaryDirectory(prefix="fujie-sign-") as folder:
        file = Path(folder, "message")
        file.write_bytes(message)
        line = [word.replace(_MESSAGE, str(file)) for word in words]
        try:
            done = subprocess.run(line, input=message, stdout=subprocess.PIPE, timeout=SIGN_S, check=False)  # noqa: S603 - the operator's own command
        except OSError as error:
            raise _failed(f"{words[0]}: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise _failed(f"{words[0]} took longer than {SIGN_S:.0f} s") from None
    if done.returncode != 0:
        raise _failed(f"{words[0]} ended with exit code {done.returncode}")
    return _signature(done.stdout)


def _signature(said: bytes) -> bytes:
    if len(said) == _SIGNATURE_BYTES:
        return said
    try:
        decoded = base64.b64decode(b"".join(said.split()), validate=True)
    except binascii.Error:
        decoded = b""
    if len(decoded) != _SIGNATURE_BYTES:
        raise _failed("it wrote no Ed25519 signature: 64 bytes, as they are or in base64, are meant")
    return decoded


def _failed(said: str) -> StartError:
    return StartError("SIGNER_FAILED", f"the command that signs: {said}")
