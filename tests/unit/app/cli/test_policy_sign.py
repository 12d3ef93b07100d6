"""`fujie policy sign --signer`: a key that stays in its place signs by a command, and what comes back is verified."""

import base64
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from typer.testing import CliRunner

from fujie.adapters import keycommand
from fujie.app.cli import build
from fujie.policy.archive import read
from support.releases import bundle


class Token:
    """A private key in a file that only commands read, and what is told of it."""

    def __init__(self, home: Path) -> None:
        key = Ed25519PrivateKey.generate()
        self.private, self.public = home / "private.pem", home / "alice.pem"
        self.private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.public.write_bytes(pem)
        self.raw = key.public_key().public_bytes_raw()

    @property
    def openssl(self) -> str:
        return f"openssl pkeyutl -sign -rawin -inkey '{self.private}' -in {{}}"

    def python(self, end: str) -> str:
        """Return a command that reads the message from its standard input, signs it as `s`, and does `end`."""
        program = (
            "import sys, base64; from cryptography.hazmat.primitives.serialization import load_pem_private_key;"
            f"k = load_pem_private_key(open({str(self.private)!r}, 'rb').read(), None);"
            f"m = sys.stdin.buffer.read(); s = k.sign(m); {end}"
        )
        return f'{sys.executable} -c "{program}"'


@pytest.fixture
def token(tmp_path: Path) -> Token:
    (tmp_path / "with a blank").mkdir()
    return Token(tmp_path / "with a blank")


@pytest.fixture
def unsigned(tmp_path: Path) -> Path:
    made = tmp_path / "site.fujie"
    archive = bundle(5, signers=())
    assert archive.lines == ()
    made.write_bytes(archive.encoded)
    return made


def policy(*arguments: str | Path) -> tuple[int, Any]:
    done = CliRunner().invoke(build(), ["policy", *map(str, arguments), "--output", "json"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, json.loads(done.stdout or done.stderr)


RAW = "sys.stdout.buffer.write(s)"
BASE64 = "print(base64.encodebytes(s).decode())"


@pytest.mark.parametrize("how", ["openssl", RAW, BASE64])
def test_a_command_signs_as_a_key_in_a_file_does(token: Token, unsigned: Path, how: str) -> None:
    command = token.openssl if how == "openssl" else token.python(how)
    code, said = policy("sign", unsigned, "--signer", command, "--public-key", token.public)
    assert code == 0, said
    assert said["key"].startswith("alice+")
    code, checked = policy("verify", unsigned, "--trusted-key", said["key"])
    assert (code, checked["signers"]) == (0, ["alice"])
    seed = base64.b64encode(read_seed(token.private))
    in_file = token.private.with_name("alice.key")
    in_file.write_bytes(seed)
    before = unsigned.read_bytes()
    assert policy("sign", unsigned, "--key", in_file)[0] == 0
    assert unsigned.read_bytes() == before, "the same key, the same line"


def read_seed(private: Path) -> bytes:
    text = subprocess.run(
        ["openssl", "pkey", "-in", private, "-outform", "DER"], capture_output=True, check=True
    )
    return text.stdout[-32:]


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("sys.stdout.buffer.write(k.sign(m + b' '))", "SIGNATURE_INVALID"),
        ("sys.stdout.buffer.write(bytes(64))", "SIGNATURE_INVALID"),
        ("sys.stdout.buffer.write(s[:-1])", "SIGNER_FAILED"),
        ("sys.stdout.buffer.write(s + s)", "SIGNER_FAILED"),
        ("print('signed')", "SIGNER_FAILED"),
        ("pass", "SIGNER_FAILED"),
        (f"{RAW}; sys.exit(3)", "SIGNER_FAILED"),
    ],
)
def test_what_is_no_signature_of_this_bundle_is_not_written(
    token: Token, unsigned: Path, end: str, expected: str
) -> None:
    before = unsigned.read_bytes()
    code, said = policy("sign", unsigned, "--signer", token.python(end), "--public-key", token.public)
    assert (code, said["problems"][0]["code"]) == (5, expected)
    assert unsigned.read_bytes() == before


def test_the_public_key_of_somebody_else_is_found_out(token: Token, unsigned: Path, tmp_path: Path) -> None:
    other = Token(tmp_path)
    code, said = policy("sign", unsigned, "--signer", token.openssl, "--public-key", other.public)
    assert (code, said["problems"][0]["code"]) == (5, "SIGNATURE_INVALID")
    assert read(unsigned.read_bytes()).lines == ()


