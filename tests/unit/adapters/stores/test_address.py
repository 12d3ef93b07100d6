"""Where a store may be: one reader of the URL, no session settings in it, no plain text beyond this machine."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from fujie.adapters.stores.address import Address, address_of
from fujie.adapters.stores.table import StoreTable
from fujie.model.errors import StartError

SECRET = "hunter2-secret"


def read(url: str, **changes: Any) -> Address:
    return address_of(StoreTable("crm", url, "customers", "id", **changes), url)


def refused(url: str, **changes: Any) -> str:
    with pytest.raises(StartError) as error:
        read(url, **changes)
    assert SECRET not in str(error.value)
    assert SECRET not in repr(StoreTable("crm", url, "customers", "id", **changes))
    return error.value.code


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mariadb"])
@pytest.mark.parametrize(
    "rest",
    [
        "", "u@h", f"u:{SECRET}@127.0.0.1", f"u:{SECRET}@/d", f":{SECRET}@127.0.0.1/d", "127.0.0.1/d",
        "u@127.0.0.1/d?sslmode=prefer", "u@127.0.0.1/d?sslmode=disable", "u@127.0.0.1/d?sslrootcert=ca.pem",
        "u@127.0.0.1/d?options=-cstatement_timeout%3D0", "u@127.0.0.1/d?init_command=SET+x", "u@127.0.0.1/d?local_infile=1",
        "u@127.0.0.1/d?sslmode=verify-full&sslmode=require", "u@127.0.0.1,h2/d", f"u@127.0.0.1/d?password={SECRET}",
        "u@127.0.0.1/d?service=x", "u@127.0.0.1:port/d", "u@127.0.0.1/d?host=/run&unix_socket=/run/s",
        "u@127.0.0.1/d?sslmode=verify-full&sslrootcert=/nowhere/ca.pem",
    ],
)  # fmt: skip
def test_what_says_too_little_or_too_much_is_refused(scheme: str, rest: str) -> None:
    assert refused(f"{scheme}://{rest}") == "STORE_MISMATCH"


@pytest.mark.parametrize(
    "url", ["", "no url", f"u:{SECRET}@nonsense", "oracle://u@127.0.0.1/d", "mysql+aiomysql://u@127.0.0.1/d",
            "sqlite://", "sqlite:///:memory:", "sqlite:///x.db?mode=rwc", "sqlite://host/x.db"]
)  # fmt: skip
def test_what_is_no_database_of_ours_is_refused(url: str) -> None:
    assert refused(url) == "STORE_MISMATCH"


@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "mariadb"])
@pytest.mark.parametrize(
    "host", ["db", "10.0.0.1", "localhost.example.com", "127.0.0.1.example.com", "[2001:db8::1]", "0.0.0.0"]
)
def test_another_host_without_tls_is_refused_unless_it_is_called_unsafe(scheme: str, host: str) -> None:
    assert refused(f"{scheme}://u:{SECRET}@{host}/d") == "STORE_PLAINTEXT"
    assert read(f"{scheme}://u@{host}/d", is_plaintext=True).tls is None
    assert read(f"{scheme}://u@{host}/d?sslmode=verify-full").tls is not None


@pytest.mark.parametrize(
    ("mode", "is_verified", "is_named"),
    [("require", False, False), ("verify-ca", True, False), ("verify-full", True, True)],
)
def test_what_a_mode_demands(mode: str, *, is_verified: bool, is_named: bool) -> None:
    for url in (f"postgresql://u@db/d?sslmode={mode}", f"mysql://u@127.0.0.1/d?sslmode={mode}"):
        tls = read(url).tls
        assert tls is not None
        assert (tls.verify_mode is ssl.CERT_REQUIRED, tls.check_hostname) == (is_verified, is_named)


def test_sockets_and_loopback_need_no_tls() -> None:
    assert read("postgresql://u@/d?host=/run/postgresql").socket == "/run/postgresql"
    assert read("mariadb://u@/d?unix_socket=/run/s").socket == "/run/s"
    for host in ("127.0.0.1", "127.8.8.8", "[::1]", "localhost"):
        assert read(f"mysql://u@{host}/d").tls is None
    assert read("mysql://u@localhost/d").port == 3306
    assert read("postgresql://u@localhost/d").port == 5432


def test_the_password_comes_from_its_file_or_from_the_url_but_not_from_both(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{SECRET} ü\n")
    assert read("mysql://u@localhost/d", password_file=file).password == f"{SECRET} ü"
    assert read("mysql://u:a%40b@localhost/d").password == "a@b"
    assert refused(f"mysql://u:{SECRET}@localhost/d", password_file=file) == "STORE_MISMATCH"
    assert refused("sqlite:///x.db", password_file=file) == "STORE_MISMATCH"
    for content in (b"", b"\n", f"{SECRET}\nmore".encode(), f"{SECRET}\0".encode(), b"\xff"):
        file.write_bytes(content)
        assert refused("mysql://u@localhost/d", password_file=file) == "STORE_PASSWORD_UNREADABLE"
    file.unlink()
    assert refused("mysql://u@localhost/d", password_file=file) == "STORE_PASSWORD_UNREADABLE"


def test_an_address_shows_nothing() -> None:
    assert SECRET not in repr(read(f"mysql://u:{SECRET}@localhost/d"))


def test_an_sqlite_file_has_no_replicas() -> None:
    assert refused("sqlite:///x.db", replicas=("sqlite:///y.db",)) == "STORE_MISMATCH"
