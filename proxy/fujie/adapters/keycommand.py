"""An Ed25519 key that never leaves its place (a KMS, an HSM, somebody's token): a command of the operator signs for us.

The command gets the message on its standard input, and where it names `{}` in a file of that path; it writes the signature to its
standard output, 64 bytes as they are or in base64. That is what the command lines of cloud KMS, PKCS#11 and OpenSSL
do, so that no SDK of theirs is needed here. What comes back is believed by nobody: the caller verifies it.
"""

import base64
import binascii
import os
import select
import shlex
import subprocess
import tempfile
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from fujie.model.errors import StartError

SIGN_S = 120.0
"""How long a command may take, and write nothing: somebody may have to touch a token."""

_MESSAGE = "{}"
_SIGNATURE_BYTES = 64
_MAX_PEM_BYTES = 4096
_MOST_SAID = 4096
"""Bytes of output: a signature in base64 takes 88, however it is broken into lines."""


def read_public_key(path: Path) -> bytes:
    """Return the 32 bytes of an Ed25519 public key in PEM, as a KMS gives it out. Raises StartError: KEY_MISSING, KEY_INVALID."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_PEM_BYTES)
    except OSError as error:
        remedy = "Write the public key of --signer there, in PEM, as its KMS or token gives it out."
        raise StartError("KEY_MISSING", f"public key {path}: {error.strerror}", remedy) from None
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
        try:
            code, said = _run([word.replace(_MESSAGE, str(file)) for word in words], file)
        except OSError as error:
            raise _failed(f"{_shown(words[0])}: {error.strerror}") from None
        except subprocess.TimeoutExpired:
            raise _failed(f"{_shown(words[0])} took longer than {SIGN_S:.0f} s") from None
    if code != 0:
        raise _failed(f"{_shown(words[0])} ended with exit code {code}")
    return _signature(said)


def _run(line: list[str], message: Path) -> tuple[int, bytes]:
    """Return the exit code of a command and what it wrote, of which nothing is read behind what a signature may take.

    What it started and left behind may hold its output open for ever: so nobody waits for that end once its time is over.
    """
    said = b""
    with message.open("rb") as given:
        process = subprocess.Popen(line, stdin=given, stdout=subprocess.PIPE)  # noqa: S603 - the operator's own command
    with process:
        assert process.stdout is not None
        try:
            while len(said) <= _MOST_SAID and select.select([process.stdout], [], [], SIGN_S)[0]:
                some = os.read(process.stdout.fileno(), _MOST_SAID)
                if not some:
                    return process.wait(SIGN_S), said
                said += some
        finally:
            process.kill()
    if len(said) <= _MOST_SAID:
        raise subprocess.TimeoutExpired(line, SIGN_S)
    return 0, said


def _shown(word: str) -> str:
    """Return the name of a command; not what stands before one where a shell would set a variable: that may be a PIN."""
    return "VARIABLE=..., which only a shell understands" if "=" in word else word


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
