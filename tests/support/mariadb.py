"""A real MariaDB for the test process, started when first asked for, and fresh databases on it.

Where its programs are not the tests that ask for it are skipped, loudly; in CI they fail instead.
"""

import atexit
import itertools
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.parse import quote

import pymysql
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from support import ports, scratch

USER, PASSWORD = "reader", "pä ss'w:or@d"
"""Who reads: as little as the documentation says, with a password that every quoting has to survive."""

_PROGRAMS, _ELSEWHERE = ("mariadbd", "mariadb-install-db", "my_print_defaults"), "/usr/sbin:/usr/libexec"
_NUMBERS = itertools.count()
_START_S = 180


class MariaDB:
    """A server of our own on a socket and a port of the loopback. Its data are gone when it stops."""

    def __init__(self, directory: Path, binary: str) -> None:
        self._binary = binary
        self._directory = directory
        self.socket = str(directory / "s")
        [self.port] = ports.free()
        self.certificate = directory / "c.pem"
        self._pid_file = directory / "pid"
        scratch.guard(self._pid_file, directory)  # first: at the end it comes last
        self._certify()
        self._install()
        self.start()
        atexit.register(self.remove)
        self.execute(
            f"CREATE USER '{USER}'@'localhost' IDENTIFIED BY '{PASSWORD.replace(chr(39), chr(39) * 2)}'",
            "DROP DATABASE IF EXISTS test",
        )

    def _certify(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        day, now = timedelta(days=1), datetime.now(UTC)
        certificate = (
            x509.CertificateBuilder(
                name, name, key.public_key(), x509.random_serial_number(), now - day, now + day
            )
            .add_extension(here, critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
        plain = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        (self._directory / "k.pem").write_bytes(plain)

    def _install(self) -> None:
        installed = subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={self._directory / 'd'}", "--skip-test-db",
             "--auth-root-authentication-method=normal", *self._as_root()],
            capture_output=True, text=True, timeout=_START_S, check=False,
        )  # fmt: skip
        assert installed.returncode == 0, installed.stdout + installed.stderr

    def _as_root(self) -> list[str]:
        return ["--user=root"] if os.getuid() == 0 else []

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._binary, "--no-defaults", f"--datadir={self._directory / 'd'}", f"--socket={self.socket}",
                 "--bind-address=127.0.0.1", f"--port={self.port}", "--performance-schema=0",
                 f"--pid-file={self._pid_file}", f"--ssl-cert={self.certificate}", f"--ssl-key={self._directory / 'k.pem'}",
                 "--innodb-flush-log-at-trx-commit=0",
                 "--innodb-buffer-pool-size=16M", "--sync-binlog=0", "--innodb-flush-method=nosync", "--innodb-doublewrite=0",
                 "--character-set-server=utf8mb4", *self._as_root()],
                stdout=log, stderr=log,
            )  # fmt: skip
        until = monotonic() + _START_S
        while not self._answers():
            assert self._process.poll() is None, (self._directory / "log").read_text(errors="replace")
            assert monotonic() < until
            sleep(0.05)

    def _answers(self) -> bool:
        with closing(socket.socket(socket.AF_UNIX)) as probe:  # the driver leaves a refused socket open
            if probe.connect_ex(self.socket):
                return False
        try:
            self.execute("SELECT 1")
        except pymysql.MySQLError:
            return False
        return True

    def stop(self) -> None:
        """End the server."""
        self._process.terminate()
        self._process.wait(_START_S)

    def remove(self) -> None:
        """End the server and remove its data, which nobody needs whole."""
        self._process.kill()
        self._process.wait(_START_S)
        shutil.rmtree(self._directory, ignore_errors=True)

    def connect(self, database: str | None = None) -> "pymysql.Connection[Any]":
        """Return a connection of the administrator."""
        return pymysql.connect(
            unix_socket=self.socket, user="root", database=database, charset="utf8mb4", autocommit=True,
            ssl_disabled=True,  # else the driver reads every authority of the system first: 25 ms
        )  # fmt: skip

    def execute(self, *statements: str, database: str | None = None) -> Any:
        """Run statements as the administrator; return the rows of the last."""
        with closing(self.connect(database)) as connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()

    def url(self, database: str, port: int = 0) -> str:
        """Return the URL of `database` for the reader: on the socket, or on a port of the loopback."""
        who = f"mysql://{USER}:{quote(PASSWORD, safe='')}@"
        if port:
            return f"{who}127.0.0.1:{port}/{database}"
        return f"{who}/{database}?unix_socket={quote(self.socket)}"


@cache
def server() -> MariaDB:
    """Return the server of this process; it is stopped and removed at its end, whatever that is."""
    found = {name: shutil.which(name) or shutil.which(name, path=_ELSEWHERE) for name in _PROGRAMS}
    lacks = " ".join(name for name, path in found.items() if path is None)
    if lacks and os.environ.get("CI"):
        pytest.fail(
            f"NO {lacks}: the contract of stores is not proven for MySQL and MariaDB", pytrace=False
        )
    if lacks:
        pytest.skip(
            f"NO {lacks} ON THIS MACHINE: the contract of stores is not proven for MySQL and MariaDB"
        )
    return MariaDB(scratch.directory("my"), str(found["mariadbd"]))


@contextmanager
def database() -> Iterator[str]:
    """Yield the name of a fresh database that the reader may read."""
    name = f"store_{os.getpid()}_{next(_NUMBERS)}"
    server().execute(f"CREATE DATABASE {name}", f"GRANT SELECT ON {name}.* TO '{USER}'@'localhost'")
    try:
        yield name
    finally:
        server().execute(f"DROP DATABASE {name}")