def test_a_key_that_is_none_of_ours_is_refused(token: Token, unsigned: Path) -> None:
    curve = generate_private_key(SECP256R1()).public_key()
    odd = token.public.with_name("odd.pem")
    for content in (curve.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), b"", b"\xff" * 9_000,
                    token.private.read_bytes()):  # fmt: skip
        odd.write_bytes(content)
        code, said = policy("sign", unsigned, "--signer", token.openssl, "--public-key", odd)
        assert (code, said["problems"][0]["code"]) == (5, "KEY_INVALID")


def test_a_key_that_is_not_there_is_asked_for_in_words_of_signing(token: Token, unsigned: Path) -> None:
    """Whose key it is decides on the way out: who signs has no ledger, and a server nothing that signs."""
    nowhere = unsigned.with_name("nowhere.key")
    for arguments, helps in (
        (("--key", nowhere), "policy keygen"),
        (("--signer", token.openssl, "--public-key", nowhere), "--signer"),
    ):
        code, said = policy("sign", unsigned, *arguments)
        assert (code, said["problems"][0]["code"]) == (5, "KEY_MISSING")
        assert helps in said["problems"][0]["remedy"]
        assert "ledger" not in said["problems"][0]["remedy"]


@pytest.mark.parametrize("command", ["no-such-program {}", "'unfinished", " "])
def test_a_command_that_can_not_be_run_is_said(token: Token, unsigned: Path, command: str) -> None:
    code, said = policy("sign", unsigned, "--signer", command, "--public-key", token.public)
    assert (code, said["problems"][0]["code"]) == (5, "SIGNER_FAILED")


def test_no_shell_reads_the_command(token: Token, unsigned: Path, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    policy("sign", unsigned, "--signer", f"{token.python(RAW)} ; touch {trap} $(touch {trap})", "--public-key", token.public)  # fmt: skip
    assert not trap.exists()


def test_a_command_that_never_ends_is_ended(
    token: Token, unsigned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keycommand, "SIGN_S", 0.2)
    code, said = policy("sign", unsigned, "--signer", "sleep 600", "--public-key", token.public)
    assert (code, said["problems"][0]["code"]) == (5, "SIGNER_FAILED")


def test_a_command_is_ended_though_what_it_started_goes_on(
    token: Token, unsigned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that stays in the background has the output open: to wait for its end would be to wait for the agent's."""
    pid = tmp_path / "pid"

    def once_it_runs(*of: Any) -> Any:
        while not (pid.exists() and pid.read_text()):
            time.sleep(0.01)
        return select.select(*of)

    monkeypatch.setattr(keycommand, "SIGN_S", 0.2)
    monkeypatch.setattr(keycommand, "select", SimpleNamespace(select=once_it_runs))
    command = f"sh -c 'sleep 300 & echo $! > {pid}; wait'"
    try:
        code, said = policy("sign", unsigned, "--signer", command, "--public-key", token.public)
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)
    assert (code, said["problems"][0]["code"]) == (5, "SIGNER_FAILED")


def test_a_command_that_writes_without_end_is_not_listened_to(token: Token, unsigned: Path) -> None:
    """It would be two minutes of a gigabyte a second, all of it kept."""
    code, said = policy("sign", unsigned, "--signer", "yes", "--public-key", token.public)
    assert (code, said["problems"][0]["code"]) == (5, "SIGNER_FAILED")
    assert "no Ed25519 signature" in said["problems"][0]["message"]


def test_a_pin_before_the_command_is_not_repeated(token: Token, unsigned: Path) -> None:
    """What a shell would take for a variable is a word here, and messages end up in the logs of builds."""
    given = ("--signer", "PIN=271828 sign-it {}", "--public-key", token.public)
    code, said = policy("sign", unsigned, *given)
    assert (code, said["problems"][0]["code"]) == (5, "SIGNER_FAILED")
    assert "271828" not in json.dumps(said)


@pytest.mark.parametrize("given", [(), ("--signer", "x"), ("--public-key", "x"), ("--key", "x", "--signer", "y"),
                                   ("--key", "x", "--public-key", "y"),
                                   ("--key", "x", "--signer", "y", "--public-key", "z")])  # fmt: skip
def test_which_key_signs_is_said_in_one_way(unsigned: Path, given: tuple[str, ...]) -> None:
    code, said = policy("sign", unsigned, *given)
    assert (code, said["code"]) == (2, "KEY_NEEDED")
