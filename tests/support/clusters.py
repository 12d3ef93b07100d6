"""PostgreSQL servers with TLS, passwords, standbys and poolers: Debian's, since the wheel's has no OpenSSL.

Where the programs are missing the tests that ask for them are skipped, loudly; in CI they fail instead.
"""

import atexit
import itertools
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import quote

import asyncpg
import pytest

from support import certificates, ports, scratch
from support.postgresql import execute

USER, PASSWORD = "gate", "s3same-Öffne-dich"
"""Who comes over TCP, by scram and only with TLS, once a cluster demands it."""

_WAIT_S = 180
_NUMBERS = itertools.count()
_RULES = """\
local all all trust
local replication all trust
hostssl all gate 127.0.0.1/32 scram-sha-256
host all open 127.0.0.1/32 trust
"""


def program(name: str) -> str:
    """Return the path of one of Debian's programs. Skips where it is missing; in CI that fails."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda home: int(home.parent.name))
    places = ":".join(map(str, [*reversed(homes), "/usr/sbin", "/usr/bin"]))
    found = shutil.which(name, path=places)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"NO {name}: TLS, standbys and PgBouncer are not proven", pytrace=False)
        pytest.skip(f"NO {name} ON THIS MACHINE (Debian's packages postgresql and pgbouncer)")
    return found


def _owner() -> str | None:
    """Return who runs servers: they refuse to be root."""
    return "postgres" if os.getuid() == 0 else None


def _run(name: str, *arguments: str) -> None:
    done = subprocess.run(
        [program(name), *arguments], user=_owner(), cwd="/", capture_output=True, text=True, timeout=_WAIT_S, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def _own(*paths: Path) -> None:
    if owner := _owner():
        entry = pwd.getpwnam(owner)
        for path in paths:
            os.chown(path, entry.pw_uid, entry.pw_gid)


@cache
def authority() -> certificates.Pair:
    """Return who signs the certificates of the servers."""
    return certificates.authority()


class Cluster:
    """A server on a socket in its directory and on a port of the loopback, with TLS for `localhost`."""

    def __init__(self, home: Path) -> None:
        self.home, self.data = home, home / "d"
        [self.port] = ports.free()
        _own(home)
        self._process: subprocess.Popen[bytes] | None = None
        scratch.guard(self.data / "postmaster.pid", home)  # first: at the end it comes last
        atexit.register(self.remove)

    @classmethod
    def new(cls) -> "Cluster":
        """Make a server with the superuser `postgres` and the roles that come over TCP."""
        cluster = cls(scratch.directory("pc"))
        _run(
            "initdb", "-D", str(cluster.data), "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-A", "trust", "-N"
        )  # fmt: skip
        (cluster.data / "pg_hba.conf").write_text(_RULES)
        cluster.certify(certificates.server(authority()))
        cluster.start()
        cluster.execute(
            f"CREATE ROLE {USER} LOGIN SUPERUSER PASSWORD '{PASSWORD}'", "CREATE ROLE open LOGIN SUPERUSER"
        )
        return cluster

    def standby(self, name: str) -> "Cluster":
        """Start a hot standby that streams from this server under `name`."""
        copy = Cluster(scratch.directory("pc"))
        source = f"host={self.home} port={self.port} user=postgres application_name={name}"
        _run("pg_basebackup", "-d", source, "-D", str(copy.data), "-R", "-X", "stream", "-c", "fast", "-N")
        copy.start()
        return copy

    def certify(self, pair: certificates.Pair) -> None:
        """Give the server this certificate; it reads it when it starts."""
        _own(*pair.files(self.home, "server"))
        (self.home / "server.key").chmod(0o600)

    def start(self, *settings: str) -> None:
        """Start the server, with settings such as `ssl=off`, and wait until it answers."""
        options = [
            "ssl=on", f"ssl_cert_file={self.home / 'server.crt'}", f"ssl_key_file={self.home / 'server.key'}",
            "listen_addresses=127.0.0.1", f"port={self.port}", f"unix_socket_directories={self.home}", "fsync=off",
            "full_page_writes=off", "shared_buffers=16MB", "max_wal_size=128MB",
            "max_connections=40", "autovacuum=off", "wal_retrieve_retry_interval=50ms", *settings,
        ]  # fmt: skip
        if not (self.home / "server.crt").exists():
            self.certify(certificates.server(authority()))
        log = self.home / "log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [program("postgres"), "-D", str(self.data), *(f"--{setting}" for setting in options)],
                stdout=out, stderr=out, user=_owner(), cwd="/",
            )  # fmt: skip
        until = monotonic() + _WAIT_S
        while not self._answers():
            assert self._process.poll() is None, log.read_text(errors="replace")
            assert monotonic() < until
            sleep(0.02)

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def stop(self, signal: str = "QUIT") -> None:
        """End the server at once (QUIT: as a crash does), or in order (INT)."""
        if self._process is not None:
            subprocess.run(["/bin/kill", f"-{signal}", str(self._process.pid)], check=True)
            self._process.wait(_WAIT_S)
            self._process = None

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def execute(self, *statements: str, database: str = "postgres") -> list[asyncpg.Record]:
        """Run statements as the superuser, each by itself; return the rows of the last."""
        return execute(self.url(database), *statements)

    def until(self, condition: str) -> None:
        """Wait until a condition in SQL holds."""
        late = monotonic() + _WAIT_S
        while not self.execute(f"SELECT {condition}")[0][0]:
            assert monotonic() < late, condition
            sleep(0.02)

    def promote(self) -> None:
        """Make a standby a primary."""
        self.execute("SELECT pg_promote()")

    def catch_up(self, primary: "Cluster") -> None:
        """Wait until a standby shows all that was committed."""
        now = primary.execute("SELECT pg_current_wal_lsn()::text")[0][0]
        self.until(f"pg_last_wal_replay_lsn() >= '{now}'")

    def detach(self) -> None:
        """Let a standby hear nothing more."""
        self.execute("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")
        self.until("NOT EXISTS (SELECT FROM pg_stat_wal_receiver)")

    def url(self, database: str) -> str:
        """Return the URL of the superuser at the socket."""
        return f"postgresql://postgres@/{database}?host={quote(str(self.home))}&port={self.port}"

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """Yield the name of a fresh database."""
        name = f"d{next(_NUMBERS)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield name
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def pgbouncer(cluster: Cluster, mode: str, *settings: str) -> Iterator[int]:
    """Run PgBouncer before the server, on the port that is given, as `pool_mode` says; its other settings are its own."""
    directory, [port] = scratch.directory("pb"), ports.free()
    configuration = directory / "pgbouncer.ini"
    (directory / "users").write_text('"open" ""\n')
    configuration.write_text("\n".join((
        "[databases]", f"* = host={cluster.home} port={cluster.port} user=postgres", "[pgbouncer]",
        "listen_addr = 127.0.0.1", f"listen_port = {port}", "unix_socket_dir =", "auth_type = trust",
        f"auth_file = {directory / 'users'}", f"pool_mode = {mode}", *settings, "",
    )))  # fmt: skip
    _own(directory, configuration, directory / "users")
    log = directory / "log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [program("pgbouncer"), "-q", str(configuration)], stdout=out, stderr=out, user=_owner(), cwd="/"
        )
    try:
        until = monotonic() + _WAIT_S
        while True:
            with closing(socket.socket()) as probe:
                if not probe.connect_ex(("127.0.0.1", port)):
                    break
            assert process.poll() is None, log.read_text(errors="replace")
            assert monotonic() < until
            sleep(0.02)
        yield port
    finally:
        process.kill()
        process.wait(_WAIT_S)
        shutil.rmtree(directory, ignore_errors=True)
